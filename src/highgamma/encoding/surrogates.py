"""Surrogates: series that have nothing to do with the features, and otherwise are like the signal.

Frames: the signal is shifted in a circle within every recording by at least a minimum. Words: each
gets the envelope in another word's window, all of them as many places away (`ShiftedWindows`),
which keeps the autocorrelation of both sides; or words change places (`word_permutations`), which
does not, and is for features and signals whose neighbouring words are unrelated.

What was taken out of frames as drift is taken out of every surrogate again: a signal without its
slow part, moved, has a slow part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from highgamma.encoding.solvers.routines import blas
from highgamma.encoding.splits import BoolArray, FloatArray, IntArray
from highgamma.errors import InputError


class Surrogates(Protocol):
    """A number of surrogates of the targets."""

    def __len__(self) -> int:
        """Return the number of surrogates."""
        ...

    def series(
        self, targets: FloatArray, channels: Any, part: slice, dtype: Any = np.float64
    ) -> NDArray[Any]:
        """Return some surrogates of some channels, (channel, surrogate, sample).

        Parameters
        ----------
        targets
            (n, t) the observed targets.
        channels
            Which of the t channels, as an index.
        part
            Which surrogates.
        dtype
            Of the result.
        """
        ...


def without_drift(series: NDArray[Any], drift: FloatArray) -> NDArray[Any]:
    """Return series (s, …, n) less their projection on an orthonormal basis (n, k), in place."""
    if drift.shape[1]:
        (gemm,) = blas(series.dtype, "gemm")
        basis = np.asfortranarray(drift, dtype=series.dtype)
        series = np.ascontiguousarray(series)
        for part in series:
            rows = part.reshape(-1, part.shape[-1])
            # A product that is subtracted where it is made is not written and read again.
            gemm(-1.0, basis, (rows @ basis).T, beta=1.0, c=rows.T, overwrite_c=1)
    return series


@dataclass(frozen=True, slots=True)
class Reorderings:
    """Surrogates that are the observed samples in another order.

    Attributes
    ----------
    orders
        (P, n) row indices.
    drift
        (n, k) orthonormal basis of what is taken out again; (n, 0) for nothing.
    """

    orders: IntArray
    drift: FloatArray

    @classmethod
    def plain(cls, orders: IntArray) -> Reorderings:
        """Return surrogates of which nothing is taken out."""
        return cls(orders, np.zeros((orders.shape[1], 0)))

    def __len__(self) -> int:
        return len(self.orders)

    def series(
        self, targets: FloatArray, channels: Any, part: slice, dtype: Any = np.float64
    ) -> NDArray[Any]:
        """Return some surrogates of some channels, (channel, surrogate, sample)."""
        rows = np.ascontiguousarray(targets[:, channels].T, dtype=dtype)
        return without_drift(np.take(rows, self.orders[part], axis=1), self.drift)


@dataclass(frozen=True, slots=True)
class Windowed:
    """A signal in frames, and where in it the windows of the samples lie.

    Attributes
    ----------
    values
        (frame, t), finite or NaN; only frames that can be used, in time order by recording.
    time, segment
        (frame,) s, and number of the recording.
    first, stop
        (n,) frames of each sample's window: the first, and the one after the last, counted from
        the first frame of the sample's recording.
    window_segment
        (n,) number of the sample's recording.
    rate
        Frames per second.
    """

    values: FloatArray
    time: FloatArray
    segment: IntArray
    first: IntArray
    stop: IntArray
    window_segment: IntArray
    rate: float

    def take(self, samples: IntArray, channels: BoolArray) -> Windowed:
        """Return the same for some samples and channels."""
        return replace(
            self,
            values=self.values[:, channels],
            first=self.first[samples],
            stop=self.stop[samples],
            window_segment=self.window_segment[samples],
        )


def windowed(
    values: FloatArray,
    time: FloatArray,
    segment: IntArray,
    *,
    start: FloatArray,
    stop: FloatArray,
    window_segment: IntArray,
    rate: float,
) -> Windowed:
    """Find the frames of every sample's window.

    Parameters
    ----------
    values, time, segment
        (frame, t), (frame,) s and (frame,): the usable frames, in time order by recording.
    start, stop
        (n,) s, ends of the windows. A frame belongs to the window that holds its time; a window
        that holds none takes the next frame.
    window_segment
        (n,) number of each window's recording.
    rate
        Frames per second.
    """
    first = np.zeros(len(start), dtype=np.int64)
    last = np.ones(len(start), dtype=np.int64)
    for number in np.unique(window_segment):
        here = np.flatnonzero(window_segment == number)
        frames = time[segment == number]
        known = here[np.isfinite(start[here]) & np.isfinite(stop[here])]
        first[known] = np.searchsorted(frames, start[known])
        last[known] = np.searchsorted(frames, stop[known])
    return Windowed(
        values=values,
        time=time,
        segment=segment,
        first=first,
        stop=np.maximum(last, first + 1),
        window_segment=window_segment,
        rate=rate,
    )


JITTER_S = 0.3
"""Most by which a surrogate's windows lie earlier or later than the words that they are of, s."""


