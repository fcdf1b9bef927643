"""One analysis of one participant and model, over layers (and lags), with scores and nulls."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma.encoding import nulls, scores
from highgamma.encoding.analysis import Analysis
from highgamma.encoding.banded import (
    BandedFit,
    band_of_columns,
    banded_null,
    drawn_shares,
    nested_banded,
    r_shares,
    refit_banded,
    search_seed,
    skill_shares,
)
from highgamma.encoding.ceiling import noise_ceiling, repetitions
from highgamma.encoding.components import principal_components
from highgamma.encoding.lags import (
    Delayed,
    finite_delayed,
    lag_frames,
    peak_interval,
    reachable,
)
from highgamma.encoding.ridge import (
    NestedFit,
    empty_fit,
    hat_rows,
    is_wide,
    nested_ridge,
    refit_ridge,
)
from highgamma.encoding.samples import Samples
from highgamma.encoding.scores import FoldSums
from highgamma.encoding.splits import BoolArray, FloatArray, IntArray, Split, split_rows
from highgamma.encoding.statistics import (
    BlockStatistics,
    Design,
    Real,
    Reordered,
    Table,
    block_statistics,
)
from highgamma.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

logger = logging.getLogger("highgamma")

MAPS_UP_TO = 1500
# Floating-point operations, ten to twenty seconds of one core.
CHOOSING_LIMIT = 2e11
COEFFICIENT_FEATURES = 64


# ------------------------------------------------------------------ the estimators


@dataclass(frozen=True, slots=True)
class Estimator:
    """How an estimator is fitted: penalties chosen on inner folds, or given (K, t)."""

    nested: Callable[..., NestedFit]
    refit: Callable[..., NestedFit]


def _ridge(
    design: Design,
    targets: FloatArray,
    split: Split,
    analysis: Analysis,
    outer: Sequence[int] | None,
    statistics: BlockStatistics | None,
) -> NestedFit:
    return nested_ridge(
        design,
        targets,
        split,
        alphas=analysis.penalties,
        standardize=analysis.standardize,
        statistics=statistics,
        outer=outer,
    )


def _ridge_again(
    design: Design,
    targets: FloatArray,
    split: Split,
    alpha: FloatArray,
    analysis: Analysis,
    outer: Sequence[int] | None,
) -> NestedFit:
    return refit_ridge(
        design,
        targets,
        split,
        alpha,
        standardize=analysis.standardize,
        dtype=np.dtype(analysis.precision),
        outer=outer,
    )


def _elastic_net(
    design: Design,
    targets: FloatArray,
    split: Split,
    analysis: Analysis,
    outer: Sequence[int] | None,
    statistics: BlockStatistics | None,
) -> NestedFit:
    from highgamma.encoding.elastic_net import nested_elastic_net

    return nested_elastic_net(
        design,
        targets,
        split,
        alphas=analysis.penalties,
        l1_ratio=analysis.l1_ratio,
        standardize=analysis.standardize,
        # A fixed penalty leaves nothing to choose by: the layer, then, is the last one.
        inner_scores=False,
        outer=outer,
    )


def _elastic_net_again(
    design: Design,
    targets: FloatArray,
    split: Split,
    alpha: FloatArray,
    analysis: Analysis,
    outer: Sequence[int] | None,
) -> NestedFit:
    from highgamma.encoding.elastic_net import refit_elastic_net

    return refit_elastic_net(
        design,
        targets,
        split,
        alpha,
        l1_ratio=analysis.l1_ratio,
        standardize=analysis.standardize,
        outer=outer,
    )


def _mean(
    design: Design,
    targets: FloatArray,
    split: Split,
    analysis: Analysis,
    outer: Sequence[int] | None,
    statistics: BlockStatistics | None,
) -> NestedFit:
    fit = empty_fit(len(targets), len(split.folds), targets.shape[1])
    for i in range(len(split.folds)) if outer is None else outer:
        fit.training_mean[i] = targets[split.folds[i].train].mean(axis=0)
        fit.prediction[split.folds[i].test] = fit.training_mean[i]
    return fit


def _mean_again(
    design: Design,
    targets: FloatArray,
    split: Split,
    alpha: FloatArray,
    analysis: Analysis,
    outer: Sequence[int] | None,
) -> NestedFit:
    return _mean(design, targets, split, analysis, outer, None)


ESTIMATORS = {
    "ridge": Estimator(_ridge, _ridge_again),
    "elastic-net": Estimator(_elastic_net, _elastic_net_again),
    "mean": Estimator(_mean, _mean_again),
}


# ------------------------------------------------------------------ rows that can be used


@dataclass(frozen=True, slots=True)
class Usable:
    """The samples and channels that are fitted, and how many were left out.

    kept: indices of the samples; live: mask (t,) of the channels with finite targets.
    """

    kept: IntArray
    live: BoolArray
    counts: dict[str, int]


def usable_samples(samples: Samples, features: Real, delays: Sequence[int]) -> Usable:
    """Samples that lie within reach of all delays, have features, and targets in every channel.

    A channel with no target in more than half of the otherwise usable samples is given up (its
    results are missing) and costs the other channels nothing.
    """
    finite: BoolArray = np.asarray(np.isfinite(features).all(axis=1))
    inside = reachable(samples.rows.segment, delays)
    has_features = finite_delayed(finite, delays)
    mask = samples.usable & inside & has_features
    if not mask.any():
        raise InputError(
            "no sample has both features and a signal",
            expected="embeddings that cover the recording's valid part",
            remedy="check that the model's embeddings and the recording belong together",
        )
    missing = ~np.isfinite(samples.targets)
    live = missing[mask].mean(axis=0) <= 0.5
    if not live.any():
        raise InputError(
            "no channel has a signal in the usable samples", remedy="check the recording"
        )
    has_target = ~missing[:, live].any(axis=1)
    counts = {
        "samples": len(mask),
        "samples_invalid": int((~samples.usable).sum()),
        "samples_beyond_lags": int((samples.usable & ~inside).sum()),
        "samples_without_features": int((samples.usable & inside & ~has_features).sum()),
        "samples_without_target": int((mask & ~has_target).sum()),
        "channels_without_target": int((~live).sum()),
    }
    kept = np.flatnonzero(mask & has_target)
    # Rows in time order make contiguous folds and circular shifts runs of neighbours.
    order = np.lexsort((samples.rows.start[kept], samples.rows.segment[kept]))
    return Usable(kept[order], live, counts)


# ------------------------------------------------------------------ one layer


@dataclass(frozen=True, slots=True)
class _Problem:
    """What all layers of a job share."""

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
            yield self.design(principal_components(values, self.kept, components), delays), None
        else:
            for i, fold in enumerate(self.split.folds):
                reduced = principal_components(values, self.kept[fold.train], components)
                yield self.design(reduced, delays), [i]

    def null_by_choosing(self, design: Design) -> str | None:
        """The cheaper form in which surrogates choose their penalties anew, None if they do not."""
        analysis = self.analysis
        if len(analysis.penalties) == 1 or analysis.null_penalties == "kept":
            return None
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
        return form if affordable or analysis.null_penalties == "chosen" else None

    def design(self, values: Real, delays: Sequence[int]) -> Design:
        if tuple(delays) == (0,):
            return Table(values, self.kept)
        return Delayed(values, self.kept, tuple(delays))


@dataclass(slots=True)
class _Fitted:
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


def _fit_one(problem: _Problem, values: Real, delays: Sequence[int]) -> _Fitted:
    """Fit one layer; `values` (m, p) on the whole grid of samples."""
    analysis, Y, split = problem.analysis, problem.targets, problem.split
    estimator = ESTIMATORS[analysis.estimator]
    n, t = Y.shape
    everyone = list(range(len(split.folds)))
    whole = empty_fit(n, len(split.folds), t)
    shuffled = np.full((n, t), np.nan)
    null: FoldSums | None = None
    maps: dict[int, dict[float, FloatArray]] = {}
    null_penalties = "none"
    if len(problem.surrogates):
        null_penalties = "kept" if len(analysis.penalties) > 1 else "fixed"
    for design, outer in problem.designs(values, delays):
        own = everyone if outer is None else outer
        linear = analysis.estimator == "ridge"
        statistics = None
        if linear and not is_wide(design.shape, split):
            statistics = block_statistics(design, Y, split, dtype=np.dtype(analysis.precision).type)
        fit = estimator.nested(design, Y, split, analysis, outer, statistics)
        _merge(whole, fit, split, own)
        if outer is None:
            whole.coefficients = fit.coefficients
        if len(problem.surrogates) and linear:
            form = problem.null_by_choosing(design)
            if form is not None:
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
            part = nulls.null_by_refitting(
                lambda moved, design=design, fit=fit, outer=outer: _complete(  # type: ignore[misc]
                    estimator.refit(
                        *(design, moved, split, np.tile(fit.alpha, moved.shape[1] // t)),
                        *(analysis, outer),
                    )
                ),
                Y,
                split,
                problem.surrogates,
                features=design.shape[1],
            )
            null = part if null is None else _added(null, part)
        del statistics
        moved: Design = (
            design.reordered(problem.shuffle)
            if isinstance(design, Delayed)
            else Reordered(design, problem.shuffle)
        )
        again = estimator.refit(moved, Y, split, whole.alpha, analysis, outer)
        for i in own:
            shuffled[split.folds[i].test] = again.prediction[split.folds[i].test]
    if maps:
        null = nulls.null_from_maps(lambda i: maps[i], whole.alpha, Y, split, problem.surrogates)
    sums = scores.fold_sums(whole.prediction, whole.training_mean, Y, split)
    return _Fitted(whole, sums, shuffled, _null_r(null), null_penalties)


def _null_r(null: FoldSums | None) -> FloatArray | None:
    return None if null is None else scores.pooled_r(null)


def _fit_bands(
    problem: _Problem, values: Real, delays: Sequence[int]
) -> tuple[_Fitted, dict[str, FloatArray]]:
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
    moved: Design = (
        design.reordered(problem.shuffle)
        if isinstance(design, Delayed)
        else Reordered(design, problem.shuffle)
    )
    again = refit_banded(
        moved, Y, split, band=band, alpha=fit.alpha, share=fit.share, standardize=standardize
    )
    one = _Fitted(
        _as_nested(fit, split, design.shape[1]),
        scores.fold_sums(_banded_prediction(fit, split), fit.training_mean, Y, split),
        _banded_prediction(again, split),
        _null_r(null),
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
    problem: _Problem, values: Real, delays: Sequence[int], spaces: Sequence[int]
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


def _null_chosen(
    problem: _Problem,
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


def _choose_prediction(
    candidates: Sequence[FloatArray], chosen: IntArray, split: Split
) -> FloatArray:
    prediction = np.empty_like(candidates[0])
    for number, candidate in enumerate(candidates):
        prediction = np.where((chosen == number)[split.block], candidate, prediction)
    return prediction


def _curve(problem: _Problem, values: Real, lags: Sequence[int]) -> tuple[_Fitted, dict[str, Any]]:
    """One fit per lag; the lag chosen for each fold and channel on inner folds alone.

    A surrogate counts with its best lag, as a layer's does: the choice is part of what is tested.
    """
    fits = [_fit_one(problem, values, (lag,)) for lag in lags]
    inner = np.stack([one.fit.inner_score for one in fits])
    chosen = best_of(inner)
    split = problem.split
    at = np.indices(chosen.shape)
    fit = NestedFit(
        prediction=_choose_prediction([one.fit.prediction for one in fits], chosen, split),
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
    one = _Fitted(fit, sums, _choose_prediction(shuffled, chosen, split), null_r, ", ".join(ways))
    return one, extra


# ------------------------------------------------------------------ the analysis


def fit_analysis(
    samples: Samples,
    *,
    analysis: Analysis,
    layers: Sequence[int],
    seed: int = 0,
    names: Sequence[str] = (),
) -> xr.Dataset:
    """Fit one analysis over layers and score it on held-out samples.

    Parameters
    ----------
    samples
        All samples of a participant, with the features of each layer; for an analysis with bands
        those of `joint_samples`, whose only layer is 0.
    analysis
        The settings.
    layers
        Numbers of the layers, each read, fitted and forgotten in turn.
    seed, names
        Seed of surrogates, shuffles and bootstraps; `names` (participant, analysis) tell apart
        what shall differ. Every layer and model of a participant gets the same surrogates.

    Returns
    -------
    Dataset over layer, fold, channel, sample (+ permutation, lag, delay, feature): r, skill and p,
    the folds' sums, the inner scores and penalties, the null, the study's scores across channels
    beside those of predictors that know nothing, and the prediction of the layer and lag that
    inner folds chose. With bands also unique, shared and share of every feature space. Channels
    without targets are NaN throughout.

    Raises
    ------
    InputError
        Nothing to fit, folds that cannot be made, a segment too short for the null.
    """
    if not layers:
        raise InputError("no layer was asked for", where="analyses: layers")
    delays = (
        (0,)
        if analysis.lags is None
        else lag_frames(analysis.lags, step=analysis.lag_step, rate=samples.rate)
    )
    if analysis.bands is not None and tuple(name for name, _ in samples.spaces) != analysis.bands:
        raise InputError(
            f"the features are of {', '.join(name for name, _ in samples.spaces) or 'one model'}",
            where="analyses: bands",
            expected=", ".join(analysis.bands) + ", in this order",
        )
    span = (max(delays) - min(delays)) / samples.rate if analysis.lags is not None else 0.0
    widths: tuple[int, ...] = ()
    if analysis.bands is not None:
        parts = [read() for _, read in samples.spaces]
        widths = tuple(part.shape[1] for part in parts)
        first: Real = np.concatenate(parts, axis=1)
        del parts
    else:
        first = samples.features(layers[0])
    usable = usable_samples(samples, first, delays)
    kept = usable.kept
    rows = samples.rows.take(kept)
    step = 1.0 / samples.rate if samples.rate else 0.0
    gap = analysis.gap + span + (samples.reach if samples.unit == "frame" else 0.0)
    split = split_rows(
        rows,
        scheme=analysis.split,
        folds=analysis.folds,
        inner_folds=analysis.inner_folds,
        gap=gap,
        step=step,
        seed=nulls.seed_from(seed, *names, "split"),
    )
    for what, count in usable.counts.items():
        if count:
            logger.info("%s: %d", what.replace("_", " "), count)
    logger.info(
        "%d samples, %d channels, %d folds, nearest training sample %.3g s away",
        len(kept), int(usable.live.sum()), len(split.folds), split.distance,
    )  # fmt: skip
    problem = _Problem(
        analysis=analysis,
        targets=np.ascontiguousarray(samples.targets[kept][:, usable.live]),
        split=split,
        kept=kept,
        surrogates=_surrogates(samples, rows.segment, analysis, seed, names),
        shuffle=_shuffled_order(samples, rows.segment, nulls.seed_from(seed, *names, "shuffle")),
        widths=widths,
        search=search_seed(seed, *names),
    )
    fitted: list[_Fitted] = []
    curves: list[dict[str, Any]] = []
    partition: dict[str, FloatArray] = {}
    for number, layer in enumerate(layers):
        began = time.monotonic()
        values = first if number == 0 else samples.features(layer)
        if number and not np.isfinite(values[kept]).all():
            raise InputError(
                f"layer {layer} lacks features where layer {layers[0]} has them",
                remedy="delete the embeddings and run again",
            )
        if analysis.bands is not None:
            one, partition = _fit_bands(problem, values, delays)
        elif analysis.lag_mode == "curve" and analysis.lags is not None:
            one, extra = _curve(problem, values, delays)
            curves.append(extra)
        else:
            one = _fit_one(problem, values, delays)
        fitted.append(one)
        best = scores.pooled_r(one.sums)
        logger.info(
            "layer %d (%d of %d): median r %.3f, best %.3f, %.1f s",
            layer, number + 1, len(layers),
            float(np.nanmedian(best)) if np.isfinite(best).any() else np.nan,
            float(np.nanmax(best)) if np.isfinite(best).any() else np.nan,
            time.monotonic() - began,
        )  # fmt: skip
    return _dataset(samples, problem, usable, layers, fitted, curves, partition, delays, gap, seed)


def _surrogates(
    samples: Samples, segment: IntArray, analysis: Analysis, seed: int, names: Sequence[str]
) -> IntArray:
    n = len(segment)
    if analysis.permutations == 0 or analysis.estimator == "mean":
        return np.empty((0, n), dtype=np.int64)
    own = nulls.seed_from(seed, *names, "null")
    if samples.unit == "word":
        return nulls.word_permutations(
            n, count=analysis.permutations, block=analysis.permutation_block, seed=own
        )
    return nulls.circular_shifts(
        segment,
        count=analysis.permutations,
        min_shift=int(np.ceil(analysis.min_shift * samples.rate - 1e-9)),
        seed=own,
    )


def _shuffled_order(samples: Samples, segment: IntArray, seed: int) -> IntArray:
    """Words' embeddings permuted; frames' embeddings shifted by half of their segment."""
    n = len(segment)
    if samples.unit == "word":
        return np.random.default_rng(seed).permutation(n)
    order = np.empty(n, dtype=np.int64)
    for number in np.unique(segment):
        rows = np.flatnonzero(segment == number)
        order[rows] = np.roll(rows, len(rows) // 2)
    return order


def _dataset(
    samples: Samples,
    problem: _Problem,
    usable: Usable,
    layers: Sequence[int],
    fitted: Sequence[_Fitted],
    curves: Sequence[dict[str, Any]],
    partition: dict[str, FloatArray],
    delays: Sequence[int],
    gap: float,
    seed: int,
) -> xr.Dataset:
    import xarray as xr

    analysis, split, live = problem.analysis, problem.split, usable.live
    t = len(live)

    def whole(values: Any, dtype: Any = np.float64, missing: Any = np.nan) -> Any:
        """All channels, those without targets missing; channels last."""
        values = np.asarray(values)
        filled = np.full((*values.shape[:-1], t), missing, dtype=dtype)
        filled[..., live] = values
        return filled

    sums = [one.sums for one in fitted]
    variables: dict[str, Any] = {}

    def put(name: str, dims: tuple[str, ...], values: Any, meaning: str, units: str = "1") -> None:
        variables[name] = (dims, values, {"long_name": meaning, "units": units})

    each, fold_each = ("layer", "channel"), ("layer", "fold", "channel")
    r = np.stack([scores.pooled_r(one) for one in sums])
    put("r", each, whole(r), "Pearson correlation pooled over all held-out samples")
    put(
        "skill",
        each,
        whole([scores.pooled_skill(one) for one in sums]),
        "1 - SSE / SSE of the training mean, pooled over all held-out samples",
    )
    put(
        "fold_r",
        fold_each,
        whole([scores.fold_r(one) for one in sums]),
        "Pearson correlation in the fold",
    )
    for name, of in (
        ("fold_sse", scores.fold_sse),
        ("fold_sst", lambda one: one.syy),
        ("fold_sy", lambda one: one.sy),
        ("fold_sf", lambda one: one.sf),
        ("fold_syy", lambda one: one.syy),
        ("fold_sff", lambda one: one.sff),
        ("fold_syf", lambda one: one.syf),
    ):
        meaning = f"{name[5:]} over the fold's held-out samples, from the training mean"
        units = "µV" if name in ("fold_sy", "fold_sf") else "µV2"
        put(name, fold_each, whole([of(one) for one in sums]), meaning, units)
    put("fold_n", ("fold",), sums[0].n, "held-out samples in the fold")
    inner = np.stack([one.fit.inner_score for one in fitted])
    put("inner_score", fold_each, whole(inner), "best penalty's skill on the inner folds")
    put("alpha", fold_each, whole([one.fit.alpha for one in fitted]), "penalty of the fold")
    put(
        "n_nonzero",
        fold_each,
        whole([one.fit.n_nonzero for one in fitted], np.int32, -1),
        "non-zero coefficients; -1 where nothing was fitted",
    )
    only = np.stack([(one.sff == 0).all(axis=0) for one in sums])
    put(
        "intercept_only",
        each,
        whole(only, np.int8, 0),
        "1 where the fit predicts its training mean in every fold",
    )
    constant = np.ptp(problem.targets, axis=0) == 0
    put("constant", ("channel",), whole(constant, np.int8, 0), "1 where the target is constant")
    surrogates = [one.null_r for one in fitted if one.null_r is not None]
    if surrogates:
        null_r = np.stack(surrogates, axis=1)
        p = np.stack([scores.p_values(r[k], null_r[:, k]) for k in range(len(layers))])
        put(
            "null_r",
            ("permutation", "layer", "channel"),
            whole(null_r, np.float32),
            "r of each surrogate; of a lag curve, at its best lag",
        )
    else:
        p = np.full(r.shape, np.nan)
    put("p", each, whole(p), "(surrogates with r at least as large + 1) / (surrogates + 1)")
    Y = problem.targets
    across = [scores.across_channels(one.fit.prediction, Y) for one in fitted]
    shuffled = [
        scores.across_channels(one.shuffled, Y) if one.shuffled is not None else (np.nan, np.nan)
        for one in fitted
    ]
    ignorant = scores.mean_prediction(fitted[0].fit, split)
    mean = scores.across_channels(ignorant, Y)
    put(
        "mean_r",
        ("channel",),
        whole(scores.plain_r(ignorant, Y)),
        "Pearson correlation of the signal with its training means, over held-out samples",
    )
    for k, (name, meaning) in enumerate(
        (("pcc", "Pearson correlation across channels"), ("r2", "R2 across channels"))
    ):
        put(
            f"{name}_across_channels",
            ("layer",),
            [a[k] for a in across],
            f"{meaning}, mean over samples",
        )
        put(
            f"{name}_shuffled",
            ("layer",),
            [a[k] for a in shuffled],
            f"{meaning}, shuffled embeddings",
        )
        put(f"{name}_mean_predictor", (), mean[k], f"{meaning}, training mean as the prediction")
    chosen = best_of(inner)
    prediction = _choose_prediction([one.fit.prediction for one in fitted], chosen, split)
    put(
        "chosen_layer",
        ("fold", "channel"),
        whole(np.asarray(layers)[chosen], np.int16, -1),
        "layer with the best inner score; -1 where nothing was fitted",
    )
    put(
        "prediction",
        ("sample", "channel"),
        whole(prediction, np.float32),
        "held-out prediction of the chosen layer and lag",
        "µV",
    )
    put("observed", ("sample", "channel"), whole(Y, np.float32), "measured signal", "µV")
    ceiling = _put_ceiling(put, whole, samples, problem)
    seconds = np.asarray(delays) / samples.rate if samples.rate else np.zeros(1)
    coordinates: dict[str, Any] = {}
    if curves:
        coordinates["lag"] = ("lag", seconds, {"units": "s", "long_name": "signal after features"})
        _put_curves(put, whole, curves, seconds, seed)
    if partition:
        coordinates["space"] = ("space", [name for name, _ in samples.spaces])
        _put_partition(put, whole, partition)
    _put_coefficients(put, whole, coordinates, fitted, delays, seconds)
    rows = samples.rows.take(problem.kept)
    coordinates |= {
        "layer": ("layer", np.asarray(layers, dtype=np.int16)),
        "fold_label": ("fold", [fold.label for fold in split.folds]),
        "time": ("sample", rows.start, {"units": "s", "long_name": "time, or start of the window"}),
        "stop": ("sample", rows.stop, {"units": "s"}),
        "segment": ("sample", rows.segment.astype(np.int16)),
        "word_index": ("sample", rows.trial.astype(np.int32)),
        "fold_of_sample": ("sample", split.block.astype(np.int16)),
        **samples.channels,
    }
    attributes = {
        "analysis": json.dumps(analysis.as_dict(), sort_keys=True),
        "unit": samples.unit,
        "estimator": analysis.estimator,
        "distance_s": split.distance,
        "gap_s": gap,
        "leaky": int(split.leaky),
        "seed": seed,
        "statistic": "r: Pearson, pooled over held-out samples, from the training mean",
        "null": "word permutation" if samples.unit == "word" else "circular shift within segments",
        "null_penalties_used": ", ".join(sorted({one.null_penalties for one in fitted})),
        "noise_ceiling": ceiling,
        **usable.counts,
    }
    dataset = xr.Dataset(variables, coords=coordinates, attrs=attributes)
    return dataset.transpose("permutation", "layer", "lag", ..., "channel", missing_dims="ignore")


def _put_ceiling(
    put: Callable[..., None], whole: Callable[..., Any], samples: Samples, problem: _Problem
) -> str:
    """Put the noise ceiling, NaN where stimuli do not repeat, and say which of the two it is."""
    rows = samples.rows.take(problem.kept)
    stimulus = np.full(len(samples.targets), -1) if samples.stimulus is None else samples.stimulus
    found = noise_ceiling(
        problem.targets,
        stimulus[problem.kept],
        repeated=repetitions(rows.word, rows.trial),
    )
    put(
        "noise_ceiling",
        ("channel",),
        whole(found.r),
        "greatest r that a function of the stimulus can reach, from repeated stimuli",
    )
    put(
        "explainable",
        ("channel",),
        whole(found.explainable),
        "signal power over total power, from repeated stimuli; unbiased, so that it can be below 0",
    )
    return "estimated" if found.estimable else "not-estimable"


def _put_partition(
    put: Callable[..., None], whole: Callable[..., Any], partition: dict[str, FloatArray]
) -> None:
    """The joint fit's penalties, and its score divided among the spaces."""
    put(
        "band_alpha",
        ("fold", "space", "channel"),
        whole(partition["band_alpha"]),
        "penalty of each space",
    )
    for name, meaning in (
        ("unique", "joint skill less the skill without the space"),
        ("unique_r", "joint r less the r without the space"),
        ("share", "the space's part of the joint skill (product measure)"),
        ("share_r", "the space's part of the joint r (correlation split)"),
    ):
        put(name, ("space", "channel"), whole(partition[name]), meaning)
    put(
        "shared",
        ("channel",),
        whole(partition["shared"]),
        "joint skill less all spaces' unique parts",
    )


