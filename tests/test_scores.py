from __future__ import annotations

import numpy as np
import pytest
from encoding.worlds import frames, words
from scipy.stats import pearsonr
from sklearn.metrics import r2_score

from highgamma import scores
from highgamma.encoding.splits import split_rows


def held_out(n=60, t=3, folds=4, seed=0):
    rng = np.random.default_rng(seed)
    split = split_rows(frames(n), scheme="contiguous", folds=folds, gap=0.0)
    Y = rng.standard_normal((n, t)) + 5
    mean = np.stack([Y[fold.train].mean(0) for fold in split.folds])
    prediction = Y + rng.standard_normal((n, t))
    return Y, prediction, mean, split


def test_scores_follow_their_formulas():
    Y, prediction, mean, split = held_out()
    sums = scores.fold_sums(prediction, mean, Y, split)
    y, f = Y - mean[split.block], prediction - mean[split.block]
    for k in range(3):
        assert scores.pooled_r(sums)[k] == pytest.approx(pearsonr(y[:, k], f[:, k])[0])
        expected = 1 - ((y - f)[:, k] ** 2).sum() / (y[:, k] ** 2).sum()
        assert scores.pooled_skill(sums)[k] == pytest.approx(expected)
        for i, fold in enumerate(split.folds):
            expected = pearsonr(Y[fold.test, k], prediction[fold.test, k])[0]
            assert scores.fold_r(sums)[i, k] == pytest.approx(expected)


def test_a_constant_prediction_has_no_correlation_and_no_skill():
    Y, _, mean, split = held_out()
    sums = scores.fold_sums(mean[split.block] * (1 + 1e-14), mean, Y, split)
    assert np.isnan(scores.pooled_r(sums)).all()
    np.testing.assert_allclose(scores.pooled_skill(sums), 0, atol=1e-12)
    assert (sums.sff == 0).all()


def test_folds_chosen_from_two_layers_pool_like_their_joined_predictions():
    Y, first, mean, split = held_out(seed=1)
    second = first + np.random.default_rng(2).standard_normal(first.shape)
    chosen = np.array([[0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 1]])
    both = [scores.fold_sums(one, mean, Y, split) for one in (first, second)]
    joined = np.where(chosen[split.block] == 0, first, second)
    expected = scores.pooled_r(scores.fold_sums(joined, mean, Y, split))
    np.testing.assert_allclose(scores.pooled_r(scores.stacked(both).of(chosen)), expected)


def test_scores_across_channels_are_the_study_s():
    rng = np.random.default_rng(3)
    Y = rng.standard_normal((20, 9)) + 10 * rng.random(9)
    prediction = Y + rng.standard_normal((20, 9))
    r, r2 = scores.across_channels(prediction, Y)
    assert r == pytest.approx(
        np.mean([pearsonr(a, b)[0] for a, b in zip(Y, prediction, strict=True)])
    )
    assert r2 == pytest.approx(
        np.mean([r2_score(a, b) for a, b in zip(Y, prediction, strict=True)])
    )


def test_across_channels_the_mean_of_the_others_scores_high_and_across_words_minus_one():
    rng = np.random.default_rng(4)
    gain = np.exp(0.5 * rng.standard_normal(127))
    Y = gain * (10 + rng.standard_normal((100, 127)))
    split = split_rows(words(100), scheme="leave-one-word-out")
    mean = ((Y.sum(0) - Y) / 99)[split.block]
    assert scores.across_channels(mean, Y)[0] > 0.9
    assert pearsonr(Y[:, 0], mean[:, 0])[0] == pytest.approx(-1)


def test_one_channel_has_no_score_across_channels():
    assert np.isnan(scores.across_channels(np.ones((5, 1)), np.ones((5, 1)))).all()


def test_p_counts_the_observed_value_among_the_surrogates():
    null = np.array([[0.1, 0.5], [0.3, np.nan], [0.2, 0.7]])
    np.testing.assert_allclose(scores.p_values(np.array([0.25, np.nan]), null), [0.5, 1.0])
    assert scores.p_values(np.array([0.9, 0.9]), null)[0] == 0.25
