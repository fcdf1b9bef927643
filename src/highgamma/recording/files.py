"""Which files belong to which recording: BIDS names and inheritance, found by glob alone.

Nothing heavy is imported here and no file is opened except `participants.tsv`, because the
workflow asks these questions each time it builds its graph.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from highgamma.errors import InputError, nearest
from highgamma.recording.formats import format_of, suffixes

STIMULUS = "stimulus"
"""The pseudo participant for a stimulus that all participants heard."""

AUDIO_EXTENSIONS = (".flac", ".wav")
TEXTGRID_EXTENSIONS = (".TextGrid", ".textgrid")

# Coordinates in a participant's own head tell what each contact lies in; a template's coordinates
# have been warped. ACPC is a native space with named axes, so it comes first.
NATIVE_SPACES = ("ACPC", "T1w", "individual", "native", "scanner", "CapTrak", "Pixels", "Other")

PARTICIPANT = re.compile(r"sub-[A-Za-z0-9]{1,200}")
"""Labels of participants; no file system has room for longer names."""

_ENTITY = re.compile(r"^([a-zA-Z]+)-([^-_]+)$")


@dataclass(frozen=True, slots=True)
class Segment:
    """One continuous recording of a participant, with the files that describe it.

    Attributes
    ----------
    participant
        Such as `sub-01`.
    label
        Its name among the participant's recordings: "ses-1_run-2", or "recording" for the only one.
    signal
        The recording itself.
    channels, events, electrodes, coordsystem, sidecar, audio, textgrid
        The files that describe it and hold its sound and its words, as far as they exist.
    spaces
        Coordinate spaces that `electrodes` was chosen from.
    template
        Electrodes in a template's space, where `electrodes` has others.
    companions
        Other files of the same recording (`.eeg` and `.vmrk` of BrainVision, `.fdt` of EEGLAB).
    beside
        Acquisitions of the same moment, whose channels belong to this recording.
    """

    participant: str
    label: str
    signal: Path
    channels: Path | None = None
    events: Path | None = None
    electrodes: Path | None = None
    coordsystem: Path | None = None
    sidecar: Path | None = None
    audio: Path | None = None
    textgrid: Path | None = None
    spaces: tuple[str, ...] = ()
    template: Path | None = None
    companions: tuple[Path, ...] = ()
    beside: tuple[Segment, ...] = ()

    def parts(self) -> tuple[Segment, ...]:
        """Return the acquisitions of this recording, each with files of its own."""
        return (replace(self, beside=()), *self.beside)

    def paths(self) -> list[Path]:
        """List every file that a result computed from this recording may depend on."""
        named = (
            self.channels,
            self.events,
            self.electrodes,
            self.template,
            self.coordsystem,
            self.sidecar,
            self.audio,
            self.textgrid,
        )
        there = [path for path in named if path is not None]
        if self.audio is not None and self.audio.with_suffix(".json").is_file():
            there.append(self.audio.with_suffix(".json"))
        further = [path for part in self.beside for path in part.paths()]
        return list(dict.fromkeys([self.signal, *self.companions, *there, *further]))


def entities(path: Path) -> tuple[dict[str, str], str]:
    """Split a BIDS name: `sub-01_task-x_ieeg.nwb` → `({"sub": "01", "task": "x"}, "ieeg")`."""
    *parts, suffix = path.name.split(".", 1)[0].split("_")
    matches = [_ENTITY.match(part) for part in parts]
    return {m.group(1): m.group(2) for m in matches if m}, suffix


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key by which run-2 comes before run-10."""
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.split(r"(\d+)", text)
        if part
    ]


def _existing_root(root: str | PathLike[str]) -> Path:
    base = Path(root)
    if not base.is_dir():
        known = [p.name for p in base.parent.iterdir()] if base.parent.is_dir() else []
        raise InputError(
            f"the data set's folder does not exist{nearest(base.name, known)}",
            where=base,
            expected="a folder in BIDS layout, with participants.tsv and sub-… folders",
            remedy="correct dataset.root in the config, or download the data set to this place",
        )
    return base


