"""Model files from the network: fetched once, pinned in a lock file, stored as safetensors.

The first fetch resolves a repository's newest revision to a commit and writes it, with every
file's size and SHA-256, to the lock file. From then on that commit and those files are the only
ones taken. Nothing is unpickled except tensors (`weights_only`), and no code is fetched.

`files` says which files of a repository are needed, `hub` and `url` fetch them, `tensors` stores
weights as safetensors; `lock` pins what was fetched, `manifest` names what is there.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from highgamma import fetch
from highgamma.models.hub import HUB, fetch_hub
from highgamma.models.lock import LOCK, Lock, check_lock, locked_files, pin, read_lock
from highgamma.models.manifest import (
    Entry,
    Manifest,
    is_fetched,
    manifest_path,
    read_manifest,
    stored_name,
    write_manifest,
)
from highgamma.models.places import location
from highgamma.models.url import fetch_url

__all__ = [
    "LOCK",
    "Lock",
    "check_lock",
    "fetch_model",
    "is_fetched",
    "locked_files",
    "manifest_path",
    "pin",
    "read_lock",
    "read_manifest",
    "stored_name",
    "write_manifest",
]


def fetch_model(
    name: str,
    entry: Entry,
    models: str | Path,
    lock: str | Path,
    *,
    weights: bool = True,
    endpoint: str | None = None,
) -> Manifest:
    """Fetch a model's files to where the catalogue says they lie; those that are whole stay.

    Parameters
    ----------
    name
        The model's name, for messages.
    entry
        Its resolved catalogue entry (`highgamma.catalogue.resolve`); `source` is `{hub: …}` or
        `{url: …}`.
    models
        Folder of all models.
    lock
        The lock file; read, and extended by what is fetched for the first time.
    weights
        Whether the weights are needed, or the architecture and tokenizer only.
    endpoint
        The hub's address; `HF_ENDPOINT`, else `https://huggingface.co`.

    Returns
    -------
    manifest
        `source`, `revision` (commit; `None` for a URL, or for files that were put there by hand
        without a lock entry), `files` (name → size and sha256) and `converted` (new name →
        name and sha256 of the file it was made from).

    Raises
    ------
    highgamma.fetch.Unreachable
        If files are missing and there is no network; the message says what to put where.
    InputError
        If revision or checksums are not the lock's, names lead out of the folder, or weights hold
        more than tensors.
    """
    source = entry["source"]
    place = location(entry, models=models)
    assert place is not None
    if "hub" in source:
        try:
            with fetch.alone(place):
                return fetch_hub(
                    name,
                    str(source["hub"]),
                    folder=place,
                    lock=Path(lock),
                    weights=weights,
                    endpoint=(endpoint or os.environ.get("HF_ENDPOINT") or HUB).rstrip("/"),
                )
        finally:
            # A fetch that got nothing leaves no empty folder: it would pass for a model's.
            with suppress(OSError):
                place.rmdir()
    return fetch_url(name, str(source["url"]), path=place, lock=Path(lock))
