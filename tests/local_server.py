"""A publisher on this machine that speaks HTTP with ranges and can be told to misbehave."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """A server on this machine that can be told to misbehave; it keeps what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.etag = '"one"'
        self.breaks: list[int] = []
        self.statuses: list[int] = []
        self.ranges = True
        self.sized = True
        self.redirects: dict[str, str] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.address = ""


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            site.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            if self.path in site.redirects:
                self.send_response(302)
                self.send_header("Location", site.redirects[self.path])
                self.extra()
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            status = site.statuses.pop(0) if site.statuses else 200
            content = site.files.get(self.path, site.files.get(self.path.split("?")[0]))
            if status != 200 or content is None:
                self.send_response(status if status != 200 else 404)
                self.extra()
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            first = 0
            match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            same = self.headers.get("If-Range", site.etag) == site.etag
            if match and site.ranges and same:
                first = int(match[1])
                if first >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header(
                    "Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}"
                )
            else:
                self.send_response(200)
            if site.sized:
                self.send_header("Content-Length", str(len(content) - first))
            if site.etag:
                self.send_header("ETag", site.etag)
            self.extra()
            self.end_headers()
            if self.command == "HEAD":
                return
            stop = site.breaks.pop(0) if site.breaks else len(content)
            self.wfile.write(content[first : max(first, stop)])
            self.close_connection = True

        do_HEAD = do_GET

        def extra(self) -> None:
            for name, value in site.headers.get(self.path, {}).items():
                self.send_header(name, value)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def closed_port() -> str:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{opened.getsockname()[1]}"
