"""When each recording heard the shared stimulus, and the stimulus's words on the recording's clock.

A stimulus has a clock of its own, which starts with its sound. A presentation places it in a
recording,

    time in the recording = onset + stretch · time in the stimulus,

onset in s, the stretch 1 unless several marks show that the two clocks run at different speeds.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from highgamma.errors import InputError
from highgamma.recording.events import events_of, numbers, onsets_of, told_types, types_of
from highgamma.recording.files import Segment, in_data_set
from highgamma.recording.settings import TABLE, StimulusSettings
from highgamma.recording.stimuli import stimuli
from highgamma.sections import section_from
from highgamma.store import read_table

if TYPE_CHECKING:
    import xarray as xr

FloatArray = NDArray[np.float64]

LOG = logging.getLogger("highgamma")

COLUMNS = ("segment", "segment_label", "stimulus", "onset", "stretch", "marks", "residual_s")
"""Columns of the table of presentations: number and name of the recording, number of the stimulus,
onset (s), stretch, number of marks, and the root mean square of what they leave (s)."""

STIMULUS_WORD = "stimulus_word"
"""Column of a listener's words: the row of the stimulus's table of words."""

MOST_STRETCH = 0.02
"""Stretch that no pair of clocks has: beyond 1 ± this the marks are of something else."""


def nothing_heard() -> pd.DataFrame:
    """Return a table of presentations without rows."""
    return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})


def presentations(
    segments: Sequence[Segment], stimulus: Mapping[str, Any], *, root: str | Path
) -> pd.DataFrame:
    """Return when each recording of a participant heard the stimulus.

    Parameters
    ----------
    segments
        From `files.find`.
    stimulus
        The configuration's section `dataset.stimulus`.
    root
        The data set's folder.

    Returns
    -------
    table
        A row for each recording, columns `COLUMNS`.

    Raises
    ------
    InputError
        If a recording has no mark, if marks are not on a line, or if a table cannot be read.
    """
    settings = section_from(StimulusSettings, stimulus, where="dataset.stimulus")
    if settings.several:
        return _played(segments, settings, [one.name for one in stimuli(root, stimulus)])
    onset = settings.onset
    if isinstance(onset, str) and Path(onset).suffix == TABLE:
        rows = _from_table(segments, in_data_set(root, onset, where="dataset.stimulus.onset"))
    elif isinstance(onset, str):
        rows = [_from_events(segment, onset) for segment in segments]
    else:
        rows = [(float(onset), 1.0, 0, np.nan)] * len(segments)
        if len(segments) > 1:
            LOG.warning(
                "%s: each of %d recordings is assumed to hear the stimulus from its start, %g s "
                "after its own (dataset.stimulus.onset)",
                segments[0].participant,
                len(segments),
                float(onset),
            )
    table = pd.DataFrame(
        [
            (k, segment.label, 0, *row)
            for k, (segment, row) in enumerate(zip(segments, rows, strict=True))
        ],
        columns=list(COLUMNS),
    )
    for segment, (start, stretch, marks, left) in zip(segments, rows, strict=True):
        clock = f", stretched by {stretch:.7g} ({marks} marks, {1000 * left:.1f} ms off)"
        LOG.info(
            "%s, %s: the stimulus begins at %.3f s%s",
            segment.participant, segment.label, start, clock if marks > 1 else "",
        )  # fmt: skip
    return table


def _played(
    segments: Sequence[Segment], settings: StimulusSettings, names: Sequence[str]
) -> pd.DataFrame:
    """Return when each recording heard which of several stimuli, from its events.

    Raises
    ------
    InputError
        If no event names a stimulus.
    """
    numbers_of = {name: number for number, name in enumerate(names)}
    rows = []
    for k, segment in enumerate(segments):
        table, path = events_of(segment)
        if table is None or settings.column not in table:
            raise InputError(
                "the recording has no events that name stimuli",
                where=path,
                expected=f"a column {settings.column} with the names of stimuli",
                remedy="set dataset.stimulus.column in the config, or download the events.tsv",
            )
        said = table[settings.column].fillna("n/a").astype(str).str.strip()
        which = said.map(lambda text: numbers_of.get(text, numbers_of.get(Path(text).stem, -1)))
        known = which.to_numpy() >= 0
        if not known.any():
            raise InputError(
                f"none of {len(table)} events names one of {len(names)} stimuli",
                where=path,
                expected=f"names such as {', '.join(list(names)[:3])}; the column "
                f"{settings.column} has {', '.join(sorted(set(said))[:3])}",
                remedy="correct dataset.stimulus (audio, words, column) in the config",
            )
        onsets = onsets_of(table[known], where=path)
        other = sorted(set(said[~known]))
        LOG.info(
            "%s, %s: %d presentations of %d stimuli%s",
            segment.participant, segment.label, int(known.sum()), which[known].nunique(),
            f"; other events: {', '.join(other[:5])}" if other else "",
        )  # fmt: skip
        rows += [
            (k, segment.label, int(number), float(onset) + float(settings.onset), 1.0, 1, 0.0)
            for onset, number in sorted(zip(onsets, which[known], strict=True))
        ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


Place = tuple[float, float, int, float]
"""Onset (s), stretch, number of marks, and the root mean square of what is left (s)."""


def line_through(time: FloatArray, marks: FloatArray, *, where: str | Path) -> Place:
    """Return the straight line through marks, by least squares.

    Parameters
    ----------
    time
        (mark,) s in the stimulus.
    marks
        (mark,) s in the recording.
    where
        The table, for messages.

    Raises
    ------
    InputError
        If the stretch is beyond 1 ± `MOST_STRETCH`.
    """
    if len(np.unique(time)) < 2:
        return float(np.mean(marks - time)), 1.0, len(time), float(np.std(marks - time))
    try:
        stretch, onset = np.polyfit(time, marks, 1)
    except np.linalg.LinAlgError:
        stretch, onset = np.nan, np.nan
    if not abs(stretch - 1) <= MOST_STRETCH:
        raise InputError(
            f"{len(time)} marks stretch the stimulus by {stretch:.5g}",
            where=where,
            expected=f"two clocks that differ by at most {MOST_STRETCH:.0%}",
            remedy="check that `time` is in seconds of the stimulus and `onset` in seconds of the "
            "recording",
        )
    left = marks - onset - stretch * time
    return float(onset), float(stretch), len(time), float(np.sqrt((left**2).mean()))


def _from_table(segments: Sequence[Segment], path: Path) -> list[Place]:
    """Read onsets of recordings from a table of the data set."""
    table = read_table(path, strings=("participant", "participant_id", "recording"))
    who = "participant_id" if "participant_id" in table else "participant"
    lacking = [name for name in (who, "onset") if name not in table]
    if lacking:
        raise InputError(
            f"the table lacks the column {lacking[0]}",
            where=path,
            expected="participant and onset (s); recording and time (s in the stimulus) if needed",
            remedy="add the column, or set dataset.stimulus.onset to a number",
        )
    name = segments[0].participant
    labels = table[who].astype(str).str.strip()
    own = table[labels.isin([name, name.removeprefix("sub-")])]
    rows = []
    for segment in segments:
        here = own
        if "recording" in table:
            here = own[own["recording"].astype(str).str.strip() == segment.label]
        if here.empty:
            raise InputError(
                f"the table has no onset of {name}, recording {segment.label}",
                where=path,
                expected="a row for each participant and recording",
                remedy="add the row",
            )
        marks = numbers(here["onset"], where=path, column="onset", missing=False)
        time = (
            numbers(here["time"], where=path, column="time", missing=False)
            if "time" in table
            else np.zeros(len(marks))
        )
        if len(marks) > 1 and len(np.unique(time)) == 1:
            raise InputError(
                f"the table has {len(marks)} onsets of {name}, recording {segment.label}",
                where=path,
                expected="one onset, or several with different `time` in the stimulus",
                remedy="name the recordings in a column `recording`, or add `time`",
            )
        rows.append(line_through(np.asarray(time), np.asarray(marks), where=path))
    return rows


def _from_events(segment: Segment, event: str) -> Place:
    """Read from events.tsv when the event of this type happens first."""
    table, path = events_of(segment)
    if table is None:
        raise InputError(
            "the recording has no events to tell when the stimulus began",
            where=path,
            expected="an events.tsv, or annotations in the recording",
            remedy="set dataset.stimulus.onset to seconds, or download the events.tsv",
        )
    kinds = types_of(table)
    marks = table[kinds == event] if len(kinds) else table.iloc[:0]
    if marks.empty:
        raise InputError(
            f"no row has the trial_type {event!r}",
            where=path,
            expected=told_types(table, event),
            remedy="correct dataset.stimulus.onset in the config",
        )
    onsets = onsets_of(marks, where=path)
    if len(onsets) > 1:
        LOG.warning(
            "%s: %d rows are of the type %r; the stimulus is assumed to begin at the first, %g s",
            path.name, len(onsets), event, onsets[0],
        )  # fmt: skip
    return float(onsets[0]), 1.0, 1, 0.0


def words_heard(
    words: pd.DataFrame, heard: pd.DataFrame, lengths: Sequence[float] | None = None
) -> pd.DataFrame:
    """Return the words that a listener heard, each on the clock of its recording.

    Parameters
    ----------
    words
        The stimulus's table of words.
    heard
        The presentations.
    lengths
        Length of each recording, s. Words that lie outside a recording are left out; without
        lengths all are kept.

    Returns
    -------
    table
        As `words`, with `STIMULUS_WORD`.
    """
    parts, said, heard_of = [], 0, 0
    for row in heard.to_dict("records"):
        segment, label = int(row["segment"]), str(row["segment_label"])
        of_stimulus = (words["segment"] == row["stimulus"]).to_numpy()
        part = words[of_stimulus].copy()
        for name in ("onset", "offset", "voice_onset", "voice_offset"):
            part[name] = row["onset"] + row["stretch"] * part[name].astype(np.float64)
        part["segment"], part["segment_label"] = segment, label
        part[STIMULUS_WORD] = np.flatnonzero(of_stimulus)
        if lengths is not None:
            inside = (part["offset"] > 0) & (part["onset"] < lengths[segment])
            said, heard_of = said + len(part), heard_of + int(inside.sum())
            part = part[inside]
        parts.append(part)
    if said:
        LOG.info("%d of %d words of the stimulus were heard", heard_of, said)
    if not parts:
        return words.iloc[:0].assign(**{STIMULUS_WORD: pd.Series(dtype=np.int64)})
    joined: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return joined


def place_in_recordings(
    time: FloatArray, segment: NDArray[Any], heard: pd.DataFrame
) -> tuple[NDArray[np.int64], FloatArray, NDArray[np.int16]]:
    """Return samples of the stimulus as a listener's recordings heard them.

    Parameters
    ----------
    time, segment
        (n,) s in the stimulus, and its number.
    heard
        The presentations.

    Returns
    -------
    rows, time, segment
        (m,) rows of the samples, s in the recording, and its number, in their order.
    """
    rows, times, segments = [np.empty(0, np.int64)], [np.empty(0)], [np.empty(0, np.int16)]
    for row in heard.sort_values(["segment", "onset"]).to_dict("records"):
        here = np.flatnonzero(np.asarray(segment) == row["stimulus"])
        rows.append(here)
        times.append(row["onset"] + row["stretch"] * np.asarray(time, dtype=np.float64)[here])
        segments.append(np.full(len(here), row["segment"], dtype=np.int16))
    return np.concatenate(rows), np.concatenate(times), np.concatenate(segments)


def sound_as_heard(audio: xr.Dataset, heard: pd.DataFrame) -> xr.Dataset:
    """Return a stimulus's sound on the clocks of a listener's recordings.

    Parameters
    ----------
    audio
        `audio(time)` of the stimulus with coordinates `time` (s) and `segment`.
    heard
        The presentations.

    Returns
    -------
    audio
        The same once for each presentation; where a recording heard several, with silence between
        them, since the sound of a recording has no gaps.
    """
    rows, time, segment = place_in_recordings(audio["time"].values, audio["segment"].values, heard)
    placed = audio.isel(time=rows).assign_coords(time=("time", time), segment=("time", segment))
    if heard["segment"].is_unique or not len(rows):
        return placed
    import xarray as xr

    step = 1 / float(audio.attrs["rate_hz"])
    samples, times, numbers_of = [], [], []
    for number in np.unique(segment):
        here = np.flatnonzero(segment == number)
        at = np.round((time[here] - time[here].min()) / step).astype(np.int64)
        whole = np.zeros(int(at.max()) + 1, dtype=audio["audio"].dtype)
        whole[at] = placed["audio"].values[here]
        samples.append(whole)
        times.append(time[here].min() + np.arange(len(whole)) * step)
        numbers_of.append(np.full(len(whole), number, dtype=segment.dtype))
    return xr.Dataset(
        {"audio": ("time", np.concatenate(samples), audio["audio"].attrs)},
        coords={
            "time": ("time", np.concatenate(times), audio["time"].attrs),
            "segment": ("time", np.concatenate(numbers_of), audio["segment"].attrs),
        },
        attrs=audio.attrs,
    )
