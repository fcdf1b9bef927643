"""Scores of held-out predictions, next to the same scores of predictors that know nothing.

Within a fold y and ŷ are taken from the mean ȳ of the fold's training targets. Sums are kept for
each fold; any choice of layers or lags for each fold can be pooled from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LEVEL = 0.05
"""Rate of false discoveries that a finding may belong to."""
CONSTANT = 1e-10
"""Share of a target's magnitude up to which deviations are rounding, not signal: filters and
solvers leave 1e-14 to 1e-12 of a constant."""
VARIANCE = 1e-14
"""Share of a sum of squares up to which the variance in it is the rounding of the sums: tens of
1e-16, since numpy adds pairwise."""
LAST_DIGITS = 1e-14
"""Share of a magnitude that the last digits of a sum make."""
LEAST_SAMPLES = 3
"""Samples below which a correlation is ±1 or undefined."""


class HeldOutFold(Protocol):
    """A fold of which the held-out rows are known."""

    @property
    def test(self) -> IntArray:
        """Indices of the held-out rows."""


class HeldOutFolds(Protocol):
    """A split of which the held-out rows are known."""

    @property
    def folds(self) -> Sequence[HeldOutFold]:
        """The outer folds."""


@dataclass(frozen=True, slots=True)
class FoldSums:
    """Sums over each fold's held-out samples of Δy = y − ȳ_train and Δŷ = ŷ − ȳ_train.

    Attributes
    ----------
    n
        (K, 1) numbers of samples, or (K, t) of targets that lack different samples.
    sy, sf, syy, sff, syf
        (…, K, t) ΣΔy, ΣΔŷ, ΣΔy², ΣΔŷ² and ΣΔyΔŷ.
    """

    n: FloatArray
    sy: FloatArray
    sf: FloatArray
    syy: FloatArray
    sff: FloatArray
    syf: FloatArray

    def of(self, chosen: IntArray) -> FoldSums:
        """Return the sums of one candidate (layer or lag) for each fold and target.

        Parameters
        ----------
        chosen
            (K, t) numbers along the first axis of sums (candidates, K, t).
        """
        arrays = (getattr(self, name) for name in SUMS)
        return FoldSums(self.n, *(np.take_along_axis(a, chosen[None], axis=0)[0] for a in arrays))

    def targets(self, index: Sequence[int]) -> FoldSums:
        """Return the sums of some targets."""
        n = self.n if self.n.shape[-1] == 1 else self.n[..., index]
        return FoldSums(n, *(getattr(self, name)[..., index] for name in SUMS))

    def drawn(self, counts: FloatArray) -> FoldSums:
        """Return the sums over folds that are taken `counts` (draw, K) times: (draw, 1, t)."""
        return FoldSums(*((counts @ getattr(self, f.name))[:, None] for f in fields(self)))


SUMS = ("sy", "sf", "syy", "sff", "syf")
"""The sums of `FoldSums`, in the order of the first axis of an array of sums."""


def stacked(candidates: Sequence[FoldSums]) -> FoldSums:
    """Return the sums of several candidates (layers or lags) as one, candidates first."""
    arrays = (np.stack([getattr(sums, name) for sums in candidates]) for name in SUMS)
    return FoldSums(candidates[0].n, *arrays)


def held_out_counts(split: HeldOutFolds) -> FloatArray:
    """Return the number of held-out samples of each fold, (K, 1)."""
    return np.array([[len(fold.test)] for fold in split.folds], dtype=np.float64)


def fold_sums(
    prediction: FloatArray,
    training_mean: FloatArray,
    targets: FloatArray,
    split: HeldOutFolds,
    *,
    folds: Iterable[int] | None = None,
) -> FoldSums:
    """Sum up predictions (n, t) of targets (n, t), fold by fold, from training means (K, t).

    Of some `folds` alone, the sums of the others are 0.
    """
    sums = np.zeros((5, len(split.folds), targets.shape[1]))
    n = held_out_counts(split)
    for i in range(len(split.folds)) if folds is None else folds:
        fold = split.folds[i]
        y = targets[fold.test] - training_mean[i]
        f = prediction[fold.test] - training_mean[i]
        magnitude = np.abs(training_mean[i]) + np.abs(targets[fold.test]).max(axis=0)
        for deviation in (y, f):
            deviation[:, np.abs(deviation).max(axis=0) <= CONSTANT * magnitude] = 0.0
        sums[:, i] = (y.sum(0), f.sum(0), (y * y).sum(0), (f * f).sum(0), (y * f).sum(0))
    return FoldSums(n, *sums)


def _correlation(
    n: FloatArray, sy: FloatArray, sf: FloatArray, syy: FloatArray, sff: FloatArray, syf: FloatArray
) -> FloatArray:
    variance_y, variance_f = syy - sy * sy / n, sff - sf * sf / n
    defined = (variance_y > VARIANCE * syy) & (variance_f > VARIANCE * sff) & (n >= LEAST_SAMPLES)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (syf - sy * sf / n) / np.sqrt(variance_y * variance_f)
    return np.asarray(np.where(defined, np.clip(r, -1, 1), np.nan))


def pooled_r(sums: FoldSums) -> FloatArray:
    """Return Pearson's r (…, t) over all held-out samples of Δy and Δŷ.

    r = (ΣΔyΔŷ − ΣΔyΣΔŷ/n) / sqrt((ΣΔy² − (ΣΔy)²/n)(ΣΔŷ² − (ΣΔŷ)²/n)), every Σ over folds; NaN where
    one of the two is constant, for a constant has no correlation.
    """
    return _correlation(*(getattr(sums, f.name).sum(axis=-2) for f in fields(sums)))


def fold_r(sums: FoldSums) -> FloatArray:
    """Return Pearson's r (…, K, t) within each fold; NaN below 3 samples or of a constant."""
    return _correlation(*(getattr(sums, f.name) for f in fields(sums)))


