"""Compare two runs electrode by electrode: what a change of the method did.

Both runs use the same electrodes, so differences between electrodes cancel out in the difference
between runs. An electrode's interval is a paired t over folds, which both runs held out alike; the
group's interval is Student's t over participants.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma import group, store, summary
from highgamma.errors import InputError, nearest
from highgamma.scores import FoldSums, best_candidates, pooled_r, pooled_skill
from highgamma.sections import setting

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]

NAME = "^[A-Za-z0-9][A-Za-z0-9_-]*$"
"""Pattern of a run's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareSettings:
    """The section `compare`: the other run, and the names of its analyses and models."""

    run: str = setting(
        description="Name of the other run; this run's own name compares its models.", pattern=NAME
    )
    analyses: dict[str, str] = setting({}, "For analyses of this run their names in the other.")
    models: dict[str, str] = setting({}, "For models of this run their names in the other.")


MIN_FOLDS = 5
"""Least number of folds for an interval: fewer have too few different draws."""

ELECTRODE_COLUMNS = (
    *("analysis", "participant", "electrode", "model", "other_analysis", "other_model"),
    *("r", "other_r", "r_difference", "r_low", "r_high"),
    *("skill", "other_skill", "skill_difference", "skill_low", "skill_high"),
    *("flags", "other_flags", "interval"),
)
SUMMARY_COLUMNS = (
    *("analysis", "model", "other_analysis", "other_model", "n_participants", "n_electrodes"),
    *("r_mean", "other_r_mean", "r_difference", "r_low", "r_high"),
    *("skill_mean", "other_skill_mean", "skill_difference", "skill_low", "skill_high"),
    *("n_intervals", "n_higher", "n_lower", "only_here", "only_there"),
    # New columns come only at the end.
    *("distance_s", "flags", "other_distance_s", "other_flags"),
)

