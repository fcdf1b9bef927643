"""The stage: the table and the figure of a participant's quality."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from highgamma import neural
from highgamma.quality.columns import QUALITY_COLUMNS, JudgedQuality
from highgamma.quality.measures import measured
from highgamma.quality.settings import QualitySettings
from highgamma.recording.reader import Reader
from highgamma.store import write_table

if TYPE_CHECKING:
    import pandas as pd

LOG = logging.getLogger("highgamma")


def quality(
    recordings: Sequence[Reader],
    electrodes: neural.Electrodes,
    settings: QualitySettings,
    artefacts: neural.ArtefactSettings,
    *,
    mains: float | None = None,
) -> JudgedQuality:
    """Measure each electrode of a participant and raise its flags; the counts are logged.

    Parameters
    ----------
    recordings
        The electrodes' voltages, µV, one reader for each segment.
    electrodes
        The electrodes.
    settings
        When a measure is flagged.
    artefacts
        What counts as an artefact.
    mains
        Mains frequency that the data set states, Hz.

    Raises
    ------
    InputError
        If samples are missing.
    """
    measures = measured(recordings, electrodes, artefacts, mains=settings.line or mains)
    judged = JudgedQuality.of(measures, settings)
    flagged = sum(bool(flags) for flags in judged.flags)
    counts = {name: int(on.sum()) for name, on in judged.raised.items() if on.any()}
    LOG.info(
        "quality: %d of %d channels carry a flag%s",
        flagged,
        len(electrodes),
        "".join(f"; {name} {count}" for name, count in counts.items()),
    )
    return judged


def table(judged: JudgedQuality) -> pd.DataFrame:
    """Return the table of quality, one row a channel."""
    import pandas as pd

    names = pd.RangeIndex(len(judged.measures.names))
    columns = {c.name: c.values(judged) for c in QUALITY_COLUMNS.values()}
    return pd.DataFrame(columns, index=names)


def write(
    judged: JudgedQuality,
    settings: QualitySettings,
    *,
    title: str,
    tsv: str | PathLike[str],
    png: str | PathLike[str],
) -> None:
    """Write the table and the figure."""
    from highgamma.quality.figure import draw

    write_table(table(judged), tsv)
    draw(judged, settings, png, title=title)
