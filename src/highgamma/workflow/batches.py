"""How many layers of a model one fitting job takes, so that a job is worth its start-up.

The graph is made before any recording is opened, so the work is estimated from the configuration
and the catalogue alone, for a recording of ordinary size. Who else takes part, or what else is
fitted, changes no batch, and so no file's name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from highgamma.encoding.analysis import analysis_from
from highgamma.encoding.cost import FitSize, total_seconds

#: An ordinary recording: words, frames (five minutes of 10 ms steps), electrodes.
WORDS, FRAMES, ELECTRODES = 100, 30_000, 128
#: What one job should take, in seconds: long beside a cluster's queue, short beside its limits.
WORTHWHILE = 600.0


def layer_seconds(settings: Mapping[str, Any], *, width: int, layers: int = 1) -> float:
    """Return about how long one core fits one layer of a model of ordinary size.

    Parameters
    ----------
    settings
        The settings of the fit.
    width
        Features of the layer.
    layers
        Layers of the model.
    """
    analysis = analysis_from(settings)
    size = FitSize.of_analysis(
        analysis,
        samples=WORDS if analysis.unit == "word" else FRAMES,
        width=width,
        electrodes=ELECTRODES,
        words=WORDS,
    )
    return total_seconds(analysis, size, model_layers=layers)


def layers_per_job(settings: Mapping[str, Any], *, width: int, layers: int) -> int:
    """How many of `layers` layers make a job of about ten minutes, in jobs of equal size."""
    most = max(1, int(WORTHWHILE / layer_seconds(settings, width=width, layers=layers)))
    return math.ceil(layers / math.ceil(layers / most))


def batches(layers: Sequence[int], *, size: int) -> list[list[int]]:
    """Ascending layers as runs of consecutive numbers, `size` at most in each; 0 for no limit."""
    runs = [[layers[0]]]
    for layer in layers[1:]:
        if layer == runs[-1][-1] + 1 and (size == 0 or len(runs[-1]) < size):
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return runs
