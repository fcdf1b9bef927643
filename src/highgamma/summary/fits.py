"""Score files: read one analysis × participant × model at a time, and reduced to its scores."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma import store
from highgamma.embeddings.vocabulary import VOCABULARY
from highgamma.encoding.columns import SCORE_COLUMNS
from highgamma.errors import InputError
from highgamma.scores import SUMS, FoldSums, best_of_surrogates
from highgamma.summary.choice import BoolArray, Float32Array, FloatArray, IntArray, choose

if TYPE_CHECKING:
    import xarray as xr

FLAT_BELOW = 1e-9
"""Root mean square deviation from the training mean (µV) up to which a signal is constant."""

STUDY_FIGURES = (
    *("pcc_across_channels", "r2_across_channels", "pcc_mean_predictor", "r2_mean_predictor"),
    *("pcc_shuffled", "r2_shuffled"),
)

_NEEDED = (*(f"fold_{name}" for name in ("n", *SUMS)), "inner_score")
"""Variables that a score file must have."""


@dataclass(frozen=True, slots=True)
class Fit:
    """All layers of one analysis, participant and model, as read from the score files.

    Attributes
    ----------
    analysis, participant, model
        Names of the fit.
    scores
        Variables of the score files, over layer, fold and channel.
    null_best
        (permutation, channel) each surrogate's best r over the layers, NaN in a channel that has
        none; of size 0 with a single layer, whose p is in the file.
    n_permutations
        Number of surrogates.
    distance_s
        Least time (s) between a training and a held-out sample.
    leaky
        Whether the split leaks.
    """

    analysis: str
    participant: str
    model: str
    scores: xr.Dataset
    null_best: Float32Array
    n_permutations: int
    distance_s: float
    leaky: bool


def read_fits(paths: Iterable[str | Path]) -> Iterator[Fit]:
    """Read score files, one analysis × participant × model at a time, their layers joined.

    The names come from the path, `<analysis>/<participant>/<model>/<layers>.nc`. Held-out
    predictions are left on disk, and of the null only each surrogate's best layer is kept: a
    thousand surrogates of 25 layers take as much memory as the scores of a hundred fits.

    Raises
    ------
    InputError
        If files of one fit disagree in folds, electrodes or permutations, or lack a variable.
    """
    import xarray as xr

    batches: dict[Path, list[Path]] = {}
    for path in sorted({Path(p) for p in paths}):
        batches.setdefault(path.parent, []).append(path)
    for folder, files in batches.items():
        read = [_read_scores(path, several=len(files) > 1) for path in files]
        parts = [part for part, _, _ in read]
        first, _, permutations = read[0]
        for path, (part, _, n) in zip(files[1:], read[1:], strict=True):
            _check_alike(first, part, path)
            _check_number(permutations, n, "permutation", path)
        common = [n for n in first.data_vars if "layer" not in first[n].dims]
        layered = [p.drop_vars([n for n in common if n in p]) for p in parts]
        joined = (
            xr.concat(layered, dim="layer", join="override", combine_attrs="override")
            if len(parts) > 1
            else layered[0]
        )
        joined = joined.sortby("layer").assign({n: first[n] for n in common})
        yield Fit(
            analysis=folder.parent.parent.name,
            participant=folder.parent.name,
            model=folder.name,
            scores=joined,
            null_best=best_of_surrogates(np.stack([best for _, best, _ in read], axis=1), axis=1),
            n_permutations=permutations,
            distance_s=min((number(p.attrs.get("distance_s")) for p in parts), default=np.nan),
            leaky=any(bool(int(p.attrs.get("leaky", 0))) for p in parts),
        )


def _read_scores(path: Path, *, several: bool) -> tuple[xr.Dataset, Float32Array, int]:
    """Return the needed variables of a file, its null's best layer and number of surrogates."""
    with store.open_dataset(path) as opened:
        missing = [name for name in _NEEDED if name not in opened]
        if missing:
            raise InputError(
                f"the score file lacks {', '.join(missing)}",
                where=path,
                remedy="delete the file and run again; the workflow recreates it",
            )
        n_channels = opened.sizes["channel"]
        n_permutations = int(opened.sizes.get("permutation", 0))
        best: Float32Array = np.empty((0, n_channels), dtype=np.float32)
        if "null_r" in opened and (several or opened.sizes["layer"] > 1):
            null_r = opened["null_r"].transpose("permutation", "layer", "channel").values
            best = best_of_surrogates(null_r, axis=1)
        read = [name for name, column in SCORE_COLUMNS.items() if column.read and name in opened]
        read += [name for name in ("flat",) if name in opened]
        return opened[read].load(), best, n_permutations


