"""Acoustic features of the sound, and when words are said or shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from highgamma.embeddings.kinds import (
    KINDS,
    SHIFT,
    WINDOW,
    Entry,
    Given,
    Kind,
    Option,
    RecordingSize,
)

if TYPE_CHECKING:
    from highgamma.embeddings.stream import Embeddings


class Acoustic(Kind):
    """Log-mel bands, envelope, or whether a word is being said or shown."""

    name = "acoustic"
    description = "log-mel bands, the envelope, or when words are said or shown"
    options = {
        "feature": Option(
            (str,),
            None,
            "mel, envelope or on-off",
            "`mel` (23 bands), `envelope`, or `on-off` (whether a word is said or shown)",
            ("mel", "envelope", "on-off"),
        ),
        "window": WINDOW,
        "shift": SHIFT,
        "mark": Option(
            (str,),
            "voice",
            "voice or prompt",
            "of `on-off`: the word's `voice` or its `prompt`",
            ("voice", "prompt"),
        ),
    }
    needs = ("words", "audio")

    def hears(self, entry: Entry) -> bool:
        """Return whether the feature is one of the sound."""
        return entry["feature"] in ("mel", "envelope")

    def samples(self, entry: Entry, size: RecordingSize) -> float:
        """Return the number of frames."""
        return size.sound / float(entry.get("shift") or SHIFT.default)

    def make(self, entry: dict[str, Any], given: Given) -> Embeddings:
        """Compute the feature over the whole sound."""
        from highgamma.embeddings.acoustic import acoustic_embeddings, silence

        sound = given.sound()
        if not len(sound.samples) and not self.hears(entry):
            # When words are said or shown needs no sound.
            sound = silence(given.extents())
        return acoustic_embeddings(entry, words=given.words, audio=sound)


KINDS.register(Acoustic())
