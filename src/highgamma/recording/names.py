"""Names of channels that are written differently in two files of one recording.

Files call one contact `EEG LA01-Ref`, `POL LA1` or `la1`. Names match as they are, or else by a
key that leaves out what recorders add: see `key`. What two names share that way is only taken for
the same where it is the only possibility.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from highgamma.errors import InputError

LOG = logging.getLogger("highgamma")

_PRIMES = re.compile("[\u2018\u2019\u02b9\u02bc\u2032\u00b4`]")
_PREFIX = re.compile(r"^(eeg|seeg|ieeg|ecog|pol)\s+", re.IGNORECASE)
_SUFFIX = re.compile(r"[-_ ]+(ref|reference|avg|av|g2|org)\d*$", re.IGNORECASE)
_NUMBER = re.compile(r"\d+")


def key(name: str) -> str:
    """Return what spellings of one channel's name share.

    Left out are a recorder's prefix (`EEG `, `SEEG `, `ECOG `, `POL `) and reference (`-Ref`,
    `-AVG`, `-G2`), case, blanks, zeros before a number, and the kind of prime or apostrophe.
    """
    text = _PRIMES.sub("'", unicodedata.normalize("NFKC", _PRIMES.sub("'", name))).strip()
    text = _SUFFIX.sub("", _PREFIX.sub("", text)).casefold()
    return _NUMBER.sub(lambda n: str(int(n[0])), "".join(text.split()))


def matched(
    names: Sequence[str], others: Sequence[str], *, where: Path | str | None, what: str
) -> dict[str, str]:
    """Find the same channels in two lists of names.

    Parameters
    ----------
    names, others
        Names of channels, each once.
    where, what
        The file of the others, and what they are, for messages.

    Returns
    -------
    same
        For each name that has one its name among the others, equal or else of the same key.

    Raises
    ------
    InputError
        If several names could be the same.
    """
    same = {name: name for name in names if name in set(others)}
    left = [name for name in names if name not in same]
    if not left:
        return same
    keys = Counter(key(name) for name in names)
    by_key: dict[str, list[str]] = {}
    for other in others:
        by_key.setdefault(key(other), []).append(other)
    found = {}
    for name in left:
        possible = by_key.get(key(name), [])
        if len(possible) > 1 or (possible and keys[key(name)] > 1):
            doubles = [n for n in names if key(n) == key(name)]
            raise InputError(
                f"it is not clear whether {', '.join(map(repr, doubles))} of the recording "
                f"{'are' if len(doubles) > 1 else 'is'} {', '.join(map(repr, possible))} of {what}",
                where=where,
                expected="the same names in both",
                remedy="correct the names in the table",
            )
        if possible:
            found[name] = possible[0]
    if found:
        name, other = next(iter(found.items()))
        LOG.warning(
            "%d names differ in spelling from those of %s and are taken for the same, such as %r "
            "for %r",
            len(found), what, name, other,
        )  # fmt: skip
    return same | found
