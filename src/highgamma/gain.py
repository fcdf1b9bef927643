"""The gain: what a model predicts beyond nuisances and controls together, and how sure that is.

Held-out predictions are compared, electrode by electrode. With y, m and c_j the deviations from the
fold's training mean of the signal, of the model's prediction, and of the predictions of nuisances N
and controls C, two predictors are formed,

    with the model  ŷ_M = w_0 m + Σ_{j ∈ N} w_j c_j,    without  ŷ_C = Σ_{j ∈ N ∪ C} v_j c_j,

whose weights are least squares on the other folds, within 0 and 1 (stacking: Breiman, Machine
Learning 24:49, 1996; each prediction is held out and shrunk already). The gain is the difference of
their skills, [Σ(y − ŷ_C)² − Σ(y − ŷ_M)²] / Σy², and its p is one-sided, from t-tests of the
differences of squared errors (Diebold & Mariano, Journal of Business & Economic Statistics 13:253,
1995) over blocks of neighbouring samples, for their autocorrelation, and over folds, whose samples
share weights; the larger p counts.

Nuisances are on both sides: what an electrode has in common with them neither helps nor hurts a
model. Controls are on one side alone: of two equal proxies of the same thing neither gains.
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

BLOCK_S = 5.0
"""Length of a block of frames, s: longer than high-gamma's autocorrelation after drift is out."""
BLOCK_WORDS = 4
"""Neighbouring words in a block."""
SWEEPS, PRECISION = 1000, 1e-7
"""Most sweeps over the weights, and the change of a weight at which they end."""
LEAST_BLOCKS = 8
"""Blocks below which there is no test."""
NEEDED = ("inner_score", "prediction", "training_mean", "observed")
"""Variables of a score file that a gain is made from."""
TOGETHER = "together"
"""In the place of a control: all nuisances and controls at once, which the verdict asks for."""
COLUMNS = {
    "model": "the model",
    "channel": "the electrode",
    "against": f"the control that it is compared with, next to the nuisances; `{TOGETHER}`: all",
    "gain": "skill with model and nuisances, minus skill with nuisances and control",
    "p": "one-sided p of the gain",
    "n_blocks": "blocks of neighbouring samples that the test is over",
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
    block
        (n,) number of the block of neighbouring samples.
    fold
        (n,) number of the outer fold that held the sample out.
    observed, predicted
        (n, channel) deviations from the fold's training mean.
    """

    channels: list[str]
    key: IntArray
    block: IntArray
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
            block=self.block[samples],
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
        block = place // BLOCK_WORDS
    else:
        time = np.asarray(first["time"].values, dtype=np.float64)
        place = np.round(time * 1e6).astype(np.int64)
        block = np.floor(time / BLOCK_S).astype(np.int64)
    observed = np.asarray(first["observed"].transpose("sample", "channel").values) - mean
    return Predictions(
        channels=[str(name) for name in first["channel"].values],
        key=segment * 10**12 + place,
        block=segment * 10**9 + block,
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


def paired_p(difference: FloatArray, group: IntArray) -> tuple[FloatArray, int]:
    """Return the one-sided p (t,) of mean differences above 0 over groups of samples, and how many.

    Parameters
    ----------
    difference
        (n, t).
    group
        (n,) number of each sample's group. Sums over groups are compared with 0 by Student's t.
    """
    from scipy.stats import t as student

    sums = group_sums(difference, group)
    n_groups = len(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = sums.mean(axis=0) / (sums.std(axis=0, ddof=1) / np.sqrt(n_groups))
    # Two predictions that are the same differ nowhere.
    return np.where(np.isfinite(statistic), student.sf(statistic, n_groups - 1), 1.0), n_groups


def gain_and_p(
    observed: FloatArray,
    with_model: FloatArray,
    without: FloatArray,
    *,
    block: IntArray,
    fold: IntArray,
) -> tuple[FloatArray, FloatArray, int]:
    """Return the gain (t,) of one prediction over another, its one-sided p (t,), and the blocks.

    Parameters
    ----------
    observed, with_model, without
        (n, t).
    block, fold
        (n,) number of each sample's block of neighbours and of its outer fold. Weights are a
        fold's own, so that its samples err alike: p is the larger of the one over blocks and the
        one over folds.

    Returns
    -------
    gain, p, n_blocks
        p is NaN below `LEAST_BLOCKS` blocks.
    """
    difference = (observed - without) ** 2 - (observed - with_model) ** 2
    total = (observed**2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(total > 0, difference.sum(axis=0) / total, np.nan)
    over_blocks, n_blocks = paired_p(difference, block)
    over_folds, _ = paired_p(difference, fold)
    p = np.maximum(over_blocks, over_folds)
    p[~np.isfinite(gain) | (n_blocks < LEAST_BLOCKS)] = np.nan
    return gain, p, n_blocks


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
        for control, parts in compared.items():
            without = stacked([deviations[n] for n in parts], fit.observed, fit.fold)
            gain, p, n_blocks = gain_and_p(
                fit.observed, with_model, without, block=fit.block, fold=fit.fold
            )
            rows.append(
                pd.DataFrame(
                    {
                        "model": model,
                        "channel": channels,
                        "against": control,
                        "gain": gain,
                        "p": p,
                        "n_blocks": n_blocks,
                    }
                )
            )
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
