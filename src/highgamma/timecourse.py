"""Measured and recreated activity around the onset of each word's voice.

Time 0 is when the voice starts. What an electrode does before it belongs to planning and
articulation, what it does afterwards also to hearing oneself. At each time the correlation runs
over trials: whether the model tells apart at that moment what is more and what is less than usual,
which the mean time course, the same in all trials, cannot do.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from highgamma import store, summary
from highgamma.errors import InputError
from highgamma.scores import FoldSums, best_candidates, pooled_r, pooled_skill
from highgamma.sections import setting

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MIN_TRIALS = 10
"""Fewer trials leave no correlation over trials to speak of."""

BAND = 0.95
"""Share of the surrogates whose greatest r over time lies below the band."""

BATCH_VALUES = 2**23
"""Values of surrogates held at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimecourseSettings:
    """The section `timecourse`: activity around the onset of each word."""

    analyses: Literal["all"] | tuple[str, ...] = setting(
        "all",
        "`all` (analyses of frames whose split does not leak), or names of analyses.",
        unique=True,
    )
    window: tuple[float, float] = setting(
        (-0.5, 1.0),
        "First and last time from the onset, in seconds; negative times come before it.",
    )
    permutations: int = setting(
        500,
        "Number of permutations of trials that the significance band rests on; 0 for none.",
        minimum=0,
    )
    best: int = setting(
        8, "Number of electrodes, by skill, whose single trials are kept.", minimum=0
    )


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One fit's held-out frames; both signals minus the training mean of the frame's fold.

    observed, predicted
        (sample, channel), in `units`; the prediction is that of the layer which the fold chose for
        the channel among all layers.
    time, segment
        (sample,) s on the clock of the segment, and the segment's number; in the order of time.
    r, skill
        (channel,) over all held-out frames.
    channels
        Coordinates over `channel`: name, x, y, z, region.
    distance_s, leaky
        Least time (s) between a training and a held-out frame; whether the split leaks.
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


# ----------------------------------------------------------------------------- held-out frames


def read_held_out(paths: Iterable[str | Path]) -> HeldOut:
    """The held-out frames of one fit, whose layers may lie in several files.

    Each file holds the prediction of the layer that its folds chose within the file. For every
    fold and channel it is taken from the file with the layer chosen among all (as in the summary).

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
    if predicted is None:
        raise InputError("there are no score files", remedy="run the workflow; it makes them")
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


def _without_gaps(values: FloatArray) -> FloatArray:
    """Fill gaps of (trial, time) with the mean over trials, which counts for nothing."""
    missing = ~np.isfinite(values)
    if not missing.any() or missing.all():
        return values
    count = np.maximum((~missing).sum(axis=0), 1)
    return np.where(missing, np.where(missing, 0, values).sum(axis=0) / count, values)


# ------------------------------------------------------------------------------------- trials


@dataclass(frozen=True, slots=True)
class Trials:
    """Frames of whole trials.

    index
        (trial, time) frame nearest to each time.
    time
        (time,) s from the onset.
    word_index
        (trial,) row in the table of words.
    aligned_to
        `voice` or `prompt`.
    n_incomplete, n_without_onset
        Trials left out: not all of their frames were held out; no onset was found.
    """

    index: IntArray
    time: FloatArray
    word_index: IntArray
    aligned_to: str
    n_incomplete: int
    n_without_onset: int


def frame_step(time: FloatArray, segment: IntArray) -> float:
    """Mean step between neighbouring frames, s; frames that were left out do not widen it."""
    steps = np.diff(time)[np.diff(segment) == 0]
    if not len(steps):
        raise InputError("there are no neighbouring frames", expected="an analysis of frames")
    return float(np.round(steps[steps < 1.5 * np.median(steps)].mean(), 6))


def find_trials(
    time: FloatArray, segment: IntArray, words: pd.DataFrame, *, window: tuple[float, float]
) -> Trials:
    """Frames around each word's onset.

    The onset is the voice's where at least half of the words have one, else the prompt's, for all
    words alike: a mean over both would blur two events. Words without it are left out.

    Parameters
    ----------
    time, segment
        (sample,) s and number of the segment, in the order of time.
    words
        Table of words with `segment`, `onset`, `voice_onset` (s).
    window
        First and last time from the onset, s.
    """
    voice = words["voice_onset"].to_numpy(dtype=float, na_value=np.nan)
    aligned_to = "voice" if len(words) and np.isfinite(voice).mean() >= 0.5 else "prompt"
    onset = voice if aligned_to == "voice" else words["onset"].to_numpy(dtype=float)
    known = np.flatnonzero(np.isfinite(onset))
    step = frame_step(time, segment)
    at = np.arange(int(np.ceil(window[0] / step - 1e-6)), int(window[1] / step + 1e-6) + 1) * step
    index = np.full((len(known), len(at)), -1, dtype=np.int64)
    of = words["segment"].to_numpy(dtype=np.int64)[known]
    for number in np.unique(of):
        own = np.flatnonzero(segment == number)
        if not len(own):
            continue
        rows = np.flatnonzero(of == number)
        wanted = onset[known[rows], None] + at
        after = np.clip(np.searchsorted(time[own], wanted), 1, max(len(own) - 1, 1))
        after = np.minimum(after, len(own) - 1)
        before = np.maximum(after - 1, 0)
        nearer = np.where(
            np.abs(time[own[before]] - wanted) <= np.abs(time[own[after]] - wanted), before, after
        )
        found = own[nearer]
        index[rows] = np.where(np.abs(time[found] - wanted) <= 0.75 * step, found, -1)
    whole = (index >= 0).all(axis=1)
    return Trials(
        index=index[whole],
        time=np.round(at, 9),
        word_index=known[whole].astype(np.int64),
        aligned_to=aligned_to,
        n_incomplete=int((~whole).sum()),
        n_without_onset=len(words) - len(known),
    )


# -------------------------------------------------------------------------------- the numbers


def standardised(values: FloatArray) -> FloatArray:
    """(trial, …) minus the mean over trials, over the root of the sum of squares; NaN if constant.

    The product of two of them, summed over trials, is Pearson's r.
    """
    centred = values - values.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    scale = np.sqrt((values**2).sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(size > 1e-6 * scale, centred / size, np.nan)


def r_over_trials(observed: FloatArray, predicted: FloatArray) -> FloatArray:
    """Pearson's r over trials, (…), of (trial, …); NaN where one of them is constant."""
    return np.asarray(np.sum(standardised(observed) * standardised(predicted), axis=0))


