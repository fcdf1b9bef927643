"""The gain: what a model predicts beyond nuisances and controls, and how sure that is.

Held-out predictions are compared, electrode by electrode. With y, m and c_j the deviations from the
fold's training mean of the signal, of the model's prediction, and of the predictions of nuisances N
and controls C, two predictors are formed,

    with the model  ŷ_M = w_0 m + Σ_{j ∈ N} w_j c_j,    without  ŷ_C = Σ_{j ∈ N ∪ C} v_j c_j,

whose weights are least squares on the other folds, within 0 and 1 (stacking: Breiman, Machine
Learning 24:49, 1996; each prediction is held out and shrunk already). The gain is the difference of
their skills,

    [Σ(y − ŷ_C)² − Σ(y − ŷ_M)²] / Σy² = 2 Σ u d / Σy²,   d = ŷ_M − ŷ_C,   u = y − (ŷ_M + ŷ_C)/2,

so that it is above 0 if u and d correlate, and its p is that of their correlation (`gain_and_p`).

Nuisances are on both sides: what an electrode has in common with them neither helps nor hurts a
model. Controls are on one side alone: of two equal proxies of the same thing neither gains. A
control of little use makes the predictor without the model worse. So a model has to gain over the
nuisances, over nuisances and each control, and over nuisances and all controls: the least gain and
the largest p count (an intersection–union test: Berger, Technometrics 24:295, 1982).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from highgamma import store
from highgamma.encoding.splits import FloatArray, IntArray
from highgamma.errors import InputError
from highgamma.scores import best_candidates, chosen_prediction

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

APART_S = 10.0
"""Least circular shift of frames, s; high-gamma's autocorrelation, less drift, is shorter."""
APART_WORDS = 5
"""Least circular shift of words."""
SWEEPS, PRECISION = 1000, 1e-7
"""Most sweeps over the weights, and the change of a weight at which they end."""
LEAST_SAMPLES = 8
"""Effective samples below which there is no test."""
CHUNK_BYTES = 2**26
"""Bytes of a chunk of electrodes whose correlations at all shifts are computed at once."""
NEEDED = ("inner_score", "prediction", "training_mean", "observed")
"""Variables of a score file that a gain is made from."""
TOGETHER = "together"
"""In the place of a control: the least gain and largest p, which the verdict asks for."""
COLUMNS = {
    "model": "the model",
    "channel": "the electrode",
    "against": "the control that it is compared with, next to the nuisances; "
    f"`{TOGETHER}`: the least over nuisances, each control, and all",
    "gain": "skill with model and nuisances, minus skill with nuisances and control",
    "p": "one-sided p of the gain",
}
"""Columns of `scores/<analysis>/<participant>/gain.tsv` and what they hold."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """Held-out predictions of one model for one participant.

    Attributes
    ----------
    channels
        Names of the channels.
    key
        (n,) what a sample is: its recording and its time in µs, or its word's number, as one
        integer that ascends with time.
    segment
        (n,) number of the recording.
    apart
        Least circular shift, in samples.
    fold
        (n,) number of the outer fold that held the sample out.
    observed, predicted
        (n, channel) deviations from the fold's training mean.
    """

    channels: list[str]
    key: IntArray
    segment: IntArray
    apart: int
    fold: IntArray
    observed: FloatArray
    predicted: FloatArray

    def take(self, samples: IntArray, channels: Sequence[str]) -> Predictions:
        """Return the same for some samples and channels."""
        place = {name: k for k, name in enumerate(self.channels)}
        columns = np.array([place[name] for name in channels], dtype=np.int64)
        return replace(
            self,
            channels=list(channels),
            key=self.key[samples],
            segment=self.segment[samples],
            fold=self.fold[samples],
            observed=self.observed[np.ix_(samples, columns)],
            predicted=self.predicted[np.ix_(samples, columns)],
        )


def read_predictions(paths: Sequence[str | Path]) -> Predictions:
    """Read a fit's held-out predictions, of the layers that training folds chose.

    Parameters
    ----------
    paths
        The score files of all layers of the fit.

    Raises
    ------
    InputError
        A file without predictions.
    """
    datasets = []
    for path in sorted(map(str, paths)):
        with store.open_dataset(path) as opened:
            lacking = [name for name in NEEDED if name not in opened]
            if lacking:
                raise InputError(
                    f"the score file lacks {', '.join(lacking)}",
                    where=path,
                    remedy="delete the file and run again; the workflow recreates it",
                )
            datasets.append(opened[list(NEEDED)].load())
    return predictions_of(datasets)


def predictions_of(files: Sequence[xr.Dataset]) -> Predictions:
    """Return a fit's held-out predictions from what its score files hold.

    Parameters
    ----------
    files
        Scores of some layers each. A file's prediction is of its own best layer; for each fold and
        channel the file with the best inner score counts.
    """
    inner = []
    for scores in files:
        score = scores["inner_score"].transpose("layer", "fold", "channel").values
        inner.append(np.take_along_axis(score, best_candidates(score)[None], axis=0)[0])
    first = files[0]
    fold = np.asarray(first["fold_of_sample"].values, dtype=np.int64)
    predictions = (scores["prediction"].transpose("sample", "channel").values for scores in files)
    predicted = chosen_prediction(predictions, best_candidates(np.stack(inner)), fold)
    mean = np.asarray(first["training_mean"].transpose("fold", "channel").values)[fold]
    segment = np.asarray(first["segment"].values, dtype=np.int64)
    if first.attrs.get("unit") == "word":
        place = np.asarray(first["word_index"].values, dtype=np.int64)
        apart = APART_WORDS
    else:
        time = np.asarray(first["time"].values, dtype=np.float64)
        place = np.round(time * 1e6).astype(np.int64)
        step = float(np.median(np.diff(time))) if len(time) > 1 else APART_S
        apart = max(1, round(APART_S / step))
    observed = np.asarray(first["observed"].transpose("sample", "channel").values) - mean
    return Predictions(
        channels=[str(name) for name in first["channel"].values],
        key=segment * 10**12 + place,
        segment=segment,
        apart=apart,
        fold=fold,
        observed=np.asarray(observed, dtype=np.float64),
        predicted=np.asarray(predicted - mean, dtype=np.float64),
    )


def read_fits(paths: Sequence[str | Path]) -> dict[str, Predictions]:
    """Read the held-out predictions of all models, whose names are those of their folders."""
    folders: dict[str, list[str | Path]] = {}
    for path in sorted(map(str, paths)):
        folders.setdefault(Path(path).parent.name, []).append(path)
    return {model: read_predictions(files) for model, files in folders.items()}


def bounded_weights(gram: FloatArray, cross: FloatArray) -> FloatArray:
    """Return the weights within [0, 1] that minimise wᵀ G w − 2 wᵀ c.

    By cyclic coordinate descent, which converges for a convex function over a box (Luo & Tseng,
    Journal of Optimization Theory and Applications 72:7, 1992).

    Parameters
    ----------
    gram
        (…, k, k) G, positive semi-definite.
    cross
        (…, k) c.
    """
    k = cross.shape[-1]
    diagonal = np.einsum("...ii->...i", gram)
    scale = np.where(diagonal > 0, diagonal, 1.0)
    weights = np.zeros(cross.shape)
    for _ in range(SWEEPS):
        largest = 0.0
        for j in range(k):
            rest = np.einsum("...i,...i->...", gram[..., j, :], weights)
            step = (cross[..., j] - rest) / scale[..., j]
            new = np.where(diagonal[..., j] > 0, np.clip(weights[..., j] + step, 0, 1), 0.0)
            largest = max(largest, float(np.nan_to_num(np.abs(new - weights[..., j])).max()))
            weights[..., j] = new
        if largest < PRECISION:
            break
    return weights


def group_sums(values: FloatArray, group: IntArray) -> FloatArray:
    """Return the sums (group, t) of values (n, t) over groups of samples, by ascending number."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.concatenate([[1], np.diff(group[order])]))
    return np.add.reduceat(values[order], starts, axis=0)