def fold_sse(sums: FoldSums) -> FloatArray:
    """Return Σ(y − ŷ)² (…, K, t)."""
    return np.asarray(np.maximum(sums.syy - 2 * sums.syf + sums.sff, 0))


def pooled_skill(sums: FoldSums) -> FloatArray:
    """Return the skill (…, t) against the training mean, 1 − ΣSSE/ΣSST; NaN of a constant."""
    total = sums.syy.sum(axis=-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        skill = 1.0 - fold_sse(sums).sum(axis=-2) / total
    return np.asarray(np.where(total > 0, skill, np.nan))


def best_candidates(inner_score: FloatArray) -> IntArray:
    """Return the candidate (layer or lag) with the best inner score, (K, t).

    Parameters
    ----------
    inner_score
        (candidates, K, t), cross-validated inside each fold's training samples. The first of
        equals wins. Where a fold has no inner score at all (a fixed penalty leaves nothing to
        choose by), the last candidate is taken, as the study took the last layer.
    """
    known = np.isfinite(inner_score)
    best = np.argmax(np.where(known, inner_score, -np.inf), axis=0)
    return np.where(known.any(axis=0), best, len(inner_score) - 1).astype(np.int64)


def chosen_prediction(
    candidates: Iterable[FloatArray], chosen: IntArray, fold: IntArray
) -> FloatArray:
    """Return the prediction (n, t) of the chosen candidate of each fold and target.

    Parameters
    ----------
    candidates
        (n, t) prediction of each candidate (layer or lag).
    chosen
        (K, t) number of the chosen candidate.
    fold
        (n,) number of the fold that holds each sample out.
    """
    prediction = np.zeros((len(fold), chosen.shape[1]))
    for number, candidate in enumerate(candidates):
        prediction = np.where((chosen == number)[fold], candidate, prediction)
    return prediction


def across_channels(prediction: FloatArray, targets: FloatArray) -> tuple[float, float]:
    """Return the study's scores: Pearson's r and R² over channels, averaged over samples.

    Both (n, t). R² of a sample is 1 − Σ(y − ŷ)²/Σ(y − mean of y over channels)². Samples for which
    a score is not defined are left out; NaN where none remains or below 2 channels.

    The channels' different gains are the same in every sample, so a predictor that ignores its
    input scores high here; read it beside the mean predictor's value.
    """
    if targets.shape[1] < 2:
        return np.nan, np.nan
    y = targets - targets.mean(axis=1, keepdims=True)
    f = prediction - prediction.mean(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (y * f).sum(1) / np.sqrt((y * y).sum(1) * (f * f).sum(1))
        r2 = 1.0 - ((targets - prediction) ** 2).sum(1) / (y * y).sum(1)
    r, r2 = r[np.isfinite(r)], r2[np.isfinite(r2)]
    return (float(r.mean()) if len(r) else np.nan, float(r2.mean()) if len(r2) else np.nan)


def plain_r(prediction: FloatArray, targets: FloatArray) -> FloatArray:
    """Return Pearson's r (t,) over all samples of prediction and target, both (n, t).

    Of the leave-one-out training means it is exactly -1: they are (S - y)/(n - 1), with S the sum
    of all y. NaN where one of the two is constant.
    """
    y, f = targets - targets.mean(axis=0), prediction - prediction.mean(axis=0)
    for deviation, values in ((y, targets), (f, prediction)):
        # The training means of near-constant folds differ by the last digit alone.
        magnitude = np.abs(values).max(axis=0)
        deviation[:, np.abs(deviation).max(axis=0) <= LAST_DIGITS * magnitude] = 0.0
    n, none = np.asarray(float(len(y))), np.zeros(y.shape[1])
    return _correlation(n, none, none, (y * y).sum(0), (f * f).sum(0), (y * f).sum(0))


def p_values(observed: FloatArray, null: FloatArray) -> FloatArray:
    """Return the one-sided permutation p (t,) = (b + 1)/(n + 1).

    Parameters
    ----------
    observed
        (t,), NaN where undefined: a constant prediction has no correlation, explains nothing, and
        has p = 1. To leave it out would make the others a selection.
    null
        (n, t), of which b are at least as large. A surrogate without a correlation counts as 0.
    """
    if not len(null):
        return np.full(observed.shape, np.nan)
    reached = (np.nan_to_num(null) >= observed).sum(axis=0)
    return np.asarray(np.where(np.isfinite(observed), (reached + 1) / (len(null) + 1), 1.0))


def best_of_surrogates(null: NDArray[np.floating], *, axis: int) -> NDArray[np.floating]:
    """Return each surrogate's best candidate over an axis, one without a correlation as 0.

    Compared with the best of the observed candidates, it accounts for their choice (Westfall &
    Young 1993; Nichols & Holmes, Human Brain Mapping 15:1, 2002).
    """
    best: NDArray[np.floating] = np.max(np.nan_to_num(null), axis=axis)
    return best


def false_discovery_q(p: FloatArray) -> FloatArray:
    """Return Benjamini and Hochberg's adjusted p-values of one family; NaN is not a member."""
    from scipy.stats import false_discovery_control

    q = np.full(p.shape, np.nan)
    member = np.isfinite(p)
    if member.any():
        q[member] = false_discovery_control(p[member], method="bh")
    return q
