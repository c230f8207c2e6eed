"""The expected ticks are those of the schedulers: Prefect's own classes are asked, cron's loop is walked."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import pendulum
import pytest
from prefect._vendor.croniter import croniter
from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule

from muster.cutover.clocks import moment_of, seconds_of, shifts
from muster.cutover.expected import NotComputable, doubtful, fault_in, ticks, ticks_of
from muster.cutover.schedule import CalendarRule, CronRule, Dialect, IntervalRule, RecurrenceRule, Schedule, Tick
from muster.errors import UsageError

ZONES = (
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/Sao_Paulo",
    "Pacific/Apia", "Asia/Tehran", "America/St_Johns", "Asia/Kathmandu", "Europe/Dublin", "Antarctica/Troll",
    "Pacific/Chatham", "Africa/Cairo", "Asia/Gaza", "America/Santiago", "America/Havana", "Europe/Lisbon",
    "Asia/Amman", "Europe/Istanbul", "Asia/Pyongyang",
)  # fmt: skip
FIRST, LAST = datetime(2010, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
CRONS = (
    "30 2 * * *", "0 * * * *", "*/20 * * * *", "15,45 0-4 * * *", "0 0 * * *", "30 1,2,3 * * sun", "10 23-3 * * *",
    "0 9 * * mon-fri", "5 */2 * * *", "0 0,12 1 */2 *", "59 23 * * 0", "1 1 * * * 30",
)  # fmt: skip
INTERVALS = tuple(
    timedelta(**each)
    for each in (
        {"days": 1}, {"days": 7}, {"hours": 36}, {"days": 2, "seconds": 90}, {"hours": 5}, {"days": 30},
        {"minutes": 100}, {"seconds": 86400.5},
    )
)  # fmt: skip
RECURRENCES = (
    "FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0", "FREQ=HOURLY", "FREQ=HOURLY;INTERVAL=5",
    "FREQ=WEEKLY;BYDAY=MO,SU;BYHOUR=1,2,3", "FREQ=MONTHLY;BYMONTHDAY=-1",
    "DTSTART:20210105T013000\nRRULE:FREQ=DAILY;INTERVAL=3",
    "DTSTART:20210105T013000Z\nRRULE:FREQ=DAILY;UNTIL=20260101T000000Z",
    "RRULE:FREQ=DAILY;BYHOUR=2\nEXDATE:20240331T020000,20230326T020000\nRDATE:20240331T023000",
    "DTSTART:20200101T020000\nRRULE:FREQ=DAILY;COUNT=3000\nEXRULE:FREQ=WEEKLY;BYDAY=SA",
    "FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=SU,TU", "FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3,10;BYHOUR=1,2",
    "DTSTART;TZID=America/New_York:20210105T013000\nRRULE:FREQ=HOURLY;INTERVAL=7;BYSETPOS=1",
    "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;BYHOUR=0",
)  # fmt: skip
MOMENT = timedelta(microseconds=1)
BERLIN = partial(CronRule, timezone="Europe/Berlin")
SPRING, AUTUMN = datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)


def _changes(zone):
    return [moment_of(shift.at) for shift in shifts(zone, seconds_of(FIRST), seconds_of(LAST))]


def _plain(date):
    """Pendulum's dates subtract in a way of their own."""
    return datetime.fromisoformat(date.astimezone(UTC).isoformat())


def _of_prefect(schedule, after, until):
    dates = map(_plain, schedule._get_dates_generator(n=100_000, start=after, end=until))
    return sorted({date for date in dates if date > after})


def _asked_anew(schedule, after, until):
    """As its scheduler service does, after each tick."""
    found, at = [], after
    while (at := _plain(next(schedule._get_dates_generator(n=1, start=at + MOMENT)))) <= until:
        found.append(at)
    return found


def _told(rule, dialect, after, until):
    return [
        tick.astimezone(ZoneInfo(rule.timezone)).strftime("%d %H:%M") for tick in ticks(rule, dialect, after, until)
    ]


# Prefect


