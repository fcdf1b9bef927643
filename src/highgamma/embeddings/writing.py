"""Storing embeddings: layer by layer, in chunks, as they come.

A chunk holds some samples of one layer, so reading one layer costs one layer, and a model's output
for a long recording is never in memory as a whole. Values are rounded to `digits` significant
decimal digits (granular bit-rounding, as the attribute of the variable says), which makes them
compress; 4 digits keep each value to 5e-5 of itself.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma import store
from highgamma.embeddings.stream import Embeddings, Float32Array
from highgamma.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

logger = logging.getLogger("highgamma")

_CHUNK_BYTES = 2 << 20
_UNITS = {"time": "s", "segment": "1", "word_index": "1"}
_LONG_NAMES = {
    "time": "centre of the frame",
    "segment": "number of the recording",
    "word_index": "row of the words table",
    "word": "word as shown",
}


def as_dataset(embeddings: Embeddings) -> xr.Dataset:
    """All layers in memory: `embedding(layer, sample, feature)` with its coordinates."""
    import xarray as xr

    blocks = list(embeddings.blocks)
    shape = (len(embeddings.layers), 0, embeddings.width)
    values = np.concatenate(blocks, axis=1) if blocks else np.empty(shape, np.float32)
    coordinates: dict[str, Any] = {
        name: ("sample", column) for name, column in embeddings.coordinates.items()
    }
    return xr.Dataset(
        {"embedding": (("layer", "sample", "feature"), values)},
        coords={"layer": np.asarray(embeddings.layers, dtype=np.int16), **coordinates},
        attrs={"unit": embeddings.unit, **embeddings.attributes},
    )


def write_embeddings(
    embeddings: Embeddings,
    path: str | Path,
    *,
    parameters: Mapping[str, Any],
    attributes: Mapping[str, str | int | float],
    digits: int = 4,
) -> int:
    """Write embeddings as NetCDF while they are computed; returns the number of missing samples.

    Parameters
    ----------
    embeddings
        What a model gives; its blocks are taken one at a time.
    path
        The file; it appears when it is whole.
    parameters, attributes
        What made the file; kept in its attributes.
    digits
        Significant decimal digits kept; 0 keeps all.
    """
    import netCDF4

    n, width = embeddings.n_samples, embeddings.width
    chunk = int(np.clip(_CHUNK_BYTES // (4 * max(width, 1)), 1, max(n, 1)))
    with (
        store.written_whole(path) as temporary,
        netCDF4.Dataset(temporary, "w", format="NETCDF4") as file,
    ):
        file.createDimension("layer", len(embeddings.layers))
        file.createDimension("sample", n)
        file.createDimension("feature", width)
        layer = file.createVariable("layer", "i2", ("layer",))
        layer.setncatts({"units": "1", "long_name": "0 enters the first block, the last leaves it"})
        layer[:] = embeddings.layers
        for name, column in embeddings.coordinates.items():
            _write_column(file, name, column)
        rounding: dict[str, Any] = (
            {"significant_digits": digits, "quantize_mode": "GranularBitRound"} if digits else {}
        )
        variable = file.createVariable(
            "embedding",
            "f4",
            ("layer", "sample", "feature"),
            chunksizes=(1, chunk, max(width, 1)),
            zlib=True,
            complevel=1,
            shuffle=True,
            fill_value=False,
            **rounding,
        )
        variable.setncatts({"coordinates": " ".join(embeddings.coordinates), "units": "1"})
        # A layer's chunk is written once, whole; the cache needs to hold no more than that.
        variable.set_var_chunk_cache(2 * _CHUNK_BYTES, 7, 1.0)
        missing = _fill(variable, embeddings, chunk=chunk, where=path)
        file.setncatts(
            {
                **store.provenance("embeddings", parameters),
                "unit": embeddings.unit,
                **embeddings.attributes,
                **attributes,
                "n_layers": len(embeddings.layers),
                "width": width,
                "n_missing": missing,
            }
        )
    return missing


def _write_column(file: Any, name: str, column: np.ndarray[Any, Any]) -> None:
    if column.dtype.kind in "OU":
        variable = file.createVariable(name, str, ("sample",))
        variable[:] = column.astype(object)
    else:
        variable = file.createVariable(
            name, column.dtype.str[1:], ("sample",), zlib=True, complevel=1, fill_value=False
        )
        variable[:] = column
        variable.units = _UNITS.get(name, "1")
    variable.long_name = _LONG_NAMES.get(name, name)


def _fill(variable: Any, embeddings: Embeddings, *, chunk: int, where: str | Path) -> int:
    """Write the blocks in whole chunks; count the samples that are missing."""
    waiting: list[Float32Array] = []
    held = written = missing = 0
    n = embeddings.n_samples

    def flush(upto: int) -> None:
        nonlocal waiting, held, written
        joined = np.concatenate(waiting, axis=1) if len(waiting) > 1 else waiting[0]
        for number in range(joined.shape[0]):
            variable[number, written : written + upto, :] = joined[number, :upto]
        written += upto
        waiting, held = [joined[:, upto:]], held - upto

    for block in embeddings.blocks:
        # A value that is not finite would poison every fit; a missing sample is missing whole.
        absent = ~np.isfinite(block).all(axis=(0, 2))
        if absent.any():
            block = block.copy()
            block[:, absent] = np.nan
            missing += int(absent.sum())
        waiting.append(block)
        held += block.shape[1]
        if held >= chunk:
            flush(held - held % chunk)
            if n > 4 * chunk:
                logger.info("%d of %d samples", written, n)
    if held:
        flush(held)
    if written != n:
        raise InputError(
            f"the model gave {written} samples where {n} were expected",
            where=where,
            remedy="report this; it is a fault of the software",
        )
    return missing
