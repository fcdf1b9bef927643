"""One file from a URL, such as word vectors."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from highgamma import fetch
from highgamma.errors import InputError
from highgamma.models.lock import extend_lock, mismatch, read_lock
from highgamma.models.manifest import Manifest, manifest_of
from highgamma.store import sha256, written_whole

logger = logging.getLogger("highgamma")


def fetch_url(name: str, url: str, place: Path, lock: Path) -> Manifest:
    """Fetch one file, unpacked where it is gzipped."""
    published = url.rsplit("/", 1)[-1]
    archive = fetch.foreign_path(place.parent, published)
    pinned = read_lock(lock).get(url, {"files": {}})["files"]
    whole, packed = pinned.get(place.name), pinned.get(published)
    if place.is_file():
        found: dict[str, Any] = {"sha256": sha256(place), "size": place.stat().st_size}
        if whole is not None and whole["sha256"] != found["sha256"]:
            raise mismatch(f"checksum of {place.name}", whole["sha256"], found["sha256"], place)
        if whole is None:
            logger.warning("%s: %s was put there by hand and is taken as it is", name, place)
        return manifest_of({"url": url}, None, place.parent, {place.name: found}, {})
    wanted = packed or {}
    if not archive.is_file() or not fetch.is_whole(
        archive, size=wanted.get("size"), sha256=wanted.get("sha256")
    ):
        logger.info("%s: from %s", name, url)
        try:
            fetch.download(
                url, archive, size=wanted.get("size"), sha256=wanted.get("sha256"), label=name
            )
        except fetch.Unreachable as error:
            raise fetch.Unreachable(
                f"the file of the model {name!r} is not here, and the network is not to be had: "
                f"{error.found}",
                where=place,
                expected=f"{published}, unpacked",
                remedy=f"fetch {url} on another machine, unpack it (gunzip) and put it to {place}; "
                "or name the file in the configuration: "
                "catalogue: {<its name>: {…, source: {file: path}}}",
            ) from error
    checksums = {published: {"sha256": sha256(archive), "size": archive.stat().st_size}}
    if archive != place:
        logger.info("%s: unpacking %s", name, archive)
        gunzip(archive, place)
        checksums[place.name] = {"sha256": sha256(place), "size": place.stat().st_size}
        if whole is not None and whole["sha256"] != checksums[place.name]["sha256"]:
            raise mismatch(
                f"checksum of {place.name}",
                whole["sha256"],
                str(checksums[place.name]["sha256"]),
                place,
            )
    extend_lock(lock, url, None, checksums)
    if archive != place:
        archive.unlink()
        del checksums[published]
    return manifest_of({"url": url}, None, place.parent, checksums, {})


def gunzip(source: str | Path, target: str | Path) -> None:
    """Unpack a gzipped file; `target` is there only when all of it is.

    Raises
    ------
    InputError
        If the file is damaged, or the disk is full.
    """
    import gzip
    import shutil
    import zlib

    # Word vectors shrink to some two thirds; a disk too small is better known before than after.
    fetch.require_space(Path(target).parent, 2 * Path(source).stat().st_size)
    with written_whole(target) as temporary:
        try:
            with gzip.open(source, "rb") as packed, open(temporary, "wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 1 << 22)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(
                f"the file cannot be unpacked: {error}",
                where=source,
                expected="a gzipped file",
                remedy="delete it and run again",
            ) from error
