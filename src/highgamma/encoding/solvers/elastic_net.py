"""Elastic net from Gram matrices, in scikit-learn's units.

For a training set of n samples with centred features Z (scaled to unit SD only on demand) and
centred targets y: argmin_w ‖y − Zw‖²/(2n) + α·l1_ratio·‖w‖₁ + α·(1 − l1_ratio)/2·‖w‖².

`elastic_net_minimum` finds the minima. Where there are more features than training samples, it
takes the samples themselves, and no Gram matrix is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highgamma.encoding.fits import NestedFit, empty_fit
from highgamma.encoding.solvers.elastic_net_minimum import (
    Gram,
    GramByRows,
    Neighbour,
    Quadratic,
    minimise,
)
from highgamma.encoding.solvers.ridge import (
    InnerScores,
    best_penalties,
    held_out_sums,
    inner_plan,
    is_wide,
)
from highgamma.encoding.splits import FloatArray, Split
from highgamma.encoding.statistics import (
    BlockStatistics,
    Design,
    Real,
    Standardised,
    block_statistics,
    feature_scale,
    standardised,
)


def solve_elastic_net(
    model: Standardised,
    alphas: FloatArray,
    *,
    l1_ratio: float,
    neighbour: Neighbour | None = None,
) -> FloatArray:
    """Return weights (p, a, t) for penalties (a,) in any order, or one per target (1, t).

    A neighbour's solution is started from; this one then takes its place.
    """
    varying = np.flatnonzero(model.scale > 0)
    gram = np.asarray(model.gram, dtype=np.float64)
    if len(varying) < len(gram):
        gram = gram[np.ix_(varying, varying)]
    return _solve(
        Gram(gram),
        model.cross,
        model.yy,
        model.n,
        varying,
        alphas,
        l1_ratio=l1_ratio,
        neighbour=Neighbour() if neighbour is None else neighbour,
    )


def _solve(
    quadratic: Quadratic,
    cross: Real,
    yy: Real,
    n: int,
    varying: NDArray[np.intp],
    alphas: FloatArray,
    *,
    l1_ratio: float,
    neighbour: Neighbour,
) -> FloatArray:
    """Weights (p, a, t); the quadratic form is that of the varying features alone."""
    p, t = cross.shape
    per_target = np.broadcast_to(alphas[:, None] if alphas.ndim == 1 else alphas, (len(alphas), t))
    weights = np.zeros((p, len(per_target), t))
    before, neighbour.weights = neighbour.weights, weights
    if not len(varying):
        return weights
    whole = np.asarray(cross[varying], dtype=np.float64)
    number, target = np.nonzero(per_target * l1_ratio < np.abs(whole).max(axis=0) / n)
    if not len(number):
        return weights
    penalty = per_target[number, target] * n
    place = varying[:, None], number, target
    weights[place] = minimise(
        quadratic,
        whole[:, target],
        penalty * l1_ratio,
        penalty * (1 - l1_ratio),
        l1_ratio=l1_ratio,
        yy=np.asarray(yy, dtype=np.float64)[target],
        starts=None if before is None else before[place],
        neighbour=neighbour,
    )
    return weights


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
    return best_penalties(scores, len(split.folds), t)


def choose_elastic_net(
    design: Design,
    targets: FloatArray,
    split: Split,
    *,
    alphas: Sequence[float],
    l1_ratio: float = 0.5,
    standardize: bool = False,
) -> tuple[FloatArray, FloatArray]:
    """Return the penalty (t,) of least cross-validated error, and the weights (p, t).

    Does for all targets what `sklearn.linear_model.ElasticNetCV` does for one: each outer fold is
    held out once, and the final weights are those of all samples.

    Parameters
    ----------
    design, targets, split
        Features (n, p), targets (n, t), and the folds.
    alphas
        Penalties to choose from.
    l1_ratio
        Share of the L1 penalty, 0 to 1.
    standardize
        Whether features are divided by their standard deviation.
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
    """Fit and predict every outer fold with given penalties (K, t).

    Parameters
    ----------
    design, targets, split
        Features (n, p), targets (n, t), and the folds.
    alpha
        (K, t) penalties.
    l1_ratio
        Share of the L1 penalty, 0 to 1.
    standardize
        Whether features are divided by their standard deviation.
    statistics
        The blocks' moments, if they are known.
    outer
        Numbers of the outer folds to fit; None for all.
    """
    chosen = range(len(split.folds)) if outer is None else outer
    fit = empty_fit(len(targets), len(split.folds), targets.shape[1])
    fit.alpha = alpha
    total = np.zeros((design.shape[1], targets.shape[1]))
    options: dict[str, Any] = {
        "standardize": standardize, "l1_ratio": l1_ratio, "neighbour": Neighbour()
    }  # fmt: skip
    if is_wide(design.shape, split):
        X = design.rows(np.arange(len(targets), dtype=np.int64))
        fold_of = partial(_fold_of_rows, X, targets, X.mean(axis=0), X.var(axis=0))
    else:
        if statistics is None:
            statistics = block_statistics(design, targets, split)
        fold_of = partial(_fold_of_sums, statistics)
    for i in chosen:
        weights, held_out, fit.training_mean[i] = fold_of(split, i, alpha[i], **options)
        fit.n_nonzero[i] = np.count_nonzero(weights, axis=0)
        fit.prediction[split.folds[i].test] = held_out @ weights + fit.training_mean[i]
        total += weights
    fit.coefficients = total / max(1, len(chosen))
    return fit


def _fold_of_sums(
    statistics: BlockStatistics,
    split: Split,
    fold: int,
    alpha: FloatArray,
    *,
    standardize: bool,
    l1_ratio: float,
    neighbour: Neighbour,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weights (p, t), the centred held-out features and the training mean (t,), from sums."""
    model = standardised(statistics, statistics.training([fold]), standardize=standardize)
    solved = solve_elastic_net(model, alpha[None], l1_ratio=l1_ratio, neighbour=neighbour)
    held_out = statistics.centred_rows(split.folds[fold].test) - model.mean
    return _raw(model, solved), held_out, model.y_mean + statistics.y_origin


def _fold_of_rows(
    X: Real,
    targets: FloatArray,
    origin: FloatArray,
    mean_square: FloatArray,
    split: Split,
    fold: int,
    alpha: FloatArray,
    *,
    standardize: bool,
    l1_ratio: float,
    neighbour: Neighbour,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The same from the training set's rows, where they are fewer than the features."""
    train, test = split.folds[fold].train, split.folds[fold].test
    mean, y_mean = X[train].mean(axis=0), targets[train].mean(axis=0)
    Z, Y = X[train] - mean, targets[train] - y_mean
    scale = feature_scale(Z.var(axis=0), mean_square, origin, standardize=standardize)
    Z *= scale
    varying = np.flatnonzero(scale > 0)
    solved = _solve(
        GramByRows(Z if len(varying) == len(scale) else Z[:, varying]),
        Z.T @ Y,
        np.einsum("nt,nt->t", Y, Y),
        len(Z),
        varying,
        alpha[None],
        l1_ratio=l1_ratio,
        neighbour=neighbour,
    )
    return solved[:, 0] * scale[:, None], X[test] - mean, y_mean


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
    """Fit the elastic net by nested cross-validation; a single penalty is not chosen.

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
