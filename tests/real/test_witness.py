"""A witness in a process of its own: it follows one history of a log, whatever it is asked and whenever killed."""

import hashlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from evidence.asking import Patience
from evidence.errors import EvidenceError
from evidence.verify import check_consistency, parse_checkpoint, parse_note
from evidence.witness import Cosigned, NotCosigned, Why, Witness, cosign
from evidence.witness.book import Book
from evidence.witness.lines import Request, cosigned_at
from evidence.witness.server import Limits, serve
from tests.real.witness_process import MOMENTS
from tests.unit.witness_paper import ORIGIN, PaperLog, cosigner

LOG = PaperLog()
HASH = hashlib.sha256(ORIGIN.encode()).hexdigest()
QUICK = Patience(answer=30.0, attempts=1)


@dataclass(frozen=True)
class Running:
    """A witness's process, and the port that it listens on."""

    process: "subprocess.Popen[str]"
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running(folder: Path, moment: str = "") -> Iterator[Running]:
    command = [sys.executable, "-m", "tests.real.witness_process", str(folder), ORIGIN, LOG.key]
    process = subprocess.Popen([*command, *([moment] if moment else [])], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield Running(process, int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()


def ask(url: str, size: int, log: PaperLog = LOG) -> Cosigned | NotCosigned:
    witness = Witness("one", url, str(cosigner().key))
    with httpx.Client() as http:
        (found,) = cosign(log.head(size), [witness], log.consistency, http, lambda: datetime.now(UTC), QUICK)
    return found


def shown(url: str) -> tuple[int, bytes]:
    """Size and root of what it shows, after both signatures were checked; size 0 when it shows nothing."""
    answer = httpx.get(f"{url}/{HASH}/checkpoint")
    if answer.status_code == 404:
        return 0, LOG.root(0)
    note = parse_note(answer.content)
    assert note
    assert cosigned_at(note, cosigner().key)
    checkpoint = parse_checkpoint(note.text)
    assert checkpoint
    return checkpoint.size, checkpoint.root


def test_two_auditors_are_not_shown_two_histories(tmp_path: Path) -> None:
    """Who rewrites the log after entry 5, and signs it with its own key, gets no cosignature for the second history."""
    second = LOG.fork(5)
    with running(tmp_path) as witness:
        first = ask(witness.url, 9)
        assert isinstance(first, Cosigned)
        for size in (9, 12, 40):
            found = ask(witness.url, size, second)
            assert isinstance(found, NotCosigned)
            assert found.why is Why.FORK
            assert found.seen.startswith(LOG.head(9)), "the other history, with its signature"
        cut = ask(witness.url, 5)
        assert isinstance(cut, NotCosigned)
        assert cut.why is Why.AHEAD
        assert isinstance(ask(witness.url, 12), Cosigned)
        assert shown(witness.url) == (12, LOG.root(12))


def test_it_remembers_when_it_is_started_again(tmp_path: Path) -> None:
    with running(tmp_path) as witness:
        assert isinstance(ask(witness.url, 9), Cosigned)
        witness.process.send_signal(signal.SIGTERM)
        witness.process.wait(30)
    with running(tmp_path) as witness:
        assert isinstance(ask(witness.url, 12, LOG.fork(5)), NotCosigned)
        assert isinstance(ask(witness.url, 12), Cosigned)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_it_never_cosigns_two_histories(tmp_path: Path, moment: str) -> None:
    fork = LOG.fork(5)
    with running(tmp_path) as witness:
        assert isinstance(ask(witness.url, 3), Cosigned)
    with running(tmp_path, moment) as witness:
        dead = ask(witness.url, 9)
        assert isinstance(dead, NotCosigned)
        assert dead.why is Why.AWAY
        assert witness.process.wait(30) == -signal.SIGKILL
    with running(tmp_path) as witness:
        size, root = shown(witness.url)
        assert (size, root) == ((9, LOG.root(9)) if moment == "after" else (3, LOG.root(3)))
        other = ask(witness.url, 9, fork)
        if moment == "after":
            assert isinstance(other, NotCosigned), "the first history may have been cosigned, for all it knows"
            assert isinstance(ask(witness.url, 9), Cosigned), "whose answer was lost asks again"
        else:
            assert isinstance(other, Cosigned), "nothing was cosigned before it died"
            assert isinstance(ask(witness.url, 9), NotCosigned)
        assert not list(tmp_path.glob(".*part*")), "what it left is swept away"


def test_many_at_once_leave_one_history(tmp_path: Path) -> None:
    """Two processes on one folder, heads of two histories and of many sizes, all at once."""
    fork = LOG.fork(4)
    with running(tmp_path) as one, running(tmp_path) as two, ThreadPoolExecutor(8) as pool:
        asked = [(log, size, where.url) for size in range(1, 21) for log in (LOG, fork) for where in (one, two)]
        found = list(pool.map(lambda work: (work[0], work[1], ask(work[2], work[1], work[0])), asked))
        size, root = shown(one.url)
        assert shown(two.url) == (size, root)
    cosigned = [(log, at) for log, at, answer in found if isinstance(answer, Cosigned)]
    assert cosigned
    winner = LOG if LOG.root(size) == root else fork
    for log, at in cosigned:
        assert log.root(at) == winner.root(at), f"a head of {at} entries of the other history was cosigned"
        assert check_consistency(at, size, log.root(at), root, winner.consistency(at, size))


# --- What strangers send


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, int]]:
    book = Book(tmp_path, cosigner(), {ORIGIN: [LOG.key]}, lambda: datetime.now(UTC))
    with serve(book, limits=Limits(body=2000, wait=1.0, connection=2.0, connections=4)) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield "127.0.0.1", found.server_address[1]
        found.shutdown()
        thread.join()


