"""One pass over the data: each block's Gram matrix, cross-products and moments.

Every training set of a nested cross-validation is the total less some blocks less the rows of the
purge gap, so its statistics are sums of these. Rows are read in slabs; the features are never held
in double precision as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from highgamma.encoding.compute import CPU, Compute
from highgamma.encoding.splits import BoolArray, FloatArray, IntArray, Split

Real = NDArray[np.floating[Any]]
SLAB_BYTES = 64 * 2**20


class Design(Protocol):
    """Features that are given in slabs of rows."""

    @property
    def shape(self) -> tuple[int, int]:
        """Samples, features."""
        ...

    def rows(self, index: IntArray, dtype: Any = np.float64) -> Real:
        """Return the features (len(index), p) of these samples, at least in this precision."""
        ...


@runtime_checkable
class RepeatingDesign(Design, Protocol):
    """Features whose Gram matrix has fewer different entries than it has entries.

    `products` are sums over rows that can be added and subtracted; `gram` makes the Gram matrix of
    a set of rows from their products (see `lags.Delayed`).
    """

    def pays(self, groups: Iterable[IntArray]) -> bool:
        """Return whether products of these row sets are cheaper than Gram matrices."""
        ...

    def origin(self) -> FloatArray:
        """Return the origin (p,) that `products` must be taken from."""
        ...

    def products(self, index: IntArray, origin: FloatArray, dtype: Any) -> Real:
        """Return sums over these rows."""
        ...

    def gram(self, products: Real, index: IntArray, origin: FloatArray) -> Real:
        """Return the Gram matrix (p, p) of these rows."""
        ...


@dataclass(frozen=True, slots=True)
class Table:
    """Features in memory: row `order[i]` of `values` (n, p), any floating type, is sample i."""

    values: Real
    order: IntArray

    @property
    def shape(self) -> tuple[int, int]:
        """Samples, features."""
        return len(self.order), self.values.shape[1]

    def rows(self, index: IntArray, dtype: Any = np.float64) -> Real:
        """Return the features of these samples."""
        wide = np.result_type(self.values.dtype, dtype)
        return self.values[self.order[index]].astype(wide, copy=False)


def table(values: Real) -> Table:
    """Return a design of features in memory, row i for sample i."""
    return Table(values, np.arange(len(values), dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Reordered:
    """Another design's samples in another order: sample i is `order[i]` of `design`."""

    design: Design
    order: IntArray

    @property
    def shape(self) -> tuple[int, int]:
        """Samples, features."""
        return len(self.order), self.design.shape[1]

    def rows(self, index: IntArray, dtype: Any = np.float64) -> Real:
        """Return the features of these samples."""
        return self.design.rows(self.order[index], dtype)


@dataclass(slots=True)
class Moments:
    """Sums over a set of rows, of features x and targets y taken from a common origin.

    Attributes
    ----------
    n
        Number of rows.
    x, y
        (p,) Σx and (t,) Σy.
    gram
        (p, p) Σxxᵀ; in the blocks of a `RepeatingDesign` its products instead.
    cross
        (p, t) Σxyᵀ.
    yy
        (t,) Σy².
    """

    n: int
    x: Real
    y: Real
    gram: Real
    cross: Real
    yy: Real

    def add(self, other: Moments) -> None:
        """Add another set's sums in place."""
        self.n += other.n
        for name in ("x", "y", "gram", "cross", "yy"):
            sums = getattr(self, name)
            sums += getattr(other, name)

    def subtract(self, other: Moments) -> None:
        """Take another set's sums away in place."""
        self.n -= other.n
        for name in ("x", "y", "gram", "cross", "yy"):
            sums = getattr(self, name)
            sums -= getattr(other, name)

    def copy(self) -> Moments:
        """Return an independent copy of the sums."""
        return Moments(
            self.n,
            self.x.copy(),
            self.y.copy(),
            self.gram.copy(),
            self.cross.copy(),
            self.yy.copy(),
        )


