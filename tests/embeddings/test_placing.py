"""Features on the neural clock, against loops that say what is meant and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from highgamma.embeddings import placing
from highgamma.errors import InputError

RNG = np.random.default_rng(5)


def grid(rate: float, duration: float, start: float = 0.0) -> np.ndarray:
    return start + np.arange(int(duration * rate)) / rate


def tone(time: np.ndarray, hertz: float) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * time + 0.3)[:, None]


def one(time: np.ndarray) -> np.ndarray:
    return np.zeros(len(time), dtype=int)


def test_resampling_is_the_kernel_sum_that_its_docstring_states() -> None:
    source, target = grid(50, 2, 0.0125), grid(20, 2, 0.025)
    values = RNG.normal(size=(len(source), 3))
    cutoff = 0.9 * 0.5 * 20
    half = 8 / (2 * cutoff)
    expected = np.full((len(target), 3), np.nan)
    for i, t in enumerate(target):
        if not source[0] - 0.01 <= t <= source[-1] + 0.01:
            continue
        total, weight = np.zeros(3), 0.0
        for k, s in enumerate(source):
            if abs(t - s) <= half:
                h = np.sinc(2 * cutoff * (t - s)) * np.i0(6.0 * np.sqrt(1 - ((t - s) / half) ** 2))
                total += h * values[k]
                weight += h
        expected[i] = total / weight
    got = placing.resample_frames(values, source, one(source), target, one(target))
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


def test_a_slow_tone_passes_down_and_up_at_the_right_time() -> None:
    for down in ((100, 40), (50, 100)):
        source, target = grid(down[0], 10, 0.0125), grid(down[1], 10, 0.03)
        got = placing.resample_frames(tone(source, 3.0), source, one(source), target, one(target))
        inner = (target > 1) & (target < 9)
        np.testing.assert_allclose(got[inner], tone(target, 3.0)[inner], atol=5e-3)


def test_going_up_agrees_with_a_spline_on_a_smooth_signal() -> None:
    source, target = grid(50, 10, 0.0125), grid(100, 9, 0.5)
    values = np.cumsum(RNG.normal(size=(len(source), 2)), axis=0)
    smooth = np.apply_along_axis(lambda v: np.convolve(v, np.hanning(21) / 10, "same"), 0, values)
    got = placing.resample_frames(smooth, source, one(source), target, one(target))
    expected = CubicSpline(source, smooth)(target)
    inner = (target > 1) & (target < 9)
    assert np.abs(got - expected)[inner].max() < 0.01 * expected.std()


def test_what_the_target_rate_cannot_carry_is_removed_and_not_folded_down() -> None:
    source, target = grid(100, 10), grid(20, 10, 0.02)
    got = placing.resample_frames(tone(source, 18.0), source, one(source), target, one(target))
    inner = (target > 1) & (target < 9)
    # Picking the nearest frame would give a tone of 2 Hz with an amplitude of 1.
    assert np.abs(got[inner]).max() < 5e-3


def test_a_constant_stays_itself_up_to_the_edges() -> None:
    source, target = grid(50, 3, 0.0125), grid(100, 3, 0.025)
    got = placing.resample_frames(
        np.ones((len(source), 1)), source, one(source), target, one(target)
    )
    np.testing.assert_allclose(got[np.isfinite(got)], 1.0, rtol=1e-12)
    # Beyond half a frame after the last frame nothing is known.
    assert np.isnan(got[target > source[-1] + 0.0101]).all()


def test_equal_times_pass_unchanged_and_missing_frames_stay_missing_within_reach() -> None:
    source = grid(100, 2, 0.025)
    values = RNG.normal(size=(len(source), 2)).astype(np.float32)
    got = placing.resample_frames(values, source, one(source), source.copy(), one(source))
    np.testing.assert_array_equal(got, values)
    assert got.dtype == np.float32
    values[100] = np.nan
    target = grid(50, 2, 0.025)
    got = placing.resample_frames(values, source, one(source), target, one(target))
    near = np.abs(target - source[100]) <= placing.reach(100, 50)
    assert np.isnan(got[np.abs(target - source[100]) < 0.05]).all()
    assert np.isfinite(got[~near]).all()


def test_nothing_crosses_from_one_segment_into_another() -> None:
    time = np.concatenate([grid(50, 2), grid(50, 2)])
    segment = np.repeat([0, 1], 100)
    values = np.where(segment == 0, 1.0, -1.0)[:, None]
    target = np.concatenate([grid(20, 2), grid(20, 2), grid(20, 1)])
    target_segment = np.repeat([0, 1, 2], [40, 40, 20])
    got = placing.resample_frames(values, time, segment, target, target_segment)[:, 0]
    np.testing.assert_allclose(got[target_segment == 0], 1.0)
    np.testing.assert_allclose(got[target_segment == 1], -1.0)
    assert np.isnan(got[target_segment == 2]).all()


def test_frames_that_are_not_evenly_spaced_are_refused() -> None:
    time = np.array([0.0, 0.02, 0.04, 0.09, 0.11])
    with pytest.raises(InputError, match="not evenly spaced"):
        placing.resample_frames(
            np.ones((5, 1)), time, one(time), grid(100, 0.1), one(grid(100, 0.1))
        )


def test_words_are_painted_as_a_loop_over_frames_paints_them() -> None:
    start = np.array([0.5, 0.2, 0.6, np.nan, 0.1])
    stop = np.array([0.9, 0.55, 0.8, 1.0, 0.3])
    word_segment = np.array([0, 0, 0, 0, 1])
    values = np.arange(1.0, 11.0).reshape(5, 2)
    time = np.tile(grid(100, 1, 0.005), 2)
    segment = np.repeat([0, 1], 100)
    expected = np.zeros((200, 2))
    for i in range(200):
        owners = [
            (start[w], w)
            for w in range(5)
            if word_segment[w] == segment[i] and start[w] <= time[i] < stop[w]
        ]
        if owners:
            expected[i] = values[max(owners)[1]]
    got = placing.paint_words(values, start, stop, word_segment, time, segment)
    np.testing.assert_array_equal(got, expected)
    assert (got[65] == values[2]).all()


def test_window_means_are_means_of_the_frames_inside() -> None:
    time = np.tile(grid(50, 4, 0.0125), 2)
    segment = np.repeat([0, 1], 200)
    values = RNG.normal(size=(400, 3))
    start = np.array([0.0, 1.0, 2.5, 10.0, np.nan])
    word_segment = np.array([0, 1, 1, 0, 0])
    got = placing.window_means(values, time, segment, start, start + 1.0, word_segment)
    for row in range(3):
        rows = [
            values[i]
            for i in range(400)
            if segment[i] == word_segment[row] and start[row] <= time[i] < start[row] + 1.0
        ]
        np.testing.assert_allclose(got[row], np.sum(rows, axis=0) / len(rows))
    assert np.isnan(got[3:]).all()


def test_flattened_windows_hold_the_frames_in_order() -> None:
    time, values = grid(50, 4, 0.0125), RNG.normal(size=(200, 3))
    start = np.array([0.0, 1.003, 3.5, np.nan])
    got = placing.window_flatten(values, time, one(time), start, start + 1.0, np.zeros(4, int))
    assert got.shape == (4, 150)
    for row in range(2):
        first = next(i for i in range(200) if time[i] >= start[row])
        np.testing.assert_array_equal(got[row], values[first : first + 50].ravel())
    # The third window leaves the recording, the fourth has no place.
    assert np.isnan(got[2:]).all()


def test_trials_are_averaged_and_flattened_each_by_itself() -> None:
    values, index = RNG.normal(size=(12, 2)), np.repeat([0, 2, 3], 4)
    means = placing.trial_means(values, index, 4)
    flat = placing.trial_flatten(values, index, 4)
    np.testing.assert_allclose(means[2], values[4:8].sum(axis=0) / 4)
    np.testing.assert_array_equal(flat[3], np.concatenate(list(values[8:])))
    assert np.isnan(means[1]).all()
    assert np.isnan(flat[1]).all()
