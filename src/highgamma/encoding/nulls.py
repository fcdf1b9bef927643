"""Null distributions that keep each series' autocorrelation.

Two ways with the penalty. Chosen anew: every surrogate goes through the whole nested
cross-validation, as the observed targets do; the p-values are exact. Kept: surrogates take the
penalties that the observed targets chose, which costs far less and is mostly conservative: under
the null a small penalty is chosen just where training folds agree by chance, and held-out folds
then disagree, so that the observed r lies lower than the surrogates' (measured on noise: 1 to 4 %
of p-values below .05, against 5 % with penalties chosen anew). It is not where a word's features
have next to nothing in common with other words', as position's bumps: see docs/engine.md.

Frames: the targets are shifted in a circle within every segment by at least a minimum. Words: the
targets' rows are permuted within every segment, singly or in runs of neighbours. Features, folds
and penalties stay, so that the decompositions do too: every surrogate of every electrode is one
more column of targets, fitted and scored with the same statistic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from highgamma.encoding.ridge import (
    NestedFit,
    choose_dual,
    choose_primal,
    fit_dual,
    gram_factor,
    inner_plan,
    solve_each,
    squared_predictions,
)
from highgamma.encoding.routines import lapack
from highgamma.encoding.scores import FoldSums, fold_sums
from highgamma.encoding.splits import FloatArray, IntArray, Split
from highgamma.encoding.statistics import (
    BlockStatistics,
    Design,
    Moments,
    Real,
    Standardised,
    feature_scale,
    slabs,
    standardised,
)
from highgamma.errors import InputError

BATCH_BYTES = 160 * 2**20
INVERSE_BYTES = 512 * 2**20
SINGLE_PRECISION_CONDITION = 1e5


def seed_from(*parts: str | int) -> int:
    """A seed from names and numbers, the same in every process and on every machine."""
    import hashlib

    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def circular_shifts(segment: IntArray, *, count: int, min_shift: int, seed: int) -> IntArray:
    """Row indices (count, n) of circular shifts within segments.

    Parameters
    ----------
    segment
        (n,) segment of each usable row, rows of a segment in time order; a segment's rows are
        taken as one series, rows that cannot be used having been left out.
    count
        Number of surrogates; each has its own shift in every segment, without repetition as long
        as a segment has enough of them.
    min_shift
        Smallest shift in rows, in both directions round the circle.

    Raises
    ------
    InputError
        A segment too short for any shift.
    """
    rng = np.random.default_rng(seed)
    index = np.empty((count, len(segment)), dtype=np.int64)
    for number in np.unique(segment):
        rows = np.flatnonzero(segment == number)
        n = len(rows)
        least = max(1, min_shift)
        possible = n - 2 * least + 1
        if possible < 1:
            raise InputError(
                f"segment {int(number)} has {n} usable samples; a circular shift needs "
                f"more than twice the minimum of {least}",
                where="analyses: min_shift",
                remedy="lower min_shift, or set permutations: 0",
            )
        shifts = np.concatenate([rng.permutation(possible) for _ in range(-(-count // possible))])[
            :count
        ]
        index[:, rows] = rows[(np.arange(n) - (least + shifts)[:, None]) % n]
    return index


def word_permutations(segment: IntArray, *, count: int, block: int, seed: int) -> IntArray:
    """Row indices (count, n) of permutations of runs of `block` neighbouring words, by recording.

    Parameters
    ----------
    segment
        (n,) recording of each word, words of a recording in time order. Words never change places
        with those of another recording, whose gain and noise are its own.
    count
        Number of surrogates.
    block
        Words that are moved together; the last run of a recording may be shorter.

    Raises
    ------
    InputError
        No recording with two runs.
    """
    rng = np.random.default_rng(seed)
    recordings = [np.flatnonzero(segment == number) for number in np.unique(segment)]
    runs = [[r[k : k + block] for k in range(0, len(r), block)] for r in recordings]
    if max(map(len, runs), default=0) < 2:
        longest = max(map(len, recordings), default=0)
        raise InputError(
            f"a recording has {longest} usable words at most, in blocks of {block}: "
            "none can change places",
            where="analyses: permutation_block",
            remedy="lower permutation_block, or set permutations: 0",
        )
    index = np.empty((count, len(segment)), dtype=np.int64)
    for row in index:
        for here, parts in zip(recordings, runs, strict=True):
            row[here] = np.concatenate([parts[k] for k in rng.permutation(len(parts))])
    return index


def null_from_maps(
    maps: Callable[[int], dict[float, FloatArray]],
    alpha: FloatArray,
    targets: FloatArray,
    split: Split,
    surrogates: IntArray,
) -> FoldSums:
    """Null sums (P, K, t) from the linear maps of each fold (`ridge.hat_rows`), few samples.

    maps(fold) gives for each penalty H (n_test, n) with ŷ − ȳ = H y; alpha (K, t);
    surrogates (P, n).
    """
    (folds, t), n = alpha.shape, len(targets)
    tested = np.concatenate([fold.test for fold in split.folds])
    sizes = np.array([len(fold.test) for fold in split.folds])
    starts, fold_of_row = np.cumsum(sizes) - sizes, np.repeat(np.arange(folds), sizes)
    means = np.stack([fold.train / fold.train.sum() for fold in split.folds])
    kept = [maps(i) for i in range(folds)]
    # A channel's sums lie side by side while they are formed.
    sums = np.zeros((t, 5, len(surrogates), folds))
    batch = max(1, BATCH_BYTES // (8 * 6 * n))
    for channel in range(t):
        H = np.concatenate([kept[i][float(alpha[i, channel])] for i in range(folds)])
        column = np.ascontiguousarray(targets[:, channel])
        for start in range(0, len(surrogates), batch):
            part = slice(start, start + batch)
            moved = column[surrogates[part]]  # (P, n)
            f = moved @ H.T
            y = moved[:, tested] - (moved @ means.T)[:, fold_of_row]
            for k, product in enumerate((y, f, y * y, f * f, y * f)):
                sums[channel, k, part] = np.add.reduceat(product, starts, axis=1)
    return FoldSums(sizes.astype(np.float64), *np.moveaxis(sums, 0, -1))


def null_by_refitting(
    refit: Callable[[FloatArray], NestedFit],
    targets: FloatArray,
    split: Split,
    surrogates: IntArray,
    *,
    held: int,
) -> FoldSums:
    """Null sums (P, K, t) for estimators that are not linear in y: every surrogate is fitted.

    `refit` takes the targets (n, m·t) of m surrogates side by side, so that these share what
    depends on the features alone; `held` is how many numbers it holds for each target, by which m
    is chosen.
    """
    n, t = targets.shape
    folds = len(split.folds)
    batch = max(1, BATCH_BYTES // (8 * t * (n + held)))
    names = ("sy", "sf", "syy", "sff", "syf")
    sums = np.zeros((5, len(surrogates), folds, t))
    for start in range(0, len(surrogates), batch):
        part = surrogates[start : start + batch]
        moved = targets[part.T].reshape(n, len(part) * t)
        fit = refit(moved)
        done = fold_sums(fit.prediction, fit.training_mean, moved, split)
        for k, name in enumerate(names):
            values = getattr(done, name).reshape(folds, len(part), t)
            sums[k, start : start + batch] = np.moveaxis(values, 1, 0)
    return FoldSums(np.array([len(fold.test) for fold in split.folds], dtype=np.float64), *sums)


def with_targets(statistics: BlockStatistics, targets: FloatArray) -> BlockStatistics:
    """The same features' statistics with other targets (n, m); Gram matrices are shared."""
    origin = targets.mean(axis=0)
    moved = replace(statistics, targets=targets, y_origin=origin, blocks=[])
    for fold, block in zip(statistics.split.folds, statistics.blocks, strict=True):
        Y = moved.centred_targets(fold.test)
        p = statistics.design.shape[1]
        cross = np.zeros((p, targets.shape[1]), dtype=statistics.dtype)
        for part in slabs(len(fold.test), p):
            cross += statistics.centred_rows(fold.test[part]).T @ Y[part]
        yy = np.einsum("it,it->t", Y, Y)
        moved.blocks.append(Moments(block.n, block.x, Y.sum(axis=0), block.gram, cross, yy))
    total = statistics.total
    moved.total = Moments(
        total.n,
        total.x,
        np.sum([block.y for block in moved.blocks], axis=0),
        total.gram,
        np.sum([block.cross for block in moved.blocks], axis=0),
        np.sum([block.yy for block in moved.blocks], axis=0),
    )
    return moved


