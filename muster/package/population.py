"""The population: every due time of a period with what became of it, the ones without a record too.

Promises: every run that was logged for the period is one row, and every owed due time without one is a row that says
`unsealed`; what was open in the package before is told again until it has a record or is a gap; nothing is left out; a
period without rows says that it is empty.
Source: docs/evidence-format.md, "The package".
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import Any

from evidence.plans import LoggedStatement, PlanEvent
from muster.cadence.spec import Cadence
from muster.cadence.wording import words_of
from muster.cards import PlanCard
from muster.ledger.standing import Standing
from muster.package.inputs import OpenSlot
from muster.package.log import Log, LoggedRun, written
from muster.package.owed import Mark, claimable_until, owed
from muster.package.period import Period
from muster.package.rows import OPEN, Row, Several, in_order, row_of, row_without_record
from muster.package.sealed import Reading, cadence_in
from muster.quantity import count_of

SCHEMA = "muster.population/1"
LOG, LEDGER = "log", "ledger"
"""Whose word it is when a plan began and ended: the log's is signed, and was entered when its entry says."""
LEFT_OPEN = "it was open in the package before"
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class PlanAccount:
    """One plan in the period."""

    name: str
    kind: str
    owner: str
    cadence: str
    """The newest that is known, in words."""
    longest_gap: timedelta | None
    """Between two due times of that cadence."""
    controls: tuple[str, ...]
    """Those that the plan names, as its file or its newest record says."""
    since: datetime | None
    """Its slots count from here; `None` where neither log nor ledger says."""
    since_known_by: str | None
    """`log` or `ledger`: whose word it is."""
    retired_at: datetime | None
    retired_known_by: str | None
    """The same; the ledger's alone is vouched for by nobody."""
    counts: Mapping[str, int]
    """Rows by outcome."""

    def as_json(self) -> dict[str, Any]:
        """As `population.json` has it."""
        return {
            "cadence": self.cadence,
            "controls": list(self.controls),
            "counts": dict(self.counts),
            "kind": self.kind,
            "longestGapSeconds": self.longest_gap.total_seconds() if self.longest_gap else None,
            "name": self.name,
            "owner": self.owner,
            "retiredAt": written(self.retired_at) or None,
            "retiredKnownBy": self.retired_known_by,
            "since": written(self.since) or None,
            "sinceKnownBy": self.since_known_by,
        }


@dataclass(frozen=True)
class Population:
    """Rows in the order of time as it is written, plan and entry."""

    period: Period
    made_at: datetime
    """When the newest entry was logged."""
    as_of: datetime
    """Until when due times are owed a record."""
    rows: tuple[Row, ...]
    open: tuple[Row, ...]
    late: tuple[Row, ...]
    """Sealed since the package before, of an earlier period."""
    carried: tuple[Row, ...]
    """Left open by the package before, of another period, and still without a record: open, or gaps."""
    plans: tuple[PlanAccount, ...]

    @cached_property
    def counts(self) -> Counter[str]:
        """Rows by outcome."""
        return Counter(row.outcome for row in self.rows)

    @cached_property
    def gaps(self) -> tuple[Row, ...]:
        """Due times without a record, carried ones too."""
        return tuple(row for row in (*self.rows, *self.carried) if row.is_gap)

    @cached_property
    def troubled(self) -> tuple[Row, ...]:
        """Records that show nothing, whatever they say; late ones too."""
        return tuple(row for row in (*self.rows, *self.late) if row.problems and not row.is_gap)

    @property
    def says(self) -> str:
        """The whole in one sentence."""
        passed = sum(row.passed for row in self.rows)
        slots = count_of(len(self.rows), "slot and run", "slots and runs")
        told = f"{passed:,} of {slots} of the period passed"
        if not self.rows:
            told = "The period is empty: no drill was due in it, and none was run"
        gaps, carried = sum(row.is_gap for row in self.rows), sum(row.is_gap for row in self.carried)
        bad = [
            (gaps, "has no sealed record", "have no sealed record"),
            (sum(row in self.rows for row in self.troubled), "cannot be relied on", "cannot be relied on"),
            (carried, "that was open before has no sealed record", "that were open before have no sealed record"),
        ]
        return "; ".join([told, *(count_of(count, one, many) for count, one, many in bad if count)]) + "."

    def as_json(self) -> dict[str, Any]:
        """The document `population.json`; its rows are an iterator."""
        return {
            "carried": (row.as_json() for row in self.carried),
            "counts": dict(self.counts),
            "from": written(self.period.start),
            "late": (row.as_json() for row in self.late),
            "madeAt": written(self.made_at),
            "open": (row.as_json() for row in self.open),
            "plans": (plan.as_json() for plan in self.plans),
            "says": self.says,
            "schema": SCHEMA,
            "slots": (row.as_json() for row in self.rows),
            "until": written(self.period.end),
        }


