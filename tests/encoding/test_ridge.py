from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from worlds import frames, linear, loop_nested_ridge, words

from highgamma import scores
from highgamma.encoding.compute import CPU
from highgamma.encoding.limits import ROTATED_FROM
from highgamma.encoding.solvers.ridge import (
    hat_rows,
    nested_ridge,
    refit_ridge,
)
from highgamma.encoding.splits import split_rows
from highgamma.encoding.statistics import block_statistics, table

ALPHAS = (0.1, 1.0, 10.0, 100.0, 1000.0, 1e4)


@pytest.mark.parametrize("correlated", [False, True])
@pytest.mark.parametrize("p", [1, 2, 3, 40])
def test_weights_solve_the_normal_equations(p, correlated):
    X, Y = linear(300, p, 3, correlated=correlated)
    Z = StandardScaler().fit_transform(X)
    Yc = Y - Y.mean(0)
    many = CPU.solve_path((Z.T @ Z).copy(), Z.T @ Yc, ALPHAS).reshape(p, len(ALPHAS), 3)
    few = CPU.solve_path((Z.T @ Z).copy(), Z.T @ Yc, ALPHAS[:2]).reshape(p, 2, 3)
    for a, alpha in enumerate(ALPHAS):
        expected = Ridge(alpha).fit(Z, Y).coef_.T
        np.testing.assert_allclose(many[:, a], expected, rtol=1e-8, atol=1e-10)
        if a < 2:
            np.testing.assert_allclose(few[:, a], expected, rtol=1e-8, atol=1e-10)
    own = CPU.solve_each((Z.T @ Z).copy(), Z.T @ Yc, np.array([0.1, 10.0, 10.0]))
    np.testing.assert_allclose(own[:, 1], many[:, 2, 1], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(own[:, 0], many[:, 0, 0], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("correlated", [False, True])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("segments", [1, 4])
def test_frames_are_fitted_as_plain_loops_over_folds_do(correlated, standardize, segments):
    X, Y = linear(400, 12, 3, correlated=correlated, noise=2.0)
    split = split_rows(
        frames(400, segments=segments), scheme="contiguous", folds=5, gap=0.1, step=0.01
    )
    fit = nested_ridge(table(X), Y, split, alphas=ALPHAS, standardize=standardize)
    prediction, chosen, score = loop_nested_ridge(X, Y, split, ALPHAS, standardize=standardize)
    np.testing.assert_array_equal(fit.alpha, chosen)
    np.testing.assert_allclose(fit.inner_score, score, atol=1e-8)
    np.testing.assert_allclose(fit.prediction, prediction, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("correlated", [False, True])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("p", [3, 40])
def test_many_targets_choose_as_plain_loops_over_folds_do(p, standardize, correlated):
    """In a training set's eigenvectors, with blocks that are longer and shorter than wide."""
    X, Y = linear(180, p, ROTATED_FROM * p, correlated=correlated, noise=2.0)
    split = split_rows(frames(180, segments=2), scheme="contiguous", folds=6, gap=0.1, step=0.01)
    fit = nested_ridge(table(X), Y, split, alphas=ALPHAS, standardize=standardize)
    _, chosen, score = loop_nested_ridge(X, Y, split, ALPHAS, standardize=standardize)
    np.testing.assert_array_equal(fit.alpha, chosen)
    np.testing.assert_allclose(fit.inner_score, score, atol=1e-8)
    single = nested_ridge(table(X), Y, split, alphas=ALPHAS, standardize=standardize,
                          dtype=np.float32)  # fmt: skip
    np.testing.assert_allclose(single.inner_score, score, atol=1e-3)


@pytest.mark.parametrize("p", [8, 60])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("inner_folds", [4, 30])
def test_words_are_fitted_as_plain_loops_do_with_few_and_with_many_features(
    p, standardize, inner_folds
):
    X, Y = linear(16, p, 2, noise=0.5)
    split = split_rows(words(16), scheme="leave-one-word-out", inner_folds=inner_folds)
    fit = nested_ridge(table(X), Y, split, alphas=ALPHAS, standardize=standardize)
    prediction, chosen, score = loop_nested_ridge(X, Y, split, ALPHAS, standardize=standardize)
    np.testing.assert_array_equal(fit.alpha, chosen)
    np.testing.assert_allclose(fit.inner_score, score, atol=1e-8)
    np.testing.assert_allclose(fit.prediction, prediction, rtol=1e-8, atol=1e-8)


def test_both_forms_give_the_same_correlations():
    X, Y = linear(90, 89, 4, noise=2.0)
    split = split_rows(frames(90), scheme="contiguous", folds=3, gap=0.02, step=0.01)
    dual = nested_ridge(table(X), Y, split, alphas=ALPHAS)
    primal = nested_ridge(
        table(X), Y, split, alphas=ALPHAS, statistics=block_statistics(table(X), Y, split)
    )
    np.testing.assert_array_equal(dual.alpha, primal.alpha)
    np.testing.assert_allclose(dual.prediction, primal.prediction, atol=1e-8)
    sums = scores.fold_sums(primal.prediction, primal.training_mean, Y, split)
    mean = primal.training_mean[split.block]
    for k in range(4):
        expected = pearsonr(Y[:, k] - mean[:, k], primal.prediction[:, k] - mean[:, k])[0]
        assert scores.pooled_r(sums)[k] == pytest.approx(expected, abs=1e-10)


def test_a_row_near_the_test_block_changes_nothing():
    X, Y = linear(300, 5, 2)
    split = split_rows(frames(300), scheme="contiguous", folds=3, gap=0.2, step=0.01)
    gap_rows = ~split.folds[1].train & (split.block != 1)
    assert gap_rows.sum() == 38
    before = nested_ridge(table(X), Y, split, alphas=ALPHAS, outer=[1])
    X2, Y2 = X.copy(), Y.copy()
    X2[gap_rows] += 50.0
    Y2[gap_rows] -= 80.0
    after = nested_ridge(table(X2), Y2, split, alphas=ALPHAS, outer=[1])
    test = split.folds[1].test
    np.testing.assert_allclose(before.prediction[test], after.prediction[test], atol=1e-8)
    np.testing.assert_allclose(before.inner_score[1], after.inner_score[1], atol=1e-8)


def test_collinear_and_constant_features_do_no_harm():
    X, Y = linear(300, 4, 2)
    split = split_rows(frames(300), scheme="contiguous", folds=4, gap=0.05, step=0.01)
    doubled = np.concatenate([X, X, np.full((300, 2), 7.3), 1e6 * np.ones((300, 1))], axis=1)
    fit = nested_ridge(table(doubled), Y, split, alphas=ALPHAS)
    prediction, chosen, _ = loop_nested_ridge(doubled, Y, split, ALPHAS)
    np.testing.assert_array_equal(fit.alpha, chosen)
    np.testing.assert_allclose(fit.prediction, prediction, atol=1e-7)
    assert (fit.n_nonzero == 8).all()


def test_a_feature_constant_only_in_training_gets_no_weight():
    X, Y = linear(200, 3, 1)
    X[:150, 0] = 4.0
    split = split_rows(frames(200), scheme="contiguous", folds=4, gap=0.0, step=0.01)
    fit = refit_ridge(table(X), Y, split, np.full((4, 1), 1.0))
    assert fit.n_nonzero[3, 0] == 2
    expected = Ridge(1.0).fit(StandardScaler().fit_transform(X[:150, 1:]), Y[:150, 0])
    scaled = (X[150:, 1:] - X[:150, 1:].mean(0)) / X[:150, 1:].std(0)
    np.testing.assert_allclose(fit.prediction[150:, 0], expected.predict(scaled), atol=1e-9)


def test_a_constant_target_has_neither_correlation_nor_skill():
    X, Y = linear(200, 3, 2)
    Y[:, 1] = 0.1
    split = split_rows(frames(200), scheme="contiguous", folds=4, gap=0.05, step=0.01)
    fit = nested_ridge(table(X), Y, split, alphas=ALPHAS)
    sums = scores.fold_sums(fit.prediction, fit.training_mean, Y, split)
    r, skill = scores.pooled_r(sums), scores.pooled_skill(sums)
    assert np.isfinite(r[0]) and np.isnan(r[1])
    assert np.isfinite(skill[0]) and np.isnan(skill[1])
    assert np.isnan(fit.inner_score[:, 1]).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("p", [1, 5])
def test_where_the_gap_leaves_no_inner_fold_the_largest_penalty_is_taken(p):
    X, Y = linear(4, p, 2)
    # Windows of neighbours are 2 s apart, of the next but one 5 s.
    split = split_rows(words(4), scheme="word", folds=4, gap=4.0)
    fit = nested_ridge(table(X), Y, split, alphas=ALPHAS)
    assert (fit.alpha == ALPHAS[-1]).all() and np.isnan(fit.inner_score).all()
    for fold in split.folds:
        scaler = StandardScaler().fit(X[fold.train])
        model = Ridge(ALPHAS[-1]).fit(scaler.transform(X[fold.train]), Y[fold.train])
        expected = model.predict(scaler.transform(X[fold.test]))
        np.testing.assert_allclose(fit.prediction[fold.test], expected, atol=1e-9)


def test_single_precision_is_close():
    X, Y = linear(500, 20, 3)
    split = split_rows(frames(500), scheme="contiguous", folds=5, gap=0.05, step=0.01)
    double = nested_ridge(table(X), Y, split, alphas=ALPHAS)
    single = nested_ridge(table(X), Y, split, alphas=ALPHAS, dtype=np.float32)
    np.testing.assert_allclose(single.prediction, double.prediction, atol=1e-3)


@pytest.mark.parametrize("p", [6, 100])
def test_the_linear_map_of_a_fold_gives_its_predictions(p):
    X, Y = linear(60, p, 2)
    split = split_rows(words(60), scheme="contiguous", folds=4, gap=0.0)
    alpha = np.tile([1.0, 30.0], (4, 1))
    fit = refit_ridge(table(X), Y, split, alpha)
    maps = hat_rows(table(X), split, 2, alpha[2], standardize=True)
    for k, value in enumerate((1.0, 30.0)):
        expected = fit.prediction[split.folds[2].test, k] - fit.training_mean[2, k]
        np.testing.assert_allclose(maps[value] @ Y[:, k], expected, atol=1e-9)
