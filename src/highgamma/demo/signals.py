"""The raw voltage of one electrode: background, high-gamma carrier, line noise, drift.

    v(t) = gain · (b(t) + a(t)·c(t) + line(t) + drift(t)),   a(t) = 1 + m(t) + depth·d(t)

b is 1/f noise, c noise limited to 70–170 Hz, m the electrode's own slow modulation, d ≥ 0 the
planted drive. depth is set so that the drive has the wanted signal-to-noise ratio in the envelope.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from highgamma.demo.spoken import Session

FloatArray = NDArray[np.float64]

BAND = (70.0, 170.0)  # Hz
CARRIER = 6.0  # µV, mean envelope of the carrier
BACKGROUND = 25.0  # µV, standard deviation of the 1/f background
LINE = (9.0, 4.0, 2.5, 1.5, 1.0)  # µV at 50, 100, … Hz
STEP = 0.09765625  # µV, the recorder's resolution
OWN_MODULATION = {"noise": 0.15, "contaminated": 0.15}  # standard deviation of m
PLANTED_MODULATION = 0.04
MODULATION_SECONDS = 1.5  # time constant of m


def shaped_noise(
    n_samples: int,
    rate: float,
    amplitude: Callable[[FloatArray], FloatArray],
    *,
    rng: np.random.Generator,
) -> FloatArray:
    """Draw Gaussian noise whose spectrum has the given amplitude (of Hz), standard deviation 1."""
    from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

    n = next_fast_len(n_samples, real=True)
    spectrum = rfft(rng.standard_normal(n)) * amplitude(rfftfreq(n, 1 / rate))
    noise = np.asarray(irfft(spectrum, n)[:n_samples])
    noise -= noise.mean()
    return np.asarray(noise / noise.std())


def carrier(
    n_samples: int, rate: float, *, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draw noise within 70–170 Hz; return it and its Hilbert envelope, whose mean is 1."""
    from scipy.fft import next_fast_len

    analytic = analytic_in_band(rng.standard_normal(next_fast_len(n_samples)), rate)[:n_samples]
    envelope = np.abs(analytic)
    mean = envelope.mean()
    return analytic.real / mean, envelope / mean


def analytic_in_band(series: FloatArray, rate: float) -> NDArray[np.complex128]:
    """Return the analytic signal of a series (sample,) within 70–170 Hz, up to a factor of 2."""
    from scipy.fft import ifft, rfft, rfftfreq

    spectrum = rfft(series)
    frequencies = rfftfreq(len(series), 1 / rate)
    spectrum[(frequencies < BAND[0]) | (frequencies > BAND[1])] = 0
    # An inverse transform of the positive frequencies alone is the analytic signal.
    return np.asarray(ifft(spectrum, len(series)))


def slow_modulation(n_samples: int, rate: float, *, rng: np.random.Generator) -> FloatArray:
    """Draw autocorrelated noise with a Lorentzian spectrum, standard deviation 1."""
    tau = 2 * np.pi * MODULATION_SECONDS
    return shaped_noise(n_samples, rate, lambda f: 1 / (1 + (tau * f) ** 2), rng=rng)


def sound_envelope(
    audio: FloatArray, *, rate: float, start: float, times: FloatArray
) -> FloatArray:
    """Compute the broadband amplitude of the audio at some times, 1 at its 99.9th percentile.

    Mean of |audio| over blocks of 1 ms, smoothed by a Gaussian of 10 ms without delay.

    Parameters
    ----------
    audio
        (sample,), first sample at `start` s, `rate` Hz.
    times
        s on the clock of `start`.
    """
    from scipy.ndimage import gaussian_filter1d

    block = round(rate / 1000)
    n_blocks = len(audio) // block
    level = np.abs(audio[: n_blocks * block]).reshape(n_blocks, block).mean(axis=1)
    level = gaussian_filter1d(level, 0.010 * rate / block)
    centres = start + (np.arange(n_blocks) * block + (block - 1) / 2) / rate
    return np.asarray(np.interp(times, centres, level) / np.quantile(level, 0.999))


def microphone(audio: FloatArray, *, rate: float, start: float, times: FloatArray) -> FloatArray:
    """Filter the audio as an amplifier of 1024 Hz picks it up: below 450 Hz, at some times."""
    from scipy.interpolate import CubicSpline
    from scipy.signal import butter, resample_poly, sosfiltfilt

    low = resample_poly(audio, 1, 12)
    low = sosfiltfilt(butter(8, 450.0, fs=rate / 12, output="sos"), low)
    return np.asarray(CubicSpline(start + np.arange(len(low)) * 12 / rate, low)(times))


def speech_box(session: Session, times: FloatArray) -> FloatArray:
    """Return 1 from voice onset to voice offset, else 0; edges smoothed over 20 ms."""
    return _smoothed_boxes(
        times,
        starts=session.voice_onset,
        stops=session.voice_offset,
        heights=np.ones(len(session.words)),
        rate=session.rate,
    )


def word_plateaus(session: Session, heights: FloatArray, times: FloatArray) -> FloatArray:
    """Return plateaus of each word's height from 0 to 1 s after its prompt; edges over 20 ms."""
    onsets = session.prompt / session.rate
    return _smoothed_boxes(
        times, starts=onsets, stops=onsets + 1.0, heights=heights, rate=session.rate
    )


