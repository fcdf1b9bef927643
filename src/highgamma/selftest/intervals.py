"""How often the 95 % intervals of group means and of compared runs miss what is true."""

from __future__ import annotations

from typing import Any

import numpy as np

from highgamma import compare, group
from highgamma.scores import FoldSums
from highgamma.selftest.scenes import FloatArray

PARTICIPANTS = (3, 5, 10)
"""Participants of simulated groups, 25 electrodes each."""
FOLDS = (5, 10, 100)
"""Outer folds of compared fits, 30 samples each."""
LOW, HIGH = 0.03, 0.07
"""Bounds of the share that misses."""
GROUPS, ELECTRODES = 4000, 1000
"""Simulated groups, and electrodes of compared fits."""


def measure(seed: int) -> list[dict[str, Any]]:
    """Return the share of intervals without 0, where 0 is true.

    Parameters
    ----------
    seed
        Of all draws.

    Returns
    -------
    measured : list
        Rows with `case`, `rate`, `n`, the bounds `low` and `high` of the rate, and `why`.
    """
    rng = np.random.default_rng(seed)
    missed = {f"interval over {n} participants": missed_by_groups(n, rng=rng) for n in PARTICIPANTS}
    for folds in FOLDS:
        missed |= {
            f"interval of compared {name}, {folds} folds": share
            for name, share in missed_by_comparisons(folds, rng=rng).items()
        }
    return [
        {
            "case": case,
            "rate": float(wrong.mean()),
            "n": len(wrong),
            "low": LOW,
            "high": HIGH,
            "why": "the level",
        }
        for case, wrong in missed.items()
    ]


def missed_by_groups(n: int, *, rng: np.random.Generator) -> FloatArray:
    """Return for each simulated group of n participants whether its interval leaves 0 out.

    Participants differ as much as the electrodes of one do.
    """
    who = np.repeat(np.arange(n), 25)
    values = np.repeat(rng.normal(size=(n, GROUPS)), 25, axis=0)
    values = values + rng.normal(size=values.shape)
    low, high = group.t_interval(group.participant_means(values, who))
    return np.asarray((low > 0) | (high < 0), dtype=np.float64)


def missed_by_comparisons(folds: int, *, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Return for two fits that are equally good whether their intervals leave 0 out."""
    n = 30
    observed = rng.normal(size=(folds, n, ELECTRODES))
    sums = []
    for _ in range(2):
        predicted = 0.5 * observed + 0.5 * rng.normal(size=observed.shape)
        pairs = ((observed, observed), (predicted, predicted), (observed, predicted))
        sums.append(
            FoldSums(
                np.full((folds, 1), float(n)),
                observed.sum(axis=1),
                predicted.sum(axis=1),
                *((a * b).sum(axis=1) for a, b in pairs),
            )
        )
    missed = {}
    pseudo = (compare.pseudo_values(s) for s in sums)
    for name, ours, theirs in zip(("r", "skill"), *pseudo, strict=True):
        low, high = group.t_interval(ours - theirs)
        missed[name] = np.asarray((low > 0) | (high < 0), dtype=np.float64)
    return missed
