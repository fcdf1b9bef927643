"""Storing embeddings: layer by layer, in chunks, as they come.

A chunk holds some samples of one layer, so reading one layer costs one layer, and a model's output
for a long recording is never in memory as a whole. Values are rounded to as many significant bits
as `digits` significant decimal digits need (the attribute of the variable says how many), which
makes them compress; 4 digits keep each value to 5e-5 of itself.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma import store
from highgamma.embeddings.stream import Embeddings, Float32Array
from highgamma.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

logger = logging.getLogger("highgamma")

_CHUNK_BYTES = 2 << 20
#: Bits of a float32's mantissa, the leading one not counted.
_MANTISSA = 23
_UNITS = {"time": "s", "segment": "1", "word_index": "1"}
_LONG_NAMES = {
    "time": "centre of the frame",
    "segment": "number of the recording",
    "word_index": "row of the words table",
    "word": "word as shown",
}


def as_dataset(embeddings: Embeddings) -> xr.Dataset:
    """Return all layers in memory: `embedding(layer, sample, feature)` and its coordinates."""
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
    writers: int = 0,
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
    writers
        1 writes in a thread of its own while the next block is computed, and holds one block more;
        only for blocks whose making touches no HDF5 file, for that library knows one thread.
    """
    import netCDF4

    n, width = embeddings.n_samples, embeddings.width
    chunk = int(np.clip(_CHUNK_BYTES // (4 * max(width, 1)), 1, max(n, 1)))
    with (
        store.written_sealed(path) as temporary,
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
        bits = significant_bits(digits)
        rounding: dict[str, Any] = (
            {"significant_digits": bits, "quantize_mode": "BitRound"} if bits < _MANTISSA else {}
        )
        variable = file.createVariable(
            "embedding",
            "f4",
            ("layer", "sample", "feature"),
            chunksizes=(1, chunk, max(width, 1)),
            zlib=True,
            complevel=1,
            shuffle=True,
            fletcher32=True,
            fill_value=False,
            **rounding,
        )
        variable.setncatts({"coordinates": " ".join(embeddings.coordinates), "units": "1"})
        # A layer's chunk is written once, whole; the cache needs to hold no more than that.
        variable.set_var_chunk_cache(2 * _CHUNK_BYTES, 7, 1.0)
        with _writer(writers) as put:
            filling = _Filling(variable, n=n, chunk=chunk)
            given = 0
            for block in embeddings.blocks:
                given += block.shape[1]
                if given > n:
                    break
                put(partial(filling.add, block))
            put(filling.end)
        if given != n:
            raise InputError(
                f"the model gave {given} samples{' or more' if given > n else ''} where {n} were "
                "expected",
                where=path,
                remedy="report this; it is a fault of the software",
            )
        file.setncatts(
            {
                **store.provenance("embeddings", parameters),
                "unit": embeddings.unit,
                **embeddings.attributes,
                **attributes,
                "n_layers": len(embeddings.layers),
                "width": width,
                "n_missing": filling.missing,
            }
        )
    return filling.missing


def significant_bits(digits: int) -> int:
    """Return the bits of the mantissa that keep `digits` decimal digits; all of them for 0.

    Rounding to n bits keeps a value to 2^−(n+1) of itself, which is at most 10^−digits / 2 for
    n = ⌈digits · log2 10⌉. NetCDF's granular rounding by decimal digits promises ten times less
    and takes longer for files of about the same size.
    """
    return min(_MANTISSA, math.ceil(digits * math.log2(10))) if digits else _MANTISSA


def _write_column(file: Any, name: str, column: np.ndarray[Any, Any]) -> None:
    if column.dtype.kind in "OU":
        variable = file.createVariable(name, str, ("sample",))
        variable[:] = column.astype(object)
    else:
        variable = file.createVariable(
            name,
            column.dtype.str[1:],
            ("sample",),
            zlib=True,
            fletcher32=True,
            complevel=1,
            fill_value=False,
        )
        variable[:] = column
        variable.units = _UNITS.get(name, "1")
    variable.long_name = _LONG_NAMES.get(name, name)


@contextmanager
def _writer(writers: int) -> Iterator[Callable[[Callable[[], None]], None]]:
    """A function that runs pieces of work in order: at once, or one at a time in a thread."""
    if not writers:
        yield lambda work: work()
        return
    with ThreadPoolExecutor(max_workers=1) as pool:
        pending: list[Future[None]] = []

        def put(work: Callable[[], None]) -> None:
            # The piece before must be done, so that no more than one is held; its errors are ours.
            while pending:
                pending.pop().result()
            pending.append(pool.submit(work))

        yield put
        for last in pending:
            last.result()


class _Filling:
    """A variable (layer, sample, feature) that is filled in whole chunks, block by block.

    Everything that a block costs besides its making happens here, so that a thread can do it.
    """

    def __init__(self, variable: Any, *, n: int, chunk: int) -> None:
        self._variable, self._n, self._chunk = variable, n, chunk
        self._waiting: list[Float32Array] = []
        self.written = self.missing = 0

    def add(self, block: Float32Array) -> None:
        """Take the next samples, and write what fills chunks."""
        absent = _not_finite(block)
        if absent.any():
            block = block.copy()
            block[:, absent] = np.nan
            self.missing += int(absent.sum())
        self._waiting.append(block)
        held = sum(waiting.shape[1] for waiting in self._waiting)
        if held >= self._chunk:
            self._write(held - held % self._chunk)
            if self._n > 4 * self._chunk:
                logger.info("%d of %d samples", self.written, self._n)

    def end(self) -> None:
        """Write what is left."""
        self._write(sum(block.shape[1] for block in self._waiting))

    def _write(self, upto: int) -> None:
        if not upto:
            return
        joined = np.concatenate(self._waiting, axis=1)
        for number, layer in enumerate(joined):
            self._variable[number, self.written : self.written + upto, :] = layer[:upto]
        self.written += upto
        self._waiting = [joined[:, upto:]]


def _not_finite(block: Float32Array) -> NDArray[np.bool_]:
    """Which samples hold a value that is not finite, in any layer.

    It would poison every fit; such a sample is missing whole. A sum is finite only where all its
    terms are, so that most samples are cleared by their sums alone.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        absent: NDArray[np.bool_] = ~np.isfinite(block.sum(axis=(0, 2)))
    # Finite values may still add up to more than a float32 holds.
    absent[absent] = ~np.isfinite(block[:, absent]).all(axis=(0, 2))
    return absent