def _smoothed_boxes(
    times: FloatArray,
    *,
    starts: FloatArray,
    stops: FloatArray,
    heights: FloatArray,
    rate: float,
) -> FloatArray:
    from scipy.ndimage import gaussian_filter1d

    boxes = np.zeros(len(times))
    for start, stop, height in zip(starts, stops, heights, strict=True):
        boxes[np.searchsorted(times, start) : np.searchsorted(times, stop)] = height
    return np.asarray(gaussian_filter1d(boxes, 0.020 * rate))


def frames_of(rate: float) -> Callable[[FloatArray], FloatArray]:
    """Return the function that averages samples over 50 ms every 10 ms."""

    def means(series: FloatArray) -> FloatArray:
        width = round(0.050 * rate)
        starts = np.arange(0, len(series) - width, 0.010 * rate).astype(int)
        return _means(series, starts, width)

    return means


def words_of(session: Session) -> Callable[[FloatArray], FloatArray]:
    """Return the function that averages samples over the first second after each prompt."""

    def means(series: FloatArray) -> FloatArray:
        return _means(series, session.prompt, round(session.rate))

    return means


def _means(series: FloatArray, starts: NDArray[np.int64], width: int) -> FloatArray:
    total = np.concatenate([[0.0], np.cumsum(series)])
    return np.asarray((total[starts + width] - total[starts]) / width)


def depth_for(
    drive: FloatArray,
    undriven: FloatArray,
    *,
    snr: float,
    means: Callable[[FloatArray], FloatArray],
) -> float:
    """Find the depth with var(means(depth·drive·ē)) = snr · var(means(undriven)).

    ē is the mean envelope.

    Parameters
    ----------
    drive, undriven
        (sample,): the planted drive, the electrode's envelope without it.
    means
        How samples become words or frames.
    """
    wanted = np.sqrt(snr * means(undriven).var())
    return float(wanted / (undriven.mean() * means(drive).std()))


def voltage(
    n_samples: int,
    rate: float,
    *,
    kind: str,
    drive: FloatArray | None,
    picked_up: FloatArray | None,
    snr: float,
    gain: float,
    means: Callable[[FloatArray], FloatArray],
    rng: np.random.Generator,
) -> FloatArray:
    """Simulate the voltage of one electrode, µV, (sample,), in steps of the recorder's resolution.

    Parameters
    ----------
    kind
        As in `truth.Planted`.
    drive
        (sample,), not negative; None if nothing else modulates the carrier.
    picked_up
        (sample,): the microphone's signal scaled to a power of 1 within 70–170 Hz while there is
        speech; None if the electrode does not pick it up.
    snr, gain
        As in `truth.Planted`.
    means
        How the drive's signal-to-noise ratio is counted: over words or over frames.
    """
    if kind == "flat":
        return np.full(n_samples, STEP * round(-40.0 * gain))
    times = np.arange(n_samples) / rate
    background = BACKGROUND * shaped_noise(
        n_samples, rate, lambda f: 1 / np.maximum(f, 0.5), rng=rng
    )
    noise, envelope = carrier(n_samples, rate, rng=rng)
    modulation = OWN_MODULATION.get(kind, PLANTED_MODULATION)
    amplitude = 1 + modulation * slow_modulation(n_samples, rate, rng=rng)
    if drive is not None:
        depth = depth_for(drive, amplitude * envelope, snr=snr, means=means)
        amplitude = amplitude + depth * drive
    signal = background + CARRIER * np.maximum(amplitude, 0.1) * noise
    if picked_up is not None:
        signal += np.sqrt(snr) * CARRIER * noise.std() * picked_up
    for k, height in enumerate(LINE, start=1):
        signal += (
            height * rng.uniform(0.5, 1.5) * np.sin(2 * np.pi * (50.0 * k * times + rng.uniform()))
        )
    signal += 30.0 * shaped_noise(n_samples, rate, lambda f: 1 / (0.01 + f) ** 2, rng=rng)
    signal += rng.normal(0, 50) * times / times[-1] + rng.normal(0, 20)
    return np.asarray(np.rint(gain * signal / STEP) * STEP)


def heartbeat(n_samples: int, rate: float, *, rng: np.random.Generator) -> FloatArray:
    """Simulate an electrocardiogram, µV: a beat of 0.8 mV about every 0.85 s, and noise."""
    times = np.arange(n_samples) / rate
    n_beats = int(times[-1] / 0.7) + 2
    beats = np.cumsum(0.85 + 0.03 * rng.standard_normal(n_beats))
    beats = beats[beats < times[-1]]
    signal = 15 * shaped_noise(n_samples, rate, lambda f: 1 / np.maximum(f, 0.5), rng=rng)
    reach = round(0.4 * rate)
    for beat in beats:
        near = slice(max(0, round(beat * rate) - reach), round(beat * rate) + reach)
        t = times[near] - beat
        signal[near] += 800 * np.exp(-((t / 0.012) ** 2)) - 150 * np.exp(
            -(((t - 0.03) / 0.012) ** 2)
        )
        signal[near] += 200 * np.exp(-(((t - 0.25) / 0.05) ** 2))
    return np.asarray(np.rint(signal / STEP) * STEP)
