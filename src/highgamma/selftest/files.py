"""Names of the self-test's files, laid out as the workflow lays out those of a run."""

from __future__ import annotations

from pathlib import Path

from highgamma.selftest.cases import AUDIT_CASES, CONFIGURATIONS, EQUAL, PLAIN

FITS = {
    "frames": ("envelope", "word-onoff"),
    "lags": ("envelope",),
    "words": ("language", "language-untrained"),
}
"""Models of each analysis."""


CONFIGURATION_FILES = (*dict.fromkeys(file for file, _ in CONFIGURATIONS.values()), "models.yaml")
"""Files in the folder of configurations that the battery reads."""

ELSEWHERE = (
    "parts", "seeds", "participants", "scenes", "scene_electrodes", "audit_electrodes",
)  # fmt: skip
"""Settings that no simulated participant depends on."""

BATTERY = (*CONFIGURATIONS, *EQUAL, *PLAIN)
"""Cases of the battery."""


def part_files(folder: str | Path, part: str, *, scenes: int) -> list[Path]:
    """Return the tables of the parts `battery`, `audit` and `intervals`.

    The battery has one for each case and scene, the audit one for each case.
    """
    names = {
        "battery": [f"{case}/{seed}" for case in BATTERY for seed in range(1, scenes + 1)],
        "audit": list(AUDIT_CASES),
        "intervals": ["all"],
    }
    return [Path(folder) / f"{part}/{name}.tsv" for name in names[part]]


def score_name(analysis: str, participant: str, model: str) -> str:
    """Return the path of a score file below the folder `scores`."""
    return f"{analysis}/{participant}/{model}/all.nc"


def gain_name(analysis: str, participant: str) -> str:
    """Return the path of a table of gains in the folder `scores`."""
    return f"{analysis}/{participant}/gain.tsv"


def gain_files(folder: str | Path, participant: str) -> list[Path]:
    """Return a participant's tables of gains, in the folder of a seed."""
    return [Path(folder) / "scores" / gain_name(analysis, participant) for analysis in FITS]


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
        *gain_files(folder, participant),
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
