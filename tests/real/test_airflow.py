"""The scheduler `airflow` against a real Airflow 3.

Opt-in: Airflow cannot share an environment with Muster (it asks for an older FastAPI), so these run only where
`MUSTER_TEST_AIRFLOW` names the bin folder of an environment that has it, and are skipped, with that reason, everywhere
else; the unit tests replay what was recorded here. To run them, in about a quarter of an hour:

    python -m venv /some/where && /some/where/bin/pip install 'apache-airflow==3.*'
    MUSTER_TEST_AIRFLOW=/some/where/bin pytest tests/real/test_airflow.py
"""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from muster.cutover.schedule import CronRule, Cut, Firing, Inventory, Stage, Tick
from muster.errors import Refusal
from muster.settings import Settings
from tasks.schedulers.airflow import AirflowScheduler, open_scheduler
from tasks.schedulers.airflow_runs import SERVED, STARTED
from tasks.schedulers.scheduler import Reach, Scheduler
from tests.real.airflow_home import PASSWORD_ENV, AirflowHome, wait

BINARIES = os.environ.get("MUSTER_TEST_AIRFLOW", "")
REACH = Reach(mark="real/1", seconds_left=lambda: 600.0)
SHOP = {"orders", "invoices", "report"}
MINUTE = timedelta(minutes=1)
pytestmark = [
    pytest.mark.skipif(not BINARIES, reason="opt-in: MUSTER_TEST_AIRFLOW names no bin folder with an Airflow 3"),
    pytest.mark.timeout(1200),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowHome]:
    started = AirflowHome(Path(BINARIES), tmp_path_factory.mktemp("airflow"))
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.fixture
def airflow(home: AirflowHome, monkeypatch: pytest.MonkeyPatch) -> AirflowScheduler:
    monkeypatch.setenv(PASSWORD_ENV, home.password)
    who = {"url": home.url, "username": "muster", "password_env": PASSWORD_ENV}
    return open_scheduler({"type": "airflow", **who, "timezones": {"dai*": "Europe/Berlin"}}, Settings())


def now() -> datetime:
    return datetime.now(UTC)


def everything(airflow: AirflowScheduler, name: str) -> tuple[Firing, ...]:
    return airflow.history({name}, now() - timedelta(days=30), now() + timedelta(days=30))


def taken(airflow: AirflowScheduler, name: str) -> list[Firing]:
    return [firing for firing in everything(airflow, name) if firing.stage.is_taken]


def inventory(airflow: AirflowScheduler) -> Inventory:
    return airflow.inventory(Cut())


def test_it_is_a_scheduler_and_says_who_it_is(airflow: AirflowScheduler) -> None:
    assert isinstance(airflow, Scheduler)
    assert airflow.identify().description.startswith("Airflow 3.")
    assert abs((airflow.now() or now()) - now()) < timedelta(seconds=3)


def test_every_dag_is_a_schedule_or_unfit_with_a_reason(airflow: AirflowScheduler) -> None:
    found = inventory(airflow)
    rules = {schedule.name: schedule.rule for schedule in found.schedules}
    assert rules["minutely"] == CronRule(expression="* * * * *")
    assert rules["daily"] == CronRule(expression="0 0 * * *", timezone="Europe/Berlin")
    assert rules.keys() == {"minutely", "interval", "slow", "daily", "every", "grid", *SHOP}
    assert {unfit.name for unfit in found.unfit} == {"zoned", "several", "once", "never", "asset", "ended", "boot"}
    job = next(job for job in found.jobs if job.name == "minutely")
    assert (job.owner, job.tags, job.concurrency, job.parameters) == (
        "data",
        ("etl", "nightly"),
        1,
        {"table": "orders"},
    )
    assert {job.name for job in airflow.inventory(Cut(tags=("nightly",))).jobs} == {"minutely"}


def test_a_mirror_finds_what_was_deployed_and_names_what_was_not(airflow: AirflowScheduler) -> None:
    found = inventory(airflow)
    whole = [schedule for schedule in found.schedules if schedule.name in {"minutely", "daily"}]
    airflow.mirror(found.jobs, whole, REACH)
    other = whole[0].model_copy(update={"rule": CronRule(expression="5 * * * *")})
    missing = whole[0].model_copy(update={"name": "nowhere", "job": "nowhere"})
    with pytest.raises(Refusal, match=r"has .* not '5 \* \* \* \*'.*there is no DAG nowhere"):
        airflow.mirror(found.jobs, [other, missing], REACH)


