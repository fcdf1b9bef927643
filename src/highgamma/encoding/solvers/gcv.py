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
        (n, r) U.
    held_out
        (n_test, r) the held-out features times V D: a prediction is ``held_out @ (z/(d² + α))``.
    """

    train: IntArray
    test: IntArray
    squares: FloatArray
    basis: FloatArray
    held_out: FloatArray

    def rotated(self, targets: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return z (r, t), ‖y‖² (t,) and the training means (t,) of targets (all samples, t)."""
        training = targets[self.train]
        mean = training.mean(axis=0)
        training = training - mean
        return self.basis.T @ training, np.einsum("it,it->t", training, training), mean

    def choose(
        self, z: FloatArray, squared: FloatArray, alphas: FloatArray
    ) -> tuple[IntArray, FloatArray]:
        """Return the best penalty's index (t,) and its skill 1 − GCV(α)/GCV(∞) (t,).

        Of equally good penalties the first; NaN and the last where a target is constant.
        """
        n, shrink = len(self.train), alphas[:, None] / (self.squares + alphas[:, None])
        energy = z * z
        residual = np.maximum(squared - energy.sum(axis=0) + shrink**2 @ energy, 0.0)
        free = 1.0 - (1.0 + (1.0 - shrink).sum(axis=1)) / n
        with np.errstate(divide="ignore", invalid="ignore"):
            score = residual / np.where(free > 0, free, np.nan)[:, None] ** 2
            skill = 1.0 - score * (1.0 - 1.0 / n) ** 2 / squared
        known = np.isfinite(skill)
        best = np.argmax(np.where(known, skill, -np.inf), axis=0)
        best[~known.any(axis=0)] = len(alphas) - 1
        return best.astype(np.int64), skill[best, np.arange(skill.shape[1])]

    def predict(self, z: FloatArray, alpha: FloatArray) -> FloatArray:
        """Return held-out predictions (n_test, t) from the training mean, penalties (t,)."""
        prediction = np.empty((len(self.test), z.shape[1]))
        for value in np.unique(alpha):
            chosen = alpha == value
            prediction[:, chosen] = (self.held_out / (self.squares + value)) @ z[:, chosen]
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
        folds[i] = Decomposition(train, test, squares, basis, held_out)
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
    for i, fold in folds.items():
        z, squared, mean = fold.rotated(targets)
        best, fit.inner_score[i] = fold.choose(z, squared, grid)
        fit.alpha[i] = grid[best]
        fit.training_mean[i] = mean
        fit.n_nonzero[i] = len(fold.squares)
        fit.prediction[fold.test] = mean + fold.predict(z, grid[best])
    return fit