@pytest.mark.parametrize("zone", ZONES)
def test_crons_are_prefects_across_every_change_of_clocks(zone):
    for number, change in enumerate(_changes(zone)):
        for hours, cron in ((28, CRONS[number % len(CRONS)]), (6, CRONS[(5 * number + 1) % len(CRONS)])):
            after, until = change - timedelta(hours=hours), change + timedelta(hours=hours)
            expected = _of_prefect(CronSchedule(cron=cron, timezone=zone), after, until)
            assert list(ticks(CronRule(expression=cron, timezone=zone), Dialect.PREFECT, after, until)) == expected


@pytest.mark.parametrize("zone", ZONES)
def test_crons_are_what_prefects_service_inserts(zone):
    """Asked anew after every tick, and at any moment between: what it says of the future is what we say."""
    dice = random.Random(zone)
    for change in (_changes(zone) or [LAST])[-2:]:
        after, until = change - timedelta(hours=12), change + timedelta(hours=12)
        for cron in ("30 2 * * *", "*/30 * * * *", "15 1-3 * * *"):
            schedule, rule = CronSchedule(cron=cron, timezone=zone), CronRule(expression=cron, timezone=zone)
            ours = list(ticks(rule, Dialect.PREFECT, after, until))
            for start in (after, *(after + timedelta(seconds=dice.randrange(86400)) for _ in range(3))):
                assert [at for at in _of_prefect(schedule, start, until) if at > start] == [
                    t for t in ours if t > start
                ]


def _item(dice, low, high, names):
    def value():
        return dice.choice(names) if names and dice.random() < 0.3 else str(dice.randint(low, high))

    lone, span, step = value(), f"{value()}-{value()}", dice.randint(1, 9)
    return dice.choice([lone, lone, lone, span, span, f"{span}/{step}", f"{lone}/{step}", f"*/{step}"])


def _field(dice, low, high, starred, names=()):
    if dice.random() < starred:
        return "*"
    return ",".join(_item(dice, low, high, names) for _ in range(dice.choice([1, 1, 1, 2, 3])))


def _expression(dice):
    months, weekdays = ["jan", "feb", "apr", "aug", "dec"], ["sun", "mon", "wed", "fri", "sat"]
    fields = [
        _field(dice, 0, 59, 0.2), _field(dice, 0, 23, 0.3), _field(dice, 1, 31, 0.5),
        _field(dice, 1, 12, 0.6, months), _field(dice, 0, 7, 0.5, weekdays),
    ]  # fmt: skip
    if (kind := dice.random()) < 0.12:
        fields[4] = dice.choice(["L5", "l0", "mon#2", "3#5", "1#1,3#2", "sun#1", "7#3", "L7"])
    elif kind < 0.2:
        fields[2] = dice.choice(["L", "?"])
    return " ".join([*fields, _field(dice, 0, 59, 0)] if dice.random() < 0.1 else fields)


def test_what_is_read_of_any_cron_is_prefects():
    dice, read = random.Random(11), 0
    for _ in range(600):
        rule = CronRule(expression=_expression(dice), timezone=dice.choice([*ZONES, "UTC"]), day_or=dice.random() < 0.8)
        if fault_in(rule, Dialect.PREFECT):
            continue
        schedule = CronSchedule(cron=rule.expression, timezone=rule.timezone, day_or=rule.day_or)  # it takes it, too
        after = datetime(2021, 1, 1, tzinfo=UTC) + timedelta(minutes=dice.randrange(366 * 1440 * 6))
        try:
            theirs = [_plain(date) for date in schedule._get_dates_generator(n=40, start=after)]
        except ValueError:  # it has looked at fifty years
            assert not list(ticks(rule, Dialect.PREFECT, after, after + timedelta(days=4000)))
            continue
        ours = set(ticks(rule, Dialect.PREFECT, after, max(theirs)))
        unsaid = set(doubtful(rule, Dialect.PREFECT, after, max(theirs)))
        assert {at for at in theirs if at > after} ^ ours <= unsaid, rule
        assert len(unsaid) < 40
        read += 1
    assert read > 250


