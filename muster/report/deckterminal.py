"""The deck on a terminal: a table of plans, then what needs attention, who owns it, and what to run.

Promises: every state is a word and a sign before it is a colour; nothing that a plan or a run says is taken as markup
or as a terminal sequence; 80 columns are enough; a terminal that shows only ASCII gets the same words.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from muster.cadence.states import State
from muster.deck import wording
from muster.deck.model import Deck, Row, Trouble
from muster.quantity import count_of, format_seconds
from muster.report.wording import printable, shortened

STYLES = {"fail": "bold red", "inconclusive": "yellow", "pass": "green"}
OUTCOMES = {"passed": "green", "failed": "bold red", "missed": "red"}
"""Styles of outcomes; the others are yellow."""
_ASCII = str.maketrans("✓✕○≠◷–·…→▁▂▃▄▅▆▇█", "+xo#@--~>...::||#")
_LONGEST = 400
_NARROW = 72
"""Columns from which what was measured has its place; below, the plan's name would have none."""
_WIDE = 100
"""Columns from which the last outcome has its own place."""
_UNITS = ((72 * 3600, 86400, "d"), (600 * 60, 3600, "h"), (180, 60, "m"), (0, 1, "s"))
"""The least objective, in seconds, that is told in a unit; the unit's size and sign."""
_ROUGH = ((2 * 86400, 86400, "d"), (2 * 3600, 3600, "h"), (60, 60, "min"))


def render_deck(deck: Deck, console: Console, *, most: int) -> None:
    """Print the deck. More than `most` plans are shown as those that need attention, `most` at once."""
    plans = [row for row in deck.rows if row.plan]
    for trouble in deck.troubles:
        _trouble(trouble, deck.at, console)
    shown = plans if len(plans) <= most else [row for row in wording.gravest_first(plans) if needs_attention(row)]
    if shown:
        console.print(_table(shown[:most], deck.at, console))
    if notable := [row for row in shown[:most] if row.state is not State.FRESH]:
        console.print()
        console.print(_attention(notable, console))
    if seen := [row for row in shown[:most] if row.ready]:
        from muster.report.readyterminal import render_readiness

        console.print()
        render_readiness(seen, deck.at, console)
    if shown:
        console.print()
    _summary(deck, plans, len(shown[:most]), console)


def needs_attention(row: Row) -> bool:
    """Whether somebody has to act, for what was proven or for what was seen."""
    return is_behind(row) or wording.is_unready(row)


def is_behind(row: Row) -> bool:
    """Whether the plan is to be drilled."""
    return row.state not in wording.HEALTHY


def text_of(console: Console, value: str, style: str = "") -> Text:
    """A value as text that this terminal can show, on one line."""
    value = printable(shortened(value, _LONGEST))
    if console.options.ascii_only:
        value = value.translate(_ASCII).encode("ascii", "replace").decode()
    return Text(value, style)


def state_of(console: Console, state: State) -> Text:
    """The state with its sign and colour."""
    return text_of(console, wording.signed(state), STYLES[wording.TONES[state]])


def rough(seconds: float) -> str:
    """A span as people say it, in one unit: `under 1 min`, `5 min`, `30 h`, `3 d`."""
    return next((f"{int(seconds // size)} {unit}" for least, size, unit in _ROUGH if seconds >= least), "under 1 min")


def ago(moment: datetime | None, now: datetime) -> str:
    """`3 d ago`; `never` for no moment; a moment ahead of the clock is said to be so."""
    if moment is None:
        return "never"
    seconds = (now - moment).total_seconds()
    return f"{rough(seconds)} ago" if seconds >= 0 else f"in {rough(-seconds)}"


def due(row: Row, now: datetime) -> str:
    """The next due time in words: `in 2 d`, or `since 4 h` when it is over; `running` while a run is open."""
    if row.running:
        return "running"
    if row.due_at is None:
        return ""
    seconds = (row.due_at - now).total_seconds()
    return f"in {rough(seconds)}" if seconds > 0 else f"since {rough(-seconds)}"


