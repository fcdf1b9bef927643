"""Features of the time only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from highgamma.embeddings.kinds import KINDS, Entry, Given, Kind, Option, RecordingSize, seconds

if TYPE_CHECKING:
    from highgamma.embeddings.stream import Embeddings


class Position(Kind):
    """Bumps along the time of each recording: a control for splits that leak."""

    name = "position"
    description = "bumps along the time of each recording, which know nothing else"
    options = {
        "spacing": seconds(1.0, "distance of the bumps, s"),
        "blur": seconds(0.5, "standard deviation of a bump, s"),
        "shift": seconds(0.1, "step from frame to frame, s"),
        "most": Option(
            (int,),
            1000,
            "a count, 1 or more",
            "bumps at most; in longer recordings they are wider apart",
            minimum=1,
        ),
    }
    needs = ("words", "audio", "recording")
    role = "position"

    def fit_options(self, entry: Entry, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return what position changes in the settings of its fit.

        Position features share one scale and are taken as they are: of a bump inside a held-out
        block, training samples have its last trace alone, and z-scoring would blow it up a
        thousandfold. A delayed copy of them is position again, so they are fitted without lags; the
        lags' span goes into the gap, which leaves the split as it is for the other models.
        """
        first, last = settings["lags"] or (0.0, 0.0)
        return {
            "standardize": False,
            "features": "mean",
            "components": None,
            "lags": None,
            "gap": settings["gap"] + last - first,
        }

    def width(self, entry: Entry, size: RecordingSize) -> int:
        """Return the number of bumps."""
        bumps = math.ceil(size.seconds / float(entry["spacing"]))
        return max(1, min(bumps, int(entry.get("most") or bumps)))

    def samples(self, entry: Entry, size: RecordingSize) -> float:
        """Return the number of frames."""
        return size.seconds / float(entry["shift"])

    def make(self, entry: dict[str, Any], given: Given) -> Embeddings:
        """Place the bumps over the sound's extent, else the recordings'."""
        from highgamma.embeddings.position import position_embeddings

        return position_embeddings(entry, extents=given.extents())


KINDS.register(Position())
