"""The table of the group: the bootstrap in two stages against a plain loop over its draws.

`group-bootstrap`: one fit's mean over electrodes, its interval by both. The plain loop draws
participants with replacement and then electrodes of each, one draw after another; the package draws
how often each electrode is taken and forms all means as one product. `group-study`: the table of a
whole study, 27 fits by 40 regions, against nine fits of it; the ratio is the growth of time over
the growth of the number of fits (1 is linear).
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


def plain_interval(r: np.ndarray, who: np.ndarray, *, draws: int) -> tuple[float, float]:
    """The same interval, one draw after another."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(who == name) for name in np.unique(who)]
    means = np.empty(draws)
    for k in range(draws):
        taken = [members[p] for p in rng.integers(len(members), size=len(members))]
        means[k] = np.concatenate([r[rng.choice(m, size=len(m))] for m in taken]).mean()
    low, high = np.quantile(means, (group.LOW, group.HIGH))
    return float(low), float(high)


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
    """Both comparisons."""
    rng = np.random.default_rng(0)
    whole = study(rng, fits=FITS)
    one = whole[whole["model"] == "m0"]
    r, who = one["r"].to_numpy(), one["participant"].to_numpy()

    def ours() -> tuple[np.ndarray, np.ndarray]:
        counts = group.electrode_counts(who, draws=group.DRAWS)
        return group.interval(group.drawn_means(counts, r))

    ours_s, ends = fastest(ours)
    plain_s, plain_ends = fastest(lambda: plain_interval(r, who, draws=group.DRAWS))
    settings = group.GroupSettings()
    part = whole[whole["model"].isin([f"m{k}" for k in range(FITS // 3)])]
    whole_s, _ = fastest(lambda: group.table(whole, twins={}, settings=settings))
    part_s, _ = fastest(lambda: group.table(part, twins={}, settings=settings))
    apart = max(abs(float(a) - b) for a, b in zip(ends, plain_ends, strict=True))
    return [
        {
            "name": "group-bootstrap",
            "against": f"a plain loop over {group.DRAWS} draws of {len(r)} electrodes",
            "ratio": round(plain_s / ours_s, 1),
            "ours_s": round(ours_s, 4),
            "theirs_s": round(plain_s, 4),
            "agreement": f"ends of the interval within {apart:.3f}, by chance of the draws",
        },
        {
            "name": "group-study",
            "against": f"growth from {FITS // 3} to {FITS} fits of {len(r)} electrodes",
            "ratio": round(whole_s / part_s / 3, 3),
            "ours_s": round(whole_s, 3),
            "theirs_s": round(part_s, 3),
        },
    ]
