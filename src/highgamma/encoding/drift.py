"""Slow drift and the levels of recordings, removed from targets and features alike.

Nonsense correlations between two series that both drift are common, and neither circular shifts
nor permutations account for them: a trend is not stationary (Harris, bioRxiv 2020.11.29.402719;
Yuan & Shou, PLOS Biology 2024). What is slower than a given period, and the mean of each
recording, is therefore taken out of both sides before anything is fitted, and out of every
surrogate.
"""

from __future__ import annotations

import numpy as np

from highgamma.encoding.splits import FloatArray, IntArray, Rows
from highgamma.encoding.statistics import Real, slabs

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
