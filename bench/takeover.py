"""A takeover by Muster beside the bare floor: kill, `pg_promote` from a script, and the client's own reconnecting.

Promises: both lose the same primary under the same load of the same client, in turn, on one pair; both are what clients
saw, their last acknowledgement by the one server to the first by the other. Nothing is detected in either: the floor
knows what it did, and Muster is told to believe its first failed probe.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from flows.failover import DRILL
from muster.clock import SystemClock
from muster.drill import Context, Workspace
from muster.failover.observations import Cast, Surveyed, Takeover
from muster.failover.takeover import takeovers
from muster.journal import Event, EventKind, Journal
from muster.judging import brief_of
from muster.plan import Plan
from muster.saga import run_steps, undo_steps
from muster.settings import Settings
from tasks.client.client import Client
from tasks.client.config import ClientConfig
from tasks.client.table import create_table, drop_table
from tasks.client.tail import Tail
from tasks.link.link import Condition
from tasks.postgres.bounded import connected
from tasks.postgres.survey import survey
from tasks.process import Processes
from tasks.regions.pair import Pair
from tasks.routes.route import open_route
from tasks.targets.embedded_regions import LinkSpec, Spec, Target

TARGET = 1.5
"""Times the floor that a takeover may take."""
CONNECTIONS = 8
RATE = 400.0
_STEADY = 1.0
_SERVED = 60.0
_STEPS = ("survey", "client", "steady", "fault", "detect", "fence", "prove-fence", "promote", "reroute", "verify")
_TABLE = "muster_rehearsal"


@dataclass(frozen=True)
class Takeovers:
    """Longest gap of any connection, in seconds, per takeover."""

    rtt_ms: int
    form: str
    floor: tuple[float, ...]
    muster: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Median beside median."""
        return median(self.muster) / median(self.floor)


def compare_takeovers(folder: Path, rtt_ms: int, times: int) -> Takeovers:
    """Kill the primary `2 * times` times, whoever it is, and take over by script and by Muster in turn."""
    home = folder / f"pair-{rtt_ms}"
    processes = Processes(home / "processes", home / "logs")
    pair = Pair(home, folder / f"s{rtt_ms}", processes)
    floor, muster = [], []
    try:
        pair.start(Condition(rtt_seconds=rtt_ms / 1000))
        for turn in range(times):
            floor.append(_seconds(_by_script(pair, folder / f"floor-{rtt_ms}-{turn}", rtt_ms)))
            muster.append(_seconds(_by_muster(pair, folder / f"muster-{rtt_ms}-{turn}", rtt_ms)))
        return Takeovers(rtt_ms, pair.link.form, tuple(floor), tuple(muster))
    finally:
        pair.stop()
        processes.stop_all()


def _seconds(takeover: Takeover) -> float:
    if takeover.max_seconds is None or takeover.unserved:
        raise LookupError(f"connections {takeover.unserved} were never served again: this measures nothing")
    return takeover.max_seconds


def _by_script(pair: Pair, folder: Path, rtt_ms: int) -> Takeover:
    """What a script does that knows everything: no probe, no proof, no waiting."""
    nodes = {n.name: n for n in pair.nodes()}
    before = survey(pair.nodes(), "before", 5)
    old = next(n for n in before.nodes if n.role == "primary")
    new = next(n for n in before.nodes if n.role == "standby")
    with _client(pair, folder, nodes[old.node].dsn) as history:
        time.sleep(_STEADY)
        killed_ns = time.monotonic_ns()
        pair.kill(old.node)
        with connected(nodes[new.node].dsn, 30) as connection:
            connection.execute("select pg_promote(true, 30)")
        after = next(n for n in survey(pair.nodes(), "after", 5).nodes if n.node == new.node)
        _await(history, after.server)
    takeover = takeovers(history, {old.server}, {after.server}, killed_ns, "floor", None)
    _rejoin(pair, folder, old.node, new.node, rtt_ms)
    drop_table(nodes[new.node].dsn, _TABLE)
    return takeover


def _by_muster(pair: Pair, folder: Path, rtt_ms: int) -> Takeover:
    """The product's own drill, up to the first writes on the new primary; its undo brings the pair to a good state."""
    plan = _plan(pair.home, rtt_ms)
    clock = SystemClock()
    journal = Journal(plan.name, _Memory(), clock)
    drill = replace(DRILL, steps=tuple(s for s in DRILL.steps if s.name in _STEPS))
    journal.append(EventKind.OPENED, **brief_of(drill, plan, {}))
    context = Context(
        plan=plan,
        target=Target(Spec.model_validate(plan.target), Settings(home=folder)),
        journal=journal,
        workspace=Workspace(plan.name, folder),
        clock=clock,
        deadline_ns=clock.monotonic_ns() + int(plan.time_limit.total_seconds() * 1e9),
    )
    try:
        run_steps(drill, context)
    finally:
        context.background.abandon()
        undo_steps(drill, context)
    cast = context.result("survey", Cast)
    of = {s.server: s.node for seen in journal.history.observed(Surveyed) for s in seen.nodes if s.server}
    old, new = ({server for server, node in of.items() if node == name} for name in (cast.old, cast.new))
    struck = next(e for e in journal.history.of(EventKind.STARTED) if e.step == "fault")
    return takeovers(folder / "exhibits" / "history", old, new, struck.mono_ns, "muster", None)


def _plan(home: Path, rtt_ms: int) -> Plan:
    return Plan.model_validate(
        {
            "name": "bench-takeover",
            "kind": "failover",
            "environment": "test",
            "owner": "bench",
            "target": {"type": "embedded-regions", "folder": str(home), "link": {"rtt": f"{rtt_ms}ms"}},
            "failover": {
                "scenario": "kill",
                "client": {"connections": CONNECTIONS, "rate": RATE, "reads": None},
                "detection": {"interval": "20ms", "after": "0s"},
                "steady": f"{_STEADY:g}s",
                "route_samples": 0,
            },
        }
    )


@contextlib.contextmanager
def _client(pair: Pair, folder: Path, primary: str) -> Iterator[Path]:
    create_table(primary, _TABLE)
    history = folder / "history"
    processes = Processes(folder / "processes", folder / "logs")
    config = ClientConfig(
        dsn=open_route({"type": "libpq"}, pair.nodes()).client_dsn(),
        folder=history,
        table=_TABLE,
        connections=CONNECTIONS,
        rate=RATE,
        timeout_seconds=2,
        commit_setting="local",
        max_seconds=300,
    )
    client = Client(processes, config)
    client.start()
    try:
        yield history
    finally:
        client.stop(20)


def _await(history: Path, server: str) -> None:
    until = time.monotonic() + _SERVED
    while len(Tail(history).first_acks(server)) < CONNECTIONS and time.monotonic() < until:
        time.sleep(0.02)


def _rejoin(pair: Pair, folder: Path, old: str, new: str, rtt_ms: int) -> None:
    pair.fence(old)
    pair.rejoin(old, new, lambda: 120.0, Processes(folder / "processes", folder / "logs"))
    pair.link.set(LinkSpec.model_validate({"rtt": f"{rtt_ms}ms"}).condition)


class _Memory:
    """An event store that forgets."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def append_event(self, event: Event) -> None:
        self._events.append(event)

    def read_events(self, _run: str) -> tuple[Event, ...]:
        return tuple(self._events)
