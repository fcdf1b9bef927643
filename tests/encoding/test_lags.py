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
