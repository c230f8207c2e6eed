"""Five years of two thousand plans under a fake clock: is every slot accounted for, and how soon?

Promises: the slots and what becomes of them are decided by the very code that decides in production
(`muster.slots`, `muster.claims`); only the ledger and the drills are made up; the same seed gives the same five years.
"""

import random
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from bench.measure import timed
from muster.cadence.spec import Cadence, Late
from muster.cadence.ticks import ticks_between
from muster.claims import claim_of
from muster.ledger.rows import Due
from muster.ledger.standing import Standing
from muster.plan import Plan
from muster.slots import account_slots
from muster.summary import Summary
from muster.verdict import Outcome

BEGIN = datetime(2021, 1, 1, tzinfo=UTC)
_LOOK_EVERY = timedelta(days=1)
_ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")
_MIX = (("{m} {h} * * *", 5), ("{m} {h} * * {w}", 25), ("{m} {h} {d} * *", 45), ("{m} {h} {d} */3 *", 25))
"""Daily, weekly, monthly and quarterly plans, in percent."""


@dataclass(frozen=True)
class Simulated:
    """What five years came to."""

    plans: int
    years: float
    slots: int
    outcomes: Mapping[str, int]
    lost: int
    """Slots without a record."""
    doubled: int
    """Slots with more than one."""
    seconds: float

    @property
    def is_whole(self) -> bool:
        """Whether every slot has exactly one record."""
        return self.slots == sum(self.outcomes.values()) and not self.lost and not self.doubled


def simulate(plans: int = 2000, years: float = 5, seed: int = 3) -> Simulated:
    """Schedulers that fail for days, slots that start late or never, a watch that looks daily when it is up."""
    chance = random.Random(seed)
    end = BEGIN + timedelta(days=365.25 * years)
    fleet = tuple(_plan(number, chance) for number in range(plans))
    world = _World(_outages(chance, end))
    seconds = timed(lambda: world.live(fleet, end, chance))
    expected = {(p.name, tick) for p in fleet for tick in ticks_between(p.cadence, BEGIN, world.accounted(p.name))}
    recorded = Counter((name, tick) for name, tick, _ in world.records)
    return Simulated(
        plans=plans,
        years=years,
        slots=len(expected | set(recorded)),
        outcomes=dict(Counter(outcome for _, _, outcome in world.records)),
        lost=len(expected - set(recorded)),
        doubled=sum(count - 1 for count in recorded.values()),
        seconds=seconds,
    )


def _plan(number: int, chance: random.Random) -> Plan:
    (form,) = chance.choices([form for form, _ in _MIX], [share for _, share in _MIX])
    fields = {
        "m": chance.randrange(60),
        "h": chance.randint(4, 23),
        "d": chance.randint(1, 28),
        "w": chance.randrange(7),
    }
    late = chance.choice(tuple(Late))
    return Plan.model_validate({
        "name": f"plan-{number:05d}", "kind": "restore", "environment": "test", "owner": "bench",
        "target": {"type": "embedded", "folder": f"/srv/{number}"}, "restore": {"database": "shop"},
        "cadence": Cadence(cron=form.format(**fields), timezone=chance.choice(_ZONES), late=late),
    })  # fmt: skip


def _outages(chance: random.Random, end: datetime) -> list[tuple[datetime, datetime]]:
    """Scheduler and watch are away for some hours to some weeks, every few months."""
    found, moment = [], BEGIN
    while (moment := moment + timedelta(days=chance.uniform(20, 120))) < end:
        found.append((moment, moment := moment + timedelta(hours=chance.expovariate(1 / 60))))
    return found