def _put_curves(
    put: Callable[..., None],
    whole: Callable[..., Any],
    curves: Sequence[dict[str, Any]],
    seconds: FloatArray,
    seed: int,
) -> None:
    lag_r = np.stack([curve["lag_r"] for curve in curves])
    put("lag_r", ("layer", "lag", "channel"), whole(lag_r), "r of the fit at each lag")
    chosen = np.stack([curve["chosen_lag"] for curve in curves])
    put(
        "chosen_lag",
        ("layer", "fold", "channel"),
        whole(seconds[chosen]),
        "lag with the best inner score",
        "s",
    )
    peaks = [
        peak_interval(curve["lag_fold_r"], seconds, seed=nulls.seed_from(seed, "bootstrap"))
        for curve in curves
    ]
    for k, (name, meaning) in enumerate(
        (
            ("peak_lag", "lag at which the fold-averaged r peaks"),
            ("peak_lag_low", "2.5 % of the bootstrap over folds"),
            ("peak_lag_high", "97.5 % of the bootstrap over folds"),
        )
    ):
        put(name, ("layer", "channel"), whole([peak[k] for peak in peaks]), meaning, "s")


def _put_coefficients(
    put: Callable[..., None],
    whole: Callable[..., Any],
    coordinates: dict[str, Any],
    fitted: Sequence[_Fitted],
    delays: Sequence[int],
    seconds: FloatArray,
) -> None:
    """Temporal receptive fields, where they are small enough to be looked at."""
    kept = [one.fit.coefficients for one in fitted]
    if len(delays) < 2 or any(one is None for one in kept):
        return
    widths = {len(one) // len(delays) for one in kept if one is not None}
    if len(widths) != 1 or max(widths) > COEFFICIENT_FEATURES:
        return
    fields = np.stack(
        [one.reshape(len(delays), -1, one.shape[1]) for one in kept if one is not None]
    )
    coordinates["delay"] = ("delay", seconds, {"units": "s", "long_name": "signal after features"})
    put(
        "coefficients",
        ("layer", "delay", "feature", "channel"),
        whole(fields),
        "weights, mean over folds, per unit of the feature",
        "µV",
    )
