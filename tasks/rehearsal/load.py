"""The independent client as a rehearsal uses it: started, watched, waited for, stopped."""

import signal
import time
from collections.abc import Sequence

from muster.drill import Context
from muster.errors import StepError
from muster.failover.observations import Load, Node
from muster.failover.section import spec_of
from tasks.client.client import Client
from tasks.client.config import ClientConfig, ReaderAt
from tasks.client.tail import Tail
from tasks.process import Signals
from tasks.rehearsal.scene import history_of, processes_of, route_of

_NAP = 0.02
_ANSWER_SECONDS = 60.0
"""How long every connection may take to be served again, before the drill goes on without it."""
_STOP: Signals = ((signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0))


def start_load(context: Context, readers: Sequence[Node]) -> int:
    """Start the client; it writes when this returns. Its pid."""
    return Client(processes_of(context), config_of(context, readers)).start()


def config_of(context: Context, readers: Sequence[Node]) -> ClientConfig:
    """What the client is told."""
    client = spec_of(context.plan).client
    return ClientConfig(
        dsn=route_of(context).client_dsn(),
        folder=history_of(context),
        table=client.table,
        connections=client.connections,
        rate=client.rate,
        timeout_seconds=client.timeout.total_seconds(),
        commit_setting=spec_of(context.plan).commit.setting,
        readers=tuple(ReaderAt(node=n.name, dsn=n.dsn) for n in readers) if client.reads else (),
        read_interval_seconds=client.reads.total_seconds() if client.reads else None,
        max_seconds=context.seconds_left,
    )


def stop_load(context: Context) -> None:
    """Make sure that the client has ended, and said how its logs end if it could."""
    processes_of(context).stop(Client.NAME, signals=_STOP)


def run_load(context: Context, stage: str, seconds: float) -> Load:
    """Let the client go on for a while, and say what it did."""
    began = context.clock.monotonic_ns()
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        context.check_may_go_on()
        assert_client_lives(context)
        time.sleep(min(left, 0.2))
    ended = context.clock.monotonic_ns()
    loaded = Tail(history_of(context)).load(began, ended)
    return Load(
        stage=stage,
        from_ns=began,
        to_ns=ended,
        acknowledged=loaded.acknowledged,
        failed=loaded.failed,
        unknown=loaded.unknown,
        median_seconds=loaded.median_seconds,
        p99_seconds=loaded.p99_seconds,
    )


def await_acks(context: Context, server: str) -> dict[int, int]:
    """The first acknowledgement of each connection by this server; those that never came are not in it."""
    tail, wanted = Tail(history_of(context)), spec_of(context.plan).client.connections
    until = time.monotonic() + min(_ANSWER_SECONDS, context.seconds_left)
    while len(first := tail.first_acks(server)) < wanted and time.monotonic() < until:
        context.check_may_go_on()
        assert_client_lives(context)
        time.sleep(_NAP)
    return first


def assert_client_lives(context: Context) -> None:
    """A client that died proves nothing from there on."""
    if Client.NAME not in processes_of(context).alive():
        raise StepError("the independent client died: what it saw is kept, and proves nothing more", "see client.log")