Fit = tuple[str, str, str]
"""Analysis, participant and model."""


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """Electrodes and score files of one run.

    Attributes
    ----------
    name
        Name of the run.
    electrodes
        Table of electrodes, `electrodes.tsv`.
    scores
        Score files by (analysis, participant, model).
    """

    name: str
    electrodes: pd.DataFrame
    scores: Mapping[Fit, tuple[Path, ...]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Differences between two runs, ours minus theirs.

    Attributes
    ----------
    ours, theirs
        Names of the runs.
    electrodes
        `ELECTRODE_COLUMNS`, one row for each electrode and pair of fits.
    summary
        `SUMMARY_COLUMNS`, one row for each pair of an analysis and a model.
    """

    ours: str
    theirs: str
    electrodes: pd.DataFrame
    summary: pd.DataFrame


# ------------------------------------------------------------------------------------- the files


def files(results: str | Path, run: str) -> tuple[Path, list[Path]]:
    """Return the table of electrodes and the score files of a finished run.

    Parameters
    ----------
    results
        Folder that holds a folder for each run.
    run
        Name of the run.

    Returns
    -------
    table
        Path of `electrodes.tsv`.
    scores
        Sorted paths of the score files.

    Raises
    ------
    InputError
        If the run does not exist or is not finished; the message lists the finished runs.
    """
    folder = Path(results) / run
    table = folder / "electrodes.tsv"
    scores = sorted(folder.glob("scores/*/*/*/*.nc"))
    if not table.is_file() or not scores:
        there = sorted(p.parent.name for p in Path(results).glob("*/electrodes.tsv"))
        lacks = "the run does not exist" if not folder.is_dir() else "the run is not finished: "
        if folder.is_dir():
            lacks += "no electrodes.tsv" if not table.is_file() else "no files of scores"
        raise InputError(
            f"{lacks}{nearest(run, there) if not folder.is_dir() else ''}",
            where=folder,
            expected="a finished run; there are " + (", ".join(there) or "none"),
            remedy="run that configuration first, or name another run",
        )
    return table, scores


def read_run(name: str, electrodes: str | Path, scores: Iterable[str | Path]) -> ComparedRun:
    """Read a run from its table of electrodes and the paths of its score files.

    Parameters
    ----------
    name
        Name of the run.
    electrodes
        Path of `electrodes.tsv`.
    scores
        Paths `…/<analysis>/<participant>/<model>/<layers>.nc`, in any order.
    """
    by_fit: dict[Fit, list[Path]] = {}
    for path in sorted({Path(p) for p in scores}):
        key = (path.parents[2].name, path.parents[1].name, path.parent.name)
        by_fit.setdefault(key, []).append(path)
    return ComparedRun(
        name, group.read_electrodes(electrodes), {key: tuple(p) for key, p in by_fit.items()}
    )


# ------------------------------------------------------------------------------------- the pairs


def paired_models(
    ours: ComparedRun,
    theirs: ComparedRun,
    *,
    analyses: Mapping[str, str],
    models: Mapping[str, str],
) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """Return the pairs of fits that both runs have, in the order of our table.

    A run compared with itself gives only the pairs whose names differ.

    Parameters
    ----------
    ours, theirs
        The two runs.
    analyses, models
        Their names for our analyses and models; a name that is not listed is the same in both runs.

    Returns
    -------
    pairs
        ((analysis, model), (their analysis, their model)) of each pair.

    Raises
    ------
    InputError
        If the runs cannot be compared; the message lists every reason.
    """
    problems = [
        *_unknown("analysis", analyses, ours, theirs, column="analysis"),
        *_unknown("model", models, ours, theirs, column="model"),
    ]
    keys = [_keys(run.electrodes, ["participant", "electrode"]) for run in (ours, theirs)]
    people = [{p for p, _ in electrodes} for electrodes in keys]
    if not people[0] & people[1]:
        problems.append(
            f"no participant in common: {_listed(people[0])} here, {_listed(people[1])} there"
        )
    elif not set(keys[0]) & set(keys[1]):
        problems.append(
            "no electrode in common (other names; was one of the runs re-referenced?): "
            f"{keys[0][0][1]} … here, {keys[1][0][1]} … there"
        )
    there = set(_keys(theirs.electrodes, ["analysis", "model"]))
    pairs = []
    for analysis, model in _keys(ours.electrodes, ["analysis", "model"]):
        other = (analyses.get(analysis, analysis), models.get(model, model))
        same = ours.name == theirs.name and other == (analysis, model)
        if other in there and not same:
            pairs.append(((analysis, model), other))
    if not pairs and not problems:
        problems.append(
            "compared with itself, a run needs `analyses` or `models` with other names"
            if ours.name == theirs.name
            else "no analysis and model in common: "
            f"{_fits(ours)} here, {_fits(theirs)} there; `analyses` and `models` say what "
            "they are called there"
        )
    problems += _other_units(ours, theirs, pairs)
    if problems:
        raise InputError(
            f"the runs {ours.name} and {theirs.name} cannot be compared:\n  - "
            + "\n  - ".join(problems),
            where="compare",
            remedy="name another run, or correct `compare` in the configuration",
        )
    return pairs


def _keys(table: pd.DataFrame, columns: list[str]) -> list[tuple[str, str]]:
    rows = table[columns].astype(str).drop_duplicates().itertuples(index=False, name=None)
    return [(a, b) for a, b in rows]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _fits(run: ComparedRun) -> str:
    return ", ".join(f"{a}/{m}" for a, m in _keys(run.electrodes, ["analysis", "model"]))


def _unknown(
    what: str, mapping: Mapping[str, str], ours: ComparedRun, theirs: ComparedRun, *, column: str
) -> list[str]:
    here, there = (sorted(set(run.electrodes[column])) for run in (ours, theirs))
    return [
        *(
            f"{ours.name} has no {what} {name!r}{nearest(name, here)}"
            for name in mapping
            if name not in here
        ),
        *(
            f"{theirs.name} has no {what} {name!r}{nearest(name, there)}"
            for name in mapping.values()
            if name not in there
        ),
    ]


def _other_units(
    ours: ComparedRun, theirs: ComparedRun, pairs: list[tuple[tuple[str, str], tuple[str, str]]]
) -> list[str]:
    """Return a message for each pair that compares words with frames."""
    problems = []
    for a, b in dict.fromkeys((fit[0], other[0]) for fit, other in pairs):
        units = [_unit(run, name) for run, name in ((ours, a), (theirs, b))]
        if units[0] != units[1]:
            problems.append(f"{a} is of {units[0]}s here, {b} is of {units[1]}s there")
    return problems


def _unit(run: ComparedRun, analysis: str) -> str:
    for (name, _, _), paths in run.scores.items():
        if name == analysis:
            with store.open_dataset(paths[0]) as scores:
                return str(scores.attrs.get("unit", ""))
    return ""


# ------------------------------------------------------------------------------------ one electrode


def pseudo_values(sums: FoldSums) -> tuple[FloatArray, FloatArray]:
    """Return the jackknife's pseudo-values of r and skill, both (fold, channel).

    With θ the score pooled over K folds and θ₋ₖ the one without fold k they are K θ − (K − 1) θ₋ₖ
    (Tukey 1958): a fold's part of the score, whose mean over folds estimates it.

    Parameters
    ----------
    sums
        Sums (fold, channel).
    """
    n_folds = len(sums.n)
    whole = sums.drawn(np.ones((1, n_folds)))
    without = sums.drawn(1.0 - np.eye(n_folds))
    r, skill = (
        n_folds * score(whole) - (n_folds - 1) * score(without)
        for score in (pooled_r, pooled_skill)
    )
    return np.asarray(r), np.asarray(skill)


@dataclass(frozen=True, slots=True)
class _Folds:
    """Sums of the chosen layers by channel name, and the samples that identify the folds."""

    sums: FoldSums
    channels: list[str]
    sample: tuple[FloatArray, ...]

    def take(self, channels: list[str]) -> FoldSums:
        """Return the sums of some channels."""
        return self.sums.targets([self.channels.index(c) for c in channels])


def _folds(paths: tuple[Path, ...]) -> _Folds:
    (fit,) = summary.read_fits(paths)
    inner = fit.scores["inner_score"].transpose("layer", "fold", "channel").values
    sums = summary.fold_sums(fit.scores).of(best_candidates(inner))
    with store.open_dataset(paths[0]) as scores:
        names = ("segment", "time", "fold_of_sample")
        sample = tuple(scores[n].values.astype(float) for n in names if n in scores.variables)
    return _Folds(sums, [str(c) for c in fit.scores["channel"].values], sample)


def _same_folds(a: _Folds, b: _Folds) -> bool:
    return len(a.sample) == len(b.sample) == 3 and all(
        values.shape == other.shape and np.allclose(values, other, rtol=0, atol=1e-6)
        for values, other in zip(a.sample, b.sample, strict=True)
    )


def electrode_intervals(
    ours: tuple[Path, ...], theirs: tuple[Path, ...]
) -> tuple[dict[str, tuple[float, float, float, float]], str]:
    """Compute 95 % intervals of the differences of r and of skill, electrode by electrode.

    A paired t over folds of the difference of the jackknife's pseudo-values. The
    interval is left out if the runs hold out different samples: their folds are then not pairs.

    Parameters
    ----------
    ours, theirs
        Score files of one fit of either run.

    Returns
    -------
    intervals
        (r low, r high, skill low, skill high) by name of each electrode that both fits have.
    basis
        `10 folds`, or the reason why there are no intervals.
    """
    if not ours or not theirs:
        return {}, "none: a file of scores is missing"
    a, b = _folds(ours), _folds(theirs)
    if not _same_folds(a, b):
        return {}, "none: the runs hold out other samples"
    n_folds = len(a.sums.n)
    if n_folds < MIN_FOLDS:
        return {}, f"none: {n_folds} folds are too few"
    channels = [c for c in a.channels if c in set(b.channels)]
    pairs = [pseudo_values(folds.take(channels)) for folds in (a, b)]
    intervals = [group.t_interval(scores - other) for scores, other in zip(*pairs, strict=True)]
    values = np.stack([edge for pair in intervals for edge in pair], axis=1)
    return {c: tuple(row) for c, row in zip(channels, values.tolist(), strict=True)}, (
        f"{n_folds} folds"
    )


# ------------------------------------------------------------------------------------- the whole


def compare(
    ours: ComparedRun,
    theirs: ComparedRun,
    *,
    analyses: Mapping[str, str] | None = None,
    models: Mapping[str, str] | None = None,
    settings: group.GroupSettings,
) -> Comparison:
    """Compare two runs, or models and analyses of one run.

    Parameters
    ----------
    ours, theirs
        The two runs.
    analyses, models
        Their names for our analyses and models, where they differ.
    settings
        Least numbers of participants and electrodes for an interval of the group.

    Returns
    -------
    comparison
        Differences by electrode, and their means over electrodes.

    Raises
    ------
    InputError
        If the runs cannot be compared (see `paired_models`) or no fit has an electrode in common.
    """
    import pandas as pd

    log = logging.getLogger("highgamma")
    pairs = paired_models(ours, theirs, analyses=analyses or {}, models=models or {})
    for run, other in ((ours, theirs), (theirs, ours)):
        alone = set(run.electrodes["participant"]) - set(other.electrodes["participant"])
        if alone:
            log.warning("only in %s: %s", run.name, _listed(alone))
    rows: list[dict[str, Any]] = []
    summaries: list[dict[str, Any]] = []
    for (analysis, model), (other_analysis, other_model) in pairs:
        about = {
            "analysis": analysis, "model": model,
            "other_analysis": other_analysis, "other_model": other_model,
        }  # fmt: skip
        here = _fit_table(ours.electrodes, analysis, model)
        there = _fit_table(theirs.electrodes, other_analysis, other_model)
        joined, only = _joined(here, there)
        splits = group.split_of(here)
        splits |= {f"other_{name}": value for name, value in group.split_of(there).items()}
        fit_rows: list[dict[str, Any]] = []
        for participant in dict.fromkeys(joined["participant"]):
            intervals, basis = electrode_intervals(
                ours.scores.get((analysis, participant, model), ()),
                theirs.scores.get((other_analysis, participant, other_model), ()),
            )
            if basis.startswith("none"):
                log.warning("%s, %s, %s: no intervals (%s)", participant, analysis, model, basis)
            for pair in joined[joined["participant"] == participant].to_dict("records"):
                named = {str(k): v for k, v in pair.items()}
                fit_rows.append(about | _electrode_row(named, intervals, basis))
        rows += fit_rows
        if fit_rows:
            summaries.append(about | _summary_row(fit_rows, settings) | only | splits)
    if not rows:
        raise InputError(
            f"no fit of {ours.name} and {theirs.name} has an electrode in common",
            where="compare",
            expected="the same participants and electrodes in the analyses that are compared",
        )
    table = pd.DataFrame(rows, columns=list(ELECTRODE_COLUMNS))
    whole = pd.DataFrame(summaries, columns=list(SUMMARY_COLUMNS))
    return Comparison(ours.name, theirs.name, table, whole)


def _fit_table(table: pd.DataFrame, analysis: str, model: str) -> pd.DataFrame:
    rows = table[(table["analysis"] == analysis) & (table["model"] == model)]
    # Tables of earlier versions lack `distance_s`.
    return rows.reindex(columns=["participant", "electrode", "r", "skill", "flags", "distance_s"])


def _joined(here: pd.DataFrame, there: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the electrodes of both tables, in our order, and how many only one table has."""
    both = here.merge(there, on=["participant", "electrode"], suffixes=("", "_other"), how="left",
                      indicator=True)  # fmt: skip
    shared = both[both["_merge"] == "both"]
    return shared, {"only_here": len(here) - len(shared), "only_there": len(there) - len(shared)}


def _electrode_row(
    pair: Mapping[str, Any], intervals: Mapping[str, tuple[float, float, float, float]], basis: str
) -> dict[str, Any]:
    none = (np.nan,) * 4
    r_low, r_high, skill_low, skill_high = intervals.get(str(pair["electrode"]), none)
    return {
        "participant": pair["participant"],
        "electrode": pair["electrode"],
        "r": pair["r"],
        "other_r": pair["r_other"],
        "r_difference": pair["r"] - pair["r_other"],
        "r_low": r_low,
        "r_high": r_high,
        "skill": pair["skill"],
        "other_skill": pair["skill_other"],
        "skill_difference": pair["skill"] - pair["skill_other"],
        "skill_low": skill_low,
        "skill_high": skill_high,
        "flags": pair["flags"],
        "other_flags": pair["flags_other"],
        "interval": basis,
    }


def _summary_row(rows: list[dict[str, Any]], settings: group.GroupSettings) -> dict[str, Any]:
    def column(name: str) -> FloatArray:
        return np.array([row[name] for row in rows], dtype=np.float64)

    people = group.Participants(np.array([row["participant"] for row in rows]), settings)
    everyone = np.arange(len(rows))
    low, high = column("skill_low"), column("skill_high")
    statistics: dict[str, Any] = {
        "n_participants": people.count(everyone),
        "n_electrodes": len(rows),
        "n_intervals": int(np.isfinite(low).sum()),
        "n_higher": int((low > 0).sum()),
        "n_lower": int((high < 0).sum()),
    }
    for name, is_r in (("r", True), ("skill", False)):
        ours, theirs = (
            group.fisher_z(values) if is_r else values
            for values in (column(name), column(f"other_{name}"))
        )
        known = np.flatnonzero(np.isfinite(ours) & np.isfinite(theirs))
        difference, below, above = people.difference(ours, theirs, everyone, correlation=is_r)
        for prefix, values in (("", ours), ("other_", theirs)):
            statistics[f"{prefix}{name}_mean"] = people.mean(values, known, correlation=is_r)[0]
        statistics |= {
            f"{name}_difference": difference,
            f"{name}_low": below,
            f"{name}_high": above,
        }
    return statistics


def write(comparison: Comparison, *, electrodes: str | Path, summary_table: str | Path) -> None:
    """Write the tables of a comparison, by electrode and in summary."""
    store.write_table(comparison.electrodes, electrodes)
    store.write_table(comparison.summary, summary_table)