def stacked(parts: Sequence[FloatArray], observed: FloatArray, fold: IntArray) -> FloatArray:
    """Return the stacked prediction (n, t): weights of each fold from the other folds.

    Parameters
    ----------
    parts
        Predictions (n, t), as deviations from training means.
    observed
        (n, t).
    fold
        (n,) number of each sample's fold.
    """
    prediction = np.zeros(observed.shape)
    if not parts:
        return prediction
    numbers, rank = np.unique(fold, return_inverse=True)
    k, t = len(parts), observed.shape[1]
    gram = np.empty((len(numbers), t, k, k))
    cross = np.empty((len(numbers), t, k))
    for a in range(k):
        cross[:, :, a] = group_sums(parts[a] * observed, fold)
        for b in range(a, k):
            gram[:, :, a, b] = gram[:, :, b, a] = group_sums(parts[a] * parts[b], fold)
    weights = bounded_weights(gram.sum(axis=0) - gram, cross.sum(axis=0) - cross)
    for a in range(k):
        prediction += weights[rank, :, a] * parts[a]
    return prediction


def within(values: FloatArray, segment: IntArray) -> FloatArray:
    """Return values (n, t) less the mean of their recording."""
    values = values.copy()
    for number in np.unique(segment):
        here = segment == number
        values[here] -= values[here].mean(axis=0)
    return values


