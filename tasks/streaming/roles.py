"""What is asked of, and told to, a server by its DSN alone: its role, where its log is, to stand still, to take over.

Promises: every call is bounded, made once, and safe to repeat; one that the server denies says what to grant.
The role of the DSN needs `pg_monitor`, and what `missing_rights` asks for.
Sources: PostgreSQL documentation, "System Administration Functions", "Log-Shipping Standby Servers".
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, LiteralString

import psycopg
from psycopg import sql

from muster.errors import StepError
from muster.failover.observations import Node
from tasks.postgres.bounded import connected
from tasks.postgres.lsn import lsn_value
from tasks.regions.patience import SecondsLeft, wait_until

_SECONDS = 10.0
"""For one question to a server that lives."""
POLL_SECONDS = 0.05
"""Between two connections that ask the same: other people's servers are not to be kept busy by it."""
_LONGEST_CHECKPOINT = 256
"""Bytes: a checkpoint's record in the log, its padding, and a page's header, with room to spare."""


class Right(StrEnum):
    """What a role may need beyond `pg_monitor`, in the words of the grant that gives it."""

    PROMOTE = "grant execute on function pg_promote to {role}"
    REPLAY = "grant execute on function pg_wal_replay_pause, pg_wal_replay_resume to {role}"
    CHECKPOINT = "grant pg_checkpoint to {role}"
    SYNCHRONOUS = (
        "grant alter system on parameter synchronous_standby_names to {role};"
        " grant execute on function pg_reload_conf to {role}"
    )


_HAS: dict[Right, LiteralString] = {
    Right.PROMOTE: "has_function_privilege('pg_promote(boolean, integer)', 'execute')",
    Right.REPLAY: "has_function_privilege('pg_wal_replay_pause()', 'execute')"
    " and has_function_privilege('pg_wal_replay_resume()', 'execute')",
    Right.CHECKPOINT: "pg_has_role('pg_checkpoint', 'usage')",
    Right.SYNCHRONOUS: "has_parameter_privilege('synchronous_standby_names', 'alter system')"
    " and has_function_privilege('pg_reload_conf()', 'execute')",
}
_NAMES: LiteralString = "current_setting('synchronous_standby_names')"
_BY_COMMAND: LiteralString = """(select coalesce(sourcefile, '') like '%/postgresql.auto.conf' from pg_settings
                                  where name = 'synchronous_standby_names')"""
_POSITION: LiteralString = "select lsn::text, pg_walfile_name(lsn) from pg_current_wal_lsn() lsn"
_GRANTS_OF_15 = frozenset({Right.CHECKPOINT, Right.SYNCHRONOUS})
"""Before PostgreSQL 15 only a superuser may."""


@dataclass(frozen=True)
class Position:
    """Where the log of a primary is."""

    timeline: int
    lsn: str


@dataclass(frozen=True)
class Promotion:
    """A server that takes writes, and whether it was told to just now."""

    position: Position
    was_standby: bool


def role_of(node: Node, seconds: float) -> Literal["primary", "standby"] | None:
    """Its role now; `None` when it does not answer within these seconds."""
    try:
        with connected(node.dsn, seconds) as connection:
            row = connection.execute("select pg_is_in_recovery()").fetchone()
    except psycopg.Error:
        return None
    return "standby" if row and row[0] else "primary"


def system_identifier(node: Node) -> str:
    """Which cluster it is a copy of."""
    return str(_ask(node, "select system_identifier::text from pg_control_system()")[0])


def missing_rights(node: Node, rights: Iterable[Right]) -> tuple[str, ...]:
    """The grants that the role of the DSN still needs for these rights."""
    version, role, is_superuser = _ask(
        node,
        "select current_setting('server_version_num')::int, current_user::text,"
        " (select rolsuper from pg_roles where rolname = current_user)",
    )
    if is_superuser:
        return ()
    lacking = [r for r in rights if (version < 150000 and r in _GRANTS_OF_15) or not _ask(node, "select " + _HAS[r])[0]]
    return tuple(right.format(role=role) for right in lacking)


