"""Check of one participant's headers and tables, with the readers of the recording stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from highgamma.check.problems import Problem, Problems

if TYPE_CHECKING:
    import pandas as pd

    from highgamma.recording.files import Segment
    from highgamma.recording.settings import ChannelSettings
    from highgamma.recording.signals import Signals

SHOWN = 5
"""Largest number of names in a message."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The properties of one recording, from its headers.

    Attributes
    ----------
    label
        The recording's label among those of the participant.
    rate
        Sampling rate, Hz.
    n_samples, n_channels, n_electrodes
        Numbers of samples, of channels, and of electrodes that are kept.
    elapsed
        Time from the first sample to behind the last one, gaps included, s.
    names
        Names of all channels.
    sound
        Length of its sound, s; 0 without sound.
    sound_rate
        Sampling rate of the sound, Hz.
    where
        The file.
    """

    label: str
    rate: float
    n_samples: int
    elapsed: float
    n_channels: int
    n_electrodes: int
    names: tuple[str, ...]
    sound: float
    sound_rate: float
    where: str

    @property
    def duration(self) -> float:
        """Length, s."""
        return self.n_samples / self.rate


@dataclass(frozen=True, slots=True)
class Participant:
    """What could be read of a participant.

    Attributes
    ----------
    name
        Such as `sub-01`.
    recordings
        The recordings that could be opened.
    words
        Table of words of the recording stage, without voice onsets; None if it cannot be read.
    whole
        Whether every recording could be opened.
    n_bytes
        Size of all files, bytes.
    """

    name: str
    recordings: tuple[Recorded, ...]
    words: pd.DataFrame | None
    whole: bool
    n_bytes: int

    @property
    def seconds(self) -> float:
        """Length of all recordings, s."""
        return sum(recording.duration for recording in self.recordings)

    @property
    def values(self) -> float:
        """Samples × electrodes over all recordings."""
        return float(
            sum(recording.n_samples * recording.n_electrodes for recording in self.recordings)
        )

    @property
    def electrodes(self) -> int:
        """Number of electrodes that are kept, the smallest of all recordings."""
        return min((recording.n_electrodes for recording in self.recordings), default=0)


def read_participant(name: str, dataset: Mapping[str, Any], problems: Problems) -> Participant:
    """Read a participant's headers and tables, and add what is wrong to `problems`.

    Parameters
    ----------
    name
        Such as `sub-01`.
    dataset
        The section `dataset` of the configuration, with its defaults.
    problems
        Problems are added here.

    Returns
    -------
    participant
        What could be read.
    """
    import pandas as pd

    from highgamma.recording import electrodes, files, opening, sound
    from highgamma.recording.outputs import report_joined
    from highgamma.recording.settings import AudioSettings, ChannelSettings
    from highgamma.sections import section_from

    segments = problems.attempt(name, files.selected, dataset, name)
    if segments is None:
        return Participant(name, (), None, False, 0)
    heard = section_from(AudioSettings, dataset.get("audio") or {}, where="dataset.audio")
    given = dataset.get("channels") or {}
    chosen = section_from(ChannelSettings, given, where="dataset.channels")
    recorded, tables = [], []
    for segment in segments:
        with ExitStack() as stack:
            opened = problems.attempt(name, stack.enter_context, opening.open_signals(segment))
            parts = segment.parts()
            of_files = [
                _table(name, part, file, chosen, problems)
                for part, file in zip(
                    parts, opened.files() if opened else [None] * len(parts), strict=True
                )
            ]
            there = [table for table in of_files if table is not None]
            if len(there) == len(parts):
                tables.append((segment.label, pd.concat(there, ignore_index=True)))
            if opened is None:
                continue
            problems.attempt(name, report_joined, segment, opened)
            extent = problems.attempt(name, sound.extent, segment, opened, heard)
            kept = sum(int((table["kept"] == "yes").sum()) for table in there)
            recorded.append(
                Recorded(
                    label=segment.label,
                    rate=opened.rate,
                    n_samples=opened.n_samples,
                    elapsed=opened.elapsed,
                    n_channels=len(opened.names),
                    n_electrodes=kept,
                    names=tuple(opened.names),
                    sound=0.0 if extent is None else extent[1],
                    sound_rate=0.0 if extent is None else extent[2],
                    where=str(segment.signal),
                )
            )
    if len(tables) > 1 and len(tables) == len(segments):
        labels, several = zip(*tables, strict=True)
        problems.attempt(name, electrodes.common_channels, list(several), list(labels))
    whole = len(recorded) == len(segments)
    words = problems.attempt(
        name,
        _words,
        name=name,
        dataset=dataset,
        segments=segments,
        recorded=recorded if whole else [],
        problems=problems,
    )
    paths = {path for segment in segments for path in segment.paths()}
    return Participant(
        name=name,
        recordings=tuple(recorded),
        words=words,
        whole=whole,
        n_bytes=sum(path.stat().st_size for path in paths if path.is_file()),
    )


def _table(
    name: str,
    segment: Segment,
    signals: Signals | None,
    chosen: ChannelSettings,
    problems: Problems,
) -> pd.DataFrame | None:
    """Check a file's side tables; return its table of channels."""
    from highgamma.recording import electrodes
    from highgamma.recording.outputs import compare_with_sidecar

    if signals is None:
        names = _listed(name, segment, problems)
    else:
        names = list(signals.names)
        problems.attempt(name, compare_with_sidecar, segment, signals)
    table = problems.attempt(name, electrodes.channels, segment, names, chosen) if names else None
    _compare_tables(name, segment, table, signals, problems)
    return table


