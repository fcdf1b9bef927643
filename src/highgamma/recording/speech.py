"""When the voice starts and stops, from the energy of the sound."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

WINDOW = 0.010
HOP = 0.002

CONTRAST, MARGIN, DEPTH = 8.0, 0.15, 30.0
MINIMUM, CLOSURE = 0.06, 0.20
"""Defaults of `voice`."""

BANDS = ((120.0, 1000.0), (1000.0, 3000.0), (3000.0, 7500.0))
"""Where voiced, mixed and hissing sounds have their energy, Hz. Each has its own noise floor, so
that a soft `s` is heard over a hum and a soft `m` over a hiss."""


def voice(
    audio: NDArray[np.floating],
    rate: float,
    start: float,
    stop: float,
    *,
    contrast: float = CONTRAST,
    margin: float = MARGIN,
    depth: float = DEPTH,
    minimum: float = MINIMUM,
    closure: float = CLOSURE,
) -> tuple[float, float]:
    """Find the onset and offset of one spoken word between two times.

    In three bands the power of 10 ms windows every 2 ms is taken in dB. The noise's mean and
    spread come from the quietest eighth of the windows. Speech is where the power exceeds the
    middle between noise and level (the 98th percentile) in one of the bands for at least 20 ms;
    it is extended as long as the power stays above the noise by
    `max(2.5 spreads, 3 dB, margin · (level − noise), level − noise − depth)` (hysteresis).
    Stretches that are at most `closure` apart are one word (stops close the mouth); of several,
    the one of most energy is taken.

    Parameters
    ----------
    audio
        (samples,) mono; sample 0 is time 0.
    rate
        Hz.
    start, stop
        Where to search, s: from this prompt to the next.
    contrast
        Least distance of speech and noise, dB; anything less is not speech.
    margin
        Of the lower threshold, as a part of that distance.
    depth
        How far below the level speech goes, dB; in quiet rooms this keeps echoes and breath out.
    minimum
        Least duration of a word, s.
    closure
        Longest silence within a word, s.

    Returns
    -------
    onset, offset : float
        s on the clock of `audio`; both NaN if no voice was found.
    """
    first, last = max(0, round(start * rate)), min(audio.size, round(stop * rate))
    piece = np.asarray(audio[first:last], dtype=np.float64)
    if piece.size < rate * (minimum + 4 * WINDOW):
        return math.nan, math.nan
    loud, audible, energy = _masks(piece, rate, contrast=contrast, margin=margin, depth=depth)
    words = _words(loud, audible, minimum=minimum, closure=closure)
    if not words:
        return math.nan, math.nan
    a, b = max(words, key=lambda word: float(energy[word[0] : word[1]].sum()))
    # Window k is centred at k·HOP + WINDOW/2.
    origin = first / rate + WINDOW / 2
    return origin + a * HOP, origin + (b - 1) * HOP


def utterances(
    audio: NDArray[np.floating],
    rate: float,
    *,
    minimum: float = MINIMUM,
    closure: float = CLOSURE,
    block: float = 60.0,
) -> list[tuple[float, float]]:
    """Find all stretches of voice, each as `voice` finds one word.

    Parameters
    ----------
    audio
        (samples,) mono; sample 0 is time 0.
    rate
        Hz.
    minimum, closure
        Least duration of a stretch, and the longest silence within it, s.
    block
        Length of sound whose noise and level are taken together, s. Blocks overlap by a quarter; a
        stretch counts in the block in whose middle it begins.

    Returns
    -------
    utterances
        Onset and offset of each, s, in order.
    """
    found: list[tuple[float, float]] = []
    step = 0.75 * block
    length = audio.size / rate
    for k in range(max(1, math.ceil(length / step))):
        begin = max(0.0, k * step - 0.125 * block)
        first, last = round(begin * rate), min(audio.size, round((begin + block) * rate))
        piece = np.asarray(audio[first:last], dtype=np.float64)
        if piece.size < rate * (minimum + 4 * WINDOW):
            continue
        loud, audible, _ = _masks(piece, rate, contrast=CONTRAST, margin=MARGIN, depth=DEPTH)
        origin = first / rate + WINDOW / 2
        for a, b in _joined(_words(loud, audible, minimum=minimum, closure=closure), gap=0):
            if k * step <= origin + a * HOP < (k + 1) * step:
                found.append((origin + a * HOP, origin + (b - 1) * HOP))
    return found


def _words(
    loud: NDArray[np.bool_], audible: NDArray[np.bool_], *, minimum: float, closure: float
) -> list[tuple[int, int]]:
    """Return the stretches of windows that are words; `minimum` and `closure` as in `voice`, s."""
    every = _runs(audible)
    runs = [(a, b) for a, b in every if _longest(loud[a:b]) * HOP >= min(0.02, minimum)]
    # A stretch that is audible, near the word and not loud (a final, soft consonant) is its part.
    words = _joined(runs, gap=closure / HOP)
    words = [_with_soft_ends(word, every, gap=0.06 / HOP) for word in words]
    return [(a, b) for a, b in words if (b - a) * HOP >= minimum]


def _masks(
    piece: FloatArray, rate: float, *, contrast: float, margin: float, depth: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], FloatArray]:
    from scipy.signal import butter, sosfiltfilt

    size, hop = max(2, round(WINDOW * rate)), HOP * rate
    begins = np.floor(np.arange(0, (piece.size - size) / hop) * hop).astype(np.int64)
    loud = np.zeros(begins.size, bool)
    audible = np.zeros(begins.size, bool)
    energy = np.zeros(begins.size)
    for low, high in BANDS:
        top = min(high, 0.47 * rate)
        if top <= low:
            continue
        sos = butter(2, [low, top], btype="bandpass", fs=rate, output="sos")
        total = np.cumsum(np.r_[0.0, sosfiltfilt(sos, piece) ** 2])
        power = (total[begins + size] - total[begins]) / size
        # Sixteen-bit silence lies at −101 dB; nothing quieter tells noise from speech.
        level = 10 * np.log10(np.maximum(power, 1e-9 * power.max() + 1e-12))
        floor, spread = _floor(level)
        top_level = float(np.quantile(level, 0.98))
        distance = top_level - floor
        if distance < contrast:
            continue
        loud |= level > floor + 0.5 * distance
        audible |= level > floor + max(2.5 * spread, 3.0, margin * distance, distance - depth)
        energy += power
    return loud & audible, audible, energy


def _floor(level: FloatArray) -> tuple[float, float]:
    """Mean and standard deviation of the noise, dB, from the quietest eighth of the windows.

    For noise alone the levels are close to normal: their 2nd and 12th percentiles lie 2.05 and
    1.17 standard deviations below the mean. The spread is bounded, since a trial that is filled
    with speech, or holds digital silence, has another left tail than noise.
    """
    lowest, low = (float(value) for value in np.quantile(level, (0.02, 0.12)))
    spread = min(max((low - lowest) / 0.88, 0.4), 2.0)
    return low + 1.17 * spread, spread


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False].astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _longest(mask: NDArray[np.bool_]) -> int:
    return max((b - a for a, b in _runs(mask)), default=0)


def _joined(runs: list[tuple[int, int]], *, gap: float) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for a, b in runs:
        if joined and a - joined[-1][1] <= gap:
            joined[-1] = (joined[-1][0], b)
        else:
            joined.append((a, b))
    return joined


def _with_soft_ends(
    word: tuple[int, int], runs: list[tuple[int, int]], *, gap: float
) -> tuple[int, int]:
    a, b = word
    least = 0.016 / HOP
    for begin, end in reversed(runs):
        if end <= a and a - end <= gap and end - begin >= least:
            a = begin
    for begin, end in runs:
        if begin >= b and begin - b <= gap and end - begin >= least:
            b = end
    return a, b
