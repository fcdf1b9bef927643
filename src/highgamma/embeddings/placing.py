"""Features on the clock of the neural signal: frames resampled, words painted, windows cut.

Everything goes by times, never by index. No value crosses from one segment into another, and a
missing value (NaN) stays missing wherever it would have had a share.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from highgamma.errors import InputError

Values = NDArray[np.floating[Any]]
FloatArray = NDArray[np.float64]
Numbers = NDArray[np.integer[Any]]

#: Zero crossings of the interpolation kernel on either side.
CROSSINGS = 8
#: Share of the lower Nyquist frequency that passes at half amplitude.
PASS = 0.9
#: Kaiser window of the kernel; ripple and leakage below 1e-3.
_BETA = 6.0
_COLUMNS = 256

NEAR_S = 5.0
"""Targets farther than this from a part, which would be NaN, are not tried, s: of hundreds of
stimuli heard one after another, each would otherwise be interpolated at all targets."""


def reach(source_rate: float, target_rate: float) -> float:
    """Return seconds on either side of a target frame from which `resample_frames` takes values.

    A purge gap between training and test must be at least this much longer.
    """
    return CROSSINGS / (PASS * min(source_rate, target_rate))


def resample_frames(
    values: Values,
    time: FloatArray,
    segment: Numbers,
    target_time: FloatArray,
    target_segment: Numbers,
) -> Values:
    """Interpolate the values of frames at other times, band-limited.

    y(t) = Σ_k h(t − t_k) x_k / Σ_k h(t − t_k), with h a Kaiser-windowed sinc (linear phase) whose
    cut-off is 0.9 of the lower of the two Nyquist frequencies: an anti-aliasing low-pass on the way
    down, band-limited interpolation on the way up. A constant stays that constant, at the edges
    too. Where source and target times are the same, values pass unchanged.

    Parameters
    ----------
    values
        (n, p) at `time`.
    time, segment
        (n,) centres (s) and segment of the frames; evenly spaced within a segment, but for gaps
        (stimuli that were heard one after another).
    target_time, target_segment
        (m,) times (s) and segment asked for; evenly spaced within a segment.

    Returns
    -------
    (m, p), of the type of `values`. Targets more than half a source frame before the first or
    after the last frame of their segment or of a part between gaps, or in a segment without frames,
    are NaN.

    Raises
    ------
    InputError
        If frames are not evenly spaced.
    """
    out = np.full((len(target_time), values.shape[1]), np.nan, dtype=values.dtype)
    for number in np.unique(target_segment):
        there, asked = np.flatnonzero(segment == number), np.flatnonzero(target_segment == number)
        for part in without_gaps(time, there):
            first, last = time[part[0]] - NEAR_S, time[part[-1]] + NEAR_S
            near = asked[(target_time[asked] >= first) & (target_time[asked] <= last)]
            resampled = _resample_segment(values[part], time[part], target_time[near])
            known = np.isfinite(resampled).any(axis=1)
            out[near[known]] = resampled[known]
    return out


def without_gaps(time: FloatArray, rows: Numbers) -> list[Numbers]:
    """Return the rows of a segment's frames in parts between gaps, steps three times the usual one.

    Parameters
    ----------
    time
        (n,) s.
    rows
        Rows of the segment's frames, in order of time.
    """
    if len(rows) < 3:
        return [rows] if len(rows) else []
    steps = np.diff(time[rows])
    gaps = np.flatnonzero(steps > 3 * np.median(steps)) + 1
    return [np.asarray(part) for part in np.split(rows, gaps)]


def paint_words(
    values: Values,
    start: FloatArray,
    stop: FloatArray,
    word_segment: Numbers,
    target_time: FloatArray,
    target_segment: Numbers,
) -> Values:
    """Return each word's values from its start to its stop, zeros elsewhere.

    A frame belongs to a word where start ≤ t < stop, t its centre. Where words overlap, the one
    that begins later wins (of those that begin together, the later row). Words with a missing edge
    are not painted.

    Parameters
    ----------
    values
        (word, p).
    start, stop, word_segment
        (word,) edges (s) and segment.
    target_time, target_segment
        (m,) times (s) and segments of the frames.

    Returns
    -------
    (m, p), of the type of `values`.
    """
    out = np.zeros((len(target_time), values.shape[1]), dtype=values.dtype)
    frames = _in_order(target_time, target_segment)
    for row in np.argsort(np.where(np.isnan(start), np.inf, start), kind="stable"):
        out[_between(frames, word_segment[row], start[row], stop[row])] = values[row]
    return out


Frames = dict[int, tuple[FloatArray, Numbers]]
"""Times of the frames of each segment in ascending order, and their rows."""


def _in_order(time: FloatArray, segment: Numbers) -> Frames:
    frames: Frames = {}
    for number in np.unique(segment):
        rows = np.flatnonzero(segment == number)
        rows = rows[np.argsort(time[rows], kind="stable")]
        frames[int(number)] = (time[rows], rows)
    return frames


def _between(frames: Frames, segment: Any, start: float, stop: float) -> Numbers:
    """Return the rows of a segment's frames with start ≤ t < stop; none where an edge is NaN."""
    if int(segment) not in frames or not start < stop:
        return np.empty(0, dtype=np.int64)
    time, rows = frames[int(segment)]
    first, last = np.searchsorted(time, [start, stop])
    return rows[first:last]


