"""The tables of a run, column by column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma import store
from highgamma.summary.choice import LEVEL, FloatArray, false_discovery_q, gains
from highgamma.summary.fits import STUDY_FIGURES, FitSummary, number
from highgamma.summary.verdict import Score, judge

if TYPE_CHECKING:
    import pandas as pd

Columns = Mapping[str, Sequence[Any] | NDArray[Any]]

ELECTRODE_COLUMNS = (
    *("analysis", "participant", "electrode", "x", "y", "z", "region", "model", "layer"),
    *("r", "skill", "p", "q", "gain", "contamination", "flags"),
    # Further columns only follow after `flags`.
    *("stability", "best_control", "peak_lag", "peak_lag_low", "peak_lag_high", "distance_s"),
    *("mean_r", "position_r", "position_skill", "verdict", "rule"),
    *("noise_ceiling", "ceiling_status", "lag", "lag_stability"),
)
LAYER_COLUMNS = (
    *("analysis", "participant", "model", "layer", "n_electrodes"),
    *("r_mean", "r_median", "r_max", "skill_mean", "skill_median", "distance_s", "flags"),
)
PARTICIPANT_COLUMNS = (
    *("analysis", "participant", "model", "layer", "n_electrodes", "n_samples"),
    *(*STUDY_FIGURES, "skill_median", "n_significant", "distance_s", "leaky", "flags"),
)
GAIN_COLUMNS = (
    *("analysis", "participant", "electrode", "model"),
    *("control", "skill", "control_skill", "gain", "distance_s", "flags"),
)
PARTITION_COLUMNS = (
    *("analysis", "participant", "electrode", "model", "space"),
    *("skill", "unique", "share", "shared", "noise_ceiling", "explainable"),
    *("alpha", "ceiling_status", "distance_s", "flags"),
)
MISSING_COLUMNS = ("analysis", "participant", "model", "stage", "file")

FLAGS = {
    "flat": "the electrode’s signal is constant",
    "intercept-only": "the fit ignores its input: it predicts the training mean everywhere",
    "contaminated": f"the audit finds the microphone in the electrode (q < {LEVEL} within its "
    "participant)",
    "not-tested": "the analysis drew no permutations, so there is no p",
    "not-significant": f"q is not below {LEVEL}",
    "no-skill": "the skill is not above 0: the training mean predicts the held-out samples as well",
    "below-control": "a control model explains as much (gain not above 0)",
    "leaky-split": "held-out samples have close neighbours among the training samples",
}
"""Every flag and what it says; an electrode that carries none of them holds."""


@dataclass(frozen=True, slots=True)
class Audited:
    """One electrode in the audit of sound: its p, and its q within the participant."""

    p: float
    q: float


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside a fit: its q, its electrodes' places and audit, and its controls.

    `controls` gives the skill of every control that the analysis names (NaN where it has none
    here) on the fit's channels, and is empty for a control; `position_r`, `position_skill` are of
    position features under the same split.
    """

    q: FloatArray
    place: Mapping[str, Mapping[str, Any]]
    audit: Mapping[str, Audited]
    controls: Mapping[str, FloatArray]
    position_r: FloatArray
    position_skill: FloatArray
    role: str


def joined(parts: Iterable[Columns], columns: Sequence[str]) -> pd.DataFrame:
    """One table from parts that have the same columns, each a list or an array."""
    import pandas as pd

    collected: dict[str, list[Any]] = {name: [] for name in columns}
    for part in parts:
        for name in columns:
            collected[name].append(part[name])
    table: dict[str, NDArray[Any] | list[Any]] = {}
    for name in columns:
        pieces = collected.pop(name)
        if pieces and all(isinstance(piece, np.ndarray) for piece in pieces):
            table[name] = np.concatenate(pieces)
        else:
            table[name] = [value for piece in pieces for value in piece]
    return pd.DataFrame(table, columns=list(columns))


