"""Drift, against least squares on cosines written out."""

from __future__ import annotations

import numpy as np
import pytest
from worlds import frames, words

from highgamma.encoding.analysis import analysis_from
from highgamma.encoding.drift import (
    features_without,
    slow_functions,
    targets_without,
    words_without,
)
from highgamma.encoding.fit import fit_analysis
from highgamma.encoding.samples import Samples
from highgamma.encoding.splits import Rows
from highgamma.encoding.surrogates import windowed


def residual(values, time, segment, *, period):
    """What least squares on each recording's constant and slow cosines leaves of (n, m)."""
    left = np.array(values, dtype=float)
    for number in np.unique(segment):
        here = segment == number
        since = time[here] - time[here].min()
        slow = [np.ones(here.sum())]
        j = 1
        while 2 * since.max() / j >= period - 1e-9:
            slow.append(np.cos(np.pi * j * since / since.max()))
            j += 1
        A = np.stack(slow, axis=1)
        left[here] -= A @ np.linalg.lstsq(A, values[here], rcond=None)[0]
    return left


def test_what_is_slower_than_the_period_and_each_recording_s_mean_are_removed():
    rows = frames(3000, segments=2)
    values = np.random.default_rng(0).standard_normal((3000, 4)).cumsum(axis=0)
    basis = slow_functions(rows, 4.0)
    expected = residual(values, rows.start, rows.segment, period=4.0)
    np.testing.assert_allclose(
        targets_without(values, basis), expected + values.mean(axis=0), atol=1e-8
    )
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-12)
    # Two recordings of 15 s each: a constant and seven cosines.
    assert basis.shape == (3000, 16)


def test_words_are_placed_in_the_middle_of_their_windows():
    rows = words(40)
    values = np.random.default_rng(1).standard_normal((40, 3))
    expected = residual(values, rows.start + 0.5, rows.segment, period=60.0)
    basis = slow_functions(rows, 60.0)
    np.testing.assert_allclose(values - basis @ (basis.T @ values), expected, atol=1e-9)


def envelope(*, recordings=2, words=40, channels=5, seed=0):
    """An envelope that wanders, the words' windows in it, and the means over these."""
    rng = np.random.default_rng(seed)
    each = 1300
    time = np.tile((np.arange(each) + 0.5) / 10.0, recordings)
    segment = np.repeat(np.arange(recordings), each)
    values = rng.standard_normal((len(time), channels)).cumsum(axis=0)
    start = np.tile(3.0 * np.arange(words) + 1.0, recordings)
    windows = windowed(
        values, time, segment, start=start, stop=start + 1.0,
        window_segment=np.repeat(np.arange(recordings), words), rate=10.0,
    )  # fmt: skip
    return values, time, segment, windows


def looped_means(values, windows):
    return np.stack(
        [
            values[windows.segment == s][a:b].mean(axis=0)
            for a, b, s in zip(windows.first, windows.stop, windows.window_segment, strict=True)
        ]
    )


def test_words_lose_the_drift_of_their_envelope():
    values, time, segment, windows = envelope()
    targets, moved = words_without(looped_means(values, windows), windows, 60.0)
    left = residual(values, time, segment, period=60.0) + values.mean(axis=0)
    np.testing.assert_allclose(moved.values, left, atol=1e-8)
    np.testing.assert_allclose(targets, looped_means(left, windows), atol=1e-8)
    same, untouched = words_without(targets, windows, None)
    assert same is targets and untouched is windows


def test_missing_frames_count_as_their_recordings_mean():
    values, time, segment, windows = envelope()
    values[300:340, 1] = np.nan
    _, moved = words_without(np.zeros((80, 5)), windows, 60.0)
    assert np.isnan(moved.values[300:340, 1]).all()
    filled = values.copy()
    filled[300:340, 1] = np.nanmean(values[segment == 0, 1])
    left = residual(filled, time, segment, period=60.0)[:, 1] + filled[:, 1].mean()
    known = np.isfinite(values[:, 1])
    np.testing.assert_allclose(moved.values[known, 1], left[known], atol=1e-8)


