"""How a joint fit's skill divides among its models, electrode by electrode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma.report.evidence import Evidence
from highgamma.report.findings.verdicts import SUPPORTED

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]

NOT_ESTIMABLE = "not-estimable"


@dataclass(frozen=True, slots=True)
class Partition:
    """How the joint skill of one fit divides among its spaces, electrode by electrode.

    Electrodes are in the order of their verdict (supported first), then of their skill.

    Attributes
    ----------
    analysis, model
        Names of the fit.
    spaces
        Names of the spaces.
    participant, electrode, verdict
        Of each electrode.
    r, skill
        (electrode,) of the joint fit.
    unique
        (electrode, space) joint skill minus the skill without the space.
    share
        (electrode, space) division of the joint skill that sums to it.
    shared
        (electrode,) joint skill minus all unique parts.
    noise_ceiling, explainable
        (electrode,) greatest r that can be reached, and the share of the variance that repeats
        whenever a word does; NaN if it cannot be estimated.
    """

    analysis: str
    model: str
    spaces: list[str]
    participant: list[str]
    electrode: list[str]
    verdict: list[str]
    r: FloatArray
    skill: FloatArray
    unique: FloatArray
    share: FloatArray
    shared: FloatArray
    noise_ceiling: FloatArray
    explainable: FloatArray

    @property
    def has_ceiling(self) -> bool:
        """Whether the ceiling was estimated for any electrode."""
        return bool(np.isfinite(self.noise_ceiling).any())

    def medians(self) -> list[tuple[str, float, float, int]]:
        """Return the medians over electrodes of each space.

        Returns
        -------
        rows
            For each space: its name, median unique part, median share, and the number of electrodes
            with a unique part above 0.
        """
        rows = []
        for k, space in enumerate(self.spaces):
            unique = self.unique[:, k]
            known = unique[np.isfinite(unique)]
            share = self.share[:, k]
            share = share[np.isfinite(share)]
            rows.append(
                (
                    space,
                    float(np.median(known)) if known.size else np.nan,
                    float(np.median(share)) if share.size else np.nan,
                    int((known > 0).sum()),
                )
            )
        return rows


def partitions(evidence: Evidence) -> list[Partition]:
    """Return every joint fit of the run, in the order of the table."""
    joint_fits = []
    for key, rows in evidence.partition.groupby(["analysis", "model"], sort=False):
        analysis, model = (str(part) for part in key)
        joint_fits.append(_partition(evidence, analysis, model, rows))
    return joint_fits


def _partition(evidence: Evidence, analysis: str, model: str, rows: pd.DataFrame) -> Partition:
    import pandas as pd

    keys = ["participant", "electrode"]
    spaces = list(dict.fromkeys(rows["space"]))

    def number(values: Any) -> Any:
        # A ceiling that could not be estimated may be a word in the table.
        return pd.to_numeric(values, errors="coerce")

    electrodes = rows.drop_duplicates(keys).set_index(keys)
    table = evidence.electrodes
    scored = table[(table["analysis"] == analysis) & (table["model"] == model)].set_index(keys)
    electrodes = electrodes.join(scored[["r", "verdict"]], how="left")
    electrodes = electrodes.assign(
        supported=electrodes["verdict"] == SUPPORTED,
        known=number(electrodes["skill"]).fillna(-np.inf),
    ).sort_values(["supported", "known"], ascending=False, kind="stable")
    by_space = rows.assign(unique=number(rows["unique"]), share=number(rows["share"]))

    def wide(name: str) -> FloatArray:
        table = by_space.pivot(index=keys, columns="space", values=name)
        return np.asarray(table.reindex(index=electrodes.index, columns=spaces).to_numpy(float))

    def column(name: str) -> FloatArray:
        return np.asarray(number(electrodes[name]).to_numpy(float))

    return Partition(
        analysis=analysis,
        model=model,
        spaces=[str(s) for s in spaces],
        participant=[str(p) for p, _ in electrodes.index],
        electrode=[str(e) for _, e in electrodes.index],
        verdict=[str(v) for v in electrodes["verdict"]],
        r=column("r"),
        skill=column("skill"),
        unique=wide("unique"),
        share=wide("share"),
        shared=column("shared"),
        noise_ceiling=column("noise_ceiling"),
        explainable=column("explainable"),
    )
