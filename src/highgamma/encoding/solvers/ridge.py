"""Ridge regression with its penalty chosen per electrode on inner folds, from block statistics.

For a training set of n samples with standardised features Z and centred targets y each electrode's
weights are argmin_w ‖y − Zw‖² + α‖w‖² (α as in `sklearn.linear_model.Ridge`, a sum of squares,
after standardisation), i.e. (ZᵀZ + αI) w = Zᵀy.

Primal form (features ≤ samples): ZᵀZ comes from sums of blocks. It is brought to tridiagonal form
once, QᵀZᵀZQ = T; every penalty is then a tridiagonal system, and no eigenvectors are needed. The
score of every penalty comes from the held-out block's moments without a prediction: with R the
Cholesky factor of the block's Gram matrix, Σŷ² needs only ‖Rᵀw‖².
Dual form (features > samples): the same from the kernel ZZᵀ, summed over slabs of features.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from highgamma.encoding.compute import CPU, Compute
from highgamma.encoding.fits import NestedFit, empty_fit
from highgamma.encoding.limits import ROTATED_FROM
from highgamma.encoding.solvers.routines import blas, lapack
from highgamma.encoding.splits import FloatArray, IntArray, Split
from highgamma.encoding.statistics import (
    BlockStatistics,
    Design,
    Moments,
    Real,
    Standardised,
    block_statistics,
    feature_scale,
    slabs,
    standardised,
)

COEFFICIENT_LIMIT = 4096
KERNEL_BYTES = 256 * 2**20


@dataclass(slots=True)
class InnerScores:
    """Sums of squared errors of every penalty over the inner folds of one outer fold."""

    sse: FloatArray
    sst: FloatArray

    def add(self, sse: Real, sst: Real) -> None:
        """Add one inner fold: (a, t) of the penalties, (t,) of the training mean."""
        self.sse += sse
        self.sst += sst

    def choose(self) -> tuple[IntArray, FloatArray]:
        """Return the best penalty's index (t,) and its skill 1 − ΣSSE/ΣSST (t,).

        Of equally good penalties the first; where the skill is not defined the last.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            skill = 1.0 - self.sse / self.sst
        undefined = ~np.isfinite(skill).all(axis=0)
        best = np.argmax(np.where(undefined, -np.inf, skill), axis=0)
        best[undefined] = len(skill) - 1
        score = skill[best, np.arange(skill.shape[1])]
        score[undefined] = np.nan
        return best.astype(np.int64), score


def best_penalties(
    scores: Mapping[int, InnerScores], folds: int, t: int
) -> tuple[IntArray, FloatArray]:
    """Return the best penalties (index) and their skills, (K, t) each; 0 and NaN elsewhere."""
    best = np.zeros((folds, t), dtype=np.int64)
    score = np.full((folds, t), np.nan)
    for i, of_fold in scores.items():
        best[i], score[i] = of_fold.choose()
    return best, score


def is_wide(shape: tuple[int, int], split: Split) -> bool:
    """Return whether the dual form is smaller: more features than training samples."""
    return shape[1] > min(int(fold.train.sum()) for fold in split.folds)


def inner_plan(
    split: Split, outer: Iterable[int]
) -> dict[frozenset[int], list[tuple[int, tuple[int, ...]]]]:
    """Return training sets (their left-out blocks) with their (outer fold, tested blocks).

    Outer fold i's inner fold that holds out blocks g trains without {i} ∪ g.
    """
    plan: dict[frozenset[int], list[tuple[int, tuple[int, ...]]]] = {}
    for i in outer:
        for group in split.inner[i]:
            plan.setdefault(frozenset((i, *group)), []).append((i, group))
    return plan


# ---------------------------------------------------------------- primal form


def gram_factor(gram: Real) -> Real | None:
    """Return the lower Cholesky factor, or None if rounding makes the matrix indefinite."""
    (potrf,) = lapack(gram.dtype, "potrf")
    factor, failed = potrf(gram, lower=1, clean=1)
    return None if failed else np.asarray(factor)


def squared_norms(gram: Real, factor: Real | None, weights: Real) -> Real:
    """Return wᵀ gram w for every column (m,), with half the multiplications given a factor."""
    if factor is None:
        return np.asarray(np.einsum("pm,pm->m", weights, gram @ weights))
    (trmm,) = blas(weights.dtype, "trmm")
    product = trmm(1.0, factor, weights, lower=1, trans_a=1)
    return np.asarray(np.einsum("pm,pm->m", product, product))


