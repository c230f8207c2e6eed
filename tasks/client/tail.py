"""Following a client's history while it grows, from another process.

Promise: a question costs about as much as the part of the logs that it is about: records are in order of time, so the
place to begin is found by bisection, and nothing is kept in memory between two questions.
"""

import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from muster.failover.history import RECORD, Kind, Session, read_sessions

_STEP = 4096
"""Records looked at together when one is searched for."""


@dataclass(frozen=True)
class Loaded:
    """What the writers did in a span of time, by the moment of each record."""

    attempts: int
    acknowledged: int
    failed: int
    unknown: int
    median_seconds: float | None
    """Of the acknowledged calls."""
    p99_seconds: float | None


class Tail:
    """The history in a folder, which need not be there yet. Moments are nanoseconds of the monotonic clock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sessions(self) -> tuple[Session, ...]:
        """Every session so far, and failed attempts to open one."""
        return read_sessions(self._folder)

    def connections(self) -> tuple[int, ...]:
        """The writers' numbers."""
        return tuple(sorted(self._writers()))

    def load(self, from_ns: int, to_ns: int) -> Loaded:
        """What writers tried and were told in `[from_ns, to_ns)`."""
        counts = np.zeros(max(Kind) + 1, dtype=np.int64)
        latencies = [np.zeros(0)]
        for path in self._writers().values():
            log = _mapped(path)
            begin, end = _first(log, from_ns), _first(log, to_ns)
            part = log[begin:end]
            counts += np.bincount(part["kind"], minlength=len(counts))[: len(counts)]
            latencies.append(_latencies(log[max(0, begin - 1) : end]))
        seconds = np.concatenate(latencies)
        median, p99 = np.quantile(seconds, (0.5, 0.99)).tolist() if len(seconds) else (None, None)
        return Loaded(
            int(counts[Kind.INVOKE]), int(counts[Kind.OK]), int(counts[Kind.FAIL]), int(counts[Kind.INFO]), median, p99
        )

    def acks_since(self, mono_ns: int) -> dict[int, int]:
        """Each connection's first acknowledgement at or after that moment; those without one are left out."""
        return dict(self._first_acks(dict.fromkeys(self._writers(), (mono_ns, None))))

    def first_acks(self, server: str) -> dict[int, int]:
        """Each connection's first acknowledgement by that server; those without one are left out."""
        wanted: dict[int, tuple[int, set[int] | None]] = {}
        names = {path.name: connection for connection, path in self._writers().items()}
        for session in self.sessions():
            if session.server == server and not session.error and session.log in names:
                _, numbers = wanted.setdefault(names[session.log], (session.mono_ns, set()))
                if numbers is not None:
                    numbers.add(session.session)
        return dict(self._first_acks(wanted))

    def has(self, kind: Kind) -> bool:
        """Whether any writer wrote such a record."""
        return any(next(_found(_mapped(path), 0, kind, None), None) is not None for path in self._writers().values())

    def newest_ns(self) -> int | None:
        """The newest record's moment."""
        last = [int(log["mono_ns"][-1]) for path in self._writers().values() if len(log := _mapped(path))]
        return max(last, default=None)

    def is_growing(self, seconds: float) -> bool:
        """Whether a writer wrote anything in the last `seconds`."""
        newest_ns = self.newest_ns()
        return newest_ns is not None and time.monotonic_ns() - newest_ns < seconds * 1e9

    def _writers(self) -> dict[int, Path]:
        return {int(path.stem.removeprefix("w-")): path for path in self._folder.glob("w-*.log")}

    def _first_acks(self, wanted: dict[int, tuple[int, set[int] | None]]) -> Iterator[tuple[int, int]]:
        for connection, path in self._writers().items():
            if connection in wanted:
                from_ns, sessions = wanted[connection]
                log = _mapped(path)
                ack_ns = next(_found(log, _first(log, from_ns), Kind.OK, sessions), None)
                if ack_ns is not None:
                    yield connection, ack_ns


def _mapped(path: Path) -> NDArray[np.void]:
    """Every whole record of a log, not read before it is looked at."""
    count = path.stat().st_size // RECORD.itemsize
    if not count:
        return np.zeros(0, dtype=RECORD)
    return np.memmap(path, dtype=RECORD, mode="r", shape=(count,))


def _first(log: NDArray[np.void], mono_ns: int) -> int:
    """Where the first record at or after that moment is."""
    times = log["mono_ns"]
    return bisect_left(range(len(log)), mono_ns, key=lambda place: int(times[place]))


def _found(log: NDArray[np.void], begin: int, kind: Kind, sessions: set[int] | None) -> Iterator[int]:
    """The moments of records of this kind, of these sessions or any."""
    for start in range(begin, len(log), _STEP):
        part = log[start : start + _STEP]
        found = part["kind"] == kind
        if sessions is not None:
            found &= np.isin(part["session"], list(sessions))
        yield from map(int, part["mono_ns"][found])


def _latencies(part: NDArray[np.void]) -> NDArray[np.float64]:
    """Seconds of each acknowledged call whose announcement is the record before."""
    if len(part) < 2:
        return np.zeros(0)
    ended = np.flatnonzero(part["kind"][1:] == Kind.OK) + 1
    seconds: NDArray[np.float64] = (part["mono_ns"][ended] - part["mono_ns"][ended - 1]) / 1e9
    return seconds
