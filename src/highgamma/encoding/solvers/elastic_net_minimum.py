"""Minima of the elastic net for many targets that share their features.

For centred features Z and targets y of n samples: argmin_w ½ wᵀGw − cᵀw + λ₁‖w‖₁ + ½ λ₂‖w‖², with
G = ZᵀZ, c = Zᵀy, λ₁ = n·α·l1_ratio, λ₂ = n·α·(1 − l1_ratio).

At the optimum w = 0 exactly where max|c| ≤ λ₁; those targets are intercept-only and never get here.
The others are brought near their minima together by operator splitting (ADMM); Newton's method on
the active set then ends at each exact minimum, in a step or two. From one outer fold to the next
minima hardly move: Newton's method starts at those of the fold before, and most fits need no
splitting. What it leaves over goes to scikit-learn's coordinate descent.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from highgamma.encoding.solvers.routines import lapack
from highgamma.encoding.splits import BoolArray, FloatArray

SingleArray = NDArray[np.float32]
#: Writes 1.6·ρ(G + ρI)⁻¹x into the second argument.
Shifted = Callable[[SingleArray, SingleArray], Any]

TOLERANCE = 1e-12
MAX_SWEEPS = 20_000
# Further steps only for the fits that Newton's method did not finish.
SPLITTING_STEPS = (80, 400, 2000)
NEWTON_STEPS = 12
RELAXATION = 1.6
# What stays in the cache; fewer columns would not pay for a step's matrix.
BATCH_BYTES, LEAST_BATCH = 2**19, 256

logger = logging.getLogger("highgamma")


class Quadratic(Protocol):
    """G of p features, in the form that is the smaller."""

    @property
    def diagonal(self) -> FloatArray:
        """Diagonal (p,) of G."""
        ...

    def times(self, weights: FloatArray) -> FloatArray:
        """Return G·weights, (p, m)."""
        ...

    def part(self, chosen: NDArray[np.intp]) -> FloatArray:
        """Return G of some features, a new (a, a)."""
        ...

    def typical_eigenvalue(self) -> float:
        """Return the median positive eigenvalue: a good step ρ for the splitting."""
        ...

    def shifted(self, rho: float) -> Shifted:
        """Return a function that applies 1.6·ρ(G + ρI)⁻¹."""
        ...

    def samples(self, cross: FloatArray, yy: float) -> tuple[FloatArray, FloatArray, Any]:
        """Return scikit-learn's input: X and y with c = Xᵀy, and a Gram matrix if available."""
        ...


@dataclass(frozen=True)
class Gram:
    """G itself: for fewer features than samples."""

    gram: FloatArray

    @cached_property
    def diagonal(self) -> FloatArray:
        """Diagonal (p,) of G."""
        return np.diagonal(self.gram)

    def times(self, weights: FloatArray) -> FloatArray:
        """Return G·weights, (p, m)."""
        return self.gram @ weights

    def part(self, chosen: NDArray[np.intp]) -> FloatArray:
        """Return G of some features, a new (a, a)."""
        return self.gram[chosen[:, None], chosen]

    def typical_eigenvalue(self) -> float:
        """Return the median positive eigenvalue."""
        return _median_positive(np.linalg.eigvalsh(self.gram))

    def shifted(self, rho: float) -> Shifted:
        """Return a function that applies the inverse, from a Cholesky factor."""
        moved = self.gram.copy()
        moved.flat[:: len(moved) + 1] += rho
        potrf, potri = lapack(moved.dtype, "potrf", "potri")
        lower = np.tril(potri(potrf(moved, lower=1, overwrite_a=1)[0], lower=1)[0])
        inverse = lower + np.tril(lower, -1).T
        relaxed = np.asarray(RELAXATION * rho * inverse, dtype=np.float32)
        return lambda x, out: np.matmul(relaxed, x, out=out)

    def samples(self, cross: FloatArray, yy: float) -> tuple[FloatArray, FloatArray, Any]:
        """Return X and y with Σy², and G, from which scikit-learn reads the rest."""
        return np.zeros((1, len(self.gram)), order="F"), np.array([np.sqrt(yy)]), self.gram


