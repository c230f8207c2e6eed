"""A client's history in arrays: what it tried on each connection, what it was told, and whether anything is amiss.

Promises: every log is read once, in chunks; an attempt costs 19 bytes of memory, a read of one id 17. A log is read up
to the first record that breaks the grammar; that record and what follows it in this log is not counted, and is told.

The grammar. In a writer's log the records of a connection take turns: `INVOKE` of sequence number 1, its end (`OK`,
`FAIL` or `INFO`), `INVOKE` of 2, and so on; only the last call may be left open, by the death of the client. In a
reader's log: `READ_INVOKE`, its answer, for the same id. Time never runs backwards in a log, nor on a connection.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from muster.failover.history import RECORD, SEQUENCE_BITS, End, Kind, LogEnd, read_end, read_log, read_sessions

Bools = NDArray[np.bool_]
Times = NDArray[np.uint64]

NEVER = np.iinfo(np.uint64).max
"""The end of a call that has none."""
_STEP = 1 << 17
"""Records at a time: they and what is made of them stay in the processor's cache."""


def is_kind(kinds: NDArray[np.uint8], kind: Kind) -> Bools:
    """Which of the kinds are this one."""
    same: Bools = kinds == np.uint8(kind)  # beside a member of an enum, numpy would make every kind eight bytes long
    return same


class Attempts:
    """The writes of one connection, in order; the one with sequence number n is at n - 1."""

    def __init__(self, connection: int) -> None:
        self.connection = connection
        self.kind: NDArray[np.uint8] = np.zeros(0, np.uint8)
        """`Kind` of its last record: `INVOKE` when nothing followed."""
        self.invoked_ns: Times = np.zeros(0, np.uint64)
        self.ended_ns: Times = np.zeros(0, np.uint64)
        self.server: NDArray[np.uint16] = np.zeros(0, np.uint16)
        """Of its session, as index into `Logs.servers`."""
        self._seen = 0
        self._last_ns = 0

    def __len__(self) -> int:
        return len(self.kind)

    def told(self, kind: Kind) -> Bools:
        """Which attempts ended so; `INVOKE`: have no end."""
        return is_kind(self.kind, kind)

    def ids(self, where: Bools) -> NDArray[np.uint64]:
        """The ids of those attempts."""
        return np.flatnonzero(where).astype(np.uint64) + np.uint64((self.connection << SEQUENCE_BITS) + 1)

    def expected(self, position: int) -> tuple[str, int]:
        """Which record has to come after `position` more of this connection: its word and sequence number."""
        nth = self._seen + position
        return "end" if nth % 2 else "invoke", nth // 2 + 1

    def fits(self, records: NDArray[np.void]) -> Bools:
        """Which of the next records are those that have to come, if all before them did."""
        nth = np.arange(self._seen, self._seen + len(records), dtype=np.uint64)
        wanted = (nth >> np.uint64(1)) + np.uint64((self.connection << SEQUENCE_BITS) + 1)
        kind, is_end = records["kind"], (nth & np.uint64(1)).astype(np.bool_)
        ends = (kind >= np.uint8(Kind.OK)) & (kind <= np.uint8(Kind.INFO))
        good: Bools = (records["id"] == wanted) & np.where(is_end, ends, is_kind(kind, Kind.INVOKE))
        if len(records):
            good[0] &= records["mono_ns"][0] >= self._last_ns
        return good

    def take(self, records: NDArray[np.void], servers: NDArray[np.uint16]) -> None:
        """Add records that fit."""
        begin = self._seen % 2
        invoked, ended = slice(begin, None, 2), slice(1 - begin, None, 2)
        calls, first_end = (self._seen + len(records) + 1) // 2, self._seen // 2
        first_call = len(self)
        for array in (self.kind, self.invoked_ns, self.ended_ns, self.server):
            array.resize(calls, refcheck=False)
        self.kind[first_call:] = Kind.INVOKE
        self.invoked_ns[first_call:] = records["mono_ns"][invoked]
        self.ended_ns[first_call:] = NEVER
        self.server[first_call:] = servers[invoked]
        ends = records[ended]
        at = slice(first_end, first_end + len(ends))
        self.kind[at], self.ended_ns[at], self.server[at] = ends["kind"], ends["mono_ns"], servers[ended]
        self._seen += len(records)
        if len(records):
            self._last_ns = int(records["mono_ns"][-1])