def test_more_features_than_words_find_nothing_in_noise():
    rng = np.random.default_rng(7)
    n, words, channels = 3000, 100, 40
    time, start = (np.arange(n) + 0.5) / 10.0, 3.0 * np.arange(words) + 0.5
    values = rng.standard_normal((n, channels))
    zeros = np.zeros(words, dtype=int)
    windows = windowed(
        values, time, np.zeros(n, dtype=int), start=start, stop=start + 1.0,
        window_segment=zeros, rate=10.0,
    )  # fmt: skip
    X = rng.standard_normal((words, 300))
    samples = Samples(
        unit="word", targets=looped_means(values, windows), features=lambda layer: X,
        rows=Rows(start, start + 1.0, zeros, np.arange(words), np.arange(words)),
        usable=np.ones(words, dtype=bool), rate=0.0, reach=0.0,
        channels={"channel": ("channel", [f"LA{k}" for k in range(channels)])}, windows=windows,
    )  # fmt: skip
    settings = {"unit": "word", "split": "leave-one-word-out", "permutations": 0}
    fit = fit_analysis(samples, analysis=analysis_from(settings), layers=[0], names=("a",))
    assert float(fit.skill.mean()) < 0.005


def test_nothing_is_removed_without_a_period():
    values = np.random.default_rng(2).standard_normal((40, 3))
    basis = slow_functions(words(40), None)
    assert targets_without(values, basis) is values
    assert features_without(values, np.arange(40), basis) is values


def test_few_samples_keep_three_quarters_of_their_dimensions():
    # Ten words over 27 s with a period of 1 s have more slow cosines than words.
    assert slow_functions(words(10), 1.0).shape[1] == 3


def test_rows_that_no_fit_reads_stay_as_they_are():
    values = np.random.default_rng(3).standard_normal((50, 5)).astype(np.float32)
    before = values.copy()
    changed = features_without(values, np.arange(5, 45), slow_functions(words(40), 60.0))
    np.testing.assert_array_equal(values, before)
    np.testing.assert_array_equal(changed[[0, 4, 45, 49]], values[[0, 4, 45, 49]])
    assert changed.dtype == np.float32 and np.abs(changed[5:45].mean(axis=0)).max() < 1e-6


def noise(rows, X, Y, **changes):
    samples = Samples(
        unit="frame", targets=Y, features=lambda layer: X, rows=rows,
        usable=np.ones(len(X), dtype=bool), rate=100.0, reach=0.0,
        channels={"channel": ("channel", [f"LA{k}" for k in range(Y.shape[1])])},
    )  # fmt: skip
    settings = {"unit": "frame", "folds": 5, "permutations": 99, "min_shift": 1.0} | changes
    return fit_analysis(samples, analysis=analysis_from(settings), layers=[0], names=("a",))


@pytest.mark.parametrize(("drift", "low", "high"), [(None, 0.3, 1.0), (2.0, 0.0, 0.1)])
def test_two_trends_are_no_correlation_once_drift_is_removed(drift, low, high):
    rows = frames(3000)
    rng = np.random.default_rng(4)
    trend = np.linspace(-1.7, 1.7, 3000)[:, None]
    X = rng.standard_normal((3000, 4)) + 0.7 * trend
    Y = rng.standard_normal((3000, 200)) + 0.5 * trend
    fit = noise(rows, X, Y, drift=drift)
    assert low <= (fit.p.values <= 0.05).mean() <= high


def test_levels_of_recordings_are_no_correlation():
    rows = frames(3000, segments=3)
    rng = np.random.default_rng(5)
    level = rng.standard_normal((3, 1))[rows.segment]
    X, Y = (rng.standard_normal((3000, k)) + level for k in (3, 30))
    assert (noise(rows, X, Y, drift=None, permutations=0).r.values > 0.2).all()
    assert (np.abs(noise(rows, X, Y, drift=60.0, permutations=0).r.values) < 0.15).all()


def test_the_study_s_scores_keep_the_channels_levels():
    rows = frames(3000)
    rng = np.random.default_rng(6)
    Y = 10 ** np.linspace(0, 2, 8) + rng.standard_normal((3000, 8)).cumsum(axis=0) * 0.01
    fit = noise(rows, rng.standard_normal((3000, 2)), Y, permutations=0)
    assert float(fit.pcc_mean_predictor) > 0.99
    observed = np.asarray(fit.observed.values, dtype=float)
    np.testing.assert_allclose(observed.mean(axis=0), Y.mean(axis=0), rtol=1e-5)