def position(node: Node) -> Position:
    """Of a primary; right after a promotion too, when its control file still names the old timeline."""
    lsn, segment = _ask(node, _POSITION)
    return Position(int(segment[:8], 16), lsn)


def promote(node: Node, clear: Callable[[str | None], None] | None, left: SecondsLeft, *, at_most: float) -> Promotion:
    """Make a standby primary, all in one session; replay that was paused goes on, and what was received is applied.

    `clear` makes commits wait for nobody: it is told beforehand what `synchronous_standby_names` ALTER SYSTEM had set,
    or `None` if a file of people's own did. `pg_promote` itself looks ten times a second whether it is done.
    """
    with _asking(node, at_most + _SECONDS) as connection:
        was_standby, names, is_by_command = _one(connection, f"select pg_is_in_recovery(), {_NAMES}, {_BY_COMMAND}")
        if was_standby:
            if clear and names:
                clear(names if is_by_command else None)
                connection.execute("alter system set synchronous_standby_names = ''")
                connection.execute("select pg_reload_conf()")
            connection.execute("select pg_promote(false)")

        def is_done() -> bool:
            is_standby, names = _one(connection, f"select pg_is_in_recovery(), {_NAMES}")
            return not is_standby and not (clear and was_standby and names)

        wait_until(is_done, f"{node.name} to be promoted", left, at_most=at_most)
        lsn, segment = _one(connection, _POSITION)
    return Promotion(Position(int(segment[:8], 16), lsn), was_standby)


def pause_replay(node: Node) -> None:
    """Let a standby receive, and not apply."""
    _ask(node, "select pg_wal_replay_pause()")


def resume_replay(node: Node) -> bool:
    """Let a standby apply again; whether it had been told to pause."""
    if not _ask(node, "select case when pg_is_in_recovery() then pg_is_wal_replay_paused() else false end")[0]:
        return False
    _ask(node, "select pg_wal_replay_resume()")
    return True


def checkpoint(node: Node, seconds: float) -> None:
    """Write out what is only in memory, so that stopping or promoting has less to do."""
    with _asking(node, seconds) as connection:
        connection.execute("checkpoint")


def has_all_of_a_clean_stop(standby: Node, after: str, seconds: float) -> bool:
    """Whether the last the standby applied is a shutdown's checkpoint, at `after` or later: then nothing is missing.

    A checkpoint on a standby notes the newest checkpoint that it has applied in its control file.
    """
    with _asking(standby, seconds) as connection:
        connection.execute("checkpoint")
        return bool(_end_of_clean_stop(connection, after))


def end_of_clean_stop(stopped: Node, after: str, seconds: float) -> str:
    """Where the log of a primary ends that was stopped in good order and runs as standby since; empty: it was not."""
    with _asking(stopped, seconds) as connection:
        return _end_of_clean_stop(connection, after)


def _end_of_clean_stop(connection: psycopg.Connection[tuple[Any, ...]], after: str) -> str:
    """A checkpoint is of a shutdown if and only if it begins where its redo does: an online one has records between."""
    question: LiteralString = (
        "select checkpoint_lsn::text, redo_lsn::text, coalesce(pg_last_wal_replay_lsn(), '0/0')::text"
        " from pg_control_checkpoint()"
    )
    at, redo, applied = _one(connection, question)
    begins, ends = lsn_value(at), lsn_value(applied)
    is_clean = at == redo and begins >= lsn_value(after) and 0 < ends - begins <= _LONGEST_CHECKPOINT
    return str(applied) if is_clean else ""


def has_applied(standby: Node, lsn: str) -> bool:
    """Whether a standby has applied the log up to here."""
    return bool(_ask(standby, "select pg_is_in_recovery() and pg_last_wal_replay_lsn() >= %s::pg_lsn", lsn)[0])


