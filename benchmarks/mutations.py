"""Damage to the bytes of a file: of any file, of a text table, of JSON and YAML, of HDF5."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Draw = np.random.Generator

NUMBERS = (
    *("0", "-1", "1", "-0.0", "0.5", "1e309", "-1e309", "1e-320", "NaN", "nan", "inf", "-inf"),
    *("127", "128", "255", "256", "32767", "65536", "2147483647", "2147483648", "4294967296"),
    *("9223372036854775807", "9223372036854775808", "18446744073709551616", "1" * 400, "9" * 5000),
    *("0x10", "1_000", "1,5", "١٢", "--1", "1e", "+", "."),
)
"""Numbers as text, and what nearly is one."""

WORDS = (
    *(b"", b"\x00", b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r\n", b"\r"),
    *(b"\n", b"\t", b'"', b"'", b"\\", b"%s%n", b"../..", b"../outside", b"/", b"~", b"null"),
    *(b"n/a", b"true", b"[" * 20_000, b"{" * 3000, b'{"a":' * 20_000, b"- " * 20_000, b"&a [*a]"),
    *(b"*a", b"!!python/object:os.system", b"<!ENTITY a 'b'>", b"<a>" * 5000, b" " * 5000),
    *("\u2028".encode(), "\u202e".encode(), "é".encode("latin-1"), b"a" * 70_000),
)
"""Stretches of bytes that parsers stumble over."""

BYTES = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF, 0x20, 0x0A, 0x22, 0x2D, 0x39)

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 2**31, 2**32, 2**63, 2**64, -(2**63), 10**400, 0.5, -0.5),
    *(
        1e308,
        float("inf"),
        float("-inf"),
        float("nan"),
        "",
        "x",
        "0",
        "-1",
        "\x00",
        "é" * 40,
        "n/a",
    ),
    *("../outside", "/", "a" * 5000, [], {}, [None], [[[]]], {"": None}, [1, "x"], {"x": {"y": 1}}),
)
"""Values that a key does not expect."""

RAW = (
    *(b"[" * 20_000 + b"]" * 20_000, b'{"a":' * 3000 + b"1" + b"}" * 3000, b"9" * 5000, b"1e999"),
    *(b"-0", b"NaN", b"-Infinity", b'"\\ud800"', b"2020-13-45", b"1:99:99", b"{[1]: 2}", b"0o9"),
    *(b"!!binary x", b"!!float x", b"!!timestamp x", b"&a [*a]", b"&a {<<: *a}", b"? [a]\n: b"),
)
"""Values of JSON and YAML that parsers stumble over."""

_VALUE = re.compile(rb"(?<=[:,\[-] )[^\s,:{}\[\]]+")

ALL_KINDS, IN_PLACE = range(9), (0, 0, 1, 2, 8, 8)
"""Kinds of changes of bytes; those that leave the bytes behind them where they are."""

BYTE_OPERATIONS = 4
"""Most changes of one mutation."""


def mutate(content: bytes, suffix: str, draw: Draw) -> bytes:
    """Return changed bytes of a file.

    Parameters
    ----------
    content
        The file's bytes.
    suffix
        Of its name; by it some mutations keep to the file's structure.
    draw
        Where chance comes from.
    """
    structured = STRUCTURED.get(suffix)
    if structured is not None and draw.random() < 0.5:
        content = structured(content, draw)
        if draw.random() < 0.8:
            return content
    # What is moved within a binary file is found at once: most of its changes stay in place.
    kinds = IN_PLACE if structured is None and draw.random() < 0.7 else ALL_KINDS
    for _ in range(int(draw.integers(1, BYTE_OPERATIONS + 1))):
        content = _of_bytes(content, draw, int(draw.choice(kinds)))
    return content


def _place(size: int, draw: Draw) -> int:
    """Return a position, half of them near the start, where headers are."""
    if size == 0:
        return 0
    if draw.random() < 0.5:
        return min(size - 1, int(np.exp(draw.uniform(0, np.log(size + 1)))) - 1)
    return int(draw.integers(0, size))


def _of_bytes(content: bytes, draw: Draw, kind: int) -> bytes:
    size = len(content)
    at = _place(size, draw)
    length = int(draw.choice([1, 2, 4, 8, 16, 64, 256]))
    end = min(size, at + length)
    if kind == 0:
        flipped = bytes([content[at] ^ (1 << int(draw.integers(0, 8)))]) if size else b""
        return content[:at] + flipped + content[at + 1 :]
    if kind == 1:
        return content[:at] + bytes([int(draw.choice(BYTES))]) + content[at + 1 :]
    if kind == 2:
        return content[:at] + draw.bytes(end - at) + content[end:]
    if kind == 3:
        return content[:at] + content[end:]
    if kind == 4:
        return content[:at] + draw.bytes(length) + content[at:]
    if kind == 5:
        return content[:end] + content[at:end] * int(draw.choice([1, 2, 100])) + content[end:]
    if kind == 6:
        return content[:at]
    if kind == 7:
        word = WORDS[int(draw.integers(0, len(WORDS)))]
        if draw.random() < 0.5:
            word = NUMBERS[int(draw.integers(0, len(NUMBERS)))].encode()
        return content[:at] + word + content[end if draw.random() < 0.5 else at :]
    width = int(draw.choice([1, 2, 4, 8]))
    value = int(draw.choice([0, 1, 2**7, 2**15, 2**31, 2**63, 2**64 - 1, 2**64 - 2], 1)[0])
    order = "little" if draw.random() < 0.7 else "big"
    number = (value % 2 ** (8 * width)).to_bytes(width, order)
    return content[:at] + number + content[at + width :]


def _word(draw: Draw) -> bytes:
    if draw.random() < 0.6:
        return NUMBERS[int(draw.integers(0, len(NUMBERS)))].encode()
    return WORDS[int(draw.integers(0, len(WORDS)))]


def of_table(content: bytes, draw: Draw, *, separator: bytes = b"\t") -> bytes:
    """Change a field, a line or a column of a text table."""
    lines = content.split(b"\n")
    at = int(draw.integers(0, len(lines)))
    kind = int(draw.integers(0, 7))
    if kind == 0:
        fields = lines[at].split(separator)
        fields[int(draw.integers(0, len(fields)))] = _word(draw)
        lines[at] = separator.join(fields)
    elif kind == 1:
        del lines[at]
    elif kind == 2:
        lines[at:at] = [lines[at]] * int(draw.choice([1, 2, 300]))
    elif kind == 3:
        lines[at] += separator * int(draw.choice([1, 3])) + _word(draw)
    elif kind == 4:
        lines[at] = separator.join(lines[at].split(separator)[:-1])
    elif kind == 5:
        # A whole column.
        column = int(draw.integers(0, len(lines[0].split(separator))))
        word = _word(draw)
        first = int(draw.integers(0, 2))
        for k in range(first, len(lines)):
            fields = lines[k].split(separator)
            if column < len(fields):
                fields[column] = word
                lines[k] = separator.join(fields)
    else:
        return content.replace(b"\n", b"\r\n" if draw.random() < 0.5 else b"\r")
    return b"\n".join(lines)


def _of_lines(content: bytes, draw: Draw) -> bytes:
    separators = (b" ", b"=", b",", b"\t")
    return of_table(content, draw, separator=separators[int(draw.integers(0, 4))])


def _of_csv(content: bytes, draw: Draw) -> bytes:
    return of_table(content, draw, separator=b",")


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value in a nested one but the whole."""
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    found = []
    for key, part in inside:
        found += [(*path, key), *_places(part, (*path, key))]
    return found


