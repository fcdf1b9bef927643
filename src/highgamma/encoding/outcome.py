"""The file of scores: what was fitted, scored and predicted, as one dataset."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma.encoding import nulls, scores
from highgamma.encoding.ceiling import noise_ceiling, repetitions
from highgamma.encoding.lags import peak_interval
from highgamma.encoding.layer import Fitted, Problem, best_of, choose_prediction
from highgamma.encoding.samples import Samples
from highgamma.encoding.splits import FloatArray
from highgamma.encoding.usable import Usable

if TYPE_CHECKING:
    import xarray as xr

COEFFICIENT_FEATURES = 64


def outcome(
    samples: Samples,
    problem: Problem,
    usable: Usable,
    layers: Sequence[int],
    fitted: Sequence[Fitted],
    curves: Sequence[dict[str, Any]],
    delays: Sequence[int],
    gap: float,
    seed: int,
) -> xr.Dataset:
    """Put everything that was fitted into one dataset, see docs/files.md.

    `delays` are in frames, `gap` in s; `fitted` holds one entry for each layer, `curves` too where
    lags were fitted one by one.
    """
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
        p[[one.null_penalties == "none" for one in fitted]] = np.nan
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
    prediction = choose_prediction([one.fit.prediction for one in fitted], chosen, split)
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
    if samples.spaces:
        coordinates["space"] = ("space", [name for name, _ in samples.spaces])
        _put_partition(put, whole, fitted[-1].extras)
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
        "null": ("word permutation" if samples.unit == "word" else "circular shift")
        + " within segments",
        "null_penalties_used": ", ".join(sorted({one.null_penalties for one in fitted})),
        "noise_ceiling": ceiling,
        **usable.counts,
    }
    dataset = xr.Dataset(variables, coords=coordinates, attrs=attributes)
    return dataset.transpose("permutation", "layer", "lag", ..., "channel", missing_dims="ignore")


def _put_ceiling(
    put: Callable[..., None], whole: Callable[..., Any], samples: Samples, problem: Problem
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
    fitted: Sequence[Fitted],
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
