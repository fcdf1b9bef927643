"""One type for whatever is read piece by piece: recordings, sound, and arrays in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highgamma.errors import InputError, nearest

Values = NDArray[np.floating[Any]]
Fetch = Callable[[int, int, Sequence[int]], Values]

ALL = slice(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Channels of one segment, read piece by piece.

    Attributes
    ----------
    names
        Names of the channels, in order.
    rate
        Samples per second.
    n_samples
        Number of samples.
    fetch
        ``fetch(start, stop, columns)`` returns (samples, columns); `read` is the way to call it.
    start
        Time of sample 0 on the segment's clock, s: sample i is at ``start + i / rate``.
    where
        The file, for messages.
    piece
        Most samples that are fetched at a time; None to fetch all at once.
    """

    names: tuple[str, ...]
    rate: float
    n_samples: int
    fetch: Fetch
    start: float = 0.0
    where: str | None = None
    piece: int | None = None

    @classmethod
    def of_array(
        cls,
        values: Any,
        *,
        rate: float,
        names: Sequence[str] | None = None,
        start: float = 0.0,
        where: str | None = None,
    ) -> Reader:
        """Read an array (samples, channels), in memory or in a file that can be sliced.

        Parameters
        ----------
        values
            (samples, channels) numpy array or HDF5 data set.
        rate
            Samples per second.
        names
            Names of the channels; numbers from 0 if None.
        start, where
            As the attributes.
        """
        n_samples, n_channels = values.shape
        return Reader(
            names=tuple(names) if names is not None else tuple(map(str, range(n_channels))),
            rate=rate,
            n_samples=n_samples,
            fetch=lambda first, last, columns: columns_of(values, first, last, columns),
            start=start,
            where=where,
        )

    @property
    def duration(self) -> float:
        """Length in seconds: samples / rate."""
        return self.n_samples / self.rate

    def read(self, start: int = 0, stop: int | None = None, channels: slice = ALL) -> Values:
        """Read a stretch of some or all channels.

        Parameters
        ----------
        start, stop
            First sample and the one after the last; what lies beyond either end is left out.
        channels
            A range of channels.

        Returns
        -------
        values : (samples, channels)
            µV for voltages.
        """
        columns = range(*channels.indices(len(self.names)))
        first = max(0, start)
        last = self.n_samples if stop is None else min(stop, self.n_samples)
        if not columns:
            return np.empty((max(0, last - first), 0))
        if self.piece is None:
            return self.fetch(first, last, columns)
        values = np.empty((max(0, last - first), len(columns)))
        for begin in range(first, last, self.piece):
            end = min(begin + self.piece, last)
            values[begin - first : end - first] = self.fetch(begin, end, columns)
        return values

    def select(self, names: Sequence[str]) -> Reader:
        """Return a reader of some channels, in the order wanted.

        Raises
        ------
        InputError
            If a channel does not exist.
        """
        position = {name: index for index, name in enumerate(self.names)}
        for name in names:
            if name not in position:
                raise InputError(
                    f"the recording has no channel {name!r}{nearest(name, self.names)}",
                    where=self.where,
                    expected=f"one of the {len(self.names)} channels, such as {self.names[0]!r}",
                    remedy="correct the channel's name in the config or in channels.tsv",
                )
        chosen = [position[name] for name in names]
        return Reader(
            names=tuple(names),
            rate=self.rate,
            n_samples=self.n_samples,
            fetch=lambda first, last, columns: self.fetch(
                first, last, [chosen[column] for column in columns]
            ),
            start=self.start,
            where=self.where,
            piece=self.piece,
        )


def columns_of(values: Any, start: int, stop: int, columns: Sequence[int]) -> Values:
    """Read columns of a two-dimensional array: one contiguous slab, then a choice in memory.

    Picking columns inside HDF5 is far slower.
    """
    low, high = min(columns), max(columns) + 1
    slab = np.asarray(values[start:stop, low:high])
    if list(columns) == list(range(low, high)):
        return slab
    return np.asarray(slab[:, [column - low for column in columns]])
