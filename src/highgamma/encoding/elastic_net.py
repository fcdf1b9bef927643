"""Elastic net from Gram matrices, in scikit-learn's units.

For a training set of n samples with centred features Z (scaled to unit SD only on demand) and
centred targets y: argmin_w ‖y − Zw‖²/(2n) + α·l1_ratio·‖w‖₁ + α·(1 − l1_ratio)/2·‖w‖².

At the optimum w = 0 exactly where max|Zᵀy|/n ≤ α·l1_ratio; those electrodes are intercept-only and
never reach the solver. For the others all electrodes and penalties of a training set, which share
its Gram matrix, are brought near their minima together by operator splitting (ADMM); Newton's
method on the active set then ends at each exact minimum, in a step or two. What it leaves over goes
to scikit-learn's coordinate descent.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from highgamma.encoding.ridge import InnerScores, NestedFit, empty_fit, held_out_sums, inner_plan
from highgamma.encoding.routines import lapack
from highgamma.encoding.splits import BoolArray, FloatArray, Split
from highgamma.encoding.statistics import (
    BlockStatistics,
    Design,
    Standardised,
    block_statistics,
    feature_scale,
    standardised,
)

TOLERANCE = 1e-12
MAX_SWEEPS = 20_000
# Further steps only for the fits that Newton's method did not finish.
SPLITTING_STEPS = (80, 400, 2000)
NEWTON_STEPS = 12
# What stays in the cache; fewer columns would not pay for a step's matrix.
BATCH_BYTES, LEAST_BATCH = 2**19, 256

logger = logging.getLogger("highgamma")


def solve_elastic_net(
    model: Standardised, alphas: FloatArray, *, l1_ratio: float, tolerance: float = TOLERANCE
) -> FloatArray:
    """Weights (p, a, t) of every penalty (a,), any order, or of each target's own (1, t).

    The tolerance is the duality gap relative to Σ(y − ȳ)².
    """
    p, t = model.cross.shape
    per_target = np.broadcast_to(alphas[:, None] if alphas.ndim == 1 else alphas, (len(alphas), t))
    weights = np.zeros((p, len(per_target), t))
    varying = np.flatnonzero(model.scale > 0)
    if not len(varying):
        return weights
    cross = np.asarray(model.cross[varying], dtype=np.float64)
    strongest = np.abs(cross).max(axis=0) / model.n
    number, target = np.nonzero(per_target * l1_ratio < strongest)
    if not len(number):
        return weights
    gram = np.ascontiguousarray(model.gram[np.ix_(varying, varying)], dtype=np.float64)
    l1 = per_target[number, target] * l1_ratio * model.n
    l2 = per_target[number, target] * (1 - l1_ratio) * model.n
    inverse, rho = _splitting(gram)
    unfinished = 0
    batch = max(LEAST_BATCH, BATCH_BYTES // (16 * len(varying)))
    for start in range(0, len(number), batch):
        left = np.arange(start, min(start + batch, len(number)))
        for steps in SPLITTING_STEPS:
            mine = cross[:, target[left]]
            starts = _approximate(inverse, rho, mine, l1[left], l2[left], steps=steps)
            exact, found = _newton(gram, mine, l1[left], l2[left], starts)
            weights[varying[:, None], number[left[found]], target[left[found]]] = exact[:, found]
            left, starts = left[~found], starts[:, ~found]
            if not len(left):
                break
        for column, one in enumerate(left.tolist()):
            solved, converged = _descend(
                gram,
                np.ascontiguousarray(cross[:, target[one]]),
                float(model.yy[target[one]]),
                float(l1[one] + l2[one]),
                l1_ratio,
                np.ascontiguousarray(starts[:, column]),
                tolerance,
            )
            unfinished += not converged
            weights[varying, number[one], target[one]] = solved
    if unfinished:
        logger.info("elastic net: %d fits stopped at the last sweep", unfinished)
    return weights


def _splitting(gram: FloatArray) -> tuple[FloatArray, float]:
    """(G + ρI)⁻¹ and ρ, the Gram matrix's median positive eigenvalue."""
    values, vectors = np.linalg.eigh(gram)
    positive = values[values > 1e-10 * values[-1]]
    rho = float(np.median(positive)) if len(positive) else 1.0
    return (vectors / (np.maximum(values, 0) + rho)) @ vectors.T, rho


