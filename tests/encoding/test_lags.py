from __future__ import annotations

import numpy as np
import pytest

from highgamma.encoding.lags import Delayed, lag_frames, peak_interval, reachable


def test_delays_are_explicit_copies():
    X = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    delays = (-2, 0, 5)
    rows = np.flatnonzero(reachable(np.zeros(50, dtype=int), delays))
    expected = np.concatenate([np.roll(X, delay, axis=0) for delay in delays], axis=1)[rows]
    design = Delayed(X, rows, delays)
    assert design.shape == (43, 9)
    np.testing.assert_array_equal(design.rows(np.arange(43)), expected)


def test_a_positive_lag_means_that_the_brain_follows_the_sound():
    sound = np.random.default_rng(1).standard_normal((100, 1))
    brain = np.roll(sound, 7, axis=0)
    rows = np.arange(10, 90)
    np.testing.assert_array_equal(Delayed(sound, rows, (7,)).rows(np.arange(80)), brain[rows])


def test_no_delay_reaches_into_another_segment():
    segment = np.repeat([0, 1, 2], [20, 4, 30])
    mask = reachable(segment, (-3, 0, 2))
    expected = np.concatenate([np.arange(2, 17), np.arange(26, 51)])
    np.testing.assert_array_equal(np.flatnonzero(mask), expected)


def test_lags_are_whole_frames():
    assert lag_frames((-0.1, 0.2), step=0.05, rate=100.0) == (-10, -5, 0, 5, 10, 15, 20)
    assert lag_frames((0.0, 0.02), step=0.005, rate=100.0) == (0, 1, 2)


def test_the_peak_lies_where_the_curve_is_highest():
    lags = np.arange(-3, 8) * 0.05
    curve = 0.5 - (lags - 0.11) ** 2
    fold_r = np.repeat(curve[:, None, None], 6, axis=1) * [1.0, 0.5]
    peak, low, high = peak_interval(fold_r, lags, seed=0)
    np.testing.assert_allclose(peak, 0.11, atol=1e-9)
    np.testing.assert_allclose([low, high], 0.11, atol=1e-9)


def test_folds_that_disagree_widen_the_interval():
    lags = np.arange(5) * 0.1
    fold_r = np.zeros((5, 4, 1))
    fold_r[1, :2] = fold_r[3, 2:] = 0.5
    _, low, high = peak_interval(fold_r, lags, seed=0)
    assert low[0] == pytest.approx(0.1) and high[0] == pytest.approx(0.3)


def test_a_channel_without_correlations_has_no_peak():
    assert np.isnan(peak_interval(np.full((5, 4, 1), np.nan), np.arange(5.0), seed=0)[0]).all()


@pytest.mark.parametrize("delays", [(0, 1, 2, 3), (-3, -1, 1, 3), (-4, 0, 1, 7), (5, 2, 0)])
def test_lagged_products_give_the_gram_matrix_of_explicit_copies(delays):
    rng = np.random.default_rng(2)
    X = (rng.standard_normal((120, 4)) + 3).astype(np.float32)
    segment = np.repeat([0, 1, 2], [50, 12, 58])
    grid = np.flatnonzero(reachable(segment, delays))
    # Runs of all lengths, among them shorter than the span, and one frame alone.
    grid = np.concatenate([grid[:20], grid[25:28], grid[30:]])
    design = Delayed(X, grid, delays)
    origin = design.origin()
    first = X[grid - delays[0]].mean(0, dtype=float)
    np.testing.assert_allclose(origin, np.tile(first, len(delays)))
    for index in (np.arange(len(grid)), np.arange(5, 40), np.array([7]), np.arange(0, 60, 2)):
        explicit = np.concatenate([np.roll(X, d, axis=0) for d in delays], axis=1)
        explicit = explicit[grid[index]].astype(float) - origin
        products = design.products(index, origin, np.float64)
        np.testing.assert_allclose(
            design.gram(products, index, origin), explicit.T @ explicit, atol=1e-9
        )


