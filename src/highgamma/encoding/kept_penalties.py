"""Surrogates of a ridge that keep their penalties, from cross-products of block statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from highgamma.encoding.nulls import BATCH_BYTES
from highgamma.encoding.solvers.ridge import gram_factor
from highgamma.encoding.solvers.routines import lapack
from highgamma.encoding.splits import FloatArray, IntArray
from highgamma.encoding.statistics import BlockStatistics, Moments, Real, feature_scale

INVERSE_BYTES = 512 * 2**20
SINGLE_PRECISION_CONDITION = 1e5


@dataclass(slots=True)
class _FoldSolver:
    """One outer fold's solutions: for a penalty, weights = inverse @ cross (centred, raw units).

    `factor` is a root of the held-out block's Gram matrix, None where its rows are cheaper.
    """

    n_train: int
    mean: FloatArray
    strips: IntArray
    block: Moments
    factor: Real | None
    inverses: dict[float, Real]


def _inverse(gram: FloatArray, scale: FloatArray, alpha: float) -> Real:
    """D(DGD + αI)⁻¹D in float32, or in float64 where single precision could not be trusted."""
    potrf, potri, pocon = lapack(gram.dtype, "potrf", "potri", "pocon")
    matrix = gram * scale * scale[:, None]
    matrix.flat[:: len(matrix) + 1] += alpha
    norm = np.abs(matrix).sum(axis=0).max()
    factor, failed = potrf(matrix, lower=1, clean=1)
    if failed:
        values, vectors = np.linalg.eigh(matrix)
        inverse = (vectors / np.maximum(values, alpha)) @ vectors.T
        reciprocal = 0.0
    else:
        reciprocal, _ = pocon(factor, norm, uplo="L")
        inverse, _ = potri(factor, lower=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
    inverse *= scale * scale[:, None]
    single = reciprocal * SINGLE_PRECISION_CONDITION > 1
    return np.asfortranarray(inverse, dtype=np.float32 if single else np.float64)


def _square_root(gram: FloatArray, *, rounding: float) -> Real:
    """F (p, r) with FFᵀ = gram, to the rounding it was summed with, r its numerical rank.

    Cholesky, and where rounding leaves the matrix indefinite, Cholesky with pivots.
    """
    factor = gram_factor(gram)
    if factor is not None:
        return factor
    (pstrf,) = lapack(gram.dtype, "pstrf")
    tolerance = 8 * rounding * float(np.diagonal(gram).max(initial=0))
    lower, pivots, rank, _ = pstrf(gram, tol=tolerance, lower=1)
    root = np.zeros((len(gram), rank))
    root[pivots - 1] = np.tril(lower)[:, :rank]
    return root


def shifted_sums(
    statistics: BlockStatistics,
    alpha: FloatArray,
    surrogates: IntArray,
    *,
    standardize: bool,
    outer: Sequence[int] | None = None,
) -> FloatArray:
    """Return the sums (5, P, K, t) of surrogates, from cross-products with each of them.

    Cross-products are formed in float32, batch by batch, so that memory stays near 1 GiB;
    solutions use float32 only where the system's condition number allows it.

    Parameters
    ----------
    statistics
        Block statistics of the observed data.
    alpha
        (K, t) the penalties chosen on the observed data.
    surrogates
        (P, n) row indices.
    outer
        Only these outer folds; the sums of the others are 0.
    """
    folds, t = alpha.shape
    wanted = range(folds) if outer is None else outer
    p = statistics.design.shape[1]
    count = len(surrogates)
    sums = np.zeros((5, count, folds, t))
    for channels in _channel_groups(alpha, p):
        solvers = {
            i: _fold_solver(statistics, i, alpha[i, channels], standardize=standardize)
            for i in wanted
        }
        X = [
            statistics.centred_rows(fold.test).astype(np.float32, copy=False)
            for fold in statistics.split.folds
        ]
        n_rows = len(statistics.targets)
        per_surrogate = 4 * len(channels) * (n_rows + (folds + 6) * p)
        batch = int(np.clip(BATCH_BYTES // per_surrogate, 1, count))
        Y = np.ascontiguousarray(
            (statistics.targets - statistics.y_origin)[:, channels].T, dtype=np.float32
        )
        X_strips = {
            i: statistics.centred_rows(solver.strips).astype(np.float32, copy=False)
            for i, solver in solvers.items()
        }
        for start in range(0, count, batch):
            part = surrogates[start : start + batch]
            done = _batch_sums(statistics, solvers, alpha[:, channels], X, X_strips, Y, part)
            sums[:, start : start + batch, :, channels] = done
    return sums


def _channel_groups(alpha: FloatArray, p: int) -> list[IntArray]:
    """Channels in groups whose distinct penalties' inverses fit into memory together."""
    order = np.argsort(np.median(alpha, axis=0), kind="stable")
    limit = max(len(alpha), INVERSE_BYTES // (4 * p * p))
    groups: list[list[int]] = []
    held: set[tuple[int, float]] = set()
    for channel in order.tolist():
        wanted = {(i, float(value)) for i, value in enumerate(alpha[:, channel])}
        if not groups or len(held | wanted) > limit:
            groups.append([])
            held = set()
        groups[-1].append(channel)
        held |= wanted
    return [np.array(sorted(group), dtype=np.int64) for group in groups]


def _fold_solver(
    statistics: BlockStatistics, i: int, alpha: FloatArray, *, standardize: bool
) -> _FoldSolver:
    training = statistics.training([i])
    mean = np.asarray(training.x / training.n, dtype=np.float64)
    gram = np.asarray(training.gram, dtype=np.float64) - training.n * np.outer(mean, mean)
    scale = feature_scale(
        np.maximum(np.diagonal(gram), 0) / training.n,
        np.asarray(statistics.mean_square, dtype=np.float64),
        statistics.x_origin,
        standardize=standardize,
    ).astype(np.float64)
    block = statistics.blocks[i]
    factor = None
    if statistics.repeating is None:
        x = np.asarray(block.x, dtype=np.float64)
        about_mean = (
            np.asarray(block.gram, dtype=np.float64)
            - np.outer(x, mean)
            - np.outer(mean, x)
            + block.n * np.outer(mean, mean)
        )
        rounding = float(np.finfo(statistics.dtype).eps)
        factor = _square_root(about_mean, rounding=rounding).astype(np.float32)
    strips = np.flatnonzero(~statistics.split.folds[i].train & (statistics.split.block != i))
    return _FoldSolver(
        training.n,
        mean,
        strips,
        block,
        factor,
        {float(value): _inverse(gram, scale, float(value)) for value in np.unique(alpha)},
    )


def _batch_sums(
    statistics: BlockStatistics,
    solvers: dict[int, _FoldSolver],
    alpha: FloatArray,
    X: Sequence[Real],
    X_strips: dict[int, Real],
    Y: Real,
    surrogates: IntArray,
) -> FloatArray:
    """Sums (5, P, K, t) of one batch of surrogates; Y (t, n).

    Every target of every surrogate is a row, a target's surrogates one after another, so that
    electrodes with the same penalty are taken together and arrays are read in their order.
    """
    t, count = len(Y), len(surrogates)
    folds = statistics.split.folds
    p = statistics.design.shape[1]
    crosses = np.empty((len(folds), t * count, p), dtype=np.float32)
    sy, syy = np.zeros((len(folds), t * count)), np.zeros((len(folds), t * count))
    for i, fold in enumerate(folds):
        moved = np.take(Y, surrogates[:, fold.test], axis=1).reshape(t * count, -1)
        np.matmul(moved, X[i], out=crosses[i])
        sy[i] = moved.sum(axis=1, dtype=np.float64)
        syy[i] = np.einsum("mi,mi->m", moved, moved)
    total, total_y = crosses.sum(axis=0), sy.sum(axis=0)
    sums = np.zeros((5, len(folds), t * count))
    for i, solver in solvers.items():
        cross = total - crosses[i]
        y_sum = total_y - sy[i]
        if len(solver.strips):
            moved = np.take(Y, surrogates[:, solver.strips], axis=1).reshape(t * count, -1)
            cross -= moved @ X_strips[i]
            y_sum = y_sum - moved.sum(axis=1, dtype=np.float64)
        cross -= np.outer(y_sum.astype(np.float32), solver.mean.astype(np.float32))
        y_mean, mean, n = y_sum / solver.n_train, solver.mean, solver.block.n
        for value, inverse in solver.inverses.items():
            own = np.flatnonzero(np.repeat(alpha[i] == value, count))
            if not len(own):
                continue
            here: Any = slice(None) if len(own) == len(cross) else own
            weights = cross[here].astype(inverse.dtype, copy=False) @ inverse
            # Block sums about the training means: of ŷ − ȳ, and of its products with y − ȳ.
            shift, sf = (weights @ np.stack([mean, solver.block.x - n * mean], axis=1)).T
            against = np.einsum("mp,mp->m", weights, crosses[i][here], dtype=np.float64)
            against -= shift * sy[i][here]
            against -= sf * y_mean[here]
            single = weights.astype(np.float32, copy=False)
            if solver.factor is None:
                product = single @ X[i].T - shift.astype(np.float32)[:, None]
            else:
                product = single @ solver.factor
            sums[1, i, here] = sf
            sums[3, i, here] = np.einsum("mp,mp->m", product, product, dtype=np.float64)
            sums[4, i, here] = against
        sums[0, i] = sy[i] - n * y_mean
        sums[2, i] = syy[i] - 2 * y_mean * sy[i] + n * y_mean**2
    return np.moveaxis(sums.reshape(5, len(folds), t, count), (1, 2, 3), (2, 3, 1))