def measured(console: Console, seconds: float | None, objective: float | None) -> Text:
    """A measurement beside its objective, in the objective's unit: `8.1 of 120 s`, `2.2 s of 10 m`; red beyond it."""
    if objective is None:
        return text_of(console, "" if seconds is None else format_seconds(seconds))
    size, unit = next(
        (size, unit) for least, size, unit in _UNITS if size == 1 or (objective >= least and objective % size == 0)
    )
    if seconds is None:
        return text_of(console, f"– of {objective / size:g} {unit}", "dim")
    value = seconds / size
    told = format_seconds(seconds) if value < 0.1 else f"{value:.1f}" if value < 10 else f"{value:.0f}"
    return text_of(console, f"{told} of {objective / size:g} {unit}", STYLES["fail"] if seconds > objective else "")


def outcome_of(console: Console, outcome: str | None) -> Text:
    """How a run ended, in its colour."""
    return text_of(console, outcome, OUTCOMES.get(outcome, "yellow")) if outcome else Text()


def table_of(*heads: str, folds: str = "") -> Table:
    """A table without lines, in which only the column `folds` gives way."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in heads:
        table.add_column(head, no_wrap=head != folds, overflow="fold")
    return table


def _table(rows: Sequence[Row], now: datetime, console: Console) -> Table:
    room = (console.width >= _NARROW) * 2 + (console.width >= _WIDE)
    heads = ("state", "plan", "last pass", "due", *("RTO", "RPO", "last run")[:room])
    table = table_of(*heads, folds="plan")
    for row in rows:
        cells = (
            state_of(console, row.state),
            text_of(console, row.plan, "bold"),
            text_of(console, ago(row.pass_at, now)),
            text_of(console, due(row, now)),
            measured(console, row.rto_seconds, row.rto_objective),
            measured(console, row.rpo_seconds, row.rpo_objective),
            outcome_of(console, row.last_outcome),
        )
        table.add_row(*cells[: len(heads)])
    return table


def _trouble(trouble: Trouble, now: datetime, console: Console) -> None:
    style = STYLES["fail"] if trouble.severity == "critical" else STYLES["inconclusive"]
    subject = "" if trouble.subject in ("muster", "watch") else f"{trouble.subject}: "
    seconds = (now - trouble.since).total_seconds()
    since = f", since {rough(seconds)}" if seconds >= 60 else ""
    console.print(text_of(console, f"! {subject}{trouble.words}{since}", style))


def _attention(rows: Iterable[Row], console: Console) -> Table:
    """Why each is not fresh; of what somebody has to act on also who, and what to run."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        told = text_of(console, row.plan, "bold") + text_of(console, f": {row.why}")
        if is_behind(row):
            told += text_of(console, f"; owner: {row.owner}")
        table.add_row(state_of(console, row.state), told)
        if is_behind(row):
            table.add_row("", text_of(console, f"→ {next_move(row)}"))
    return table


def next_move(row: Row) -> str:
    """What to run for a plan that needs attention."""
    return f"muster run {row.plan} --reason WHY"


def _summary(deck: Deck, plans: Sequence[Row], shown: int, console: Console) -> None:
    if not plans:
        console.print(text_of(console, "There are no plans. See docs/restore.md for how to write one."))
    else:
        rest = len(plans) - shown
        more = f" ({rest:,} not shown: muster status --all)" if rest else ""
        console.print(text_of(console, f"{count_of(len(plans), 'plan', 'plans')}: {wording.counts_of(plans)}{more}"))
    if uncovered := uncovered_of(deck.rows):
        console.print(text_of(console, f"no plan drills: {', '.join(uncovered)}", "dim"))


def uncovered_of(rows: Iterable[Row]) -> list[str]:
    """Kinds of drill that no plan covers."""
    return [row.kind for row in rows if not row.plan]
