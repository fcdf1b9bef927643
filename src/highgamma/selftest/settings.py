"""The section `selftest`: what the self-test simulates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from highgamma.sections import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class SelftestSettings:
    """What is simulated for each participant of each seed."""

    parts: tuple[Literal["participants", "battery", "audit", "intervals"], ...] = setting(
        ("participants", "battery", "audit", "intervals"),
        "Parts that run: `participants` (whole recordings through all stages), `battery` (the "
        "shipped analyses on many scenes), `audit` (the audit of sound on hum, narrow bands and "
        "shifted pitch) and `intervals` (of group means and compared runs).",
        length=1,
        unique=True,
    )
    scenes: int = setting(20, "Scenes of each case of the battery.", minimum=1)
    scene_electrodes: int = setting(
        10, "Electrodes of each kind and signal-to-noise ratio in a scene.", minimum=1
    )
    audit_electrodes: int = setting(400, "Electrodes of each case of the audit.", minimum=16)
    seeds: tuple[int, ...] = setting(
        (501, 502, 503, 504), "Seeds, one simulated run each.", minimum=0, length=1, unique=True
    )
    participants: int = setting(2, "Participants of each run.", minimum=1, maximum=99)
    words: int = setting(
        54, "Words that each participant reads, one every 3 s.", minimum=40, maximum=96
    )
    noise: int = setting(125, "Electrodes of each participant with nothing planted.", minimum=20)
    planted: int = setting(4, "Electrodes of each participant, kind and level.", minimum=1)
    snr_frames: tuple[float, ...] = setting(
        (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
        "Signal-to-noise ratios of acoustic and speech-on-off electrodes; variance of the drive "
        "over that of the rest of the envelope, in frames of 50 ms.",
        above=0,
        length=2,
        unique=True,
    )
    snr_words: tuple[float, ...] = setting(
        (0.5, 1.0, 2.0, 4.0, 8.0, 16.0),
        "The same of language electrodes, in means over the words' windows.",
        above=0,
        length=2,
        unique=True,
    )
    contamination_db: tuple[float, ...] = setting(
        (-20.0, -15.0, -10.0, -5.0, 0.0),
        "Levels of contaminated electrodes, in dB; power of the microphone's copy while there is "
        "speech over that of the electrode's high-gamma carrier, both within 70–170 Hz.",
        length=1,
        unique=True,
    )
    permutations: int = setting(
        199,
        "Surrogates of the analysis of frames; that of words draws three times as many and two.",
        minimum=99,
    )
