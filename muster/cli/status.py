"""`muster status`: where every plan stands against its cadence, what is due, and why; one plan with its history."""

import json
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from rich.console import Console

from muster.cards import PlanCard
from muster.deck import wording
from muster.deck.model import Deck, Row
from muster.deck.reading import read_deck
from muster.errors import UsageError
from muster.ledger.standing import RunGlance
from muster.report.deckterminal import needs_attention, render_deck, uncovered_of
from muster.settings import Settings
from muster.verdict import ExitCode

SCHEMA = "muster.status/1"
_MOST = 200
"""With more plans than this only those that need attention are shown, unless all are asked for."""
_LATEST, _HISTORY = 5, 100
"""Runs that a card shows, and a history."""


class Options(NamedTuple):
    """What is asked for."""

    plan: str | None = None
    history: bool = False
    everything: bool = False
    as_json: bool = False


def status(settings: Settings, options: Options, console: Console | None = None) -> int:
    """Print where plans stand. It is no gate: whatever it finds, the exit code is 0."""
    if options.history and options.plan is None:
        raise UsageError("--history needs a plan", "muster status PLAN --history")
    deck = read_deck(settings)
    console = console or Console()
    if options.plan is not None:
        _one(settings, options, deck, console)
    elif options.as_json:
        print(json.dumps(as_data(deck, [row for row in deck.rows if row.plan])))
    else:
        render_deck(deck, console, most=len(deck.rows) if options.everything else _MOST)
    return ExitCode.PASS


def _one(settings: Settings, options: Options, deck: Deck, console: Console) -> None:
    from muster.ledger.glance import history

    row = _row(deck, str(options.plan).rsplit("/", 1)[-1].removesuffix(".yaml"), settings)
    runs = history(settings.ledger_url, row.plan, _HISTORY if options.history else _LATEST)
    if options.as_json:
        print(json.dumps(as_data(deck, [row], runs)))
        return
    from muster.report.planterminal import render_card, render_history

    if options.history:
        render_history(row, runs, deck.at, console)
    else:
        render_card(row, _card(settings, row.plan), runs, deck.at, console)


def _row(deck: Deck, name: str, settings: Settings) -> Row:
    rows = {row.plan: row for row in deck.rows if row.plan}
    if name not in rows:
        near = get_close_matches(name, rows, n=3)
        advice = f"did you mean {' or '.join(near)}?" if near else "see `muster status` for the plans there are"
        raise UsageError(f"there is no plan {name!r} in {settings.plans}", advice)
    return rows[name]


def _card(settings: Settings, name: str) -> PlanCard:
    from muster.planindex import plan_cards

    cards = plan_cards(settings.plans, settings.root / "plans.index.json")
    return next(card for card in cards if card.name == name)


def as_data(deck: Deck, rows: list[Row], runs: tuple[RunGlance, ...] | None = None) -> dict[str, Any]:
    """Rows of a deck for programs, as in docs/schemas/status.schema.json; `runs` where one plan was asked for."""
    told = {
        "schema": SCHEMA,
        "at": deck.at.isoformat(),
        "watched_at": deck.watched_at.isoformat() if deck.watched_at else None,
        "summary": wording.counts_of(rows) or "no plans",
        "plans": [{**_plain(row), "needs_attention": needs_attention(row)} for row in rows],
        "uncovered": uncovered_of(deck.rows),
        "troubles": _plain(deck.troubles),
    }
    return told if runs is None else told | {"runs": _plain(runs)}


def _plain(value: Any) -> Any:
    """Tuples with names as objects, other sequences as lists, moments as text, the rest as it is."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        named = getattr(value, "_asdict", None)
        return {k: _plain(v) for k, v in named().items()} if named else [_plain(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value
