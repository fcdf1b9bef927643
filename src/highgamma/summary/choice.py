"""The layer chosen on training folds, its held-out scores, its significance and its gain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

LEVEL = 0.05
"""Rate of false discoveries that a finding may belong to."""

FAMILY = "all electrodes of all participants, for one analysis and one model"


@dataclass(frozen=True, slots=True)
class FoldSums:
    """What each fold contributes to the pooled scores; arrays are (layer, fold, channel).

    With y the measured and ŷ the predicted signal, both minus the fold's training mean of y, over
    the fold's held-out samples: their number `n`, sums `sy` and `sf`, sums of squares and products
    `syy`, `sff`, `syf`; `sse` = Σ(y − ŷ)², `sst` = Σy².
    """

    n: FloatArray
    sy: FloatArray
    sf: FloatArray
    syy: FloatArray
    sff: FloatArray
    syf: FloatArray
    sse: FloatArray
    sst: FloatArray

    def of(self, chosen: IntArray) -> FoldSums:
        """The sums of one layer for each fold and channel: arrays become (fold, channel)."""
        return FoldSums(
            *(
                np.take_along_axis(getattr(self, name), chosen[None], axis=0)[0]
                for name in self.__slots__
            )
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """Scores of the layers chosen on training folds; all arrays run over channels.

    `layer` is the layer most folds chose (the lowest of equals), `stability` its share of folds,
    `votes` the share of every layer (layer, channel), `index` the layer's row in each fold
    (fold, channel), `modal` the row of `layer`.
    """

    index: IntArray
    modal: IntArray
    layer: IntArray
    stability: FloatArray
    votes: FloatArray
    r: FloatArray
    skill: FloatArray
    p: FloatArray


def chosen_layers(inner_score: FloatArray) -> IntArray:
    """Row of the layer with the best inner score, for every fold and channel.

    Parameters
    ----------
    inner_score
        (layer, fold, channel), cross-validated inside the fold's training samples. The lowest
        layer wins among equals. Where a fold has no inner score at all (a fixed penalty leaves
        nothing to choose by), the last layer is taken, as the study of science.md does.
    """
    known = np.isfinite(inner_score)
    best = np.argmax(np.where(known, inner_score, -np.inf), axis=0)
    chosen: IntArray = np.where(known.any(axis=0), best, inner_score.shape[0] - 1).astype(np.int64)
    return chosen


def pooled_r(sums: FoldSums) -> FloatArray:
    """Pearson correlation of y and ŷ over the samples of all folds, from the folds' sums.

    r = (Σyŷ − ΣyΣŷ/n) / sqrt((Σy² − (Σy)²/n)(Σŷ² − (Σŷ)²/n)), every Σ over folds. NaN where the
    measured or the predicted signal is constant: a constant has no correlation.
    """
    n, sy, sf, syy, sff, syf = (
        np.sum(part, axis=-2) for part in (sums.n, sums.sy, sums.sf, sums.syy, sums.sff, sums.syf)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        variance_y = syy - sy**2 / n
        variance_f = sff - sf**2 / n
        # Rounding leaves about 1e-16 of each sum of squares; a fit that is its intercept alone
        # predicts 1e-14 of the signal.
        varies = (variance_y > 1e-13 * syy) & (variance_f > np.maximum(1e-13 * sff, 1e-24 * syy))
        r = (syf - sy * sf / n) / np.sqrt(variance_y * variance_f)
    return np.where(varies, np.clip(r, -1.0, 1.0), np.nan)


def pooled_skill(sums: FoldSums) -> FloatArray:
    """1 − ΣSSE / ΣSSE of the training mean, every Σ over folds; NaN where nothing varies."""
    sse, sst = np.sum(sums.sse, axis=-2), np.sum(sums.sst, axis=-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sst > 0, 1.0 - sse / sst, np.nan)


def permutation_p(r: FloatArray, null_r: FloatArray) -> FloatArray:
    """p = (1 + number of permutations whose best layer reaches r) / (permutations + 1).

    Parameters
    ----------
    r
        (channel,), of the chosen layers.
    null_r
        (permutation, layer, channel), each permutation the same for all layers. The maximum over
        layers stands for the choice of a layer, so the p-value is conservative: the choice was
        made on training folds and cannot gain as much. A permutation without a correlation (a
        constant prediction) counts as 0.

    Returns
    -------
    p
        (channel,); NaN where r is, or where there are no permutations.
    """
    if not null_r.size:
        return np.full(r.shape, np.nan)
    known = np.isfinite(null_r)
    best = np.max(np.where(known, null_r, 0.0), axis=1)
    reached = np.sum(best >= r, axis=0)
    p = (1.0 + reached) / (null_r.shape[0] + 1.0)
    return np.where(np.isfinite(r) & known.any(axis=(0, 1)), p, np.nan)


def false_discovery_q(p: FloatArray) -> FloatArray:
    """Benjamini-Hochberg adjusted p-values of one family; NaN are no members of it."""
    from scipy.stats import false_discovery_control

    q = np.full(p.shape, np.nan)
    member = np.isfinite(p)
    if member.any():
        q[member] = false_discovery_control(p[member], method="bh")
    return q


def choose(
    *,
    layers: IntArray,
    inner_score: FloatArray,
    sums: FoldSums,
    null_r: FloatArray,
    p: FloatArray,
) -> Choice:
    """Nested choice of the layer: chosen on training folds, scored on the held-out ones.

    Parameters
    ----------
    layers
        (layer,), ascending layer numbers.
    inner_score, sums
        (layer, fold, channel).
    null_r
        (permutation, layer, channel), of size 0 without permutations.
    p
        (layer, channel), each layer's own p-value: taken as it stands where no layer was chosen
        (one layer only, or no inner score to choose by).
    """
    index = chosen_layers(inner_score)
    n_folds = max(index.shape[0], 1)
    votes = np.stack([(index == row).sum(axis=0) for row in range(len(layers))]) / n_folds
    modal = np.argmax(votes, axis=0)
    r = pooled_r(sums.of(index))
    own = np.take_along_axis(p, modal[None], axis=0)[0]
    fixed = ~np.isfinite(inner_score).any(axis=(0, 1))
    if len(layers) > 1:
        p_chosen = np.where(fixed, own, permutation_p(r, null_r))
    else:
        p_chosen = own
    return Choice(
        index=index,
        modal=modal,
        layer=layers[modal],
        stability=np.take_along_axis(votes, modal[None], axis=0)[0],
        votes=votes,
        r=r,
        skill=pooled_skill(sums.of(index)),
        p=np.where(np.isfinite(r), p_chosen, np.nan),
    )


def gains(
    skill: FloatArray, controls: Mapping[str, FloatArray]
) -> tuple[FloatArray, list[str | None]]:
    """Skill minus the best control's skill, and which control that is; NaN without a control."""
    if not controls:
        return np.full(skill.shape, np.nan), [None] * len(skill)
    names = list(controls)
    stacked = np.stack([controls[name] for name in names])
    best = np.argmax(np.where(np.isfinite(stacked), stacked, -np.inf), axis=0)
    known: BoolArray = np.asarray(np.isfinite(stacked).any(axis=0))
    gain = np.where(known, skill - np.take_along_axis(stacked, best[None], axis=0)[0], np.nan)
    return gain, [names[b] if k else None for b, k in zip(best, known, strict=True)]
