"""Answers to GET requests: from https addresses and from this machine, through requests.

urllib3 repeats a request that found no connection or a busy server. Plain HTTP is spoken to this
machine only, and no redirection leads from another machine to this one.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry

from highgamma import __version__
from highgamma.errors import InputError, Refused, Unreachable

MAX_PAUSE = 30.0
"""Longest pause between two attempts, in seconds, unless the server names a longer one."""

MAX_RETRY_AFTER = 60.0
"""Longest pause that a server may request, in seconds."""

BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP status codes after which a request is repeated."""


@contextmanager
def opened(
    url: str,
    headers: Mapping[str, str],
    *,
    attempts: int,
    first_attempts: int,
    pause: float,
    timeout: float,
) -> Iterator[requests.Response]:
    """Open the answer to a GET request.

    Parameters
    ----------
    url
        Its address: https, or http on this machine.
    headers
        Sent with the request; `Authorization` goes to the address's own host only.
    attempts
        Number of repetitions while the server is busy or breaks off.
    first_attempts
        Number of repetitions if no connection can be established.
    pause
        Back-off, in seconds: pause k takes `pause` · 2^(k − 1), the first one nothing.
    timeout
        Seconds without a byte after which a connection counts as broken.

    Raises
    ------
    Unreachable
        If the server cannot be reached, or stays busy.
    Refused
        If the server answers with another status than success.
    InputError
        If the address, or one that the server redirects to, is not allowed.
    """
    require_https(url)
    retry = _PatientRetry(
        total=attempts,
        connect=first_attempts,
        other=first_attempts,
        status_forcelist=BUSY,
        backoff_factor=pause,
        backoff_max=MAX_PAUSE,
        raise_on_status=False,
    )
    with _GuardedSession() as session:
        session.mount("https://", _SystemTrust(max_retries=retry))
        session.mount("http://", HTTPAdapter(max_retries=retry))
        # Credentials of ~/.netrc, which requests would add, are not ours to send.
        session.trust_env = False
        session.headers.update(
            {
                "User-Agent": f"highgamma/{__version__}",
                "Accept-Encoding": "identity",
                **headers,
            }
        )
        try:
            response = session.get(url, stream=True, timeout=timeout, proxies=_proxies(url))
        except requests.TooManyRedirects as error:
            raise Refused("the server redirects in a circle", status=302, where=url) from error
        except requests.RequestException as error:
            raise unreachable(url, error) from error
        with response:
            if response.status_code in BUSY:
                raise unreachable(url, f"the server answered with status {response.status_code}")
            if not response.ok:
                raise Refused(
                    f"the server answered with status {response.status_code} ({response.reason})",
                    status=response.status_code,
                    where=url,
                    remedy="check that the address is right and open to everyone",
                )
            yield response


def blocks(response: requests.Response, size: int) -> Iterator[bytes]:
    """Yield the content of an answer as it was sent, in pieces of at most `size` bytes.

    Raises
    ------
    ConnectionError
        If the connection breaks off before the end.
    """
    try:
        while block := response.raw.read(size, decode_content=False):
            yield block
    except (HTTPError, OSError) as error:
        raise ConnectionError(_reason(error)) from error


def first_headers(response: requests.Response) -> dict[str, str]:
    """Return the first value of each header in a chain of redirections, names in lower case."""
    headers: dict[str, str] = {}
    for hop in (*response.history, response):
        for name, value in hop.headers.items():
            headers.setdefault(name.lower(), value)
    return headers


def require_https(url: str) -> None:
    """Refuse an address that is neither https nor on this machine.

    Raises
    ------
    InputError
        If it is another one.
    """
    scheme = urlsplit(url).scheme
    if scheme != "https" and not (scheme == "http" and _is_local(url)):
        raise InputError(
            "the address is not https", where=url, expected="https://…", remedy="correct it"
        )


def unreachable(url: str, cause: BaseException | str, *, kept: str = "") -> Unreachable:
    """Return the error for a connection that fails; `kept` names what has arrived."""
    return Unreachable(
        f"could not connect to {urlsplit(url).hostname or url}: "
        f"{cause if isinstance(cause, str) else _reason(cause)}{kept}",
        where=url,
        remedy="check the network (and https_proxy behind a proxy), then run again; the "
        "download is resumed",
    )


class _GuardedSession(requests.Session):
    """A session that follows redirections to allowed addresses only."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is not None:
            url = urljoin(resp.url, target)
            require_https(url)
            if _is_local(url) and not _is_local(resp.url):
                raise InputError(f"the server redirects to this machine: {url}", where=resp.url)
        return target

    def rebuild_proxies(self, prepared_request: Any, proxies: Any) -> dict[str, str]:
        return _proxies(prepared_request.url)


class _SystemTrust(HTTPAdapter):
    """Trusts the system's certificates (or those of `SSL_CERT_FILE`) next to certifi's."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, ssl_context=ssl.create_default_context(), **options)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, ssl_context=ssl.create_default_context(), **options)


class _PatientRetry(Retry):
    """Takes the server's `Retry-After`, up to `MAX_RETRY_AFTER`; passes over one it can't read."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        with suppress(InvalidHeader):
            seconds = super().get_retry_after(response)
            return None if seconds is None else min(seconds, MAX_RETRY_AFTER)
        return None


def _proxies(url: str) -> dict[str, str]:
    return {} if _is_local(url) else get_environ_proxies(url)


def _is_local(url: str) -> bool:
    """Return whether a URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _reason(error: BaseException) -> str:
    """Return the operating system's reason for an error where it has one, else the last one's."""
    cause: BaseException | None = error
    while cause is not None:
        last, text = cause, getattr(cause, "strerror", None)
        if isinstance(text, str):
            return text
        nested = (*cause.args, getattr(cause, "reason", None))
        cause = cause.__cause__ or next(
            (part for part in nested if isinstance(part, BaseException)), cause.__context__
        )
    return str(last) or type(last).__name__
