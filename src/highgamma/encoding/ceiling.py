"""How much of an electrode's activity a model could predict at best, where stimuli repeat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from highgamma.encoding.splits import FloatArray, IntArray

# Repetitions (trials beyond a word's first) below which the noise is not known well enough.
LEAST_REPETITIONS = 10


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The noise ceiling of every electrode; all NaN where it cannot be estimated.

    Attributes
    ----------
    r
        (t,) largest correlation that a function of the stimulus can reach, √max(0, explainable).
    explainable
        (t,) signal power over total power; the estimate is unbiased, so it can be below 0 without
        a signal.
    estimable
        Whether enough stimuli repeat.
    """

    r: FloatArray
    explainable: FloatArray
    estimable: bool


def repetitions(word: IntArray, trial: IntArray) -> int:
    """Return the number of trials beyond the first of each word; rows with −1 do not count."""
    known = (word >= 0) & (trial >= 0)
    pairs = np.unique(np.stack([word[known], trial[known]]), axis=1)
    return int(pairs.shape[1] - len(np.unique(pairs[0])))


def noise_ceiling(targets: FloatArray, stimulus: IntArray, *, repeated: int) -> Ceiling:
    """Estimate signal and noise power from repeated stimuli, by one-way analysis of variance.

    With stimulus g seen n_g times and N = Σn_g: MSW = ΣΣ(y − ȳ_g)²/(N − G) is the noise power,
    SP = (MSB − MSW)/n₀ the signal power, n₀ = (N − Σn_g²/N)/(G − 1), MSB = Σn_g(ȳ_g − ȳ)²/(G − 1).
    The explainable share is SP/(SP + MSW), the ceiling of r its root (CC_max). For the same number
    of repetitions everywhere SP is the signal power of Sahani & Linden (2003), without their
    removal of each repetition's mean.

    It bounds what can be predicted from the stimulus alone. A model of the sound that was really
    spoken knows more than the word and may lie above. Repetitions in direct succession share slow
    drift, which then counts as signal.

    Parameters
    ----------
    targets
        (n, t), finite.
    stimulus
        (n,) what was presented, −1 for rows that are no part of any stimulus.
    repeated
        Number of repetitions (`repetitions`), for the decision whether there are enough.

    Sources: Sahani & Linden, NIPS 15 (2003); Hsu, Borst & Theunissen, Network 15 (2004), 91–109;
    Schoppe et al., Front. Comput. Neurosci. 10 (2016), 10; Searle, Casella & McCulloch, Variance
    Components (1992), ch. 3, for unequal numbers.
    """
    t = targets.shape[1]
    missing = np.full(t, np.nan)
    inside = stimulus >= 0
    Y = targets[inside]
    _, group, size = np.unique(stimulus[inside], return_inverse=True, return_counts=True)
    n, groups = len(Y), len(size)
    if repeated < LEAST_REPETITIONS or groups < 2 or n - groups < LEAST_REPETITIONS:
        return Ceiling(missing, missing.copy(), False)
    mean = np.zeros((groups, t))
    np.add.at(mean, group, Y)
    mean /= size[:, None]
    within = ((Y - mean[group]) ** 2).sum(axis=0) / (n - groups)
    between = (size[:, None] * (mean - Y.mean(axis=0)) ** 2).sum(axis=0) / (groups - 1)
    effective = (n - (size**2).sum() / n) / (groups - 1)
    signal = (between - within) / effective
    constant = np.ptp(Y, axis=0) == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        explainable = np.where(constant, np.nan, signal / (signal + within))
    return Ceiling(np.sqrt(np.maximum(explainable, 0)), explainable, True)
