"""The conductor: one run from its opening to its sealed evidence, whatever happens on the way.

Promises: nothing is touched before the run is on record; every step that started is undone before the run is judged;
a run that ends in any way is judged, sealed and closed exactly once; what a dead process left is finished by the next.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evidence.errors import EvidenceError
from evidence.outbox import Delivery, Outbox, Waiting
from evidence.store import Store
from muster import __version__
from muster.clock import Clock
from muster.drill import Check, Context, Drill, Workspace
from muster.errors import LeftBehind, Refusal
from muster.finding import Finding, verdict_of
from muster.journal import EventKind, History, Journal, RunState
from muster.ledger import Ledger, LedgerError, Measures, NewRun, Proof, Run, Trigger
from muster.ownership import LEASE_SECONDS, is_dead, kept_lease, this_process
from muster.plan import Plan
from muster.redaction import known_secrets, redact_logs
from muster.saga import Cause, Execute, Injection, call, describe, run_steps, undo_steps, undo_unrecorded
from muster.sealing import bundle_name, seal_run
from muster.settings import Settings
from muster.summary import Summary
from muster.verdict import Outcome, Verdict, outcome_of

OpenTarget = Callable[[Mapping[str, Any], Settings], Any]


@dataclass(frozen=True)
class Request:
    """Why a run starts, and what is asked of it beyond its plan."""

    reason: str
    trigger: Trigger = Trigger.COMMAND_LINE
    scheduled_at: datetime | None = None
    injection: Injection | None = None
    flow_run: str = ""
    """Id of the Prefect flow run that runs it, if one does."""


@dataclass(frozen=True)
class Conductor:
    """Conducts runs on one installation. Drills, targets and the store are passed in: the domain knows none."""

    settings: Settings
    ledger: Ledger
    clock: Clock
    drill_of: Callable[[str], Drill]
    open_target: OpenTarget
    open_store: Callable[[], Store]

    def conduct(
        self,
        plan: Plan,
        request: Request,
        *,
        execute: Execute = call,
        on_open: Callable[[str], None] = lambda _run: None,
        on_undo: Callable[[], None] = lambda: None,
    ) -> Summary:
        """Run the plan once. Always returns a summary; an interrupt is sealed as `aborted` like any other end.

        `on_open` hears the run's name; `on_undo` hears that from now on an interrupt would only do harm.
        """
        drill = self.drill_of(plan.kind)
        opening, target = self._opening(drill, plan, request), self._opened_target(plan)
        self.finish_dead_runs()
        run = self._open(plan, request)
        on_open(run)
        journal = Journal(run, self.ledger, self.clock)
        journal.append(EventKind.OPENED, **opening)
        with kept_lease(self.ledger, run, this_process()) as lost:
            stop = _stopper(lost.is_set)
            context = self._context(plan, journal, target, stop)
            try:
                self._attempt(drill, context, execute, request.injection)
                on_undo()
                context.background.abandon()
                undo_steps(drill, context)
            except LedgerError:
                context.background.abandon()
                undo_unrecorded(drill, context)
                raise
            return self._conclude(drill, plan, journal)

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

    def finish(self, name: str) -> bool:
        """Finish one run by name; `False` when its process is alive, or was another machine's."""
        return self._finish(self.ledger.run(name))

    def send_waiting(self) -> Delivery:
        """Send what waits in the outbox. A store that is away costs nothing: the bundles wait on."""
        outbox = Outbox(self.settings.outbox)
        try:
            return outbox.flush(self.open_store(), tell=lambda receipt: self._note_sent(receipt.key))
        except EvidenceError as error:
            return Delivery((), (Waiting("", self.settings.outbox, error.message),))

    def _note_sent(self, key: str) -> None:
        run = key.rsplit("/", 1)[-1].removesuffix(".tar.gz")
        journal = Journal(run, self.ledger, self.clock)
        if journal.history.run_state() is RunState.SEALED:
            journal.append(EventKind.SENT, key=key)

    def _finish(self, run: Run) -> bool:
        if run.owner.host != this_process().host:
            return False  # what it left is on its own machine, and can be undone only there
        # A run that was closed with an undo open is driven by nobody, though its process may live on.
        is_free = is_dead(run.owner) or run.outcome is not None
        if not self.ledger.take_over(run, this_process(), LEASE_SECONDS, owner_is_dead=is_free):
            return False
        journal = Journal(run.run, self.ledger, self.clock)
        if not journal.history:  # it died before its first event: nothing was touched
            self.ledger.close_run(run.run, Outcome.ABORTED)
            return True
        opened = journal.history[0].body
        plan = Plan.model_validate(opened["plan"])
        drill = self.drill_of(plan.kind)
        with kept_lease(self.ledger, run.run, this_process()):
            left = undo_steps(drill, self._context(plan, journal, target=None))
            self._conclude(drill, plan, journal)
        if left:
            raise LeftBehind(
                f"run {run.run}: the undo of {', '.join(left)} failed: {_last_undo_error(journal.history)}",
                f"mend that, then run `muster undo run {run.run}` again",
            )
        return True

    def _opening(self, drill: Drill, plan: Plan, request: Request) -> dict[str, Any]:
        """What the journal opens with: all that the checks may need and the run itself does not measure."""
        last_pass, proof = self.ledger.last_pass(plan.name), self.ledger.last_proof(plan.kind)
        return {
            **brief_of(drill, plan, last_pass.facts if last_pass else {}),
            "plan_digest": plan.digest,
            "reason": request.reason,
            "trigger": request.trigger.value,
            "flow_run": request.flow_run,
            "muster": __version__,
            "last_proven": proof_words(proof),
        }

    def _open(self, plan: Plan, request: Request) -> str:
        run = f"{self.clock.now().astimezone(UTC):%Y%m%dT%H%M%SZ}-{plan.name}-{secrets.token_hex(3)}"
        self.ledger.open_run(
            NewRun(
                run=run,
                plan=plan.name,
                plan_digest=plan.digest,
                kind=plan.kind,
                target_type=str(plan.target["type"]),
                scheduled_at=request.scheduled_at,
                trigger=request.trigger,
                reason=request.reason,
                owner=this_process(),
                lease_seconds=LEASE_SECONDS,
            )
        )
        return run

    def _opened_target(self, plan: Plan) -> Any:
        """The target, or the refusal to open it. A wrong key is a `UsageError`, before anything is on record."""
        try:
            return self.open_target(plan.target, self.settings)
        except Refusal as refusal:
            return refusal

    def _attempt(self, drill: Drill, context: Context, execute: Execute, injection: Injection | None) -> None:
        """Preflight and the steps. What ends them early is in the journal, never raised."""
        try:
            self._preflight(drill, context)
            run_steps(drill, context, execute, injection)
        except BaseException as error:  # an interrupt is an end like any other: it is undone, judged, sealed
            if context.history.failure() is None:
                context.journal.append(EventKind.NOTED, ended_by=describe(error))

    def _preflight(self, drill: Drill, context: Context) -> None:
        """Raise a `Refusal` if the drill may not start."""
        plan, target = context.plan, context.target
        for other in self.ledger.unfinished_runs():
            if other.needs_undo and self._target_of(other) == plan.model_dump(mode="json")["target"]:
                raise Refusal(
                    f"run {other.run} on the same target has left something behind, or is still running",
                    f"wait for it, or run `muster undo run {other.run}`",
                )
        if isinstance(target, Refusal):
            raise target
        if not isinstance(target, drill.needs):
            raise Refusal(
                f"a target of type {plan.target['type']!r} is not {drill.needs.__name__}",
                f"a {drill.kind} drill needs a target that is; see docs/restore.md",
            )

    def _target_of(self, run: Run) -> Any:
        events = self.ledger.read_events(run.run)
        return events[0].body["plan"]["target"] if events else None

    def _context(self, plan: Plan, journal: Journal, target: Any, why_stop: Callable[[], str] = lambda: "") -> Context:
        return Context(
            plan=plan,
            target=target,
            journal=journal,
            workspace=self.workspace(journal.run),
            clock=self.clock,
            deadline_ns=self.clock.monotonic_ns() + int(plan.time_limit.total_seconds() * 1e9),
            why_stop=why_stop,
        )

    def bundle_of(self, run: str) -> Path | None:
        """Where the local copy of a run's sealed bundle lies; `None` while it is not sealed."""
        key = self.ledger.run(run).bundle_key
        return Outbox(self.settings.outbox).path_of(key) if key else None

    def workspace(self, run: str) -> Workspace:
        """The run's folder."""
        return Workspace(run, self.settings.runs / run)

    def _conclude(self, drill: Drill, plan: Plan, journal: Journal) -> Summary:
        """Judge, seal, close, send: each is safe to repeat, and goes on from where a crash left it."""
        if journal.history.run_state() is RunState.OPEN:
            redact_logs(self.workspace(journal.run).logs, known_secrets(os.environ))
            journal.append(EventKind.JUDGED, **judge(drill, plan, journal.history))
        history = journal.history.sealed_part()
        summary = summarise(drill, plan, history)
        if journal.history.run_state() is RunState.JUDGED:
            self._seal(summary, history, journal)
        self._clear(journal)
        self.ledger.close_run(
            journal.run, summary.outcome, summary.verdict, _measures(summary), drill.remember(history)
        )
        self.send_waiting()
        return summary

    def _clear(self, journal: Journal) -> None:
        """The logs are in the bundle now; what is not undone keeps its folder, which its undo needs."""
        if not journal.history.needs_undo():
            shutil.rmtree(self.workspace(journal.run).root, ignore_errors=True)

    def _seal(self, summary: Summary, history: History, journal: Journal) -> None:
        sealed = seal_run(summary, history, self.workspace(journal.run), self.settings)
        key = f"{summary.plan}/{bundle_name(summary)}"
        Outbox(self.settings.outbox).add(sealed, key)
        self.ledger.set_bundle(journal.run, sealed.sha256, key)
        journal.append(EventKind.SEALED, sha256=sealed.sha256, size=sealed.size, key_id=sealed.key_id, key=key)
        sealed.path.unlink(missing_ok=True)