@pytest.mark.parametrize("zone", ZONES)
def test_intervals_are_prefects_asked_anew_across_changes(zone):
    dice = random.Random(zone)
    for change in dice.sample(known := _changes(zone), min(len(known), 8)) or [LAST]:
        interval = dice.choice(INTERVALS)
        anchor = FIRST + timedelta(minutes=dice.randrange(366 * 1440 * 12))
        schedule = IntervalSchedule(interval=interval, anchor_date=anchor, timezone=zone)
        rule = IntervalRule(seconds=interval.total_seconds(), anchor=anchor, timezone=zone)
        after, until = change - max(5 * interval, timedelta(days=2)), change + max(9 * interval, timedelta(days=2))
        ours, unsaid = (set(ask(rule, Dialect.PREFECT, after, until)) for ask in (ticks, doubtful))
        assert ours ^ set(_asked_anew(schedule, after, until)) <= (unsaid if interval.days > 20 else set())
        for start in (after + dice.random() * (until - after) for _ in range(3)):
            made_ahead = {_plain(date) for date in schedule._get_dates_generator(n=3, start=start)}
            end = min(max(made_ahead), until)
            if interval.days:  # below a day it drops the second of two equal faces, until it is asked between them
                made_ahead |= {at for at in ours if at > end}
                assert {at for at in made_ahead if at <= until} ^ {at for at in ours if at >= start} <= unsaid


@pytest.mark.parametrize("zone", ZONES)
def test_recurrences_are_prefects_across_changes(zone):
    dice = random.Random(zone)
    for change in dice.sample(known := [at for at in _changes(zone) if at.year > 2020], min(len(known), 6)) or [LAST]:
        text = dice.choice(RECURRENCES)
        width = timedelta(days=2) if "HOURLY" in text else timedelta(days=20)
        after, until = change - width, change + width
        schedule = RRuleSchedule(rrule=text, timezone=zone)
        expected = {*_of_prefect(schedule, after, until), *_of_prefect(schedule, change - MOMENT, until)}
        ours = list(ticks(RecurrenceRule(text=text, timezone=zone), Dialect.PREFECT, after, until))
        assert ours == sorted(expected), text


def test_a_whole_day_keeps_the_clocks_time_on_the_day_of_a_change_alone():
    """When this fails, Prefect has been mended: the doubts can go."""
    rule = IntervalRule(seconds=86400, anchor=datetime(2026, 1, 1, 8, tzinfo=UTC), timezone="Europe/Berlin")
    after, until = SPRING - timedelta(days=2), SPRING + timedelta(days=3)
    told = _told(rule, Dialect.PREFECT, after, until)
    assert told == ["27 09:00", "28 09:00", "29 09:00", "30 09:00", "30 10:00", "31 10:00"]
    unsaid = doubtful(rule, Dialect.PREFECT, after, until)
    assert unsaid[0] == datetime(2026, 3, 29, 7, tzinfo=UTC)
    assert doubtful(rule, Dialect.PREFECT, SPRING + timedelta(days=10), AUTUMN) == []


def test_skipped_times_are_in_doubt_unless_due_anyway():
    after, until = SPRING - timedelta(hours=3), SPRING + timedelta(hours=3)
    daily, hourly = BERLIN(expression="30 2 * * *"), BERLIN(expression="30 * * * *")
    assert _told(daily, Dialect.PREFECT, after, until) == ["29 01:30"]
    assert doubtful(daily, Dialect.PREFECT, after, until) == [
        SPRING - timedelta(minutes=30),
        SPRING + timedelta(minutes=30),
    ]
    assert doubtful(hourly, Dialect.PREFECT, after, until) == []


def test_the_first_of_march_that_prefect_steps_over_is_in_doubt():
    rule = CronRule(expression="0 3 1,30 * *")
    after, until = datetime(2027, 2, 2, tzinfo=UTC), datetime(2027, 4, 1, tzinfo=UTC)
    assert list(ticks(rule, Dialect.PREFECT, after, until)) == [datetime(2027, 3, 30, 3, tzinfo=UTC)]
    assert doubtful(rule, Dialect.PREFECT, after, until) == [datetime(2027, 3, 1, 3, tzinfo=UTC)]


