"""The independent client against real servers: what it says of its writes is what is in the table."""

import contextlib
import hashlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from muster.errors import Refusal, StepError
from muster.failover.history import Kind, read_end, read_log, read_sessions
from muster.failover.observations import Node
from tasks.client.client import Client
from tasks.client.config import ClientConfig, ReaderAt
from tasks.client.reading import SERVER_QUERY, read_set
from tasks.client.table import create_table, drop_table
from tasks.client.tail import Tail
from tasks.postgres.binaries import wheel_binaries
from tasks.postgres.server import Server
from tasks.process import AT_ONCE, Processes

TABLE = "muster_rehearsal"
CONNECTIONS = 4


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A data directory to copy."""
    home = Path(tempfile.mkdtemp(prefix="mcl", dir="/tmp"))
    processes = Processes(home / "records", home / "logs")
    Server(wheel_binaries(), home / "data", home / "s", processes, "made").init()
    yield home / "data"
    shutil.rmtree(home)


@dataclass
class Rig:
    """Servers and a client below one folder."""

    home: Path
    cluster: Path
    processes: Processes
    stopped: list[psutil.Process] = field(default_factory=list)

    def server(self, name: str = "a") -> Server:
        """A running server with an empty table."""
        data = self.home / name
        shutil.copytree(self.cluster, data)
        server = Server(wheel_binaries(), data, self.home / f"s{name}", self.processes, name)
        server.configure({"cluster_name": name, "max_connections": "50", "shared_buffers": "16MB"})
        server.start()
        create_table(server.dsn(), TABLE)
        return server

    def client(self, dsn: str, **more: object) -> Client:
        """A client that is not started."""
        return Client(self.processes, self.config(dsn, **more))

    def config(self, dsn: str, **more: object) -> ClientConfig:
        """Of a client of four connections at a modest rate."""
        told = {
            **{"dsn": dsn, "folder": self.folder, "table": TABLE, "connections": CONNECTIONS, "rate": 400.0},
            **{"timeout_seconds": 30.0, "commit_setting": "on", "max_seconds": 200.0},
        }
        return ClientConfig.model_validate(told | more)

    @property
    def folder(self) -> Path:
        return self.home / "history"

    def freeze(self, server: Server) -> None:
        """Stop every process of the server in its tracks."""
        leader = psutil.Process(server.pid())
        leader.suspend()
        self.stopped = [leader, *leader.children(recursive=True)]
        for process in self.stopped[1:]:
            process.suspend()

    def thaw(self) -> None:
        """Let them go on."""
        while self.stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.stopped.pop().resume()

    def ids(self, kind: Kind) -> set[int]:
        """Ids of records of that kind, of all writers."""
        return {number for path in self.folder.glob("w-*.log") for number in of_kind(path, kind)}

    def wait_for(self, kind: Kind, count: int) -> None:
        """Until there are so many records of that kind."""
        until(lambda: len(self.ids(kind)) >= count)

    def wait_for_acks(self) -> None:
        """Until every connection is acknowledged from now on."""
        now_ns, tail = time.monotonic_ns(), Tail(self.folder)
        until(lambda: len(tail.acks_since(now_ns)) == CONNECTIONS)


def of_kind(path: Path, kind: Kind) -> list[int]:
    return [int(number) for chunk in read_log(path) for number in chunk["id"][chunk["kind"] == kind]]


def until(is_so: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def rows(server: Server) -> list[int]:
    with server.connect() as connection:
        return [row[0] for row in connection.execute(f"select id from {TABLE} order by id")]


def set_and_reload(server: Server, setting: str, value: str) -> None:
    with server.connect() as connection:
        connection.execute(f"alter system set {setting} = '{value}'")
        connection.execute("select pg_reload_conf()")


@pytest.fixture
def rig(cluster: Path) -> Iterator[Rig]:
    home = Path(tempfile.mkdtemp(prefix="mcl", dir="/tmp"))  # sockets need a short path
    rig = Rig(home, cluster, Processes(home / "records", home / "logs"))
    yield rig
    rig.thaw()
    rig.processes.stop_all(signals=AT_ONCE)
    shutil.rmtree(home)


def test_a_healthy_run_accounts_for_every_write_and_ends_in_order(rig: Rig):
    server = rig.server()
    readers = (ReaderAt(node="a", dsn=server.dsn()),)
    client = rig.client(server.dsn(), readers=readers, read_interval_seconds=0.01)
    pid = client.start()
    assert client.start() == pid
    rig.wait_for_acks()
    until(lambda: len(of_kind(rig.folder / "r-a.log", Kind.READ_PRESENT)) >= 10)

    later = Client(Processes(rig.home / "records", rig.home / "logs"), rig.config(server.dsn()))
    assert later.is_alive()
    later.stop(timeout=30)
    later.stop(timeout=30)
    assert not client.is_alive()

    written = rows(server)
    assert len(written) == len(set(written))
    assert rig.ids(Kind.OK) == rig.ids(Kind.INVOKE) == set(written)
    assert not rig.ids(Kind.FAIL) | rig.ids(Kind.INFO)
    assert not of_kind(rig.folder / "r-a.log", Kind.READ_ABSENT) + of_kind(rig.folder / "r-a.log", Kind.READ_FAIL)
    with server.connect() as connection:
        (who,) = connection.execute(SERVER_QUERY).fetchone() or ("",)
    assert {(s.server, s.error) for s in read_sessions(rig.folder)} == {(who, "")}
    assert set(Tail(rig.folder).first_acks(who)) == set(range(CONNECTIONS))

    end = read_end(rig.folder)
    assert end is not None
    assert set(end.logs) == {path.name for path in rig.folder.glob("*.log")}
    assert len(end.logs) == CONNECTIONS + 1
    for name, said in end.logs.items():
        data = (rig.folder / name).read_bytes()
        assert (said.records, said.sha256) == (len(data) // 32, hashlib.sha256(data).hexdigest())

    node = Node(name="a", region="east", dsn=server.dsn())
    found = read_set(node, TABLE, rig.folder, "verify", is_primary=True, server=who, timeout=30)
    data = (rig.folder / found.file).read_bytes()
    assert [int.from_bytes(data[n : n + 8], "little") for n in range(0, len(data), 8)] == written
    assert found.ids == len(written)
    assert found.invoked_ns < found.completed_ns

    with pytest.raises(StepError, match="history of a client that has ended"):
        client.start()


def test_a_read_begins_after_the_acknowledgement_of_what_it_asks_for(rig: Rig):
    server = rig.server()
    readers = tuple(ReaderAt(node=name, dsn=server.dsn()) for name in ("a", "b"))
    client = rig.client(server.dsn(), readers=readers, read_interval_seconds=0.005, rate=None)
    client.start()
    until(lambda: all(len(of_kind(rig.folder / f"r-{n}.log", Kind.READ_PRESENT)) >= 20 for n in ("a", "b")))
    client.stop(timeout=30)

    acked = {
        int(record["id"]): int(record["mono_ns"])
        for path in rig.folder.glob("w-*.log")
        for chunk in read_log(path)
        for record in chunk[chunk["kind"] == Kind.OK]
    }
    for name in ("a", "b"):
        for chunk in read_log(rig.folder / f"r-{name}.log"):
            assert all(acked[int(r["id"])] <= r["mono_ns"] for r in chunk[chunk["kind"] == Kind.READ_INVOKE])


def test_a_killed_server_leaves_unknown_writes_and_loses_no_acknowledged_one(rig: Rig):
    server = rig.server()
    client = rig.client(server.dsn(), rate=None)
    client.start()
    rig.wait_for_acks()
    rig.processes.stop(server.name, signals=AT_ONCE)
    rig.wait_for(Kind.INFO, 1)
    until(lambda: any(s.error for s in read_sessions(rig.folder)))
    server.start()
    rig.wait_for_acks()
    client.stop(timeout=30)

    written = set(rows(server))
    assert 1 <= len(rig.ids(Kind.INFO)) <= CONNECTIONS
    assert rig.ids(Kind.OK) <= written <= rig.ids(Kind.INVOKE)
    assert written <= rig.ids(Kind.OK) | rig.ids(Kind.INFO)
    assert len({s.server for s in read_sessions(rig.folder) if s.server}) == 2


def test_a_frozen_server_makes_writes_unknown_in_time_and_the_client_goes_on_after_it(rig: Rig):
    server = rig.server()
    client = rig.client(server.dsn(), timeout_seconds=1.0)
    client.start()
    rig.wait_for_acks()
    rig.freeze(server)
    until(lambda: len({number >> 40 for number in rig.ids(Kind.INFO)}) == CONNECTIONS)
    until(lambda: any("in time" in s.error for s in read_sessions(rig.folder)))
    unknown = rig.ids(Kind.INFO)
    rig.thaw()
    rig.wait_for_acks()
    rig.freeze(server)
    client.stop(timeout=60)
    rig.thaw()

    assert read_end(rig.folder) is not None
    assert rig.ids(Kind.INVOKE) == rig.ids(Kind.OK) | rig.ids(Kind.INFO)
    assert rig.ids(Kind.OK) <= set(rows(server))
    assert not unknown & rig.ids(Kind.OK)


def test_a_refused_write_is_a_failure_and_is_not_there(rig: Rig):
    server = rig.server()
    client = rig.client(server.dsn())
    client.start()
    rig.wait_for_acks()
    set_and_reload(server, "default_transaction_read_only", "on")
    rig.wait_for(Kind.FAIL, CONNECTIONS)
    set_and_reload(server, "default_transaction_read_only", "off")
    rig.wait_for_acks()
    client.stop(timeout=30)

    assert not rig.ids(Kind.INFO)
    assert set(rows(server)) == rig.ids(Kind.OK)
    assert rig.ids(Kind.INVOKE) == rig.ids(Kind.OK) | rig.ids(Kind.FAIL)
    assert "25006" in (rig.home / "logs" / "client.log").read_text()


def test_a_cancelled_synchronous_wait_is_unknown_and_never_acknowledged(rig: Rig):
    server = rig.server()
    client = rig.client(server.dsn(), timeout_seconds=60.0)
    client.start()
    rig.wait_for_acks()
    set_and_reload(server, "synchronous_standby_names", "ghost")
    with server.connect() as connection:
        waiting = "from pg_stat_activity where wait_event = 'SyncRep'"
        until(lambda: connection.execute(f"select count(*) {waiting}").fetchone() == (CONNECTIONS,))
        acknowledged = rig.ids(Kind.OK)
        connection.execute(f"select pg_cancel_backend(pid) {waiting}")
        rig.wait_for(Kind.INFO, CONNECTIONS)
        until(lambda: connection.execute(f"select count(*) {waiting}").fetchone() == (CONNECTIONS,))
    unknown = rig.ids(Kind.INFO)
    assert rig.ids(Kind.OK) == acknowledged
    set_and_reload(server, "synchronous_standby_names", "")
    rig.wait_for_acks()
    client.stop(timeout=30)

    assert len(unknown) == CONNECTIONS
    assert unknown <= set(rows(server))
    assert not unknown & rig.ids(Kind.OK)


def test_a_killed_client_leaves_every_attempt_that_the_server_saw(rig: Rig):
    server = rig.server()
    client = rig.client(server.dsn(), rate=None)
    pid = client.start()
    rig.wait_for_acks()
    os.kill(pid, signal.SIGKILL)
    until(lambda: not client.is_alive())
    client.stop(timeout=5)
    with server.connect() as connection:
        ours = "select count(*) from pg_stat_activity where backend_type = 'client backend'"
        until(lambda: connection.execute(ours).fetchone() == (1,))

    assert read_end(rig.folder) is None
    assert rig.ids(Kind.OK) <= set(rows(server)) <= rig.ids(Kind.INVOKE)


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_with_two_hosts_it_moves_from_a_lost_server_to_a_living_one(rig: Rig, fault: str):
    a, b = rig.server("a"), rig.server("b")
    set_and_reload(b, "default_transaction_read_only", "on")
    hosts = f"host={a.sockets},{b.sockets} port={a.port} user={a.user} dbname=postgres"
    patience = 30.0 if fault == "killed" else 1.0
    client = rig.client(f"{hosts} target_session_attrs=read-write", timeout_seconds=patience)
    client.start()
    rig.wait_for_acks()
    assert {s.server[:2] for s in read_sessions(rig.folder) if s.server} == {"a/"}
    if fault == "killed":
        rig.processes.stop(a.name, signals=AT_ONCE)
    else:
        rig.freeze(a)
    until(lambda: any("read-only" in s.error for s in read_sessions(rig.folder)))
    assert not rows(b)
    set_and_reload(b, "default_transaction_read_only", "off")
    rig.wait_for_acks()
    client.stop(timeout=30)

    servers = {s.server for s in read_sessions(rig.folder) if s.server.startswith("b/")}
    assert set(Tail(rig.folder).first_acks(servers.pop())) == set(range(CONNECTIONS))
    assert set(rows(b)) <= rig.ids(Kind.OK) | rig.ids(Kind.INFO)
    assert not rig.ids(Kind.FAIL)


def test_a_standby_is_no_place_to_write(rig: Rig):
    server = rig.server()
    server.stop()
    (server.data / "standby.signal").touch()
    server.start()

    with pytest.raises(StepError, match="is a standby"):
        rig.client(server.dsn()).start(patience=5)


def test_a_server_that_cannot_be_reached_is_one_clear_error(rig: Rig):
    client = rig.client(f"host={rig.home} dbname=postgres user=postgres")

    with pytest.raises(StepError, match=r"no write of the client was acknowledged.*No such file") as caught:
        client.start(patience=4)

    assert "route" in caught.value.advice
    assert not client.is_alive()
    assert rig.processes.names() == ()


def test_it_ends_by_itself_when_its_time_is_up(rig: Rig):
    server = rig.server()
    client = rig.client(server.dsn(), max_seconds=2.0)
    client.start()
    until(lambda: not client.is_alive())

    end = read_end(rig.folder)
    assert end is not None
    assert rig.ids(Kind.OK) == rig.ids(Kind.INVOKE) == set(rows(server))


def test_a_table_of_somebody_else_is_left_alone(rig: Rig):
    server = rig.server()
    create_table(server.dsn(), TABLE)
    with server.connect() as connection:
        connection.execute(f"insert into {TABLE} (id) values (1), (1)")
        assert connection.execute(f"select n from {TABLE} order by n").fetchall() == [(1,), (2,)]
        with pytest.raises(Refusal, match="rows of an earlier rehearsal"):
            create_table(server.dsn(), TABLE)
        drop_table(server.dsn(), TABLE)
        drop_table(server.dsn(), TABLE)
        connection.execute(f"create table {TABLE} (id bigint)")
        for verb in (create_table, drop_table):
            with pytest.raises(Refusal, match="not a rehearsal's"):
                verb(server.dsn(), TABLE)
        assert connection.execute("select to_regclass(%s)::text", [TABLE]).fetchone() == (TABLE,)


def test_reading_is_bounded_and_leaves_no_half_file(rig: Rig):
    server = rig.server()
    node = Node(name="a", region="east", dsn=server.dsn())
    empty = read_set(node, TABLE, rig.folder, "verify", is_primary=True, server="a", timeout=30)
    assert (rig.folder / empty.file).read_bytes() == b""
    with server.connect() as connection:
        connection.execute(f"insert into {TABLE} (id) select i from generate_series(1, 200000) i")
        full = read_set(node, TABLE, rig.folder, "verify", is_primary=True, server="a", timeout=60)
        assert (rig.folder / full.file).stat().st_size == 8 * full.ids == 8 * 200_000
        with connection.transaction():
            connection.execute(f"lock {TABLE}")
            with pytest.raises(StepError, match="could not be read from a"):
                read_set(node, TABLE, rig.folder, "again", is_primary=True, server="a", timeout=1)
    assert [p.name for p in (rig.folder / "reads").iterdir()] == ["verify-a.u64"]
