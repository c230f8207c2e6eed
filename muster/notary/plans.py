"""Plans told to the log: what the ledger knows of each plan's enrolment, changes and retirement becomes a statement.

Promises: what is missing in the log is made up for by whoever goes round next, whatever died in between; what the log
says already is not said again, since a statement is entered only in the log that was read; a quiet round costs the
store nothing; a store that is away is told, never raised, and no drill waits for any of this.
Source: docs/evidence-format.md, "Plans".
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evidence import durable
from evidence.errors import EvidenceError
from evidence.log import Entry, Kind
from evidence.notary import Notary
from evidence.plans import (
    LoggedStatement,
    PlanEvent,
    PlanStatement,
    follows,
    parse_plan_statement,
    parse_predicate,
)
from evidence.statement import PredicateType, canonical, parse_object, utc
from muster.cards import PlanCard, card_of
from muster.errors import MusterError
from muster.ledger.standing import Standing
from muster.notary.desk import Desk
from muster.ownership import this_process
from muster.settings import Settings

if TYPE_CHECKING:
    from muster.conduct import Conductor

_MOST_TRIES = 100
"""Times the log may grow between reading and entering, in one telling."""
_WITH_ITS_RUN = timedelta(seconds=1)
"""A standing that was made with a plan's first run, and not by enrolling, is as old as that run."""


class Telling(NamedTuple):
    """What was entered, in words, and what went wrong."""

    entered: tuple[str, ...] = ()
    problem: str = ""


def tell_plans(conductor: "Conductor", plans: Sequence[PlanCard]) -> Telling:
    """Enter what the log lacks of these plans and of those that the ledger retired, if this installation enters."""
    try:
        return Telling(_told(conductor, plans) if conductor.closing.desk.enters else ())
    except (EvidenceError, MusterError) as error:
        return Telling(problem=error.message)
    except OSError as error:
        return Telling(problem=str(error))


class Seen(NamedTuple):
    """How a plan stands, seen from here."""

    plan: str
    since: datetime | None
    retired_at: datetime | None
    cadence: str
    """By which its slots are accounted for, as JSON."""
    file: PlanCard | None
    """`None` where it is retired."""

    @property
    def digest(self) -> str:
        """With another one, something may have to be told."""
        facts = [self.file.digest if self.file else "", utc(self.retired_at) if self.retired_at else "", self.cadence]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def seen_plans(standings: Sequence[Standing], plans: Sequence[PlanCard]) -> Iterator[Seen]:
    """The plans of which something can be told: enrolled by the cadence in their file, or retired."""
    files = {plan.name: plan for plan in plans}
    for standing in standings:
        plan = files.get(standing.plan)
        if standing.cadence and standing.retired_at:
            yield Seen(standing.plan, standing.since, standing.retired_at, standing.cadence, None)
        elif standing.cadence and plan and plan.timetable == standing.timetable:
            yield Seen(standing.plan, standing.since, None, standing.cadence, plan)


