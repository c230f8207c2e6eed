"""`python -m bench.link`: what the emulated link gives beside what it was asked for, in both forms.

Promises: it works below one folder and deletes all of it; each row names its condition; the link's own process and
both ends of the measured connection share this machine's cores.
"""

import argparse
import contextlib
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.results import keep, machine, new_table, show
from tasks.estate.loopback import free_ports
from tasks.link.link import Condition, Form, Link, best_form
from tasks.link.tunnel import inside
from tasks.process import Processes

_FORMS: tuple[Form, ...] = ("namespaces", "proxy")
_CONDITIONS = (
    Condition(),
    Condition(mbytes_per_second=20),
    Condition(rtt_seconds=0.02),
    Condition(rtt_seconds=0.02, mbytes_per_second=20),
    Condition(rtt_seconds=0.02, loss=0.01),
    Condition(rtt_seconds=0.08),
    Condition(rtt_seconds=0.08, mbytes_per_second=5),
    Condition(rtt_seconds=0.15),
)
_TRIPS = 20


@dataclass(frozen=True)
class Measured:
    """One condition in one form."""

    form: Form
    asked: Condition
    trip_ms: float
    """Median of the round trips of one byte."""
    longest_trip_ms: float
    mbytes_per_second: float
    """Of one TCP connection, without headers, once it is up to speed."""
    loaded_trip_ms: float
    """Median of the round trips beside that connection: what waits in queues shows here."""


def measure_link(folder: Path, form: Form, seconds: float) -> list[Measured]:
    """Every condition in turn through one link."""
    processes = Processes(folder / "records", folder / "logs")
    link = Link(folder / form, processes, dict(zip("ab", free_ports(folder / form, "servers", 2), strict=True)), form)
    try:
        link.start()
        return [_measure(link, condition, seconds) for condition in _CONDITIONS]
    finally:
        link.stop()


def _measure(link: Link, condition: Condition, seconds: float) -> Measured:
    link.set(condition)
    with _connection(link) as (talks, answers):
        threading.Thread(target=_echo, args=(answers,), daemon=True).start()
        _trip(talks)  # the proxy's first one holds the handshake too
        alone = [_trip(talks) for _ in range(_TRIPS)]
        with _connection(link) as (sends, takes):
            threading.Thread(target=_pour, args=(sends,), daemon=True).start()
            _take(takes, seconds / 2)
            end = time.monotonic() + seconds
            beside: list[float] = []
            aside = threading.Thread(target=_trips_until, args=(talks, end, beside))
            aside.start()
            speed = _take(takes, seconds) / seconds / 1e6
            aside.join(60)
    return Measured(link.form, condition, _median(alone), max(alone), speed, _median(beside))


def _trips_until(end: socket.socket, until: float, trips: list[float]) -> None:
    while time.monotonic() < until:
        trips.append(_trip(end))


@contextlib.contextmanager
def _connection(link: Link) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends, the first of them on side b."""
    with contextlib.ExitStack() as stack:
        with _at(link, "a"):
            server = stack.enter_context(socket.create_server((link.listen_address("a"), link.ports["a"])))
        with _at(link, "b"):
            here = stack.enter_context(socket.create_connection(link.address("a", "b"), 60))
        there = stack.enter_context(server.accept()[0])
        for end in (here, there):
            end.settimeout(60)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.close()
        yield here, there


def _at(link: Link, side: str) -> contextlib.AbstractContextManager[None]:
    network = link.network(side)
    return inside(network) if network else contextlib.nullcontext()


def _trip(end: socket.socket) -> float:
    """Milliseconds."""
    began = time.monotonic()
    end.sendall(b"x")
    end.recv(1)
    return (time.monotonic() - began) * 1e3


def _echo(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := end.recv(1024):
            end.sendall(data)


def _pour(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            end.sendall(bytes(1 << 18))


def _take(end: socket.socket, seconds: float) -> int:
    """Bytes that came in this time."""
    taken, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        taken += len(end.recv(1 << 20))
    return taken


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _table(rows: list[Measured]) -> Table:
    table = new_table("The emulated link, asked and measured (headers count towards the rate asked)",
                      "form", "RTT asked, ms", "RTT", "longest", "loss asked", "MB/s asked", "MB/s",
                      "RTT under load")  # fmt: skip
    for row in rows:
        asked = row.asked
        table.add_row(
            row.form,
            f"{asked.rtt_seconds * 1e3:g}",
            f"{row.trip_ms:.1f}",
            f"{row.longest_trip_ms:.1f}",
            f"{asked.loss:.0%}",
            f"{asked.mbytes_per_second or 'any'}",
            f"{row.mbytes_per_second:.1f}",
            f"{row.loaded_trip_ms:.1f}",
        )
    return table


def main(arguments: list[str]) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m bench.link", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="half a second for each row: does it work?")
    options = parser.parse_args(arguments)
    console, began = Console(), datetime.now(UTC)
    console.print(machine())
    rows: list[Measured] = []
    for form in _FORMS if best_form() == "namespaces" else _FORMS[1:]:
        with tempfile.TemporaryDirectory(prefix="muster-bench-") as folder:
            rows += measure_link(Path(folder), form, 0.5 if options.quick else 4)
    show([_table(rows)], console)
    if not options.quick:
        kept = keep(f"{began:%Y%m%dT%H%M%SZ}-link", began, [_table(rows)], [asdict(row) for row in rows])
        console.print(f"Kept in {kept}, and beside it as JSON.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
