"""Acoustic contamination: does the recorded voice appear, frequency by frequency, in electrodes?

After Roussel et al. 2020 (J. Neural Eng. 17 056028, doi 10.1088/1741-2552/abb25e): the
spectrograms of audio and electrode are compared over time for every pair of frequencies. A voice
that leaks into the recording meets itself at the same frequency, on the diagonal; brain activity
that follows speech does not prefer it. The excess of the diagonal is compared with the same excess
of shifted audio.

What differs from the paper: the paper correlates amplitudes, this audit phases (by which Peterson
et al. 2024, doi 10.1162/imag_a_00301, take such artefacts out). A copy of the
sound, through whatever cable, advances in phase as the sound does; high-gamma that rises and falls
with the voice shares its amplitude and not its phase. So the electrode's amplitude is thrown away
before anything is compared, and an electrode that follows speech, however strongly, has no other
chance of a flag than one that does not. The correlation of amplitudes, which the paper looks at, is
kept as `matrix`. An earlier form of this audit judged by it, less the voice's level and all that is
smooth over frequency: at p < 0.05 it flagged 0 to 12 % of clean electrodes, depending on the lag at
which they followed the voice (docs/selftest.md). The surrogates are all circular shifts of the
audio, computed at once by Fourier transforms.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma import neural
from highgamma.errors import InputError, refuse_unknown
from highgamma.recording.reader import Reader

if TYPE_CHECKING:
    import xarray as xr

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
ComplexArray = NDArray[np.complex64]

_log = logging.getLogger("highgamma")

DELAY = 0.1
"""s: the audio may run this much early or late against the recording; the largest excess within
is taken, of the recording as of its surrogates."""

SILENCE = 0.01
"""Audio amplitudes are raised by this share of their root mean square before the logarithm, so
that the background of silent frames does not outweigh the voice."""

BLOCK_BYTES = 2**25
"""Size of one complex spectrogram of a block of channels."""


@dataclass(frozen=True, slots=True)
class Settings:
    """window, shift : of the spectrograms' frames, s; phases are compared from one window to the
    next, `window / shift` frames later. low, high : frequencies compared, Hz (high
    is lowered to `0.4 rate`, below the anti-alias filter of the recording). step : between
    frequencies, Hz. line : mains frequency, Hz, its multiples are left out. line_halfwidth : Hz.
    min_shift : smallest circular shift of a surrogate, s. reference : as of the neural stage; the
    channels are audited as they are analysed, and as recorded besides.
    """

    window: float = 0.1
    shift: float = 0.025
    low: float = 60.0
    high: float = 400.0
    step: float = 5.0
    line: float = 50.0
    line_halfwidth: float = 2.5
    min_shift: float = 5.0
    reference: str = "none"

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Settings:
        """Read settings as the config gives them.

        Raises
        ------
        InputError
            For an unknown key (the nearest known one is named) or an impossible value.
        """
        known = [field.name for field in fields(cls)]
        refuse_unknown(settings, known, where="contamination")
        made = cls(**settings)
        positive = ("window", "shift", "low", "step", "min_shift")
        for key in positive:
            if getattr(made, key) <= 0:
                raise InputError(
                    f"{key} is {getattr(made, key)}",
                    where=f"contamination.{key}",
                    expected="a number above 0",
                    remedy="mend the value in the config",
                )
        neural.REFERENCES.named(made.reference, where="contamination.reference")
        return made


@dataclass(frozen=True, slots=True)
class Audit:
    """What the audit found. frequencies : (F,), Hz. matrix : (channel, F of the audio, F of the
    electrode), correlation of log amplitudes. locking : the same shape, how far the electrode's
    phase advances with the sound's (`excess_of_shifts`), at the channel's `delay`. excess :
    (channel,), mean of its diagonal minus mean off it. delay : (channel,), s by which the
    electrode lags the audio where the excess is largest. p : (channel,), NaN for a flat channel.
    p_recording : of the largest standardised excess of all channels. surrogates : how many.
    """

    frequencies: FloatArray
    matrix: Float32Array
    locking: Float32Array
    excess: FloatArray
    delay: FloatArray
    p: FloatArray
    p_recording: float
    surrogates: int


def frequencies(settings: Settings, *, rate: float) -> FloatArray:
    """Frequencies compared, Hz: `low` to `high` in steps, multiples of the mains left out.

    Raises
    ------
    InputError
        Where the recording's rate leaves fewer than ten.
    """
    high = min(settings.high, 0.4 * rate)
    grid = np.arange(settings.low, high + 1e-9, settings.step)
    if settings.line > 0:
        harmonic = np.round(grid / settings.line) * settings.line
        grid = grid[np.abs(grid - harmonic) >= settings.line_halfwidth]
    if len(grid) < 10:
        raise InputError(
            f"the rate of {rate:g} Hz leaves {len(grid)} frequencies above {settings.low:g} Hz "
            "to compare with the voice",
            where="contamination",
            expected="at least ten: a rate of some 300 Hz or more",
            remedy="leave the contamination audit out of the config for this data set",
        )
    return np.asarray(grid)


def frame_times(signals: Sequence[Reader], settings: Settings) -> FloatArray:
    """Centres of the frames that lie wholly within all signals of a segment, s: (frame,)."""
    begin = max(s.start + 1 / s.rate for s in signals) + settings.window / 2
    end = min(s.start + s.duration for s in signals) - settings.window / 2
    # One sample to spare at either end for rounding and for the difference of neighbours.
    spare = 2 / min(s.rate for s in signals)
    count = int(np.floor((end - begin - 2 * spare) / settings.shift)) + 1
    return np.asarray(begin + spare + settings.shift * np.arange(max(0, count)))


def spectrum(
    signals: Reader,
    channels: slice,
    times: FloatArray,
    freqs: FloatArray,
    settings: Settings,
) -> ComplexArray:
    """Short-time spectrum `Σ_n w_n (x_n - x_{n-1}) e^{-2πi f (t_n - t)}`, w a Hann window.

    The difference of neighbouring samples whitens 1/f spectra, so that low frequencies do not
    leak through the window; it scales every frequency by a constant. Phases are counted from the
    centre t of each frame, not from a sample near it, so that signals of different rates agree.

    Parameters
    ----------
    times : (frame,), centres, s. freqs : (F,), Hz.

    Returns
    -------
    (channel, F, frame), complex64.
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
    made: ComplexArray | None = None
    batch = max(1, int(2**24 // width))
    for begin in range(0, len(times), batch):
        some = start[begin : begin + batch]
        first = int(some[0]) - 1
        voltage = signals.read(first, int(some[-1]) + width, channels)
        steps = np.diff(voltage, axis=0).astype(np.float32)
        if made is None:
            made = np.empty((steps.shape[1], len(freqs), len(times)), np.complex64)
        turn = np.exp(-2j * np.pi * freqs[:, None] * begun[begin : begin + batch])
        for channel in range(steps.shape[1]):
            pieces = np.lib.stride_tricks.sliding_window_view(
                np.ascontiguousarray(steps[:, channel]), width
            )[some - first - 1]
            here = made[channel, :, begin : begin + batch]
            here.real, here.imag = np.split(waves @ pieces.T, 2)
            here *= turn.astype(np.complex64)
    if made is None:
        raise ValueError("no frames")
    return made


def standardised(values: Float32Array | FloatArray) -> Float32Array:
    """Mean 0 and mean square 1 over the last axis; 0 throughout where nothing varies."""
    centred = values - values.mean(axis=-1, keepdims=True, dtype=np.float64)
    deviation = np.sqrt(np.mean(np.square(centred), axis=-1, keepdims=True, dtype=np.float64))
    scale = np.where(deviation > 0, deviation, np.inf)
    return np.asarray(centred / scale, dtype=np.float32)


def softened(values: ComplexArray) -> ComplexArray:
    """Spectrum of the voice with its peaks compressed: `A / sqrt(|A|² + mean |A|²)`.

    Loud frames count alike, soft ones by their amplitude. values : (F, frame).
    """
    power = np.square(np.abs(values))
    scale = np.sqrt(power + power.mean(axis=-1, keepdims=True))
    return np.asarray(values / np.where(scale > 0, scale, np.inf), dtype=np.complex64)


def unit_phases(values: ComplexArray) -> ComplexArray:
    """`X / |X|`: what is left of a spectrum without its amplitude; 0 where there is none."""
    amplitude = np.abs(values)
    return np.asarray(values / np.where(amplitude > 0, amplitude, np.inf), dtype=np.complex64)


def advances(values: ComplexArray, freqs: FloatArray, settings: Settings) -> ComplexArray:
    """Advance of the phase from one window to the next: `X(t + w) conj(X(t)) e^{-2πi f w}`.

    w is `window` in whole frames; windows do not overlap, so that noise has no advance of its
    own. A constant delay or gain between two signals, different at every frequency, drops out.

    Parameters
    ----------
    values : (…, F, frame), of one segment. freqs : (F,), Hz.

    Returns
    -------
    (…, F, frame - w).
    """
    apart = frames_apart(settings)
    turn = np.exp(-2j * np.pi * freqs[:, None] * apart * settings.shift).astype(np.complex64)
    return np.asarray(values[..., apart:] * np.conj(values[..., :-apart]) * turn)


def frames_apart(settings: Settings) -> int:
    """Frames from one window to the next that does not overlap with it."""
    return max(1, int(np.ceil(settings.window / settings.shift - 1e-9)))


def centred(values: ComplexArray) -> ComplexArray:
    """Mean 0 over the last axis."""
    return np.asarray(values - values.mean(axis=-1, keepdims=True), dtype=np.complex64)


def excess_of_shifts(voice: ComplexArray, electrodes: ComplexArray) -> FloatArray:
    """Excess of the diagonal for every circular shift of the voice.

    The advance of audio frequency f goes with that of electrode frequency g by
    `C_fg = Re Σ_t conj(A_f(t)) N_g(t) / T`, and `excess = mean_f C_ff - mean_{f≠g} C_fg`. Both
    means are sums of products over time, so one product in the frequency domain gives them for
    all shifts at once.

    Parameters
    ----------
    voice : (F, frame). electrodes : (channel, F, frame).

    Returns
    -------
    (channel, shift), shift 0 … frames - 1; column 0 is the recording as it is, column s has the
    voice s frames later.
    """
    from scipy import fft

    n_freqs, n_frames = voice.shape
    audio = np.conj(fft.fft(voice, axis=1))
    audio_sum = audio.sum(axis=0)
    on, off = 1 / n_freqs, 1 / (n_freqs * (n_freqs - 1))
    excess = np.empty((len(electrodes), n_frames))
    for row, electrode in enumerate(electrodes):
        transformed = fft.fft(electrode, axis=1)
        diagonal = np.einsum("ft,ft->t", audio, transformed)
        everything = audio_sum * transformed.sum(axis=0)
        both = (on + off) * diagonal - off * everything
        excess[row] = fft.ifft(both).real / n_frames
    return excess


def largest_within(excess: FloatArray, reach: int) -> FloatArray:
    """The largest excess within `reach` shifts to either side, round the circle.

    excess : (channel, shift). Returns the same shape.
    """
    from scipy.ndimage import maximum_filter1d

    return np.asarray(maximum_filter1d(excess, 2 * reach + 1, axis=1, mode="wrap"))


def audit(voices: Sequence[Reader | None], signals: Sequence[Reader], settings: Settings) -> Audit:
    """Compare the excess of the diagonal with that of every circular shift of the audio.

    `p = (b + 1) / (n + 1)`, where b of n shifts of at least `min_shift` have an excess as large
    as the recording's own. For the whole recording the largest excess of all channels is taken,
    each in standard deviations of its own surrogates, under the same shifts.

    Parameters
    ----------
    voices, signals : audio (None for no audio) and electrodes of each segment, each on that
    segment's clock.

    Raises
    ------
    InputError
        Where audio is absent or does not overlap with the recording long enough, or the rate is
        too low.
    """
    usable = [(v, s) for v, s in zip(voices, signals, strict=True) if v is not None]
    if not usable:
        raise InputError(
            "there is no audio to compare the electrodes with",
            where="contamination",
            remedy="name the audio in the config (dataset.audio)",
        )
    freqs = frequencies(
        settings, rate=min(min(v.rate for v, _ in usable), min(s.rate for _, s in usable))
    )
    ahead = frames_apart(settings)
    times = [frame_times(pair, settings) for pair in usable]
    pairs = [(pair, t) for pair, t in zip(usable, times, strict=True) if len(t) > ahead]
    n_frames = sum(len(t) - ahead for _, t in pairs)
    apart = int(np.ceil(settings.min_shift / settings.shift))
    surrogates = n_frames - 2 * apart + 1
    if surrogates < 100:
        raise InputError(
            f"audio and recording overlap for {n_frames * settings.shift:.3g} s",
            where="contamination",
            expected=f"at least {2 * settings.min_shift + 100 * settings.shift:g} s",
            remedy="check that the audio belongs to the recording, or leave the audit out",
        )
    heard = [spectrum(v, slice(0, 1), t, freqs, settings)[0] for (v, _), t in pairs]
    lengths = np.cumsum([len(t) for _, t in pairs])[:-1]
    whole = np.concatenate(heard, axis=1)
    loudness = np.abs(whole)
    floor = SILENCE * np.sqrt(np.mean(np.square(loudness), axis=1, keepdims=True))
    if not (floor > 0).all():
        raise InputError(
            "the audio holds one value throughout",
            where="contamination",
            remedy="name the right audio in the config (dataset.audio)",
        )
    voice = standardised(np.log(loudness + floor))

    def advancing(phases: ComplexArray) -> ComplexArray:
        parts = np.split(phases, lengths, axis=-1)
        return centred(np.concatenate([advances(x, freqs, settings) for x in parts], axis=-1))

    moves = advancing(softened(whole))
    moves /= np.sqrt(np.mean(np.square(np.abs(moves)), dtype=np.float64))

    n_freqs, n_channels = len(freqs), len(signals[0].names)
    reach = int(np.floor(DELAY / settings.shift + 1e-9))
    matrix = np.empty((n_channels, n_freqs, n_freqs), np.float32)
    locking = np.empty_like(matrix)
    delay = np.empty(n_channels)
    excess = np.empty((n_channels, n_frames))
    block = int(np.clip(BLOCK_BYTES // (8 * n_freqs * n_frames), 1, 16))
    for first in range(0, n_channels, block):
        channels = slice(first, min(first + block, n_channels))
        seen = np.concatenate(
            [spectrum(s, channels, t, freqs, settings) for (_, s), t in pairs], axis=2
        )
        amplitude = np.maximum(np.abs(seen), np.finfo(np.float32).tiny)
        electrodes = standardised(np.log(amplitude))
        matrix[channels] = (voice @ electrodes.transpose(0, 2, 1)) / voice.shape[1]
        moving = advancing(unit_phases(seen))
        found = excess_of_shifts(moves, moving)
        shifts = found[:, np.arange(-reach, reach + 1)].argmax(axis=1) - reach
        for row, shift in enumerate(shifts):
            later = np.conj(np.roll(moves, shift, axis=1))
            locking[first + row] = (later @ moving[row].T).real / n_frames
        delay[channels] = shifts * settings.shift
        excess[channels] = largest_within(found, reach)
        _log.info("contamination: %d of %d channels", channels.stop, n_channels)
    null = excess[:, apart : n_frames - apart + 1]
    return _judged(freqs, matrix, locking, delay, excess[:, 0], null)


def _judged(
    freqs: FloatArray,
    matrix: Float32Array,
    locking: Float32Array,
    delay: FloatArray,
    observed: FloatArray,
    null: FloatArray,
) -> Audit:
    """P-values from the excess of the recording and of its surrogates (channel, surrogate)."""
    n = null.shape[1]
    p = ((null >= observed[:, None]).sum(axis=1) + 1) / (n + 1)
    spread = null.std(axis=1)
    live = spread > 0
    p_recording = np.nan
    if live.any():
        centre = null[live].mean(axis=1)
        largest = ((observed[live] - centre) / spread[live]).max()
        largest_null = ((null[live] - centre[:, None]) / spread[live, None]).max(axis=0)
        p_recording = (int((largest_null >= largest).sum()) + 1) / (n + 1)
    return Audit(
        frequencies=freqs,
        matrix=matrix,
        locking=locking,
        excess=np.where(live, observed, np.nan),
        delay=np.where(live, delay, np.nan),
        p=np.where(live, p, np.nan),
        p_recording=float(p_recording),
        surrogates=n,
    )


def _unjudged(n_channels: int) -> Audit:
    nothing = np.empty((n_channels, 0, 0), np.float32)
    unknown = np.full(n_channels, np.nan)
    return Audit(np.empty(0), nothing, nothing, unknown, unknown, unknown, float("nan"), 0)


def voice_readers(audio: xr.Dataset, n_segments: int) -> list[Reader | None]:
    """Read the audio of each segment on its own clock; None for a segment without.

    Its rate is that of its time coordinate.
    """
    sound = audio["audio"].values
    time, segment = audio["time"].values, audio["segment"].values
    readers: list[Reader | None] = []
    for index in range(n_segments):
        samples = np.flatnonzero(segment == index)
        if len(samples) < 2:
            readers.append(None)
            continue
        first, last = int(samples[0]), int(samples[-1]) + 1
        readers.append(
            Reader.of_array(
                np.asarray(sound[first:last], dtype=np.float64)[:, None],
                rate=(last - first - 1) / float(time[last - 1] - time[first]),
                names=("audio",),
                start=float(time[first]),
            )
        )
    return readers


def contamination(
    audio: xr.Dataset,
    recordings: Sequence[Reader],
    electrodes: neural.Electrodes,
    settings: Settings,
) -> xr.Dataset:
    """The stage's result: the audit of every channel as it is analysed and as it was recorded.

    A data set without audio cannot be audited: every p is NaN, with a warning.

    Parameters
    ----------
    audio : `audio(time)` with coordinates `time` (s) and `segment`. recordings : one for each
    segment. electrodes : what the recordings read.

    Returns
    -------
    Along `channel` (of the reference): `matrix` and `locking` (channel, frequency_audio,
    frequency), `diagonal(channel, frequency)` of the latter, `delay`, `excess`, `p`; scalar
    `p_recording`. Along `recorded_channel`: `excess_recorded`, `p_recorded`; scalar
    `p_recording_recorded`.

    Raises
    ------
    InputError
        See `audit` and `neural.rereference`.
    """
    import xarray as xr

    voices = voice_readers(audio, len(recordings))
    prepared = neural.rereference(recordings, electrodes, settings.reference)

    if not any(voices):
        _log.warning("there is no audio (dataset.audio): contamination cannot be judged")

    def audited(signals: Sequence[Reader]) -> Audit:
        if not any(voices):
            return _unjudged(len(signals[0].names))
        return audit(voices, signals, settings)

    found = audited(prepared.recordings)
    as_recorded = found
    if not prepared.montage.is_as_recorded:
        as_recorded = audited(recordings)
    hertz = {"units": "Hz"}
    return xr.Dataset(
        {
            "matrix": (
                ("channel", "frequency_audio", "frequency"),
                found.matrix,
                {"long_name": "correlation of log amplitudes over time"},
            ),
            "locking": (
                ("channel", "frequency_audio", "frequency"),
                found.locking,
                {"long_name": "advance of phase in step with the sound's, at the delay"},
            ),
            "diagonal": (
                ("channel", "frequency"),
                np.einsum("cff->cf", found.locking),
                {"long_name": "locking at the same frequency in both"},
            ),
            "delay": (
                "channel",
                found.delay,
                {"units": "s", "long_name": "electrode after audio where the excess is largest"},
            ),
            "excess": ("channel", found.excess),
            "p": ("channel", found.p),
            "p_recording": ((), found.p_recording),
            "excess_recorded": ("recorded_channel", as_recorded.excess),
            "p_recorded": ("recorded_channel", as_recorded.p),
            "p_recording_recorded": ((), as_recorded.p_recording),
        },
        coords={
            **neural.channel_coordinates(prepared),
            "recorded_channel": ("recorded_channel", np.array(electrodes.names, dtype=object)),
            "frequency": ("frequency", found.frequencies, hertz),
            "frequency_audio": ("frequency_audio", found.frequencies, hertz),
        },
        attrs={"surrogates": found.surrogates, **asdict(settings)},
    )
