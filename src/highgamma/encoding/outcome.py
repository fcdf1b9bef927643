"""The file of scores: what was fitted, scored and predicted, as one dataset."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma.encoding.columns import SCORE_COLUMNS, Fits
from highgamma.encoding.usable import Usable

if TYPE_CHECKING:
    import xarray as xr

ORDER = ("permutation", "layer", "lag")
"""Dimensions that come first, in this order; channels come last."""


def outcome(fits: Fits, usable: Usable, *, gap: float) -> xr.Dataset:
    """Put everything that was fitted into one dataset, see docs/files.md.

    Parameters
    ----------
    fits
        The fits of all layers.
    usable
        Which samples and channels were fitted; the other channels are missing throughout.
    gap
        Least time between training and held-out samples that the split kept, s.
    """
    import xarray as xr

    variables: dict[str, Any] = {}
    for column in SCORE_COLUMNS.values():
        values = column.values(fits)
        if values is None:
            continue
        if "channel" in column.dims:
            fitted = np.asarray(values)
            shape = (*fitted.shape[:-1], len(usable.live))
            values = np.full(shape, column.missing, dtype=column.dtype)
            values[..., usable.live] = fitted
        attributes = {"long_name": column.meaning, "units": column.units}
        variables[column.name] = (column.dims, values, attributes)
    dataset = xr.Dataset(
        variables,
        coords=_coordinates(fits, set(variables)),
        attrs=_attributes(fits, gap=gap) | usable.counts,
    )
    return dataset.transpose(*ORDER, ..., "channel", missing_dims="ignore")


def _coordinates(fits: Fits, variables: set[str]) -> dict[str, Any]:
    lag = {"units": "s", "long_name": "signal after features"}
    split = fits.problem.split
    rows = fits.samples.rows.take(fits.problem.kept)
    coordinates: dict[str, Any] = {}
    if fits.curves:
        coordinates["lag"] = ("lag", fits.seconds, lag)
    if fits.samples.spaces:
        coordinates["space"] = ("space", [name for name, _ in fits.samples.spaces])
    if "coefficients" in variables:
        coordinates["delay"] = ("delay", fits.seconds, lag)
    return coordinates | {
        "layer": ("layer", np.asarray(fits.layers, dtype=np.int16)),
        "fold_label": ("fold", [fold.label for fold in split.folds]),
        "time": ("sample", rows.start, {"units": "s", "long_name": "time, or start of the window"}),
        "stop": ("sample", rows.stop, {"units": "s"}),
        "segment": ("sample", rows.segment.astype(np.int16)),
        "word_index": ("sample", rows.trial.astype(np.int32)),
        "fold_of_sample": ("sample", split.block.astype(np.int16)),
        **fits.samples.channels,
    }


def _attributes(fits: Fits, *, gap: float) -> dict[str, Any]:
    analysis, split, unit = fits.problem.analysis, fits.problem.split, fits.samples.unit
    null = {
        ("word", "permutation"): "words change places",
        ("word", "shift"): "the envelope in other words' windows, shifted circularly",
    }.get((unit, analysis.surrogates), "circular shift")
    return {
        "analysis": json.dumps(analysis.as_dict(), sort_keys=True),
        "unit": unit,
        "estimator": analysis.estimator,
        "distance_s": split.distance,
        "gap_s": gap,
        "leaky": int(split.leaky),
        "seed": fits.seed,
        "statistic": "r: Pearson, pooled over held-out samples, from the training mean",
        "null": f"{null} within segments",
        "null_penalties_used": ", ".join(sorted({layer.null_penalties for layer in fits.fitted})),
        "noise_ceiling": "estimated" if fits.ceiling.estimable else "not-estimable",
    }
