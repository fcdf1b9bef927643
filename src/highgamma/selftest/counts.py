"""What the battery's electrodes came out as: sizes, nuisances, equal models, power."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma import store
from highgamma.scores import LEVEL
from highgamma.selftest.rates import Check, plain_values
from highgamma.selftest.scenes import FRAME_KINDS, WORD_KINDS

if TYPE_CHECKING:
    import pandas as pd

LEAST_CONTAMINATED = 0.95
"""Share of contaminated electrodes that the audit is to flag."""
SIZE_LOW, SIZE_HIGH = 0.03, 0.07
"""Bounds of the share of noise electrodes with p ≤ .05."""
LEAST_POWER = 0.5
"""Share of planted electrodes of meaning that are to be found at the highest ratio."""
COURSE_KINDS = ("noise", "on-off", "on-off-late", "prompt", "drift")
"""Electrodes whose time course is to stay within its band."""
CONSERVATIVE = {
    "frames-kept": "surrogates keep the measured penalties, which is conservative",
    "frames-banded": "surrogates keep the measured penalties, which is conservative",
    "words-elastic-net": "a fixed penalty leaves many fits constant, whose p is 1",
}
"""Cases without a lower bound of their size, and why."""


def sizes(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the share of noise electrodes with p ≤ .05, for each case over its models."""
    noise = table[(table["kind"] == "noise") & np.isfinite(table["p"]) & ~table["equal"]]
    rates = []
    for case, rows in noise.groupby("case", sort=False):
        each = {str(m): float((r["p"] <= LEVEL).mean()) for m, r in rows.groupby("model")}
        rates.append(
            {
                "case": case,
                "rate": float((rows["p"] <= LEVEL).mean()),
                "n": len(rows),
                "low": 0.0 if case in CONSERVATIVE else SIZE_LOW,
                "high": SIZE_HIGH,
                "models": each,
                "why": CONSERVATIVE.get(str(case), "the level"),
            }
        )
    return rates


