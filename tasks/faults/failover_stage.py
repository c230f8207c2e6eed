"""The stage of one failover form: a copy of the pristine pair that runs, and the plan of a rehearsal on it.

Promises: two stages share nothing, so that forms can run side by side; of a stage, its servers, its link and its
sockets nothing is left. Times are as short as they can be and still show what they are to show.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muster.drill import Context, Drill, Workspace
from muster.plan import Plan
from muster.prove import Scene
from tasks.faults.failover_base import Base
from tasks.faults.stage import copy
from tasks.link.condition import Condition
from tasks.process import AT_ONCE, Processes
from tasks.regions.pair import Pair

_RTT_MS = 2
NORMAL = Condition(rtt_seconds=_RTT_MS / 1000)
"""The link, as the plan says that it is."""
_STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Stage:
    """One form's folder: `pair/` is the home of its servers, `run/` the drill's workspace."""

    base: Base
    folder: Path
    processes: Processes

    @property
    def sockets(self) -> Path:
        """Short, and this stage's alone."""
        return Workspace("stage", self.folder).sockets

    @property
    def pair(self) -> Pair:
        """The two servers."""
        return Pair(self.folder / "pair", self.sockets, self.processes)

    def start(self) -> None:
        """Bring the pair up, as the plan wants the link to be."""
        self.pair.start(NORMAL)


Change = Callable[[Stage], None]
"""One thing done to the pair before the drill, while it runs."""
Start = Callable[[Stage], None]
Route = Callable[[Stage], AbstractContextManager[Mapping[str, Any]]]
"""What clients are sent by, while the drill runs: the plan's `reroute`."""
Plant = Callable[[Base, Path], AbstractContextManager[Scene]]


def libpq(_stage: Stage) -> AbstractContextManager[Mapping[str, Any]]:
    """Clients look for the primary by themselves."""
    return nullcontext({"type": "libpq"})


def pair_of(context: Context) -> Pair:
    """The pair that a drill rehearses on, for what is done behind its back."""
    pair = Pair.open(Path(context.plan.target["folder"]))
    if pair is None:
        raise LookupError("no pair runs")
    return pair


@contextmanager
def staged(base: Base, folder: Path, start: Start) -> Iterator[Stage]:
    """A stage in `folder`, its pair running."""
    stage = Stage(base, folder, Processes(folder / "processes", folder / "logs"))
    folder.mkdir(parents=True)
    copy(base.pair, folder / "pair")
    try:
        start(stage)
        yield stage
    finally:
        _leave_nothing(stage)


def _leave_nothing(stage: Stage) -> None:
    """Servers end by SIGQUIT, which takes their shared memory with them; everything else at once."""
    pair = stage.pair
    for name in Pair.NAMES:
        if pair.is_running(name):
            pair.thaw(name)
            pair.server(name).stop("immediate", timeout=_STOP_SECONDS)
    for records in (stage.folder / "run" / "processes", stage.folder / "processes"):
        Processes(records, stage.folder / "logs").stop_all(signals=AT_ONCE)
    shutil.rmtree(stage.sockets, ignore_errors=True)
    shutil.rmtree(stage.folder)


def plan_of(
    folder: Path, reroute: Mapping[str, Any], objectives: Mapping[str, str], failover: Mapping[str, Any]
) -> Plan:
    """The plan that every form runs; `failover` is what the form has otherwise."""
    return Plan.model_validate(
        {
            "name": folder.name,
            "kind": "failover",
            "environment": "test",
            "owner": "muster prove",
            "target": {"type": "embedded-regions", "folder": folder / "pair", "link": {"rtt": f"{_RTT_MS}ms"}},
            "objectives": {"rto": "1m", "rpo": "0s", **objectives},
            "time_limit": "4m",
            "failover": {
                "scenario": "kill",
                "commit": "remote_apply",
                "client": {"connections": 4, "rate": 200, "timeout": "1s", "reads": "20ms"},
                "detection": {"interval": "50ms", "after": "300ms"},
                "steady": "700ms",
                "fault_lasts": "500ms",
                "away": "700ms",
                "slow_link": {"rtt": "40ms", "loss": 0.01},
                "reroute": reroute,
                "route_samples": 20,
                "extensions": ["plpgsql"],
                "failback": {"rto": "1m", "rpo": "0s"},
                "ready": {"min_free": 0},
                **failover,
            },
        }
    )


def rehearsal(
    *changes: Change,
    start: Start = Stage.start,
    route: Route = libpq,
    drill: Callable[[Drill], Drill] = lambda drill: drill,
    objectives: Mapping[str, str] | None = None,
    **failover: Any,
) -> Plant:
    """A planter: the changes, then a rehearsal. `failover` replaces keys of the plan's section."""

    @contextmanager
    def plant(base: Base, folder: Path) -> Iterator[Scene]:
        with staged(base, folder, start) as stage:
            for change in changes:
                change(stage)
            with route(stage) as reroute:
                plan = plan_of(folder, reroute, objectives or {}, failover)
                yield Scene(plan=plan, workspace=folder / "run", drill=drill)

    return plant