def _approximate(
    inverse: FloatArray,
    rho: float,
    cross: FloatArray,
    l1: FloatArray,
    l2: FloatArray,
    *,
    steps: int,
) -> FloatArray:
    """Approximate minima (p, m) for all columns of cross (p, m) at once, by splitting (ADMM).

    Boyd et al. (2011), section 6.4: w = (G + ρI)⁻¹(c + ρ(z − u)), z = the penalty's proximal map
    of w + u, u += w − z, over-relaxed by 1.6. In single precision, which will do for a start, and
    in memory that is used again.
    """
    relaxed = np.asarray(1.6 * rho * inverse, dtype=np.float32)
    fixed = np.asarray(1.6 * inverse @ cross, dtype=np.float32)
    threshold = np.asarray(l1 / rho, dtype=np.float32)
    shrink = np.asarray(1.0 / (1.0 + l2 / rho), dtype=np.float32)
    z, u = np.zeros_like(fixed), np.zeros_like(fixed)
    difference, step = np.empty_like(fixed), np.empty_like(fixed)
    for _ in range(steps):
        np.subtract(z, u, out=difference)
        np.matmul(relaxed, difference, out=step)
        step += fixed
        z *= np.float32(0.6)
        step -= z
        u += step
        # Soft threshold as the input less its clipped part.
        np.clip(u, -threshold, threshold, out=step)
        np.subtract(u, step, out=z)
        z *= shrink
        u -= z
    return z.astype(np.float64)


