"""Journals of stress drills, written by hand: a healthy one, and what may be other in it."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from muster.identity import Identity
from muster.journal import EventKind, History, Journal, Observation
from muster.plan import Plan
from muster.spark.digest import Answer, Digest
from muster.spark.observations import (
    Accounting,
    Activity,
    Aim,
    ClusterSeen,
    Cost,
    Inspection,
    Known,
    Landing,
    Lap,
    LapMeasured,
    Output,
    Provided,
    Question,
    Stress,
    Struck,
    Victim,
    WorkerSeen,
)

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUN = "20260301T120000Z-unit"
PARTS = {"a": Digest.of(60, 0xF0, 600), "b": Digest.of(40, 0x0F, -70)}
RIGHT = Answer(whole=Digest.of(100, 0xFF, 530), parts=PARTS)
SHORT = Answer(whole=Digest.of(60, 0xF0, 600), parts={"a": PARTS["a"]})
OTHER = Answer(whole=Digest.of(100, 0xFE, 529), parts={"a": PARTS["a"], "b": Digest.of(40, 0x0E, -71)})
QUESTION = Question(workload="terasort", keys={"rows": "100", "partitions": "8", "seed": "1"})
WRITTEN = Output(files=8, bytes=1000, is_marked_complete=True)
COST = Cost(
    tasks=16, tasks_failed=0, tasks_again=0, stages=2, stages_again=0, task_seconds=8.0, gc_seconds=0.2,
    shuffle_written=1000, shuffle_read=1000, spilled=0,
)  # fmt: skip
NOTHING = Activity(column_seconds=0.1, strips=(), bands=())


@dataclass
class Clock:
    ticks: Any = field(default_factory=itertools.count)

    def now(self) -> datetime:
        return AT

    def monotonic_ns(self) -> int:
        return int(next(self.ticks)) * 10**9


class Memory:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def append_event(self, event: Any) -> None:
        self.events.append(event)

    def read_events(self, run: str) -> tuple[Any, ...]:
        return tuple(self.events)


def plan(rto: str | None = "10s", **spark: Any) -> Plan:
    return Plan.model_validate(
        {"name": "unit", "kind": "spark", "environment": "test", "owner": "tests", "target": {"type": "paper"},
         "objectives": {"rto": rto}, "spark": {"workload": {"type": "terasort"}, "repeats": 1, **spark}}
    )  # fmt: skip


def lap(number: int, kind: str, seconds: float = 5.0, answer: Answer | None = RIGHT, **changes: Any) -> Lap:
    inspection = None if answer is None else Inspection(answer=answer, output=WRITTEN)
    usual = {
        "number": number, "kind": kind, "variant": "plain", "question": QUESTION, "group": f"g-{number}",
        "applications": ("app-1",), "state": "succeeded", "began_ms": 1000 * number, "ended_ms": 1000 * number + 900,
        "seconds": seconds, "inspection": inspection,
    }  # fmt: skip
    return Lap.model_validate(usual | changes)


def workers(count: int = 2, state: str = "ALIVE") -> tuple[WorkerSeen, ...]:
    return tuple(
        WorkerSeen(name=f"w{n}", host=f"h{n}", state=state, cores=2, cores_free=2, memory=2048, memory_free=2048)
        for n in range(count)
    )


def cluster(stage: str, count: int = 2, **changes: Any) -> ClusterSeen:
    return ClusterSeen.model_validate(
        {"stage": stage, "manager": "paper", "spark": "4.3.0", "workers": workers(count), **changes}
    )


VICTIM = Victim(name="executor 1", host="h1", executors=("1",))
STRUCK = Struck(
    lap=2, fault="kill-executor", group="g-2", stage=4, stage_name="reduce", tasks_done=2, tasks=8, at_ms=2100,
    victims=(VICTIM,), done=("executor 1: SIGKILL",),
)  # fmt: skip
LANDED = Landing(
    lap=2, fault="kill-executor", landed=True, seen="executor 1 lost", noticed_seconds=0.2, regained_seconds=4.0
)
AIMED = Aim(variant="plain", during="reduce", ordinal=1, name="reduce", tasks=8, stages=2)


def measured(number: int, *lost: str, whole: bool = True, **cost: Any) -> LapMeasured:
    return LapMeasured(
        number=number,
        cost=COST.model_copy(update=cost),
        executors_lost=lost,
        activity=NOTHING,
        log_is_whole=whole,
        why_not_whole="" if whole else "the event log of app-1 was cut",
    )


LAPS = (lap(0, "cold", 20.0), lap(1, "undisturbed", 5.0), lap(2, "disturbed", 9.0))
MEASURED = (measured(0), measured(1), measured(2, "executor 1 on h1: exited with 137", tasks_failed=1))
RESULTS: Mapping[str, Observation] = {
    "survey": cluster("survey"),
    "answer": Known(question=QUESTION, basis="mathematics", answer=RIGHT, compared="every row"),
    "cluster": Provided(master="paper", how="it was there"),
    "baseline": LAPS[1],
    "stress": Stress(laps=1, expect="success"),
    "settle": cluster("settle"),
    "account": Accounting(logs={}, laps=3, settings={"plain": {}}, spark="4.3.0"),
}
STEPS = tuple(RESULTS)


def journal(
    of: Plan,
    *,
    laps: Iterable[Lap] = LAPS,
    struck: Iterable[Struck] = (STRUCK,),
    landings: Iterable[Landing] = (LANDED,),
    logs: Iterable[LapMeasured] = MEASURED,
    more: Iterable[Observation] = (),
    earlier: Mapping[str, Any] | None = None,
    results: Mapping[str, Observation | None] | None = None,
    undone: bool = True,
) -> History:
    """A healthy drill's journal, but for what is given."""
    memory = Memory()
    paper = Journal(RUN, memory, Clock())
    paper.append(EventKind.OPENED, plan=of.model_dump(mode="json"), steps=list(STEPS), earlier=dict(earlier or {}))
    given = {**RESULTS, **(results or {})}
    observed = {"survey": [Identity(description="paper", proof="it said so")], "baseline": [AIMED],
                "stress": [*laps, *struck, *more], "account": [*logs, *landings]}  # fmt: skip
    for step, result in given.items():
        if result is None:
            continue
        paper.append(EventKind.STARTED, step)
        for fact in observed.get(step, []):
            paper.observe(fact)
        paper.append(EventKind.SUCCEEDED, step, result=result.model_dump(mode="json"))
    for step in reversed([step for step, result in given.items() if result is not None]) if undone else ():
        paper.append(EventKind.UNDO_STARTED, step)
        paper.append(EventKind.UNDONE, step)
    return paper.history
