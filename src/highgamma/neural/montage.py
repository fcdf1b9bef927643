"""Signals after re-referencing: which there are, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from highgamma.recording.reader import Reader, Values

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Sources = tuple[tuple[int, float], ...]
"""The recorded channels in one signal: pairs of index and weight."""

WEIGHT = 0.25
"""Smallest weight of a recorded channel that makes up a signal, so that its artefacts are the
signal's: that of a neighbour in a Laplacian. An average of more channels is not made up by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Montage:
    """Signals after re-referencing, each a weighted sum of recorded channels.

    Attributes
    ----------
    names
        (signal,).
    sources
        (signal,); the first channel is the one that the signal's region is taken from. The
        average is not among them.
    positions
        (signal, 3), mm, NaN where unknown.
    flat
        (signal,); whether it carries no signal, or is made with a channel that carries none.
    average
        Recorded channels whose mean is subtracted from all signals that are not flat; empty for
        none. (It could be written as weights, at the cost of a product with all channels for
        each block.)
    """

    names: tuple[str, ...]
    sources: tuple[Sources, ...]
    positions: FloatArray
    flat: BoolArray
    average: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def origin(self) -> list[int]:
        """The recorded channel that each signal takes its region from."""
        return [sources[0][0] for sources in self.sources]

    @property
    def subtracted(self) -> FloatArray:
        """Weight of the average in each signal, (signal,): 1 if it is subtracted, else 0."""
        return (~self.flat).astype(np.float64)

    @property
    def reads_as_recorded(self) -> bool:
        """Whether the signals are the recorded channels, apart from a subtracted average."""
        return all(sources == ((i, 1.0),) for i, sources in enumerate(self.sources))

    @property
    def is_as_recorded(self) -> bool:
        """Whether nothing is changed."""
        return self.reads_as_recorded and not self.average

    def makers(self, signal: int) -> list[int]:
        """Return the recorded channels that make up a signal: those of some weight in it."""
        return [i for i, weight in self.sources[signal] if abs(weight) >= WEIGHT]

    def counted(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Sum what was counted in channels (…, channel) over those that make up each signal."""
        signals = range(len(self))
        return np.stack([counts[..., self.makers(i)].sum(axis=-1) for i in signals], axis=-1)

    def lines(self, trend: FloatArray) -> FloatArray:
        """Return the signals' straight lines from the channels', (2, channel) to (2, signal)."""
        new = np.stack([sum(w * trend[:, i] for i, w in s) for s in self.sources], axis=1)
        if self.average:
            new -= trend[:, list(self.average)].mean(axis=1, keepdims=True) * self.subtracted
        return np.asarray(new)


def rereferenced(recording: Reader, montage: Montage, *, piece: int = 2**22) -> Reader:
    """Read a recording through a montage.

    An average is computed once, piece by piece (`piece` values at a time), and kept: 8 bytes a
    sample.

    Parameters
    ----------
    recording
        The channels that the montage was made for, µV.
    montage
        The signals after re-referencing.
    """
    average = None
    if montage.average:
        average = _average(recording, montage.average, piece=piece)
    reads_as_recorded, subtracted = montage.reads_as_recorded, montage.subtracted

    def fetch(start: int, stop: int, columns: Sequence[int]) -> Values:
        block = slice(columns[0], columns[-1] + 1)
        if reads_as_recorded:
            voltage = recording.read(start, stop, block)
        else:
            used = [i for column in columns for i, _ in montage.sources[column]]
            low, high = min(used), max(used) + 1
            weights = np.zeros((high - low, len(columns)))
            for place, column in enumerate(columns):
                for i, weight in montage.sources[column]:
                    weights[i - low, place] = weight
            voltage = recording.read(start, stop, slice(low, high)) @ weights
        if average is not None:
            voltage = voltage - average[start:stop, None] * subtracted[block]
        return voltage

    return replace(recording, names=montage.names, fetch=fetch, piece=None)


def _average(recording: Reader, channels: tuple[int, ...], *, piece: int) -> FloatArray:
    """Mean of some channels at every sample, (sample,)."""
    n_samples, n_channels = recording.n_samples, len(recording.names)
    average = np.empty(n_samples)
    step = max(1, piece // n_channels)
    for start in range(0, n_samples, step):
        stop = min(start + step, n_samples)
        voltage = recording.read(start, stop)
        live = voltage if len(channels) == n_channels else voltage[:, list(channels)]
        average[start:stop] = live.mean(axis=1)
    return average
