"""Sidecar files of a recording: JSON, and the rows of channels.tsv."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from highgamma.errors import InputError
from highgamma.store import parse_json, read_table

if TYPE_CHECKING:
    from highgamma.recording.files import Segment

LOWEST_MAINS, HIGHEST_MAINS = 10.0, 1000.0
"""Mains frequencies beyond which what a sidecar states is not believed, Hz; railways have 16.7,
aircraft 400."""


def channel_rows(segment: Segment) -> list[dict[str, str]]:
    """Return the rows of channels.tsv as text, in the file's order.

    Raises
    ------
    InputError
        The table is missing, empty, without names, or names a channel twice.
    """
    if segment.channels is None:
        raise InputError(
            "the recording has no channels.tsv",
            where=segment.signal,
            expected=f"{segment.signal.stem.removesuffix('_ieeg')}_channels.tsv next to it or in a "
            "folder above",
            remedy="download the data set's sidecar files, or write the table",
        )
    table = read_table(segment.channels, strings=("name", "type", "units", "status"))
    if "name" not in table or table.empty or table["name"].isna().any():
        raise InputError(
            f"the table has the columns {', '.join(map(str, table.columns))} and {len(table)} rows",
            where=segment.channels,
            expected="a column `name` that is filled in each row",
            remedy="compare the file with the published one",
        )
    twice = table["name"][table["name"].duplicated()].tolist()
    if twice:
        raise InputError(
            f"the channel {twice[0]!r} is listed twice",
            where=segment.channels,
            expected="each name once",
            remedy="correct the table",
        )
    text = table.astype("object").where(table.notna(), "n/a").astype(str)
    return [
        {str(key): str(value).strip() for key, value in row.items()}
        for row in text.to_dict("records")
    ]


def read_json(path: Path) -> dict[str, object]:
    """Read a sidecar of BIDS; a byte-order mark is passed over."""
    try:
        content = parse_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"the sidecar cannot be read: {error}",
            where=path,
            expected="a JSON file, UTF-8",
            remedy="compare the file with the published one",
        ) from error
    if not isinstance(content, dict):
        raise InputError("the sidecar holds no object", where=path, expected="{…}")
    return content


def positive(content: Mapping[str, object], key: str) -> float | None:
    """Return a number above 0 that a sidecar states; None for anything else."""
    stated = content.get(key)
    if isinstance(stated, bool) or not isinstance(stated, int | float):
        return None
    return float(stated) if 0 < stated <= sys.float_info.max else None


def mains_of(segments: Iterable[Segment]) -> float | None:
    """Return the mains frequency that the sidecars of the recordings state, Hz; None if none."""
    for part in (part for segment in segments for part in segment.parts()):
        if part.sidecar is None:
            continue
        stated = positive(read_json(part.sidecar), "PowerLineFrequency")
        if stated is not None and LOWEST_MAINS <= stated <= HIGHEST_MAINS:
            return stated
    return None
