"""Search the constant by which the pitch of the audio was shifted against the recording.

Shared recordings of voices are sometimes shifted in pitch, so that nobody recognises the speaker. A
copy of the true voice in an electrode then lies at other frequencies than in the audio. Audio that
was shifted by a ratio r has at `r f` what the electrode has at f. It is compared in windows that
are shorter by r, from one window to the next over a time that is shorter by r: its phase then
advances by as much as the electrode's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from highgamma.contamination.shifts import excess_of_shifts, in_deviations, largest_within, p_values
from highgamma.contamination.spectra import ComplexArray, FloatArray

WIDEST = 3.5
"""Largest shift of pitch that is searched, semitones up or down."""

STEP = 0.14
"""Step of the search, semitones. A shift that is wrong by 0.25 semitones hides a copy."""

SEARCHED = 5_000
"""Frames that are searched, 125 s by default, to limit the time; `MANY_SHIFTS` can extend it."""

MANY_SHIFTS = 10
"""Least number of frames that are searched, in least shifts of a surrogate."""

NOTABLE = 2.0
"""Excess in standard deviations above which an electrode counts for a shift of pitch. Squares of
what exceeds it are added over electrodes, so that one strong copy and many weak ones count."""

EVIDENCE = 0.01
"""Largest p at which a shift of pitch counts as found."""


def semitones() -> FloatArray:
    """Return the shifts of pitch that are searched, semitones; 0 is among them."""
    count = round(WIDEST / STEP)
    return np.asarray(STEP * np.arange(-count, count + 1))


def ratio_of(shift: float) -> float:
    """Return the ratio of frequencies of a shift of pitch in semitones."""
    return float(2 ** (shift / 12))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pitch:
    """A shift of pitch, and the p of each electrode when the shift is unknown.

    Attributes
    ----------
    shift
        Semitones by which the audio is higher than the recorded voice; NaN if not searched.
    p
        Evidence for any shift, 0 included, of all electrodes together; NaN if not searched.
    p_electrodes, p_recording
        p of the largest excess over all shifts, of each electrode and of the whole recording.
    """

    shift: float
    p: float
    p_electrodes: FloatArray
    p_recording: float

    @property
    def found(self) -> bool:
        """Whether the electrodes show that the audio has this shift of pitch."""
        return self.p <= EVIDENCE

    @property
    def altered(self) -> bool:
        """Whether a shift other than none was found."""
        return self.found and abs(self.shift) > STEP + 1e-9


class Search:
    """Collect the excess of the diagonal of all electrodes at all shifts of pitch.

    Parameters
    ----------
    voices
        For each shift of pitch how the phase of the audio advances, (F, frame).
    n_electrodes
        Number of electrodes.
    reach, apart
        Frames by which audio and recording may differ, and least frames of a surrogate's shift.
    """

    def __init__(
        self, voices: Iterable[ComplexArray], n_electrodes: int, *, reach: int, apart: int
    ) -> None:
        from scipy import fft

        self.voices = np.stack([fft.fft(voice, axis=-1) for voice in voices])
        self.sums = self.voices.sum(axis=1)
        self.reach, self.apart = reach, apart
        n_shifts, _, n_frames = self.voices.shape
        self.evidence = np.zeros((n_shifts, n_frames))
        self.largest = np.full((n_electrodes, n_frames), np.nan, np.float32)

    def add(self, row: int, electrode: ComplexArray) -> None:
        """Add an electrode's advances, (F, frame)."""
        from scipy import fft

        transformed = fft.fft(electrode[:, : self.voices.shape[-1]], axis=-1)
        excess = excess_of_shifts(self.voices, transformed, sums=self.sums)
        statistic = in_deviations(largest_within(excess, self.reach), self.apart)
        if np.isnan(statistic).all():
            return
        self.evidence += np.square(np.clip(np.nan_to_num(statistic) - NOTABLE, 0, None))
        self.largest[row] = np.nanmax(statistic, axis=0)

    def result(self) -> Pitch:
        """Return the shift of most evidence, with the p of its evidence against that of others.

        The surrogates take the largest evidence over all shifts of pitch, as the recording does.
        """
        p, _ = p_values(self.evidence.max(axis=0)[None], self.apart)
        p_electrodes, p_recording = p_values(self.largest.astype(np.float64), self.apart)
        return Pitch(
            shift=float(semitones()[self.evidence[:, 0].argmax()]),
            p=float(p[0]),
            p_electrodes=p_electrodes,
            p_recording=p_recording,
        )


def not_searched(n_electrodes: int) -> Pitch:
    """Return the result where no shift of pitch is searched."""
    unknown = float("nan")
    return Pitch(
        shift=unknown, p=unknown, p_electrodes=np.full(n_electrodes, np.nan), p_recording=unknown
    )
