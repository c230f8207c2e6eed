"""`muster calendar`: the due times of every plan as an iCalendar feed (RFC 5545).

Promises: one event a slot, whose UID is the slot's key; the same plans on the same day (UTC) give the same bytes; what
does not fit into a feed that calendars can load is left out from the far end, and said to be.
"""

import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import typer
from icalendar import Calendar, Event

from evidence.slots import slot_key
from muster import __version__
from muster.cadence.moments import ANCHOR
from muster.cadence.spec import Blackout, Cadence
from muster.cadence.ticks import blackout_at, ticks_between
from muster.cards import PlanCard
from muster.deck.files import renew_file
from muster.deck.wording import span
from muster.planindex import plan_cards
from muster.quantity import count_of
from muster.report.wording import printable
from muster.settings import Settings
from muster.verdict import ExitCode

PER_PLAN, IN_ALL = 400, 10_000
"""The most slots in a feed: a plan's (a year of daily ones fits), and all plans' together."""
_LONGEST = timedelta(hours=1)
"""How long an event looks at most. A slot has no length of its own: a drill may start until its grace is over."""
_MOST_NAMED = 20


class _Slot(NamedTuple):
    tick: datetime
    plan: str
    card: PlanCard
    cadence: Cadence


class Feed(NamedTuple):
    """An iCalendar feed, and what had to be left out."""

    content: bytes
    slots: int
    note: str
    """Empty when every slot of the time asked for is in it."""


def calendar(settings: Settings, output: Path | None, days: int, *, now: datetime | None = None) -> int:
    """Write the feed of the next `days` days to a file, or to standard output."""
    cards = plan_cards(settings.plans, settings.root / "plans.index.json")
    feed = feed_of(cards, now or datetime.now(UTC), days)
    if output is None:
        typer.echo(feed.content, nl=False)
    else:
        renew_file(output, lambda _: feed.content)
        print(f"{output}: {count_of(feed.slots, 'slot', 'slots')} of {count_of(len(cards), 'plan', 'plans')}")
    if feed.note:
        print(f"muster: {feed.note}", file=sys.stderr)
    return ExitCode.PASS


def feed_of(
    cards: Iterable[PlanCard], now: datetime, days: int, *, per_plan: int = PER_PLAN, in_all: int = IN_ALL
) -> Feed:
    """The feed from the beginning of the day (UTC) on, the nearest slots first."""
    since = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    until = since + timedelta(days=days)
    plans = [(card, card.cadence()) for card in cards]
    cut: list[str] = []
    found = merge(*(_slots(card, cadence, since, until, per_plan, cut) for card, cadence in plans))
    slots = list(islice(found, in_all))
    note = _note(cut, slots[-1].tick if next(found, None) else None, per_plan, in_all)
    feed = _calendar(note)
    for event in (*map(_event, slots), *_blackouts(plans, since, until)):
        feed.add_component(event)
    return Feed(feed.to_ical(), len(slots), note)


def _slots(
    card: PlanCard, cadence: Cadence, since: datetime, until: datetime, most: int, cut: list[str]
) -> Iterator[_Slot]:
    """A plan's slots in [since, until), at most so many; a plan with more is named in `cut`."""
    instant = timedelta(microseconds=1)
    for number, tick in enumerate(ticks_between(cadence, since - instant, until - instant)):
        if number == most:
            cut.append(card.name)
            return
        yield _Slot(tick, card.name, card, cadence)


def _note(cut: list[str], end: datetime | None, per_plan: int, in_all: int) -> str:
    notes = []
    if cut:
        more = f" and {len(cut) - _MOST_NAMED:,} more" if len(cut) > _MOST_NAMED else ""
        named = ", ".join(sorted(cut)[:_MOST_NAMED])
        notes.append(f"only the next {per_plan:,} slots of each of these plans are in this feed: {named}{more}")
    if end is not None:
        notes.append(f"it ends at {end:%Y-%m-%d %H:%M} UTC, with {in_all:,} slots")
    return "; ".join(notes)


def _calendar(note: str) -> Calendar:
    feed = Calendar()
    feed.add("version", "2.0")
    feed.add("prodid", f"-//Muster//Resilience drills {__version__}//EN")
    feed.add("calscale", "GREGORIAN")
    feed.add("x-wr-calname", "Resilience drills")
    feed.add("x-wr-caldesc", f"Due times of drills, by Muster{': ' * bool(note)}{note}")
    feed.add("refresh-interval", timedelta(hours=12), parameters={"VALUE": "DURATION"})
    feed.add("x-published-ttl", "PT12H")
    return feed


def _event(slot: _Slot) -> Event:
    card, cadence = slot.card, slot.cadence
    blackout = blackout_at(cadence, slot.tick)
    event = _dated(slot_key(slot.plan, slot.tick), slot.tick, slot.tick + min(cadence.grace_period, _LONGEST))
    event.add("summary", f"{'waived' if blackout else 'drill'}: {card.name}")
    event.add("description", "\n".join(printable(line) for line in _lines(card, cadence, blackout)))
    event.add("categories", [card.kind, card.environment])
    event.add("transp", "TRANSPARENT" if blackout else "OPAQUE")
    event.add("status", "CANCELLED" if blackout else "CONFIRMED")
    return event


def _lines(card: PlanCard, cadence: Cadence, blackout: Blackout | None) -> Iterator[str]:
    if blackout:
        yield f"Waived: {blackout.reason}"
    if card.description:
        yield card.description
    yield f"{card.kind} drill in {card.environment}, owner: {card.owner}"
    yield f"Cadence: {card.cadence_words}, grace {span(cadence.grace_period.total_seconds())}"
    yield f"Controls: {', '.join(card.controls) or 'none named'}"
    yield f"muster status {card.name}"


def _blackouts(plans: Iterable[tuple[PlanCard, Cadence]], since: datetime, until: datetime) -> Iterator[Event]:
    """One event a blackout, however many plans share it; nobody's time is taken by it."""
    shared: dict[tuple[datetime, datetime, str], list[str]] = {}
    for card, cadence in plans:
        for blackout in cadence.blackouts:
            if blackout.start < until and blackout.end > since:
                same = (blackout.start.astimezone(UTC), blackout.end.astimezone(UTC), blackout.reason)
                shared.setdefault(same, []).append(card.name)
    for (start, end, reason), names in sorted(shared.items()):
        uid = sha256(f"blackout\n{start.isoformat()}\n{end.isoformat()}\n{reason}".encode()).hexdigest()
        event = _dated(uid, start, end)
        more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
        event.add("summary", printable(f"no drills: {reason}"))
        event.add("description", f"Slots of these plans are waived: {', '.join(names[:_MOST_NAMED])}{more}")
        event.add("transp", "TRANSPARENT")
        yield event


def _dated(uid: str, start: datetime, end: datetime) -> Event:
    event = Event()
    event.add("uid", uid)
    # When the event was last changed, as far as its bytes go: the time of writing would make every feed another one.
    event.add("dtstamp", ANCHOR)
    event.add("dtstart", start)
    event.add("dtend", end)
    return event