def electrode_columns(s: FitSummary, beside: Beside) -> Columns:
    """One row for each electrode of a fit."""
    n = len(s.channels)
    gain, best = gains(s.skill, beside.controls)
    flags, verdicts, rules = [], [], []
    audits = [beside.audit.get(name, _NOT_AUDITED) for name in s.channels]
    for k, audited in enumerate(audits):
        contaminated = audited.q < LEVEL
        raised = {
            "flat": s.flat[k],
            "intercept-only": s.intercept_only[k],
            "contaminated": contaminated,
            "not-tested": not s.tested,
            "not-significant": s.tested and not beside.q[k] < LEVEL,
            "no-skill": s.skill[k] <= 0,
            "below-control": gain[k] <= 0,
            "leaky-split": s.leaky,
        }
        flags.append(",".join(name for name, is_raised in raised.items() if is_raised))
        verdict, rule = judge(
            Score(
                skill=float(s.skill[k]),
                q=float(beside.q[k]),
                gain=float(gain[k]),
                audit_q=audited.q,
                distance_s=s.distance_s,
                flat=bool(s.flat[k]),
                leaky=s.leaky,
                intercept_only=bool(s.intercept_only[k]),
                tested=s.tested,
                contaminated=contaminated,
                best_control=best[k],
                lacking=tuple(c for c, v in beside.controls.items() if not np.isfinite(v[k])),
                role=beside.role,
            )
        )
        verdicts.append(verdict)
        rules.append(rule)
    return {
        **_names(s, n),
        "electrode": s.channels,
        **{axis: _coordinates(s, beside.place, axis) for axis in ("x", "y", "z")},
        "region": _regions(s, beside.place),
        "layer": s.layer,
        "r": s.r,
        "skill": s.skill,
        "p": s.p,
        "q": beside.q,
        "gain": gain,
        "contamination": np.array([audited.p for audited in audits]),
        "flags": flags,
        "stability": s.stability,
        "best_control": best,
        "peak_lag": s.peak[0],
        "peak_lag_low": s.peak[1],
        "peak_lag_high": s.peak[2],
        "distance_s": np.full(n, s.distance_s),
        "mean_r": s.mean_r,
        "position_r": beside.position_r,
        "position_skill": beside.position_skill,
        "verdict": verdicts,
        "rule": rules,
        "noise_ceiling": s.noise_ceiling,
        "ceiling_status": [s.ceiling_status] * n,
        "lag": s.chosen_lag,
        "lag_stability": s.lag_stability,
    }


_NOT_AUDITED = Audited(float("nan"), float("nan"))


def _names(s: FitSummary, n: int) -> dict[str, list[str]]:
    return {
        "analysis": [s.analysis] * n,
        "participant": [s.participant] * n,
        "model": [s.model] * n,
    }


def _apart(s: FitSummary, n: int) -> dict[str, list[Any]]:
    """How far training and held-out samples are apart, and the flag of a split that leaks."""
    return {"distance_s": [s.distance_s] * n, "flags": [split_flag(leaky=s.leaky)] * n}


def split_flag(*, leaky: bool) -> str:
    """The flag on everything that a split with neighbours on both sides has led to."""
    return "leaky-split" if leaky else ""


def _coordinates(s: FitSummary, place: Mapping[str, Mapping[str, Any]], axis: str) -> FloatArray:
    """From the channels table, else from the scores (a re-referenced pair has its own place)."""
    known = np.array([number(place.get(name, {}).get(axis)) for name in s.channels])
    own = np.array(s.places.get(axis, [np.nan] * len(known)))
    return np.where(np.isfinite(known), known, own)


def _regions(s: FitSummary, place: Mapping[str, Mapping[str, Any]]) -> list[str | None]:
    own = s.places.get("region", [None] * len(s.channels))
    found = []
    for name, from_scores in zip(s.channels, own, strict=True):
        value = place.get(name, {}).get("region")
        value = value if isinstance(value, str) else from_scores
        found.append(value if value not in ("", store.MISSING) else None)
    return found


def layer_columns(s: FitSummary) -> Columns:
    """One row for each layer of a fit."""
    n = len(s.layers)
    return {**_names(s, n), "layer": s.layers, **s.layer_rows, **_apart(s, n)}


def participant_row(s: FitSummary, q: FloatArray) -> dict[str, Any]:
    """A fit's row in the table of participants."""
    skill = s.skill[np.isfinite(s.skill)]
    return {
        "analysis": s.analysis,
        "participant": s.participant,
        "model": s.model,
        "layer": int(s.layers[s.modal]),
        "n_electrodes": len(s.channels),
        "n_samples": s.n_samples,
        **{name: values[s.modal] for name, values in s.figures.items()},
        "skill_median": np.median(skill) if skill.size else np.nan,
        "n_significant": int((q < LEVEL).sum()) if s.tested else None,
        "distance_s": s.distance_s,
        "leaky": int(s.leaky),
        "flags": split_flag(leaky=s.leaky),
    }


def gain_columns(s: FitSummary, beside: Beside) -> Iterable[Columns]:
    """One row for each electrode and named control of a fit."""
    for control, skill in beside.controls.items():
        yield {
            **_names(s, len(s.channels)),
            "electrode": s.channels,
            "control": [control] * len(s.channels),
            "skill": s.skill,
            "control_skill": skill,
            "gain": s.skill - skill,
            **_apart(s, len(s.channels)),
        }


