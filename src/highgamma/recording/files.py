"""Which files belong to which recording: BIDS names and inheritance, found by glob alone.

Nothing heavy is imported here and no file is opened except `participants.tsv`, because the
workflow asks these questions each time it builds its graph.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from highgamma.errors import InputError, nearest
from highgamma.recording.formats import format_of, suffixes

STIMULUS = "stimulus"
"""The pseudo participant that stands for a stimulus which all participants heard."""

AUDIO_EXTENSIONS = (".flac", ".wav")

# Coordinates in a participant's own head tell what each contact lies in; a template's coordinates
# have been warped. ACPC is a native space with named axes, so it comes first.
NATIVE_SPACES = ("ACPC", "T1w", "individual", "native", "scanner", "CapTrak", "Pixels", "Other")

_ENTITY = re.compile(r"^([a-zA-Z]+)-([^-_]+)$")


@dataclass(frozen=True, slots=True)
class Segment:
    """One continuous recording of a participant, with the files that describe it.

    `label` names it among the participant's recordings ("ses-1_run-2", or "recording" for the
    only one). `spaces` are the coordinate spaces that `electrodes` was chosen from; `companions`
    are the other files of the same recording (`.eeg` and `.vmrk` of BrainVision, `.fdt`).
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
    stimulus: Path | None = None
    spaces: tuple[str, ...] = ()
    companions: tuple[Path, ...] = ()

    def paths(self) -> list[Path]:
        """Every file that a result computed from this recording may depend on."""
        named = (
            self.channels,
            self.events,
            self.electrodes,
            self.coordsystem,
            self.sidecar,
            self.audio,
        )
        return [self.signal, *self.companions, *(path for path in named if path is not None)]


@dataclass(frozen=True, slots=True)
class StimulusFiles:
    """One audio file and one transcript that all participants share; either may be absent."""

    audio: Path | None
    words: Path | None

    def paths(self) -> list[Path]:
        """The files that exist in the configuration."""
        return [path for path in (self.audio, self.words) if path is not None]


def entities(path: Path) -> tuple[dict[str, str], str]:
    """Split a BIDS name: `sub-01_task-x_ieeg.nwb` → `({"sub": "01", "task": "x"}, "ieeg")`."""
    *parts, suffix = path.name.split(".", 1)[0].split("_")
    matches = [_ENTITY.match(part) for part in parts]
    return {m.group(1): m.group(2) for m in matches if m}, suffix


def _natural(text: str) -> list[tuple[int, int, str]]:
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
    """Participants of a data set that have an `ieeg` folder, in natural order.

    They are those listed in `participants.tsv`, or the `sub-*` folders where there is no such
    file. Listed participants without intracranial data (BIDS sets often mix modalities) are left
    out.
    """
    base = _existing_root(root)
    table = base / "participants.tsv"
    if table.is_file():
        with open(table, encoding="utf-8-sig", newline="") as opened:
            rows = list(csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE))
        listed = [(row.get("participant_id") or "").strip() for row in rows]
        # A foreign table must not lead out of the data set.
        names = [name for name in listed if re.fullmatch(r"sub-[A-Za-z0-9]+", name)]
    else:
        names = [path.name for path in base.glob("sub-*") if path.is_dir()]
    found = sorted({name for name in names if _folders(base / name)}, key=_natural)
    if not found:
        raise InputError(
            "no participant with intracranial recordings was found",
            where=table if table.is_file() else base,
            expected="folders such as sub-01/ieeg or sub-01/ses-1/ieeg",
            remedy="check that dataset.root names the folder that holds the sub-… folders",
        )
    return found


def _folders(participant: Path) -> list[Path]:
    own = [participant / "ieeg"] if (participant / "ieeg").is_dir() else []
    return own + sorted(path for path in participant.glob("ses-*/ieeg") if path.is_dir())


def find(root: str | PathLike[str], participant: str, *, task: str | None = None) -> list[Segment]:
    """Find a participant's recordings and what belongs to each, by BIDS inheritance.

    A file describes a recording when it lies in the recording's folder or above and each of its
    entities is also the recording's (an `events.tsv` may thus lack `acq`). The nearest folder
    wins, then the larger number of entities. Of several `space-` variants of the electrodes, a
    native space is preferred (ACPC first) to a template's; ties go by name.

    Parameters
    ----------
    root
        The data set's folder.
    participant
        Such as `sub-01`.
    task
        Only recordings of this task; `None` takes all.

    Raises
    ------
    InputError
        No such data set, participant or task, or a link to content that was not downloaded.
    """
    base = _existing_root(root)
    home = base / participant
    if not re.fullmatch(r"sub-[A-Za-z0-9]+", participant) or not home.is_dir():
        known = sorted((p.name for p in base.glob("sub-*") if p.is_dir()), key=_natural)
        raise InputError(
            f"there is no participant {participant!r}{nearest(participant, known)}",
            where=base,
            expected=f"one of {', '.join(known)}" if known else "folders named sub-…",
            remedy="correct dataset.participants in the config",
        )
    every = _signals(_folders(home))
    chosen = [path for path in every if task is None or entities(path)[0].get("task") == task]
    if not chosen:
        tasks = sorted({entities(path)[0].get("task", "(none)") for path in every})
        raise InputError(
            f"{participant} has no recording of the task {task!r}{nearest(task or '', tasks)}"
            if every
            else f"{participant} has no recording",
            where=home,
            expected=f"one of the tasks {', '.join(tasks)}"
            if every
            else "a file ieeg/…_ieeg" + ", ".join(suffixes()),
            remedy="correct dataset.task in the config"
            if every
            else "download the recordings (the sidecars alone are not enough)",
        )
    for path in chosen:
        if not path.exists():
            raise InputError(
                "the recording is a link to content that is not here",
                where=path,
                expected="the file's content on this disk",
                remedy=f"fetch it: datalad get {path.name} (or git annex get {path.name})",
            )
    many_tasks = len({entities(path)[0].get("task") for path in chosen}) > 1
    segments = [_segment(base, participant, path, task_in_label=many_tasks) for path in chosen]
    return sorted(segments, key=lambda segment: (_natural(segment.label), str(segment.signal)))


