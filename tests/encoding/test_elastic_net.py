from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet
from worlds import frames, linear, loop_nested_ridge, words

from highgamma.encoding.solvers import elastic_net_minimum as elastic_net_solver
from highgamma.encoding.solvers.elastic_net import nested_elastic_net, refit_elastic_net
from highgamma.encoding.splits import split_rows
from highgamma.encoding.statistics import table


def exact(alpha):
    return ElasticNet(alpha=alpha, l1_ratio=0.5, tol=1e-12, max_iter=100_000)


@pytest.mark.parametrize("p", [5, 80])
def test_the_study_preset_equals_scikit_learn(p):
    X, Y = linear(30, p, 4, noise=3.0)
    Y *= [1.0, 5.0, 20.0, 0.01]
    split = split_rows(words(30), scheme="leave-one-word-out")
    fit = nested_elastic_net(table(X), Y, split, alphas=[1.0], inner_scores=False)
    for i, fold in enumerate(split.folds):
        for k in range(4):
            model = exact(1.0).fit(X[fold.train], Y[fold.train, k])
            expected = model.predict(X[fold.test])
            np.testing.assert_allclose(
                fit.prediction[fold.test, k], expected, rtol=1e-6, atol=1e-6 * Y[:, k].std()
            )
            assert fit.n_nonzero[i, k] == np.count_nonzero(model.coef_)
    assert (fit.n_nonzero[:, 3] == 0).all()


def test_small_embeddings_leave_the_intercept_alone():
    rng = np.random.default_rng(0)
    X, Y = 0.05 * rng.standard_normal((40, 300)), 2 * rng.standard_normal((40, 5))
    split = split_rows(words(40), scheme="leave-one-word-out")
    fit = nested_elastic_net(table(X), Y, split, alphas=[1.0], inner_scores=False)
    assert (fit.n_nonzero == 0).all()
    others = (Y.sum(0) - Y) / 39
    np.testing.assert_allclose(fit.prediction, others, atol=1e-13)


@pytest.mark.parametrize("standardize", [True, False])
def test_a_path_of_penalties_is_chosen_as_plain_loops_do(standardize):
    X, Y = linear(200, 10, 2, noise=2.0)
    alphas = (0.01, 0.1, 0.5, 2.0)
    split = split_rows(frames(200), scheme="contiguous", folds=4, gap=0.1, step=0.01)
    fit = nested_elastic_net(table(X), Y, split, alphas=alphas, standardize=standardize)
    prediction, chosen, score = loop_nested_ridge(
        X, Y, split, alphas, standardize=standardize, model=exact
    )
    np.testing.assert_array_equal(fit.alpha, chosen)
    np.testing.assert_allclose(fit.inner_score, score, atol=1e-6)
    np.testing.assert_allclose(fit.prediction, prediction, atol=1e-6)


def test_each_target_keeps_its_own_penalty():
    X, Y = linear(100, 6, 2)
    split = split_rows(frames(100), scheme="contiguous", folds=2, gap=0.0, step=0.01)
    fit = refit_elastic_net(table(X), Y, split, np.array([[0.1, 0.3], [0.2, 5.0]]))
    train, test = split.folds[0].train, split.folds[0].test
    expected = exact(0.3).fit(X[train], Y[train, 1]).predict(X[test])
    np.testing.assert_allclose(fit.prediction[test, 1], expected, atol=1e-6)


