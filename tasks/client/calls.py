"""What one connection does: a call at a time, written down before it is made and after it came to its end.

Promises: an id is tried once, and announced in the log before; whatever does not end well ends the session, so that the
next call is made on a new one; nothing in here waits.
"""

import struct
from abc import ABC, abstractmethod
from dataclasses import dataclass

from psycopg import Error
from psycopg.pq import TransactionStatus
from psycopg.pq import abc as pq

from muster.failover.record import Kind, make_id
from tasks.client.logs import Log
from tasks.client.outcome import Answer, answer_of, outcome_of, seen
from tasks.client.pace import Pace
from tasks.client.session import STATEMENT, Entry, Opened

INSERT = "insert into {} (id) values ($1)"
LOOK = "select from {} where id = $1 limit 1"
"""Its command tag says how many rows it saw."""
_BIGINT = struct.Struct(">q").pack
_BINARY = (1,)


@dataclass
class Freshest:
    """The id that was acknowledged last, of any connection; 0 before the first."""

    id: int = 0


class Caller(ABC):
    """One connection and its log. It has a session, or somebody is opening one for it."""

    begins: Kind

    def __init__(self, log: Log, entry: Entry, pace: Pace, timeout_ns: int) -> None:
        self.log = log
        self.entry = entry
        self.pace = pace
        self.session = 0
        self.deadline_ns = 0
        """When the call under way is given up; 0 when there is none."""
        self.has_served = False
        """A call ended well in this session."""
        self.complaint: Answer | None = None
        """The error or warning that ended the last session, if one did."""
        self._timeout_ns = timeout_ns
        self._pgconn: pq.PGconn | None = None
        self._id = 0
        self.answers: list[Answer] = []
        """All that the server said of the call under way, and beside it."""
        self.notices: list[Answer] = []

    @property
    def is_open(self) -> bool:
        """Whether there is a session."""
        return self._pgconn is not None

    def admit(self, opened: Opened, session: int) -> int:
        """Take a new session; returns its file descriptor, valid until `close`."""
        self._pgconn, self.session, self.has_served = opened.pgconn, session, False
        self._pgconn.notice_handler = self._notice
        return self._pgconn.socket

    def call(self) -> None:
        """Make the next call, if there is any to make."""
        if self._pgconn is None or not (number := self._next_id()):
            return
        self._id = number
        self.answers.clear()
        self.notices.clear()
        self.deadline_ns = self.log.note(self.begins, self.session, number) + self._timeout_ns
        self.log.write()
        try:
            self._pgconn.send_query_prepared(STATEMENT, (_BIGINT(number),), _BINARY, 1)
        except Error:
            self.close()

    def hear(self) -> None:
        """Take what has arrived; the socket is readable."""
        pgconn = self._pgconn
        if pgconn is None:
            return
        try:
            pgconn.consume_input()
            while self.deadline_ns and not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:
                    self._end(pgconn.transaction_status == TransactionStatus.IDLE)
                else:
                    self.answers.append(answer_of(result))
        except Error:
            self.close()

    def close(self) -> None:
        """Make sure that there is no session; what became of a call under way is unknown."""
        if self.deadline_ns:
            self._write_end(self._unknown())
        if self._pgconn is not None:
            self._pgconn.finish()
            self._pgconn = None

    def _notice(self, notice: pq.PGresult) -> None:
        self.notices.append(answer_of(notice))

    def _end(self, is_ready: bool) -> None:
        kind = self._judge(is_ready)
        self._write_end(kind)
        if self._is_well(kind):
            self.has_served = True
        else:
            self.complaint = next((said for said in (*self.answers, *self.notices) if said.severity), None)
            self.close()

    def _write_end(self, kind: Kind) -> None:
        self.deadline_ns = 0
        self.log.note(kind, self.session, self._id)

    @abstractmethod
    def _next_id(self) -> int:
        """The id to call with; 0 for no call."""

    @abstractmethod
    def _judge(self, is_ready: bool) -> Kind:
        """What became of the call, from all that the server said."""

    @abstractmethod
    def _unknown(self) -> Kind:
        """What to write of a call that has no answer."""

    @abstractmethod
    def _is_well(self, kind: Kind) -> bool:
        """Whether the session goes on."""


class Writer(Caller):
    """Inserts ids, each once."""

    begins = Kind.INVOKE

    def __init__(self, log: Log, entry: Entry, pace: Pace, timeout_ns: int, connection: int, fresh: Freshest) -> None:
        super().__init__(log, entry, pace, timeout_ns)
        self._last_id = make_id(connection, 0)
        self._fresh = fresh

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _judge(self, is_ready: bool) -> Kind:
        return outcome_of(self.answers, self.notices, is_ready=is_ready)

    def _unknown(self) -> Kind:
        return Kind.INFO

    def _is_well(self, kind: Kind) -> bool:
        if kind is Kind.OK:
            self._fresh.id = self._id
        return kind is Kind.OK


class Reader(Caller):
    """Asks one node for the id that was acknowledged last."""

    begins = Kind.READ_INVOKE

    def __init__(self, log: Log, entry: Entry, pace: Pace, timeout_ns: int, fresh: Freshest) -> None:
        super().__init__(log, entry, pace, timeout_ns)
        self._fresh = fresh

    def _next_id(self) -> int:
        return self._fresh.id

    def _judge(self, is_ready: bool) -> Kind:
        return seen(self.answers, is_ready=is_ready)

    def _unknown(self) -> Kind:
        return Kind.READ_FAIL

    def _is_well(self, kind: Kind) -> bool:
        return kind is not Kind.READ_FAIL
