"""Opening a session: connecting, asking who is there, and preparing the one statement it is for.

Promises: every wait has an end, against a server that is stopped as well, which takes connections and says nothing:
libpq's own `connect_timeout` is at least two seconds and means nothing to its asynchronous calls. The hosts of a DSN
are tried one after another, in the order given, each with the whole patience: one that hangs does not hide the next.
Trap: libpq resolves names while it connects, and nobody can bound that; it hangs one connection's thread, no other's.
Source: PostgreSQL documentation, "Database Connection Control Functions".
"""

import select
import time
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import Error
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import ConnStatus, ExecStatus, PGconn, PollingStatus
from psycopg.pq import abc as pq

from tasks.client.outcome import answer_of
from tasks.postgres.survey import SERVER

STATEMENT = b"call"
"""The prepared statement."""
_INT8 = 20
_WHO = f"select {SERVER}, pg_is_in_recovery()"
_READY = {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}


class Unopened(Exception):
    """An attempt that came to nothing; `server` when it is known who was there."""

    def __init__(self, why: str, server: str = "") -> None:
        super().__init__(" ".join(why.split()))
        self.server = server


@dataclass(frozen=True)
class Entry:
    """What a session is opened for. The statement has one parameter, a bigint."""

    dsn: str
    statement: str
    commit_setting: str | None
    """`None`: a reader, which a standby will do for."""
    patience: float
    """Seconds for connecting to one host, and again for each question there."""


@dataclass(frozen=True)
class Opened:
    """A session, ready for calls."""

    pgconn: pq.PGconn
    server: str


def open_session(entry: Entry) -> Opened:
    """Try every host once; `Unopened` says why none will do."""
    failed: list[Unopened] = []
    for conninfo, patience in attempts(entry.dsn, entry.patience):
        pgconn: pq.PGconn | None = None
        try:
            pgconn = _connect(conninfo, patience)
            return Opened(pgconn, _prepare(pgconn, entry))
        except (Unopened, Error) as error:
            failed.append(error if isinstance(error, Unopened) else Unopened(str(error)))
            if pgconn is not None:
                pgconn.finish()
    server = next((each.server for each in failed if each.server), "")
    raise Unopened("; ".join(dict.fromkeys(map(str, failed))), server)


def attempts(dsn: str, patience: float) -> Sequence[tuple[bytes, float]]:
    """One connection string for each host of the DSN, with seconds to connect there."""
    keys = conninfo_to_dict(dsn)
    if asked := int(keys.get("connect_timeout") or 0):
        patience = min(patience, asked)
    lists = {key: str(keys[key]).split(",") for key in ("host", "hostaddr", "port") if keys.get(key)}
    count = max((len(lists[key]) for key in ("host", "hostaddr") if key in lists), default=1)
    if count == 1:
        return ((dsn.encode(), patience),)
    each = [{key: many[n if len(many) > 1 else 0] for key, many in lists.items()} for n in range(count)]
    return tuple((make_conninfo(dsn, **one).encode(), patience) for one in each)


def _connect(conninfo: bytes, patience: float) -> pq.PGconn:
    deadline = time.monotonic() + patience
    pgconn = PGconn.connect_start(conninfo)
    try:
        while pgconn.status != ConnStatus.BAD:
            wanted = pgconn.connect_poll()
            if wanted == PollingStatus.OK:
                pgconn.nonblocking = 1
                return pgconn
            if wanted == PollingStatus.FAILED:
                break
            _wait(pgconn, select.POLLOUT if wanted == PollingStatus.WRITING else select.POLLIN, deadline)
        raise Unopened(pgconn.get_error_message())
    except BaseException:
        pgconn.finish()
        raise


def _prepare(pgconn: pq.PGconn, entry: Entry) -> str:
    """Make the session what it is for; returns which server it is with."""
    deadline = time.monotonic() + entry.patience
    pgconn.send_query_params(_WHO.encode(), None)
    row = _result(pgconn, deadline)
    server, is_standby = (row.get_value(0, 0) or b"").decode(), row.get_value(0, 1) == b"t"
    if entry.commit_setting is not None:
        if is_standby:
            raise Unopened(f"{server} is a standby", server)
        value = [entry.commit_setting.encode()]
        pgconn.send_query_params(b"select set_config('synchronous_commit', $1, false)", value)
        _result(pgconn, deadline)
    pgconn.send_prepare(STATEMENT, entry.statement.encode(), [_INT8])
    _result(pgconn, deadline)
    return server


def _result(pgconn: pq.PGconn, deadline: float) -> pq.PGresult:
    """The one result of what was sent."""
    results: list[pq.PGresult] = []
    while True:
        while pgconn.is_busy():
            _wait(pgconn, select.POLLIN, deadline)
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            break
        results.append(result)
    for result in results:
        if result.status not in _READY:
            raise Unopened(answer_of(result).message.decode("utf-8", "replace"))
    return results[-1]


def _wait(pgconn: pq.PGconn, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(pgconn.socket, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise Unopened("no answer in time")
