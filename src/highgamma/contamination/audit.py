"""Compute the excess of the diagonal, and its surrogates by circular shifts of the sound."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from highgamma.contamination.settings import ContaminationSettings
from highgamma.contamination.spectra import (
    ComplexArray,
    Float32Array,
    FloatArray,
    advances,
    centred,
    frame_times,
    frames_apart,
    frequencies,
    mains_lines,
    masked_frames,
    softened,
    spectrum,
    standardised,
    unit_phases,
    without_mains,
)
from highgamma.errors import InputError
from highgamma.neural.spans import Mask
from highgamma.recording.reader import Reader

LOG = logging.getLogger("highgamma")

DELAY = 0.1
"""Most by which the audio may be early or late against the recording, s. The largest excess within
this range is taken, for the recording and for its surrogates."""

SILENCE = 0.01
"""Audio amplitudes are raised by this share of their root mean square before the logarithm, so
that the background of silent frames does not outweigh the voice."""

FEWEST = 100
"""Least number of surrogates; p then has a resolution of a hundredth."""

BLOCK_BYTES = 2**25
"""Size of one complex spectrogram of a block of channels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundAudit:
    """Result of an audit.

    Attributes
    ----------
    frequencies
        (F,), Hz.
    matrix
        (electrode, F of the sound, F of the electrode), correlation of log amplitudes.
    locking
        The same shape: how far the electrode's phase advances with the sound's
        (`excess_of_shifts`), at the electrode's `delay`.
    excess
        (electrode,), mean of the diagonal of `locking` minus mean off it.
    delay
        (electrode,), s by which the electrode lags the sound at the largest excess.
    p
        (electrode,), NaN for a flat one.
    p_recording
        p of the largest standardised excess of all electrodes.
    surrogates
        Number of surrogates.
    """

    frequencies: FloatArray
    matrix: Float32Array
    locking: Float32Array
    excess: FloatArray
    delay: FloatArray
    p: FloatArray
    p_recording: float
    surrogates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Voice:
    """Spectra of the sound of all segments, concatenated.

    level : (F, frame), standardised log amplitude. moves : (F, frame - lost at each segment's
    end), advance of phase, mean square 1. lengths : first frame of every segment but the first.
    """

    level: Float32Array
    moves: ComplexArray
    lengths: NDArray[np.int64]


