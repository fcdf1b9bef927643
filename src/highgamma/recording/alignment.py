"""Where a sound file lies beside a recording, from a channel that recorded the same sound.

Two clocks may start at different times and run at different speeds,

    time in the recording = start + stretch · time in the file.

Both sounds are reduced to their level between `LOW_HZ` and `HIGH_HZ`. Its cross-correlation over
the whole file gives a first start; then each stretch of `WINDOW_S` is placed by itself, and a
straight line through these places gives start and stretch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from highgamma.errors import InputError
from highgamma.recording.reader import Reader
from highgamma.recording.resampling import ratio, resampled

FloatArray = NDArray[np.float64]

LOW_HZ, HIGH_HZ = 80.0, 400.0
"""Band whose level is compared; a channel of 1000 Hz holds it."""

RATE = 200.0
"""Samples of the level per second."""

WINDOW_S, LEAST_S = 20.0, 3.0
"""Length of a stretch that is placed by itself, and the least of short files, s."""

MOST_STRETCH = 0.01
"""Stretch that no pair of clocks has: places are searched for up to this from a common one."""

LEAST_R = 0.5
"""Correlation of the levels below which a stretch is not placed."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where a sound lies.

    Attributes
    ----------
    start, stretch
        Time of its first sample in the recording, s, and how much longer it lasts there.
    places
        Number of stretches that were placed.
    residual_s
        Root mean square of what the line leaves, s.
    """

    start: float
    stretch: float
    places: int
    residual_s: float


def align(sound: Reader, reference: Reader, *, where: str) -> Alignment:
    """Place a sound in a recording by a channel that heard it too.

    Parameters
    ----------
    sound, reference
        One channel each: the file, and what the recording holds of it.
    where
        The setting that names the channel, for messages.

    Raises
    ------
    InputError
        If the channel's rate is too low, or if fewer than three stretches, or fewer than half of
        them, can be placed.
    """
    if reference.rate < 2.2 * HIGH_HZ:
        raise InputError(
            f"the channel {reference.names[0]!r} has {reference.rate:g} Hz, too few for the voice",
            where=where,
            expected=f"at least {2.2 * HIGH_HZ:g} Hz",
            remedy="state dataset.audio.start instead",
        )
    heard, recorded = level(sound), level(reference)
    first = _coarse(heard, recorded)
    size = int(min(WINDOW_S * RATE, max(len(heard) / 8, LEAST_S * RATE)))
    reach = int((2.0 + MOST_STRETCH * len(heard) / RATE) * RATE)
    times, places = [], []
    count = max(1, len(heard) // size)
    for k in range(count):
        piece = heard[k * size : (k + 1) * size]
        found = _place(piece, recorded, expected=first + k * size, reach=reach)
        if found is not None:
            times.append((k + 0.5) * size / RATE)
            places.append((found + 0.5 * size) / RATE)
    t, p = np.array(times), np.array(places)
    kept = _on_a_line(t, p)
    possible = min(count, len(recorded) // size)
    if kept.sum() < max(3, 0.5 * possible):
        raise InputError(
            f"the sound is not that of the channel {reference.names[0]!r}: {int(kept.sum())} of "
            f"{count} stretches of {size / RATE:g} s are alike",
            where=where,
            expected="a channel that recorded the same sound",
            remedy="name another channel, or state dataset.audio.start",
        )
    stretch, start = np.polyfit(t[kept], p[kept], 1)
    left = p[kept] - start - stretch * t[kept]
    return Alignment(
        float(start), float(stretch), int(kept.sum()), float(np.sqrt((left**2).mean()))
    )


def level(sound: Reader) -> FloatArray:
    """Return the logarithm of a sound's level in the band, `RATE` times a second."""
    from scipy.signal import butter, resample_poly, sosfiltfilt

    low_rate = 1000.0 if sound.rate > 1000.0 else sound.rate
    samples = resampled(sound, ratio(sound.rate, low_rate)).astype(np.float64)
    band = butter(2, [LOW_HZ, HIGH_HZ], "bandpass", fs=low_rate, output="sos")
    power = sosfiltfilt(band, samples) ** 2
    step = ratio(low_rate, RATE)
    smooth = np.maximum(resample_poly(power, step.numerator, step.denominator), 0)
    floor = np.quantile(smooth, 0.05) + 1e-6 * smooth.max() + np.finfo(float).tiny
    return np.asarray(np.log(smooth + floor), dtype=np.float64)


def _coarse(heard: FloatArray, recorded: FloatArray) -> int:
    """Return the sample of the recording at which the sound fits best, as a whole."""
    from scipy.signal import correlate

    r = correlate(recorded - recorded.mean(), heard - heard.mean(), mode="full", method="fft")
    return int(np.argmax(r)) - (len(heard) - 1)


def _place(piece: FloatArray, recorded: FloatArray, *, expected: int, reach: int) -> float | None:
    """Return where a stretch lies, in samples to a fraction; None if nothing is alike."""
    first, stop = max(0, expected - reach), min(len(recorded), expected + len(piece) + reach)
    if stop - first < len(piece) or piece.std() < 1e-9:
        return None
    there = recorded[first:stop]
    windows = np.lib.stride_tricks.sliding_window_view(there, len(piece))
    centred = (piece - piece.mean()) / (piece.std() * len(piece))
    spread = windows.std(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.nan_to_num((windows @ centred) / spread)
    best = int(np.argmax(r))
    # At either end the stretch may lie farther out.
    if r[best] < LEAST_R or not 0 < best < len(r) - 1:
        return None
    a, b, c = r[best - 1 : best + 2]
    curve = a - 2 * b + c
    return first + best + (0.5 * float((a - c) / curve) if curve < 0 else 0.0)


def _on_a_line(t: FloatArray, p: FloatArray) -> NDArray[np.bool_]:
    """Return which places lie within 50 ms of the line through most of them (Theil and Sen)."""
    if len(t) < 3:
        return np.zeros(len(t), bool)
    i, j = np.triu_indices(len(t), 1)
    slope = float(np.median((p[j] - p[i]) / (t[j] - t[i])))
    offset = float(np.median(p - slope * t))
    near = np.abs(p - offset - slope * t) < 0.05
    return np.asarray(near & math.isfinite(slope) & (abs(slope - 1) <= MOST_STRETCH))
