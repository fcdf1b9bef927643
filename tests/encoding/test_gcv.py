"""Generalised cross-validation, against the hat matrix written out."""

from __future__ import annotations

import numpy as np
import pytest
from worlds import linear, words

from highgamma.encoding.analysis import analysis_from
from highgamma.encoding.estimators import ESTIMATORS, Task
from highgamma.encoding.solvers.gcv import decompositions, nested_gcv
from highgamma.encoding.splits import split_rows
from highgamma.encoding.statistics import table
from highgamma.encoding.surrogates import Reorderings
from highgamma.errors import InputError
from highgamma.scores import fold_sums, pooled_r

ALPHAS = (0.1, 1.0, 10.0, 100.0, 1e4)


def explicit(X, y, train, test, *, standardize):
    """The best penalty, its skill, and the held-out prediction of one fold and target."""
    mean = X[train].mean(0)
    scale = X[train].std(0) if standardize else 1.0
    Z, held_out = (X[train] - mean) / scale, (X[test] - mean) / scale
    centred = y[train] - y[train].mean()
    n = train.sum()
    scored = []
    for alpha in ALPHAS:
        hat = Z @ np.linalg.inv(Z.T @ Z + alpha * np.eye(X.shape[1])) @ Z.T
        residual = ((centred - hat @ centred) ** 2).sum()
        free = 1 - (1 + np.trace(hat)) / n
        scored.append(residual / n / free**2 if free > 0 else np.inf)
    best = int(np.argmin(scored))
    nothing = (centred**2).sum() / n / (1 - 1 / n) ** 2
    weights = np.linalg.solve(Z.T @ Z + ALPHAS[best] * np.eye(X.shape[1]), Z.T @ centred)
    return ALPHAS[best], 1 - scored[best] / nothing, y[train].mean() + held_out @ weights


@pytest.mark.parametrize("p", [4, 60])
@pytest.mark.parametrize("standardize", [True, False])
def test_the_closed_form_is_the_hat_matrix_s(p, standardize):
    X, Y = linear(45, p, 3, noise=2.0)
    split = split_rows(words(45), scheme="word", folds=5)
    folds = decompositions(table(X), split, standardize=standardize, outer=range(5))
    fit = nested_gcv(folds, Y, split, alphas=ALPHAS)
    for i, fold in enumerate(split.folds):
        for target in range(3):
            alpha, skill, prediction = explicit(
                X, Y[:, target], fold.train, fold.test, standardize=standardize
            )
            assert fit.alpha[i, target] == alpha
            assert fit.inner_score[i, target] == pytest.approx(skill, abs=1e-8)
            np.testing.assert_allclose(fit.prediction[fold.test, target], prediction, atol=1e-7)


def test_a_constant_feature_and_a_constant_target_are_harmless():
    X, Y = linear(30, 5, 2)
    X[:, 2] = 7.0
    Y[:, 1] = 3.0
    split = split_rows(words(30), scheme="leave-one-word-out")
    folds = decompositions(table(X), split, standardize=True, outer=range(30))
    fit = nested_gcv(folds, Y, split, alphas=ALPHAS)
    assert np.isfinite(fit.prediction).all()
    np.testing.assert_allclose(fit.prediction[:, 1], 3.0)
    assert np.isnan(fit.inner_score[:, 1]).all()


@pytest.mark.parametrize("scheme", ["leave-one-word-out", "word"])
@pytest.mark.parametrize("p", [4, 60])
def test_targets_far_from_0_lose_no_digits_that_they_have(p, scheme):
    """All penalties are predicted at once where a fold has few samples, one by one elsewhere."""
    X, Y = linear(45, p, 3, noise=2.0)
    split = split_rows(words(45), scheme=scheme, folds=3)
    outer = range(len(split.folds))
    folds = decompositions(table(X), split, standardize=True, outer=outer)
    fit = nested_gcv(folds, Y + 1e6, split, alphas=ALPHAS)
    for i, fold in enumerate(split.folds):
        for target in range(3):
            alpha, skill, prediction = explicit(
                X, Y[:, target], fold.train, fold.test, standardize=True
            )
            assert fit.alpha[i, target] == alpha
            assert fit.inner_score[i, target] == pytest.approx(skill, abs=1e-7)
            np.testing.assert_allclose(
                fit.prediction[fold.test, target] - 1e6, prediction, atol=1e-6
            )


def test_a_target_that_differs_in_a_held_out_sample_alone_is_constant():
    X, Y = linear(30, 5, 1)
    Y[:] = 3.0
    Y[7] = 1e5
    split = split_rows(words(30), scheme="leave-one-word-out")
    folds = decompositions(table(X), split, standardize=True, outer=range(30))
    fit = nested_gcv(folds, Y, split, alphas=ALPHAS)
    (fold,) = [i for i, f in enumerate(split.folds) if 7 in f.test]
    assert np.isnan(fit.inner_score[fold, 0])
    assert fit.prediction[7, 0] == pytest.approx(3.0, abs=1e-6)


@pytest.mark.parametrize("p", [6, 80])
def test_surrogates_choose_their_penalties_by_the_same_form(p):
    X, Y = linear(40, p, 3, noise=2.0)
    split = split_rows(words(40), scheme="leave-one-word-out")
    analysis = analysis_from({"unit": "word", "alphas": list(ALPHAS)})
    task = Task(design=table(X), targets=Y, split=split, analysis=analysis)
    ridge = ESTIMATORS["ridge"]
    orders = np.stack([np.random.default_rng(k).permutation(40) for k in range(4)])
    prepared = ridge.prepared(task)
    null = ridge.null(Reorderings.plain(orders))
    null.add(task, prepared, ridge.nested(task, prepared))
    assert null.penalties == "chosen"
    gathered = pooled_r(null.finish())
    for k, order in enumerate(orders):
        fit = nested_gcv(prepared, Y[order], split, alphas=ALPHAS)
        sums = fold_sums(fit.prediction, fit.training_mean, Y[order], split)
        np.testing.assert_allclose(gathered[k], pooled_r(sums), atol=1e-9)


def test_frames_are_refused():
    with pytest.raises(InputError, match="choose_by: folds"):
        analysis_from({"unit": "frame", "choose_by": "gcv"})