def participants(root: str | PathLike[str]) -> list[str]:
    """Return the participants of a data set that have an `ieeg` folder, in natural order.

    They are those listed in `participants.tsv`, or the `sub-*` folders if there is no such
    file. Listed participants without intracranial data (BIDS sets often mix modalities) are left
    out.
    """
    base = _existing_root(root)
    table = base / "participants.tsv"
    if table.is_file():
        listed = _listed_participants(table)
        # A foreign table must not lead out of the data set.
        names = [name for name in listed if PARTICIPANT.fullmatch(name)]
    else:
        names = [path.name for path in base.glob("sub-*") if path.is_dir()]
    recorded = sorted({name for name in names if _folders(base / name)}, key=natural)
    if not recorded:
        raise InputError(
            "no participant with intracranial recordings was found",
            where=table if table.is_file() else base,
            expected="folders such as sub-01/ieeg or sub-01/ses-1/ieeg",
            remedy="check that dataset.root names the folder that holds the sub-… folders",
        )
    return recorded


def _listed_participants(table: Path) -> list[str]:
    """Return what participants.tsv lists, `01` as `sub-01`."""
    try:
        with open(table, encoding="utf-8-sig", newline="") as opened:
            rows = list(csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"the table of participants cannot be read: {error}",
            where=table,
            expected="tab-separated columns with participant_id, UTF-8",
            remedy="compare the file with the published one, or name dataset.participants",
        ) from error
    if rows and "participant_id" not in rows[0]:
        raise InputError(
            f"the table has the columns {', '.join(map(str, rows[0]))}",
            where=table,
            expected="a column participant_id",
            remedy="rename the column, or name dataset.participants",
        )
    listed = [(row["participant_id"] or "").strip() for row in rows]
    return [name if name.startswith("sub-") else f"sub-{name}" for name in listed if name]


def _folders(participant: Path) -> list[Path]:
    folders = [participant / "ieeg", *sorted(participant.glob("ses-*/ieeg"))]
    return [folder for folder in folders if folder.is_dir()]


SELECTED = {"task": "task", "session": "ses", "run": "run", "acquisition": "acq"}
"""Keys of `dataset` that select recordings, and the entities of BIDS names that they are."""


def selected(dataset: Mapping[str, Any], participant: str) -> list[Segment]:
    """Find a participant's recordings that the configuration's section `dataset` selects.

    Errors are those of `find`.
    """
    entities_of = {key: dataset.get(key) for key in SELECTED}
    space = (dataset.get("channels") or {}).get("space")
    found = find(dataset["root"], participant, **entities_of, space=space)
    return together(found) if dataset.get("join_acquisitions") else found


def together(segments: Sequence[Segment]) -> list[Segment]:
    """Return recordings of which those that differ in `acq` alone are one.

    Sound and words are those of the first acquisition that has a file of them.
    """
    groups: dict[tuple[object, ...], list[Segment]] = {}
    for segment in segments:
        named, _ = entities(segment.signal)
        named.pop(SELECTED["acquisition"], None)
        groups.setdefault((segment.signal.parent, *named.items()), []).append(segment)
    return [of[0] if len(of) == 1 else _one(of) for of in groups.values()]


def _one(segments: Sequence[Segment]) -> Segment:
    first, *others = segments
    label = "_".join(e for e in first.label.split("_") if not e.startswith("acq-"))
    return replace(
        first,
        label=label or "recording",
        audio=next((s.audio for s in segments if s.audio is not None), None),
        textgrid=next((s.textgrid for s in segments if s.textgrid is not None), None),
        beside=tuple(others),
    )


def values_of(given: object) -> tuple[str, ...] | None:
    """Return what a key of `SELECTED` allows; None for everything."""
    if given is None:
        return None
    return tuple(map(str, given)) if isinstance(given, list | tuple) else (str(given),)


def _is_among(value: str | None, allowed: tuple[str, ...] | None) -> bool:
    """Return whether an entity's value is allowed; `1` and `01` are the same number."""
    if allowed is None or value in allowed:
        return True
    number = value is not None and value.isdecimal()
    return number and int(value or 0) in {int(v) for v in allowed if v.isdecimal()}


Names = str | Sequence[str] | None


