"""The manifest of a fetched model: where it comes from, and its files with their checksums.

It is written last, so that it is there when all of the model's files are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from highgamma.errors import InputError
from highgamma.models.places import MODELS, location
from highgamma.store import parse_json, sha256, written_whole

Entry = Mapping[str, Any]
Manifest = dict[str, Any]


def is_fetched(entry: Entry) -> bool:
    """Return whether a resolved catalogue entry's files are downloaded."""
    source = entry.get("source") or {}
    return "hub" in source or "url" in source


def stored_name(entry: Entry) -> str:
    """Name of the folder or file below the models' folder that holds a fetched model."""
    place = location(entry)
    assert place is not None
    return place.name


def manifest_path(entry: Entry, *, models: str | Path = MODELS) -> Path | None:
    """Return the path of a fetched model's manifest; `None` for models that are not fetched.

    It lies beside the model's folder. An untrained model needs the architecture and tokenizer
    only, and so has a manifest of its own: it does not wait for weights.
    """
    if not is_fetched(entry):
        return None
    ending = "architecture" if entry.get("untrained") else "manifest"
    return Path(models) / f"{stored_name(entry)}.{ending}.json"


def manifest_of(
    source: dict[str, str],
    revision: str | None,
    folder: Path,
    checksums: Mapping[str, Mapping[str, Any]],
    converted: dict[str, dict[str, str]],
) -> Manifest:
    """Return the manifest of files as published or, if they were converted, as stored.

    Parameters
    ----------
    source
        The `source` of the catalogue entry.
    revision
        Commit of the repository; None if it is unknown.
    folder
        Where the files are.
    checksums
        Size and SHA-256 of the published files, by name.
    converted
        Name and SHA-256 of the original, by name of the converted file.
    """
    gone = {origin["from"] for origin in converted.values()}
    files = {name: dict(file) for name, file in checksums.items() if name not in gone}
    for name in converted:
        path = folder / name
        files[name] = {"sha256": sha256(path), "size": path.stat().st_size}
    return {"source": source, "revision": revision, "files": files, "converted": converted}


def write_manifest(manifest: Manifest, path: str | Path) -> None:
    """Write a manifest as JSON; the same content gives the same bytes."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", "utf-8")


def described(files: Any) -> bool:
    """Return whether what was read from a file holds size and SHA-256 of files, by name."""
    return isinstance(files, dict) and all(
        isinstance(name, str)
        and isinstance(file, dict)
        and isinstance(file.get("sha256"), str)
        and isinstance(file.get("size"), int)
        for name, file in files.items()
    )


def read_manifest(path: str | Path) -> Manifest:
    """Read a manifest.

    Raises
    ------
    InputError
        If it is absent or damaged.
    """
    try:
        manifest = parse_json(Path(path).read_text("utf-8"))
        if described(manifest["files"]):
            return dict(manifest)
    except (OSError, ValueError, LookupError, TypeError):
        pass
    raise InputError(
        "the manifest of fetched files cannot be read",
        where=path,
        remedy="delete it and run `snakemake models`; files that are whole are not fetched again",
    )