def partition_columns(s: FitSummary) -> Iterable[Columns]:
    """One row for each electrode and space of a banded ridge; none for other estimators."""
    n = len(s.channels)
    for space, values in s.spaces.items():
        yield {
            **_names(s, n),
            "electrode": s.channels,
            "space": [space] * n,
            "skill": s.skill,
            **values,
            "noise_ceiling": s.noise_ceiling,
            "ceiling_status": [s.ceiling_status] * n,
            **_apart(s, n),
        }


# ------------------------------------------------------------------------- what stands beside a fit


def family_q(done: Sequence[FitSummary]) -> list[FloatArray]:
    """q of every fit's electrodes; the family is one analysis and model over participants."""
    families: dict[tuple[str, str], list[int]] = {}
    for k, s in enumerate(done):
        families.setdefault((s.analysis, s.model), []).append(k)
    q: list[FloatArray] = [np.empty(0)] * len(done)
    for members in families.values():
        together = false_discovery_q(np.concatenate([done[k].p for k in members]))
        ends = np.cumsum([len(done[k].p) for k in members])
        for k, part in zip(members, np.split(together, ends[:-1]), strict=True):
            q[k] = part
    return q


def standing_beside(
    done: Sequence[FitSummary],
    *,
    places: Mapping[str, Mapping[str, Mapping[str, Any]]],
    audits: Mapping[str, Mapping[str, Audited]],
    controls: Mapping[str, Sequence[str]],
    position: str,
) -> list[Beside]:
    """What stands beside every fit; `controls` names those of each analysis."""
    found = {(s.analysis, s.participant, s.model): s for s in done}

    def on_channels(s: FitSummary, model: str, of: Callable[[FitSummary], FloatArray]) -> Any:
        other = found.get((s.analysis, s.participant, model))
        if other is None:
            return np.full(len(s.channels), np.nan)
        known = dict(zip(other.channels, of(other), strict=True))
        return np.array([known.get(name, np.nan) for name in s.channels])

    beside = []
    for s, q in zip(done, family_q(done), strict=True):
        named = list(controls.get(s.analysis, ()))
        role = "position" if s.model == position else "control" if s.model in named else "model"
        compared = [] if s.model in named else named
        beside.append(
            Beside(
                q=q,
                place=places.get(s.participant, {}),
                audit=audits.get(s.participant, {}),
                controls={name: on_channels(s, name, lambda o: o.skill) for name in compared},
                position_r=on_channels(s, position, lambda o: o.r),
                position_skill=on_channels(s, position, lambda o: o.skill),
                role=role,
            )
        )
    return beside


def places_of(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Region and coordinates (mm) of every channel of a channels table."""
    kept = table[[c for c in ("name", "region", "x", "y", "z") if c in table]]
    return {
        str(row["name"]): {str(k): v for k, v in row.items()} for row in kept.to_dict("records")
    }


def left_out(table: pd.DataFrame) -> dict[str, int]:
    """Number of channels left out, by the reason given."""
    if "kept" not in table:
        return {}
    reasons = table.loc[table["kept"].astype(str) != "yes"].get("reason")
    if reasons is None:
        return {}
    counted = reasons.fillna("no reason given").astype(str).value_counts()
    return {str(k): int(v) for k, v in sorted(counted.items(), key=lambda item: str(item[0]))}


def audited(p_values: Mapping[str, float]) -> dict[str, Audited]:
    """The audit's p of each electrode of one participant, and its q among them."""
    p = np.array(list(p_values.values()), dtype=np.float64)
    q = false_discovery_q(p)
    return {name: Audited(float(a), float(b)) for name, a, b in zip(p_values, p, q, strict=True)}


def missing_fits(
    done: Sequence[FitSummary],
    participants: Sequence[str],
    expected: Mapping[str, Sequence[str]],
) -> list[tuple[str, str, str]]:
    """Analysis, participant and model of the fits that should be there and are not.

    Those of `expected` (the models of each analysis), and those that another participant has.
    """
    have = {(s.analysis, s.participant, s.model) for s in done}
    wanted = [(a, m) for a, models in expected.items() for m in models]
    pairs = list(dict.fromkeys([*wanted, *((s.analysis, s.model) for s in done)]))
    everyone = list(dict.fromkeys([*participants, *(s.participant for s in done)]))
    return [(a, p, m) for a, m in pairs for p in everyone if (a, p, m) not in have]
