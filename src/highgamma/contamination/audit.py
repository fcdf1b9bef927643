"""Audit electrodes for sound: compare the excess of the diagonal with that of shifted sound."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from highgamma.contamination import pitch
from highgamma.contamination.settings import ContaminationSettings
from highgamma.contamination.shifts import (
    excess_of_shifts,
    in_deviations,
    largest_within,
    locking_of_shifts,
    p_values,
)
from highgamma.contamination.spectra import (
    ComplexArray,
    Float32Array,
    FloatArray,
    advances,
    advances_at,
    centred,
    clean_spectrum,
    frame_times,
    frames_apart,
    frequencies,
    mains_lines,
    masked_frames,
    softened,
    standardised,
    thinned,
    unit_phases,
    without_slow,
)
from highgamma.errors import InputError
from highgamma.neural.spans import Mask
from highgamma.recording.reader import Reader

LOG = logging.getLogger("highgamma")

AUDITABLE, NOT_AUDITABLE, NOT_AUDITED = "auditable", "not auditable", "not audited"
"""Status of a recording: the audit can find a copy of the voice; a copy could lie at other
frequencies than in the audio; the recording has no sound."""

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
    status
        `AUDITABLE` or `NOT_AUDITABLE`.
    pitch
        The shift of the audio's pitch, and its evidence.
    """

    frequencies: FloatArray
    matrix: Float32Array
    locking: Float32Array
    excess: FloatArray
    delay: FloatArray
    p: FloatArray
    p_recording: float
    surrogates: int
    status: str
    pitch: pitch.Pitch


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    """Sound and electrodes of a segment.

    times : (frame,), centres of its frames, s. hidden : (channel, frame), frames left out.
    """

    sound: Reader
    signals: Reader
    times: FloatArray
    hidden: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class _Pairs:
    """What is compared: the segments, frequencies (Hz), mains frequencies (Hz), and settings."""

    segments: list[_Segment]
    freqs: FloatArray
    lines: tuple[float, ...]
    settings: ContaminationSettings

    @property
    def apart(self) -> int:
        """Least shift of a surrogate, frames."""
        return int(np.ceil(self.settings.min_shift / self.settings.shift))

    @property
    def reach(self) -> int:
        """Frames by which the audio may be early or late."""
        return int(np.floor(DELAY / self.settings.shift + 1e-9))

    @property
    def n_electrodes(self) -> int:
        """Count the electrodes."""
        return len(self.segments[0].signals.names)

    @cached_property
    def breaks(self) -> NDArray[np.int64]:
        """First frame of every segment but the first."""
        return np.cumsum([len(s.times) for s in self.segments])[:-1]

    @cached_property
    def n_frames(self) -> int:
        """Frames that have a following window, of all segments."""
        ahead = frames_apart(self.settings)
        return sum(len(s.times) - ahead for s in self.segments)

    def spectra(self, channels: slice) -> ComplexArray:
        """Compute the electrodes' spectra (channel, F, frame)."""
        return np.concatenate(
            [self._spectrum(s.signals, s, channels) for s in self.segments], axis=2
        )

    def sound(self) -> ComplexArray:
        """Compute the spectrum of the sound (F, frame)."""
        return np.concatenate(
            [self._spectrum(s.sound, s, slice(0, 1))[0] for s in self.segments], axis=1
        )

    def _spectrum(self, reader: Reader, segment: _Segment, channels: slice) -> ComplexArray:
        return clean_spectrum(
            reader,
            channels,
            times=segment.times,
            freqs=self.freqs,
            lines=self.lines,
            settings=self.settings,
        )

    def advancing(self, phases: ComplexArray) -> ComplexArray:
        """Compute the phase advance within each segment, mean 0 over all segments."""
        parts = np.split(phases, self.breaks, axis=-1)
        steps = [without_slow(advances(x, self.freqs, self.settings), self.settings) for x in parts]
        return centred(np.concatenate(steps, axis=-1))

    def followed(self, phases: ComplexArray) -> ComplexArray:
        """Return the frames (…, F, frame) that have a following window, of all segments."""
        ahead = frames_apart(self.settings)
        parts = np.split(phases, self.breaks, axis=-1)
        return np.concatenate([part[..., :-ahead] for part in parts], axis=-1)

    def shifted_voice(self, shift: float, most: int | None = None) -> ComplexArray:
        """Compute the advance (F, frame) of a sound whose pitch is shifted by so many semitones.

        At `most` so many frames are computed.
        """
        ahead = frames_apart(self.settings)
        left = self.n_frames if most is None else most
        parts = []
        for sound, segment in zip(self._thinned, self.segments, strict=True):
            times = segment.times[: left + ahead]
            if left <= 0:
                break
            left -= len(times) - ahead
            parts.append(
                advances_at(
                    sound,
                    times=times,
                    freqs=self.freqs,
                    lines=self.lines,
                    ratio=pitch.ratio_of(shift),
                    settings=self.settings,
                )
            )
        quick = [without_slow(part, self.settings) for part in parts]
        return _scaled(centred(np.concatenate(quick, axis=-1)))

    @cached_property
    def _thinned(self) -> list[Reader]:
        highest = self.freqs.max() * pitch.ratio_of(pitch.WIDEST)
        return [thinned(s.sound, highest) for s in self.segments]


