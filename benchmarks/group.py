"""The table of the group.

`group-study`: the table of a whole study, 27 fits by 40 regions, against nine fits of it; the ratio
is the growth of time over the growth of the number of fits (1 is linear).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from highgamma import group

ELECTRODES = (127, 127, 127, 115, 60, 127, 127, 54, 117, 122)
"""Of the ten participants of the study on noise."""

FITS = 27
REPEATS = 3


def fastest(run: Callable[[], Any]) -> tuple[float, Any]:
    """Least seconds of some repetitions, and what was returned."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        returned = run()
        times.append(time.perf_counter() - began)
    return min(times), returned


def study(rng: np.random.Generator, *, fits: int) -> pd.DataFrame:
    """A table of electrodes with every column that the group's table reads."""
    who = np.repeat([f"sub-{k + 1:02d}" for k in range(len(ELECTRODES))], ELECTRODES)
    tables = []
    for fit in range(fits):
        r = rng.uniform(-0.2, 0.6, len(who))
        tables.append(
            pd.DataFrame(
                {"analysis": "words", "model": f"m{fit}", "participant": who, "r": r,
                 "electrode": [f"E{k}" for k in range(len(who))], "skill": r**2, "gain": r**2 / 2,
                 "region": [f"region {k % 40}" for k in range(len(who))], "flags": ""}
            )
        )  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def results() -> list[dict[str, Any]]:
    """The growth of the table's time."""
    rng = np.random.default_rng(0)
    whole = study(rng, fits=FITS)
    settings = group.GroupSettings()
    part = whole[whole["model"].isin([f"m{k}" for k in range(FITS // 3)])]
    whole_s, _ = fastest(lambda: group.table(whole, twins={}, settings=settings))
    part_s, _ = fastest(lambda: group.table(part, twins={}, settings=settings))
    return [
        {
            "name": "group-study",
            "against": f"growth from {FITS // 3} to {FITS} fits of {sum(ELECTRODES)} electrodes",
            "ratio": round(whole_s / part_s / 3, 3),
            "ours_s": round(whole_s, 3),
            "theirs_s": round(part_s, 3),
        },
    ]