def excess_of_shifts(voice: ComplexArray, electrodes: ComplexArray) -> FloatArray:
    """Compute the excess of the diagonal for every circular shift of the voice.

    The advance of audio frequency f is correlated with that of electrode frequency g by
    `C_fg = Re Σ_t conj(A_f(t)) N_g(t) / T`, and `excess = mean_f C_ff - mean_{f≠g} C_fg`. Both
    means are sums of products over time, so one product in the frequency domain gives them for
    all shifts at once.

    Parameters
    ----------
    voice
        (F, frame).
    electrodes
        (electrode, F, frame).

    Returns
    -------
    excess : (electrode, shift)
        Shift 0 … frames - 1; column 0 is the recording as it is, column s has the voice s frames
        later.
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
    """Find the largest excess, (electrode, shift), within `reach` shifts to either side.

    Shifts wrap around at the ends.
    """
    from scipy.ndimage import maximum_filter1d

    return np.asarray(maximum_filter1d(excess, 2 * reach + 1, axis=1, mode="wrap"))


def audit(
    voices: Sequence[Reader | None],
    signals: Sequence[Reader],
    settings: ContaminationSettings,
    *,
    masks: Sequence[Mask] | None = None,
    mains: float | None = None,
) -> SoundAudit:
    """Compare the excess of the diagonal with that of every circular shift of the sound.

    `p = (b + 1) / (n + 1)`, where b of n shifts of at least `min_shift` have an excess as large as
    the unshifted recording. For the whole recording the largest excess of all electrodes is taken,
    each in standard deviations of its own surrogates, under the same shifts.

    Parameters
    ----------
    voices
        The sound of each segment, mono, on the segment's clock; None for no sound.
    signals
        The electrodes of each segment.
    settings
        The audit's settings.
    masks
        For each segment the samples of each electrode that are left out; frames that touch them
        count for nothing.
    mains
        Mains frequency that the recording's sidecar states, Hz.

    Raises
    ------
    InputError
        If there is no sound, if its overlap with the recording is too short, or if the rate is too
        low.
    """
    if masks is None:
        masks = [Mask.empty(len(s.names)) for s in signals]
    usable = [(v, s, m) for v, s, m in zip(voices, signals, masks, strict=True) if v is not None]
    if not usable:
        raise InputError(
            "there is no audio to compare the electrodes with",
            where="contamination",
            remedy="name the audio in the config (dataset.audio)",
        )
    freqs = frequencies(settings, rate=min(min(v.rate, s.rate) for v, s, _ in usable), mains=mains)
    lines = mains_lines(settings, mains)
    ahead = frames_apart(settings)
    times = [frame_times(pair, settings) for *pair, _ in usable]
    segments = [(v, s, t, m) for (v, s, m), t in zip(usable, times, strict=True) if len(t) > ahead]
    n_frames = sum(len(t) - ahead for *_, t, _ in segments)
    apart = int(np.ceil(settings.min_shift / settings.shift))
    if n_frames - 2 * apart + 1 < FEWEST:
        raise InputError(
            f"audio and recording overlap for {n_frames * settings.shift:.3g} s",
            where="contamination",
            expected=f"at least {2 * settings.min_shift + FEWEST * settings.shift:g} s",
            remedy="check that the audio belongs to the recording, or set contamination: "
            "{enabled: false}",
        )
    voice = _heard([(v, t) for v, _, t, _ in segments], freqs, lines, settings)
    hidden = [masked_frames(m, s, times=t, settings=settings) for _, s, t, m in segments]

    n_freqs, n_electrodes = len(freqs), len(signals[0].names)
    reach = int(np.floor(DELAY / settings.shift + 1e-9))
    matrix = np.empty((n_electrodes, n_freqs, n_freqs), np.float32)
    locking = np.empty_like(matrix)
    delay = np.empty(n_electrodes)
    excess = np.empty((n_electrodes, n_frames))
    block = int(np.clip(BLOCK_BYTES // (8 * n_freqs * n_frames), 1, 16))
    for first in range(0, n_electrodes, block):
        some = slice(first, min(first + block, n_electrodes))
        spectra = np.concatenate(
            [
                without_mains(
                    spectrum(s, some, times=t, freqs=freqs, settings=settings),
                    times=t,
                    freqs=freqs,
                    lines=lines,
                    settings=settings,
                )
                for _, s, t, _ in segments
            ],
            axis=2,
        )
        amplitude = np.maximum(np.abs(spectra), np.finfo(np.float32).tiny)
        masked = np.concatenate([frames[some] for frames in hidden], axis=1)
        level = standardised(np.log(amplitude), masked)
        spectra[np.broadcast_to(masked[:, None], spectra.shape)] = 0
        matrix[some] = (voice.level @ level.transpose(0, 2, 1)) / voice.level.shape[1]
        moves = _advancing(unit_phases(spectra), voice.lengths, freqs, settings)
        shifted = excess_of_shifts(voice.moves, moves)
        shifts = shifted[:, np.arange(-reach, reach + 1)].argmax(axis=1) - reach
        for row, shift in enumerate(shifts):
            later = np.conj(np.roll(voice.moves, shift, axis=1))
            locking[first + row] = (later @ moves[row].T).real / n_frames
        delay[some] = shifts * settings.shift
        excess[some] = largest_within(shifted, reach)
        LOG.info("contamination: %d of %d electrodes", some.stop, n_electrodes)
    null = excess[:, apart : n_frames - apart + 1]
    p, p_recording = p_values(excess[:, 0], null)
    live = np.isfinite(p)
    return SoundAudit(
        frequencies=freqs,
        matrix=matrix,
        locking=locking,
        excess=np.where(live, excess[:, 0], np.nan),
        delay=np.where(live, delay, np.nan),
        p=p,
        p_recording=p_recording,
        surrogates=null.shape[1],
    )


def _heard(
    voices: Sequence[tuple[Reader, FloatArray]],
    freqs: FloatArray,
    lines: Sequence[float],
    settings: ContaminationSettings,
) -> _Voice:
    """Compute the spectra of each segment's sound at its frame times."""
    spectra = np.concatenate(
        [
            without_mains(
                spectrum(voice, slice(0, 1), times=times, freqs=freqs, settings=settings)[0],
                times=times,
                freqs=freqs,
                lines=lines,
                settings=settings,
            )
            for voice, times in voices
        ],
        axis=1,
    )
    lengths = np.cumsum([len(times) for _, times in voices])[:-1]
    loudness = np.abs(spectra)
    floor = SILENCE * np.sqrt(np.mean(np.square(loudness), axis=1, keepdims=True))
    if not (floor > 0).all():
        raise InputError(
            "the audio holds one value throughout",
            where="contamination",
            remedy="name the right audio in the config (dataset.audio)",
        )
    moves = _advancing(softened(spectra), lengths, freqs, settings)
    moves /= np.sqrt(np.mean(np.square(np.abs(moves)), dtype=np.float64))
    return _Voice(level=standardised(np.log(loudness + floor)), moves=moves, lengths=lengths)


def _advancing(
    phases: ComplexArray,
    lengths: NDArray[np.int64],
    freqs: FloatArray,
    settings: ContaminationSettings,
) -> ComplexArray:
    """Compute the phase advance within each segment, mean 0 over all segments."""
    parts = np.split(phases, lengths, axis=-1)
    return centred(np.concatenate([advances(x, freqs, settings) for x in parts], axis=-1))


def p_values(observed: FloatArray, null: FloatArray) -> tuple[FloatArray, float]:
    """Compute the p of each electrode, NaN for a flat one, and that of the whole recording.

    Parameters
    ----------
    observed
        (electrode,), excess of the recording.
    null
        (electrode, surrogate), excess of its surrogates.
    """
    n = null.shape[1]
    p = ((null >= observed[:, None]).sum(axis=1) + 1) / (n + 1)
    spread = null.std(axis=1)
    live = spread > 0
    if not live.any():
        return np.full(len(p), np.nan), float("nan")
    centre = null[live].mean(axis=1)
    largest = ((observed[live] - centre) / spread[live]).max()
    largest_null = ((null[live] - centre[:, None]) / spread[live, None]).max(axis=0)
    p_recording = (int((largest_null >= largest).sum()) + 1) / (n + 1)
    return np.where(live, p, np.nan), float(p_recording)


def unjudged(n_electrodes: int) -> SoundAudit:
    """Return the audit of a recording without sound: every p is NaN."""
    nothing = np.empty((n_electrodes, 0, 0), np.float32)
    unknown = np.full(n_electrodes, np.nan)
    return SoundAudit(
        frequencies=np.empty(0),
        matrix=nothing,
        locking=nothing,
        excess=unknown,
        delay=unknown,
        p=unknown,
        p_recording=float("nan"),
        surrogates=0,
    )
