"""Downloads: resumed where they broke off, and checked before they are used.

A file grows as `<name>.part` and gets its name only when its size and checksum are right. Plain
HTTP is spoken to this machine alone; everything else is https.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from highgamma.errors import InputError
from highgamma.errors import Refused as Refused
from highgamma.errors import Unreachable as Unreachable
from highgamma.store import inside, parse_json

if TYPE_CHECKING:
    import requests

logger = logging.getLogger("highgamma")

RETRIES = 5
"""Failures in a row, without progress, before a download is given up."""

PAUSE = 1.0
"""Seconds before the second attempt; doubled for each further one, at most 30."""

TIMEOUT = 60.0
"""Seconds without a byte after which a connection counts as broken."""

INTERVAL = 2.0
"""Least number of seconds between two lines of progress."""

MOST_NAME_BYTES = 200
"""Bytes of a file's name; most file systems take 255, and temporary files add to it."""

MOST_FOLDERS = 16
"""Folders within one another; systems take paths of about 4000 bytes."""

MOST_BYTES = 1 << 37
"""Size of a download beyond which it is given up, where nothing states how large it is."""

LEAST_ROOM = 1 << 28
"""Bytes that a download of unknown size leaves free on the disk."""

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A complete file.

    Attributes
    ----------
    path
        The file.
    size
        Its size, bytes.
    sha256
        Its SHA-256, hexadecimal.
    headers
        Headers of the answer, names in lower case; the first value of each in a chain of
        redirections. Empty if no request was necessary.
    """

    path: Path
    size: int
    sha256: str
    headers: Mapping[str, str]


def download(
    url: str,
    path: str | os.PathLike[str],
    *,
    size: int | None = None,
    sha256: str | None = None,
    md5: str | None = None,
    git_blob: str | None = None,
    headers: Mapping[str, str] | None = None,
    retries: int | None = None,
    label: str | None = None,
    progress: Callable[[str], None] = logger.info,
) -> Downloaded:
    """Download `url` to `path`, resuming an earlier attempt.

    What has arrived is kept in `<path>.part`, also between runs; the rest is requested with
    `Range` and, if the server gave an ETag, `If-Range`, so that two versions are never mixed.

    Parameters
    ----------
    url
        The address: https, or http on this machine.
    path
        Where the file is saved.
    size
        Expected size in bytes.
    sha256, md5, git_blob
        Expected checksums, hexadecimal; `git_blob` is SHA-1 of `blob <size>\\0` and the content,
        by which git names a file.
    headers
        Sent to the URL's own host only, never to one it redirects to.
    retries
        Failures in a row, without progress, before giving up (`RETRIES`).
    label, progress
        Name in the lines of progress (the file's), and where they go; at most one each
        `INTERVAL` seconds.

    Raises
    ------
    Unreachable
        If the server cannot be reached, or the connection breaks repeatedly; `<path>.part` stays.
    Refused
        If the server denies the file.
    InputError
        If size or checksum is not the expected one (`<path>.part` is deleted), the disk is too
        small, or the URL is neither https nor on this machine.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    tag = target.with_name(target.name + ".part.etag")
    lines = _Progress(label or target.name, progress)
    answer_headers: Mapping[str, str] = {}

    def attempt() -> None:
        nonlocal answer_headers
        answer_headers = _continue(url, part, tag, size=size, headers=headers or {}, progress=lines)

    if size is None or _size(part) != size or not part.is_file():
        until_done(attempt, url, retries=RETRIES if retries is None else retries, part=part)
    arrived = part.stat().st_size
    if size is not None and arrived != size:
        _discard(part, tag)
        raise InputError(
            f"{target.name}: {arrived} bytes arrived",
            where=url,
            expected=f"{size} bytes",
            remedy="run again; if it happens again, the file was changed where it is published",
        )
    actual = checksum(part, "sha256")
    for algorithm, published in (("sha256", sha256), ("md5", md5), ("git-blob", git_blob)):
        if published is None:
            continue
        computed = actual if algorithm == "sha256" else checksum(part, algorithm)
        if computed != published.lower():
            _discard(part, tag)
            raise InputError(
                f"{target.name}: the {algorithm} checksum is {computed}",
                where=url,
                expected=published.lower(),
                remedy="run again (the download was deleted); if it happens again, the file was "
                "changed where it is published, or on its way",
            )
    with open(part, "rb") as written:
        os.fsync(written.fileno())
    os.replace(part, target)
    tag.unlink(missing_ok=True)
    return Downloaded(target, arrived, actual, answer_headers)


def read(url: str, *, headers: Mapping[str, str] | None = None, limit: int = 64 << 20) -> bytes:
    """Return the content at `url`, at most `limit` bytes.

    Parameters
    ----------
    url
        The address: https, or http on this machine.
    headers
        Sent to the address's own host only.
    limit
        Largest size of the content, bytes.

    Raises
    ------
    Unreachable, Refused
        As `download` does.
    InputError
        If there are more than `limit` bytes.
    """
    from highgamma.connection import blocks

    content = bytearray()

    def attempt() -> None:
        content.clear()
        with _opened(url, headers or {}) as answer:
            for block in blocks(answer, _BLOCK):
                content.extend(block)
                if len(content) > limit:
                    raise InputError(f"the answer has more than {in_words(limit)}", where=url)

    until_done(attempt, url, retries=RETRIES)
    return bytes(content)


def read_json(url: str, *, headers: Mapping[str, str] | None = None, limit: int = 64 << 20) -> Any:
    """Return the JSON document at `url`, of at most `limit` bytes.

    Raises
    ------
    Unreachable, Refused
        As `download` does.
    InputError
        If the answer is too long, or is not JSON.
    """
    try:
        return parse_json(read(url, headers=headers, limit=limit))
    except ValueError as error:
        raise InputError(
            "the answer is not JSON; it may be a network's log-in page",
            where=url,
            remedy="open the address in a browser, then run again",
        ) from error


def checksum(path: str | os.PathLike[str], algorithm: str) -> str:
    """Return a file's checksum, hexadecimal: `sha256`, `md5`, or `git-blob` (git's object name)."""
    with open(path, "rb") as opened:
        if algorithm == "git-blob":
            digest = hashlib.sha1(b"blob %d\0" % Path(path).stat().st_size, usedforsecurity=False)
            while block := opened.read(_BLOCK):
                digest.update(block)
            return digest.hexdigest()
        if algorithm == "md5":
            return hashlib.file_digest(
                opened, lambda: hashlib.md5(usedforsecurity=False)
            ).hexdigest()
        return hashlib.file_digest(opened, algorithm).hexdigest()


def is_whole(
    path: str | os.PathLike[str],
    *,
    size: int | None,
    sha256: str | None = None,
    md5: str | None = None,
    git_blob: str | None = None,
) -> bool:
    """Return whether a file exists with this size and checksum; the size is compared first.

    Parameters
    ----------
    path
        The file.
    size
        Expected size, bytes; None if it is unknown.
    sha256, md5, git_blob
        Expected checksums, hexadecimal; None for those that are unknown.
    """
    file = Path(path)
    if not file.is_file() or (size is not None and file.stat().st_size != size):
        return False
    wanted = (("sha256", sha256), ("md5", md5), ("git-blob", git_blob))
    return all(w is None or checksum(file, a) == w.lower() for a, w in wanted)


def foreign_path(root: str | os.PathLike[str], name: str) -> Path:
    """Return the path below `root` of a file named by others; only plain relative names pass.

    Raises
    ------
    InputError
        If the name is absolute, has `..`, a backslash, a drive or a control character, is too long
        or not text, or leads out of the folder in any other way.
    """
    parts = name.split("/")
    if (
        re.search(r"[\x00-\x1f\x7f\\]", name)
        or re.match(r"[A-Za-z]:", name)
        or any(part in ("", ".", "..") for part in parts)
        or not _can_be_named(parts)
    ):
        raise InputError(
            f"the name {name!r} is not a plain path inside a folder",
            where=root,
            expected="names such as sub-01/ieeg/file.tsv",
            remedy="do not use this source; it is damaged or hostile",
        )
    return inside(root, name)


def _can_be_named(parts: list[str]) -> bool:
    """Return whether file systems take these names: UTF-8, neither too long nor too many."""
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return False
    return max(sizes) <= MOST_NAME_BYTES and len(sizes) <= MOST_FOLDERS


def require_space(folder: str | os.PathLike[str], needed: int) -> None:
    """Check that the disk which holds `folder` has `needed` bytes free.

    Raises
    ------
    InputError
        If it has less.
    """
    existing = Path(folder).absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise InputError(
            f"the disk has {in_words(free)} free, too little",
            where=folder,
            expected=f"{in_words(needed)}",
            remedy="free some space, or name a folder on another disk",
        )


@contextmanager
def alone(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes out of a folder while its files are fetched; they wait their turn."""
    import fcntl

    Path(folder).mkdir(parents=True, exist_ok=True)
    opened = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems lock no folders; there, one process at a time is up to the user.
        with suppress(OSError):
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def in_words(size: float) -> str:
    """Return a number of bytes as text: `41 kB`, `1.2 GB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.{1 if size < 10 * scale else 0}f} {unit}"
    return f"{size:.0f} bytes"


class _Progress:
    """Lines of progress, at most one each `INTERVAL` seconds."""

    def __init__(self, label: str, report: Callable[[str], None]) -> None:
        self.label, self.report = label, report
        self.started = self.reported = time.monotonic()
        self.arrived = 0

    def add(self, n_bytes: int, *, position: int, total: int | None) -> None:
        """Count what arrived; `position` and `total` are bytes of the file."""
        self.arrived += n_bytes
        clock = time.monotonic()
        if clock - self.reported < INTERVAL:
            return
        self.reported = clock
        rate = self.arrived / (clock - self.started)
        if total:
            left = (total - position) / max(rate, 1.0)
            self.report(
                f"{self.label}: {100 * position // total} %, {position / 1e6:.0f} of "
                f"{total / 1e6:.0f} MB, {rate / 1e6:.1f} MB/s, {_duration(left)} left"
            )
        else:
            self.report(f"{self.label}: {position / 1e6:.0f} MB, {rate / 1e6:.1f} MB/s")


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _continue(
    url: str,
    part: Path,
    tag: Path,
    *,
    size: int | None,
    headers: Mapping[str, str],
    progress: _Progress,
) -> Mapping[str, str]:
    """Append what is missing to `part` in one request; return the answer's first headers.

    Raises
    ------
    ConnectionError
        If the connection breaks off; what arrived is kept.
    """
    from highgamma.connection import blocks, first_headers

    position = _size(part)
    request = dict(headers)
    if position and tag.is_file():
        request |= {"If-Range": tag.read_text(encoding="ascii").strip()}
    elif size is None:
        # Neither an ETag nor a size tells whether the rest would be of the same file.
        position = 0
    if position:
        request["Range"] = f"bytes={position}-"
    try:
        with _opened(url, request, resumed=position > 0) as answer:
            start, total = _extent(answer, position)
            if start != position:
                progress.report(f"{progress.label}: starts again from the beginning")
            position = start
            if size is not None and total is not None and total != size:
                _discard(part, tag)
                raise InputError(
                    f"the server has {total} bytes under this name",
                    where=url,
                    expected=f"{size} bytes",
                    remedy="the file was changed where it is published; ask its authors",
                )
            etag = answer.headers.get("etag", "")
            if etag.startswith('"') and etag.isascii():
                tag.write_text(etag, encoding="ascii")
            elif not position:
                tag.unlink(missing_ok=True)
            if total is not None:
                require_space(part.parent, total - position)
            bound = total if total is not None else size
            with open(part, "ab" if position else "wb") as opened:
                for block in blocks(answer, _BLOCK):
                    _write(opened, block, part)
                    position += len(block)
                    progress.add(len(block), position=position, total=bound)
                    if bound is not None and position > bound:
                        break
                    if bound is None:
                        _check_growth(position, url, part)
            if bound is not None and position < bound:
                raise ConnectionError(f"the connection broke off after {position} of {bound} bytes")
            return first_headers(answer)
    except Refused as refusal:
        if refusal.status != 416:
            raise
        # Nothing lies beyond what is here: it is the whole file, or more than that.
        if position == size:
            return {}
        _discard(part, tag)
        raise ConnectionError("the server has less than was kept here") from refusal


def _check_growth(arrived: int, url: str, part: Path) -> None:
    """Refuse a download without a stated size that has no end."""
    if arrived > MOST_BYTES:
        raise InputError(
            f"the server has sent {in_words(arrived)} without saying how much there is",
            where=url,
            expected=f"at most {in_words(MOST_BYTES)}",
            remedy="download the file by hand, if it is the right one",
        )
    require_space(part.parent, LEAST_ROOM)


def _write(opened: BinaryIO, block: bytes, part: Path) -> None:
    try:
        opened.write(block)
        opened.flush()
    except OSError as error:
        # Not to be taken for a broken connection.
        raise InputError(
            f"cannot write the file: {error.strerror or error}",
            where=part,
            remedy="check the folder's free space (df) and rights (ls -ld), then run again",
        ) from error


def _extent(answer: requests.Response, position: int) -> tuple[int, int | None]:
    """Return the first byte that an answer holds, and the whole file's size if it is known."""
    if answer.status_code == 206:
        match = re.fullmatch(
            r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("content-range", "").strip()
        )
        if not match or int(match[1]) != position:
            raise ConnectionError("the server sent another part than was requested")
        return position, None if match[2] == "*" else int(match[2])
    length = answer.headers.get("content-length", "")
    return 0, int(length) if length.isdigit() else None


def until_done(
    attempt: Callable[[], None], url: str, *, retries: int, part: Path | None = None
) -> None:
    """Repeat `attempt` until it returns.

    Parameters
    ----------
    attempt
        Raises `ConnectionError` if a connection breaks off.
    url
        Its address, for messages.
    retries
        Failures in a row, without progress, after which it is given up.
    part
        The file that grows with progress, if there is one.

    Raises
    ------
    Unreachable
        If every attempt failed.
    """
    from highgamma.connection import unreachable

    failures, furthest = 0, 0
    while True:
        try:
            attempt()
            return
        except ConnectionError as error:
            position = _size(part) if part is not None else 0
            failures = 1 if position > furthest + _BLOCK else failures + 1
            furthest = max(position, furthest)
            if failures > retries:
                kept = f"; the first {in_words(position)} are kept" if position else ""
                raise unreachable(url, error, kept=kept) from error
            pause = min(PAUSE * 2 ** (failures - 1), 30.0)
            logger.info("%s: %s; next attempt in %.0f s", url, error, pause)
            time.sleep(pause)


@contextmanager
def _opened(
    url: str, headers: Mapping[str, str], *, resumed: bool = False
) -> Iterator[requests.Response]:
    """Open the answer to a GET request, with this module's patience."""
    # requests takes 0.1 s to import, which only a job that fetches files should spend.
    from highgamma.connection import opened

    with opened(
        url,
        headers,
        attempts=RETRIES,
        # An unknown name or a closed port seldom recovers within a minute.
        first_attempts=RETRIES if resumed else 1,
        pause=PAUSE,
        timeout=TIMEOUT,
    ) as answer:
        yield answer


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _discard(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
