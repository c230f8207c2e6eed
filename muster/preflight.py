"""Preflight: what has to hold at the moment a drill starts. Each no is a refusal with its next move."""

from datetime import datetime
from typing import Any

from muster.cadence.ticks import blackout_at, is_in_window
from muster.drill import Drill
from muster.errors import Refusal
from muster.plan import Plan
from muster.stopping import KillSwitch


def assert_not_stopped(switch: KillSwitch) -> None:
    """The kill switch is off, and can be read."""
    if reason := switch.read():
        raise Refusal(reason, "when it is safe: `muster stop-all --resume --reason ...`, and start it again")


def assert_is_time(plan: Plan, now: datetime) -> None:
    """No blackout holds, and a change window is open."""
    cadence = plan.cadence
    if blackout := blackout_at(cadence, now):
        raise Refusal(
            f"a blackout holds until {blackout.end:%Y-%m-%d %H:%M %Z}: {blackout.reason}", "start it again after that"
        )
    if not is_in_window(cadence, now):
        windows = "; ".join(f"{' '.join(w.days)} {w.start:%H:%M} to {w.end:%H:%M}" for w in cadence.windows)
        raise Refusal(
            f"now is outside the plan's change windows: {windows} ({cadence.timezone})", "start it again within one"
        )


def assert_is_capable(drill: Drill, plan: Plan, target: Any) -> None:
    """The target was opened, and offers what the drill needs."""
    if isinstance(target, Refusal):
        raise target
    if not isinstance(target, drill.needs):
        raise Refusal(
            f"a target of type {plan.target['type']!r} is not {drill.needs.__name__}",
            f"a {drill.kind} drill needs a target that is; see docs/restore.md",
        )
