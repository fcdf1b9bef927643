"""Compare planted truth with the results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma.report.evidence import Evidence
from highgamma.report.findings.verdicts import SUPPORTED
from highgamma.scores import LEVEL

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]

LAG_TOLERANCE = 0.020
LAYER_TOLERANCE = 1
TWIN = "-untrained"


@dataclass(frozen=True, slots=True)
class KindFound:
    """Detection of the electrodes of one planted kind.

    Attributes
    ----------
    kind, expected
        The kind, and what is expected of it.
    n, n_found
        Numbers of electrodes planted, and detected or flagged.
    wrong
        Electrodes that differ from what is expected.
    ok
        Whether none does; None if nothing is expected.
    """

    kind: str
    expected: str
    n: int
    n_found: int
    wrong: list[str]
    ok: bool | None


@dataclass(frozen=True, slots=True)
class LagFound:
    """Recovered lags of the electrodes with one planted lag, in one analysis.

    Attributes
    ----------
    analysis, model
        Names of the fit.
    planted
        The planted lag, s.
    recovered, low, high
        (electrode,) peak lag and its interval, s.
    ok
        Whether all peaks are within `LAG_TOLERANCE`.
    """

    analysis: str
    model: str
    planted: float
    recovered: FloatArray
    low: FloatArray
    high: FloatArray
    ok: bool


@dataclass(frozen=True, slots=True)
class LayerFound:
    """Recovered layer of the electrodes planted from one layer of a model.

    Attributes
    ----------
    analysis, model
        Names of the fit.
    planted, recovered
        The planted layer, and the one with the highest mean skill.
    n
        Number of electrodes.
    layers, skill
        (layer,) numbers of the layers, and their mean skill over electrodes.
    ok
        Whether the layers differ by at most `LAYER_TOLERANCE`.
    """

    analysis: str
    model: str
    planted: int
    recovered: int
    n: int
    layers: FloatArray
    skill: FloatArray
    ok: bool


@dataclass(frozen=True, slots=True)
class TwinFound:
    """A trained model and its untrained counterpart on the electrodes planted from the trained one.

    Attributes
    ----------
    analysis, model, twin
        The analysis, the trained and the untrained model.
    n
        Number of electrodes.
    skill, twin_skill
        Mean skill of each.
    n_better
        Number of electrodes at which the trained model has the greater skill.
    ok
        Whether it has at all of them.
    """

    analysis: str
    model: str
    twin: str
    n: int
    skill: float
    twin_skill: float
    n_better: int
    ok: bool


@dataclass(frozen=True, slots=True)
class Recovery:
    """The results for planted electrodes, by kind, lag, layer and trained model."""

    kinds: list[KindFound]
    lags: list[LagFound]
    layers: list[LayerFound]
    twins: list[TwinFound]

    @property
    def ok(self) -> bool:
        """Whether every check that applies has passed."""
        checks: list[bool | None] = [
            *(k.ok for k in self.kinds),
            *(f.ok for f in self.lags),
            *(f.ok for f in self.layers),
            *(f.ok for f in self.twins),
        ]
        return all(ok is not False for ok in checks)


NOT_SUPPORTED = "not supported by any model"

_EXPECTED = {
    "acoustic": "found",
    "language": "found",
    "speech-on-off": NOT_SUPPORTED,
    "noise": NOT_SUPPORTED,
    "contaminated": "flagged as contaminated",
    "flat": "flagged as flat",
}


def recovery(evidence: Evidence) -> Recovery | None:
    """Compare the planted truth with the tables.

    An electrode counts as detected if q < .05 for the model it was planted from (for any model if
    the run lacks that one), in an analysis whose split does not leak; one that follows nothing, or
    speech on and off alone, if any model is `supported` on it.

    Returns
    -------
    recovery
        None if the data set has no planted truth.
    """
    if evidence.truth is None:
        return None
    table = evidence.electrodes
    table = table[~table["flags"].str.contains("leaky-split")]
    truth = evidence.truth.drop_duplicates(["participant", "electrode"])
    rows_of = dict(iter(table.groupby(["participant", "electrode"], sort=False)))
    kinds = []
    for kind in sorted(dict.fromkeys(truth["kind"]), key=_kind_order):
        planted = truth[truth["kind"] == kind]
        kinds.append(_kind_found(str(kind), planted, rows_of, audited=bool(evidence.audits)))
    clean = truth[truth["kind"] != "contaminated"]
    if evidence.audits:
        flagged = [
            f"{p} {e}"
            for p, e in zip(clean["participant"], clean["electrode"], strict=True)
            if (p, e) in rows_of and rows_of[p, e]["flags"].str.contains("contaminated").any()
        ]
        kinds.append(
            KindFound(
                kind="every other kind",
                expected=f"not flagged as contaminated (at most {LEVEL:.0%})",
                n=len(clean),
                n_found=len(flagged),
                wrong=flagged,
                ok=len(flagged) <= LEVEL * max(len(clean), 1),
            )
        )
    return Recovery(
        kinds=kinds,
        lags=_lags_found(truth, table),
        layers=_layers_found(truth, table, evidence),
        twins=_twins_found(truth, table),
    )


def _kind_order(kind: str) -> tuple[int, str]:
    known = list(_EXPECTED)
    return (known.index(kind) if kind in known else len(known), kind)


def _kind_found(
    kind: str, planted: pd.DataFrame, rows_of: dict[Any, pd.DataFrame], *, audited: bool
) -> KindFound:
    expected = _EXPECTED.get(kind, "no claim")
    flag = {"contaminated": "contaminated", "flat": "flat"}.get(kind)
    detected: list[str] = []
    missed: list[str] = []
    for truth in planted.to_dict("records"):
        rows = rows_of.get((truth["participant"], truth["electrode"]))
        hit = False
        if rows is not None and flag:
            hit = bool(rows["flags"].map(lambda text: flag in text.split(",")).any())
        elif rows is not None and expected == NOT_SUPPORTED:
            hit = bool((rows["verdict"] == SUPPORTED).any())
        elif rows is not None:
            model = truth.get("model")
            model_rows = rows[rows["model"] == model] if isinstance(model, str) else rows
            hit = bool(((rows if model_rows.empty else model_rows)["q"] < LEVEL).any())
        (detected if hit else missed).append(f"{truth['participant']} {truth['electrode']}")
    if kind == "contaminated" and not audited:
        return KindFound(
            kind=kind, expected="no audit was made", n=len(planted), n_found=0, wrong=[], ok=None
        )
    claimed = not expected.startswith("no claim")
    wrong = (detected if expected == NOT_SUPPORTED else missed) if claimed else []
    return KindFound(
        kind=kind,
        expected=expected,
        n=len(planted),
        n_found=len(detected),
        wrong=wrong,
        ok=not wrong if claimed else None,
    )


def _lags_found(truth: pd.DataFrame, table: pd.DataFrame) -> list[LagFound]:
    if "lag_s" not in truth or "peak_lag" not in table:
        return []
    planted = truth[(truth["kind"] == "acoustic") & truth["lag_s"].notna()]
    if "model" not in planted:
        planted = planted.assign(model=None)
    joined = table[table["peak_lag"].notna()].merge(
        planted[["participant", "electrode", "lag_s", "model"]],
        on=["participant", "electrode"],
        suffixes=("", "_planted"),
    )
    same = joined["model_planted"].isna() | (joined["model"] == joined["model_planted"])
    groups = []
    for key, rows in joined[same].groupby(["analysis", "model", "lag_s"], sort=False):
        analysis, model, lag = str(key[0]), str(key[1]), float(str(key[2]))
        recovered = rows["peak_lag"].to_numpy(float)
        low, high = (
            rows[name].to_numpy(float) if name in rows else np.full(len(rows), np.nan)
            for name in ("peak_lag_low", "peak_lag_high")
        )
        # A lag grid and binary fractions leave 20 ms at 0.02000000000000001 s.
        within = np.abs(recovered - lag) <= LAG_TOLERANCE + 1e-9
        groups.append(
            LagFound(
                analysis=analysis,
                model=model,
                planted=lag,
                recovered=recovered,
                low=low,
                high=high,
                ok=bool(within.all()),
            )
        )
    return sorted(groups, key=lambda f: (f.analysis, f.model, f.planted))


def _planted_from_layers(truth: pd.DataFrame) -> pd.DataFrame:
    if not {"model", "layer"} <= set(truth.columns):
        return truth.iloc[:0].assign(model="", layer=0)
    return truth[truth["model"].notna() & truth["layer"].notna()]


def _layers_found(truth: pd.DataFrame, table: pd.DataFrame, evidence: Evidence) -> list[LayerFound]:
    arrays = evidence.arrays
    at = {
        (str(p), str(e)): k
        for k, (p, e) in enumerate(
            zip(arrays["channel_participant"].values, arrays["channel"].values, strict=True)
        )
    }
    groups = []
    for key, planted in _planted_from_layers(truth).groupby(["model", "layer"], sort=True):
        model, layer = str(key[0]), int(float(str(key[1])))
        members = [
            at[p, e]
            for p, e in zip(planted["participant"], planted["electrode"], strict=True)
            if (p, e) in at
        ]
        for analysis in dict.fromkeys(table["analysis"]):
            if model not in arrays["model"].values or not members:
                continue
            skill = (
                arrays["skill_layer"].sel(analysis=analysis, model=model).values[members]
            )  # (electrode, layer)
            known = np.isfinite(skill).all(axis=0)
            if known.sum() < 2:
                continue
            mean = np.where(known, np.where(known, skill, 0.0).mean(axis=0), np.nan)
            # If no layer predicts anything, the best layer is not informative.
            if not np.nanmax(mean) > 0:
                continue
            layers = arrays["layer"].values.astype(float)
            best = int(layers[np.nanargmax(mean)])
            groups.append(
                LayerFound(
                    analysis=str(analysis),
                    model=model,
                    planted=layer,
                    recovered=best,
                    n=len(members),
                    layers=layers[known],
                    skill=mean[known],
                    ok=abs(best - layer) <= LAYER_TOLERANCE,
                )
            )
    return groups


def _twins_found(truth: pd.DataFrame, table: pd.DataFrame) -> list[TwinFound]:
    pairs = []
    for model, planted in _planted_from_layers(truth).groupby("model", sort=True):
        keys = planted[["participant", "electrode"]]
        for analysis in dict.fromkeys(table["analysis"]):
            rows = table[table["analysis"] == analysis].merge(keys, on=["participant", "electrode"])
            wide = rows.pivot_table(
                index=["participant", "electrode"], columns="model", values="skill", aggfunc="first"
            )
            twin = f"{model}{TWIN}"
            if model not in wide or twin not in wide:
                continue
            both = wide[[model, twin]].dropna()
            # Without permutations, as in the study, nothing is expected.
            if both.empty or rows["p"].isna().all():
                continue
            better = int((both[model] > both[twin]).sum())
            pairs.append(
                TwinFound(
                    analysis=str(analysis),
                    model=str(model),
                    twin=twin,
                    n=len(both),
                    skill=float(both[model].mean()),
                    twin_skill=float(both[twin].mean()),
                    n_better=better,
                    ok=better == len(both),
                )
            )
    return pairs
