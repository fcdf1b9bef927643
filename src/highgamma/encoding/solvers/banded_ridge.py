"""Banded ridge: several feature spaces in one fit, each with its own penalty, per electrode.

For feature spaces b with standardised features Z_b the weights are
argmin_w ‖y − Σ_b Z_b w_b‖² + Σ_b α_b ‖w_b‖², α_b = α/γ_b, with shares γ on the simplex (Σγ_b = 1).
Scaling the columns of space b by √γ_b makes it ridge regression with the penalty α. Shares are
drawn at random (a Dirichlet distribution, himalaya's sampler and its concentrations); each draw and
each α is scored on the inner folds, and every electrode takes its own best.

The search is himalaya's `solve_group_ridge_random_search` (Dupré la Tour et al., NeuroImage 264
(2022), 119728; Nunez-Elizalde, Huth & Gallant, NeuroImage 197 (2019), 482–492), with the engine's
block statistics in the place of a decomposition of the rows for each draw and inner fold: a draw
rescales a training set's Gram matrix (or adds up the spaces' kernels where features outnumber
samples), which no longer depends on the number of samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from highgamma.encoding.compute import CPU, Compute
from highgamma.encoding.fits import NestedFit, empty_fit
from highgamma.encoding.solvers.ridge import (
    InnerScores,
    best_penalties,
    fold_sums_of_weights,
    inner_plan,
    inner_sums,
    is_wide,
    training_kernels,
)
from highgamma.encoding.splits import BoolArray, FloatArray, IntArray, Split
from highgamma.encoding.statistics import (
    BlockStatistics,
    Design,
    Real,
    Standardised,
    block_statistics,
    standardised,
)

CONCENTRATIONS = (0.1, 1.0)
SHARE = "share"
"""What `NestedFit.chosen` calls the shares γ, (K, B, t)."""


def band_alpha(fit: NestedFit) -> FloatArray:
    """Return the penalty (K, B, t) of each space, α/γ; infinite where a space's share is 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(fit.alpha[:, None] / fit.chosen[SHARE])


@dataclass(frozen=True, slots=True)
class _Columns:
    """Some columns of another design."""

    design: Design
    columns: BoolArray

    @property
    def shape(self) -> tuple[int, int]:
        return self.design.shape[0], int(self.columns.sum())

    def rows(self, index: IntArray, dtype: Any = np.float64) -> Real:
        return self.design.rows(index, dtype)[:, self.columns]


def band_of_columns(widths: Sequence[int], *, copies: int = 1) -> IntArray:
    """Return the feature space of each column (p,): all spaces, repeated for every delay."""
    return np.tile(np.repeat(np.arange(len(widths)), widths), copies).astype(np.int64)


