"""A process that serves a due slot with a drill of paper, as a flow does but without Prefect; it stops where told.

`python -m tests.real.slot_worker EXPECTED [MOMENT die|hold]`: at that moment it kills itself, or says `held` and waits
for a line. Exit codes: 0 it ran, 3 the slot was taken, 4 an error, told on stderr.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from muster.claims import claim_of
from muster.clock import SystemClock
from muster.conduct import Conductor
from muster.drill import Context, Drill, Step
from muster.errors import MusterError
from muster.journal import EventKind
from muster.ledger import Ledger, SlotTaken, Trigger, open_ledger
from muster.opening import Request
from muster.plan import Plan, find_plan
from muster.settings import Settings
from tasks.process import AT_ONCE, Processes
from tests.unit.paper import paper_conductor, paper_drill, paper_step

TAKEN, ERROR = 3, 4


class Moment(StrEnum):
    """Of a slot's life."""

    CLAIMING = "about to claim"
    CLAIMED = "claimed, nothing written"
    STEP = "in a step"
    JUDGED = "judged, not sealed"
    SEALED = "sealed, not closed"
    CLOSED = "closed, not sent"


class Ran(BaseModel):
    """The step has a process running."""


def _processes(context: Context) -> Processes:
    return Processes(context.workspace.records, context.workspace.logs)


def drill(in_step: Callable[[], None] = lambda: None) -> Drill:
    """Three steps of paper, and one whose process has to be gone at the end, whoever dies."""

    def run(context: Context) -> Ran:
        context.workspace.scratch.mkdir(parents=True, exist_ok=True)
        _processes(context).start("sleeper", ["sleep", "600"], log="sleeper.log", cwd=context.workspace.scratch)
        in_step()
        return Ran()

    sleeper = Step("run", do=run, undo=lambda context: _processes(context).stop("sleeper", signals=AT_ONCE))
    paper = paper_drill()
    return replace(paper, steps=(paper_step("fold"), sleeper, paper_step("sail"), paper_step("land")))


def conductor(settings: Settings, ledger: Ledger, in_step: Callable[[], None] = lambda: None) -> Conductor:
    """What conducts it here."""
    return replace(paper_conductor(settings, ledger, drill(in_step)), clock=SystemClock())


def serve(made: Conductor, plan: Plan, expected: datetime, now: datetime) -> None:
    """What a flow does with a slot, once it has its turn. `SlotTaken` when it comes second."""
    claim = claim_of(plan, expected, now)
    if claim.outcome is None:
        made.conduct(plan, Request("scheduled", Trigger.SCHEDULE, claim.tick))
    elif made.record_unrun(plan, claim.tick, claim.outcome, claim.why) is None:
        raise SlotTaken(f"slot {claim.tick.isoformat()}", "another")


def _stop(then: str) -> None:
    if then == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    print("held", flush=True)
    sys.stdin.readline()


def _stop_ledger_at(moment: Moment, stop: Callable[[], None]) -> None:
    """Around the ledger's own methods, so that everything before really is in the database."""
    open_run, append_event, close_run = Ledger.open_run, Ledger.append_event, Ledger.close_run
    after = {EventKind.JUDGED: Moment.JUDGED, EventKind.SEALED: Moment.SEALED}

    def at(reached: Moment | None) -> None:
        if reached is moment:
            stop()

    def opening(self: Any, new: Any) -> Any:
        at(Moment.CLAIMING)
        run = open_run(self, new)
        at(Moment.CLAIMED)
        return run

    def appending(self: Any, event: Any) -> None:
        append_event(self, event)
        at(after.get(event.kind))

    def closing(self: Any, *given: Any, **named: Any) -> Any:
        run = close_run(self, *given, **named)
        at(Moment.CLOSED)
        return run

    for name, method in (("open_run", opening), ("append_event", appending), ("close_run", closing)):
        setattr(Ledger, name, method)


def main(expected: str, moment: str = "", then: str = "") -> int:
    settings = Settings.from_environment()
    wanted = Moment(moment) if moment else None
    if wanted:
        _stop_ledger_at(wanted, lambda: _stop(then))
    in_step = (lambda: _stop(then)) if wanted is Moment.STEP else lambda: None
    due = datetime.fromisoformat(expected)
    try:
        with open_ledger(settings.ledger_url) as ledger:
            plan = find_plan(settings.plans, "paper-drill")
            serve(conductor(settings, ledger, in_step), plan, due, ledger.now())
    except SlotTaken as taken:
        print(f"duplicate of {taken.holder}", flush=True)
        return TAKEN
    except MusterError as error:
        print(f"{error.message} -> {error.advice}", file=sys.stderr)
        return ERROR
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
