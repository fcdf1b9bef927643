"""The section `quality`: from which value on a measure of a recording is flagged."""

from __future__ import annotations

from dataclasses import dataclass

from highgamma.recording.signals import PLAUSIBLE_UV
from highgamma.sections import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class QualitySettings:
    """When a measure of a channel is flagged; a flag changes nothing else."""

    enabled: bool = setting(True, "Whether the quality of the recordings is measured.")
    line: float | None = setting(
        None,
        "Mains frequency, in Hz; `null` takes that of the recording's sidecar "
        "(`PowerLineFrequency`), else the stronger one of 50 and 60 Hz.",
        above=0,
    )
    line_noise: float = setting(
        30, "Line noise above which a channel is flagged, in dB above the spectrum next to it."
    )
    slope: float = setting(
        -0.5,
        "Slope of the spectrum above which a channel is flagged: flatter than brain activity.",
    )
    kurtosis: float = setting(20, "Excess kurtosis above which a channel is flagged.")
    least_r: float = setting(
        0.05,
        "Correlation with the most similar neighbour below which a channel is flagged, in "
        "recordings whose neighbours are alike.",
        minimum=-1,
        maximum=1,
    )
    most_r: float = setting(
        0.995,
        "The same correlation above which a channel is flagged: both may be bridged.",
        minimum=-1,
        maximum=1,
    )
    repeated: float = setting(
        0.2,
        "Share of samples equal to the one before above which a channel is flagged.",
        minimum=0,
        maximum=1,
    )
    masked: float = setting(
        0.1,
        "Share of samples left out as artefacts above which a channel is flagged.",
        minimum=0,
        maximum=1,
    )
    amplitude: tuple[float, float] = setting(
        PLAUSIBLE_UV,
        "Range of plausible standard deviations of the voltage, in µV; outside, the unit is "
        "probably wrong.",
        above=0,
    )

    def problems(self) -> list[str]:
        """Return what is wrong with the section, each as `key: message`."""
        problems = []
        for name, (low, high) in (
            ("amplitude", self.amplitude),
            ("least_r, most_r", (self.least_r, self.most_r)),
        ):
            if low >= high:
                problems.append(f"{name}: {low:g} to {high:g} is not a range")
        return problems
