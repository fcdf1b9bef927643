"""Scores of held-out predictions, beside the same scores of predictors that know nothing.

Within a fold y and ŷ are taken from the mean ȳ of the fold's training targets, so that a fold's
offset cannot pass for a correlation. Sums are kept for each fold; any choice of layers or lags for
each fold can be pooled from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from highgamma.encoding.fits import NestedFit
from highgamma.encoding.splits import FloatArray, IntArray, Split

# Deviations below this share of the target's magnitude are rounding, not signal.
CONSTANT = 1e-10
ROUNDING = 1e-14


@dataclass(frozen=True, slots=True)
class FoldSums:
    """Sums over each fold's held-out samples of Δy = y − ȳ_train and Δŷ = ŷ − ȳ_train.

    n (K,); all others (…, K, t): sy = ΣΔy, sf = ΣΔŷ, syy = ΣΔy², sff = ΣΔŷ², syf = ΣΔyΔŷ.
    """

    n: FloatArray
    sy: FloatArray
    sf: FloatArray
    syy: FloatArray
    sff: FloatArray
    syf: FloatArray


def fold_sums(
    prediction: FloatArray,
    training_mean: FloatArray,
    targets: FloatArray,
    split: Split,
    *,
    folds: Iterable[int] | None = None,
) -> FoldSums:
    """Sum up predictions (n, t) of targets (n, t), fold by fold, from training means (K, t).

    Of some `folds` alone, the sums of the others are 0.
    """
    sums = np.zeros((5, len(split.folds), targets.shape[1]))
    n = np.array([len(fold.test) for fold in split.folds], dtype=np.float64)
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
    vy, vf = syy - sy * sy / n, sff - sf * sf / n
    defined = (vy > 1e-14 * syy) & (vf > 1e-14 * sff) & (n >= 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (syf - sy * sf / n) / np.sqrt(vy * vf)
    return np.asarray(np.where(defined, np.clip(r, -1, 1), np.nan))


def pooled_r(sums: FoldSums) -> FloatArray:
    """Pearson's r (…, t) over all held-out samples of Δy and Δŷ; NaN where one is constant."""
    return _correlation(
        np.asarray(sums.n.sum()),
        *(getattr(sums, name).sum(axis=-2) for name in ("sy", "sf", "syy", "sff", "syf")),
    )


def fold_r(sums: FoldSums) -> FloatArray:
    """Pearson's r (…, K, t) within each fold; NaN below 3 samples or where one is constant."""
    return _correlation(sums.n[:, None], sums.sy, sums.sf, sums.syy, sums.sff, sums.syf)


def fold_sse(sums: FoldSums) -> FloatArray:
    """Σ(y − ŷ)² (…, K, t)."""
    return np.asarray(np.maximum(sums.syy - 2 * sums.syf + sums.sff, 0))


def pooled_skill(sums: FoldSums) -> FloatArray:
    """Skill (…, t) against the training mean, 1 − ΣSSE/ΣSST; NaN where the target is constant."""
    total = sums.syy.sum(axis=-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        skill = 1.0 - fold_sse(sums).sum(axis=-2) / total
    return np.asarray(np.where(total > 0, skill, np.nan))


def take_folds(choices: Sequence[FoldSums], chosen: IntArray) -> FoldSums:
    """Sums of a choice (K, t) among candidates (layers or lags), made for each fold and target."""
    fold, target = np.indices(chosen.shape)
    stacked = {
        name: np.stack([getattr(sums, name) for sums in choices])
        for name in ("sy", "sf", "syy", "sff", "syf")
    }
    picked = {
        name: np.moveaxis(values, 0, -3)[..., chosen, fold, target]
        for name, values in stacked.items()
    }
    return FoldSums(n=choices[0].n, **picked)


def across_channels(prediction: FloatArray, targets: FloatArray) -> tuple[float, float]:
    """The study's scores: mean over samples of Pearson's r and of R² taken over the channels.

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


def mean_prediction(fit: NestedFit, split: Split) -> FloatArray:
    """The prediction (n, t) that ignores its input: every fold's training mean."""
    return fit.training_mean[split.block]


def plain_r(prediction: FloatArray, targets: FloatArray) -> FloatArray:
    """Pearson's r (t,) over all samples of prediction and target, both (n, t), as they stand.

    Of the leave-one-out training means it is exactly -1: they are (S - y)/(n - 1), with S the sum
    of all y. NaN where one of the two is constant.
    """
    y, f = targets - targets.mean(axis=0), prediction - prediction.mean(axis=0)
    for deviation, values in ((y, targets), (f, prediction)):
        # The training means of near-constant folds differ by rounding alone.
        magnitude = np.abs(values).max(axis=0)
        deviation[:, np.abs(deviation).max(axis=0) <= ROUNDING * magnitude] = 0.0
    n, none = np.asarray(float(len(y))), np.zeros(y.shape[1])
    return _correlation(n, none, none, (y * y).sum(0), (f * f).sum(0), (y * f).sum(0))


def p_values(observed: FloatArray, null: FloatArray) -> FloatArray:
    """One-sided permutation p = (b + 1)/(n + 1), b of the n null values at least as large.

    observed (t,), null (n, t). A null value that is not defined counts as no correlation; where
    the observed one is not defined, or n is 0, p is NaN.
    """
    if not len(null):
        return np.full(observed.shape, np.nan)
    b = (np.nan_to_num(null) >= observed).sum(axis=0)
    return np.asarray(np.where(np.isfinite(observed), (b + 1) / (len(null) + 1), np.nan))
