"""Sizes at which the engine goes another way, for the engine and for estimates of its cost."""

from __future__ import annotations

BATCH_BYTES = 160 * 2**20
"""Bytes of the arrays of one batch of surrogates."""
ROTATED_FROM = 2
"""Targets per feature from which penalties are chosen in a training set's eigenvectors."""
