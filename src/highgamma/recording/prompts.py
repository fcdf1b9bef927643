"""The words of a recording and when each was shown, from events.tsv or from its own file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from highgamma.errors import InputError, nearest
from highgamma.recording.files import Segment
from highgamma.recording.formats import format_of
from highgamma.store import numeric, read_table

LOG = logging.getLogger("highgamma")

COLUMNS = (
    "segment",
    "segment_label",
    "word",
    "onset",
    "offset",
    "voice_onset",
    "voice_offset",
)


def empty() -> pd.DataFrame:
    """Return a table of words without rows."""
    return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})


def words(
    segments: Sequence[Segment],
    *,
    trial_type: str = "word",
    column: str = "value",
) -> pd.DataFrame:
    """Read the words that were shown in a participant's recordings, in time order.

    Parameters
    ----------
    segments
        From `find`.
    trial_type
        Value of the column `trial_type` in the rows of events.tsv that hold words.
    column
        The column that holds the word. Words are strings: `9` and `null` stay what they are.

    Returns
    -------
    table
        Columns `COLUMNS`: prompt onset and offset in s from the start of the segment; the voice's
        onset and offset are missing (see `voice`).

    Raises
    ------
    InputError
        If there are no words or no such column, or if an onset is not a number.
    """
    tables = []
    for index, segment in enumerate(segments):
        words_shown = _from_events(segment, trial_type=trial_type, column=column)
        read_from_recording = format_of(segment.signal).shown_words
        if words_shown.empty and read_from_recording is not None:
            words_shown = read_from_recording(segment)
        tables.append(words_shown.assign(segment=index, segment_label=segment.label))
    tables = [table for table in tables if not table.empty]
    if not tables:
        raise InputError(
            f"no words were found (rows with trial_type {trial_type!r})",
            where=segments[0].events or segments[0].signal,
            expected=_expected_rows(segments, trial_type),
            remedy="set dataset.words.trial_type and dataset.words.column in the config to what "
            "the table uses, or dataset.words.trial_type to null for data without words",
        )
    table = pd.concat(tables, ignore_index=True)
    table["voice_onset"] = np.nan
    table["voice_offset"] = np.nan
    table = table.sort_values(["segment", "onset"], kind="stable", ignore_index=True)
    LOG.info("%s: %d words", segments[0].participant, len(table))
    return table[list(COLUMNS)]


def _from_events(segment: Segment, *, trial_type: str, column: str) -> pd.DataFrame:
    nothing = pd.DataFrame({"word": [], "onset": [], "offset": []})
    if segment.events is None:
        LOG.info("%s has no events.tsv", segment.signal.name)
        return nothing
    table = read_table(segment.events, strings=("trial_type", column))
    if "trial_type" not in table:
        return nothing
    chosen = table[table["trial_type"].astype(str).str.strip() == trial_type]
    if chosen.empty:
        return nothing
    lacking = [name for name in ("onset", "duration", column) if name not in table]
    if lacking:
        known = [str(name) for name in table.columns]
        raise InputError(
            f"the table has no column {lacking[0]!r}{nearest(lacking[0], known)}",
            where=segment.events,
            expected=f"onset, duration and {column}; there are {', '.join(known)}",
            remedy="set dataset.words.column in the config to the column that holds the word",
        )
    onset = numbers(chosen["onset"], where=segment.events, column="onset", missing=False)
    duration = numbers(chosen["duration"], where=segment.events, column="duration", missing=True)
    if chosen[column].isna().any():
        raise InputError(
            f"{int(chosen[column].isna().sum())} rows of trial_type {trial_type!r} have no word",
            where=segment.events,
            expected=f"the word in the column {column!r}",
            remedy="set dataset.words.column in the config to the column that holds the word",
        )
    text = chosen[column].astype(str)
    return pd.DataFrame({"word": text.to_numpy(object), "onset": onset, "offset": onset + duration})


def numbers(
    values: pd.Series[float], *, where: Path, column: str, missing: bool
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Convert a table's column to float64.

    Parameters
    ----------
    values
        The column.
    where, column
        Its file and name, for messages.
    missing
        Whether values may be missing.

    Raises
    ------
    InputError
        If a value is not a number; the message names the line.
    """
    parsed = numeric(values)
    bad = parsed.isna() & values.notna() if missing else parsed.isna()
    if bad.any():
        row = int(np.flatnonzero(bad.to_numpy())[0])
        raise InputError(
            f"the {column} in line {int(values.index[row]) + 2} is {values.iloc[row]!r}",
            where=where,
            expected="seconds",
            remedy="correct the table",
        )
    return np.asarray(parsed.to_numpy(), dtype=np.float64)


def _expected_rows(segments: Sequence[Segment], trial_type: str) -> str:
    path = segments[0].events
    if path is None:
        return "an events.tsv next to the recording"
    table = read_table(path, strings=("trial_type",))
    if "trial_type" not in table:
        return f"a column trial_type; there are {', '.join(map(str, table.columns))}"
    counts = table["trial_type"].astype(str).value_counts(sort=False)
    listed = ", ".join(f"{name} ({count})" for name, count in counts.items())
    known = [str(name) for name in counts.index]
    return f"rows of that type; the table has {listed or 'no rows'}{nearest(trial_type, known)}"
