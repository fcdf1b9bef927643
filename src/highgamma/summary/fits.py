"""Score files: read one analysis × participant × model at a time, and reduced to its scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma import store
from highgamma.errors import InputError
from highgamma.summary.choice import BoolArray, Choice, FloatArray, FoldSums, IntArray, choose

if TYPE_CHECKING:
    import xarray as xr

FLAT_BELOW = 1e-9
"""Root mean square deviation from the training mean (µV) up to which a signal is constant."""

STUDY_FIGURES = (
    *("pcc_across_channels", "r2_across_channels", "pcc_mean_predictor", "r2_mean_predictor"),
    *("pcc_shuffled", "r2_shuffled"),
)

_FOLD_SUMS = (
    *("fold_sse", "fold_sst", "fold_sy", "fold_sf", "fold_syy", "fold_sff", "fold_syf"),
    *("fold_n", "inner_score"),
)


@dataclass(frozen=True, slots=True)
class Fit:
    """All layers of one analysis, participant and model."""

    analysis: str
    participant: str
    model: str
    scores: xr.Dataset
    distance_s: float
    leaky: bool


def read_fits(paths: Iterable[str | Path]) -> Iterator[Fit]:
    """Read score files, one analysis × participant × model at a time, their layers joined.

    The names come from the path, `<analysis>/<participant>/<model>/<layers>.nc`. Held-out
    predictions are left on disk.

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
        parts = [_read_scores(path) for path in files]
        first = parts[0]
        for path, part in zip(files[1:], parts[1:], strict=True):
            _check_alike(first, part, path)
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
            distance_s=min((number(p.attrs.get("distance_s")) for p in parts), default=np.nan),
            leaky=any(bool(int(p.attrs.get("leaky", 0))) for p in parts),
        )


def _read_scores(path: Path) -> xr.Dataset:
    with store.open_dataset(path) as opened:
        missing = [name for name in _FOLD_SUMS if name not in opened]
        if missing:
            raise InputError(
                f"the score file lacks {', '.join(missing)}",
                where=path,
                remedy="delete the file and run again; the workflow makes it anew",
            )
        held_out = [n for n, v in opened.variables.items() if "sample" in v.dims]
        return opened.drop_vars(held_out).load()


def _check_alike(first: xr.Dataset, part: xr.Dataset, path: Path) -> None:
    """Layers can only be chosen among fits to the same electrodes, folds and permutations."""
    for dimension in ("channel", "fold", "permutation"):
        if first.sizes.get(dimension, 0) != part.sizes.get(dimension, 0):
            raise InputError(
                f"{part.sizes.get(dimension, 0)} {dimension}s where another batch of layers has "
                f"{first.sizes.get(dimension, 0)}",
                where=path,
                expected="the same electrodes, folds and permutations for all layers of a model",
                remedy="delete the model's score files and run again",
            )
    if "channel" in first.coords and list(first["channel"].values) != list(part["channel"].values):
        raise InputError(
            "its electrodes differ from those of another batch of layers",
            where=path,
            remedy="delete the model's score files and run again",
        )


def number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def channel_names(scores: xr.Dataset) -> list[str]:
    if "channel" in scores.coords:
        return [str(name) for name in scores["channel"].values]
    return [f"channel {k}" for k in range(scores.sizes["channel"])]


def _filled(scores: xr.Dataset, name: str, *dims: str) -> FloatArray:
    """A variable as a float array over `dims`, repeated over those it lacks; NaN where absent."""
    shape = tuple(scores.sizes.get(d, 1) for d in dims)
    if name not in scores:
        return np.full(shape, np.nan)
    array = scores[name].reset_coords(drop=True)
    array = array.transpose(*(d for d in dims if d in array.dims))
    slots = tuple(slice(None) if d in array.dims else None for d in dims)
    values = np.asarray(array.values, dtype=np.float64)[slots]
    return np.broadcast_to(values, shape)


