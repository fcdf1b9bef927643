"""Open recordings, whatever their file format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.util import find_spec

from highgamma.errors import InputError
from highgamma.recording.files import Segment
from highgamma.recording.formats import format_of
from highgamma.recording.gaps import stretch_of
from highgamma.recording.joined import joined
from highgamma.recording.reader import Reader, Values
from highgamma.recording.signals import Signals


@contextmanager
def open_signals(segment: Segment) -> Iterator[Signals]:
    """Open a recording without reading it; see `Signals`.

    Raises
    ------
    InputError
        If a file cannot be read, or contradicts channels.tsv, or if several acquisitions cannot be
        one recording (`joined`).
    """
    with ExitStack() as stack:
        parts = [stack.enter_context(_open_file(part)) for part in segment.parts()]
        yield joined(parts) if len(parts) > 1 else parts[0]


@contextmanager
def _open_file(segment: Segment) -> Iterator[Signals]:
    """Open the one file of a recording that has only one."""
    form = format_of(segment.signal)
    if form.package is not None and find_spec(form.package) is None:
        raise InputError(
            f"{form.name} files need the package {form.package}, which is not installed",
            where=segment.signal,
            remedy=f"pip install {form.package}, or convert the recording to BrainVision or EDF",
        )
    with form.opened(segment) as signals:
        yield signals


@contextmanager
def open_channels(segments: Sequence[Segment], names: Sequence[str]) -> Iterator[list[Reader]]:
    """Open some channels of each of a participant's recordings, stretch by stretch between gaps.

    Parameters
    ----------
    segments
        From `find`.
    names
        The channels, in the order wanted.

    Raises
    ------
    InputError
        As `open_signals`; or if a recording has no such channel.
    """
    with ExitStack() as stack:
        signals = [stack.enter_context(open_signals(segment)) for segment in segments]
        yield [
            stretch_of(recording.select(names), part)
            for recording in signals
            for part in recording.stretches()
        ]


def reopened(segment: Segment, names: Sequence[str]) -> list[Reader]:
    """Return readers of some channels, one for each stretch between gaps.

    They open the recording for each piece and close it, and serve arrays that are computed later
    than their description.
    """
    with open_signals(segment) as signals:
        described, parts = signals.select(names), signals.stretches()

    def fetch(start: int, stop: int, columns: Sequence[int]) -> Values:
        with open_signals(segment) as signals:
            return signals.select([names[column] for column in columns]).read(start, stop)

    reader = replace(described, fetch=fetch, piece=None)
    return [stretch_of(reader, part) for part in parts]