# Debian's cron


def _walked(rule, after, until):
    """What the loop of cron does, by the minute."""
    zone, minute = ZoneInfo(rule.timezone), timedelta(minutes=1)
    fields = rule.expression.split()
    is_wild = fields[0][0] == "*" or fields[1][0] == "*"

    def face(at):
        return at.astimezone(zone).replace(tzinfo=None)

    def is_due(clock):
        return croniter.match(" ".join(fields), clock)

    found, at, virtual = [], after, face(after)
    while (at := at + minute) <= until:
        clock = face(at)
        late = (clock - virtual) // minute
        runs = is_due(clock) if is_wild or late == 1 else False
        if not is_wild and 5 < late <= 180:
            runs = any(is_due(virtual + minute * passed) for passed in range(1, late + 1))
        elif not -180 < late <= 180:
            runs = is_due(clock)
        if late > 0 or late <= -180:
            virtual = clock
        found += [at] if runs else []
    return found


@pytest.mark.parametrize("zone", [zone for zone in ZONES if zone != "Asia/Kathmandu"])
def test_debian_crons_loop_is_mirrored(zone):
    crons = ("30 2 * * *", "0 0 * * *", "15,45 1-3 * * *", "*/20 * * * *", "20 * * * sun", "* 2 * * *")
    for number, change in enumerate(_changes(zone)[-4:]):
        after, until = change - timedelta(hours=2), change + timedelta(hours=4)
        for cron in crons[number % 2 :: 2]:
            rule = CronRule(expression=cron, timezone=zone)
            assert list(ticks(rule, Dialect.CRON, after, until)) == _walked(rule, after, until)


def test_the_manual_of_cron_on_clocks_put_forward():
    """cron(8): "those jobs which would have run in the time that was skipped will be run soon after the change"."""
    after, until = SPRING - timedelta(hours=1, minutes=1), SPRING + timedelta(hours=1)
    assert _told(BERLIN(expression="30 2 * * *"), Dialect.CRON, after, until) == ["29 03:00"]
    assert _told(BERLIN(expression="*/30 * * * *"), Dialect.CRON, after, until) == [
        "29 01:00",
        "29 01:30",
        "29 03:00",
        "29 03:30",
        "29 04:00",
    ]
    assert _told(BERLIN(expression="*/30 2 * * *"), Dialect.CRON, after, until) == []
    several = BERLIN(expression="0,30 2 * * *")
    assert _told(several, Dialect.CRON, after, until) == ["29 03:00"]
    assert doubtful(several, Dialect.CRON, after, until) == [SPRING]


def test_the_manual_of_cron_on_clocks_put_back():
    """cron(8): "those jobs that fall into the repeated time will not be re-run"; but jobs with wildcards are."""
    after, until = AUTUMN - timedelta(hours=1, minutes=1), AUTUMN + timedelta(hours=1)
    assert list(ticks(BERLIN(expression="30 2 * * *"), Dialect.CRON, after, until)) == [AUTUMN - timedelta(minutes=30)]
    assert _told(BERLIN(expression="30 * * * *"), Dialect.CRON, after, until) == ["25 02:30", "25 02:30"]


def test_a_jump_of_hours_is_a_correction_to_debians_cron():
    rule = CronRule(expression="0 9 * * *", timezone="Pacific/Apia")
    change = datetime(2011, 12, 30, 10, tzinfo=UTC)
    assert _told(rule, Dialect.CRON, change - timedelta(days=1), change + timedelta(days=1)) == ["29 09:00", "31 09:00"]
    assert doubtful(rule, Dialect.CRON, change, change + timedelta(days=1))  # its offset may stay the old one


def test_a_leading_star_makes_debians_cron_ask_for_both_days():
    after, until = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 20, tzinfo=UTC)
    both, either = CronRule(expression="0 0 */2 * mon"), CronRule(expression="0 0 3,5 * mon")
    assert _told(both, Dialect.CRON, after, until) == ["15 00:00"]
    assert len(_told(both, Dialect.PREFECT, after, until)) == 10
    assert _told(either, Dialect.CRON, after, until) == ["03 00:00", "05 00:00", "08 00:00", "15 00:00"]