def audit(
    voices: Sequence[Reader | None],
    signals: Sequence[Reader],
    settings: ContaminationSettings,
    *,
    masks: Sequence[Mask] | None = None,
    mains: float | None = None,
) -> SoundAudit:
    """Compare the excess of the diagonal with that of every circular shift of the sound.

    `p = (b + 1) / (n + 1)`, where b of n shifts of at least `min_shift` have a statistic as large
    as the unshifted recording. For the whole recording the largest of all electrodes is taken, each
    in standard deviations of its own surrogates, under the same shifts.

    With `sound: unknown` or `altered` a shift of the audio's pitch is searched. If one is found,
    p compares the frequencies that it relates, and with `unknown` also equal ones.
    If the audio is known to be altered and no shift is
    found, p takes the largest excess over all shifts, for the recording and for its surrogates,
    and the recording is not auditable.

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
        If the recording has no sound, if the two overlap too little, or if the rate is too low.
    """
    pairs = _paired(voices, signals, settings, masks=masks, mains=mains)
    n = pairs.n_electrodes
    search = None
    if settings.sound != "as-recorded":
        shifts = pitch.semitones()
        LOG.info("contamination: searching %d shifts of the audio's pitch", len(shifts))
        most = max(pitch.SEARCHED, pitch.MANY_SHIFTS * pairs.apart)
        search = pitch.Search(
            (pairs.shifted_voice(shift, most) for shift in shifts),
            n,
            reach=pairs.reach,
            apart=pairs.apart,
        )
    matrix, compared = _compared(pairs, search)
    shift = pitch.not_searched(n) if search is None else search.result()
    if shift.altered:
        unshifted, compared = compared.statistic, _compared_at(pairs, shift.shift)
        if settings.sound == "unknown":
            # A narrow copy at equal frequencies must not be lost to a shift found by chance.
            np.maximum(compared.statistic, unshifted, out=compared.statistic)
    declared = settings.sound == "altered"
    status = NOT_AUDITABLE if declared and not shift.found else AUDITABLE
    p, p_recording = p_values(compared.statistic, pairs.apart)
    if status == NOT_AUDITABLE:
        p, p_recording = shift.p_electrodes, shift.p_recording
    _log(shift, status)
    live = np.isfinite(p)
    return SoundAudit(
        frequencies=pairs.freqs,
        matrix=matrix,
        locking=compared.locking,
        excess=np.where(live, compared.excess, np.nan),
        delay=np.where(live, compared.delay, np.nan),
        p=p,
        p_recording=p_recording,
        surrogates=pairs.n_frames - 2 * pairs.apart + 1,
        status=status,
        pitch=shift,
    )


