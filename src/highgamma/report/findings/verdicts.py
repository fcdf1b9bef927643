"""How many electrodes each verdict falls to, by analysis and model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma.report.evidence import Evidence
from highgamma.scores import LEVEL

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]

SUPPORTED = "supported"
VERDICTS = (
    SUPPORTED,
    "explained by controls",
    "contaminated",
    "not significant",
    "leaky split",
    "not estimable",
)
"""Every verdict, from the one that passed all rules to those that failed at the first."""

RULES = (
    ("not estimable", "The electrode’s signal is constant, or no score of it is finite."),
    ("leaky split", "Held-out samples have close neighbours among the training samples."),
    ("not significant", "The fit ignores its input, or predicts no better than the training mean."),
    ("not estimable", "There is no p: no permutations were drawn, or r is not defined."),
    ("not significant", f"q is not below {LEVEL:.2f}".replace("0.", ".") + "."),
    ("contaminated", "The audit finds the microphone in the electrode."),
    ("explained by controls", "A control model explains as much: the gain is not above 0."),
    ("not estimable", "A control that the analysis names has no score here."),
    (SUPPORTED, "None of these."),
)
"""The rules in their order, in words; the first that applies gives the verdict."""

PUBLISHED_RANGE = (0.79, 0.99)
"""The published study's headline: correlation across channels in every participant."""


@dataclass(frozen=True, slots=True)
class ModelFinding:
    """One analysis and model over all participants."""

    model: str
    is_control: bool
    n: int
    verdicts: dict[str, int]
    n_significant: int | None
    skill_median: float
    r_median: float
    pcc: float
    pcc_mean_predictor: float
    pcc_shuffled: float

    @property
    def n_supported(self) -> int:
        """Number of electrodes whose verdict is `supported`."""
        return self.verdicts.get(SUPPORTED, 0)


@dataclass(frozen=True, slots=True)
class AnalysisFinding:
    """One analysis: its models, and how many electrodes at least one that is no control has.

    `verdicts` gives each electrode the verdict of the model that passed most rules, over the
    models that are no controls; `controlled` says whether the analysis names controls.
    """

    analysis: str
    unit: str
    controlled: bool
    n: int
    verdicts: dict[str, int]
    models: list[ModelFinding]
    pcc_range: tuple[float, float]
    pcc_mean_predictor_range: tuple[float, float]

    @property
    def n_supported(self) -> int:
        """Number of electrodes supported for at least one model that is no control."""
        return self.verdicts.get(SUPPORTED, 0)

    @property
    def tested(self) -> bool:
        """Whether the analysis drew permutations."""
        return any(m.n_significant is not None for m in self.models)


def headline(evidence: Evidence) -> list[AnalysisFinding]:
    """Verdicts counted by analysis and model, beside the study's score."""
    analyses = []
    for analysis in evidence.analyses:
        rows = evidence.electrodes[evidence.electrodes["analysis"] == analysis]
        controls = set(evidence.controls(analysis))
        people = evidence.participants[evidence.participants["analysis"] == analysis]
        model_rows = evidence.findings(rows, analysis)
        best = (
            model_rows.assign(rank=model_rows["verdict"].map(rank))
            .groupby(["participant", "electrode"], sort=False)["rank"]
            .min()
        )
        study = people[people["model"].isin(set(model_rows["model"]))]
        analyses.append(
            AnalysisFinding(
                analysis=analysis,
                unit=evidence.unit(analysis),
                controlled=bool(evidence.settings(analysis).get("controls")),
                n=len(best),
                verdicts=_counted(VERDICTS[int(k)] for k in best),
                models=[
                    _model_finding(
                        model,
                        rows[rows["model"] == model],
                        people[people["model"] == model],
                        is_control=model in controls,
                    )
                    for model in dict.fromkeys(rows["model"])
                ],
                pcc_range=_range(study["pcc_across_channels"]),
                pcc_mean_predictor_range=_range(people["pcc_mean_predictor"]),
            )
        )
    return analyses


def rank(verdict: str) -> int:
    """Place of a verdict among `VERDICTS`; one that is not known is no reason to believe."""
    return VERDICTS.index(verdict) if verdict in VERDICTS else len(VERDICTS) - 1


def _counted(verdicts: Any) -> dict[str, int]:
    counts = Counter(VERDICTS[rank(v)] for v in verdicts)
    return {name: counts[name] for name in VERDICTS if counts[name]}


def _model_finding(
    model: str, rows: pd.DataFrame, people: pd.DataFrame, *, is_control: bool
) -> ModelFinding:
    tested = bool(rows["q"].notna().any()) or not rows["flags"].str.contains("not-tested").all()
    return ModelFinding(
        model=model,
        is_control=is_control,
        n=len(rows),
        verdicts=_counted(rows["verdict"]),
        n_significant=int((rows["q"] < LEVEL).sum()) if tested else None,
        skill_median=median(rows["skill"]),
        r_median=median(rows["r"]),
        pcc=median(people["pcc_across_channels"]),
        pcc_mean_predictor=median(people["pcc_mean_predictor"]),
        pcc_shuffled=median(people["pcc_shuffled"]),
    )


def _finite(values: pd.Series[Any]) -> FloatArray:
    array: FloatArray = values.to_numpy(dtype=np.float64, na_value=np.nan)
    known: FloatArray = array[np.isfinite(array)]
    return known


def median(values: pd.Series[Any]) -> float:
    """Median of the values that are known; NaN where none is."""
    known = _finite(values)
    return float(np.median(known)) if known.size else float("nan")


def _range(values: pd.Series[Any]) -> tuple[float, float]:
    known = _finite(values)
    return (float(known.min()), float(known.max())) if known.size else (np.nan, np.nan)


def best_electrodes(evidence: Evidence, analysis: str, *, n: int) -> pd.DataFrame:
    """The n electrodes with the highest skill, supported ones first, each with its best model.

    Control models are passed over where there are others; fits without a correlation have no
    recreation to show.
    """
    rows = evidence.electrodes[evidence.electrodes["analysis"] == analysis]
    rows = rows[np.isfinite(rows["r"].to_numpy(float)) & np.isfinite(rows["skill"].to_numpy(float))]
    rows = evidence.findings(rows, analysis)
    rows = rows.assign(supported=rows["verdict"] == SUPPORTED)
    rows = rows.sort_values(
        ["supported", "skill", "participant", "electrode", "model"],
        ascending=[False, False, True, True, True],
        kind="stable",
    )
    first: pd.DataFrame = rows.drop_duplicates(["participant", "electrode"]).head(n)
    return first


def by_verdict(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the table of electrodes by verdict, then skill; ties keep their order."""
    order = table.assign(rank=table["verdict"].map(rank), known=table["skill"].fillna(-np.inf))
    order = order.sort_values(["rank", "known"], ascending=[True, False], kind="stable")
    return order.drop(columns=["rank", "known"])


def flag_counts(evidence: Evidence) -> list[tuple[str, str, Counter[str]]]:
    """How often each flag was raised, by analysis and model."""
    counted = []
    for key, rows in evidence.electrodes.groupby(["analysis", "model"], sort=False):
        analysis, model = (str(part) for part in key)
        flags = Counter(flag for text in rows["flags"] for flag in text.split(",") if flag)
        counted.append((analysis, model, flags))
    return counted
