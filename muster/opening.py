"""Opening a run: who asks for it and why, its row in the ledger, and the first event of its journal.

Promises: the slot is claimed before anything is written; the first event holds all that judging will need.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from muster import __version__
from muster.cards import card_of
from muster.clock import AHEAD
from muster.errors import Refusal
from muster.ledger import Ledger, NewRun, Proof, Trigger
from muster.ledger.standing import LastLook
from muster.ownership import LEASE_SECONDS, this_process
from muster.plan import Plan
from muster.quantity import format_seconds
from muster.readiness.states import ready_of
from muster.saga import Injection


@dataclass(frozen=True)
class Request:
    """Why a run starts, and what is asked of it beyond its plan."""

    reason: str
    trigger: Trigger = Trigger.COMMAND_LINE
    scheduled_at: datetime | None = None
    """The due time that it serves; a run on demand is its own slot, at the moment in which it is asked for."""
    injection: Injection | None = None
    flow_run: str = ""
    """Id of the Prefect flow run that runs it, if one does."""
    requested_by: str = ""
    """Who asks for it, as stated; nobody for a schedule."""


def opening_of(ledger: Ledger, brief: Mapping[str, Any], plan: Plan, request: Request) -> dict[str, Any]:
    """What the journal opens with: all that the checks may need and the run itself does not measure."""
    return {
        **brief,
        "plan_digest": plan.digest,
        "substance": plan.substance,
        "reason": request.reason,
        "trigger": request.trigger.value,
        "scheduled_at": request.scheduled_at.astimezone(UTC).isoformat() if request.scheduled_at else "",
        "requested_by": request.requested_by,
        "flow_run": request.flow_run,
        "muster": __version__,
        "last_proven": proof_words(ledger.last_proof(plan.kind)),
        "last_look": look_words(plan, ledger.last_look(plan.name), ledger.now()),
    }


def assert_has_come(plan: Plan, request: Request, now: datetime) -> None:
    """Raise a `Refusal` when the slot is yet to come by the ledger's clock: its pass would stay fresh for too long."""
    due = (request.scheduled_at or now).astimezone(UTC)
    if due - now > AHEAD:
        raise Refusal(
            f"the slot {due:%Y-%m-%d %H:%M} UTC of plan {plan.name} is yet to come: the ledger's clock says"
            f" {now:%Y-%m-%d %H:%M} UTC",
            "set the clock that is wrong, this machine's or the ledger's, and start it again",
        )


def open_run(ledger: Ledger, plan: Plan, request: Request, now: datetime) -> str:
    """Claim the slot and lease the run to this process; `SlotTaken` when the slot has its run."""
    run = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{plan.name}-{secrets.token_hex(3)}"
    ledger.open_run(
        NewRun(
            run=run,
            plan=plan.name,
            plan_digest=plan.digest,
            substance=plan.substance,
            kind=plan.kind,
            target_type=str(plan.target["type"]),
            scheduled_at=request.scheduled_at,
            trigger=request.trigger,
            reason=request.reason,
            requested_by=request.requested_by,
            flow_run=request.flow_run,
            owner=this_process(),
            lease_seconds=LEASE_SECONDS,
        )
    )
    return run


def proof_words(proof: Proof | None) -> str:
    """When the negative controls were last run, and what they caught."""
    if proof is None:
        return "never: run `muster prove` to show that the checks catch planted faults"
    return (
        f"{proof.at:%Y-%m-%d %H:%M} UTC: {proof.caught} of {proof.planted} planted faults caught,"
        f" {proof.quiet} of {proof.healthy} healthy forms passed"
    )


def look_words(plan: Plan, last: LastLook | None, now: datetime) -> str:
    """What the newest look at the plan's target saw, when and by whom; nothing where there is no such look."""
    ready = ready_of(card_of(plan), last, now)
    if ready is None or ready.looked_at is None:
        return f"{ready.state}: {ready.why}" if ready else ""
    why = f" ({ready.why})" if ready.why else ""
    age = format_seconds(max(0.0, (now - ready.looked_at).total_seconds()))
    return f"{ready.state}{why}, last looked at {ready.looked_at:%Y-%m-%d %H:%M:%S} UTC by {ready.by}, {age} before"
