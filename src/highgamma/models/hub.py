"""A repository's files from the hub; without a network, those put there by hand.

huggingface_hub provides addresses, the user's token and the format of a repository's description.
Description and files are requested by `highgamma.fetch`, which limits the size of an answer,
resumes a download in a later run, and checks files before they are used.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from highgamma import fetch
from highgamma.errors import InputError, Refused, Unreachable
from highgamma.models.files import File, check_index, is_weights, needed
from highgamma.models.lock import extend_lock, mismatch, read_lock
from highgamma.models.manifest import Manifest, manifest_of
from highgamma.models.tensors import convert, made_from, safe_name
from highgamma.store import sha256

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

logger = logging.getLogger("highgamma")

HUB = "https://huggingface.co"

DESCRIPTION_BYTES = 32 << 20
"""Largest description of a repository that is read; those of the largest ones have some MB."""

Checksums = dict[str, dict[str, Any]]
"""`size` and `sha256` of files, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubModel:
    """A model's repository, and the folder for its files.

    Attributes
    ----------
    name
        The model's name in the catalogue, for messages.
    repo
        The repository, `owner/name`.
    folder
        Where its files lie.
    pinned
        Revision and files in the lock file; None if it has none of this repository.
    weights
        Whether the weights are needed, or the architecture and tokenizer only.
    endpoint
        The hub's address.
    """

    name: str
    repo: str
    folder: Path
    pinned: Mapping[str, Any] | None
    weights: bool
    endpoint: str

    @property
    def page(self) -> str:
        """The repository's page."""
        return f"{self.endpoint}/{self.repo}"

    @property
    def token(self) -> str | None:
        """The user's token for the hub; it is sent to the user's own hub only."""
        from huggingface_hub import get_token

        return get_token() if self.endpoint == HUB or "HF_ENDPOINT" in os.environ else None

    @property
    def headers(self) -> dict[str, str]:
        """Headers of a request to the hub: the user's token, if there is one."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def pinned_files(self) -> dict[str, File]:
        """Return the required files in the lock file, by name."""
        return {
            name: File(name, int(file["size"]), str(file["sha256"]))
            for name, file in sorted((self.pinned or {"files": {}})["files"].items())
            if self.weights or not is_weights(name)
        }


def fetch_hub(
    name: str, repo: str, *, folder: Path, lock: Path, weights: bool, endpoint: str
) -> Manifest:
    """Fetch the missing files of a repository, pin them in the lock file, and convert them.

    Parameters
    ----------
    name, repo, folder, weights, endpoint
        See `HubModel`.
    lock
        The lock file.

    Returns
    -------
    manifest
        See `highgamma.models.fetch_model`.

    Raises
    ------
    Unreachable
        If files are missing and there is no network.
    InputError
        If the repository or its revision is not available, or a checksum differs.
    """
    model = HubModel(
        name=name,
        repo=repo,
        folder=folder,
        pinned=read_lock(lock).get(repo),
        weights=weights,
        endpoint=endpoint,
    )
    try:
        revision, files = _required_files(model)
    except Unreachable as error:
        return _manifest_by_hand(model, error)
    missing = [file for file in files if not file.is_whole(folder) and not made_from(file, folder)]
    if missing:
        amount = fetch.in_words(sum(file.size or 0 for file in missing))
        logger.info("%s: %d files, %s, from %s", name, len(missing), amount, repo)
        # While weights are converted, the disk holds them twice.
        room = sum((2 if safe_name(file.name) else 1) * (file.size or 0) for file in missing)
        fetch.require_space(folder, room)
    try:
        for file in missing:
            _download(model, revision, file)
    except Unreachable as error:
        raise _missing_files(model, error) from error
    checksums = _published_checksums(files, folder)
    extend_lock(lock, repo, revision, checksums)
    return manifest_of({"hub": repo}, revision, folder, checksums, convert(folder, checksums))


def _required_files(model: HubModel) -> tuple[str, list[File]]:
    """Return revision and files, from the lock file if it has all of them, else from the hub."""
    if model.pinned is None:
        requested, pinned = "main", {}
    else:
        requested, pinned = str(model.pinned["revision"]), model.pinned_files()
        if not model.weights or any(map(is_weights, pinned)):
            return requested, list(pinned.values())
    listing = _listing(model, requested)
    revision = str(listing.sha)
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise InputError(
            f"the hub reports the commit {revision!r}",
            where=model.page,
            expected="40 hexadecimal digits",
        )
    if model.pinned is not None and revision != requested:
        raise mismatch("revision", requested, revision, model.page)
    published = {file.rfilename: file for file in listing.siblings or ()}
    files = []
    for name in needed(published, weights=model.weights, where=model.page):
        about, large = published[name], published[name].lfs
        locked = pinned[name].sha256 if name in pinned else None
        if locked and large and locked != large.sha256:
            raise mismatch(f"checksum of {name}", locked, large.sha256, model.page)
        files.append(
            File(
                name,
                size=large.size if large else about.size,
                sha256=locked or (large.sha256 if large else None),
                git_blob=None if large else about.blob_id,
            )
        )
    return revision, files


def _listing(model: HubModel, revision: str) -> ModelInfo:
    """Return the hub's description of a repository: commit, files, sizes, checksums."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise Unreachable("the hub is switched off (HF_HUB_OFFLINE is set)", where=model.endpoint)
    try:
        return _model_info(model, revision)
    except Refused as refusal:
        if refusal.status in (401, 403):
            raise _gated(model) from refusal
        if refusal.status == 404 and revision != "main":
            raise InputError(
                f"the hub no longer has revision {revision} of {model.repo}; its newest is "
                f"{_model_info(model, 'main').sha}",
                where=model.endpoint,
                remedy="restore the model's files from a copy, or delete its entry from the lock "
                "file to take the newest",
            ) from refusal
        if refusal.status == 404:
            raise InputError(
                f"the hub has no repository {model.repo}",
                where=model.endpoint,
                remedy="correct `source` in the catalogue",
            ) from refusal
        raise


