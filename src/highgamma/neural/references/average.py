"""Common average reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from highgamma.neural.electrodes import Electrodes
from highgamma.neural.montage import BoolArray, Montage
from highgamma.neural.references import REFERENCES, ReferenceScheme
from highgamma.neural.references.as_recorded import as_recorded


def common_average(electrodes: Electrodes, flat: BoolArray) -> Montage:
    """Subtract the mean of all electrodes that are not flat from each of them."""
    live = tuple(int(i) for i in np.flatnonzero(~flat))
    return replace(as_recorded(electrodes, flat), average=live)


REFERENCES.register(
    ReferenceScheme(
        name="car",
        description="minus the mean of all electrodes",
        needs="an electrode that is not flat",
        montage=common_average,
    )
)
