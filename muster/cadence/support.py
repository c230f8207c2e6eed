"""Which run that passed is evidence for which control: one rule, for packages and the portal.

Promises: a run supports a control only if its own sealed plan named it, its kind of drill is evidence for it, and it
had what the control needs besides; else it is told why not. Whether it passed and can be relied on is for the caller to
know.
"""

from collections.abc import Collection
from typing import NamedTuple

from muster.cadence.controls import INTERNAL, Control
from muster.verdict import Verdict


class Showing(NamedTuple):
    """What the seal of a run that passed shows."""

    kind: str
    controls: Collection[str]
    """Those that its plan named then."""
    approval: str
    """In words: `approved by …`, or how else it ended; empty where none was asked for."""
    rto_objective: float | None
    """In seconds; `None` where the plan had none, or RTO was not judged."""
    rto_verdict: str
    """Of the RTO; empty where it was not judged."""


def own_control(name: str) -> Control:
    """A control of which Muster knows nothing: a company's own, or one that no framework here has."""
    return Control(name, "internal", "a control of your own: Muster knows nothing of what it asks", "your own", ())


def why_not(control: Control, showing: Showing) -> str:
    """Why a run that passed does not support a control; empty where it does."""
    if control.id not in showing.controls:
        return "its plan did not name the control then"
    if showing.kind not in control.kinds and not control.id.startswith(INTERNAL):
        return f"a {showing.kind} drill is no evidence for it"
    if control.needs == "approval" and not showing.approval.startswith("approved"):
        return "nobody approved it"
    if control.needs == "objectives.rto" and not _met_its_rto(showing):
        return "no RTO was measured within an objective"
    return ""


def _met_its_rto(showing: Showing) -> bool:
    return showing.rto_objective is not None and showing.rto_verdict == Verdict.PASS
