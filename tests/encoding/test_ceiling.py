from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f_oneway

from highgamma.encoding.ceiling import noise_ceiling, repetitions


def repeated_words(*, words=60, repeats=6, signal=1.0, noise=1.0, seed=0, channels=300):
    rng = np.random.default_rng(seed)
    stimulus = np.tile(np.arange(words), repeats)
    response = signal * rng.standard_normal((words, channels))
    return response[stimulus] + noise * rng.standard_normal((len(stimulus), channels)), stimulus


def test_the_ceiling_is_the_planted_share_of_signal():
    for signal, noise in ((1.0, 1.0), (0.5, 2.0), (3.0, 1.0)):
        Y, stimulus = repeated_words(signal=signal, noise=noise)
        found = noise_ceiling(Y + 40, stimulus, repeated=300)
        share = signal**2 / (signal**2 + noise**2)
        assert found.explainable.mean() == pytest.approx(share, abs=0.02)
        assert np.median(found.r) == pytest.approx(np.sqrt(share), abs=0.05)


def test_a_perfect_model_of_the_words_reaches_the_ceiling():
    rng = np.random.default_rng(1)
    response = rng.standard_normal((400, 50))
    stimulus = np.repeat(np.arange(400), 4)
    Y = response[stimulus] + 1.5 * rng.standard_normal((1600, 50))
    reached = [np.corrcoef(response[stimulus, k], Y[:, k])[0, 1] for k in range(50)]
    found = noise_ceiling(Y, stimulus, repeated=1200)
    assert np.mean(reached) == pytest.approx(found.r.mean(), abs=0.01)


def test_noise_alone_has_no_explainable_variance():
    Y, stimulus = repeated_words(signal=0.0)
    found = noise_ceiling(Y, stimulus, repeated=300)
    assert abs(found.explainable.mean()) < 0.01
    assert (found.r[found.explainable <= 0] == 0).all() and (found.explainable < 0).any()


def test_the_variance_ratio_is_scipy_s_with_unequal_numbers_of_repetitions():
    rng = np.random.default_rng(2)
    sizes = [1, 2, 3, 7, 5, 2]
    stimulus = np.repeat(np.arange(6), sizes)
    Y = rng.standard_normal((20, 3)) + stimulus[:, None] * 0.5
    found = noise_ceiling(Y, stimulus, repeated=14)
    n0 = (20 - sum(s * s for s in sizes) / 20) / 5
    for k in range(3):
        F = f_oneway(*[Y[stimulus == g, k] for g in range(6)]).statistic
        assert found.explainable[k] == pytest.approx((F - 1) / (F - 1 + n0))


def test_with_equal_repetitions_it_is_the_signal_power_of_sahani_and_linden():
    Y, stimulus = repeated_words(words=40, repeats=5, channels=20)
    # Their formula takes away each repetition's mean, which here is made to vanish.
    by_repeat = Y.reshape(5, 40, 20)
    by_repeat = by_repeat - by_repeat.mean(axis=1, keepdims=True)
    power = by_repeat.mean(axis=0).var(axis=0, ddof=1)
    each = by_repeat.var(axis=1, ddof=1).mean(axis=0)
    signal = (5 * power - each) / 4
    found = noise_ceiling(by_repeat.reshape(200, 20), stimulus, repeated=160)
    np.testing.assert_allclose(found.explainable, signal / each, atol=0.01)


def test_words_that_never_repeat_have_no_ceiling():
    Y = np.random.default_rng(3).standard_normal((100, 4))
    assert repetitions(np.arange(100), np.arange(100)) == 0
    found = noise_ceiling(Y, np.arange(100), repeated=0)
    assert not found.estimable and np.isnan(found.r).all() and np.isnan(found.explainable).all()


def test_frames_of_one_trial_are_no_repetitions_of_their_word():
    word = np.repeat([3, 3, 5, -1], 50)
    trial = np.repeat([0, 1, 2, -1], 50)
    assert repetitions(word, trial) == 1


def test_a_constant_electrode_has_no_ceiling_and_the_others_keep_theirs():
    Y, stimulus = repeated_words(channels=3)
    alone = noise_ceiling(Y, stimulus, repeated=300)
    Y = Y.copy()
    Y[:, 1] = 4.0
    found = noise_ceiling(Y, stimulus, repeated=300)
    assert np.isnan(found.r[1])
    np.testing.assert_allclose(found.r[[0, 2]], alone.r[[0, 2]])
