"""Which samples and channels can be fitted at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from highgamma.encoding.lags import finite_delayed, reachable
from highgamma.encoding.samples import Samples
from highgamma.encoding.splits import BoolArray, IntArray
from highgamma.encoding.statistics import Real
from highgamma.errors import InputError


@dataclass(frozen=True, slots=True)
class Usable:
    """The samples and channels that are fitted, and how many were left out.

    Attributes
    ----------
    kept
        Indices of the samples.
    live
        (t,) mask of the channels with finite targets.
    counts
        Numbers of samples that were left out, by reason.
    """

    kept: IntArray
    live: BoolArray
    counts: dict[str, int]


def usable_samples(samples: Samples, features: Real, delays: Sequence[int]) -> Usable:
    """Return the samples with features at all delays and targets in every channel.

    A channel without targets in more than half of the otherwise usable samples is excluded (its
    results are missing), so that the other channels keep these samples.
    """
    finite: BoolArray = np.asarray(np.isfinite(features).all(axis=1))
    inside = reachable(samples.rows.segment, delays)
    has_features = finite_delayed(finite, delays)
    mask = samples.usable & inside & has_features
    if not mask.any():
        raise InputError(
            "no sample has both features and a signal",
            expected="embeddings that cover the recording's valid part",
            remedy="check that the model's embeddings and the recording belong together",
        )
    missing = ~np.isfinite(samples.targets)
    live = missing[mask].mean(axis=0) <= 0.5
    if not live.any():
        raise InputError(
            "no channel has a signal in the usable samples", remedy="check the recording"
        )
    has_target = ~missing[:, live].any(axis=1)
    counts = {
        "samples": len(mask),
        "samples_invalid": int((~samples.usable).sum()),
        "samples_beyond_lags": int((samples.usable & ~inside).sum()),
        "samples_without_features": int((samples.usable & inside & ~has_features).sum()),
        "samples_without_target": int((mask & ~has_target).sum()),
        "channels_without_target": int((~live).sum()),
    }
    kept = np.flatnonzero(mask & has_target)
    # Rows in time order make contiguous folds and circular shifts runs of neighbours.
    order = np.lexsort((samples.rows.start[kept], samples.rows.segment[kept]))
    return Usable(kept[order], live, counts)
