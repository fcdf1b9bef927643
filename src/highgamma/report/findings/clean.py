"""The summary with and without the electrodes that the audit flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from highgamma import store
from highgamma.report.evidence import Evidence
from highgamma.report.findings.verdicts import SUPPORTED, median
from highgamma.scores import LEVEL
from highgamma.summary.columns import split_flag

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class CleanRow:
    """One analysis and model over `all` electrodes or over the `clean` ones.

    No contaminated electrode can be supported; `n_significant` depends on q alone. Medians of r and
    skill are over the electrodes that have them.
    """

    analysis: str
    model: str
    electrodes: str
    n_electrodes: int
    n_significant: int
    n_supported: int
    r_median: float
    skill_median: float
    distance_s: float
    flags: str


TABLE_COLUMNS = tuple(field.name for field in fields(CleanRow))


def with_and_without(evidence: Evidence) -> list[tuple[CleanRow, CleanRow]]:
    """Return a row over all electrodes and one without contaminated ones, for each fit.

    Electrodes with the flag `contaminated` are left out; flat electrodes have no scores either way.
    """
    pairs = []
    for key, rows in evidence.electrodes.groupby(["analysis", "model"], sort=False):
        analysis, model = (str(part) for part in key)
        foul = rows["flags"].map(lambda text: "contaminated" in text.split(","))
        pairs.append(
            (
                _row(analysis, model, "all", rows),
                _row(analysis, model, "clean", rows[~foul.astype(bool)]),
            )
        )
    return pairs


def _row(analysis: str, model: str, electrodes: str, rows: pd.DataFrame) -> CleanRow:
    return CleanRow(
        analysis=analysis,
        model=model,
        electrodes=electrodes,
        n_electrodes=len(rows),
        n_significant=int((rows["q"] < LEVEL).sum()),
        n_supported=int((rows["verdict"] == SUPPORTED).sum()),
        r_median=median(rows["r"]),
        skill_median=median(rows["skill"]),
        distance_s=float(rows["distance_s"].min()) if "distance_s" in rows else float("nan"),
        flags=split_flag(leaky=bool(rows["flags"].str.contains("leaky-split").any())),
    )


def write_clean(pairs: Sequence[tuple[CleanRow, CleanRow]], path: str | Path) -> None:
    """Write `contamination.tsv`, a row for each analysis, model and set of electrodes."""
    import pandas as pd

    rows = [asdict(row) for pair in pairs for row in pair]
    store.write_table(pd.DataFrame(rows, columns=list(TABLE_COLUMNS)), Path(path))
