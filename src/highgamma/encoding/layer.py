"""One layer of a model, at one set of delays or lag by lag, with its null."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from highgamma import scores
from highgamma.encoding.analysis import Analysis
from highgamma.encoding.components import principal_components
from highgamma.encoding.compute import CPU, Compute
from highgamma.encoding.estimators import ESTIMATORS, Spaces, Task
from highgamma.encoding.fits import NestedFit, empty_fit
from highgamma.encoding.lags import Delayed, rows_read
from highgamma.encoding.splits import FloatArray, IntArray, Split
from highgamma.encoding.statistics import Design, Real, Reordered, Table
from highgamma.encoding.surrogates import Surrogates
from highgamma.scores import FoldSums


@dataclass(frozen=True, slots=True)
class LayerProblem:
    """What all layers of a job share.

    Attributes
    ----------
    analysis
        The settings.
    targets
        (n, t) of the kept samples, less drift.
    split
        Outer and inner folds.
    kept
        (n,) rows of the kept samples on the whole grid.
    surrogates
        The surrogates of the targets; none for a fit that is not tested.
    shuffle
        (n,) an order of the samples.
    widths, search
        Widths of the feature spaces of a joint fit, and the seed of its draws.
    compute
        Where the heavy operations run.
    """

    analysis: Analysis
    targets: FloatArray
    split: Split
    kept: IntArray
    surrogates: Surrogates
    shuffle: IntArray
    widths: tuple[int, ...] = ()
    search: int = 0
    compute: Compute = CPU

    def tasks(self, values: Real, delays: Sequence[int]) -> Iterator[Task]:
        """Yield the tasks: one design for all outer folds, or one per fold with components."""
        components = self.analysis.components
        if components is None:
            yield self.task(values, delays)
        elif self.analysis.components_fit == "all":
            read = rows_read(self.kept, delays)
            yield self.task(principal_components(values, read, components), delays)
        else:
            for i, fold in enumerate(self.split.folds):
                read = rows_read(self.kept[fold.train], delays)
                reduced = principal_components(values, read, components)
                yield replace(self.task(reduced, delays), outer=[i])

    def task(self, values: Real, delays: Sequence[int]) -> Task:
        """Return the fit of all outer folds to these features."""
        return Task(
            design=self.design(values, delays),
            targets=self.targets,
            split=self.split,
            analysis=self.analysis,
            spaces=self.spaces(values, delays) if self.widths else None,
            compute=self.compute,
        )

    def spaces(self, values: Real, delays: Sequence[int]) -> Spaces:
        """Return the feature spaces of a joint fit, which are adjacent columns of `values`."""
        edges = np.concatenate([[0], np.cumsum(self.widths)])

        def design_of(some: Sequence[int]) -> Design:
            columns = [values[:, edges[b] : edges[b + 1]] for b in some]
            return self.design(np.concatenate(columns, axis=1), delays)

        return Spaces(widths=self.widths, copies=len(delays), seed=self.search, design_of=design_of)

    def moved(self, design: Design) -> Design:
        """Return the design with shuffled samples, for the control without information."""
        if isinstance(design, Delayed):
            return design.reordered(self.shuffle)
        return Reordered(design, self.shuffle)

    def design(self, values: Real, delays: Sequence[int]) -> Design:
        """Return the features at some delays (samples) of the samples that are fitted."""
        if tuple(delays) == (0,):
            return Table(values, self.kept)
        return Delayed(values, self.kept, tuple(delays))


@dataclass(slots=True, kw_only=True)
class Fitted:
    """One layer at one set of delays.

    Attributes
    ----------
    fit, sums
        The outcome, and its sums over held-out samples.
    shuffled
        (n, t) prediction of the same fit with shuffled samples; None where it was not made.
    null_r
        (P, t) r of each surrogate; None without surrogates.
    null_penalties
        What became of the surrogates' penalties: `fixed`, `kept`, `chosen`, or `none`.
    extras
        Further results of the estimator, by the names of score columns.
    """

    fit: NestedFit
    sums: FoldSums
    shuffled: FloatArray | None
    null_r: FloatArray | None
    null_penalties: str = "none"
    extras: dict[str, FloatArray] = field(default_factory=dict)


def fit_layer(
    problem: LayerProblem, values: Real, delays: Sequence[int], *, ignorant: bool = True
) -> Fitted:
    """Fit one layer with its null.

    Parameters
    ----------
    problem
        What all layers share.
    values
        (m, p) features on the whole grid of samples.
    delays
        Delays of the features, in samples.
    ignorant
        Whether the same fit with shuffled samples is added, a predictor that knows nothing.
    """
    Y, split = problem.targets, problem.split
    estimator = ESTIMATORS[problem.analysis.estimator]
    whole = empty_fit(len(Y), len(split.folds), Y.shape[1])
    shuffled = np.full(Y.shape, np.nan) if ignorant else None
    null = estimator.null(problem.surrogates) if len(problem.surrogates) else None
    extras: dict[str, FloatArray] = {}
    for task in problem.tasks(values, delays):
        prepared = estimator.prepared(task)
        fit = estimator.nested(task, prepared)
        if null is not None:
            null.add(task, prepared, fit)
        del prepared
        if task.outer is None:
            whole = fit
            extras = estimator.extras(task, fit)
        else:
            whole.merge(fit, split, task.outer)
        if shuffled is not None:
            again = estimator.refit(replace(task, design=problem.moved(task.design)), whole)
            for i in task.folds:
                shuffled[split.folds[i].test] = again.prediction[split.folds[i].test]
    null_sums = None if null is None else null.finish()
    return Fitted(
        fit=whole,
        sums=scores.fold_sums(whole.prediction, whole.training_mean, Y, split),
        shuffled=shuffled,
        null_r=None if null_sums is None else scores.pooled_r(null_sums),
        null_penalties="none" if null is None else null.penalties,
        extras=extras,
    )


def fit_lags(
    problem: LayerProblem, values: Real, lags: Sequence[int]
) -> tuple[Fitted, dict[str, Any]]:
    """Fit every lag, and choose one for each fold and channel on the inner folds.

    Each surrogate takes its best lag too, so that the test accounts for the choice.

    Parameters
    ----------
    problem
        What all layers share.
    values
        (m, p) features on the whole grid of samples.
    lags
        The lags, in samples.

    Returns
    -------
    fitted
        The fit at the chosen lags.
    curve
        `lag_r` (lag, t) and `lag_fold_r` (lag, K, t): correlation at every lag, pooled and by fold;
        `chosen_lag` (K, t): number of the chosen lag.
    """
    fits = [fit_layer(problem, values, (lag,)) for lag in lags]
    inner = np.stack([fitted.fit.inner_score for fitted in fits])
    chosen = scores.best_candidates(inner)
    split = problem.split
    at = np.indices(chosen.shape)
    fit = NestedFit(
        prediction=scores.chosen_prediction(
            [fitted.fit.prediction for fitted in fits], chosen, split.block
        ),
        training_mean=fits[0].fit.training_mean,
        inner_score=inner[chosen, at[0], at[1]],
        alpha=np.stack([fitted.fit.alpha for fitted in fits])[chosen, at[0], at[1]],
        n_nonzero=np.stack([fitted.fit.n_nonzero for fitted in fits])[chosen, at[0], at[1]],
    )
    surrogates = [fitted.null_r for fitted in fits if fitted.null_r is not None]
    null_r = np.fmax.reduce(surrogates) if surrogates else None
    shuffled = [fitted.shuffled for fitted in fits if fitted.shuffled is not None]
    extra = {
        "lag_r": np.stack([scores.pooled_r(fitted.sums) for fitted in fits]),
        "lag_fold_r": np.stack([scores.fold_r(fitted.sums) for fitted in fits]),
        "chosen_lag": chosen,
    }
    sums = scores.stacked([fitted.sums for fitted in fits]).of(chosen)
    ways = sorted({fitted.null_penalties for fitted in fits})
    fitted = Fitted(
        fit=fit,
        sums=sums,
        shuffled=scores.chosen_prediction(shuffled, chosen, split.block),
        null_r=null_r,
        null_penalties=", ".join(ways),
    )
    return fitted, extra