def changed(value: Any, draw: Draw) -> Any:
    """Change a value, a key or an entry of nested plain data; the data are changed in place."""
    places = _places(value)
    if not places or draw.random() < 0.02:
        return ODD[int(draw.integers(0, len(ODD)))]
    *above, key = places[int(draw.integers(0, len(places)))]
    holder = value
    for step in above:
        holder = holder[step]
    odd = ODD[int(draw.integers(0, len(ODD)))]
    kind = int(draw.integers(0, 6))
    if kind <= 2:
        holder[key] = odd
    elif kind == 3:
        del holder[key]
    elif kind == 4:
        holder[key] = str(holder[key]) if draw.random() < 0.5 else [holder[key]]
    elif isinstance(holder, dict):
        holder[odd if isinstance(odd, str) else "x"] = holder.pop(key)
    else:
        holder += [holder[key]] * int(draw.choice([1, 50]))
    return value


def _of_json(content: bytes, draw: Draw) -> bytes:
    return _with_raw(json.dumps(changed(json.loads(content), draw)).encode(), draw)


def _of_yaml(content: bytes, draw: Draw) -> bytes:
    import yaml

    text = str(yaml.safe_dump(changed(yaml.safe_load(content), draw))).encode()
    return _with_raw(text, draw)


def _with_raw(text: bytes, draw: Draw) -> bytes:
    """Replace one value, now and then, by text that no program would write."""
    values = [match.span() for match in _VALUE.finditer(text)]
    if not values or draw.random() > 0.15:
        return text
    start, stop = values[int(draw.integers(0, len(values)))]
    return text[:start] + RAW[int(draw.integers(0, len(RAW)))] + text[stop:]