STRIP_BYTES = 256 * 2**20
"""Bytes of Gram matrices of strips up to which these are kept."""


@dataclass(slots=True)
class Strip:
    """Rows that the gaps of the same blocks take out of training.

    Attributes
    ----------
    rows
        (m,) their numbers.
    block
        The block that they are of.
    beside
        The blocks in whose gaps they lie.
    moments
        Their sums.
    """

    rows: IntArray
    block: int
    beside: frozenset[int]
    moments: Moments


@dataclass(slots=True)
class BlockStatistics:
    """The moments of every block and of all rows.

    Attributes
    ----------
    design, targets, split
        The features (n, p), the targets (n, t), and the folds.
    x_origin, y_origin
        (p,) and (t,) means over all rows, which are subtracted first to avoid cancellation; the
        fits do not depend on them.
    blocks, total
        Moments of each block, and of all rows.
    dtype
        Precision of the moments.
    mean_square
        (p,) mean square of the features over all rows.
    repeating
        The design if blocks hold its products, else None.
    compute
        Where the expensive operations run.
    strips
        The rows of the gaps, each summed once though many training sets lack it; None where there
        are too many features, and the rows are read again for each training set.
    """

    design: Design
    targets: FloatArray
    split: Split
    x_origin: FloatArray
    y_origin: FloatArray
    blocks: list[Moments]
    total: Moments
    dtype: Any
    mean_square: Real
    repeating: RepeatingDesign | None = None
    compute: Compute = CPU
    strips: list[Strip] | None = None

    def with_targets(self, targets: FloatArray) -> BlockStatistics:
        """Return the statistics with other targets (n, m); Gram matrices are shared."""
        moved = replace(self, targets=targets, y_origin=targets.mean(axis=0), blocks=[])
        for fold, block in zip(self.split.folds, self.blocks, strict=True):
            moved.blocks.append(moved._of_targets(fold.test, block))
        if self.strips is not None:
            moved.strips = [
                replace(strip, moments=moved._of_targets(strip.rows, strip.moments))
                for strip in self.strips
            ]
        moved.total = Moments(
            self.total.n,
            self.total.x,
            np.sum([block.y for block in moved.blocks], axis=0),
            self.total.gram,
            np.sum([block.cross for block in moved.blocks], axis=0),
            np.sum([block.yy for block in moved.blocks], axis=0),
        )
        return moved

    def _of_targets(self, index: IntArray, known: Moments) -> Moments:
        """Return the moments of rows whose features' sums are known."""
        p = self.design.shape[1]
        Y = self.centred_targets(index)
        cross = np.zeros((p, Y.shape[1]), dtype=self.dtype)
        for part in slabs(len(index), p):
            cross += self.centred_rows(index[part]).T @ Y[part]
        yy = np.einsum("it,it->t", Y, Y)
        return Moments(known.n, known.x, Y.sum(axis=0), known.gram, cross, yy)

    def centred_rows(self, index: IntArray) -> Real:
        """Return features (m, p) of these rows from the origin."""
        rows = self.design.rows(index, self.dtype)
        # The difference is formed in double precision, also where it is rounded to single.
        rows -= self.x_origin
        return rows.astype(self.dtype, copy=False)

    def centred_targets(self, index: IntArray) -> Real:
        """Return targets (m, t) of these rows from the origin."""
        return (self.targets[index] - self.y_origin).astype(self.dtype, copy=False)

    def of_rows(self, index: IntArray) -> Moments:
        """Return the moments of any rows, read again."""
        return _moments(self, index)

    def gram(self, sums: Moments, index: IntArray) -> Real:
        """Return the Gram matrix (p, p) of rows whose sums are known."""
        if self.repeating is None:
            return sums.gram
        return self.repeating.gram(sums.gram, index, self.x_origin)

    def excluded(self, blocks: Iterable[int]) -> BoolArray:
        """Return the mask (n,) of the rows in these blocks or within the gap of one of them."""
        mask = np.zeros(len(self.split.block), dtype=np.bool_)
        for block in blocks:
            mask |= ~self.split.folds[block].train
        return mask

    def training(self, blocks: Iterable[int]) -> Moments:
        """Return the exact moments of all rows except these blocks and the gaps around them."""
        left_out = sorted(blocks)
        sums = self.total.copy()
        for block in left_out:
            sums.subtract(self.blocks[block])
        gone = frozenset(left_out)
        if self.strips is not None:
            for strip in self.strips:
                if strip.block not in gone and strip.beside & gone:
                    sums.subtract(strip.moments)
            if self.repeating is None:
                return sums
        excluded = self.excluded(left_out)
        if self.strips is None:
            rows = np.flatnonzero(excluded & ~np.isin(self.split.block, np.asarray(left_out)))
            if len(rows):
                sums.subtract(self.of_rows(rows))
        if self.repeating is not None:
            sums.gram = self.gram(sums, np.flatnonzero(~excluded))
        return sums


