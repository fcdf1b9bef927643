"""The cases of the self-test: which analyses are tested, and which recordings are audited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CONFIGURATIONS = {
    "paper-frames": ("paper.yaml", "frames"),
    "paper-words": ("paper.yaml", "words"),
    "demo-frames": ("config.yaml", "frames"),
    "demo-words": ("config.yaml", "words"),
    "podcast-frames": ("podcast.yaml", "frames"),
}
"""The analyses that are tested: file and analysis of each."""

PLAIN: dict[str, dict[str, Any]] = {
    "frames-trial": {"unit": "frame", "split": "trial"},
    "frames-leave-one-word-out": {"unit": "frame", "split": "leave-one-word-out"},
    "frames-recording": {"unit": "frame", "split": "recording", "recordings": 3},
    "frames-kept": {"unit": "frame", "null_penalties": "kept"},
    "frames-curve": {"unit": "frame", "lags": [-0.2, 0.2], "lag_step": 0.1, "lag_mode": "curve"},
    "frames-banded": {
        "unit": "frame", "estimator": "banded-ridge", "bands": ["mel", "gpt2"], "band_draws": 5,
        "folds": 5,
    },
    "words-contiguous": {"unit": "word", "split": "contiguous"},
    "words-word": {"unit": "word", "split": "word"},
    "words-trial": {"unit": "word", "split": "trial"},
    "words-recording": {"unit": "word", "split": "recording", "recordings": 3},
    "words-folds": {"unit": "word", "split": "contiguous", "choose_by": "folds"},
    "words-elastic-net": {
        "unit": "word", "split": "word", "folds": 5, "estimator": "elastic-net", "alpha": 0.05,
        "permutations": 99,
    },
}  # fmt: skip
"""Further splits and estimators, whose size is measured with a model of text."""

EQUAL = {f"{name}-equal": name for name in ("paper-frames", "paper-words")}
"""Cases in which second draws of the controls stand in for the models."""

NARROW = (70.0, 150.0)
"""Band of a copy through a band-pass filter, Hz."""

RESONANCE = (110.0, 120.0)
"""Band of a copy through a resonance, Hz."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCase:
    """A simulated recording.

    Attributes
    ----------
    clean
        Whether no electrode holds a copy of the microphone.
    decibels
        Level of the copy, dB of the electrode's own signal within 70–170 Hz, or in the band of a
        narrow copy.
    band
        Band of the copy, Hz; None for all of the sound.
    hum
        Whether the microphone holds mains hum, as the electrodes do.
    shifted
        Whether the pitch of the audio is shifted.
    sound
        The setting `contamination.sound`.
    """

    clean: bool
    decibels: float = -15.0
    band: tuple[float, float] | None = None
    hum: bool = False
    shifted: bool = False
    sound: str = "unknown"


AUDIT_CASES: Mapping[str, AuditCase] = {
    "clean": AuditCase(clean=True),
    "hum": AuditCase(clean=True, hum=True),
    "resonance": AuditCase(clean=False, band=RESONANCE, decibels=-10.0),
    "band": AuditCase(clean=False, band=NARROW),
    "copy": AuditCase(clean=False),
    "pitch": AuditCase(clean=False, shifted=True, sound="altered"),
    "pitch-undeclared": AuditCase(clean=False, shifted=True),
    "pitch-clean": AuditCase(clean=True, shifted=True, sound="altered"),
}
"""Simulated recordings that are audited."""
