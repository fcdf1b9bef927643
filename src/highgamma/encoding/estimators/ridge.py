"""Ridge regression, its penalty chosen for each electrode and outer fold."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma.encoding import cost
from highgamma.encoding.estimators import ESTIMATORS, Estimator, Task
from highgamma.encoding.fits import NestedFit
from highgamma.encoding.kept_penalties import shifted_sums
from highgamma.encoding.limits import BATCH_BYTES
from highgamma.encoding.nulls import (
    Null,
    mapped_sums,
    refitted_sums,
    sums_of_fit,
)
from highgamma.encoding.solvers.gcv import Decomposition, decompositions, nested_gcv
from highgamma.encoding.solvers.ridge import (
    choose_dual,
    choose_primal,
    fit_dual,
    hat_rows,
    held_out_fold_sums,
    is_wide,
    nested_ridge,
    refit_ridge,
)
from highgamma.encoding.splits import FloatArray
from highgamma.encoding.statistics import BlockStatistics, block_statistics
from highgamma.encoding.surrogates import Surrogates
from highgamma.scores import FoldSums

if TYPE_CHECKING:
    from highgamma.encoding.analysis import Analysis

logger = logging.getLogger("highgamma")

MANY_FOLDS = 20
"""Folds beyond which kept penalties make p too small: predictions hardly leave the training mean,
and how far they do is up to the penalty."""

DECADES = tuple(10.0**k for k in range(7))


def decades_in_words() -> str:
    """Return what `DECADES` are, for docs/config.md."""
    return f"{DECADES[0]:g} to {DECADES[-1]:,.0f} in decades"


Prepared = BlockStatistics | dict[int, Decomposition] | None
"""What a ridge's fit and its null both start from."""


class Ridge(Estimator):
    """Ridge regression: argmin_w ‖y − Zw‖² + α‖w‖²."""

    name = "ridge"
    description = "squared penalty"
    alphas = DECADES
    alphas_in_words = decades_in_words()
    alpha_unit = "a sum of squares over the training samples, as in scikit-learn's Ridge"

    def seconds(self, analysis: Analysis, size: cost.FitSize) -> float:
        """Return the expected seconds of one core for one layer, its null included."""
        if analysis.by_gcv and len(analysis.penalties) > 1:
            return cost.gcv_seconds(size, analysis.null_penalties)
        return cost.ridge_seconds(size) + cost.ridge_null_seconds(size, analysis.null_penalties)

    def problems(self, analysis: Analysis) -> list[str]:
        """Return what the analysis sets that a ridge can't do."""
        problems = super().problems(analysis)
        if analysis.unit == "frame" and analysis.choose_by == "gcv":
            problems.append(
                "choose_by: gcv takes samples to be exchangeable, and neighbouring frames are "
                "alike; set `choose_by: folds`"
            )
        return problems

    def prepared(self, task: Task) -> Prepared:
        """Return the folds' decompositions or the blocks' statistics.

        None where the kernels are the smaller form.
        """
        if task.analysis.by_gcv and len(task.analysis.penalties) > 1:
            return decompositions(
                task.design,
                task.split,
                standardize=task.analysis.standardize,
                outer=task.folds,
            )
        return self.statistics(task)

    def statistics(self, task: Task) -> BlockStatistics | None:
        """Return the blocks' statistics, or None where the kernels are the smaller form."""
        if is_wide(task.design.shape, task.split):
            return None
        precision = np.dtype(task.analysis.precision).type
        return block_statistics(
            task.design, task.targets, task.split, dtype=precision, compute=task.compute
        )

    def nested(self, task: Task, prepared: Prepared = None) -> NestedFit:
        """Fit with penalties chosen on the inner folds, or by generalised cross-validation."""
        if task.analysis.by_gcv and len(task.analysis.penalties) > 1:
            folds = prepared if isinstance(prepared, dict) else self.prepared(task)
            assert isinstance(folds, dict)
            return nested_gcv(folds, task.targets, task.split, alphas=task.analysis.penalties)
        assert not isinstance(prepared, dict)
        return nested_ridge(
            task.design,
            task.targets,
            task.split,
            alphas=task.analysis.penalties,
            standardize=task.analysis.standardize,
            statistics=prepared,
            outer=task.outer,
            compute=task.compute,
        )

    def refit(self, task: Task, chosen: NestedFit) -> NestedFit:
        """Fit with given penalties."""
        return refit_ridge(
            task.design,
            task.targets,
            task.split,
            chosen.alpha,
            standardize=task.analysis.standardize,
            dtype=np.dtype(task.analysis.precision),
            outer=task.outer,
            compute=task.compute,
        )

    def null(self, surrogates: Surrogates) -> Null:
        """Return the surrogates' scores, penalties chosen anew where that is affordable."""
        return RidgeNull(surrogates)