def strip_rows(split: Split) -> list[tuple[IntArray, int, frozenset[int]]]:
    """Return the rows of gaps, those of one block and of the same blocks' gaps together.

    Returns
    -------
    strips
        Rows, the block that they are of, and the blocks in whose gaps they lie.
    """
    found: dict[tuple[int, frozenset[int]], list[int]] = {}
    beside: dict[int, list[int]] = {}
    for number, fold in enumerate(split.folds):
        for row in np.flatnonzero(~fold.train & (split.block != number)).tolist():
            beside.setdefault(row, []).append(number)
    for row, blocks in sorted(beside.items()):
        found.setdefault((int(split.block[row]), frozenset(blocks)), []).append(row)
    return [(np.array(rows), *where) for where, rows in found.items()]


def slabs(n: int, width: int) -> Iterable[slice]:
    """Return slices of at most `SLAB_BYTES` of float64 rows that cover n rows."""
    step = max(64, SLAB_BYTES // (8 * max(1, width)))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def _moments(source: BlockStatistics, index: IntArray) -> Moments:
    p, t = source.design.shape[1], source.targets.shape[1]
    sums = Moments(
        0,
        np.zeros(p, source.dtype),
        np.zeros(t, source.dtype),
        np.zeros((0, 0), source.dtype),
        np.zeros((p, t), source.dtype),
        np.zeros(t, source.dtype),
    )
    if source.repeating is None:
        sums.gram = np.zeros((p, p), source.dtype)
    else:
        sums.gram = source.repeating.products(index, source.x_origin, source.dtype)
    for part in slabs(len(index), p):
        X = source.centred_rows(index[part])
        Y = source.centred_targets(index[part])
        sums.n += len(X)
        sums.x += X.sum(axis=0)
        sums.y += Y.sum(axis=0)
        gram = sums.gram if source.repeating is None else None
        source.compute.add_products(gram, sums.cross, X, Y)
        sums.yy += np.einsum("it,it->t", Y, Y)
    return sums


def column_means(design: Design) -> FloatArray:
    """Return the mean (p,) of every feature over all samples, read in slabs."""
    n, p = design.shape
    sums = np.zeros(p)
    for part in slabs(n, p):
        rows = design.rows(np.arange(part.start, part.stop), np.float32)
        sums += rows.sum(axis=0, dtype=np.float64)
    return sums / n


def block_statistics(
    design: Design,
    targets: FloatArray,
    split: Split,
    *,
    dtype: Any = np.float64,
    compute: Compute = CPU,
) -> BlockStatistics:
    """Read the features once and sum up every block.

    Parameters
    ----------
    design
        n samples of p features.
    targets
        (n, t), finite.
    split
        Blocks of the n samples.
    dtype
        float64, or float32 for half the time and memory.
    compute
        Where the heavy operations run.
    """
    nothing = Moments(0, *(np.zeros(0, dtype) for _ in range(5)))
    repeating = None
    if isinstance(design, RepeatingDesign) and design.pays([fold.test for fold in split.folds]):
        repeating = design
    origin = column_means(design) if repeating is None else repeating.origin()
    statistics = BlockStatistics(
        design=design,
        targets=targets,
        split=split,
        x_origin=origin,
        y_origin=targets.mean(axis=0),
        blocks=[],
        total=nothing,
        dtype=dtype,
        mean_square=np.zeros(0, dtype),
        repeating=repeating,
        compute=compute,
    )
    statistics.blocks = [statistics.of_rows(fold.test) for fold in split.folds]
    strips = strip_rows(split)
    first = statistics.blocks[0].gram
    if len(strips) * first.nbytes <= STRIP_BYTES:
        statistics.strips = [
            Strip(rows, block, beside, statistics.of_rows(rows)) for rows, block, beside in strips
        ]
    statistics.total = statistics.blocks[0].copy()
    for block in statistics.blocks[1:]:
        statistics.total.add(block)
    everyone = np.arange(len(targets), dtype=np.int64)
    statistics.mean_square = np.diagonal(statistics.gram(statistics.total, everyone)) / len(targets)
    return statistics


@dataclass(slots=True)
class Standardised:
    """A training set's normal equations after centring and scaling, all from the origin.

    Attributes
    ----------
    n
        Number of rows.
    mean
        (p,) mean of the features.
    scale
        (p,) factor of the features: 1/SD, or 1 without standardisation; 0 for a feature that is
        constant in the training set, whose weight is therefore 0.
    gram
        (p, p) Σzzᵀ with z = (x − mean)·scale.
    cross
        (p, t) Σz(y − ȳ)ᵀ.
    y_mean
        (t,) ȳ.
    yy
        (t,) Σ(y − ȳ)².
    """

    n: int
    mean: Real
    scale: Real
    gram: Real
    cross: Real
    y_mean: Real
    yy: Real


def feature_scale(
    variance: Real, total_square: Real, origin: FloatArray, *, standardize: bool
) -> Real:
    """Return the factor (p,) of each centred feature: 1/SD or 1, and 0 if it is constant.

    A feature counts as constant where its training variance is below what rounding leaves of its
    mean square over all rows.

    Parameters
    ----------
    variance
        (p,) variance of the training rows.
    total_square
        (p,) mean square over all rows.
    origin
        (p,) mean over all rows, which was subtracted before.
    standardize
        Whether the factor is 1/SD.
    """
    epsilon = np.finfo(variance.dtype).eps
    floor = 4096 * epsilon * total_square + (1e-12 * origin) ** 2
    varies = variance > floor
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1.0 / np.sqrt(variance) if standardize else np.ones_like(variance)
    return np.asarray(np.where(varies, scale, 0.0), dtype=variance.dtype)


def standardised(
    statistics: BlockStatistics, training: Moments, *, standardize: bool
) -> Standardised:
    """Centre and scale a training set's moments, overwriting them."""
    n = training.n
    mean = training.x / n
    y_mean = training.y / n
    gram, cross = training.gram, training.cross
    gram -= np.outer(training.x, mean)
    cross -= np.outer(training.x, y_mean)
    scale = feature_scale(
        np.maximum(np.diagonal(gram), 0) / n,
        statistics.mean_square,
        statistics.x_origin,
        standardize=standardize,
    )
    if standardize or not scale.all():
        gram *= scale
        gram *= scale[:, None]
        cross *= scale[:, None]
    return Standardised(
        n=n,
        mean=mean,
        scale=scale,
        gram=gram,
        cross=cross,
        y_mean=y_mean,
        yy=np.maximum(training.yy - training.y * y_mean, 0),
    )