def null_by_choosing(
    statistics: BlockStatistics,
    surrogates: IntArray,
    *,
    alphas: Sequence[float],
    standardize: bool,
    outer: Sequence[int] | None = None,
) -> FoldSums:
    """Null sums (P, K, t) with the penalty chosen anew, on inner folds, for every surrogate.

    Arguments as for `null_from_statistics`; `alphas` are the penalties to choose from.
    """
    split = statistics.split
    n, p = statistics.design.shape
    t, folds = statistics.targets.shape[1], len(split.folds)
    wanted = list(range(folds)) if outer is None else list(outer)
    sums = np.zeros((5, len(surrogates), folds, t))
    per_surrogate = 8 * t * (n + p * (folds + 3 * len(alphas)))
    batch = int(np.clip(BATCH_BYTES // per_surrogate, 1, len(surrogates)))
    grid = np.asarray(alphas, dtype=np.float64)
    for start in range(0, len(surrogates), batch):
        part = surrogates[start : start + batch]
        moved = with_targets(statistics, statistics.targets[part.T].reshape(n, len(part) * t))
        best, _ = choose_primal(moved, alphas=alphas, standardize=standardize, outer=wanted)
        done = held_out_fold_sums(moved, grid[best], standardize=standardize, outer=wanted)
        sums[:, start : start + batch] = np.moveaxis(done.reshape(5, folds, len(part), t), 1, 2)
    return FoldSums(np.array([len(fold.test) for fold in split.folds], dtype=np.float64), *sums)


def held_out_fold_sums(
    statistics: BlockStatistics, alpha: FloatArray, *, standardize: bool, outer: Sequence[int]
) -> FloatArray:
    """Sums (5, K, t) of `scores.FoldSums` (sy, sf, syy, sff, syf) without forming predictions."""
    sums = np.zeros((5, *alpha.shape))
    for i in outer:
        model = standardised(statistics, statistics.training([i]), standardize=standardize)
        weights = solve_each(model.gram, model.cross, alpha[i]) * model.scale[:, None]
        sums[:, i] = fold_sums_of_weights(statistics, i, model, weights)
    return sums


def fold_sums_of_weights(
    statistics: BlockStatistics, i: int, model: Standardised, weights: Real
) -> FloatArray:
    """Sums (5, t) over the held-out rows of fold i (sy, sf, syy, sff, syf) of one fit's weights."""
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


def null_of_words_by_choosing(
    design: Design,
    targets: FloatArray,
    split: Split,
    surrogates: IntArray,
    *,
    alphas: Sequence[float],
    standardize: bool,
    outer: Sequence[int] | None = None,
) -> FoldSums:
    """As `null_by_choosing`, from kernels: few samples, any number of features."""
    n, t = targets.shape
    folds = len(split.folds)
    wanted = list(range(folds)) if outer is None else list(outer)
    sums = np.zeros((5, len(surrogates), folds, t))
    largest = max((len(fold.test) for fold in split.folds), default=1)
    per_surrogate = 8 * t * (4 * n + 3 * len(alphas) * max(largest, n // 8))
    batch = int(np.clip(2 * BATCH_BYTES // per_surrogate, 1, len(surrogates)))
    grid = np.asarray(alphas, dtype=np.float64)
    for start in range(0, len(surrogates), batch):
        part = surrogates[start : start + batch]
        moved = targets[part.T].reshape(n, len(part) * t)
        best, _ = choose_dual(
            design, moved, split, alphas=alphas, standardize=standardize, outer=wanted
        )
        fit = fit_dual(design, moved, split, grid[best], standardize=standardize, outer=wanted)
        fit.prediction = np.nan_to_num(fit.prediction)
        fit.training_mean = np.nan_to_num(fit.training_mean)
        done = fold_sums(fit.prediction, fit.training_mean, moved, split)
        for k, name in enumerate(("sy", "sf", "syy", "sff", "syf")):
            values = getattr(done, name)[wanted].reshape(len(wanted), len(part), t)
            sums[k, start : start + batch, wanted] = values
    return FoldSums(np.array([len(fold.test) for fold in split.folds], dtype=np.float64), *sums)


def choosing_costs(
    shape: tuple[int, int], split: Split, *, targets: int, surrogates: int, alphas: int
) -> tuple[float, float]:
    """Rough floating-point operations of choosing anew: from statistics, and from kernels.

    A pass over memory counts as 16 operations for each element.
    """
    n, p = shape
    columns = targets * surrogates
    folds = range(len(split.folds))
    models = len(inner_plan(split, folds))
    held_out = max(len(group) for groups in split.inner for group in groups)
    most = max(len(groups) for groups in split.inner)
    primal = models * p * (alphas * (6.0 * p + 128) + 48 * (held_out + 1)) + n * (2.0 * p + 64)
    dual = models * (alphas * n / most * (2.0 * n + 48)) + models * n**3 / columns
    return columns * primal, columns * dual


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


def null_from_statistics(
    statistics: BlockStatistics,
    alpha: FloatArray,
    surrogates: IntArray,
    *,
    standardize: bool,
    outer: Sequence[int] | None = None,
) -> FoldSums:
    """Null sums (P, K, t) for many samples, from cross-products with every surrogate.

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
    n = np.array([len(fold.test) for fold in statistics.split.folds], dtype=np.float64)
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
    return FoldSums(n, *sums)


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
