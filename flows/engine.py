"""Drills as Prefect flows: steps show as task runs, the journal stays the record.

Promises: Prefect's state says what the journal says (a failed drill is a failed flow run with the finding as its
message); a slot is run once however many flow runs Prefect makes of it; an exception of Prefect's own never loses an
undo, and never decides how a drill ends.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from prefect import Task, task
from prefect.client.schemas.objects import State
from prefect.logging.loggers import get_run_logger
from pydantic import BaseModel

from flows.asking import Asked, asked
from flows.blocks import installation
from flows.deciding import waiting_in_flow
from flows.halting import StopVariable
from flows.showing import Progress, briefly, duplicate, end_state, show, tell
from muster.cadence.ticks import claim_deadline
from muster.claims import Claim, claim_of
from muster.conduct import Conductor
from muster.errors import UsageError
from muster.ledger import Ledger, open_ledger
from muster.ledger.errors import SlotTaken
from muster.opening import Request
from muster.plan import Plan, find_plan
from muster.saga import Execute, Injection
from muster.settings import Settings
from muster.summary import Summary
from muster.turns import turn
from muster.verdict import Outcome

_NAP_SECONDS = 5.0


class Form(NamedTuple):
    """What the person or the schedule filled in."""

    plan: str
    reason: str
    requested_by: str
    inject_error: str | None
    compare: tuple[str, ...] = ()


def run_drill(kind: str, form: Form) -> State:
    """Run a plan's drill inside a flow; the state it ends in. A wrong plan is a `UsageError`, before any record."""
    here = installation(Settings.from_environment())
    settings = here.settings
    plan = find_plan(settings.plans, form.plan).comparing(form.compare)
    if plan.kind != kind:
        raise UsageError(f"plan {plan.name} is of kind {plan.kind!r}", f"run the deployment of a {plan.kind} plan")
    why = asked()
    if why.serves_slot:
        _sleep_until(claim_of(plan, why.at, _now()).start_at)
    with open_ledger(settings.ledger_url) as ledger:
        performance = _Performance(settings, ledger, here.conductor(ledger), plan, form, why)
        with turn(settings, ledger, plan, performance.latest_start, get_run_logger().info) as why_not:
            try:
                return performance.run(why_not)
            except SlotTaken as taken:
                return duplicate(taken.holder)


@dataclass(frozen=True)
class _Performance:
    """One flow run's drill."""

    settings: Settings
    ledger: Ledger
    conductor: Conductor
    plan: Plan
    form: Form
    why: Asked

    @property
    def latest_start(self) -> datetime:
        """Until when it is worth waiting for the turn."""
        on_demand = _now() + self.plan.time_limit
        if not self.why.serves_slot:
            return on_demand
        return min(claim_deadline(self.plan.cadence, claim_of(self.plan, self.why.at, _now()).tick), on_demand)

    def run(self, why_not: str) -> State:
        """Claim the slot, and run it or record why it is not run."""
        claim = claim_of(self.plan, self.why.at, _now()) if self.why.serves_slot else None
        if claim and claim.outcome:
            return self._unrun(claim, claim.outcome)
        summary = self._conduct(claim.tick if claim else self.why.at, why_not)
        self._tell(summary)
        return end_state(summary.outcome, summary.headline)

    def _conduct(self, slot: datetime, why_not: str) -> Summary:
        variable = StopVariable()

        def why_stop() -> str:
            return why_not or variable()

        progress = Progress(self.plan.name, len(self.conductor.drill_of(self.plan.kind).steps))
        return self.conductor.conduct(
            self.plan,
            Request(
                reason=self.form.reason,
                requested_by=self.form.requested_by,
                trigger=self.why.trigger,
                scheduled_at=slot,
                flow_run=self.why.flow_run,
                injection=Injection(self.form.inject_error) if self.form.inject_error else None,
            ),
            execute=as_task(progress.step_ended),
            on_open=lambda run: get_run_logger().info("run %s opened; its journal is in the ledger", run),
            await_approval=waiting_in_flow(self.ledger, self.form.requested_by, why_stop),
            extra_stop=why_stop,
        )

    def _unrun(self, claim: Claim, outcome: Outcome) -> State:
        summary = self.conductor.record_unrun(self.plan, claim.tick, outcome, claim.why)
        if summary is None:
            return duplicate("of another process")
        self._tell(summary)
        return end_state(outcome, claim.why)

    def _tell(self, summary: Summary) -> None:
        run = self.ledger.run(summary.run)
        show(summary, self.plan, self.conductor.bundle_of(run.run), self.settings.store)
        about = {"run": run.run, "trigger": run.trigger.value, "flow_run": self.why.flow_run}
        tell(self.plan, f"drill.{summary.outcome.value}", summary.headline, **about)
        if run.needs_undo:
            tell(self.plan, "drill.left-behind", f"`muster undo run {run.run}` finishes what is left", **about)


def as_task(on_success: Callable[[str], None] = lambda _name: None) -> Execute:
    """Runs each step as a task run of its name. Prefect neither retries nor caches it: the saga decides.

    A step whose task cannot be run or recorded, since the server is away for example, is run all the same, once, and
    is not kept waiting for it.
    """

    def execute(name: str, act: Callable[[], BaseModel]) -> BaseModel:
        result = _once(name, act)
        on_success(name)
        return result

    return execute


def _once(name: str, act: Callable[[], BaseModel]) -> BaseModel:
    ended: list[BaseModel] = []
    began: list[bool] = []

    def once() -> BaseModel:
        began.append(True)
        ended.append(act())
        return ended[0]

    step: Task[[], BaseModel] = task(name=name, task_run_name=name, retries=0, persist_result=False)(once)
    try:
        with briefly():
            return step()
    except Exception as error:  # Prefect's own, its client's, or the step's: told apart by how far the step came
        if began and not ended:
            raise  # the step itself failed
        get_run_logger().warning("Prefect could not run step %s as a task: %s", name, error)
        return ended[0] if ended else act()


def _sleep_until(moment: datetime) -> None:
    """The plan's own share of its jitter: shorter than its grace."""
    while (left := moment - _now()) > timedelta():
        time.sleep(min(left.total_seconds(), _NAP_SECONDS))  # in naps, so that a cancel is heard


def _now() -> datetime:
    return datetime.now(UTC)