def held_out_sums(
    test: Moments, squared: Real, model: Standardised, weights: Real
) -> tuple[Real, Real]:
    """Return the squared error (m,) of each column's prediction and of the training mean (t,).

    With ŷ = (x − mean)·w + ȳ, summed over the test rows:
    Σ(ŷ−ȳ)² = wᵀGw − 2 (Σx·w)(mean·w) + n (mean·w)²,
    Σ(y−ȳ)(ŷ−ȳ) = Σyx·w − (mean·w) Σy − ȳ Σx·w + n ȳ (mean·w).

    Parameters
    ----------
    test
        Moments of the test rows.
    squared
        (m,) wᵀGw of each column.
    model
        The training set, centred and scaled.
    weights
        (p, m) weights; m is a multiple of t, target fastest.
    """
    t = len(model.y_mean)
    sums = (test.x @ weights).reshape(-1, t)
    mean = (model.mean @ weights).reshape(-1, t)
    crossed = np.stack(
        [
            np.einsum("pt,pt->t", test.cross, weights[:, start : start + t])
            for start in range(0, weights.shape[1], t)
        ]
    )
    syy = test.yy - 2 * model.y_mean * test.y + test.n * model.y_mean**2
    sff = squared.reshape(-1, t) - 2 * sums * mean + test.n * mean**2
    syf = crossed - mean * test.y - model.y_mean * sums + test.n * model.y_mean * mean
    return syy - 2 * syf + sff, syy


def choose_primal(
    statistics: BlockStatistics, *, alphas: Sequence[float], standardize: bool, outer: Sequence[int]
) -> tuple[IntArray, FloatArray]:
    """Choose each outer fold's best penalty; return its index and inner skill, (K, t) each.

    Parameters
    ----------
    statistics
        The blocks' moments.
    alphas
        Penalties to choose from.
    standardize
        Whether features are divided by their standard deviation.
    outer
        Numbers of the outer folds.
    """
    split = statistics.split
    t = statistics.targets.shape[1]
    scores = {i: InnerScores(np.zeros((len(alphas), t)), np.zeros(t)) for i in outer}
    factors: dict[int, Real | None] = {}
    for left_out, served in inner_plan(split, outer).items():
        training = statistics.training(left_out)
        if not training.n:
            continue
        model = standardised(statistics, training, standardize=standardize)
        basis = None
        if t >= ROTATED_FROM * len(model.gram):
            basis, weights = rotated_path(statistics, model, alphas)
        else:
            weights = statistics.compute.solve_path(model.gram, model.cross, alphas)
            weights *= model.scale[:, None]
        # The training set's Gram matrix is not needed again; it may be as large as all the rest.
        model.gram = np.zeros((0, 0), model.gram.dtype)
        for i, group in served:
            sums = inner_sums(statistics, factors, i, group, model, weights, basis)
            if sums is not None:
                scores[i].add(*sums)
    return best_penalties(scores, len(split.folds), t)


def rotated_path(
    statistics: BlockStatistics, model: Standardised, alphas: Sequence[float]
) -> tuple[Real, Real]:
    """Solve for all penalties in the eigenvectors of a training set, and rotate its mean.

    With gram = V Λ Vᵀ, weights are V (Λ + αI)⁻¹ Vᵀ cross: what is done for each penalty is a
    division, and V is applied to the rows that are predicted, once for all penalties.

    Returns
    -------
    basis : (p, p)
        V in raw feature units; weights are in its coordinates.
    weights : (p, a·t)
        Target fastest, in Fortran order.
    """
    values, vectors = statistics.compute.eigen(model.gram)
    rotated = np.asfortranarray(vectors.T @ model.cross)
    t = rotated.shape[1]
    weights = np.empty((len(values), len(alphas) * t), rotated.dtype, order="F")
    for number, alpha in enumerate(alphas):
        inverse = (1.0 / (values + alpha)).astype(rotated.dtype)
        np.multiply(rotated, inverse[:, None], out=weights[:, number * t : (number + 1) * t])
    basis = vectors * model.scale[:, None]
    model.mean = model.mean @ basis
    return basis, weights


