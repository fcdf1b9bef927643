"""Settings of the audit of sound in the electrodes, the section `contamination`."""

from __future__ import annotations

from dataclasses import dataclass

from highgamma.sections import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class ContaminationSettings:
    """The audit of sound in the electrodes (Roussel et al. 2020)."""

    enabled: bool = setting(True, "Whether recordings with sound are audited.")
    window: float = setting(
        0.1,
        "Length of the spectrograms' windows, in seconds; phases are compared from one window to "
        "the next.",
        above=0,
    )
    shift: float = setting(0.025, "Step from one frame to the next, in seconds.", above=0)
    low: float = setting(60, "Lowest frequency compared, in Hz.", above=0)
    high: float = setting(
        400, "Highest frequency compared, in Hz; lowered to what the recording holds.", above=0
    )
    step: float = setting(5, "Step between frequencies, in Hz.", above=0)
    line: float | None = setting(
        None,
        "Mains frequency, in Hz, which is removed with its multiples from sound and electrodes; "
        "`null` takes that of the recording's sidecar (`PowerLineFrequency`), else both 50 and "
        "60 Hz.",
        above=0,
    )
    sound: str = setting(
        "unknown",
        "Whether the pitch of the audio was shifted, as some data sets do so that nobody "
        "recognises the speaker. With `as-recorded`, audio and electrodes are compared at equal "
        "frequencies. With `unknown`, a shift of up to 3.5 semitones is searched, and used where "
        "it is found. With `altered`, the data set states that the audio was shifted: a recording "
        "in which no shift is found is not auditable.",
        choices=("as-recorded", "altered", "unknown"),
    )
    min_shift: float = setting(5.0, "Least circular shift of a surrogate, in seconds.", above=0)
