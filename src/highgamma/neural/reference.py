"""Re-referencing by shaft and contact number: common average, bipolar, Laplacian."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from highgamma.errors import InputError
from highgamma.recording.reader import Reader, Values

FloatArray = NDArray[np.float64]

FARTHEST = 15.0
"""mm between contacts of consecutive numbers beyond which they are no neighbours: the end of one
row of a grid and the start of the next."""

_log = logging.getLogger("highgamma")


@dataclass(frozen=True, slots=True)
class Montage:
    """Channels after re-referencing.

    names : of the new channels. sources : for each, (original channel, weight) pairs; the common
    average is not among them. origin : original channel that a new one is named or placed after.
    average : original channels whose mean is subtracted, empty for none. averaged : which new
    channels it is subtracted from. positions : (channel, 3), mm, NaN where unknown.
    flat : new channels that carry no signal or are made with one that does not.
    """

    names: tuple[str, ...]
    sources: tuple[tuple[tuple[int, float], ...], ...]
    origin: tuple[int, ...]
    average: tuple[int, ...]
    averaged: NDArray[np.bool_]
    positions: FloatArray
    flat: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.names)


def montage(
    reference: str,
    *,
    names: Sequence[str],
    shafts: Sequence[str | None],
    contacts: Sequence[int | None],
    positions: FloatArray,
    flat: NDArray[np.bool_],
) -> Montage:
    """Which channels come out of a reference, and of what they are made.

    - `none`: every channel as recorded.
    - `car`: every channel minus the mean of all channels that are not flat.
    - `bipolar`: contact k minus contact k + 1 of the same shaft, named `LA1-LA2`, at their
      midpoint.
    - `laplacian`: contact minus the mean of its two neighbours; at the end of a shaft or beside a
      gap (or a flat contact) minus the one neighbour it has.

    Neighbours have consecutive numbers on one shaft and, where both positions are known, are at
    most `FARTHEST` mm apart. Contacts without a neighbour are left out of bipolar and Laplacian
    montages, with a warning: a channel in another reference would not compare with the rest.
    Flat channels stay as they are and are never subtracted from another one, except in a bipolar
    pair, which is then flagged as flat.

    Parameters
    ----------
    names, shafts, contacts, flat : (channel,). positions : (channel, 3), mm.

    Raises
    ------
    InputError
        Where the reference leaves no channel.
    """
    n = len(names)
    if reference in ("none", "car"):
        live = tuple(int(i) for i in np.flatnonzero(~flat))
        return Montage(
            names=tuple(names),
            sources=tuple(((i, 1.0),) for i in range(n)),
            origin=tuple(range(n)),
            average=live if reference == "car" else (),
            averaged=~flat if reference == "car" else np.zeros(n, bool),
            positions=positions,
            flat=flat.copy(),
        )
    place = {
        (shaft, contact): i
        for i, (shaft, contact) in enumerate(zip(shafts, contacts, strict=True))
        if shaft is not None and contact is not None
    }

    def neighbour(i: int, step: int) -> int | None:
        shaft, contact = shafts[i], contacts[i]
        if shaft is None or contact is None:
            return None
        j = place.get((shaft, contact + step))
        if j is None:
            return None
        distance = float(np.linalg.norm(positions[i] - positions[j]))
        return None if distance > FARTHEST else j

    makers = {"bipolar": _bipolar, "laplacian": _laplacian}
    made = makers[reference](n, neighbour, flat)
    if not made:
        raise InputError(
            f"no electrode has a neighbour on its shaft, so the reference {reference!r} leaves "
            "no channel",
            where="neural.reference",
            expected="names like LA1, LA2: letters for the shaft, numbers for the contact",
            remedy="set neural.reference to none or car",
        )
    used = {i for sources in made for i, _ in sources}
    lonely = [names[i] for i in range(n) if i not in used]
    if lonely:
        _log.warning(
            "reference %s: %d electrode(s) without a neighbour left out: %s",
            reference,
            len(lonely),
            ", ".join(lonely),
        )
    paired = reference == "bipolar"
    return Montage(
        names=tuple("-".join(names[i] for i, _ in s) if paired else names[s[0][0]] for s in made),
        sources=tuple(made),
        origin=tuple(s[0][0] for s in made),
        average=(),
        averaged=np.zeros(len(made), bool),
        positions=np.array(
            [positions[[i for i, _ in s] if paired else [s[0][0]]].mean(axis=0) for s in made]
        ),
        flat=np.array(
            [any(flat[i] for i, _ in s) if paired else bool(flat[s[0][0]]) for s in made], bool
        ),
    )


Neighbour = Callable[[int, int], "int | None"]
Sources = list[tuple[tuple[int, float], ...]]


def _bipolar(n: int, neighbour: Neighbour, flat: NDArray[np.bool_]) -> Sources:
    pairs = ((i, neighbour(i, 1)) for i in range(n))
    return [((i, 1.0), (j, -1.0)) for i, j in pairs if j is not None]


def _laplacian(n: int, neighbour: Neighbour, flat: NDArray[np.bool_]) -> Sources:
    made: Sources = []
    for i in range(n):
        if flat[i]:
            made.append(((i, 1.0),))
            continue
        around = [j for step in (-1, 1) if (j := neighbour(i, step)) is not None and not flat[j]]
        if around:
            made.append(((i, 1.0), *((j, -1.0 / len(around)) for j in around)))
    return made


def rereferenced(recording: Reader, montage: Montage, *, piece: int = 2**22) -> Reader:
    """Read a recording through a montage.

    The common average is computed once, piece by piece (`piece` values at a time), and kept:
    8 bytes a sample.

    Parameters
    ----------
    recording
        The channels that the montage was made for, µV.
    montage
        The channels after re-referencing.
    """
    average = None
    if montage.average:
        average = _average(recording, montage.average, piece=piece)
    as_recorded = all(s == ((i, 1.0),) for i, s in enumerate(montage.sources))

    def fetch(start: int, stop: int, columns: Sequence[int]) -> Values:
        block = slice(columns[0], columns[-1] + 1)
        if as_recorded:
            voltage = recording.read(start, stop, block)
        else:
            used = [i for column in columns for i, _ in montage.sources[column]]
            low, high = min(used), max(used) + 1
            weights = np.zeros((high - low, len(columns)))
            for place, column in enumerate(columns):
                for i, weight in montage.sources[column]:
                    weights[i - low, place] = weight
            voltage = recording.read(start, stop, slice(low, high)) @ weights
        if average is not None:
            voltage = voltage - average[start:stop, None] * montage.averaged[block]
        return voltage

    return replace(recording, names=montage.names, fetch=fetch, piece=None)


def _average(recording: Reader, channels: tuple[int, ...], *, piece: int) -> FloatArray:
    """Mean of some channels at every sample, (samples,)."""
    n_samples, n_channels = recording.n_samples, len(recording.names)
    average = np.empty(n_samples)
    step = max(1, piece // n_channels)
    for start in range(0, n_samples, step):
        stop = min(start + step, n_samples)
        voltage = recording.read(start, stop)
        live = voltage if len(channels) == n_channels else voltage[:, list(channels)]
        average[start:stop] = live.mean(axis=1)
    return average
