"""Words of a TextGrid, as Praat and forced aligners write them; read with praatio."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pandas as pd

from highgamma.errors import InputError, nearest

LOG = logging.getLogger("highgamma")

MOST_BYTES = 100_000_000
"""Size beyond which a TextGrid is refused: a day of phones has less."""

PHONES = ("phone", "phones", "phoneme", "phonemes", "segments", "mau")
"""First or last word of the name of a tier of phones."""

SILENCES = ("", "sp", "sil", "spn", "<eps>", "<sil>", "<p:>", "<p>", "<unk>", "{sl}", "{ns}", "#")
"""Labels of intervals in which no word is said, in small letters."""


def textgrid_words(path: Path, tier: str | None = None) -> pd.DataFrame:
    """Return the words of a TextGrid, with `onset` and `offset` in s.

    Parameters
    ----------
    path
        A TextGrid, long or short, in UTF-8 or UTF-16.
    tier
        Name of the tier of words. Without one it is the only one whose name begins or ends with
        `word` or `words`, else the only tier of intervals that is not one of phones.

    Raises
    ------
    InputError
        If the file cannot be read or has no such tier.
    """
    grid = _opened(path)
    tiers = {name: grid.getTier(name) for name in grid.tierNames}
    intervals = {name: t for name, t in tiers.items() if type(t).__name__ == "IntervalTier"}
    name = _chosen(list(intervals), tier, path)
    rows = [
        (str(label).strip(), float(start), float(stop))
        for start, stop, label in intervals[name].entries
        if str(label).strip().lower() not in SILENCES
    ]
    if not rows:
        raise InputError(
            f"the tier {name!r} has no words",
            where=path,
            expected="intervals with words",
            remedy="name another tier in dataset.words.tier",
        )
    LOG.info("%s: %d words from the tier %r", path.name, len(rows), name)
    return pd.DataFrame(rows, columns=["word", "onset", "offset"])


def _opened(path: Path) -> Any:
    from praatio import textgrid

    problem = None
    try:
        size = path.stat().st_size
        if size <= MOST_BYTES:
            return textgrid.openTextgrid(
                str(path), includeEmptyIntervals=False, duplicateNamesMode="rename"
            )
        problem = f"it has {size} bytes"
    except Exception as error:
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
    raise InputError(
        f"the TextGrid cannot be read: {problem}",
        where=path,
        expected="a TextGrid, UTF-8 or UTF-16",
        remedy="open and save it with Praat, or download it again",
    )


def _chosen(names: list[str], tier: str | None, path: Path) -> str:
    if tier is not None and tier in names:
        return tier
    words = [name for name in names if _of(name, ("word", "words"))]
    others = [name for name in names if not _of(name, PHONES)]
    for few in (words, others):
        if tier is None and len(few) == 1:
            return few[0]
    raise InputError(
        f"which of {len(names)} tiers has the words is not stated"
        if tier is None
        else f"there is no tier {tier!r}{nearest(tier, names)}",
        where=path,
        expected=f"one of {', '.join(map(repr, names))}" if names else "a tier of words",
        remedy="name the tier of words in dataset.words.tier",
    )


def _of(name: str, kinds: tuple[str, ...]) -> bool:
    """Return whether a tier's name begins or ends with one of these words."""
    parts = re.findall(r"[a-z]+", name.lower())
    return bool(parts) and (parts[0] in kinds or parts[-1] in kinds)
