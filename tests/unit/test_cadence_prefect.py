"""Our slots are the moments at which Prefect starts runs: its schedule classes, and its reader of cron, are asked."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st
from prefect._vendor.croniter import croniter
from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule

from muster.cadence.cron import fault_in_cron
from muster.cadence.defaults import DEFAULTS
from muster.cadence.spec import Cadence
from muster.cadence.ticks import tick_at_or_before, ticks_between

START = datetime(2026, 1, 1, tzinfo=UTC)
CORPUS = (
    "0 3 * * *", "59 23 * * *", "0 0 * * *", "0 3 1 * *", "0 3 31 * *", "0 3 28,29 * *", "0 3 29 2 *", "0 3 1 */3 *",
    "0 3 1 */6 *", "0 3 1 1 *", "59 23 31 12 *", "0 3 * * 0", "0 3 * * 7", "0 3 * * mon-fri", "0 3 * * 5-7",
    "0 3 * * */2", "15 4 * jan,jul sat", "0 0 1-7/2 * *", "5 4 15,30 4-6 *", "30 3 */2 * *",
)  # fmt: skip
MANY_A_DAY = ("*/30 * * * *", "7-59/13 3-5 * * *", "*/30 * * * 0")
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kolkata")
# Around both changes of clocks of 2026, in each of the zones.
CHANGES = [
    datetime(2026, month, day, tzinfo=UTC) for month, day in ((3, 6), (3, 27), (4, 3), (10, 2), (10, 23), (11, 1))
]


def _of_prefect(schedule, start, until):
    dates = schedule._get_dates_generator(n=10_000, start=start, end=until)
    return sorted({datetime.fromtimestamp(date.timestamp(), UTC) for date in dates})


def _of_ours(cadence, start, until):
    return list(ticks_between(cadence, start - timedelta(seconds=1), until))


@pytest.mark.parametrize("cron", CORPUS)
def test_slots_of_three_years_are_prefects(cron):
    until = START + timedelta(days=3 * 365 + 1 if cron != "0 3 29 2 *" else 4000)
    ours, theirs = _of_ours(Cadence(cron=cron), START, until), []
    schedule, start = CronSchedule(cron=cron, timezone="UTC"), START
    while start <= until:  # it looks at a thousand dates at most
        end = min(start + timedelta(days=900), until)
        theirs += _of_prefect(schedule, start, end)
        start = end + timedelta(seconds=1)
    assert ours == theirs
    assert len(ours) >= 2


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("cron", [*CORPUS, *MANY_A_DAY])
def test_slots_are_prefects_when_clocks_change(cron, zone):
    """Every slot has its run, and every run is of a slot: those of a skipped time are of one that is due anyway."""
    cadence, schedule = Cadence(cron=cron, timezone=zone), CronSchedule(cron=cron, timezone=zone)
    for start in CHANGES:
        until = start + timedelta(days=3 if cron in MANY_A_DAY else 7)
        ours, theirs = _of_ours(cadence, start, until), _of_prefect(schedule, start, until)
        assert ours == theirs
        assert [tick_at_or_before(cadence, run) for run in theirs] == ours


@pytest.mark.parametrize("interval", ["1m", "90m", "6h", "24h", "36h", "7d"])
def test_intervals_are_prefects_in_utc(interval):
    cadence = Cadence(interval=interval, anchor=datetime(2025, 5, 5, 5, 5, tzinfo=UTC))
    until = START + min(cadence.gaps.longest * 200, timedelta(days=400))
    schedule = IntervalSchedule(interval=cadence.interval, anchor_date=cadence.anchor, timezone="UTC")
    assert _of_ours(cadence, START, until) == _of_prefect(schedule, START, until)


@pytest.mark.parametrize("kind", DEFAULTS)
def test_defaults_are_schedules_of_prefect(kind):
    assert CronSchedule(cron=DEFAULTS[kind].cron, timezone=DEFAULTS[kind].timezone)


def _values(low, high):
    one = st.integers(low, high).map(str)
    span = st.tuples(st.integers(low, high), st.integers(low, high)).map(lambda pair: f"{min(pair)}-{max(pair)}")
    stepped = st.tuples(span | st.just("*"), st.integers(1, high)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    return st.just("*") | st.lists(one | span | stepped, min_size=1, max_size=3).map(",".join)


_TIMES = st.tuples(_values(0, 59), _values(0, 23))
_DATES = st.tuples(_values(1, 31), _values(1, 12)).map(lambda pair: (*pair, "*"))
_WEEKDAYS = st.tuples(st.just("*"), _values(1, 12), _values(0, 7))


@settings(max_examples=300, deadline=None)
@given(_TIMES, _DATES | _WEEKDAYS, st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)))
def test_what_is_taken_is_read_alike(times, days, start):
    cron, start = " ".join([*times, *days]), start.replace(microsecond=0)
    if not fault_in_cron(cron):
        theirs = croniter(cron, start)
        # Few of the same day, so that the days themselves are seen.
        expected = [theirs.get_next(datetime) for _ in range(30)]
        assert list(islice(CronSim(cron, start), 30)) == expected
        late = expected[-1].replace(hour=23, minute=59)
        assert next(CronSim(cron, late)) == croniter(cron, late).get_next(datetime)


@pytest.mark.parametrize("cron", ["0 3 */10 * *", "0 3 1,30 * *", "0 3 1,15,31 * *", "0 3 2,31 * *"])
def test_prefect_does_pass_over_march_where_we_say_so(cron):
    """When this fails, Prefect has been mended, and the refusal can go."""
    assert "passes over day" in fault_in_cron(cron)
    start = datetime(2027, 2, 27)
    assert next(CronSim(cron, start)) < croniter(cron, start).get_next(datetime)
