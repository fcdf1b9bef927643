"""References to the neighbours on a shaft or grid: bipolar and Laplacian.

Neighbours have consecutive contact numbers on one shaft. The end of a row of a grid and the start
of the next have them too, and are not neighbours: they are told apart by their distance, or by the
rows and columns that `neural.grids` gives. Electrodes without a neighbour are left out: a signal
with another reference would not be comparable with the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from highgamma.errors import InputError
from highgamma.neural.electrodes import Electrodes
from highgamma.neural.montage import BoolArray, Montage, Sources
from highgamma.neural.references import REFERENCES, ReferenceScheme

FARTHEST = 15.0
"""mm between contacts of consecutive numbers beyond which they are never neighbours."""

USUAL = 1.35
"""Times the usual spacing of a shaft beyond which contacts of consecutive numbers are not
neighbours. Between rows of two contacts, the narrowest grid, it is 1.41; on straight shafts
localisation errors rarely reach 1.3 (electrodes.tsv of OpenNeuro ds003688, ds004993, ds005574)."""

LONGEST_SHAFT = 18
"""Contacts of the longest depth electrodes for stereo-EEG; more that share a name are a grid, or
several shafts."""

NEEDS = (
    "a neighbour on the same shaft: names like LA1 and LA2, letters for the shaft, then a number"
)

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
            expected=f"coordinates in electrodes.tsv, or at most {LONGEST_SHAFT} contacts of a name",
            remedy="give the rows and columns of the grid, for example neural.grids: "
            f"{{{name}: [{rows}, {len(shaft) // rows}]}} (one row for contacts in one line), or set "
            "neural.reference to none or car",
        )
    # Without coordinates consecutive numbers have to do.
    near = np.ones(len(contacts), bool)
    if len(known):
        near = distance <= min(FARTHEST, USUAL * float(np.median(known)))
        if len(shaft) <= LONGEST_SHAFT:
            near |= np.isnan(distance)
    return [(contact, 1) for contact, is_near in zip(contacts, near, strict=True) if is_near]


def bipolar(electrodes: Electrodes, flat: BoolArray) -> Montage:
    """Subtract contact k + 1 of the same shaft from contact k.

    A pair is named `LA1-LA2`, lies at the midpoint, and is flat if either contact is.
    """
    pairs = [(i, found[1]) for i, found in enumerate(neighbours(electrodes)) if 1 in found]
    return Montage(
        names=tuple(f"{electrodes.names[i]}-{electrodes.names[j]}" for i, j in pairs),
        sources=tuple(((i, 1.0), (j, -1.0)) for i, j in pairs),
        positions=np.array([electrodes.positions[[i, j]].mean(axis=0) for i, j in pairs]),
        flat=np.array([flat[i] or flat[j] for i, j in pairs], dtype=bool),
    )


def laplacian(electrodes: Electrodes, flat: BoolArray) -> Montage:
    """Subtract the mean of its neighbours from each contact.

    These are the contacts before and after it on the shaft; in a grid of known rows and columns
    (`neural.grids`), those above and below too. Next to an end, a gap or a flat contact they are
    fewer. Flat contacts stay as they are.
    """
    sources: list[Sources] = []
    for i, found in enumerate(neighbours(electrodes)):
        live: Sequence[int] = [found[step] for step in sorted(found) if not flat[found[step]]]
        if flat[i]:
            sources.append(((i, 1.0),))
        elif live:
            sources.append(((i, 1.0), *((j, -1.0 / len(live)) for j in live)))
    centres = [contact[0][0] for contact in sources]
    return Montage(
        names=tuple(electrodes.names[i] for i in centres),
        sources=tuple(sources),
        positions=electrodes.positions[centres],
        flat=flat[centres],
    )


REFERENCES.register(
    ReferenceScheme(
        name="bipolar",
        description="minus the next contact of the same shaft",
        needs=NEEDS,
        montage=bipolar,
    )
)
REFERENCES.register(
    ReferenceScheme(
        name="laplacian",
        description="minus the mean of the neighbours on the same shaft",
        needs=NEEDS,
        montage=laplacian,
    )
)
