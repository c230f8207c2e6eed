"""How long a restore took, from the journal: phases and the recovery time.

`compare` looks at rows while recovery stands still: its span is verification, never recovery.
"""

from dataclasses import dataclass
from typing import Literal

from muster.journal import History
from muster.phases import phases_of
from muster.summary import Phase

RECOVERY = ("choose", "fetch", "restore", "replay", "promote")


@dataclass(frozen=True)
class RecoveryTime:
    """Seconds of recovery so far; `complete` when the phase that stops the clock has ended well."""

    seconds: float
    complete: bool


def phases(history: History, until: Literal["serving", "verified"] = "verified") -> tuple[Phase, ...]:
    """The run's phases; what counts depends on where the RTO's clock stops."""
    return phases_of(history, lambda phase: _placed(phase, until))


def _placed(phase: Phase, until: Literal["serving", "verified"]) -> Phase:
    lane = "recovery" if phase.name in RECOVERY else "verification"
    return phase.model_copy(update={"lane": lane, "counts": lane == "recovery" or until == "verified"})


def recovery_seconds(history: History, until: Literal["serving", "verified"]) -> RecoveryTime:
    """The RTO: recovery phases alone until the server serves, or all phases until it is verified."""
    counted = [p for p in phases(history, until) if p.is_counted]
    last = "inspect" if until == "verified" else "promote"
    complete = any(p.name == last and p.state == "succeeded" for p in counted)
    return RecoveryTime(sum(p.seconds for p in counted), complete)
