"""The lock file: revision, sizes and checksums of everything that was fetched.

What it names must be what is fetched; what is fetched for the first time is added to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from highgamma import fetch
from highgamma.errors import InputError
from highgamma.models.files import is_weights
from highgamma.models.manifest import Entry, described, manifest_path, read_manifest
from highgamma.models.places import MODELS
from highgamma.store import parse_yaml, written_whole

Lock = dict[str, dict[str, Any]]

LOCK = Path("config/models.lock.yaml")
"""The lock file, relative to the workflow's folder; committed like the code."""


def read_lock(path: str | Path) -> Lock:
    """Read the lock file; empty if it does not exist.

    Raises
    ------
    InputError
        If it is no lock file (a merge may have left its marks in it).
    """
    import yaml

    if not Path(path).is_file():
        return {}
    try:
        lock = parse_yaml(Path(path).read_text("utf-8")) or {}
        whole = isinstance(lock, dict) and all(map(_is_pinned, lock.values()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        whole = False
    if not whole:
        raise InputError(
            "the lock file of the models cannot be read",
            where=path,
            expected="for each repository or URL its `revision` and `files`",
            remedy="restore it from version control",
        )
    return {str(key): dict(pinned) for key, pinned in lock.items()}


def _is_pinned(pinned: Any) -> bool:
    """Return whether an entry of the lock file has the form of one."""
    return (
        isinstance(pinned, dict)
        and isinstance(pinned.get("revision"), str | None)
        and described(pinned.get("files"))
    )


def locked_files(entry: Entry, lock: Lock) -> dict[str, dict[str, Any]] | None:
    """Return the files that an entry requires (name → size and sha256), from the lock file.

    `None` where the lock does not say: nothing was fetched yet, or no more than the architecture
    for an untrained twin.
    """
    pinned = lock.get(_key(entry))
    if pinned is None:
        return None
    files = dict(pinned["files"])
    weights = not entry.get("untrained")
    if weights and "hub" in (entry.get("source") or {}) and not any(map(is_weights, files)):
        return None
    return {n: dict(f) for n, f in sorted(files.items()) if weights or not is_weights(n)}


def pin(entry: Entry, lock: Lock, *, models: str | Path = MODELS) -> str | None:
    """Return the revision that a fetched model is pinned to, a parameter of dependent jobs.

    While the downloaded files have the revision in the lock file, this is the revision in the lock
    file before the download: `None` if it did not contain the model, so that a first download,
    which extends the lock file, changes no parameter. If the lock file names another revision, it
    is that one; the model is downloaded and its embeddings are recomputed.
    """
    pinned = lock.get(_key(entry), {}).get("revision")
    path = manifest_path(entry, models=models)
    if path is not None and path.is_file():
        have = read_manifest(path)
        if pinned is None or pinned == have.get("revision"):
            pinned = have.get("pin")
    return None if pinned is None else str(pinned)


def check_lock(entries: Iterable[Entry], lock: Lock, *, models: str | Path = MODELS) -> None:
    """Check that downloaded files have the checksums in the lock file, if the revision is the same.

    Raises
    ------
    InputError
        If a manifest has another checksum; it names both.
    """
    for entry in entries:
        path = manifest_path(entry, models=models)
        pinned = lock.get(_key(entry))
        if path is None or pinned is None or not path.is_file():
            continue
        have = read_manifest(path)
        if have.get("revision") != pinned.get("revision"):
            continue  # its `pin` is another one now: it is fetched again
        for name, file in have["files"].items():
            wanted = pinned["files"].get(name)
            if wanted is not None and wanted["sha256"] != file["sha256"]:
                raise mismatch(f"checksum of {name}", wanted["sha256"], file["sha256"], path)


def extend_lock(
    path: Path, key: str, revision: str | None, files: Mapping[str, Mapping[str, Any]]
) -> None:
    """Add downloaded files to the lock file; those that it contains must have the same checksum.

    Parameters
    ----------
    path
        The lock file.
    key
        Repository or address of the model.
    revision
        Commit of the repository; None for an address.
    files
        Size and SHA-256 of the files, by name.
    """
    import yaml

    path.parent.mkdir(parents=True, exist_ok=True)
    with fetch.alone(path.parent):
        lock = read_lock(path)
        pinned = lock.get(key, {"files": {}} | ({"revision": revision} if revision else {}))
        if pinned.get("revision") != revision:
            raise mismatch("revision", str(pinned.get("revision")), str(revision), path)
        for name, file in files.items():
            before = pinned["files"].get(name)
            if before is not None and before["sha256"] != file["sha256"]:
                raise mismatch(f"checksum of {name}", before["sha256"], file["sha256"], path)
        extended = {
            **pinned,
            "files": {**pinned["files"], **{n: dict(f) for n, f in files.items()}},
        }
        if lock.get(key) == extended:
            return
        lock[key] = extended
        with written_whole(path) as temporary:
            temporary.write_text(
                "# Written by `snakemake models` at the first fetch and enforced from then on;\n"
                "# keep it under version control. To take a newer model, delete its entry.\n"
                + yaml.safe_dump(lock, sort_keys=True),
                "utf-8",
            )


def mismatch(what: str, locked: str, actual: str, where: str | Path) -> InputError:
    """Return the error for something that differs from the lock file.

    Parameters
    ----------
    what
        What differs, such as `revision`.
    locked, actual
        Its value in the lock file, and the one that was found.
    where
        The file or address.
    """
    return InputError(
        f"the {what} is {actual}",
        where=where,
        expected=f"{locked}, which the lock file names",
        remedy=f"restore the lock file ({LOCK}), or delete the files and fetch them again; to take "
        "the new ones, delete the model's entry from the lock file first",
    )


def _key(entry: Entry) -> str:
    source = entry.get("source") or {}
    return str(source.get("hub") or source.get("url"))