def _descend(
    gram: FloatArray,
    cross: FloatArray,
    yy: float,
    penalty: float,
    l1_ratio: float,
    start: FloatArray,
    tolerance: float,
) -> tuple[FloatArray, bool]:
    """Coordinate descent from a start, and whether it reached the tolerance."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import enet_path

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        # With a Gram matrix the solver reads of X and y no more than the number of rows and Σy²;
        # one row with α·n is the same problem as n rows with α.
        _, path, _ = enet_path(
            np.zeros((1, len(gram)), order="F"),
            np.array([np.sqrt(yy)]),
            l1_ratio=l1_ratio,
            alphas=[penalty],
            precompute=gram,
            Xy=cross,
            coef_init=start,
            check_input=False,
            tol=tolerance,
            max_iter=MAX_SWEEPS,
        )
    return path[:, 0], not any(issubclass(w.category, ConvergenceWarning) for w in caught)


def _newton(
    gram: FloatArray, cross: FloatArray, l1: FloatArray, l2: FloatArray, starts: FloatArray
) -> tuple[FloatArray, BoolArray]:
    """Exact minima (p, m) where Newton's method on the active set finds them, and where (m,).

    With z_j = w_j + (c − Gw − λ₂w)_j / τ_j and τ_j = G_jj + λ₂, the active features are those with
    |z_j| > λ₁/τ_j, their signs those of z; then (G_AA + λ₂I) w_A = c_A − λ₁ s_A. A set of features
    and signs that reproduces itself satisfies the optimality conditions.
    """
    potrf, potrs = lapack(gram.dtype, "potrf", "potrs")
    diagonal = np.diagonal(gram)[:, None]
    weights = starts.copy()
    before = np.full(starts.shape, 2, dtype=np.int8)
    found = np.zeros(starts.shape[1], dtype=np.bool_)
    left = np.arange(starts.shape[1])
    for _ in range(NEWTON_STEPS):
        w = weights[:, left]
        z = diagonal * w + cross[:, left] - gram @ w
        signs = (np.sign(z) * (np.abs(z) > l1[left])).astype(np.int8)
        same = (signs == before[:, left]).all(axis=0)
        found[left[same]] = True
        left, signs = left[~same], signs[:, ~same]
        before[:, left] = signs
        solvable = np.ones(len(left), dtype=np.bool_)
        for column, (one, sign) in enumerate(zip(left.tolist(), signs.T, strict=True)):
            weights[:, one] = 0
            (chosen,) = sign.nonzero()
            if not len(chosen):
                continue
            part = gram[chosen[:, None], chosen]
            part.flat[:: len(chosen) + 1] += l2[one]
            factor, failed = potrf(part, lower=1, overwrite_a=1, clean=0)
            if failed:
                solvable[column] = False
                continue
            wanted = cross[chosen, one] - l1[one] * sign[chosen]
            weights[chosen, one] = potrs(factor, wanted, lower=1)[0]
        left = left[solvable]
        if not len(left):
            break
    return weights, found


def _raw(model: Standardised, weights: FloatArray) -> FloatArray:
    """Weights (p, a·t) on unscaled features."""
    return np.asfortranarray((weights * model.scale[:, None, None]).reshape(len(weights), -1))


def _choose(
    statistics: BlockStatistics,
    alphas: FloatArray,
    l1_ratio: float,
    standardize: bool,
    outer: Sequence[int],
) -> tuple[Any, FloatArray]:
    split, t = statistics.split, statistics.targets.shape[1]
    scores = {i: InnerScores(np.zeros((len(alphas), t)), np.zeros(t)) for i in outer}
    for left_out, served in inner_plan(split, outer).items():
        training = statistics.training(left_out)
        if not training.n:
            continue
        model = standardised(statistics, training, standardize=standardize)
        weights = _raw(model, solve_elastic_net(model, alphas, l1_ratio=l1_ratio))
        for i, group in served:
            rows = np.flatnonzero(np.isin(split.block, np.asarray(group)) & split.folds[i].train)
            if not len(rows):
                continue
            test = statistics.of_rows(rows)
            gram = statistics.gram(test, rows)
            squared = np.einsum("pm,pm->m", weights, gram @ weights)
            scores[i].add(*held_out_sums(test, squared, model, weights))
    best = np.zeros((len(split.folds), t), dtype=np.int64)
    score = np.full((len(split.folds), t), np.nan)
    for i in outer:
        best[i], score[i] = scores[i].choose()
    return best, score


def choose_elastic_net(
    design: Design,
    targets: FloatArray,
    split: Split,
    *,
    alphas: Sequence[float],
    l1_ratio: float = 0.5,
    standardize: bool = False,
) -> tuple[FloatArray, FloatArray]:
    """Plain cross-validation: the penalty (t,) of least pooled error, and the weights (p, t).

    What `sklearn.linear_model.ElasticNetCV` does for one target, for all: each outer fold is held
    out once, the final weights are those of all samples.
    """
    statistics = block_statistics(design, targets, split)
    grid = np.asarray(alphas, dtype=np.float64)
    sse = np.zeros((len(grid), targets.shape[1]))
    for i in range(len(split.folds)):
        model = standardised(statistics, statistics.training([i]), standardize=standardize)
        weights = _raw(model, solve_elastic_net(model, grid, l1_ratio=l1_ratio))
        test = statistics.blocks[i]
        gram = statistics.gram(test, split.folds[i].test)
        squared = np.einsum("pm,pm->m", weights, gram @ weights)
        sse += held_out_sums(test, squared, model, weights)[0]
    alpha = grid[np.argmin(sse, axis=0)]
    model = standardised(statistics, statistics.training([]), standardize=standardize)
    return alpha, _raw(model, solve_elastic_net(model, alpha[None], l1_ratio=l1_ratio))


def anything_enters(
    design: Design,
    targets: FloatArray,
    split: Split,
    alpha: FloatArray,
    *,
    l1_ratio: float,
    standardize: bool,
    outer: Iterable[int],
) -> bool:
    """Whether any target of any outer fold has max|Zᵀy|/n > α·l1_ratio, penalties (K, t).

    Takes no Gram matrix, which is what a fit of many features to few words mostly costs.
    """
    X = design.rows(np.arange(len(targets), dtype=np.int64))
    origin, mean_square = X.mean(axis=0), X.var(axis=0)
    for i in outer:
        train = split.folds[i].train
        Z = X[train] - X[train].mean(axis=0)
        Z *= feature_scale(Z.var(axis=0), mean_square, origin, standardize=standardize)
        Y = targets[train] - targets[train].mean(axis=0)
        strongest = np.abs(Z.T @ Y).max(axis=0) / len(Z)
        if (alpha[i] * l1_ratio < strongest).any():
            return True
    return False


def _intercepts(
    design: Design, targets: FloatArray, split: Split, alpha: FloatArray, outer: Iterable[int]
) -> NestedFit:
    fit = empty_fit(len(targets), len(split.folds), targets.shape[1])
    fit.alpha = alpha
    for i in outer:
        fit.training_mean[i] = targets[split.folds[i].train].mean(axis=0)
        fit.prediction[split.folds[i].test] = fit.training_mean[i]
    fit.coefficients = np.zeros((design.shape[1], targets.shape[1]))
    return fit


def refit_elastic_net(
    design: Design,
    targets: FloatArray,
    split: Split,
    alpha: FloatArray,
    *,
    l1_ratio: float = 0.5,
    standardize: bool = False,
    statistics: BlockStatistics | None = None,
    outer: Sequence[int] | None = None,
) -> NestedFit:
    """Fit and predict every outer fold with given penalties (K, t)."""
    chosen = range(len(split.folds)) if outer is None else outer
    if statistics is None:
        if not anything_enters(
            design,
            targets,
            split,
            alpha,
            l1_ratio=l1_ratio,
            standardize=standardize,
            outer=chosen,
        ):
            return _intercepts(design, targets, split, alpha, chosen)
        statistics = block_statistics(design, targets, split)
    fit = empty_fit(*(len(targets), len(split.folds), targets.shape[1]))
    fit.alpha = alpha
    total = np.zeros((design.shape[1], targets.shape[1]))
    for i in chosen:
        model = standardised(statistics, statistics.training([i]), standardize=standardize)
        weights = _raw(model, solve_elastic_net(model, alpha[i][None], l1_ratio=l1_ratio))
        fit.training_mean[i] = model.y_mean + statistics.y_origin
        fit.n_nonzero[i] = np.count_nonzero(weights, axis=0)
        test = split.folds[i].test
        fit.prediction[test] = (
            statistics.centred_rows(test) - model.mean
        ) @ weights + fit.training_mean[i]
        total += weights
    fit.coefficients = total / max(1, len(chosen))
    return fit


def nested_elastic_net(
    design: Design,
    targets: FloatArray,
    split: Split,
    *,
    alphas: Sequence[float],
    l1_ratio: float = 0.5,
    standardize: bool = False,
    inner_scores: bool = True,
    outer: Sequence[int] | None = None,
) -> NestedFit:
    """Nested cross-validation of the elastic net; one penalty means that none is chosen.

    Parameters
    ----------
    design
        n samples of p features; finite.
    targets
        (n, t), finite.
    alphas
        Penalties above 0 in scikit-learn's unit (`sklearn.linear_model.ElasticNet`).
    l1_ratio
        Share of the penalty that is absolute.
    standardize
        Divide features by their SD over the training set.
    inner_scores
        Score a single fixed penalty on the inner folds too, as the choice of a layer needs.
    """
    chosen = range(len(split.folds)) if outer is None else outer
    grid = np.asarray(alphas, dtype=np.float64)
    shape = (len(split.folds), targets.shape[1])
    best, score = np.zeros(shape, dtype=np.int64), np.full(shape, np.nan)
    statistics = None
    if len(grid) > 1 or inner_scores:
        statistics = block_statistics(design, targets, split)
        best, score = _choose(statistics, grid, l1_ratio, standardize, chosen)
    fit = refit_elastic_net(
        design,
        targets,
        split,
        grid[best],
        l1_ratio=l1_ratio,
        standardize=standardize,
        statistics=statistics,
        outer=chosen,
    )
    fit.inner_score = score
    return fit
