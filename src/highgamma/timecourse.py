"""Measured and predicted activity around the voice onset of each word.

Time 0 is the onset of the voice. Activity before it belongs to planning and articulation, activity
after it also to hearing oneself. At each time the correlation runs over trials. It shows whether
the model predicts how a trial differs from the mean time course, which is the same in all trials,
beyond what the following explain of both sides, by least squares over trials at that time:

- the level of each recording, and drift: cosines slower than `DRIFT_S`;
- whether someone speaks then, and up to 0.3 s before and after: words differ in duration.

Surrogates shift the trials of a recording circularly, whole, so that neighbouring trials stay as
similar as they are.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from highgamma import store, summary
from highgamma.errors import InputError
from highgamma.scores import LEVEL, FoldSums, best_candidates, pooled_r, pooled_skill
from highgamma.sections import setting

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MIN_TRIALS = 20
"""Least number of trials for a correlation over trials: they have 19 shifts, and a p of .05."""

VOICE_LAGS_S = tuple(round(0.05 * k, 2) for k in range(-6, 7))
"""Lags of voice on and off, s: those that models of words can have, whose features last while a
word is said."""

DRIFT_S = 60.0
"""Shortest period that counts as drift over trials, s."""

BATCH_VALUES = 2**23
"""Number of values of surrogates in memory at once."""


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
        "Most circular shifts of trials that the significance band rests on; 0 for none. One "
        "recording of n trials has n − 1.",
        minimum=0,
    )
    best: int = setting(
        8, "Number of electrodes, by skill, whose single trials are kept.", minimum=0
    )


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


# ----------------------------------------------------------------------------- held-out frames


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
    """Frames of complete trials.

    Attributes
    ----------
    index
        (trial, time) frame nearest to each time.
    time
        (time,) s from the onset.
    word_index
        (trial,) row in the table of words.
    aligned_to
        `voice` or `prompt`.
    n_incomplete
        Number of trials left out because not all of their frames were held out.
    n_without_onset
        Number of trials left out because the word has no onset.
    """

    index: IntArray
    time: FloatArray
    word_index: IntArray
    aligned_to: str
    n_incomplete: int
    n_without_onset: int


def frame_step(time: FloatArray, segment: IntArray) -> float:
    """Return the mean step between neighbouring frames, in s.

    Gaps left by excluded frames do not count.

    Parameters
    ----------
    time, segment
        (sample,) s and number of the segment, in the order of segment and time.

    Raises
    ------
    InputError
        If no two frames are neighbours.
    """
    steps = np.diff(time)[np.diff(segment) == 0]
    if not len(steps):
        raise InputError("there are no neighbouring frames", expected="an analysis of frames")
    return float(np.round(steps[steps < 1.5 * np.median(steps)].mean(), 6))


def find_trials(
    time: FloatArray, segment: IntArray, words: pd.DataFrame, *, window: tuple[float, float]
) -> Trials:
    """Find the frames around each word's onset.

    The onset is the voice's if at least half of the words have one, else the prompt's, for all
    words alike: a mean over both would blur two events. Words without an onset are left out.

    Parameters
    ----------
    time, segment
        (sample,) s and number of the segment, in the order of segment and time.
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
    word_segment = words["segment"].to_numpy(dtype=np.int64)[known]
    for number in np.unique(word_segment):
        frames = np.flatnonzero(segment == number)
        if not len(frames):
            continue
        rows = np.flatnonzero(word_segment == number)
        wanted = onset[known[rows], None] + at
        after = np.clip(np.searchsorted(time[frames], wanted), 1, max(len(frames) - 1, 1))
        after = np.minimum(after, len(frames) - 1)
        before = np.maximum(after - 1, 0)
        nearer = np.where(
            np.abs(time[frames[before]] - wanted) <= np.abs(time[frames[after]] - wanted),
            before,
            after,
        )
        nearest = frames[nearer]
        index[rows] = np.where(np.abs(time[nearest] - wanted) <= 0.75 * step, nearest, -1)
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
    """Scale to mean 0 and sum of squares 1 over trials.

    The product of two such arrays, summed over trials, is Pearson's r.

    Parameters
    ----------
    values
        (trial, …).

    Returns
    -------
    standardised : (trial, …)
        NaN if the values do not vary over trials.
    """
    centred = values - values.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    scale = np.sqrt((values**2).sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(size > 1e-6 * scale, centred / size, np.nan)


def r_over_trials(observed: FloatArray, predicted: FloatArray) -> FloatArray:
    """Return Pearson's r (…) over trials of two arrays (trial, …); NaN if one is constant."""
    return np.asarray(np.sum(standardised(observed) * standardised(predicted), axis=0))


@dataclass(frozen=True, slots=True)
class Explained:
    """What recordings, drift and the voice explain over trials.

    Attributes
    ----------
    bases
        For each time an orthonormal basis (trial, k).
    inflation
        (time,) √((n − 1)/(n − k)): the r of a shifted trial, which is not orthogonal to the basis,
        is smaller by that factor.
    """

    bases: Sequence[FloatArray]
    inflation: FloatArray

    def without(self, values: FloatArray) -> FloatArray:
        """Return values (trial, time) minus their projection; 0 at times that it explains whole."""
        left = np.empty(values.shape)
        for t, basis in enumerate(self.bases):
            left[:, t] = values[:, t] - basis @ (basis.T @ values[:, t])
        size = np.linalg.norm(values, axis=0)
        return np.asarray(np.where(np.linalg.norm(left, axis=0) > 1e-6 * size, left, 0.0))


def explained_over_trials(
    words: pd.DataFrame, time: FloatArray, segment: IntArray, onset: FloatArray
) -> Explained:
    """Return what recordings, drift and the voice explain at each time.

    Parameters
    ----------
    words
        The participant's words.
    time
        (trial, time) s on the clock of the segment.
    segment, onset
        (trial,) number of the recording, and s.
    """
    from highgamma.embeddings.placing import paint_words
    from highgamma.encoding.drift import slow_functions
    from highgamma.encoding.samples import voice_edges
    from highgamma.encoding.splits import Rows

    n, m = len(time), len(VOICE_LAGS_S)
    start, stop = voice_edges(words)
    of_word, said = words["segment"].to_numpy(dtype=np.int64), np.ones((len(words), 1))
    none = np.full(n, -1)
    slow = slow_functions(Rows(onset, onset, segment, none, none), DRIFT_S)
    bases = []
    for at in time.T:
        moments = (at[:, None] - VOICE_LAGS_S).ravel()
        voice = paint_words(said, start, stop, of_word, moments, np.repeat(segment, m))
        voice = voice.reshape(n, m)
        left, size, _ = np.linalg.svd(np.column_stack([slow, voice]), full_matrices=False)
        bases.append(left[:, size > 1e-6 * size[0]])
    k = np.array([basis.shape[1] for basis in bases])
    return Explained(bases, np.sqrt((n - 1) / np.maximum(n - k, 1)))


def trial_shifts(segment: IntArray, *, count: int, seed: int) -> IntArray:
    """Return orders (shift, trial) of trials that are shifted circularly within recordings.

    Parameters
    ----------
    segment
        (trial,) number of the recording, trials of a recording in time order. A single trial stays.
    count
        Most orders; no more than there are different ones.
    seed
        Of the draws.
    """
    from highgamma.encoding.surrogates import shift_amounts

    recordings = [np.flatnonzero(segment == number) for number in np.unique(segment)]
    several = [here for here in recordings if len(here) > 1]
    possible = math.prod(len(here) - 1 for here in several) if several else 0
    rng = np.random.default_rng(seed)
    count = min(count, possible)
    if not count:
        return np.empty((0, len(segment)), dtype=np.int64)
    orders = np.tile(np.arange(len(segment)), (count, 1))
    for here in several:
        shifts = shift_amounts(len(here), least=1, count=count, rng=rng)
        orders[:, here] = here[(np.arange(len(here)) - shifts[:, None]) % len(here)]
    return orders


def greatest_r(
    observed: FloatArray, predicted: FloatArray, orders: IntArray, *, inflation: FloatArray
) -> FloatArray:
    """Compute the greatest r over time of every surrogate.

    A surrogate pairs each prediction with the whole activity of another trial of the same
    recording. Both keep their time courses, and differences between recordings remain. The maximum
    over time controls the family-wise error rate over time points (Nichols and Holmes 2002, doi
    10.1002/hbm.1058).

    Parameters
    ----------
    observed, predicted
        (trial, time).
    orders
        (surrogate, trial) orders of the trials.
    inflation
        (time,) factor of each surrogate's r.

    Returns
    -------
    greatest : (surrogate,)
    """
    y, f = (np.nan_to_num(standardised(v)) for v in (observed, predicted))
    f = f * inflation
    greatest = np.empty(len(orders))
    size = max(1, BATCH_VALUES // max(y.size, 1))
    for a in range(0, len(orders), size):
        some = orders[a : a + size]
        greatest[a : a + size] = np.einsum("pit,it->pt", y[some], f, optimize=False).max(axis=1)
    return greatest


def _nearest(values: FloatArray, value: float) -> int:
    return int(np.abs(values - value).argmin())


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


# ----------------------------------------------------------------------------- over participants


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


@dataclass(frozen=True, slots=True)
class RegionCourse:
    """r over time of one region: tanh of the mean z over electrodes.

    Attributes
    ----------
    region
        Name of the region.
    n_participants, n_electrodes
        Numbers behind the mean.
    time
        (time,) s from the onset.
    r, low, high
        (time,) mean and its pointwise 95 % interval.
    """

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
) -> list[RegionCourse]:
    """Compute the mean time course of r in each region, with its interval over participants.

    Parameters
    ----------
    courses
        Time courses of one analysis and model, one for each participant, on the same times.
    regions
        Region by (participant, electrode); electrodes without a region are left out.
    min_participants, min_electrodes
        Least numbers for a region.

    Returns
    -------
    courses
        One for each region, those with most electrodes first.
    """
    from highgamma import group

    members_of: dict[str, list[tuple[str, FloatArray]]] = {}
    for course in courses:
        r = course.values["r"].transpose("channel", "time").values
        for name, curve in zip(course.values["channel"].values, r, strict=True):
            region = regions.get((course.participant, str(name)))
            if region is not None and np.isfinite(curve).all():
                members_of.setdefault(region, []).append((course.participant, curve))
    regional = []
    for region, members in members_of.items():
        who = np.array([participant for participant, _ in members])
        if len(members) < min_electrodes or len(set(who.tolist())) < min_participants:
            continue
        z = group.fisher_z(np.stack([curve for _, curve in members]))
        means = group.participant_means(z, who)
        low, high = (np.tanh(edge) for edge in group.t_interval(means))
        regional.append(
            RegionCourse(
                region=region,
                n_participants=len(set(who.tolist())),
                n_electrodes=len(members),
                time=courses[0].values["time"].values.astype(float),
                r=np.tanh(means.mean(axis=0)),
                low=low,
                high=high,
            )
        )
    return sorted(regional, key=lambda c: (-c.n_electrodes, c.region))
