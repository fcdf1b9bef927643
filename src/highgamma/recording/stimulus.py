"""A transcript of a stimulus that all participants heard, as a table of words."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from highgamma.errors import InputError
from highgamma.recording.events import numbers
from highgamma.recording.files import STIMULUS, TEXTGRID_EXTENSIONS
from highgamma.recording.prompts import COLUMNS, spelled
from highgamma.recording.textgrid import textgrid_words
from highgamma.store import read_table

LOG = logging.getLogger("highgamma")

_ONSET = ("onset", "start", "start_time", "tmin", "xmin", "begin")
_OFFSET = ("offset", "end", "stop", "end_time", "tmax", "xmax")
_WORD = ("word", "item", "value", "text", "orthography", "token")
_INDEX = ("word_idx", "word_index", "word_id")


def transcript(path: Path) -> pd.DataFrame:
    """Read a table of words with their times; its columns are known by their usual names.

    Rows of one word index (sub-word tokens) become one word that spans them. Words are put in
    order of onset; where people talk at once, `word_idx` still has the order in which they are
    read. Rows without a time are dropped and counted.

    Parameters
    ----------
    path
        Tab-separated, or comma-separated if it ends in `.csv`: a word, an onset and an offset
        (or duration) in s. Or a TextGrid.

    Returns
    -------
    table
        The columns of `prompts.words`, voice onset and offset being those of the transcript, and
        `word_idx`, the transcript's own number of the word (its row if it has none).

    Raises
    ------
    InputError
        If a column is missing, or a time is not a number.
    """
    if path.suffix in TEXTGRID_EXTENSIONS:
        table = textgrid_words(path)
    else:
        table = _csv(path) if path.suffix == ".csv" else read_table(path, strings=_WORD)
    words = _words(table, path)
    if (words["offset"] < words["onset"]).any():
        raise InputError(
            f"{int((words['offset'] < words['onset']).sum())} words end before they begin",
            where=path,
            expected="offset ≥ onset",
            remedy="correct the table",
        )
    words = words.sort_values("onset", kind="stable", ignore_index=True)
    words["voice_onset"], words["voice_offset"] = words["onset"], words["offset"]
    words["segment"], words["segment_label"] = 0, STIMULUS
    words = spelled(words, where=path)
    LOG.info("%s: %d words from %d rows", path.name, len(words), len(table))
    return words[[*COLUMNS, "word_idx"]]


def _words(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Columns `word_idx`, `word`, `onset` and `offset` of a transcript, a row for each word."""
    by_lower = {str(column).strip().lower(): str(column) for column in table.columns}

    def column(names: tuple[str, ...]) -> str | None:
        return next((by_lower[name] for name in names if name in by_lower), None)

    word, onset, offset = column(_WORD), column(_ONSET), column(_OFFSET)
    duration, index = column(("duration",)), column(_INDEX)
    if word is None or onset is None or (offset is None and duration is None):
        raise InputError(
            f"the transcript has the columns {', '.join(map(str, table.columns))}",
            where=path,
            expected="word (or item), onset (or start), and offset (or end) or duration",
            remedy="rename its columns",
        )
    timed = table[table[onset].notna() & table[word].notna()]
    if len(timed) < len(table):
        LOG.warning("%s: %d rows have no word or no time", path.name, len(table) - len(timed))
    if timed.empty:
        raise InputError(
            "the transcript has no words", where=path, remedy="compare it with the published one"
        )
    begin = numbers(timed[onset], where=path, column=onset, missing=False)
    if offset is not None:
        end = numbers(timed[offset], where=path, column=offset, missing=True)
    else:
        end = begin + numbers(timed[str(duration)], where=path, column="duration", missing=True)
    words = pd.DataFrame(
        {
            "word_idx": np.arange(len(timed)) if index is None else timed[index].to_numpy(),
            "word": timed[word].astype(str).to_numpy(object),
            "onset": begin,
            "offset": end,
        }
    )
    if index is None:
        return words
    return words.groupby("word_idx", sort=False, as_index=False).agg(
        {"word": "first", "onset": "min", "offset": "max"}
    )


def _csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(
            path,
            encoding="utf-8-sig",
            dtype=dict.fromkeys(_WORD, "object"),
            keep_default_na=False,
            na_values=["n/a", ""],
            # Otherwise a comma at the end of each line makes the first column an index.
            index_col=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(
            f"the table cannot be read: {error}",
            where=path,
            expected="comma-separated columns under one header line, UTF-8",
            remedy="compare the file with the published one",
        ) from error