def fold_sums(scores: xr.Dataset) -> FoldSums:
    """The folds' sums of one fit, each as (layer, fold, channel)."""
    dims = ("layer", "fold", "channel")
    return FoldSums(
        n=_filled(scores, "fold_n", *dims),
        sy=_filled(scores, "fold_sy", *dims),
        sf=_filled(scores, "fold_sf", *dims),
        syy=_filled(scores, "fold_syy", *dims),
        sff=_filled(scores, "fold_sff", *dims),
        syf=_filled(scores, "fold_syf", *dims),
        sse=_filled(scores, "fold_sse", *dims),
        sst=_filled(scores, "fold_sst", *dims),
    )


@dataclass(frozen=True, slots=True)
class FitSummary:
    """One fit, reduced to what tables and report need; arrays over (layer, channel) or channel."""

    fit: Fit
    channels: list[str]
    layers: IntArray
    choice: Choice
    flat: BoolArray
    intercept_only: BoolArray
    tested: bool
    n_samples: int
    r: FloatArray
    skill: FloatArray
    inner: FloatArray
    figures: dict[str, FloatArray]
    lag: FloatArray
    lag_r: FloatArray
    peak: FloatArray


def summarise_fit(fit: Fit) -> FitSummary:
    scores = fit.scores
    layers = np.asarray(scores["layer"].values, dtype=np.int64)
    sums = fold_sums(scores)
    inner = _filled(scores, "inner_score", "layer", "fold", "channel")
    null_r = (
        np.asarray(scores["null_r"].transpose("permutation", "layer", "channel").values)
        if "null_r" in scores
        else np.empty((0, len(layers), scores.sizes["channel"]))
    )
    p = _filled(scores, "p", "layer", "channel")
    choice = choose(layers=layers, inner_score=inner, sums=sums, null_r=null_r, p=p)
    # Filtering leaves rounding noise of a constant: such a signal is flat.
    flat = np.sum(sums.sst[0], axis=0) <= FLAT_BELOW**2 * np.sum(sums.n[0], axis=0)
    if "flat" in scores.variables:
        flat = flat | (_filled(scores, "flat", "channel") > 0)
    constant = np.nan_to_num(_filled(scores, "intercept_only", "layer", "channel")) > 0
    # A fold's layer may be its intercept alone while another fold's is not.
    rows = np.take_along_axis(constant, choice.index, axis=0) if choice.index.size else constant
    intercept_only = rows.all(axis=0) & ~flat
    with np.errstate(invalid="ignore"):
        inner_mean = nan_mean(inner, axis=1)
    lag_r = np.empty((scores.sizes["channel"], 0))
    lag = np.empty(0)
    if "lag_r" in scores and "lag" in scores.coords:
        lag = np.asarray(scores["lag"].values, dtype=np.float64)
        all_layers = np.asarray(scores["lag_r"].transpose("channel", "layer", "lag").values)
        lag_r = all_layers[np.arange(len(all_layers)), choice.modal]
    peak = np.stack(
        [
            np.take_along_axis(
                _filled(scores, name, "layer", "channel"), choice.modal[None], axis=0
            )[0]
            for name in ("peak_lag", "peak_lag_low", "peak_lag_high")
        ]
    )
    return FitSummary(
        fit=fit,
        channels=channel_names(scores),
        layers=layers,
        choice=choice,
        flat=flat,
        intercept_only=intercept_only,
        tested=bool(null_r.shape[0]) or bool(np.isfinite(p).any()),
        n_samples=int(np.nanmax(np.nansum(sums.n[0], axis=0), initial=0)),
        r=_filled(scores, "r", "layer", "channel"),
        skill=_filled(scores, "skill", "layer", "channel"),
        inner=inner_mean,
        figures={name: _filled(scores, name, "layer") for name in STUDY_FIGURES},
        lag=lag,
        lag_r=lag_r,
        peak=peak,
    )


def nan_mean(values: FloatArray, *, axis: int) -> FloatArray:
    """Mean of what is finite, NaN where nothing is, without a warning."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
