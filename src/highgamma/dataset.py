"""Published data sets from the network: listed, selected, fetched, verified, unpacked.

Two publishers are known: OSF (listed by its API, version 2) and OpenNeuro (listed by its S3
bucket). Files are listed with sizes and, if they are published, checksums; a zip archive is
unpacked. The result is a BIDS folder and a list of the fetched files.
"""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import struct
import xml.etree.ElementTree as ElementTree
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from highgamma import fetch
from highgamma.errors import InputError, Unreachable, nearest
from highgamma.models.manifest import described
from highgamma.store import parse_json, sha256, written_whole

logger = logging.getLogger("highgamma")

Manifest = dict[str, Any]

MANIFEST = ".fetched.json"
"""Name of the list of fetched files, in the data set's folder."""

OSF = "https://api.osf.io/v2"
OPENNEURO = "https://s3.amazonaws.com/openneuro.org"

MAX_FILES = 100_000
"""Largest number of files in a listing or an archive."""

MAX_EXPANSION = 100
"""Largest expansion of an archive; recordings expand to twice their size at most."""

_PARTICIPANT = re.compile(r"sub-[A-Za-z0-9]{1,200}")
_TOP_SUFFIXES = ("", ".json", ".tsv", ".md", ".txt", ".rst")
_STIMULUS_SUFFIXES = (".wav", ".flac", ".mp3", ".tsv", ".csv", ".json", ".txt", ".TextGrid")


@dataclass(frozen=True, slots=True)
class Remote:
    """A published file.

    Attributes
    ----------
    name
        Its path in the data set.
    url
        Its address.
    size
        In bytes.
    sha256, md5
        Checksums, as far as they are published.
    """

    name: str
    url: str
    size: int
    sha256: str | None = None
    md5: str | None = None

    def checked_by(self) -> str:
        """Name what its content is checked by: `sha256`, `md5`, or `size`."""
        return "sha256" if self.sha256 else "md5" if self.md5 else "size"

    def is_whole(self, path: Path) -> bool:
        """Return whether a file has this size and these checksums."""
        return fetch.is_whole(path, size=self.size, sha256=self.sha256, md5=self.md5)


@dataclass(frozen=True, slots=True)
class _Publisher:
    """How a publisher's data sets are named, listed, and downloaded by hand.

    Attributes
    ----------
    name_pattern
        Regular expression of a data set's name.
    list_files
        Lists a data set's files, given `address` and name.
    address, variable
        The publisher's interface, and the environment variable that replaces it.
    by_hand
        Instructions for downloading the set `{name}`.
    """

    name_pattern: str
    list_files: Callable[[str, str], list[Remote]]
    address: str
    variable: str
    by_hand: str


def fetch_dataset(
    source: str,
    root: str | Path,
    *,
    participants: Sequence[str] | str = "all",
    tasks: Sequence[str] | None = None,
    address: str | None = None,
) -> Manifest:
    """Fetch a published data set into `root`; complete files are not fetched again.

    From a set that is published file by file, only the files that the workflow reads are fetched:
    those at the top, the participants' `ieeg` folders, and the stimuli (sound and tables). A set
    that is published as a zip archive is fetched, verified, and unpacked; then the archive is
    deleted.

    Parameters
    ----------
    source
        `osf:<project>`, such as `osf:nrgx6`, or `openneuro:<accession>`, such as
        `openneuro:ds005574`.
    root
        The data set's folder.
    participants
        Labels (`sub-01`), or `all`.
    tasks
        Tasks of the recordings; `None` fetches all.
    address
        Address of the publisher's interface; the environment's `HIGHGAMMA_OSF` or
        `HIGHGAMMA_OPENNEURO`, else the public one.

    Returns
    -------
    manifest
        `source`, `files` (name → `size`, `sha256`, and `checked`, what verified the content) and
        `archives` (name → `size`, `sha256`).

    Raises
    ------
    Unreachable
        Without a network; the message names what to download by hand and where to put it.
    InputError
        If the source is unknown, a participant is not in the set, names or archives are hostile,
        checksums differ, or the disk is too small.
    """
    publisher, name = _publisher(source)
    folder = Path(root)
    before = _manifest_before(folder, source)
    try:
        address = address or os.environ.get(publisher.variable, publisher.address)
        listed = publisher.list_files(address, name)
        with fetch.alone(folder):
            return _fetch(source, listed, folder, before, participants=participants, tasks=tasks)
    except Unreachable as error:
        example = "sub-01" if isinstance(participants, str) or not participants else participants[0]
        raise Unreachable(
            f"the data set {source} is missing and could not be downloaded: {error.message}",
            where=folder,
            expected=f"the folder {folder} with participants.tsv and, for every participant, a "
            f"folder such as {example}/ieeg with the recording and its .tsv and .json files",
            remedy=f"on another machine, {publisher.by_hand.format(name=name)}; save it as the "
            "expected folder and skip `snakemake dataset`. With a network, run it again: the "
            "download is resumed",
        ) from error


