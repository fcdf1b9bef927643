"""Scores of surrogates, which the observed scores are compared with.

Two ways with the penalty. Chosen anew: every surrogate goes through the whole nested
cross-validation, as the observed targets do; the p-values are exact. Kept: surrogates take the
penalties that the observed targets chose, which costs far less and is mostly conservative: under
the null a small penalty is chosen just where training folds agree by chance, and held-out folds
then disagree, so that the observed r lies lower than the surrogates' (measured on noise: 1 to 4 %
of p-values below .05, against 5 % with penalties chosen anew). It is not where a word's features
have next to nothing in common with other words', as position's bumps: see docs/engine.md.

What the surrogates are is said in `highgamma.encoding.surrogates`. Features and folds stay, so that
the decompositions do too: every surrogate of every electrode is one more column of targets, fitted
and scored with the same statistic.

There are three ways to the sums of held-out products that every score is made from: fitting the
surrogates side by side (`refitted_sums`, for any estimator), one linear map from targets to
predictions (`mapped_sums`, few samples), and cross-products of block statistics
(`kept_penalties.shifted_sums`, many samples).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma.encoding.fits import NestedFit
from highgamma.encoding.limits import BATCH_BYTES
from highgamma.encoding.solvers.ridge import is_wide
from highgamma.encoding.splits import FloatArray, Split
from highgamma.encoding.surrogates import Surrogates
from highgamma.scores import SUMS, FoldSums, fold_sums, held_out_counts

if TYPE_CHECKING:
    from highgamma.encoding.estimators import Estimator, Task


def seed_from(*parts: str | int) -> int:
    """Return a seed from names and numbers, the same in every process and on every machine."""
    import hashlib

    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


class Null:
    """The scores of surrogates, gathered design by design.

    A subclass says in `add` how the sums of one design come about.

    Parameters
    ----------
    surrogates
        P surrogates of the targets.

    Attributes
    ----------
    penalties
        What became of the penalties: `fixed`, `kept`, `chosen`, or `none` before the first design.
    """

    def __init__(self, surrogates: Surrogates) -> None:
        self.surrogates = surrogates
        self.penalties = "none"
        self._sums: FloatArray | None = None
        self._n: FloatArray | None = None

    def add(self, task: Task, prepared: Any, fit: NestedFit) -> None:
        """Add the surrogates of one design and its outer folds.

        Parameters
        ----------
        task, prepared, fit
            What was fitted to the observed targets, what the estimator prepared for it, and the
            outcome, whose penalties surrogates may keep.
        """
        raise NotImplementedError

    def put(self, split: Split, sums: FloatArray) -> None:
        """Add sums (5, P, K, t), 0 in the folds that another design is for."""
        self._n = held_out_counts(split)
        self._sums = sums if self._sums is None else self._sums + sums

    def finish(self) -> FoldSums | None:
        """Return the sums of all designs, arrays (P, K, t); None where nothing was added."""
        return None if self._sums is None or self._n is None else FoldSums(self._n, *self._sums)


class RefittedNull(Null):
    """The null of any estimator: every surrogate is fitted, many side by side.

    Penalties are kept unless the analysis sets `null_penalties: chosen`.
    """

    def __init__(self, estimator: Estimator, surrogates: Surrogates) -> None:
        super().__init__(surrogates)
        self._estimator = estimator

    def add(self, task: Task, prepared: Any, fit: NestedFit) -> None:
        """Fit the surrogates of one design."""
        several = len(task.analysis.penalties) > 1
        anew = several and task.analysis.null_penalties == "chosen"
        self.penalties = "chosen" if anew else "kept" if several else "fixed"

        def sums_of(moved: FloatArray) -> FloatArray:
            again = replace(task, targets=moved)
            count = moved.shape[1] // task.targets.shape[1]
            if anew:
                refitted = self._estimator.nested(again)
            else:
                refitted = self._estimator.refit(again, fit.repeated(count))
            return sums_of_fit(refitted, again)

        # Weights, starts and steps of a fold; of fewer features than samples each fold's products.
        n, t = task.targets.shape
        features = task.design.shape[1] * (len(task.analysis.penalties) if anew else 1)
        folds = 0 if is_wide(task.design.shape, task.split) else len(task.split.folds)
        batch = BATCH_BYTES // (8 * t * (n + features * (4 + folds)))
        self.put(task.split, refitted_sums(sums_of, task.targets, self.surrogates, batch=batch))


def sums_of_fit(fit: NestedFit, task: Task) -> FloatArray:
    """Return the sums (5, K, t) of a fit's held-out predictions, 0 in folds of other designs."""
    sums = fold_sums(fit.prediction, fit.training_mean, task.targets, task.split, folds=task.folds)
    return np.stack([getattr(sums, name) for name in SUMS])


