"""One look at a recording before it is filtered: missing samples, flat channels, straight lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from highgamma.errors import InputError
from highgamma.neural.artefacts import ArtefactFinder, Found
from highgamma.neural.settings import ArtefactSettings
from highgamma.recording.reader import Reader

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Survey:
    """What a segment holds.

    Attributes
    ----------
    flat
        (channel,); whether all samples have one value.
    trend
        (2, channel), the least-squares line: value at sample 0, µV, and slope, µV a sample.
    artefacts
        What was found in each channel; empty if nothing was looked for.
    """

    flat: NDArray[np.bool_]
    trend: FloatArray
    artefacts: tuple[Found, ...] = ()


def survey(
    recording: Reader, *, artefacts: ArtefactSettings | None = None, piece: int = 2**21
) -> Survey:
    """Look at every sample of a segment once, `piece` values at a time.

    Artefacts are found in the same pass, if there are settings for them.

    The line is the closed form `slope = Σ (t - t̄) x / Σ (t - t̄)²`,
    `value = x̄ - slope t̄`. A channel is flat where all samples equal the first.

    Raises
    ------
    InputError
        If samples are missing (NaN) or infinite.
    """
    n_channels, n_samples = len(recording.names), recording.n_samples
    middle = (n_samples - 1) / 2
    sums = np.zeros((2, n_channels))
    missing = np.zeros(n_channels, np.int64)
    flat = np.ones(n_channels, bool)
    first: FloatArray | None = None
    step = max(1, piece // max(1, n_channels))
    finder = None
    if artefacts is not None:
        finder = ArtefactFinder(recording, artefacts)
        step = finder.rows(step)
    for start in range(0, n_samples, step):
        stop = min(start + step, n_samples)
        voltage = recording.read(start, stop)
        first = voltage[0].copy() if first is None else first
        # Only channels that have not moved so far need to be looked at again.
        still = np.flatnonzero(flat)
        flat[still] = (voltage[:, still] == first[still]).all(axis=0)
        weights = np.stack([np.ones(stop - start), np.arange(start, stop) - middle])
        moments = weights @ voltage
        if not np.isfinite(moments).all():
            missing += (~np.isfinite(voltage)).sum(axis=0)
        sums += moments
        if finder is not None and not missing.any():
            finder.look(start, voltage)
    if missing.any():
        worst = int(missing.argmax())
        others = int((missing > 0).sum()) - 1
        also = f" (and {others} more channel(s))" if others else ""
        raise InputError(
            f"channel {recording.names[worst]!r} has {missing[worst]} missing (NaN) or infinite "
            f"samples of {n_samples}{also}",
            where=recording.where,
            expected="a number for every sample: a filter spreads one missing sample over all",
            remedy="write status 'bad' for the channel in channels.tsv, so that it is left out, "
            "or fill the gap in the recording",
        )
    # Σ (t - t̄)² of N consecutive numbers
    slope = sums[1] / max(1.0, n_samples * (n_samples**2 - 1) / 12)
    value = sums[0] / n_samples - slope * middle
    found = () if finder is None else finder.found()
    return Survey(flat=flat, trend=np.stack([value, slope]), artefacts=found)
