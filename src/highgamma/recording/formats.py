"""File formats of recordings: suffixes, companions, and how each is opened.

Nothing heavy is imported here, because the workflow looks for recordings each time it builds its
graph.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from highgamma.registry import Registry

if TYPE_CHECKING:
    import pandas as pd

    from highgamma.recording.files import Segment
    from highgamma.recording.signals import Signals


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFormat:
    """A file format that recordings are read from.

    Attributes
    ----------
    name
        What people call it.
    suffixes
        Of the file that BIDS names, such as `.nwb`.
    opened
        Opens a recording; a context manager.
    companions
        Suffixes of the files next to it that belong to the same recording.
    package
        The optional Python package that reading it needs.
    shown_words
        Reads the words that were shown from the file itself, with `onset` and `offset` in s.
    annotations
        Reads the events that the file itself holds, as `events.events_of` returns them.
    """

    name: str
    suffixes: tuple[str, ...]
    opened: Callable[[Segment], AbstractContextManager[Signals]]
    companions: tuple[str, ...] = ()
    package: str | None = None
    shown_words: Callable[[Segment], pd.DataFrame] | None = None
    annotations: Callable[[Segment], pd.DataFrame] | None = None


FORMATS: Registry[RecordingFormat] = Registry("format of recordings")
"""If one recording exists in two formats, the first of these is read."""


def suffixes() -> list[str]:
    """Return suffixes of all recordings that can be read, the preferred ones first."""
    return [suffix for form in FORMATS.values() for suffix in form.suffixes]


def format_of(path: Path) -> RecordingFormat:
    """Return the format of a recording that `files.find` found."""
    return next(form for form in FORMATS.values() if path.suffix in form.suffixes)


def _nwb(segment: Segment) -> AbstractContextManager[Signals]:
    from highgamma.recording.nwb import nwb_signals

    return nwb_signals(segment)


def _nwb_words(segment: Segment) -> pd.DataFrame:
    from highgamma.recording.nwb import shown_words

    return shown_words(segment)


def _mne(segment: Segment) -> AbstractContextManager[Signals]:
    from highgamma.recording.mne_raw import mne_signals

    return mne_signals(segment)


def _mne_annotations(segment: Segment) -> pd.DataFrame:
    from highgamma.recording.mne_raw import events_in_file

    return events_in_file(segment)


for _format in (
    RecordingFormat(name="NWB", suffixes=(".nwb",), opened=_nwb, shown_words=_nwb_words),
    RecordingFormat(
        name="BrainVision",
        suffixes=(".vhdr",),
        companions=(".eeg", ".dat", ".vmrk"),
        opened=_mne,
        annotations=_mne_annotations,
    ),
    RecordingFormat(
        name="EDF", suffixes=(".edf", ".bdf"), opened=_mne, annotations=_mne_annotations
    ),
    RecordingFormat(name="FIF", suffixes=(".fif",), opened=_mne, annotations=_mne_annotations),
    RecordingFormat(
        name="EEGLAB",
        suffixes=(".set",),
        companions=(".fdt",),
        opened=_mne,
        annotations=_mne_annotations,
        package="pymatreader",
    ),
):
    FORMATS.register(_format)