@dataclass(frozen=True)
class GramByRows:
    """G = ZᵀZ by its rows Z (n, p): for more features than samples."""

    Z: FloatArray

    @cached_property
    def diagonal(self) -> FloatArray:
        """Diagonal (p,) of G."""
        return np.asarray(np.einsum("np,np->p", self.Z, self.Z))

    def times(self, weights: FloatArray) -> FloatArray:
        """Return Zᵀ(Z·weights), (p, m)."""
        return np.asarray(self.Z.T @ (self.Z @ weights))

    def part(self, chosen: NDArray[np.intp]) -> FloatArray:
        """Return G of some features, a new (a, a)."""
        some = self.Z[:, chosen]
        return np.asarray(some.T @ some)

    def typical_eigenvalue(self) -> float:
        """Return the median positive eigenvalue, which ZZᵀ shares."""
        return _median_positive(np.linalg.eigvalsh(self.Z @ self.Z.T))

    def shifted(self, rho: float) -> Shifted:
        """Return a function that applies ρ(G + ρI)⁻¹ = I − Zᵀ(ZZᵀ + ρI)⁻¹Z."""
        kernel = self.Z @ self.Z.T
        kernel.flat[:: len(kernel) + 1] += rho
        right = np.asarray(self.Z, dtype=np.float32)
        left = np.asarray(np.linalg.solve(kernel, self.Z).T, dtype=np.float32)

        def apply(x: SingleArray, out: SingleArray) -> None:
            np.matmul(left, right @ x, out=out)
            np.subtract(x, out, out=out)
            out *= np.float32(RELAXATION)

        return apply

    def samples(self, cross: FloatArray, yy: float) -> tuple[FloatArray, FloatArray, Any]:
        """Return the rows, and the shortest y with Zᵀy = c."""
        y = np.asarray(np.linalg.lstsq(self.Z.T, cross, rcond=None)[0], dtype=np.float64)
        return np.asfortranarray(self.Z), y, False


def _median_positive(values: NDArray[Any]) -> float:
    positive = values[values > 1e-10 * values[-1]]
    return float(np.median(positive)) if len(positive) else 1.0


@dataclass(slots=True)
class Neighbour:
    """Starting values from the solutions of a similar training set.

    They change the number of steps, not the solution.

    Attributes
    ----------
    weights
        (p, a, t) of the last solution; None before the first.
    rho
        Step of the splitting; None before the first solution.
    """

    weights: FloatArray | None = None
    rho: float | None = None


