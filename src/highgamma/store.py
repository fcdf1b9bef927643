"""Files: written whole or not at all, the same bytes for the same content, read in pieces.

Every file of the workflow goes through this module. NetCDF files carry attributes that say what
made them; tables are tab-separated, with `n/a` for what is missing, as BIDS writes them.
"""

from __future__ import annotations

import errno
import glob
import json
import os
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage
from typing import TYPE_CHECKING, Any

from highgamma import __version__
from highgamma.errors import DamagedFileError, InputError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

MISSING = "n/a"

ROOM = 2**24
"""Bytes of free space below which a failed write is put down to a full disk."""


def parse_yaml(text: str) -> Any:
    """What a YAML text says, plain data only; by libyaml where it is there, ten times faster."""
    import yaml

    safe = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(text, Loader=safe)  # noqa: S506


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends well.

    Whatever happens inside the block, `path` is either what it was before or the whole new file.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The process id keeps two runs on one folder from writing into the same temporary file.
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    _clear_parts(target)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise _unwritable(target, error.strerror or str(error)) from error
    except RuntimeError as error:
        # The library of NetCDF does not say why; of a full disk it can be asked.
        if "HDF error" not in str(error) or disk_usage(target.parent).free > ROOM:
            raise
        raise _unwritable(target, os.strerror(errno.ENOSPC)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _unwritable(target: Path, reason: str) -> InputError:
    return InputError(
        f"cannot write the file: {reason}",
        where=target,
        expected="a folder that may be written to, with room for the file",
        remedy="check the folder's free space (df) and rights (ls -ld), then run again",
    )


def _clear_parts(target: Path) -> None:
    """Remove what killed processes left of a file that they were writing."""
    for part in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        process = part.name.split(".")[-2]
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            part.unlink(missing_ok=True)
        except (ValueError, PermissionError):
            continue


def provenance(stage: str, parameters: Mapping[str, Any]) -> dict[str, str]:
    """Attributes that say what made a file: stage, parameters (as JSON) and software version."""
    return {
        "stage": stage,
        "parameters": json.dumps(parameters, sort_keys=True, default=str),
        "software": f"highgamma {__version__}",
    }


def write_dataset(
    dataset: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    stage: str,
    parameters: Mapping[str, Any],
    chunks: Mapping[str, tuple[int, ...]] | None = None,
    compression: int = 1,
) -> None:
    """Write a data set as NetCDF-4, numeric variables of at least 1 kB compressed.

    Each of their chunks carries a checksum, so that damage is found when it is read.

    Parameters
    ----------
    dataset
        Named dimensions, coordinates with a `units` attribute.
    stage, parameters
        What made the file; kept in its attributes.
    chunks
        Chunk shape of each variable named.
    compression
        zlib level, 0 to 9; bytes are shuffled first.
    """
    encoding: dict[Hashable, dict[str, Any]] = {}
    for name, variable in dataset.variables.items():
        if variable.dtype.kind not in "fiu":
            continue
        settings: dict[str, Any] = {"_FillValue": None}
        if variable.nbytes >= 1024:
            settings |= {"zlib": compression > 0, "complevel": compression}
            settings |= {"shuffle": True, "fletcher32": True}
        if chunks and str(name) in chunks:
            settings["chunksizes"] = tuple(
                max(1, min(c, s)) for c, s in zip(chunks[str(name)], variable.shape, strict=True)
            )
        encoding[name] = settings
    whole = dataset.assign_attrs(dict(dataset.attrs) | provenance(stage, parameters))
    with written_whole(path) as temporary:
        whole.to_netcdf(temporary, engine="netcdf4", format="NETCDF4", encoding=encoding)


@contextmanager
def open_dataset(path: str | os.PathLike[str]) -> Iterator[xr.Dataset]:
    """Open a NetCDF file lazily: values are read when they are asked for."""
    import xarray as xr

    if not Path(path).is_file():
        raise InputError(
            "the file does not exist", where=path, remedy="run the workflow; it makes the file"
        )
    try:
        dataset = xr.open_dataset(path, engine="netcdf4", decode_times=False, cache=False)
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    with dataset:
        try:
            yield dataset
        except (OSError, RuntimeError) as error:
            # What netCDF4 says of a compressed piece that does not unpack.
            if "HDF error" not in str(error):
                raise
            raise _damaged(path, str(error)) from error


def _damaged(path: str | os.PathLike[str], reason: str) -> DamagedFileError:
    return DamagedFileError(
        f"the file is no readable NetCDF file: {reason}",
        where=path,
        expected="a file that this workflow wrote and nothing cut short or changed",
        remedy="delete the file and run again; the workflow makes it anew",
    )


def read_dataset(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a NetCDF file whole into memory."""
    with open_dataset(path) as dataset:
        return dataset.load()


def write_table(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a table as tab-separated text; missing values are `n/a`, numbers have 9 digits."""
    with written_whole(path) as temporary:
        table.to_csv(
            temporary, sep="\t", index=False, na_rep=MISSING, float_format="%.9g", encoding="utf-8"
        )


def read_table(path: str | os.PathLike[str], *, strings: tuple[str, ...] = ()) -> pd.DataFrame:
    """Read tab-separated text with `n/a` for missing values; a byte-order mark is passed over.

    Quotes have no meaning, as in BIDS. Columns named in `strings` are never read as numbers, so a
    word `10` stays a word and a word `null` is not missing (only `n/a` is).
    """
    import csv

    import pandas as pd

    try:
        return pd.read_csv(
            path,
            sep="\t",
            encoding="utf-8-sig",
            dtype=dict.fromkeys(strings, "object"),
            keep_default_na=False,
            na_values=[MISSING],
            quoting=csv.QUOTE_NONE,
        )
    except FileNotFoundError as error:
        raise InputError(
            "the table does not exist",
            where=path,
            remedy="check that the data set is complete",
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(
            f"the table cannot be read: {error}",
            where=path,
            expected="tab-separated columns under one header line, UTF-8",
            remedy="compare the file with the published one",
        ) from error


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, as hexadecimal digits."""
    import hashlib

    with open(path, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def inside(root: str | os.PathLike[str], name: str) -> Path:
    """Join a foreign file name to its folder; refuse one that leads out of it."""
    base = Path(root).resolve()
    path = (base / name).resolve()
    if not path.is_relative_to(base):
        raise InputError(
            f"the name {name!r} leads out of its folder",
            where=root,
            expected="a path inside the folder",
            remedy="mend the file that contains the name, or do not use this data set",
        )
    return path
