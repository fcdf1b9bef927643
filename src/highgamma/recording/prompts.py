"""The words of a recording and when each was shown or said.

They come from events.tsv (or the file's annotations), from a TextGrid next to the recording, from
the recording itself (NWB), or are found by their voice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from highgamma.errors import InputError, nearest
from highgamma.recording.events import (
    PHONE_COLUMNS,
    chosen,
    events_of,
    numbers,
    onsets_of,
    told_types,
    types_of,
    word_column,
)
from highgamma.recording.files import Segment
from highgamma.recording.formats import format_of
from highgamma.recording.settings import WordSettings
from highgamma.recording.speech import utterances
from highgamma.recording.textgrid import textgrid_words
from highgamma.spelling import identity, normal

if TYPE_CHECKING:
    from highgamma.recording.sound import Sound

LOG = logging.getLogger("highgamma")

COLUMNS = (
    "segment",
    "segment_label",
    "word",
    "onset",
    "offset",
    "voice_onset",
    "voice_offset",
    "written",
)


UNKNOWN = "(voice)"
"""What stands for a word that was found by its voice, whose spelling nobody stated."""

RUNNING_S = 1.0
"""Median time between words below which speech is running, s."""

TOUCHING_S = 0.002
"""Longest time between two rows of one word, s."""


def empty() -> pd.DataFrame:
    """Return a table of words without rows."""
    return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})


def words(
    segments: Sequence[Segment],
    settings: WordSettings,
    *,
    sounds: Sequence[Sound] = (),
) -> pd.DataFrame:
    """Read the words of a participant's recordings, in time order.

    Parameters
    ----------
    segments
        From `find`.
    settings
        Where the words are.
    sounds
        The sound of each recording, for words that are found by their voice.

    Returns
    -------
    table
        Columns `COLUMNS`: onset and offset in s from the start of the segment. `voice_onset` and
        `voice_offset` are the same if the times are those of the voice, else missing (see `voice`).
        Words are strings in their normal form (`spelled`): `9` and `null` stay what they are.

    Raises
    ------
    InputError
        If there are no words or no such column, or if an onset is not a number.
    """
    tables = []
    for index, segment in enumerate(segments):
        sound = sounds[index] if sounds else None
        table = _of_recording(segment, settings, sound)
        tables.append(table.assign(segment=index, segment_label=segment.label))
    tables = [table for table in tables if not table.empty]
    if not tables:
        patterns = settings.types()
        raise InputError(
            f"no words were found (rows with trial_type {', '.join(map(repr, patterns))})",
            where=segments[0].events or segments[0].signal,
            expected=told_types(events_of(segments[0])[0], patterns[0]),
            remedy="set dataset.words.trial_type and dataset.words.column in the config to what "
            "the table uses, or dataset.words.trial_type to null for data without words",
        )
    joined = pd.concat(tables, ignore_index=True)
    joined = joined.sort_values(["segment", "onset"], kind="stable", ignore_index=True)
    joined = spelled(joined, where=segments[0].events or segments[0].signal)
    LOG.info("%s: %d words", segments[0].participant, len(joined))
    return joined[list(COLUMNS)]


def spelled(table: pd.DataFrame, *, where: Path) -> pd.DataFrame:
    """Return a table whose `word` is in its normal form, and `written` as it was.

    Words that the normal form changes are counted in the log, and so are words that appear in
    several spellings.
    """
    written = table["word"].astype(str)
    words = written.map(normal)
    changed = sorted(set(written[words != written]))
    if changed:
        LOG.info(
            "%s: %d words in other characters or with blanks are in their normal form: %s",
            where.name, len(changed), ", ".join(map(repr, changed[:5])),
        )  # fmt: skip
    several: dict[str, list[str]] = {}
    for word in sorted(set(words)):
        several.setdefault(identity(word), []).append(word)
    same = [" = ".join(found) for found in several.values() if len(found) > 1]
    if same:
        LOG.info(
            "%s: %d words in several spellings count as one where words are held out: %s",
            where.name, len(same), ", ".join(same[:5]),
        )  # fmt: skip
    return table.assign(word=words, written=written)


def _of_recording(segment: Segment, settings: WordSettings, sound: Sound | None) -> pd.DataFrame:
    """Columns `word`, `onset`, `offset`, `voice_onset` and `voice_offset`; maybe no rows."""
    readers: dict[str, Callable[[], pd.DataFrame]] = {
        "events": lambda: _from_events(segment, settings),
        "textgrid": lambda: _from_textgrid(segment, settings),
        "recording": lambda: _from_recording(segment),
        "voice": lambda: _from_voice(segment, sound),
    }
    tried = ("events", "textgrid", "recording") if settings.source == "auto" else (settings.source,)
    for source in tried:
        table = readers[source]()
        if not table.empty:
            return _timed(table, settings, segment, spoken=source in ("textgrid", "voice"))
    return _nothing()


def _timed(
    table: pd.DataFrame, settings: WordSettings, segment: Segment, *, spoken: bool
) -> pd.DataFrame:
    """Add the voice's times if the table's are those of the voice."""
    times = settings.times
    if times == "auto" and not spoken and len(table) > 1:
        step = float(np.median(np.diff(np.sort(table["onset"].to_numpy(np.float64)))))
        spoken = step < RUNNING_S
        if spoken:
            LOG.warning(
                "%s: words follow one another every %.2f s, as in running speech: their times are "
                "taken as those of the voice (dataset.words.times)",
                segment.label, step,
            )  # fmt: skip
    if times == "voice" or (times == "auto" and spoken):
        return table.assign(voice_onset=table["onset"], voice_offset=table["offset"])
    return table.assign(voice_onset=np.nan, voice_offset=np.nan)


def _from_textgrid(segment: Segment, settings: WordSettings) -> pd.DataFrame:
    if segment.textgrid is not None:
        return textgrid_words(segment.textgrid, settings.tier)
    if settings.source == "textgrid":
        raise InputError(
            "no TextGrid was found next to the recording",
            where=segment.signal,
            expected="a file .TextGrid in the same folder whose name has the same entities",
            remedy="put the file there, or choose another dataset.words.source",
        )
    return _nothing()


def _from_recording(segment: Segment) -> pd.DataFrame:
    read = format_of(segment.signal).shown_words
    return _nothing() if read is None else read(segment)


def _from_voice(segment: Segment, sound: Sound | None) -> pd.DataFrame:
    if sound is None or not sound.samples.size:
        raise InputError(
            "the recording has no sound to find words in",
            where=segment.signal,
            expected="the participant's voice (dataset.audio)",
            remedy="name the sound in dataset.audio, or choose another dataset.words.source",
        )
    found = np.array(utterances(sound.samples, sound.rate)).reshape(-1, 2) + sound.start
    LOG.info("%s: %d utterances found by their voice", segment.label, len(found))
    return pd.DataFrame({"word": UNKNOWN, "onset": found[:, 0], "offset": found[:, 1]})


def _from_events(segment: Segment, settings: WordSettings) -> pd.DataFrame:
    table, path = events_of(segment)
    if table is None:
        return _nothing()
    rows = chosen(table, settings.types(), where=path)
    if rows.empty:
        return _nothing()
    if "duration" not in rows:
        known = [str(name) for name in table.columns]
        raise InputError(
            f"the table has no column 'duration'{nearest('duration', known)}",
            where=path,
            expected=f"onset and duration; the table has {', '.join(known)}",
            remedy="rename the column, as BIDS has it",
        )
    column = word_column(rows, settings.column, where=path)
    onset = onsets_of(rows, where=path)
    duration = numbers(rows["duration"], where=path, column="duration", missing=True)
    if rows[column].isna().any():
        raise InputError(
            f"{int(rows[column].isna().sum())} of {len(rows)} rows of words have none",
            where=path,
            expected=f"the word in the column {column!r}",
            remedy="set dataset.words.column in the config to the column that holds the word",
        )
    text = rows[column].astype(str).to_numpy(object)
    offset = onset + duration
    if settings.until is not None:
        kinds = types_of(table)
        ends = table[kinds == settings.until] if len(kinds) else table.iloc[:0]
        offset = _ends(onset, onsets_of(ends, where=path))
    words = pd.DataFrame({"word": text, "onset": onset, "offset": offset})
    return _without_phones(words, settings, phones=any(p in rows for p in PHONE_COLUMNS), path=path)


def _ends(onset: NDArray[np.float64], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the first end after each onset and before the next; NaN where there is none."""
    later = np.append(np.sort(ends), np.inf)
    first = later[np.searchsorted(later, onset, side="right")]
    order = np.argsort(onset, kind="stable")
    following = np.full(len(onset), np.inf)
    following[order[:-1]] = onset[order[1:]]
    return np.where(first <= following, np.where(np.isfinite(first), first, np.nan), np.nan)