@dataclass
class Memory:
    """What this machine read of the log, and what it told: a copy that saves reading, and may be lost."""

    place: str = ""
    """The store, as the settings name it."""
    origin: str = ""
    size: int = 0
    last: dict[str, LoggedStatement] = field(default_factory=dict)
    """The newest statement of each plan among the first `size` entries."""
    told: dict[str, str] = field(default_factory=dict)
    """By plan, `Seen.digest` of what there was nothing more to tell of."""

    @classmethod
    def read(cls, path: Path, place: str) -> "Memory":
        """What is remembered of this store; nothing where the file is not whole."""
        try:
            raw = json.loads(path.read_bytes())
            last = [_recalled(each) for each in raw["last"]]
            found = cls(raw["place"], raw["origin"], raw["size"], {one.said.plan: one for one in last}, raw["told"])
        except (OSError, KeyError, TypeError, ValueError):
            return cls(place)
        return found if found.place == place else cls(place)

    def write(self, path: Path) -> None:
        """Keep it."""
        last = [
            {"envelope": one.envelope, "index": one.index, "loggedAt": utc(one.logged_at), "said": one.said.predicate()}
            for _, one in sorted(self.last.items())
        ]
        kept = {"last": last, "origin": self.origin, "place": self.place, "size": self.size, "told": self.told}
        durable.write(path, canonical(kept))

    def forget(self, plans: Iterable[str]) -> None:
        """That there was nothing more to tell of these."""
        for plan in plans:
            self.told.pop(plan, None)

    def catch_up(self, notary: Notary) -> int:
        """Read what is new in the log; its size."""
        view = notary.log.mend()
        if self.origin != notary.origin or self.size > view.size:
            self.origin, self.size, self.last, self.told = notary.origin, 0, {}, {}
        for entry in view.entries(self.size):
            if (entry.kind, entry.fields.get("predicateType")) == (Kind.RECORD, PredicateType.PLAN):
                self._take(read_statement(notary, entry))
        self.size = view.size
        return view.size

    def _take(self, found: LoggedStatement) -> None:
        before = self.last.get(found.said.plan)
        if follows(found.said, before.envelope if before else None, before.said if before else None):
            self.last[found.said.plan] = found


def read_statement(notary: Notary, entry: Entry) -> LoggedStatement:
    """The statement that an entry names. Raises `EvidenceError` where the store does not hold it."""
    content = notary.store.read(str(entry.fields["key"]))
    said = parse_plan_statement(content)
    if said is None or hashlib.sha256(content).hexdigest() != entry.envelope:
        raise EvidenceError(
            f"the store does not hold the plan statement that entry {entry.index} of the log names",
            "find out who changed it: `muster evidence audit`",
        )
    return LoggedStatement(said, entry.envelope, entry.index, entry.logged_at)


def _recalled(raw: Mapping[str, Any]) -> LoggedStatement:
    said = parse_predicate(raw["said"])
    if said is None:
        raise ValueError("no plan statement")
    return LoggedStatement(said, raw["envelope"], raw["index"], datetime.fromisoformat(raw["loggedAt"]))


def _told(conductor: "Conductor", plans: Sequence[PlanCard]) -> tuple[str, ...]:
    settings = conductor.settings
    seen = tuple(seen_plans(conductor.ledger.standings(), plans))
    path, place = settings.root / "log" / "plans.json", _place(settings)
    if not _pending(seen, Memory.read(path, place)):
        return ()
    durable.make_folders(path.parent)
    with durable.locked(path.with_suffix(".lock"), wait=False) as mine:
        if not mine:
            return ()  # another process is at it
        memory = Memory.read(path, place)
        notary = conductor.closing.desk.notary(conductor.open_store())
        memory.catch_up(notary)
        pending = _pending(seen, memory)
        memory.forget([one.plan for one in pending])
        memory.write(path)  # a plan that is as it was once this was cut short has something to be told of
        entered = _enter(_Words(conductor), notary, memory, pending)
        memory.told |= {one.plan: one.digest for one in pending}
        memory.write(path)
    return entered


def _pending(seen: Sequence[Seen], memory: Memory) -> list[Seen]:
    return [one for one in seen if memory.told.get(one.plan) != one.digest]


def _place(settings: Settings) -> str:
    """The store, without asking it."""
    is_estate = not settings.store and (settings.estate / "objects").exists()
    return json.dumps([settings.store, settings.store_endpoint, is_estate])


def _enter(words: "_Words", notary: Notary, memory: Memory, pending: Sequence[Seen]) -> tuple[str, ...]:
    """Enter statement after statement until nothing is left to say."""
    entered: list[str] = []
    for _ in range(_MOST_TRIES):
        said = [each for one in pending if (each := words.next_of(one, memory.last.get(one.plan)))]
        if not said:
            return tuple(entered)
        entries = notary.record_at(
            memory.size, PredicateType.PLAN, [(each.subjects, each.predicate()) for each in said]
        )
        entered += [f"{each.plan} {each.event}" for each in said[: len(entries)]]
        memory.catch_up(notary)
    raise EvidenceError("the log grows faster than plans can be told to it", "nothing is lost: the next round goes on")


