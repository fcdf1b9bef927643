"""The fft method: all filters and the analytic signal in one pass through the frequency domain.

A filter that runs forwards and backwards multiplies the spectrum by |H|². So the whole chain is
one real factor for each frequency, and the analytic signal (no negative frequencies, positive
ones doubled) is part of it: one forward transform, one product, one inverse transform. A long
recording is cut into overlapping pieces whose overlap the filters' ringing does not outlast
(overlap-save), so that memory depends on the piece and the block of channels alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from highgamma.neural.filters import sections
from highgamma.neural.frames import Piece, Windows, cut_piece, piece_sums
from highgamma.neural.settings import NeuralSettings
from highgamma.neural.spans import Mask
from highgamma.recording.reader import Reader

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]

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
    """Count the samples after which the slowest pole of all filters has decayed to `RINGING`."""
    from scipy import signal

    slowest = max(float(np.abs(signal.sos2zpk(sos)[1]).max()) for sos in filters)
    return int(np.ceil(np.log(RINGING) / np.log(slowest)))


def gains(filters: list[FloatArray], n_samples: int) -> FloatArray:
    """Multiply all |H|² at the frequencies of a real transform: (n_samples // 2 + 1,)."""
    from scipy import signal

    angles = np.linspace(0, np.pi, n_samples // 2 + 1) * (2 * (n_samples // 2) / n_samples)
    product = np.ones(len(angles))
    for sos in filters:
        product *= np.abs(signal.sosfreqz(sos, worN=angles)[1]) ** 2
    return product


def envelope_means(
    recording: Reader,
    channels: slice,
    *,
    trend: FloatArray,
    windows: Windows,
    settings: NeuralSettings,
    mask: Mask | None = None,
    threads: int = 1,
    piece: int = PIECE,
) -> FloatArray:
    """Compute the mean envelope of every sub-band in every window.

    Parameters
    ----------
    recording
        The segment, µV.
    channels
        The block of channels.
    trend
        (2, channel of the block), value at sample 0 (µV) and slope (µV a sample) of the straight
        line that is subtracted, from `survey`.
    windows
        Where means are wanted; pieces without any are not read.
    settings
        Settings of the signal.
    mask
        Samples of the recording's channels that are left out.
    threads
        Groups of channels at a time.
    piece
        Samples of a transform.

    Returns
    -------
    means : (sub-band, channel, window)
        µV.
    """
    sums = np.zeros((len(settings.sub_bands), trend.shape[1], len(windows)))
    with ThreadPoolExecutor(threads) as pool:
        for first, last in pieces(settings, recording, piece=piece):
            cut = cut_piece(windows, first=first, last=last)
            if cut is not None:
                sums[:, :, cut.rows] += envelope_sums(
                    recording,
                    channels,
                    cut,
                    first=first,
                    last=last,
                    trend=trend,
                    settings=settings,
                    mask=mask,
                    pool=pool,
                )
    sums /= windows.stop - windows.start
    if mask is not None:
        mask.correct(sums, windows, channels)
    return sums


def envelope_stretches(
    recording: Reader,
    blocks: Sequence[slice],
    *,
    trend: FloatArray,
    windows: Windows,
    settings: NeuralSettings,
    mask: Mask | None = None,
    threads: int = 1,
    piece: int = PIECE,
) -> Iterator[tuple[slice, slice, FloatArray]]:
    """Compute what `envelope_means` does in the order of time, each stretch when it is complete.

    The recording is read once, and memory does not grow with its length.

    Parameters
    ----------
    blocks
        Channels that are read at a time.
    windows
        Neither their starts nor their stops may decrease.
    recording, trend, settings, mask, threads, piece
        As in `envelope_means`.

    Yields
    ------
    windows, channels : slice
    means : (sub-band, channel of the block, window of the stretch)
        µV.
    """
    bands = len(settings.sub_bands)
    held = [np.zeros((bands, block.stop - block.start, 0)) for block in blocks]
    width = windows.stop - windows.start
    with ThreadPoolExecutor(threads) as pool:
        for first, last in pieces(settings, recording, piece=piece):
            cut = cut_piece(windows, first=first, last=last)
            if cut is None:
                continue
            assert isinstance(cut.rows, slice)
            begin = cut.rows.start
            # Windows that reach into the next piece are kept until it completes them.
            done = int(np.searchsorted(windows.stop, last, side="right"))
            for number, block in enumerate(blocks):
                sums = envelope_sums(
                    recording,
                    block,
                    cut,
                    first=first,
                    last=last,
                    trend=trend[:, block],
                    settings=settings,
                    mask=mask,
                    pool=pool,
                )
                sums[:, :, : held[number].shape[2]] += held[number]
                held[number] = sums[:, :, done - begin :].copy()
                if done > begin:
                    means = sums[:, :, : done - begin] / width[begin:done]
                    if mask is not None:
                        some = Windows(windows.start[begin:done], windows.stop[begin:done])
                        mask.correct(means, some, block)
                    yield slice(begin, done), block, means


def pieces(settings: NeuralSettings, recording: Reader, *, piece: int) -> list[tuple[int, int]]:
    """Cut a recording into pieces: first sample and the one after the last, without overlaps."""
    from scipy import fft

    n_samples = recording.n_samples
    overlap = overlap_samples(settings, n_samples=n_samples, rate=recording.rate)
    length = min(max(piece, 8 * overlap), fft.next_fast_len(n_samples + 2 * overlap, real=True))
    core = max(1, length - 2 * overlap)
    return [(first, min(first + core, n_samples)) for first in range(0, n_samples, core)]


@lru_cache(maxsize=16)
def overlap_samples(settings: NeuralSettings, *, n_samples: int, rate: float) -> int:
    """Count the samples on either side of a piece that are filtered with it and then left out."""
    bands = settings.sub_bands
    ringing = max(ringing_samples(sections(settings, rate=rate, band=band)) for band in bands)
    return min(ringing, n_samples - 1)


def envelope_sums(
    recording: Reader,
    channels: slice,
    cut: Piece,
    *,
    first: int,
    last: int,
    trend: FloatArray,
    settings: NeuralSettings,
    mask: Mask | None,
    pool: ThreadPoolExecutor,
) -> FloatArray:
    """Sum the envelopes of samples [first, last) within the windows that they touch.

    Parameters
    ----------
    cut
        The windows within the piece.
    trend
        Of the channels.
    recording, channels, settings, mask
        As in `envelope_means`; masked samples are left out of the sums.

    Returns
    -------
    sums : (sub-band, channel, row of the cut)
        µV times samples.
    """
    from scipy import fft

    bands = settings.sub_bands
    rate = recording.rate
    overlap = overlap_samples(settings, n_samples=recording.n_samples, rate=rate)
    samples = extended(recording, channels, first=first, last=last, overlap=overlap, trend=trend)
    size = fft.next_fast_len(samples.shape[1], real=True)
    factors = [_analytic_factor(settings, rate, band, size) for band in bands]
    sums = np.empty((len(bands), len(samples), len(cut.start)))
    every = range(*channels.indices(len(recording.names)))

    def add(group: slice) -> None:
        spectrum = fft.rfft(samples[group], size, axis=1)
        for band, (passing, factor) in enumerate(factors):
            analytic = np.zeros((len(spectrum), size), np.complex64)
            np.multiply(spectrum[:, passing], factor, out=analytic[:, passing])
            analytic = fft.ifft(analytic, axis=1, overwrite_x=True)
            envelope = np.abs(analytic[:, overlap : overlap + last - first])
            if mask is not None:
                mask.silence(envelope, first=first, signals=every[group])
            sums[band, group] = piece_sums(envelope, cut)

    list(pool.map(add, [slice(a, a + GROUP) for a in range(0, len(samples), GROUP)]))
    return sums


@lru_cache(maxsize=16)
def _analytic_factor(
    settings: NeuralSettings, rate: float, band: tuple[float, float], size: int
) -> tuple[slice, Float32Array]:
    """Return the frequencies that pass, and twice the gain there (0 Hz and Nyquist count once).

    They are cached, because every block of channels needs the same ones.
    """
    gain = gains(sections(settings, rate=rate, band=band), size)
    gain[1 : (size + 1) // 2] *= 2
    passing = np.flatnonzero(gain > NEGLIGIBLE * gain.max())
    band_pass = slice(int(passing[0]), int(passing[-1]) + 1)
    return band_pass, gain[band_pass].astype(np.float32)


def extended(
    recording: Reader,
    channels: slice,
    *,
    first: int,
    last: int,
    overlap: int,
    trend: FloatArray,
) -> Float32Array:
    """Read samples [first - overlap, last + overlap), detrended, (channel, sample), float32.

    Beyond either end of the segment the signal goes on as its odd reflection,
    `2 x[0] - x[i]` and `2 x[N - 1] - x[2 (N - 1) - i]`.
    """
    before, after = max(0, overlap - first), max(0, last + overlap - recording.n_samples)
    start, stop = first - overlap + before, last + overlap - after
    voltage = recording.read(start, stop, channels)
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
