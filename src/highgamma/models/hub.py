"""A repository's files from the hub; without a network, those put there by hand."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from highgamma import fetch
from highgamma.errors import InputError
from highgamma.models.files import File, check_index, is_weights, needed
from highgamma.models.lock import extend_lock, mismatch, read_lock
from highgamma.models.manifest import Manifest, manifest_of
from highgamma.models.tensors import convert, made_from, safe_name
from highgamma.store import sha256

logger = logging.getLogger("highgamma")

HUB = "https://huggingface.co"


def fetch_hub(
    name: str, repo: str, folder: Path, lock: Path, *, weights: bool, endpoint: str
) -> Manifest:
    """Fetch what is missing of a repository's files, and pin and convert them."""
    pinned = read_lock(lock).get(repo)
    try:
        revision, files = _wanted(repo, pinned, weights=weights, endpoint=endpoint)
    except fetch.Unreachable as error:
        return _by_hand(name, repo, pinned, folder, weights=weights, error=error)
    missing = [f for f in files if not f.is_whole(folder) and not made_from(f, folder)]
    if missing:
        amount = fetch.in_words(sum(f.size or 0 for f in missing))
        logger.info("%s: %d files, %s, from %s", name, len(missing), amount, repo)
        # Weights that are converted are there twice for a moment.
        copies = [2 if safe_name(f.name) else 1 for f in missing]
        fetch.require_space(
            folder, sum(n * (f.size or 0) for n, f in zip(copies, missing, strict=True))
        )
    try:
        checksums = _download(name, repo, revision, files, missing, folder, endpoint=endpoint)
    except fetch.Unreachable as error:
        raise _message(name, repo, pinned, folder, weights=weights, error=error) from error
    extend_lock(lock, repo, revision, checksums)
    converted = convert(folder, checksums)
    return manifest_of({"hub": repo}, revision, folder, checksums, converted)


def _wanted(
    repo: str, pinned: Mapping[str, Any] | None, *, weights: bool, endpoint: str
) -> tuple[str, list[File]]:
    """Revision and files of a repository: by the lock where it names all, else as the hub says."""
    if pinned is not None:
        known = {n: File(n, int(f["size"]), str(f["sha256"])) for n, f in pinned["files"].items()}
        if not weights or any(is_weights(n) for n in known):
            return str(pinned["revision"]), [
                file for n, file in sorted(known.items()) if weights or not is_weights(n)
            ]
    asked = "main" if pinned is None else str(pinned["revision"])
    about = _about(repo, asked, endpoint=endpoint)
    revision = str(about.get("sha"))
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise InputError(
            f"the hub names no commit but {revision!r}",
            where=f"{endpoint}/{repo}",
            expected="40 hexadecimal digits",
        )
    if pinned is not None and revision != asked:
        raise mismatch("revision", asked, revision, f"{endpoint}/{repo}")
    told = {str(s.get("rfilename")): s for s in about.get("siblings") or []}
    files = []
    for name in needed(told, weights=weights, where=f"{endpoint}/{repo}"):
        large = told[name].get("lfs") or {}
        before = (pinned or {"files": {}})["files"].get(name, {})
        checksum = large.get("sha256")
        if before and checksum and before["sha256"] != checksum:
            raise mismatch(f"checksum of {name}", before["sha256"], checksum, f"{endpoint}/{repo}")
        files.append(
            File(
                name,
                size=large.get("size") or told[name].get("size"),
                sha256=before.get("sha256") or checksum,
                git_blob=None if large else told[name].get("blobId"),
            )
        )
    return revision, files


def _about(repo: str, revision: str, *, endpoint: str) -> dict[str, Any]:
    """What the hub says about a repository at a revision: commit, files, sizes, checksums."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise fetch.Unreachable("the hub is switched off (HF_HUB_OFFLINE is set)", where=endpoint)
    url = f"{endpoint}/api/models/{quote(repo)}/revision/{{}}?blobs=true"
    try:
        about = fetch.read_json(url.format(revision), headers=_token(endpoint))
    except fetch.Refused as refusal:
        if refusal.status in (401, 403):
            raise _denied(repo, endpoint) from refusal
        if refusal.status == 404 and revision != "main":
            newest = fetch.read_json(url.format("main"), headers=_token(endpoint)).get("sha")
            raise InputError(
                f"the hub has no revision {revision} of {repo} any more; its newest is {newest}",
                where=endpoint,
                remedy="restore the model's files from a copy, or delete its entry from the lock "
                "file to take the newest",
            ) from refusal
        if refusal.status == 404:
            raise InputError(
                f"the hub has no repository {repo}",
                where=endpoint,
                remedy="correct `source` in the catalogue",
            ) from refusal
        raise
    if not isinstance(about, dict):
        raise InputError("the hub's answer is not understood", where=url.format(revision))
    return about


def _token(endpoint: str) -> dict[str, str]:
    """The user's own token for the hub, where there is one; it is sent to the hub alone."""
    from huggingface_hub import get_token

    token = get_token() if endpoint == HUB or "HF_ENDPOINT" in os.environ else None
    return {"Authorization": f"Bearer {token}"} if token else {}


