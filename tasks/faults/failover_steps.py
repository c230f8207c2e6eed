"""Faults in the failover rehearsal's own steps, or behind its back while one of them is about to begin."""

import shutil
import sys
import threading
import time
from pathlib import Path

from psycopg import sql

from muster.drill import Context
from muster.failover.observations import Cast, Detected, FailedBack, Fenced, Rejoined
from muster.failover.record import make_id
from muster.failover.section import spec_of
from tasks.client.client import Client
from tasks.client.table import create_table
from tasks.faults.failover_pair import STRANGER, set_clock, wait_for_an_archiver
from tasks.faults.failover_stage import pair_of
from tasks.faults.stage import copy
from tasks.postgres.bounded import connected
from tasks.postgres.lsn import lsn_value, segment_name
from tasks.regions import replication
from tasks.regions.timeline import fork_lsn, timeline_on_disk
from tasks.rehearsal.load import config_of, stop_load
from tasks.rehearsal.scene import history_of, look, node_of, processes_of, target_of
from tasks.rehearsal.verifying import read_everywhere

_WHILE = 0.4
"""Seconds in which clients write what is then lost."""
_SECONDS = 10.0
_HOUR = 3600
_NOBODY = 0xABCD
"""Connection number of ids that the client never had."""
_SEGMENT = 4 * 2**20
_COPY = "b.copy"
_RECORD = 32
_CUT = 5
"""Records."""


def do_not_fence(context: Context) -> Fenced:
    """Nothing is done to the old primary."""
    return Fenced(node=_cast(context).old, fenced_ns=time.monotonic_ns(), how="nothing was done")


def start_the_old_primary(context: Context) -> None:
    """Somebody, or something, starts the fenced server again."""
    pair, old = pair_of(context), _cast(context).old
    pair.records.write_fence(old, None)
    pair.start_server(old)


def believe_at_once(context: Context) -> Detected:
    """The first failure of a probe is taken for the loss of the primary."""
    detection, now = spec_of(context.plan).detection, time.monotonic_ns()
    return Detected(
        detected_ns=now,
        first_failure_ns=now,
        probes=1,
        interval_seconds=detection.interval.total_seconds(),
        after_seconds=detection.after.total_seconds(),
        how="a probe failed",
    )


def commit_alone(context: Context) -> None:
    """From now on the primary's commits wait for nobody."""
    replication.set_synchronous(pair_of(context).server("a"), "")


def commit_with_an_archiver(context: Context) -> None:
    """From now on the primary's commits wait for a receiver of its log, and not for its standby."""
    wait_for_an_archiver(pair_of(context))


def hold_replay(context: Context) -> None:
    """The standby applies nothing any more, and nobody waits for that."""
    commit_alone(context)
    replication.pause_replay(pair_of(context).server("b"))


def go_on_replaying(context: Context) -> None:
    """It applies again."""
    replication.resume_replay(pair_of(context).server("b"))


def lock_table(context: Context) -> None:
    """Somebody holds a lock on the table until the drill ends."""
    over, is_held = threading.Event(), threading.Event()
    node, table = node_of(context, _cast(context).old), spec_of(context.plan).client.table

    def hold() -> None:
        with connected(node.dsn, context.seconds_left) as connection, connection.transaction():
            connection.execute(sql.SQL("lock table {}").format(sql.Identifier(table)))
            is_held.set()
            over.wait()

    context.background.start("lock", hold, end=over.set)
    is_held.wait(_SECONDS)


def copy_standby(context: Context) -> None:
    """A copy of the standby's data, before most of the load."""
    pair = pair_of(context)
    server = pair.server("b")
    server.stop()
    copy(server.data, pair.home / _COPY)
    pair.start_server("b")


def put_back_the_copy(context: Context) -> None:
    """The outdated copy runs in the standby's place."""
    _replace_standby(context, _COPY)


def put_stranger(context: Context) -> None:
    """An empty server of another cluster runs in the standby's place."""
    _replace_standby(context, STRANGER)
    create_table(node_of(context, "b").dsn, spec_of(context.plan).client.table)


