"""Count the electrodes with each verdict, by analysis and model."""

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
"""Every verdict, from the one that passes all rules to those that fail the first ones."""

RULES = (
    ("not estimable", "The electrode’s signal is constant, or no score of it is finite."),
    ("leaky split", "Held-out samples have close neighbours among the training samples."),
    ("not significant", "The fit ignores its input, or predicts no better than the training mean."),
    ("not estimable", "There is no p: no permutations were drawn, or r is not defined."),
    ("not significant", f"q is not below {LEVEL:.2f}".replace("0.", ".") + "."),
    ("contaminated", "The audit finds the microphone in the electrode."),
    ("explained by controls", "The row is of nuisances or position, which are never a finding."),
    ("not estimable", "A nuisance or control has no score here, or the gain could not be tested."),
    (
        "explained by controls",
        "Nuisances and controls explain as much: the gain is not above 0, or its q is not below "
        f"{LEVEL:.2f}".replace("0.0", ".0")
        + ".",
    ),
    (SUPPORTED, "None of these."),
)
"""The rules in words, in order; the first that applies gives the verdict."""

PUBLISHED_RANGE = (0.79, 0.99)
"""Range over participants of the published correlation across channels."""


@dataclass(frozen=True, slots=True)
class ModelFinding:
    """One analysis and model over all participants.

    Attributes
    ----------
    model, is_control
        Name of the model, and whether it is a control.
    n
        Number of electrodes.
    verdicts
        Number of electrodes by verdict.
    n_significant
        Number of electrodes with q < .05, None without permutations.
    skill_median, r_median
        Medians over electrodes.
    pcc, pcc_mean_predictor, pcc_shuffled
        Medians over participants of the correlation across channels: of the model, of the mean
        predictor, and with shuffled embeddings.
    """

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
    """One analysis over all participants.

    Attributes
    ----------
    analysis, unit
        Name of the analysis, and its unit, `frame` or `word`.
    controlled
        Whether the analysis names controls.
    n
        Number of electrodes.
    verdicts
        Number of electrodes by verdict. An electrode has the best of the verdicts that it has for
        the models that are not controls.
    models
        The models of the analysis, controls included.
    pcc_range, pcc_mean_predictor_range
        Least and greatest correlation across channels: of the models that are not controls, and of
        the mean predictor.
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
        """Number of electrodes supported for at least one model that is not a control."""
        return self.verdicts.get(SUPPORTED, 0)

    @property
    def fitted(self) -> list[ModelFinding]:
        """The models that are not controls, those with most supported electrodes first."""
        models = [m for m in self.models if not m.is_control]
        return sorted(models, key=lambda m: -m.n_supported)

    @property
    def tested(self) -> bool:
        """Whether the analysis drew permutations."""
        return any(m.n_significant is not None for m in self.models)


def headline(evidence: Evidence) -> list[AnalysisFinding]:
    """Count the verdicts by analysis and model, and add the study's score."""
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
    """Return the place of a verdict among `VERDICTS`; an unknown verdict ranks last."""
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
    """Return the median of the finite values, NaN without any."""
    known = _finite(values)
    return float(np.median(known)) if known.size else float("nan")


def _range(values: pd.Series[Any]) -> tuple[float, float]:
    known = _finite(values)
    return (float(known.min()), float(known.max())) if known.size else (np.nan, np.nan)


def best_electrodes(evidence: Evidence, analysis: str, *, n: int) -> pd.DataFrame:
    """Return the electrodes with the highest skill, supported ones first, each with its best model.

    Control models are left out, as are fits without a correlation, which have no prediction to
    show.

    Parameters
    ----------
    evidence
        The run's evidence.
    analysis
        Name of the analysis.
    n
        Most electrodes to return.
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
    """Sort rows of the table of electrodes by verdict, then skill; ties keep their order."""
    order = table.assign(rank=table["verdict"].map(rank), known=table["skill"].fillna(-np.inf))
    order = order.sort_values(["rank", "known"], ascending=[True, False], kind="stable")
    return order.drop(columns=["rank", "known"])


def flag_counts(evidence: Evidence) -> list[tuple[str, str, Counter[str]]]:
    """Count how often each flag was raised, as (analysis, model, counts)."""
    counted = []
    for key, rows in evidence.electrodes.groupby(["analysis", "model"], sort=False):
        analysis, model = (str(part) for part in key)
        flags = Counter(flag for text in rows["flags"] for flag in text.split(",") if flag)
        counted.append((analysis, model, flags))
    return counted
