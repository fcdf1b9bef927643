"""Check of a configuration's models: which files are present, and which must be downloaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from highgamma import models as store
from highgamma.catalogue import kind_of
from highgamma.check.problems import Problem, Problems
from highgamma.errors import InputError
from highgamma.models.places import MODELS, location, remedy

SUBJECT = "models"

WRITTEN = "resources/demo/models/"
"""Folder of the demo's own models, which the workflow writes."""


@dataclass(frozen=True, slots=True)
class State:
    """The state of one model's files.

    Attributes
    ----------
    name
        The model.
    state
        `there`, `to be written` by the workflow, `to be fetched`, or `absent`.
    fetch
        Name of the download, which models may share; empty without one.
    n_bytes
        Size of the download, bytes; None if the lock file does not list it.
    """

    name: str
    state: str
    fetch: str = ""
    n_bytes: int | None = 0


def check_models(
    names: Sequence[str],
    entries: Mapping[str, Any],
    *,
    lock: str | Path,
    device: str,
    demo: bool,
    problems: Problems,
    models: str | Path = MODELS,
) -> list[State]:
    """Check the files of every model, and add what is wrong to `problems`.

    Parameters
    ----------
    names
        Models of the configuration; all of them are in `entries`.
    entries
        The resolved catalogue.
    lock
        The lock file.
    device
        `auto`, `cpu` or `cuda`.
    demo
        Whether the workflow writes the demo's own models.
    problems
        Problems are added here.
    models
        Folder of fetched models.

    Returns
    -------
    states
        One for each model, sorted by name.
    """
    locked = problems.attempt(SUBJECT, store.read_lock, lock)
    states = []
    for name in sorted(names):
        entry = entries[name]
        if entry.get("dtype", "float32") != "float32" or (
            device == "cuda" and kind_of(entry).is_network
        ):
            problems.attempt(SUBJECT, _device, entry, device)
        states.append(_state(name, entry, locked, demo, problems, Path(models)))
    return states


def _device(entry: Mapping[str, Any], device: str) -> None:
    from highgamma.embeddings.pretrained import device_of, precision

    precision(entry, device_of(device))


def _state(
    name: str,
    entry: Mapping[str, Any],
    locked: store.Lock | None,
    demo: bool,
    problems: Problems,
    models: Path,
) -> State:
    if entry.get("source") is None:
        return State(name, "there")
    place = problems.attempt(SUBJECT, location, entry, models=models)
    if place is None:
        return State(name, "absent")
    if store.is_fetched(entry):
        manifest = store.manifest_path(entry, models=models)
        assert manifest is not None
        if not manifest.is_file():
            known = None if locked is None else store.locked_files(entry, locked)
            return State(
                name, "to be fetched", store.stored_name(entry), _to_fetch(entry, known, place)
            )
        if locked is not None:
            problems.attempt(SUBJECT, store.check_lock, [entry], locked, models=models)
        folder = place if "hub" in entry["source"] else place.parent
        problems.attempt(SUBJECT, _compare_with_manifest, manifest, folder)
    elif demo and not place.exists() and str(place).startswith(WRITTEN):
        return State(name, "to be written")
    if not place.exists():
        problems.add(
            Problem(
                SUBJECT,
                f"the files of {name} were not found",
                where=str(place),
                expected=kind_of(entry).files_in_words,
                remedy=remedy(entry, models=models),
            )
        )
        return State(name, "absent")
    if kind_of(entry).is_network:
        _check_network(entry, place, problems, models)
    return State(name, "there")


def _to_fetch(
    entry: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]] | None, place: Path
) -> int | None:
    """Return the bytes to be downloaded according to the lock file, without files already here."""
    if known is None:
        return None
    if "url" in entry["source"]:
        published = str(entry["source"]["url"]).rsplit("/", 1)[-1]
        return 0 if place.is_file() else int(known.get(published, {"size": 0})["size"]) or None
    return sum(
        int(file["size"])
        for name, file in known.items()
        if not (place / name).is_file() or (place / name).stat().st_size != int(file["size"])
    )


def _compare_with_manifest(manifest: Path, folder: Path) -> None:
    """Check that the files of a manifest exist and have its sizes, without reading them."""
    for name, file in store.read_manifest(manifest)["files"].items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else None
        if size != int(file["size"]):
            raise InputError(
                "the file is missing" if size is None else f"the file has {size} bytes",
                where=path,
                expected=f"{file['size']} bytes, as its manifest states",
                remedy=f"delete {manifest} and run `snakemake models`",
            )


def _check_network(entry: Mapping[str, Any], place: Path, problems: Problems, models: Path) -> None:
    """Check layers and width against config.json, the tokenizer, and the weights' headers."""
    from highgamma.embeddings.pretrained import load_tokenizer, read_config

    problems.attempt(SUBJECT, read_config, entry, place)
    if kind_of(entry).reads_words:
        problems.attempt(SUBJECT, load_tokenizer, entry, place)
    if entry.get("untrained"):
        return
    safe = sorted(place.glob("*.safetensors"))
    if not safe and not any(place.glob("pytorch_model*.bin")):
        problems.add(
            Problem(
                SUBJECT,
                "the model has no weights",
                where=str(place),
                expected="model.safetensors (or pytorch_model.bin)",
                remedy=remedy(entry, models=models),
            )
        )
    for path in safe:
        problems.attempt(SUBJECT, _read_head, path)


def _read_head(path: Path) -> None:
    """Check that a safetensors file is as long as its header states."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):
            pass
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"the weights cannot be read, the file may be cut short: {error}",
            where=path,
            expected="a whole safetensors file",
            remedy="delete the file and fetch it again",
        ) from error