def write_manifest(manifest: Manifest, path: str | Path) -> None:
    """Write the list of fetched files as JSON with sorted keys."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", "utf-8")


def osf_files(address: str, project: str) -> list[Remote]:
    """List the files in an OSF project's storage, or in its components' if it has none itself.

    The API's lists come in pages (`links.next`) of files (`attributes.size`,
    `attributes.extra.hashes`, `links.download`) and folders, whose content has a list of its own
    (`relationships.files`); https://developer.osf.io.
    """
    files = _osf_storage(address, project)
    if not files:
        for component in _osf_pages(f"{address}/nodes/{project}/children/?page%5Bsize%5D=100"):
            files += _osf_storage(address, _component(component, address))
    return files


def openneuro_files(address: str, accession: str) -> list[Remote]:
    """List the files of an OpenNeuro data set in its bucket (ListObjectsV2, XML, in pages).

    An ETag is the content's MD5 except for files that were uploaded in parts (`-` in it).
    """
    files: list[Remote] = []
    token: str | None = None
    while True:
        query = {"list-type": "2", "prefix": f"{accession}/", "max-keys": "1000"}
        if token is not None:
            query["continuation-token"] = token
        page = _xml(f"{address}?{urlencode(query)}")
        for item in page.iter("Contents"):
            key, size = item.findtext("Key", ""), item.findtext("Size", "")
            etag = item.findtext("ETag", "").strip('"')
            if (
                not key.startswith(f"{accession}/")
                or key.endswith("/")
                or not re.fullmatch(r"[0-9]{1,15}", size)
            ):
                continue
            md5 = etag if re.fullmatch(r"[0-9a-f]{32}", etag) else None
            url = f"{address}/{quote(key)}"
            files.append(Remote(key.removeprefix(f"{accession}/"), url, int(size), md5=md5))
        _check_count(len(files), address)
        following = page.findtext("NextContinuationToken")
        if page.findtext("IsTruncated") != "true" or following in (None, token):
            return files
        token = following


_DAMAGE = (
    *(zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error, struct.error),
    *(OSError, ValueError, RuntimeError, ArithmeticError),
)
"""What zipfile raises for damaged archives."""


def unpack(archive: str | Path, root: str | Path) -> dict[str, dict[str, Any]]:
    """Unpack a zipped BIDS data set into `root`, without the folders around it.

    Members that are complete in `root` already (size and CRC-32) are not written again.

    Returns
    -------
    files
        name below `root` → `size`, `sha256`, `checked` ("crc32").

    Raises
    ------
    InputError
        If the archive is damaged or encrypted, holds links, names that lead out of the folder or
        come twice, or expands beyond `MAX_EXPANSION`; nothing is written then.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _members(opened, Path(archive), Path(root))
            files: dict[str, dict[str, Any]] = {}
            for number, (name, member) in enumerate(sorted(members.items()), start=1):
                target = fetch.foreign_path(root, name)
                if not _is_unpacked(target, member):
                    logger.info("unpacking %s (%d of %d)", name, number, len(members))
                    _unpack_member(opened, member, target)
                files[name] = {
                    "size": member.file_size,
                    "sha256": sha256(target),
                    "checked": "crc32",
                }
            return files
    except _DAMAGE as error:
        raise InputError(
            f"the archive can't be unpacked: {error}",
            where=archive,
            expected="a zip archive",
            remedy="delete it and run again",
        ) from error