def _without_phones(
    words: pd.DataFrame, settings: WordSettings, *, phones: bool, path: Path
) -> pd.DataFrame:
    """Join rows of the same word that touch one another, if they are its phones.

    Raises
    ------
    InputError
        If they may be phones and neither the table nor the configuration tells.
    """
    ordered = words.sort_values("onset", kind="stable", ignore_index=True)
    touches = (ordered["onset"] - ordered["offset"].shift()).abs() <= TOUCHING_S
    goes_on = touches & (ordered["word"] == ordered["word"].shift())
    if settings.repeated == "keep" or not goes_on.any():
        return words
    if settings.repeated == "auto" and not phones:
        if goes_on.mean() < 0.25:
            return words
        raise InputError(
            f"{int(goes_on.sum())} of {len(words)} rows go on with the word of the row before, "
            f"such as {ordered['word'][goes_on].iloc[0]!r}",
            where=path,
            expected="one row for each word",
            remedy="set dataset.words.repeated to merge if the rows are phones of a word, or to "
            "keep if the word was said again",
        )
    joined = ordered.groupby((~goes_on).cumsum(), as_index=False).agg(
        {"word": "first", "onset": "min", "offset": "max"}
    )
    LOG.warning("%s: %d rows are joined to %d words", path.name, len(words), len(joined))
    return joined


def _nothing() -> pd.DataFrame:
    return pd.DataFrame({"word": [], "onset": [], "offset": []})
