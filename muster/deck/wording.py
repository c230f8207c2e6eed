"""How a deck is put into words: the same on a page, in a comment, on a badge and in the terminal.

Promises: no state is told by colour alone; an age is told in the unit of its cadence, so that a page of monthly
drills changes once a day at most while nothing happens.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice

from muster.cadence.states import State
from muster.deck.model import Deck, Row
from muster.ledger.standing import Mark
from muster.quantity import format_seconds
from muster.readiness.states import Readiness, Ready
from muster.report.wording import printable

MARKS = {
    State.FAILING: "✕",
    State.OVERDUE: "!",
    State.NEVER: "○",
    State.CHANGED: "≠",
    State.DUE: "◷",
    State.FRESH: "✓",
}
"""A sign beside each word, the gravest state first."""
GRAVITY = {state: place for place, state in enumerate(MARKS)}
HEALTHY = frozenset({State.DUE, State.FRESH})
"""States in which nobody has to act yet: the last drill passed, and its grace is not over."""
TONES = {
    State.FAILING: "fail",
    State.OVERDUE: "fail",
    State.NEVER: "inconclusive",
    State.CHANGED: "inconclusive",
    State.DUE: "pass",
    State.FRESH: "pass",
}
"""The verdict whose colour a state wears."""
READY_MARKS = {Readiness.NOT_READY: "✕", Readiness.NOT_SEEN: "○", Readiness.READY: "✓"}
READY_TONES = {Readiness.NOT_READY: "fail", Readiness.NOT_SEEN: "inconclusive", Readiness.READY: "pass"}
NO_PROOF = "a look, not a proof"
"""Stands beside every readiness that is shown where proofs are."""

_BARS = "▁▂▃▄▅▆▇"
_OVER = "█"
_NOTHING = "·"
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def line(value: str) -> str:
    """`printable`, at once for what is printable already: a deck has a hundred thousand strings."""
    return value if value.isprintable() else printable(value)


def name_of(row: Row) -> str:
    """The plan, or the kind that no plan covers."""
    return row.plan or row.kind


def signed(state: State) -> str:
    """The state with its sign: `✕ failing`."""
    return f"{MARKS[state]} {state}"


def ready_signed(ready: Ready) -> str:
    """What was seen of a target, with its sign: `✓ ready`."""
    return f"{READY_MARKS[ready.state]} {ready.state}"


def looked_words(ready: Ready, *, to_the_minute: bool) -> str:
    """When and by whom a target was last looked at: `looked at 2026-11-24 by watch@db1, so since 2026-11-20`."""
    if ready.looked_at is None:
        return ""
    told = minute if to_the_minute else day
    since = f", so since {told(ready.since)}" if ready.since else ""
    return f"last looked at {told(ready.looked_at)} by {ready.by}{since}"


def is_unready(row: Row) -> bool:
    """Whether the target was found not ready, or was not seen."""
    return row.ready is not None and row.ready.state is not Readiness.READY


def gravest_first(rows: Iterable[Row]) -> list[Row]:
    """What asks for action first; kinds that no plan covers after all plans; by name otherwise."""
    return sorted(rows, key=lambda row: (not row.plan, GRAVITY[row.state], name_of(row)))


def listed(rows: Sequence[Row], most_healthy: int, most: int) -> list[Row]:
    """Of rows with the gravest first, those to be shown one by one where there are too many."""
    kept = (row for place, row in enumerate(rows) if place < most_healthy or row.state not in HEALTHY)
    return list(islice(kept, most))


def gravest(deck: Deck) -> State:
    """The state of the whole: that of its gravest row."""
    return min((row.state for row in deck.rows), key=GRAVITY.__getitem__, default=State.NEVER)


def counts_of(rows: Iterable[Row]) -> str:
    """How many are in which state, the gravest first: `1 failing · 2 never · 5 fresh`."""
    counted = Counter(row.state for row in rows)
    return " · ".join(f"{counted[state]:,} {state}" for state in MARKS if counted[state])


def headline(deck: Deck) -> str:
    """The whole deck in one sentence."""
    expected, fresh = len(deck.rows), sum(row.state is State.FRESH for row in deck.rows)
    if not expected:
        return "No drill is expected"
    if fresh == expected:
        return f"All {expected:,} expected drills are fresh"
    return f"{fresh:,} of {expected:,} expected drills {'is' if fresh == 1 else 'are'} fresh"


def day(at: datetime) -> str:
    """A UTC date."""
    return f"{at.astimezone(UTC):%Y-%m-%d}"


def minute(at: datetime) -> str:
    """A UTC date and time of day."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def age_beside_cadence(row: Row, now: datetime) -> str:
    """How old the last pass is beside how often one is due: `3 d of 31 d`; empty without a pass."""
    if row.pass_at is None:
        return ""
    age = max(0.0, (now - row.pass_at).total_seconds())
    size, unit = _unit_of(row.interval_seconds if row.interval_seconds is not None else age)
    count = int(age // size)
    told = f"{count} {unit}" if count else f"under 1 {unit}"
    return told if row.interval_seconds is None else f"{told} of {row.interval_seconds / size:g} {unit}"


def due_words(row: Row, now: datetime) -> str:
    """When the next pass is due, to stand behind the cadence: `, next due 2026-09-01 03:00 UTC`."""
    if row.due_at is None or row.overdue_at is None:
        return ""
    if now < row.due_at:
        return f", next due {minute(row.due_at)}"
    verb = "is to pass" if now <= row.overdue_at else "was to pass"
    return f", due {minute(row.due_at)}, {verb} by {minute(row.overdue_at)}"


def span(seconds: float) -> str:
    """A span in the largest unit that tells it exactly: `30 s`, `2 m`, `4 h`; else as measured spans are."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return format_seconds(seconds)


def measured_beside_objective(measured: float | None, objective: float | None) -> str:
    """`8.1 s of 2 m`; empty when there is neither."""
    if measured is None:
        return "" if objective is None else f"not measured, objective {span(objective)}"
    return f"{format_seconds(measured)}, no objective" if objective is None else (
        f"{format_seconds(measured)} of {span(objective)}"
    )  # fmt: skip


def sparkline(values: Sequence[float | None], objective: float | None) -> str:
    """The measurements, the oldest first, as bars; `·` is a run without one, `█` one beyond the objective.

    The scale ends at the objective, or at twice the worst measurement where that is lower: what is far below its
    objective still shows its trend.
    """
    seen = [value for value in values if value is not None]
    if not seen:
        return ""
    top = min(2 * max(seen), objective if objective else float("inf")) or 1.0
    return "".join(_NOTHING if value is None else _bar(value, top, objective) for value in values)


def trend(row: Row, measure: str) -> str:
    """The sparkline of `rto_seconds` or `rpo_seconds` over a row's recent runs."""
    objective = row.rto_objective if measure == "rto_seconds" else row.rpo_objective
    return sparkline([value_of(mark, measure) for mark in row.recent], objective)


def value_of(mark: Mark, measure: str) -> float | None:
    """What a run measured: `rto_seconds` or `rpo_seconds`."""
    return mark.rto_seconds if measure == "rto_seconds" else mark.rpo_seconds


def proven_words(row: Row) -> str:
    """The last proven negative controls: `14 of 14 caught, 3 of 3 quiet, 2026-07-30`."""
    if row.proven is None:
        return "never proven"
    proven = row.proven
    words = f"{proven.caught} of {proven.planted} caught, {proven.quiet} of {proven.healthy} quiet, {day(proven.at)}"
    return words if proven.is_complete else f"incomplete: {words}"


def _bar(value: float, top: float, objective: float | None) -> str:
    if objective is not None and value > objective:
        return _OVER
    return _BARS[min(len(_BARS) - 1, int(value / top * len(_BARS)))]


def _unit_of(seconds: float) -> tuple[int, str]:
    return next(((size, unit) for size, unit in _UNITS if seconds >= 2 * size), _UNITS[-1])
