"""The stage: correlation over trials, means and single trials at each time from the onset."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from highgamma import store
from highgamma.scores import LEVEL
from highgamma.timecourse.held_out import HeldOut
from highgamma.timecourse.null import (
    Explained,
    explained_over_trials,
    greatest_r,
    r_over_trials,
    trial_shifts,
)
from highgamma.timecourse.trials import find_trials

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MIN_TRIALS = 20
"""Least number of trials for a correlation over trials: they have 19 shifts, and a p of .05."""


def timecourse(
    held_out: HeldOut,
    words: pd.DataFrame,
    *,
    window: tuple[float, float] = (-0.5, 1.0),
    permutations: int = 500,
    best: int = 8,
    seed: int = 0,
) -> xr.Dataset:
    """Compute the correlation over trials, mean and single trials around the onset of each word.

    Parameters
    ----------
    held_out
        Frames of one fit.
    words
        The participant's words.
    window
        First and last time from the onset, s.
    permutations
        Most shifts of trials within recordings, the same ones for all electrodes.
    best
        Number of electrodes, by skill, whose single trials are kept.
    seed
        Seed of the permutations.

    Returns
    -------
    courses : Dataset
        Over channel, time (s), and trial for the `best` electrodes: `r`, `band` (the r above which
        p is at most .05), `p` (of r, against the surrogates' greatest over time),
        `measured` and `recreated` (means over trials), `measured_trials`, `recreated_trials`.
        Activity is relative to the training mean of its fold.
    """
    import xarray as xr

    log = logging.getLogger("highgamma")
    trials = find_trials(held_out.time, held_out.segment, words, window=window)
    n, n_channels = len(trials.index), held_out.observed.shape[1]
    log.info(
        "%d trials from the onset of the %s; %d incomplete, %d without an onset",
        n, trials.aligned_to, trials.n_incomplete, trials.n_without_onset,
    )  # fmt: skip
    enough = n >= MIN_TRIALS
    if not enough:
        log.warning("%d whole trials, too few for a time course", n)
    segment = held_out.segment[trials.index[:, 0]]
    orders = trial_shifts(segment, count=permutations, seed=seed)
    if enough:
        at = held_out.time[trials.index]
        explained = explained_over_trials(words, at, segment, at[:, _nearest(trials.time, 0.0)])
        r, p, band, mean_y, mean_f = _over_trials(held_out, trials.index, explained, orders)
    else:
        r, p, mean_y, mean_f = np.full((4, n_channels, len(trials.time)), np.nan)
        band = np.full(n_channels, np.nan)
    kept = best_channels(held_out.skill, best=best)
    activity = {"units": held_out.units}
    each, single = ("channel", "time"), ("best", "trial", "time")
    spoken = words.iloc[trials.word_index]
    onset, offset = (
        spoken[f"voice_{edge}"].to_numpy(dtype=float, na_value=np.nan)
        for edge in ("onset", "offset")
    )
    names = np.asarray(held_out.channels["channel"].values).astype(str)
    units = {"units": "1"}

    def of_trials(values: FloatArray) -> NDArray[np.float32]:
        single_trials = values[:, kept][trials.index]
        return np.moveaxis(single_trials, 2, 0).astype(np.float32)

    return xr.Dataset(
        {
            "r": (each, r, {**units, "long_name": "Pearson correlation over trials"}),
            "p": (each, p, {**units, "long_name": "of r, against the surrogates' greatest r"}),
            "band": ("channel", band, {**units, "long_name": f"above it p is at most {LEVEL:g}"}),
            "measured": (each, mean_y, {**activity, "long_name": "mean over trials"}),
            "recreated": (each, mean_f, {**activity, "long_name": "mean over trials"}),
            "measured_trials": (single, of_trials(held_out.observed), activity),
            "recreated_trials": (single, of_trials(held_out.predicted), activity),
            "skill": ("channel", held_out.skill, units),
            "r_all": ("channel", held_out.r, {**units, "long_name": "over all held-out frames"}),
        },
        coords={
            **held_out.channels,
            "time": ("time", trials.time, {"units": "s", "long_name": "time from the onset"}),
            "best": ("best", names[kept], {"long_name": "electrodes by skill, the best first"}),
            "word": ("trial", spoken["word"].to_numpy(dtype=str)),
            "word_index": ("trial", trials.word_index.astype(np.int32)),
            "voice_duration": ("trial", offset - onset, {"units": "s"}),
        },
        attrs={
            "aligned_to": trials.aligned_to,
            "trials": n,
            "trials_incomplete": trials.n_incomplete,
            "trials_without_onset": trials.n_without_onset,
            "permutations": len(orders) if enough else 0,
            "seed": seed,
            "distance_s": held_out.distance_s,
            "leaky": int(held_out.leaky),
            "origin": "activity is counted from the training mean of its fold",
        },
    )


def best_channels(skill: FloatArray, *, best: int) -> IntArray:
    """Return the indices of the channels with the greatest skill, the best first.

    Parameters
    ----------
    skill
        (channel,); channels without a skill (NaN) are left out, ties keep their order.
    best
        Most channels to return.
    """
    known = np.flatnonzero(np.isfinite(skill))
    return known[np.argsort(-skill[known], kind="stable")][:best]


def _over_trials(
    held_out: HeldOut, index: IntArray, explained: Explained, orders: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Correlate activity over trials, electrode by electrode.

    Parameters
    ----------
    held_out
        Frames of one fit.
    index
        (trial, time) frames.
    explained
        What is taken out of both sides.
    orders
        (surrogate, trial) orders of the trials for the null.

    Returns
    -------
    r, p
        (electrode, time) correlation and its p against the surrogates' greatest.
    band
        (electrode,) the r above which p is at most .05; NaN for fewer than 19 surrogates.
    mean_y, mean_f
        (electrode, time) means over trials, measured and predicted.
    """
    n_channels = held_out.observed.shape[1]
    r, p, mean_y, mean_f = np.full((4, n_channels, index.shape[1]), np.nan)
    band = np.full(n_channels, np.nan)
    for k in range(n_channels):
        y, f = (_without_gaps(v[index, k]) for v in (held_out.observed, held_out.predicted))
        mean_y[k], mean_f[k] = y.mean(axis=0), f.mean(axis=0)
        y, f = explained.without(y), explained.without(f)
        r[k] = r_over_trials(y, f)
        if len(orders) and np.isfinite(r[k]).any():
            null = np.sort(greatest_r(y, f, orders, inflation=explained.inflation))
            exceeding = int(LEVEL * (len(null) + 1) + 1e-9)
            band[k] = null[-exceeding] if exceeding else np.nan
            reached = len(null) - np.searchsorted(null, r[k] - 1e-12)
            p[k] = np.where(np.isfinite(r[k]), (1 + reached) / (1 + len(null)), np.nan)
    return r, p, band, mean_y, mean_f


def _without_gaps(values: FloatArray) -> FloatArray:
    """Fill gaps of (trial, time) with the mean over trials, which counts for nothing."""
    missing = ~np.isfinite(values)
    if not missing.any() or missing.all():
        return values
    count = np.maximum((~missing).sum(axis=0), 1)
    return np.where(missing, np.where(missing, 0, values).sum(axis=0) / count, values)


def _nearest(values: FloatArray, value: float) -> int:
    return int(np.abs(values - value).argmin())


@dataclass(frozen=True, slots=True)
class Course:
    """A file of time courses: the fit and its Dataset (see `timecourse`)."""

    analysis: str
    participant: str
    model: str
    values: xr.Dataset


def read_courses(paths: Iterable[str | Path]) -> list[Course]:
    """Read time courses; the names come from the path, `<analysis>/<participant>/<model>.nc`."""
    return [
        Course(p.parent.parent.name, p.parent.name, p.stem, store.read_dataset(p))
        for p in sorted({Path(p) for p in paths})
    ]