def set_sequence_back(context: Context) -> None:
    """The table's sequence begins anew on the new primary."""
    name = f"{spec_of(context.plan).client.table}_n_seq"
    with connected(node_of(context, _cast(context).new).dsn, _SECONDS) as connection:
        connection.execute("select setval(%s, 1)", [name])


def wipe_log(context: Context) -> None:
    """Zeros in the place of what the old primary wrote beyond the fork."""
    pair, cast = pair_of(context), _cast(context)
    old, new = pair.server(cast.old), pair.server(cast.new)
    timeline = timeline_on_disk(old)
    fork = lsn_value(fork_lsn(new, timeline_on_disk(new), timeline) or "0/0")
    number, offset = divmod(fork, _SEGMENT)
    with (old.data / "pg_wal" / segment_name(timeline, number, _SEGMENT)).open("r+b") as file:
        file.seek(offset)
        file.write(bytes(_SEGMENT - offset))
    (old.data / "pg_wal" / segment_name(timeline, number + 1, _SEGMENT)).unlink(missing_ok=True)


def start_as_it_is(context: Context) -> Rejoined:
    """The old primary is started without a rewind, and is a primary."""
    cast = _cast(context)
    start_the_old_primary(context)
    read_everywhere(context, look(context, "rejoin"), "rejoin", cast.new)
    return Rejoined(node=cast.old, how="follow", why="it was started as it was", rejoined_ns=time.monotonic_ns())


def lose_the_tail(context: Context) -> FailedBack:
    """Home is promoted without what the other region took last."""
    cast, pair = _cast(context), pair_of(context)
    asked = time.monotonic_ns()
    pair.link.cut()
    time.sleep(_WHILE)
    pair.fence(cast.new)
    promoted = pair.promote(cast.old)
    pair.link.heal()
    pair.rejoin(cast.new, cast.old)
    return FailedBack(
        node=cast.old,
        asked_ns=asked,
        switched_ns=promoted.promoted_ns,
        timeline=promoted.timeline,
        how="promoted, whatever it lacked",
    )


def kill_standby(context: Context) -> None:
    """Home again, and nobody stands by."""
    pair = pair_of(context)
    pair.kill(pair.peer(context.result("failback", FailedBack).node))


def write_as_nobody(context: Context) -> None:
    """A row that no client of the rehearsal ever tried to write."""
    serving = context.result("failback", FailedBack).node
    insert = sql.SQL("insert into {} (id) values (%s)").format(sql.Identifier(spec_of(context.plan).client.table))
    with connected(node_of(context, serving).dsn, _SECONDS) as connection:
        connection.execute(insert, [make_id(_NOBODY, 1)])


def cut_history(context: Context) -> None:
    """The client has ended, and the end of one of its logs is gone."""
    stop_load(context)
    path = history_of(context) / "w-000.log"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - _CUT * _RECORD)


def step_server_clock(context: Context) -> None:
    """The clock of server `b` jumps an hour ahead."""
    set_clock(pair_of(context).home, _HOUR)


def start_client_with_a_stepping_clock(context: Context) -> None:
    """The client runs before the drill starts it, with a wall clock that jumps; it waits for its table."""
    config = config_of(context, target_of(context).nodes())
    config.folder.mkdir(parents=True)
    told = config.folder / "client.json"
    told.write_text(config.model_dump_json(), encoding="utf-8")
    argv: list[str | Path] = [sys.executable, "-m", "tasks.faults.failover_clock", told]
    processes_of(context).start(Client.NAME, argv, log=f"{Client.NAME}.log")


def _cast(context: Context) -> Cast:
    return context.result("survey", Cast)


def _replace_standby(context: Context, data: str) -> None:
    pair = pair_of(context)
    server = pair.server("b")
    server.stop()
    shutil.rmtree(server.data)
    (pair.home / data).rename(server.data)
    pair.start_server("b")
