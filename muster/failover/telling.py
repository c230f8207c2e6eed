"""How a failover rehearsal is told: its measures, phases and facts, all from the journal."""

import socket
from typing import Any

from muster.drill import Told
from muster.failover.observations import (
    Accounting,
    Cast,
    Detected,
    FailedBack,
    Fenced,
    Load,
    NodeState,
    Promoted,
    Rejoined,
    Rerouted,
    Salvaged,
    StageLoss,
    Struck,
    Surveyed,
    Takeover,
    Verified,
)
from muster.failover.section import spec_of
from muster.failover.spec import FailoverSpec
from muster.finding import Finding
from muster.identity import Identity
from muster.journal import EventKind, History
from muster.phases import phases_of
from muster.plan import Plan
from muster.quantity import count_of, format_bytes, format_seconds
from muster.summary import Measure, Phase
from muster.verdict import Verdict

RECOVERY = ("detect", "fence", "prove-fence", "promote", "reroute")
_VERIFICATION = ("survey", "verify", "salvage", "verify-again", "account")


def tell(history: History, plan: Plan) -> Told:
    """The rehearsal's part of a summary."""
    return Told(
        target=_target(history, plan),
        measures=_measures(history, plan),
        phases=phases_of(history, _placed),
        facts=tuple(_facts(history, plan)),
    )


def _placed(phase: Phase) -> Phase:
    lane = "recovery" if phase.name in RECOVERY else "verification" if phase.name in _VERIFICATION else "load"
    return phase.model_copy(update={"lane": lane, "counts": lane == "recovery"})


def _target(history: History, plan: Plan) -> str:
    identity = history.latest(Identity)
    if identity is None:
        return f"{plan.target['type']}, which proved no identity"
    known = f"system identifier {identity.system_identifier}, " if identity.system_identifier else ""
    return f"{plan.target['type']}: {identity.description} ({known}{identity.proof})"
