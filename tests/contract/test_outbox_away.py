"""The outbox beside a real server that is stopped, started again, and killed in the middle of a put."""

import hashlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from evidence.bundle import Sealed
from evidence.outbox import Outbox
from evidence.stores import S3Store
from evidence.stores.s3_wire import s3_client
from tests.contract.weed import CREDENTIALS, Weed, running_weed

SIZE = 8 << 20
Take = Callable[[str], str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    """One of its own: it is ended on purpose."""
    with running_weed(tmp_path_factory.mktemp("away")) as weed:
        yield weed


def _store(weed: Weed, prefix: str, client: Any = None) -> S3Store:
    made: Any = client or s3_client(weed.endpoint, CREDENTIALS)
    return S3Store(made, "locked", prefix, 1, "COMPLIANCE", lambda: datetime.now(UTC))


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox")


@pytest.fixture
def take(outbox: Outbox, tmp_path: Path) -> Take:
    """Seal something of 8 MiB and put it into the outbox; its SHA-256."""

    def take(name: str) -> str:
        path = tmp_path / name
        path.write_bytes(os.urandom(SIZE))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        outbox.add(Sealed(path, digest, SIZE, "key"), f"runs/{name}")
        return digest

    return take


def _assert_once(store: S3Store, digests: dict[str, str]) -> None:
    """Everything is there, whole, and in one version each."""
    listed = list(store.versions())
    assert sorted(v.key for v in listed) == sorted(f"runs/{name}" for name in digests)
    assert not any(v.is_delete_marker for v in listed)
    assert {v.key.removeprefix("runs/"): store.digest(v.key, v.version) for v in listed} == digests


def test_what_was_sealed_while_the_server_was_away_arrives_in_order_once(
    server: Weed, outbox: Outbox, take: Take
) -> None:
    store = _store(server, "away")
    digests = {"c": take("c")}
    assert [one.key for one in outbox.flush(store).sent] == ["runs/c"]
    server.stop()
    try:
        for name in ("b", "a", "d"):
            digests[name] = take(name)
            delivery = outbox.flush(store)
            assert delivery.sent == ()
            assert [one.key for one in delivery.waiting][-1] == f"runs/{name}"
            assert "cannot be reached" in delivery.waiting[0].why
    finally:
        server.start()
    assert [one.key for one in outbox.flush(store).sent] == ["runs/b", "runs/a", "runs/d"]
    assert outbox.flush(store).sent == ()
    _assert_once(store, digests)


class Fuse:
    """A file that does something when so many bytes of it were sent. Before that it is read once, to be signed."""

    def __init__(self, file: BinaryIO, burns_at: int, then: Callable[[], None]) -> None:
        self._file, self._left, self._then = file, SIZE + burns_at, then

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        before, self._left = self._left, self._left - len(piece)
        if before > 0 >= self._left:
            self._then()
        return piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Interrupted:
    """A client during whose first put the server is killed."""

    def __init__(self, inner: Any, burns_at: int, kill: Callable[[], None]) -> None:
        self._inner, self._burns_at, self._kill = inner, burns_at, kill
        self.burnt = 0

    def put_object(self, *, Body: BinaryIO, **more: Any) -> Any:
        def burn() -> None:
            self.burnt += 1
            self._kill()

        return self._inner.put_object(Body=Body if self.burnt else Fuse(Body, self._burns_at, burn), **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize("burns_at", [1, SIZE // 2, SIZE], ids=["at its begin", "in its middle", "at its end"])
def test_a_server_that_is_killed_in_the_middle_of_a_put_has_it_once_in_the_end(
    server: Weed, outbox: Outbox, take: Take, burns_at: int
) -> None:
    """At the end of a put it may or may not have been taken; nobody knows, and both must come out well."""
    prefix = f"killed-{burns_at}"
    digests = {name: take(name) for name in ("b", "a")}
    client = Interrupted(s3_client(server.endpoint, CREDENTIALS), burns_at, server.kill)
    try:
        delivery = outbox.flush(_store(server, prefix, client))
    finally:
        server.start()
    assert client.burnt == 1
    assert [one.key for one in delivery.waiting] == ["runs/b", "runs/a"]
    store = _store(server, prefix)
    assert [one.key for one in outbox.flush(store).sent] == ["runs/b", "runs/a"]
    _assert_once(store, digests)
