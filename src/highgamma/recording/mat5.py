"""What is checked of a MATLAB file (version 5 to 7) before SciPy reads it, which trusts it.

A file is a header of 128 bytes, then elements: type and number of bytes, both of 4 bytes (or both
of 2 bytes, then the data take the other 4), and the data, filled up to 8 bytes. An array is an
element of elements: flags, sizes, name, and its numbers, fields or cells, which may be arrays
again. An element may be compressed. (MathWorks, "MAT-File Format".)
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from highgamma.errors import InputError

MOST_DEPTH = 30
"""Arrays within one another; EEGLAB's have five."""

MOST_EXPANSION = 1100
"""Largest expansion of a compressed element; zlib's largest is 1032."""

_MATRIX, _COMPRESSED = 14, 15
_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
"""Bytes of a number of each type, 16 to 18 being text."""

_CELL, _STRUCT, _OBJECT, _CHARACTERS, _SPARSE, _FUNCTION, _OPAQUE = 1, 2, 3, 4, 5, 16, 17
_NUMBERS = range(6, 16)


class _DamageError(Exception):
    """Says what is wrong with a file."""


def check_file(path: Path) -> None:
    """Refuse a MATLAB file whose elements do not fit into one another.

    Raises
    ------
    InputError
        If they do not, or if the file cannot be read.
    """
    try:
        content = path.read_bytes()
        order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
        # SciPy takes a file with a zero among the first bytes for one of version 4.
        if order is None or 0 in content[:4]:
            raise _DamageError("its header is not that of a MATLAB file")
        elements = _Elements(order)
        place = 128
        # SciPy passes over less than a whole tag at the end.
        while place + 8 <= len(content):
            place = elements.check(content, place, len(content))
    except (OSError, _DamageError, struct.error, zlib.error) as error:
        raise InputError(
            f"the recording cannot be read: {error}",
            where=path,
            expected="a whole EEGLAB file",
            remedy="compare its size or checksum with the published one and download it again",
        ) from error


@dataclass(frozen=True, slots=True)
class _Elements:
    """The elements of a file of one byte order, `<` or `>`."""

    order: str

    def tag(self, data: bytes, place: int, stop: int) -> tuple[int, int, int, int]:
        """Return type, first byte and end of an element's data, and where the next one begins."""
        if place + 8 > stop:
            raise _DamageError("an element is missing")
        kind, size = struct.unpack_from(f"{self.order}II", data, place)
        if kind >> 16:
            size, kind = kind >> 16, kind & 0xFFFF
            first, following = place + 4, place + 8
            if size > 4:
                raise _DamageError("a small element is too large")
        else:
            first = place + 8
            padded = size if kind == _COMPRESSED else -(-size // 8) * 8
            following = first + padded
        if first + size > stop:
            raise _DamageError(f"an element of {size} bytes goes beyond its place")
        return kind, first, first + size, min(following, stop)

    def check(self, data: bytes, place: int, stop: int, depth: int = 0) -> int:
        """Check an array, or the arrays in a compressed element; return where the next begins."""
        kind, first, end, following = self.tag(data, place, stop)
        if kind == _COMPRESSED and depth == 0:
            most = MOST_EXPANSION * (end - first) + 64
            inner = zlib.decompressobj().decompress(data[first:end], most)
            self.check(inner, 0, len(inner), 1)
        elif kind == _MATRIX:
            if end > first:
                self._array(data, first, end, depth)
        else:
            raise _DamageError(f"an element of type {kind} is no array")
        return following

    def numbers(self, data: bytes, place: int, stop: int, kinds: tuple[int, ...]) -> list[int]:
        """Return the whole numbers of an element of one of these types, and the next place last."""
        kind, first, end, following = self.tag(data, place, stop)
        if kind not in kinds or (end - first) % _SIZES[kind]:
            raise _DamageError(f"an element has the type {kind}")
        form = {4: "i", 1: "b", 2: "h"}[_SIZES[kind]]
        count = (end - first) // _SIZES[kind]
        return [*struct.unpack_from(f"{self.order}{count}{form}", data, first), following]

    def _array(self, data: bytes, place: int, stop: int, depth: int) -> None:
        if depth > MOST_DEPTH:
            raise _DamageError("its arrays are nested too deeply")
        *flags, place = self.numbers(data, place, stop, (6,))
        if len(flags) != 2:
            raise _DamageError("an array's flags are damaged")
        form, is_complex = flags[0] & 0xFF, bool(flags[0] & 0x800)
        if form == _OPAQUE:
            return
        *sizes, place = self.numbers(data, place, stop, (5,))
        if not 1 <= len(sizes) <= 32 or min(sizes) < 0:
            raise _DamageError(f"an array has the sizes {sizes[:5]}")
        *_, place = self.numbers(data, place, stop, (1, 2))
        count = math.prod(sizes)
        if form in (_CELL, _STRUCT, _OBJECT):
            self._nested(data, place, stop, depth, form, count)
        elif form == _FUNCTION:
            self.check(data, place, stop, depth + 1)
        elif form in (*_NUMBERS, _CHARACTERS, _SPARSE):
            parts = (2 if form == _SPARSE else 0) + 1 + is_complex
            for part in range(parts):
                kind, first, end, place = self.tag(data, place, stop)
                if kind not in _SIZES or (end - first) % _SIZES[kind]:
                    raise _DamageError(f"the values of an array have the type {kind}")
                held = (end - first) // _SIZES[kind]
                if form != _SPARSE and part == 0 and not self._fits(form, count, held):
                    raise _DamageError(f"an array of {count} values holds {held}")
            if form == _SPARSE and (len(sizes) != 2 or max(sizes) > MOST_EXPANSION * len(data)):
                raise _DamageError(f"a sparse array has the sizes {sizes[:5]}")
        else:
            raise _DamageError(f"an array is of the class {form}")

    @staticmethod
    def _fits(form: int, count: int, held: int) -> bool:
        """Return whether an array has its values; text of several bytes a letter has more."""
        return held >= count if form == _CHARACTERS else held == count

    def _nested(
        self, data: bytes, place: int, stop: int, depth: int, form: int, count: int
    ) -> None:
        """Check the arrays in a cell array, structure or object."""
        fields = 1
        if form == _OBJECT:
            *_, place = self.numbers(data, place, stop, (1, 2))
        if form != _CELL:
            *lengths, place = self.numbers(data, place, stop, (5,))
            kind, first, end, place = self.tag(data, place, stop)
            if len(lengths) != 1 or not 0 < lengths[0] <= 256 or kind != 1:
                raise _DamageError("the names of fields are damaged")
            fields = (end - first) // lengths[0]
        if count * max(fields, 1) * 8 > stop - place + 8 * count * (fields == 0):
            raise _DamageError(f"{count * fields} arrays are stated and there are fewer")
        for _ in range(count * fields):
            place = self.check(data, place, stop, depth + 1)