def test_unpaused_by_hand_a_dag_runs_at_once_for_a_tick_long_past(home: AirflowHome, airflow: AirflowScheduler) -> None:
    """The trap that `release` avoids."""
    home.ask("PATCH", "dags/daily", json={"is_paused": False})
    wait(lambda: bool(taken(airflow, "daily")), "a run of the last midnight")
    airflow.hold({"daily"}, REACH)
    assert everything(airflow, "daily")[0].at < home.since


def test_released_they_start_what_is_due_from_then_on_and_held_nothing(
    home: AirflowHome, airflow: AirflowScheduler
) -> None:
    names = {"minutely", "interval", "grid"}
    wait(lambda: now() > home.since + 5 * MINUTE, "several ticks to pass while they are paused", 400)
    airflow.arm(names, REACH)
    wait(lambda: 5 < now().second < 50, "a moment between two ticks")
    airflow.release(names, REACH)
    at = now()
    assert airflow.released(names) == names
    for name in names:
        wait(lambda name=name: any(f.stage is Stage.DONE for f in everything(airflow, name)), f"a run of {name}", 300)
    airflow.hold(names, REACH)
    held = now()
    assert airflow.released(names) == frozenset()
    early = [f for name in names for f in everything(airflow, name) if f.at <= at]
    assert early == []
    time.sleep(70)
    assert [f for name in names for f in taken(airflow, name) if f.started and f.started > held] == []
    served = [r for r in home.ask("GET", "dags/grid/dagRuns")["dag_runs"] if r["dag_run_id"].startswith(SERVED)]
    assert len(served) >= 2
    assert {run["state"] for run in served} == {"success"}


def test_a_run_of_which_no_task_was_taken_up_is_gone_after_rest(home: AirflowHome, airflow: AirflowScheduler) -> None:
    home.ask("PATCH", "pools/default_pool", json={"slots": 0}, params={"update_mask": "slots"})
    try:
        airflow.release({"minutely"}, REACH)
        wait(lambda: any(f.stage is Stage.WAITING for f in everything(airflow, "minutely")), "a run with no slot")
        airflow.hold({"minutely"}, REACH)
        assert airflow.rest({"minutely"}, REACH) is None
        assert [f for f in everything(airflow, "minutely") if f.stage is Stage.WAITING] == []
    finally:
        home.ask("PATCH", "pools/default_pool", json={"slots": 128}, params={"update_mask": "slots"})


def test_a_tick_is_made_up_for_once_and_in_place_of_what_stood_for_it(
    home: AirflowHome, airflow: AirflowScheduler
) -> None:
    for name in ("minutely", "interval"):
        airflow.hold({name}, REACH)
        tick = Tick(name, now().replace(second=0, microsecond=0) + MINUTE)
        wait(lambda tick=tick: now() > tick.at + timedelta(seconds=5), "a tick that nobody serves", 90)
        airflow.release({name}, REACH)
        assert airflow.start({tick}, REACH) == {tick}
        assert airflow.start({tick}, REACH) == {tick}
        wait(lambda name=name, tick=tick: any(f.tick == tick for f in taken(airflow, name)), "the run", 120)
        airflow.hold({name}, REACH)
        runs = [f for f in everything(airflow, name) if f.tick == tick]
        assert [run.run.startswith(STARTED) for run in runs] == [True]


def test_a_paused_dag_leaves_a_run_between_two_tasks(home: AirflowHome, airflow: AirflowScheduler) -> None:
    """What `docs/schedulers.md` warns of."""
    airflow.release({"slow"}, REACH)
    wait(lambda: bool(taken(airflow, "slow")), "a run of it", 120)
    airflow.hold({"slow"}, REACH)
    run = taken(airflow, "slow")[-1].run

    def states() -> list[str | None]:
        told = home.ask("GET", f"dags/slow/dagRuns/{run.replace('+', '%2B')}/taskInstances")
        return [task["state"] for task in told["task_instances"]]

    wait(lambda: "success" in states(), "the first task to end", 120)
    time.sleep(20)
    assert sorted(map(str, states())) in (["None", "success"], ["scheduled", "success"])
    assert taken(airflow, "slow")[-1].stage is Stage.RUNNING


def test_a_run_that_somebody_cleared_is_left_to_them(home: AirflowHome, airflow: AirflowScheduler) -> None:
    done = next(f for f in everything(airflow, "interval") if f.stage is Stage.DONE)
    airflow.hold({"interval"}, REACH)
    path = f"dags/interval/dagRuns/{done.run.replace('+', '%2B')}"
    home.ask("POST", f"{path}/clear", json={"dry_run": False})
    assert home.ask("GET", path)["state"] == "queued"
    airflow.rest({"interval"}, REACH)
    assert {f.run: f.stage for f in everything(airflow, "interval")}[done.run] is Stage.TAKEN
