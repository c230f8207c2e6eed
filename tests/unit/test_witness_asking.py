"""Asking witnesses: what counts as a cosignature, what is told apart, what is kept."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from evidence.asking import Patience
from evidence.errors import EvidenceError
from evidence.log import ForkAlarm, Log, View
from evidence.stores import DirectoryStore
from evidence.witness import (
    NOT_CONFIGURED,
    Cosigned,
    NotCosigned,
    Why,
    Witness,
    check,
    cosign,
    cosignature_key,
    keep_cosignatures,
    read_cosignatures,
)
from evidence.witness.book import Book
from evidence.witness.lines import parse_request
from tests.unit.paper_log import MemoryShelf, drafts
from tests.unit.witness_paper import NOON, ORIGIN, PaperLog, cosigner, signer

LOG = PaperLog()
QUICK = Patience(answer=20.0, attempts=2, pause=0.001)
WITNESS = Witness("one", "http://witness.test/", str(cosigner().key))
Answering = Callable[[httpx.Request], httpx.Response]


def said(status: int, content: bytes = b"") -> httpx.Response:
    return httpx.Response(status, stream=httpx.ByteStream(content))


def answering(book: Book, *, at: str = "") -> Answering:
    """A web server before a witness's rules."""

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix(at)
        reply = (
            book.add_checkpoint(request.content)
            if (request.method, path) == ("POST", "/add-checkpoint")
            else book.checkpoint(path.strip("/").removesuffix("/checkpoint"))
        )
        return said(reply.status, reply.content)

    return answer


def memory(folder: Path, now: Callable[[], datetime] = lambda: NOON) -> Book:
    return Book(folder, cosigner(), {ORIGIN: [LOG.key]}, now)


def ask(answer: Answering, size: int, log: PaperLog = LOG, witness: Witness = WITNESS) -> Cosigned | NotCosigned:
    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        (found,) = cosign(log.head(size), [witness], log.consistency, http, lambda: NOON, QUICK)
    return found


def test_a_log_is_cosigned_as_it_grows(tmp_path: Path) -> None:
    answer = answering(memory(tmp_path))
    for size in (1, 5, 5, 40):
        found = ask(answer, size)
        assert isinstance(found, Cosigned)
        assert (found.witness, found.at) == ("one", NOON)
        assert check(found.line, LOG.head(size), WITNESS.verifier_key) == NOON
        assert check(found.line, LOG.head(size + 1), WITNESS.verifier_key) is None


def test_a_witness_may_be_below_a_path(tmp_path: Path) -> None:
    below = Witness("one", "http://witness.test/some/where", str(cosigner().key))
    assert isinstance(ask(answering(memory(tmp_path), at="/some/where"), 3, witness=below), Cosigned)


def test_a_fork_is_told_with_the_head_that_the_witness_saw(tmp_path: Path) -> None:
    answer = answering(memory(tmp_path))
    assert isinstance(ask(answer, 9), Cosigned)
    for size in (9, 12):
        found = ask(answer, size, LOG.fork(3))
        assert isinstance(found, NotCosigned)
        assert found.why is Why.FORK
        assert found.seen.startswith(LOG.head(9))


def test_a_log_that_lost_its_end_is_told_with_the_head_that_the_witness_saw(tmp_path: Path) -> None:
    answer = answering(memory(tmp_path))
    assert isinstance(ask(answer, 9), Cosigned)
    found = ask(answer, 5)
    assert isinstance(found, NotCosigned)
    assert found.why is Why.AHEAD
    assert "9 entries" in found.message
    assert found.seen.startswith(LOG.head(9))


def test_what_it_saw_is_read_where_it_is_shown(tmp_path: Path) -> None:
    apart = Witness("one", "http://witness.test", str(cosigner().key), monitor="http://shown.test/here")
    book = memory(tmp_path)
    hosts = list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        return answering(book, at="/here" if request.url.host == "shown.test" else "")(request)

    assert isinstance(ask(answer, 9, witness=apart), Cosigned)
    found = ask(answer, 5, witness=apart)
    assert isinstance(found, NotCosigned)
    assert found.seen.startswith(LOG.head(9))
    assert hosts == ["witness.test", "witness.test", "shown.test"]


@pytest.mark.parametrize("status", [403, 404])
def test_a_witness_that_does_not_know_the_log_refuses(status: int) -> None:
    found = ask(lambda _: said(status), 3)
    assert isinstance(found, NotCosigned)
    assert found.why is Why.REFUSED
    assert "verifier key" in found.advice


