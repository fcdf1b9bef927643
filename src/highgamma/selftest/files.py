"""Names of the self-test's files, laid out as the workflow lays out those of a run."""

from __future__ import annotations

from pathlib import Path

FITS = {
    "frames": ("envelope", "word-onoff"),
    "lags": ("envelope",),
    "words": ("language", "language-untrained"),
}
"""Models of each analysis."""


def score_name(analysis: str, participant: str, model: str) -> str:
    """Return the path of a score file below the folder `scores`."""
    return f"{analysis}/{participant}/{model}/all.nc"


def score_files(folder: str | Path, participant: str) -> list[Path]:
    """Return the score files of a participant, below the folder of a seed."""
    return [
        Path(folder) / "scores" / score_name(analysis, participant, model)
        for analysis, models in FITS.items()
        for model in models
    ]


def participant_files(folder: str | Path, participant: str) -> list[Path]:
    """Return all files that are kept of a participant, below the folder of a seed."""
    return [
        *score_files(folder, participant),
        Path(folder) / f"contamination/{participant}.nc",
        Path(folder) / f"channels/{participant}.tsv",
        Path(folder) / f"truth/{participant}.tsv",
    ]


def participant_name(number: int) -> str:
    """Return the label of a participant: `sub-01` for 1."""
    return f"sub-{number:02d}"


def participant_number(name: str) -> int:
    """Return the number of a participant: 1 for `sub-01`."""
    return int(name.removeprefix("sub-"))


def participants(count: int) -> list[str]:
    """Return the labels of `count` participants."""
    return [participant_name(number + 1) for number in range(count)]
