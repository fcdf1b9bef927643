"""What MNE does not check of FIF files: that their tags end, and hold what they state.

A file is a sequence of tags, each of 16 bytes (kind, type, size of the data, place of the next tag;
big-endian) and its data. A place of 0 is the one behind the data, a negative one ends the chain.
The second tag may name the place of a directory, a tag that lists all others: kind, type, size,
place.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from highgamma.errors import InputError

_TAG = struct.Struct(">iIii")
_DIRECTORY_POINTER = 101
_SECOND = 36
"""Place of the second tag, behind the file's name of 20 bytes."""


def check_tags(path: Path) -> None:
    """Refuse a FIF file whose tags lead in a circle, or state more than the file holds.

    MNE would follow them for ever, and make room for what they state.

    Raises
    ------
    InputError
        If they do, or if the file cannot be read.
    """
    try:
        whole = path.stat().st_size
        with path.open("rb") as file:
            for place, size in (*_chain(file), *_listed(file)):
                if size < 0 or place + _TAG.size + size > whole:
                    raise _BrokenError(f"the tag at byte {place} states {size} bytes")
    except (OSError, _BrokenError) as error:
        raise InputError(
            f"the recording cannot be read: {error}",
            where=path,
            expected="a whole FIF file",
            remedy="compare its size or checksum with the published one and download it again",
        ) from error


class _BrokenError(Exception):
    """Says what is wrong with a file."""


def _tag(file: BinaryIO, place: int) -> tuple[int, int, int, int] | None:
    """Return kind, type, size and next place of the tag at a place; None behind the file's end."""
    if place < 0:
        return None
    file.seek(place)
    content = file.read(_TAG.size)
    return _TAG.unpack(content) if len(content) == _TAG.size else None


def _chain(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield place and size of each tag, one after the other."""
    passed: set[int] = set()
    place = 0
    while (tag := _tag(file, place)) is not None:
        if place in passed:
            raise _BrokenError(f"its tags lead back to byte {place}")
        passed.add(place)
        _, _, size, following = tag
        yield place, size
        if following < 0:
            return
        place = following or place + _TAG.size + size


def _listed(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield place and size of each tag that the directory lists; of both sizes, if they differ."""
    pointer = _tag(file, _SECOND)
    if pointer is None or pointer[0] != _DIRECTORY_POINTER:
        return
    content = file.read(4)
    place = int.from_bytes(content, "big", signed=True)
    directory = _tag(file, place) if place > 0 else None
    if directory is None:
        return
    yield place, directory[2]
    for at in range(place + _TAG.size, place + _TAG.size + directory[2], _TAG.size):
        entry = _tag(file, at)
        if entry is None:
            return
        _, _, size, listed = entry
        yield listed, size
        if (named := _tag(file, listed)) is not None:
            yield listed, named[2]
