"""Surrogates of words from the shifted envelope, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from highgamma.encoding.analysis import analysis_from
from highgamma.encoding.fit import fit_analysis
from highgamma.encoding.samples import Samples
from highgamma.encoding.splits import Rows
from highgamma.encoding.surrogates import (
    Reorderings,
    ShiftedWindows,
    window_shifts,
    windowed,
)
from highgamma.errors import InputError

RATE = 20.0


def signal(*, recordings=2, seconds=60, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    time = np.tile((np.arange(n) + 0.5) / RATE, recordings)
    segment = np.repeat(np.arange(recordings), n)
    values = rng.standard_normal((len(time), channels)).cumsum(axis=0) * 0.1
    start = np.tile(np.arange(1.0, seconds - 2, 3.0) + 0.13, recordings)
    of_window = np.repeat(np.arange(recordings), len(start) // recordings)
    return values, time, segment, start, of_window


def world(**changes):
    values, time, segment, start, of_window = signal(**changes)
    return values, time, segment, windowed(
        values, time, segment, start=start, stop=start + 1.0, window_segment=of_window, rate=RATE
    )  # fmt: skip


def looped(values, segment, windows, shifts):
    """Means over the windows of other words, a little moved, (channel, surrogate, word)."""
    out = np.empty((values.shape[1], len(shifts), len(windows.first)))
    for p, row in enumerate(shifts):
        for number in np.unique(windows.window_segment):
            mine = np.flatnonzero(windows.window_segment == number)
            words, frames = row[number]
            rolled = np.roll(values[segment == number], -frames, axis=0)
            for k, word in enumerate(mine):
                other = mine[(k - words) % len(mine)]
                piece = rolled[windows.first[other] : windows.stop[other]]
                known = np.isfinite(piece)
                total = np.where(known, piece, 0).sum(axis=0)
                out[:, p, word] = total / np.where(known.any(axis=0), known.sum(axis=0), np.nan)
    return out


def test_a_surrogate_is_the_mean_of_the_envelope_around_other_words():
    values, _, segment, windows = world()
    shifts = window_shifts(windows, count=7, min_shift=5.0, seed=1)
    made = ShiftedWindows(windows, shifts)
    series = made.series(np.empty((0, 0)), slice(None), slice(0, 7))
    np.testing.assert_allclose(series, looped(values, segment, windows, shifts), atol=1e-9)
    some = made.series(np.empty((0, 0)), [2, 0], slice(3, 5))
    np.testing.assert_allclose(some, series[[2, 0], 3:5], atol=1e-12)


def test_missing_frames_are_left_out_of_the_means():
    values, _, segment, windows = world(recordings=1)
    values[100:130, 1] = np.nan
    shifts = window_shifts(windows, count=5, min_shift=5.0, seed=2)
    made = ShiftedWindows(windows, shifts)
    series = made.series(np.empty((0, 0)), slice(None), slice(0, 5))
    expected = looped(values, segment, windows, shifts)
    known = np.isfinite(expected)
    np.testing.assert_allclose(series[known], expected[known], atol=1e-9)
    # A window without a frame has the channel's mean.
    np.testing.assert_allclose(series[~known], np.nanmean(values[:, 1]), atol=1e-9)


def test_shifts_keep_the_minimum_both_ways_and_differ():
    _, _, _, windows = world()
    shifts = window_shifts(windows, count=300, min_shift=5.0, seed=3)
    assert shifts.shape == (300, 2, 2)
    # Words come every 3 s, 19 in each recording; windows move by up to 0.3 s.
    n = int((windows.window_segment == 0).sum())
    assert shifts[..., 0].min() == 2 and shifts[..., 0].max() == n - 2
    assert abs(shifts[..., 1]).max() == 6
    pairs = {tuple(pair) for pair in shifts[:, 0].tolist()}
    assert len(pairs) == min(300, (n - 3) * 13)


def test_surrogates_of_words_at_a_fixed_pace_hold_as_much_speech_as_the_words():
    """Shifted by any time, all windows would lie between the words, but for a late one."""
    rng = np.random.default_rng(0)
    n_words, pace = 50, 3.0
    n = int(n_words * pace * RATE)
    time = (np.arange(n) + 0.5) / RATE
    said = np.zeros((n, 1))
    for k in range(n_words):
        onset = k * pace + rng.normal(0.6, 0.1)
        said[(time > onset) & (time < onset + 0.7)] = rng.uniform(0.5, 1.5)
    start = pace * np.arange(n_words)
    windows = windowed(
        said, time, np.zeros(n, int), start=start, stop=start + 1.5,
        window_segment=np.zeros(n_words, int), rate=RATE,
    )  # fmt: skip
    shifts = window_shifts(windows, count=500, min_shift=5.0, seed=0)
    series = ShiftedWindows(windows, shifts).series(np.empty((0, 0)), slice(None), slice(0, 500))
    unmoved = said.reshape(n_words, -1)[:, : int(1.5 * RATE)].mean(axis=1)
    assert series.mean(axis=2).min() > 0.5 * unmoved.mean()
    centred = series - series.mean(axis=2, keepdims=True)
    kurtosis = (centred**4).mean(axis=2) / (centred**2).mean(axis=2) ** 2
    assert kurtosis.max() < 6


def test_a_recording_too_short_for_a_shift_is_named():
    _, _, _, windows = world(seconds=9)
    with pytest.raises(InputError, match="segment 0 has 2 words"):
        window_shifts(windows, count=3, min_shift=5.0, seed=0)


def test_drift_is_taken_out_of_every_surrogate_again():
    rng = np.random.default_rng(0)
    n = 60
    basis = np.linalg.qr(np.vander(np.linspace(-1, 1, n), 3))[0]
    targets = rng.standard_normal((n, 3)).cumsum(axis=0)
    orders = np.stack([rng.permutation(n) for _ in range(4)])
    series = Reorderings(orders, basis).series(targets, slice(None), slice(0, 4))
    for k, order in enumerate(orders):
        fitted = np.linalg.lstsq(basis, targets[order], rcond=None)[0]
        np.testing.assert_allclose(series[:, k].T, targets[order] - basis @ fitted, atol=1e-9)


def autocorrelated_words(seed, *, channels=60):
    """Words whose features and signal follow their neighbours and have nothing in common."""
    from scipy.signal import lfilter

    rng = np.random.default_rng(seed)
    n, words = 4800, 80
    slow = lfilter([1], [1, -0.995], rng.standard_normal((n + 2000, channels)), axis=0)[2000:]
    time, start = (np.arange(n) + 0.5) / RATE, 3.0 * np.arange(words) + 0.5
    X = lfilter([1], [1, -0.8], rng.standard_normal((words + 100, 10)), axis=0)[100:]
    of_words, of_frames = np.zeros(words, dtype=int), np.zeros(n, dtype=int)
    windows = windowed(
        slow, time, of_frames, start=start, stop=start + 1.0, window_segment=of_words, rate=RATE
    )
    Y = np.stack([slow[a:b].mean(axis=0) for a, b in zip(windows.first, windows.stop, strict=True)])
    return Samples(
        unit="word", targets=Y, features=lambda layer: X,
        rows=Rows(start, start + 1.0, of_words, np.arange(words), np.arange(words)),
        usable=np.ones(words, dtype=bool), rate=0.0, reach=0.0,
        channels={"channel": ("channel", [f"LA{k}" for k in range(channels)])}, windows=windows,
    )  # fmt: skip


def rate_of_false_positives(**changes):
    p = []
    for seed in range(4):
        settings = {"unit": "word", "permutations": 99, "folds": 5} | changes
        fit = fit_analysis(
            autocorrelated_words(seed), analysis=analysis_from(settings), layers=[0], names=("a",)
        )
        p.append(fit.p.values[0])
    return (np.concatenate(p) <= 0.05).mean()


def test_shifts_hold_the_size_where_permutations_do_not():
    assert rate_of_false_positives() < 0.09
    assert rate_of_false_positives(surrogates="permutation", drift=None) > 0.15


def test_words_without_an_envelope_cannot_be_shifted():
    from dataclasses import replace

    samples = replace(autocorrelated_words(0, channels=2), windows=None)
    with pytest.raises(InputError, match="from the envelope"):
        fit_analysis(
            samples, analysis=analysis_from({"unit": "word", "permutations": 9}), layers=[0]
        )
