"""A recorded channel as the regressor, such as a force sensor: means over the neural frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highgamma.embeddings.stream import Embeddings, FloatArray, frame_windows
from highgamma.errors import InputError, nearest
from highgamma.recording.reader import Reader

_BLOCK = 8192


def window_averages(recorded: Reader, *, window: float, shift: float) -> Iterator[FloatArray]:
    """Yield means over the frames of a segment, in blocks (frame,), reading block by block."""
    first, length = frame_windows(recorded.n_samples, recorded.rate, window, shift)
    for a in range(0, len(first), _BLOCK):
        some = first[a : a + _BLOCK]
        samples = recorded.read(int(some[0]), int(some[-1]) + length)[:, 0]
        yield samples[(some - some[0])[:, None] + np.arange(length)].mean(axis=1)


def channel_embeddings(model: dict[str, Any], *, recorded: list[Reader]) -> Embeddings:
    """Return one feature: the channel at the frame rate of the neural signal, in its own unit.

    Parameters
    ----------
    model
        Resolved catalogue entry of kind `channel`.
    recorded
        The channel in each segment.
    """
    window, shift = float(model["window"]), float(model["shift"])
    counts = [len(frame_windows(r.n_samples, r.rate, window, shift)[0]) for r in recorded]

    def blocks() -> Iterator[NDArray[np.float32]]:
        for part in recorded:
            for means in window_averages(part, window=window, shift=shift):
                yield means[None, :, None].astype(np.float32)

    numbers = [np.full(n, number, dtype=np.int16) for number, n in enumerate(counts)]
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
    """Return the channel's name; raise an `InputError` if the recording has no such channel."""
    if name not in names:
        raise InputError(
            f"the recording has no channel {name!r}{nearest(name, names)}",
            where=where,
            expected=f"one of {', '.join(names)}",
            remedy="correct `channel` in the model's catalogue entry",
        )
    return name
