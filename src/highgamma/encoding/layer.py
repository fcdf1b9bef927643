"""One layer of a model, at one set of delays or lag by lag, with its null."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from highgamma.encoding import nulls, scores
from highgamma.encoding.analysis import Analysis
from highgamma.encoding.components import principal_components
from highgamma.encoding.estimators import ESTIMATORS, Task
from highgamma.encoding.lags import Delayed, rows_read
from highgamma.encoding.ridge import NestedFit, empty_fit, hat_rows, is_wide
from highgamma.encoding.scores import FoldSums
from highgamma.encoding.splits import FloatArray, IntArray, Split
from highgamma.encoding.statistics import (
    BlockStatistics,
    Design,
    Real,
    Reordered,
    Table,
    block_statistics,
)

MAPS_UP_TO = 1500
# Floating-point operations, ten to twenty seconds of one core.
CHOOSING_LIMIT = 2e11


@dataclass(frozen=True, slots=True)
class Problem:
    """What all layers of a job share.

    targets (n, t) of the kept samples; kept: their rows on the whole grid; surrogates
    (permutation, n) and shuffle (n,): orders of the samples; widths: of the feature spaces of a
    joint fit, and `search` the seed of its draws.
    """

    analysis: Analysis
    targets: FloatArray
    split: Split
    kept: IntArray
    surrogates: IntArray
    shuffle: IntArray
    widths: tuple[int, ...] = ()
    search: int = 0

    def designs(
        self, values: Real, delays: Sequence[int]
    ) -> Iterator[tuple[Design, Sequence[int] | None]]:
        """Designs and the outer folds each is for: one for all, unless components are fitted."""
        components = self.analysis.components
        if components is None:
            yield self.design(values, delays), None
        elif self.analysis.components_fit == "all":
            read = rows_read(self.kept, delays)
            yield self.design(principal_components(values, read, components), delays), None
        else:
            for i, fold in enumerate(self.split.folds):
                read = rows_read(self.kept[fold.train], delays)
                yield self.design(principal_components(values, read, components), delays), [i]

    def choosing(self, design: Design) -> tuple[str, bool]:
        """The cheaper form for surrogates to choose penalties anew, and whether they are to."""
        analysis = self.analysis
        primal, dual = nulls.choosing_costs(
            design.shape,
            self.split,
            targets=self.targets.shape[1],
            surrogates=len(self.surrogates),
            alphas=len(analysis.penalties),
        )
        wide = is_wide(design.shape, self.split)
        form = "dual" if wide or (dual < primal and len(self.targets) <= MAPS_UP_TO) else "primal"
        affordable = (dual if form == "dual" else primal) <= CHOOSING_LIMIT
        wanted = analysis.null_penalties == "chosen" or (
            affordable and analysis.null_penalties == "auto"
        )
        return form, wanted and len(analysis.penalties) > 1

    def moved(self, design: Design) -> Design:
        """The design with its samples shuffled, for the predictor that knows nothing."""
        if isinstance(design, Delayed):
            return design.reordered(self.shuffle)
        return Reordered(design, self.shuffle)

    def design(self, values: Real, delays: Sequence[int]) -> Design:
        if tuple(delays) == (0,):
            return Table(values, self.kept)
        return Delayed(values, self.kept, tuple(delays))


@dataclass(slots=True)
class Fitted:
    """One layer at one set of delays; `null_r` is r of each surrogate, (permutation, t)."""

    fit: NestedFit
    sums: FoldSums
    shuffled: FloatArray | None
    null_r: FloatArray | None
    null_penalties: str = "none"


def _merge(whole: NestedFit, part: NestedFit, split: Split, outer: Sequence[int]) -> None:
    for i in outer:
        test = split.folds[i].test
        whole.prediction[test] = part.prediction[test]
        for name in ("training_mean", "inner_score", "alpha", "n_nonzero"):
            getattr(whole, name)[i] = getattr(part, name)[i]


def fit_layer(
    problem: Problem, values: Real, delays: Sequence[int], *, ignorant: bool = True
) -> Fitted:
    """Fit one layer; `values` (m, p) on the whole grid of samples.

    `ignorant` adds the predictor that knows nothing, the same fit with shuffled samples.
    """
    analysis, Y, split = problem.analysis, problem.targets, problem.split
    estimator = ESTIMATORS[analysis.estimator]
    n, t = Y.shape
    everyone = list(range(len(split.folds)))
    whole = empty_fit(n, len(split.folds), t)
    shuffled = np.full((n, t), np.nan)
    null: FoldSums | None = None
    maps: dict[int, dict[float, FloatArray]] = {}
    anew: bool | None = None
    null_penalties = "none"
    if len(problem.surrogates):
        null_penalties = "kept" if len(analysis.penalties) > 1 else "fixed"
    for design, outer in problem.designs(values, delays):
        own = everyone if outer is None else outer
        linear = analysis.estimator == "ridge"
        statistics = None
        if linear and not is_wide(design.shape, split):
            statistics = block_statistics(design, Y, split, dtype=np.dtype(analysis.precision).type)
        task = Task(design, Y, split, analysis, outer)
        fit = estimator.nested(task, statistics)
        _merge(whole, fit, split, own)
        if outer is None:
            whole.coefficients = fit.coefficients
        if len(problem.surrogates) and linear:
            form, wanted = problem.choosing(design)
            # Folds may have different numbers of components; they have one kind of surrogates.
            anew = wanted if anew is None else anew
            if anew:
                null_penalties = "chosen"
                part = _null_chosen(problem, design, None if form == "dual" else statistics, outer)
                null = part if null is None else _added(null, part)
            elif statistics is None or n <= MAPS_UP_TO:
                for i in own:
                    maps[i] = hat_rows(
                        design, split, i, fit.alpha[i], standardize=analysis.standardize
                    )
            else:
                part = nulls.null_from_statistics(
                    statistics,
                    fit.alpha,
                    problem.surrogates,
                    standardize=analysis.standardize,
                    outer=own,
                )
                null = part if null is None else _added(null, part)
        elif len(problem.surrogates) and analysis.estimator == "elastic-net":
            alpha: FloatArray | None = fit.alpha
            if analysis.null_penalties == "chosen" and null_penalties != "fixed":
                null_penalties, alpha = "chosen", None
            part = _null_refitted(problem, task, alpha)
            null = part if null is None else _added(null, part)
        del statistics
        if ignorant:
            again = estimator.refit(replace(task, design=problem.moved(design)), whole.alpha)
            for i in own:
                shuffled[split.folds[i].test] = again.prediction[split.folds[i].test]
    if maps:
        null = nulls.null_from_maps(lambda i: maps[i], whole.alpha, Y, split, problem.surrogates)
    sums = scores.fold_sums(whole.prediction, whole.training_mean, Y, split)
    return Fitted(whole, sums, shuffled if ignorant else None, surrogate_r(null), null_penalties)


def surrogate_r(null: FoldSums | None) -> FloatArray | None:
    return None if null is None else scores.pooled_r(null)


def _null_chosen(
    problem: Problem,
    design: Design,
    statistics: BlockStatistics | None,
    outer: Sequence[int] | None,
) -> FoldSums:
    analysis = problem.analysis
    if statistics is None:
        return nulls.null_of_words_by_choosing(
            design,
            problem.targets,
            problem.split,
            problem.surrogates,
            alphas=analysis.penalties,
            standardize=analysis.standardize,
            outer=outer,
        )
    return nulls.null_by_choosing(
        statistics,
        problem.surrogates,
        alphas=analysis.penalties,
        standardize=analysis.standardize,
        outer=outer,
    )


def _null_refitted(problem: Problem, task: Task, alpha: FloatArray | None) -> FoldSums:
    """Surrogates fitted one and all, with penalties (K, t), or with their own where None."""
    estimator, penalties = ESTIMATORS[task.analysis.estimator], len(task.analysis.penalties)

    def fitted(moved: FloatArray) -> NestedFit:
        again = replace(task, targets=moved)
        if alpha is None:
            return _complete(estimator.nested(again, None))
        return _complete(estimator.refit(again, np.tile(alpha, moved.shape[1] // alpha.shape[1])))

    # Weights, starts and steps of a fold; of fewer features than samples each fold's products too.
    features = task.design.shape[1] * (1 if alpha is not None else penalties)
    held = features * (4 if is_wide(task.design.shape, task.split) else 4 + len(task.split.folds))
    return nulls.null_by_refitting(fitted, task.targets, task.split, problem.surrogates, held=held)


def _complete(fit: NestedFit) -> NestedFit:
    """Zeros in the folds that were not fitted, so that they add nothing to the sums."""
    fit.prediction = np.nan_to_num(fit.prediction)
    fit.training_mean = np.nan_to_num(fit.training_mean)
    return fit


def _added(a: FoldSums, b: FoldSums) -> FoldSums:
    return FoldSums(
        a.n, *(getattr(a, name) + getattr(b, name) for name in ("sy", "sf", "syy", "sff", "syf"))
    )


def best_of(inner_score: FloatArray) -> IntArray:
    """The candidate (layer, lag) with the best inner score, (candidates, K, t) → (K, t).

    The first of equals; the last candidate where a fold has no inner score at all.
    """
    known = np.isfinite(inner_score)
    best = np.argmax(np.where(known, inner_score, -np.inf), axis=0)
    return np.where(known.any(axis=0), best, len(inner_score) - 1).astype(np.int64)


def choose_prediction(
    candidates: Sequence[FloatArray], chosen: IntArray, split: Split
) -> FloatArray:
    prediction = np.empty_like(candidates[0])
    for number, candidate in enumerate(candidates):
        prediction = np.where((chosen == number)[split.block], candidate, prediction)
    return prediction


def fit_lags(problem: Problem, values: Real, lags: Sequence[int]) -> tuple[Fitted, dict[str, Any]]:
    """One fit per lag; the lag chosen for each fold and channel on inner folds alone.

    A surrogate counts with its best lag, as a layer's does: the choice is part of what is tested.
    """
    fits = [fit_layer(problem, values, (lag,)) for lag in lags]
    inner = np.stack([one.fit.inner_score for one in fits])
    chosen = best_of(inner)
    split = problem.split
    at = np.indices(chosen.shape)
    fit = NestedFit(
        prediction=choose_prediction([one.fit.prediction for one in fits], chosen, split),
        training_mean=fits[0].fit.training_mean,
        inner_score=inner[chosen, at[0], at[1]],
        alpha=np.stack([one.fit.alpha for one in fits])[chosen, at[0], at[1]],
        n_nonzero=np.stack([one.fit.n_nonzero for one in fits])[chosen, at[0], at[1]],
    )
    surrogates = [one.null_r for one in fits if one.null_r is not None]
    null_r = np.fmax.reduce(surrogates) if surrogates else None
    shuffled = [one.shuffled for one in fits if one.shuffled is not None]
    extra = {
        "lag_r": np.stack([scores.pooled_r(one.sums) for one in fits]),
        "lag_fold_r": np.stack([scores.fold_r(one.sums) for one in fits]),
        "chosen_lag": chosen,
    }
    sums = scores.take_folds([one.sums for one in fits], chosen)
    ways = sorted({one.null_penalties for one in fits})
    one = Fitted(fit, sums, choose_prediction(shuffled, chosen, split), null_r, ", ".join(ways))
    return one, extra
