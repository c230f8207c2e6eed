"""`python -m bench.ticks`: a million expected ticks of five years, beside Prefect's own classes on a sample of them.

Promises: nothing is written but the result; both count the same schedules, taken in turn in one process; every tick of
the sample is one that Prefect names as well.
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule
from rich.console import Console

from bench.measure import Series
from bench.results import keep, machine, new_table, show
from muster.cutover.expected import ticks_of
from muster.cutover.schedule import CronRule, Dialect, IntervalRule, RecurrenceRule, Rule, Schedule

TICKS = 1_000_000
QUICK = 50_000
ALLOWED_SECONDS = 10.0
"""For a million, on one core."""
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_YEARS = timedelta(days=5 * 365 + 1)
_SAMPLED = timedelta(days=10)
_ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC")
_CRONS = ("{} 3 * * *", "{} * * * *", "{} 1,13 * * mon-fri", "{} 4 1 * *", "*/15 6-20 * * *")
_RECURRENCES = ("FREQ=DAILY;BYHOUR={}", "FREQ=HOURLY;INTERVAL=4;BYMINUTE={}", "FREQ=WEEKLY;BYDAY=MO,TH;BYHOUR={}")


@dataclass(frozen=True)
class Counted:
    """One size: schedules, their ticks, seconds that took, and Prefect's for a sample."""

    schedules: int
    ticks: int
    seconds: Series
    sampled: int
    prefect_seconds: Series

    @property
    def each_second(self) -> Series:
        """Ticks a second."""
        return Series(tuple(self.ticks / each for each in self.seconds.values))

    @property
    def prefect_each_second(self) -> Series:
        """Those of Prefect."""
        return Series(tuple(self.sampled / each for each in self.prefect_seconds.values))

    @property
    def ratio(self) -> Series:
        """How many times Prefect's speed."""
        pairs = zip(self.each_second.values, self.prefect_each_second.values, strict=True)
        return Series(tuple(ours / theirs for ours, theirs in pairs))


def schedule(number: int) -> Schedule:
    """They are mixed: of ten six are crons, three intervals, one a recurrence rule."""
    return Schedule(name=f"s-{number:05d}", job=f"s-{number:05d}", rule=_rule(random.Random(number), number % 10))


def _rule(dice: random.Random, kind: int) -> Rule:
    zone, minute = dice.choice(_ZONES), dice.randrange(60)
    if kind < 6:
        return CronRule(expression=dice.choice(_CRONS).format(minute), timezone=zone)
    if kind < 9:
        anchor = _BEGIN + timedelta(minutes=minute)
        return IntervalRule(seconds=dice.choice((3600, 5400, 86400, 129_600)), anchor=anchor, timezone=zone)
    text = dice.choice(_RECURRENCES).format(minute % 24)
    return RecurrenceRule(text=f"DTSTART:20250101T000000\nRRULE:{text}", timezone=zone)


def schedules_for(size: int) -> list[Schedule]:
    """As many as make so many ticks in five years, or a few more."""
    found: list[Schedule] = []
    count = 0
    while count < size:
        found.append(schedule(len(found)))
        count += len(ticks_of(found[-1:], Dialect.PREFECT, _BEGIN, _BEGIN + _YEARS))
    return found


def _of_prefect(each: Rule, after: datetime, until: datetime) -> int:
    schedule: CronSchedule | IntervalSchedule | RRuleSchedule
    if isinstance(each, CronRule):
        schedule = CronSchedule(cron=each.expression, timezone=each.timezone)
    elif isinstance(each, IntervalRule):
        interval = timedelta(seconds=each.seconds)
        schedule = IntervalSchedule(interval=interval, anchor_date=each.anchor, timezone=each.timezone)
    else:
        assert isinstance(each, RecurrenceRule)
        schedule = RRuleSchedule(rrule=each.text, timezone=each.timezone)
    return sum(date > after for date in schedule._get_dates_generator(n=1000, start=after, end=until))


def _sample(schedules: Sequence[Schedule]) -> tuple[int, float]:
    """Ten days without a change of clocks: Prefect's ticks, which are ours, and its seconds."""
    after, until = _BEGIN + timedelta(days=200), _BEGIN + timedelta(days=200) + _SAMPLED
    began = time.perf_counter()
    theirs = sum(_of_prefect(each.rule, after, until) for each in schedules)
    seconds = time.perf_counter() - began
    if theirs != (ours := len(ticks_of(schedules, Dialect.PREFECT, after, until))):
        raise AssertionError(f"Prefect names {theirs} ticks, we {ours}")
    return theirs, seconds


def measure(size: int, pairs: int) -> Counted:
    """Both in turn, `pairs` times."""
    schedules = schedules_for(size)
    seconds, theirs, count, sampled = [], [], 0, 0
    for _ in range(pairs):
        began = time.perf_counter()
        count = len(ticks_of(schedules, Dialect.PREFECT, _BEGIN, _BEGIN + _YEARS))
        seconds.append(time.perf_counter() - began)
        sampled, took = _sample(schedules[:60])
        theirs.append(took)
    return Counted(len(schedules), count, Series(tuple(seconds)), sampled, Series(tuple(theirs)))


def main(arguments: list[str]) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m bench.ticks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few ticks and one pair: does it work?")
    parser.add_argument("--pairs", type=int, default=3, help="how often each is run in turn")
    options = parser.parse_args(arguments)
    console, began = Console(), datetime.now(UTC)
    console.print(machine())
    found = measure(QUICK if options.quick else TICKS, 1 if options.quick else options.pairs)
    table = new_table(
        f"Expected ticks of five years beside Prefect's own (at most {ALLOWED_SECONDS:g} s for a million)",
        "schedules", "ticks", "seconds", "ticks a second", "Prefect's ticks a second", "ours / Prefect's", "of",
    )  # fmt: skip
    speeds = (found.each_second, found.prefect_each_second, found.ratio)
    table.add_row(
        f"{found.schedules:,}", f"{found.ticks:,}", str(found.seconds), *map(str, speeds), f"{found.sampled:,} ticks"
    )
    show((table,), console)
    written = keep(f"ticks-{began:%Y%m%dT%H%M%SZ}", began, (table,), [asdict(found)])
    console.print(f"Kept in {written}, and beside it as JSON.")
    return 0 if found.seconds.median <= ALLOWED_SECONDS * found.ticks / TICKS else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
