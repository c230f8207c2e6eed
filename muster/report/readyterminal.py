"""Readiness on a terminal: what was seen of each target, apart from what its drills proved.

Promises: those of `muster.report.deckterminal`.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from muster.deck import wording
from muster.deck.model import Row
from muster.readiness.states import Readiness, Ready
from muster.report.deckterminal import STYLES, ago, rough, table_of, text_of
from muster.report.wording import shortened

if TYPE_CHECKING:
    from muster.ledger import Look


_WIDE, _LONGEST = 72, 24


class Looked(NamedTuple):
    """One plan whose target was to be looked at now."""

    plan: str
    owner: str
    ready: Ready
    look: "Look | None"
    """`None` when it was left out."""


def render_looks(looked: Sequence[Looked], now: datetime, console: Console) -> None:
    """Print what was found just now, and what speaks against each."""
    if not looked:
        console.print(text_of(console, "No plan here has a target that can be looked at: nothing was seen."))
        return
    table = table_of("readiness", "plan", "so for", "checks", folds="plan")
    for one in looked:
        table.add_row(
            readiness_of(console, one.ready),
            text_of(console, one.plan, "bold"),
            text_of(console, _lasted(one.ready, now)),
            text_of(console, _counts(one.look)),
        )
    console.print(table)
    if any(one.ready.state is not Readiness.READY for one in looked):
        console.print()
        console.print(_against(looked, console))
    console.print()
    console.print(text_of(console, "A look is no proof: `muster status` tells what drills proved.", "dim"))


def render_readiness(rows: Sequence[Row], now: datetime, console: Console) -> None:
    """Print what was last seen of these plans' targets, beside when a drill last proved them."""
    heads = ("readiness", "plan", "looked at", "proven by drill", *(("by",) if console.width >= _WIDE else ()))
    table = table_of(*heads, folds="plan")
    looked = [Looked(row.plan, row.owner, row.ready, None) for row in rows if row.ready]
    for one, row in zip(looked, rows, strict=True):
        cells = (
            readiness_of(console, one.ready),
            text_of(console, one.plan, "bold"),
            text_of(console, ago(one.ready.looked_at, now)),
            text_of(console, ago(row.pass_at, now)),
            text_of(console, shortened(one.ready.by, _LONGEST)),
        )
        table.add_row(*cells[: len(heads)])
    console.print(table)
    if any(wording.is_unready(row) for row in rows):
        console.print()
        console.print(_against(looked, console))


def readiness_of(console: Console, ready: Ready) -> Text:
    """The readiness with its sign and colour."""
    return text_of(console, wording.ready_signed(ready), STYLES[wording.READY_TONES[ready.state]])


def ready_lines(ready: Ready, now: datetime) -> tuple[str, ...]:
    """A target's readiness in full, for its plan's card."""
    looked = f", looked at {ago(ready.looked_at, now)} by {ready.by}" if ready.looked_at else ""
    since = f", so for {_lasted(ready, now)}" if ready.since else ""
    first = f"{wording.ready_signed(ready)}{looked}{since}; every {wording.span(ready.every_seconds)}"
    return tuple(line for line in (first, ready.why, f"→ {ready.advice}" if ready.advice else "") if line)


def _against(looked: Iterable[Looked], console: Console) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in looked:
        if one.ready.state is Readiness.READY:
            continue
        sign = readiness_of(console, one.ready)
        for words, advice in _troubles(one):
            table.add_row(sign, text_of(console, one.plan, "bold") + text_of(console, f": {words}; owner: {one.owner}"))
            if advice:
                table.add_row("", text_of(console, f"→ {advice}"))
            sign = Text()
    return table


def _troubles(one: Looked) -> list[tuple[str, str]]:
    """What speaks against it, and the next move: every finding of this look, or the last one's gravest."""
    against = [f for f in one.look.findings if f.verdict not in (None, "pass")] if one.look else []
    return [(f"{f.check}: {f.seen}", f.advice) for f in against] or [(one.ready.why, one.ready.advice)]


def _lasted(ready: Ready, now: datetime) -> str:
    return rough(max(0.0, (now - ready.since).total_seconds())) if ready.since else ""


def _counts(look: "Look | None") -> str:
    if look is None:
        return "not looked at"
    words = [finding.word for finding in look.findings]
    return " · ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words)) or "none"