def send(where: tuple[str, int], content: bytes) -> bytes:
    """What comes back on a connection of its own, until the server ends it."""
    with socket.create_connection(where, timeout=30) as connection:
        connection.sendall(content)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def post(body: bytes, *headers: str, path: str = "/add-checkpoint", length: int | None = None) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: w", *headers]
    lines += [] if length == -1 else [f"content-length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode() + body


GOOD = Request(0, (), LOG.head(3)).content


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (post(b""), 400),
        (post(b"garbage"), 400),
        (post(bytes(2000)), 400),
        (post(GOOD[:-1]), 400),
        (post(GOOD + b"\n"), 400),
        (post(b"x" * 2001), 413),
        (post(GOOD, length=10**8), 413),
        (post(GOOD, length=-1), 411),
        (post(GOOD, "content-length: 3"), 411),
        (post(GOOD, "transfer-encoding: chunked"), 411),
        (post(b"", "content-length: -1", length=-1), 411),
        (post(b"", "content-length: 1e3", length=-1), 411),
        (post(b"", f"content-length: {'9' * 400}", length=-1), 411),
        (post(GOOD, path="/"), 404),
        (post(GOOD, path="/add-checkpoint/"), 404),
        (post(GOOD, path="/../add-checkpoint"), 404),
        (b"GET /add-checkpoint HTTP/1.1\r\nhost: w\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\nhost: w\r\n\r\n", 404),
        (f"GET /{HASH.upper()}/checkpoint HTTP/1.1\r\nhost: w\r\n\r\n".encode(), 404),
        (b"DELETE /add-checkpoint HTTP/1.1\r\nhost: w\r\nconnection: close\r\n\r\n", 501),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
    ],
)
def test_what_is_no_request_is_answered_so_and_the_next_is_served(
    server: tuple[str, int], content: bytes, status: int
) -> None:
    answer = send(server, content)
    assert f" {status} ".encode() in answer.partition(b"\r\n")[0], answer
    assert send(server, post(GOOD)).startswith(b"HTTP/1.1 200 ")


