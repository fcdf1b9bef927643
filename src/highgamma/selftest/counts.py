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

SIZE_LOW, SIZE_HIGH = 0.03, 0.07
"""Bounds of the share of noise electrodes with p ≤ .05."""
LEAST_POWER = 0.5
"""Share of planted electrodes of meaning that are to be found at the highest ratio."""
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
        "sizes": sizes(table),
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
        for size in found["sizes"]
    ]
    for key, what in (("nuisances", "electrodes of a nuisance alone"), ("equal_models", "equals")):
        for case in dict.fromkeys(row["configuration"] for row in found[key]):
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
    for case in dict.fromkeys(row["case"] for row in found["power"]):
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


def read(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Read the tables of all cases and scenes as one."""
    import pandas as pd

    names = ("model", "electrode", "verdict", "case", "kind")
    tables = [store.read_table(path, strings=names) for path in paths]
    table = pd.concat(tables, ignore_index=True)
    for name in ("equal", "finding", "own"):
        table[name] = table[name].astype(str) == "True"
    return table


def added(found: Mapping[str, Any], table: pd.DataFrame) -> dict[str, Any]:
    """Return a result with what the battery found, and its checks among the others."""
    counts = counted(table)
    made = [asdict(check) | {"passed": check.passed} for check in checks(counts)]
    every = [*found.get("checks", []), *made]
    plain: dict[str, Any] = plain_values(
        {**found, **counts, "checks": every, "passed": all(c["passed"] for c in every)}
    )
    return plain
