"""Spans of samples, their masks, and recordings that are read with such spans bridged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highgamma.neural.frames import Windows
from highgamma.neural.montage import Montage
from highgamma.recording.reader import Reader, Values

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NOTHING: IntArray = np.empty((0, 2), np.int64)
"""No span."""


def merged(spans: IntArray, *, apart: int = 0) -> IntArray:
    """Sort spans (span, 2) and join those that overlap or lie at most `apart` samples apart."""
    if not len(spans):
        return NOTHING
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    reach = np.maximum.accumulate(spans[:, 1])
    new = np.flatnonzero(spans[1:, 0] > reach[:-1] + apart) + 1
    first = np.concatenate([[0], new])
    last = np.concatenate([new, [len(spans)]]) - 1
    return np.stack([spans[first, 0], reach[last]], axis=1).astype(np.int64)


def widened(spans: IntArray, by: int, n_samples: int) -> IntArray:
    """Widen spans by samples on either side, within the segment, and join those that meet."""
    return merged(np.clip(spans + np.array([-by, by]), 0, n_samples))


@dataclass(frozen=True, slots=True)
class Mask:
    """The samples of each signal of a segment that are left out.

    Attributes
    ----------
    spans
        For each signal (span, 2): first sample and the one after the last, sorted and disjoint.
    most
        Share of a window's samples beyond which the window has no value.
    """

    spans: tuple[IntArray, ...]
    most: float = 0.5

    @classmethod
    def empty(cls, n_signals: int) -> Mask:
        """Mask nothing."""
        return cls((NOTHING,) * n_signals)

    def through(self, montage: Montage) -> Mask:
        """Return the mask of re-referenced signals: that of the channels that make them up."""
        spans = []
        for signal in range(len(montage)):
            parts = [self.spans[i] for i in montage.makers(signal)]
            spans.append(merged(np.concatenate(parts)) if len(parts) > 1 else parts[0])
        return replace(self, spans=tuple(spans))

    def share(self, n_samples: int) -> FloatArray:
        """Return the share of masked samples of each signal, (signal,)."""
        return np.array([(s[:, 1] - s[:, 0]).sum() / n_samples for s in self.spans])

    def silence(self, values: NDArray[Any], *, first: int, signals: Sequence[int]) -> None:
        """Set the masked samples of `values` (signal, sample) to 0; sample 0 is `first`."""
        for row, signal in zip(values, signals, strict=True):
            spans = self.spans[signal]
            if not len(spans):
                continue
            begin = int(np.searchsorted(spans[:, 1], first, side="right"))
            for start, stop in spans[begin:]:
                if start >= first + len(row):
                    break
                row[max(0, start - first) : stop - first] = 0

    def masked(self, windows: Windows, signals: slice = slice(None)) -> IntArray:
        """Count the masked samples in each window, (signal, window)."""
        spans = self.spans[signals]
        counts = np.zeros((len(spans), len(windows)), np.int64)
        for row, some in zip(counts, spans, strict=True):
            if len(some):
                row += _before(some, windows.stop) - _before(some, windows.start)
        return counts

    def correct(self, means: FloatArray, windows: Windows, signals: slice) -> None:
        """Turn means (…, signal, window) with masked samples as 0 into means of the others.

        A window with more than a share of `most` masked becomes NaN.
        """
        width = windows.stop - windows.start
        for row, signal in enumerate(range(*signals.indices(len(self.spans)))):
            if not len(self.spans[signal]):
                continue
            masked = self.masked(windows, slice(signal, signal + 1))[0]
            left = np.where(masked > np.minimum(self.most * width, width - 1), np.nan, width)
            means[..., row, :] *= left / np.maximum(width - masked, 1)


def _before(spans: IntArray, samples: IntArray) -> IntArray:
    """Count the samples within spans before each of some samples."""
    lengths = np.concatenate([[0], np.cumsum(spans[:, 1] - spans[:, 0])])
    begun = np.searchsorted(spans[:, 0], samples, side="right")
    beyond = np.where(begun > 0, np.maximum(spans[begun - 1, 1] - samples, 0), 0)
    return np.asarray(lengths[begun] - beyond)


def bridged(recording: Reader, spans: Sequence[IntArray]) -> Reader:
    """Read a recording with spans of its channels replaced by half a cosine from end to end.

    It has neither jumps nor corners, so that a filter does not ring at a span's ends. At an end of
    the segment the value at the span's other end goes on; a span as long as the segment stays as
    it is.

    Parameters
    ----------
    recording
        The channels.
    spans
        (span, 2) of each channel, sorted and disjoint.
    """
    if not any(len(some) for some in spans):
        return recording
    n_samples = recording.n_samples

    def value(sample: int, column: int) -> float:
        return float(recording.read(sample, sample + 1, slice(column, column + 1))[0, 0])

    def fetch(start: int, stop: int, columns: Sequence[int]) -> Values:
        low, high = min(columns), max(columns) + 1
        voltage = recording.read(start, stop, slice(low, high))
        if list(columns) != list(range(low, high)):
            voltage = voltage[:, [column - low for column in columns]]
        copied = False
        for place, column in enumerate(columns):
            some = spans[column]
            for first, last in some[(some[:, 0] < stop) & (some[:, 1] > start)]:
                if first == 0 and last == n_samples:
                    continue
                if not copied:
                    voltage, copied = np.array(voltage, dtype=np.float64), True
                # A span that reaches out of the stretch ends on samples that are read for it.
                ends = [
                    voltage[i - start, place] if start <= i < stop else value(i, column)
                    for i in (first - 1, last)
                    if 0 <= i < n_samples
                ]
                samples = np.arange(max(first, start), min(last, stop))
                rise = 0.5 - 0.5 * np.cos(np.pi * (samples - first + 1) / (last - first + 1))
                voltage[samples - start, place] = ends[0] + (ends[-1] - ends[0]) * rise
        return voltage

    return replace(recording, fetch=fetch, piece=None)
