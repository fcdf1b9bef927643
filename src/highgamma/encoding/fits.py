"""The outcome of a nested cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from highgamma.encoding.splits import FloatArray, IntArray, Split


@dataclass(slots=True)
class NestedFit:
    """A nested cross-validation's outcome; K outer folds, t targets, n samples.

    Attributes
    ----------
    prediction
        (n, t) every sample from the fold that held it out (NaN where none did).
    training_mean
        (K, t) mean target of each fold's training set.
    inner_score
        (K, t) skill of the chosen penalty, pooled over the inner folds.
    alpha
        (K, t) the chosen penalty.
    n_nonzero
        (K, t) non-zero coefficients.
    coefficients
        (p, t) or None: mean over folds, target units per feature unit.
    chosen
        What else was chosen for each fold and target, (K, …, t), by name.
    parts
        (B, n, t) or None: the part of each feature space in prediction − training mean.
    """

    prediction: FloatArray
    training_mean: FloatArray
    inner_score: FloatArray
    alpha: FloatArray
    n_nonzero: IntArray
    coefficients: FloatArray | None = None
    chosen: dict[str, FloatArray] = field(default_factory=dict)
    parts: FloatArray | None = None

    def merge(self, other: NestedFit, split: Split, outer: Sequence[int]) -> None:
        """Take some outer folds over from another fit."""
        for i in outer:
            held_out = split.folds[i].test
            self.prediction[held_out] = other.prediction[held_out]
            for name in ("training_mean", "inner_score", "alpha", "n_nonzero"):
                getattr(self, name)[i] = getattr(other, name)[i]

    def repeated(self, count: int) -> NestedFit:
        """Return the same choices for `count` copies of the targets, side by side."""

        def tiled(values: FloatArray) -> FloatArray:
            return np.tile(values, (1,) * (values.ndim - 1) + (count,))

        chosen = {name: tiled(values) for name, values in self.chosen.items()}
        return replace(self, alpha=tiled(self.alpha), chosen=chosen)


def empty_fit(n: int, folds: int, targets: int) -> NestedFit:
    """Return an outcome in which nothing is filled in yet."""
    return NestedFit(
        prediction=np.full((n, targets), np.nan),
        training_mean=np.full((folds, targets), np.nan),
        inner_score=np.full((folds, targets), np.nan),
        alpha=np.full((folds, targets), np.nan),
        n_nonzero=np.zeros((folds, targets), dtype=np.int64),
    )