@dataclass(frozen=True)
class Reads:
    """What one reader asked for and saw, in order: reads that were answered, be it by a failure."""

    node: str
    id: NDArray[np.uint64]
    invoked_ns: Times
    kind: NDArray[np.uint8]


@dataclass
class Logs:
    """Everything in a history folder but the whole reads."""

    connections: dict[int, Attempts] = field(default_factory=dict)
    readers: list[Reads] = field(default_factory=list)
    servers: list[str] = field(default_factory=lambda: [""])
    """As in `Session.server`; the first is nobody."""
    has_ended: bool = False
    """The client ended by itself."""
    amiss: list[str] = field(default_factory=list)
    """Every way in which the files do not fit together."""
    clock_low: int | None = None
    clock_high: int | None = None
    """Least and greatest of wall minus monotonic nanoseconds over all records."""


def load(folder: Path, *, verify: bool = True) -> Logs:
    """Read the logs of a history; with `verify`, hold each against what its writer said of it at the end."""
    logs = Logs()
    end = _end_of(folder, logs)
    sessions = _sessions_of(folder, logs)
    names = sorted(p.name for p in folder.glob("[wr]-*.log"))
    for name in names:
        digest = hashlib.sha256() if verify and end else None
        stream = _watched(folder / name, logs, digest)
        if name.startswith("w-"):
            _read_writer(name, stream, sessions.get(name, {}), logs)
        else:
            _read_reader(name, stream, logs)
        if end:
            _hold(name, (folder / name).stat().st_size, digest.hexdigest() if digest else "", end.logs.get(name), logs)
    if end:
        logs.amiss += [f"{name} is missing" for name in sorted(set(end.logs) - set(names))]
    return logs


def _end_of(folder: Path, logs: Logs) -> End | None:
    try:
        end = read_end(folder)
    except ValidationError:
        logs.amiss.append("end.json cannot be read")
        return None
    logs.has_ended = end is not None
    return end


def _sessions_of(folder: Path, logs: Logs) -> dict[str, dict[int, int]]:
    """Log to session to index of its server."""
    try:
        sessions = read_sessions(folder)
    except (ValidationError, UnicodeDecodeError):
        logs.amiss.append("sessions.jsonl cannot be read")
        return {}
    found: dict[str, dict[int, int]] = {}
    for session in sessions:
        if session.server not in logs.servers:
            logs.servers.append(session.server)
        found.setdefault(session.log, {})[session.session] = logs.servers.index(session.server)
    return found


def _hold(name: str, size: int, digest: str, said: LogEnd | None, logs: Logs) -> None:
    if said is None:
        logs.amiss.append(f"{name} is not one of the client's logs")
    elif size != said.records * RECORD.itemsize:
        logs.amiss.append(f"{name} has {size / RECORD.itemsize:g} records, its writer wrote {said.records}")
    elif digest and digest != said.sha256:
        logs.amiss.append(f"{name} has been changed: its digest is not its writer's")


def _watched(path: Path, logs: Logs, digest: "hashlib._Hash | None") -> Iterator[NDArray[np.void]]:
    """The chunks of a log, hashed and with their clocks compared on the way."""
    for chunk in read_log(path, _STEP):
        if digest:
            digest.update(chunk.data)
        apart = chunk["wall_ns"].astype(np.int64) - chunk["mono_ns"].astype(np.int64)
        low, high = int(apart.min()), int(apart.max())
        logs.clock_low = low if logs.clock_low is None else min(low, logs.clock_low)
        logs.clock_high = high if logs.clock_high is None else max(high, logs.clock_high)
        yield chunk


def _read_writer(name: str, stream: Iterator[NDArray[np.void]], sessions: Mapping[int, int], logs: Logs) -> None:
    before, last_ns, is_sound = 0, 0, True
    for chunk in stream:
        if is_sound:  # a broken log is read to its end all the same, for its digest
            good = _in_order(chunk, last_ns)
            for track, where in _by_connection(chunk, logs):
                good[where] &= track.fits(chunk[where])
            fit = len(chunk) if good.all() else int(good.argmin())
            if fit < len(chunk):
                is_sound = False
                logs.amiss.append(f"{name}, record {before + fit + 1}: {_complaint(chunk, fit, logs)}")
            _take(name, chunk[:fit], sessions, logs)
            last_ns = int(chunk["mono_ns"][-1])
        before += len(chunk)


