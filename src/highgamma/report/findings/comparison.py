"""Compare a published study's scores with this run's, by participant and model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from highgamma.errors import InputError, nearest
from highgamma.report.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Compared:
    """Scores of one participant and model, ours and published; NaN if not known.

    Attributes
    ----------
    participant, model
        Whose scores they are.
    pcc, pcc_published, pcc_mean_predictor
        Correlation across channels: ours, published, of the mean predictor.
    within
        Precision of the published correlation.
    r2, r2_published, r2_mean_predictor
        R² across channels: ours, published, of the mean predictor.
    """

    participant: str
    model: str
    pcc: float
    pcc_published: float
    within: float
    pcc_mean_predictor: float
    r2: float
    r2_published: float
    r2_mean_predictor: float

    @property
    def pcc_difference(self) -> float:
        """Our correlation minus the published one."""
        return self.pcc - self.pcc_published

    @property
    def r2_difference(self) -> float:
        """Our R² minus the published one."""
        return self.r2 - self.r2_published


@dataclass(frozen=True, slots=True)
class PublishedComparison:
    """A published study and the analysis of this run that repeats it."""

    analysis: str
    models: list[str]
    rows: list[Compared]
    sources: list[str]

    def of(self, model: str) -> list[Compared]:
        """Return the rows of one model."""
        return [row for row in self.rows if row.model == model]

    def differences(self, name: str) -> list[float]:
        """Return all known differences of a score, `pcc` or `r2`."""
        values = [float(getattr(row, f"{name}_difference")) for row in self.rows]
        return [v for v in values if np.isfinite(v)]


def comparison(evidence: Evidence) -> PublishedComparison | None:
    """Compare this run with the published scores, for the models that the key `published` pairs.

    Participants of either side have rows, those of this run first.

    Returns
    -------
    comparison
        None if no published scores are given, or if the analysis has none of the paired models.

    Raises
    ------
    InputError
        If a paired model is not in the table of published scores.
    """
    if evidence.published is None:
        return None
    settings: Mapping[str, Any] = evidence.config.get("published") or {}
    analysis = str(settings.get("analysis", "paper"))
    people = evidence.participants
    people = people[people["analysis"] == analysis]
    theirs = evidence.published
    pairs: Mapping[str, str] = settings.get("models") or {}
    _check(pairs, list(dict.fromkeys(theirs["model"])))
    have = set(people["model"])
    pairs = {ours: published for ours, published in pairs.items() if ours in have}
    if not pairs:
        return None
    ours_of = {(r["participant"], r["model"]): r for r in people.to_dict("records")}
    theirs_of = {(r["participant"], r["model"]): r for r in theirs.to_dict("records")}
    everyone = dict.fromkeys([*people["participant"], *theirs["participant"]])
    rows = [
        _compared(person, model, ours_of.get((person, model)), theirs_of.get((person, published)))
        for model, published in pairs.items()
        for person in everyone
        if (person, model) in ours_of or (person, published) in theirs_of
    ]
    used = theirs[theirs["model"].isin(set(pairs.values()))]
    return PublishedComparison(
        analysis=analysis,
        models=list(pairs),
        rows=rows,
        sources=list(dict.fromkeys(used["source"].dropna())),
    )


def _check(pairs: Mapping[str, str], known: Sequence[str]) -> None:
    unknown = {ours: name for ours, name in pairs.items() if name not in known}
    if unknown:
        raise InputError(
            "; ".join(
                f"{name!r} is no model of the published scores{nearest(name, list(known))}"
                for name in unknown.values()
            ),
            where="published.models",
            expected="one of " + ", ".join(known),
            remedy="pair each model of this run with a model of the table, as written there",
        )


def _compared(
    participant: str,
    model: str,
    ours: Mapping[Any, Any] | None,
    theirs: Mapping[Any, Any] | None,
) -> Compared:
    def number(row: Mapping[Any, Any] | None, name: str) -> float:
        return float((row or {}).get(name, np.nan))

    return Compared(
        participant=participant,
        model=model,
        pcc=number(ours, "pcc_across_channels"),
        pcc_published=number(theirs, "pcc"),
        within=number(theirs, "pcc_within"),
        pcc_mean_predictor=number(ours, "pcc_mean_predictor"),
        r2=number(ours, "r2_across_channels"),
        r2_published=number(theirs, "r2"),
        r2_mean_predictor=number(ours, "r2_mean_predictor"),
    )