def _log(shift: pitch.Pitch, status: str) -> None:
    """Report the shift of the audio's pitch, if one was searched."""
    if np.isnan(shift.p):
        return
    at = f"most evidence at {shift.shift:+.2f} semitones, p = {shift.p:.2g}"
    if not shift.found:
        LOG.info("contamination: no shift of the audio's pitch is found (%s)", at)
    else:
        LOG.info("contamination: the audio's pitch is that of the electrodes at a shift of "
                 "%+.2f semitones (p = %.2g)", shift.shift, shift.p)  # fmt: skip
    if status == NOT_AUDITABLE:
        LOG.warning(
            "contamination: the audio is declared as altered (contamination.sound) and its pitch "
            "cannot be related to the electrodes: the recording is not auditable for sound"
        )


def _paired(
    voices: Sequence[Reader | None],
    signals: Sequence[Reader],
    settings: ContaminationSettings,
    *,
    masks: Sequence[Mask] | None,
    mains: float | None,
) -> _Pairs:
    """Pair the sound and the electrodes of every segment."""
    if masks is None:
        masks = [Mask.empty(len(s.names)) for s in signals]
    usable = [(v, s, m) for v, s, m in zip(voices, signals, masks, strict=True) if v is not None]
    if not usable:
        raise InputError(
            "there is no audio to compare the electrodes with",
            where="contamination",
            remedy="name the audio in the config (dataset.audio)",
        )
    rate = min(min(v.rate, s.rate) for v, s, _ in usable)
    segments = []
    for v, s, mask in usable:
        times = frame_times([v, s], settings)
        if len(times) > frames_apart(settings):
            hidden = masked_frames(mask, s, times=times, settings=settings)
            segments.append(_Segment(sound=v, signals=s, times=times, hidden=hidden))
    pairs = _Pairs(
        segments=segments,
        freqs=frequencies(settings, rate=rate, mains=mains),
        lines=mains_lines(settings, mains),
        settings=settings,
    )
    if pairs.n_frames - 2 * pairs.apart + 1 < FEWEST:
        raise InputError(
            f"audio and recording overlap for {pairs.n_frames * settings.shift:.3g} s",
            where="contamination",
            expected=f"at least {2 * settings.min_shift + FEWEST * settings.shift:g} s",
            remedy="check that the audio belongs to the recording, or set contamination: "
            "{enabled: false}",
        )
    return pairs


@dataclass(frozen=True, slots=True)
class _Compared:
    """Locking (electrode, F, F), excess, delay (electrode,) and statistic (electrode, shift)."""

    locking: Float32Array
    excess: FloatArray
    delay: FloatArray
    statistic: FloatArray

    @classmethod
    def empty(cls, pairs: _Pairs) -> _Compared:
        """Return arrays to fill."""
        n, n_freqs = pairs.n_electrodes, len(pairs.freqs)
        return cls(
            np.empty((n, n_freqs, n_freqs), np.float32),
            np.empty(n),
            np.empty(n),
            np.empty((n, pairs.n_frames)),
        )

    def fill(
        self,
        row: int,
        moves: ComplexArray,
        phases: ComplexArray,
        voice: _Voice,
        pairs: _Pairs,
    ) -> None:
        """Compare the advances and phases of an electrode (F, frame) with those of the voice.

        The statistic is the larger one of the excess of the diagonal and the plain locking, each in
        standard deviations of its surrogates, for the recording and for every surrogate.
        """
        from scipy import fft

        excess = excess_of_shifts(voice.transformed, fft.fft(moves, axis=-1))[0]
        reach = pairs.reach
        shift = int(excess[np.arange(-reach, reach + 1)].argmax()) - reach
        later = np.conj(np.roll(voice.moves, shift, axis=1))
        self.locking[row] = (later @ moves.T).real / pairs.n_frames
        self.delay[row] = shift * pairs.settings.shift
        largest = largest_within(excess[None], reach)[0]
        self.excess[row] = largest[0]
        statistic = in_deviations(largest, pairs.apart)
        if voice.phases is not None:
            locking = locking_of_shifts(voice.phases, fft.fft(phases, axis=-1))
            plain = in_deviations(largest_within(locking[None], reach)[0], pairs.apart)
            statistic = np.maximum(statistic, plain)
        self.statistic[row] = statistic