def of_hdf5(content: bytes, draw: Draw) -> bytes:
    """Change types, shapes, links and attributes of an HDF5 file, by the library itself."""
    import h5py

    with tempfile.TemporaryDirectory(prefix="highgamma-hdf5-") as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        with h5py.File(path, "r+") as file:
            names: list[str] = []
            file.visit(names.append)
            own = [n for n in names if not n.startswith("specifications")]
            for _ in range(int(draw.integers(1, 3))):
                name = own[int(draw.integers(0, len(own)))]
                _change(file, name, draw)
        return path.read_bytes()


def _change(file: Any, name: str, draw: Draw) -> None:
    """Make one change of an object of an HDF5 file."""
    import h5py

    holder, _, key = name.rpartition("/")
    try:
        group = file[holder] if holder else file
        here = group[key]
    except (KeyError, OSError, ValueError, TypeError, RuntimeError):
        # An earlier change led the name elsewhere.
        return
    kind = int(draw.integers(0, 8))
    if kind <= 1 and len(here.attrs):
        attribute = str(draw.choice(sorted(here.attrs)))
        del here.attrs[attribute]
        if kind == 0:
            here.attrs[attribute] = _hdf5_value(draw)
        return
    attributes = dict(here.attrs)
    # What HDF5 itself refers to goes before the name is free again.
    del group[key]
    if kind == 2:
        return
    if kind == 3:
        targets = ("/", name, f"/{holder}", "/nowhere", "/acquisition", "/acquisition/iEEG")
        group[key] = h5py.SoftLink(str(draw.choice(targets)))
        return
    if kind == 4:
        other = str(draw.choice(["/etc/hostname", "other.nwb", "sub-01_task-read_ieeg.nwb"]))
        group[key] = h5py.ExternalLink(other, "/acquisition")
        return
    if kind == 5:
        group[key] = file
        return
    made = group.create_dataset(key, **_dataset(draw)) if kind == 6 else group.create_group(key)
    for attribute, value in attributes.items():
        made.attrs[attribute] = value


def _hdf5_value(draw: Draw) -> Any:
    values: tuple[Any, ...] = (
        *(0, -1, 2**62, float("nan"), float("inf"), 1e308, "", "x", b"\xff\xfe", "V", "/"),
        *(np.zeros(0), np.zeros((2, 2)), np.array([b"x", b"y"]), np.array([np.nan, 1])),
    )
    return values[int(draw.integers(0, len(values)))]


def _dataset(draw: Draw) -> dict[str, Any]:
    """Return what an unexpected dataset of HDF5 is made from."""
    made: tuple[dict[str, Any], ...] = (
        {"shape": (0,), "dtype": "f8"},
        {"shape": (), "dtype": "f8"},
        {"shape": (2**20, 3), "dtype": "f8"},
        {"shape": (2**40, 3), "dtype": "f8", "chunks": (1024, 3)},
        {"shape": (2**40,), "dtype": "f8", "chunks": (1024,)},
        {"shape": (2**26, 3), "dtype": "f8", "chunks": (2**26, 3), "compression": "gzip"},
        {"shape": (2**62,), "dtype": "i1", "chunks": (2**20,)},
        {"shape": (400, 3), "dtype": "i1"},
        {"shape": (400, 3), "dtype": "f2"},
        {"shape": (400, 3), "dtype": "c16"},
        {"shape": (400, 3), "dtype": "S4"},
        {"shape": (400, 2), "dtype": [("a", "f8"), ("b", "i4")]},
        {"shape": (400, 3), "dtype": "u8", "fillvalue": 2**64 - 1},
        {"shape": (400, 3), "dtype": "f8", "fillvalue": np.nan},
        {"shape": (3, 400), "dtype": "f8"},
        {"shape": (400, 3, 1), "dtype": "f8"},
        {"data": np.full(400, np.nan)},
        {"data": np.full(400, 1e308)},
        {"data": np.arange(400)[::-1] / 256},
        {"data": np.arange(400) * 1e-320},
        {"data": b"\xff\xfe"},
        {"data": "2020"},
        {"data": [b"x"] * 400},
    )
    return dict(made[int(draw.integers(0, len(made)))])


STRUCTURED: dict[str, Callable[[bytes, Draw], bytes]] = {
    ".tsv": of_table,
    ".csv": _of_csv,
    ".vec": _of_lines,
    ".vhdr": _of_lines,
    ".vmrk": _of_lines,
    ".txt": _of_lines,
    ".json": _of_json,
    ".yaml": _of_yaml,
}

if os.environ.get("HDF5_USE_FILE_LOCKING") is None:
    # A worker that was killed must not leave a lock behind.
    os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"
