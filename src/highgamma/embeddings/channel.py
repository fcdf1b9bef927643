"""A recorded channel as the regressor, such as a force sensor: means over the neural frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highgamma.embeddings.stream import Embeddings, FloatArray, frame_windows
from highgamma.errors import InputError, nearest

_BLOCK = 8192


@dataclass(frozen=True, slots=True)
class Recorded:
    """One channel of one segment: `read(start, stop)` gives its samples, (stop − start,)."""

    segment: int
    rate: float
    n_samples: int
    read: Callable[[int, int], FloatArray]


def window_averages(recorded: Recorded, *, window: float, shift: float) -> Iterator[FloatArray]:
    """Means over the frames of a segment, in blocks (frame,); reads a block's samples at a time."""
    first, length = frame_windows(recorded.n_samples, recorded.rate, window, shift)
    for a in range(0, len(first), _BLOCK):
        some = first[a : a + _BLOCK]
        samples = recorded.read(int(some[0]), int(some[-1]) + length)
        yield samples[(some - some[0])[:, None] + np.arange(length)].mean(axis=1)


def channel_embeddings(model: dict[str, Any], *, recorded: list[Recorded]) -> Embeddings:
    """One feature: the channel at the frame rate of the neural signal, in its recorded unit."""
    window, shift = float(model["window"]), float(model["shift"])
    counts = [len(frame_windows(r.n_samples, r.rate, window, shift)[0]) for r in recorded]

    def blocks() -> Iterator[NDArray[np.float32]]:
        for part in recorded:
            for means in window_averages(part, window=window, shift=shift):
                yield means[None, :, None].astype(np.float32)

    parts = zip(counts, recorded, strict=True)
    numbers = [np.full(n, part.segment, dtype=np.int16) for n, part in parts]
    return Embeddings(
        unit="frame",
        layers=[0],
        width=1,
        coordinates={
            "time": np.concatenate([np.arange(n) * shift + window / 2 for n in counts]),
            "segment": np.concatenate(numbers),
        },
        blocks=blocks(),
        attributes={"rate_hz": 1.0 / shift},
    )


def checked_channel(name: str, names: list[str], *, where: str) -> str:
    """The name, if the recording has a channel of that name; else an `InputError`."""
    if name not in names:
        raise InputError(
            f"the recording has no channel {name!r}{nearest(name, names)}",
            where=where,
            expected=f"one of {', '.join(names)}",
            remedy="correct `channel` in the model's catalogue entry",
        )
    return name
