"""The phases of a run, from its journal: each step's span, then the undo.

Promise: spans are differences of one machine's monotonic clock.
"""

from collections.abc import Callable

from muster.journal import EventKind, History
from muster.summary import Phase

_ENDS = {EventKind.SUCCEEDED: "succeeded", EventKind.FAILED: "failed"}
_UNDO_ENDS = {EventKind.UNDONE: "undone", EventKind.UNDO_FAILED: "failed"}


def phases_of(history: History, place: Callable[[Phase], Phase]) -> tuple[Phase, ...]:
    """Every step's span in order of start, then the undo as one span; an undo that failed stands by itself.

    `place` says in which lane a step's span stands, and whether it counts towards the RTO.
    """
    started = history.of(EventKind.STARTED)
    if not started:
        return ()
    origin = started[0].mono_ns
    forward = _spans(history, EventKind.STARTED, _ENDS, origin)
    back = _spans(history, EventKind.UNDO_STARTED, _UNDO_ENDS, origin)
    return (*(place(p) for p in forward), *_undo(back))


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