def courses(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the share of electrodes whose time course leaves its band, for each case and kind."""
    rows = table[table["kind"].isin(COURSE_KINDS) & np.isfinite(table["left_band"])]
    return [
        {
            "case": f"time course of {kind}, {case}",
            "rate": float(part["left_band"].mean()),
            "n": len(part),
            "low": 0.0,
            "high": SIZE_HIGH,
            "models": {str(m): float(r["left_band"].mean()) for m, r in part.groupby("model")},
            "why": "the level, of the band over all times",
        }
        for (case, kind), part in rows.groupby(["case", "kind"], sort=False)
    ]


def nuisances(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the share of electrodes with a nuisance alone that a model is supported on."""
    kinds = {*FRAME_KINDS, *WORD_KINDS}
    rows = table[table["kind"].isin(kinds) & table["finding"] & ~table["equal"]]
    return [
        {
            "kind": kind,
            "configuration": case,
            "model": model,
            "supported": float((part["verdict"] == "supported").mean()),
            "n": len(part),
        }
        for (case, kind, model), part in rows.groupby(["case", "kind", "model"], sort=False)
    ]


def equal_models(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the share of electrodes that a second draw of a control is supported on."""
    rows = table[table["equal"] & table["finding"]]
    return [
        {
            "configuration": case,
            "model": model,
            "kind": kind,
            "supported": float((part["verdict"] == "supported").mean()),
            "n": len(part),
        }
        for (case, model, kind), part in rows.groupby(["case", "model", "kind"], sort=False)
    ]


def power(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the share of electrodes of meaning that their own model is supported on."""
    rows = table[(table["kind"] == "meaning") & table["own"] & ~table["equal"]]
    return [
        {
            "case": case,
            "snr": float(part["snr"].iloc[0]),
            "rate": float((part["verdict"] == "supported").mean()),
            "n": len(part),
        }
        for (case, _), part in rows.groupby(["case", "snr"], sort=False)
    ]


def counted(table: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return everything that is counted over the battery, by the keys of `selftest.json`."""
    return {
        "sizes": [*sizes(table), *courses(table)],
        "nuisances": nuisances(table),
        "equal_models": equal_models(table),
        "power": power(table),
    }


def checks(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Check]:
    """Return the checks of the battery, from `counted`."""
    bar = "a bar, over all models, ratios and scenes"
    made = [
        Check(
            name=f"size, {size['case']}",
            found=size["rate"],
            expected=LEVEL,
            low=size["low"] or float("nan"),
            high=size["high"],
            n=size["n"],
            why=size["why"],
        )
        for size in found.get("sizes", [])
    ]
    for key, what in (("nuisances", "electrodes of a nuisance alone"), ("equal_models", "equals")):
        for case in dict.fromkeys(row["configuration"] for row in found.get(key, [])):
            rows = [row for row in found[key] if row["configuration"] == case]
            n = sum(row["n"] for row in rows)
            made.append(
                Check(
                    name=f"supported {what}, {case}",
                    found=sum(row["supported"] * row["n"] for row in rows) / n,
                    expected=0.0,
                    low=float("nan"),
                    high=LEVEL,
                    n=n,
                    why=bar,
                )
            )
    for case in dict.fromkeys(row["case"] for row in found.get("power", [])):
        best = max((p for p in found["power"] if p["case"] == case), key=lambda p: p["snr"])
        made.append(
            Check(
                name=f"electrodes of meaning supported, {case}, ratio {best['snr']:g}",
                found=best["rate"],
                expected=1.0,
                low=LEAST_POWER,
                high=float("nan"),
                n=best["n"],
                why="a bar",
            )
        )
    return made


def audit_checks(found: Sequence[Mapping[str, Any]]) -> list[Check]:
    """Return the checks of the audit's cases (`audit.measure`)."""
    return [
        Check(
            name=f"flagged by the audit, {row['case']}",
            found=row["rate"],
            expected=0.0 if row["clean"] else 1.0,
            low=float("nan") if row["clean"] else LEAST_CONTAMINATED,
            high=LEVEL if row["clean"] else float("nan"),
            n=row["n"],
            why="a bar",
        )
        for row in found
    ]


def rows_of(paths: Sequence[str | Path]) -> list[dict[str, Any]]:
    """Return the rows of the tables of audited cases, or of intervals."""
    rows: list[dict[str, Any]] = []
    for path in paths:
        table = store.read_table(path, strings=("case", "clean", "why"))
        if "clean" in table:
            table["clean"] = table["clean"] == "True"
        rows += [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
    return rows


def read(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Read the tables of all cases and scenes as one."""
    import pandas as pd

    names = ("model", "electrode", "verdict", "case", "kind")
    tables = [store.read_table(path, strings=names) for path in paths]
    table = pd.concat(tables, ignore_index=True)
    for name in ("equal", "finding", "own"):
        table[name] = table[name].astype(str) == "True"
    return table


def added(
    found: Mapping[str, Any],
    *,
    battery: pd.DataFrame | None = None,
    audit: Sequence[Mapping[str, Any]] = (),
    intervals: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return a result with what further parts found, and their checks among the others.

    Parameters
    ----------
    found
        The result so far, which may be empty.
    battery
        The battery's electrodes.
    audit
        What `audit.measure` returned, case by case.
    intervals
        What `intervals.measure` returned.
    """
    counts: dict[str, Any] = {} if battery is None else counted(battery)
    if intervals:
        counts["sizes"] = [*counts.get("sizes", []), *({"models": {}} | dict(r) for r in intervals)]
    made = checks(counts)
    if audit:
        counts["audit"] = list(audit)
        made += audit_checks(audit)
    every = [*found.get("checks", []), *(asdict(c) | {"passed": c.passed} for c in made)]
    plain: dict[str, Any] = plain_values(
        {**found, **counts, "checks": every, "passed": all(c["passed"] for c in every)}
    )
    return plain
