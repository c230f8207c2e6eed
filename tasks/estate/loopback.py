"""Ports on loopback: free ones to start on, and proof of who listens on one.

Promise: a part of the estate is trusted only when the process on our record, or a child of it, owns its port.
"""

import hashlib
import json
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import psutil

from muster.errors import StepError
from tasks.process import Processes

HOST = "127.0.0.1"
_FIRST, _SPAN = 20_000, 12_000
"""Below the range that the kernel hands out by itself; a port and its gRPC twin 10,000 above are both free."""
_PROMISED_SECONDS = 60.0
"""How long a port that was handed out is kept from others: what it is for needs a moment to listen there."""


def free_ports(home: Path, part: str, count: int) -> tuple[int, ...]:
    """Free ports for a part; the same at every start while nobody else takes them, so that addresses stay."""
    ports = _promises.take(f"{home}:{part}", count)
    if len(ports) < count:
        raise StepError(f"no free port on {HOST} between {_FIRST} and {_FIRST + _SPAN}", "stop what listens there")
    return ports


def wait_until_ours(processes: Processes, name: str, port: int, answers: Callable[[], bool], *, timeout: float) -> None:
    """Wait until the process on record under `name` owns the port and answers there."""
    deadline = time.monotonic() + timeout
    while not (owns_port(processes, name, port) and answers()):
        if name not in processes.alive():
            said = processes.tail(processes.logs / f"{name}.log").strip().splitlines()[-3:]
            raise StepError(f"{name} ended while it started: {' | '.join(said)}", f"see {processes.logs}/{name}.log")
        if time.monotonic() > deadline:
            raise StepError(
                f"{name} does not answer on port {port} after {timeout:g} seconds", f"see {processes.logs}/{name}.log"
            )
        time.sleep(0.05)


def owns_port(processes: Processes, name: str, port: int) -> bool:
    """Whether the process on record, or a child of it, listens on the port."""
    identity = processes.identity(name)
    if identity is None or not identity.is_alive():
        return False
    try:
        leader = psutil.Process(identity.pid)
        family = [leader, *leader.children(recursive=True)]
        return any(_listens(process, port) for process in family)
    except psutil.NoSuchProcess:
        return False


def answers_http(url: str) -> bool:
    """Whether a GET of the URL succeeds."""
    try:
        ask_http(url)
    except OSError:
        return False
    return True


def ask_http(url: str, body: object = None, *, method: str | None = None) -> bytes:
    """The answer to a GET, or to a POST of the body as JSON; never through a proxy. An `OSError` when there is none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310 - loopback
    with opener.open(request, timeout=10) as response:
        return bytes(response.read())


def _listens(process: psutil.Process, port: int) -> bool:
    return any(
        c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port for c in process.net_connections("tcp")
    )


class _Promises:
    """Ports handed out of late, each held by an abstract socket: whoever asks meanwhile, in any process of this
    machine, is given others. The kernel lets go when the process ends. Only Linux has such sockets; elsewhere two
    that ask in the same moment may be given the same port, and one of them does not start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, tuple[float, list[socket.socket]]] = {}

    def take(self, seed: str, count: int) -> tuple[int, ...]:
        with self._lock:
            self._let_go(seed)
            held: list[socket.socket] = []
            ports = islice((p for p in _candidates(seed) if _is_free(p) and self._hold(p, held)), count)
            self._held[seed] = time.monotonic(), held
            return tuple(ports)

    def _let_go(self, seed: str) -> None:
        old = time.monotonic() - _PROMISED_SECONDS
        for each in [name for name, (at, _) in self._held.items() if name == seed or at < old]:
            for one in self._held.pop(each)[1]:
                one.close()

    @staticmethod
    def _hold(port: int, held: list[socket.socket]) -> bool:
        if sys.platform != "linux":
            return True
        promise = socket.socket(socket.AF_UNIX)
        try:
            promise.bind(f"\0muster-port-{port}")
        except OSError:
            promise.close()
            return False
        held.append(promise)
        return True


_promises = _Promises()


def _candidates(seed: str) -> Iterator[int]:
    start = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4])
    return (_FIRST + (start + step) % _SPAN for step in range(_SPAN))


def _is_free(port: int) -> bool:
    return all(_binds(p) for p in (port, port + 10_000))


def _binds(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