def find(
    root: str | PathLike[str],
    participant: str,
    *,
    task: Names = None,
    session: Names = None,
    run: Names = None,
    acquisition: Names = None,
    space: str | None = None,
) -> list[Segment]:
    """Find a participant's recordings and what belongs to each, by BIDS inheritance.

    A file describes a recording if it lies in the recording's folder or above and each of its
    entities is also the recording's (an `events.tsv` may thus lack `acq`). The nearest folder is
    preferred, then the larger number of entities. Of several `space-` variants of the electrodes,
    a native space is preferred (ACPC first) to a template's; ties go by name.

    Parameters
    ----------
    root
        The data set's folder.
    participant
        Such as `sub-01`.
    task, session, run, acquisition
        Only recordings with this entity, or with one of several; `None` takes all.
    space
        The space of the electrodes' coordinates; `None` takes the most native one.

    Raises
    ------
    InputError
        If there is no such data set, participant, recording or space, or if a recording is a link
        to content that was not downloaded.
    """
    base = _existing_root(root)
    home = base / participant
    if not PARTICIPANT.fullmatch(participant) or not home.is_dir():
        known = sorted((p.name for p in base.glob("sub-*") if p.is_dir()), key=natural)
        raise InputError(
            f"no folder was found for participant {participant!r}{nearest(participant, known)}",
            where=base,
            expected=f"one of {', '.join(known)}" if known else "folders named sub-…",
            remedy="correct dataset.participants in the config",
        )
    every = _signals(_folders(home))
    if not every:
        raise InputError(
            f"{participant} has no recording",
            where=home,
            expected="a file ieeg/…_ieeg" + ", ".join(suffixes()),
            remedy="download the recordings (the sidecars are not enough)",
        )
    chosen = every
    for key, given in zip(SELECTED, (task, session, run, acquisition), strict=True):
        chosen = _with(chosen, key, values_of(given), participant=participant, home=home)
    chosen = _first_splits(chosen)
    for path in chosen:
        if not path.exists():
            raise InputError(
                "the recording is a link to content that was not downloaded",
                where=path,
                expected="the file's content on this disk",
                remedy=f"fetch it: datalad get {path.name} (or git annex get {path.name})",
            )
    many_tasks = len({entities(path)[0].get("task") for path in chosen}) > 1
    segments = [
        _segment(base, participant, path, task_in_label=many_tasks, space=space) for path in chosen
    ]
    return sorted(segments, key=lambda segment: (natural(segment.label), str(segment.signal)))


def _with(
    paths: list[Path], key: str, allowed: tuple[str, ...] | None, *, participant: str, home: Path
) -> list[Path]:
    """Return the recordings with an entity among those allowed; refuse to be left with none."""
    entity = SELECTED[key]
    chosen = [path for path in paths if _is_among(entities(path)[0].get(entity), allowed)]
    if not chosen and allowed:
        known = sorted({entities(path)[0].get(entity, "(none)") for path in paths})
        wanted = " or ".join(map(repr, allowed))
        raise InputError(
            f"{participant} has no recording of the {key} {wanted}{nearest(allowed[0], known)}",
            where=home,
            expected=f"one of {', '.join(known)}",
            remedy=f"correct dataset.{key} in the config",
        )
    return chosen


def _first_splits(paths: Iterable[Path]) -> list[Path]:
    """Leave out the later files of a recording that is split over several, which the first names.

    Raises
    ------
    InputError
        If the first is missing.
    """
    kept = []
    for path in paths:
        split = entities(path)[0].get("split")
        if split is None or (split.isdigit() and int(split) == 1):
            kept.append(path)
            continue
        name = re.sub(r"_split-[^_]+", "_split-" + "1".zfill(len(split)), path.name)
        if not path.with_name(name).is_file():
            raise InputError(
                "the first file of a split recording is missing",
                where=path,
                expected=name,
                remedy="download it; the later files are read through it",
            )
    return kept


def _signals(folders: Iterable[Path]) -> list[Path]:
    by_name: dict[Path, Path] = {}
    for folder in folders:
        for extension in reversed(suffixes()):
            for path in sorted(folder.glob(f"*_ieeg{extension}")):
                by_name[path.with_suffix("")] = path
    return [by_name[name] for name in sorted(by_name)]


