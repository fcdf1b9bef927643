"""Lags: features taken earlier or later than the neural sample, never across a segment's border.

A positive lag means that the brain follows the sound: y(t) is predicted from x(t − lag).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from highgamma.encoding.splits import BoolArray, FloatArray, IntArray
from highgamma.encoding.statistics import Real, slabs

# Lagged products pay where a run of frames is this many times longer than the lags' span, and a
# delay has at least this many features.
RUN_PER_SPAN = 4
LEAST_FEATURES = 16


@dataclass(frozen=True, slots=True)
class Delayed:
    """Delayed copies of features (a finite impulse response), made slab by slab.

    Row i is [x(f_i − d₁), x(f_i − d₂), …] with f_i = `frames[i]` the row of `values` (m, q) and
    d the `delays` in frames; p = q · delays, delay by delay.
    """

    values: Real
    frames: IntArray
    delays: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Samples, delayed features."""
        return len(self.frames), self.values.shape[1] * len(self.delays)

    def rows(self, index: IntArray, dtype: Any = np.float64) -> Real:
        """Return the delayed features (len(index), p) of these samples."""
        q = self.values.shape[1]
        wide = np.result_type(self.values.dtype, dtype)
        delayed = np.empty((len(index), q * len(self.delays)), wide)
        for number, delay in enumerate(self.delays):
            delayed[:, number * q : (number + 1) * q] = self.values[self.frames[index] - delay]
        return delayed

    def reordered(self, order: IntArray) -> Delayed:
        """Return the same delayed features with sample i taken from `order[i]`."""
        return Delayed(self.values, self.frames[order], self.delays)

    # The Gram matrix of delayed copies repeats itself: its part for delays dₐ and d_b is
    # Σ_f x(f − dₐ) x(f − d_b)ᵀ, and the parts with the same difference dₐ − d_b are the same sum
    # over frames shifted by a few. One sum per difference is held; the others differ from it by
    # the frames at both ends of every run.

    def pays(self, groups: Iterable[IntArray]) -> bool:
        """Return whether sums per difference are cheaper than these row sets' Gram matrices."""
        if len(self.delays) < 3 or self.values.shape[1] < LEAST_FEATURES:
            return False
        lengths = [len(index) for index in groups]
        runs = sum(len(_runs(self.frames[index])[0]) for index in groups)
        span = max(self.delays) - min(self.delays)
        return sum(lengths) >= RUN_PER_SPAN * span * max(1, runs)

    def origin(self) -> FloatArray:
        """Return the mean of the first delayed copy over all samples, repeated for each copy: (p,).

        Not of the features at the samples' own frames, which no delay may reach.
        """
        q = self.values.shape[1]
        sums = np.zeros(q)
        for part in slabs(len(self.frames), q):
            sums += self.values[self.frames[part] - self.delays[0]].sum(axis=0, dtype=np.float64)
        return np.tile(sums / len(self.frames), len(self.delays))

    def products(self, index: IntArray, origin: FloatArray, dtype: Any) -> Real:
        """Return lagged products (differences, q, q) of these samples, from an origin (p,).

        One for each difference k ≥ 0 of two delays: Σ x(f − dₐ) x(f − d_b)ᵀ for the first pair of
        delays with dₐ − d_b = k.
        """
        q = self.values.shape[1]
        pairs = list(self._pairs().values())
        sums = np.zeros((len(pairs), q, q), dtype)
        for part in slabs(len(index), q * len(self.delays)):
            frames = self.frames[index[part]]
            taken = {
                number: self._taken(frames, number, origin, dtype)
                for number in {number for same in pairs for number in same[0]}
            }
            for total, same in zip(sums, pairs, strict=True):
                a, b = same[0]
                total += taken[a].T @ taken[b]
        return sums

    def gram(self, products: Real, index: IntArray, origin: FloatArray) -> Real:
        """Return the Gram matrix (p, p) of these samples from their lagged products, exactly."""
        q, dtype = self.values.shape[1], products.dtype
        frames = self.frames[index]
        starts, stops = _runs(frames)
        gram = np.empty((q * len(self.delays),) * 2, dtype)
        for held, same in zip(products, self._pairs().values(), strict=True):
            a0, b0 = same[0]
            for a, b in same:
                shift = self.delays[a] - self.delays[a0]
                part = held
                if shift:
                    length = np.minimum(abs(shift), stops - starts)
                    head = frames[_spans(starts, length)]
                    tail = frames[_spans(stops - length, length)]
                    more, less = (head, tail) if shift > 0 else (tail, head)
                    part = held + (
                        self._taken(more, a, origin, dtype).T @ self._taken(more, b, origin, dtype)
                    )
                    part -= self._taken(less, a0, origin, dtype).T @ self._taken(
                        less, b0, origin, dtype
                    )
                rows, columns = slice(a * q, (a + 1) * q), slice(b * q, (b + 1) * q)
                gram[rows, columns] = part
                if a != b:
                    gram[columns, rows] = part.T
        return gram

    def _taken(self, frames: IntArray, number: int, origin: FloatArray, dtype: Any) -> Real:
        values = self.values[frames - self.delays[number]].astype(np.float64)
        values -= origin[: values.shape[1]]
        return np.asarray(values.astype(dtype, copy=False))

    def _pairs(self) -> dict[int, list[tuple[int, int]]]:
        """For each difference k ≥ 0 the pairs (a, b) of delays with dₐ − d_b = k."""
        pairs: dict[int, list[tuple[int, int]]] = {}
        for a, first in enumerate(self.delays):
            for b, second in enumerate(self.delays):
                if first >= second:
                    pairs.setdefault(first - second, []).append((a, b))
        return pairs


