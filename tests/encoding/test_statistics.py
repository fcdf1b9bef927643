"""Sums over blocks and over the rows of gaps, against sums over the training rows themselves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from worlds import frames

from highgamma.encoding import statistics as statistics_of
from highgamma.encoding.splits import split_rows
from highgamma.encoding.statistics import block_statistics, strip_rows, table

N = 400
ROWS = frames(N, segments=2, rate=10.0)


# In the last, gaps reach across a whole block and overlap.
@pytest.mark.parametrize(("folds", "gap"), [(4, 0.0), (4, 0.5), (5, 3.0), (8, 4.5)])
@pytest.mark.parametrize("kept", [True, False])
def test_a_training_sets_sums_are_those_of_its_rows(folds, gap, kept, monkeypatch) -> None:
    if not kept:
        monkeypatch.setattr(statistics_of, "STRIP_BYTES", -1)
    rng = np.random.default_rng(0)
    X, Y = rng.normal(3, 1, (N, 6)), rng.normal(-2, 1, (N, 5))
    split = split_rows(ROWS, scheme="contiguous", folds=folds, gap=gap, step=0.1)
    of_all = block_statistics(table(X), rng.normal(size=(N, 2)), split)
    assert (of_all.strips is not None) == kept
    statistics = of_all.with_targets(Y)
    sets = [(i,) for i in range(folds)] + list(itertools.combinations(range(folds), 2))
    for left_out in sets:
        rows = np.all([split.folds[i].train for i in left_out], axis=0)
        x, y = X[rows] - statistics.x_origin, Y[rows] - statistics.y_origin
        sums = statistics.training(left_out)
        assert sums.n == rows.sum()
        np.testing.assert_allclose(sums.x, x.sum(0), atol=1e-9)
        np.testing.assert_allclose(sums.y, y.sum(0), atol=1e-9)
        np.testing.assert_allclose(sums.gram, x.T @ x, atol=1e-9)
        np.testing.assert_allclose(sums.cross, x.T @ y, atol=1e-9)
        np.testing.assert_allclose(sums.yy, (y**2).sum(0), atol=1e-9)


def test_strips_are_the_rows_of_gaps_once_each() -> None:
    split = split_rows(ROWS, scheme="contiguous", folds=5, gap=3.0, step=0.1)
    strips = strip_rows(split)
    rows = np.concatenate([rows for rows, _, _ in strips])
    assert len(rows) == len(set(rows.tolist()))
    for number, fold in enumerate(split.folds):
        gap = set(np.flatnonzero(~fold.train & (split.block != number)).tolist())
        beside = [r for r, _, blocks in strips if number in blocks]
        assert gap == set(np.concatenate([*beside, []]).astype(int).tolist())