@dataclass
class _World:
    """A ledger in memory, and the conductor's part that records what was not run."""

    outages: list[tuple[datetime, datetime]]
    records: list[tuple[str, datetime, str]] = field(default_factory=list)
    taken: dict[str, list[datetime]] = field(default_factory=dict)
    known: dict[str, Standing] = field(default_factory=dict)
    moment: datetime = BEGIN

    @property
    def ledger(self) -> "_World":
        return self

    def live(self, fleet: tuple[Plan, ...], end: datetime, chance: random.Random) -> None:
        """Day after day: the scheduler starts what is due, the watch looks."""
        account_slots(self, fleet, now=BEGIN)
        begins = [(plan, self._begins(plan, end, chance)) for plan in fleet]
        upcoming = {plan.name: next(starts, None) for plan, starts in begins}
        while self.moment + _LOOK_EVERY < end:
            self.moment += _LOOK_EVERY
            for plan, starts in begins:
                while (start := upcoming[plan.name]) and start[0] <= self.moment:
                    self._start(plan, *start)
                    upcoming[plan.name] = next(starts, None)
            if not self._is_away(self.moment):
                self._look(fleet)

    def _look(self, fleet: tuple[Plan, ...]) -> None:
        for _ in range(1000):
            if not account_slots(self, fleet, now=self.moment).more:
                return
        raise RuntimeError("accounting comes to no end")

    def _begins(self, plan: Plan, end: datetime, chance: random.Random) -> Iterator[tuple[datetime, datetime]]:
        """When the scheduler starts a run, and the time it was expected at: one in fifty is forgotten, one doubled."""
        for tick in ticks_between(plan.cadence, BEGIN, end):
            begin = self._back_at(tick)
            if chance.random() >= 0.02:
                yield begin, tick
            if chance.random() < 0.02:
                yield begin, tick

    def _start(self, plan: Plan, begin: datetime, expected: datetime) -> None:
        claim = claim_of(plan, expected, begin)
        if not self._is_taken(plan.name, claim.tick):
            self._record(plan.name, claim.tick, claim.outcome or Outcome.PASSED)

    def _record(self, plan: str, tick: datetime, outcome: Outcome) -> None:
        self.records.append((plan, tick, outcome.value))
        insort(self.taken.setdefault(plan, []), tick)

    def _is_taken(self, plan: str, tick: datetime) -> bool:
        known = self.taken.get(plan, [])
        at = bisect_right(known, tick)
        return at > 0 and known[at - 1] == tick

    def _is_away(self, moment: datetime) -> bool:
        return self._back_at(moment) != moment

    def _back_at(self, moment: datetime) -> datetime:
        at = bisect_right(self.outages, (moment, moment)) - 1
        return self.outages[at][1] if at >= 0 and moment < self.outages[at][1] else moment

    def accounted(self, plan: str) -> datetime:
        """Up to where each slot has its record."""
        return self.known[plan].accounted_until or BEGIN

    # What `muster.slots` asks of the ledger and the conductor.

    def now(self) -> datetime:
        return self.moment

    def standings(self) -> tuple[Standing, ...]:
        return tuple(self.known.values())

    def enroll(self, plans: Mapping[str, Due]) -> None:
        for plan, due in plans.items():
            fresh = self.known.get(plan, Standing(plan, since=self.moment, accounted_until=self.moment))
            self.known[plan] = fresh._replace(timetable=due.timetable, cadence=due.cadence)

    def retire(self, plan: str) -> None:
        self.known[plan] = self.known[plan]._replace(retired_at=self.moment)

    def set_accounted(self, untils: Mapping[str, datetime]) -> None:
        for plan, until in untils.items():
            if known := self.known.get(plan):
                self.known[plan] = known._replace(accounted_until=max(until, known.accounted_until or until))

    def slots_taken(self, plan: str, after: datetime, until: datetime) -> frozenset[datetime]:
        newest_first = takewhile(lambda tick: tick > after, reversed(self.taken.get(plan, [])))
        return frozenset(tick for tick in newest_first if tick <= until)

    def record_unrun(
        self, plan: Plan, tick: datetime, outcome: Outcome, why: str, *, send: bool = True
    ) -> Summary | None:
        if not self._is_taken(plan.name, tick):
            self._record(plan.name, tick, outcome)
        return None

    def last_known(self, plan: str) -> Plan | None:
        return None

    def send_waiting(self) -> None:
        return None