def refitted_sums(
    sums_of: Callable[[FloatArray], FloatArray],
    targets: FloatArray,
    surrogates: Surrogates,
    *,
    batch: int,
    channels: Any = slice(None),
) -> FloatArray:
    """Return the sums (5, P, K, t) of surrogates that are fitted, `batch` at a time.

    Parameters
    ----------
    sums_of
        ``sums_of(moved)`` returns the sums (5, K, m·t) of targets (n, m·t), those of m surrogates
        side by side, the target fastest: they share what depends on the features alone.
    targets
        (n, t) as observed.
    surrogates
        P surrogates of the targets.
    batch
        Surrogates at a time; at least one is taken.
    channels
        Which of the targets, as an index.
    """
    n, t = len(targets), len(np.arange(targets.shape[1])[channels])
    batch = int(np.clip(batch, 1, len(surrogates)))
    gathered: FloatArray | None = None
    for start in range(0, len(surrogates), batch):
        stop = min(start + batch, len(surrogates))
        moved = surrogates.series(targets, channels, slice(start, stop))
        sums = sums_of(np.ascontiguousarray(moved.transpose(2, 1, 0)).reshape(n, -1))
        if gathered is None:
            gathered = np.zeros((5, len(surrogates), sums.shape[1], t))
        by_surrogate = sums.reshape(5, -1, stop - start, t)
        gathered[:, start:stop] = np.moveaxis(by_surrogate, 1, 2)
    assert gathered is not None
    return gathered


def mapped_sums(
    map_of: Callable[[int, int], FloatArray],
    targets: FloatArray,
    split: Split,
    surrogates: Surrogates,
) -> FloatArray:
    """Return the sums (5, P, K, t) of surrogates whose penalties are kept, few samples.

    Parameters
    ----------
    map_of
        ``map_of(fold, target)`` returns H (n_test, n) with ŷ − ȳ = H y, which does not depend on y
        (`solvers.ridge.hat_rows`).
    targets
        (n, t) as observed.
    split
        The outer folds.
    surrogates
        P surrogates of the targets.
    """
    n, t = targets.shape
    folds = len(split.folds)
    tested = np.concatenate([fold.test for fold in split.folds])
    sizes = np.array([len(fold.test) for fold in split.folds])
    starts, fold_of_row = np.cumsum(sizes) - sizes, np.repeat(np.arange(folds), sizes)
    means = np.stack([fold.train / fold.train.sum() for fold in split.folds])
    # A target's sums are next to one another while they are formed.
    sums = np.zeros((t, 5, len(surrogates), folds))
    batch = max(1, BATCH_BYTES // (8 * 6 * n))
    for target in range(t):
        H = np.concatenate([map_of(i, target) for i in range(folds)])
        for start in range(0, len(surrogates), batch):
            part = slice(start, start + batch)
            moved = surrogates.series(targets, [target], part)[0]
            f = moved @ H.T
            y = moved[:, tested] - (moved @ means.T)[:, fold_of_row]
            for k, product in enumerate((y, f, y * y, f * f, y * f)):
                sums[target, k, part] = np.add.reduceat(product, starts, axis=1)
    return np.moveaxis(sums, 0, -1)
