"""What every kind of model gives: features of all layers, in pieces, with their place in time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highgamma import store
from highgamma.errors import InputError

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

GROUPS = "feature_groups"
"""Attribute of embeddings whose features come in groups: JSON, a list of each group's name and
number of features."""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Features of one model for one participant.

    Parameters
    ----------
    unit
        `word`: a sample is a word; `frame`: a moment of the recording; `trial-frame`: a moment of
        one trial, whose audio the model heard alone.
    layers
        Layer numbers, 0 to L.
    width
        Features in each layer.
    coordinates
        Along the samples: `word_index` and `word`; `time` (s) and `segment`; or `word_index` and
        `time` (s from the start of the trial).
    blocks
        Arrays (layer, n, feature), float32, whose samples follow one another; the n add up to the
        number of samples. A missing sample is a row of NaN.
    attributes
        Further attributes, such as `rate_hz` of frames.
    """

    unit: str
    layers: list[int]
    width: int
    coordinates: dict[str, NDArray[Any]]
    blocks: Iterable[Float32Array]
    attributes: dict[str, float | int | str] = field(default_factory=dict)

    @property
    def n_samples(self) -> int:
        """Number of samples over all blocks."""
        return len(next(iter(self.coordinates.values())))


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one participant in time order, as columns of equal length.

    Times are seconds since the start of the word's segment; a voice that was not found is NaN.
    `reading` is the place of each word in the text, which is not that of its onset where people
    talk at once.
    """

    word: tuple[str, ...]
    segment: IntArray
    onset: FloatArray
    offset: FloatArray
    voice_onset: FloatArray
    voice_offset: FloatArray
    reading: IntArray | None = None

    def reading_order(self) -> IntArray:
        """Return the rows in the order in which the words are read, segment by segment."""
        place = np.arange(len(self.word)) if self.reading is None else self.reading
        return np.lexsort((place, self.segment)).astype(np.int64)

    def edges(self, mark: str) -> tuple[FloatArray, FloatArray]:
        """Start and stop of the words (s) by the `voice` or the `prompt`."""
        if mark == "voice":
            return self.voice_onset, self.voice_offset
        return self.onset, self.offset


@dataclass(frozen=True, slots=True)
class Audio:
    """Mono audio of one participant.

    Parameters
    ----------
    samples
        (n,), float32, within ±1; segments follow one another.
    rate
        Samples per second, as measured, not as declared.
    segment, first, start
        For each segment: its number, index of its first sample, and that sample's time (s).
    """

    samples: Float32Array
    rate: float
    segment: tuple[int, ...]
    first: tuple[int, ...]
    start: tuple[float, ...]

    def parts(self) -> list[tuple[int, float, Float32Array]]:
        """Number, start (s) and samples of each segment."""
        ends = [*self.first[1:], len(self.samples)][: len(self.first)]
        return [
            (number, start, self.samples[a:b])
            for number, start, a, b in zip(self.segment, self.start, self.first, ends, strict=True)
        ]

    def required(self) -> Audio:
        """Return this audio; raise an `InputError` if the recording has none."""
        if len(self.samples) == 0:
            raise InputError(
                "this recording has no audio, and the model requires audio",
                where="dataset.audio",
                expected="an NWB series `Audio`, a sound file next to the recording, or a channel",
                remedy="set dataset.audio.source, or take models of kind text, static or channel",
            )
        return self


def frame_windows(n: int, rate: float, window: float, shift: float) -> tuple[IntArray, int]:
    """Return first samples and common length of the frames of a signal.

    As the data set's official script has it: `floor((n − window·rate) / (shift·rate))` frames,
    frame w from sample `floor(w·shift·rate)`; the length is `window·rate` to the nearest sample,
    so that a clock a little slow does not shorten it.

    Parameters
    ----------
    n
        Number of samples.
    rate
        Samples per second.
    window, shift
        Length and distance of the frames, s.
    """
    length = round(window * rate)
    count = max(0, int(np.floor((n - window * rate) / (shift * rate))))
    first = np.floor(np.arange(count) * shift * rate).astype(np.int64)
    return first[first + length <= n], length


def read_audio(path: str | Path) -> Audio:
    """Read an audio file of the stage recording; it may hold no sound."""
    with store.open_dataset(path) as opened:
        segment = opened["segment"].to_numpy()
        if len(segment) == 0:
            return Audio(np.empty(0, np.float32), float("nan"), (), (), ())
        first = np.array([0, *(np.flatnonzero(np.diff(segment)) + 1)])
        # The times of an hour's sound would take half a gigabyte; the first of each will do.
        start = [float(opened["time"][int(i)]) for i in first]
        return Audio(
            samples=opened["audio"].to_numpy().astype(np.float32, copy=False),
            rate=float(opened.attrs["rate_hz"]),
            segment=tuple(int(segment[i]) for i in first),
            first=tuple(int(i) for i in first),
            start=tuple(start),
        )
