"""One analysis of one participant and model, over layers (and lags), with scores and nulls."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma import scores
from highgamma.encoding import drift, nulls
from highgamma.encoding.analysis import Analysis
from highgamma.encoding.columns import Fits
from highgamma.encoding.compute import CPU, Compute
from highgamma.encoding.estimators import ESTIMATORS
from highgamma.encoding.groups import fitted_in_groups
from highgamma.encoding.lags import finite_delayed, lag_frames, rows_read
from highgamma.encoding.layer import Fitted, LayerProblem, fit_lags, fit_layer
from highgamma.encoding.outcome import outcome
from highgamma.encoding.samples import Samples
from highgamma.encoding.splits import BoolArray, FloatArray, IntArray, Split, split_rows
from highgamma.encoding.statistics import Real
from highgamma.encoding.surrogates import (
    Reorderings,
    ShiftedWindows,
    Surrogates,
    circular_shifts,
    lag_one,
    window_shifts,
    word_permutations,
)
from highgamma.encoding.usable import Usable, usable_samples
from highgamma.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

logger = logging.getLogger("highgamma")

UNSAFE = 0.02
"""Product of the features' and the signal's autocorrelation at one word, beyond which permutations
are unsafe: the variance of a correlation of two such series is (1 + ab)/(1 − ab) of what it is of
independent words (Bartlett 1946), 1.04 here, and .05 becomes .054."""


@fitted_in_groups
def fit_analysis(
    samples: Samples,
    *,
    analysis: Analysis,
    layers: Sequence[int],
    last_layer: int | None = None,
    seed: int = 0,
    names: Sequence[str] = (),
    compute: Compute = CPU,
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
    last_layer
        The last of all layers that the analysis takes, where others are fitted elsewhere. An
        elastic net with a fixed penalty has nothing to choose a layer by: the last one counts,
        and surrogates and shuffled embeddings are fitted to that one only.
    seed, names
        Seed of surrogates, shuffles and bootstraps; `names` (participant, analysis) tell apart
        what shall differ. Every layer and model of a participant gets the same surrogates.
    compute
        Where the heavy operations run.

    Returns
    -------
    Dataset over layer, fold, channel, sample (+ permutation, lag, delay, feature): r, skill and p,
    the folds' sums, the inner scores and penalties, the null, the study's scores across channels
    with those of predictors that know nothing, and the prediction of the layer and lag that
    inner folds chose. With bands also unique, shared and share of every feature space. Channels
    without targets are NaN throughout.

    Raises
    ------
    InputError
        Nothing to fit, folds that cannot be made, a segment too short for the null.
    """
    if not layers:
        raise InputError("no layer was selected for the fit", where="analyses: layers")
    delays: Sequence[int] = (0,)
    if analysis.lags is not None:
        delays = lag_frames(analysis.lags, step=analysis.lag_step, rate=samples.rate)
    first, widths = _first_features(samples, analysis, layers[0])
    usable = usable_samples(samples, first, delays)
    split, gap = _split(samples, usable, analysis, delays, seed=seed, names=names)
    samples = _words_without_drift(samples, analysis)
    problem = replace(
        _problem(samples, usable, analysis, split, seed=seed, names=names),
        widths=widths,
        compute=compute,
    )
    untested = replace(problem, surrogates=_none(len(usable.kept)))
    rows_of_features = rows_read(usable.kept, delays)
    slow_of_features = drift.slow_functions(
        samples.rows.take(rows_of_features), _period(samples, analysis)
    )
    only_last = not ESTIMATORS[analysis.estimator].chooses_layers(analysis)
    last_layer = layers[-1] if last_layer is None else last_layer
    fitted: list[Fitted] = []
    curves: list[dict[str, Any]] = []
    for number, layer in enumerate(layers):
        began = time.monotonic()
        values = first if number == 0 else _features(samples, usable, layer, layers[0], delays)
        values = drift.features_without(values, rows_of_features, slow_of_features)
        if number == 0 and analysis.surrogates == "permutation" and analysis.permutations:
            _warn_of_neighbours(problem, samples, values)
        if analysis.lag_mode == "curve" and analysis.lags is not None:
            outcome_of_layer, curve = fit_lags(problem, values, delays)
            curves.append(curve)
        elif only_last and layer != last_layer:
            outcome_of_layer = fit_layer(untested, values, delays, ignorant=False)
            if len(problem.surrogates):
                shape = (len(problem.surrogates), problem.targets.shape[1])
                outcome_of_layer.null_r = np.full(shape, np.nan)
        else:
            outcome_of_layer = fit_layer(problem, values, delays)
        fitted.append(outcome_of_layer)
        _tell(outcome_of_layer, f"layer {layer} ({number + 1} of {len(layers)})", began)
    alone = []
    if analysis.bands is None:
        for _, read in samples.spaces:
            part = drift.features_without(read(), rows_of_features, slow_of_features)
            alone.append(fit_layer(untested, part, delays, ignorant=False))
    fits = Fits(
        samples=samples,
        problem=problem,
        alone=alone,
        layers=layers,
        fitted=fitted,
        curves=curves,
        delays=delays,
        seed=seed,
    )
    return outcome(fits, usable, gap=gap)


def _period(samples: Samples, analysis: Analysis) -> float | None:
    """Shortest period that counts as drift of samples; of words it is out of the envelope."""
    return analysis.drift if samples.unit == "frame" else None