def brief_of(drill: Drill, plan: Plan, earlier: Mapping[str, Any]) -> dict[str, Any]:
    """What judging a run needs from its opening: the plan, the steps there are, and facts from outside the run."""
    return {
        "plan": plan.model_dump(mode="json"),
        "steps": [step.name for step in drill.steps],
        "earlier": dict(earlier),
        **drill.brief(plan),
    }


def judge(drill: Drill, plan: Plan, history: History) -> dict[str, Any]:
    """The body of `judged`: every finding, the worst verdict, and the outcome."""
    findings = tuple(f for check in drill.checks for f in _findings(check, history, plan))
    verdict = verdict_of(findings)
    return {
        "outcome": _outcome(history, verdict).value,
        "verdict": verdict.value,
        "findings": [f.model_dump(mode="json") for f in findings],
    }


def _findings(check: Check, history: History, plan: Plan) -> tuple[Finding, ...]:
    try:
        found = check(history, plan)
    except Exception as error:  # a check that breaks has shown nothing
        name = getattr(check, "__name__", "check").replace("_", " ")
        found = Finding(
            check=name,
            verdict=Verdict.INCONCLUSIVE,
            expected="the check can read the journal",
            seen=f"{type(error).__name__}: {error}",
            advice="this is a defect in Muster: please report it with the bundle",
        )
    return found if isinstance(found, tuple) else (found,)


