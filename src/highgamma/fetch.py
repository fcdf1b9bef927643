"""Files from the network: resumed where they broke off, checked before they count.

A file grows as `<name>.part` and gets its name only when its size and checksum are right. Plain
HTTP is spoken to this machine alone; everything else is https.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from highgamma import __version__
from highgamma.errors import InputError
from highgamma.store import inside

logger = logging.getLogger("highgamma")

RETRIES = 5
"""How often a connection may fail without getting further before it is given up."""

PAUSE = 1.0
"""Seconds before the second attempt; doubled for each further one, at most 30."""

TIMEOUT = 60.0
"""Seconds without a byte after which a connection counts as broken."""

INTERVAL = 2.0
"""Least number of seconds between two lines of progress."""

_BLOCK = 1 << 20
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_BROKEN = (OSError, http.client.HTTPException)


class Unreachable(InputError):  # noqa: N818
    """There is no connection, or none that lasts."""


class Refused(InputError):  # noqa: N818
    """A server answered, but did not give what was asked for; `status` is its HTTP status."""

    def __init__(self, found: str, *, status: int, where: str, remedy: str | None = None) -> None:
        self.status = status
        super().__init__(found, where=where, remedy=remedy)


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A whole file: its path, size in bytes, SHA-256, and the answer's headers in lower case.

    Of a chain of redirections each header is the first one seen. Without a request (the file was
    already whole) there are none.
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
    """Fetch `url` to `path`, going on where an earlier attempt broke off.

    What has arrived is kept in `<path>.part`, also over runs; the rest is asked for with `Range`
    and, where the server gave an ETag, `If-Range`, so that two versions are never mixed.

    Parameters
    ----------
    size
        Expected size in bytes.
    sha256, md5, git_blob
        Expected checksums, hexadecimal; `git_blob` is SHA-1 of `blob <size>\\0` and the content,
        by which git names a file.
    headers
        Sent to the URL's own host only, never to one it redirects to.
    retries
        Failures in a row, without getting further, that are borne (`RETRIES`).
    label, progress
        Name in the lines of progress (the file's), and where they go; at most one each
        `INTERVAL` seconds.

    Raises
    ------
    Unreachable
        If there is no connection, or it breaks again and again; `<path>.part` stays.
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
    seen: dict[str, str] = {}
    told = _Progress(label or target.name, progress)

    def attempt() -> int:
        seen.clear()
        return _continue(url, part, tag, size=size, headers=headers or {}, seen=seen, told=told)

    if size is None or not part.is_file() or part.stat().st_size != size:
        _until_done(attempt, url, retries=retries, kept=part)
    got = part.stat().st_size
    if size is not None and got != size:
        _discard(part, tag)
        raise InputError(
            f"{target.name}: {got} bytes arrived",
            where=url,
            expected=f"{size} bytes",
            remedy="run again; if it happens again, the file was changed where it is published",
        )
    found = checksum(part, "sha256")
    for algorithm, wanted in (("sha256", sha256), ("md5", md5), ("git-blob", git_blob)):
        if wanted is None:
            continue
        is_ = found if algorithm == "sha256" else checksum(part, algorithm)
        if is_ != wanted.lower():
            _discard(part, tag)
            raise InputError(
                f"{target.name}: the {algorithm} checksum is {is_}",
                where=url,
                expected=wanted.lower(),
                remedy="run again (what arrived was deleted); if it happens again, the file was "
                "changed where it is published, or on its way",
            )
    with open(part, "rb") as written:
        os.fsync(written.fileno())
    os.replace(part, target)
    tag.unlink(missing_ok=True)
    return Downloaded(target, got, found, dict(seen))


def read(
    url: str, *, headers: Mapping[str, str] | None = None, limit: int = 64 << 20
) -> tuple[bytes, Mapping[str, str]]:
    """The content at `url` (at most `limit` bytes) and the answer's headers in lower case.

    Raises
    ------
    Unreachable, Refused
        As `download` does.
    InputError
        If there are more than `limit` bytes.
    """
    seen: dict[str, str] = {}
    content = b""

    def attempt() -> int:
        nonlocal content
        seen.clear()
        with _opened(url, headers or {}, seen=seen) as answer:
            content = answer.read(limit + 1)
            length = answer.headers.get("Content-Length")
        if length is not None and len(content) < min(int(length), limit):
            raise http.client.IncompleteRead(content)
        return len(content)

    _until_done(attempt, url)
    if len(content) > limit:
        raise InputError(f"the answer has more than {in_words(limit)}", where=url)
    return content, dict(seen)


def read_json(url: str, *, headers: Mapping[str, str] | None = None) -> Any:
    """The JSON document at `url`; errors as `read`, and `InputError` if it is no JSON."""
    content, _ = read(url, headers=headers)
    try:
        return json.loads(content)
    except ValueError as error:
        raise InputError(
            "the answer is no JSON; a network's log-in page may have come in its stead",
            where=url,
            remedy="open the address in a browser, then run again",
        ) from error


def checksum(path: str | os.PathLike[str], algorithm: str) -> str:
    """Checksum of a file, hexadecimal: `sha256`, `md5`, or `git-blob` (git's name of a file)."""
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
    """Whether a file is there with this size and checksum; the size is looked at first."""
    file = Path(path)
    if not file.is_file() or (size is not None and file.stat().st_size != size):
        return False
    wanted = (("sha256", sha256), ("md5", md5), ("git-blob", git_blob))
    return all(w is None or checksum(file, a) == w.lower() for a, w in wanted)


def foreign_path(root: str | os.PathLike[str], name: str) -> Path:
    """Where a file that others named lies below `root`; only plain relative names are taken.

    Raises
    ------
    InputError
        If the name is absolute, has `..`, a backslash, a drive or a control character, or leads
        out of the folder in any other way.
    """
    parts = name.split("/")
    if (
        re.search(r"[\x00-\x1f\x7f\\]", name)
        or re.match(r"[A-Za-z]:", name)
        or any(part in ("", ".", "..") for part in parts)
    ):
        raise InputError(
            f"the name {name!r} is no plain path inside a folder",
            where=root,
            expected="names such as sub-01/ieeg/file.tsv",
            remedy="do not use this source; it is damaged or hostile",
        )
    return inside(root, name)


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
    """A number of bytes for people: `41 kB`, `1.2 GB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.{1 if size < 10 * scale else 0}f} {unit}"
    return f"{size:.0f} bytes"


class _Progress:
    """Lines of progress, at most one each `INTERVAL` seconds."""

    def __init__(self, label: str, tell: Callable[[str], None]) -> None:
        self.label, self.tell = label, tell
        self.started = self.last = time.monotonic()
        self.arrived = 0

    def add(self, count: int, *, have: int, total: int | None) -> None:
        self.arrived += count
        now = time.monotonic()
        if now - self.last < INTERVAL:
            return
        self.last = now
        rate = self.arrived / (now - self.started)
        if total:
            left = (total - have) / max(rate, 1.0)
            self.tell(
                f"{self.label}: {100 * have // total} %, {have / 1e6:.0f} of {total / 1e6:.0f} MB, "
                f"{rate / 1e6:.1f} MB/s, {_duration(left)} left"
            )
        else:
            self.tell(f"{self.label}: {have / 1e6:.0f} MB, {rate / 1e6:.1f} MB/s")


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
    seen: dict[str, str],
    told: _Progress,
) -> int:
    """One request: add to `part` what is missing; returns its size, or raises when broken off."""
    have = part.stat().st_size if part.is_file() else 0
    asked = dict(headers) | {"Accept-Encoding": "identity"}
    if have:
        asked["Range"] = f"bytes={have}-"
        if tag.is_file():
            asked["If-Range"] = tag.read_text(encoding="ascii").strip()
        elif size is None:
            # Neither an ETag nor a size tells whether the rest would be of the same file.
            have = 0
            del asked["Range"]
    try:
        with _opened(url, asked, seen=seen) as answer:
            begin, total = _extent(answer, have)
            if begin != have:
                told.tell(f"{told.label}: starts again from the beginning")
            have = begin
            if size is not None and total is not None and total != size:
                _discard(part, tag)
                raise InputError(
                    f"the server has {total} bytes under this name",
                    where=url,
                    expected=f"{size} bytes",
                    remedy="the file was changed where it is published; ask its authors",
                )
            etag = answer.headers.get("ETag", "")
            if etag.startswith('"') and etag.isascii():
                tag.write_text(etag, encoding="ascii")
            elif not have:
                tag.unlink(missing_ok=True)
            if total is not None:
                require_space(part.parent, total - have)
            bound = total if total is not None else size
            with open(part, "ab" if have else "wb") as opened:
                while block := answer.read(_BLOCK):
                    _write(opened, block, part)
                    have += len(block)
                    told.add(len(block), have=have, total=bound)
                    if bound is not None and have > bound:
                        break
    except Refused as refusal:
        # 416: nothing lies beyond what is here. Whether that is the whole file is then checked.
        if refusal.status == 416 and have and have == size:
            return have
        if refusal.status == 416:
            _discard(part, tag)
            raise ConnectionError("the server has less than was kept here") from refusal
        raise
    if bound is not None and have < bound:
        raise ConnectionError(f"the connection broke off after {have} of {bound} bytes")
    return have


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


def _extent(answer: Any, have: int) -> tuple[int, int | None]:
    """First byte that an answer holds, and the size of the whole file if the server says it."""
    if answer.status == 206:
        match = re.fullmatch(
            r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", "").strip()
        )
        if not match or int(match[1]) != have:
            raise ConnectionError("the server sent another part than was asked for")
        return have, None if match[2] == "*" else int(match[2])
    length = answer.headers.get("Content-Length")
    return 0, int(length) if length is not None and length.isdigit() else None


def _until_done(
    attempt: Callable[[], int], url: str, *, retries: int | None = None, kept: Path | None = None
) -> None:
    """Repeat `attempt` until it returns; give up after `retries` failures without getting on."""
    allowed = RETRIES if retries is None else retries
    host = urlsplit(url).hostname or url
    failures, furthest = 0, 0
    while True:
        try:
            attempt()
            return
        except _BROKEN as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            failures += 1
            have = kept.stat().st_size if kept is not None and kept.is_file() else 0
            if have > furthest + _BLOCK:
                failures, furthest = 1, have
            # A name that is unknown or a closed port seldom heals within a minute.
            hopeless = not have and _is_hopeless(reason)
            if failures > (min(allowed, 1) if hopeless else allowed):
                held = f"; the first {in_words(have)} are kept" if have else ""
                raise Unreachable(
                    f"there is no lasting connection to {host}: {_reason(reason)}{held}",
                    where=url,
                    remedy="check the network (and https_proxy, if there is a proxy), then run "
                    "again; it goes on where it broke off",
                ) from error
            pause = min(PAUSE * 2 ** (failures - 1), 30.0)
            if isinstance(reason, _Busy):
                pause = max(pause, reason.pause)
            logger.info("%s: %s; once more in %.0f s", host, _reason(reason), pause)
            time.sleep(pause)


class _Busy(ConnectionError):  # noqa: N818
    """The server asks to be left alone for `pause` seconds."""

    def __init__(self, status: int, pause: float) -> None:
        self.pause = pause
        super().__init__(f"the server answered with status {status}")


def _is_hopeless(reason: object) -> bool:
    import socket
    import ssl

    return isinstance(
        reason, socket.gaierror | ConnectionRefusedError | ssl.SSLCertVerificationError
    )


def _reason(reason: object) -> str:
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason) or type(reason).__name__


def _discard(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _is_here(url: str) -> bool:
    """Whether a URL's host is this machine."""
    import ipaddress

    host = urlsplit(url).hostname or ""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _check_scheme(url: str) -> None:
    scheme = urlsplit(url).scheme
    if scheme != "https" and not (scheme == "http" and _is_here(url)):
        raise InputError(
            "the address is not https", where=url, expected="https://…", remedy="correct it"
        )


class _Redirections(urllib.request.HTTPRedirectHandler):
    """Follows redirections: never away from https, never with credentials to another host."""

    def __init__(self, seen: dict[str, str]) -> None:
        self.seen = seen

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        _remember(self.seen, headers)
        _check_scheme(newurl)
        if _is_here(newurl) and not _is_here(req.full_url):
            raise InputError(f"the server points to this machine: {newurl}", where=req.full_url)
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None and urlsplit(newurl).netloc != urlsplit(req.full_url).netloc:
            for name in [n for n in new.headers if n.lower() in ("authorization", "cookie")]:
                new.remove_header(name)
        return new


def _remember(seen: dict[str, str], headers: Any) -> None:
    for name, value in headers.items():
        seen.setdefault(name.lower(), value)


@contextmanager
def _opened(url: str, headers: Mapping[str, str], *, seen: dict[str, str]) -> Iterator[Any]:
    """The open answer to a GET request; its headers and those of redirections go to `seen`."""
    import ssl

    _check_scheme(url)
    context = ssl.create_default_context()
    with suppress(ImportError):
        import certifi

        context.load_verify_locations(certifi.where())
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({} if _is_here(url) else None),
        urllib.request.HTTPSHandler(context=context),
        _Redirections(seen),
    )
    request = urllib.request.Request(  # noqa: S310 (the scheme was checked above)
        url, headers={"User-Agent": f"highgamma/{__version__}", **headers}
    )
    try:
        answer = opener.open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if error.code in _AGAIN:
                after = error.headers.get("Retry-After", "0")
                raise _Busy(error.code, min(float(after), 60.0) if after.isdigit() else 0) from None
        raise Refused(
            f"the server answered with status {error.code} ({error.reason})",
            status=error.code,
            where=url,
            remedy="check that the address is right and open to everyone",
        ) from None
    with answer:
        _remember(seen, answer.headers)
        yield answer
