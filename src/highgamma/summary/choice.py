"""Choose the layer on training folds; compute its held-out scores, significance and gain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from highgamma.scores import FoldSums, best_candidates, p_values, pooled_r, pooled_skill

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

FAMILY = "all electrodes of all participants, for one analysis and one model"


@dataclass(frozen=True, slots=True)
class Choice:
    """Scores of the layers chosen on training folds.

    Attributes
    ----------
    index
        (fold, channel) row of the layer chosen in each fold.
    modal
        (channel,) row of `layer`.
    layer
        (channel,) layer that most folds chose, the lowest of equals.
    stability
        (channel,) share of the folds that chose it.
    votes
        (layer, channel) share of the folds that chose each layer.
    r, skill, p
        (channel,) held-out scores of the chosen layers, and the permutation p of r.
    """

    index: IntArray
    modal: IntArray
    layer: IntArray
    stability: FloatArray
    votes: FloatArray
    r: FloatArray
    skill: FloatArray
    p: FloatArray


def choose(
    *,
    layers: IntArray,
    inner_score: FloatArray,
    sums: FoldSums,
    best_r: FloatArray,
    null_best: FloatArray,
    p: FloatArray,
) -> Choice:
    """Choose each fold's layer on its training samples and score it on the held-out ones.

    Parameters
    ----------
    layers
        (layer,), ascending layer numbers.
    inner_score
        (layer, fold, channel), cross-validated within each fold's training samples.
    sums
        Held-out sums (layer, fold, channel).
    best_r
        (layer, channel) the r that is compared with the surrogates': the layer's, of a lag curve
        that of its best lag.
    null_best
        (permutation, channel), each surrogate's best layer (`scores.best_of_surrogates`), of size 0
        without surrogates. With several layers p compares the best layer's r with each surrogate's
        best (Westfall & Young 1993), so that the choice is the same on both sides; r is that of the
        layers chosen on training folds.
    p
        (layer, channel), each layer's own p-value; used if no layer was chosen (one layer only, or
        no inner score to choose by).
    """
    index = best_candidates(inner_score)
    n_folds = max(index.shape[0], 1)
    votes = np.stack([(index == row).sum(axis=0) for row in range(len(layers))]) / n_folds
    modal = np.argmax(votes, axis=0)
    chosen = sums.of(index)
    r = pooled_r(chosen)
    p_chosen = np.take_along_axis(p, modal[None], axis=0)[0]
    if len(layers) > 1:
        tested = np.isfinite(p).any(axis=0) & bool(null_best.size)
        of_best = np.where(tested, p_values(np.fmax.reduce(best_r), null_best), np.nan)
        fixed = ~np.isfinite(inner_score).any(axis=(0, 1))
        p_chosen = np.where(fixed, p_chosen, of_best)
    return Choice(
        index=index,
        modal=modal,
        layer=layers[modal],
        stability=np.take_along_axis(votes, modal[None], axis=0)[0],
        votes=votes,
        r=r,
        skill=pooled_skill(chosen),
        p=p_chosen,
    )