def bids_names(names: Sequence[str]) -> dict[str, str]:
    """Return names within the data set by published name, without files outside the data set.

    The data set is the highest folder with participants' folders (`sub-…`).

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    tops: set[tuple[str, ...]] = set()
    for name in names:
        parts = name.split("/")
        # Archives made on a Mac repeat every name under a folder of their own.
        if parts[0] == "__MACOSX":
            continue
        for depth, part in enumerate(parts[:-1]):
            if _PARTICIPANT.fullmatch(part):
                tops.add(tuple(parts[:depth]))
                break
    highest = [top for top in tops if len(top) == min(map(len, tops))]
    if len(highest) != 1:
        folders = " and ".join("/".join(top) for top in sorted(highest))
        raise InputError(
            f"several data sets were found: {folders}"
            if highest
            else "no data set in BIDS format was found",
            expected="one folder that holds folders such as sub-01",
            remedy="unpack the right one by hand into the folder that dataset.root names",
        )
    top = "".join(f"{part}/" for part in highest[0])
    return {n: n.removeprefix(top) for n in names if n.startswith(top) and n != top}


def _publisher(source: str) -> tuple[_Publisher, str]:
    """Split a source into its publisher and the data set's name there."""
    if not source:
        raise InputError(
            "the configuration doesn't name the data set's source",
            where="dataset.source",
            expected="osf:<project> or openneuro:<accession>",
            remedy="add it, or put the data set into the folder that dataset.root names",
        )
    kind, _, name = source.partition(":")
    publisher = _PUBLISHERS.get(kind)
    if publisher is None or not re.fullmatch(publisher.name_pattern, name):
        meant = "" if publisher else nearest(kind, list(_PUBLISHERS))
        raise InputError(
            f"unknown source of a data set {source!r}{meant}",
            where="dataset.source",
            expected="osf:<project>, such as osf:nrgx6, or openneuro:<accession>, such as "
            "openneuro:ds005574",
            remedy="correct it, or fetch the data set by hand into the folder dataset.root",
        )
    return publisher, name


def _fetch(
    source: str,
    listed: list[Remote],
    folder: Path,
    before: Manifest,
    *,
    participants: Sequence[str] | str,
    tasks: Sequence[str] | None,
) -> Manifest:
    archives = [f for f in listed if f.name.lower().endswith(".zip")]
    plain = [f for f in listed if any(map(_PARTICIPANT.fullmatch, f.name.split("/")[:-1]))]
    if not plain and archives:
        return _fetch_archives(source, archives, folder, before)
    named = bids_names([f.name for f in listed])
    inside = [replace(f, name=named[f.name]) for f in listed if f.name in named]
    chosen = sorted(
        _chosen(inside, participants=participants, tasks=tasks), key=lambda file: file.name
    )
    return {"source": source, "archives": {}, "files": _fetch_files(source, chosen, folder)}


def _fetch_files(source: str, files: list[Remote], folder: Path) -> dict[str, dict[str, Any]]:
    """Fetch the files that are not complete; return size, SHA-256 and what checked each file."""
    paths = {file.name: fetch.foreign_path(folder, file.name) for file in files}
    missing = [file for file in files if not file.is_whole(paths[file.name])]
    # Parts of an interrupted download take no further room.
    needed = sum(max(f.size - _kept(paths[f.name]), 0) for f in missing)
    logger.info(
        "%s: %d files, %s; fetching %d of them (%s) into %s",
        source,
        len(files),
        fetch.in_words(sum(f.size for f in files)),
        len(missing),
        fetch.in_words(needed),
        folder,
    )
    fetch.require_space(folder, needed)
    weak = sum(f.checked_by() == "size" for f in files)
    if weak:
        logger.info("%d files are published without a checksum; only their size is checked", weak)
    for number, file in enumerate(missing, start=1):
        logger.info("%d of %d: %s", number, len(missing), file.name)
        fetch.download(file.url, paths[file.name], size=file.size, sha256=file.sha256, md5=file.md5)
    return {
        file.name: {
            "size": file.size,
            "sha256": sha256(paths[file.name]),
            "checked": file.checked_by(),
        }
        for file in files
    }


