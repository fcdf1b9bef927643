"""The whole configuration, composed of the stages' sections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from highgamma.compare import NAME, CompareSettings
from highgamma.contamination.settings import ContaminationSettings
from highgamma.demo.settings import DemoSettings
from highgamma.encoding.analysis import AnalysisSettings
from highgamma.group import GroupSettings
from highgamma.neural.settings import NeuralSettings
from highgamma.quality.settings import QualitySettings
from highgamma.recording.settings import DatasetSettings
from highgamma.sections import Schema, partial_schema, schema_of, setting
from highgamma.selftest.settings import SelftestSettings
from highgamma.timecourse import TimecourseSettings

TITLE = "highgamma configuration"
DESCRIPTION = (
    "One file describes one run: the data set, the signal, the models and the analyses. Every key "
    "has a default except those marked as required; an unknown key is refused."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSettings:
    """The scores of a published study."""

    scores: str = setting(
        description="Table with the columns `participant model pcc r2 source` (correlation and R² "
        "across channels), tab-separated, `n/a` where a score was not published."
    )
    analysis: str = setting("paper", "The analysis that repeats the published method.")
    models: dict[str, str] = setting(
        description="For each model of this run the model of the table that it repeats.", length=1
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One run."""

    run: str = setting(
        "run",
        "Name of the run; everything it makes is written to `results/<run>/` (`selftest` is "
        "taken).",
        pattern=NAME.replace("^", "^(?!selftest$)", 1),
    )
    seed: int = setting(
        0, "Seed of every random choice (shifts, permutations, bootstrap).", minimum=0
    )
    summarise: Literal["all", "present"] = setting(
        "all",
        "What tables and report take: `all` fits, or, for a run of which something failed, those "
        "`present`, with the missing ones named: `--config summarise=present` on the command line.",
    )
    dataset: DatasetSettings = setting(description="The recordings, in BIDS layout.")
    demo: DemoSettings | None = setting(
        None,
        "Present only where the workflow itself writes the data set (simulated, its truth known).",
    )
    neural: NeuralSettings = setting(
        NeuralSettings(), "How the recorded voltage becomes the signal to be predicted."
    )
    signals: dict[str, Mapping[str, Any]] = setting(
        {},
        "Further signals by name, each with the keys of `neural` that differ; an analysis takes "
        "one with its key `signal`.",
        names="^(?!high-gamma$)[a-z][a-z0-9-]*$",
        entries=lambda: partial_schema(NeuralSettings),
    )
    models: tuple[str, ...] = setting(
        description="Names from the catalogue (`config/models.yaml`, or `catalogue` below).",
        length=1,
        unique=True,
    )
    catalogue: dict[str, Mapping[str, Any]] = setting(
        {},
        "Models of one's own, written as in `config/models.yaml`.",
        names="^[a-z0-9][a-z0-9._-]*$",
        entries=lambda: {"type": "object"},
    )
    analyses: dict[str, AnalysisSettings] = setting(
        description="What is fitted, by name.", length=1, names="^[A-Za-z0-9][A-Za-z0-9-]*$"
    )
    published: PublishedSettings | None = setting(
        None,
        "Scores of a published study that the report shows next to this run's; `null` for none.",
    )
    contamination: ContaminationSettings = setting(
        ContaminationSettings(),
        "The audit of sound in the electrodes (Roussel et al. 2020).",
    )
    quality: QualitySettings = setting(
        QualitySettings(), "From which value on a measure of a recording is flagged."
    )
    selftest: SelftestSettings = setting(
        SelftestSettings(),
        "What `snakemake selftest` simulates, for each participant of each seed; it needs no data "
        "set.",
    )
    group: GroupSettings = setting(
        GroupSettings(), "Statistics over participants and the electrodes within them."
    )
    timecourse: TimecourseSettings = setting(
        TimecourseSettings(),
        "Activity around the onset of each word's voice, or of its prompt in recordings without a "
        "voice; for analyses of `unit: frame`.",
    )
    compare: str | CompareSettings | None = setting(
        None,
        "The run that `snakemake compare` compares this run with: its name, or its name with the "
        "analyses and models that have other names there.",
        pattern=NAME,
    )
    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto", "Where networks run; `auto` takes a GPU where there is one."
    )
    gpus: int = setting(0, "GPUs that each job of a network requests from a cluster.", minimum=0)
    layers_per_job: Literal["auto"] | int = setting(
        "auto",
        "How many layers of a model one fitting job takes: a number, 0 for all of them, or `auto` "
        "for jobs of about ten minutes.",
        minimum=0,
    )


@cache
def _schema(registered: tuple[str, ...]) -> Schema:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": TITLE,
        "description": DESCRIPTION,
        **schema_of(Configuration),
    }


def schema() -> Schema:
    """Return the JSON schema of a configuration."""
    from highgamma.encoding.estimators import ESTIMATORS
    from highgamma.encoding.splits import SPLITS
    from highgamma.neural.references import REFERENCES

    return _schema((*ESTIMATORS, *SPLITS, *REFERENCES))