@pytest.mark.parametrize("status", [201, 302, 400, 411, 413, 418])
def test_another_status_is_a_refusal(status: int) -> None:
    found = ask(lambda _: said(status), 3)
    assert isinstance(found, NotCosigned)
    assert (found.why, str(status) in found.message) == (Why.REFUSED, True)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_witness_in_trouble_is_away(status: int) -> None:
    found = ask(lambda _: said(status), 3)
    assert isinstance(found, NotCosigned)
    assert found.why is Why.AWAY


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"yes\n",
        LOG.head(3).rpartition(b"\n\n")[2],
        cosigner().cosign(LOG.head(4).partition(b"\n\n")[0] + b"\n", int(NOON.timestamp())),
        cosigner(seed=201).cosign(LOG.head(3).partition(b"\n\n")[0] + b"\n", int(NOON.timestamp())),
        cosigner("example.org/other").cosign(LOG.head(3).partition(b"\n\n")[0] + b"\n", int(NOON.timestamp())),
        cosigner().cosign(LOG.head(3).partition(b"\n\n")[0] + b"\n", int(NOON.timestamp())) + b"\n",
        cosigner().cosign(LOG.head(3).partition(b"\n\n")[0] + b"\n", int(NOON.timestamp()))[:-1],
        cosigner().cosign(LOG.head(3).partition(b"\n\n")[0] + b"\n", 2**62),
    ],
    ids=["nothing", "words", "the log's", "other head", "other key", "other name", "blank line", "cut", "far future"],
)
def test_an_answer_that_is_no_cosignature_counts_for_nothing(content: bytes) -> None:
    found = ask(lambda _: said(200, content), 3)
    assert isinstance(found, NotCosigned)
    assert found.why is Why.FALSE


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_time_far_from_ours_counts_for_nothing(tmp_path: Path, hours: int) -> None:
    found = ask(answering(memory(tmp_path, lambda: NOON + timedelta(hours=hours))), 3)
    assert isinstance(found, NotCosigned)
    assert (found.why, "clock" in found.message) == (Why.FALSE, True)


def test_only_the_line_of_the_pinned_key_is_taken(tmp_path: Path) -> None:
    book = memory(tmp_path)
    other = cosigner("example.org/other", 201)

    def answer(request: httpx.Request) -> httpx.Response:
        line = book.add_checkpoint(request.content).content
        return said(200, other.cosign(LOG.head(3).partition(b"\n\n")[0] + b"\n", int(NOON.timestamp())) + line)

    found = ask(answer, 3)
    assert isinstance(found, Cosigned)
    assert found.line.count(b"\n") == 1
    assert found.line.decode().split()[1] == cosigner().name


@pytest.mark.parametrize("content", [b"", b"0", b"0\n", b"x\n", b"05\n", b"5", b"-1\n", b"\xff\n", b"1\n1\n"])
def test_a_size_that_makes_no_sense_is_false(content: bytes) -> None:
    found = ask(lambda _: said(409, content), 9)
    assert isinstance(found, NotCosigned)
    assert found.why is Why.FALSE


def test_asking_ends_though_the_size_always_changes() -> None:
    asked = list[int]()

    def answer(request: httpx.Request) -> httpx.Response:
        parsed = parse_request(request.content)
        assert parsed
        asked.append(parsed.old)
        return said(409, b"%d\n" % len(asked))

    found = ask(answer, 30)
    assert isinstance(found, NotCosigned)
    assert found.why is Why.AWAY
    assert asked == [0, 1, 2, 3]


def test_one_witness_that_refuses_or_is_away_does_not_stop_the_others(tmp_path: Path) -> None:
    books = {"first": memory(tmp_path / "first"), "last": memory(tmp_path / "last")}

    def answer(request: httpx.Request) -> httpx.Response:
        match request.url.host.partition(".")[0]:
            case "away":
                raise httpx.ConnectError("away")
            case "refuses":
                return said(403)
            case name:
                return answering(books[name])(request)

    witnesses = [
        Witness(name, f"http://{name}.test", str(cosigner().key)) for name in ("first", "away", "refuses", "last")
    ]
    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        found = cosign(LOG.head(3), witnesses, LOG.consistency, http, lambda: NOON, QUICK)
    assert [(one.witness, one.why if isinstance(one, NotCosigned) else None) for one in found] == [
        ("first", None),
        ("away", Why.AWAY),
        ("refuses", Why.REFUSED),
        ("last", None),
    ]


def test_an_alarm_of_our_own_log_is_not_taken_for_a_refusal(tmp_path: Path) -> None:
    answer = answering(memory(tmp_path))
    assert isinstance(ask(answer, 3), Cosigned)

    def alarm(old: int, size: int) -> tuple[bytes, ...]:
        raise ForkAlarm(f"the store does not lead from {old} to {size}")

    with httpx.Client(transport=httpx.MockTransport(answer)) as http, pytest.raises(ForkAlarm):
        cosign(LOG.head(9), [WITNESS], alarm, http, lambda: NOON, QUICK)


