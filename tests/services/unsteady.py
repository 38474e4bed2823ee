"""A store that is at times overloaded: an HTTP proxy before an S3 server, which answers 503 or lets its callers wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from urllib.parse import urlsplit

from tests.services.ports import HOST

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
SECONDS_AT_MOST = 120
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


@dataclass
class Weather:
    """How the store is now: which share of the requests it refuses, and how long it takes for the others."""

    address: str = ""
    refused_share: float = 0.0
    seconds: float = 0.0
    refused: int = 0
    delayed: int = 0
    chance: Random = field(default_factory=lambda: Random(1))


@contextmanager
def unsteady(endpoint_url: str) -> Iterator[Weather]:
    """A proxy before the server, until the block ends; its weather may be changed at any time."""
    behind, weather, lock = urlsplit(endpoint_url), Weather(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                refuses = weather.chance.random() < weather.refused_share
                weather.refused += refuses
                weather.delayed += bool(weather.seconds)
            time.sleep(weather.seconds)
            if refuses:
                self.send(503, {"Content-Type": "application/xml"}, SLOW_DOWN)
                return
            connection = HTTPConnection(str(behind.hostname), behind.port, timeout=SECONDS_AT_MOST)
            try:
                connection.request(self.command, self.path, body=body, headers=dict(self.headers))
                response = connection.getresponse()
                content = response.read()
                headers = {k: v for k, v in response.getheaders() if k.lower() not in HOP_BY_HOP}
                # of a HEAD it is the length of what a GET would give
                length = response.getheader("Content-Length") if self.command == "HEAD" else None
                self.send(response.status, headers, content, length=length)
            finally:
                connection.close()

        def send(
            self, status: int, headers: dict[str, str], content: bytes, *, length: str | None = None
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 -- the names are given

        def handle(self) -> None:
            # whoever asked may be killed before the answer
            with suppress(ConnectionError):
                super().handle()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is given
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    weather.address = f"http://{HOST}:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield weather
    finally:
        server.shutdown()
        server.server_close()
