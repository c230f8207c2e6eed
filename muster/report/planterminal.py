"""One plan on a terminal: where it stands and why, when it is due, what it is evidence for; its history with a trend.

Promises: those of `muster.report.deckterminal`.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table
from rich.text import Text

from muster.cadence.controls import BY_ID, Control
from muster.cadence.spec import Cadence
from muster.cadence.ticks import blackout_at, ticks
from muster.cards import PlanCard
from muster.deck import wording
from muster.deck.model import Row
from muster.ledger.standing import RunGlance
from muster.quantity import format_seconds
from muster.report.deckterminal import (
    ago,
    due,
    is_behind,
    measured,
    next_move,
    outcome_of,
    rough,
    state_of,
    table_of,
    text_of,
)
from muster.report.readyterminal import ready_lines
from muster.report.trend import chart

DUES = 5
"""Due times that a card names."""
_WIDE = 100


def render_card(row: Row, card: PlanCard, runs: Sequence[RunGlance], now: datetime, console: Console) -> None:
    """Print one plan's card, with its newest runs."""
    cadence = card.cadence()
    console.print(state_of(console, row.state) + "  " + text_of(console, row.plan, "bold"))
    if row.description:
        console.print(text_of(console, row.description))
    console.print()
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, lines in _lines(row, card, cadence, now, console):
        for number, line in enumerate(lines):
            table.add_row("" if number else name, line)
    console.print(table)
    if runs:
        console.print()
        console.print(_runs(runs, row, now, console))


def render_history(row: Row, runs: Sequence[RunGlance], now: datetime, console: Console) -> None:
    """Print a plan's runs, the newest first, and how RTO and RPO went."""
    console.print(state_of(console, row.state) + "  " + text_of(console, row.plan, "bold"))
    if not runs:
        console.print(text_of(console, "It has no runs yet."))
        return
    for name, measure, objective in (
        ("RTO", "rto_seconds", row.rto_objective),
        ("RPO", "rpo_seconds", row.rpo_objective),
    ):
        values: list[float | None] = [getattr(run, measure) for run in reversed(runs)]
        lines = chart(values, objective, width=console.width, ascii_only=console.options.ascii_only)
        if lines:
            against = f", objective {wording.span(objective)}" if objective is not None else ", no objective"
            console.print()
            console.print(text_of(console, f"{name}{against}; the newest run is on the right", "dim"))
            for line in lines:
                console.print(Text(line))
    console.print()
    console.print(_runs(runs, row, now, console))


def _lines(
    row: Row, card: PlanCard, cadence: Cadence, now: datetime, console: Console
) -> Iterable[tuple[str, list[Text]]]:
    def told(*values: str) -> list[Text]:
        return [text_of(console, value) for value in values]

    yield "why", told(row.why)
    if is_behind(row):
        yield "next move", told(next_move(row))
    yield "owner", told(f"{row.owner}, {row.environment}")
    yield "drill", told(f"{row.kind} of {card.target_type}")
    yield "cadence", told(f"{row.cadence}; grace {rough(cadence.grace_period.total_seconds())}, late: {cadence.late}")
    yield "due", told(due(row, now))
    yield "next slots", told(*(_slot(cadence, tick, now) for tick in islice(ticks(cadence, now), DUES)))
    yield "last pass", told(ago(row.pass_at, now) + (f", {wording.minute(row.pass_at)}" if row.pass_at else ""))
    if row.ready is not None:
        yield "readiness", told(*ready_lines(row.ready, now))
    yield "RTO", told(_measure(row, "rto_seconds"))
    yield "RPO", told(_measure(row, "rpo_seconds"))
    yield "controls", told(*(_control(control) for control in row.controls)) or told("none named")
    yield "proven", told(wording.proven_words(row))
    yield "evidence", told(row.evidence or "none yet")


def slot_words(cadence: Cadence, tick: datetime) -> str:
    """A due time in the plan's own time zone, and in UTC where that is another."""
    local = tick.astimezone(ZoneInfo(cadence.timezone))
    told = f"{local:%a %Y-%m-%d %H:%M} {local.tzname()}"
    return told if local.utcoffset() == UTC.utcoffset(None) else f"{told} ({tick.astimezone(UTC):%m-%d %H:%M} UTC)"


def _slot(cadence: Cadence, tick: datetime, now: datetime) -> str:
    blackout = blackout_at(cadence, tick)
    waived = f", waived: {blackout.reason}" if blackout else ""
    return f"{slot_words(cadence, tick)}, in {rough((tick - now).total_seconds())}{waived}"


def _measure(row: Row, measure: str) -> str:
    is_rto = measure == "rto_seconds"
    seconds, objective = (row.rto_seconds, row.rto_objective) if is_rto else (row.rpo_seconds, row.rpo_objective)
    told = wording.measured_beside_objective(seconds, objective) or "neither measured nor promised"
    return f"{told}  {wording.trend(row, measure)}".rstrip()


def _control(name: str) -> str:
    control = BY_ID.get(name)
    return f"{name}: {minimum_of(control)}" if control else name


def minimum_of(control: Control) -> str:
    """How often a control asks for a test by itself."""
    return "names no interval" if control.days is None else f"at least every {control.days} days"


def _runs(runs: Sequence[RunGlance], row: Row, now: datetime, console: Console) -> Table:
    wide = console.width >= _WIDE
    table = table_of(
        "slot", "ended as", "RTO", "RPO", "took", "asked by", *(("reason",) if wide else ()), folds="reason"
    )
    for run in runs:
        cells = (
            text_of(console, f"{run.scheduled_at.astimezone(UTC):%Y-%m-%d %H:%M}"),
            outcome_of(console, run.outcome) if run.outcome else text_of(console, "running", "bold"),
            measured(console, run.rto_seconds, row.rto_objective if run.rto_seconds is not None else None),
            measured(console, run.rpo_seconds, row.rpo_objective if run.rpo_seconds is not None else None),
            text_of(console, _took(run, now)),
            text_of(console, run.requested_by or run.trigger),
        )
        table.add_row(*cells, *((text_of(console, run.reason),) if wide else ()))
    return table


def _took(run: RunGlance, now: datetime) -> str:
    seconds = ((run.ended_at or now) - run.opened_at).total_seconds()
    return format_seconds(max(0.0, seconds))
