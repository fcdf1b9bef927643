"""Held-out frames of one fit, measured and predicted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma import store, summary
from highgamma.errors import InputError
from highgamma.scores import FoldSums, best_candidates, pooled_r, pooled_skill

if TYPE_CHECKING:
    import xarray as xr

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Held-out frames of one fit; both signals minus the training mean of the frame's fold.

    Attributes
    ----------
    observed, predicted
        (sample, channel), in `units`; the prediction is that of the layer which the fold chose for
        the channel among all layers.
    time
        (sample,) s on the clock of the segment.
    segment
        (sample,) number of the segment; samples are in the order of segment and time.
    r, skill
        (channel,) over all held-out frames.
    channels
        Coordinates over `channel`: name, x, y, z, region.
    units
        Unit of the activity.
    distance_s
        Least time (s) between a training and a held-out frame.
    leaky
        Whether the split leaks.
    """

    observed: FloatArray
    predicted: FloatArray
    time: FloatArray
    segment: IntArray
    r: FloatArray
    skill: FloatArray
    channels: Mapping[str, Any]
    units: str
    distance_s: float
    leaky: bool


def read_held_out(paths: Iterable[str | Path]) -> HeldOut:
    """Read the held-out frames of one fit, whose layers may lie in several files.

    Each file holds the prediction of the layer that its folds chose within the file. For every fold
    and channel the prediction comes from the file with the layer chosen among all layers, as in the
    summary.

    Parameters
    ----------
    paths
        Score files of one analysis, participant and model.

    Raises
    ------
    InputError
        If the files are of several fits, of words, or lack a variable.
    """
    files = sorted({Path(p) for p in paths})
    fits = list(summary.read_fits(files))
    if len(fits) != 1:
        raise InputError(
            f"{len(fits)} fits where one is expected",
            expected="the score files of one analysis, participant and model",
        )
    scores = fits[0].scores
    inner = scores["inner_score"].transpose("layer", "fold", "channel").values
    layers = scores["layer"].values.astype(int)
    chosen = best_candidates(inner)
    sums = summary.fold_sums(scores).of(chosen)

    predicted: FloatArray | None = None
    for path in files:
        with store.open_dataset(path) as part:
            _check(part, path)
            fold = part["fold_of_sample"].values.astype(np.int64)
            if predicted is None:
                observed = part["observed"].transpose("sample", "channel").values.astype(float)
                predicted = np.full(observed.shape, np.nan)
                time = part["time"].values.astype(float)
                segment = part["segment"].values.astype(np.int64)
                units = str(part["observed"].attrs.get("units", "1"))
                channels = {
                    str(name): part[name].load().variable
                    for name in part.coords
                    if part[name].dims == ("channel",)
                }
            here = np.isin(layers[chosen], part["layer"].values.astype(int))
            rows = here[fold]
            predicted[rows] = part["prediction"].transpose("sample", "channel").values[rows]
    assert predicted is not None, "a fit has files"
    mean = _training_means(observed, fold, sums)
    order = np.lexsort((time, segment))
    return HeldOut(
        observed=(observed - mean[fold])[order],
        predicted=(predicted - mean[fold])[order],
        time=time[order],
        segment=segment[order],
        r=pooled_r(sums),
        skill=pooled_skill(sums),
        channels=channels,
        units=units,
        distance_s=fits[0].distance_s,
        leaky=fits[0].leaky,
    )


def _check(part: xr.Dataset, path: Path) -> None:
    needed = ("prediction", "observed", "fold_of_sample", "time", "segment")
    missing = [name for name in needed if name not in part.variables]
    if missing or part.attrs.get("unit") != "frame":
        raise InputError(
            f"the score file lacks {', '.join(missing)}" if missing else "the scores are of words",
            where=path,
            expected="held-out frames of an analysis of `unit frame`",
            remedy="delete the file and run again; the workflow recreates it",
        )


def _training_means(observed: FloatArray, fold: IntArray, sums: FoldSums) -> FloatArray:
    """ȳ_train (fold, channel), from Σ(y − ȳ_train) and Σy over the fold's held-out frames.

    NaN in a fold of which a channel has no frame.
    """
    total = np.zeros(sums.sy.shape)
    np.add.at(total, fold, np.nan_to_num(observed))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((total - sums.sy) / sums.n)