def _in_order(chunk: NDArray[np.void], last_ns: int) -> Bools:
    times = chunk["mono_ns"]
    good = np.ones(len(chunk), np.bool_)
    good[1:] = times[1:] >= times[:-1]
    good[0] = times[0] >= last_ns
    return good


def _by_connection(chunk: NDArray[np.void], logs: Logs) -> Iterator[tuple[Attempts, slice | NDArray[np.intp]]]:
    connections = chunk["connection"]
    if len(chunk) and (connections == connections[0]).all():
        yield _track(int(connections[0]), logs), slice(None)
        return
    order = np.argsort(connections, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(connections[order])) + 1):
        if len(part):
            yield _track(int(connections[part[0]]), logs), part


def _track(connection: int, logs: Logs) -> Attempts:
    return logs.connections.setdefault(connection, Attempts(connection))


def _take(name: str, chunk: NDArray[np.void], sessions: Mapping[int, int], logs: Logs) -> None:
    for track, where in _by_connection(chunk, logs):
        records = chunk[where]
        servers, strangers = _servers_of(records["session"], sessions)
        if (orphans := is_kind(records["kind"], Kind.OK) & (servers == 0)).any():
            session = int(records["session"][orphans.argmax()])
            known = "of no server" if session not in strangers else "which is in no line of sessions.jsonl"
            logs.amiss.append(f"{name}: acknowledged in session {session}, {known}")
        track.take(records, servers)


def _servers_of(numbers: NDArray[np.uint32], sessions: Mapping[int, int]) -> tuple[NDArray[np.uint16], set[int]]:
    """The server of each record, by runs: a session lasts for many. And the sessions that nobody knows."""
    starts = np.concatenate(([0], np.flatnonzero(np.diff(numbers)) + 1))
    runs = [int(n) for n in numbers[starts]]
    lengths = np.diff(np.append(starts, len(numbers)))
    return np.repeat(np.array([sessions.get(n, 0) for n in runs], np.uint16), lengths), set(runs) - set(sessions)


def _complaint(chunk: NDArray[np.void], at: int, logs: Logs) -> str:
    record = chunk[at]
    if at and record["mono_ns"] < chunk["mono_ns"][at - 1]:
        return "time runs backwards"
    connection = int(record["connection"])
    word, sequence = logs.connections[connection].expected(int((chunk["connection"][:at] == connection).sum()))
    owner, number = divmod(int(record["id"]), 1 << SEQUENCE_BITS)
    kind = int(record["kind"])
    found = Kind(kind).name if kind in {k.value for k in Kind} else f"kind {kind}"
    return f"{found} of {owner}.{number} where the {word} of {connection}.{sequence} should be, or out of time"


def _read_reader(name: str, stream: Iterator[NDArray[np.void]], logs: Logs) -> None:
    """Reads in pairs; an odd record at the end of a chunk waits for the next."""
    ids, times, kinds = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)], [np.zeros(0, np.uint8)]
    rest, before, last_ns, is_sound = np.zeros(0, RECORD), 0, 0, True
    for chunk in stream:
        records = np.concatenate((rest, chunk))
        if is_sound:
            good = _in_order(records, last_ns) & _pairs(records)
            fit = len(records) if good.all() else int(good.argmin())
            if fit < len(records):
                is_sound = False
                logs.amiss.append(f"{name}, record {before + fit + 1}: no read and its answer, or out of time")
            asked, told = records[: fit - fit % 2 : 2], records[1 : fit - fit % 2 : 2]
            ids.append(asked["id"].copy())
            times.append(asked["mono_ns"].copy())
            kinds.append(told["kind"].copy())
            last_ns = int(records["mono_ns"][-1])
            rest = records[len(records) - len(records) % 2 :]
            before += len(records) - len(rest)
    node = name.removeprefix("r-").removesuffix(".log")
    logs.readers.append(Reads(node, np.concatenate(ids), np.concatenate(times), np.concatenate(kinds)))


def _pairs(records: NDArray[np.void]) -> Bools:
    kind, ids = records["kind"], records["id"]
    good = is_kind(kind, Kind.READ_INVOKE)
    odd = kind[1::2]
    good[1::2] = (odd >= np.uint8(Kind.READ_PRESENT)) & (odd <= np.uint8(Kind.READ_FAIL))
    good[1::2] &= ids[1::2] == ids[: 2 * len(odd) : 2]
    return good
