"""Features of the position in time only: a control for splits with leakage.

Blurred identity blocks, after the "orthogonal autocorrelated sequences" of Feghhi, Hadidi et al.
(2024, arXiv 2406.01538): one bump after another along each segment. A model that does better on
held-out data than these does so for another reason than that neighbouring moments are alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highgamma.embeddings.stream import Embeddings, FloatArray


def bumps(time: FloatArray, centres: FloatArray, *, blur: float) -> FloatArray:
    """Return exp(−(t − c)² / 2 blur²), (time, centre), in s; 0 beyond three times the blur.

    A longer tail would be all that training samples see of a bump inside a held-out block, and
    z-scoring would blow it up a thousandfold.
    """
    distance = (time[:, None] - centres[None, :]) / blur
    return np.where(np.abs(distance) <= 3.0, np.exp(-0.5 * distance**2), 0.0)


def position_embeddings(
    model: dict[str, Any], *, extents: list[tuple[int, float, float]]
) -> Embeddings:
    """Return bumps over all segments; no bump crosses a segment's border.

    Parameters
    ----------
    model
        Resolved catalogue entry of kind `position`: `spacing` of the bumps, their `blur` (standard
        deviation) and the `shift` between frames, s; `most`, how many bumps there may be. Where the
        segments are longer than that many spacings, spacing and blur grow alike.
    extents
        Number, start and stop (s) of each segment.
    """
    spacing, blur, shift = (float(model[key]) for key in ("spacing", "blur", "shift"))
    wider = max(1.0, sum(stop - start for _, start, stop in extents) / (model["most"] * spacing))
    spacing, blur = spacing * wider, blur * wider
    grids = [
        (
            number,
            np.arange(start + shift / 2, stop, shift),
            np.arange(start + spacing / 2, max(stop, start + spacing), spacing),
        )
        for number, start, stop in extents
    ]
    width = sum(len(centres) for _, _, centres in grids)

    def blocks() -> Iterator[NDArray[np.float32]]:
        column = 0
        for _, time, centres in grids:
            for a in range(0, len(time), 1024):
                some = time[a : a + 1024]
                block = np.zeros((1, len(some), width), dtype=np.float32)
                block[0, :, column : column + len(centres)] = bumps(some, centres, blur=blur)
                yield block
            column += len(centres)

    return Embeddings(
        unit="frame",
        layers=[0],
        width=width,
        coordinates={
            "time": np.concatenate([time for _, time, _ in grids]),
            "segment": np.concatenate(
                [np.full(len(time), number, dtype=np.int16) for number, time, _ in grids]
            ),
        },
        blocks=blocks(),
        # Brought to another clock, they take nothing from what neighbouring moments sounded like.
        attributes={
            "rate_hz": 1.0 / shift,
            "reach_s": 0.0,
            "spacing_s": spacing,
            "blur_s": blur,
        },
    )
