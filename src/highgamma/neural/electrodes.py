"""The electrodes of a participant: names and positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from highgamma.store import read_table

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]

TEXT_COLUMNS = ("name", "region", "space", "shaft", "reason")
"""Columns of the table of channels that are text: a shaft may be called 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Electrodes:
    """The recorded electrodes, in the order of the recordings' channels.

    Attributes
    ----------
    names, regions, shafts, contacts, spaces
        (electrode,); None where unknown.
    positions
        (electrode, 3), mm, NaN where unknown.
    grids
        Rows and columns of the grids whose geometry is known, by the name of their shaft; their
        contacts are numbered row by row.
    """

    names: tuple[str, ...]
    regions: tuple[str | None, ...]
    shafts: tuple[str | None, ...]
    contacts: tuple[int | None, ...]
    positions: FloatArray
    spaces: tuple[str | None, ...]
    grids: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def from_table(cls, channels: pd.DataFrame) -> Electrodes:
        """Take the rows of a participant's table of channels that are kept."""
        kept = channels[channels["kept"] == "yes"]

        def text(column: str) -> tuple[str | None, ...]:
            if column not in kept:
                return (None,) * len(kept)
            return tuple(None if value != value else str(value) for value in kept[column])

        contacts = tuple(None if c is None else int(float(c)) for c in text("contact"))
        place = [c for c in ("x", "y", "z") if c in kept]
        positions = np.full((len(kept), 3), np.nan)
        if len(place) == 3:
            positions[:] = kept[place].to_numpy(dtype=float)
        return cls(
            names=tuple(str(name) for name in kept["name"]),
            regions=text("region"),
            shafts=text("shaft"),
            contacts=contacts,
            positions=positions,
            spaces=text("space"),
        )

    @classmethod
    def from_names(cls, names: Sequence[str]) -> Electrodes:
        """Describe electrodes of which only the name is known."""
        unknown = (None,) * len(names)
        return cls(
            names=tuple(names),
            regions=unknown,
            shafts=unknown,
            contacts=unknown,
            positions=np.full((len(names), 3), np.nan),
            spaces=unknown,
        )

    def on_grids(self, grids: Mapping[str, tuple[int, int]]) -> Electrodes:
        """Return the same electrodes with the geometry of their grids."""
        return replace(self, grids={name: (size[0], size[1]) for name, size in grids.items()})

    def __len__(self) -> int:
        return len(self.names)


def read_electrodes(path: str | PathLike[str]) -> Electrodes:
    """Read the electrodes that are kept from a table of channels of the recording stage."""
    return Electrodes.from_table(read_table(path, strings=TEXT_COLUMNS))
