"""Several feature spaces fitted together, each with a penalty of its own, and without each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from highgamma.encoding import scores
from highgamma.encoding.banded import (
    BandedFit,
    band_of_columns,
    banded_null,
    drawn_shares,
    nested_banded,
    r_shares,
    refit_banded,
    skill_shares,
)
from highgamma.encoding.layer import Fitted, Problem, surrogate_r
from highgamma.encoding.ridge import NestedFit, is_wide
from highgamma.encoding.splits import FloatArray, Split
from highgamma.encoding.statistics import Design, Real, block_statistics


def fit_bands(
    problem: Problem, values: Real, delays: Sequence[int]
) -> tuple[Fitted, dict[str, FloatArray]]:
    """Fit several feature spaces together, and again without each of them."""
    Y, split = problem.targets, problem.split
    design, fit = _fit_spaces(problem, values, delays, range(len(problem.widths)))
    standardize = problem.analysis.standardize
    band = band_of_columns(problem.widths, copies=len(delays))
    null = None
    if len(problem.surrogates):
        null = banded_null(
            design, Y, split, fit, problem.surrogates, band=band, standardize=standardize
        )
    again = refit_banded(
        problem.moved(design),
        Y,
        split,
        band=band,
        alpha=fit.alpha,
        share=fit.share,
        standardize=standardize,
    )
    one = Fitted(
        _as_nested(fit, split, design.shape[1]),
        scores.fold_sums(_banded_prediction(fit, split), fit.training_mean, Y, split),
        _banded_prediction(again, split),
        surrogate_r(null),
        "none" if null is None else "kept",
    )
    joint_r, joint_skill = scores.pooled_r(one.sums), scores.pooled_skill(one.sums)
    r_without, skill_without = [], []
    for left_out in range(len(problem.widths)):
        others = [b for b in range(len(problem.widths)) if b != left_out]
        _, reduced = _fit_spaces(problem, values, delays, others)
        sums = scores.fold_sums(_banded_prediction(reduced, split), reduced.training_mean, Y, split)
        r_without.append(scores.pooled_r(sums))
        skill_without.append(scores.pooled_skill(sums))
    unique = joint_skill - np.stack(skill_without)
    return one, {
        "band_alpha": fit.band_alpha,
        "unique": unique,
        "unique_r": joint_r - np.stack(r_without),
        "shared": joint_skill - unique.sum(axis=0),
        "share": skill_shares(fit.parts, fit.training_mean, Y, split),
        "share_r": r_shares(fit.parts, fit.training_mean, Y, split),
    }


def _fit_spaces(
    problem: Problem, values: Real, delays: Sequence[int], spaces: Sequence[int]
) -> tuple[Design, BandedFit]:
    """A banded ridge of some of the spaces, every row as in the joint fit."""
    edges = np.concatenate([[0], np.cumsum(problem.widths)])
    if len(spaces) < len(problem.widths):
        values = np.concatenate([values[:, edges[b] : edges[b + 1]] for b in spaces], axis=1)
    analysis = problem.analysis
    design = problem.design(values, delays)
    statistics = None
    if not is_wide(design.shape, problem.split):
        statistics = block_statistics(
            design, problem.targets, problem.split, dtype=np.dtype(analysis.precision).type
        )
    fit = nested_banded(
        design,
        problem.targets,
        problem.split,
        band=band_of_columns([problem.widths[b] for b in spaces], copies=len(delays)),
        shares=drawn_shares(len(spaces), draws=analysis.band_draws, seed=problem.search),
        alphas=analysis.penalties,
        standardize=analysis.standardize,
        statistics=statistics,
    )
    return design, fit


def _banded_prediction(fit: BandedFit, split: Split) -> FloatArray:
    return np.asarray(fit.parts.sum(axis=0) + fit.training_mean[split.block])


def _as_nested(fit: BandedFit, split: Split, p: int) -> NestedFit:
    return NestedFit(
        prediction=_banded_prediction(fit, split),
        training_mean=fit.training_mean,
        inner_score=fit.inner_score,
        alpha=fit.alpha,
        n_nonzero=np.full(fit.alpha.shape, p, dtype=np.int64),
    )