def _denied(repo: str, endpoint: str) -> InputError:
    return InputError(
        f"the hub does not give {repo} to everyone",
        where=f"{endpoint}/{repo}",
        remedy="open the page, accept the model's licence, log in with `hf auth login`, run again",
    )


def _download(
    name: str,
    repo: str,
    revision: str,
    files: list[File],
    missing: list[File],
    folder: Path,
    *,
    endpoint: str,
) -> dict[str, dict[str, Any]]:
    """Fetch what is missing; size and SHA-256 of every file as published, by name."""
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        path = fetch.foreign_path(folder, file.name)
        if file in missing:
            url = f"{endpoint}/{quote(repo)}/resolve/{revision}/{quote(file.name)}"
            try:
                got = fetch.download(
                    url,
                    path,
                    size=file.size,
                    sha256=file.sha256,
                    git_blob=file.git_blob,
                    headers=_token(endpoint),
                    label=f"{name}/{file.name}",
                )
            except fetch.Refused as refusal:
                if refusal.status in (401, 403):
                    raise _denied(repo, endpoint) from refusal
                raise
            commit = got.headers.get("x-repo-commit", revision)
            if commit != revision:
                path.unlink()
                raise mismatch("revision", revision, commit, url)
            found[file.name] = {"sha256": got.sha256, "size": got.size}
        elif (origin := made_from(file, folder)) is not None:
            found[file.name] = {"sha256": origin, "size": file.size}
        else:
            found[file.name] = {"sha256": sha256(path), "size": path.stat().st_size}
        if path.is_file():
            check_index(path, files)
    return found


def _by_hand(
    name: str,
    repo: str,
    pinned: Mapping[str, Any] | None,
    folder: Path,
    *,
    weights: bool,
    error: fetch.Unreachable,
) -> Manifest:
    """Without a network: take what was put into the folder by hand, or say what to put there."""
    there = [p.name for p in folder.iterdir() if p.is_file()] if folder.is_dir() else []
    try:
        chosen = needed(there, weights=weights, where=str(folder))
    except InputError:
        raise _message(name, repo, pinned, folder, weights=weights, error=error) from None
    checksums = {
        n: {"sha256": sha256(folder / n), "size": (folder / n).stat().st_size} for n in chosen
    }
    for file, found in checksums.items():
        check_index(folder / file, [File(n) for n in chosen])
        wanted = (pinned or {"files": {}})["files"].get(file)
        if wanted is not None and wanted["sha256"] != found["sha256"]:
            raise mismatch(
                f"checksum of {file}", wanted["sha256"], str(found["sha256"]), folder / file
            )
    if pinned is not None and any(
        n not in checksums and safe_name(n) not in checksums
        for n in pinned["files"]
        if weights or not is_weights(n)
    ):
        raise _message(name, repo, pinned, folder, weights=weights, error=error) from None
    logger.warning(
        "%s: the files in %s are taken as they are; without a network nothing tells whether they "
        "are those of %s",
        name,
        folder,
        repo,
    )
    return manifest_of({"hub": repo}, None, folder, checksums, convert(folder, checksums))


def _message(
    name: str,
    repo: str,
    pinned: Mapping[str, Any] | None,
    folder: Path,
    *,
    weights: bool,
    error: fetch.Unreachable,
) -> fetch.Unreachable:
    if pinned is not None:
        names = ", ".join(sorted(n for n in pinned["files"] if weights or not is_weights(n)))
        page = f"{HUB}/{repo}/tree/{pinned['revision']}"
    else:
        names = "config.json, the tokenizer's and preprocessor's files (*.json, *.txt, *.model)"
        if weights:
            names += ", and model.safetensors (or pytorch_model.bin, where there is no other)"
        page = f"{HUB}/{repo}/tree/main"
    return fetch.Unreachable(
        f"the files of the model {name!r} are not here, and the network is not to be had: "
        f"{error.found}",
        where=folder,
        expected=names,
        remedy=f"fetch these files from {page} on another machine and put them into {folder}; or "
        "name a folder that holds them, in the configuration: "
        "catalogue: {<its name>: {…, source: {folder: path}}}",
    )
