"""The emulated link in both forms, held to one set of promises: as asked, cut, healed, killed, mended, gone."""

import contextlib
import hashlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from muster.errors import StepError
from tasks.estate.loopback import free_ports
from tasks.link import control
from tasks.link.link import Condition, Form, Link, best_form
from tasks.link.tunnel import inside
from tasks.process import Processes

FORMS: tuple[Form, ...] = ("namespaces", "proxy")
PATIENCE = 60.0
NOTHING = 0.5
"""Seconds in which nothing must come: a round trip through these links takes a hundredth of it."""


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


class Ends:
    """A link, and what talks through it: sockets of this process, made inside the sides' networks."""

    def __init__(self, folder: Path, form: Form, name: str = "link") -> None:
        self.processes = Processes(folder / "records", folder / "logs")
        ports = dict(zip("ab", free_ports(folder / name, "servers", 2), strict=True))
        self.link = Link(folder / name, self.processes, ports, form)
        self.accepted: list[socket.socket] = []
        self._open: list[socket.socket] = []

    def close(self) -> None:
        for one in (*self._open, *self.accepted):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self.link.stop()
        self.processes.close()

    def listen(self, side: str = "a") -> socket.socket:
        with self._at(side):
            server = socket.create_server((self.link.listen_address(side), self.link.ports[side]))
        self._open.append(server)
        return server

    def serve_echo(self, side: str = "a") -> None:
        threading.Thread(target=self._echo_all, args=(self.listen(side),), daemon=True).start()

    def connect(self, to: str = "a", timeout: float = PATIENCE) -> socket.socket:
        side = "b" if to == "a" else "a"
        with self._at(side):
            client = socket.create_connection(self.link.address(to, side), timeout)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open.append(client)
        return client

    def pid(self, name: str = "link") -> int:
        identity = self.processes.identity(name)
        assert identity is not None
        return identity.pid

    def kill(self, name: str = "link") -> None:
        os.kill(self.pid(name), signal.SIGKILL)
        until(lambda: name not in self.processes.alive())

    def _at(self, side: str) -> contextlib.AbstractContextManager[None]:
        network = self.link.network(side)
        return inside(network) if network else contextlib.nullcontext()

    def _echo_all(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.accepted.append(client)
                threading.Thread(target=self._echo, args=(client,), daemon=True).start()

    @staticmethod
    def _echo(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Form:
    return request.param


@pytest.fixture
def ends(tmp_path: Path, form: Form) -> Iterator[Ends]:
    ends = Ends(tmp_path, form)
    yield ends
    ends.close()


def echo(client: socket.socket) -> float:
    """Seconds of a round trip."""
    began = time.monotonic()
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    return time.monotonic() - began


def hears_nothing(client: socket.socket) -> bool:
    client.settimeout(NOTHING)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(PATIENCE)
    return False


def send(client: socket.socket, server: socket.socket, size: int) -> float:
    """Seconds from the first byte sent to the last byte come."""
    received, _ = server.accept()
    began = time.monotonic()
    sender = threading.Thread(target=client.sendall, args=(bytes(size),))
    sender.start()
    with received:
        while size:
            size -= len(received.recv(1 << 20))
    sender.join(PATIENCE)
    return time.monotonic() - began


def network_of(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def processes_in(networks: set[str]) -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and network_of(int(entry.name)) in networks:
                found.add(int(entry.name))
    return found


def test_this_machine_can_have_both_forms():
    assert best_form() == "namespaces"


def test_the_round_trip_is_what_was_asked(ends):
    ends.link.start(Condition(rtt_seconds=0.06))
    ends.serve_echo()
    trips = [echo(ends.connect()) for _ in range(3)]
    assert min(trips) >= 0.06
    assert min(trips) < 0.5
    ends.link.set(Condition())
    client = ends.connect()
    assert min(echo(client) for _ in range(50)) < 0.06


def test_both_ways_are_delayed_and_a_connection_takes_a_round_trip_too(ends):
    ends.link.start(Condition(rtt_seconds=0.06))
    ends.serve_echo("b")
    began = time.monotonic()
    echo(ends.connect(to="b"))
    assert time.monotonic() - began >= 0.12


def test_the_rate_is_what_was_asked_and_without_asking_there_is_none(ends):
    ends.link.start(Condition(rtt_seconds=0.01, mbytes_per_second=2))
    server = ends.listen()
    assert send(ends.connect(), server, 1_000_000) >= 0.5
    ends.link.set(Condition(rtt_seconds=0.01))
    assert send(ends.connect(), server, 10_000_000) < 5.0


def test_losses_happen_when_asked_and_only_then(ends):
    ends.link.start()
    ends.serve_echo()
    client = ends.connect()
    for _ in range(100):
        echo(client)
    healthy = ends.link.counts()
    assert healthy.carried >= 100
    assert (healthy.lost, healthy.refused) == (0, 0)
    ends.link.set(Condition(loss=0.2))
    until(lambda: echo(client) >= 0.15 and ends.link.counts().lost > 0)  # a packet was sent again


@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_every_byte_arrives_unchanged(ends, loss):
    ends.link.start(Condition(rtt_seconds=0.002, loss=loss))
    ends.serve_echo()
    client, data = ends.connect(), os.urandom(2_000_000)
    sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
    sender.start()
    heard = hashlib.sha256()
    while some := client.recv(1 << 20):
        heard.update(some)
    sender.join(PATIENCE)
    assert heard.digest() == hashlib.sha256(data).digest()


def test_a_cut_holds_everything_back_and_once_healed_tcp_goes_on(ends):
    ends.link.start(Condition(rtt_seconds=0.01))
    ends.serve_echo()
    client = ends.connect()
    echo(client)
    ends.link.cut()
    assert ends.link.state() == Condition(rtt_seconds=0.01, is_cut=True)
    client.sendall(b"x")
    assert hears_nothing(client)
    ends.link.heal()
    assert ends.link.state() == Condition(rtt_seconds=0.01)
    assert client.recv(1) == b"x"
    assert echo(client) >= 0.01


def test_a_connection_made_while_cut_hears_nothing_until_the_link_is_healed(ends):
    ends.link.start(Condition(is_cut=True))
    ends.serve_echo()
    heard = []
    caller = threading.Thread(target=lambda: heard.append(echo(ends.connect())))
    caller.start()
    caller.join(NOTHING)
    assert not heard
    assert not ends.accepted
    ends.link.heal()
    caller.join(PATIENCE)
    assert len(heard) == 1


def test_who_gave_up_while_cut_is_never_seen_by_the_server(ends):
    ends.link.start(Condition(is_cut=True))
    ends.serve_echo()
    with contextlib.suppress(TimeoutError):
        client = ends.connect(timeout=NOTHING)
        client.sendall(b"anybody?")
        client.close()
    ends.link.heal()
    echo(ends.connect())
    assert len(ends.accepted) == 1


def test_a_dead_server_is_told_of(ends):
    ends.link.start()
    with pytest.raises(ConnectionError):
        echo(ends.connect())


def test_a_reset_comes_through(ends):
    ends.link.start(Condition(rtt_seconds=0.01))
    server = ends.listen()
    client = ends.connect()
    received, _ = server.accept()
    received.sendall(b"last words")
    assert client.recv(100) == b"last words"
    received.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    received.close()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_killed_it_is_a_cut_and_start_mends_it(ends, form):
    ends.link.start(Condition(rtt_seconds=0.02))
    ends.serve_echo()
    before, client = ends.link.address("a", "b"), ends.connect()
    echo(client)
    ends.kill()
    assert not ends.link.is_alive()
    with pytest.raises(StepError) as dead:
        ends.link.state()
    assert dead.value.advice == "start the link again"
    if form == "namespaces":  # a proxy takes its connections with it
        client.sendall(b"x")
        assert hears_nothing(client)
    with pytest.raises(TimeoutError if form == "namespaces" else ConnectionRefusedError):
        ends.connect(timeout=NOTHING)
    ends.link.start()
    assert ends.link.is_alive()
    assert ends.link.state() == Condition(rtt_seconds=0.02)
    assert ends.link.address("a", "b") == before
    assert echo(ends.connect()) >= 0.02
    if form == "namespaces":
        assert client.recv(1) == b"x"


def test_killed_while_cut_it_comes_back_cut(ends):
    ends.link.start()
    ends.serve_echo()
    ends.link.cut()
    ends.kill()
    ends.link.start()
    assert ends.link.state().is_cut
    ends.link.heal()
    echo(ends.connect())


def test_a_frozen_link_is_told_of_and_can_be_stopped(ends, monkeypatch):
    monkeypatch.setattr(control, "_PATIENCE", 0.3)
    ends.link.start()
    os.kill(ends.pid(), signal.SIGSTOP)
    with pytest.raises(StepError, match="does not answer"):
        ends.link.cut()
    ends.link.stop()
    assert ends.processes.names() == ()


def test_another_muster_finds_it_and_stop_leaves_nothing(ends, form, tmp_path):
    named = set(Path("/run").glob("netns/*"))
    ends.link.start(Condition(rtt_seconds=0.03))
    running = [ends.pid(name) for name in ends.processes.names()]
    networks = {network_of(pid) for pid in running} - {network_of(os.getpid())}
    assert len(networks) == (2 if form == "namespaces" else 0)

    later = Ends(tmp_path, form)
    later.link.start()
    assert [later.pid(name) for name in later.processes.names()] == running
    assert later.link.state() == Condition(rtt_seconds=0.03)
    later.link.stop()
    later.link.stop()

    assert later.processes.names() == ()
    assert not any(Path(f"/proc/{pid}").exists() and not _is_zombie(pid) for pid in running)
    assert processes_in(networks) == set()
    assert list(later.link.folder.iterdir()) == []
    assert set(Path("/run").glob("netns/*")) == named
    assert not Path("/sys/class/net/wan").exists()
    assert not later.link.is_alive()


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_stopped_and_started_again_it_is_perfect_and_at_the_same_address(ends):
    ends.link.start(Condition(rtt_seconds=1))
    before = ends.link.address("a", "b")
    ends.link.stop()
    ends.link.start()
    assert ends.link.state() == Condition()
    assert ends.link.address("a", "b") == before


def test_two_links_do_not_disturb_each_other(ends, form, tmp_path):
    other = Ends(tmp_path, form, "other")
    try:
        for one in (ends, other):
            one.link.start()
            one.serve_echo()
        mine, its = ends.connect(), other.connect()
        ends.link.cut()
        assert echo(its) < PATIENCE
        other.link.stop()
        ends.link.heal()
        assert echo(mine) < PATIENCE
    finally:
        other.close()


def test_a_namespace_that_died_is_made_anew(tmp_path):
    ends = Ends(tmp_path, "namespaces")
    try:
        ends.link.start(Condition(rtt_seconds=0.01))
        ends.kill("link-b")
        assert not ends.link.is_alive()
        with pytest.raises(StepError, match="side b has no network"):
            ends.link.network("b")
        ends.link.start()
        ends.serve_echo()
        assert echo(ends.connect()) >= 0.01
    finally:
        ends.close()


def test_programs_run_inside_a_side_with_or_without_roots_powers(tmp_path):
    ends = Ends(tmp_path, "namespaces")
    try:
        ends.link.start()
        network = ends.link.network("a")
        assert network is not None
        for unprivileged in (False, True):
            shown = ends.processes.run(
                ["ip", "-oneline", "address", "show", "dev", "wan"],
                log="ip.log",
                timeout=PATIENCE,
                unprivileged=unprivileged,
                network=network,
            )
            assert re.search(r"inet 192\.0\.2\.1 peer 192\.0\.2\.2", shown.output)
        ends.processes.start("sleeper", ["sleep", "100"], log="sleeper.log", unprivileged=True, network=network)
        until(lambda: network_of(ends.pid("sleeper")) == network_of(ends.pid("link-a")))
    finally:
        ends.close()


def test_a_taken_door_is_told_of(tmp_path):
    ends = Ends(tmp_path, "proxy")
    try:
        ends.link.start()
        host, door = ends.link.address("a", "b")
        ends.kill()
        with socket.create_server((host, door)), pytest.raises(StepError, match=r"did not come up.*in use"):
            ends.link.start()
    finally:
        ends.close()


_STARTER = """
import sys
from pathlib import Path
from tasks.link.link import Link
from tasks.process import Processes
folder, form, a, b = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
link = Link(folder / "link", Processes(folder / "records", folder / "logs"), {"a": a, "b": b}, form)
print("starting", flush=True)
link.start()
print("started", flush=True)
"""


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.04, 0.09, None])
def test_whoever_starts_it_may_be_killed_at_any_moment(ends, form, tmp_path, delay):
    argv = [sys.executable, "-c", _STARTER, str(tmp_path), form, *map(str, ends.link.ports.values())]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "starting\n"
        if delay is None:
            assert starter.stdout.readline() == "started\n"
        else:
            time.sleep(delay)
        starter.kill()
    if delay is None:
        assert ends.link.is_alive()
    ends.link.start()
    ends.serve_echo()
    echo(ends.connect())
    ends.link.stop()
    assert ends.processes.names() == ()
    assert list(ends.link.folder.iterdir()) == []
