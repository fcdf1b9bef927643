"""References to the neighbours on a shaft or grid: bipolar and Laplacian.

Neighbours have consecutive contact numbers on one shaft and, if both positions are known, are at
most `FARTHEST` mm apart. Electrodes without a neighbour are left out: a signal with another
reference would not be comparable with the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from highgamma.neural.electrodes import Electrodes
from highgamma.neural.montage import BoolArray, Montage, Sources
from highgamma.neural.references import REFERENCES, ReferenceScheme

FARTHEST = 15.0
"""mm between contacts of consecutive numbers beyond which they are not neighbours: the end of one
row of a grid and the start of the next."""

NEEDS = (
    "a neighbour on the same shaft: names like LA1 and LA2, letters for the shaft, then a number"
)


def neighbours(electrodes: Electrodes, step: int) -> list[int | None]:
    """Find the electrode `step` contact numbers further along the shaft, for each electrode."""
    places = list(zip(electrodes.shafts, electrodes.contacts, strict=True))
    index = {place: i for i, place in enumerate(places) if None not in place}
    indices: list[int | None] = []
    for i, (shaft, contact) in enumerate(places):
        j = None if contact is None else index.get((shaft, contact + step))
        if j is not None:
            distance = np.linalg.norm(electrodes.positions[i] - electrodes.positions[j])
            j = None if distance > FARTHEST else j
        indices.append(j)
    return indices


def bipolar(electrodes: Electrodes, flat: BoolArray) -> Montage:
    """Subtract contact k + 1 of the same shaft from contact k.

    A pair is named `LA1-LA2`, lies at the midpoint, and is flat if either contact is.
    """
    pairs = [(i, j) for i, j in enumerate(neighbours(electrodes, 1)) if j is not None]
    return Montage(
        names=tuple(f"{electrodes.names[i]}-{electrodes.names[j]}" for i, j in pairs),
        sources=tuple(((i, 1.0), (j, -1.0)) for i, j in pairs),
        positions=np.array([electrodes.positions[[i, j]].mean(axis=0) for i, j in pairs]),
        flat=np.array([flat[i] or flat[j] for i, j in pairs], dtype=bool),
    )


def laplacian(electrodes: Electrodes, flat: BoolArray) -> Montage:
    """Subtract the mean of the two neighbours from each contact.

    At the end of a shaft, and next to a gap or a flat contact, it is the one neighbour that there
    is. Flat contacts stay as they are.
    """
    sources: list[Sources] = []
    for i, around in enumerate(
        zip(neighbours(electrodes, -1), neighbours(electrodes, 1), strict=True)
    ):
        live: Sequence[int] = [j for j in around if j is not None and not flat[j]]
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
