"""The heavy operations by numpy, BLAS and LAPACK."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma.encoding.solvers.routines import lapack

if TYPE_CHECKING:
    from highgamma.encoding.compute import FoldSolver
    from highgamma.encoding.splits import FloatArray, Fold, IntArray
    from highgamma.encoding.statistics import Real

FEW_PENALTIES = 3
"""Penalties up to which a Cholesky factor for each is cheaper than a tridiagonal form."""


def add_products(gram: Real | None, cross: Real, X: Real, Y: Real) -> None:
    """Add XᵀX to gram (p, p), if there is one, and XᵀY to cross (p, t), in place."""
    if gram is not None:
        gram += X.T @ X
    cross += X.T @ Y


def eigen(gram: Real) -> tuple[Real, Real]:
    """Return eigenvalues (p,), not below 0, and eigenvectors (p, p) of a Gram matrix."""
    values, vectors = np.linalg.eigh(gram)
    return np.maximum(values, 0), vectors


def solve_path(gram: Real, cross: Real, alphas: Sequence[float]) -> Real:
    """Solve (gram + αI) w = cross for every penalty.

    Parameters
    ----------
    gram
        (p, p) positive semi-definite.
    cross
        (p, t).
    alphas
        (a,) above 0.

    Returns
    -------
    (p, a·t) in Fortran order, penalty by penalty.
    """
    p, t = cross.shape
    if len(alphas) <= FEW_PENALTIES or p <= 2:
        return _solve_cholesky(gram, cross, alphas)
    reduced = _tridiagonal(gram)
    rotated = reduced.rotate(cross, transposed=True)
    weights = np.empty((p, len(alphas) * t), dtype=gram.dtype, order="F")
    for number, alpha in enumerate(alphas):
        weights[:, number * t : (number + 1) * t] = reduced.solve(rotated, alpha)
    return reduced.rotate(weights, transposed=False)


def solve_each(gram: Real, cross: Real, alpha: FloatArray) -> Real:
    """Solve (gram + α_t I) w_t = cross_t with each target's own penalty (t,); gives (p, t)."""
    distinct = np.unique(alpha)
    weights = np.empty(cross.shape, dtype=gram.dtype, order="F")
    if len(distinct) <= FEW_PENALTIES or len(gram) <= 2:
        for value in distinct:
            weights[:, alpha == value] = _solve_cholesky(gram, cross[:, alpha == value], [value])
        return weights
    reduced = _tridiagonal(gram)
    rotated = reduced.rotate(cross, transposed=True)
    for value in distinct:
        weights[:, alpha == value] = reduced.solve(rotated[:, alpha == value], value)
    return reduced.rotate(weights, transposed=False)


def _solve_cholesky(gram: Real, cross: Real, alphas: Sequence[float]) -> Real:
    potrf, potrs = lapack(gram.dtype, "potrf", "potrs")
    parts = []
    for alpha in alphas:
        shifted = np.array(gram, order="F")
        shifted.flat[:: len(gram) + 1] += alpha
        factor, failed = potrf(shifted, lower=1, overwrite_a=1, clean=0)
        if failed:
            # Rounding can push the smallest eigenvalue of a collinear Gram matrix below −α.
            values, vectors = np.linalg.eigh(gram)
            inverse = 1.0 / (np.maximum(values, 0) + alpha)
            parts.append((vectors * inverse) @ (vectors.T @ cross))
            continue
        solved, _ = potrs(factor, np.asfortranarray(cross), lower=1)
        parts.append(solved)
    return np.asfortranarray(np.concatenate(parts, axis=1))


@dataclass(slots=True)
class _Tridiagonal:
    """gram = Q T Qᵀ with Q as Householder reflectors, T by its diagonal and off-diagonal."""

    reflectors: Any
    tau: Any
    diagonal: Any
    off_diagonal: Any

    def rotate(self, B: Real, *, transposed: bool) -> Real:
        """Return Q B or Qᵀ B, (p, m), in Fortran order; an array in that order is overwritten."""
        (ormqr,) = lapack(B.dtype, "ormqr")
        B = np.array(B, order="F", copy=transposed or None)
        # dsytrd (lower) leaves the first row alone, so that Q = diag(1, Q') and Q' is a product of
        # reflectors as dgeqrf stores them.
        part = np.asfortranarray(B[1:])
        rotated, _, _ = ormqr(
            "L",
            "T" if transposed else "N",
            self.reflectors,
            self.tau,
            part,
            lwork=64 * B.shape[1] + 65 * 64,
            overwrite_c=1,
        )
        B[1:] = rotated
        return B

    def solve(self, B: Real, alpha: float) -> Real:
        """Return (T + αI)⁻¹ B."""
        pttrf, pttrs = lapack(B.dtype, "pttrf", "pttrs")
        diagonal, off_diagonal, failed = pttrf(
            self.diagonal + B.dtype.type(alpha), self.off_diagonal
        )
        if failed:
            from scipy.linalg import eigh_tridiagonal

            values, vectors = eigh_tridiagonal(self.diagonal, self.off_diagonal)
            inverse = 1.0 / (np.maximum(values, 0) + alpha)
            return np.asarray((vectors * inverse[None]) @ (vectors.T @ B), dtype=B.dtype)
        solved, _ = pttrs(diagonal, off_diagonal, B)
        return np.asarray(solved)


