"""How long a restore took, from the journal: phases and the recovery time.

Spans are differences of one machine's monotonic clock. `compare` looks at rows while recovery stands still: its span
is verification, never recovery.
"""

from dataclasses import dataclass
from typing import Literal

from muster.journal import EventKind, History
from muster.summary import Phase

RECOVERY = ("choose", "fetch", "restore", "replay", "promote")
_ENDS = {EventKind.SUCCEEDED: "succeeded", EventKind.FAILED: "failed"}
_UNDO_ENDS = {EventKind.UNDONE: "undone", EventKind.UNDO_FAILED: "failed"}


@dataclass(frozen=True)
class RecoveryTime:
    """Seconds of recovery so far; `complete` when the phase that stops the clock has ended well."""

    seconds: float
    complete: bool


def phases(history: History, until: Literal["serving", "verified"] = "verified") -> tuple[Phase, ...]:
    """Every step's span in order of start, then the undo as one span; an undo that failed stands by itself."""
    started = history.of(EventKind.STARTED)
    if not started:
        return ()
    origin = started[0].mono_ns
    forward = _spans(history, EventKind.STARTED, _ENDS, origin)
    back = _spans(history, EventKind.UNDO_STARTED, _UNDO_ENDS, origin)
    return (
        *(_placed(p, until) for p in forward),
        *_undo(back),
    )


def _placed(phase: Phase, until: Literal["serving", "verified"]) -> Phase:
    lane = "recovery" if phase.name in RECOVERY else "verification"
    return phase.model_copy(update={"lane": lane, "counts": lane == "recovery" or until == "verified"})


def _undo(spans: list[Phase]) -> list[Phase]:
    if not spans:
        return []
    end = max(p.start + p.seconds for p in spans)
    first = spans[0].start
    failed = [p.model_copy(update={"name": f"undo {p.name}", "lane": "undo"}) for p in spans if p.state != "undone"]
    state = "failed" if failed else "undone"
    return [Phase(name="undo", start=first, seconds=end - first, state=state, lane="undo"), *failed]


def _spans(history: History, begins: EventKind, ends: dict[EventKind, str], origin: int) -> list[Phase]:
    spans = []
    for event in history.of(begins):
        end = next((e for e in history if e.step == event.step and e.kind in ends and e.seq > event.seq), None)
        last = end or history[-1]
        spans.append(
            Phase(
                name=event.step,
                start=(event.mono_ns - origin) / 1e9,
                seconds=max(0.0, (last.mono_ns - event.mono_ns) / 1e9),
                state=ends[end.kind] if end else "cut short",
            )
        )
    return spans


def recovery_seconds(history: History, until: Literal["serving", "verified"]) -> RecoveryTime:
    """The RTO: recovery phases alone until the server serves, or all phases until it is verified."""
    counted = [p for p in phases(history, until) if p.is_counted]
    last = "inspect" if until == "verified" else "promote"
    complete = any(p.name == last and p.state == "succeeded" for p in counted)
    return RecoveryTime(sum(p.seconds for p in counted), complete)