def _outcome(history: History, verdict: Verdict) -> Outcome:
    """How the run ended: refused or aborted where the drill itself did not come to its end."""
    ending = ending_of(history)
    if ending is None or ending["cause"] == Cause.SYSTEM:
        return outcome_of(verdict)
    return Outcome.REFUSED if ending["cause"] == Cause.REFUSED else Outcome.ABORTED


def ending_of(history: History) -> Mapping[str, str] | None:
    """What ended the run early: a failed step, an interrupt, a dead process; `None` when it came to its end."""
    if failure := history.failure():
        return {**failure.body, "step": failure.step}
    for event in history.of(EventKind.NOTED):
        if "ended_by" in event.body:
            return {**event.body["ended_by"], "step": ""}
    done = {event.step for event in history.of(EventKind.SUCCEEDED)}
    missing = [step for step in history[0].body["steps"] if step not in done]
    if not missing:
        return None
    return {
        "cause": Cause.DRILL,
        "error": "died",
        "message": "the process that ran the drill died",
        "advice": "run it again",
        "step": missing[0],
    }


def summarise(drill: Drill, plan: Plan, history: History) -> Summary:
    """Everything people are told of a judged run, from its journal alone."""
    opened, judged = history[0], history[-1]
    told = drill.tell(history, plan)
    findings = tuple(Finding.model_validate(f) for f in judged.body["findings"])
    outcome = Outcome(judged.body["outcome"])
    return Summary(
        run=opened.run,
        plan=plan.name,
        plan_digest=opened.body["plan_digest"],
        kind=plan.kind,
        environment=plan.environment.value,
        owner=plan.owner,
        controls=plan.controls,
        target=told.target,
        reason=opened.body["reason"],
        opened_at=opened.at,
        ended_at=judged.at,
        outcome=outcome,
        verdict=Verdict(judged.body["verdict"]),
        headline=_headline(outcome, findings, ending_of(history)),
        measures=told.measures,
        phases=told.phases,
        findings=findings,
        facts=told.facts,
        last_proven=opened.body["last_proven"],
        muster_version=opened.body["muster"],
    )


def _headline(outcome: Outcome, findings: tuple[Finding, ...], ending: Mapping[str, str] | None) -> str:
    if ending and ending["cause"] != Cause.SYSTEM:
        where = f" in step {ending['step']}" if ending["step"] else ""
        return f"The drill was {outcome.value}{where}: {ending['message']}."
    worst = next((f for v in (Verdict.FAIL, Verdict.INCONCLUSIVE) for f in findings if f.verdict is v), None)
    if worst is None:
        passed = sum(f.verdict is Verdict.PASS for f in findings)
        return f"All {passed} checks that the plan asks for passed."
    return f"{worst.check}: {worst.seen}."


def _measures(summary: Summary) -> Measures:
    measured = {m.name: m.measured for m in summary.measures}
    return Measures(rto_seconds=measured.get("RTO"), rpo_seconds=measured.get("RPO"))


def proof_words(proof: Proof | None) -> str:
    """When the negative controls were last run, and what they caught."""
    if proof is None:
        return "never: run `muster prove` to show that the checks catch planted faults"
    return (
        f"{proof.at:%Y-%m-%d %H:%M} UTC: {proof.caught} of {proof.planted} planted faults caught,"
        f" {proof.quiet} of {proof.healthy} healthy forms passed"
    )


def _stopper(is_lost: Callable[[], bool]) -> Callable[[], str]:
    return lambda: "another process has taken this run over" if is_lost() else ""


def _last_undo_error(history: History) -> str:
    failed = history.of(EventKind.UNDO_FAILED)
    return str(failed[-1].body["message"]) if failed else "unknown"
