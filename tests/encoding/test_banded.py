from __future__ import annotations

import numpy as np
import pytest
from himalaya.kernel_ridge import generate_dirichlet_samples
from himalaya.ridge import solve_group_ridge_random_search
from himalaya.scoring import correlation_score_split, r2_score_split
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from worlds import frames, words

from highgamma import scores
from highgamma.encoding.analysis import analysis_from
from highgamma.encoding.estimators import ESTIMATORS, Spaces, Task
from highgamma.encoding.solvers.banded_ridge import (
    SHARE,
    band_alpha,
    band_of_columns,
    drawn_shares,
    nested_banded,
    r_shares,
    refit_banded,
    skill_shares,
)
from highgamma.encoding.solvers.ridge import nested_ridge
from highgamma.encoding.splits import split_rows
from highgamma.encoding.statistics import table
from highgamma.encoding.surrogates import Reorderings

ALPHAS = (0.1, 10.0, 1000.0)


def two_spaces(n, *, widths=(5, 8), t=4, seed=0):
    """Electrodes 0 and 1 follow the first space, 2 the second, 3 both."""
    rng = np.random.default_rng(seed)
    A, B = (rng.standard_normal((n, p)) for p in widths)
    a, b = (X @ rng.standard_normal((X.shape[1], t)) / np.sqrt(X.shape[1]) for X in (A, B))
    Y = a * [1, 1, 0, 1] + b * [0, 0, 1, 1] + 0.7 * rng.standard_normal((n, t)) + 5
    return A, B, Y


def cases():
    yield (
        120,
        (5, 8),
        lambda n: split_rows(frames(n), scheme="contiguous", folds=4, gap=0.0, step=0.01),
    )
    yield 24, (20, 30), lambda n: split_rows(words(n), scheme="contiguous", folds=4, gap=0.0)


@pytest.mark.parametrize(("n", "widths", "splitting"), list(cases()))
def test_the_search_is_himalaya_s_with_many_samples_and_with_many_features(n, widths, splitting):
    A, B, Y = two_spaces(n, widths=widths)
    split = splitting(n)
    shares = drawn_shares(2, draws=12, seed=3)
    fit = nested_banded(
        table(np.concatenate([A, B], axis=1)), Y, split, band=band_of_columns(widths),
        shares=shares, alphas=ALPHAS, standardize=False,
    )  # fmt: skip
    for i, fold in enumerate(split.folds):
        train = np.flatnonzero(fold.train)
        inner = [
            (np.flatnonzero(split.block[train] != g), np.flatnonzero(split.block[train] == g))
            for (g,) in split.inner[i]
        ]
        deltas, weights, _, intercept = solve_group_ridge_random_search(
            [A[train], B[train]], Y[train], n_iter=shares, alphas=np.asarray(ALPHAS),
            fit_intercept=True, cv=inner, return_weights=True, progress_bar=False, warn=False,
        )  # fmt: skip
        np.testing.assert_allclose(band_alpha(fit)[i], np.exp(-deltas), rtol=1e-8)
        X = np.concatenate([A, B], axis=1)[fold.test]
        expected = X @ weights + intercept
        found = fit.parts.sum(0)[fold.test] + fit.training_mean[i]
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