def _fetch_archives(
    source: str, archives: list[Remote], folder: Path, before: Manifest
) -> Manifest:
    """Fetch, unpack and delete archives, unless that was done before."""
    archives = [f for f in archives if Path(f.name).stem == folder.name] or archives
    known = {
        file.name: {"size": file.size, "sha256": file.sha256}
        for file in archives
        if file.sha256 is not None
    }
    if known and known == before.get("archives") and _all_whole(folder, before["files"]):
        logger.info("%s: complete", source)
        return before
    flat = [replace(f, name=f.name.rsplit("/", 1)[-1]) for f in archives]
    # The content's size is unknown before the archive is here: assume twice the archive's.
    fetch.require_space(folder, sum(3 * f.size - _kept(folder / f.name) for f in flat))
    packed = _fetch_files(source, flat, folder)
    files: dict[str, dict[str, Any]] = {}
    for name in packed:
        files |= unpack(folder / name, folder)
    manifest = {
        "source": source,
        "archives": {
            full.name: {"size": full.size, "sha256": packed[file.name]["sha256"]}
            for full, file in zip(archives, flat, strict=True)
        },
        "files": files,
    }
    # Written before the archives are deleted: it records what was unpacked.
    write_manifest(manifest, folder / MANIFEST)
    for name in packed:
        (folder / name).unlink()
    return manifest


def _manifest_before(folder: Path, source: str) -> Manifest:
    """Read the list of an earlier fetch from the same source; empty if there is none."""
    try:
        manifest = parse_json((folder / MANIFEST).read_text("utf-8"))
        if manifest["source"] == source and described(manifest["files"]):
            return dict(manifest)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {}


