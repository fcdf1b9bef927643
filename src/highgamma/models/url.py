"""One file from a URL, such as word vectors."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from highgamma import fetch
from highgamma.errors import InputError, Unreachable
from highgamma.models.lock import extend_lock, mismatch, read_lock
from highgamma.models.manifest import Manifest, manifest_of
from highgamma.store import sha256, written_whole

logger = logging.getLogger("highgamma")


MOST_EXPANSION = 100
"""Largest expansion of a gzipped file; word vectors expand to three times their size at most."""


def fetch_url(name: str, url: str, *, path: Path, lock: Path) -> Manifest:
    """Fetch one file, unpack it if it is gzipped, and pin it in the lock file.

    Parameters
    ----------
    name
        The model's name, for messages.
    url
        The file's address.
    path
        Where the file lies, unpacked.
    lock
        The lock file.

    Returns
    -------
    manifest
        See `highgamma.models.fetch_model`.

    Raises
    ------
    Unreachable
        If the file is missing and there is no network.
    InputError
        If a checksum is not the lock file's, or the file can't be unpacked.
    """
    published = url.rsplit("/", 1)[-1]
    download = fetch.foreign_path(path.parent, published)
    pinned = read_lock(lock).get(url, {"files": {}})["files"]
    if path.is_file():
        checksums = {path.name: _pinned_checksum(path, pinned)}
        if path.name not in pinned:
            logger.warning("%s: %s was put there by hand and is taken as it is", name, path)
        return manifest_of({"url": url}, None, path.parent, checksums, {})
    locked = pinned.get(published, {})
    size, checksum = locked.get("size"), locked.get("sha256")
    if not fetch.is_whole(download, size=size, sha256=checksum):
        logger.info("%s: from %s", name, url)
        try:
            fetch.download(url, download, size=size, sha256=checksum, label=name)
        except Unreachable as error:
            raise Unreachable(
                f"the file of the model {name!r} is missing and could not be downloaded: "
                f"{error.message}",
                where=path,
                expected=f"{published}, unpacked",
                remedy=f"fetch {url} on another machine, unpack it (gunzip) and save it as {path}; "
                "or name the file in the configuration: "
                "catalogue: {<its name>: {…, source: {file: path}}}",
            ) from error
    checksums = {published: _pinned_checksum(download, {})}
    if download != path:
        logger.info("%s: unpacking %s", name, download)
        gunzip(download, path)
        checksums[path.name] = _pinned_checksum(path, pinned)
    extend_lock(lock, url, None, checksums)
    if download != path:
        download.unlink()
        del checksums[published]
    return manifest_of({"url": url}, None, path.parent, checksums, {})


def _pinned_checksum(path: Path, pinned: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a file's checksum and size; refuse a checksum that is not the pinned one."""
    checksum = sha256(path)
    if path.name in pinned and pinned[path.name]["sha256"] != checksum:
        raise mismatch(f"checksum of {path.name}", pinned[path.name]["sha256"], checksum, path)
    return {"sha256": checksum, "size": path.stat().st_size}


def gunzip(source: str | Path, target: str | Path) -> None:
    """Unpack a gzipped file; `target` is written only if all of it can be unpacked.

    Raises
    ------
    InputError
        If the file is damaged, expands more than `MOST_EXPANSION` times, or the disk is full.
    """
    import gzip
    import zlib

    # Gzipped word vectors take about two thirds of their size.
    fetch.require_space(Path(target).parent, 2 * Path(source).stat().st_size)
    with written_whole(target) as temporary:
        try:
            with gzip.open(source, "rb") as packed, open(temporary, "wb") as unpacked:
                left = MOST_EXPANSION * Path(source).stat().st_size
                while block := packed.read(1 << 22):
                    left -= len(block)
                    if left < 0:
                        raise EOFError(f"it expands more than {MOST_EXPANSION} times")
                    unpacked.write(block)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(
                f"the file can't be unpacked: {error}",
                where=source,
                expected="a gzipped file",
                remedy="delete it and run again",
            ) from error