def streams(node: Node, timeline: int, lsn: str) -> bool:
    """Whether a standby receives this timeline, and has applied it up to here."""
    question = """select pg_is_in_recovery() and pg_last_wal_replay_lsn() >= %s::pg_lsn and exists (
                    select from pg_stat_wal_receiver where status = 'streaming' and received_tli = %s)"""
    try:
        return bool(_ask(node, question, lsn, timeline)[0])
    except StepError:
        return False  # it is being restarted


def sends(primary: Node, lsn: str) -> bool:
    """Whether a standby streams from this primary, and has applied its log up to here."""
    question = """select exists (
                    select from pg_stat_replication where state = 'streaming' and replay_lsn >= %s::pg_lsn)"""
    return bool(_ask(primary, question, lsn)[0])


def synchronous_names(node: Node) -> str:
    """`synchronous_standby_names` as it holds now."""
    return str(_ask(node, f"select {_NAMES}")[0])


def is_synchronous_by_command(node: Node) -> bool:
    """Whether ALTER SYSTEM set `synchronous_standby_names`, and no file of people's own."""
    return bool(_ask(node, f"select {_BY_COMMAND}")[0])


def has_synchronous_standby(primary: Node) -> bool:
    """Whether somebody confirms commits, if there must be somebody."""
    confirms = "exists (select from pg_stat_replication where sync_state in ('sync', 'quorum'))"
    return bool(_ask(primary, f"select {_NAMES} = '' or {confirms}")[0])


def set_synchronous(node: Node, names: str | None) -> None:
    """Set `synchronous_standby_names` by ALTER SYSTEM, or with `None` leave it to the files again."""
    command = "alter system set synchronous_standby_names = {}"
    with _asking(node, _SECONDS) as connection:
        if names is None:
            connection.execute("alter system reset synchronous_standby_names")
        else:
            connection.execute(sql.SQL(command).format(sql.Literal(names)))
        connection.execute("select pg_reload_conf()")


def fork_of(node: Node, timeline: int) -> str | None:
    """Where this timeline left the one before; `None` when there was none, or the role may not read the server's files.

    The last line of a history file: parent, position, reason (`src/backend/access/transam/timeline.c`).
    """
    name = f"pg_wal/{timeline:08X}.history"
    try:
        with connected(node.dsn, _SECONDS) as connection:
            row = connection.execute("select pg_read_file(%s, 0, 1000000, true)", [name]).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return None
    except psycopg.Error as error:
        raise _no_answer(node, error) from None
    lines = [line.split() for line in str(row[0] or "").splitlines() if line.strip()] if row else []
    return lines[-1][1] if lines else None


def _ask(node: Node, question: LiteralString, *values: object, seconds: float = _SECONDS) -> tuple[Any, ...]:
    """The one row of the answer."""
    with _asking(node, seconds) as connection:
        return _one(connection, question, *values)


def _one(connection: psycopg.Connection[tuple[Any, ...]], question: LiteralString, *values: object) -> tuple[Any, ...]:
    row = connection.execute(question, values or None).fetchone()
    if row is None:
        raise psycopg.OperationalError("the server gave no row")
    return row


@contextmanager
def _asking(node: Node, seconds: float) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    try:
        with connected(node.dsn, seconds) as connection:
            yield connection
    except psycopg.errors.InsufficientPrivilege as error:
        raise StepError(
            f"{node.name} denies it to the role of its DSN: {_words(error)}", "grant it; docs/failover.md lists what"
        ) from None
    except psycopg.Error as error:
        raise _no_answer(node, error) from None


def _no_answer(node: Node, error: psycopg.Error) -> StepError:
    return StepError(f"{node.name}: {_words(error)}", "look at the server, at its log, and at the way to it")


def _words(error: psycopg.Error) -> str:
    said = str(error).strip().splitlines()
    return said[0].strip() if said else type(error).__name__