def test_no_witness_is_said_so(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    with httpx.Client() as http:
        assert cosign(LOG.head(3), [], LOG.consistency, http, lambda: NOON) == (NOT_CONFIGURED,)
        assert keep_cosignatures(store, LOG.head(3), [], LOG.consistency, http, lambda: NOON) == (NOT_CONFIGURED,)
    assert read_cosignatures(store, LOG.head(3), []) == (NOT_CONFIGURED,)


def test_a_real_log_is_cosigned_by_its_own_proofs(tmp_path: Path) -> None:
    """The log as it is written, over more than one tile, and a store that was written anew."""
    store = MemoryShelf()
    log = Log(store, ORIGIN, signer(7), now=lambda: NOON)
    answer = answering(Book(tmp_path, cosigner(), {ORIGIN: [LOG.key]}, lambda: NOON))

    def keep(shelf: MemoryShelf, view: View) -> Cosigned | NotCosigned:
        with httpx.Client(transport=httpx.MockTransport(answer)) as http:
            head, proofs = view.head.content, lambda old, _: view.consistency(old)
            (found,) = keep_cosignatures(shelf, head, [WITNESS], proofs, http, lambda: NOON, QUICK)
        return found

    for number in (1, 255, 3, 300):
        found = keep(store, log.append(drafts(*((number, each) for each in range(number)))).view)
        assert isinstance(found, Cosigned)
    assert len([key for key in store.content if key.startswith("log/cosignatures/")]) == 4
    other = MemoryShelf()
    again = Log(other, ORIGIN, signer(7), now=lambda: NOON).append(drafts(*range(600)))
    refused = keep(other, again.view)
    assert isinstance(refused, NotCosigned)
    assert refused.why is Why.FORK
    assert not [key for key in other.content if key.startswith("log/cosignatures/")]


class TestKept:
    """Beside the heads, in a store."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> DirectoryStore:
        return DirectoryStore(tmp_path / "store")

    def keep(self, store: DirectoryStore, answer: Answering, size: int = 3) -> Cosigned | NotCosigned:
        with httpx.Client(transport=httpx.MockTransport(answer)) as http:
            (found,) = keep_cosignatures(store, LOG.head(size), [WITNESS], LOG.consistency, http, lambda: NOON, QUICK)
        return found

    def test_once(self, store: DirectoryStore, tmp_path: Path) -> None:
        found = self.keep(store, answering(memory(tmp_path / "book")))
        assert isinstance(found, Cosigned)
        assert self.keep(store, lambda _: pytest.fail("it was asked again")) == found
        assert read_cosignatures(store, LOG.head(3), [WITNESS]) == (found,)
        assert store.keys() == ("log/cosignatures/00000000000000000003/one",)
        assert store.read(store.keys()[0]) == found.line

    def test_what_is_missing_is_said_so_and_nothing_refused_is_kept(self, store: DirectoryStore) -> None:
        assert isinstance(self.keep(store, lambda _: said(403)), NotCosigned)
        assert store.keys() == ()
        (found,) = read_cosignatures(store, LOG.head(3), [WITNESS])
        assert isinstance(found, NotCosigned)
        assert found.why is Why.MISSING

    def test_a_line_for_another_head_is_false_and_stays(self, store: DirectoryStore, tmp_path: Path) -> None:
        other = ask(answering(memory(tmp_path / "book")), 4)
        assert isinstance(other, Cosigned)
        store.put_bytes(cosignature_key(3, "one"), other.line)
        for found in (
            self.keep(store, lambda _: pytest.fail("it was asked")),
            *read_cosignatures(store, LOG.head(3), [WITNESS]),
        ):
            assert isinstance(found, NotCosigned)
            assert found.why is Why.FALSE
        assert store.read(cosignature_key(3, "one")) == other.line

    def test_of_two_writers_at_once_one_word_is_kept(self, store: DirectoryStore, tmp_path: Path) -> None:
        first = cosigner().cosign(LOG.head(3).partition(b"\n\n")[0] + b"\n", int(NOON.timestamp()) - 60)
        book = memory(tmp_path / "book")

        def answer(request: httpx.Request) -> httpx.Response:
            store.put_bytes(cosignature_key(3, "one"), first)
            return answering(book)(request)

        found = self.keep(store, answer)
        assert isinstance(found, Cosigned)
        assert (found.line, found.at) == (first, NOON - timedelta(minutes=1))


@pytest.mark.parametrize("head", [b"", b"no head", LOG.head(3)[:-1], LOG.head(3).replace(b"\n3\n", b"\nthree\n")])
def test_what_is_no_head_is_refused_before_anyone_is_asked(head: bytes) -> None:
    with httpx.Client() as http, pytest.raises(EvidenceError, match="no head"):
        cosign(head, [WITNESS], LOG.consistency, http, lambda: NOON)


@pytest.mark.parametrize(
    ("name", "url", "key"),
    [
        ("a/b", "http://w.test", str(cosigner().key)),
        ("", "http://w.test", str(cosigner().key)),
        ("..", "http://w.test", str(cosigner().key)),
        ("one", "w.test", str(cosigner().key)),
        ("one", "file:///etc", str(cosigner().key)),
        ("one", "http://w.test", LOG.key),
        ("one", "http://w.test", "nonsense"),
    ],
)
def test_a_witness_is_configured_right_or_not_at_all(name: str, url: str, key: str) -> None:
    with pytest.raises(EvidenceError):
        Witness(name, url, key)
