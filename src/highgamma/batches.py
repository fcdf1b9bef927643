"""How many layers of a model one fitting job takes, so that a job is worth its start-up.

The graph is made before any recording is opened, so the work is estimated from the configuration
and the catalogue alone, for a recording of ordinary size. Who else takes part, or what else is
fitted, changes no batch, and so no file's name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

#: An ordinary recording: words, frames (five minutes of 10 ms steps), electrodes.
WORDS, FRAMES, ELECTRODES = 100, 30_000, 128
#: Operations of one core in a second; docs/engine.md has the measurements behind it.
RATE = 6e10
#: What one job should take, in seconds: long beside a cluster's queue, short beside its limits.
WORTHWHILE = 600.0
#: Operations of a layer's null below which penalties are chosen anew by themselves.
_CHOOSING_LIMIT = 2e11
#: Seconds of an elastic net's fit by itself, and operations by the square of its features.
_ELASTIC_NET_FIT, _ELASTIC_NET_SQUARE = 6e-5, 570


def layer_seconds(settings: Mapping[str, Any], *, width: int) -> float:
    """About how long one core fits one layer: the engine's operations over its rate.

    A pass over the data, a decomposition of each training set (of an outer fold, or of two folds
    left out), a solution for each penalty and electrode, and the null.

    Parameters
    ----------
    settings
        The analysis: unit, features, components, estimator, alphas, alpha, split, folds, lags,
        lag_step, lag_mode, permutations, null_penalties.
    width
        Number of features of the layer.
    """
    words = settings["unit"] == "word"
    samples = WORDS if words else FRAMES
    lags = 1
    if settings["lags"] is not None:
        first, last = settings["lags"]
        lags = 1 + round((last - first) / settings["lag_step"])
    curve = settings["lag_mode"] == "curve"
    features = width * (1 if curve else lags)
    rank = min(features, samples)
    held_out = ("leave-one-word-out", "word")
    folds = samples if words and settings["split"] in held_out else settings["folds"]
    penalties = 1 if settings["alpha"] is not None else len(settings["alphas"])
    sets = folds if penalties == 1 else folds * (folds + 1) / 2
    penalty = 2 * rank * ELECTRODES  # a product with a vector for each electrode
    fitting = 2 * samples * features * rank + sets * rank**2 * (8 * rank)
    surrogates = settings["permutations"]
    if settings["estimator"] == "elastic-net":
        solving = ELECTRODES * (_ELASTIC_NET_FIT * RATE + _ELASTIC_NET_SQUARE * rank**2)
        # With a fixed penalty the last layer alone has surrogates.
        fitting += sets * penalties * solving * (1 if penalties == 1 else 1 + surrogates)
        return float((lags if curve else 1) * fitting / RATE)
    fitting += sets * penalties * rank * penalty
    kept = surrogates * samples * penalty
    anew = surrogates * sets * penalties * penalty * (1 if rank == samples else 3 * rank)
    way = settings["null_penalties"]
    chosen = penalties > 1 and (way == "chosen" or (way == "auto" and anew < _CHOOSING_LIMIT))
    return float((lags if curve else 1) * (fitting + (anew if chosen else kept)) / RATE)


def layers_per_job(settings: Mapping[str, Any], *, width: int, layers: int) -> int:
    """How many of `layers` layers make a job of about ten minutes, in jobs of equal size."""
    most = max(1, int(WORTHWHILE / layer_seconds(settings, width=width)))
    return math.ceil(layers / math.ceil(layers / most))


def batches(layers: Sequence[int], *, size: int) -> list[list[int]]:
    """Ascending layers as runs of consecutive numbers, `size` at most in each; 0 for no limit."""
    found = [[layers[0]]]
    for layer in layers[1:]:
        if layer == found[-1][-1] + 1 and (size == 0 or len(found[-1]) < size):
            found[-1].append(layer)
        else:
            found.append([layer])
    return found