def inner_sums(
    statistics: BlockStatistics,
    factors: dict[int, Real | None],
    i: int,
    group: tuple[int, ...],
    model: Standardised,
    weights: Real,
    basis: Real | None = None,
) -> tuple[Real, Real] | None:
    """Return squared errors (a, t), and of the training mean (t,), in an inner fold of fold i.

    The result is None if the gap leaves no row of the inner fold.

    Parameters
    ----------
    statistics
        The blocks' moments.
    factors
        The blocks' Cholesky factors, kept between calls.
    i
        Number of the outer fold.
    group
        Blocks of the inner fold.
    model
        The training set, centred and scaled.
    weights
        (p, a·t) weights, target fastest, in raw feature units or in the coordinates of `basis`.
    basis
        (p, p) coordinates of the weights and of the model's mean, or None.
    """
    split = statistics.split
    p = statistics.design.shape[1]
    test, factor = statistics.blocks[group[0]], None
    if len(group) > 1:
        test = test.copy()
        for block in group[1:]:
            test.add(statistics.blocks[block])
    elif statistics.repeating is None and basis is None:
        if group[0] not in factors:
            factors[group[0]] = gram_factor(test.gram) if test.n >= p else None
        factor = factors[group[0]]
    inside = np.isin(split.block, np.asarray(group))
    if factor is None and (statistics.repeating is not None or test.n < p // 2):
        squared = squared_predictions(statistics, np.flatnonzero(inside), weights, basis)
    elif basis is not None:
        gram = basis.T @ (test.gram @ basis)
        squared = squared_norms(gram, gram_factor(gram) if test.n >= p else None, weights)
    else:
        squared = squared_norms(test.gram, factor, weights)
    near = np.flatnonzero(inside & ~split.folds[i].train)
    if len(near):
        # Rows within the gap of the outer block are no part of its training folds.
        test = _less(test, statistics, near)
        squared = squared - squared_predictions(statistics, near, weights, basis)
    if not test.n:
        return None
    if basis is not None:
        test = replace(test, x=test.x @ basis, cross=basis.T @ test.cross)
    return held_out_sums(test, squared, model, weights)


def squared_predictions(
    statistics: BlockStatistics, rows: IntArray, weights: Real, basis: Real | None = None
) -> Real:
    """Return Σ(x·w)² (m,) over rows, read in slabs; weights may be in coordinates of a basis."""
    squared = np.zeros(weights.shape[1], weights.dtype)
    for part in slabs(len(rows), sum(weights.shape)):
        features = statistics.centred_rows(rows[part])
        product = (features if basis is None else features @ basis) @ weights
        squared += np.einsum("im,im->m", product, product)
    return squared


def _less(test: Moments, statistics: BlockStatistics, rows: IntArray) -> Moments:
    """The moments of a test set less some rows; its Gram matrix, unused afterwards, is kept."""
    X = statistics.centred_rows(rows)
    Y = statistics.centred_targets(rows)
    return Moments(
        test.n - len(rows),
        test.x - X.sum(axis=0),
        test.y - Y.sum(axis=0),
        test.gram,
        test.cross - X.T @ Y,
        test.yy - np.einsum("it,it->t", Y, Y),
    )


def fit_primal(
    statistics: BlockStatistics, alpha: FloatArray, *, standardize: bool, outer: Sequence[int]
) -> NestedFit:
    """Fit each outer fold with given penalties (K, t) and predict its held-out rows."""
    n, p = statistics.design.shape
    t = statistics.targets.shape[1]
    fit = empty_fit(n, len(statistics.split.folds), t)
    fit.alpha = alpha
    total = np.zeros((p, t)) if p <= COEFFICIENT_LIMIT else None
    for i in outer:
        model = standardised(statistics, statistics.training([i]), standardize=standardize)
        weights = statistics.compute.solve_each(model.gram, model.cross, alpha[i])
        weights = weights * model.scale[:, None]
        test = statistics.split.folds[i].test
        fit.training_mean[i] = model.y_mean + statistics.y_origin
        fit.n_nonzero[i] = np.count_nonzero(weights, axis=0)
        for start in range(0, len(test), 4096):
            part = test[start : start + 4096]
            X = statistics.centred_rows(part) - model.mean
            fit.prediction[part] = X @ weights + fit.training_mean[i]
        if total is not None:
            total += weights
    fit.coefficients = None if total is None else total / max(1, len(outer))
    return fit


def held_out_fold_sums(
    statistics: BlockStatistics, alpha: FloatArray, *, standardize: bool, outer: Sequence[int]
) -> FloatArray:
    """Return the sums (5, K, t) of `scores.FoldSums` without computing predictions."""
    sums = np.zeros((5, *alpha.shape))
    for i in outer:
        model = standardised(statistics, statistics.training([i]), standardize=standardize)
        weights = statistics.compute.solve_each(model.gram, model.cross, alpha[i])
        weights = weights * model.scale[:, None]
        sums[:, i] = fold_sums_of_weights(statistics, i, model, weights)
    return sums


def fold_sums_of_weights(
    statistics: BlockStatistics, i: int, model: Standardised, weights: Real
) -> FloatArray:
    """Return one fit's sums (5, t) over the held-out rows of fold i: sy, sf, syy, sff, syf."""
    test = statistics.blocks[i]
    mean, y_mean = model.mean @ weights, model.y_mean
    sf = test.x @ weights - test.n * mean
    # Sums of (x − mean)·w squared, and times y − ȳ.
    if statistics.repeating is None:
        squared = np.einsum("pm,pm->m", weights, test.gram @ weights)
    else:
        squared = squared_predictions(statistics, statistics.split.folds[i].test, weights)
    sff = squared - 2 * mean * (test.x @ weights) + test.n * mean**2
    syf = np.einsum("pm,pm->m", test.cross, weights) - mean * test.y - y_mean * sf
    return np.stack(
        [
            test.y - test.n * y_mean,
            sf,
            test.yy - 2 * y_mean * test.y + test.n * y_mean**2,
            np.maximum(sff, 0),
            syf,
        ]
    )


# ------------------------------------------------------------------ dual form


def training_kernels(
    design: Design, masks: Sequence[Any], *, standardize: bool, feature_slab: int = 8192
) -> FloatArray:
    """Return the kernels (k, n, n) of all samples, centred and scaled by each training mask.

    kernel[s] = ZZᵀ with z = (x − mean_s)·scale_s over the features, summed over slabs of features.

    Parameters
    ----------
    design
        Features (n, p).
    masks
        (k, n) training masks.
    standardize
        Whether features are divided by their standard deviation.
    feature_slab
        Number of features that are read at a time.
    """
    n, p = design.shape
    everyone = np.arange(n, dtype=np.int64)
    X = design.rows(everyone)
    origin = X.mean(axis=0)
    X -= origin
    kernels = np.zeros((len(masks), n, n))
    if not standardize:
        raw = X @ X.T
        for kernel, mask in zip(kernels, masks, strict=True):
            to_mean = raw[:, mask].mean(axis=1)
            kernel[:] = raw - to_mean - to_mean[:, None] + to_mean[mask].mean()
        return kernels
    for start in range(0, p, feature_slab):
        part = X[:, start : start + feature_slab]
        square = part**2
        mean_square = square.mean(axis=0)
        sums, squares = part.sum(axis=0), square.sum(axis=0)
        for kernel, mask in zip(kernels, masks, strict=True):
            m = int(mask.sum())
            mean = (sums - part[~mask].sum(axis=0)) / m
            variance = (squares - square[~mask].sum(axis=0)) / m - mean**2
            scale = feature_scale(
                np.maximum(variance, 0),
                mean_square,
                origin[start : start + feature_slab],
                standardize=True,
            )
            Z = (part - mean) * scale
            kernel += Z @ Z.T
    return kernels


def choose_dual(
    design: Design,
    targets: FloatArray,
    split: Split,
    *,
    alphas: Sequence[float],
    standardize: bool,
    outer: Sequence[int],
    compute: Compute = CPU,
) -> tuple[IntArray, FloatArray]:
    """Choose penalties as `choose_primal` does, from kernels."""
    n, t = targets.shape
    grid = np.asarray(alphas, dtype=np.float64)
    scores = {i: InnerScores(np.zeros((len(grid), t)), np.zeros(t)) for i in outer}
    plan = list(inner_plan(split, outer).items())
    batch = max(1, KERNEL_BYTES // (8 * n * n))
    for start in range(0, len(plan), batch):
        part = plan[start : start + batch]
        masks = []
        for left_out, _ in part:
            mask = np.ones(n, dtype=np.bool_)
            for block in left_out:
                mask &= split.folds[block].train
            masks.append(mask)
        usable = [number for number, mask in enumerate(masks) if mask.any()]
        kernels = training_kernels(
            design, [masks[number] for number in usable], standardize=standardize
        )
        for kernel, number in zip(kernels, usable, strict=True):
            model = compute.dual_model(kernel, np.flatnonzero(masks[number]), targets)
            tested = {
                i: np.flatnonzero(np.isin(split.block, np.asarray(group)) & split.folds[i].train)
                for i, group in part[number][1]
            }
            # The outer folds that share this training set mostly test the same rows.
            everyone = np.unique(np.concatenate(list(tested.values())))
            if not len(everyone):
                continue
            predicted = model.predict(kernel[np.ix_(everyone, model.train)], grid)
            observed = targets[everyone] - model.y_mean
            errors = (observed - predicted) ** 2
            for i, rows in tested.items():
                at = np.searchsorted(everyone, rows)
                scores[i].add(errors[:, at].sum(axis=1), (observed[at] ** 2).sum(axis=0))
    return best_penalties(scores, len(split.folds), t)


def fit_dual(
    design: Design,
    targets: FloatArray,
    split: Split,
    alpha: FloatArray,
    *,
    standardize: bool,
    outer: Sequence[int],
    compute: Compute = CPU,
) -> NestedFit:
    """Fit as `fit_primal` does, from kernels."""
    n, t = targets.shape
    fit = empty_fit(n, len(split.folds), t)
    fit.alpha = alpha
    p = design.shape[1]
    for i in outer:
        fold = split.folds[i]
        kernel = training_kernels(design, [fold.train], standardize=standardize)[0]
        model = compute.dual_model(kernel, np.flatnonzero(fold.train), targets)
        fit.training_mean[i] = model.y_mean
        fit.prediction[fold.test] = model.y_mean + model.predict_each(
            kernel[np.ix_(fold.test, model.train)], alpha[i]
        )
        fit.n_nonzero[i] = p
    return fit


def hat_rows(
    design: Design,
    split: Split,
    fold: int,
    alpha: FloatArray,
    *,
    standardize: bool,
    compute: Compute = CPU,
) -> dict[float, FloatArray]:
    """Return for each distinct penalty of a fold the map H (n_test, n) with ŷ − ȳ = H y.

    Columns of samples outside the training set are 0. H does not depend on y, so that it gives the
    predictions of every permuted y as well.

    Parameters
    ----------
    design, split
        Features (n, p) and the folds.
    fold
        Number of the outer fold.
    alpha
        (t,) penalties.
    standardize
        Whether features are divided by their standard deviation.
    compute
        Where the expensive operations run.
    """
    train = np.flatnonzero(split.folds[fold].train)
    test = split.folds[fold].test
    kernel = training_kernels(design, [split.folds[fold].train], standardize=standardize)[0]
    return compute.kernel_maps(kernel, train, test, alpha)


# ------------------------------------------------------------------ the two together


def nested_ridge(
    design: Design,
    targets: FloatArray,
    split: Split,
    *,
    alphas: Sequence[float],
    standardize: bool = True,
    statistics: BlockStatistics | None = None,
    dtype: Any = np.float64,
    outer: Sequence[int] | None = None,
    compute: Compute = CPU,
) -> NestedFit:
    """Fit ridge regression by nested cross-validation, one penalty per target and outer fold.

    Parameters
    ----------
    design
        n samples of p features; finite.
    targets
        (n, t), finite.
    split
        Outer and inner folds.
    alphas
        (a,) penalties above 0, in the unit of a sum of squares over the training samples.
    standardize
        Divide features by their SD over the training set; they are always centred.
    statistics
        The data's block statistics where they are at hand already (primal form).
    outer
        Only these outer folds.
    compute
        Where the heavy operations run.
    """
    chosen = range(len(split.folds)) if outer is None else outer
    grid = np.asarray(alphas, dtype=np.float64)
    if statistics is None and is_wide(design.shape, split):
        best, score = choose_dual(
            design,
            targets,
            split,
            alphas=alphas,
            standardize=standardize,
            outer=chosen,
            compute=compute,
        )
        fit = fit_dual(
            design,
            targets,
            split,
            grid[best],
            standardize=standardize,
            outer=chosen,
            compute=compute,
        )
    else:
        if statistics is None:
            statistics = block_statistics(design, targets, split, dtype=dtype, compute=compute)
        best, score = choose_primal(
            statistics, alphas=alphas, standardize=standardize, outer=chosen
        )
        fit = fit_primal(statistics, grid[best], standardize=standardize, outer=chosen)
    fit.inner_score = score
    return fit


def refit_ridge(
    design: Design,
    targets: FloatArray,
    split: Split,
    alpha: FloatArray,
    *,
    standardize: bool = True,
    dtype: Any = np.float64,
    outer: Sequence[int] | None = None,
    compute: Compute = CPU,
) -> NestedFit:
    """Fit and predict every outer fold with penalties (K, t) that are already chosen.

    Parameters
    ----------
    design, targets, split
        Features (n, p), targets (n, t), and the folds.
    alpha
        (K, t) penalties.
    standardize
        Whether features are divided by their standard deviation.
    dtype
        Precision of the moments (primal form).
    outer
        Numbers of the outer folds to fit; None for all.
    compute
        Where the expensive operations run.
    """
    chosen = range(len(split.folds)) if outer is None else outer
    if is_wide(design.shape, split):
        return fit_dual(
            design,
            targets,
            split,
            alpha,
            standardize=standardize,
            outer=chosen,
            compute=compute,
        )
    statistics = block_statistics(design, targets, split, dtype=dtype, compute=compute)
    return fit_primal(statistics, alpha, standardize=standardize, outer=chosen)
