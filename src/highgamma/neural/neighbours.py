"""Which electrodes are neighbours on a shaft or grid.

Neighbours have consecutive contact numbers on one shaft. The end of a row of a grid and the start
of the next have them too, and are not neighbours: they are told apart by their distance, or by the
rows and columns that `neural.grids` gives.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from highgamma.errors import InputError
from highgamma.neural.electrodes import Electrodes

FARTHEST = 15.0
"""mm between contacts of consecutive numbers beyond which they are never neighbours."""

USUAL = 1.35
"""Times the usual spacing of a shaft beyond which contacts of consecutive numbers are not
neighbours. Between rows of two contacts, the narrowest grid, it is 1.41; on straight shafts
localisation errors rarely reach 1.3 (electrodes.tsv of OpenNeuro ds003688, ds004993, ds005574)."""

SHORTER = 1 / 3
"""Share of a shaft's distances that are shorter than the usual spacing; in a grid of two columns
half of them lead to the next row."""

LONGEST_SHAFT = 18
"""Contacts of the longest depth electrodes for stereo-EEG; more that share a name are a grid, or
several shafts."""

Shaft = dict[int, int]
"""The electrodes of a shaft or grid by their contact numbers."""


def shafts_of(electrodes: Electrodes) -> dict[str, Shaft]:
    """Return the electrodes of each shaft by contact number, those without a number left out."""
    shafts: dict[str, Shaft] = defaultdict(dict)
    for i, (shaft, contact) in enumerate(zip(electrodes.shafts, electrodes.contacts, strict=True)):
        if shaft is not None and contact is not None:
            shafts[shaft][contact] = i
    return dict(shafts)


def neighbours(electrodes: Electrodes) -> list[dict[int, int]]:
    """Find the neighbours of each electrode.

    Returns
    -------
    neighbours
        For each electrode: steps of the contact number to its neighbours, and the neighbours. The
        steps are 1 and -1, and in a grid of known rows and columns also a row's length.

    Raises
    ------
    InputError
        If a grid has no known geometry, or fewer places than contacts.
    """
    found: list[dict[int, int]] = [{} for _ in electrodes.names]
    for name, shaft in shafts_of(electrodes).items():
        if name in electrodes.grids:
            pairs = _pairs_of_grid(name, shaft, electrodes.grids[name])
        else:
            pairs = _pairs_of_shaft(name, shaft, electrodes)
        for contact, step in pairs:
            i, j = shaft[contact], shaft[contact + step]
            found[i][step], found[j][-step] = j, i
    return found


def known_neighbours(electrodes: Electrodes) -> list[list[int]]:
    """Find the neighbours of each electrode; none on a grid whose geometry is not known."""
    found: list[list[int]] = [[] for _ in electrodes.names]
    for name, shaft in shafts_of(electrodes).items():
        members = sorted(shaft.values())
        some = replace(
            electrodes,
            names=tuple(electrodes.names[i] for i in members),
            regions=tuple(electrodes.regions[i] for i in members),
            shafts=(name,) * len(members),
            contacts=tuple(electrodes.contacts[i] for i in members),
            positions=electrodes.positions[members],
            spaces=tuple(electrodes.spaces[i] for i in members),
        )
        try:
            near = neighbours(some)
        except InputError:
            continue
        for i, around in zip(members, near, strict=True):
            found[i] = [members[j] for j in around.values()]
    return found


def _pairs_of_grid(name: str, shaft: Shaft, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Contacts and steps to the next one in the row and in the column of a grid."""
    rows, columns = size
    first = min(1, *shaft)
    if max(shaft) - first >= rows * columns:
        raise InputError(
            f"the grid {name} has a contact {max(shaft)}, but {rows} rows of {columns} contacts "
            f"end at {first + rows * columns - 1}",
            where="neural.grids",
            expected="rows and columns, with contacts numbered row by row",
            remedy=f"correct {name} in neural.grids",
        )
    pairs = []
    for contact in shaft:
        if (contact - first + 1) % columns and contact + 1 in shaft:
            pairs.append((contact, 1))
        # In a single column the next contact is also the next in its column.
        if contact + columns in shaft:
            pairs.append((contact, columns))
    return pairs


def _pairs_of_shaft(name: str, shaft: Shaft, electrodes: Electrodes) -> list[tuple[int, int]]:
    """Contacts whose next one is as near as is usual on the shaft; steps are 1."""
    contacts = [contact for contact in sorted(shaft) if contact + 1 in shaft]
    here = [shaft[contact] for contact in contacts]
    following = [shaft[contact + 1] for contact in contacts]
    steps = electrodes.positions[following] - electrodes.positions[here]
    distance = np.linalg.norm(steps, axis=1)
    known = distance[np.isfinite(distance)]
    if len(shaft) > LONGEST_SHAFT and len(known) < len(distance) / 2:
        rows = next(r for r in range(int(len(shaft) ** 0.5), 0, -1) if len(shaft) % r == 0)
        raise InputError(
            f"{len(shaft)} contacts share the name {name} and have no coordinates: they may be a "
            "grid, in which the end of a row and the start of the next are not neighbours",
            where="neural.reference",
            expected=f"coordinates in electrodes.tsv, or at most {LONGEST_SHAFT} contacts a name",
            remedy="set neural.grids to the rows and columns of each grid, such as "
            f"{{{name}: [{rows}, {len(shaft) // rows}]}} (one row if all lie in one line), or set "
            "neural.reference to none or car",
        )
    # Without coordinates consecutive numbers have to do.
    near = np.ones(len(contacts), bool)
    if len(known):
        usual = float(np.quantile(known, SHORTER, method="lower"))
        near = distance <= min(FARTHEST, USUAL * usual)
        if len(shaft) <= LONGEST_SHAFT:
            near |= np.isnan(distance)
    return [(contact, 1) for contact, is_near in zip(contacts, near, strict=True) if is_near]