class ShiftedWindows:
    """Surrogates of words: the envelope in the windows of words a few places away, a little moved.

    Every word gets the window of the word k places before it, circularly within its recording, and
    all windows are moved by the same time. Windows stay where words are said: a shift of the
    envelope by any time would put all windows between words that are read at a fixed pace, and the
    few that still catch one make a signal of outliers.

    The mean over a window is a difference of cumulative sums, so that a surrogate costs two
    lookups a word and channel.

    Parameters
    ----------
    signal
        The envelope in frames, of the channels that are fitted.
    shifts
        (P, recordings, 2) words and frames that each recording is shifted by, recordings in
        ascending order.
    """

    def __init__(self, signal: Windowed, shifts: IntArray) -> None:
        self._signal, self._shifts = signal, shifts
        self._recordings: list[tuple[IntArray, FloatArray, FloatArray | None]] = []
        for number in np.unique(signal.window_segment):
            values = signal.values[signal.segment == number]
            missing = ~np.isfinite(values)
            counts = None
            if missing.any():
                counts = _cumulative((~missing).astype(np.float64))
                values = np.where(missing, 0.0, values)
            here = np.flatnonzero(signal.window_segment == number)
            self._recordings.append((here, _cumulative(values), counts))

    def __len__(self) -> int:
        return len(self._shifts)

    def series(
        self, targets: FloatArray, channels: Any, part: slice, dtype: Any = np.float64
    ) -> NDArray[Any]:
        """Return some surrogates of some channels, (channel, surrogate, sample)."""
        signal, shifts = self._signal, self._shifts[part]
        n_channels = len(np.arange(signal.values.shape[1])[channels])
        series = np.empty((n_channels, len(shifts), len(signal.first)))
        for column, (here, sums, counts) in enumerate(self._recordings):
            words, frames = shifts[:, [column], 0], shifts[:, [column], 1]
            order = np.argsort(signal.first[here], kind="stable")
            place = np.argsort(order)
            moved = here[order[(place - words) % len(here)]]
            first, stop = signal.first[moved] + frames, signal.stop[moved] + frames
            totals = _between(sums[:, channels], first, stop)
            if counts is None:
                means = totals / (stop - first)[:, :, None]
            else:
                known = _between(counts[:, channels], first, stop)
                whole = sums[-1, channels] / np.maximum(counts[-1, channels], 1)
                means = np.where(known > 0, totals / np.maximum(known, 1), whole)
            series[:, :, here] = np.moveaxis(means, 2, 0)
        return series.astype(dtype, copy=False)


def window_means(signal: Windowed) -> FloatArray:
    """Return means (n, t) of a signal over the windows; NaN if a window has no frame."""
    unmoved = np.zeros((1, len(np.unique(signal.window_segment)), 2), dtype=np.int64)
    nothing = np.empty((0, 0))
    return ShiftedWindows(signal, unmoved).series(nothing, slice(None), slice(0, 1))[:, 0].T


def _cumulative(values: FloatArray) -> FloatArray:
    """Return the sums (frame + 1, t) of all frames before each."""
    return np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])


