"""A witness as a web server: for one team to run in a place that who writes the log cannot reach.

Promises: no request holds it longer, or takes more memory or more threads, than its limits; what goes wrong inside is
answered 500 and logged, and nothing is cosigned. It speaks plain HTTP, on loopback unless told otherwise: put what
speaks TLS before it.
Source: C2SP tlog-witness.
"""

import logging
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import BoundedSemaphore, Timer
from typing import Any, Final

from evidence.errors import EvidenceError
from evidence.witness.book import Book, Reply

_LOG: Final = logging.getLogger(__name__)
_CHECKPOINT: Final = re.compile(r"/([0-9a-f]{64})/checkpoint")
_LENGTH: Final = re.compile(r"[0-9]{1,9}")
_BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True)
class Limits:
    """What others may use up: bytes of a body, seconds of a wait and of a connection, connections at once."""

    body: int = 1 << 18
    wait: float = 10.0
    connection: float = 60.0
    connections: int = 32


class WitnessServer(ThreadingHTTPServer):
    """The server; `serve_forever` runs it until `shutdown`. `server_address` says where, once it is made."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, book: Book, address: tuple[str, int], limits: Limits) -> None:
        self.book, self.limits = book, limits
        self._free = BoundedSemaphore(limits.connections)
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind, without asking the network for a name as the base class does: that may take a minute."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, if one is free."""
        if not self._free.acquire(blocking=False):
            with suppress(OSError):
                request.sendall(_BUSY)
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection until it ends, or its time does: one that gives a byte now and then does not stay."""
        timer = Timer(self.limits.connection, _cut, (request,))
        timer.daemon = True
        timer.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            timer.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's signature
        """A connection that broke concerns nobody."""
        _LOG.debug("a connection ended early", exc_info=True)


def serve(book: Book, address: tuple[str, int] = ("127.0.0.1", 0), limits: Limits = Limits()) -> WitnessServer:
    """The server of a witness, bound to its address and not yet running. Raises `EvidenceError`.

    Port 0 takes a free one.
    """
    try:
        return WitnessServer(book, address, limits)
    except OSError as error:
        raise EvidenceError(
            f"cannot listen on {address[0]}:{address[1]}: {error.strerror}", "is the port taken? name another"
        ) from error


class _Handler(BaseHTTPRequestHandler):
    server: WitnessServer
    protocol_version = "HTTP/1.1"
    server_version = "muster-witness"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.limits.wait)

    def do_POST(self) -> None:
        if self.path != "/add-checkpoint":
            self._refuse(404, "ask for /add-checkpoint")
            return
        body = self._body()
        if body is not None:
            self._answer(lambda: self.server.book.add_checkpoint(body))

    def do_GET(self) -> None:
        match = _CHECKPOINT.fullmatch(self.path)
        if match is None:
            self._refuse(404, "ask for /HASH/checkpoint, where HASH is the SHA-256 of a log's origin in hex")
            return
        self._answer(lambda: self.server.book.checkpoint(match[1]))

    def _body(self) -> bytes | None:
        """The body, or `None` after saying why there is none."""
        lengths = self.headers.get_all("content-length", [])
        if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]) or "transfer-encoding" in self.headers:
            self._refuse(411, "say how long the body is")
        elif int(lengths[0]) > self.server.limits.body:
            self._refuse(413, "the body is too large")
        else:
            body = self.rfile.read(int(lengths[0]))
            if len(body) == int(lengths[0]):
                return body
            self._refuse(400, "the body ended early")
        return None

    def _answer(self, reply: Callable[[], Reply]) -> None:
        if self.command != "POST" and {"content-length", "transfer-encoding"} & {name.lower() for name in self.headers}:
            self.close_connection = True  # a body that is not read must not pass for the next request
        try:
            found = reply()
        except Exception:  # a fault of one request must not end the others, and its words are not for strangers
            _LOG.exception("the witness could not answer")
            self._refuse(500, "the witness cannot answer; who runs it finds the reason in its log")
            return
        self._send(found.status, found.content, found.media_type)

    def _refuse(self, status: int, said: str) -> None:
        self.close_connection = True
        self._send(status, f"{said}\n".encode(), "text/plain; charset=utf-8")

    def _send(self, status: int, content: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        _LOG.debug(format, *args)


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