def _check_alike(first: xr.Dataset, part: xr.Dataset, path: Path) -> None:
    """Raise an error unless both batches of layers have the same electrodes and folds."""
    for dimension in ("channel", "fold"):
        _check_number(first.sizes[dimension], part.sizes[dimension], dimension, path)
    if "channel" in first.coords and list(first["channel"].values) != list(part["channel"].values):
        raise InputError(
            "its electrodes differ from those of another batch of layers",
            where=path,
            remedy="delete the model's score files and run again",
        )


def _check_number(expected: int, actual: int, what: str, path: Path) -> None:
    if expected != actual:
        raise InputError(
            f"{actual} {what}s where another batch of layers has {expected}",
            where=path,
            expected="the same electrodes, folds and permutations for all layers of a model",
            remedy="delete the model's score files and run again",
        )


def number(value: Any) -> float:
    """Return a value as a float, NaN if it is not a number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def channel_names(scores: xr.Dataset) -> list[str]:
    """Return the names of the channels of a score file."""
    if "channel" in scores.coords:
        return [sys.intern(str(name)) for name in scores["channel"].values]
    return [f"channel {k}" for k in range(scores.sizes["channel"])]


def _filled(scores: xr.Dataset, name: str, *dims: str) -> FloatArray:
    """Return a variable as a float array over `dims`, repeated over missing ones; NaN if absent."""
    shape = tuple(scores.sizes.get(d, 1) for d in dims)
    if name not in scores:
        return np.full(shape, np.nan)
    array = scores[name].reset_coords(drop=True)
    array = array.transpose(*(d for d in dims if d in array.dims))
    slots = tuple(slice(None) if d in array.dims else None for d in dims)
    values = np.asarray(array.values, dtype=np.float64)[slots]
    return np.broadcast_to(values, shape)


def fold_sums(scores: xr.Dataset) -> FoldSums:
    """Return the folds' sums of one fit, each as (layer, fold, channel)."""
    dims = ("layer", "fold", "channel")
    n = np.asarray(scores["fold_n"].transpose("fold", ...).values, dtype=np.float64)
    # Channels that lack different samples have counts of their own.
    n = n if n.ndim > 1 else n[:, None]
    return FoldSums(n, *(_filled(scores, f"fold_{name}", *dims) for name in SUMS))


@dataclass(frozen=True, slots=True)
class FitSummary:
    """One fit, reduced to what tables and arrays need, so that all fits of a run fit in memory.

    Attributes
    ----------
    analysis, participant, model, unit
        Names of the fit, and its unit, `frame` or `word`.
    n_permutations, tested
        Number of surrogates, and whether there are any.
    distance_s, leaky
        Least time (s) between a training and a held-out sample; whether the split leaks.
    n_samples
        Number of held-out samples.
    channels
        Names of the channels.
    places
        x, y, z (mm) and region of the channels, if the score file has them.
    layers
        (layer,) numbers of the layers.
    modal
        Row of the layer that most electrodes chose.
    layer, stability, r, skill, p
        (channel,) of the layer chosen on training folds (`choose`).
    flat, intercept_only
        (channel,) whether the signal is constant; whether the prediction is.
    mean_r, noise_ceiling
        (channel,) r of the mean predictor, and the greatest r that a function of the word can
        reach.
    ceiling_status
        Why there is no noise ceiling, if there is none.
    votes, r_layer, skill_layer, inner_layer
        (layer, channel) of every layer, in single precision.
    layer_rows, figures
        (layer,) statistics over electrodes, and the study's figures, by name.
    lag, lag_r
        (lag,) s, and r (channel, lag) of the chosen layer.
    peak
        (3, channel) peak lag and its interval, s.
    chosen_lag, lag_stability
        (channel,) lag (s) that most folds chose and its share of folds, NaN without a lag curve.
    r_best
        (channel,) r of the best layer and lag.
    alone
        For each group of nuisances r and skill of its own fit, both (channel,).
    spaces
        Results (channel,) of each space of a banded ridge, by space and name.
    columns
        (channel,) further score columns that the table of electrodes has, by name.
    vocabulary
        Which words each model does not know, by model (`embeddings.vocabulary`).
    """

    analysis: str
    participant: str
    model: str
    unit: str
    n_permutations: int
    distance_s: float
    leaky: bool
    tested: bool
    n_samples: int
    channels: list[str]
    places: dict[str, list[Any]]
    layers: IntArray
    modal: int
    layer: IntArray
    stability: FloatArray
    r: FloatArray
    skill: FloatArray
    p: FloatArray
    flat: BoolArray
    intercept_only: BoolArray
    mean_r: FloatArray
    noise_ceiling: FloatArray
    ceiling_status: str | None
    votes: Float32Array
    r_layer: Float32Array
    skill_layer: Float32Array
    inner_layer: Float32Array
    layer_rows: dict[str, FloatArray]
    figures: dict[str, FloatArray]
    lag: FloatArray
    lag_r: Float32Array
    peak: FloatArray
    chosen_lag: FloatArray
    lag_stability: FloatArray
    r_best: FloatArray
    alone: dict[str, tuple[FloatArray, FloatArray]]
    spaces: dict[str, dict[str, FloatArray]]
    columns: dict[str, FloatArray]
    vocabulary: dict[str, Any]