def test_the_draws_are_himalaya_s_and_begin_with_equal_shares():
    shares = drawn_shares(3, draws=40, seed=5)
    assert shares.shape == (40, 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(shares[0], 1 / 3)
    expected = generate_dirichlet_samples(40, 3, concentration=[0.1, 1.0], random_state=5)
    np.testing.assert_array_equal(shares[1:], expected[1:])
    np.testing.assert_array_equal(
        drawn_shares(3, draws=7, seed=5)[1:],
        generate_dirichlet_samples(7, 3, concentration=[0.1, 1.0], random_state=5)[1:],
    )
    np.testing.assert_array_equal(drawn_shares(1, draws=40, seed=5), [[1.0]])


@pytest.mark.parametrize(("n", "widths", "splitting"), list(cases()))
def test_standardised_weights_are_scikit_learn_s_on_scaled_columns(n, widths, splitting):
    A, B, Y = two_spaces(n, widths=widths)
    split = splitting(n)
    X = np.concatenate([10 * A + 3, B], axis=1)
    alpha = np.tile([1.0, 5.0, 1.0, 30.0], (4, 1))
    share = np.stack([np.tile([0.9, 0.9, 0.2, 0.5], (4, 1)), np.tile([0.1, 0.1, 0.8, 0.5], (4, 1))])
    share = np.moveaxis(share, 0, 1)
    band = band_of_columns(widths)
    fit = refit_banded(table(X), Y, split, band=band, alpha=alpha, share=share)
    for i, fold in enumerate(split.folds):
        scaler = StandardScaler().fit(X[fold.train])
        for k in range(4):
            root = np.sqrt(share[i, :, k])[band]
            model = Ridge(alpha[i, k]).fit(scaler.transform(X[fold.train]) * root, Y[fold.train, k])
            Z = scaler.transform(X[fold.test]) * root
            for b in (0, 1):
                expected = Z[:, band == b] @ model.coef_[band == b]
                np.testing.assert_allclose(fit.parts[b, fold.test, k], expected, atol=1e-8)


def test_one_space_alone_is_ridge_regression():
    A, _, Y = two_spaces(120)
    split = split_rows(frames(120), scheme="contiguous", folds=4, gap=0.05, step=0.01)
    fit = nested_banded(
        table(A), Y, split, band=band_of_columns([5]), shares=drawn_shares(1, draws=9, seed=0),
        alphas=ALPHAS,
    )  # fmt: skip
    plain = nested_ridge(table(A), Y, split, alphas=ALPHAS)
    np.testing.assert_array_equal(fit.alpha, plain.alpha)
    np.testing.assert_allclose(fit.inner_score, plain.inner_score, atol=1e-10)
    np.testing.assert_allclose(
        fit.parts[0] + fit.training_mean[split.block], plain.prediction, atol=1e-10
    )


def test_a_wide_space_that_says_nothing_is_given_a_large_penalty():
    A, B, Y = two_spaces(600, widths=(5, 60))
    split = split_rows(frames(600), scheme="contiguous", folds=4, gap=0.0, step=0.01)
    fit = nested_banded(
        table(np.concatenate([A, B], axis=1)), Y, split, band=band_of_columns((5, 60)),
        shares=drawn_shares(2, draws=30, seed=0), alphas=ALPHAS,
    )  # fmt: skip
    alpha = band_alpha(fit)
    assert (alpha[:, 1, :2] > 10 * alpha[:, 0, :2]).all()


def test_shares_are_himalaya_s_and_sum_to_the_joint_score():
    rng = np.random.default_rng(1)
    split = split_rows(frames(90), scheme="contiguous", folds=3, gap=0.0, step=0.01)
    Y = rng.standard_normal((90, 3))
    Y -= Y.mean(0)
    parts = 0.4 * rng.standard_normal((2, 90, 3)) + 0.3 * Y
    parts -= parts.mean(axis=1, keepdims=True)
    zero = np.zeros((3, 3))
    share, share_r = (f(parts, zero, Y, split) for f in (skill_shares, r_shares))
    np.testing.assert_allclose(share, r2_score_split(Y, parts), atol=1e-10)
    np.testing.assert_allclose(share_r, correlation_score_split(Y, parts), atol=1e-10)
    sums = scores.fold_sums(parts.sum(0), zero, Y, split)
    np.testing.assert_allclose(share.sum(0), scores.pooled_skill(sums), atol=1e-12)
    np.testing.assert_allclose(share_r.sum(0), scores.pooled_r(sums), atol=1e-12)


@pytest.mark.parametrize(("n", "widths", "splitting"), list(cases()))
def test_the_null_is_that_of_refitting_every_surrogate(n, widths, splitting):
    A, B, Y = two_spaces(n, widths=widths)
    split = splitting(n)
    design, band = table(np.concatenate([A, B], axis=1)), band_of_columns(widths)
    fit = nested_banded(
        design, Y, split, band=band, shares=drawn_shares(2, draws=6, seed=1), alphas=ALPHAS
    )
    surrogates = np.stack([np.random.default_rng(k).permutation(n) for k in range(4)])
    task = Task(
        design=design,
        targets=Y,
        split=split,
        analysis=analysis_from({"unit": "frame", "estimator": "banded-ridge", "bands": ["a", "b"]}),
        spaces=Spaces(widths=widths, copies=1, seed=0, design_of=lambda some: design),
    )
    gathered = ESTIMATORS["banded-ridge"].null(Reorderings.plain(surrogates))
    gathered.add(task, None, fit)
    null = gathered.finish()
    for k, index in enumerate(surrogates):
        again = refit_banded(
            design, Y[index], split, band=band, alpha=fit.alpha, share=fit.chosen[SHARE]
        )
        prediction = again.parts.sum(0) + again.training_mean[split.block]
        expected = scores.fold_sums(prediction, again.training_mean, Y[index], split)
        np.testing.assert_allclose(null.syf[k], expected.syf, atol=1e-8)
        np.testing.assert_allclose(scores.pooled_r(null)[k], scores.pooled_r(expected), atol=1e-8)
