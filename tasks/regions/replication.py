"""What is asked of, and told to, the servers of a pair through their sockets.

Promises: every call is bounded, and safe to repeat.

Source: PostgreSQL documentation, "Log-Shipping Standby Servers", "System Administration Functions".
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from muster.errors import StepError
from tasks.postgres.bounded import connected
from tasks.postgres.server import Server
from tasks.regions.patience import SecondsLeft, wait_until

_SECONDS = 10.0
"""For one question to a server that lives."""


def answers(server: Server, seconds: float = 2.0) -> bool:
    """Whether it takes connections and answers: a frozen one does not."""
    try:
        with connected(server.dsn(), seconds) as connection:
            return connection.execute("select true").fetchone() is not None
    except psycopg.Error:
        return False


def is_standby(server: Server) -> bool:
    """The role it has now."""
    return _ask(server, "select pg_is_in_recovery()") == "t"


@dataclass(frozen=True)
class Position:
    """Where the log of a primary is."""

    timeline: int
    lsn: str


def position(server: Server) -> Position:
    """Of a primary; right after a promotion too, when its control file still names the old timeline."""
    lsn = _ask(server, "select pg_current_wal_lsn()")
    return Position(int(_ask(server, "select left(pg_walfile_name(%s::pg_lsn), 8)", lsn), 16), lsn)


def write_mark(primary: Server) -> str:
    """Write and flush a record of no meaning; where it ends.

    A rewound standby is consistent only at what the primary had written by then, flushed or not, and a standby is sent
    only what is flushed: on a primary at rest that takes seconds without this.
    """
    return _ask(primary, "select pg_logical_emit_message(false, 'muster', 'mark', true)")


def system_identifier(server: Server) -> str:
    """What its `pg_control_system()` says."""
    return _ask(server, "select system_identifier from pg_control_system()")


@dataclass(frozen=True)
class Promotion:
    """A server that takes writes, and whether it was told to just now."""

    position: Position
    was_standby: bool


def promote(server: Server, seconds_left: SecondsLeft, *, at_most: float) -> Promotion:
    """Make a standby primary, replay resumed if it was paused; nobody waits for a standby of its own.

    All in one session, and asked for often whether it is done: `pg_promote` itself looks ten times a second.
    """
    with _connected(server, at_most + _SECONDS) as connection:

        def is_standby() -> bool:
            return connection.execute("select pg_is_in_recovery()").fetchone() == (True,)

        was_standby = is_standby()
        if was_standby:
            _set_synchronous(connection, "")
            connection.execute("select pg_wal_replay_resume(), pg_promote(false)")
            wait_until(lambda: not is_standby(), f"{server.data.name} to be promoted", seconds_left, at_most=at_most)
        row = connection.execute(
            "select ('x' || left(pg_walfile_name(lsn), 8))::bit(32)::int, lsn::text from pg_current_wal_lsn() lsn"
        ).fetchone()
    if row is None:
        raise StepError(f"{server.data.name} does not say where its log is")
    return Promotion(Position(timeline=row[0], lsn=row[1]), was_standby)


def pause_replay(server: Server) -> None:
    """Let a standby receive, and not apply."""
    _ask(server, "select pg_wal_replay_pause()")


def resume_replay(server: Server) -> bool:
    """Let it apply again; whether it had been told to pause."""
    if not is_standby(server) or _ask(server, "select pg_get_wal_replay_pause_state()") == "not paused":
        return False
    _ask(server, "select pg_wal_replay_resume()")
    return True


def received_lsn(standby: Server) -> str:
    """Up to where it has the log, on its disk or already applied."""
    return _ask(
        standby,
        "select greatest(coalesce(pg_last_wal_receive_lsn(), '0/0'), coalesce(pg_last_wal_replay_lsn(), '0/0'))",
    )


def is_caught_up(primary: Server, standby: str, lsn: str) -> bool:
    """Whether the standby streams and has applied the log up to here."""
    question = """select exists (select from pg_stat_replication
                   where application_name = %s and state = 'streaming' and replay_lsn >= %s::pg_lsn)"""
    return _ask(primary, question, standby, lsn) == "t"


def ensure_slot(primary: Server, name: str) -> None:
    """A slot for this standby that still holds what it needs; one that lost it is made anew."""
    status = _ask(primary, "select wal_status from pg_replication_slots where slot_name = %s", name)
    if status == "lost":
        drop_slot(primary, name)
    if status in {"", "lost"}:
        _ask(primary, "select pg_create_physical_replication_slot(%s, true)", name)


def drop_slot(server: Server, name: str) -> None:
    """Make sure that the server keeps no log for this name."""
    _ask(server, "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s", name)


def set_synchronous(server: Server, names: str) -> None:
    """`synchronous_standby_names`: `*` while there is a standby; with nothing synchronous commits do not wait."""
    with _connected(server, _SECONDS) as connection:
        _set_synchronous(connection, names)


def _set_synchronous(connection: psycopg.Connection[tuple[Any, ...]], names: str) -> None:
    if connection.execute("show synchronous_standby_names").fetchone() == (names,):
        return
    connection.execute(sql.SQL("alter system set synchronous_standby_names = {}").format(sql.Literal(names)))
    connection.execute("select pg_reload_conf()")


def _ask(server: Server, question: LiteralString, *values: str, seconds: float = _SECONDS) -> str:
    """The one value of the answer as PostgreSQL writes it; empty when there is none."""
    with _connected(server, seconds) as connection:
        cursor = connection.execute(question, values)
        row = cursor.pgresult and cursor.pgresult.ntuples and cursor.pgresult.get_value(0, 0)
    return row.decode() if row else ""


@contextmanager
def _connected(server: Server, seconds: float) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    try:
        with connected(server.dsn(), seconds) as connection:
            yield connection
    except psycopg.Error as error:
        said = " | ".join(str(error).strip().splitlines()[:2])
        raise StepError(f"{server.data.name} does not do as it is asked: {said}", f"see {server.log}") from error
