"""Rules are told to cron and to systemd exactly, or not at all and why; each translation is held to other readers."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from muster.cutover.schedule import CalendarRule, CronRule, IntervalRule, RecurrenceRule, Rule
from tasks.schedulers.cron_rules import fields_of, rule_of
from tasks.schedulers.systemd_calls import last_tick, ticks
from tasks.schedulers.systemd_rules import calendar_of
from tasks.schedulers.systemd_rules import rule_of as calendar_rule_of
from tasks.schedulers.untellable import Untellable

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def every(seconds: float, timezone: str = "UTC", **at: int) -> IntervalRule:
    return IntervalRule(seconds=seconds, anchor=NEW_YEAR.replace(**at), timezone=timezone)  # type: ignore[arg-type]


def cron(expression: str, timezone: str = "UTC", *, day_or: bool = True) -> CronRule:
    return CronRule(expression=expression, timezone=timezone, day_or=day_or)


def calendar(expression: str, timezone: str = "UTC") -> CalendarRule:
    return CalendarRule(expression=expression, timezone=timezone)


@pytest.mark.parametrize(
    ("rule", "zone", "fields"),
    [
        (cron("@daily"), "UTC", "0 0 * * *"),
        (cron("5/15 * ? * MON-FRI"), "UTC", "5-59/15 * * * MON-FRI"),
        (cron("0 5 * * *", "Etc/UTC"), "UTC", "0 5 * * *"),
        (cron("*/5 * * * *", "Europe/Berlin"), "UTC", "*/5 * * * *"),
        (cron("0 0 */2 * 1"), "UTC", "0 0 1-31/2 * 1"),
        (cron("0 0 */2 * 1", day_or=False), "UTC", "0 0 */2 * 1"),
        (cron("0 0 1-31/2 * 1", day_or=False), "UTC", "0 0 */2 * 1"),
        (cron("0 0 1 * 1"), "UTC", "0 0 1 * 1"),
        (every(300), "UTC", "*/5 * * * *"),
        (every(300, minute=2), "Europe/Berlin", "2-59/5 * * * *"),
        (every(3600, minute=30), "Asia/Kolkata", "0 * * * *"),
        (every(7200, hour=1), "UTC", "0 1-23/2 * * *"),
        (every(86400, "Europe/Berlin"), "Europe/Berlin", "0 1 * * *"),
        (every(604800), "UTC", "0 0 * * 4"),
        (calendar("*:0/5"), "UTC", "*/5 * * * *"),
        (calendar("Mon..Fri *-*-* 05:00:00"), "UTC", "0 5 * * 1-5"),
        (calendar("Mon..Sun 5:00"), "UTC", "0 5 * * 1-7"),
        (calendar("Mon *-*-1/2 05:00"), "UTC", "0 5 */2 * 1"),
        (calendar("*-*-* 08..18/2:00:00"), "UTC", "0 8-18/2 * * *"),
        (calendar("weekly"), "UTC", "0 0 * * 1"),
    ],
)
def test_what_cron_can_say_is_said(rule: Rule, zone: str, fields: str) -> None:
    assert fields_of(rule, zone) == fields


@pytest.mark.parametrize(
    ("rule", "zone", "why"),
    [
        (cron("0 5 * * *", "Europe/Berlin"), "UTC", "clock of Europe/Berlin"),
        (cron("*/5 * * * *", "Asia/Kolkata"), "UTC", "clock of Asia/Kolkata"),
        (cron("0 0 0 1 * *"), "UTC", "6 fields"),
        (cron("0 0 L * *"), "UTC", "does not take"),
        (cron("0 0 * * mon#2"), "UTC", "does not take"),
        (cron("0 0 * * fri-mon"), "UTC", "does not take"),
        (cron("0 0 1 * 1", day_or=False), "UTC", "both of the days"),
        (every(90), "UTC", "whole minutes"),
        (every(60, second=30), "UTC", "whole minutes"),
        (every(420), "UTC", "neither an hour nor a day"),
        (every(18000), "UTC", "neither an hour nor a day"),
        (every(7200), "Europe/Berlin", "clock of Europe/Berlin is changed"),
        (every(300), "Australia/Lord_Howe", "less than an hour"),
        (every(172800), "UTC", "anew each month"),
        (every(86400), "Europe/Berlin", "clock of UTC"),
        (RecurrenceRule(text="FREQ=DAILY"), "UTC", "5545"),
        (calendar("*-*-* 05:00:30"), "UTC", "seconds"),
        (calendar("2026-01-01"), "UTC", "a year"),
        (calendar("*-*~01"), "UTC", "no word"),
        (calendar("Mon *-*-01 05:00"), "UTC", "both of the days"),
        (calendar("bogus"), "UTC", "no weekdays"),
    ],
)
def test_what_cron_cannot_say_is_told_with_the_reason(rule: Rule, zone: str, why: str) -> None:
    with pytest.raises(Untellable, match=why):
        fields_of(rule, zone)


@pytest.mark.parametrize(
    ("when", "expression", "day_or"),
    [
        ("@Weekly", "0 0 * * 0", True),
        ("0  5\t1 * mon", "0 5 1 * mon", True),
        ("0 5 */2 * mon", "0 5 */2 * mon", False),
        ("0 5 * * */2", "0 5 * * */2", True),
    ],
)
def test_a_crontabs_times_are_read_as_cron_reads_them(when: str, expression: str, day_or: bool) -> None:
    assert rule_of(when, "UTC") == cron(expression, day_or=day_or)
    assert fields_of(rule_of(when, "UTC"), "UTC") == expression


@pytest.mark.parametrize("when", ["@reboot", "@every", "1~5 * * * *", "5/15 * * * *", "61 * * * *", "* * * *"])
def test_a_crontabs_times_without_ticks_are_none(when: str) -> None:
    with pytest.raises(Untellable):
        rule_of(when, "UTC")


@given(st.sampled_from([1, 2, 5, 20, 30, 60, 120, 480, 1440]), st.integers(0, 10**4))
def test_an_interval_in_fields_is_due_when_the_interval_is(minutes: int, first: int) -> None:
    rule = IntervalRule(seconds=60 * minutes, anchor=NEW_YEAR + timedelta(minutes=first))
    due = CronSim(fields_of(rule, "UTC"), NEW_YEAR + timedelta(days=40))
    assert all((moment - rule.anchor) % timedelta(minutes=minutes) == timedelta(0) for moment in islice(due, 5))
    moments = list(islice(due, 5))
    assert moments[-1] - moments[0] == 4 * timedelta(minutes=minutes)


def moments_of(expression: str, count: int, *, day_or: bool = True) -> Iterator[datetime]:
    """As cronsim reads it, which knows "or" alone."""
    assert day_or
    return islice(CronSim(expression, NEW_YEAR), count)


@pytest.mark.parametrize(
    "expression",
    [
        "*/5 * * * *", "5-59/15 8-18/2 * * *", "0 5 * * 1-5", "0 0 * * 5-7", "0 0 * * 0", "0 0 * * */2", "7,9 3 1 * *",
        "30 2 31 * *", "0 0 1 jan,jul *", "0 0 1-7/3 */2 *", "@monthly", "0 12 * * sun,wed", "0 0 29 2 *",
    ],
)  # fmt: skip
def test_systemd_itself_reads_the_translation_as_cron_reads_the_fields(expression: str) -> None:
    rule = calendar(calendar_of(cron(expression), "UTC"))
    fields = fields_of(cron(expression), "UTC")
    due = list(moments_of(fields, 40 if "29 2" not in fields else 2))
    assert list(ticks(rule, NEW_YEAR, due[-1])) == due
    assert last_tick(rule, due[0]) in {due[0], None}
    assert list(moments_of(fields_of(rule, "UTC"), len(due))) == due


@pytest.mark.parametrize("expression", ["0 5 */2 * 1", "0 5 */3 * 1-5"])
def test_days_that_must_both_hold_do_so_in_systemd(expression: str) -> None:
    rule = calendar(calendar_of(cron(expression, day_or=False), "UTC"))
    numbers, step = ({0}, 2) if "*/2" in expression else (set(range(5)), 3)
    due = list(ticks(rule, NEW_YEAR, NEW_YEAR + timedelta(days=90)))
    assert due
    assert all(at.weekday() in numbers and at.day % step == 1 for at in due)


@pytest.mark.parametrize(
    ("rule", "zone", "written"),
    [
        (cron("0 5 * * *", "Europe/Berlin"), "UTC", "*-*-* 5:0:00 Europe/Berlin"),
        (cron("0 5 * * *", "Europe/Berlin"), "Europe/Berlin", "*-*-* 5:0:00"),
        (every(10, second=3), "UTC", "*-*-* *:*:3/10"),
        (every(7200), "Europe/Berlin", "*-*-* 0/2:0:00 UTC"),
        (calendar("Mon 05:00", "Asia/Kolkata"), "UTC", "Mon 05:00 Asia/Kolkata"),
    ],
)
def test_an_expression_has_its_own_zone_where_it_is_not_the_machines(rule: Rule, zone: str, written: str) -> None:
    assert calendar_of(rule, zone) == written
    assert list(ticks(calendar_rule_of(written, zone), NEW_YEAR, NEW_YEAR + timedelta(days=8)))


def test_systemd_does_not_start_on_either_of_two_days() -> None:
    with pytest.raises(Untellable, match="both hold"):
        calendar_of(cron("0 5 1 * 1"), "UTC")
