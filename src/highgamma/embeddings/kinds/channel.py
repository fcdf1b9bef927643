"""A recorded channel as the regressor."""

from __future__ import annotations

from collections.abc import Sequence
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


class Channel(Kind):
    """A recorded channel, such as a force sensor, in means over frames."""

    name = "channel"
    description = "a recorded channel, such as a force sensor"
    options = {
        "channel": Option(
            (str,), None, "the name of a recorded channel", "name of the recorded channel"
        ),
        "window": WINDOW,
        "shift": SHIFT,
    }
    needs = ("recording",)

    def samples(self, entry: Entry, size: RecordingSize) -> float:
        """Return the number of frames."""
        return size.seconds / float(entry.get("shift") or SHIFT.default)

    def check_recording(self, entry: Entry, names: Sequence[str], *, where: str) -> None:
        """Refuse a recording without the channel."""
        from highgamma.embeddings.channel import checked_channel

        checked_channel(str(entry["channel"]), list(names), where=where)

    def make(self, entry: dict[str, Any], given: Given) -> Embeddings:
        """Average the channel over frames, recording by recording."""
        from highgamma.embeddings.channel import channel_embeddings
        from highgamma.recording.opening import open_signals, reopened

        segments = given.recordings()
        for segment in segments:
            with open_signals(segment) as signals:
                self.check_recording(entry, signals.names, where=str(segment.signal))
        name = str(entry["channel"])
        recorded = [part for segment in segments for part in reopened(segment, [name])]
        return channel_embeddings(entry, recorded=recorded)


KINDS.register(Channel())
