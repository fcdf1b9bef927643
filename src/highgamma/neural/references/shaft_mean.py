"""Reference to the mean of each shaft."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from highgamma.neural.electrodes import Electrodes
from highgamma.neural.montage import BoolArray, Montage, Sources
from highgamma.neural.references import REFERENCES, ReferenceScheme


def shaft_mean(electrodes: Electrodes, flat: BoolArray) -> Montage:
    """Subtract the mean of all contacts of its shaft that are not flat from each contact.

    A contact that is alone on its shaft, or the only one that is not flat, is left out: nothing
    would remain of it. Flat contacts stay as they are.
    """
    shafts: dict[str, list[int]] = defaultdict(list)
    for i, shaft in enumerate(electrodes.shafts):
        if shaft is not None and not flat[i]:
            shafts[shaft].append(i)
    sources: list[Sources] = []
    for i, shaft in enumerate(electrodes.shafts):
        live = shafts.get(shaft, []) if shaft is not None else []
        if flat[i]:
            sources.append(((i, 1.0),))
        elif len(live) > 1:
            others = ((j, -1.0 / len(live)) for j in live if j != i)
            sources.append(((i, 1.0 - 1.0 / len(live)), *others))
    centres = [contact[0][0] for contact in sources]
    return Montage(
        names=tuple(electrodes.names[i] for i in centres),
        sources=tuple(sources),
        positions=electrodes.positions[centres],
        flat=np.asarray(flat[centres]),
    )


REFERENCES.register(
    ReferenceScheme(
        name="shaft",
        description="minus the mean of the same shaft",
        needs="another contact of the same shaft that is not flat",
        montage=shaft_mean,
    )
)