def _segment(
    base: Path, participant: str, signal: Path, *, task_in_label: bool, space: str | None
) -> Segment:
    named, _ = entities(signal)
    hidden = {"sub"} if task_in_label else {"sub", "task"}
    label = "_".join(f"{key}-{value}" for key, value in named.items() if key not in hidden)
    folder = signal.parent
    folders = [folder, *folder.parents]
    folders = folders[: folders.index(base) + 1]

    def best(name: str) -> Path | None:
        return next(iter(_matches(folders, named, name)), None)

    electrodes = sorted(_matches(folders, named, "electrodes.tsv"), key=_space_rank)
    if space is not None and electrodes:
        electrodes = _in_space(electrodes, space)
    space = space_of(electrodes[0]) if electrodes else None
    systems = _matches(folders, named, "coordsystem.json")
    same_space = [path for path in systems if entities(path)[0].get("space") == space]
    stem = signal.with_suffix("")
    companions = [stem.with_suffix(suffix) for suffix in format_of(signal).companions]
    return Segment(
        participant=participant,
        label=label or "recording",
        signal=signal,
        channels=best("channels.tsv"),
        events=best("events.tsv"),
        electrodes=electrodes[0] if electrodes else None,
        coordsystem=same_space[0] if same_space else None,
        sidecar=best("ieeg.json"),
        audio=_beside(folder, named, AUDIO_EXTENSIONS),
        textgrid=_beside(folder, named, TEXTGRID_EXTENSIONS),
        spaces=tuple(space_of(path) or "(none)" for path in electrodes),
        template=next((path for path in electrodes[1:] if is_template(space_of(path))), None),
        companions=tuple(path for path in companions if path.is_file()),
    )


def _matches(folders: list[Path], named: dict[str, str], name: str) -> list[Path]:
    """Files such as `…_channels.tsv` that describe a recording with these entities, best first.

    `space` is an entity of the file alone.
    """
    matches: list[tuple[int, int, str, Path]] = []
    for distance, folder in enumerate(folders):
        for path in folder.glob(f"*{name}"):
            theirs, suffix = entities(path)
            shared = {key: value for key, value in theirs.items() if key != "space"}
            if suffix == name.split(".")[0] and shared.items() <= named.items():
                matches.append((distance, -len(shared), path.name, path))
    return [path for *_, path in sorted(matches)]


def space_of(electrodes: Path) -> str | None:
    """Return the coordinate space in the name of an electrodes.tsv."""
    return entities(electrodes)[0].get("space")


def _in_space(electrodes: list[Path], space: str) -> list[Path]:
    """Return the tables with that of the space wanted first."""
    known = [space_of(path) or "(none)" for path in electrodes]
    if space not in known:
        raise InputError(
            f"the electrodes have no coordinates in the space {space!r}{nearest(space, known)}",
            where=electrodes[0].parent,
            expected=f"one of {', '.join(known)}",
            remedy="correct dataset.channels.space in the config",
        )
    first = electrodes.pop(known.index(space))
    return [first, *electrodes]


def is_template(space: str | None) -> bool:
    """Return whether a space is that of a template, such as MNI152NLin2009aSym."""
    return space is not None and space.lower().startswith(("mni", "icbm", "fsaverage"))


def _space_rank(path: Path) -> int:
    space = space_of(path)
    if space in NATIVE_SPACES:
        return NATIVE_SPACES.index(space)
    return len(NATIVE_SPACES) + (space is not None)


def _beside(folder: Path, named: dict[str, str], extensions: Iterable[str]) -> Path | None:
    """The file of this kind in a recording's folder that shares most entities with it."""
    matches = []
    for extension in extensions:
        for path in folder.glob(f"*{extension}"):
            theirs, _ = entities(path)
            shared = {key: value for key, value in theirs.items() if key != "recording"}
            if shared and shared.items() <= named.items():
                matches.append((-len(shared), path.name, path))
    return min(matches)[-1] if matches else None


def place(root: str | PathLike[str], name: str) -> Path:
    """Return where a file lies that the configuration names, whether or not it exists.

    A relative path is one inside the data set, or else one in the working directory.
    """
    inside = Path(root) / name
    return Path(name) if not inside.is_file() and Path(name).is_file() else inside


def in_data_set(root: str | PathLike[str], name: str, *, where: str) -> Path:
    """Return the path of a file that the configuration names, at its `place`.

    Parameters
    ----------
    root
        The data set's folder.
    name
        The file's name as it is configured.
    where
        The setting that names it.

    Raises
    ------
    InputError
        If the file does not exist.
    """
    path = place(_existing_root(root), name)
    if path.is_file():
        return path
    raise InputError(
        f"the file {name!r} does not exist",
        where=where,
        expected=str(path) if Path(name).is_absolute() else f"{path}, or {name}",
        remedy="correct the path in the config, or download the file",
    )