def effective_samples(
    one: FloatArray, other: FloatArray, *, segment: IntArray, apart: int
) -> FloatArray:
    """Return how many independent samples (t,) two unrelated series of one kind amount to.

    The variance of the correlation of n independent samples is 1/n. Here it is the mean square of
    the correlations under all circular shifts by at least `apart` samples within recordings.

    Parameters
    ----------
    one, other
        (n, t), each less the means of its recordings, in time order within them.
    segment
        (n,) number of the recording.
    apart
        Least shift in both directions, in samples; a quarter of a recording at most.

    Returns
    -------
    NaN for a series that is constant.
    """
    from scipy.fft import irfft, rfft

    variance = np.zeros(one.shape[1])
    for number in np.unique(segment):
        here = segment == number
        n = int(here.sum())
        least = min(apart, n // 4)
        width = max(1, CHUNK_BYTES // (16 * n))
        for first in range(0, one.shape[1], width):
            some = slice(first, first + width)
            spectrum = rfft(one[here, some], axis=0) * rfft(other[here, some], axis=0).conj()
            products = irfft(spectrum, n, axis=0)[least : n - least + 1]
            variance[some] += (products**2).mean(axis=0)
    total = (one**2).sum(axis=0) * (other**2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(total > 0, total / variance, np.nan))


def gain_and_p(
    observed: FloatArray,
    with_model: FloatArray,
    without: FloatArray,
    *,
    segment: IntArray,
    fold: IntArray,
    apart: int,
) -> tuple[FloatArray, FloatArray]:
    """Return the gain (t,) of one prediction over another and its one-sided p (t,).

    With ρ the correlation of u and d within recordings (see the module), K folds, and n the
    effective samples of d and of what is left of u once d is regressed out,

        t = ρ √[(n − 2) / (1 − ρ²)] / √[1 + K / (K − 1)],

    with n − 2 degrees of freedom. The last factor is the correction of Nadeau & Bengio (Machine
    Learning 52:239, 2003) for folds that share training samples: d is fitted to the other folds'
    noise, so that each pair of samples counts twice.

    Parameters
    ----------
    observed, with_model, without
        (n, t).
    segment, fold
        (n,) number of each sample's recording and outer fold; samples in time order.
    apart
        Least circular shift, in samples.

    Returns
    -------
    gain, p
        p is NaN below `LEAST_SAMPLES` effective samples, 1 for predictions that are the same.
    """
    from scipy.stats import t as student

    total = (observed**2).sum(axis=0)
    difference = ((observed - without) ** 2 - (observed - with_model) ** 2).sum(axis=0)
    u = within(observed - (with_model + without) / 2, segment)
    d = within(with_model - without, segment)
    product, square = (u * d).sum(axis=0), (d**2).sum(axis=0)
    folds = len(np.unique(fold))
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(total > 0, difference / total, np.nan)
        rest = u - np.where(square > 0, product / square, 0.0) * d
        explained = product**2 / (square * (u**2).sum(axis=0))
        n = effective_samples(rest, d, segment=segment, apart=apart)
        t = np.sign(product) * np.sqrt(explained * (n - 2) / (1 - explained))
        t /= np.sqrt(1 + folds / max(folds - 1, 1))
    p = np.where(n >= LEAST_SAMPLES, student.sf(t, np.maximum(n - 2, 1)), np.nan)
    p[square == 0] = 1.0
    p[~np.isfinite(gain)] = np.nan
    return gain, p


def gains(
    fits: Mapping[str, Predictions],
    *,
    nuisances: Sequence[str],
    controls: Sequence[str],
    expected: Sequence[str] = (),
) -> pd.DataFrame:
    """Return the gain of every model of one participant and analysis, and its p.

    Parameters
    ----------
    fits
        Predictions of all models, nuisances and controls, by name.
    nuisances
        Those of `fits` that stand on both sides: position in time and the nuisances.
    controls
        The controls that the analysis names.
    expected
        Nuisances and controls that should be there. If one is missing, nothing is compared with
        all `together`.

    Returns
    -------
    A row for each model, electrode and control (`COLUMNS`). A control is compared with the
    nuisances alone.
    """
    import pandas as pd

    rows: list[pd.DataFrame] = []
    complete = all(name in fits for name in expected)
    for model, fit in fits.items():
        if model in nuisances:
            continue
        both = [name for name in nuisances if name in fits]
        against = [] if model in controls else [name for name in controls if name in fits]
        compared = {name: [*both, name] for name in against}
        compared |= {name: [*both] for name in both}
        if complete and (both or against):
            compared[TOGETHER] = [*both, *against]
        if not compared:
            continue
        names = [*both, *against]
        common, channels = _in_common([fit, *(fits[name] for name in names)])
        fit, *others = _where_all_are_known(
            [_aligned(f, common, channels) for f in (fit, *(fits[n] for n in names))]
        )
        here = dict(zip(names, others, strict=True))
        deviations = {name: other.predicted for name, other in here.items()}
        with_model = stacked(
            [fit.predicted, *(deviations[n] for n in both)], fit.observed, fit.fold
        )
        tested = {
            control: gain_and_p(
                fit.observed,
                with_model,
                stacked([deviations[n] for n in parts], fit.observed, fit.fold),
                segment=fit.segment,
                fold=fit.fold,
                apart=fit.apart,
            )
            for control, parts in compared.items()
        }
        if TOGETHER in tested:
            least, largest = (np.stack(values) for values in zip(*tested.values(), strict=True))
            tested[TOGETHER] = least.min(axis=0), largest.max(axis=0)
        rows += [
            pd.DataFrame(
                {"model": model, "channel": channels, "against": control, "gain": gain, "p": p}
            )
            for control, (gain, p) in tested.items()
        ]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=list(COLUMNS))


def _in_common(fits: Sequence[Predictions]) -> tuple[IntArray, list[str]]:
    """Return the samples and channels that all fits have, in the first one's order."""
    common = fits[0].key
    for other in fits[1:]:
        common = np.intersect1d(common, other.key)
    everywhere = set.intersection(*(set(fit.channels) for fit in fits))
    return common, [name for name in fits[0].channels if name in everywhere]


def _where_all_are_known(fits: Sequence[Predictions]) -> list[Predictions]:
    """Return fits in which what one of them lacks (an artefact, say) counts nothing in any."""
    known = np.isfinite(fits[0].observed)
    for fit in fits:
        known = known & np.isfinite(fit.predicted)
    return [
        replace(
            fit,
            observed=np.where(known, fit.observed, 0.0),
            predicted=np.where(known, fit.predicted, 0.0),
        )
        for fit in fits
    ]


def _aligned(fit: Predictions, common: IntArray, channels: Sequence[str]) -> Predictions:
    """Return a fit's predictions of these samples and channels, samples in time order."""
    order = np.argsort(fit.key, kind="stable")
    return fit.take(order[np.searchsorted(fit.key[order], common)], channels)
