"""What is unusual in what the fits are made from: the flags of the recordings."""

from __future__ import annotations

from dataclasses import dataclass

from highgamma.quality.columns import QUALITY_FLAGS
from highgamma.report.evidence import Evidence


@dataclass(frozen=True, slots=True)
class FlaggedChannels:
    """The channels of a participant that carry a flag of quality, of `n` channels."""

    participant: str
    n: int
    flag: str
    channels: tuple[str, ...]


def flagged_channels(evidence: Evidence) -> list[FlaggedChannels]:
    """Return a row for each participant and flag that a channel carries."""
    rows = []
    for participant, table in evidence.quality.items():
        flags = table["flags"].fillna("").map(lambda text: text.split(","))
        for flag in QUALITY_FLAGS:
            on = flags.map(lambda raised, flag=flag: flag in raised).astype(bool)
            channels = tuple(map(str, table.loc[on, "electrode"]))
            if channels:
                rows.append(FlaggedChannels(participant, len(table), flag, channels))
    return rows


def flag_meanings(rows: list[FlaggedChannels]) -> dict[str, str]:
    """Return what each of the flags means."""
    carried = {row.flag for row in rows}
    return {f.name: f.meaning.replace("`", "") for f in QUALITY_FLAGS.values() if f.name in carried}
