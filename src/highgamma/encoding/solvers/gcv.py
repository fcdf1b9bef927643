"""Ridge regression with its penalty chosen by generalised cross-validation, in closed form.

One decomposition of an outer fold's training features gives the fits of all targets and penalties,
so that every surrogate can choose its penalty anew at the cost of a matrix product. With
standardised features Z = U D Vᵀ (n × p), centred targets y and z = Uᵀy

    RSS(α) = ‖y‖² − Σ z² + Σ (α/(d² + α))² z²,    df(α) = 1 + Σ d²/(d² + α),

and the penalty minimises GCV(α) = (RSS/n) / (1 − df/n)² (Golub, Heath & Wahba, Technometrics
21:215, 1979). It takes samples to be exchangeable, and is for words, not for frames, whose
neighbours are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from highgamma.encoding.fits import NestedFit, empty_fit
from highgamma.encoding.solvers.ridge import training_kernels
from highgamma.encoding.splits import FloatArray, IntArray, Split
from highgamma.encoding.statistics import Design, feature_scale

ROUNDING = 1e-13
"""Share of a target's sum of squares up to which that of its training samples is rounding."""

RANK = 1e-12
"""Share of the largest squared singular value up to which another is rounding."""


@dataclass(frozen=True, slots=True)
class Decomposition:
    """An outer fold's training features, decomposed.

    Attributes
    ----------
    train, test
        Rows of the training samples (n,) and of the held-out ones.
    squares
        (r,) squared singular values d².
    basis
        (all samples, r) U, and 0 in rows of samples that are not for training.
    held_out
        (n_test, r) the held-out features times V D: a prediction is ``held_out @ (z/(d² + α))``.
    """

    train: IntArray
    test: IntArray
    squares: FloatArray
    basis: FloatArray
    held_out: FloatArray

    def rotated(
        self, targets: FloatArray, total: FloatArray, squared: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return z (r, t), ‖y‖² (t,) and the training means (t,) of targets (all samples, t).

        Training sums are those of all samples, `total` and `squared` (t,), less the held-out ones;
        U is orthogonal to a constant, so that z needs no centred targets. What is left of ‖y‖² is 0
        up to rounding.
        """
        held_out, n = targets[self.test], len(self.train)
        mean = (total - held_out.sum(axis=0)) / n
        left = squared - np.einsum("it,it->t", held_out, held_out) - n * mean**2
        return self.basis.T @ targets, np.where(left > ROUNDING * squared, left, 0.0), mean

    def choose(
        self, z: FloatArray, squared: FloatArray, alphas: FloatArray
    ) -> tuple[IntArray, FloatArray]:
        """Return the best penalty's index (t,) and its skill 1 − GCV(α)/GCV(∞) (t,).

        Of equally good penalties the first; NaN and the last where a target is constant.
        """
        n, shrink = len(self.train), alphas[:, None] / (self.squares + alphas[:, None])
        residual = np.maximum(squared + (shrink**2 - 1) @ (z * z), 0.0)
        free = 1.0 - (1.0 + (1.0 - shrink).sum(axis=1)) / n
        with np.errstate(divide="ignore", invalid="ignore"):
            score = residual / np.where(free > 0, free, np.nan)[:, None] ** 2
            skill = 1.0 - score * (1.0 - 1.0 / n) ** 2 / squared
        known = np.isfinite(skill)
        best = np.argmax(np.where(known, skill, -np.inf), axis=0)
        best[~known.any(axis=0)] = len(alphas) - 1
        return best.astype(np.int64), skill[best, np.arange(skill.shape[1])]

    def predict(self, z: FloatArray, best: IntArray, alphas: FloatArray) -> FloatArray:
        """Return held-out predictions (n_test, t) from the training mean, by index of the penalty.

        Those of all penalties at once, where they are fewer than the values that choosing a
        penalty's targets first would copy.
        """
        if len(self.test) * len(alphas) <= 2 * len(z):
            weights = self.held_out[:, None] / (self.squares + alphas[:, None])
            each = (weights.reshape(-1, len(z)) @ z).reshape(len(self.test), len(alphas), -1)
            return np.take_along_axis(each, best[None, None], axis=1)[:, 0]
        prediction = np.empty((len(self.test), z.shape[1]))
        for number in np.unique(best):
            chosen = best == number
            weights = self.held_out / (self.squares + alphas[number])
            prediction[:, chosen] = weights @ z[:, chosen]
        return prediction


def decompositions(
    design: Design,
    split: Split,
    *,
    standardize: bool,
    outer: Sequence[int],
) -> dict[int, Decomposition]:
    """Decompose the training features of outer folds, from the smaller of two Gram matrices.

    Parameters
    ----------
    design
        n samples of p features; finite.
    split
        The outer folds.
    standardize
        Divide features by their SD over the training set; they are always centred.
    outer
        Numbers of the folds.
    """
    n, p = design.shape
    everyone = np.arange(n, dtype=np.int64)
    X = design.rows(everyone)
    origin, mean_square = X.mean(axis=0), X.var(axis=0)
    folds = {}
    for i in outer:
        fold = split.folds[i]
        train, test = np.flatnonzero(fold.train), fold.test
        if p >= len(train):
            kernel = training_kernels(design, [fold.train], standardize=standardize)[0]
            squares, basis = np.linalg.eigh(kernel[np.ix_(train, train)])
            there = squares > RANK * squares[-1]
            squares, basis = squares[there], np.ascontiguousarray(basis[:, there])
            held_out = kernel[np.ix_(test, train)] @ basis
        else:
            mean = X[train].mean(axis=0)
            scale = feature_scale(
                X[train].var(axis=0), mean_square, origin, standardize=standardize
            )
            Z = (X[train] - mean) * scale
            squares, axes = np.linalg.eigh(Z.T @ Z)
            there = squares > RANK * squares[-1]
            squares, axes = squares[there], axes[:, there]
            basis = (Z @ axes) / np.sqrt(squares)
            held_out = ((X[test] - mean) * scale @ axes) * np.sqrt(squares)
        whole = np.zeros((n, len(squares)))
        whole[train] = basis
        folds[i] = Decomposition(train, test, squares, whole, held_out)
    return folds


def nested_gcv(
    folds: dict[int, Decomposition], targets: FloatArray, split: Split, *, alphas: Sequence[float]
) -> NestedFit:
    """Fit each outer fold with penalties chosen by generalised cross-validation.

    Parameters
    ----------
    folds
        The outer folds' decompositions.
    targets
        (n, t), finite.
    split
        The outer folds.
    alphas
        (a,) penalties above 0, in the unit of a sum of squares over the training samples.

    Returns
    -------
    The fit; its inner score is the skill that generalised cross-validation estimates.
    """
    grid = np.asarray(alphas, dtype=np.float64)
    fit = empty_fit(len(targets), len(split.folds), targets.shape[1])
    origin = targets.mean(axis=0)
    centred = targets - origin
    total, squared = centred.sum(axis=0), np.einsum("it,it->t", centred, centred)
    for i, fold in folds.items():
        z, left, mean = fold.rotated(centred, total, squared)
        best, fit.inner_score[i] = fold.choose(z, left, grid)
        fit.alpha[i] = grid[best]
        fit.training_mean[i] = origin + mean
        fit.n_nonzero[i] = len(fold.squares)
        fit.prediction[fold.test] = fit.training_mean[i] + fold.predict(z, best, grid)
    return fit