# Airflow


def _of_airflow(rule, after, until) -> Iterator[datetime]:
    """The distance of two faces for what is due in every hour; else the face, the second time of two."""
    zone, current = pendulum.timezone(rule.timezone), pendulum.instance(after)
    while current <= until:
        face = current.in_timezone(zone).naive()
        cron = croniter(rule.expression, start_time=face)
        following = cron.get_next(datetime)
        if cron.expanded[1] == ["*"]:
            current = current + (following - face.replace(tzinfo=None))
        else:
            current = pendulum.instance(zone.convert(following.replace(fold=1)))
        yield _plain(current)


@pytest.mark.parametrize("zone", ZONES)
def test_airflows_timetables_are_mirrored(zone):
    for number, change in enumerate((_changes(zone) or [LAST])[-6:]):
        after, until = change - timedelta(hours=30), change + timedelta(hours=30)
        for cron in (CRONS[(number + 2 * turn) % (len(CRONS) - 1)] for turn in range(3)):
            rule = CronRule(expression=cron, timezone=zone)
            theirs = {at for at in _of_airflow(rule, after, until) if after < at <= until}
            ours, unsaid = (set(ask(rule, Dialect.AIRFLOW, after, until)) for ask in (ticks, doubtful))
            assert ours ^ theirs <= unsaid, cron


# All


@pytest.mark.parametrize("dialect", [Dialect.PREFECT, Dialect.CRON, Dialect.AIRFLOW])
def test_a_window_may_be_asked_in_parts(dialect):
    dice = random.Random(5)
    rules = [CronRule(expression=cron, timezone=zone) for cron in (*CRONS[:5], *CRONS[7:11]) for zone in ZONES[::3]]
    if dialect is not Dialect.CRON:
        rules += [IntervalRule(seconds=90_000, anchor=FIRST, timezone=zone) for zone in ZONES]
    for rule in rules:
        after = FIRST + timedelta(minutes=dice.randrange(366 * 1440 * 15))
        until = after + timedelta(days=300)
        middle = after + dice.random() * (until - after)
        whole = list(ticks(rule, dialect, after, until))
        assert whole == sorted(set(whole))
        assert whole == [*ticks(rule, dialect, after, middle), *ticks(rule, dialect, middle, until)]


@pytest.mark.parametrize("wrong", [
    BERLIN(expression="1 3 * * *"), BERLIN(expression="0 3 * * mon-sat"), CronRule(expression="0 3 * * *"),
    CronRule(expression="0 3 * * *", timezone="Europe/London"),
    CronRule(expression="0 3 * * *", timezone="Africa/Tunis"),
])  # fmt: skip
def test_a_rule_that_was_changed_makes_other_ticks(wrong):
    after, until = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    right = BERLIN(expression="0 3 * * *")
    differing = set(ticks(right, Dialect.PREFECT, after, until)) ^ set(ticks(wrong, Dialect.PREFECT, after, until))
    assert differing - {
        *doubtful(right, Dialect.PREFECT, after, until),
        *doubtful(wrong, Dialect.PREFECT, after, until),
    }


def test_dialects_differ_where_clocks_change_and_nowhere_else():
    rule = BERLIN(expression="30 2 * * *")
    of = {
        dialect: set(ticks(rule, dialect, FIRST, LAST)) for dialect in (Dialect.PREFECT, Dialect.CRON, Dialect.AIRFLOW)
    }
    changes = _changes("Europe/Berlin")
    for one, other in ((Dialect.PREFECT, Dialect.CRON), (Dialect.CRON, Dialect.AIRFLOW)):
        differing = of[one] ^ of[other]
        assert differing
        assert all(any(abs(at - change) < timedelta(hours=3) for change in changes) for at in differing)


