"""Small worlds with known answers, and plain loops that say what the answers are."""

from __future__ import annotations

import numpy as np

from highgamma.encoding.splits import Rows

RATE = 100.0

PLAIN = {"drift": None, "choose_by": "folds"}
"""Settings of an analysis that takes nothing out and chooses penalties on inner folds."""

WORDS = {"unit": "word", "surrogates": "permutation", **PLAIN}
"""The same for words, whose surrogates are permutations: there is no envelope to shift."""


def frames(n, *, segments=1, rate=RATE):
    """Rows of n frames in equally long segments, each beginning at 0.5 s; no words."""
    segment = (np.arange(n) * segments) // n
    within = np.concatenate([np.arange((segment == s).sum()) for s in range(segments)])
    time = 0.5 + within / rate
    none = np.full(n, -1)
    return Rows(time, time, segment, none, none)


def words(n, *, identities=None):
    """Rows of n words, one every 3 s, windows of 1 s."""
    start = 3.0 * np.arange(n)
    word = np.arange(n) if identities is None else np.asarray(identities)
    return Rows(start, start + 1.0, np.zeros(n, dtype=int), np.arange(n), word)


def linear(n, p, t, *, seed=0, noise=1.0, correlated=False):
    """Features, and targets that depend on them with noise; or features that are nearly alike."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    if correlated:
        X = rng.standard_normal((n, 1)) + 0.03 * X
    X = X * rng.uniform(0.1, 10, p) + rng.uniform(-5, 5, p)
    Z = (X - X.mean(0)) / X.std(0)
    Y = Z @ rng.standard_normal((p, t)) / np.sqrt(p) + noise * rng.standard_normal((n, t)) + 3
    return X, Y


def autocorrelated(n, t, *, seed, coefficient=0.95):
    """Independent series with the autocorrelation coefficient^lag, unit variance."""
    from scipy.signal import lfilter

    noise = np.random.default_rng(seed).standard_normal((n + 500, t))
    return lfilter([np.sqrt(1 - coefficient**2)], [1, -coefficient], noise, axis=0)[500:]


def loop_nested_ridge(X, Y, split, alphas, *, standardize=True, model=None):
    """The same cross-validation written as plain loops over scikit-learn's estimators."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def make(alpha):
        steps = [StandardScaler()] if standardize else []
        return make_pipeline(*steps, Ridge(alpha) if model is None else model(alpha))

    n, t = Y.shape
    prediction = np.full((n, t), np.nan)
    chosen = np.zeros((len(split.folds), t))
    score = np.zeros((len(split.folds), t))
    for i, fold in enumerate(split.folds):
        sse, sst = np.zeros((len(alphas), t)), np.zeros(t)
        for group in split.inner[i]:
            train = fold.train.copy()
            for block in group:
                train &= split.folds[block].train
            test = np.isin(split.block, group) & fold.train
            if not test.any():
                continue
            sst += ((Y[test] - Y[train].mean(0)) ** 2).sum(0)
            for a, alpha in enumerate(alphas):
                fitted = make(alpha).fit(X[train], Y[train])
                sse[a] += ((Y[test] - fitted.predict(X[test]).reshape(-1, t)) ** 2).sum(0)
        best = np.argmax(1 - sse / sst, axis=0)
        chosen[i] = np.asarray(alphas)[best]
        score[i] = (1 - sse / sst)[best, np.arange(t)]
        for k in range(t):
            fitted = make(chosen[i, k]).fit(X[fold.train], Y[fold.train, k])
            prediction[fold.test, k] = fitted.predict(X[fold.test])
    return prediction, chosen, score
