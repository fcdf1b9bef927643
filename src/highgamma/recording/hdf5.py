"""What is checked of an HDF5 file before a library builds anything from it.

A file may state arrays of any size that it does not hold, and name other files as parts of itself.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from highgamma.errors import InputError
from highgamma.recording.signals import unreadable

MOST_EXPANSION = 1100
"""Bytes of an array for each byte of its file beyond which it is not believed; HDF5's usual
compression reaches 1032."""


def check_file(path: Path) -> None:
    """Refuse an HDF5 file that states more than it can hold, or leads out of its folder.

    Raises
    ------
    InputError
        If it does, or is damaged.
    """
    folder = Path(os.path.normpath(path.parent.absolute()))
    waiting, passed = [path], set()
    while waiting:
        file = waiting.pop()
        passed.add(file)
        for named in _checked(file):
            other = Path(os.path.normpath(folder / named))
            # Compared by name, not resolved: data sets keep their large files behind links.
            if not other.is_relative_to(folder):
                raise InputError(
                    f"the recording leads to {named}, outside its folder",
                    where=path,
                    expected=f"files in {folder}",
                    remedy="correct the file, or do not use it",
                )
            if other not in passed and other.is_file():
                waiting.append(other)


def _checked(path: Path) -> list[str]:
    """Check the arrays of one file; return the files that it names as parts of itself."""
    import h5py

    try:
        size = path.stat().st_size
        with h5py.File(path, "r") as file:
            return [name for found in _found(file, path) for name in _others(found, size, path)]
    except InputError:
        raise
    except Exception as error:  # h5py raises what the HDF5 library says, in many classes
        raise unreadable(path, error) from error


def _found(file: Any, path: Path) -> list[Any]:
    """Return all datasets and links to other files, each once; refuse a group inside itself."""
    import h5py

    found: list[Any] = []
    groups = {"": _address(file)}

    def look(name: str, link: Any) -> str | None:
        # An exception would not come through the library; a value ends the visit.
        if isinstance(link, h5py.ExternalLink):
            found.append(link)
        if not isinstance(link, h5py.HardLink):
            return None
        held = file[name]
        if isinstance(held, h5py.Dataset):
            found.append(held)
        elif isinstance(held, h5py.Group):
            parts = name.split("/")
            above = {groups.get("/".join(parts[:depth])) for depth in range(len(parts))}
            groups[name] = _address(held)
            if groups[name] in above:
                return name
        return None

    circle = file.visititems_links(look)
    if circle is not None:
        raise InputError(
            f"the group {circle!r} is inside itself",
            where=path,
            expected="a file that has an end",
            remedy="compare its checksum with the published one and download it again",
        )
    return found


def _address(group: Any) -> int:
    """Return where a group is in its file, whatever it is called."""
    import h5py

    return int(h5py.h5o.get_info(group.id).addr)


def _others(found: Any, size: int, path: Path) -> Iterator[str]:
    """Yield the files that a dataset or link names; check a dataset against the file's size."""
    import h5py

    if isinstance(found, h5py.ExternalLink):
        yield str(found.filename)
        return
    if found.external:
        yield from (str(name) for name, *_ in found.external)
        return
    if found.is_virtual:
        yield from (part.file_name for part in found.virtual_sources() if part.file_name != ".")
        return
    shape = found.id.shape or ()
    if math.prod(shape) * found.id.get_type().get_size() > MOST_EXPANSION * size:
        raise InputError(
            f"{found.name} states {' × '.join(map(str, shape))} values in a file of {size} bytes",
            where=path,
            expected="the values themselves",
            remedy="compare its size or checksum with the published one and download it again",
        )
