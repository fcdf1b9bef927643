"""Acoustic features: log-mel bands, broadband envelope, and whether a word is being said.

All have one frame every `shift` seconds, whose time is the centre of its window.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highgamma.embeddings.stream import (
    Audio,
    Embeddings,
    Float32Array,
    FloatArray,
    Words,
    frame_windows,
)

#: Bands of the published spectrogram (Verwoert et al. 2022).
BANDS = 23
#: Keeps the logarithm finite in silence, as in the published script.
FLOOR = 1e-7
#: The published script scales the peak of the audio to the largest 16-bit integer.
FULL_SCALE = 32767.0
_BLOCK = 4096


def mel_filters(n_bins: int, n_bands: int, rate: float) -> FloatArray:
    """Return triangular mel filters, each of unit sum, (n_bins, n_bands).

    Edges are equally spaced on the scale m = 2595 log10(1 + f/700) from 0 to rate/2, each put to
    the frequency below in whole Hz and from there to the bin floor(f / (rate/2) · n_bins). Filter i
    rises from edge i to edge i+1 and falls to edge i+2.

    Parameters
    ----------
    n_bins
        Bins of the one-sided spectrum.
    n_bands
        Number of filters.
    rate
        Samples per second of the audio.

    Source: the scripts of SingleWordProductionDutch (Verwoert et al. 2022), `MelFilterBank`.
    """
    step = 2595.0 * math.log10(1.0 + rate / 2.0 / 700.0) / (n_bands + 1)
    # Rounding here is the published script's, operation by operation: the last edge falls a Hz
    # short of half the rate where the powers round down.
    hertz = [math.floor(700.0 * (10.0 ** (k * step / 2595.0) - 1.0)) for k in range(n_bands + 2)]
    edges = [math.floor(f / (rate / 2.0) * n_bins) for f in hertz]
    bins = np.arange(n_bins)
    filters = np.zeros((n_bins, n_bands))
    for band in range(n_bands):
        left, centre, right = edges[band : band + 3]
        rising = (bins >= left) & (bins < centre)
        falling = (bins >= centre) & (bins < right)
        filters[rising, band] = (bins[rising] - left) / max(centre - left, 1)
        filters[falling, band] = (right - bins[falling]) / max(right - centre, 1)
    total = filters.sum(axis=0)
    filters /= np.where(total == 0, 1.0, total)
    return filters


def log_mel(
    samples: Float32Array, rate: float, *, window: float, shift: float, n_bands: int = BANDS
) -> FloatArray:
    """Return the log-mel spectrogram, (frame, band): log(|rfft(hann · x)| @ filters + 1e-7).

    Parameters
    ----------
    samples
        (n,), within ±1; taken to whole 16-bit steps first, as published.
    rate
        Samples per second.
    window, shift
        Length and distance of the frames, s.
    """
    first, length = frame_windows(len(samples), rate, window, shift)
    hann = np.hanning(length + 1)[:-1]
    filters = mel_filters(length // 2 + 1, n_bands, rate)
    out = np.empty((len(first), n_bands))
    for a in range(0, len(first), _BLOCK):
        some = first[a : a + _BLOCK]
        frames = np.trunc(samples[some[:, None] + np.arange(length)].astype(float) * FULL_SCALE)
        magnitude = np.abs(np.fft.rfft(frames * hann, axis=1))
        out[a : a + len(some)] = np.log(magnitude @ filters + FLOOR)
    return out


def envelope(samples: Float32Array, rate: float, *, window: float, shift: float) -> FloatArray:
    """Return the broadband envelope, (frame, 1): root mean square of each frame's samples.

    Parameters
    ----------
    samples
        (sample,) sound.
    rate
        Sampling rate, Hz.
    window, shift
        Length of a frame, and time between frames, s.
    """
    first, length = frame_windows(len(samples), rate, window, shift)
    out = np.empty((len(first), 1))
    for a in range(0, len(first), _BLOCK):
        some = first[a : a + _BLOCK]
        frames = samples[some[:, None] + np.arange(length)].astype(float)
        out[a : a + len(some), 0] = np.sqrt(np.mean(frames**2, axis=1))
    return out


def on_off(time: FloatArray, start: FloatArray, stop: FloatArray, *, window: float) -> FloatArray:
    """Return the share of each frame's window within a word, (frame, 1), 0 to 1.

    Parameters
    ----------
    time
        (frame,) centres of the windows, s, ascending.
    start, stop
        (word,) edges of the words, s; words with a missing edge do not count.
    window
        Length of the windows, s.
    """
    share = np.zeros(len(time))
    for a, b in zip(start, stop, strict=True):
        if np.isfinite(a) and np.isfinite(b):
            first, last = np.searchsorted(time, [a - window, b + window])
            near = time[first:last]
            within = np.minimum(near + window / 2, b) - np.maximum(near - window / 2, a)
            share[first:last] += np.clip(within, 0.0, None) / window
    # Words that overlap are still one voice.
    return np.minimum(share, 1.0)[:, None]


SILENT_HZ = 1000.0
"""Rate of silence that stands for a recording without sound."""


def silence(extents: Sequence[tuple[int, float, float]]) -> Audio:
    """Return silence as long as recordings are.

    Parameters
    ----------
    extents
        Number, start and stop (s) of each.
    """
    lengths = [max(0, round((stop - start) * SILENT_HZ)) for _, start, stop in extents]
    return Audio(
        samples=np.zeros(sum(lengths), np.float32),
        rate=SILENT_HZ,
        segment=tuple(number for number, _, _ in extents),
        first=tuple(int(n) for n in np.cumsum([0, *lengths[:-1]])),
        start=tuple(start for _, start, _ in extents),
    )


def acoustic_embeddings(model: dict[str, Any], *, words: Words, audio: Audio) -> Embeddings:
    """Return acoustic features of a resolved catalogue entry of kind `acoustic`."""
    window, shift = float(model["window"]), float(model["shift"])
    parts = audio.required().parts()
    times: list[FloatArray] = []
    numbers = []
    for number, start, samples in parts:
        count = len(frame_windows(len(samples), audio.rate, window, shift)[0])
        times.append(start + np.arange(count, dtype=np.float64) * shift + window / 2)
        numbers.append(np.full(count, number, dtype=np.int16))

    def blocks() -> Iterator[NDArray[np.float32]]:
        for (number, _, samples), time in zip(parts, times, strict=True):
            if model["feature"] == "mel":
                values = log_mel(samples, audio.rate, window=window, shift=shift)
            elif model["feature"] == "envelope":
                values = envelope(samples, audio.rate, window=window, shift=shift)
            else:
                start, stop = words.edges(model["mark"])
                here = words.segment == number
                values = on_off(time, start[here], stop[here], window=window)
            yield values[None].astype(np.float32)

    return Embeddings(
        unit="frame",
        layers=[0],
        width=BANDS if model["feature"] == "mel" else 1,
        coordinates={"time": np.concatenate(times), "segment": np.concatenate(numbers)},
        blocks=blocks(),
        attributes={"rate_hz": 1.0 / shift},
    )