@pytest.mark.parametrize("segments", [1, 3])
def test_delayed_features_are_fitted_as_plain_loops_over_explicit_copies_do(segments):
    from worlds import frames, loop_nested_ridge

    from highgamma.encoding.solvers.ridge import nested_ridge
    from highgamma.encoding.splits import split_rows
    from highgamma.encoding.statistics import block_statistics, table

    rng = np.random.default_rng(3)
    m, q, delays = 900, 16, (0, 2, 4)
    X = rng.standard_normal((m, q)) + rng.standard_normal((m, 1)) + 2
    Y = np.roll(X, 2, axis=0) @ rng.standard_normal((q, 3)) + 8 * rng.standard_normal((m, 3))
    rows = frames(m, segments=segments)
    kept = np.flatnonzero(reachable(rows.segment, delays))
    split = split_rows(rows.take(kept), scheme="contiguous", folds=4, gap=0.08, step=0.01)
    alphas = (1.0, 100.0, 1000.0, 1e4)
    design = Delayed(X, kept, delays)
    statistics = block_statistics(design, Y[kept], split)
    # Three differences of delays, in the place of a Gram matrix of all delayed features.
    assert [block.gram.shape for block in statistics.blocks] == [(3, q, q)] * 4
    fit = nested_ridge(design, Y[kept], split, alphas=alphas)
    explicit = np.concatenate([np.roll(X, d, axis=0) for d in delays], axis=1)[kept]
    prediction, chosen, score = loop_nested_ridge(explicit, Y[kept], split, alphas)
    np.testing.assert_array_equal(fit.alpha, chosen)
    np.testing.assert_allclose(fit.inner_score, score, atol=1e-8)
    np.testing.assert_allclose(fit.prediction, prediction, rtol=1e-8, atol=1e-8)
    plain = nested_ridge(table(explicit), Y[kept], split, alphas=alphas)
    np.testing.assert_allclose(fit.coefficients, plain.coefficients, atol=1e-9)


@pytest.mark.parametrize("form", ["kept", "chosen"])
def test_the_null_of_delayed_features_is_that_of_explicit_copies(form):
    from worlds import frames

    from highgamma.encoding import nulls
    from highgamma.encoding.analysis import analysis_from
    from highgamma.encoding.estimators import ESTIMATORS, Task
    from highgamma.encoding.kept_penalties import shifted_sums
    from highgamma.encoding.splits import split_rows
    from highgamma.encoding.statistics import block_statistics, table
    from highgamma.encoding.surrogates import Reorderings, circular_shifts
    from highgamma.scores import pooled_r

    rng = np.random.default_rng(4)
    delays = (0, 1, 2)
    X = rng.standard_normal((600, 16))
    rows = frames(600)
    kept = np.flatnonzero(reachable(rows.segment, delays))
    Y = rng.standard_normal((len(kept), 2))
    split = split_rows(rows.take(kept), scheme="contiguous", folds=3, gap=0.05, step=0.01)
    shifts = circular_shifts(rows.segment[kept], count=5, min_shift=30, seed=1)
    explicit = np.concatenate([np.roll(X, d, axis=0) for d in delays], axis=1)[kept]
    found = []
    for design in (Delayed(X, kept, delays), table(explicit)):
        statistics = block_statistics(design, Y, split)
        null = nulls.Null(Reorderings.plain(shifts))
        if form == "kept":
            alpha = np.full((3, 2), 10.0)
            null.put(
                split, shifted_sums(statistics, alpha, Reorderings.plain(shifts), standardize=True)
            )
        else:
            analysis = analysis_from(
                {"unit": "frame", "alphas": [1.0, 100.0], "null_penalties": "chosen"}
            )
            task = Task(design=design, targets=Y, split=split, analysis=analysis)
            null = ESTIMATORS["ridge"].null(Reorderings.plain(shifts))
            null.add(task, statistics, ESTIMATORS["ridge"].nested(task, statistics))
        found.append(pooled_r(null.finish()))
    np.testing.assert_allclose(*found, atol=1e-5 if form == "kept" else 1e-10)


def test_rows_in_disorder_are_no_runs_and_take_the_plain_gram_matrix():
    design = Delayed(np.zeros((500, 16)), np.arange(10, 490), (0, 1, 2))
    assert design.pays([np.arange(240), np.arange(240, 480)])
    assert not design.pays([np.arange(0, 480, 2), np.arange(1, 480, 2)])
