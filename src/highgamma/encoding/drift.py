"""Slow drift and the levels of recordings, removed from targets and features alike.

Nonsense correlations between two series that both drift are common, and neither circular shifts
nor permutations account for them: a trend is not stationary (Harris, bioRxiv 2020.11.29.402719;
Yuan & Shou, PLOS Biology 2024). What is slower than a given period, and the mean of each
recording, is therefore taken out before anything is fitted.

Frames: out of features, signal and every surrogate. Words: out of the envelope in frames, before it
is averaged in their windows, and shifted so for the null. Words themselves are too few to be
projected: k dimensions taken out of both sides of n words tie each word to the others by the same
sums, and a model with more features than words finds a word that is left out from these alone (a
skill of 0.998 on pure noise, 100 words, 10 cosines).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from highgamma.encoding.splits import FloatArray, IntArray, Rows
from highgamma.encoding.statistics import Real, slabs
from highgamma.encoding.surrogates import Windowed, window_means

LARGEST_SHARE = 0.25
"""Most of a recording's samples that its slow functions may count."""


def slow_functions(rows: Rows, period: float | None) -> FloatArray:
    """Return an orthonormal basis (n, k) of what is slow in each recording.

    Of a recording of T seconds these are the constant and the cosines cos(π j t/T) with periods
    2T/j of at least `period`, zero in all other recordings.

    Parameters
    ----------
    rows
        Where the samples (n) lie in time; a sample's time is the middle of its window.
    period
        The shortest period (s) that counts as drift. Without one the basis is empty, (n, 0).
    """
    if period is None:
        return np.zeros((len(rows), 0))
    time = (rows.start + rows.stop) / 2
    columns = []
    for number in np.unique(rows.segment):
        here = np.flatnonzero(rows.segment == number)
        since = time[here] - time[here].min()
        duration = float(since.max())
        count = int(2 * duration / period + 1e-9) if duration > 0 else 0
        count = min(count, int(LARGEST_SHARE * len(here)))
        phase = np.pi * since / duration if duration > 0 else since
        functions = np.cos(phase[:, None] * np.arange(count + 1))
        column = np.zeros((len(rows), count + 1))
        column[here] = np.linalg.qr(functions)[0]
        columns.append(column)
    return np.concatenate(columns, axis=1)


def without(values: Real, basis: FloatArray) -> Real:
    """Return values (n, m) less their projection on an orthonormal basis (n, k), a new array."""
    if not basis.shape[1]:
        return values
    return np.asarray(values - basis @ (basis.T @ values), dtype=values.dtype)


def targets_without(targets: FloatArray, basis: FloatArray) -> FloatArray:
    """Return targets (n, t) less what is slow, at each channel's mean.

    The mean is kept because correlations across channels are of channels' levels.
    """
    if not basis.shape[1]:
        return targets
    return np.asarray(without(targets, basis) + targets.mean(axis=0))


def words_without(
    targets: FloatArray, windows: Windowed, period: float | None
) -> tuple[FloatArray, Windowed]:
    """Return targets of words and their envelope without what is slow in the envelope.

    Parameters
    ----------
    targets
        (n, t) means over the words' windows.
    windows
        The envelope in frames, and the words' windows in it.
    period
        The shortest period (s) that counts as drift; None for none.
    """
    if period is None:
        return targets, windows
    none = np.full(len(windows.time), -1)
    rows = Rows(windows.time, windows.time, windows.segment, none, none)
    basis = slow_functions(rows, period)
    values = np.array(windows.values)
    for number in np.unique(windows.segment):
        here = windows.segment == number
        # A missing frame counts as the recording's mean.
        known = np.isfinite(values[here])
        total = np.where(known, values[here], 0.0).sum(axis=0)
        values[here] = np.where(known, values[here], total / np.maximum(known.sum(axis=0), 1))
    slow = basis @ (basis.T @ values) - values.mean(axis=0)
    return targets - window_means(replace(windows, values=slow)), replace(
        windows, values=windows.values - slow
    )


def features_without(values: Real, rows: IntArray, basis: FloatArray) -> Real:
    """Return features (m, p) of which those in `rows` (n,) are less what is slow, a new array.

    Parameters
    ----------
    values
        (m, p) on the whole grid of samples.
    rows
        The n rows that fits read.
    basis
        (n, k), of these rows.
    """
    if not basis.shape[1]:
        return values
    changed = np.array(values)
    for part in slabs(values.shape[1], len(rows)):
        changed[rows, part] = without(values[rows, part].astype(np.float64), basis)
    return changed
