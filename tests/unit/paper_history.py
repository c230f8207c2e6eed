"""Histories as the client leaves them, written by hand: time passes only when a record says so."""

import hashlib
import struct
from collections.abc import Iterable
from pathlib import Path

from muster.failover.history import STRUCT, End, Kind, LogEnd, Session, make_id
from muster.failover.observations import SetRead

APART = 1_700_000_000_000_000_000
"""Wall minus monotonic time, in nanoseconds."""
OLD, NEW, HOME = "a/100/1", "b/200/2", "a/300/3"
"""The server that is lost, the one that takes over, and the first again after the failback."""
SERVERS = {OLD: "a", "b/200/1": "b", NEW: "b", HOME: "a"}


class PaperHistory:
    """A history folder; every verb appends one record at a moment in nanoseconds."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.records: dict[str, list[bytes]] = {}
        self._sessions: dict[str, list[Session]] = {}
        self._reads = 0

    def invoke(self, number: int, at: int, server: str = OLD, connection: int = 0) -> None:
        self._write(Kind.INVOKE, number, at, server, connection)

    def ok(self, number: int, at: int, server: str = OLD, connection: int = 0) -> None:
        self._write(Kind.OK, number, at, server, connection)

    def fail(self, number: int, at: int, server: str = OLD, connection: int = 0) -> None:
        self._write(Kind.FAIL, number, at, server, connection)

    def info(self, number: int, at: int, server: str = OLD, connection: int = 0) -> None:
        self._write(Kind.INFO, number, at, server, connection)

    def acknowledged(self, numbers: Iterable[int], at: int, server: str = OLD, connection: int = 0) -> int:
        """One write after another, each taking one nanosecond and followed by one; returns the moment after."""
        for number in numbers:
            self.invoke(number, at, server, connection)
            self.ok(number, at + 1, server, connection)
            at += 2
        return at

    def read(self, node: str, number: int, at: int, until: int, kind: Kind, connection: int = 0) -> None:
        log = f"r-{node}.log"
        for said, moment in ((Kind.READ_INVOKE, at), (kind, until)):
            self.append(log, said, 0, self.session(log, OLD), make_id(connection, number), moment)

    def _write(self, kind: Kind, number: int, at: int, server: str, connection: int) -> None:
        log = f"w-{connection:03d}.log"
        self.append(log, kind, connection, self.session(log, server), make_id(connection, number), at)

    def append(self, log: str, kind: int, connection: int, session: int, id: int, at: int, wall: int = 0) -> None:
        record = struct.pack(STRUCT, kind, 0, connection, session, id, at, wall or at + APART)
        self.records.setdefault(log, []).append(record)

    def session(self, log: str, server: str) -> int:
        known = self._sessions.setdefault(log, [])
        for session in known:
            if session.server == server:
                return session.session
        known.append(Session(log=log, session=len(known) + 1, mono_ns=0, server=server))
        return len(known)

    def whole(
        self,
        ids: Iterable[int],
        at: int,
        *,
        server: str = NEW,
        stage: str = "verify",
        is_primary: bool = True,
        connection: int = 0,
    ) -> SetRead:
        """A whole read of these numbers of one connection."""
        return self.whole_of([make_id(connection, n) for n in ids], at, server, stage, is_primary)

    def whole_of(
        self, ids: Iterable[int], at: int, server: str = NEW, stage: str = "verify", is_primary: bool = True
    ) -> SetRead:
        self._reads += 1
        found = sorted(ids)
        file = f"read-{self._reads}.ids"
        (self.folder / file).write_bytes(struct.pack(f"<{len(found)}Q", *found))
        return SetRead(
            stage=stage,
            node=SERVERS.get(server, ""),
            server=server,
            is_primary=is_primary,
            invoked_ns=at,
            completed_ns=at,
            ids=len(found),
            file=file,
        )

    def write(self, *, end: bool = True) -> Path:
        """Write everything; `end=False` is a client that was killed."""
        for name, records in self.records.items():
            (self.folder / name).write_bytes(b"".join(records))
        lines = [s.model_dump_json() + "\n" for known in self._sessions.values() for s in known]
        (self.folder / "sessions.jsonl").write_text("".join(lines))
        if end:
            said = {
                name: LogEnd(records=len(records), sha256=hashlib.sha256(b"".join(records)).hexdigest())
                for name, records in self.records.items()
            }
            (self.folder / "end.json").write_text(End(logs=said).model_dump_json())
        return self.folder
