"""Surrogates of a ridge that keep their penalties, from cross-products of block statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from highgamma.encoding.compute import FoldSolver
from highgamma.encoding.limits import BATCH_BYTES
from highgamma.encoding.solvers.ridge import gram_factor
from highgamma.encoding.solvers.routines import lapack
from highgamma.encoding.splits import FloatArray, IntArray
from highgamma.encoding.statistics import BlockStatistics, Real, feature_scale
from highgamma.encoding.surrogates import Surrogates

INVERSE_BYTES = 512 * 2**20
SINGLE_PRECISION_CONDITION = 1e5


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
    surrogates: Surrogates,
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
        P surrogates of the targets.
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
        Y = statistics.targets - statistics.y_origin
        X_strips = {
            i: statistics.centred_rows(solver.strips).astype(np.float32, copy=False)
            for i, solver in solvers.items()
        }
        for start in range(0, count, batch):
            part = slice(start, min(start + batch, count))
            sums[:, start : start + batch, :, channels] = statistics.compute.surrogate_sums(
                statistics.split.folds,
                solvers,
                alpha=alpha[:, channels],
                X=X,
                X_strips=X_strips,
                moved=surrogates.series(Y, channels, part, np.float32),
            )
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
) -> FoldSolver:
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
    return FoldSolver(
        training.n,
        mean,
        strips,
        block,
        factor,
        {float(value): _inverse(gram, scale, float(value)) for value in np.unique(alpha)},
    )