def test_an_answer_is_as_the_specification_has_it(server: tuple[str, int]) -> None:
    url = f"http://{server[0]}:{server[1]}"
    with httpx.Client() as http:  # keeps its connection
        answer = http.post(f"{url}/add-checkpoint", content=GOOD)
        assert answer.status_code == 200
        assert answer.text.startswith(f"— {cosigner().name} ")
        stale = http.post(f"{url}/add-checkpoint", content=GOOD)
        assert (stale.status_code, stale.text) == (409, "3\n")
        assert stale.headers["content-type"] == "text/x.tlog.size"
        seen = http.get(f"{url}/{HASH}/checkpoint")
        assert (seen.status_code, seen.content) == (200, LOG.head(3) + answer.content)


def test_a_request_behind_a_body_that_was_not_read_is_not_served(server: tuple[str, int]) -> None:
    """Who hides a request in the body of another reaches nothing."""
    hidden = post(GOOD)
    get = f"GET /{HASH}/checkpoint HTTP/1.1\r\nhost: w\r\ncontent-length: {len(hidden)}\r\n\r\n".encode()
    assert send(server, get + hidden).count(b"HTTP/1.1 ") == 1
    assert send(server, post(hidden, path="/other").replace(b"connection: close\r\n", b"")).count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "content", [b"", b"POST /add-checkpoint HTTP/1.1\r\n", post(GOOD, length=1500)], ids=["nothing", "a line", "half"]
)
def test_who_sends_too_little_is_left(server: tuple[str, int], content: bytes) -> None:
    assert b" 200 " not in send(server, content), "it ends, or this test hangs"


def test_who_sends_a_byte_now_and_then_is_left(server: tuple[str, int]) -> None:
    def drip(connection: socket.socket) -> None:
        for _ in range(300):
            connection.sendall(b"a")
            time.sleep(0.2)

    with socket.create_connection(server, timeout=30) as connection, pytest.raises(OSError, match=r"reset|Broken pipe"):
        drip(connection)
    assert send(server, post(GOOD)).startswith(b"HTTP/1.1 200 ")


def test_more_at_once_than_there_is_room_for_are_told_so(server: tuple[str, int]) -> None:
    with ExitStack() as idle:
        for _ in range(4):
            idle.enter_context(socket.create_connection(server, timeout=30))
        assert _insist(server, lambda answer: answer.startswith(b"HTTP/1.1 503 "))
    assert _insist(server, lambda answer: answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 409 ")))


def _insist(where: tuple[str, int], is_wanted: Callable[[bytes], bool]) -> bool:
    return any(is_wanted(send(where, post(GOOD))) or time.sleep(0.1) for _ in range(300))


def test_a_fault_inside_is_answered_500_and_cosigns_nothing(server: tuple[str, int], tmp_path: Path) -> None:
    assert send(server, post(GOOD)).startswith(b"HTTP/1.1 200 ")
    (record,) = tmp_path.glob("*.note")
    record.write_bytes(b"damaged")
    answer = send(server, post(Request(0, (), LOG.head(4)).content))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"damaged" not in answer
    assert str(tmp_path).encode() not in answer
    assert record.read_bytes() == b"damaged"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_listens_where_it_is_told(tmp_path: Path, host: str) -> None:
    with serve(Book(tmp_path, cosigner(), {ORIGIN: [LOG.key]}, lambda: datetime.now(UTC)), (host, 0)) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        assert send((host, found.server_address[1]), post(GOOD)).startswith(b"HTTP/1.1 200 ")
        found.shutdown()
        thread.join()


def test_a_port_that_is_taken_is_said_so(server: tuple[str, int], tmp_path: Path) -> None:
    book = Book(tmp_path, cosigner(), {ORIGIN: [LOG.key]}, lambda: datetime.now(UTC))
    with pytest.raises(EvidenceError, match="cannot listen"):
        serve(book, server)
