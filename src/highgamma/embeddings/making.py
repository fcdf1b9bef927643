"""The stage: one model, one participant, from the recording's files to the stored embeddings."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from highgamma import store
from highgamma.embeddings import writing
from highgamma.embeddings.kinds import KINDS, Given
from highgamma.embeddings.stream import Words
from highgamma.errors import InputError
from highgamma.models.places import MODELS
from highgamma.recording.prompts import UNKNOWN

logger = logging.getLogger("highgamma")


def make_embeddings(
    output: str | Path,
    *,
    name: str,
    model: Mapping[str, Any],
    participant: str,
    dataset: Mapping[str, Any],
    words: str | Path,
    audio: str | Path,
    heard: str | Path | None = None,
    device: str = "auto",
    threads: int = 1,
    files: Sequence[str] = (),
    models: str | Path = MODELS,
) -> None:
    """Compute one model's embeddings for one participant and store them.

    Parameters
    ----------
    output
        The NetCDF file to write.
    name, model
        The model's name and its resolved catalogue entry.
    participant, dataset
        Label, and the configuration's section: needed for channels of the recording.
    words, audio, heard
        Files of the stage recording; the sound may be that of the shared stimulus, which is then
        taken as this participant heard it.
    device, threads
        Where networks run; neither changes what is computed.
    files
        The model's files, for their checksum.
    models
        Folder of fetched models.
    """
    entry = dict(model)
    kind = KINDS[str(entry["kind"])]
    given = Given(
        participant=participant,
        dataset=dataset,
        words=read_words(words),
        audio=audio,
        heard=heard,
        device=device,
        threads=threads,
        models=Path(models),
    )
    if kind.reads_words:
        _refuse_unspelled(given.words)
    embeddings = kind.make(entry, given)
    logger.info(
        "%s for %s: %d samples (%s), %d layers, width %d",
        *(name, participant, embeddings.n_samples, embeddings.unit),
        *(len(embeddings.layers), embeddings.width),
    )
    missing = writing.write_embeddings(
        embeddings,
        output,
        parameters=entry,
        attributes={
            "model": name,
            "kind": str(entry["kind"]),
            "participant": participant,
            "revision": str(entry.get("revision", store.MISSING)),
            "model_sha256": _checksum(files),
        },
        digits=int(entry.get("digits", 4)),
        # Networks read no file while they run; one thread is all that a job of one may use.
        writers=int(threads > 1 and kind.is_network),
    )
    if missing:
        logger.warning("%d of %d samples have no features", missing, embeddings.n_samples)


def _refuse_unspelled(words: Words) -> None:
    if UNKNOWN in words.word:
        raise InputError(
            "the words were found by their voice, and the model reads how they are spelled",
            where="dataset.words.source",
            remedy="take models of kind acoustic, speech or channel, or a source with the words",
        )


def read_words(path: str | Path) -> Words:
    """Read a words table of the stage recording."""
    table = store.read_table(path, strings=("word", "segment_label"))

    def times(column: str) -> npt.NDArray[np.float64]:
        if column not in table:
            return np.full(len(table), np.nan)
        return table[column].to_numpy(dtype=np.float64)

    # pandas reads the word `n/a` as missing; there it is a word.
    words = [store.MISSING if word != word else str(word) for word in table["word"]]
    return Words(
        word=tuple(words),
        segment=table["segment"].to_numpy(dtype=np.int64),
        onset=times("onset"),
        offset=times("offset"),
        voice_onset=times("voice_onset"),
        voice_offset=times("voice_offset"),
        reading=table["word_idx"].to_numpy(dtype=np.int64) if "word_idx" in table else None,
    )


def _checksum(files: Sequence[str]) -> str:
    """One SHA-256 over the names and checksums of the model's files; `n/a` for none."""
    import hashlib

    there = sorted(Path(f) for f in files if Path(f).is_file())
    if not there:
        return store.MISSING
    digest = hashlib.sha256()
    for path in there:
        digest.update(f"{path.name} {store.sha256(path)}\n".encode())
    return digest.hexdigest()