def _all_whole(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(
        fetch.is_whole(fetch.foreign_path(folder, name), size=f["size"], sha256=f["sha256"])
        for name, f in files.items()
    )


def _kept(path: Path) -> int:
    """Count the bytes of a file or of its part that are here already."""
    part = path.with_name(path.name + ".part")
    return next((p.stat().st_size for p in (path, part) if p.is_file()), 0)


def _chosen(
    files: list[Remote], *, participants: Sequence[str] | str, tasks: Sequence[str] | None
) -> Iterator[Remote]:
    """Yield the files of a BIDS data set that the workflow reads."""
    published = sorted({f.name.split("/")[0] for f in files if f.name.startswith("sub-")})
    wanted = published if isinstance(participants, str) else list(participants)
    for participant in wanted:
        if participant not in published:
            raise InputError(
                f"the data set has no participant {participant!r}{nearest(participant, published)}",
                where="dataset.participants",
                expected=f"some of {', '.join(published)}",
                remedy="correct the configuration",
            )
    for file in files:
        top, *rest = file.name.split("/")
        other_task = re.search(r"_task-([A-Za-z0-9]+)", file.name)
        if tasks is not None and other_task and other_task[1] not in tasks:
            continue
        suffix = Path(file.name).suffix
        if (
            (not rest and suffix in _TOP_SUFFIXES)
            or (top == "stimuli" and suffix in _STIMULUS_SUFFIXES)
            or (top in wanted and ("ieeg" in rest[:-1] or suffix == ".tsv"))
        ):
            yield file


def _osf_storage(address: str, node: str) -> list[Remote]:
    """List the files in the storage of a project or component, folder by folder."""
    files: list[Remote] = []
    folders = [f"{address}/nodes/{node}/files/osfstorage/?page%5Bsize%5D=100"]
    visited: set[str] = set()
    while folders:
        url = folders.pop(0)
        if url in visited:
            continue
        visited.add(url)
        _check_count(len(visited), address)
        for item in _osf_pages(url):
            try:
                about = item["attributes"]
                if about["kind"] == "folder":
                    folders.append(
                        _text(item["relationships"]["files"]["links"]["related"]["href"])
                    )
                    continue
                hashes = (about.get("extra") or {}).get("hashes") or {}
                name = _text(about.get("materialized_path") or about["name"]).removeprefix("/")
                files.append(
                    Remote(
                        name,
                        _text(item["links"]["download"]),
                        _size(about["size"]),
                        sha256=_text_or_none(hashes.get("sha256")),
                        md5=_text_or_none(hashes.get("md5")),
                    )
                )
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise _unreadable_answer(url) from error
        _check_count(len(files), address)
    return files


def _osf_pages(url: str) -> Iterator[dict[str, Any]]:
    """Yield the items of a list, page by page."""
    following: str | None = url
    visited: set[str] = set()
    while following and following not in visited:
        visited.add(following)
        _check_count(len(visited), url)
        page = fetch.read_json(following)
        try:
            items, following = list(page["data"]), _text_or_none(page["links"]["next"])
        except (KeyError, TypeError) as error:
            raise _unreadable_answer(url) from error
        yield from items


def _component(item: Any, address: str) -> str:
    """Return the name of a project's component."""
    try:
        name = _text(item["id"])
    except (KeyError, TypeError) as error:
        raise _unreadable_answer(address) from error
    if not re.fullmatch(r"[A-Za-z0-9]{1,20}", name):
        raise _unreadable_answer(address)
    return name


def _text(value: Any) -> str:
    """Return a text of a publisher's answer; raise `TypeError` for another value."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _size(value: Any) -> int:
    """Return a file's size in a publisher's answer; raise `ValueError` for what is none."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**15:
        raise ValueError(f"{value!r} is not a size")
    return value


def _unreadable_answer(url: str) -> InputError:
    return InputError(
        "the publisher's answer can't be read",
        where=url,
        remedy="download the data set by hand into the folder that dataset.root names",
    )


def _check_count(count: int, where: str | Path) -> None:
    if count > MAX_FILES:
        raise InputError(f"there are more than {MAX_FILES} files", where=where)


def _xml(url: str) -> ElementTree.Element:
    """Read a bucket's list, without the XML namespace."""
    content = fetch.read(url)
    try:
        # A bucket's list declares no entities, which attacks by XML need.
        if b"<!" in content:
            raise _unreadable_answer(url)
        page = ElementTree.fromstring(content)  # noqa: S314
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise _unreadable_answer(url) from error
    for element in page.iter():
        element.tag = element.tag.rsplit("}", 1)[-1]
    if page.tag != "ListBucketResult":
        raise _unreadable_answer(url)
    return page


def _members(opened: zipfile.ZipFile, archive: Path, root: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the members to unpack by their names in the data set, all of them checked."""
    infos = [info for info in opened.infolist() if not info.orig_filename.endswith("/")]
    _check_count(len(infos), archive)
    for info in infos:
        # The archive's own name: zipfile cuts it at a zero byte.
        fetch.foreign_path(root, info.orig_filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise InputError(
                f"{info.filename!r} in the archive is a link or device",
                where=archive,
                expected="plain files",
                remedy="do not use this archive",
            )
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
            raise NotImplementedError(f"{info.filename!r} is compressed in a way of its own")
        if info.flag_bits & 1:
            raise InputError(f"{info.filename!r} in the archive is encrypted", where=archive)
    total = sum(info.file_size for info in infos)
    if total > MAX_EXPANSION * archive.stat().st_size:
        raise InputError(
            f"the archive would expand from {fetch.in_words(archive.stat().st_size)} to "
            f"{fetch.in_words(total)}",
            where=archive,
            remedy="do not use this archive",
        )
    named = bids_names([info.filename for info in infos])
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = named.get(info.filename)
        if name is None or name.endswith(".DS_Store"):
            continue
        if name in members:
            raise InputError(f"{name!r} is in the archive twice", where=archive)
        members[name] = info
    written = [m for n, m in members.items() if not (root / n).is_file()]
    fetch.require_space(root, sum(m.file_size for m in written))
    return members


def _is_unpacked(target: Path, member: zipfile.ZipInfo) -> bool:
    if not target.is_file() or target.stat().st_size != member.file_size:
        return False
    crc = 0
    with open(target, "rb") as opened:
        while block := opened.read(1 << 20):
            crc = zlib.crc32(block, crc)
    return crc == member.CRC


def _unpack_member(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    with written_whole(target) as temporary, open(temporary, "wb") as unpacked:
        left = member.file_size
        # zipfile compares the CRC-32 when it has read the member to its end.
        with opened.open(member) as packed:
            while block := packed.read(1 << 20):
                left -= len(block)
                if left < 0:
                    raise zipfile.BadZipFile(f"{member.filename!r} is larger than its entry states")
                unpacked.write(block)
        if left:
            raise zipfile.BadZipFile(f"{member.filename!r} is shorter than its entry states")


_PUBLISHERS = {
    "osf": _Publisher(
        name_pattern=r"[a-z0-9]{5}",
        list_files=osf_files,
        address=OSF,
        variable="HIGHGAMMA_OSF",
        by_hand="open https://osf.io/{name}/files, download all of OSF Storage (for nrgx6: "
        "SingleWordProductionDutch-iBIDS.zip) and unpack it",
    ),
    "openneuro": _Publisher(
        name_pattern=r"ds\d{6}",
        list_files=openneuro_files,
        address=OPENNEURO,
        variable="HIGHGAMMA_OPENNEURO",
        by_hand="get https://openneuro.org/datasets/{name} (`aws s3 sync --no-sign-request "
        "s3://openneuro.org/{name} {name} --exclude 'derivatives/*'`)",
    ),
}
