"""No reference but the recording's own."""

from __future__ import annotations

from highgamma.neural.electrodes import Electrodes
from highgamma.neural.montage import BoolArray, Montage
from highgamma.neural.references import REFERENCES, ReferenceScheme


def as_recorded(electrodes: Electrodes, flat: BoolArray) -> Montage:
    """Leave every electrode as it was recorded."""
    return Montage(
        names=electrodes.names,
        sources=tuple(((i, 1.0),) for i in range(len(electrodes))),
        positions=electrodes.positions,
        flat=flat.copy(),
    )


REFERENCES.register(
    ReferenceScheme(
        name="none",
        description="each electrode as recorded",
        needs="nothing",
        montage=as_recorded,
    )
)
