"""The deck as data: one row an expected drill, built from plan cards and standings; every form only renders it.

Promises: a plan never run is a row, and so is a kind of drill that no plan covers; nothing here asks a database or a
clock; importing this module costs neither pydantic nor SQLAlchemy.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from muster import __version__
from muster.cadence.states import State, condition_of
from muster.cards import PlanCard
from muster.clock import AHEAD
from muster.ledger.standing import Mark, Overview, Proven, Standing
from muster.readiness.states import Ready, ready_of
from muster.watch.conditions import OF_PLANS, OF_READINESS, Condition

EXPECTED = ("restore", "failover", "spark", "cutover", "incident")
"""Kinds of drill that a deck shows even when no plan covers them."""
SILENT_AFTER = timedelta(minutes=15)
"""A watch not heard of for longer is silent: it goes round every minute, as a cron job every few."""


class Row(NamedTuple):
    """One expected drill. Moments are aware UTC, spans seconds; `None` where there is nothing."""

    plan: str
    """Empty for a kind that no plan covers."""
    kind: str
    description: str
    environment: str
    owner: str
    controls: tuple[str, ...]
    cadence: str
    """In words."""
    interval_seconds: float | None
    state: State
    why: str
    due_at: datetime | None
    overdue_at: datetime | None
    running: str | None
    """The run that is open now."""
    last_run: str | None
    last_at: datetime | None
    last_outcome: str | None
    pass_run: str | None
    pass_at: datetime | None
    rto_seconds: float | None
    """Measured by the last pass."""
    rto_objective: float | None
    rpo_seconds: float | None
    rpo_objective: float | None
    evidence: str | None
    """Name of the last pass's bundle in the evidence store."""
    proven: Proven | None
    """The newest negative controls of this kind."""
    recent: Sequence[Mark]
    path: str = ""
    """The plan's file."""
    ready: Ready | None = None
    """What was seen of the target between drills, apart from what they proved; `None` where there is no such look."""


class Trouble(NamedTuple):
    """What is wrong beside the plans: the kill switch, a silent watch, a route that refuses."""

    subject: str
    condition: str
    severity: str
    words: str
    since: datetime


class Deck(NamedTuple):
    """The whole deck at one moment."""

    at: datetime
    watched_at: datetime | None
    """When the watch last went round; `None` when it never did."""
    rows: tuple[Row, ...]
    troubles: tuple[Trouble, ...]
    muster: str = __version__


def build_deck(cards: Iterable[PlanCard], overview: Overview, now: datetime) -> Deck:
    """The deck of these plans, in their order, then the kinds that no plan covers."""
    rows = tuple(_row(card, overview, now) for card in cards)
    covered = {row.kind for row in rows}
    gaps = tuple(_uncovered(kind) for kind in EXPECTED if kind not in covered)
    troubles = _troubles(overview, {row.plan for row in rows}, now)
    return Deck(at=now, watched_at=overview.beats.get("watch"), rows=rows + gaps, troubles=troubles)


def _row(card: PlanCard, overview: Overview, now: datetime) -> Row:
    standing = overview.standings.get(card.name)
    condition = condition_of(card, standing, now)
    known = standing or Standing(card.name)
    return Row(
        plan=card.name,
        kind=card.kind,
        description=card.description,
        environment=card.environment,
        owner=card.owner,
        controls=card.controls,
        cadence=card.cadence_words,
        interval_seconds=card.interval_seconds,
        state=condition.state,
        why=condition.why,
        due_at=condition.due_at,
        overdue_at=condition.overdue_at,
        running=known.open_run,
        last_run=known.last_run,
        last_at=known.last_at,
        last_outcome=known.last_outcome,
        pass_run=known.pass_run,
        pass_at=known.pass_at,
        rto_seconds=known.pass_rto,
        rto_objective=card.rto_seconds,
        rpo_seconds=known.pass_rpo,
        rpo_objective=card.rpo_seconds,
        evidence=known.pass_bundle,
        proven=overview.proven.get(card.kind),
        recent=known.recent,
        path=card.path,
        ready=ready_of(card, overview.looks.get(card.name), now),
    )


def _uncovered(kind: str) -> Row:
    nothing = dict.fromkeys(Row._fields)
    return Row(**{  # type: ignore[arg-type]
        **nothing, "plan": "", "kind": kind, "description": "", "environment": "", "owner": "", "controls": (),
        "cadence": "", "state": State.NEVER, "why": "no plan drills this", "recent": (), "path": "",
    })  # fmt: skip


def _troubles(overview: Overview, plans: set[str], now: datetime) -> tuple[Trouble, ...]:
    """Each once: not what a plan's row tells, but that of a plan without a row; nor the kill switch a second time."""
    found = [
        Trouble(a.subject, a.condition, a.severity, a.words, a.since)
        for a in overview.alerts
        if not (a.condition in OF_PLANS | OF_READINESS and a.subject in plans)
        and not (overview.stop and a.condition == Condition.STOPPED)
    ]
    if overview.stop is not None:
        stop = overview.stop
        words = f"the kill switch is on: {stop.reason} ({stop.by})"
        found.insert(0, Trouble("muster", Condition.STOPPED.value, "critical", words, stop.at))
    return (*found, *_silence(overview, now))


def _silence(overview: Overview, now: datetime) -> tuple[Trouble, ...]:
    """The watch raises every other alarm, so that its own silence has to be seen by whoever looks."""
    beat = overview.beats.get("watch")
    if beat is not None and -AHEAD <= now - beat <= SILENT_AFTER:
        return ()
    if beat is None:
        words = "the watch never went round: nobody is told of overdue drills"
    elif beat > now:
        words = "the watch was last heard of in a time to come: is a clock wrong?"
    else:
        words = "the watch has fallen silent"
    known = (standing.since for standing in overview.standings.values() if standing.since)
    return (Trouble("watch", "silent", "warning", words, beat or min(known, default=now)),)