def build_population(
    log: Log,
    readings: Mapping[str, Reading],
    period: Period,
    plans: Sequence[PlanCard],
    standings: Sequence[Standing],
    as_of: datetime | None = None,
    statements: Mapping[str, Sequence[LoggedStatement]] = MappingProxyType({}),
) -> Population:
    """Join what the log, the bundles (by key), the plans' files and the ledger say.

    When a plan began and ended, the log's `statements` (by plan) say before the ledger does; a plan that the log enrols
    and nobody retired is owed its slots, though its file and the ledger are gone. `as_of` is until when due times are
    owed a record: later than the newest entry where nothing was logged since.
    """
    as_of = max(as_of or log.made_at, log.made_at)
    several = Several((*log.runs, *log.late))
    late = tuple(row_of(run, readings, several) for run in log.late)
    by_plan: dict[str, list[Row]] = defaultdict(list)
    for run in log.runs:
        by_plan[run.plan].append(row_of(run, readings, several))
    cards, known = {card.name: card for card in plans}, {standing.plan: standing for standing in standings}
    rows: list[Row] = []
    carried: list[Row] = []
    accounts = []
    left: dict[str, list[OpenSlot]] = defaultdict(list)
    for slot in log.unserved:
        left[slot.plan].append(slot)
    around = log.before.keys() & log.after.keys()
    for name in sorted(by_plan.keys() | cards.keys() | known.keys() | statements.keys() | around | left.keys()):
        part = _OfPlan(name, cards.get(name), known.get(name), by_plan.get(name, []), statements.get(name, ()))
        found = [*part.rows, *part.without_record(log, readings, period, as_of)]
        still = list(part.left_open(left.get(name, ()), {row.scheduled_at for row in found}, as_of))
        found += (row for row in still if row.at in period)
        carried += (row for row in still if row.at not in period)
        accounts.append(part.account(found))
        rows += found
    return Population(
        period=period,
        made_at=log.made_at,
        as_of=as_of,
        rows=in_order(row for row in rows if row.outcome != OPEN),
        open=in_order(row for row in rows if row.outcome == OPEN),
        late=late,
        carried=in_order(carried),
        plans=tuple(accounts),
    )


