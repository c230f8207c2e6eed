"""Recovery of a restored data directory: replay the log to a point or its end, and leave recovery.

Promises: the server reaches nobody (no archiving, no replication, no TCP, no hooks of the restored configuration);
a point that was not reached is a `SystemFailure`; every wait is bounded.
Source: PostgreSQL documentation, "Recovery Target", "Archive Recovery", "Hot Standby".
"""

import re
import time
from dataclasses import dataclass

import psycopg
from psycopg.rows import tuple_row

from muster.errors import Refusal, StepError, SystemFailure
from muster.restore.observations import Reference, Restored, Served
from muster.restore.spec import RecoveryTarget
from tasks.postgres.lsn import SEGMENT_BYTES, segment_of_name
from tasks.postgres.server import Server

ISOLATED = {
    "archive_mode": "off",
    "archive_command": "",
    "archive_library": "",
    "archive_cleanup_command": "",
    "recovery_end_command": "",
    "primary_conninfo": "",
    "primary_slot_name": "",
    "synchronous_standby_names": "",
    "max_logical_replication_workers": "0",
    "shared_preload_libraries": "",
    "local_preload_libraries": "",
    "session_preload_libraries": "",
    "ssl": "off",
    "autovacuum": "off",  # nothing is to move while it is inspected
    "hot_standby": "on",
    "jit": "off",
}
"""Settings that win over whatever configuration came with the backup."""

# A standby must have at least what its primary had; pg_control remembers, a restored postgresql.conf may be missing.
_AT_LEAST = {
    "max_connections setting": "max_connections",
    "max_worker_processes setting": "max_worker_processes",
    "max_wal_senders setting": "max_wal_senders",
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
}
_POLL_SECONDS = 0.05
_REFUSED_SECONDS = 20.0
"""A server that takes connections and has refused every one of ours for so long will not change its mind."""


@dataclass(frozen=True)
class Stop:
    """Where replay is to stand still, as server settings and in words."""

    setting: str
    value: str
    words: str

    @classmethod
    def at_reference(cls, reference: Reference | None) -> "Stop | None":
        """At the named restore point of a reference."""
        return cls("recovery_target_name", reference.point, f"restore point {reference.point}") if reference else None

    @classmethod
    def at_target(cls, target: RecoveryTarget) -> "Stop | None":
        """At the plan's recovery target; `None` for the end of the archive."""
        if target.time:
            return cls("recovery_target_time", target.time.isoformat(), f"time {target.time.isoformat()}")
        if target.lsn:
            return cls("recovery_target_lsn", target.lsn, f"LSN {target.lsn}")
        if target.name:
            return cls("recovery_target_name", target.name, f"restore point {target.name}")
        return None


def bounded(command: str | None, until: str | None) -> str:
    """A restore command that finds no segment later than `until`: a lost source would have archived no more."""
    if not command or not until:
        return command or ""
    return f"test ! %f '>' {until} && {{ {command}; }}"


def replay(server: Server, restored: Restored, stop: Stop | None, until: str | None, seconds: float) -> str:
    """Start the server in recovery and wait until it stands at `stop`, or is out of recovery. Returns the LSN."""
    (server.data / "recovery.signal").touch()
    (server.data / "standby.signal").unlink(missing_ok=True)
    settings = ISOLATED | inherited_settings(server) | {"restore_command": bounded(restored.restore_command, until)}
    if stop:
        settings |= {stop.setting: stop.value, "recovery_target_action": "pause"}
    server.start(settings, wait=False)
    asked = "select pg_is_wal_replay_paused()" if stop else "select not pg_is_in_recovery()"
    wait_until(server, asked, seconds, stop.words if stop else "the end of the log")
    return last_replayed(server) if stop else current_lsn(server)


def inherited_settings(server: Server) -> dict[str, str]:
    """The sizes that the source ran with, from pg_control."""
    text = server.control_data()
    if f"Bytes per WAL segment:                {SEGMENT_BYTES}" not in text:
        raise Refusal(
            "the log's segments are not 16 MiB: Muster cannot judge such an archive yet",
            "restore by hand, and ask for this in an issue",
        )
    found = {}
    for label, setting in _AT_LEAST.items():
        match = re.search(rf"^{re.escape(label)}:\s+(\d+)", text, re.MULTILINE)
        if match:
            found[setting] = match[1]
    return found


def wait_until(server: Server, question: str, seconds: float, words: str) -> None:
    """Poll a yes-or-no question until it is yes; `SystemFailure` when the server gives up first."""
    deadline = time.monotonic() + seconds
    answered = time.monotonic()
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise SystemFailure(
                f"recovery ended before {words} was reached: {server.last_complaint()}",
                "a segment of the log is missing or damaged, or the point was never archived",
            )
        try:
            with server.connect() as connection, connection.cursor(row_factory=tuple_row) as cursor:
                row = cursor.execute(question.encode()).fetchone()
                if row and row[0]:
                    return
            answered = time.monotonic()
        except psycopg.OperationalError as error:
            if not server.is_ready():  # it takes no connections yet
                answered = time.monotonic()
            elif time.monotonic() - answered > _REFUSED_SECONDS:
                raise SystemFailure(
                    f"the restored server refuses every connection: {_words(error)}",
                    "its system catalogs are damaged; see server.log, and restore an older backup",
                ) from None
        time.sleep(_POLL_SECONDS)
    raise StepError(f"recovery did not reach {words} in time", "raise `time_limit`, or see server.log for what hangs")


def _words(error: psycopg.OperationalError) -> str:
    """The server's own words, without libpq's, which name our socket."""
    return str(error).strip().rpartition("FATAL:")[2].strip() or "it gives no reason"


def halt(server: Server) -> None:
    """Stop a server whose recovery stands still; its next start goes on from the newest restart point.

    Immediate, since a recovery that is paused notices a fast shutdown only once a second.
    """
    with server.connect() as connection:
        connection.execute("checkpoint")  # in recovery: a restart point at the last checkpoint replayed
    server.stop("immediate")


def leave_recovery(server: Server, seconds: float) -> None:
    """End a recovery that stands still at its target: the server becomes writable."""
    with server.connect() as connection:
        connection.execute("select pg_wal_replay_resume()")
    wait_until(server, "select not pg_is_in_recovery()", seconds, "the end of recovery")


def last_replayed(server: Server) -> str:
    """How far the log was replayed."""
    return _one(server, "select pg_last_wal_replay_lsn()::text")


def current_lsn(server: Server) -> str:
    """Where the log stands now."""
    return _one(server, "select pg_current_wal_lsn()::text")


def served(server: Server) -> Served:
    """What the promoted server answers. Its timeline is read from the log, since pg_control lags a promotion."""
    name = _one(server, "select pg_walfile_name(pg_current_wal_lsn())")
    return Served(lsn=current_lsn(server), timeline=int(name[:8], 16), segment=segment_of_name(name))


def _one(server: Server, query: str) -> str:
    with server.connect() as connection, connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(query.encode()).fetchone()
    if row is None:
        raise StepError(f"the restored server gave no answer to {query!r}", "see server.log")
    return str(row[0])