def drawn_shares(bands: int, *, draws: int, seed: int) -> FloatArray:
    """Draw shares γ (draws, bands): equal ones, then half each of Dirichlet(0.1) and (1).

    Parameters
    ----------
    bands
        Number of feature spaces.
    draws
        Number of draws.
    seed
        Seed of the draws.
    """
    if bands == 1:
        return np.ones((1, 1))
    # himalaya's draws (`generate_dirichlet_samples`): its generator, concentrations in turn.
    generator = np.random.RandomState(seed % 2**32)
    each = -(-draws // len(CONCENTRATIONS))
    drawn = [generator.dirichlet([c] * bands, each) for c in CONCENTRATIONS]
    shares = np.stack(drawn, axis=1).reshape(-1, bands)[:draws]
    shares[0] = 1.0 / bands
    return shares


def nested_banded(
    design: Design,
    targets: FloatArray,
    split: Split,
    *,
    band: IntArray,
    shares: FloatArray,
    alphas: Sequence[float],
    standardize: bool = True,
    statistics: BlockStatistics | None = None,
    compute: Compute = CPU,
) -> NestedFit:
    """Fit banded ridge by nested cross-validation, with shares and penalty per target and fold.

    Parameters
    ----------
    design
        n samples of p features; finite.
    targets
        (n, t), finite.
    split
        Outer and inner folds.
    band
        (p,) number of every feature's space (`band_of_columns`).
    shares
        (g, B) divisions of the penalty to choose from (`drawn_shares`).
    alphas
        (a,) penalties above 0; each is tried with each division.
    standardize
        Divide features by their SD over the training set; they are always centred.
    statistics
        The data's block statistics where they are at hand (primal form).
    compute
        Where the heavy operations run.
    """
    grid = np.asarray(alphas, dtype=np.float64)
    if is_wide(design.shape, split):
        best, score = _choose_dual(
            design, targets, split, band=band, shares=shares, grid=grid, standardize=standardize,
            compute=compute,
        )  # fmt: skip
    else:
        if statistics is None:
            statistics = block_statistics(design, targets, split, compute=compute)
        best, score = _choose_primal(
            statistics, band=band, shares=shares, grid=grid, standardize=standardize
        )
    draw, penalty = np.divmod(best, len(grid))
    fit = refit_banded(
        design,
        targets,
        split,
        band=band,
        alpha=grid[penalty],
        share=np.moveaxis(shares[draw], -1, 1),
        standardize=standardize,
        statistics=statistics,
        compute=compute,
    )
    fit.inner_score = score
    return fit


def refit_banded(
    design: Design,
    targets: FloatArray,
    split: Split,
    *,
    band: IntArray,
    alpha: FloatArray,
    share: FloatArray,
    standardize: bool = True,
    statistics: BlockStatistics | None = None,
    compute: Compute = CPU,
) -> NestedFit:
    """Fit and predict every outer fold with α (K, t) and shares (K, B, t) already chosen.

    Parameters
    ----------
    design, targets, split
        Features (n, p), targets (n, t), and the folds.
    band
        (p,) number of the feature space of each column.
    alpha, share
        (K, t) penalties and (K, B, t) shares.
    standardize
        Whether features are divided by their standard deviation.
    statistics
        The blocks' moments, if they are known (primal form).
    compute
        Where the expensive operations run.
    """
    n, t = targets.shape
    fit = empty_fit(n, len(split.folds), t)
    fit.alpha, fit.chosen = alpha, {SHARE: share}
    fit.n_nonzero[:] = design.shape[1]
    fit.parts = parts = np.full((share.shape[1], n, t), np.nan)
    if is_wide(design.shape, split):
        _predict_dual(
            fit, design, targets, split, parts=parts, band=band, standardize=standardize,
            compute=compute,
        )  # fmt: skip
    else:
        if statistics is None:
            statistics = block_statistics(design, targets, split, compute=compute)
        _predict_primal(fit, statistics, parts=parts, band=band, standardize=standardize)
    fit.prediction = parts.sum(axis=0) + fit.training_mean[split.block]
    return fit


def _predict_primal(
    fit: NestedFit,
    statistics: BlockStatistics,
    *,
    parts: FloatArray,
    band: IntArray,
    standardize: bool,
) -> None:
    """Fill in training means and the spaces' parts (B, n, t), fold by fold."""
    split, alpha, share = statistics.split, fit.alpha, fit.chosen[SHARE]
    for i, fold in enumerate(split.folds):
        model = standardised(statistics, statistics.training([i]), standardize=standardize)
        weights = _solve_shares(statistics.compute, model, band, alpha[i], share[i])
        fit.training_mean[i] = model.y_mean + statistics.y_origin
        for start in range(0, len(fold.test), 4096):
            rows = fold.test[start : start + 4096]
            X = statistics.centred_rows(rows) - model.mean
            for b, part in enumerate(parts):
                part[rows] = X[:, band == b] @ weights[band == b]


def _groups(share: FloatArray) -> list[tuple[FloatArray, IntArray]]:
    """Distinct shares (B,) among the columns of (B, m), and the columns that have them."""
    distinct, number = np.unique(share.T, axis=0, return_inverse=True)
    return [(row, np.flatnonzero(number.ravel() == k)) for k, row in enumerate(distinct)]


def _solve_shares(
    compute: Compute, model: Standardised, band: IntArray, alpha: FloatArray, share: FloatArray
) -> Real:
    """Weights (p, t) in raw feature units, for each target's α (t,) and shares (B, t)."""
    weights = np.empty(model.cross.shape, dtype=model.cross.dtype)
    for target_share, columns in _groups(share):
        root = np.sqrt(target_share)[band].astype(model.gram.dtype)
        gram = model.gram * root * root[:, None]
        solved = compute.solve_each(gram, model.cross[:, columns] * root[:, None], alpha[columns])
        weights[:, columns] = solved * (root * model.scale)[:, None]
    return weights


# ------------------------------------------------------------------ the search


def _choose_primal(
    statistics: BlockStatistics,
    *,
    band: IntArray,
    shares: FloatArray,
    grid: FloatArray,
    standardize: bool,
) -> tuple[IntArray, FloatArray]:
    """Number of the best (share, penalty), share by share, and its inner skill, (K, t) each."""
    split = statistics.split
    folds, t = len(split.folds), statistics.targets.shape[1]
    penalties = len(shares) * len(grid)
    scores = {i: InnerScores(np.zeros((penalties, t)), np.zeros(t)) for i in range(folds)}
    factors: dict[int, Real | None] = {}
    for left_out, served in inner_plan(split, range(folds)).items():
        training = statistics.training(left_out)
        if not training.n:
            continue
        model = standardised(statistics, training, standardize=standardize)
        for number, share in enumerate(shares):
            root = np.sqrt(share)[band].astype(model.gram.dtype)
            gram = model.gram * root * root[:, None]
            weights = statistics.compute.solve_path(
                gram, model.cross * root[:, None], grid.tolist()
            )
            weights *= (root * model.scale)[:, None]
            for i, group in served:
                sums = inner_sums(statistics, factors, i, group, model, weights)
                if sums is not None:
                    candidates = slice(number * len(grid), (number + 1) * len(grid))
                    scores[i].sse[candidates] += sums[0]
                    scores[i].sst += sums[1] if number == 0 else 0.0
    return best_penalties(scores, folds, t)


def _choose_dual(
    design: Design,
    targets: FloatArray,
    split: Split,
    *,
    band: IntArray,
    shares: FloatArray,
    grid: FloatArray,
    standardize: bool,
    compute: Compute,
) -> tuple[IntArray, FloatArray]:
    """As `_choose_primal`, from the spaces' kernels."""
    folds, t = len(split.folds), targets.shape[1]
    penalties = len(shares) * len(grid)
    scores = {i: InnerScores(np.zeros((penalties, t)), np.zeros(t)) for i in range(folds)}
    for left_out, served in inner_plan(split, range(folds)).items():
        mask = np.ones(len(targets), dtype=np.bool_)
        for block in left_out:
            mask &= split.folds[block].train
        if not mask.any():
            continue
        kernels = _kernels(design, mask, band, standardize)
        for number, share in enumerate(shares):
            kernel = np.tensordot(share, kernels, 1)
            model = compute.dual_model(kernel, np.flatnonzero(mask), targets)
            for i, group in served:
                rows = np.flatnonzero(
                    np.isin(split.block, np.asarray(group)) & split.folds[i].train
                )
                if not len(rows):
                    continue
                predicted = model.predict(kernel[np.ix_(rows, model.train)], grid)
                observed = targets[rows] - model.y_mean
                candidates = slice(number * len(grid), (number + 1) * len(grid))
                scores[i].sse[candidates] += ((observed - predicted) ** 2).sum(axis=1)
                scores[i].sst += (observed**2).sum(axis=0) if number == 0 else 0.0
    return best_penalties(scores, folds, t)


def _kernels(design: Design, mask: BoolArray, band: IntArray, standardize: bool) -> FloatArray:
    """The spaces' kernels (B, n, n) of all samples, centred and scaled by a training mask."""
    return np.stack(
        [
            training_kernels(_Columns(design, band == b), [mask], standardize=standardize)[0]
            for b in range(int(band.max()) + 1)
        ]
    )


def _predict_dual(
    fit: NestedFit,
    design: Design,
    targets: FloatArray,
    split: Split,
    *,
    parts: FloatArray,
    band: IntArray,
    standardize: bool,
    compute: Compute,
) -> None:
    for i, fold in enumerate(split.folds):
        kernels = _kernels(design, fold.train, band, standardize)
        train = np.flatnonzero(fold.train)
        fit.training_mean[i] = targets[train].mean(axis=0)
        for share, columns in _groups(fit.chosen[SHARE][i]):
            model = compute.dual_model(np.tensordot(share, kernels, 1), train, targets[:, columns])
            for part, space_share, kernel in zip(parts, share, kernels, strict=True):
                rows = space_share * kernel[np.ix_(fold.test, train)]
                part[np.ix_(fold.test, columns)] = model.predict_each(rows, fit.alpha[i, columns])


# ------------------------------------------------------------------ what surrogates need


def kept_sums(
    statistics: BlockStatistics, fit: NestedFit, target: int, *, band: IntArray, standardize: bool
) -> FloatArray:
    """Return the sums (5, K, m) of surrogates of one target, its penalties kept, primal form.

    `statistics` are those of the surrogates' targets (n, m).
    """
    folds, m = len(statistics.split.folds), statistics.targets.shape[1]
    sums = np.zeros((5, folds, m))
    for i in range(folds):
        model = standardised(statistics, statistics.training([i]), standardize=standardize)
        weights = _solve_shares(
            statistics.compute,
            model,
            band,
            np.full(m, fit.alpha[i, target]),
            np.repeat(fit.chosen[SHARE][i, :, target, None], m, axis=1),
        )
        sums[:, i] = fold_sums_of_weights(statistics, i, model, weights)
    return sums


def banded_hat_rows(
    design: Design,
    split: Split,
    fold: int,
    fit: NestedFit,
    *,
    band: IntArray,
    standardize: bool,
    compute: Compute = CPU,
) -> list[FloatArray]:
    """Return for every target the map H (n_test, n) with ŷ − ȳ = H y, see `ridge.hat_rows`.

    Targets of the same shares and penalty have the same map, one array.

    Parameters
    ----------
    design, split
        Features (n, p) and the folds.
    fold
        Number of the outer fold.
    fit
        The fit whose penalties and shares are used.
    band
        (p,) number of the feature space of each column.
    standardize
        Whether features are divided by their standard deviation.
    compute
        Where the expensive operations run.
    """
    kernels = _kernels(design, split.folds[fold].train, band, standardize)
    train, test = np.flatnonzero(split.folds[fold].train), split.folds[fold].test
    alpha = fit.alpha[fold]
    maps: list[FloatArray] = [np.empty((0, 0))] * len(alpha)
    for share, targets in _groups(fit.chosen[SHARE][fold]):
        by_penalty = compute.kernel_maps(
            np.tensordot(share, kernels, 1), train, test, alpha[targets]
        )
        for target in targets.tolist():
            maps[target] = by_penalty[float(alpha[target])]
    return maps


# ------------------------------------------------------------------ shares of the joint score


def skill_shares(
    parts: FloatArray, training_mean: FloatArray, targets: FloatArray, split: Split
) -> FloatArray:
    """Return the product measure (B, t): each space's part of the joint held-out skill.

    The parts sum to the skill. Each is Σŷ_b(2Δy − Δŷ)/ΣΔy² with Δŷ = Σ_b ŷ_b (Hoffman 1960;
    `himalaya.scoring.r2_score_split`). A space whose part opposes the others' can be negative. NaN
    if the target is constant.

    Parameters
    ----------
    parts
        (B, n, t) prediction from each space, without the training mean.
    training_mean
        (K, t) mean of each fold's training targets.
    targets
        (n, t) measured values.
    split
        The folds.
    """
    y = targets - training_mean[split.block]
    total = (y * y).sum(axis=0)
    products = np.einsum("bnt,nt->bt", parts, 2 * y - parts.sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(np.ptp(targets, axis=0) > 0, products / total, np.nan))


def r_shares(
    parts: FloatArray, training_mean: FloatArray, targets: FloatArray, split: Split
) -> FloatArray:
    """Return the correlation split (B, t): each space's part of the joint pooled r.

    The parts sum to r. Each is cov(Δy, ŷ_b)/(SD(Δy) SD(Δŷ))
    (`himalaya.scoring.correlation_score_split`); NaN if the target or the joint prediction is
    constant.

    Parameters
    ----------
    parts
        (B, n, t) prediction from each space, without the training mean.
    training_mean
        (K, t) mean of each fold's training targets.
    targets
        (n, t) measured values.
    split
        The folds.
    """
    y = targets - training_mean[split.block]
    y = y - y.mean(axis=0)
    centred = parts - parts.mean(axis=1, keepdims=True)
    joint = centred.sum(axis=0)
    spread = np.sqrt((y * y).sum(axis=0) * (joint * joint).sum(axis=0))
    defined = (np.ptp(targets, axis=0) > 0) & (np.ptp(joint, axis=0) > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.einsum("bnt,nt->bt", centred, y) / spread
    return np.asarray(np.where(defined, shares, np.nan))
