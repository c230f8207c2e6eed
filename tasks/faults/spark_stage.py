"""The stage of one Spark form: the plan of a drill on a cluster of its own.

Promises: two stages share nothing, so that forms can run side by side; of a stage nothing is left. Times are as
short as they can be and still show what they are to show.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muster.drill import Drill
from muster.plan import Plan
from muster.prove import Scene
from tasks.process import AT_ONCE, Processes

Plant = Callable[[Any, Path], AbstractContextManager[Scene]]
JOBS = "tasks.faults.spark_jobs"


@dataclass(frozen=True)
class Base:
    """What every form starts from: nothing but a folder. Each makes a cluster of its own."""

    folder: Path


@contextmanager
def nothing_but_a_folder(folder: Path) -> Iterator[Base]:
    """Make it, and leave nothing of it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield Base(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def job(does: str, function: str = "job", **keys: Any) -> dict[str, Any]:
    """A job of `tasks.faults.spark_jobs`."""
    return {"type": "user", "entry_point": f"{JOBS}:{function}", "parameters": {"does": does}, **keys}


WELL = job("well")


def plan_of(folder: Path, objectives: Mapping[str, str], target: Mapping[str, Any], spark: Mapping[str, Any]) -> Plan:
    """The plan that every form runs; `spark` is what the form has otherwise."""
    return Plan.model_validate(
        {
            "name": folder.name,
            "kind": "spark",
            "environment": "test",
            "owner": "muster prove",
            "target": {"type": "embedded-spark", "memory": 900, **target},
            "objectives": dict(objectives),
            "time_limit": "6m",
            "spark": {
                "workload": WELL,
                "fault": {"type": "kill-executor", "during": "reduce", "after": 0.2},
                "repeats": 1,
                "warm": False,
                "lap_limit": "2m",
                "settle": "20s",
                "ready": {"min_free": 0},
                **spark,
            },
        }
    )


def stress(
    *,
    drill: Callable[[Drill], Drill] = lambda drill: drill,
    objectives: Mapping[str, str] | None = None,
    target: Mapping[str, Any] | None = None,
    earlier: Callable[[Plan], Mapping[str, Any]] = lambda _plan: {},
    **spark: Any,
) -> Plant:
    """A planter of a stress drill. Keywords replace keys of the plan's section."""

    @contextmanager
    def plant(_base: Any, folder: Path) -> Iterator[Scene]:
        folder.mkdir(parents=True)
        plan = plan_of(folder, objectives or {}, target or {}, spark)
        try:
            yield Scene(plan=plan, workspace=folder / "run", drill=drill, earlier=earlier(plan))
        finally:
            Processes(folder / "run" / "processes", folder / "logs").stop_all(signals=AT_ONCE)
            shutil.rmtree(folder)

    return plant
