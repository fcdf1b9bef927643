"""The engine's heavy operations behind one interface, so that a device can take them over.

What is heavy is four things: the Gram matrices of blocks, the solution of a path of penalties, the
dual model, and a batch of surrogates. `Compute` says what they are, `CPU` is the implementation by
numpy and LAPACK, the only one so far. Another one goes into `fit_analysis(…, compute=…)` and from
there to every fit; nothing else has to know of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from highgamma.encoding.compute import lapack

if TYPE_CHECKING:
    from highgamma.encoding.splits import FloatArray, Fold, IntArray
    from highgamma.encoding.statistics import Moments, Real


@dataclass(slots=True)
class FoldSolver:
    """One outer fold's solutions: for a penalty, weights = inverse @ cross (centred, raw units).

    `factor` is a root of the held-out block's Gram matrix, None where its rows are cheaper.
    """

    n_train: int
    mean: FloatArray
    strips: IntArray
    block: Moments
    factor: Real | None
    inverses: dict[float, Real]


class Dual(Protocol):
    """A training set's decomposed kernel."""

    train: IntArray
    y_mean: FloatArray

    def predict(self, kernel_rows: FloatArray, alphas: FloatArray) -> FloatArray:
        """Return predictions (a, m, t) from ȳ for kernel rows (m, n_train)."""
        ...

    def predict_each(self, kernel_rows: FloatArray, alpha: FloatArray) -> FloatArray:
        """Return predictions (m, t) from ȳ with each target's own penalty (t,)."""
        ...


class Compute(Protocol):
    """What a device does for the engine; arrays are numpy's on both sides."""

    def add_products(self, gram: Real | None, cross: Real, X: Real, Y: Real) -> None:
        """Add XᵀX to gram (p, p), where there is one, and XᵀY to cross (p, t), in place.

        X (m, p) and Y (m, t) are a slab of a block's rows.
        """
        ...

    def eigen(self, gram: Real) -> tuple[Real, Real]:
        """Return eigenvalues (p,), not below 0, and eigenvectors (p, p) of a Gram matrix."""
        ...

    def solve_path(self, gram: Real, cross: Real, alphas: Sequence[float]) -> Real:
        """Solve (gram + αI) w = cross for every penalty.

        gram (p, p) is positive semi-definite, cross (p, t); gives (p, a·t) in Fortran order,
        penalty by penalty.
        """
        ...

    def solve_each(self, gram: Real, cross: Real, alpha: FloatArray) -> Real:
        """Solve (gram + α_t I) w_t = cross_t with each target's own penalty (t,); gives (p, t)."""
        ...

    def dual_model(self, kernel: FloatArray, train: IntArray, targets: FloatArray) -> Dual:
        """Decompose the kernel (n, n) of a training set once for all penalties."""
        ...

    def kernel_maps(
        self, kernel: FloatArray, train: IntArray, test: IntArray, alpha: FloatArray
    ) -> dict[float, FloatArray]:
        """Return for each distinct penalty the map H (n_test, n) with ŷ − ȳ = H y."""
        ...

    def surrogate_sums(
        self,
        folds: Sequence[Fold],
        solvers: dict[int, FoldSolver],
        alpha: FloatArray,
        X: Sequence[Real],
        X_strips: dict[int, Real],
        moved: Real,
    ) -> FloatArray:
        """Return the sums (5, P, K, t) of a batch of surrogates with penalties (K, t).

        X and X_strips are the centred features of every block and of the strips around it, moved
        (t, P, n) the surrogates of the centred targets.
        """
        ...


CPU: Compute = lapack
