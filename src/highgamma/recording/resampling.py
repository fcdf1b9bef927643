"""Sound at another rate, read and resampled piece by piece."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from highgamma.recording.reader import Reader

SoundArray = NDArray[np.float32]


def ratio(from_hz: float, to_hz: float) -> Fraction:
    """Return up/down of a polyphase resampling, with a denominator of at most 1000."""
    return Fraction(to_hz / from_hz).limit_denominator(1000)


def resampled(sound: Reader, factor: Fraction, *, block: int = 2**20) -> SoundArray:
    """Resample a mono sound that is read piece by piece: `scipy.signal.resample_poly(x, up, down)`.

    Each piece is read with enough on both sides for the anti-aliasing filter (half its length is
    10·max(up, down) steps of the raised rate), so the pieces join without a seam.

    Parameters
    ----------
    sound
        One channel.
    factor
        up / down, see `ratio`.
    block
        Samples read at a time.
    """
    from scipy.signal import resample_poly

    up, down = factor.numerator, factor.denominator
    size = max(1, block // down) * down
    context = (math.ceil(10 * max(up, down) / up / down) + 1) * down
    out = np.empty(math.ceil(sound.n_samples * up / down), np.float32)
    for begin in range(0, sound.n_samples, size):
        left = max(0, begin - context)
        end = min(begin + size, sound.n_samples)
        right = min(sound.n_samples, end + context)
        piece = sound.read(left, right)[:, 0]
        if factor != 1:
            piece = resample_poly(piece, up, down)
        first = begin * up // down
        last = out.size if end == sound.n_samples else end * up // down
        skip = first - left * up // down
        out[first:last] = piece[skip : skip + last - first]
    return out
