"""The correlation over trials without what explains it trivially, and its surrogates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

VOICE_LAGS_S = tuple(round(0.05 * k, 2) for k in range(-6, 7))
"""Lags of voice on and off, s: those that models of words can have, whose features last while a
word is said."""

DRIFT_S = 60.0
"""Shortest period that counts as drift over trials, s."""

BATCH_VALUES = 2**23
"""Number of values of surrogates in memory at once."""


def standardised(values: FloatArray) -> FloatArray:
    """Scale to mean 0 and sum of squares 1 over trials.

    The product of two such arrays, summed over trials, is Pearson's r.

    Parameters
    ----------
    values
        (trial, …).

    Returns
    -------
    standardised : (trial, …)
        NaN if the values do not vary over trials.
    """
    centred = values - values.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    scale = np.sqrt((values**2).sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(size > 1e-6 * scale, centred / size, np.nan)


def r_over_trials(observed: FloatArray, predicted: FloatArray) -> FloatArray:
    """Return Pearson's r (…) over trials of two arrays (trial, …); NaN if one is constant."""
    return np.asarray(np.sum(standardised(observed) * standardised(predicted), axis=0))


@dataclass(frozen=True, slots=True)
class Explained:
    """What recordings, drift and the voice explain over trials.

    Attributes
    ----------
    bases
        For each time an orthonormal basis (trial, k).
    inflation
        (time,) √((n − 1)/(n − k)): the r of a shifted trial, which is not orthogonal to the basis,
        is smaller by that factor.
    """

    bases: Sequence[FloatArray]
    inflation: FloatArray

    def without(self, values: FloatArray) -> FloatArray:
        """Return values (trial, time) minus their projection; 0 at times that it explains whole."""
        left = np.empty(values.shape)
        for t, basis in enumerate(self.bases):
            left[:, t] = values[:, t] - basis @ (basis.T @ values[:, t])
        size = np.linalg.norm(values, axis=0)
        return np.asarray(np.where(np.linalg.norm(left, axis=0) > 1e-6 * size, left, 0.0))


def explained_over_trials(
    words: pd.DataFrame, time: FloatArray, segment: IntArray, onset: FloatArray
) -> Explained:
    """Return what recordings, drift and the voice explain at each time.

    Parameters
    ----------
    words
        The participant's words.
    time
        (trial, time) s on the clock of the segment.
    segment, onset
        (trial,) number of the recording, and s.
    """
    from highgamma.embeddings.placing import paint_words
    from highgamma.encoding.drift import slow_functions
    from highgamma.encoding.samples import voice_edges
    from highgamma.encoding.splits import Rows

    n, m = len(time), len(VOICE_LAGS_S)
    start, stop = voice_edges(words)
    of_word, said = words["segment"].to_numpy(dtype=np.int64), np.ones((len(words), 1))
    none = np.full(n, -1)
    slow = slow_functions(Rows(onset, onset, segment, none, none), DRIFT_S)
    bases = []
    for at in time.T:
        moments = (at[:, None] - VOICE_LAGS_S).ravel()
        voice = paint_words(said, start, stop, of_word, moments, np.repeat(segment, m))
        voice = voice.reshape(n, m)
        left, size, _ = np.linalg.svd(np.column_stack([slow, voice]), full_matrices=False)
        bases.append(left[:, size > 1e-6 * size[0]])
    k = np.array([basis.shape[1] for basis in bases])
    return Explained(bases, np.sqrt((n - 1) / np.maximum(n - k, 1)))


def trial_shifts(segment: IntArray, *, count: int, seed: int) -> IntArray:
    """Return orders (shift, trial) of trials that are shifted circularly within recordings.

    Parameters
    ----------
    segment
        (trial,) number of the recording, trials of a recording in time order. A single trial stays.
    count
        Most orders; no more than there are different ones.
    seed
        Of the draws.
    """
    from highgamma.encoding.surrogates import shift_amounts

    recordings = [np.flatnonzero(segment == number) for number in np.unique(segment)]
    several = [here for here in recordings if len(here) > 1]
    possible = math.prod(len(here) - 1 for here in several) if several else 0
    rng = np.random.default_rng(seed)
    count = min(count, possible)
    if not count:
        return np.empty((0, len(segment)), dtype=np.int64)
    orders = np.tile(np.arange(len(segment)), (count, 1))
    for here in several:
        shifts = shift_amounts(len(here), least=1, count=count, rng=rng)
        orders[:, here] = here[(np.arange(len(here)) - shifts[:, None]) % len(here)]
    return orders


def greatest_r(
    observed: FloatArray, predicted: FloatArray, orders: IntArray, *, inflation: FloatArray
) -> FloatArray:
    """Compute the greatest r over time of every surrogate.

    A surrogate pairs each prediction with the whole activity of another trial of the same
    recording. Both keep their time courses, and differences between recordings remain. The maximum
    over time controls the family-wise error rate over time points (Nichols and Holmes 2002, doi
    10.1002/hbm.1058).

    Parameters
    ----------
    observed, predicted
        (trial, time).
    orders
        (surrogate, trial) orders of the trials.
    inflation
        (time,) factor of each surrogate's r.

    Returns
    -------
    greatest : (surrogate,)
    """
    y, f = (np.nan_to_num(standardised(v)) for v in (observed, predicted))
    f = f * inflation
    greatest = np.empty(len(orders))
    size = max(1, BATCH_VALUES // max(y.size, 1))
    for a in range(0, len(orders), size):
        some = orders[a : a + size]
        greatest[a : a + size] = np.einsum("pit,it->pt", y[some], f, optimize=False).max(axis=1)
    return greatest
