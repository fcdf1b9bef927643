"""Trials: the frames around the onset of each word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from highgamma.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Trials:
    """Frames of complete trials.

    Attributes
    ----------
    index
        (trial, time) frame nearest to each time.
    time
        (time,) s from the onset.
    word_index
        (trial,) row in the table of words.
    aligned_to
        `voice` or `prompt`.
    n_incomplete
        Number of trials left out because not all of their frames were held out.
    n_without_onset
        Number of trials left out because the word has no onset.
    """

    index: IntArray
    time: FloatArray
    word_index: IntArray
    aligned_to: str
    n_incomplete: int
    n_without_onset: int


def frame_step(time: FloatArray, segment: IntArray) -> float:
    """Return the mean step between neighbouring frames, in s.

    Gaps left by excluded frames do not count.

    Parameters
    ----------
    time, segment
        (sample,) s and number of the segment, in the order of segment and time.

    Raises
    ------
    InputError
        If no two frames are neighbours.
    """
    steps = np.diff(time)[np.diff(segment) == 0]
    if not len(steps):
        raise InputError("there are no neighbouring frames", expected="an analysis of frames")
    return float(np.round(steps[steps < 1.5 * np.median(steps)].mean(), 6))


def find_trials(
    time: FloatArray, segment: IntArray, words: pd.DataFrame, *, window: tuple[float, float]
) -> Trials:
    """Find the frames around each word's onset.

    The onset is the voice's if at least half of the words have one, else the prompt's, for all
    words alike: a mean over both would blur two events. Words without an onset are left out.

    Parameters
    ----------
    time, segment
        (sample,) s and number of the segment, in the order of segment and time.
    words
        Table of words with `segment`, `onset`, `voice_onset` (s).
    window
        First and last time from the onset, s.
    """
    voice = words["voice_onset"].to_numpy(dtype=float, na_value=np.nan)
    aligned_to = "voice" if len(words) and np.isfinite(voice).mean() >= 0.5 else "prompt"
    onset = voice if aligned_to == "voice" else words["onset"].to_numpy(dtype=float)
    known = np.flatnonzero(np.isfinite(onset))
    step = frame_step(time, segment)
    at = np.arange(int(np.ceil(window[0] / step - 1e-6)), int(window[1] / step + 1e-6) + 1) * step
    index = np.full((len(known), len(at)), -1, dtype=np.int64)
    word_segment = words["segment"].to_numpy(dtype=np.int64)[known]
    for number in np.unique(word_segment):
        frames = np.flatnonzero(segment == number)
        if not len(frames):
            continue
        rows = np.flatnonzero(word_segment == number)
        wanted = onset[known[rows], None] + at
        after = np.clip(np.searchsorted(time[frames], wanted), 1, max(len(frames) - 1, 1))
        after = np.minimum(after, len(frames) - 1)
        before = np.maximum(after - 1, 0)
        nearer = np.where(
            np.abs(time[frames[before]] - wanted) <= np.abs(time[frames[after]] - wanted),
            before,
            after,
        )
        nearest = frames[nearer]
        index[rows] = np.where(np.abs(time[nearest] - wanted) <= 0.75 * step, nearest, -1)
    whole = (index >= 0).all(axis=1)
    return Trials(
        index=index[whole],
        time=np.round(at, 9),
        word_index=known[whole].astype(np.int64),
        aligned_to=aligned_to,
        n_incomplete=int((~whole).sum()),
        n_without_onset=len(words) - len(known),
    )