class RidgeNull(Null):
    """Surrogates of a ridge, by the cheapest of three ways to their sums."""

    def __init__(self, surrogates: Surrogates) -> None:
        super().__init__(surrogates)
        self._anew: bool | None = None
        self._maps: dict[int, dict[float, FloatArray]] = {}
        self._alpha: dict[int, FloatArray] = {}
        self._task: Task | None = None

    def add(self, task: Task, prepared: Prepared, fit: NestedFit) -> None:
        """Add the surrogates of one design and its outer folds."""
        analysis, split = task.analysis, task.split
        wide = is_wide(task.design.shape, split)
        size = _size(task, self.surrogates)
        if self._anew is None:
            # Folds may have different numbers of components; they have one kind of surrogates.
            if isinstance(prepared, dict):
                self._anew = cost.gcv_chooses_anew(size, analysis.null_penalties)
            else:
                self._anew = cost.chooses_anew(size, analysis.null_penalties, wide=wide)
            kept = "kept" if size.penalties > 1 else "fixed"
            self.penalties = "chosen" if self._anew else kept
            if self.penalties == "kept" and len(split.folds) > MANY_FOLDS:
                logger.warning(
                    "surrogates keep the penalties of the measured signal, which makes p too small "
                    "with as many as %d folds (.08 of unrelated electrodes have p ≤ .05); set "
                    "null_penalties: chosen, or a split with fewer folds",
                    len(split.folds),
                )
        if isinstance(prepared, dict):
            if self._anew:
                self.put(split, _chosen_by_gcv(task, prepared, self.surrogates))
                return
            prepared = None if len(task.targets) <= cost.MAPS_UP_TO else _statistics(task)
        if self._anew:
            form = cost.choosing_form(size, wide=wide)
            if prepared is None or form == "dual":
                sums = _chosen_in_dual_form(task, self.surrogates)
            else:
                sums = _chosen_in_primal_form(task, prepared, self.surrogates)
            self.put(split, sums)
        elif prepared is None or len(task.targets) <= cost.MAPS_UP_TO:
            self._task = task
            for i in task.folds:
                self._alpha[i] = fit.alpha[i]
                self._maps[i] = hat_rows(
                    task.design,
                    split,
                    i,
                    fit.alpha[i],
                    standardize=analysis.standardize,
                    compute=task.compute,
                )
        else:
            sums = shifted_sums(
                prepared,
                fit.alpha,
                self.surrogates,
                standardize=analysis.standardize,
                outer=task.folds,
            )
            self.put(split, sums)

    def finish(self) -> FoldSums | None:
        """Return the sums of all designs; the maps of all folds are applied together."""
        if self._task is not None:

            def map_of(fold: int, target: int) -> FloatArray:
                return self._maps[fold][float(self._alpha[fold][target])]

            targets, split = self._task.targets, self._task.split
            self.put(split, mapped_sums(map_of, targets, split, self.surrogates))
            self._task = None
        return super().finish()


def _size(task: Task, surrogates: Surrogates) -> cost.FitSize:
    """The sizes of a task with its surrogates."""
    return cost.FitSize.of_split(
        task.design.shape,
        task.split,
        electrodes=task.targets.shape[1],
        penalties=len(task.analysis.penalties),
        surrogates=len(surrogates),
    )


def _statistics(task: Task) -> BlockStatistics | None:
    """The blocks' statistics of a task, None where the kernels are the smaller form."""
    estimator = ESTIMATORS["ridge"]
    assert isinstance(estimator, Ridge)
    return estimator.statistics(task)


CACHED_BYTES = 4 * 2**20
"""Bytes of surrogates whose penalties are chosen at a time: all folds pass over them, from the
processor's cache."""


def _chosen_by_gcv(
    task: Task, folds: dict[int, Decomposition], surrogates: Surrogates
) -> FloatArray:
    """Sums (5, P, K, t) of surrogates that choose their penalties in closed form."""

    def sums_of(moved: FloatArray) -> FloatArray:
        fit = nested_gcv(folds, moved, task.split, alphas=task.analysis.penalties)
        return sums_of_fit(fit, replace(task, targets=moved))

    n, t = task.targets.shape
    batch = CACHED_BYTES // (8 * n * t)
    return refitted_sums(sums_of, task.targets, surrogates, batch=batch)


def _chosen_in_primal_form(
    task: Task, statistics: BlockStatistics, surrogates: Surrogates
) -> FloatArray:
    """Sums (5, P, K, t) of surrogates that choose their penalties, from block statistics."""
    alphas, standardize = task.analysis.penalties, task.analysis.standardize
    grid = np.asarray(alphas, dtype=np.float64)

    def sums_of(moved: FloatArray) -> FloatArray:
        of_moved = statistics.with_targets(moved)
        best, _ = choose_primal(of_moved, alphas=alphas, standardize=standardize, outer=task.folds)
        return held_out_fold_sums(of_moved, grid[best], standardize=standardize, outer=task.folds)

    size = _size(task, surrogates)
    return refitted_sums(sums_of, task.targets, surrogates, batch=cost.surrogates_at_a_time(size))


def _chosen_in_dual_form(task: Task, surrogates: Surrogates) -> FloatArray:
    """The same from kernels: few samples, any number of features."""
    alphas, standardize = task.analysis.penalties, task.analysis.standardize
    grid = np.asarray(alphas, dtype=np.float64)

    def sums_of(moved: FloatArray) -> FloatArray:
        arguments = (task.design, moved, task.split)
        options: dict[str, Any] = {
            "standardize": standardize, "outer": task.folds, "compute": task.compute
        }  # fmt: skip
        best, _ = choose_dual(*arguments, alphas=alphas, **options)
        fit = fit_dual(*arguments, grid[best], **options)
        return sums_of_fit(fit, replace(task, targets=moved))

    n = len(task.targets)
    largest = max((len(fold.test) for fold in task.split.folds), default=1)
    width = 4 * n + 3 * len(alphas) * max(largest, n // 8)
    batch = 2 * BATCH_BYTES // (8 * task.targets.shape[1] * width)
    return refitted_sums(sums_of, task.targets, surrogates, batch=batch)


ESTIMATORS.register(Ridge())
