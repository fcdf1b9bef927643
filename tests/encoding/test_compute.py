"""A device takes over the heavy operations, and nothing else has to know of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from worlds import PLAIN, WORDS, autocorrelated, frames, words

from highgamma.encoding.analysis import analysis_from
from highgamma.encoding.compute import CPU, Compute
from highgamma.encoding.fit import fit_analysis
from highgamma.encoding.samples import Samples


class Counting:
    """A device of the test's own: numpy in plain words, and a count of what it was asked for."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def add_products(self, gram: Any, cross: Any, X: Any, Y: Any) -> None:
        self.calls["add_products"] += 1
        if gram is not None:
            gram += np.einsum("np,nq->pq", X, X)
        cross += np.einsum("np,nt->pt", X, Y)

    def solve_path(self, gram: Any, cross: Any, alphas: Any) -> Any:
        self.calls["solve_path"] += 1
        eye = np.eye(len(gram))
        solved = [np.linalg.solve(gram + alpha * eye, cross) for alpha in alphas]
        return np.asfortranarray(np.concatenate(solved, axis=1))

    def solve_each(self, gram: Any, cross: Any, alpha: Any) -> Any:
        self.calls["solve_each"] += 1
        eye = np.eye(len(gram))
        columns = [np.linalg.solve(gram + a * eye, c) for a, c in zip(alpha, cross.T, strict=True)]
        return np.stack(columns, axis=1)

    def __getattr__(self, name: str) -> Any:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.calls[name] += 1
            return getattr(CPU, name)(*arguments, **named)

        return counted


def samples(unit: str, *, n: int, p: int) -> Samples:
    rows = frames(n) if unit == "frame" else words(n)
    X, Y = (autocorrelated(n, k, seed=k) for k in (p, 4))
    return Samples(
        unit=unit, targets=Y, features=lambda layer: X, rows=rows,
        usable=np.ones(n, dtype=bool), rate=100.0 if unit == "frame" else 0.0, reach=0.0,
        channels={"channel": ("channel", [f"LA{k}" for k in range(4)])},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "n", "p", "changes", "asked"),
    [
        ("frame", 2400, 6, {"null_penalties": "kept"}, {"surrogate_sums", "solve_path"}),
        ("frame", 1200, 6, {"null_penalties": "chosen"}, {"solve_path", "solve_each"}),
        ("word", 40, 60, {"null_penalties": "kept"}, {"dual_model", "kernel_maps"}),
        ("word", 40, 60, {"null_penalties": "chosen"}, {"dual_model"}),
    ],
)
def test_every_heavy_operation_goes_to_the_device_with_the_same_results(
    unit: str, n: int, p: int, changes: dict[str, Any], asked: set[str], caplog
) -> None:
    analysis = analysis_from(
        (WORDS if unit == "word" else PLAIN)
        | {
            "unit": unit,
            "folds": 4,
            "permutations": 9,
            "min_shift": 1.0,
            "alphas": [1, 10, 100, 1e3],
        }
        | changes
    )
    device = Counting()

    def fitted(compute: Compute) -> Any:
        return fit_analysis(
            samples(unit, n=n, p=p), analysis=analysis, layers=[0], names=("x",), compute=compute
        )

    ours, theirs = fitted(CPU), fitted(device)
    assert asked <= set(device.calls)
    assert ("neighbouring words are alike" in caplog.text) == (unit == "word")
    for name in ("r", "skill", "null_r", "alpha"):
        np.testing.assert_allclose(theirs[name], ours[name], atol=1e-6)