def _signals(folders: Iterable[Path]) -> list[Path]:
    by_name: dict[Path, Path] = {}
    for folder in folders:
        for extension in reversed(suffixes()):
            for path in sorted(folder.glob(f"*_ieeg{extension}")):
                by_name[path.with_suffix("")] = path
    return [by_name[name] for name in sorted(by_name)]


def _segment(base: Path, participant: str, signal: Path, *, task_in_label: bool) -> Segment:
    own, _ = entities(signal)
    hidden = {"sub"} if task_in_label else {"sub", "task"}
    label = "_".join(f"{key}-{value}" for key, value in own.items() if key not in hidden)
    folder = signal.parent
    folders = [folder, *folder.parents]
    folders = folders[: folders.index(base) + 1]

    electrodes = _matches(folders, own, "electrodes", (".tsv",))
    electrodes.sort(key=lambda path: _space_rank(path))
    chosen = electrodes[0] if electrodes else None
    space = entities(chosen)[0].get("space") if chosen else None
    systems = _matches(folders, own, "coordsystem", (".json",))
    same = [path for path in systems if entities(path)[0].get("space") == space]
    stem = signal.with_suffix("")
    companions = [stem.with_suffix(suffix) for suffix in format_of(signal).companions]
    return Segment(
        participant=participant,
        label=label or "recording",
        signal=signal,
        channels=_best(folders, own, "channels", (".tsv",)),
        events=_best(folders, own, "events", (".tsv",)),
        electrodes=chosen,
        coordsystem=same[0] if same else None,
        sidecar=_best(folders, own, "ieeg", (".json",)),
        audio=_audio(folder, own),
        stimulus=_task_stimulus(base, own.get("task")),
        spaces=tuple(entities(path)[0].get("space", "(none)") for path in electrodes),
        companions=tuple(path for path in companions if path.is_file()),
    )


def _matches(
    folders: list[Path], own: dict[str, str], suffix: str, extensions: tuple[str, ...]
) -> list[Path]:
    """Files that describe the recording, best first; `space` is the file's own affair."""
    found: list[tuple[int, int, str, Path]] = []
    for distance, folder in enumerate(folders):
        for extension in extensions:
            for path in folder.glob(f"*{suffix}{extension}"):
                theirs, theirs_suffix = entities(path)
                shared = {key: value for key, value in theirs.items() if key != "space"}
                if theirs_suffix == suffix and shared.items() <= own.items():
                    found.append((distance, -len(shared), path.name, path))
    return [path for *_, path in sorted(found)]


def _best(
    folders: list[Path], own: dict[str, str], suffix: str, extensions: tuple[str, ...]
) -> Path | None:
    found = _matches(folders, own, suffix, extensions)
    return found[0] if found else None


def _space_rank(path: Path) -> int:
    space = entities(path)[0].get("space")
    if space in NATIVE_SPACES:
        return NATIVE_SPACES.index(space)
    return len(NATIVE_SPACES) + (space is not None)


def _audio(folder: Path, own: dict[str, str]) -> Path | None:
    found = []
    for extension in AUDIO_EXTENSIONS:
        for path in folder.glob(f"*{extension}"):
            theirs, _ = entities(path)
            shared = {key: value for key, value in theirs.items() if key != "recording"}
            if shared and shared.items() <= own.items():
                found.append((-len(shared), path.name, path))
    return min(found)[-1] if found else None


def _task_stimulus(base: Path, task: str | None) -> Path | None:
    if task is None:
        return None
    for extension in AUDIO_EXTENSIONS:
        for path in sorted((base / "stimuli").glob(f"*{extension}")):
            if path.stem == task or entities(path)[0].get("task") == task:
                return path
    return None


def stimulus_files(
    root: str | PathLike[str], stimulus: Mapping[str, object] | None
) -> StimulusFiles:
    """The shared stimulus of the config's `dataset.stimulus: {audio, words}`.

    A relative path is one inside the data set, or else one seen from where the workflow runs.

    Raises
    ------
    InputError
        A named file does not exist.
    """
    base = _existing_root(root)

    def path_of(key: str) -> Path | None:
        name = (stimulus or {}).get(key)
        if not name:
            return None
        given = Path(str(name))
        candidates = [given] if given.is_absolute() else [base / given, given]
        for path in candidates:
            if path.is_file():
                return path
        raise InputError(
            f"the stimulus file {str(name)!r} does not exist",
            where=f"dataset.stimulus.{key}",
            expected=" or ".join(str(path) for path in candidates),
            remedy="correct the path in the config, or download the file",
        )

    return StimulusFiles(audio=path_of("audio"), words=path_of("words"))
