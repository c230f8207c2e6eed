"""The conductor: one run from its opening to its sealed evidence, whatever happens on the way.

Promises: nothing is touched before the run is on record; every step that started is undone before the run is judged;
a run that ends in any way is judged, sealed and closed exactly once; what a dead process left is finished by the next.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from evidence.outbox import Delivery
from evidence.stores import Store
from muster import approval, preflight, unrun
from muster.clock import Clock
from muster.closing import Closing
from muster.drill import Context, Drill
from muster.errors import LeftBehind, MusterError, Refusal, UsageError
from muster.journal import EventKind, History, Journal
from muster.judging import brief_of
from muster.ledger import Ledger, LedgerError, Run, Trigger
from muster.ledger.errors import SlotTaken
from muster.ledger.rows import Decision
from muster.opening import Request, assert_has_come, open_run, opening_of
from muster.ownership import LEASE_SECONDS, is_dead, kept_lease, this_process
from muster.plan import Approval, Plan, find_plan
from muster.saga import Execute, call, describe, run_steps, undo_steps, undo_unrecorded
from muster.settings import Settings
from muster.sighting import digest_of, sighted
from muster.stopping import KillSwitch
from muster.summary import Summary
from muster.verdict import Outcome

OpenTarget = Callable[[Mapping[str, Any], Settings], Any]
AwaitApproval = Callable[[str, Plan], Decision]
"""Waits until someone decided on a run, or raises what ends the run."""


def _nothing_more() -> str:
    return ""


@dataclass(frozen=True)
class _Ways:
    """How one run is carried out, as its caller wants it."""

    execute: Execute
    await_approval: AwaitApproval | None
    switch: KillSwitch


@dataclass(frozen=True)
class Conductor:
    """Conducts runs on one installation. Drills, targets and the store are passed in: the domain knows none."""

    settings: Settings
    ledger: Ledger
    clock: Clock
    drill_of: Callable[[str], Drill]
    open_target: OpenTarget
    open_store: Callable[[], Store]

    @cached_property
    def closing(self) -> Closing:
        """What judges, seals and ends runs here."""
        return Closing(self.settings, self.ledger, self.clock, self.open_store)

    def conduct(
        self,
        plan: Plan,
        request: Request,
        *,
        execute: Execute = call,
        on_open: Callable[[str], None] = lambda _run: None,
        on_undo: Callable[[], None] = lambda: None,
        await_approval: AwaitApproval | None = None,
        extra_stop: Callable[[], str] = _nothing_more,
    ) -> Summary:
        """Run the plan once. Always returns a summary; an interrupt is sealed as `aborted` like any other end.

        `on_open` hears the run's name; `on_undo` hears that from now on an interrupt would only do harm.
        `await_approval` waits for the approver where the plan asks for one; by default the ledger is asked again and
        again. `extra_stop` gives a reason to stop beside the kill switch in the ledger; if it raises, the drill stops.
        Raises `SlotTaken` when the slot has its run, and `Refusal` when it is yet to come, before anything is written.
        """
        drill = self.drill_of(plan.kind)
        now = self.ledger.now()
        request = replace(request, scheduled_at=request.scheduled_at or now)
        assert_has_come(plan, request, now)
        opening = opening_of(self.ledger, brief_of(drill, plan, self._facts_of_last_pass(plan)), plan, request)
        self._opened_target(plan)  # a wrong key is a `UsageError`, before anything is on record
        self.finish_dead_runs()
        run = open_run(self.ledger, plan, request, self.clock.now())
        on_open(run)
        journal = Journal(run, self.ledger, self.clock)
        journal.append(EventKind.OPENED, **opening)
        with kept_lease(self.ledger, run, this_process()) as lost, KillSwitch(self.ledger, extra_stop) as switch:
            context = self._context(plan, journal, why_stop=_stopper(lost.is_set, switch))
            try:
                self._attempt(drill, context, request, _Ways(execute, await_approval, switch))
                on_undo()
                context.background.abandon()
                undo_steps(drill, self._undoing(context))
            except LedgerError:
                context.background.abandon()
                undo_unrecorded(drill, self._undoing(context))
                raise
            return self.closing.conclude(drill, plan, journal)

    def record_unrun(
        self, plan: Plan, tick: datetime, outcome: Outcome, why: str, *, send: bool = True
    ) -> Summary | None:
        """Put on record, judge and seal that a slot was missed or waived; `None` when the slot has a run already.

        Safe against dying at any point: `finish_dead_runs` goes on from there.
        """
        request = Request(unrun.reason_of(outcome, why), Trigger.WATCH, tick)
        try:
            run = open_run(self.ledger, plan, request, self.clock.now())
        except SlotTaken:
            return None
        journal = Journal(run, self.ledger, self.clock)
        self._open_unrun(journal, plan, request, outcome, why)
        return self.closing.conclude(unrun.UNRUN, plan, journal, send=send)

    def look_at(self, plan: Plan) -> str | None:
        """Look at what the target is without drilling it, and keep that; `None` when it could not be seen."""
        try:
            drill = self.drill_of(plan.kind)
            facts = sighted(drill, self._opened_target(plan))
            digest = digest_of(facts, drill.brief(plan))
        except MusterError:
            return None
        if digest is not None:
            self.ledger.record_sighting(plan.name, digest)
        return digest

    def last_known(self, plan: str) -> Plan | None:
        """A plan as its file says, or its newest run; `None` when there is neither."""
        with suppress(UsageError):
            return find_plan(self.settings.plans, plan)
        for run in self.ledger.runs(plan, limit=5):
            if events := self.ledger.read_events(run.run):
                return Plan.recorded(events[0].body["plan"])
        return None

    def finish_dead_runs(self) -> tuple[str, ...]:
        """Undo, judge and seal what dead processes left; returns the runs that were finished.

        An undo that fails again keeps its run unfinished: preflight then refuses drills on the same target.
        """
        finished = []
        for run in self.ledger.unfinished_runs():
            with suppress(LeftBehind):
                if self._finish(run):
                    finished.append(run.run)
        self.send_waiting()
        return tuple(finished)

    def finish(self, name: str, gone: frozenset[str] = frozenset()) -> bool:
        """Finish one run by name; `False` when its process is alive, or was another machine's.

        `gone`: parts of its target that are lost for good. `UsageError` where its undo cannot go on without them.
        """
        return self._finish(self.ledger.run(name), gone)

    def send_waiting(self) -> Delivery:
        """Send what waits in the outbox."""
        return self.closing.send_waiting()

    def bundle_of(self, run: str) -> Path | None:
        """Where the local copy of a run's sealed bundle lies; `None` while it is not sealed."""
        return self.closing.bundle_of(run)

    def _finish(self, run: Run, gone: frozenset[str] = frozenset()) -> bool:
        if run.owner.host != this_process().host:
            return False  # what it left is on its own machine, and can be undone only there
        # A run that was closed with an undo open is driven by nobody, though its process may live on.
        is_free = is_dead(run.owner) or run.outcome is not None
        if not self.ledger.take_over(run, this_process(), LEASE_SECONDS, owner_is_dead=is_free):
            return False
        journal = Journal(run.run, self.ledger, self.clock)
        if not journal.history and not self._reopen(run, journal):
            self.ledger.close_run(run.run, Outcome.ABORTED)  # nothing was touched, and nothing is known to be sealed
            return True
        plan = Plan.recorded(journal.history[0].body["plan"])
        drill = unrun.UNRUN if unrun.is_unrun(journal.history) else self.drill_of(plan.kind)
        _assert_parts(drill, gone)
        with kept_lease(self.ledger, run.run, this_process()):
            left = undo_steps(drill, replace(self._undoing(self._context(plan, journal)), gone=gone))
            self.closing.conclude(drill, plan, journal)
        if left:
            why, advice = _last_undo_error(journal.history)
            raise LeftBehind(
                f"run {run.run}: the undo of {', '.join(left)} failed: {why}",
                f"{advice or 'mend that'}, then run `muster undo run {run.run}` again",
            )
        return True

    def _reopen(self, run: Run, journal: Journal) -> bool:
        """Write the first event of a run that died before it; `False` when its plan is not known any more."""
        plan = self.last_known(run.plan)
        if plan is None:
            return False
        request = Request(
            run.reason, run.trigger, run.scheduled_at, flow_run=run.flow_run, requested_by=run.requested_by
        )
        if recorded := unrun.read_reason(run):
            self._open_unrun(journal, plan, request, *recorded)
        else:
            with_brief = brief_of(self.drill_of(plan.kind), plan, {})
            journal.append(EventKind.OPENED, **opening_of(self.ledger, with_brief, plan, request))
        return True

    def _open_unrun(self, journal: Journal, plan: Plan, request: Request, outcome: Outcome, why: str) -> None:
        tick = request.scheduled_at or self.clock.now()
        brief = brief_of(unrun.UNRUN, plan, {}) | {"unrun": unrun.body_of(plan, tick, outcome, why)}
        journal.append(EventKind.OPENED, **opening_of(self.ledger, brief, plan, request))

    def _facts_of_last_pass(self, plan: Plan) -> Mapping[str, Any]:
        last_pass = self.ledger.last_pass(plan.name)
        return last_pass.facts if last_pass else {}

    def _opened_target(self, plan: Plan) -> Any:
        """The target, or the refusal to open it."""
        try:
            return self.open_target(plan.target, self.settings)
        except Refusal as refusal:
            return refusal

    def _attempt(self, drill: Drill, context: Context, request: Request, ways: _Ways) -> None:
        """Preflight, approval and the steps. What ends them early is in the journal, never raised."""
        try:
            self._preflight(drill, context.plan, ways.switch)
            approval.check_starter(context.plan, request.trigger, request.requested_by)
            self._note_sight(drill, context)
            if context.plan.approval:
                self._ask_for_approval(context, request, context.plan.approval, ways.await_approval)
                self._preflight(drill, context.plan, ways.switch)  # hours may have gone by
            # Opened anew: what it was asked before is old by now. And the time limit counts from here.
            ready = replace(context, target=self._opened_target(context.plan), deadline_ns=self._deadline(context.plan))
            run_steps(drill, ready, ways.execute, request.injection)
        except BaseException as error:  # an interrupt is an end like any other: it is undone, judged, sealed
            if context.history.failure() is None:
                context.journal.append(EventKind.NOTED, ended_by=describe(error))

    def _preflight(self, drill: Drill, plan: Plan, switch: KillSwitch) -> None:
        """Raise a `Refusal` if the drill may not start now."""
        preflight.assert_not_stopped(switch)
        preflight.assert_is_time(plan, self.clock.now())
        for other in self.ledger.unfinished_runs():
            if other.needs_undo and self._target_of(other) == plan.model_dump(mode="json")["target"]:
                raise Refusal(
                    f"run {other.run} on the same target has left something behind, or is still running",
                    f"wait for it, or run `muster undo run {other.run}`",
                )
        preflight.assert_is_capable(drill, plan, self._opened_target(plan))

    def _note_sight(self, drill: Drill, context: Context) -> None:
        """What the target is goes on record. A target that cannot be looked at has changed nothing yet."""
        facts = sighted(drill, self._opened_target(context.plan))
        if digest := digest_of(facts, context.history[0].body):
            context.journal.append(EventKind.NOTED, sighted=facts, target_digest=digest)

    def _ask_for_approval(
        self, context: Context, request: Request, asked: Approval, wait: AwaitApproval | None
    ) -> None:
        """Wait for a yes. Raises what a no, silence, the kill switch or an interrupt make of the run."""
        run, plan, asked_at = context.journal.run, context.plan, self.clock.now()
        noted = {"at": asked_at.isoformat(), "by": list(asked.by), "within": asked.within.total_seconds()}
        context.journal.append(EventKind.NOTED, approval_asked=noted)
        if wait is None:
            decision = approval.wait_for_decision(self.ledger, run, asked, context.why_stop)
        else:
            decision = wait(run, plan)
        approval.check_approver(plan, request.requested_by, decision.by)
        said = decision.model_dump(mode="json", include={"by", "note", "at"}) | {"asked_at": asked_at.isoformat()}
        noted_as = "approved" if decision.approved else "denied"
        context.journal.append(EventKind.NOTED, "", **{noted_as: said})
        if not decision.approved:
            raise approval.denied(decision)

    def _target_of(self, run: Run) -> Any:
        events = self.ledger.read_events(run.run)
        return events[0].body["plan"]["target"] if events else None

    def _context(self, plan: Plan, journal: Journal, why_stop: Callable[[], str] = _nothing_more) -> Context:
        return Context(
            plan=plan,
            target=None,
            journal=journal,
            workspace=self.closing.workspace(journal.run),
            clock=self.clock,
            deadline_ns=self._deadline(plan),
            why_stop=why_stop,
        )

    def _undoing(self, context: Context) -> Context:
        """An undo has its own time, and nothing stops it: neither the time limit nor the kill switch."""
        return replace(
            context,
            target=self._target_to_undo(context.plan),
            deadline_ns=self._deadline(context.plan),
            why_stop=_nothing_more,
        )

    def _target_to_undo(self, plan: Plan) -> Any:
        """The target, or what keeps it from being opened: an undo that does not need it is not to fail of that."""
        try:
            return self._opened_target(plan)
        except MusterError as error:
            return error

    def _deadline(self, plan: Plan) -> int:
        return self.clock.monotonic_ns() + int(plan.time_limit.total_seconds() * 1e9)


def _stopper(is_lost: Callable[[], bool], switch: KillSwitch) -> Callable[[], str]:
    return lambda: "another process has taken this run over" if is_lost() else switch.reason()


def _assert_parts(drill: Drill, gone: frozenset[str]) -> None:
    if strange := sorted(gone - drill.parts):
        known = f"its target has {' and '.join(sorted(drill.parts))}" if drill.parts else "leave --gone out"
        raise UsageError(f"the undo of a {drill.kind} drill cannot go on without {strange[0]!r}", known)


def _last_undo_error(history: History) -> tuple[str, str]:
    """What was said of the last undo that failed, and the next move."""
    failed = history.of(EventKind.UNDO_FAILED)
    return (str(failed[-1].body["message"]), str(failed[-1].body["advice"])) if failed else ("unknown", "")
