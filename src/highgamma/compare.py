"""Two runs side by side, electrode by electrode: what a change of the method did.

Both runs saw the same electrodes, so that what differs between electrodes drops out of the
difference. An electrode's interval is a bootstrap over folds, which both runs held out alike; the
group's is the hierarchical bootstrap over participants and their electrodes.
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
    """The section `compare`: the other run, and what its analyses and models are called there."""

    run: str = setting(
        description="Name of the other run; this run's own name compares its models.", pattern=NAME
    )
    analyses: dict[str, str] = setting({}, "For analyses of this run their names in the other.")
    models: dict[str, str] = setting({}, "For models of this run their names in the other.")


MIN_FOLDS = 5
"""Fewer folds leave too few different draws for an interval."""

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
    # Further columns only follow.
    *("distance_s", "flags", "other_distance_s", "other_flags"),
)

Fit = tuple[str, str, str]
"""Analysis, participant and model."""


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """A run's electrodes, and its score files by analysis, participant and model."""

    name: str
    electrodes: pd.DataFrame
    scores: Mapping[Fit, tuple[Path, ...]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Differences are ours minus theirs; `electrodes` one row a pair, `summary` one a fit."""

    ours: str
    theirs: str
    electrodes: pd.DataFrame
    summary: pd.DataFrame


# ------------------------------------------------------------------------------------- the files


def files(results: str | Path, run: str) -> tuple[Path, list[Path]]:
    """The table of electrodes and the score files of a finished run.

    Raises
    ------
    InputError
        If there is no such run or it is not finished; with the runs that there are.
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
    """A run from its table of electrodes and the paths of its score files."""
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
    """Analysis and model of ours and of theirs, in the order of our table.

    Names are the same in both runs unless `analyses` and `models` say what ours are called there.
    A run compared with itself is asked only about what is called otherwise.

    Raises
    ------
    InputError
        With everything that stands in the way of a comparison.
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
            remedy="name another run, or mend `compare` in the configuration",
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
    """Analyses of words are not compared with analyses of frames."""
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


def fold_counts(n_folds: int, *, draws: int, seed: int) -> FloatArray:
    """How often each draw of the bootstrap takes each fold, (draw, fold)."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(n_folds, np.full(n_folds, 1 / n_folds), size=draws)
    return drawn.astype(np.float64)


def drawn_scores(sums: FoldSums, counts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """r and skill (draw, channel) pooled over the folds of each draw; sums are (fold, channel)."""
    pooled = sums.drawn(counts)
    return pooled_r(pooled), pooled_skill(pooled)


@dataclass(frozen=True, slots=True)
class _Folds:
    """Sums of the chosen layers by channel name, and what tells whether folds are the same."""

    sums: FoldSums
    channels: list[str]
    sample: tuple[FloatArray, ...]

    def take(self, channels: list[str]) -> FoldSums:
        """The sums of some channels."""
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
    ours: tuple[Path, ...], theirs: tuple[Path, ...], *, draws: int, seed: int
) -> tuple[dict[str, tuple[float, float, float, float]], str]:
    """Intervals of the difference of r and of skill by electrode, and how they were made.

    Paired bootstrap over folds: each draw takes the same folds from both runs and pools their
    sums. None where the runs held out other samples: their folds are no pairs.

    Returns
    -------
    intervals
        r low, r high, skill low, skill high for each electrode that both fits have.
    said
        `10 folds`, or why there are none.
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
    counts = fold_counts(n_folds, draws=draws, seed=seed)
    pairs = [drawn_scores(folds.take(channels), counts) for folds in (a, b)]
    intervals = [group.interval(scores - other) for scores, other in zip(*pairs, strict=True)]
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
    seed: int = 0,
) -> Comparison:
    """Compare two runs, or models and analyses of one run.

    Parameters
    ----------
    analyses, models
        For names of our run those of the other, where they differ.
    settings, seed
        What the group's interval needs, and the seed of the bootstrap.
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
                draws=group.DRAWS,
                seed=seed,
            )
            if basis.startswith("none"):
                log.warning("%s, %s, %s: no intervals (%s)", participant, analysis, model, basis)
            for pair in joined[joined["participant"] == participant].to_dict("records"):
                named = {str(k): v for k, v in pair.items()}
                fit_rows.append(about | _electrode_row(named, intervals, basis))
        rows += fit_rows
        if fit_rows:
            summaries.append(about | _summary_row(fit_rows, settings, seed=seed) | only | splits)
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
    # Tables of earlier versions do not say how far apart training and held-out samples are.
    return rows.reindex(columns=["participant", "electrode", "r", "skill", "flags", "distance_s"])


def _joined(here: pd.DataFrame, there: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Electrodes of both, in our order, and how many only one of them has."""
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


def _summary_row(
    rows: list[dict[str, Any]], settings: group.GroupSettings, *, seed: int
) -> dict[str, Any]:
    def column(name: str) -> FloatArray:
        return np.array([row[name] for row in rows], dtype=np.float64)

    draws = group.Draws(np.array([row["participant"] for row in rows]), settings, seed=seed)
    everyone = np.arange(len(rows))
    low, high = column("skill_low"), column("skill_high")
    statistics: dict[str, Any] = {
        "n_participants": draws.n_participants(everyone),
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
        difference, below, above = draws.difference(
            [(ours, 1.0), (theirs, -1.0)], everyone, correlation=is_r
        )
        back = np.tanh if is_r else np.asarray
        for prefix, values in (("", ours), ("other_", theirs)):
            statistics[f"{prefix}{name}_mean"] = (
                float(back(values[known].mean())) if known.size else np.nan
            )
        statistics |= {
            f"{name}_difference": difference,
            f"{name}_low": below,
            f"{name}_high": above,
        }
    return statistics


def write(comparison: Comparison, *, electrodes: str | Path, summary_table: str | Path) -> None:
    """Write both tables."""
    store.write_table(comparison.electrodes, electrodes)
    store.write_table(comparison.summary, summary_table)
