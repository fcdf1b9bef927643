"""Read and write the workflow's files: YAML, NetCDF, tables, checksums.

Files are written completely or not at all, and the same content gives the same bytes. NetCDF files
carry attributes that report what computed them; tables are tab-separated, with `n/a` for missing
values, as in BIDS.
"""

from __future__ import annotations

import errno
import glob
import json
import math
import os
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
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

_BREAKS = re.compile(r"[\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
"""What ends a field or a line for any reader."""

CHECKED_BYTES = 1024
"""Bytes from which on a variable carries checksums."""

SEAL = b"\nhighgamma sha256 "
"""What comes before the digest at the end of a NetCDF file."""

PIECE_BYTES = 1 << 20
"""Bytes read at a time for a digest."""

_VERIFIED: set[tuple[str, int, int, int]] = set()
"""Files that this process has compared with their digest: path, time of change, size, inode."""

MOST_DEPTH, MOST_VALUES = 100, 10_000_000
"""Levels and values of YAML and JSON that are read; the texts of this workflow have ten levels."""

ROOM = 2**24
"""Bytes of free space below which a failed write is attributed to a full disk."""


def parse_yaml(text: str) -> Any:
    """Parse a YAML text, plain data only; with libyaml, ten times faster, if it is available.

    Raises
    ------
    yaml.YAMLError
        If it is none, or is nested too deeply.
    """
    import yaml

    safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Unambiguous(safe):  # type: ignore[misc]
        """Refuses a mapping in which a key stands twice, of which the first would be lost."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen = set()
            for key, _ in node.value:
                if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                    raise yaml.YAMLError(f"the key {key.value!r} stands twice{key.start_mark}")
                if isinstance(key.value, str):
                    seen.add(key.value)
            return super().construct_mapping(node, deep=deep)

    try:
        content = yaml.load(text, Loader=Unambiguous)  # noqa: S506
        check_nesting(content)
        return content
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply") from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        # What is written as a number or a date and is none, among others.
        raise yaml.YAMLError(str(error)) from error


def parse_json(text: str | bytes) -> Any:
    """Parse a JSON text.

    Raises
    ------
    ValueError
        If it is none, or is nested too deeply.
    """
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    check_nesting(content)
    return content


def check_nesting(content: Any) -> None:
    """Refuse plain data that are nested more than `MOST_DEPTH` times, or that aliases blow up.

    Raises
    ------
    ValueError
        If they are.
    """
    level, count = [content], 0
    for _ in range(MOST_DEPTH):
        further: list[Any] = []
        for part in level:
            inside = part.values() if isinstance(part, dict) else part
            if isinstance(inside, str | bytes) or not isinstance(inside, Iterable):
                continue
            further += inside
            if count + len(further) > MOST_VALUES:
                raise ValueError(f"it has more than {MOST_VALUES} values")
        count += len(further)
        level = further
        if not level:
            return
    raise ValueError("it is nested too deeply")


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path next to `path`; rename it to `path` if the block raises nothing.

    `path` is always either the previous file or the complete new one.

    Raises
    ------
    InputError
        If the file can't be written.
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
        # The NetCDF library gives no reason; a full disk can be recognised.
        if "HDF error" not in str(error) or disk_usage(target.parent).free > ROOM:
            raise
        raise _unwritable(target, os.strerror(errno.ENOSPC)) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def written_sealed(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path as `written_whole` does, and end the file with its SHA-256.

    HDF5 passes over what follows its own end. `open_dataset` compares the digest, so that a changed
    byte is found wherever it is; checksums of chunks cover neither names nor small variables.
    """
    with written_whole(path) as temporary:
        yield temporary
        digest = _digest(temporary, temporary.stat().st_size)
        with open(temporary, "ab") as file:
            file.write(SEAL + digest.encode())


def _digest(path: Path, size: int) -> str:
    """Return the SHA-256 of the first bytes of a file, as hexadecimal digits."""
    import hashlib

    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while size > 0 and (piece := file.read(min(size, PIECE_BYTES))):
            digest.update(piece)
            size -= len(piece)
    return digest.hexdigest()


def _verify(path: Path) -> None:
    """Refuse a file that is not as it was written; each is read whole once in a process.

    Raises
    ------
    DamagedFileError
        If its digest is another, or absent.
    """
    state = path.stat()
    known = (str(path.absolute()), state.st_mtime_ns, state.st_size, state.st_ino)
    if known in _VERIFIED:
        return
    size = state.st_size - len(SEAL) - 64
    seal = b""
    if size >= 0:
        with open(path, "rb") as file:
            file.seek(size)
            seal = file.read()
    if not seal.startswith(SEAL):
        raise _damaged(path, "it does not end as it was written")
    if seal[len(SEAL) :] != _digest(path, size).encode():
        raise _damaged(path, "its bytes are not those that were written")
    _VERIFIED.add(known)


def _unwritable(target: Path, reason: str) -> InputError:
    return InputError(
        f"cannot write the file: {reason}",
        where=target,
        expected="a folder that may be written to, with room for the file",
        remedy="check the folder's free space (df) and rights (ls -ld), then run again",
    )


def _clear_parts(target: Path) -> None:
    """Remove the temporary files of killed processes."""
    for part in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        process = part.name.split(".")[-2]
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            part.unlink(missing_ok=True)
        except (ValueError, PermissionError):
            continue


def provenance(stage: str, parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return attributes of a file: stage, parameters (as JSON) and software version."""
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
    """Write a data set as NetCDF-4; compress numeric variables of at least 1 kB.

    Each of their chunks carries a checksum, so that damage is detected on reading.

    Parameters
    ----------
    dataset
        Named dimensions, coordinates with a `units` attribute.
    stage, parameters
        What computed the file; stored in its attributes.
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
        if variable.nbytes >= CHECKED_BYTES:
            settings |= {"zlib": compression > 0, "complevel": compression}
            settings |= {"shuffle": True, "fletcher32": True}
        if chunks and str(name) in chunks:
            settings["chunksizes"] = tuple(
                max(1, min(c, s)) for c, s in zip(chunks[str(name)], variable.shape, strict=True)
            )
        encoding[name] = settings
    whole = dataset.assign_attrs(dict(dataset.attrs) | provenance(stage, parameters))
    with written_sealed(path) as temporary:
        whole.to_netcdf(temporary, engine="netcdf4", format="NETCDF4", encoding=encoding)


@contextmanager
def open_dataset(path: str | os.PathLike[str]) -> Iterator[xr.Dataset]:
    """Open a NetCDF file lazily: values are read on access.

    Raises
    ------
    InputError
        If the file doesn't exist.
    DamagedFileError
        If it can't be read, or is not as it was written.
    """
    import xarray as xr

    if not Path(path).is_file():
        raise InputError(
            "the file does not exist", where=path, remedy="run the workflow; it writes the file"
        )
    _verify(Path(path))
    try:
        dataset = xr.open_dataset(path, engine="netcdf4", decode_times=False, cache=False)
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    with dataset:
        try:
            yield dataset
        except (OSError, RuntimeError) as error:
            # netCDF4's message for a chunk that can't be decompressed.
            if "HDF error" not in str(error):
                raise
            raise _damaged(path, str(error)) from error


def _damaged(path: str | os.PathLike[str], reason: str) -> DamagedFileError:
    return DamagedFileError(
        f"the file is not a readable NetCDF file: {reason}",
        where=path,
        expected="a complete, unchanged file of this workflow",
        remedy="delete the file and run again; the workflow recreates it",
    )


def read_dataset(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a complete NetCDF file into memory; errors as `open_dataset`."""
    with open_dataset(path) as dataset:
        return dataset.load()


def write_table(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a table as tab-separated text; missing values are `n/a`, numbers have 9 digits.

    Quotes are written as they are, as BIDS has them. Tabs and line breaks within text, which a
    table cannot hold, become spaces.
    """
    import csv

    plain = table.copy()
    for name in table.columns:
        if table[name].dtype.kind == "O":
            plain[name] = table[name].map(_on_one_line)
    with written_whole(path) as temporary:
        plain.to_csv(
            temporary,
            sep="\t",
            index=False,
            na_rep=MISSING,
            float_format="%.9g",
            encoding="utf-8",
            quoting=csv.QUOTE_NONE,
        )


def _on_one_line(value: Any) -> Any:
    return _BREAKS.sub(" ", value) if isinstance(value, str) else value


def read_table(path: str | os.PathLike[str], *, strings: tuple[str, ...] = ()) -> pd.DataFrame:
    """Read tab-separated text with `n/a` for missing values; a byte-order mark is ignored.

    Quotes have no meaning, as in BIDS.

    Parameters
    ----------
    path
        The file.
    strings
        Columns that are never read as numbers: a word `10` stays a word, and a word `null` is not
        missing (only `n/a` is).

    Raises
    ------
    InputError
        If the file doesn't exist or isn't a table, or if a line has fewer fields than the header or
        more that are not empty.
    """
    import csv

    import pandas as pd

    try:
        names = _checked_fields(path)
        return pd.read_csv(
            path,
            sep="\t",
            encoding="utf-8-sig",
            dtype=dict.fromkeys(strings, "object"),
            keep_default_na=False,
            na_values=[MISSING],
            quoting=csv.QUOTE_NONE,
            # Otherwise a tab at the end of each line makes the first column an index.
            index_col=False,
            usecols=range(len(names)),
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


def numeric(values: pd.Series[Any]) -> pd.Series[float]:
    """Return a table's column as float64; NaN for what is no finite number."""
    import numpy as np
    import pandas as pd

    try:
        parsed = pd.to_numeric(values, errors="coerce").astype(np.float64)
    except OverflowError:
        # Whole numbers of any length.
        parsed = values.map(_as_float).astype(np.float64)
    return parsed.where(np.isfinite(parsed))


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except (OverflowError, TypeError, ValueError):
        return math.nan


def _checked_fields(path: str | os.PathLike[str]) -> list[str]:
    """Return the columns of a table, without empty ones at the end.

    Raises
    ------
    InputError
        If a line has fewer fields, or more that are not empty: its values would be moved.
    """
    with open(path, encoding="utf-8-sig", newline="") as lines:
        header = next(lines, "").rstrip("\r\n")
        names = header.rstrip("\t").split("\t")
        for number, line in enumerate(lines, 2):
            fields = line.rstrip("\r\n").split("\t")
            beyond = any(field.strip() for field in fields[len(names) :])
            if (len(fields) >= len(names) and not beyond) or fields == [""]:
                continue
            raise InputError(
                f"line {number} has {len(fields)} fields, the header has {len(names)}",
                where=path,
                expected="as many fields as columns, separated by tabs; `n/a` where one is missing",
                remedy="correct the line, or compare the file with the published one",
            )
    return names


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes, as hexadecimal digits."""
    import hashlib

    with open(path, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def inside(root: str | os.PathLike[str], name: str) -> Path:
    """Join a file name from elsewhere to its folder; refuse one that leads out of it."""
    base = Path(root).resolve()
    path = (base / name).resolve()
    if not path.is_relative_to(base):
        raise InputError(
            f"the name {name!r} leads out of its folder",
            where=root,
            expected="a path inside the folder",
            remedy="correct the file that contains the name, or do not use this data set",
        )
    return path
