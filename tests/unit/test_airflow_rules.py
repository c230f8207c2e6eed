"""DAGs as schedules: what each timetable's words mean, and which of them cannot be handed over."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from muster.cutover.schedule import CalendarRule, CronRule, IntervalRule, Job, RecurrenceRule, Schedule, Unfit
from tasks.schedulers import airflow_rules as rules
from tests.contract.airflow_replay import answer

NOW = datetime(2026, 11, 26, 2, 30, tzinfo=UTC)


def details(name: str = "minutely", **changes: Any) -> dict[str, Any]:
    """What Airflow said of a DAG, changed."""
    return {**answer(f"details-{name}")["json"], **changes}


def schedule(**changes: Any) -> Schedule | Unfit:
    return rules.schedule_of(details(**changes), NOW)


def reason(**changes: Any) -> str:
    found = schedule(**changes)
    assert isinstance(found, Unfit)
    return found.reason


def test_a_dag_is_a_job_with_one_schedule() -> None:
    job = rules.job_of(details())
    assert job == Job(
        name="minutely",
        parameters={"table": "orders"},
        tags=("etl", "nightly"),
        owner="data",
        concurrency=1,
        own={"file": "deployed.py", "bundle": "dags-folder"},
    )
    assert schedule() == Schedule(
        name="minutely", job="minutely", rule=CronRule(expression="* * * * *"), active=False, catch_up=False
    )


def test_a_zone_that_the_api_does_not_tell_is_found_out_by_the_next_run() -> None:
    assert "no tick of '0 0 * * *' in UTC: where it is in another zone, say so" in reason(name="daily")
    found = schedule(name="daily", timezone="Europe/Berlin")
    assert isinstance(found, Schedule)
    assert found.rule == CronRule(expression="0 0 * * *", timezone="Europe/Berlin")


def test_catching_up_is_carried() -> None:
    found = schedule(name="grid")
    assert isinstance(found, Schedule)
    assert found.catch_up
    assert isinstance(found.rule, IntervalRule)
    assert found.rule.seconds == 120


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("1:30:00", 5400), ("1 day, 0:00:00", 86400), ("2 days, 1:00:00", 176400), ("0:00:00.500000", 0.5)],
)
def test_a_timedelta_is_read_from_its_words(words: str, seconds: float) -> None:
    found = schedule(name="every", timetable_summary=words)
    assert isinstance(found, Schedule)
    assert found.rule == IntervalRule(
        seconds=seconds, anchor=datetime.fromisoformat(details("every")["next_dagrun_run_after"])
    )


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("zoned", "no tick of '0 12 \\* \\* \\*' in UTC"),
        ("several", "no cron expression of five fields"),
        ("once", "'@once'"),
        ("never", "no schedule of its own"),
        ("asset", "'Asset'"),
        ("ended", "ends at 2026-02-01"),
    ],
)
def test_what_has_no_rule_of_ours_is_unfit_with_the_reason(name: str, why: str) -> None:
    found = rules.schedule_of(details(name), NOW)
    assert isinstance(found, Unfit)
    assert found.name == name
    assert re.search(why, found.reason)


def test_presets_mean_what_airflow_means_by_them() -> None:
    assert rules.rule_of(details(timetable_summary="@daily")) == CronRule(expression="0 0 * * *")


def test_whatever_airflow_itself_would_not_start_is_unfit() -> None:
    assert "cannot be imported" in reason(has_import_errors=True)
    assert "allows no scheduled" in reason(allowed_run_types=["manual"])
    assert "does not begin before" in reason(start_date="2027-01-01T00:00:00Z")
    assert "partitions" in reason(timetable_partitioned=True)
    assert "no name that others know" in reason(timezone="+02:00")
    assert "not one that others read" in reason(timetable_summary="0 25 * * *")
    assert "no cron expression of five" in reason(timetable_summary="0 0 * * * 30")
    assert "no next run" in reason(name="every", next_dagrun_run_after=None)
    assert "no timedelta" in reason(timetable_summary="relativedelta(months=+1)")


def test_a_next_run_in_the_hour_that_comes_twice_is_a_tick_in_both() -> None:
    rule = CronRule(expression="30 2 * * *", timezone="Europe/Berlin")
    assert rules.is_tick(rule, datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    assert rules.is_tick(rule, datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
    assert rules.is_tick(rule, datetime(2026, 3, 29, 1, 30, tzinfo=UTC))
    assert not rules.is_tick(rule, datetime(2026, 3, 29, 0, 30, tzinfo=UTC))


def test_intervals_are_the_same_when_they_lie_on_one_grid() -> None:
    rule = IntervalRule(seconds=600, anchor=datetime(2020, 1, 1, tzinfo=UTC))
    assert rules.is_same(rule, rule.model_copy(update={"anchor": NOW}))
    assert not rules.is_same(rule, rule.model_copy(update={"anchor": NOW + timedelta(minutes=3)}))
    assert not rules.is_same(rule, rule.model_copy(update={"seconds": 1200}))
    assert not rules.is_same(rule, CronRule(expression="*/10 * * * *"))


def test_the_run_of_a_tick_has_the_logical_date_that_airflow_gives_it() -> None:
    tick = datetime(2026, 11, 26, 5, tzinfo=UTC)
    cron = CronRule(expression="* * * * *")
    assert rules.data_interval(cron, details("minutely"), tick) == (tick, tick)
    assert rules.data_interval(cron, details("interval"), tick) == (tick - timedelta(minutes=1), tick)
    assert rules.data_interval(cron, details("ended"), tick) is None
    ahead = details(next_dagrun_run_after="2026-11-26T05:00:00Z", next_dagrun_logical_date="2026-11-26T04:30:00Z")
    assert rules.data_interval(cron, ahead, tick) == (tick - timedelta(minutes=30), tick)


@pytest.mark.parametrize(
    ("rule", "jitter", "told"),
    [
        (CronRule(expression="0 1 * * *"), 0, ()),
        (CronRule(expression="0 1 1 * 1"), 0, ()),
        (CronRule(expression="0 1 1 * 1", day_or=False), 0, ("either day",)),
        (CronRule(expression="0 1 * * * 30"), 0, ("five fields",)),
        (CronRule(expression="0 1 * * *"), 5, ("jitter",)),
        (IntervalRule(seconds=60, anchor=NOW), 0, ("last run",)),
        (RecurrenceRule(text="RRULE:FREQ=DAILY"), 0, ("form rrule",)),
        (CalendarRule(expression="daily"), 0, ("form calendar",)),
    ],
)
def test_what_no_dag_could_carry_is_told(rule: Any, jitter: float, told: tuple[str, ...]) -> None:
    wanted = Schedule(name="a", job="a", rule=rule, jitter_seconds=jitter)
    found = rules.untold_of(wanted)
    assert len(found) == len(told)
    assert all(part in words for part, words in zip(told, found, strict=True))
