"""One request to a server that may be slow, large, away or lying.

Promises: an answer has come whole within the patience given, or `NoAnswer` is raised, whatever the server does; no more
than the bytes asked for are held in memory; redirects are not followed, since they lead where nobody configured.
"""

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Timer
from typing import Any, NamedTuple

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from evidence.errors import EvidenceError

_CONNECT = 3.0
"""Seconds to wait for a connection, at most."""
_LATER = frozenset({408, 425, 429})
"""Statuses other than 5xx that ask to come again."""


class Patience(NamedTuple):
    """How long a server is waited for."""

    answer: float = 10.0
    """Seconds for one whole answer, from connecting to its last byte."""
    attempts: int = 3
    """How often it is asked while it is away or broken."""
    pause: float = 0.5
    """Seconds before the second attempt; doubled before each further one."""


PATIENCE = Patience()


@dataclass(frozen=True)
class Answer:
    """What a server said: HTTP status, media type without parameters, and the body as it came."""

    status: int
    media_type: str
    content: bytes


class NoAnswer(EvidenceError):
    """A server could not be reached, did not answer in time, or answered too much."""


class _Passing(NoAnswer):
    """A failure that may be over in a moment."""


@dataclass(frozen=True)
class Question:
    """What to ask. `limit` is the largest body of an answer, in bytes."""

    method: str
    url: str
    content: bytes = b""
    headers: Mapping[str, str] | None = None
    limit: int = 1 << 16


def ask(http: httpx.Client, question: Question, patience: Patience = PATIENCE) -> Answer:
    """Ask, again while the server is away or broken. The words of a `NoAnswer` hold no address."""
    again = Retrying(
        stop=stop_after_attempt(patience.attempts),
        wait=wait_exponential(multiplier=patience.pause, max=patience.answer),
        retry=retry_if_exception_type(_Passing),
        reraise=True,
    )
    return again(_ask_once, http, question, patience)


def _ask_once(http: httpx.Client, question: Question, patience: Patience) -> Answer:
    late = _Passing(f"it did not answer within {patience.answer:g} seconds", "try later")
    with _cut_after(patience.answer) as (trace, is_over):
        try:
            answer = _answer(http, question, patience, trace)
        except httpx.TimeoutException:
            raise late from None
        except httpx.TransportError as error:
            away = _Passing(f"it cannot be reached ({type(error).__name__})", "is it up, and its address right?")
            raise (late if is_over() else away) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoAnswer(f"it cannot be asked ({type(error).__name__})", "check its address") from None
        if is_over():  # what was cut off may look like an end
            raise late
    if answer.status >= 500 or answer.status in _LATER:
        raise _Passing(f"it answered with status {answer.status}", "try later")
    return answer


def _answer(http: httpx.Client, question: Question, patience: Patience, trace: Callable[..., None]) -> Answer:
    # Each request has a connection of its own: one that was kept would not be among those that can be cut.
    headers = {"accept-encoding": "identity", **(question.headers or {}), "connection": "close"}
    request = http.build_request(
        question.method,
        question.url,
        content=question.content,
        headers=headers,
        timeout=httpx.Timeout(patience.answer, connect=min(_CONNECT, patience.answer)),
        extensions={"trace": trace},
    )
    response = http.send(request, stream=True, follow_redirects=False)
    try:
        content = _take(response, question.limit)
    finally:
        response.close()
    return Answer(response.status_code, response.headers.get("content-type", "").partition(";")[0].strip(), content)


def _take(response: httpx.Response, limit: int) -> bytes:
    found = bytearray()
    for piece in response.iter_raw():
        found += piece
        if len(found) > limit:
            raise NoAnswer(f"its answer is larger than {limit} bytes", "check its address")
    return bytes(found)


@contextmanager
def _cut_after(seconds: float) -> Iterator[tuple[Callable[[str, Mapping[str, Any]], None], Callable[[], bool]]]:
    """A trace for httpcore by which each connection made meanwhile is cut when the time is over; and whether it is.

    A time-out of httpx bounds one wait for bytes: a server that gives a byte now and then would hold us for ever.
    """
    over, connections = Event(), list[socket.socket]()

    def trace(event: str, info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            connections.append(_twin(info["return_value"].get_extra_info("socket")))
            if over.is_set():
                cut()

    def cut() -> None:
        over.set()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    timer = Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield trace, over.is_set
    finally:
        timer.cancel()
        timer.join()
        for connection in connections:
            connection.close()


def _twin(connection: socket.socket) -> socket.socket:
    """A second handle on a connection: the first is taken over when TLS begins."""
    return socket.socket(fileno=os.dup(connection.fileno()))
