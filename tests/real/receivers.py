"""Real receivers on loopback: a webhook endpoint that checks signatures by itself, a mail server, a health page."""

import base64
import hashlib
import hmac
import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ...").decode()
PATIENCE = 180.0


def wait_until(true: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.05)


def is_signed(headers: dict[str, str], body: bytes, secret: str = SECRET) -> bool:
    """The receiver's side, written after the specification and not after our code."""
    key = base64.b64decode(secret.split("_", 1)[1])
    signed = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    is_new = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    given = [part.split(",", 1)[1] for part in headers["webhook-signature"].split() if part.startswith("v1,")]
    return is_new and any(hmac.compare_digest(expected, one) for one in given)


@dataclass
class Heard:
    """One request that came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def title(self) -> str:
        return str(self.json["data"]["title"])


@dataclass
class Receiver:
    """An HTTP server on loopback. It answers with `status`, after `delay` seconds."""

    status: int = 200
    delay: float = 0.0
    answers: list[int] = field(default_factory=list)
    """Statuses of the next answers, before `status`."""
    heard: list[Heard] = field(default_factory=list)
    url: str = ""
    port: int = 0

    def titles(self) -> list[str]:
        return [one.title for one in self.heard]


@contextmanager
def receiver(port: int = 0, **options: Any) -> Iterator[Receiver]:
    it = Receiver(**options)

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            it.heard.append(Heard(self.command, self.path, headers, body))
            time.sleep(it.delay)
            try:
                self.send_response(it.answers.pop(0) if it.answers else it.status)
                self.send_header("content-length", "0")
                self.end_headers()
            except OSError:
                pass  # who asked has gone

        do_GET = do_POST = _answer

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

    server = Server(("127.0.0.1", port), Handler)
    it.port = server.server_address[1]
    it.url = f"http://127.0.0.1:{it.port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield it
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def mail_server() -> Iterator[tuple[int, list[str]]]:
    """A mail server, as little as there can be (RFC 5321); yields its port and the mails it took."""
    mails: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 here")
            while line := self.rfile.readline().decode().strip():
                verb = line[:4].upper()
                if verb == "DATA":
                    self._say("354 go on")
                    lines = iter(lambda: self.rfile.readline().decode(), ".\r\n")
                    mails.append("".join(lines))
                self._say("221 bye" if verb == "QUIT" else "250 yes")
                if verb == "QUIT":
                    return

        def _say(self, words: str) -> None:
            self.wfile.write(f"{words}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield server.server_address[1], mails
        finally:
            server.shutdown()
