"""What a rehearsal asks of the PostgreSQL servers under Patroni.

Promises: every call is bounded; nothing is written. A server that does not answer is a `StepError` where its answer is
needed, and a plain "no" where it is not. Pausing and resuming replay takes a superuser, or a grant of
`pg_wal_replay_pause`; the way a member came back is seen by a superuser or with `pg_read_server_files`.
Source: PostgreSQL documentation, "System Administration Functions"; pg_rewind and pg_basebackup leave a `backup_label`,
which recovery renames to `backup_label.old`.
"""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, LiteralString

import psycopg
from psycopg.conninfo import conninfo_to_dict

from muster.errors import StepError
from tasks.postgres.bounded import connected
from tasks.regions.patience import SecondsLeft, pause

How = Literal["rewind", "rebuild", "follow", "service"]

_TRIES = 3
_LOOK_EVERY = 0.1
"""Seconds between two looks at whether replay still stands still."""

_POSITION = """
select ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int, pg_current_wal_lsn()::text
"""
_CAUGHT_UP = """
select exists (select from pg_stat_replication
                where application_name = %s and state = 'streaming' and replay_lsn >= %s::pg_lsn)
"""
_FORKED = """
select (pg_stat_file('pg_wal/' || upper(lpad(to_hex(%s::int), 8, '0')) || '.history', true)).modification
"""
_LABEL = """
select (pg_stat_file('backup_label.old', true)).modification,
       substring(pg_read_file('backup_label.old', 0, 10000, true) from 'BACKUP METHOD: (\\w+)')
"""


@dataclass(frozen=True)
class Position:
    """Where a primary's log is."""

    timeline: int
    lsn: str


def is_primary(dsn: str, seconds: float) -> bool | None:
    """Whether the server takes writes; `None` when it does not answer in time."""
    try:
        return not _row(dsn, seconds, "select pg_is_in_recovery()")[0]
    except psycopg.Error:
        return None


def server_started(dsn: str, seconds: float) -> datetime:
    """When the server's process began: tells it from any other."""
    started: datetime = _needed(dsn, seconds, "select pg_postmaster_start_time()")[0]
    return started


def position(dsn: str, seconds: float) -> Position:
    """Of a primary."""
    timeline, lsn = _needed(dsn, seconds, _POSITION)
    return Position(timeline, lsn)


def is_caught_up(primary: str, member: str, lsn: str, seconds: float) -> bool:
    """Whether the member streams from this primary and has applied the log up to here."""
    try:
        return bool(_row(primary, seconds, _CAUGHT_UP, member, lsn)[0])
    except psycopg.Error:
        return False


def hold_replay(dsn: str, lasts: float, loop_wait: float, seconds: float, left: SecondsLeft) -> None:
    """Let a standby receive, and not apply, for so long on end; it still does not when this returns.

    Trap: Patroni lets replay go on once in each `loop_wait` (`handle_parameter_change`), so it may take a second try.
    """
    for _ in range(_TRIES):
        _needed(dsn, seconds, "select pg_wal_replay_pause()")
        until = time.monotonic() + lasts
        while _needed(dsn, seconds, "select pg_is_wal_replay_paused()")[0]:
            if time.monotonic() >= until:
                return
            pause(min(_LOOK_EVERY, max(0.0, until - time.monotonic())), left)
    raise StepError(
        f"replay at {where(dsn)} does not stand still for {lasts:g} s: Patroni lets it go on every {loop_wait:g} s",
        "plan `fault_lasts` well below Patroni's loop_wait",
    )


def resume_replay(dsn: str, seconds: float) -> bool:
    """Let a standby apply again; whether it had been told to pause. One that does not answer is left alone."""
    try:
        if not _row(dsn, seconds, "select pg_is_in_recovery() and pg_is_wal_replay_paused()")[0]:
            return False
        _row(dsn, seconds, "select pg_wal_replay_resume()")
    except psycopg.Error:
        return False
    return True


def how_it_came_back(standby: str, primary: str, seconds: float) -> How:
    """What its data directory tells: made anew or rewound since the primary's timeline began, or neither.

    `service` when we may not look.
    """
    try:
        forked = _row(primary, seconds, _FORKED, position(primary, seconds).timeline)[0]
        made, method = _row(standby, seconds, _LABEL)
    except (psycopg.Error, StepError):
        return "service"
    if made is None or (forked is not None and made < forked):
        return "follow"
    return "rewind" if method == "pg_rewind" else "rebuild"


def _needed(dsn: str, seconds: float, question: LiteralString) -> tuple[Any, ...]:
    try:
        return _row(dsn, seconds, question)
    except psycopg.Error as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise StepError(
            f"the server at {where(dsn)} does not answer as it must: {said}", "see its log, and the dsn in the plan"
        ) from None


def where(dsn: str) -> str:
    """Host and port, without anything secret."""
    keys = conninfo_to_dict(dsn)
    return f"{keys.get('host', 'the default host')}:{keys.get('port', 5432)}"


def _row(dsn: str, seconds: float, question: LiteralString, *values: object) -> tuple[Any, ...]:
    with connected(dsn, seconds) as connection:
        row = connection.execute(question, values or None).fetchone()
    if row is None:
        raise psycopg.OperationalError("the server gave no answer")
    return row
