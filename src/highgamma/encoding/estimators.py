"""The estimators: with penalties chosen on inner folds, and again with given ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from highgamma.encoding.analysis import Analysis
from highgamma.encoding.ridge import NestedFit, empty_fit, nested_ridge, refit_ridge
from highgamma.encoding.splits import FloatArray, Split
from highgamma.encoding.statistics import BlockStatistics, Design


@dataclass(frozen=True, slots=True)
class Task:
    """What is fitted: samples of a design and their targets (n, t), in these outer folds or all."""

    design: Design
    targets: FloatArray
    split: Split
    analysis: Analysis
    outer: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class Estimator:
    """How an estimator is fitted: penalties chosen on inner folds, or given (K, t)."""

    nested: Callable[[Task, BlockStatistics | None], NestedFit]
    refit: Callable[[Task, FloatArray], NestedFit]


def _ridge(task: Task, statistics: BlockStatistics | None) -> NestedFit:
    return nested_ridge(
        task.design,
        task.targets,
        task.split,
        alphas=task.analysis.penalties,
        standardize=task.analysis.standardize,
        statistics=statistics,
        outer=task.outer,
    )


def _ridge_again(task: Task, alpha: FloatArray) -> NestedFit:
    return refit_ridge(
        task.design,
        task.targets,
        task.split,
        alpha,
        standardize=task.analysis.standardize,
        dtype=np.dtype(task.analysis.precision),
        outer=task.outer,
    )


def _elastic_net(task: Task, statistics: BlockStatistics | None) -> NestedFit:
    from highgamma.encoding.elastic_net import nested_elastic_net

    return nested_elastic_net(
        task.design,
        task.targets,
        task.split,
        alphas=task.analysis.penalties,
        l1_ratio=task.analysis.l1_ratio,
        standardize=task.analysis.standardize,
        # A fixed penalty leaves nothing to choose by: the layer, then, is the last one.
        inner_scores=False,
        outer=task.outer,
    )


def _elastic_net_again(task: Task, alpha: FloatArray) -> NestedFit:
    from highgamma.encoding.elastic_net import refit_elastic_net

    return refit_elastic_net(
        task.design,
        task.targets,
        task.split,
        alpha,
        l1_ratio=task.analysis.l1_ratio,
        standardize=task.analysis.standardize,
        outer=task.outer,
    )


def _mean(task: Task, statistics: BlockStatistics | None) -> NestedFit:
    folds = task.split.folds
    fit = empty_fit(len(task.targets), len(folds), task.targets.shape[1])
    for i in range(len(folds)) if task.outer is None else task.outer:
        fit.training_mean[i] = task.targets[folds[i].train].mean(axis=0)
        fit.prediction[folds[i].test] = fit.training_mean[i]
    return fit


def _mean_again(task: Task, alpha: FloatArray) -> NestedFit:
    return _mean(task, None)


ESTIMATORS = {
    "ridge": Estimator(_ridge, _ridge_again),
    "elastic-net": Estimator(_elastic_net, _elastic_net_again),
    "mean": Estimator(_mean, _mean_again),
}