def window_means(
    values: Values,
    time: FloatArray,
    segment: Numbers,
    start: FloatArray,
    stop: FloatArray,
    word_segment: Numbers,
) -> Values:
    """Average the frames of each word's window, start ≤ t < stop: (word, p).

    NaN where the window is missing or holds no frame.

    Parameters
    ----------
    values, time, segment
        (n, p), (n,) s, (n,).
    start, stop, word_segment
        (word,) edges (s) and segment of the windows.
    """
    out = np.full((len(start), values.shape[1]), np.nan, dtype=values.dtype)
    frames = _in_order(time, segment)
    for row in range(len(start)):
        inside = _between(frames, word_segment[row], start[row], stop[row])
        if len(inside):
            out[row] = values[inside].mean(axis=0, dtype=np.float64)
    return out


def window_flatten(
    values: Values,
    time: FloatArray,
    segment: Numbers,
    start: FloatArray,
    stop: FloatArray,
    word_segment: Numbers,
) -> Values:
    """Concatenate the frames of each word's window: (word, T·p), time before feature.

    All windows get the same T, the number of frames in the shortest window given, from the first
    frame with t ≥ start on. Words whose window is missing or leaves the recording are NaN.

    Parameters
    ----------
    values, time, segment
        (n, p), (n,) s, (n,); evenly spaced within a segment.
    start, stop, word_segment
        (word,) edges (s) and segment of the windows, all of one length.
    """
    lengths = stop - start
    there = np.isfinite(lengths)
    if not there.any() or len(time) < 2:
        return np.full((len(start), 0), np.nan, dtype=values.dtype)
    step = _steps(time, segment)
    count = int(np.floor(lengths[there].min() / step + 1e-6))
    out = np.full((len(start), count, values.shape[1]), np.nan, dtype=values.dtype)
    for row in np.flatnonzero(there):
        here = np.flatnonzero(segment == word_segment[row])
        # Half a microsecond of rounding must not cost a frame.
        first = int(np.searchsorted(time[here], start[row] - 5e-7))
        complete = first + count <= len(here)
        if complete and (first > 0 or time[here[0]] - start[row] < step):
            out[row] = values[here[first : first + count]]
    return out.reshape(len(start), count * values.shape[1])


def trial_means(values: Values, word_index: Numbers, n_words: int) -> Values:
    """Average the frames of each trial, (word, p); NaN for words without a trial.

    Parameters
    ----------
    values
        (frame, p) features of all frames.
    word_index
        (frame,) number of the word of each frame.
    n_words
        Number of words.
    """
    out = np.full((n_words, values.shape[1]), np.nan, dtype=values.dtype)
    for row in range(n_words):
        inside = word_index == row
        if inside.any():
            out[row] = values[inside].mean(axis=0, dtype=np.float64)
    return out


