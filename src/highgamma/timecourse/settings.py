"""The section `timecourse`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from highgamma.sections import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class TimecourseSettings:
    """The section `timecourse`: activity around the onset of each word."""

    analyses: Literal["all"] | tuple[str, ...] = setting(
        "all",
        "`all` (analyses of frames whose split does not leak), or names of analyses.",
        unique=True,
    )
    window: tuple[float, float] = setting(
        (-0.5, 1.0),
        "First and last time from the onset, in seconds; negative times come before it.",
    )
    permutations: int = setting(
        500,
        "Most circular shifts of trials that the significance band rests on; 0 for none. One "
        "recording of n trials has n − 1.",
        minimum=0,
    )
    best: int = setting(
        8, "Number of electrodes, by skill, whose single trials are kept.", minimum=0
    )
