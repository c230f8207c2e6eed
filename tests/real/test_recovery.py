"""Waiting for a restored server: it answers, or what keeps it from answering is told long before the time is up."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from muster.errors import SystemFailure
from tasks import recovery
from tasks.postgres.binaries import wheel_binaries
from tasks.postgres.server import Server
from tasks.process import Processes

PATIENCE = 120.0


@pytest.fixture
def server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="mrec", dir="/tmp"))  # sockets need a short path
    processes = Processes(folder / "records", folder / "logs")
    made = Server(wheel_binaries(), folder / "data", folder / "s", processes, "server")
    try:
        made.init("--data-checksums")
        yield made
    finally:
        processes.stop_all()
        shutil.rmtree(folder)


def test_a_server_whose_catalog_is_damaged_is_a_failed_system(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_REFUSED_SECONDS", 1.0)
    server.start()
    with server.connect() as connection:
        row = connection.execute("select pg_relation_filepath('pg_class')").fetchone()
    server.stop()
    catalog = server.data / str(row[0] if row else "")
    catalog.write_bytes(b"\xff" * catalog.stat().st_size)
    server.start(wait=False)
    with pytest.raises(SystemFailure, match=r"refuses every connection: .*invalid page"):
        recovery.wait_until(server, "select not pg_is_in_recovery()", PATIENCE, "the end of the log")
    assert server.poll() is None, "it was the waiting that ended, not the server"


def test_a_healthy_server_is_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_REFUSED_SECONDS", 5.0)
    server.start(wait=False)
    recovery.wait_until(server, "select not pg_is_in_recovery()", PATIENCE, "the end of the log")
