"""Approval: a drill that asks for it starts when someone other than its starter said yes.

Promises: who started a run never approves it; only those whom the plan names do, if it names any; nobody's answer in
time is a no; the journal says who, when and what for. Names are stated, not authenticated. Source: DORA Art. 24(4).
"""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from muster.errors import Refusal, StepError, UsageError
from muster.finding import Finding
from muster.journal import EventKind, History
from muster.ledger.rows import Decision, Trigger
from muster.plan import Approval, Plan
from muster.quantity import format_seconds
from muster.verdict import Verdict

POLL_SECONDS = 1.0
_BY_A_PERSON = frozenset({Trigger.RUN_BUTTON, Trigger.COMMAND_LINE})


class DecisionReader(Protocol):
    """The part of the ledger that keeps decisions."""

    def decision(self, run: str) -> Decision | None:
        """What was said of a run."""
        ...


def requires_approval(plan: Plan) -> bool:
    """Whether someone has to say yes before this plan's drill starts."""
    return plan.approval is not None


def check_starter(plan: Plan, trigger: Trigger, requested_by: str) -> None:
    """Raise a `Refusal` when a person asked for the run and it is not known who: any approver could be the same one."""
    if requires_approval(plan) and trigger in _BY_A_PERSON and not requested_by.strip():
        raise Refusal(
            f"plan {plan.name} asks for an approval, and it is not known who asked for this run",
            "say who you are: `requested_by` in the run form, `--as NAME` on the command line",
        )


def check_approver(plan: Plan, requested_by: str, by: str) -> None:
    """Raise unless `by` may decide on a run that `requested_by` asked for: `UsageError`, `Refusal`."""
    name = _plain(by)
    if not name:
        raise UsageError("an approval needs a name", "give it with `--as NAME`")
    if name == _plain(requested_by):
        raise Refusal(
            f"{by.strip()} asked for this run, and so cannot approve it", "ask someone else: four eyes, not two"
        )
    allowed = plan.approval.by if plan.approval else ()
    if allowed and name not in map(_plain, allowed):
        raise Refusal(f"{by.strip()} may not approve plan {plan.name}", f"ask one of {', '.join(allowed)}")


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()


def wait_for_decision(ledger: DecisionReader, run: str, approval: Approval, why_stop: Callable[[], str]) -> Decision:
    """Wait until someone decides. `Refusal` when the plan's time for it is over, `StepError` when the run must stop."""
    deadline = time.monotonic() + approval.within.total_seconds()
    while True:
        if reason := why_stop():
            raise StepError(f"stopped while waiting for approval: {reason}", "resume when it is safe")
        if decision := ledger.decision(run):
            return decision
        left = deadline - time.monotonic()
        if left <= 0:
            raise nobody(approval)
        time.sleep(min(POLL_SECONDS, left))  # the ledger does not tell us by itself


def nobody(approval: Approval) -> Refusal:
    """The refusal of a run on which nobody decided in time."""
    return Refusal(
        f"nobody approved it within {format_seconds(approval.within.total_seconds())}",
        "start it again, and tell those who may approve it: `muster approve RUN`",
    )


def denied(decision: Decision) -> Refusal:
    """The refusal of a run to which someone said no."""
    note = f": {decision.note}" if decision.note else ""
    return Refusal(f"denied by {decision.by}{note}", "talk to them, and start it again")


def approval(history: History, plan: Plan) -> Finding:
    """Someone else than the starter said yes, and was one of those who may."""
    allowed = plan.approval.by if plan.approval else ()
    expected = f"a yes of {' or '.join(allowed) if allowed else 'anyone'} other than who asked for the run"
    starter, yes = str(history[0].body.get("requested_by", "")), _noted(history, "approved")
    if yes is None:
        return _finding(Verdict.INCONCLUSIVE, expected, "not observed: nobody approved it", "start it again")
    try:
        check_approver(plan, starter, str(yes["by"]))
    except (Refusal, UsageError) as error:
        return _finding(Verdict.FAIL, expected, error.message, error.advice)
    asked = f"asked for by {starter}" if starter else f"started by {history[0].body.get('trigger', 'a schedule')}"
    return _finding(Verdict.PASS, expected, f"{words_of(history)}; {asked}")


def words_of(history: History) -> str:
    """Who decided, and when; empty where nobody was asked."""
    if _noted(history, "approval_asked") is None:
        return ""
    for key in ("approved", "denied"):
        if said := _noted(history, key):
            at = datetime.fromisoformat(str(said["at"]))
            note = f" ({said['note']})" if said["note"] else ""
            return f"{key} by {said['by']} at {at:%Y-%m-%d %H:%M:%S} UTC{note}"
    return "asked for, and not given"


def waits(history: History) -> bool:
    """Whether a run stands waiting for a decision."""
    asked = _noted(history, "approval_asked") is not None
    is_over = any(set(e.body) & {"approved", "denied", "ended_by"} for e in history.of(EventKind.NOTED))
    return asked and not is_over and not history.of(EventKind.JUDGED)


def _noted(history: History, key: str) -> dict[str, object] | None:
    return next((e.body[key] for e in history.of(EventKind.NOTED) if key in e.body), None)


def _finding(verdict: Verdict, expected: str, seen: str, advice: str = "") -> Finding:
    return Finding(check="approval", verdict=verdict, expected=expected, seen=seen, advice=advice)
