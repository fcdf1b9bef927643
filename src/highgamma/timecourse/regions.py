"""The mean time course of each region, over participants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from highgamma.timecourse.courses import Course

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RegionCourse:
    """r over time of one region: tanh of the mean z over electrodes.

    Attributes
    ----------
    region
        Name of the region.
    n_participants, n_electrodes
        Numbers behind the mean.
    time
        (time,) s from the onset.
    r, low, high
        (time,) mean and its pointwise 95 % interval.
    """

    region: str
    n_participants: int
    n_electrodes: int
    time: FloatArray
    r: FloatArray
    low: FloatArray
    high: FloatArray


def by_region(
    courses: Sequence[Course],
    *,
    regions: Mapping[tuple[str, str], str],
    min_participants: int = 3,
    min_electrodes: int = 6,
) -> list[RegionCourse]:
    """Compute the mean time course of r in each region, with its interval over participants.

    Parameters
    ----------
    courses
        Time courses of one analysis and model, one for each participant, on the same times.
    regions
        Region by (participant, electrode); electrodes without a region are left out.
    min_participants, min_electrodes
        Least numbers for a region.

    Returns
    -------
    courses
        One for each region, those with most electrodes first.
    """
    from highgamma import group

    members_of: dict[str, list[tuple[str, FloatArray]]] = {}
    for course in courses:
        r = course.values["r"].transpose("channel", "time").values
        for name, curve in zip(course.values["channel"].values, r, strict=True):
            region = regions.get((course.participant, str(name)))
            if region is not None and np.isfinite(curve).all():
                members_of.setdefault(region, []).append((course.participant, curve))
    regional = []
    for region, members in members_of.items():
        who = np.array([participant for participant, _ in members])
        if len(members) < min_electrodes or len(set(who.tolist())) < min_participants:
            continue
        z = group.fisher_z(np.stack([curve for _, curve in members]))
        means = group.participant_means(z, who)
        low, high = (np.tanh(edge) for edge in group.t_interval(means))
        regional.append(
            RegionCourse(
                region=region,
                n_participants=len(set(who.tolist())),
                n_electrodes=len(members),
                time=courses[0].values["time"].values.astype(float),
                r=np.tanh(means.mean(axis=0)),
                low=low,
                high=high,
            )
        )
    return sorted(regional, key=lambda c: (-c.n_electrodes, c.region))
