"""How the portal puts things into words: outcomes with their signs and colours, gaps, measures.

Promises: no outcome is told by colour alone; a run "supports" controls or "does not show" what they ask for.
"""

from collections.abc import Sequence

from muster.portal.coverage import Attempt
from muster.portal.gaps import MEANINGS, Gap, Lack, counted, minute
from muster.portal.outcomes import OUTCOMES, TONES, UNKNOWN, UNSEALED
from muster.portal.reading import Measured, Run, text
from muster.quantity import count_of, format_seconds

__all__ = ["MEANINGS", "OUTCOMES", "TONES", "counted", "format_seconds", "minute", "text"]

GAP_MARKS = {
    Gap.CONTRADICTED: UNKNOWN,
    Gap.UNSEALED: UNSEALED,
    Gap.OVERDUE: "overdue",
    Gap.MISSED: "missed",
    Gap.UNREAD: UNKNOWN,
    Gap.LATE: "late",
}
"""The shape beside each kind of gap."""


def headline(runs: Sequence[Run], lacks: Sequence[Lack]) -> str:
    """The whole in one line."""
    if not runs and not lacks:
        return "Nothing is sealed yet"
    gaps = count_of(len(lacks), "gap", "gaps") if lacks else "no gap is known"
    return f"{count_of(len(runs), 'run', 'runs')}, {gaps}"


def entries(count: int) -> str:
    """So many entries."""
    return count_of(count, "entry", "entries")


def objective(measured: Measured | None) -> str:
    """`8.1 s of 120.0 s`, for the list without script."""
    if measured is None or (measured.seconds is None and measured.objective is None):
        return "–"
    told = "not measured" if measured.seconds is None else format_seconds(measured.seconds)
    return told if measured.objective is None else f"{told} of {format_seconds(measured.objective)}"


ANSWERS = {"refused": "pass", "accepted": "inconclusive"}
"""The colour of a store's answer to an attempt that did no harm; any other answer is unclear."""


def answered(attempt: Attempt) -> str:
    """The colour of an attempt: harm is worse than any answer."""
    return "fail" if attempt.harm else ANSWERS.get(attempt.answer, "inconclusive")
