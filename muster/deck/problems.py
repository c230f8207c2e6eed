"""What on a deck asks for action, as one flat list: annotations and code quality reports are drawn from it.

Promises: every row that is not healthy, every target that is not seen ready and every trouble is on it, the gravest
first.
"""

from typing import NamedTuple

from muster.cadence.states import State
from muster.deck import wording
from muster.deck.model import Deck, Row, Trouble
from muster.readiness.states import Ready

_URGENT = frozenset({State.FAILING, State.OVERDUE})


class Problem(NamedTuple):
    """One thing to act on, in printable single lines."""

    subject: str
    condition: str
    words: str
    is_urgent: bool
    """Whether a promise is broken now, as opposed to not shown to be kept."""
    path: str
    """The plan's file; empty where there is none."""


def problems_of(deck: Deck) -> tuple[Problem, ...]:
    """Troubles of Muster itself first: while it is stopped or unwatched, the rest may be worse than it looks."""
    rows = wording.gravest_first(deck.rows)
    behind = (row for row in rows if row.state not in wording.HEALTHY)
    targets = (_of_target(row, row.ready) for row in rows if row.ready and wording.is_unready(row))
    return (*map(_of_trouble, deck.troubles), *map(_of_row, behind), *targets)


def _of_trouble(trouble: Trouble) -> Problem:
    words = f"{trouble.words} (since {wording.minute(trouble.since)})"
    is_urgent = trouble.severity == "critical"
    return Problem(wording.line(trouble.subject), wording.line(trouble.condition), wording.line(words), is_urgent, "")


def _of_row(row: Row) -> Problem:
    words = f"{row.why}; last pass {wording.day(row.pass_at)}" if row.pass_at else row.why
    told = wording.line(f"{words}; owner: {row.owner}" if row.plan else words)
    subject = wording.line(row.plan or f"{row.kind} drills")
    return Problem(subject, row.state.value, told, row.state in _URGENT, wording.line(row.path))


def _of_target(row: Row, ready: Ready) -> Problem:
    """What was seen breaks no promise yet: the next drill would."""
    told = wording.line(f"{ready.why}; owner: {row.owner}")
    return Problem(wording.line(row.plan), ready.state.value, told, False, wording.line(row.path))
