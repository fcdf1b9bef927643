"""Compute spectra of sound and electrodes on one clock, and how their phases advance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from highgamma.contamination.settings import ContaminationSettings
from highgamma.errors import InputError
from highgamma.neural.frames import Windows
from highgamma.neural.spans import Mask
from highgamma.recording.reader import Reader

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
ComplexArray = NDArray[np.complex64]

LINE_HALFWIDTH = 2.5
"""Half width of the range left out around each multiple of the mains frequency, Hz."""

MAINS = (50.0, 60.0)
"""Mains frequencies that are removed if neither settings nor sidecar name one, Hz."""

HUM_WINDOW = 0.5
"""Duration over which the mains hum is averaged before it is subtracted, s. The hum may change in
amplitude and frequency from one such window to the next."""

HUM_PASSES = 2
"""Times that the hum is subtracted. Of a hum that is 0.2 Hz off its nominal frequency, the first
time leaves 1.6 %, the second 0.03 %."""

SLOW = 0.2
"""Duration of the running mean that is subtracted from how phases advance, s."""

OVERSAMPLING = 4
"""Least sampling rate of the sound over the highest frequency, when its pitch is searched."""


def mains_lines(settings: ContaminationSettings, mains: float | None) -> tuple[float, ...]:
    """Return the mains frequencies that the audit removes, Hz.

    Parameters
    ----------
    settings
        The audit's settings; `line` overrides the other sources.
    mains
        Frequency that the recording's sidecar states; None if it states none.
    """
    known = settings.line or mains
    return (known,) if known else MAINS


def frequencies(
    settings: ContaminationSettings, *, rate: float, mains: float | None = None
) -> FloatArray:
    """Return the frequencies compared, Hz: `low` to `high`, without multiples of the mains.

    Parameters
    ----------
    settings
        The audit's settings.
    rate
        The lower sampling rate of sound and recording, Hz; the highest frequency is 0.4 times it.
    mains
        Mains frequency that the recording's sidecar states, Hz.

    Raises
    ------
    InputError
        If the rate leaves fewer than ten frequencies.
    """
    high = min(settings.high, 0.4 * rate)
    grid = np.arange(settings.low, high + 1e-9, settings.step)
    for line in mains_lines(settings, mains):
        harmonic = np.round(grid / line) * line
        grid = grid[np.abs(grid - harmonic) >= LINE_HALFWIDTH]
    if len(grid) < 10:
        raise InputError(
            f"the rate of {rate:g} Hz leaves {len(grid)} frequencies above {settings.low:g} Hz "
            "to compare with the voice",
            where="contamination",
            expected="at least ten: a rate of some 300 Hz or more",
            remedy="set contamination: {enabled: false}",
        )
    return np.asarray(grid)


def frame_times(signals: Sequence[Reader], settings: ContaminationSettings) -> FloatArray:
    """Return the centres of the frames within all signals of a segment, (frame,), s."""
    begin = max(s.start + 1 / s.rate for s in signals) + settings.window / 2
    end = min(s.start + s.duration for s in signals) - settings.window / 2
    # One spare sample at either end for rounding and for the difference of neighbours.
    spare = 2 / min(s.rate for s in signals)
    count = int(np.floor((end - begin - 2 * spare) / settings.shift)) + 1
    return np.asarray(begin + spare + settings.shift * np.arange(max(0, count)))


def spectrum(
    signals: Reader,
    channels: slice,
    *,
    times: FloatArray,
    freqs: FloatArray,
    settings: ContaminationSettings,
) -> ComplexArray:
    """Compute the short-time spectrum `Σ_n w_n (x_n - x_{n-1}) e^{-2πi f (t_n - t)}`.

    w is a Hann window.

    The difference of neighbouring samples whitens 1/f spectra, so that low frequencies do not
    leak through the window; it scales every frequency by a constant. Phases are counted from the
    centre t of each frame, not from a sample near it, so that signals of different rates agree.

    Parameters
    ----------
    signals
        Sound or electrodes.
    channels
        A range of them.
    times
        (frame,), centres of the frames, s.
    freqs
        (F,), Hz.
    settings
        The audit's settings.

    Returns
    -------
    spectrum : (channel, F, frame)
        complex64.
    """
    width = max(2, round(settings.window * signals.rate))
    sample = np.arange(width)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (sample + 0.5) / width)
    angle = 2 * np.pi * freqs[:, None] * sample / signals.rate
    waves = np.concatenate([np.cos(angle), -np.sin(angle)]) * window
    waves = (waves / window.sum()).astype(np.float32)
    wanted = (times - signals.start) * signals.rate - width / 2
    start = np.round(wanted).astype(np.int64)
    begun = start / signals.rate + signals.start - times
    n_channels = len(signals.names[channels])
    spectra = np.empty((n_channels, len(freqs), len(times)), np.complex64)
    batch = max(1, int(2**24 // width))
    for begin in range(0, len(times), batch):
        some = start[begin : begin + batch]
        first = int(some[0]) - 1
        voltage = signals.read(first, int(some[-1]) + width, channels)
        steps = np.diff(voltage, axis=0).astype(np.float32)
        turn = np.exp(-2j * np.pi * freqs[:, None] * begun[begin : begin + batch])
        for channel in range(n_channels):
            pieces = np.lib.stride_tricks.sliding_window_view(
                np.ascontiguousarray(steps[:, channel]), width
            )[some - first - 1]
            batch_spectra = spectra[channel, :, begin : begin + batch]
            batch_spectra.real, batch_spectra.imag = np.split(waves @ pieces.T, 2)
            batch_spectra *= turn.astype(np.complex64)
    return spectra


def clean_spectrum(
    signals: Reader,
    channels: slice,
    *,
    times: FloatArray,
    freqs: FloatArray,
    lines: Sequence[float],
    settings: ContaminationSettings,
) -> ComplexArray:
    """Compute the short-time spectrum without mains hum: `spectrum`, then `without_mains`."""
    raw = spectrum(signals, channels, times=times, freqs=freqs, settings=settings)
    return without_mains(raw, times=times, freqs=freqs, lines=lines, settings=settings)


def advances_at(
    sound: Reader,
    *,
    times: FloatArray,
    freqs: FloatArray,
    lines: Sequence[float],
    ratio: float,
    settings: ContaminationSettings,
) -> ComplexArray:
    """Compute how the phase of a sound advances whose pitch is shifted by a ratio.

    Windows, and the time from one window to the next, are shorter by the ratio, and frequencies
    are higher by it. A ratio of 1 gives `advances` of the compressed spectrum.

    Parameters
    ----------
    sound
        The sound of a segment.
    times
        (frame,), centres of the segment's frames, s.
    freqs
        (F,), frequencies in the electrodes, Hz.
    lines
        Mains frequencies in the electrodes, Hz.
    ratio
        Frequencies of the sound over those of the voice.
    settings
        The audit's settings.

    Returns
    -------
    advances : (F, frame - w)
        w as in `advances`.
    """
    ahead = frames_apart(settings)
    apart = ahead * settings.shift
    shorter = replace(settings, window=settings.window / ratio)
    spare = shorter.window / 2 + 2 / sound.rate
    middle = (times[ahead:] + times[:-ahead]) / 2
    ends = []
    for side in (-0.5, 0.5):
        at = np.clip(
            middle + side * apart / ratio,
            sound.start + spare,
            sound.start + sound.duration - spare,
        )
        ends.append(
            softened(
                clean_spectrum(
                    sound,
                    slice(0, 1),
                    times=at,
                    freqs=freqs * ratio,
                    lines=[line * ratio for line in lines],
                    settings=shorter,
                )[0]
            )
        )
    turn = np.exp(-2j * np.pi * freqs[:, None] * apart).astype(np.complex64)
    return np.asarray(ends[1] * np.conj(ends[0]) * turn)


def thinned(sound: Reader, highest: float) -> Reader:
    """Sample a sound at a lower rate, at least `OVERSAMPLING` times the highest frequency (Hz)."""
    from scipy.signal import resample_poly

    factor = int(sound.rate // (OVERSAMPLING * highest))
    if factor < 2:
        return sound
    samples = np.asarray(sound.read(), dtype=np.float64)
    return Reader.of_array(
        resample_poly(samples, 1, factor, axis=0),
        rate=sound.rate / factor,
        names=sound.names,
        start=sound.start,
    )


def without_mains(
    spectra: ComplexArray,
    *,
    times: FloatArray,
    freqs: FloatArray,
    lines: Sequence[float],
    settings: ContaminationSettings,
) -> ComplexArray:
    """Subtract the mains hum from a short-time spectrum.

    A window of w seconds spreads each multiple of the mains over ± 2 / w Hz, so that it cannot be
    left out by leaving out frequencies. A hum of frequency m turns the spectrum by `e^{2πi m t}`
    from frame to frame at all frequencies that it reaches. Its running mean over `HUM_WINDOW`,
    after this turn is undone, is the hum, and is subtracted, `HUM_PASSES` times.

    Parameters
    ----------
    spectra
        (…, F, frame), of one segment; changed in place.
    times
        (frame,), centres of the frames, s.
    freqs
        (F,), Hz.
    lines
        Mains frequencies, Hz.
    settings
        The audit's settings.
    """
    if not len(times):
        return spectra
    width = max(3, 2 * round(HUM_WINDOW / settings.shift / 2) + 1)
    reach = 2 / settings.window
    highest = freqs.max() + reach
    multiples = {line * k for line in lines for k in range(1, int(highest / line) + 1)}
    for multiple in sorted(multiples):
        near = np.flatnonzero(np.abs(freqs - multiple) < reach)
        if not len(near):
            continue
        some = slice(near[0], near[-1] + 1)
        turn = np.exp(2j * np.pi * multiple * (times - times[0])).astype(np.complex64)
        still = spectra[..., some, :] * np.conj(turn)
        for _ in range(HUM_PASSES):
            still -= running_mean(still, width)
        spectra[..., some, :] = still * turn
    return spectra


def running_mean(values: ComplexArray, width: int) -> ComplexArray:
    """Compute the running mean over `width` frames, the last axis."""
    from scipy.ndimage import uniform_filter1d

    mean = np.empty_like(values)
    mean.real = uniform_filter1d(values.real, width, axis=-1, mode="nearest")
    mean.imag = uniform_filter1d(values.imag, width, axis=-1, mode="nearest")
    return mean


def masked_frames(
    mask: Mask, signals: Reader, *, times: FloatArray, settings: ContaminationSettings
) -> NDArray[np.bool_]:
    """Tell which frames of each electrode touch masked samples, (channel, frame)."""
    first = np.floor((times - signals.start - settings.window / 2) * signals.rate).astype(np.int64)
    width = int(np.ceil(settings.window * signals.rate)) + 1
    return mask.masked(Windows(first, first + width)) > 0


def standardised(
    values: Float32Array | FloatArray, hidden: NDArray[np.bool_] | None = None
) -> Float32Array:
    """Scale to mean 0 and mean square 1 over the last axis; 0 throughout if nothing varies.

    Frames `hidden` (channel, frame) of `values` (channel, F, frame) are left out, and become 0.
    """
    if hidden is not None and hidden.any():
        whole = np.zeros(values.shape, np.float32)
        for into, some, left_out in zip(whole, values, hidden, strict=True):
            if not left_out.all():
                into[:, ~left_out] = standardised(some[:, ~left_out])
        return whole
    centred = values - values.mean(axis=-1, keepdims=True, dtype=np.float64)
    deviation = np.sqrt(np.mean(np.square(centred), axis=-1, keepdims=True, dtype=np.float64))
    scale = np.where(deviation > 0, deviation, np.inf)
    return np.asarray(centred / scale, dtype=np.float32)


def softened(values: ComplexArray) -> ComplexArray:
    """Compress the peaks of the voice's spectrum (F, frame): `A / sqrt(|A|² + mean |A|²)`.

    Loud frames count alike, soft ones by their amplitude.
    """
    power = np.square(np.abs(values))
    scale = np.sqrt(power + power.mean(axis=-1, keepdims=True))
    return np.asarray(values / np.where(scale > 0, scale, np.inf), dtype=np.complex64)


def unit_phases(values: ComplexArray) -> ComplexArray:
    """Divide a spectrum by its amplitude, `X / |X|`; 0 if it is 0."""
    amplitude = np.abs(values)
    return np.asarray(values / np.where(amplitude > 0, amplitude, np.inf), dtype=np.complex64)


def advances(
    values: ComplexArray, freqs: FloatArray, settings: ContaminationSettings
) -> ComplexArray:
    """Compute how phase advances from one window to the next: `X(t + w) conj(X(t)) e^{-2πi f w}`.

    w is `window` in whole frames; windows do not overlap, so that noise has no advance of its
    own. A constant delay or gain between two signals, different at every frequency, drops out.

    Parameters
    ----------
    values
        (…, F, frame), of one segment.
    freqs
        (F,), Hz.
    settings
        The audit's settings.

    Returns
    -------
    advances : (…, F, frame - w)
    """
    apart = frames_apart(settings)
    turn = np.exp(-2j * np.pi * freqs[:, None] * apart * settings.shift).astype(np.complex64)
    return np.asarray(values[..., apart:] * np.conj(values[..., :-apart]) * turn)


def without_slow(values: ComplexArray, settings: ContaminationSettings) -> ComplexArray:
    """Subtract the running mean over `SLOW` from advances (…, frame) of one segment.

    The mean advance of an electrode that follows speech differs between speech and silence, and so
    does the sound's, at every word in the same way. Circular shifts do not reproduce that.
    """
    width = max(3, 2 * round(SLOW / settings.shift / 2) + 1)
    return np.asarray(values - running_mean(values, width))


def frames_apart(settings: ContaminationSettings) -> int:
    """Count the frames from one window to the next that does not overlap with it."""
    return max(1, int(np.ceil(settings.window / settings.shift - 1e-9)))


def centred(values: ComplexArray) -> ComplexArray:
    """Subtract the mean over the last axis."""
    return np.asarray(values - values.mean(axis=-1, keepdims=True), dtype=np.complex64)