def _runs(frames: IntArray) -> tuple[IntArray, IntArray]:
    """Where runs of successive frames start and stop, as positions."""
    breaks = np.flatnonzero(np.diff(frames) != 1) + 1
    edges = np.concatenate([[0], breaks, [len(frames)]]).astype(np.int64)
    return (edges[:-1], edges[1:]) if len(frames) else (edges[:0], edges[:0])


def _spans(starts: IntArray, lengths: IntArray) -> IntArray:
    """The positions start, start + 1, … of every span, one after another."""
    if not len(starts):
        return starts
    return np.concatenate(
        [np.arange(s, s + n) for s, n in zip(starts.tolist(), lengths.tolist(), strict=True)]
    ).astype(np.int64)


def lag_frames(lags: tuple[float, float], *, step: float, rate: float) -> tuple[int, ...]:
    """Return the lags in whole frames, ascending: from the first to the last in steps.

    Parameters
    ----------
    lags
        First and last lag in s.
    step
        Distance between lags in s.
    rate
        Frames per s; lags are rounded to whole frames, the same frame is taken once.
    """
    count = int(np.floor((lags[1] - lags[0]) / step + 1e-9)) + 1
    seconds = lags[0] + step * np.arange(count)
    return tuple(sorted({round(float(value)) for value in seconds * rate}))


def reachable(segment: IntArray, delays: Sequence[int]) -> BoolArray:
    """Return the mask (m,) of the frames whose delayed copies all lie in the frame's own segment.

    `segment` (m,) numbers the recording of every frame of the whole grid, in time order.
    """
    m = len(segment)
    mask = np.ones(m, dtype=np.bool_)
    for delay in delays:
        source = np.arange(m) - delay
        inside = (source >= 0) & (source < m)
        same = np.zeros(m, dtype=np.bool_)
        same[inside] = segment[source[inside]] == segment[inside]
        mask &= same
    return mask


def rows_read(frames: IntArray, delays: Sequence[int]) -> IntArray:
    """Return the ascending rows of the grid that these frames' delayed copies are taken from."""
    return np.unique(frames[:, None] - np.asarray(delays, dtype=np.int64)).astype(np.int64)


def finite_delayed(finite: BoolArray, delays: Sequence[int]) -> BoolArray:
    """Return the mask (m,) of the frames whose delayed copies are all finite."""
    mask = np.ones(len(finite), dtype=np.bool_)
    for delay in delays:
        source = np.clip(np.arange(len(finite)) - delay, 0, len(finite) - 1)
        mask &= finite[source]
    return mask


def peak_interval(
    fold_r: FloatArray, lags: FloatArray, *, seed: int, resamples: int = 1000
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the lag of the largest fold-averaged correlation, with a 95 % bootstrap interval.

    Parameters
    ----------
    fold_r
        (lags, folds, channels) correlation in each fold; folds are drawn with replacement, since
        they and not the samples are nearly independent. A fold without a correlation counts 0.
    lags
        (lags,) s.

    Returns
    -------
    peak, low, high: (channels,) s; NaN where no fold has a correlation. The peak between two lags
    is refined by a parabola through the best lag and its neighbours where these are equally
    spaced.
    """
    usable = np.isfinite(fold_r).any(axis=(0, 1))
    filled = np.nan_to_num(fold_r)
    rng = np.random.default_rng(seed)
    folds = filled.shape[1]
    drawn = rng.integers(0, folds, size=(resamples, folds))
    weights = np.stack([np.bincount(draw, minlength=folds) for draw in drawn]) / folds
    peak = _peaks(filled.mean(axis=1), lags)
    resampled = np.stack(
        [_peaks(np.einsum("lfc,f->lc", filled, weight), lags) for weight in weights]
    )
    low, high = np.percentile(resampled, [2.5, 97.5], axis=0)
    return (
        np.where(usable, peak, np.nan),
        np.where(usable, low, np.nan),
        np.where(usable, high, np.nan),
    )


def _peaks(curve: FloatArray, lags: FloatArray) -> FloatArray:
    best = np.argmax(curve, axis=0)
    peak: FloatArray = lags[best].astype(np.float64)
    if len(lags) < 3 or not np.allclose(np.diff(lags), lags[1] - lags[0]):
        return peak
    inner = (best > 0) & (best < len(lags) - 1)
    at = np.clip(best, 1, len(lags) - 2)
    channel = np.arange(curve.shape[1])
    left, middle, right = (curve[at + k, channel] for k in (-1, 0, 1))
    bend = left - 2 * middle + right
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.where(bend < 0, 0.5 * (left - right) / bend, 0.0)
    return np.asarray(np.where(inner, peak + shift * (lags[1] - lags[0]), peak))
