"""What goes along with speech whatever it means: a control of every analysis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from highgamma.embeddings.kinds import KINDS, SHIFT, Entry, Given, Kind, Option, RecordingSize
from highgamma.embeddings.nuisances import (
    FRAME_GROUPS,
    LAGS_S,
    VOICE_LAGS_S,
    WORD_GROUPS,
    frame_nuisances,
    word_nuisances,
)

if TYPE_CHECKING:
    from highgamma.embeddings.stream import Embeddings


class Nuisances(Kind):
    """Voice, prompts, loudness and word rate; or what a word is like apart from its meaning."""

    name = "nuisances"
    description = (
        "what goes along with speech whatever it means (frames: "
        + ", ".join(FRAME_GROUPS)
        + "; words: "
        + ", ".join(WORD_GROUPS)
        + ")"
    )
    options = {
        "unit": Option(
            (str,), None, "word or frame", "of `word`s or of `frame`s", ("word", "frame")
        ),
        "shift": SHIFT,
    }
    needs = ("words", "audio", "recording")
    role = "nuisance"

    def fit_options(self, entry: Entry, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return what nuisances change in the settings of their fit.

        Those of frames have lags of their own, whatever the analysis's are; the lags' span stays in
        the gap, which leaves the split as it is for the other models.
        """
        first, last = settings["lags"] or (0.0, 0.0)
        return {
            "standardize": True,
            "features": "mean",
            "components": None,
            "lags": None,
            "gap": settings["gap"] + last - first,
        }

    def unfit_for(self, entry: Entry, unit: str) -> str | None:
        """Return why nuisances of words can't enter an analysis of frames, and the reverse."""
        if entry["unit"] == unit:
            return None
        return f"it has the nuisances of {entry['unit']}s"

    def width(self, entry: Entry, size: RecordingSize) -> int:
        """Return the number of features."""
        if entry["unit"] == "word":
            return len(WORD_GROUPS) - 1 + len(VOICE_LAGS_S)
        return len(FRAME_GROUPS) * len(LAGS_S) + 1

    def samples(self, entry: Entry, size: RecordingSize) -> float:
        """Return the number of samples."""
        if entry["unit"] == "word":
            return float(size.words)
        return size.seconds / float(entry.get("shift") or SHIFT.default)

    def make(self, entry: dict[str, Any], given: Given) -> Embeddings:
        """Compute the nuisances from words and sound."""
        sound = given.sound()
        if entry["unit"] == "word":
            return word_nuisances(given.words, sound, language=given.dataset.get("language"))
        return frame_nuisances(
            given.words, sound, given.extents(), shift=float(entry.get("shift") or SHIFT.default)
        )


KINDS.register(Nuisances())
