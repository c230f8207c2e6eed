"""The record of a slot that was not run: a run without steps, judged by one check.

Promises: it needs neither target nor drill; its journal holds all that judging it needs; a record whose writer died
before its first event can still be written, from the ledger's row alone.
"""

from datetime import datetime
from typing import Any

from muster.cadence.ticks import claim_deadline, next_tick
from muster.drill import Drill, Told
from muster.finding import Finding
from muster.journal import History
from muster.ledger import Run, Trigger
from muster.plan import Plan
from muster.report.wording import moment
from muster.verdict import Outcome, Verdict

_VERDICTS = {Outcome.MISSED: Verdict.FAIL, Outcome.WAIVED: Verdict.INCONCLUSIVE}


def body_of(plan: Plan, tick: datetime, outcome: Outcome, why: str) -> dict[str, str]:
    """What the journal opens with, under `unrun`."""
    return {
        "outcome": outcome.value,
        "why": why,
        "until": claim_deadline(plan.cadence, tick).isoformat(),
        "next": next_tick(plan.cadence, tick).isoformat(),
    }


def reason_of(outcome: Outcome, why: str) -> str:
    """The run's reason in the ledger; `read_reason` reads it back."""
    return f"{outcome.value}: {why}"


def read_reason(run: Run) -> tuple[Outcome, str] | None:
    """What a run was to record, if it is the record of an unrun slot."""
    word, _, why = run.reason.partition(": ")
    is_record = run.trigger is Trigger.WATCH and not run.flow_run and word in set(_VERDICTS)
    return (Outcome(word), why) if is_record else None


def is_unrun(history: History) -> bool:
    """Whether this is the journal of an unrun slot."""
    return bool(history) and "unrun" in history[0].body


def outcome_of_unrun(history: History) -> Outcome:
    """Missed or waived."""
    return Outcome(history[0].body["unrun"]["outcome"])


def headline_of_unrun(history: History) -> str:
    """The one sentence for people."""
    opened = history[0].body
    due = moment(datetime.fromisoformat(opened["scheduled_at"]))
    return f"The slot of {due} was {opened['unrun']['outcome']}: {opened['unrun']['why']}."


def slot(history: History, plan: Plan) -> Finding:
    """A run started on the slot in time."""
    opened = history[0].body
    due, until, following = (
        moment(datetime.fromisoformat(at))
        for at in (opened["scheduled_at"], opened["unrun"]["until"], opened["unrun"]["next"])
    )
    outcome = outcome_of_unrun(history)
    advice = {
        Outcome.MISSED: f"run it now with `muster run {plan.name}`; then see why nothing started it: server and worker"
        " up, plan deployed?",
        Outcome.WAIVED: f"the next slot is due at {following}; `muster run {plan.name}` drills sooner",
    }
    return Finding(
        check="slot",
        verdict=_VERDICTS[outcome],
        expected=f"a run starts between {due} and {until}",
        seen=str(opened["unrun"]["why"]),
        advice=advice[outcome],
    )


def _tell(_history: History, plan: Plan) -> Told:
    return Told(target=f"{plan.target['type']}, which was not touched", measures=(), phases=(), facts=())


def _nothing(_plan: Any) -> dict[str, Any]:
    return {}


UNRUN = Drill(kind="unrun", needs=object, steps=(), checks=(slot,), tell=_tell)
"""What stands in for the plan's drill."""
