"""Lags: features taken earlier or later than the neural sample, never across a segment's border.

A positive lag means that the brain follows the sound: y(t) is predicted from x(t − lag).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from highgamma.encoding.splits import BoolArray, FloatArray, IntArray
from highgamma.encoding.statistics import Real


@dataclass(frozen=True, slots=True)
class Delayed:
    """Delayed copies of features (a finite impulse response), made slab by slab.

    Row i is [x(f_i − d₁), x(f_i − d₂), …] with f_i = `frames[i]` the row of `values` (m, q) and
    d the `delays` in frames; p = q · delays, delay by delay.
    """

    values: Real
    frames: IntArray
    delays: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Samples, delayed features."""
        return len(self.frames), self.values.shape[1] * len(self.delays)

    def rows(self, index: IntArray) -> FloatArray:
        """The delayed features (len(index), p) of these samples."""
        q = self.values.shape[1]
        delayed = np.empty((len(index), q * len(self.delays)))
        for number, delay in enumerate(self.delays):
            delayed[:, number * q : (number + 1) * q] = self.values[self.frames[index] - delay]
        return delayed


def lag_frames(lags: tuple[float, float], *, step: float, rate: float) -> tuple[int, ...]:
    """The lags in whole frames, ascending: from the first to the last in steps.

    Parameters
    ----------
    lags
        First and last lag in s.
    step
        Distance between lags in s.
    rate
        Frames per s; lags are rounded to whole frames, the same frame is taken once.
    """
    count = int(np.floor((lags[1] - lags[0]) / step + 1e-9)) + 1
    seconds = lags[0] + step * np.arange(count)
    return tuple(sorted({round(float(value)) for value in seconds * rate}))


def reachable(segment: IntArray, delays: Sequence[int]) -> BoolArray:
    """Mask (m,) of the frames whose delayed copies all lie in the frame's own segment.

    `segment` (m,) numbers the recording of every frame of the whole grid, in time order.
    """
    m = len(segment)
    mask = np.ones(m, dtype=np.bool_)
    for delay in delays:
        source = np.arange(m) - delay
        inside = (source >= 0) & (source < m)
        same = np.zeros(m, dtype=np.bool_)
        same[inside] = segment[source[inside]] == segment[inside]
        mask &= same
    return mask


def finite_delayed(finite: BoolArray, delays: Sequence[int]) -> BoolArray:
    """Mask (m,) of the frames all of whose delayed copies are finite (inside the grid)."""
    mask = np.ones(len(finite), dtype=np.bool_)
    for delay in delays:
        source = np.clip(np.arange(len(finite)) - delay, 0, len(finite) - 1)
        mask &= finite[source]
    return mask


def peak_interval(
    fold_r: FloatArray, lags: FloatArray, *, seed: int, resamples: int = 1000
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The lag at which the fold-averaged correlation peaks, with a 95 % bootstrap interval.

    Parameters
    ----------
    fold_r
        (lags, folds, channels) correlation in each fold; folds are drawn with replacement, since
        they and not the samples are nearly independent. A fold without a correlation counts 0.
    lags
        (lags,) s.

    Returns
    -------
    peak, low, high: (channels,) s; NaN where no fold has a correlation. The peak between two lags
    is refined by a parabola through the best lag and its neighbours where these are equally
    spaced.
    """
    usable = np.isfinite(fold_r).any(axis=(0, 1))
    filled = np.nan_to_num(fold_r)
    rng = np.random.default_rng(seed)
    folds = filled.shape[1]
    drawn = rng.integers(0, folds, size=(resamples, folds))
    weights = np.stack([np.bincount(draw, minlength=folds) for draw in drawn]) / folds
    peak = _peaks(filled.mean(axis=1), lags)
    resampled = np.stack(
        [_peaks(np.einsum("lfc,f->lc", filled, weight), lags) for weight in weights]
    )
    low, high = np.percentile(resampled, [2.5, 97.5], axis=0)
    return (
        np.where(usable, peak, np.nan),
        np.where(usable, low, np.nan),
        np.where(usable, high, np.nan),
    )


def _peaks(curve: FloatArray, lags: FloatArray) -> FloatArray:
    best = np.argmax(curve, axis=0)
    peak: FloatArray = lags[best].astype(np.float64)
    if len(lags) < 3 or not np.allclose(np.diff(lags), lags[1] - lags[0]):
        return peak
    inner = (best > 0) & (best < len(lags) - 1)
    at = np.clip(best, 1, len(lags) - 2)
    channel = np.arange(curve.shape[1])
    left, middle, right = (curve[at + k, channel] for k in (-1, 0, 1))
    bend = left - 2 * middle + right
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.where(bend < 0, 0.5 * (left - right) / bend, 0.0)
    return np.asarray(np.where(inner, peak + shift * (lags[1] - lags[0]), peak))
