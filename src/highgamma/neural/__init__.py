"""High-gamma and other band-limited amplitude: filter, envelope, frames, reference, scale.

`filters` holds the study's chain (`method: exact`), `spectral` the same chain in one pass through
the frequency domain (`method: fft`), `references` the reference schemes, `artefacts` what is left
out, `spans` how, `frames` the windows; `envelopes` joins them, one block of electrodes after
another. This module writes the stage's file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma.neural.artefacts import KINDS
from highgamma.neural.electrodes import Electrodes, read_electrodes
from highgamma.neural.envelopes import (
    PreparedRecordings,
    envelope_blocks,
    frame_blocks,
    frames_of,
    needs_statistics,
    prepare,
    rereference,
    scaled,
    valid_frames,
)
from highgamma.neural.references import REFERENCES
from highgamma.neural.settings import ArtefactSettings, NeuralSettings, neural_settings
from highgamma.neural.spans import Mask
from highgamma.recording.reader import Reader

if TYPE_CHECKING:
    import xarray as xr


__all__ = [
    "KINDS",
    "REFERENCES",
    "ArtefactSettings",
    "Electrodes",
    "HighGamma",
    "Mask",
    "NeuralSettings",
    "PreparedRecordings",
    "channel_coordinates",
    "envelope_blocks",
    "frames_of",
    "high_gamma",
    "needs_statistics",
    "neural_settings",
    "prepare",
    "read_electrodes",
    "rereference",
    "scaled",
    "valid_frames",
    "write_frames",
]

FloatArray = NDArray[np.float64]

CHUNK = (4096, 16)
"""Frames and electrodes of one chunk of the file."""


@dataclass(frozen=True, slots=True)
class HighGamma:
    """Frames of a participant, all segments one after another.

    Attributes
    ----------
    prepared, settings
        What they are computed from.
    time
        (frame,), s from the start of the frame's segment.
    segment
        (frame,), index of the recording.
    valid
        (frame,), 0 within the edge of a segment, else 1.
    blocks
        Frames, electrodes and their values (frame, electrode), computed when they are iterated
        over; NaN where artefacts mask too much of a frame.
    """

    prepared: PreparedRecordings
    settings: NeuralSettings
    time: FloatArray
    segment: NDArray[np.int16]
    valid: NDArray[np.int8]
    blocks: Iterator[tuple[slice, slice, FloatArray]]

    def values(self) -> FloatArray:
        """Compute all electrodes at once: (frame, electrode)."""
        values = np.empty((len(self.time), len(self.prepared.montage)))
        for frames, electrodes, block in self.blocks:
            values[frames, electrodes] = block
        return values


def high_gamma(
    recordings: Sequence[Reader],
    electrodes: Electrodes,
    settings: NeuralSettings,
    *,
    threads: int = 1,
) -> HighGamma:
    """Prepare the amplitude in a band, frame by frame: the stage's computation.

    Parameters
    ----------
    recordings
        The electrodes' voltages, µV, one reader for each segment.
    electrodes
        The electrodes.
    settings
        Settings of the signal.
    threads
        For the transforms of the fft method.

    Raises
    ------
    InputError
        See `prepare`.
    """
    prepared = prepare(recordings, electrodes, settings)
    windows = frames_of(prepared, settings)
    valid = np.concatenate(valid_frames(prepared, windows, settings))
    times = [w.times(r.rate) for r, w in zip(prepared.recordings, windows, strict=True)]
    segments = [np.full(len(w), i, np.int16) for i, w in enumerate(windows)]
    return HighGamma(
        prepared=prepared,
        settings=settings,
        time=np.concatenate(times),
        segment=np.concatenate(segments),
        valid=valid.astype(np.int8),
        blocks=frame_blocks(prepared, settings, windows, threads=threads),
    )


def channel_coordinates(prepared: PreparedRecordings) -> dict[str, Any]:
    """Return the coordinates along `channel`: name, x, y, z in mm, region, flat."""
    montage = prepared.montage
    place = {
        axis: ("channel", montage.positions[:, i], {"units": "mm"}) for i, axis in enumerate("xyz")
    }
    return {
        "channel": ("channel", np.array(montage.names, dtype=object)),
        **place,
        "region": ("channel", np.array([r or "n/a" for r in prepared.regions], dtype=object)),
        "coordinate_space": (
            "channel",
            np.array([s or "n/a" for s in prepared.spaces], dtype=object),
        ),
        "flat": (
            "channel",
            montage.flat.astype(np.int8),
            {"long_name": "1: the channel holds one value only"},
        ),
    }


def frame_coordinates(frames: HighGamma) -> xr.Dataset:
    """Return everything of the stage's file except the frames' values."""
    import xarray as xr

    prepared = frames.prepared
    left_out = {"units": "1", "long_name": "share of the samples that artefacts mask"}
    counts = {"long_name": "artefacts found in the recorded channels"}
    return xr.Dataset(
        {
            "masked_share": ("channel", prepared.masked_share, left_out),
            "artefacts": (("kind", "channel"), prepared.artefacts.astype(np.int32), counts),
        },
        coords={
            "kind": ("kind", np.array(list(KINDS), dtype=object)),
            "time": (
                "time",
                frames.time,
                {"units": "s", "long_name": "centre of the window, from the segment's start"},
            ),
            "segment": ("time", frames.segment),
            "valid": (
                "time",
                frames.valid,
                {"long_name": "0: within the edge of a segment", "edge_s": frames.settings.edge},
            ),
            **channel_coordinates(prepared),
        },
        attrs={
            "rate_hz": 1 / frames.settings.shift,
            "masked_share": float(prepared.masked_share.mean()),
            "artefact_channels": int((prepared.masked_share > 0).sum()),
        },
    )


def write_frames(
    frames: HighGamma, path: str | PathLike[str], *, name: str, parameters: Mapping[str, Any]
) -> None:
    """Write the frames as NetCDF, block by block; memory never holds all of them.

    Parameters
    ----------
    frames
        From `high_gamma`.
    path
        The file to write.
    name
        Name of the signal, for example `high-gamma`; the variable is then `high_gamma`.
    parameters
        What else the file depends on, for its attributes.
    """
    import netCDF4

    from highgamma import store

    skeleton = frame_coordinates(frames)
    attributes = store.provenance("neural", {**asdict(frames.settings), **parameters})
    skeleton = skeleton.assign_attrs(dict(skeleton.attrs) | attributes | {"signal": name})
    # Damage to the time is damage, too; single bytes and names are too short for a chunk.
    encoding = {
        k: {"_FillValue": None, "fletcher32": v.nbytes >= store.CHECKED_BYTES}
        for k, v in skeleton.variables.items()
        if v.dtype != object
    }
    n_frames, n_electrodes = len(frames.time), len(frames.prepared.montage)
    chunk = (max(1, min(CHUNK[0], n_frames)), max(1, min(CHUNK[1], n_electrodes)))
    with store.written_sealed(path) as temporary:
        skeleton.to_netcdf(temporary, engine="netcdf4", format="NETCDF4", encoding=encoding)
        with netCDF4.Dataset(temporary, "a") as file:
            # Noise in 64 bits does not compress; the chunks serve the reading of few channels.
            values = file.createVariable(
                name.replace("-", "_"),
                "f8",
                ("time", "channel"),
                chunksizes=chunk,
                # A checksum on every chunk: damage is found when the chunk is read.
                fletcher32=True,
                fill_value=False,
            )
            values.units = frames.settings.units
            values.coordinates = "segment valid x y z region flat"
            # Blocks may end within a chunk: it waits in memory for the rest of its frames.
            row_of_chunks = 8 * chunk[0] * (n_electrodes + chunk[1])
            values.set_var_chunk_cache(2 * row_of_chunks, 521, 1.0)
            for rows, electrodes, block in frames.blocks:
                values[rows, electrodes] = block