def _between(sums: FloatArray, first: IntArray, stop: IntArray) -> FloatArray:
    """Return the sums (…, t) over frames from `first` to before `stop` of a circular series."""
    length = len(sums) - 1

    def before(frame: IntArray) -> FloatArray:
        turns, inside = np.divmod(frame, length)
        return np.asarray(sums[inside] + turns[..., None] * sums[-1])

    return before(stop) - before(first)


def shift_amounts(length: int, *, least: int, count: int, rng: np.random.Generator) -> IntArray:
    """Return shifts (count,) of at least `least` samples both ways round a circle of `length`.

    None is repeated as long as there are enough different ones.
    """
    possible = length - 2 * least + 1
    drawn = [rng.permutation(possible) for _ in range(-(-count // possible))]
    return least + np.concatenate(drawn)[:count]


def _refuse_short(number: int, length: int, least: int, what: str = "usable samples") -> None:
    """Refuse a recording too short for any shift."""
    if length - 2 * least + 1 < 1:
        raise InputError(
            f"segment {number} has {length} {what}; a circular shift needs "
            f"more than twice the minimum of {least}",
            where="analyses: min_shift",
            remedy="lower min_shift, or set permutations: 0",
        )


def window_shifts(signal: Windowed, *, count: int, min_shift: float, seed: int) -> IntArray:
    """Return shifts in words and frames (count, recordings, 2), recordings in ascending order.

    All pairs of a number of words and of frames up to `JITTER_S`, in random order; none is repeated
    as long as there are enough.

    Parameters
    ----------
    signal
        The envelope in frames, and the words' windows.
    count
        Number of surrogates.
    min_shift
        Least time between a word and the word whose window it gets, s, by the median interval of
        words.
    seed
        Of the draws.

    Raises
    ------
    InputError
        A recording too short for any shift.
    """
    rng = np.random.default_rng(seed)
    jitter = round(JITTER_S * signal.rate)
    numbers = np.unique(signal.window_segment)
    shifts = np.empty((count, len(numbers), 2), dtype=np.int64)
    for column, number in enumerate(numbers):
        begin = np.sort(signal.first[signal.window_segment == number])
        n = len(begin)
        interval = float(np.median(np.diff(begin))) / signal.rate if n > 1 else np.inf
        least = max(1, int(np.ceil(min_shift / max(interval, 1 / signal.rate) - 1e-9)))
        _refuse_short(int(number), n, least, "words")
        words = np.arange(least, n - least + 1)
        pairs = np.stack(np.meshgrid(words, np.arange(-jitter, jitter + 1)), axis=-1).reshape(-1, 2)
        drawn = [rng.permutation(len(pairs)) for _ in range(-(-count // len(pairs)))]
        shifts[:, column] = pairs[np.concatenate(drawn)[:count]] if count else 0
    return shifts


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
    seed
        Of the draws.

    Raises
    ------
    InputError
        A segment too short for any shift.
    """
    rng = np.random.default_rng(seed)
    index = np.empty((count, len(segment)), dtype=np.int64)
    for number in np.unique(segment):
        rows = np.flatnonzero(segment == number)
        n, least = len(rows), max(1, min_shift)
        _refuse_short(int(number), n, least)
        shifts = shift_amounts(n, least=least, count=count, rng=rng)
        index[:, rows] = rows[(np.arange(n) - shifts[:, None]) % n]
    return index


def lag_one(values: FloatArray, segment: IntArray) -> float:
    """Return the autocorrelation of neighbouring samples of the same recording, over all columns.

    Parameters
    ----------
    values
        (n, m), samples of a recording in time order.
    segment
        (n,) number of the recording.

    Returns
    -------
    Σ x_i x_{i+1} / Σ x_i² over columns, each less its mean; NaN if all are constant.
    """
    centred = values - values.mean(axis=0)
    neighbours = segment[1:] == segment[:-1]
    crossed = (centred[1:] * centred[:-1])[neighbours].sum() / max(int(neighbours.sum()), 1)
    variance = float((centred**2).mean(axis=0).sum())
    return float(crossed) / variance if variance > 0 else float("nan")


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
