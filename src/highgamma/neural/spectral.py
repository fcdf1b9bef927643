"""The fast method: all filters and the analytic signal in one pass through the frequency domain.

A filter that runs forwards and backwards multiplies the spectrum by |H|². So the whole chain is
one real factor for each frequency, and the analytic signal (no negative frequencies, positive
ones doubled) is part of it: one forward transform, one product, one inverse transform. A long
recording is cut into overlapping pieces whose overlap the filters' ringing does not outlast
(overlap-save), so that memory depends on the piece and the block of channels alone.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from highgamma.neural.filters import sections
from highgamma.neural.frames import Piece, Windows, add_piece, cut_piece
from highgamma.neural.settings import Settings

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
Read = Callable[[slice, int, int], FloatArray]

PIECE = 2**15
"""Samples of one transform, unless the filters ring for longer than an eighth of it."""

GROUP = 8
"""Channels of one transform: as many as a vector register of the processor holds, and few enough
that all arrays stay in its cache."""

RINGING = 1e-5
"""What is left of an impulse response where the overlap ends, as a share of its start."""

ROWS = 256
"""Samples that are transposed at a time."""

NEGLIGIBLE = 1e-9
"""Gain relative to the largest one below which a frequency is left out."""


def ringing_samples(filters: list[FloatArray]) -> int:
    """Samples after which the slowest pole of all filters has decayed to `RINGING`."""
    from scipy import signal

    slowest = max(float(np.abs(signal.sos2zpk(sos)[1]).max()) for sos in filters)
    return int(np.ceil(np.log(RINGING) / np.log(slowest)))


def gains(filters: list[FloatArray], n_samples: int) -> FloatArray:
    """Product of all |H|² at the frequencies of a real transform: (n_samples // 2 + 1,)."""
    from scipy import signal

    angles = np.linspace(0, np.pi, n_samples // 2 + 1) * (2 * (n_samples // 2) / n_samples)
    product = np.ones(len(angles))
    for sos in filters:
        product *= np.abs(signal.sosfreqz(sos, worN=angles)[1]) ** 2
    return product


def envelope_sums(
    read: Read,
    channels: slice,
    *,
    n_samples: int,
    rate: float,
    trend: FloatArray,
    windows: Windows,
    settings: Settings,
    threads: int = 1,
    piece: int = PIECE,
) -> FloatArray:
    """Mean envelope of every sub-band in every window, by one pass in the frequency domain.

    Parameters
    ----------
    read : `read(channels, start, stop)` gives (samples, channels) in µV.
    channels : the block. n_samples, rate : of the segment; samples, Hz.
    trend : (2, channels of the block): value at sample 0 (µV) and slope (µV a sample) of the
        straight line that is subtracted, from `survey`.
    windows : where means are wanted; pieces without any are not read. threads : groups of
        channels at a time. piece : samples of a transform.

    Returns
    -------
    (sub-band, channel, window), µV.
    """
    from scipy import fft

    bands = settings.sub_bands
    ringing = max(ringing_samples(sections(settings, rate=rate, band=band)) for band in bands)
    overlap = min(ringing, n_samples - 1)
    length = min(max(piece, 8 * overlap), fft.next_fast_len(n_samples + 2 * overlap, real=True))
    core = max(1, length - 2 * overlap)
    n_channels = trend.shape[1]
    sums = np.zeros((len(bands), n_channels, len(windows)))
    groups = [slice(first, first + GROUP) for first in range(0, n_channels, GROUP)]
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, n_samples, core):
            last = min(first + core, n_samples)
            cut = cut_piece(windows, first=first, last=last)
            if cut is None:
                continue
            samples = extended(read, channels, first, last, overlap, n_samples, trend)
            size = fft.next_fast_len(samples.shape[1], real=True)
            factors = [_analytic_factor(settings, rate, band, size) for band in bands]
            middle = slice(overlap, overlap + last - first)

            def add(
                group: slice,
                samples: Float32Array = samples,
                size: int = size,
                factors: list[tuple[slice, Float32Array]] = factors,
                middle: slice = middle,
                cut: Piece = cut,
            ) -> None:
                spectrum = fft.rfft(samples[group], size, axis=1)
                for band, (kept, factor) in enumerate(factors):
                    analytic = np.zeros((len(spectrum), size), np.complex64)
                    np.multiply(spectrum[:, kept], factor, out=analytic[:, kept])
                    analytic = fft.ifft(analytic, axis=1, overwrite_x=True)
                    add_piece(sums[band, group], np.abs(analytic[:, middle]), cut)

            list(pool.map(add, groups))
    sums /= windows.stop - windows.start
    return sums


@lru_cache(maxsize=16)
def _analytic_factor(
    settings: Settings, rate: float, band: tuple[float, float], size: int
) -> tuple[slice, Float32Array]:
    """The frequencies that pass, and twice the gain there (0 Hz and Nyquist count once).

    Kept, because every block of channels asks for the same ones.
    """
    gain = gains(sections(settings, rate=rate, band=band), size)
    gain[1 : (size + 1) // 2] *= 2
    passing = np.flatnonzero(gain > NEGLIGIBLE * gain.max())
    kept = slice(int(passing[0]), int(passing[-1]) + 1)
    return kept, gain[kept].astype(np.float32)


def extended(
    read: Read,
    channels: slice,
    first: int,
    last: int,
    overlap: int,
    n_samples: int,
    trend: FloatArray,
) -> Float32Array:
    """Samples [first - overlap, last + overlap), detrended, (channels, samples), float32.

    Beyond either end of the segment the signal goes on as its odd reflection,
    `2 x[0] - x[i]` and `2 x[N - 1] - x[2 (N - 1) - i]`.
    """
    before, after = max(0, overlap - first), max(0, last + overlap - n_samples)
    start, stop = first - overlap + before, last + overlap - after
    voltage = read(channels, start, stop)
    straight = np.empty((voltage.shape[1], stop - start), np.float32)
    ramp = trend[1] * np.arange(ROWS)[:, None]
    # A few hundred samples at a time stay in the cache while they change places.
    for row in range(0, stop - start, ROWS):
        rows = voltage[row : row + ROWS]
        level = rows - ramp[: len(rows)]
        level -= trend[0] + trend[1] * (start + row)
        straight[:, row : row + ROWS] = level.T
    parts: list[Float32Array] = []
    # The overlap is shorter than the segment, so what is reflected has been read.
    if before:
        parts.append(2 * straight[:, :1] - straight[:, before:0:-1])
    parts.append(straight)
    if after:
        parts.append(2 * straight[:, -1:] - straight[:, -2 : -2 - after : -1])
    return np.concatenate(parts, axis=1) if len(parts) > 1 else straight
