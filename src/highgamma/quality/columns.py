"""The columns and flags of the table of quality: each one's name, unit, meaning and origin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from highgamma.neural.artefacts import KINDS
from highgamma.quality.measures import Measures
from highgamma.quality.settings import QualitySettings
from highgamma.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityFlag:
    """Something unusual in a channel.

    Attributes
    ----------
    name, meaning
        What the table and the documentation call it.
    raised
        ``raised(measures, settings)`` returns (channel,) whether a channel carries the flag; a
        measure that is missing raises none.
    """

    name: str
    meaning: str
    raised: Callable[[Measures, QualitySettings], Any]


ALIKE = 0.3
"""Median correlation of neighbours above which a channel without any stands out."""


def _alike(measures: Measures) -> bool:
    known = measures.neighbour_r[np.isfinite(measures.neighbour_r)]
    return bool(len(known)) and float(np.median(known)) > ALIKE


QUALITY_FLAGS: Registry[QualityFlag] = Registry("flag of quality")

for _flag in (
    QualityFlag(
        name="flat",
        meaning="the channel holds one value only",
        raised=lambda measures, limits: measures.flat,
    ),
    QualityFlag(
        name="unit",
        meaning="the amplitude is implausible in µV (`quality.amplitude`): the unit is probably "
        "wrong",
        raised=lambda measures, limits: (
            ~measures.flat
            & (
                (measures.amplitude < limits.amplitude[0])
                | (measures.amplitude > limits.amplitude[1])
            )
        ),
    ),
    QualityFlag(
        name="line-noise",
        meaning="line noise above `quality.line_noise`",
        raised=lambda measures, limits: measures.line_noise > limits.line_noise,
    ),
    QualityFlag(
        name="white",
        meaning="a spectrum flatter than `quality.slope`, as of amplifier noise",
        raised=lambda measures, limits: measures.slope > limits.slope,
    ),
    QualityFlag(
        name="heavy-tailed",
        meaning="kurtosis above `quality.kurtosis`",
        raised=lambda measures, limits: measures.kurtosis > limits.kurtosis,
    ),
    QualityFlag(
        name="unlike-neighbours",
        meaning="correlation with every neighbour below `quality.least_r`, if the median over "
        f"channels is above {ALIKE}",
        raised=lambda measures, limits: (measures.neighbour_r < limits.least_r) & _alike(measures),
    ),
    QualityFlag(
        name="bridged",
        meaning="correlation with a neighbour above `quality.most_r`",
        raised=lambda measures, limits: measures.neighbour_r > limits.most_r,
    ),
    QualityFlag(
        name="repeated",
        meaning="more samples equal to the one before than `quality.repeated`",
        raised=lambda measures, limits: measures.repeated > limits.repeated,
    ),
    QualityFlag(
        name="masked",
        meaning="more samples left out as artefacts than `quality.masked`",
        raised=lambda measures, limits: measures.masked > limits.masked,
    ),
):
    QUALITY_FLAGS.register(_flag)


@dataclass(frozen=True, slots=True)
class JudgedQuality:
    """What was measured, with the flags of each channel: (flag, channel)."""

    measures: Measures
    raised: Mapping[str, Any]

    @classmethod
    def of(cls, measures: Measures, settings: QualitySettings) -> JudgedQuality:
        """Raise the flags of measures."""
        flags = {f.name: np.asarray(f.raised(measures, settings)) for f in QUALITY_FLAGS.values()}
        return cls(measures, flags)

    @property
    def flags(self) -> list[str]:
        """The flags of each channel, joined by commas."""
        channels = range(len(self.measures.names))
        return [",".join(name for name, on in self.raised.items() if on[i]) for i in channels]


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityColumn:
    """A column of the table of quality.

    Attributes
    ----------
    name, unit, meaning
        What the table's head and the documentation call it.
    values
        ``values(judged)`` returns the column's values, (channel,).
    """

    name: str
    unit: str
    meaning: str
    values: Callable[[JudgedQuality], Any]


QUALITY_COLUMNS: Registry[QualityColumn] = Registry("column of the table of quality")


def _count(kind: int) -> Callable[[JudgedQuality], Any]:
    return lambda judged: judged.measures.artefacts[kind]


for _column in (
    QualityColumn(
        name="electrode",
        unit="–",
        meaning="the electrode, as recorded",
        values=lambda judged: list(judged.measures.names),
    ),
    QualityColumn(
        name="amplitude",
        unit="µV",
        meaning="standard deviation of the voltage without trends (1.4826 median absolute "
        "deviation, median over pieces of 8 s)",
        values=lambda judged: judged.measures.amplitude,
    ),
    QualityColumn(
        name="line_noise",
        unit="dB",
        meaning="power within 1 Hz of the mains frequency over the median 3 to 10 Hz away; the "
        "largest of the mains and two harmonics",
        values=lambda judged: judged.measures.line_noise,
    ),
    QualityColumn(
        name="mains",
        unit="Hz",
        meaning="the mains frequency",
        values=lambda judged: judged.measures.mains,
    ),
    QualityColumn(
        name="slope",
        unit="1",
        meaning="slope of log power over log frequency, 2 to 100 Hz without the mains (Theil–Sen)",
        values=lambda judged: judged.measures.slope,
    ),
    QualityColumn(
        name="kurtosis",
        unit="1",
        meaning="excess kurtosis of the voltage without trends; 0 for a normal distribution",
        values=lambda judged: judged.measures.kurtosis,
    ),
    QualityColumn(
        name="neighbour_r",
        unit="1",
        meaning="correlation with the most similar neighbour on the shaft or grid; missing without "
        "one",
        values=lambda judged: judged.measures.neighbour_r,
    ),
    QualityColumn(
        name="repeated",
        unit="1",
        meaning="share of samples equal to the one before (flatness)",
        values=lambda judged: judged.measures.repeated,
    ),
    QualityColumn(
        name="masked",
        unit="1",
        meaning="share of samples that artefacts mask, padding included",
        values=lambda judged: judged.measures.masked,
    ),
    *(
        QualityColumn(
            name=kind, unit="count", meaning=f"artefacts found: {meaning}", values=_count(k)
        )
        for k, (kind, meaning) in enumerate(KINDS.items())
    ),
    QualityColumn(
        name="flags",
        unit="–",
        meaning="comma-separated, empty if nothing is unusual",
        values=lambda judged: judged.flags,
    ),
):
    QUALITY_COLUMNS.register(_column)
