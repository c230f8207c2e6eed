"""`muster gate`: whether a release may go on. One line a reason: why, who owns it, what to run."""

import json
from datetime import UTC, datetime
from pathlib import Path

import typer

from muster.cards import card_of
from muster.deck.model import Deck, build_deck
from muster.deck.reading import read_deck
from muster.errors import MusterError, UsageError
from muster.gate.judge import Decision, Gate, Reason, judge, without_source
from muster.gate.policy import load_policy
from muster.ledger.standing import Overview
from muster.quantity import count_of
from muster.report.wording import printable
from muster.settings import Settings
from muster.verdict import ExitCode

SCHEMA = "muster.gate/1"
_MOST = 200
"""Reasons that are printed for people; programs get all."""
_COLOURS = {"open": "green", "warned": "yellow", "blocked": "red", "block": "red", "warn": "yellow"}


def gate(settings: Settings, policy: Path, source: Path | None, *, as_json: bool, now: datetime | None = None) -> int:
    """Judge the deck and print the decision; exit code 0 open or warned, 1 blocked, 2 for lack of knowledge alone.

    Without `source` the ledger is read, by its own clock. A wrong policy or plan is a `UsageError` (64).
    """
    rules = load_policy(policy)
    try:
        deck = with_missing(_read_source(source), settings.plans) if source else read_deck(settings, now)
        decision = judge(rules, deck, now or (datetime.now(UTC) if source else deck.at))
    except MusterError as error:
        if source is None:
            _check_plans(settings)
        decision = without_source(error, now or datetime.now(UTC))
    if as_json:
        print(json.dumps(as_data(decision), indent=2))
    else:
        _print(decision)
    return decision.exit_code


def _read_source(path: Path) -> Deck:
    from muster.deck.jsonform import read_json

    try:
        return read_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the deck {path} cannot be read: {error}", "write it with muster deck --json FILE") from None


def with_missing(deck: Deck, plans: Path) -> Deck:
    """The deck, and each plan in our own folder that it has no row for: it was drawn elsewhere, or before that plan."""
    from muster.plan import find_plan, plan_files

    if not plans.is_dir():
        return deck  # a job needs no checkout to judge a deck
    known = {row.plan for row in deck.rows}
    missing = [find_plan(plans, path.stem) for path in plan_files(plans) if path.stem not in known]
    drawn = build_deck([card_of(plan) for plan in missing], Overview(deck.at, {}, {}, (), {}, None), deck.at)
    rows = (
        row._replace(why="never run, as far as the deck goes: it has no such plan") for row in drawn.rows if row.plan
    )
    return deck._replace(rows=(*deck.rows, *rows))


def _check_plans(settings: Settings) -> None:
    """A broken plan is an error of its own, not a source that is missing."""
    from muster.planindex import plan_cards

    plan_cards(settings.plans, settings.root / "plans.index.json")


def as_data(decision: Decision) -> dict[str, object]:
    """The decision for programs, as in docs/schemas/gate.schema.json."""
    return {
        "schema": SCHEMA,
        "at": decision.at.isoformat(),
        "gate": decision.gate.value,
        "exit_code": int(decision.exit_code),
        "judged": decision.judged,
        "reasons": [reason._asdict() for reason in decision.reasons],
    }


def _print(decision: Decision) -> None:
    typer.secho(_headline(decision), fg=_COLOURS[decision.gate], bold=True)
    for reason in decision.reasons[:_MOST]:
        typer.echo(typer.style(f"{reason.effect:<5}", fg=_COLOURS[reason.effect]) + f"  {_line(reason)}")
    if (rest := len(decision.reasons) - _MOST) > 0:
        typer.echo(f"and {rest:,} more: muster gate --json")


def _headline(decision: Decision) -> str:
    judged = count_of(decision.judged, "plan", "plans")
    if decision.gate is Gate.OPEN:
        return f"The gate is open: {judged} judged, nothing is amiss."
    blocks = sum(reason.effect == "block" for reason in decision.reasons)
    warnings = len(decision.reasons) - blocks
    counts = ((blocks, "reason", "reasons"), (warnings, "warning", "warnings"))
    told = ", ".join(count_of(*count) for count in counts if count[0])
    word = "open, with warnings" if decision.gate is Gate.WARNED else "blocked"
    lack = ", for lack of knowledge" if decision.exit_code is ExitCode.INCONCLUSIVE else ""
    return f"The gate is {word}{lack}: {told}; {judged} judged."


def _line(reason: Reason) -> str:
    subject = reason.plan or (f"rule {reason.rule!r}" if reason.rule else "")
    about = f"{subject}: {reason.words}" if subject else reason.words
    owner = f"; owner: {reason.owner}" if reason.owner else ""
    return printable(f"{about}{owner}" + (f"; next: {reason.run}" if reason.run else ""))
