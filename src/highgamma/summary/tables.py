"""The rows of a run's tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma import store
from highgamma.summary.choice import LEVEL, FloatArray, false_discovery_q, gains
from highgamma.summary.fits import STUDY_FIGURES, FitSummary, number

if TYPE_CHECKING:
    import pandas as pd

ELECTRODE_COLUMNS = (
    *("analysis", "participant", "electrode", "x", "y", "z", "region", "model", "layer"),
    *("r", "skill", "p", "q", "gain", "contamination", "flags"),
    # Further columns only follow after `flags`.
    *("stability", "best_control", "peak_lag", "peak_lag_low", "peak_lag_high", "distance_s"),
)
LAYER_COLUMNS = (
    *("analysis", "participant", "model", "layer", "n_electrodes"),
    *("r_mean", "r_median", "r_max", "skill_mean", "skill_median"),
)
PARTICIPANT_COLUMNS = (
    *("analysis", "participant", "model", "layer", "n_electrodes", "n_samples"),
    *(*STUDY_FIGURES, "skill_median", "n_significant", "distance_s", "leaky"),
)

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


def family_q(done: Sequence[FitSummary]) -> list[FloatArray]:
    """q of every fit's electrodes; the family is one analysis and model over participants."""
    families: dict[tuple[str, str], list[int]] = {}
    for k, s in enumerate(done):
        families.setdefault((s.fit.analysis, s.fit.model), []).append(k)
    q: list[FloatArray] = [np.empty(0)] * len(done)
    for members in families.values():
        together = false_discovery_q(np.concatenate([done[k].choice.p for k in members]))
        ends = np.cumsum([len(done[k].choice.p) for k in members])
        for k, part in zip(members, np.split(together, ends[:-1]), strict=True):
            q[k] = part
    return q


def controls_of(
    s: FitSummary, done: Sequence[FitSummary], analyses: Mapping[str, Mapping[str, Any]]
) -> dict[str, FloatArray]:
    """Skill of the analysis's control models on the same electrodes; none for a control itself."""
    named = list(analyses.get(s.fit.analysis, {}).get("controls") or [])
    if s.fit.model in named:
        return {}
    found: dict[str, FloatArray] = {}
    for other in done:
        same = (other.fit.analysis, other.fit.participant) == (s.fit.analysis, s.fit.participant)
        if same and other.fit.model in named:
            skill = dict(zip(other.channels, other.choice.skill, strict=True))
            found[other.fit.model] = np.array([skill.get(c, np.nan) for c in s.channels])
    return {name: found[name] for name in named if name in found}


def places_of(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
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


def audit_flags(p_values: Mapping[str, float]) -> dict[str, tuple[float, bool]]:
    """Audit p of each electrode, and whether its q within the participant is below the level."""
    names = list(p_values)
    p = np.array([p_values[n] for n in names], dtype=np.float64)
    q = false_discovery_q(p)
    return {n: (float(a), bool(b < LEVEL)) for n, a, b in zip(names, p, q, strict=True)}


def electrode_rows(
    s: FitSummary,
    *,
    q: FloatArray,
    place: Mapping[str, Mapping[str, Any]],
    audit: Mapping[str, tuple[float, bool]],
    controls: Mapping[str, FloatArray],
) -> Iterator[dict[str, Any]]:
    c = s.choice
    gain, best = gains(c.skill, controls)
    for k, name in enumerate(s.channels):
        where = place.get(name, {})
        contamination, contaminated = audit.get(name, (np.nan, False))
        raised = {
            "flat": bool(s.flat[k]),
            "intercept-only": bool(s.intercept_only[k]),
            "contaminated": contaminated,
            "not-tested": not s.tested,
            "not-significant": s.tested and not q[k] < LEVEL,
            "no-skill": bool(c.skill[k] <= 0),
            "below-control": bool(gain[k] <= 0),
            "leaky-split": s.fit.leaky,
        }
        yield {
            "analysis": s.fit.analysis,
            "participant": s.fit.participant,
            "electrode": name,
            **{axis: _coordinate(s, where, axis, k) for axis in ("x", "y", "z")},
            "region": _region(s, where, k),
            "model": s.fit.model,
            "layer": int(c.layer[k]),
            "r": c.r[k],
            "skill": c.skill[k],
            "p": c.p[k],
            "q": q[k],
            "gain": gain[k],
            "contamination": contamination,
            "flags": ",".join(name for name, is_raised in raised.items() if is_raised),
            "stability": c.stability[k],
            "best_control": best[k],
            "peak_lag": s.peak[0, k],
            "peak_lag_low": s.peak[1, k],
            "peak_lag_high": s.peak[2, k],
            "distance_s": s.fit.distance_s,
        }


def _coordinate(s: FitSummary, place: Mapping[str, Any], axis: str, k: int) -> float:
    """From the channels table, else from the scores (a re-referenced pair has its own place)."""
    value = number(place.get(axis))
    if not np.isfinite(value) and axis in s.fit.scores.variables:
        value = number(s.fit.scores[axis].values[k])
    return value


def _region(s: FitSummary, place: Mapping[str, Any], k: int) -> str | None:
    value = place.get("region")
    if not isinstance(value, str) and "region" in s.fit.scores.variables:
        value = str(s.fit.scores["region"].values[k])
    return value if isinstance(value, str) and value not in ("", store.MISSING) else None


def layer_rows(s: FitSummary) -> Iterator[dict[str, Any]]:
    for row, layer in enumerate(s.layers):
        r, skill = s.r[row], s.skill[row]
        r, skill_known = r[np.isfinite(r)], skill[np.isfinite(skill)]
        yield {
            "analysis": s.fit.analysis,
            "participant": s.fit.participant,
            "model": s.fit.model,
            "layer": int(layer),
            "n_electrodes": len(skill_known),
            "r_mean": r.mean() if r.size else np.nan,
            "r_median": np.median(r) if r.size else np.nan,
            "r_max": r.max() if r.size else np.nan,
            "skill_mean": skill_known.mean() if skill_known.size else np.nan,
            "skill_median": np.median(skill_known) if skill_known.size else np.nan,
        }


def participant_row(s: FitSummary, q: FloatArray) -> dict[str, Any]:
    votes = s.choice.votes.sum(axis=1)
    row = int(np.argmax(votes)) if votes.size else 0
    skill = s.choice.skill[np.isfinite(s.choice.skill)]
    return {
        "analysis": s.fit.analysis,
        "participant": s.fit.participant,
        "model": s.fit.model,
        "layer": int(s.layers[row]),
        "n_electrodes": len(s.channels),
        "n_samples": s.n_samples,
        **{name: values[row] for name, values in s.figures.items()},
        "skill_median": np.median(skill) if skill.size else np.nan,
        "n_significant": int((q < LEVEL).sum()) if s.tested else None,
        "distance_s": s.fit.distance_s,
        "leaky": int(s.fit.leaky),
    }


def missing_fits(
    done: Sequence[FitSummary], participants: Sequence[str]
) -> list[tuple[str, str, str]]:
    """Fits that other participants have and a participant lacks."""
    have = {(s.fit.analysis, s.fit.participant, s.fit.model) for s in done}
    pairs = list(dict.fromkeys((s.fit.analysis, s.fit.model) for s in done))
    everyone = list(dict.fromkeys([*participants, *(s.fit.participant for s in done)]))
    return [(a, p, m) for a, m in pairs for p in everyone if (a, p, m) not in have]
