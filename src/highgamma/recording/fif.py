"""What MNE does not check of FIF files: that the chain of their tags has an end.

A file is a sequence of tags, each of 16 bytes (kind, type, size of the data, place of the next tag;
big-endian) and its data. A place of 0 is the one behind the data, a negative one ends the chain.
"""

from __future__ import annotations

import struct
from pathlib import Path

from highgamma.errors import InputError

_TAG = struct.Struct(">iIii")


def check_tags(path: Path) -> None:
    """Refuse a FIF file whose tags lead in a circle; MNE would follow them for ever.

    Raises
    ------
    InputError
        If they do, or if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            passed: set[int] = set()
            place = 0
            while place not in passed:
                passed.add(place)
                file.seek(place)
                content = file.read(_TAG.size)
                if len(content) < _TAG.size:
                    return
                _, _, size, following = _TAG.unpack(content)
                if following < 0:
                    return
                place = following or place + _TAG.size + size
                if place < 0:
                    return
    except OSError as error:
        raise _broken(path, str(error)) from error
    raise _broken(path, f"its tags lead back to byte {place}")


def _broken(path: Path, what: str) -> InputError:
    return InputError(
        f"the recording cannot be read: {what}",
        where=path,
        expected="a whole FIF file",
        remedy="compare its size or checksum with the published one and download it again",
    )
