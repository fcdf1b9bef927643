"""The stage: one model, one participant, from the recording's files to the stored embeddings."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from highgamma import catalogue, store
from highgamma.embeddings import writing
from highgamma.embeddings.acoustic import acoustic_embeddings
from highgamma.embeddings.channel import channel_embeddings, checked_channel
from highgamma.embeddings.position import position_embeddings
from highgamma.embeddings.stream import Audio, Embeddings, Words
from highgamma.errors import InputError
from highgamma.recording.reader import Reader

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
    device: str = "auto",
    threads: int = 1,
    files: Sequence[str] = (),
    models: str | Path = catalogue.MODELS,
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
    words, audio
        Files of the stage recording.
    device, threads
        Where networks run; neither changes what is computed.
    files
        The model's files, for their checksum.
    models
        Folder of fetched models.
    """
    entry = dict(model)
    embeddings = _embeddings(
        entry,
        participant=participant,
        dataset=dataset,
        words=read_words(words),
        audio=audio,
        device=device,
        threads=threads,
        models=Path(models),
    )
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
        writers=int(threads > 1 and entry["kind"] in catalogue.NETWORKS),
    )
    if missing:
        logger.warning("%d of %d samples have no features", missing, embeddings.n_samples)


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
    )


def read_audio(path: str | Path) -> Audio:
    """Read an audio file of the stage recording; it may hold no sound."""
    with store.open_dataset(path) as opened:
        segment = opened["segment"].to_numpy()
        if len(segment) == 0:
            return Audio(np.empty(0, np.float32), float("nan"), (), (), ())
        first = np.array([0, *(np.flatnonzero(np.diff(segment)) + 1)])
        # The times of an hour's sound would take half a gigabyte; the first of each will do.
        start = [float(opened["time"][int(i)]) for i in first]
        return Audio(
            samples=opened["audio"].to_numpy().astype(np.float32, copy=False),
            rate=float(opened.attrs["rate_hz"]),
            segment=tuple(int(segment[i]) for i in first),
            first=tuple(int(i) for i in first),
            start=tuple(start),
        )


def _embeddings(
    model: dict[str, Any],
    *,
    participant: str,
    dataset: Mapping[str, Any],
    words: Words,
    audio: str | Path,
    device: str,
    threads: int,
    models: Path,
) -> Embeddings:
    kind = model["kind"]
    if kind == "acoustic":
        return acoustic_embeddings(model, words=words, audio=read_audio(audio))
    if kind == "position":
        heard = read_audio(audio)
        return position_embeddings(
            model, extents=_extents(words, heard, participant=participant, dataset=dataset)
        )
    if kind == "channel":
        return channel_embeddings(
            model, recorded=_recorded(model["channel"], participant=participant, dataset=dataset)
        )
    folder = catalogue.location(model, models=models)
    if folder is None or not folder.exists():
        raise InputError(
            "the model's files are not here",
            where=folder,
            expected="a folder in transformers' layout" if kind != "static" else "the vectors",
            remedy=catalogue.remedy(model, models=models),
        )
    if kind == "static":
        from highgamma.embeddings.static import static_embeddings

        return static_embeddings(model, words=words, path=folder)
    from highgamma.embeddings.pretrained import (
        load_language_model,
        load_network,
        load_tokenizer,
    )

    if kind == "text":
        from highgamma.embeddings.text import text_embeddings

        # The tokenizer first: a model of another kind has none, and that is the clearer message.
        tokenizer = load_tokenizer(model, folder)
        if model["feature"] == "surprisal":
            from highgamma.embeddings.surprisal import surprisal_embeddings

            network = load_language_model(model, folder, device=device, threads=threads)
            return surprisal_embeddings(model, words=words, network=network, tokenizer=tokenizer)
        network = load_network(model, folder, device=device, threads=threads)
        return text_embeddings(model, words=words, network=network, tokenizer=tokenizer)
    from highgamma.embeddings.speech import speech_embeddings

    heard = read_audio(audio).required()
    network = load_network(model, folder, device=device, threads=threads)
    return speech_embeddings(model, audio=heard, words=words, network=network)


def _recorded(name: str, *, participant: str, dataset: Mapping[str, Any]) -> list[Reader]:
    """The channel `name` in each recording of the participant."""
    from highgamma.recording.files import find
    from highgamma.recording.signals import open_signals, reopened

    segments = find(dataset["root"], participant, task=dataset.get("task"))
    for segment in segments:
        with open_signals(segment) as signals:
            checked_channel(name, list(signals.names), where=str(segment.signal))
    return [reopened(segment, [name]) for segment in segments]


def _extents(
    words: Words, audio: Audio, *, participant: str, dataset: Mapping[str, Any]
) -> list[tuple[int, float, float]]:
    """Number, start and stop (s) of each segment: the sound's, else the recording's."""
    if len(audio.samples):
        return [
            (number, start, start + len(samples) / audio.rate)
            for number, start, samples in audio.parts()
        ]
    from highgamma.recording.files import find
    from highgamma.recording.signals import open_signals

    extents = []
    for number, segment in enumerate(find(dataset["root"], participant, task=dataset.get("task"))):
        with open_signals(segment) as signals:
            extents.append((number, 0.0, float(signals.duration)))
    return extents


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