def test_ticks_of_schedules_are_merged_by_moment_and_name():
    rule = CronRule(expression="0 * * * *")
    schedules = [
        Schedule(name="b", job="b", rule=rule),
        Schedule(name="idle", job="idle", rule=rule, active=False),
        Schedule(name="a", job="a", rule=IntervalRule(seconds=5400, anchor=FIRST)),
    ]
    found = ticks_of(schedules, Dialect.PREFECT, FIRST, FIRST + timedelta(hours=3))
    hours = [FIRST + timedelta(hours=n) for n in (1, 1.5, 2, 3)]
    assert found == [
        Tick("b", hours[0]),
        Tick("a", hours[1]),
        Tick("b", hours[2]),
        Tick("a", hours[3]),
        Tick("b", hours[3]),
    ]
    assert found == sorted(found, key=lambda tick: (tick.at, tick.schedule))
    assert ticks_of([], Dialect.CRON, FIRST, LAST) == []


@pytest.mark.parametrize(("rule", "dialect", "fault"), [
    (CronRule(expression="61 * * * *"), Dialect.PREFECT, "minute"),
    (CronRule(expression="* * * *"), Dialect.PREFECT, "five fields"),
    (CronRule(expression="0 0 30 2 *"), Dialect.PREFECT, "never due"),
    (CronRule(expression="0 0 31 2 mon"), Dialect.PREFECT, "never due"),
    (CronRule(expression="0 0 * * mon-mon"), Dialect.PREFECT, "to itself"),
    (CronRule(expression="0 0 1 * mon#1"), Dialect.PREFECT, "ignored"),
    (CronRule(expression="0 0 * * 7 0"), Dialect.PREFECT, "day of week"),
    (CronRule(expression="0 0 * * * 0"), Dialect.CRON, "no seconds"),
    (CronRule(expression="0 0 L * *"), Dialect.CRON, "day of month"),
    (CronRule(expression="0 22-4 * * *"), Dialect.CRON, "wraps"),
    (CronRule(expression="10/5 * * * *"), Dialect.CRON, "lone value"),
    (CronRule(expression="0 0 1 * mon", day_or=False), Dialect.CRON, "either"),
    (CronRule(expression="0 0 1 * mon", day_or=False), Dialect.AIRFLOW, "either"),
    (CronRule(expression="0 0 * * *", timezone="Mars/Olympus"), Dialect.PREFECT, "no time zone"),
    (CronRule(expression="0 0 * * *"), Dialect.SYSTEMD, "OnCalendar"),
    (IntervalRule(seconds=60, anchor=FIRST), Dialect.CRON, "no intervals"),
    (RecurrenceRule(text="FREQ=DAILY"), Dialect.AIRFLOW, "no recurrence"),
    (RecurrenceRule(text="FREQ=OFTEN"), Dialect.PREFECT, "no recurrence rule"),
    (RecurrenceRule(text="FREQ=DAILY;UNTIL=20260101T000000Z"), Dialect.PREFECT, "UNTIL"),
    (CalendarRule(expression="daily"), Dialect.PREFECT, "OnCalendar"),
])  # fmt: skip
def test_what_cannot_be_read_is_told(rule, dialect, fault):
    assert fault in fault_in(rule, dialect)
    with pytest.raises(UsageError, match="cannot be read"):
        ticks(rule, dialect, FIRST, LAST)


@pytest.mark.parametrize(
    "text", [*RECURRENCES, "FREQ=OFTEN", "", "FREQ=DAILY;UNTIL=20260101T000000Z", "RDATE:20260101"]
)
def test_recurrences_are_refused_as_prefect_refuses_them(text):
    try:  # some it takes, and then has no date to tell
        is_taken = bool(_of_prefect(RRuleSchedule(rrule=text), FIRST, FIRST + timedelta(days=1)) or True)
    except ValueError:
        is_taken = False
    assert (fault_in(RecurrenceRule(text=text), Dialect.PREFECT) == "") == is_taken


def test_on_calendar_is_left_to_systemd():
    rule = CalendarRule(expression="daily")
    assert fault_in(rule, Dialect.SYSTEMD) == ""
    with pytest.raises(NotComputable, match="systemd alone"):
        ticks(rule, Dialect.SYSTEMD, FIRST, LAST)
