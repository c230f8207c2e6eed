"""Faults in the pair itself, planted before the rehearsal begins, or laid ready for a step of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.faults.base import wait_for
from tasks.faults.failover_stage import NORMAL, Stage, Start
from tasks.faults.faketime import clock_from, forget_clock
from tasks.faults.stage import copy
from tasks.postgres.bounded import connected
from tasks.postgres.server import Server
from tasks.process import Processes, Started
from tasks.regions import replication
from tasks.regions.pair import DATABASE, Pair
from tasks.regions.records import Made

_SECONDS = 10.0
STRANGER = "stranger"
"""Below the pair's home: the data of another cluster."""
CLOCK = "clock"
"""Below the pair's home: how far server `b` is to believe it is ahead."""


def commit_alone(stage: Stage) -> None:
    """The primary's commits wait for nobody."""
    replication.set_synchronous(stage.pair.server("a"), "")


def wait_for_an_archiver(pair: Pair) -> None:
    """The primary's commits wait for a receiver of its log that is no standby."""
    primary, folder = pair.server("a"), pair.home / "received"
    folder.mkdir()
    argv: list[str | Path] = [primary.binaries.tool("pg_receivewal"), "--synchronous", "--no-loop"]
    argv += ["--directory", folder, "--dbname", f"{primary.dsn()} application_name=archiver"]
    pair.processes.start("receiver", argv, log="receiver.log")
    replication.set_synchronous(primary, "archiver")
    question = "select exists (select from pg_stat_replication where sync_state = 'sync')"
    wait_for(lambda: _ask(primary, question), "the receiver to be waited for")


def keep_log_for_nobody(stage: Stage) -> None:
    """A slot that no standby uses."""
    replication.ensure_slot(stage.pair.server("a"), "nobody")


def stop_standby(stage: Stage) -> None:
    """Nobody stands by."""
    stage.pair.server("b").stop()


def lag_behind(stage: Stage) -> None:
    """The standby receives, and applies nothing any more."""
    primary, standby = stage.pair.server("a"), stage.pair.server("b")
    for is_last in (False, True):
        with primary.connect(DATABASE) as connection:
            connection.execute("update accounts set balance = balance + 1 where id = 1")
        if not is_last:
            replication.pause_replay(standby)
            replication.set_synchronous(primary, "")  # else the next commit would wait for it
    wait_for(lambda: _ask(standby, "select pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()"), "some log to apply")


def set_sequence_back(stage: Stage) -> None:
    """A sequence that hands out numbers that are taken."""
    with stage.pair.server("a").connect(DATABASE) as connection:
        connection.execute("select setval('accounts_id_seq', 1)")


def record_another(stage: Stage) -> None:
    """The pair's record says that it is of another cluster."""
    stage.pair.records.write_made(Made(system_identifier="7000000000000000000"))


def lay_stranger(stage: Stage) -> None:
    """Another cluster's data, at hand."""
    copy(stage.base.stranger, stage.folder / "pair" / STRANGER)


def clock_ahead(seconds: int) -> Start:
    """A start of the pair in which server `b` reads its clock from the file `CLOCK`, so far ahead at first."""

    def start(stage: Stage) -> None:
        set_clock(stage.folder / "pair", seconds)
        processes = _WithClock(stage.processes.records, stage.processes.logs, stage.folder / "pair" / CLOCK)
        pair = Pair(stage.folder / "pair", stage.sockets, processes)
        pair.start(NORMAL)
        forget_clock(pair.server("b").pid())

    return start


def set_clock(home: Path, seconds: int) -> None:
    """The clock of the pair's server `b` is so far ahead from now on."""
    partial = home / f"{CLOCK}.part"
    partial.write_text(f"{seconds:+d}s\n", encoding="utf-8")
    partial.replace(home / CLOCK)


class _WithClock(Processes):
    """Processes of which server `b` is started with libfaketime; time-outs go by the true monotonic clock."""

    def __init__(self, records: Path, logs: Path, clock: Path) -> None:
        super().__init__(records, logs)
        self._env = clock_from({"FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"})

    def start(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        unprivileged: bool = False,
        network: Path | None = None,
    ) -> Started:
        env = self._env if name == "region-b" else env
        return super().start(name, argv, log=log, env=env, cwd=cwd, unprivileged=unprivileged, network=network)


def _ask(server: Server, question: str) -> bool:
    with connected(server.dsn(), _SECONDS) as connection:
        row = connection.execute(question.encode()).fetchone()
    return bool(row and row[0])
