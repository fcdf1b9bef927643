"""Acquisitions of one moment: the channels of several files, side by side, as one recording."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from highgamma.errors import InputError
from highgamma.recording.gaps import SHORTEST_S
from highgamma.recording.reader import Values
from highgamma.recording.signals import Signals

RATES_APART = 1e-6
"""Share by which rates may differ: 3.6 ms after an hour, less than a frame."""

REMEDY = (
    "choose one acquisition (dataset.acquisition), or take recordings that were made at the same "
    "time with one clock"
)


def joined(parts: Sequence[Signals]) -> Signals:
    """Return the channels of several files as one recording.

    Sample k of each file is taken to be of the same moment. Of files that differ by at most
    `gaps.SHORTEST_S` in length, the longer ones lose their end.

    Parameters
    ----------
    parts
        The open files; of further series with one name, such as a sound, the first counts.

    Raises
    ------
    InputError
        If two files have a channel of one name, or differ in rate, length, start or gaps.
    """
    first = parts[0]
    for one, other in combinations(parts, 2):
        _check(one, other)
    owners = [(part, column) for part in parts for column in range(len(part.names))]

    def fetch(start: int, stop: int, columns: Sequence[int]) -> Values:
        values = np.empty((stop - start, len(columns)))
        for part in parts:
            mine = [k for k, column in enumerate(columns) if owners[column][0] is part]
            if mine:
                values[:, mine] = part.fetch(start, stop, [owners[columns[k]][1] for k in mine])
        return values

    pieces = [part.piece for part in parts if part.piece is not None]
    return Signals(
        path=first.path,
        where=", ".join(str(part.path) for part in parts),
        rate=first.rate,
        n_samples=min(part.n_samples for part in parts),
        names=tuple(name for part in parts for name in part.names),
        clock=first.clock,
        unit=", ".join(dict.fromkeys(part.unit for part in parts)),
        series={name: read for part in reversed(parts) for name, read in part.series.items()},
        gaps=first.gaps,
        fetch=fetch,
        piece=min(pieces, default=None),
        parts=tuple(parts),
    )


def _check(one: Signals, other: Signals) -> None:
    """Refuse two files that cannot be of the same moments, or have a channel in common."""
    both = f"{one.path.name} and {other.path.name}"
    shared = [name for name in other.names if name in set(one.names)]
    if shared:
        raise InputError(
            f"{both} have {len(shared)} channels of the same name: {', '.join(shared[:5])}",
            where=other.path,
            expected="different names, since their channels become those of one recording",
            remedy="rename them in one of the files and in its channels.tsv, or choose one "
            "acquisition (dataset.acquisition)",
        )
    lengths = [part.n_samples / one.rate for part in (one, other)]
    same_gaps = len(one.gaps) == len(other.gaps) and all(
        a.sample == b.sample and abs(a.seconds - b.seconds) <= SHORTEST_S
        for a, b in zip(one.gaps, other.gaps, strict=True)
    )
    for what, a, b, alike in (
        (
            "rates", f"{one.rate:.9g} Hz", f"{other.rate:.9g} Hz",
            abs(one.rate - other.rate) <= RATES_APART * one.rate,
        ),
        (
            "lengths", f"{one.n_samples} samples", f"{other.n_samples} samples",
            abs(lengths[0] - lengths[1]) <= SHORTEST_S,
        ),
        (
            "starts on their clocks", f"{one.clock:.6f} s", f"{other.clock:.6f} s",
            abs(one.clock - other.clock) <= SHORTEST_S,
        ),
        ("gaps", f"{len(one.gaps)}", f"{len(other.gaps)}", same_gaps),
    ):  # fmt: skip
        if not alike:
            raise InputError(
                f"{both} were not recorded together: their {what} are {a} and {b}",
                where=other.path,
                expected=f"the same rate, start and gaps, and lengths within {SHORTEST_S:g} s",
                remedy=REMEDY,
            )
