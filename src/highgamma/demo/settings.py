"""The section `demo`: the data set that the workflow itself simulates."""

from __future__ import annotations

from dataclasses import dataclass

from highgamma.sections import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseParticipantSettings:
    """Size of one participant whose electrodes follow nothing."""

    channels: int = setting(description="Recorded contacts.", minimum=2, maximum=350)
    n_words: int = setting(
        100, "Words read aloud, each once; a word takes 3 s.", minimum=8, maximum=132
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseSettings:
    """Participants whose electrodes follow nothing."""

    gain_spread: float = setting(
        0.2,
        "Standard deviation of the natural logarithm of the gain over channels.",
        minimum=0,
    )
    drift: float = setting(
        0.2,
        "Share of the high-gamma envelope's variance, in frames of 50 ms, that drifts: 1/f between "
        "0.01 and 1 Hz.",
        minimum=0,
        maximum=0.9,
    )
    participants: dict[str, NoiseParticipantSettings] = setting(
        description="The participants by name, such as `sub-01`.",
        length=1,
        names="^sub-[0-9]{1,4}$",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """What the workflow simulates."""

    seed: int = setting(31, "Seed of the simulation.", minimum=0)
    n_words: int = setting(
        72, "Words that each participant of the demo reads.", minimum=8, maximum=96
    )
    noise: NoiseSettings | None = setting(
        None,
        "Where present, electrodes follow nothing: independent 1/f noise times each channel's "
        "gain and its drift.",
    )
