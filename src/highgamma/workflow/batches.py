"""The number of layers of a model in one fitting job, chosen to amortise the job's start-up.

The graph is built before any recording is opened, so the work is estimated from the configuration
and the catalogue, for a recording of typical size. Batches, and thus file names, do not depend on
the other participants and fits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from highgamma.encoding.analysis import analysis_from
from highgamma.encoding.cost import FitSize, total_seconds

#: A typical recording: words, frames (five minutes of 10 ms steps), electrodes.
WORDS, FRAMES, ELECTRODES = 100, 30_000, 128
#: Intended length of a job, in seconds: long compared with the time in a cluster's queue, short
#: compared with its limits.
WORTHWHILE = 600.0


def layer_seconds(settings: Mapping[str, Any], *, width: int, layers: int = 1) -> float:
    """Return the approximate time (s) in which one core fits one layer of a model.

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
    """Return the number of layers per job, for jobs of about ten minutes and of equal size.

    Parameters
    ----------
    settings
        The settings of the fit.
    width
        Features of each layer.
    layers
        Layers to be fitted.
    """
    most = max(1, int(WORTHWHILE / layer_seconds(settings, width=width, layers=layers)))
    return math.ceil(layers / math.ceil(layers / most))


def batches(layers: Sequence[int], *, size: int) -> list[list[int]]:
    """Divide ascending layers into runs of consecutive numbers.

    Parameters
    ----------
    layers
        Numbers of the layers, ascending.
    size
        Largest number of layers in a run; 0 for no limit.
    """
    runs = [[layers[0]]]
    for layer in layers[1:]:
        if layer == runs[-1][-1] + 1 and (size == 0 or len(runs[-1]) < size):
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return runs
