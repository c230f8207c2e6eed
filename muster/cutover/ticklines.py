"""The picture of a cutover as data: who started how many ticks when, what went wrong, and where ticks changed hands."""

from muster.cutover.measuring import handovers, reckoned
from muster.cutover.ownership import Side
from muster.journal import History
from muster.summary import Mark, TickColumn, TickLines


def ticklines_of(history: History) -> TickLines | None:
    """`None` where nothing was accounted for."""
    book = reckoned(history)
    if book is None or not book.expected:
        return None
    return TickLines(
        column_seconds=book.column_seconds,
        began=book.began,
        sides=tuple(str(side) for side in Side),
        columns=tuple(
            TickColumn(start=c.start, started={str(s): c.started.get(s, 0) for s in Side}, wrong=c.wrong)
            for c in book.columns
        ),
        marks=tuple(
            Mark(name=f"to {one.activated.into}", at=(one.drained.watermark - book.began).total_seconds())
            for one in handovers(history)
        ),
    )