@dataclass(frozen=True)
class _OfPlan:
    """One plan, from every side that knows it."""

    name: str
    card: PlanCard | None
    standing: Standing | None
    rows: list[Row]
    statements: Sequence[LoggedStatement] = ()
    """What the log says of it, in order."""

    def without_record(
        self, log: Log, readings: Mapping[str, Reading], period: Period, as_of: datetime
    ) -> Iterator[Row]:
        """Due times that have no entry."""
        taken = {row.scheduled_at for row in self.rows}
        for marks in self._spans(log, readings, as_of):
            for slot in owed(marks, period, as_of):
                if slot.at not in taken:
                    yield row_without_record(self.name, slot.at, claimable_until(slot), as_of)

    def left_open(
        self, slots: Iterable[OpenSlot], taken: Collection[datetime | None], as_of: datetime
    ) -> Iterator[Row]:
        """What the package before left open and has no entry, if it is not told yet. Old ones do not say until when."""
        for slot in slots:
            if slot.at not in taken:
                cadence = self._cadence
                claimable = slot.claimable_until or (claimable_until(Mark(slot.at, cadence)) if cadence else slot.at)
                yield row_without_record(self.name, slot.at, claimable, as_of, (LEFT_OPEN,))

    def account(self, rows: Iterable[Row]) -> PlanAccount:
        """The plan in short."""
        cadence = self._cadence
        sealed = next((row.sealed for row in reversed(self.rows) if row.sealed), None)
        told = self.card or sealed or (self.statements[-1].said if self.statements else None)
        (since, since_by), (retired_at, retired_by) = self._begin, self._end
        return PlanAccount(
            name=self.name,
            kind=told.kind if told else "",
            owner=told.owner if told else "",
            cadence=words_of(cadence) if cadence else "",
            longest_gap=cadence.gaps.longest if cadence else None,
            controls=told.controls if told else (),
            since=since,
            since_known_by=since_by,
            retired_at=retired_at,
            retired_known_by=retired_by,
            counts=Counter(row.outcome for row in rows),
        )

    @property
    def _begin(self) -> tuple[datetime | None, str | None]:
        """When its slots began to count, and who says so."""
        if self.statements:
            return self.statements[0].moment, LOG
        since = self.standing.since if self.standing else None
        return since, LEDGER if since else None

    @property
    def _end(self) -> tuple[datetime | None, str | None]:
        """When it was retired, and who says so. The ledger's word is not heard of a plan that was enrolled since."""
        last = self.statements[-1] if self.statements else None
        if last and last.said.event is PlanEvent.RETIRED:
            return last.moment, LOG
        retired_at = self.standing.retired_at if self.standing else None
        if retired_at is None or (last and last.said.at and retired_at < last.said.at):
            return None, None
        return retired_at, LEDGER

    def _spans(self, log: Log, readings: Mapping[str, Reading], as_of: datetime) -> Iterator[list[Mark]]:
        """The times in which it was owed slots, each with the moments in it at which the cadence is known."""
        if not self.statements:
            yield self._marks(log, readings, as_of)
            return
        beside = [self._mark_beside(runs, readings) for runs in (log.before, log.after)]
        told = self._marks_told(log.began_at)
        marks = sorted([*filter(None, beside), *self._marks_within(), *told], key=lambda mark: mark.at)
        for end, cadence in self._ends():
            ended, marks = [mark for mark in marks if mark.at <= end], [mark for mark in marks if mark.at > end]
            if ended:
                yield [*ended, Mark(end, cadence or ended[-1].cadence)]
        is_going_on = self._end[0] is None or (self.standing is not None and self.standing.retired_at is None)
        if marks:
            yield [*marks, Mark(as_of + _INSTANT, marks[-1].cadence)] if is_going_on else marks

    def _marks_told(self, began_at: datetime) -> Iterator[Mark]:
        """Of enrolments and changes. What was due before the log began it cannot tell."""
        for one in self.statements:
            if one.said.event is not PlanEvent.RETIRED and (cadence := cadence_in(one.said.cadence)):
                yield Mark(max(one.moment, began_at), cadence)

    def _ends(self) -> Iterator[tuple[datetime, Cadence | None]]:
        for one in self.statements:
            if one.said.event is PlanEvent.RETIRED:
                yield one.moment, cadence_in(one.said.cadence)
        retired_at, by = self._end
        if retired_at and by == LEDGER:
            yield retired_at, self._ledger_cadence

    def _marks(self, log: Log, readings: Mapping[str, Reading], as_of: datetime) -> list[Mark]:
        """Moments at which the cadence is known, in order."""
        beside = [self._mark_beside(runs, readings) for runs in (log.before, log.after)]
        marks = sorted([*filter(None, beside), *self._marks_within()], key=lambda mark: mark.at)
        ledger = self._ledger_cadence
        if self.standing and self.standing.since and self.name not in (*log.before, *log.on_demand_first):
            # A plan that was first run on demand is known since then, and its slots count from a later day that nobody
            # wrote down. No entry can be older than the log: what was due before that it cannot tell.
            since, first = max(self.standing.since, log.began_at), marks[0].cadence if marks else ledger
            if first and (not marks or since < marks[0].at):
                marks.insert(0, Mark(since, first))
        if self.standing and ledger and self.name not in log.after:
            marks.append(Mark(self.standing.retired_at or as_of + _INSTANT, ledger))
        return marks

    def _marks_within(self) -> Iterator[Mark]:
        for row in self.rows:
            if row.is_due and row.sealed and row.sealed.cadence:
                yield Mark(row.at, row.sealed.cadence)

    def _mark_beside(self, runs: Mapping[str, LoggedRun], readings: Mapping[str, Reading]) -> Mark | None:
        run = runs.get(self.name)
        reading = readings.get(run.key) if run else None
        cadence = reading.sealed.cadence if reading and reading.sealed else None
        return Mark(run.at, cadence) if run and cadence else None

    @property
    def _ledger_cadence(self) -> Cadence | None:
        return Cadence.recorded(self.standing.cadence) if self.standing and self.standing.cadence else None

    @property
    def _cadence(self) -> Cadence | None:
        """The newest that is known."""
        if self.card:
            return self.card.cadence()
        if ledger := self._ledger_cadence:
            return ledger
        sealed = (row.sealed.cadence for row in reversed(self.rows) if row.sealed)
        told = (cadence_in(one.said.cadence) for one in reversed(self.statements))
        return next(filter(None, (*sealed, *told)), None)