class _Words:
    """Finds the words for what is to be told."""

    def __init__(self, conductor: "Conductor") -> None:
        self._conductor = conductor

    def next_of(self, seen: Seen, last: LoggedStatement | None) -> PlanStatement | None:
        """What the log lacks next of a plan; `None` where it says all."""
        if seen.retired_at is None:
            return self._of_living(seen, last)
        if last is None:
            known = self._conductor.last_known(seen.plan)  # retired before anything of it was told
            return self._said(seen, card_of(known), None, PlanEvent.ENROLLED, self._since(seen)) if known else None
        is_older = last.said.at is not None and seen.retired_at < last.said.at
        if last.said.event is PlanEvent.RETIRED or is_older:
            return None
        return self._retired(seen, last, seen.retired_at)

    def _of_living(self, seen: Seen, last: LoggedStatement | None) -> PlanStatement | None:
        if seen.file is None:
            return None
        if last is None or last.said.event is PlanEvent.RETIRED:
            since = self._since(seen)
            at = since if since and (last is None or last.moment < since) else None
            return self._said(seen, seen.file, last, PlanEvent.ENROLLED, at)
        if last.said.plan_digest != seen.file.digest:
            return self._said(seen, seen.file, last, PlanEvent.CHANGED, None)
        return None

    def _since(self, seen: Seen) -> datetime | None:
        """When its slots began to count; `None` where the ledger knows only when it was first run."""
        first = self._conductor.ledger.first_run(seen.plan)
        if seen.since is None or (first and abs(first.opened_at - seen.since) < _WITH_ITS_RUN):
            return None
        return seen.since

    def _said(
        self, seen: Seen, plan: PlanCard, last: LoggedStatement | None, event: PlanEvent, at: datetime | None
    ) -> PlanStatement:
        hide = self._desk.withholder(seen.plan)
        cadence: Mapping[str, Any] = hide.value(parse_object(seen.cadence.encode()) or {})
        return PlanStatement(
            plan=seen.plan,
            number=last.said.number + 1 if last else 0,
            event=event,
            at=at,
            plan_digest=plan.digest,
            cadence=cadence,
            kind=plan.kind,
            owner=hide.text(plan.owner),
            controls=tuple(map(hide.text, plan.controls)),
            reason=_reason(event, last, cadence),
            by=hide.text(self._host),
            previous=last.envelope if last else None,
        )

    def _retired(self, seen: Seen, last: LoggedStatement, at: datetime) -> PlanStatement:
        """Of the plan as it was told last: its file is gone."""
        hide, before = self._desk.withholder(seen.plan), last.said
        return PlanStatement(
            plan=seen.plan,
            number=before.number + 1,
            event=PlanEvent.RETIRED,
            at=at,
            plan_digest=before.plan_digest,
            cadence=hide.value(parse_object(seen.cadence.encode()) or {}),
            kind=before.kind,
            owner=before.owner,
            controls=before.controls,
            reason="its file is gone from the plans folder",
            by=hide.text(self._host),
            previous=last.envelope,
        )

    @cached_property
    def _desk(self) -> Desk:
        return self._conductor.closing.desk

    @cached_property
    def _host(self) -> str:
        return this_process().host


def _reason(event: PlanEvent, last: LoggedStatement | None, cadence: Mapping[str, Any]) -> str:
    if event is PlanEvent.CHANGED and last:
        return "its cadence was changed" if last.said.cadence != cadence else "its file was changed"
    return "its file is back in the plans folder" if last else "its file is in the plans folder"