def summarise_fit(fit: Fit) -> FitSummary:
    """Choose the layer of every electrode and fold, and keep what the tables need of the fit."""
    scores = fit.scores
    each = ("layer", "channel")
    layers = np.asarray(scores["layer"].values, dtype=np.int64)
    sums = fold_sums(scores)
    inner = _filled(scores, "inner_score", "layer", "fold", "channel")
    p = _filled(scores, "p", *each)
    choice = choose(
        layers=layers,
        inner_score=inner,
        sums=sums,
        best_r=_best_r(scores),
        null_best=fit.null_best.astype(np.float64),
        p=p,
    )
    # Filtering leaves rounding noise of a constant: such a signal is flat.
    flat = np.sum(sums.syy[0], axis=0) <= FLAT_BELOW**2 * np.sum(sums.n, axis=0)
    if "flat" in scores.variables:
        flat = flat | (_filled(scores, "flat", "channel") > 0)
    constant = np.nan_to_num(_filled(scores, "intercept_only", *each)) > 0
    # The fit of one fold's layer may be constant while that of another fold's is not.
    rows = np.take_along_axis(constant, choice.index, axis=0) if choice.index.size else constant
    lag, lag_r = _lag_curve(scores, choice.modal)
    peak = [
        np.take_along_axis(_filled(scores, name, *each), choice.modal[None], axis=0)[0]
        for name in ("peak_lag", "peak_lag_low", "peak_lag_high")
    ]
    chosen_lag, lag_stability = _most_chosen(
        np.take_along_axis(
            _filled(scores, "chosen_lag", "layer", "fold", "channel"), choice.index[None], axis=0
        )[0],
        lag,
    )
    r, skill = _filled(scores, "r", *each), _filled(scores, "skill", *each)
    votes = choice.votes.sum(axis=1)
    return FitSummary(
        analysis=fit.analysis,
        participant=fit.participant,
        model=fit.model,
        unit=str(scores.attrs.get("unit", "")),
        n_permutations=fit.n_permutations,
        distance_s=fit.distance_s,
        leaky=fit.leaky,
        tested=bool(fit.n_permutations) or bool(np.isfinite(p).any()),
        n_samples=int(np.sum(sums.n, axis=0).max(initial=0)),
        channels=channel_names(scores),
        places=_places(scores),
        layers=layers,
        modal=int(np.argmax(votes)) if votes.size else 0,
        layer=choice.layer,
        stability=choice.stability,
        r=choice.r,
        skill=choice.skill,
        p=choice.p,
        flat=flat,
        intercept_only=rows.all(axis=0) & ~flat,
        mean_r=_filled(scores, "mean_r", "channel"),
        noise_ceiling=_filled(scores, "noise_ceiling", "channel"),
        ceiling_status=scores.attrs.get("noise_ceiling"),
        votes=_single(choice.votes),
        r_layer=_single(r),
        skill_layer=_single(skill),
        inner_layer=_single(nan_mean(inner, axis=1)),
        layer_rows=_layer_rows(r, skill),
        figures={name: _filled(scores, name, "layer") for name in STUDY_FIGURES},
        lag=lag,
        lag_r=_single(lag_r),
        peak=np.stack(peak),
        chosen_lag=chosen_lag,
        lag_stability=lag_stability,
        r_best=np.asarray(np.fmax.reduce(_best_r(scores))),
        alone=_alone(scores),
        spaces=_spaces(scores),
        columns=_electrode_columns(scores, choice.modal),
        vocabulary=json.loads(scores.attrs.get(VOCABULARY, "{}")),
    )


