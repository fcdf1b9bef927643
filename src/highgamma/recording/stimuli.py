"""The sounds and transcripts that participants share: one, or several of a pattern of files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from highgamma.errors import InputError
from highgamma.recording.files import STIMULUS, in_data_set, natural


@dataclass(frozen=True, slots=True)
class Stimulus:
    """An audio file and a transcript that participants share; either may be absent."""

    name: str
    audio: Path | None
    words: Path | None

    def paths(self) -> list[Path]:
        """List the files that the configuration names."""
        return [path for path in (self.audio, self.words) if path is not None]


def stimuli(root: str | PathLike[str], stimulus: Mapping[str, object] | None) -> list[Stimulus]:
    """Find the shared stimuli of the config's `dataset.stimulus: {audio, words}`.

    One, or where a path has a `*`, as many as there are files of that pattern: what the star stands
    for is the stimulus's name.

    Raises
    ------
    InputError
        If a named file does not exist, or if no file matches a pattern.
    """
    given = stimulus or {}
    named = {key: str(given[key]) for key in ("audio", "words") if given.get(key)}
    if any("*" in name for name in named.values()):
        found = {key: _matching(root, name, key) for key, name in named.items()}
        names = sorted({name for paths in found.values() for name in paths}, key=natural)
        return [
            Stimulus(name, found.get("audio", {}).get(name), found.get("words", {}).get(name))
            for name in names
        ]
    paths = {
        key: in_data_set(root, name, where=f"dataset.stimulus.{key}") for key, name in named.items()
    }
    return [Stimulus(STIMULUS, paths.get("audio"), paths.get("words"))]


def _matching(root: str | PathLike[str], pattern: str, key: str) -> dict[str, Path]:
    """Return the files of a pattern with one star, by what the star stands for."""
    where = f"dataset.stimulus.{key}"
    folder, _, last = pattern.rpartition("/")
    if pattern.count("*") != 1 or "*" not in last or ".." in Path(folder).parts:
        raise InputError(
            f"the pattern {pattern!r} cannot be used",
            where=where,
            expected="a folder of the data set and one * in the file's name, as in stimuli/*.wav",
            remedy="correct the pattern, or name one file",
        )
    before, after = last.split("*")
    home = Path(root) / folder
    found = {
        path.name[len(before) : len(path.name) - len(after)]: path
        for path in sorted(home.glob(f"{before}*{after}"))
        if path.is_file()
    }
    if not found:
        there = sorted(path.name for path in home.iterdir())[:5] if home.is_dir() else []
        raise InputError(
            f"no file matches {pattern!r}",
            where=where,
            expected=f"files in {home}" + (f"; it has {', '.join(there)}" if there else ""),
            remedy="correct the pattern, or put the files there",
        )
    return found