class _Voice:
    """How the phase of the sound advances, (F, frame), and what is compared of it.

    transformed : (1, F, frame), Fourier transform of the advances. phases : (F, frame), that of
    the phases; None for a sound whose pitch is shifted, in which they are not kept.
    """

    def __init__(self, moves: ComplexArray, phases: ComplexArray | None = None) -> None:
        from scipy import fft

        self.moves = moves
        self.transformed = np.asarray(fft.fft(moves, axis=-1))[None]
        self.phases = None if phases is None else np.asarray(fft.fft(phases, axis=-1))


def _blocks(pairs: _Pairs) -> Iterator[tuple[range, ComplexArray, NDArray[np.bool_]]]:
    """Compute the spectra of blocks of electrodes: rows, spectra, and hidden frames."""
    block = int(np.clip(BLOCK_BYTES // (8 * len(pairs.freqs) * pairs.n_frames), 1, 16))
    for first in range(0, pairs.n_electrodes, block):
        rows = range(first, min(first + block, pairs.n_electrodes))
        some = slice(rows.start, rows.stop)
        hidden = np.concatenate([s.hidden[some] for s in pairs.segments], axis=1)
        yield rows, pairs.spectra(some), hidden
        LOG.info("contamination: %d of %d electrodes", rows.stop, pairs.n_electrodes)


def _phases(spectra: ComplexArray, hidden: NDArray[np.bool_]) -> ComplexArray:
    """Compute the phases of electrodes; hidden frames count for nothing."""
    spectra[np.broadcast_to(hidden[:, None], spectra.shape)] = 0
    return unit_phases(spectra)


def _compared(pairs: _Pairs, search: pitch.Search | None) -> tuple[Float32Array, _Compared]:
    """Compare all electrodes with the sound as it is, and add them to the search.

    Returns
    -------
    matrix : (electrode, F of the sound, F of the electrode)
        Correlation of log amplitudes.
    compared
        The comparison of phases.
    """
    spectrum = pairs.sound()
    level, phases = _level(spectrum), softened(spectrum)
    voice = _Voice(_scaled(pairs.advancing(phases)), pairs.followed(phases))
    found = _Compared.empty(pairs)
    matrix = np.empty_like(found.locking)
    for rows, spectra, hidden in _blocks(pairs):
        amplitude = np.maximum(np.abs(spectra), np.finfo(np.float32).tiny)
        levels = standardised(np.log(amplitude), hidden)
        matrix[rows.start : rows.stop] = (level @ levels.transpose(0, 2, 1)) / level.shape[1]
        phases = _phases(spectra, hidden)
        both = zip(rows, pairs.advancing(phases), pairs.followed(phases), strict=True)
        for row, moves, phase in both:
            found.fill(row, moves, phase, voice, pairs)
            if search is not None:
                search.add(row, moves)
    return matrix, found


def _compared_at(pairs: _Pairs, shift: float) -> _Compared:
    """Compare all electrodes with sound whose pitch is shifted by so many semitones."""
    voice = _Voice(pairs.shifted_voice(shift))
    found = _Compared.empty(pairs)
    for rows, spectra, hidden in _blocks(pairs):
        phases = _phases(spectra, hidden)
        for row, moves, phase in zip(rows, pairs.advancing(phases), phases, strict=True):
            found.fill(row, moves, phase, voice, pairs)
    return found


def _level(spectrum: ComplexArray) -> Float32Array:
    """Compute the sound's standardised log amplitude (F, frame).

    Raises
    ------
    InputError
        If the sound is constant.
    """
    loudness = np.abs(spectrum)
    floor = SILENCE * np.sqrt(np.mean(np.square(loudness), axis=1, keepdims=True))
    if not (floor > 0).all():
        raise InputError(
            "the audio holds one value throughout",
            where="contamination",
            remedy="name the right audio in the config (dataset.audio)",
        )
    return standardised(np.log(loudness + floor))


def _scaled(moves: ComplexArray) -> ComplexArray:
    """Scale to a mean square of 1; nothing remains of nothing."""
    square = np.mean(np.square(np.abs(moves)), dtype=np.float64)
    return np.asarray(moves / (np.sqrt(square) if square > 0 else 1), dtype=np.complex64)


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
        status=NOT_AUDITED,
        pitch=pitch.not_searched(n_electrodes),
    )