def _tridiagonal(gram: Real) -> _Tridiagonal:
    (sytrd,) = lapack(gram.dtype, "sytrd")
    # The transpose of a symmetric C-ordered matrix is the same matrix in Fortran order, uncopied.
    matrix = gram if gram.flags.f_contiguous else gram.T
    reduced, diagonal, off_diagonal, tau, _ = sytrd(
        matrix, lower=1, lwork=64 * len(gram), overwrite_a=1
    )
    return _Tridiagonal(np.asfortranarray(reduced[1:, :-1]), tau, diagonal, off_diagonal)


@dataclass(slots=True)
class DualModel:
    """A training set in the dual form: kernel = U diag(d) Uᵀ and Uᵀ(Y − ȳ)."""

    train: IntArray
    values: FloatArray
    vectors: FloatArray
    targets: FloatArray
    y_mean: FloatArray

    def predict(self, kernel_rows: FloatArray, alphas: FloatArray) -> FloatArray:
        """Return predictions (a, m, t) from ȳ, for kernel rows (m, n_train)."""
        rotated = kernel_rows @ self.vectors
        shrunk = rotated[None] / (self.values + alphas[:, None])[:, None, :]
        return np.asarray(shrunk @ self.targets)

    def predict_each(self, kernel_rows: FloatArray, alpha: FloatArray) -> FloatArray:
        """Return predictions (m, t) from ȳ with each target's own penalty (t,)."""
        rotated = kernel_rows @ self.vectors
        return np.asarray(rotated @ (self.targets / (self.values[:, None] + alpha)))


def dual_model(kernel: FloatArray, train: IntArray, targets: FloatArray) -> DualModel:
    """Decompose a training set's kernel (n, n, all samples) once for all penalties."""
    values, vectors = np.linalg.eigh(kernel[np.ix_(train, train)])
    y_mean = targets[train].mean(axis=0)
    return DualModel(
        train, np.maximum(values, 0.0), vectors, vectors.T @ (targets[train] - y_mean), y_mean
    )


def kernel_maps(
    kernel: FloatArray, train: IntArray, test: IntArray, alpha: FloatArray
) -> dict[float, FloatArray]:
    """Return for each distinct penalty the map H (n_test, n) of a kernel (n, n)."""
    values, vectors = np.linalg.eigh(kernel[np.ix_(train, train)])
    rotated = kernel[np.ix_(test, train)] @ vectors
    maps = {}
    for value in np.unique(alpha):
        H = (rotated / (np.maximum(values, 0) + value)) @ vectors.T
        H -= H.mean(axis=1, keepdims=True)
        full = np.zeros((len(test), len(kernel)))
        full[:, train] = H
        maps[float(value)] = full
    return maps


def surrogate_sums(
    folds: Sequence[Fold],
    solvers: dict[int, FoldSolver],
    alpha: FloatArray,
    X: Sequence[Real],
    X_strips: dict[int, Real],
    moved: Real,
) -> FloatArray:
    """Sums (5, P, K, t) of one batch of surrogates, `moved` (t, P, n).

    Every target of every surrogate is a row, a target's surrogates one after another, so that
    electrodes with the same penalty are taken together and arrays are read in their order.
    """
    t, count = moved.shape[:2]
    series = moved.reshape(t * count, -1)
    p = X[0].shape[1]
    crosses = np.empty((len(folds), t * count, p), dtype=np.float32)
    sy, syy = np.zeros((len(folds), t * count)), np.zeros((len(folds), t * count))
    for i, fold in enumerate(folds):
        held_out = np.ascontiguousarray(series[:, fold.test])
        np.matmul(held_out, X[i], out=crosses[i])
        sy[i] = held_out.sum(axis=1, dtype=np.float64)
        syy[i] = np.einsum("mi,mi->m", held_out, held_out)
    total, total_y = crosses.sum(axis=0), sy.sum(axis=0)
    sums = np.zeros((5, len(folds), t * count))
    for i, solver in solvers.items():
        cross = total - crosses[i]
        y_sum = total_y - sy[i]
        if len(solver.strips):
            strips = series[:, solver.strips]
            cross -= strips @ X_strips[i]
            y_sum = y_sum - strips.sum(axis=1, dtype=np.float64)
        cross -= np.outer(y_sum.astype(np.float32), solver.mean.astype(np.float32))
        y_mean, mean, n = y_sum / solver.n_train, solver.mean, solver.block.n
        for value, inverse in solver.inverses.items():
            rows = np.flatnonzero(np.repeat(alpha[i] == value, count))
            if not len(rows):
                continue
            here: Any = slice(None) if len(rows) == len(cross) else rows
            weights = cross[here].astype(inverse.dtype, copy=False) @ inverse
            # Block sums about the training means: of ŷ − ȳ, and of its products with y − ȳ.
            shift, sf = (weights @ np.stack([mean, solver.block.x - n * mean], axis=1)).T
            against = np.einsum("mp,mp->m", weights, crosses[i][here], dtype=np.float64)
            against -= shift * sy[i][here]
            against -= sf * y_mean[here]
            single = weights.astype(np.float32, copy=False)
            if solver.factor is None:
                product = single @ X[i].T - shift.astype(np.float32)[:, None]
            else:
                product = single @ solver.factor
            sums[1, i, here] = sf
            sums[3, i, here] = np.einsum("mp,mp->m", product, product, dtype=np.float64)
            sums[4, i, here] = against
        sums[0, i] = sy[i] - n * y_mean
        sums[2, i] = syy[i] - 2 * y_mean * sy[i] + n * y_mean**2
    return np.moveaxis(sums.reshape(5, len(folds), t, count), (1, 2, 3), (2, 3, 1))
