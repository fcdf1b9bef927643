"""Banded ridge: several models in one fit, each with a penalty of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma import scores
from highgamma.encoding import cost
from highgamma.encoding.estimators import ESTIMATORS, Estimator, Spaces, Task
from highgamma.encoding.estimators.ridge import DECADES, decades_in_words
from highgamma.encoding.fits import NestedFit
from highgamma.encoding.limits import BATCH_BYTES
from highgamma.encoding.nulls import Null, mapped_sums, refitted_sums
from highgamma.encoding.solvers.banded_ridge import (
    SHARE,
    band_alpha,
    band_of_columns,
    banded_hat_rows,
    drawn_shares,
    kept_sums,
    nested_banded,
    r_shares,
    refit_banded,
    skill_shares,
)
from highgamma.encoding.solvers.ridge import is_wide
from highgamma.encoding.splits import FloatArray
from highgamma.encoding.statistics import BlockStatistics, block_statistics
from highgamma.encoding.surrogates import Surrogates

if TYPE_CHECKING:
    from highgamma.encoding.analysis import Analysis


class BandedRidge(Estimator):
    """Banded ridge: argmin_w ‖y − Σ_b Z_b w_b‖² + Σ_b α_b ‖w_b‖²."""

    name = "banded-ridge"
    description = "several models in one fit, each with a penalty of its own"
    alphas = DECADES
    alphas_in_words = decades_in_words()
    alpha_unit = "as of ridge, divided by the space's share"
    joins_spaces = True
    of_one_space = "ridge"

    def problems(self, analysis: Analysis) -> list[str]:
        """Return what the analysis sets that a banded ridge can't do."""
        problems = super().problems(analysis)
        if analysis.components is not None:
            problems.append(
                "components: principal components would mix the bands of a banded ridge; leave "
                "`components` out"
            )
        if analysis.lags is not None and analysis.lag_mode == "curve":
            problems.append("lag_mode: a banded ridge has no lag curve; set `lag_mode: delays`")
        if analysis.null_penalties == "chosen":
            problems.append(
                "null_penalties: the search over a banded ridge's penalties is too long for every "
                "surrogate; set `null_penalties: auto`"
            )
        return problems

    def seconds(self, analysis: Analysis, size: cost.FitSize) -> float:
        """Return the expected seconds of one core, the null and the fits without a space too."""
        once = cost.ridge_seconds(size) + cost.ridge_null_seconds(size, "kept")
        return once * analysis.band_draws

    def prepared(self, task: Task) -> BlockStatistics | None:
        """Return the blocks' statistics, or None where the kernels are the smaller form."""
        if is_wide(task.design.shape, task.split):
            return None
        precision = np.dtype(task.analysis.precision).type
        return block_statistics(
            task.design, task.targets, task.split, dtype=precision, compute=task.compute
        )

    def nested(self, task: Task, prepared: BlockStatistics | None = None) -> NestedFit:
        """Fit with shares and penalties chosen on the inner folds."""
        spaces = _spaces(task)
        return nested_banded(
            task.design,
            task.targets,
            task.split,
            band=band_of_columns(spaces.widths, copies=spaces.copies),
            shares=drawn_shares(
                len(spaces.widths), draws=task.analysis.band_draws, seed=spaces.seed
            ),
            alphas=task.analysis.penalties,
            standardize=task.analysis.standardize,
            statistics=prepared,
            compute=task.compute,
        )

    def refit(self, task: Task, chosen: NestedFit) -> NestedFit:
        """Fit with given shares and penalties."""
        spaces = _spaces(task)
        return refit_banded(
            task.design,
            task.targets,
            task.split,
            band=band_of_columns(spaces.widths, copies=spaces.copies),
            alpha=chosen.alpha,
            share=chosen.chosen[SHARE],
            standardize=task.analysis.standardize,
            compute=task.compute,
        )

    def null(self, surrogates: Surrogates) -> Null:
        """Return the surrogates' scores, penalties kept."""
        return BandedNull(surrogates)

    def extras(self, task: Task, fit: NestedFit) -> dict[str, FloatArray]:
        """Return the joint score divided among the spaces, each (space, electrode).

        The unique part of a space is what the joint fit loses without it; `share` is its part of
        the joint skill by the product measure.
        """
        if fit.parts is None:
            return {}
        Y, split, spaces = task.targets, task.split, _spaces(task)
        sums = scores.fold_sums(fit.prediction, fit.training_mean, Y, split)
        joint_r, joint_skill = scores.pooled_r(sums), scores.pooled_skill(sums)
        r_without, skill_without = [], []
        for left_out in range(len(spaces.widths)):
            others = [b for b in range(len(spaces.widths)) if b != left_out]
            reduced = self._fit_alone(task, spaces, others)
            sums = scores.fold_sums(reduced.prediction, reduced.training_mean, Y, split)
            r_without.append(scores.pooled_r(sums))
            skill_without.append(scores.pooled_skill(sums))
        unique = joint_skill - np.stack(skill_without)
        return {
            "band_alpha": band_alpha(fit),
            "unique": unique,
            "unique_r": joint_r - np.stack(r_without),
            "shared": joint_skill - unique.sum(axis=0),
            "share": skill_shares(fit.parts, fit.training_mean, Y, split),
            "share_r": r_shares(fit.parts, fit.training_mean, Y, split),
        }

    def _fit_alone(self, task: Task, spaces: Spaces, some: Sequence[int]) -> NestedFit:
        """Fit some of the spaces, the samples as in the joint fit."""
        widths = tuple(spaces.widths[b] for b in some)
        alone = replace(task, design=spaces.design_of(some), spaces=replace(spaces, widths=widths))
        return self.nested(alone, self.prepared(alone))


class BandedNull(Null):
    """Surrogates of a banded ridge, shares and penalties kept."""

    def add(self, task: Task, prepared: Any, fit: NestedFit) -> None:
        """Add the surrogates of the one design."""
        self.penalties = "kept"
        spaces, standardize = _spaces(task), task.analysis.standardize
        band = band_of_columns(spaces.widths, copies=spaces.copies)
        Y, split = task.targets, task.split
        if is_wide(task.design.shape, split):
            maps = [
                banded_hat_rows(
                    task.design,
                    split,
                    i,
                    fit,
                    band=band,
                    standardize=standardize,
                    compute=task.compute,
                )
                for i in range(len(split.folds))
            ]
            self.put(split, mapped_sums(lambda i, k: maps[i][k], Y, split, self.surrogates))
            return
        statistics = block_statistics(task.design, Y, split, compute=task.compute)
        n, p = task.design.shape
        batch = BATCH_BYTES // (8 * (2 * n + p * (len(split.folds) + 4)))
        sums = np.zeros((5, len(self.surrogates), *fit.alpha.shape))
        for target in range(Y.shape[1]):

            def sums_of(moved: FloatArray, target: int = target) -> FloatArray:
                return kept_sums(
                    statistics.with_targets(moved),
                    fit,
                    target,
                    band=band,
                    standardize=standardize,
                )

            sums[..., [target]] = refitted_sums(
                sums_of, Y, self.surrogates, batch=batch, channels=[target]
            )
        self.put(split, sums)


def _spaces(task: Task) -> Spaces:
    if task.spaces is None:
        raise ValueError("a banded ridge is fitted to feature spaces")
    return task.spaces


ESTIMATORS.register(BandedRidge())
