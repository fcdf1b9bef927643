"""Neurodata Without Borders files (NWB 2), written with h5py.

pynwb gives every object a random identifier and offers no public way to set it, so its files
differ on every call. These are written directly, in the structure that NWB's schema asks for,
with identifiers derived from the file's own, so that the same content gives the same bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highgamma import store

NWB_VERSION = "2.7.0"
PIECE = 1 << 18  # time stamps written at once
NAMESPACE = uuid.UUID("6f6f4c4e-3c0f-5d8b-9f59-4a5d2f0b7a11")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series: values over time, the first at `start` s of the file's clock.

    Attributes
    ----------
    name, description, unit
        What the file calls it.
    data
        (sample,) or (sample, channel), or one string per sample.
    rate
        Samples per second; the time of each sample is written, not the rate.
    start
        Time of the first sample, s.
    """

    name: str
    description: str
    unit: str
    data: NDArray[Any] | Sequence[str]
    start: float
    rate: float


def write_nwb(
    path: str | PathLike[str],
    series: Sequence[Series],
    *,
    identifier: str,
    description: str,
    started: str,
    subject: str,
    species: str,
) -> None:
    """Write series under `acquisition` of a new NWB file.

    Parameters
    ----------
    identifier
        The file's identifier; those of its objects are derived from it.
    started
        Start of the session, ISO 8601 with time zone.
    subject, species
        Identifier and Latin name of who was recorded.
    """
    import h5py

    with (
        store.written_whole(path) as temporary,
        h5py.File(temporary, "w", libver=("v108", "v108")) as nwb,
    ):
        _typed(nwb, "NWBFile", identifier, "")
        nwb.attrs["nwb_version"] = NWB_VERSION
        text = h5py.string_dtype()
        nwb.create_dataset("file_create_date", data=[started], dtype=text, maxshape=(None,))
        for name, value in (
            ("identifier", identifier),
            ("session_description", description),
            ("session_start_time", started),
            ("timestamps_reference_time", started),
        ):
            nwb.create_dataset(name, data=value, dtype=text)
        for name in ("analysis", "processing", "stimulus/presentation", "stimulus/templates"):
            nwb.create_group(name)
        who = nwb.create_group("general/subject")
        _typed(who, "Subject", identifier, "subject")
        for name, value in (("species", species), ("subject_id", subject)):
            who.create_dataset(name, data=value, dtype=text)
        acquisition = nwb.create_group("acquisition")
        for item in series:
            _write_series(acquisition, item, identifier)


def _write_series(acquisition: Any, series: Series, identifier: str) -> None:
    import h5py

    group = acquisition.create_group(series.name)
    _typed(group, "TimeSeries", identifier, series.name)
    group.attrs["description"] = series.description
    group.attrs["comments"] = "simulated"
    packed: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    n_samples = len(series.data)
    if isinstance(series.data, np.ndarray):
        # A chunk holds one channel's stretch: channels are read and filtered one by one.
        chunk = (min(1 << 15, n_samples),) + (1,) * (series.data.ndim - 1)
        data = group.create_dataset("data", data=series.data, chunks=chunk, **packed)
    else:
        # One array object per different string, written by reference: most samples are silent.
        strings = np.array(series.data, dtype=object)
        data = group.create_dataset(
            "data", data=strings, dtype=h5py.string_dtype(), chunks=(min(1 << 15, n_samples),)
        )
    data.attrs["unit"] = series.unit
    data.attrs["conversion"] = 1.0
    data.attrs["resolution"] = -1.0
    data.attrs["offset"] = 0.0
    stamps = group.create_dataset(
        "timestamps", (n_samples,), "f8", chunks=(min(1 << 15, n_samples),), **packed
    )
    stamps.attrs["unit"] = "seconds"
    stamps.attrs["interval"] = np.int32(1)
    for first in range(0, n_samples, PIECE):
        last = min(first + PIECE, n_samples)
        stamps[first:last] = series.start + np.arange(first, last) / series.rate


def _typed(group: Any, neurodata_type: str, identifier: str, name: str) -> None:
    group.attrs["namespace"] = "core"
    group.attrs["neurodata_type"] = neurodata_type
    group.attrs["object_id"] = str(uuid.uuid5(NAMESPACE, f"{identifier}/{name}"))