def minimise(
    quadratic: Quadratic,
    cross: FloatArray,
    l1: FloatArray,
    l2: FloatArray,
    *,
    l1_ratio: float,
    yy: FloatArray,
    starts: FloatArray | None,
    neighbour: Neighbour,
    tolerance: float = TOLERANCE,
) -> FloatArray:
    """Return the minima (p, m) for the columns of cross (p, m) with penalties λ₁, λ₂ (m,).

    Parameters
    ----------
    quadratic
        The quadratic form G (p, p).
    cross
        (p, m) Xᵀy of every target.
    l1, l2
        (m,) penalties λ₁ and λ₂.
    l1_ratio
        λ₁/(λ₁ + λ₂).
    yy
        (m,) Σy²; the tolerance is a duality gap relative to it.
    starts
        (p, m) near the minima, or None.
    neighbour
        Its rho is used, or set.
    tolerance
        Largest duality gap of coordinate descent, relative to Σy².

    Returns
    -------
    weights
        (p, m) minima.
    """
    p, m = cross.shape
    weights = np.zeros((p, m))
    shifted: Shifted | None = None
    unfinished = 0
    batch = max(LEAST_BATCH, BATCH_BYTES // (16 * p))
    for first in range(0, m, batch):
        left = np.arange(first, min(first + batch, m))
        near = np.zeros((p, len(left))) if starts is None else starts[:, left]
        for steps in SPLITTING_STEPS if starts is None else (0, *SPLITTING_STEPS):
            mine = cross[:, left]
            if steps:
                if neighbour.rho is None:
                    neighbour.rho = quadratic.typical_eigenvalue()
                if shifted is None:
                    shifted = quadratic.shifted(neighbour.rho)
                near = _approximate(
                    quadratic,
                    shifted,
                    rho=neighbour.rho,
                    cross=mine,
                    l1=l1[left],
                    l2=l2[left],
                    starts=near,
                    steps=steps,
                )
            exact, solved = _newton(quadratic, mine, l1[left], l2[left], near)
            weights[:, left[solved]] = exact[:, solved]
            left, near = left[~solved], near[:, ~solved]
            if not len(left):
                break
        for column, target in enumerate(left.tolist()):
            weights[:, target], converged = _descend(
                quadratic,
                np.ascontiguousarray(cross[:, target]),
                yy=float(yy[target]),
                penalty=float(l1[target] + l2[target]),
                l1_ratio=l1_ratio,
                start=np.ascontiguousarray(near[:, column]),
                tolerance=tolerance,
            )
            unfinished += not converged
    if unfinished:
        logger.info("elastic net: %d fits stopped at the last sweep", unfinished)
    return weights


def _approximate(
    quadratic: Quadratic,
    shifted: Shifted,
    *,
    rho: float,
    cross: FloatArray,
    l1: FloatArray,
    l2: FloatArray,
    starts: FloatArray,
    steps: int,
) -> FloatArray:
    """Approximate minima (p, m) for all columns of cross (p, m) at once, by splitting (ADMM).

    Boyd et al. (2011), section 6.4: w = (G + ρI)⁻¹(c + ρ(z − u)), z = the penalty's proximal map
    of w + u, u += w − z, over-relaxed by 1.6. At a minimum ρu = c − Gz, which starts u. In single
    precision, which will do for a start, and in memory that is used again.
    """
    constant = np.asarray(cross / rho, dtype=np.float32)
    fixed = np.empty_like(constant)
    shifted(constant, fixed)
    threshold = np.asarray(l1 / rho, dtype=np.float32)
    shrink = np.asarray(1.0 / (1.0 + l2 / rho), dtype=np.float32)
    z, u = np.array(starts, dtype=np.float32), np.zeros_like(fixed)
    if starts.any():
        u += (cross - quadratic.times(starts)) / rho
    difference, step = np.empty_like(fixed), np.empty_like(fixed)
    for _ in range(steps):
        np.subtract(z, u, out=difference)
        shifted(difference, step)
        step += fixed
        z *= np.float32(RELAXATION - 1)
        step -= z
        u += step
        # Soft threshold as the input less its clipped part.
        np.clip(u, -threshold, threshold, out=step)
        np.subtract(u, step, out=z)
        z *= shrink
        u -= z
    return z.astype(np.float64)


def _newton(
    quadratic: Quadratic, cross: FloatArray, l1: FloatArray, l2: FloatArray, starts: FloatArray
) -> tuple[FloatArray, BoolArray]:
    """Exact minima (p, m) where Newton's method on the active set finds them, and where (m,).

    With z_j = w_j + (c − Gw − λ₂w)_j / τ_j and τ_j = G_jj + λ₂, the active features are those with
    |z_j| > λ₁/τ_j, their signs those of z; then (G_AA + λ₂I) w_A = c_A − λ₁ s_A. A set of features
    and signs that reproduces itself satisfies the optimality conditions.
    """
    potrf, potrs = lapack(np.float64, "potrf", "potrs")
    diagonal = quadratic.diagonal[:, None]
    weights = starts.copy()
    before = np.full(starts.shape, 2, dtype=np.int8)
    solved = np.zeros(starts.shape[1], dtype=np.bool_)
    left = np.arange(starts.shape[1])
    for _ in range(NEWTON_STEPS):
        w = weights[:, left]
        z = diagonal * w + cross[:, left] - quadratic.times(w)
        signs = (np.sign(z) * (np.abs(z) > l1[left])).astype(np.int8)
        same = (signs == before[:, left]).all(axis=0)
        solved[left[same]] = True
        left, signs = left[~same], signs[:, ~same]
        before[:, left] = signs
        solvable = np.ones(len(left), dtype=np.bool_)
        for column, (target, sign) in enumerate(zip(left.tolist(), signs.T, strict=True)):
            weights[:, target] = 0
            (chosen,) = sign.nonzero()
            if not len(chosen):
                continue
            part = quadratic.part(chosen)
            part.flat[:: len(chosen) + 1] += l2[target]
            factor, failed = potrf(part, lower=1, overwrite_a=1, clean=0)
            if failed:
                solvable[column] = False
                continue
            wanted = cross[chosen, target] - l1[target] * sign[chosen]
            weights[chosen, target] = potrs(factor, wanted, lower=1)[0]
        left = left[solvable]
        if not len(left):
            break
    return weights, solved


def _descend(
    quadratic: Quadratic,
    cross: FloatArray,
    *,
    yy: float,
    penalty: float,
    l1_ratio: float,
    start: FloatArray,
    tolerance: float,
) -> tuple[FloatArray, bool]:
    """Coordinate descent from a start, and whether it reached the tolerance."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import enet_path

    X, y, gram = quadratic.samples(cross, yy)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        # scikit-learn divides the squares by the number of rows, whatever that is here.
        _, path, _ = enet_path(
            X,
            y,
            l1_ratio=l1_ratio,
            alphas=[penalty / len(X)],
            precompute=gram,
            Xy=cross if gram is not False else None,
            coef_init=start,
            check_input=False,
            tol=tolerance,
            max_iter=MAX_SWEEPS,
        )
    return path[:, 0], not any(issubclass(w.category, ConvergenceWarning) for w in caught)