def _listed(name: str, segment: Segment, problems: Problems) -> list[str]:
    """Return the channels' names from channels.tsv, for a recording that cannot be opened."""
    from highgamma.recording.sidecars import channel_rows

    rows = problems.attempt(name, channel_rows, segment)
    return [row["name"] for row in rows or []]


def _compare_tables(
    name: str,
    segment: Segment,
    table: pd.DataFrame | None,
    signals: Signals | None,
    problems: Problems,
) -> None:
    """Warn if the sidecars contradict one another or the recording."""
    from highgamma.recording.sidecars import read_json
    from highgamma.store import numeric, read_table

    if segment.channels is not None and signals is not None:
        listed = problems.attempt(name, read_table, segment.channels, strings=("name",))
        if listed is not None and "sampling_frequency" in listed:
            rates = numeric(listed["sampling_frequency"]).dropna()
            other = rates[(rates - signals.rate).abs() > 0.01 * signals.rate]
            if len(other):
                problems.warn(
                    name,
                    f"{len(other)} channels are listed at {other.iloc[0]:g} Hz, the recording has "
                    f"{signals.rate:.6g} Hz, which is taken",
                    where=str(segment.channels),
                    expected="the recording's rate in the column sampling_frequency",
                )
        if listed is not None and len(listed) != len(signals.names):
            problems.warn(
                name,
                f"{len(listed)} channels are listed, the recording has {len(signals.names)}",
                where=str(segment.channels),
                expected="a row for each channel of the recording",
            )
    if segment.sidecar is not None and table is not None:
        said_in = problems.attempt(name, read_json, segment.sidecar) or {}
        for key, kind in (("SEEGChannelCount", "SEEG"), ("ECOGChannelCount", "ECOG")):
            count, there = said_in.get(key), int((table["type"] == kind).sum())
            if isinstance(count, int) and count != there:
                problems.warn(
                    name,
                    f"{key} is {count}, channels.tsv lists {there} channels of type {kind}",
                    where=str(segment.sidecar),
                    expected="the same number in both",
                )
    if table is None or segment.electrodes is None:
        return
    places = problems.attempt(name, read_table, segment.electrodes, strings=("name",))
    if places is None or "name" not in places:
        return
    twice = [n for n, count in Counter(places["name"].astype(str)).items() if count > 1]
    if twice:
        problems.warn(
            name,
            f"{len(twice)} electrodes are listed more than once ({_some(twice)}); the last row of "
            "each is taken",
            where=str(segment.electrodes),
            expected="a row for each electrode",
        )
    kept = table[table["kept"] == "yes"]
    placed = set(places["name"].astype(str).str.strip())
    lost = [str(n) for n in kept["name"] if str(n) not in placed]
    if lost:
        problems.warn(
            name,
            f"{len(lost)} of {len(kept)} electrodes are not in the table of positions "
            f"({_some(lost)}): they have no coordinates",
            where=str(segment.electrodes),
            expected="the names of channels.tsv",
            remedy="correct the names, or do without positions",
        )
    if len(kept) and (kept["region"].astype(str).isin(("n/a", "Unknown", "nan"))).all():
        problems.warn(
            name,
            "no electrode has an anatomical label, so none is included in results by region",
            where=str(segment.channels),
            expected="a label in the column description, or in electrodes.tsv",
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def _words(
    name: str,
    dataset: Mapping[str, Any],
    segments: Sequence[Segment],
    recorded: Sequence[Recorded],
    problems: Problems,
) -> pd.DataFrame | None:
    """Return the table of words of the recording stage, without voice onsets, if headers tell."""
    from highgamma.recording.outputs import heard_by, within, words_of

    stimulus = dataset.get("stimulus")
    if not stimulus and dataset.get("words", {}).get("source") == "voice":
        return None  # They are known when the sound has been read.
    lengths = [recording.elapsed for recording in recorded] if recorded else None
    table = words_of(segments, dataset, heard_by(segments, dataset), lengths=lengths)
    if table.empty:
        return table
    if not stimulus:
        _compare_samples(name, segments, recorded, problems)
        if lengths:
            within(table, segments, lengths)
    where = str(segments[0].events) if segments[0].events and not stimulus else None
    early = table["onset"].astype(float) < 0
    if early.any():
        problems.warn(name, f"{int(early.sum())} words begin before the recording", where=where)
    short = table["offset"].astype(float) <= table["onset"].astype(float)
    if short.any():
        problems.warn(name, f"{int(short.sum())} words have no duration", where=where)
    same = table.duplicated(["segment", "onset"])
    if same.any():
        problems.warn(
            name,
            f"{int(same.sum())} words begin at the same time as another",
            where=where,
            expected="one word at a time",
        )
    return table


def _compare_samples(
    name: str, segments: Sequence[Segment], recorded: Sequence[Recorded], problems: Problems
) -> None:
    """Warn if the column `sample` of events.tsv is not onset × rate."""
    from highgamma.store import numeric, read_table

    for segment, recording in zip(segments, recorded, strict=False):
        if segment.events is None:
            continue
        table = read_table(segment.events, strings=("trial_type",))
        if "sample" not in table or "onset" not in table:
            continue
        sample = numeric(table["sample"])
        onset = numeric(table["onset"])
        off = (sample - onset * recording.rate).abs() > 0.01 * recording.rate + 1
        if off.any():
            row = int(off.to_numpy().argmax())
            problems.warn(
                name,
                f"{int(off.sum())} events have a sample that differs from onset × rate: line "
                f"{row + 2} has {onset.iloc[row]:g} s and sample {sample.iloc[row]:g}, which at "
                f"{recording.rate:g} Hz is {sample.iloc[row] / recording.rate:g} s; the "
                "onsets are taken",
                where=str(segment.events),
                expected="sample = onset × rate",
                remedy="check that the events are of this recording and on its clock",
            )


def compare_folders(root: str | Path, named: object, problems: Problems) -> None:
    """Warn of folders that participants.tsv does not list, and of rows without a folder.

    Parameters
    ----------
    root
        The data set's folder.
    named
        The setting `dataset.participants`; only `all` is checked.
    problems
        Warnings are added here.
    """
    from highgamma.store import read_table

    base = Path(root)
    table = base / "participants.tsv"
    if not table.is_file() or named != "all":
        return
    rows = problems.attempt("data set", read_table, table, strings=("participant_id",))
    if rows is None or "participant_id" not in rows:
        return
    written = [str(n).strip() for n in rows["participant_id"].dropna()]
    listed = [n if n.startswith("sub-") else f"sub-{n}" for n in written]
    there = {path.name for path in base.glob("sub-*") if path.is_dir()}
    twice = [n for n, count in Counter(listed).items() if count > 1]
    for state, names in (
        ("listed more than once", sorted(twice)),
        ("listed but have no folder, and are left out", sorted(set(listed) - there)),
        ("present but not listed, and are left out", sorted(there - set(listed))),
    ):
        if names:
            problems.add(
                Problem(
                    "data set",
                    f"{len(names)} participants are {state}: {_some(names)}",
                    where=str(table),
                    fatal=False,
                )
            )