def _model_info(model: HubModel, revision: str) -> ModelInfo:
    """Request a repository's description, at most `DESCRIPTION_BYTES` of it.

    The address is that of `HfApi.model_info`, which would read an answer of any size.

    Raises
    ------
    Unreachable
        If the hub can't be reached, or stays busy.
    Refused
        If the hub answers with an error.
    InputError
        If the answer is too long, or is not a description.
    """
    from huggingface_hub import ModelInfo

    url = (
        f"{model.endpoint}/api/models/{quote(model.repo)}/revision/{quote(revision, safe='')}"
        "?blobs=true"
    )
    description = fetch.read_json(url, headers=model.headers, limit=DESCRIPTION_BYTES)
    unreadable = InputError(
        "the hub's answer can't be read; it may be a network's log-in page",
        where=model.page,
        remedy="open the address in a browser, then run again",
    )
    try:
        info = ModelInfo(**description)  # type: ignore[no-untyped-call]
    except Exception as error:  # the library checks nothing: any class may come out
        raise unreadable from error
    if not all(map(_is_described, info.siblings or ())):
        raise unreadable
    return info


def _is_described(file: Any) -> bool:
    """Return whether the hub describes a file by values of the right types."""
    sizes, texts = [file.size], [file.blob_id]
    if file.lfs is not None:
        sizes, texts = [*sizes, file.lfs.size], [*texts, file.lfs.sha256]
    return (
        isinstance(file.rfilename, str)
        and all(isinstance(text, str | None) for text in texts)
        and all(isinstance(size, int | None) and (size or 0) >= 0 for size in sizes)
    )


def _gated(model: HubModel) -> InputError:
    return InputError(
        f"the hub does not give {model.repo} to everyone",
        where=model.page,
        remedy="open the page, accept the model's licence, log in with `hf auth login`, run again",
    )


def _download(model: HubModel, revision: str, file: File) -> None:
    """Fetch one file of a revision into the model's folder."""
    from huggingface_hub import hf_hub_url

    path = fetch.foreign_path(model.folder, file.name)
    url = hf_hub_url(model.repo, file.name, revision=revision, endpoint=model.endpoint)
    try:
        downloaded = fetch.download(
            url,
            path,
            size=file.size,
            sha256=file.sha256,
            git_blob=file.git_blob,
            headers=model.headers,
            label=f"{model.name}/{file.name}",
        )
    except Refused as refusal:
        if refusal.status in (401, 403):
            raise _gated(model) from refusal
        raise
    commit = downloaded.headers.get("x-repo-commit", revision)
    if commit != revision:
        path.unlink()
        raise mismatch("revision", revision, commit, url)


def _published_checksums(files: list[File], folder: Path) -> Checksums:
    """Return size and SHA-256 of every file as published, also of those converted since."""
    checksums: Checksums = {}
    for file in files:
        path = fetch.foreign_path(folder, file.name)
        if not path.is_file() and (origin := made_from(file, folder)) is not None:
            checksums[file.name] = {"sha256": origin, "size": file.size}
            continue
        checksums |= _checksums(folder, [file.name])
        check_index(path, files)
    return checksums


def _checksums(folder: Path, names: Iterable[str]) -> Checksums:
    return {
        name: {"sha256": sha256(folder / name), "size": (folder / name).stat().st_size}
        for name in names
    }


def _manifest_by_hand(model: HubModel, error: Unreachable) -> Manifest:
    """Take the files that were put into the folder by hand.

    Raises
    ------
    Unreachable
        If files are missing; the message names them and where to get them.
    InputError
        If a file's checksum is not the lock file's.
    """
    folder = model.folder
    present = [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    try:
        chosen = needed(present, weights=model.weights, where=str(folder))
    except InputError:
        raise _missing_files(model, error) from None
    checksums = _checksums(folder, chosen)
    pinned = model.pinned_files()
    for name, file in checksums.items():
        check_index(folder / name, [File(name) for name in chosen])
        if name in pinned and pinned[name].sha256 != file["sha256"]:
            raise mismatch(
                f"checksum of {name}", str(pinned[name].sha256), file["sha256"], folder / name
            )
    if any(name not in checksums and safe_name(name) not in checksums for name in pinned):
        raise _missing_files(model, error) from None
    logger.warning(
        "%s: the files in %s are taken as they are; without a network it can't be checked whether "
        "they are those of %s",
        model.name,
        folder,
        model.repo,
    )
    return manifest_of({"hub": model.repo}, None, folder, checksums, convert(folder, checksums))


def _missing_files(model: HubModel, error: Unreachable) -> Unreachable:
    """Return the error for files that are neither here nor available from the network."""
    if model.pinned is not None:
        names = ", ".join(model.pinned_files())
        page = f"{HUB}/{model.repo}/tree/{model.pinned['revision']}"
    else:
        names = "config.json, the tokenizer's and preprocessor's files (*.json, *.txt, *.model)"
        if model.weights:
            names += (
                ", and model.safetensors (or pytorch_model.bin, if the repository has no other)"
            )
        page = f"{HUB}/{model.repo}/tree/main"
    return Unreachable(
        f"the files of the model {model.name!r} are missing and could not be downloaded: "
        f"{error.message}",
        where=model.folder,
        expected=names,
        remedy=f"fetch these files from {page} on another machine and put them into "
        f"{model.folder}; or name a folder that holds them, in the configuration: "
        "catalogue: {<its name>: {…, source: {folder: path}}}",
    )
