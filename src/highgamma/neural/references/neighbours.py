"""References to the neighbours on a shaft or grid: bipolar and Laplacian.

`highgamma.neural.neighbours` finds the neighbours. Electrodes without one are left out: a signal
with another reference would not be comparable with the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from highgamma.neural.electrodes import Electrodes
from highgamma.neural.montage import BoolArray, Montage, Sources
from highgamma.neural.neighbours import neighbours
from highgamma.neural.references import REFERENCES, ReferenceScheme

NEEDS = (
    "a neighbour on the same shaft: names like LA1 and LA2, letters for the shaft, then a number"
)


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
