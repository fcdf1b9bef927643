"""Word-level targets: the mean of the full-rate envelope over a window around each word.

The envelope is computed again from the raw recording and averaged sample by sample. It is not
stored, and means of frames are not used in its place.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from highgamma import neural
from highgamma.errors import InputError, nearest
from highgamma.neural.frames import Windows
from highgamma.recording.reader import Reader

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

FloatArray = NDArray[np.float64]

EVENTS = {"prompt": "onset", "voice": "voice_onset"}
"""What a window may be aligned to, and the column of the table of words that holds it."""

LOG = logging.getLogger("highgamma")


@dataclass(frozen=True, slots=True, kw_only=True)
class WordWindows:
    """Windows of samples, one for each word.

    Attributes
    ----------
    start, stop
        (word,), first sample and the one after the last, from the segment's start; 0 if there is
        no window.
    valid
        (word,); whether the window lies inside the segment.
    edge
        (word,); whether it touches the segment's first or last `edge` seconds, where the filter
        has not settled.
    """

    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    valid: NDArray[np.bool_]
    edge: NDArray[np.bool_]


def event_times(words: pd.DataFrame, align: str) -> FloatArray:
    """Return the time of the event that each word's window is aligned to, s: (word,).

    It is NaN for a word without the event.

    Raises
    ------
    InputError
        If the alignment is unknown, or if no word has the event.
    """
    if align not in EVENTS:
        raise InputError(
            f"windows cannot be aligned to {align!r}{nearest(align, tuple(EVENTS))}",
            where="analyses.*.align",
            expected=f"one of {', '.join(EVENTS)}",
            remedy="correct the value in the config",
        )
    column = EVENTS[align]
    if column not in words:
        times = np.full(len(words), np.nan)
    else:
        times = words[column].to_numpy(dtype=float, na_value=np.nan)
    if not np.isfinite(times).any():
        raise InputError(
            f"none of the {len(words)} words has a {align} onset",
            where="words",
            expected=f"numbers in the column {column!r}",
            remedy="set the analysis's align to prompt, or give the data set's audio "
            "(dataset.audio), in which the voice is found",
        )
    return times


def word_windows(
    events: FloatArray,
    *,
    start: float,
    stop: float,
    rates: FloatArray,
    lengths: NDArray[np.int64],
    edge: float,
) -> WordWindows:
    """Return the samples of `[event + start, event + stop)` of each word.

    The first sample is `floor((event + start) rate + 1/2)`, and every window has the same
    `floor((stop - start) rate + 1/2)` samples.

    Parameters
    ----------
    events
        (word,), s, NaN for none.
    start, stop
        Of the window, s from the event.
    rates, lengths
        (word,), of the word's segment, Hz and samples.
    edge
        Where the filter has not settled at either end of a segment, s.

    Raises
    ------
    InputError
        If a window is empty, or leaves the recording for more than half of the words.
    """
    n_samples = np.floor((stop - start) * rates + 0.5).astype(np.int64)
    if (n_samples < 1).any():
        raise InputError(
            f"the window from {start:g} to {stop:g} s holds no sample",
            where="analyses.*.window",
            expected="two times in seconds, the earlier one first",
            remedy="write for example window: [0, 1]",
        )
    known = np.isfinite(events)
    first = np.zeros(len(events), np.int64)
    first[known] = np.floor((events[known] + start) * rates[known] + 0.5)
    last = first + n_samples
    inside = (first >= 0) & (last <= lengths)
    outside = known & ~inside
    if outside.sum() > known.sum() / 2:
        raise InputError(
            f"the window from {start:g} to {stop:g} s leaves the recording for "
            f"{outside.sum()} of {known.sum()} words",
            where="analyses.*.window",
            expected="windows inside the recording for at least half of the words",
            remedy="check the window, and that the events' onsets are seconds from the start of "
            "the recording",
        )
    valid = known & inside
    touching = valid & ((first < edge * rates) | (last > lengths - edge * rates))
    return WordWindows(
        start=np.where(valid, first, 0),
        stop=np.where(valid, last, 0),
        valid=valid,
        edge=touching,
    )


def targets(
    recordings: Sequence[Reader],
    electrodes: neural.Electrodes,
    words: pd.DataFrame,
    settings: neural.NeuralSettings,
    *,
    align: str,
    start: float,
    stop: float,
    threads: int = 1,
) -> xr.Dataset:
    """Average the envelope over each word's window, for every electrode.

    Parameters
    ----------
    recordings
        The electrodes' voltages, µV, one reader for each segment.
    electrodes
        The electrodes.
    words
        The table of words (columns `segment`, `word`, `onset`, `voice_onset`).
    settings
        Settings of the signal.
    align
        `prompt` or `voice`.
    start, stop
        Of the window, s from the event.
    threads
        For the transforms of the fft method.

    Returns
    -------
    target : Dataset
        `target(word, channel)` on the settings' scale (µV by default), with the coordinates
        `word_index`, `word`, `segment`, `start`, `stop` (s from the segment's start), `valid` and
        `edge` along `word`, and x, y, z, region, flat along `channel`. A word without the event,
        or whose window leaves its segment, has valid 0 and NaN in its row. A window that touches
        the edge of its segment keeps valid 1 (the study uses its first word, at 0 s) and has
        edge 1, so that the fit can decide.

    Raises
    ------
    InputError
        See `event_times`, `word_windows` and `neural.prepare`.
    """
    import xarray as xr

    events = event_times(words, align)
    segment = words["segment"].to_numpy(dtype=np.int64)
    if len(segment) and segment.max() >= len(recordings):
        raise InputError(
            f"the words belong to {segment.max() + 1} segments, but there are {len(recordings)} "
            "recordings",
            where="words",
            remedy="run the recording stage again, so that words and recordings agree",
        )
    rates = np.array([r.rate for r in recordings])[segment]
    lengths = np.array([r.n_samples for r in recordings])[segment]
    windows = word_windows(
        events, start=start, stop=stop, rates=rates, lengths=lengths, edge=settings.edge
    )
    _warn(windows, events, align)
    prepared = neural.prepare(recordings, electrodes, settings)
    target = _means(prepared, windows, segment, settings, threads=threads)
    absent = ~windows.valid
    seconds = {"units": "s"}
    return xr.Dataset(
        {"target": (("word", "channel"), target, {"units": settings.units})},
        coords={
            "word": ("word", words["word"].astype(str).to_numpy(dtype=object)),
            "word_index": ("word", np.arange(len(words), dtype=np.int32)),
            "segment": ("word", segment.astype(np.int16)),
            "start": ("word", np.where(absent, np.nan, windows.start / rates), seconds),
            "stop": ("word", np.where(absent, np.nan, windows.stop / rates), seconds),
            "valid": ("word", windows.valid.astype(np.int8)),
            "edge": ("word", windows.edge.astype(np.int8), {"edge_s": settings.edge}),
            **neural.channel_coordinates(prepared),
        },
        attrs={"align": align, "window_s": [start, stop]},
    )


def _means(
    prepared: neural.PreparedRecordings,
    windows: WordWindows,
    segment: NDArray[np.int64],
    settings: neural.NeuralSettings,
    *,
    threads: int,
) -> FloatArray:
    """Mean envelope in the window of each word, (word, electrode), NaN without a window.

    On a scale that depends on the whole recording, its statistics are those of the frames.
    """
    rows = [np.flatnonzero(windows.valid & (segment == i)) for i in range(len(prepared.recordings))]
    of_words = [Windows(windows.start[r], windows.stop[r]) for r in rows]
    of_frames = neural.frames_of(prepared, settings)
    valid = np.concatenate(neural.valid_frames(prepared, of_frames, settings))
    if not neural.needs_statistics(settings):
        of_frames = [Windows(f.start[:0], f.stop[:0]) for f in of_frames]
        valid = valid[:0]
    both = [f + w for f, w in zip(of_frames, of_words, strict=True)]
    is_frame = np.concatenate(
        [np.arange(len(b)) < len(f) for f, b in zip(of_frames, both, strict=True)]
    )
    means = np.full((len(segment), len(prepared.montage)), np.nan)
    order = np.concatenate(rows)
    for electrodes, values in neural.envelope_blocks(prepared, settings, both, threads=threads):
        means[order, electrodes] = neural.scaled(
            values[:, ~is_frame], settings, frames=values[:, is_frame], valid=valid
        )
    return means


def _warn(windows: WordWindows, events: FloatArray, align: str) -> None:
    without = int((~np.isfinite(events)).sum())
    outside = int((~windows.valid).sum()) - without
    if without:
        LOG.warning("%d word(s) have no %s onset and no target", without, align)
    if outside:
        LOG.warning("the windows of %d word(s) leave the recording: no target", outside)
