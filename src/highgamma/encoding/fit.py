"""One analysis of one participant and model, over layers (and lags), with scores and nulls."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma.encoding import nulls, scores
from highgamma.encoding.analysis import Analysis
from highgamma.encoding.estimators import ESTIMATORS
from highgamma.encoding.lags import finite_delayed, lag_frames
from highgamma.encoding.layer import Fitted, Problem, fit_lags, fit_layer
from highgamma.encoding.outcome import outcome
from highgamma.encoding.samples import Samples
from highgamma.encoding.splits import BoolArray, IntArray, split_rows
from highgamma.encoding.statistics import Real
from highgamma.encoding.usable import usable_samples
from highgamma.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

logger = logging.getLogger("highgamma")


def fit_analysis(
    samples: Samples,
    *,
    analysis: Analysis,
    layers: Sequence[int],
    last_layer: int | None = None,
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
    last_layer
        The last of all layers that the analysis takes, where others are fitted elsewhere. An
        elastic net with a fixed penalty has nothing to choose a layer by: the last one counts,
        and surrogates and shuffled embeddings are fitted to that one only.
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
    problem = Problem(
        analysis=analysis,
        targets=np.ascontiguousarray(samples.targets[kept][:, usable.live]),
        split=split,
        kept=kept,
        surrogates=_surrogates(samples, rows.segment, analysis, seed, names),
        shuffle=_shuffled_order(samples, rows.segment, nulls.seed_from(seed, *names, "shuffle")),
        widths=widths,
        search=nulls.seed_from(seed, *names, "bands"),
    )
    untested = replace(problem, surrogates=problem.surrogates[:0])
    only_last = not ESTIMATORS[analysis.estimator].chooses_layers(analysis)
    last_layer = layers[-1] if last_layer is None else last_layer
    fitted: list[Fitted] = []
    curves: list[dict[str, Any]] = []
    for number, layer in enumerate(layers):
        began = time.monotonic()
        values = first if number == 0 else samples.features(layer)
        finite: BoolArray = np.asarray(np.isfinite(values).all(axis=1))
        if number and not finite_delayed(finite, delays)[kept].all():
            raise InputError(
                f"layer {layer} lacks features where layer {layers[0]} has them",
                remedy="delete the embeddings and run again",
            )
        if analysis.lag_mode == "curve" and analysis.lags is not None:
            one, extra = fit_lags(problem, values, delays)
            curves.append(extra)
        elif only_last and layer != last_layer:
            one = fit_layer(untested, values, delays, ignorant=False)
            if len(problem.surrogates):
                one.null_r = np.full((len(problem.surrogates), problem.targets.shape[1]), np.nan)
        else:
            one = fit_layer(problem, values, delays)
        fitted.append(one)
        best = scores.pooled_r(one.sums)
        logger.info(
            "layer %d (%d of %d): median r %.3f, best %.3f, %.1f s",
            layer, number + 1, len(layers),
            float(np.nanmedian(best)) if np.isfinite(best).any() else np.nan,
            float(np.nanmax(best)) if np.isfinite(best).any() else np.nan,
            time.monotonic() - began,
        )  # fmt: skip
    return outcome(samples, problem, usable, layers, fitted, curves, delays, gap, seed)


def _surrogates(
    samples: Samples, segment: IntArray, analysis: Analysis, seed: int, names: Sequence[str]
) -> IntArray:
    n = len(segment)
    if analysis.permutations == 0 or not ESTIMATORS[analysis.estimator].uses_input:
        return np.empty((0, n), dtype=np.int64)
    own = nulls.seed_from(seed, *names, "null")
    if samples.unit == "word":
        return nulls.word_permutations(
            segment, count=analysis.permutations, block=analysis.permutation_block, seed=own
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