def greatest_r(observed: FloatArray, predicted: FloatArray, orders: IntArray) -> FloatArray:
    """Greatest r over time of every surrogate, (permutation,).

    A surrogate gives each prediction the activity of another trial of the same recording, whole,
    so that both keep their time courses, and what sets recordings apart stays where it is. The
    maximum over time controls the rate of any false time point (Nichols and Holmes 2002, doi
    10.1002/hbm.1058).

    Parameters
    ----------
    observed, predicted
        (trial, time).
    orders
        (permutation, trial).
    """
    y, f = (np.nan_to_num(standardised(v)) for v in (observed, predicted))
    greatest = np.empty(len(orders))
    size = max(1, BATCH_VALUES // max(y.size, 1))
    for a in range(0, len(orders), size):
        some = orders[a : a + size]
        greatest[a : a + size] = np.einsum("pit,it->pt", y[some], f, optimize=False).max(axis=1)
    return greatest


def _over_trials(
    held_out: HeldOut, index: IntArray, orders: IntArray | None
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Correlate activity over trials, electrode by electrode.

    Parameters
    ----------
    held_out
        Frames of one fit.
    index
        (trial, time) frames.
    orders
        (permutation, trial) orders of the trials for the null; None leaves it out.

    Returns
    -------
    r, p
        (electrode, time) correlation and its p against the surrogates' greatest.
    band
        (electrode,) the r that `BAND` of the surrogates reach nowhere in time.
    mean_y, mean_f
        (electrode, time) means over trials, measured and predicted.
    """
    n_channels = held_out.observed.shape[1]
    r, p, mean_y, mean_f = np.full((4, n_channels, index.shape[1]), np.nan)
    band = np.full(n_channels, np.nan)
    for k in range(n_channels):
        y, f = (_without_gaps(v[index, k]) for v in (held_out.observed, held_out.predicted))
        mean_y[k], mean_f[k] = y.mean(axis=0), f.mean(axis=0)
        r[k] = r_over_trials(y, f)
        if orders is not None and np.isfinite(r[k]).any():
            null = np.sort(greatest_r(y, f, orders))
            band[k] = np.quantile(null, BAND)
            reached = len(null) - np.searchsorted(null, r[k] - 1e-12)
            p[k] = np.where(np.isfinite(r[k]), (1 + reached) / (1 + len(null)), np.nan)
    return r, p, band, mean_y, mean_f


def timecourse(
    held_out: HeldOut,
    words: pd.DataFrame,
    *,
    window: tuple[float, float] = (-0.5, 1.0),
    permutations: int = 500,
    best: int = 8,
    seed: int = 0,
) -> xr.Dataset:
    """Correlation over trials, mean and single trials around the onset of each word.

    Parameters
    ----------
    held_out
        Frames of one fit.
    words
        The participant's words.
    window
        First and last time from the onset, s.
    permutations
        Number of permutations of trials within recordings, the same ones for all electrodes.
    best
        How many electrodes, by skill, keep their single trials.

    Returns
    -------
    Dataset over channel, time (s), and trial for the `best` electrodes: `r`, `band` (the r that
    95 % of the surrogates reach nowhere in time), `p` (of r, against the surrogates' greatest),
    `measured` and `recreated` (means over trials), `measured_trials`, `recreated_trials`.
    Activity is counted from the training mean of its fold.
    """
    import xarray as xr

    from highgamma.encoding import nulls

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
    orders = None
    if enough and permutations and np.unique(segment, return_counts=True)[1].max() > 1:
        orders = nulls.word_permutations(segment, count=permutations, block=1, seed=seed)
    if enough:
        r, p, band, mean_y, mean_f = _over_trials(held_out, trials.index, orders)
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
        found = values[:, kept][trials.index]
        return np.moveaxis(found, 2, 0).astype(np.float32)

    return xr.Dataset(
        {
            "r": (each, r, {**units, "long_name": "Pearson correlation over trials"}),
            "p": (each, p, {**units, "long_name": "of r, against the surrogates' greatest r"}),
            "band": ("channel", band, {**units, "long_name": f"{BAND:.0%} of surrogates below"}),
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
            "permutations": 0 if orders is None else permutations,
            "seed": seed,
            "distance_s": held_out.distance_s,
            "leaky": int(held_out.leaky),
            "origin": "activity is counted from the training mean of its fold",
        },
    )


def best_channels(skill: FloatArray, *, best: int) -> IntArray:
    """Channels of the greatest skill, the best first, equals in their order."""
    known = np.flatnonzero(np.isfinite(skill))
    return known[np.argsort(-skill[known], kind="stable")][:best]


# ----------------------------------------------------------------------------- over participants


@dataclass(frozen=True, slots=True)
class Course:
    """A file of time courses and whose it is."""

    analysis: str
    participant: str
    model: str
    values: xr.Dataset


def read_courses(paths: Iterable[str | Path]) -> list[Course]:
    """Time courses; the names come from the path, `<analysis>/<participant>/<model>.nc`."""
    return [
        Course(p.parent.parent.name, p.parent.name, p.stem, store.read_dataset(p))
        for p in sorted({Path(p) for p in paths})
    ]


@dataclass(frozen=True, slots=True)
class RegionCourse:
    """r over time of one region: tanh of the mean z over electrodes, with its interval, (time,)."""

    region: str
    n_participants: int
    n_electrodes: int
    time: FloatArray
    r: FloatArray
    low: FloatArray
    high: FloatArray


def by_region(
    courses: Sequence[Course],
    *,
    regions: Mapping[tuple[str, str], str],
    min_participants: int = 3,
    min_electrodes: int = 6,
    draws: int = 2000,
    seed: int = 0,
) -> list[RegionCourse]:
    """Mean time course of r in each region, with the interval of the hierarchical bootstrap.

    Parameters
    ----------
    courses
        Of one analysis and model, one for each participant, on the same times.
    regions
        Region by participant and electrode; electrodes that have none take no part.
    min_participants, min_electrodes
        What a region needs.

    Returns
    -------
    Regions, those with most electrodes first.
    """
    from highgamma import group

    found: dict[str, list[tuple[str, FloatArray]]] = {}
    for course in courses:
        r = course.values["r"].transpose("channel", "time").values
        for name, own in zip(course.values["channel"].values, r, strict=True):
            region = regions.get((course.participant, str(name)))
            if region is not None and np.isfinite(own).all():
                found.setdefault(region, []).append((course.participant, own))
    made = []
    for region, members in found.items():
        who = np.array([participant for participant, _ in members])
        if len(members) < min_electrodes or len(set(who.tolist())) < min_participants:
            continue
        z = group.fisher_z(np.stack([own for _, own in members]))
        counts = group.electrode_counts(who, draws=draws, seed=seed)
        low, high = group.interval(np.tanh(group.drawn_means(counts, z)))
        made.append(
            RegionCourse(
                region=region,
                n_participants=len(set(who.tolist())),
                n_electrodes=len(members),
                time=courses[0].values["time"].values.astype(float),
                r=np.tanh(z.mean(axis=0)),
                low=low,
                high=high,
            )
        )
    return sorted(made, key=lambda c: (-c.n_electrodes, c.region))
