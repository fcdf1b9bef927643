"""What is checked of an HDF5 file before a library builds anything from it.

A file may state arrays of any size that it does not hold, name other files as parts of itself, and
hold what HDF5's library never finishes to read.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from highgamma.errors import InputError
from highgamma.recording.signals import unreadable

MOST_EXPANSION = 1100
"""Bytes of an array for each byte of its file beyond which it is not believed; HDF5's usual
compression reaches 1032."""

_HEAP = b"GCOL\x01\0\0\0"
_OBJECT = struct.Struct("<H6xQ")

_SCANNED: set[tuple[str, int, int, int]] = set()
"""Files whose heaps this process has read: path, time of change, size, inode."""


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
        _check_heaps(path)
        with h5py.File(path, "r") as file:
            return [name for found in _found(file, path) for name in _others(found, size, path)]
    except InputError:
        raise
    except Exception as error:  # h5py raises what the HDF5 library says, in many classes
        raise unreadable(path, error) from error


def _check_heaps(path: Path) -> None:
    """Refuse a file whose heaps of text hold an object without end; each is read once in a process.

    A heap is a mark, its size, and objects: number (2 bytes), 6 bytes, size (8), and the data,
    filled up to 8 bytes. Number 0 is free space, whose size counts from its own start: HDF5 would
    read one of size 0 for ever. (HDF5 File Format Specification, section III.E.)
    """
    state = path.stat()
    known = (str(path.absolute()), state.st_mtime_ns, state.st_size, state.st_ino)
    if known in _SCANNED:
        return
    with (
        path.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        heap = mapped.find(_HEAP)
        while heap >= 0:
            _check_heap(mapped, heap, path)
            heap = mapped.find(_HEAP, heap + 1)
    _SCANNED.add(known)


def _check_heap(mapped: mmap.mmap, heap: int, path: Path) -> None:
    place = heap + len(_HEAP) + 8
    stop = heap + int.from_bytes(mapped[heap + len(_HEAP) : place], "little")
    while place + _OBJECT.size <= min(stop, len(mapped)):
        number, size = _OBJECT.unpack_from(mapped, place)
        step = size if number == 0 else _OBJECT.size + -(-size // 8) * 8
        if step == 0 or step >= 1 << 63:
            raise _damaged(f"a text at byte {place} has no end", path)
        place += step


def _found(file: Any, path: Path) -> list[Any]:
    """Return all datasets and links to other files, each once.

    Raises
    ------
    InputError
        If a group is inside itself, or a value has a type that HDF5 would end the process over.
    """
    import h5py

    links: list[tuple[str, Any]] = []
    file.visititems_links(lambda name, link: links.append((name, link)))
    found: list[Any] = []
    groups = {"": _address(file)}
    _check_types(file, path)
    for name, link in links:
        if isinstance(link, h5py.ExternalLink):
            found.append(link)
        if not isinstance(link, h5py.HardLink):
            continue
        held = file[name]
        _check_types(held, path)
        if isinstance(held, h5py.Dataset):
            found.append(held)
        elif isinstance(held, h5py.Group):
            parts = name.split("/")
            above = {groups.get("/".join(parts[:depth])) for depth in range(len(parts))}
            groups[name] = _address(held)
            if groups[name] in above:
                raise _damaged(f"the group {name!r} is inside itself", path)
    return found


def _check_types(held: Any, path: Path) -> None:
    """Refuse an object that is, or has attributes, of a type which HDF5 does not know."""
    import h5py

    named = [] if isinstance(held, h5py.Group) else [held.id]
    types = [one if isinstance(held, h5py.Datatype) else one.get_type() for one in named]
    types += [held.attrs.get_id(name).get_type() for name in held.attrs]
    while types:
        kind = types.pop()
        form = kind.get_class()
        if form == h5py.h5t.COMPOUND:
            types += [kind.get_member_type(k) for k in range(kind.get_nmembers())]
        elif form in (h5py.h5t.ARRAY, h5py.h5t.ENUM):
            types.append(kind.get_super())
        elif form == h5py.h5t.VLEN:
            # Coded as in the file: two bytes of the message, class, and what has no fixed length,
            # 0 for a sequence and 1 for text.
            if kind.encode()[3] & 0x0F > 1:
                raise _damaged(f"{held.name} is of an unknown type", path)
            types.append(kind.get_super())


def _damaged(what: str, path: Path) -> InputError:
    return InputError(
        what,
        where=path,
        expected="a whole HDF5 file",
        remedy="compare its size or checksum with the published one and download it again",
    )


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