def trial_flatten(values: Values, word_index: Numbers, n_words: int) -> Values:
    """Concatenate each trial's frames, (word, T·p), time before feature; NaN if it is shorter.

    The study's speech features: T = 99 frames of 1024 for trials of 2 s. T is the number of frames
    of the longest trial.

    Parameters
    ----------
    values
        (frame, p) features of all frames.
    word_index
        (frame,) number of the word of each frame.
    n_words
        Number of words.
    """
    counts = np.bincount(word_index, minlength=n_words)
    count = int(counts.max()) if len(word_index) else 0
    out = np.full((n_words, count, values.shape[1]), np.nan, dtype=values.dtype)
    for row in np.flatnonzero(counts == count):
        out[row] = values[word_index == row]
    return out.reshape(n_words, count * values.shape[1])


def _steps(time: FloatArray, segment: Numbers) -> float:
    """Median distance of neighbouring frames within segments, s."""
    steps = np.diff(time)[np.diff(segment) == 0]
    return float(np.median(steps))


def _even(time: FloatArray, what: str) -> float:
    """Step of evenly spaced times (s); a segment of one frame has an infinite step."""
    if len(time) < 2:
        return np.inf
    steps = np.diff(time)
    step = float(np.median(steps))
    # Frames start on whole samples, so a step is off by up to one sample: a third at 300 Hz.
    if step <= 0 or float(np.abs(steps - step).max()) > 0.34 * step:
        raise InputError(
            f"{what} are not evenly spaced: steps from {steps.min():.6g} s to {steps.max():.6g} s",
            expected="times in order, with one step",
            remedy="delete the file they come from and run again",
        )
    return step


def _resample_segment(values: Values, time: FloatArray, target: FloatArray) -> Values:
    from scipy.sparse import csr_array

    step = _even(time, "frames")
    if not np.isfinite(step):
        step = _even(target, "target frames")
        out = np.full((len(target), values.shape[1]), np.nan, dtype=values.dtype)
        out[np.abs(target - time[0]) <= step / 2] = values[0]
        return out
    if len(target) == len(time) and float(np.abs(target - time).max()) < 1e-9 + 1e-6 * step:
        return values
    wide = max(step, _even(target, "target frames")) if len(target) > 1 else step
    cutoff = PASS * 0.5 / wide
    half = CROSSINGS / (2 * cutoff)
    known = (target >= time[0] - step / 2 - 1e-9) & (target <= time[-1] + step / 2 + 1e-9)
    first = np.searchsorted(time, target - half)
    taps = int(np.ceil(2 * half / step)) + 2
    columns = first[:, None] + np.arange(taps)
    valid = (columns < len(time)) & known[:, None]
    columns = np.minimum(columns, len(time) - 1)
    away = target[:, None] - time[columns]
    valid &= np.abs(away) <= half
    inside = np.sqrt(np.clip(1 - (away / half) ** 2, 0, None))
    weights = np.where(valid, np.sinc(2 * cutoff * away) * np.i0(_BETA * inside), 0.0)
    total = weights.sum(axis=1, keepdims=True)
    weights = np.divide(weights, total, out=np.zeros_like(weights), where=total != 0)
    rows = np.repeat(np.arange(len(target)), taps).reshape(columns.shape)
    # Only true neighbours are entries: a stored zero would carry a NaN from beside the window.
    matrix = csr_array(
        (weights[valid], (rows[valid], columns[valid])), shape=(len(target), len(time))
    )
    out = np.empty((len(target), values.shape[1]), dtype=values.dtype)
    for a in range(0, values.shape[1], _COLUMNS):
        some = slice(a, a + _COLUMNS)
        out[:, some] = matrix @ values[:, some].astype(np.float64)
    out[~known] = np.nan
    return out
