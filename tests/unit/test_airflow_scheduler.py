"""The scheduler `airflow` over what a real Airflow answered."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from muster.cutover.schedule import CronRule, Cut, Firing, IntervalRule, Schedule, Stage, Tick
from muster.errors import Refusal, StepError, SystemFailure
from tasks.schedulers.airflow import AirflowScheduler, Spec
from tasks.schedulers.airflow_runs import SERVED, STARTED
from tasks.schedulers.scheduler import Reach, Scheduler
from tests.contract.airflow_replay import ReplayedAirflow

SECRET = "AIRFLOW_UNIT_PASSWORD"
REACH = Reach(mark="plan/1", seconds_left=lambda: 60.0)
KEYS: dict[str, Any] = {
    "url": "http://airflow", "username": "muster", "password_env": SECRET, "settle": "0s", "timeout": "1s",
    "timezones": {"dai*": "Europe/Berlin", "zoned": "Asia/Tokyo"},
}  # fmt: skip
EVER = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
HAND = datetime(2026, 11, 1, tzinfo=UTC)
"""The tick of the run that was recorded as made by hand, on a paused DAG."""


@pytest.fixture
def world() -> ReplayedAirflow:
    return ReplayedAirflow()


@pytest.fixture
def airflow(world: ReplayedAirflow, monkeypatch: pytest.MonkeyPatch) -> AirflowScheduler:
    monkeypatch.setenv(SECRET, "secret")
    return AirflowScheduler(Spec.model_validate(KEYS), world.transport)


def firings(airflow: AirflowScheduler, name: str) -> tuple[Firing, ...]:
    return airflow.history({name}, *EVER)


def test_it_is_a_scheduler_of_a_version_and_has_a_clock(airflow: AirflowScheduler, world: ReplayedAirflow) -> None:
    assert isinstance(airflow, Scheduler)
    identity = airflow.identify()
    assert identity.description == "Airflow 3.3.2 at http://airflow"
    assert "healthy" in identity.proof
    assert airflow.now() == world.now


def test_an_inventory_has_the_cut_alone_and_what_is_unfit(airflow: AirflowScheduler, world: ReplayedAirflow) -> None:
    found = airflow.inventory(Cut(tags=("etl",)))
    assert {job.name for job in found.jobs} == {"minutely", "interval", "grid", "slow", "daily", "every"}
    assert found.unfit == ()
    odd = airflow.inventory(Cut(tags=("odd",)))
    assert {unfit.name for unfit in odd.unfit} == {"several", "once", "never", "asset", "ended"}
    assert odd.schedules[0].rule == CronRule(expression="0 12 * * *", timezone="Asia/Tokyo")
    assert {job.name for job in airflow.inventory(Cut(owner="data")).jobs} == {"minutely", "orders", "invoices"}


def test_an_inventory_pages_through_whatever_size_airflow_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET, "secret")
    world = ReplayedAirflow(every_page=5)
    found = AirflowScheduler(Spec.model_validate(KEYS), world.transport).inventory(Cut())
    assert {one.name for one in (*found.jobs, *found.unfit)} == world.rows.keys()


def test_hold_and_release_are_read_back(airflow: AirflowScheduler, world: ReplayedAirflow) -> None:
    names = {"minutely", "daily"}
    world.pause(*names, is_paused=False)
    assert airflow.released(names | {"nowhere"}) == names
    airflow.hold(names, REACH)
    assert airflow.released(names) == frozenset()
    airflow.arm(names, REACH)
    assert airflow.released(names) == frozenset()
    airflow.release(names, REACH)
    assert airflow.released(names) == names


def test_an_airflow_that_says_done_and_does_nothing_is_found_out(
    airflow: AirflowScheduler, world: ReplayedAirflow
) -> None:
    world.disobeys = True
    with pytest.raises(SystemFailure, match="unpaused daily, and did not"):
        airflow.release({"daily"}, REACH)
    world.pause("daily", is_paused=False)
    with pytest.raises(SystemFailure, match="paused daily, which goes on"):
        airflow.hold({"daily"}, REACH)


def test_hold_passes_over_what_is_not_there_and_release_does_not(airflow: AirflowScheduler) -> None:
    airflow.hold({"nowhere"}, REACH)
    with pytest.raises(StepError, match="no DAG nowhere"):
        airflow.release({"nowhere"}, REACH)


def test_released_asks_for_the_list_where_there_are_many(airflow: AirflowScheduler, world: ReplayedAirflow) -> None:
    world.pause("daily", is_paused=False)
    assert airflow.released({"daily", *(f"nowhere-{number}" for number in range(60))}) == {"daily"}


def test_a_release_leaves_no_passed_tick_to_airflow(airflow: AirflowScheduler, world: ReplayedAirflow) -> None:
    planned = datetime.fromisoformat(world.details["interval"]["next_dagrun_run_after"])
    world.now = planned + timedelta(minutes=3, seconds=20)
    world.runs.clear()
    airflow.release({"interval"}, REACH)
    airflow.release({"interval"}, REACH)
    served = [run for run in world.runs if run["dag_run_id"].startswith(SERVED)]
    assert [datetime.fromisoformat(run["run_after"]) - planned for run in served] == [
        timedelta(),
        timedelta(minutes=3),
    ]
    assert {run["state"] for run in served} == {"success"}
    for run in served:
        logical, due = (datetime.fromisoformat(run[key]) for key in ("logical_date", "run_after"))
        assert due - logical == timedelta(minutes=1)
    assert firings(airflow, "interval") == ()


def test_with_catchup_every_passed_tick_is_kept_from_it_up_to_a_bound(
    airflow: AirflowScheduler, world: ReplayedAirflow
) -> None:
    planned = datetime.fromisoformat(world.details["grid"]["next_dagrun_run_after"])
    world.now = planned + timedelta(minutes=9)
    world.runs.clear()
    airflow.arm({"grid"}, REACH)
    assert len(world.runs) == 5
    assert airflow.released({"grid"}) == frozenset()
    world.now = planned + timedelta(days=2)
    with pytest.raises(StepError, match="would make up for 1441 ticks"):
        airflow.release({"grid"}, REACH)


def test_a_scheduler_that_does_not_beat_is_not_armed(
    airflow: AirflowScheduler, world: ReplayedAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(world.health["scheduler"], "status", "unhealthy")
    with pytest.raises(StepError, match="is unhealthy"):
        airflow.arm({"daily"}, REACH)


def test_a_mirror_passes_what_is_deployed_and_names_what_is_not(
    airflow: AirflowScheduler, world: ReplayedAirflow
) -> None:
    found = airflow.inventory(Cut(names=("minutely", "daily", "grid")))
    airflow.mirror(found.jobs, found.schedules, REACH)
    world.pause("daily", is_paused=False)
    other = [
        found.schedules[0].model_copy(update={"rule": CronRule(expression="7 7 * * *")}),
        Schedule(name="nowhere", job="nowhere", rule=CronRule(expression="0 1 * * *")),
        Schedule(name="once", job="once", rule=CronRule(expression="0 1 * * *")),
        Schedule(name="daily", job="daily", rule=CronRule(expression="0 0 * * *", timezone="Europe/Berlin")),
        Schedule(name="every", job="every", rule=IntervalRule(seconds=5400, anchor=EVER[0])),
    ]
    with pytest.raises(Refusal) as refused:
        airflow.mirror(found.jobs, other, REACH)
    for part in ("not '7 7", "no DAG nowhere", "once cannot take over", "daily is not paused", "DAG every has"):
        assert part in refused.value.message
    assert "deploy these DAGs first" in refused.value.advice


def test_history_tells_what_became_of_each_tick(airflow: AirflowScheduler, world: ReplayedAirflow) -> None:
    found = {name: firings(airflow, name) for name in ("minutely", "interval", "grid", "slow")}
    assert Stage.DONE in {f.stage for f in found["interval"]}
    assert Stage.RUNNING in {f.stage for f in found["slow"]}
    assert Stage.CANCELLED in {f.stage for f in found["minutely"]}
    assert [f for firings in found.values() for f in firings if f.run.startswith(SERVED)] == []
    for firing in found["interval"]:
        run = world.run("interval", firing.run)
        assert run is not None
        assert firing.at - datetime.fromisoformat(run["logical_date"]) == timedelta(minutes=1)
    first, *_, last = found["minutely"]
    assert airflow.history({"minutely"}, first.at, last.at) == found["minutely"][1:]


def test_a_run_of_which_no_task_was_taken_up_waits_whatever_airflow_calls_it(
    airflow: AirflowScheduler, world: ReplayedAirflow
) -> None:
    waiting = [f for f in firings(airflow, "minutely") if f.stage is Stage.WAITING]
    states = {run["state"] for f in waiting if (run := world.run("minutely", f.run))}
    assert states == {"running", "queued"}


def test_a_run_that_somebody_cleared_is_none_that_waits(airflow: AirflowScheduler, world: ReplayedAirflow) -> None:
    done = next(f for f in firings(airflow, "interval") if f.stage is Stage.DONE)
    run = world.run("interval", done.run)
    assert run is not None
    run.update(state="queued", start_date=None)
    assert {f.run: f.stage for f in firings(airflow, "interval")}[done.run] is Stage.TAKEN
    assert done.run in {f.run for f in airflow.at_work({"interval"})}


def test_at_work_is_what_a_worker_has(airflow: AirflowScheduler) -> None:
    assert [(f.schedule, f.stage) for f in airflow.at_work({"minutely", "slow", "interval"})] == [
        ("slow", Stage.RUNNING)
    ]


def test_rest_clears_what_waits_and_nothing_else(airflow: AirflowScheduler, world: ReplayedAirflow) -> None:
    before = {f.run for f in firings(airflow, "minutely") if f.stage is not Stage.WAITING}
    running = {f.run for f in firings(airflow, "slow") if f.stage is Stage.RUNNING}
    airflow.rest({"minutely", "slow"}, REACH)
    assert {f.run for f in firings(airflow, "minutely")} == before
    assert running <= {f.run for f in firings(airflow, "slow")}
    airflow.rest({"minutely", "slow"}, REACH)


def test_rest_finds_out_an_airflow_that_keeps_them(airflow: AirflowScheduler, world: ReplayedAirflow) -> None:
    world.disobeys = True
    with pytest.raises(SystemFailure, match="still has run"):
        airflow.rest({"minutely"}, REACH)


def test_drop_deletes_on_a_paused_dag_and_fails_on_one_at_work(
    airflow: AirflowScheduler, world: ReplayedAirflow
) -> None:
    tick = Tick("minutely", HAND)
    assert [f.stage for f in firings(airflow, "minutely") if f.tick == tick] == [Stage.WAITING]
    world.pause("minutely", is_paused=False)
    airflow.drop({tick}, REACH)
    assert [f.stage for f in firings(airflow, "minutely") if f.tick == tick] == [Stage.CANCELLED]
    next(r for r in world.runs if r["dag_run_id"].endswith("11-01T00:00:00Z"))["state"] = "queued"
    world.pause("minutely")
    airflow.drop({tick}, REACH)
    assert [f for f in firings(airflow, "minutely") if f.tick == tick] == []
    airflow.drop(set(), REACH)


def test_a_start_makes_one_run_with_the_dates_of_a_scheduled_one(
    airflow: AirflowScheduler, world: ReplayedAirflow
) -> None:
    tick = Tick("interval", datetime(2026, 11, 20, 5, tzinfo=UTC))
    assert airflow.start({tick}, REACH) == frozenset()
    world.pause("interval", is_paused=False)
    assert airflow.start({tick}, REACH) == {tick}
    assert airflow.start({tick}, REACH) == {tick}
    runs = [run for run in world.runs if run["run_after"].startswith("2026-11-20T05:00")]
    assert [run["dag_run_id"] for run in runs] == [f"{STARTED}2026-11-20T05:00:00Z"]
    assert runs[0]["logical_date"].startswith("2026-11-20T04:59")
    assert "plan/1" in runs[0]["note"]


def test_what_stands_for_a_tick_gives_way_to_a_start_and_what_ran_does_not(
    airflow: AirflowScheduler, world: ReplayedAirflow
) -> None:
    planned = datetime.fromisoformat(world.details["interval"]["next_dagrun_run_after"])
    done = next(f for f in firings(airflow, "interval") if f.stage is Stage.DONE)
    world.runs = [run for run in world.runs if run["dag_run_id"] == done.run]
    world.now = planned
    airflow.release({"interval"}, REACH)
    tick = Tick("interval", planned)
    assert airflow.start({tick, done.tick}, REACH) == {tick, done.tick}
    assert [f.run for f in firings(airflow, "interval") if f.tick == tick] == [f"{STARTED}{planned:%Y-%m-%dT%H:%M:%S}Z"]
    assert [f.run for f in firings(airflow, "interval") if f.tick == done.tick] == [done.run]


def test_remove_takes_what_waits_of_this_mark_alone(airflow: AirflowScheduler, world: ReplayedAirflow) -> None:
    before = firings(airflow, "minutely")
    airflow.remove({"minutely"}, REACH)
    assert firings(airflow, "minutely") == before
    airflow.remove({"minutely"}, Reach("recorded/1", lambda: 60.0))
    gone = {f.run for f in before} - {f.run for f in firings(airflow, "minutely")}
    assert gone
    assert all(run.startswith(STARTED) for run in gone)


def test_only_the_next_tick_is_known_so_none_are_told(airflow: AirflowScheduler) -> None:
    assert airflow.next_ticks((), *EVER) is None


def test_every_wait_asks_how_long_is_left(airflow: AirflowScheduler) -> None:
    def over() -> float:
        raise StepError("the time limit is up")

    with pytest.raises(StepError, match="time limit"):
        airflow.hold({"daily"}, Reach("plan/1", over))