def _lag_curve(scores: xr.Dataset, modal: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return lags (s) and the r (channel, lag) of each channel's layer; empty without a curve."""
    if "lag_r" not in scores or "lag" not in scores.coords:
        return np.empty(0), np.empty((scores.sizes["channel"], 0))
    all_layers = np.asarray(scores["lag_r"].transpose("channel", "layer", "lag").values)
    lag = np.asarray(scores["lag"].values, dtype=np.float64)
    return lag, all_layers[np.arange(len(all_layers)), modal]


def _best_r(scores: xr.Dataset) -> FloatArray:
    """Return the r that is compared with surrogates, (layer, channel): of a curve its best lag."""
    if "lag_r" not in scores:
        return _filled(scores, "r", "layer", "channel")
    by_lag = _filled(scores, "lag_r", "layer", "lag", "channel")
    return np.asarray(np.fmax.reduce(by_lag, axis=1))


def _electrode_columns(scores: xr.Dataset, modal: IntArray) -> dict[str, FloatArray]:
    """Return the score columns of the table of electrodes, at the layer that most folds chose."""
    columns = {}
    for name, column in SCORE_COLUMNS.items():
        if column.electrode_column:
            values = _filled(scores, name, "layer", "channel")
            rows = modal[None] if "layer" in column.dims else np.zeros_like(modal)[None]
            columns[name] = np.take_along_axis(values, rows, axis=0)[0]
    return columns


def _most_chosen(chosen: FloatArray, lag: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the lag (channel,) that most folds chose and its share of them, from (fold, channel).

    The first of equals; NaN if no fold chose one.
    """
    missing = np.full(chosen.shape[1], np.nan)
    if not lag.size or not chosen.size:
        return missing, missing.copy()
    shares = np.isclose(chosen, lag[:, None, None]).mean(axis=1)
    best = shares.max(axis=0)
    return np.where(best > 0, lag[shares.argmax(axis=0)], np.nan), np.where(best > 0, best, np.nan)


def _single(values: FloatArray) -> Float32Array:
    return np.asarray(values, dtype=np.float32)


def _layer_rows(r: FloatArray, skill: FloatArray) -> dict[str, FloatArray]:
    """Return statistics of every layer over its electrodes, (layer,), from (layer, channel)."""

    def over(values: FloatArray, function: Callable[[FloatArray], Any]) -> FloatArray:
        known = [row[np.isfinite(row)] for row in values]
        return np.array([function(row) if row.size else np.nan for row in known])

    return {
        "n_electrodes": np.isfinite(skill).sum(axis=1),
        "r_mean": over(r, np.mean),
        "r_median": over(r, np.median),
        "r_max": over(r, np.max),
        "skill_mean": over(skill, np.mean),
        "skill_median": over(skill, np.median),
    }


def _places(scores: xr.Dataset) -> dict[str, list[Any]]:
    """Return the coordinates (mm) and region of the channels that the score file has."""
    places: dict[str, list[Any]] = {}
    for name in ("x", "y", "z"):
        if name in scores.coords:
            places[name] = [number(value) for value in scores[name].values]
    if "region" in scores.coords:
        places["region"] = [sys.intern(str(value)) for value in scores["region"].values]
    return places


def _alone(scores: xr.Dataset) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return r and skill of each group of features by itself, both (channel,)."""
    if "alone_r" not in scores:
        return {}
    r, skill = (_filled(scores, name, "space", "channel") for name in ("alone_r", "alone_skill"))
    names = [str(name) for name in scores["space"].values]
    return {name: (r[k], skill[k]) for k, name in enumerate(names)}


def _spaces(scores: xr.Dataset) -> dict[str, dict[str, FloatArray]]:
    """Return the results (channel,) of each space of a banded ridge; empty for other estimators.

    `alpha` is the median over folds of the space's penalty, infinite if most folds leave the
    space out.
    """
    if "space" not in scores.dims or "unique" not in scores:
        return {}
    shared, explainable = (_filled(scores, n, "channel") for n in ("shared", "explainable"))
    unique, share = (_filled(scores, n, "space", "channel") for n in ("unique", "share"))
    alpha = np.median(_filled(scores, "band_alpha", "fold", "space", "channel"), axis=0)
    return {
        str(name): {
            "unique": unique[k],
            "share": share[k],
            "shared": shared,
            "explainable": explainable,
            "alpha": alpha[k],
        }
        for k, name in enumerate(scores["space"].values)
    }


def nan_mean(values: FloatArray, *, axis: int) -> FloatArray:
    """Return the mean of the finite values along an axis, NaN without any."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
