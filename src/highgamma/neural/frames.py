"""Windows of samples: the study's frames, their times, which of them are valid, and means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from highgamma.neural.settings import FEW_SAMPLES, NeuralSettings

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of samples of one segment.

    Attributes
    ----------
    start, stop
        (window,), first sample and the one after the last.
    """

    start: IntArray
    stop: IntArray

    def __len__(self) -> int:
        return len(self.start)

    def times(self, rate: float) -> FloatArray:
        """Return the centre of each window, the mean time of its samples, s from sample 0."""
        return (self.start + self.stop - 1) / (2 * rate)

    def apart_from_edges(self, *, rate: float, n_samples: int, edge: float) -> NDArray[np.bool_]:
        """Tell which windows lie at least `edge` seconds away from both ends of the segment."""
        margin = edge * rate
        return (self.start >= margin) & (self.stop <= n_samples - margin)

    def __add__(self, other: Windows) -> Windows:
        return Windows(
            np.concatenate([self.start, other.start]), np.concatenate([self.stop, other.stop])
        )


def whole_steps(rate: float, shift: float) -> bool:
    """Return whether a step is few samples, but a whole number of them.

    The script's arithmetic would make some steps a sample shorter (0.29 · 200 is 57.99…).
    """
    samples = shift * rate
    return samples < FEW_SAMPLES and abs(samples - round(samples)) < 1e-6 and round(samples) > 0


def frame_windows(n_samples: int, *, rate: float, window: float, shift: float) -> Windows:
    """Cut a segment into frames, as the data set's official script does.

    `n = floor((N - window rate) / (shift rate))`, `start = floor(w shift rate)`,
    `stop = floor(start + window rate)` for w = 0 … n - 1.

    Parameters
    ----------
    n_samples
        Length of the segment.
    rate
        Hz.
    window, shift
        Length of a frame and step from one to the next, s.
    """
    n_frames = max(0, int(np.floor((n_samples - window * rate) / (shift * rate))))
    if whole_steps(rate, shift):
        start = np.arange(n_frames) * round(shift * rate)
        return Windows(start, np.floor(start + window * rate).astype(np.int64))
    # The order of the products is the script's: another order rounds differently.
    start = np.floor((np.arange(n_frames) * shift) * rate).astype(np.int64)
    stop = np.floor(start + window * rate).astype(np.int64)
    return Windows(start, stop)


def settings_windows(settings: NeuralSettings, *, rate: float, n_samples: int) -> Windows:
    """Cut a segment into frames of the settings' window and shift."""
    return frame_windows(n_samples, rate=rate, window=settings.window, shift=settings.shift)


def window_means(values: FloatArray, windows: Windows) -> FloatArray:
    """Average `values` (sample, electrode) in every window: (window, electrode)."""
    means = np.empty((len(windows), values.shape[1]))
    for row, (start, stop) in enumerate(zip(windows.start, windows.stop, strict=True)):
        # Sum by sum rather than differences of one cumulative sum: exact at any length.
        means[row] = values[start:stop].mean(axis=0)
    return means


@dataclass(frozen=True, slots=True)
class Piece:
    """How a piece of a recording falls into windows.

    Attributes
    ----------
    rows
        Windows that the piece touches.
    cuts
        (cut,), sorted samples of the piece at which a window starts or stops; the last one is
        never beyond its end.
    start, stop
        (row,), places among the cuts (the place after the last is the piece's end).
    """

    rows: slice | IntArray
    cuts: IntArray
    start: IntArray
    stop: IntArray


def cut_piece(windows: Windows, *, first: int, last: int) -> Piece | None:
    """Find where windows start and stop within samples [first, last); None if none touches them."""
    start = np.clip(windows.start, first, last) - first
    stop = np.clip(windows.stop, first, last) - first
    touched = np.flatnonzero(stop > start)
    if not len(touched):
        return None
    consecutive = len(touched) == touched[-1] - touched[0] + 1
    rows = slice(int(touched[0]), int(touched[-1]) + 1) if consecutive else touched
    cuts = np.unique(np.concatenate([start[touched], stop[touched]]))
    return Piece(
        rows,
        cuts[cuts < last - first],
        np.searchsorted(cuts, start[touched]),
        np.searchsorted(cuts, stop[touched]),
    )


def piece_sums(values: NDArray[np.float32], piece: Piece) -> FloatArray:
    """Sum a piece of a recording within each window that it touches.

    Sums between neighbouring cuts, then differences of their cumulative sum: the cost does not
    depend on how long or how many the windows are, and a window that spans several pieces is
    completed by them in turn.

    Parameters
    ----------
    values
        (electrode, sample), the piece.
    piece
        From `cut_piece`.

    Returns
    -------
    sums : (electrode, row of the piece)
    """
    between = np.add.reduceat(values, piece.cuts, axis=1, dtype=np.float64)
    cumulative = np.zeros((len(values), between.shape[1] + 1))
    np.cumsum(between, axis=1, out=cumulative[:, 1:])
    return np.asarray(cumulative[:, piece.stop] - cumulative[:, piece.start])
