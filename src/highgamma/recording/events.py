"""Events of a recording: rows of events.tsv, or the annotations of its file, chosen by their type.

Types are patterns: `word` is itself, `word*` begins with it, `*` is any; one after `!` is left out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from highgamma.errors import InputError, nearest
from highgamma.recording.files import Segment
from highgamma.recording.formats import format_of
from highgamma.store import numeric, read_table

LOG = logging.getLogger("highgamma")

TYPE = "trial_type"
"""The column of an event's type."""

WORD_COLUMNS = ("word", "text", "item", "stimulus", "token", "orthography", "label", "stim_file")
"""Columns that hold words where `value` holds codes."""

PHONE_COLUMNS = ("phone", "phoneme", "phon", "phones")
"""Columns that tell that a row is a phone of a word."""


def events_of(segment: Segment) -> tuple[pd.DataFrame | None, Path]:
    """Return a recording's events and the file they are from.

    Parameters
    ----------
    segment
        From `files.find`.

    Returns
    -------
    table
        events.tsv; else the file's annotations as `onset`, `duration` (s), `trial_type` and `value`
        (both their text); None if there are neither. Of several acquisitions, those of the first
        that has any.
    path
        The file.

    Raises
    ------
    InputError
        If acquisitions of one recording have different events.
    """
    found = [_events_of_file(part) for part in segment.parts()]
    known = [(table, path) for table, path in found if table is not None]
    for table, path in known[1:]:
        _refuse_others(*known[0], table, path)
    return known[0] if known else found[0]


EVENTS_APART = 0.01
"""Time by which an event may differ between acquisitions of one recording, s."""


def _refuse_others(table: pd.DataFrame, path: Path, other: pd.DataFrame, other_path: Path) -> None:
    """Refuse events that differ from those of another acquisition."""
    if path == other_path:
        return
    what = ""
    if len(table) != len(other):
        what = f"{len(table)} and {len(other)} rows"
    else:
        differs = np.zeros(len(table), bool)
        for name in (TYPE, "value", *WORD_COLUMNS):
            if name in table and name in other:
                one, two = (t[name].fillna("n/a").astype(str).to_numpy() for t in (table, other))
                differs |= one != two
        if "onset" in table and "onset" in other:
            apart = numeric(table["onset"]).to_numpy() - numeric(other["onset"]).to_numpy()
            differs |= np.abs(apart) > EVENTS_APART
        if differs.any():
            what = f"line {int(differs.argmax()) + 2}"
    if what:
        raise InputError(
            f"the events of {path.name} and {other_path.name} differ: {what}",
            where=other_path,
            expected=f"the same events for acquisitions that are one recording, within "
            f"{EVENTS_APART:g} s",
            remedy="correct one of the tables, or choose one acquisition (dataset.acquisition)",
        )


def _events_of_file(segment: Segment) -> tuple[pd.DataFrame | None, Path]:
    if segment.events is not None:
        return read_table(segment.events, strings=(TYPE, "value", *WORD_COLUMNS)), segment.events
    annotations = format_of(segment.signal).annotations
    table = None if annotations is None else annotations(segment)
    if table is None or table.empty:
        LOG.info("%s has no events.tsv", segment.signal.name)
        return None, segment.signal
    LOG.info("%s: %d events from its annotations", segment.signal.name, len(table))
    return table, segment.signal


def types_of(table: pd.DataFrame) -> pd.Series[str]:
    """Return the type of each event; no rows if the table has no such column."""
    if TYPE not in table:
        return pd.Series(dtype=str)
    return table[TYPE].fillna("n/a").astype(str).str.strip()


def matches(kind: str, patterns: Sequence[str]) -> bool:
    """Return whether a type is among patterns and not among those after `!`."""
    wanted = [p for p in patterns if not p.startswith("!")] or ["*"]
    unwanted = [p[1:] for p in patterns if p.startswith("!")]
    return any(fnmatchcase(kind, p) for p in wanted) and not any(
        fnmatchcase(kind, p) for p in unwanted
    )


def chosen(table: pd.DataFrame, patterns: Sequence[str], *, where: Path) -> pd.DataFrame:
    """Return the events of some types; all of a table without types, with a warning."""
    if TYPE not in table:
        LOG.warning(
            "%s has no column %s: all of its %d rows are taken", where.name, TYPE, len(table)
        )
        return table
    return table[[matches(kind, patterns) for kind in types_of(table)]]


def onsets_of(rows: pd.DataFrame, *, where: Path) -> NDArray[np.float64]:
    """Return the onsets of events, s.

    Raises
    ------
    InputError
        If the table lacks the column, or an onset is not a number.
    """
    if "onset" not in rows:
        raise InputError(
            "the table has no column 'onset'",
            where=where,
            expected="onset, s after the first sample of the recording",
            remedy="compare the file with the published one",
        )
    return numbers(rows["onset"], where=where, column="onset", missing=False)


def told_types(table: pd.DataFrame | None, wanted: str) -> str:
    """Return which types there are, how often, and the one that was probably meant."""
    if table is None:
        return "an events.tsv next to the recording"
    counts = types_of(table).value_counts(sort=False)
    listed = ", ".join(f"{name} ({count})" for name, count in list(counts.items())[:20])
    more = f" and {len(counts) - 20} more" if len(counts) > 20 else ""
    known = [str(name) for name in counts.index]
    return f"rows of that type; the table has {listed or 'no rows'}{more}{nearest(wanted, known)}"


def word_column(table: pd.DataFrame, column: str | None, *, where: Path) -> str:
    """Return the column that holds the words of chosen rows.

    That is the one configured, else `value`, unless it holds numbers alone and a column of
    `WORD_COLUMNS` holds others.

    Raises
    ------
    InputError
        If the table lacks the column.
    """
    known = [str(name) for name in table.columns]
    if column is not None:
        if column in table:
            return column
        raise InputError(
            f"the table has no column {column!r}{nearest(column, known)}",
            where=where,
            expected=f"the column that holds the word; there are {', '.join(known)}",
            remedy="set dataset.words.column in the config to the column that holds the word",
        )
    others = [name for name in WORD_COLUMNS if name in table and not _numbers_alone(table[name])]
    if "value" in table and not (_numbers_alone(table["value"]) and others):
        if _numbers_alone(table["value"]):
            LOG.warning(
                "%s: all words in the column `value` are numbers; if they are codes, set "
                "dataset.words.column to the column that holds the words",
                where.name,
            )
        return "value"
    if not others:
        raise InputError(
            "the table has no column `value`, nor another that usually holds words",
            where=where,
            expected=f"value, {', '.join(WORD_COLUMNS)}; there are {', '.join(known)}",
            remedy="set dataset.words.column in the config to the column that holds the word",
        )
    LOG.warning("%s: words are taken from the column %r", where.name, others[0])
    return others[0]


def _numbers_alone(values: pd.Series[str]) -> bool:
    return bool(pd.to_numeric(values.dropna(), errors="coerce").notna().all())


def numbers(
    values: pd.Series[float], *, where: Path, column: str, missing: bool
) -> NDArray[np.float64]:
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
        If a value is not a finite number; the message names the line.
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
    return np.asarray(parsed, dtype=np.float64)
