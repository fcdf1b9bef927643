"""Embeddings of a shared stimulus, as one listener's recordings heard it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma.embeddings.stream import Audio, Float32Array
from highgamma.recording.files import STIMULUS
from highgamma.recording.heard import STIMULUS_WORD, place_in_recordings
from highgamma.store import open_dataset

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


def audio_as_heard(audio: Audio, heard: pd.DataFrame) -> Audio:
    """Return a stimulus's sound once for each presentation, on the recordings' clocks.

    Parameters
    ----------
    audio
        Of the stimulus.
    heard
        The listener's presentations. The rate is that of the first; the sound of others whose
        clock has another stretch is interpolated linearly, which at a hundredth of the rate costs
        less than a thousandth of the amplitude.
    """
    parts = {number: (start, samples) for number, start, samples in audio.parts()}
    rows = [r for r in heard.to_dict("records") if r["stimulus"] in parts]
    if not rows:
        return replace(audio, samples=audio.samples[:0], segment=(), first=(), start=())
    stretch = float(rows[0]["stretch"])
    samples = [_stretched(parts[row["stimulus"]][1], row["stretch"] / stretch) for row in rows]
    return Audio(
        samples=np.concatenate(samples),
        rate=audio.rate / stretch,
        segment=tuple(int(row["segment"]) for row in rows),
        first=tuple(int(n) for n in np.cumsum([0, *map(len, samples[:-1])])),
        start=tuple(
            float(row["onset"] + row["stretch"] * parts[row["stimulus"]][0]) for row in rows
        ),
    )


def _stretched(samples: Float32Array, stretch: float) -> Float32Array:
    """Return samples of a sound that lasts `stretch` times as long, at the same rate."""
    if stretch == 1:
        return samples
    at = np.arange(int(np.ceil(len(samples) * stretch))) / stretch
    return np.interp(at, np.arange(len(samples)), samples).astype(np.float32)


@contextmanager
def open_as_heard(
    path: str | Path, words: pd.DataFrame, heard: pd.DataFrame
) -> Iterator[xr.Dataset]:
    """Open a file of embeddings; those of the shared stimulus come as a listener heard them.

    Parameters
    ----------
    path
        `embeddings/<model>/<participant>.nc`.
    words, heard
        The listener's tables of words and presentations.
    """
    with open_dataset(path) as embeddings:
        shared = Path(path).stem == STIMULUS
        yield as_heard(embeddings, words, heard) if shared else embeddings


def as_heard(embeddings: xr.Dataset, words: pd.DataFrame, heard: pd.DataFrame) -> xr.Dataset:
    """Return a stimulus's embeddings with a listener's words, recordings and clock.

    Parameters
    ----------
    embeddings
        Of the stimulus; values are read when they are used.
    words
        The listener's table of words, with the rows of the stimulus's words.
    heard
        The listener's presentations.

    Returns
    -------
    embeddings
        Frames once for each presentation, with `time` and `segment` of the recordings; words and
        trials once for each word of `words`, with its `word_index`.
    """
    if str(embeddings.attrs["unit"]) == "frame":
        rows, time, segment = place_in_recordings(
            embeddings["time"].values, embeddings["segment"].values, heard
        )
        return _taken(embeddings, rows, time=time, segment=segment)
    given = np.asarray(embeddings["word_index"].values, dtype=np.int64)
    of_word = words[STIMULUS_WORD].to_numpy(dtype=np.int64)
    order = np.argsort(given, kind="stable")
    first = np.searchsorted(given[order], of_word, side="left")
    last = np.searchsorted(given[order], of_word, side="right")
    each = [order[a:b] for a, b in zip(first, last, strict=True)]
    rows = np.concatenate([np.empty(0, np.int64), *each])
    return _taken(embeddings, rows, word_index=np.repeat(np.arange(len(of_word)), last - first))


def _taken(
    embeddings: xr.Dataset, rows: NDArray[np.int64], **coordinates: NDArray[Any]
) -> xr.Dataset:
    """Take rows along the samples, with other coordinates; the whole is not copied."""
    sample = str(embeddings["embedding"].dims[1])
    whole = np.array_equal(rows, np.arange(embeddings.sizes[sample]))
    taken = embeddings if whole else embeddings.isel({sample: rows})
    return taken.assign_coords({name: (sample, v) for name, v in coordinates.items()})
