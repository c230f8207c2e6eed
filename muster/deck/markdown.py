"""The deck as GitHub-flavoured Markdown: for a page's section, a step summary, a comment, the terminal.

Promises: the same deck always gives the same text; what asks for action stands first, and what is not listed is counted
by state; nothing from a plan can become a link, HTML, a mention, a table cell or a block.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

from muster.cadence.states import State
from muster.deck import wording
from muster.deck.model import Deck, Row, Trouble
from muster.report.markdown import escaped

MOST_HEALTHY, MOST_ROWS = 200, 1000
"""Healthy rows beyond the first 200, and any beyond 1,000, are counted: no forge shows a table of ten thousand."""
_REFERENCE = re.compile(r"(@|(?<![&\w])[#!])(?=\w)")  # what a forge would make a mention or a reference to an issue
_PLAIN = re.compile(r"[\w./:=+-]+", re.ASCII)
_HEAD = "| signal | value | notes |\n| --- | --- | --- |"


def render_markdown(
    deck: Deck, *, room: int | None = None, line_break: str = "<br>", to_the_minute: bool = False
) -> str:
    """The deck without a heading of its own, ending in a newline.

    `room` is the most bytes (UTF-8) it may take: rows that do not fit are counted by state, the healthiest first.
    `line_break` parts the lines of a cell. `to_the_minute` says when the deck was drawn; else only the day, so that a
    page under version control does not change while nothing happens.
    """
    rows = wording.gravest_first(deck.rows)
    listed = wording.listed(rows, MOST_HEALTHY, MOST_ROWS)
    before = "\n\n".join((_head(deck, to_the_minute=to_the_minute), *_troubles(deck)))
    left = None if room is None else room - len(before.encode()) - _AROUND
    lines = _that_fit((_line(row, deck, line_break, to_the_minute=to_the_minute) for row in listed), left)
    shown = set(map(id, listed[: len(lines)]))
    parts = (before, _table(lines), _folded([row for row in rows if id(row) not in shown]), _foot(deck))
    return "\n\n".join(part for part in parts if part) + "\n"


def text(value: str) -> str:
    """Text that stays text in Markdown, wherever it stands in a line, on GitHub and GitLab too."""
    return _REFERENCE.sub(r"\1&#8203;", escaped(wording.line(value)))


def _head(deck: Deck, *, to_the_minute: bool) -> str:
    at = wording.minute(deck.at) if to_the_minute else wording.day(deck.at)
    counts = wording.counts_of(deck.rows)
    return f"**{wording.headline(deck)}.** As of {at}." + (f"\n\n{counts}" if counts else "")


def _troubles(deck: Deck) -> Iterable[str]:
    if deck.troubles:
        yield "\n".join(map(partial(_trouble, at=deck.at), deck.troubles))


def _trouble(trouble: Trouble, at: datetime) -> str:
    since = "" if trouble.since == at else f" (since {wording.minute(trouble.since)})"
    return f"- **{text(trouble.severity)}**: {text(trouble.subject)}: {text(trouble.words)}{since}"


def _table(lines: Sequence[str]) -> str:
    return "\n".join((_HEAD, *lines)) if lines else ""


def _that_fit(lines: Iterable[str], room: int | None) -> list[str]:
    if room is None:
        return list(lines)
    fitting: list[str] = []
    for line in lines:
        room -= len(line.encode()) + 1
        if room < 0:
            break
        fitting.append(line)
    return fitting


def _folded(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    return f"And {len(rows):,} more: {wording.counts_of(rows)}. `muster deck --json` lists every one."


def _line(row: Row, deck: Deck, line_break: str, *, to_the_minute: bool) -> str:
    cells = (_signal(row), _value(row, deck, to_the_minute=to_the_minute), _notes(row, deck))
    return f"| {' | '.join(line_break.join(part for part in cell if part) for cell in cells)} |"


def _signal(row: Row) -> tuple[str, ...]:
    if not row.plan:
        return (f"**{text(row.kind)}**",)
    return f"**{text(row.plan)}**", f"{text(row.kind)}, {text(row.environment)}"


def _value(row: Row, deck: Deck, *, to_the_minute: bool) -> tuple[str, ...]:
    passed = f": passed {wording.day(row.pass_at)}, {wording.age_beside_cadence(row, deck.at)}" if row.pass_at else ""
    return (
        f"{wording.MARKS[row.state]} **{row.state}**{passed}",
        _readiness(row, to_the_minute=to_the_minute),
        _measure("RTO", row, "rto_seconds", row.rto_seconds, row.rto_objective),
        _measure("RPO", row, "rpo_seconds", row.rpo_seconds, row.rpo_objective),
    )


def _readiness(row: Row, *, to_the_minute: bool) -> str:
    """What was seen, apart from what was proven, and said to be so."""
    if row.ready is None:
        return ""
    looked = text(wording.looked_words(row.ready, to_the_minute=to_the_minute))
    seen = f"{wording.READY_MARKS[row.ready.state]} **{row.ready.state}** ({wording.NO_PROOF})"
    return "; ".join(part for part in (seen, looked, f"**{text(row.ready.why)}**" if row.ready.why else "") if part)


def _measure(name: str, row: Row, measure: str, measured: float | None, objective: float | None) -> str:
    words = wording.measured_beside_objective(measured, objective)
    return f"{name} {words} {wording.trend(row, measure)}".rstrip() if words else ""


def _notes(row: Row, deck: Deck) -> tuple[str, ...]:
    why = "" if row.state is State.FRESH else f"**{text(row.why)}**"
    if not row.plan:
        return (why,)
    return (
        why,
        f"running now: {_code(row.running)}" if row.running else "",
        f"{text(row.cadence)}{wording.due_words(row, deck.at)}",
        f"owner: {text(row.owner)}",
        f"controls: {text(', '.join(row.controls))}" if row.controls else "",
        f"negative controls: {wording.proven_words(row)}",
        f"evidence: {_code(row.evidence)}" if row.evidence else "",
    )


def _code(value: str) -> str:
    return f"`{value}`" if _PLAIN.fullmatch(value) else f"<code>{text(value)}</code>"


def _foot(deck: Deck) -> str:
    return (
        "Bars show the last runs, the oldest first: `█` is beyond the objective, `·` a run that measured nothing."
        f" Written by Muster {text(deck.muster)}; the evidence store holds the proof."
    )


_AROUND = 600
"""Bytes kept for the head of the table, the line of what is folded, and the foot."""