@pytest.mark.parametrize("standardize", [True, False])
def test_one_target_that_takes_a_feature_costs_the_others_nothing(standardize):
    X, Y = linear(40, 60, 3)
    X *= 0.05
    Y = np.random.default_rng(1).standard_normal(Y.shape)
    Y[:, 1] += 400 * X[:, 7]
    split = split_rows(words(40), scheme="leave-one-word-out")
    alpha = np.full((40, 3), 2.0)
    fit = refit_elastic_net(table(X), Y, split, alpha, standardize=standardize)
    for i, fold in enumerate(split.folds):
        train = X[fold.train]
        scale = train.std(0) if standardize else 1.0
        model = exact(2.0).fit(train / scale, Y[fold.train])
        np.testing.assert_allclose(
            fit.prediction[fold.test], model.predict(X[fold.test] / scale), rtol=1e-6, atol=1e-6
        )
        np.testing.assert_array_equal(fit.n_nonzero[i], (model.coef_ != 0).sum(axis=1))
    assert (fit.n_nonzero[:, 1] > 0).all()


def test_many_targets_reach_their_minima_together_as_one_by_one():
    X, Y = linear(60, 25, 300, noise=2.0)
    split = split_rows(frames(60), scheme="contiguous", folds=2, gap=0.0, step=0.01)
    fit = refit_elastic_net(table(X), Y, split, np.full((2, 300), 0.2))
    train, test = split.folds[0].train, split.folds[0].test
    expected = exact(0.2).fit(X[train], Y[train]).predict(X[test])
    np.testing.assert_allclose(fit.prediction[test], expected, atol=1e-5)


@pytest.mark.parametrize("p", [12, 90])
def test_a_fold_by_itself_equals_the_fold_that_starts_at_its_neighbours_minimum(p):
    X, Y = linear(40, p, 6, noise=2.0)
    split = split_rows(words(40), scheme="leave-one-word-out")
    alpha = np.full((40, 6), 0.3)
    together = refit_elastic_net(table(X), Y, split, alpha)
    for i, fold in enumerate(split.folds):
        alone = refit_elastic_net(table(X), Y, split, alpha, outer=[i])
        np.testing.assert_allclose(
            alone.prediction[fold.test], together.prediction[fold.test], atol=1e-10
        )
        np.testing.assert_array_equal(alone.n_nonzero[i], together.n_nonzero[i])
    assert (together.n_nonzero > 0).any()


@pytest.mark.parametrize("p", [12, 90])
@pytest.mark.parametrize("left_out", ["newton", "newton and splitting"])
def test_what_one_method_leaves_over_the_next_brings_to_the_minimum(p, left_out, monkeypatch):
    X, Y = linear(40, p, 3, noise=2.0)
    split = split_rows(frames(40), scheme="contiguous", folds=2, gap=0.0, step=0.01)
    if left_out == "newton":
        monkeypatch.setattr(elastic_net_solver, "NEWTON_STEPS", 1)
    else:
        monkeypatch.setattr(elastic_net_solver, "NEWTON_STEPS", 0)
        monkeypatch.setattr(elastic_net_solver, "SPLITTING_STEPS", (1,))
    fit = refit_elastic_net(table(X), Y, split, np.full((2, 3), 0.2))
    for i, fold in enumerate(split.folds):
        model = exact(0.2).fit(X[fold.train], Y[fold.train])
        np.testing.assert_allclose(
            fit.prediction[fold.test], model.predict(X[fold.test]), atol=1e-5
        )
        np.testing.assert_array_equal(fit.n_nonzero[i], (model.coef_ != 0).sum(axis=1))


def test_more_features_than_memory_has_room_for_as_a_gram_matrix():
    # 120,000 features, as 99 frames of 1024 side by side: a Gram matrix would take 107 GiB.
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12, 120_000))
    Y = 5 * X[:, :2] + rng.standard_normal((12, 2))
    split = split_rows(words(12), scheme="leave-one-word-out")
    fit = refit_elastic_net(table(X), Y, split, np.full((12, 2), 4.0), outer=[3])
    fold = split.folds[3]
    model = exact(4.0).fit(X[fold.train], Y[fold.train])
    np.testing.assert_allclose(fit.prediction[fold.test], model.predict(X[fold.test]), atol=1e-6)
    np.testing.assert_array_equal(fit.n_nonzero[3], (model.coef_ != 0).sum(axis=1))