def _problem(
    samples: Samples,
    usable: Usable,
    analysis: Analysis,
    split: Split,
    *,
    seed: int,
    names: Sequence[str],
) -> LayerProblem:
    """What all layers share: targets less drift, surrogates, and an order that knows nothing."""
    slow = drift.slow_functions(samples.rows.take(usable.kept), _period(samples, analysis))
    targets = np.ascontiguousarray(samples.targets[usable.kept][:, usable.live])
    segment = samples.rows.segment[usable.kept]
    return LayerProblem(
        analysis=analysis,
        targets=drift.targets_without(targets, slow),
        split=split,
        kept=usable.kept,
        surrogates=_surrogates(samples, usable, analysis, slow, seed=seed, names=names),
        shuffle=_shuffled_order(samples, segment, nulls.seed_from(seed, *names, "shuffle")),
        search=nulls.seed_from(seed, *names, "bands"),
    )


def _tell(fitted: Fitted, what: str, began: float) -> None:
    """Log how a layer came out."""
    r = scores.pooled_r(fitted.sums)
    r = r[np.isfinite(r)] if np.isfinite(r).any() else np.array([np.nan])
    logger.info(
        "%s: median r %.3f, best %.3f, %.1f s",
        *(what, float(np.median(r)), float(r.max()), time.monotonic() - began),
    )


def _first_features(
    samples: Samples, analysis: Analysis, layer: int
) -> tuple[Real, tuple[int, ...]]:
    """Features (m, p) of the first layer, or of all spaces of a joint fit with their widths."""
    if analysis.bands is None:
        return samples.features(layer), ()
    names = tuple(name for name, _ in samples.spaces)
    if names != analysis.bands:
        raise InputError(
            f"the features are of {', '.join(names) or 'one model'}",
            where="analyses: bands",
            expected=", ".join(analysis.bands) + ", in this order",
        )
    parts = [read() for _, read in samples.spaces]
    return np.concatenate(parts, axis=1), tuple(part.shape[1] for part in parts)


def _features(
    samples: Samples, usable: Usable, layer: int, first: int, delays: Sequence[int]
) -> Real:
    """Features (m, p) of a further layer, which must be there wherever the first layer's are."""
    values = samples.features(layer)
    finite: BoolArray = np.asarray(np.isfinite(values).all(axis=1))
    if not finite_delayed(finite, delays)[usable.kept].all():
        raise InputError(
            f"layer {layer} lacks features where layer {first} has them",
            remedy="delete the embeddings and run again",
        )
    return values


def _split(
    samples: Samples,
    usable: Usable,
    analysis: Analysis,
    delays: Sequence[int],
    *,
    seed: int,
    names: Sequence[str],
) -> tuple[Split, float]:
    """The split of the usable samples, and the gap (s) that it keeps where it keeps one."""
    span = (max(delays) - min(delays)) / samples.rate if analysis.lags is not None else 0.0
    gap = analysis.gap + span + (samples.reach if samples.unit == "frame" else 0.0)
    split = split_rows(
        samples.rows.take(usable.kept),
        scheme=analysis.split,
        folds=analysis.folds,
        inner_folds=analysis.inner_folds,
        gap=gap,
        step=1.0 / samples.rate if samples.rate else 0.0,
        seed=nulls.seed_from(seed, *names, "split"),
        block=None if samples.block is None else samples.block[usable.kept],
    )
    for what, count in usable.counts.items():
        if count:
            logger.info("%s: %d", what.replace("_", " "), count)
    logger.info(
        "%d samples, %d channels, %d folds, nearest training sample %.3g s away",
        *(len(usable.kept), int(usable.live.sum()), len(split.folds), split.distance),
    )
    return split, gap


def _words_without_drift(samples: Samples, analysis: Analysis) -> Samples:
    """Samples of words whose targets and envelope have no drift; those of frames as they are."""
    if not analysis.reads_envelope:
        return samples
    if samples.windows is None:
        raise InputError(
            "drift of words and their null are taken from the envelope, and there is none",
            where="analyses: drift, surrogates",
            remedy="set drift: null and surrogates: permutation",
        )
    targets, windows = drift.words_without(samples.targets, samples.windows, analysis.drift)
    return replace(samples, targets=targets, windows=windows)


def _warn_of_neighbours(problem: LayerProblem, samples: Samples, values: Real) -> None:
    """Warn if neighbouring words are so alike that permutations are no null for them."""
    segment = samples.rows.segment[problem.kept]
    of_features = lag_one(np.asarray(values[problem.kept], dtype=np.float64), segment)
    of_targets = lag_one(problem.targets, segment)
    if of_features * of_targets > UNSAFE:
        logger.warning(
            "neighbouring words are alike: the autocorrelation at one word is %.2f in the features "
            "and %.2f in the signal, so that p by permutation is too small; set surrogates: shift",
            *(of_features, of_targets),
        )


def _none(n: int) -> Surrogates:
    """No surrogates of n samples."""
    return Reorderings.plain(np.empty((0, n), dtype=np.int64))


def _surrogates(
    samples: Samples,
    usable: Usable,
    analysis: Analysis,
    slow: FloatArray,
    *,
    seed: int,
    names: Sequence[str],
) -> Surrogates:
    """The surrogates of the targets that the analysis sets, less drift."""
    segment, count = samples.rows.segment[usable.kept], analysis.permutations
    if count == 0 or not ESTIMATORS[analysis.estimator].uses_input:
        return _none(len(segment))
    null_seed = nulls.seed_from(seed, *names, "null")
    if analysis.shifts_windows:
        assert samples.windows is not None
        signal = samples.windows.take(usable.kept, usable.live)
        shifts = window_shifts(signal, count=count, min_shift=analysis.min_shift, seed=null_seed)
        return ShiftedWindows(signal, shifts)
    if samples.unit == "word":
        orders = word_permutations(
            segment, count=count, block=analysis.permutation_block, seed=null_seed
        )
    else:
        least = int(np.ceil(analysis.min_shift * samples.rate - 1e-9))
        orders = circular_shifts(segment, count=count, min_shift=least, seed=null_seed)
    return Reorderings(orders, slow)


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
