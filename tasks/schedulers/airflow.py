"""Scheduler `airflow`: an Airflow 3 by the URL of its web server.

Promises: a DAG is one job with one schedule; nothing is ever deployed, changed or deleted but whether a DAG is paused,
runs of which no task was taken up, and runs that Muster put there itself; whatever is changed is read back.
Traps of Airflow 3: DAGs are code, so that a mirror can only check what was deployed; a DAG that is released makes a run
of the newest tick that passed while it was paused, at once (with `catchup`, of each of them), unless a run of that
logical date is there; a paused DAG starts no further task of a run that it already began.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Literal
from zoneinfo import available_timezones

import httpx
from pydantic import Field, field_validator

from muster.cutover.schedule import Cut, Dialect, Firing, Inventory, Job, Schedule, Stage, Tick, Unfit
from muster.errors import Refusal, StepError, SystemFailure
from muster.identity import Identity
from muster.quantity import Duration
from muster.settings import Settings
from tasks.schedulers import airflow_marks as marks
from tasks.schedulers import airflow_rules as rules
from tasks.schedulers import airflow_runs as runs
from tasks.schedulers.airflow_api import Address, Api, dag_path, run_path
from tasks.schedulers.scheduler import Reach

_AT_ONCE = 8
_FEW = 50
"""Up to so many DAGs are asked for one by one, more by the list of all."""


class Spec(Address):
    """The scheduler's keys in a plan."""

    type: Literal["airflow"] = "airflow"
    settle: Duration = Field(default="1s", validate_default=True, ge=timedelta())
    """How long a round of the scheduler that began before a DAG was paused may still start something of it."""
    timezones: Mapping[str, str] = {}
    """The zone of a DAG by its name, or by the beginning of names with `*`; the first that fits. The API tells none."""

    @field_validator("timezones")
    @classmethod
    def _are_known(cls, zones: Mapping[str, str]) -> Mapping[str, str]:
        for zone in zones.values():
            if zone not in available_timezones():
                raise ValueError(f"there is no time zone {zone!r}")
        return zones


class AirflowScheduler:
    """An Airflow."""

    dialect = Dialect.AIRFLOW

    def __init__(self, spec: Spec, transport: httpx.BaseTransport | None = None) -> None:
        self._spec = spec
        self._api = Api(Address(**spec.model_dump(exclude={"type", "settle", "timezones"})), transport)

    def identify(self) -> Identity:
        """Its version. An Airflow has no id of its own: its URL is all there is to know it by."""
        try:
            version, health = self._api.get("version"), self._api.get("monitor/health")
            next(self._api.pages("dags"), None)
        except StepError as error:
            raise Refusal(error.message, error.advice) from None
        if version is None or health is None or not str(version["version"]).startswith("3."):
            raise Refusal(f"{self._api.url} is no Airflow 3", "correct `url`: it is that of the web server")
        beat = (health.get("scheduler") or {}).get("status")
        return Identity(
            description=f"Airflow {version['version']} at {self._api.url}", proof=f"asked; its scheduler is {beat}"
        )

    def now(self) -> datetime | None:
        """To the second."""
        return self._api.clock()

    def inventory(self, cut: Cut) -> Inventory:
        """By pages, then the details of each DAG of the cut."""
        now = self._api.clock() or datetime.now(UTC)
        taken = [row["dag_id"] for row in self._api.pages("dags", order_by="dag_id") if cut.takes(rules.job_of(row))]
        details = [told for told in _together(self._details, taken) if told is not None]
        found = [(rules.job_of(told), rules.schedule_of(told, now)) for told in details]
        return Inventory(
            jobs=tuple(job for job, schedule in found if isinstance(schedule, Schedule)),
            schedules=tuple(schedule for _, schedule in found if isinstance(schedule, Schedule)),
            unfit=tuple(unfit for _, unfit in found if isinstance(unfit, Unfit)),
        )

    def untold(self, job: Job, schedule: Schedule) -> tuple[str, ...]:  # noqa: ARG002
        """A DAG carries cron of five fields; an interval as far as it counts from a grid."""
        return rules.untold_of(schedule)

    def carried(self, schedule: Schedule) -> Schedule | None:
        """As it is, or not at all: a DAG of its name has to be deployed with the same rule."""
        return None if rules.untold_of(schedule) else schedule

    def gate_of(self, job: Job) -> str:  # noqa: ARG002
        """Each DAG is held by itself."""
        return ""

    def objection(self, jobs: Sequence[Job], schedules: Sequence[Schedule], mark: str) -> str:  # noqa: ARG002
        """DAGs that are not there, with their rules, paused."""
        now = self._api.clock() or datetime.now(UTC)
        faults = [
            fault
            for fault in _together(lambda one: rules.fault_for(one, self._details(one.job), now), schedules)
            if fault
        ]
        more = f", and {len(faults) - 5} more" if len(faults) > 5 else ""
        return f"{self._api.url}: {'; '.join(faults[:5])}{more}" if faults else ""

    def mirror(self, jobs: Sequence[Job], schedules: Sequence[Schedule], reach: Reach) -> None:
        """DAGs of these names are there with these rules, paused; nobody can deploy them through the API."""
        reach.seconds_left()
        if words := self.objection(jobs, schedules, reach.mark):
            raise Refusal(words, "deploy these DAGs first, paused")

    def remove(self, jobs: Collection[str], reach: Reach) -> None:
        """DAGs stay: no mirror made them. Runs of the mark that nobody took up are gone."""
        reach.seconds_left()
        found = runs.runs_of(self._api, jobs, states=["queued", "running"])
        ours = {run["dag_run_id"] for run in found if marks.is_ours(run, reach.mark)}
        firings = runs.firings_of(self._api, [run for run in found if run["dag_run_id"] in ours])
        self._clear(firings, reach)

    def arm(self, schedules: Collection[str], reach: Reach) -> None:
        """Each DAG is there and could be started; ticks that passed are marked as served."""
        health = (self._api.get("monitor/health") or {}).get("scheduler") or {}
        if health.get("status") != "healthy":
            raise StepError(f"the scheduler of {self._api.url} is {health.get('status')}", "start `airflow scheduler`")

        def ready(name: str) -> None:
            dag = self._there(name)
            if dag["is_paused"]:
                marks.serve_passed(self._api, dag, reach.mark)

        self._each(ready, schedules, reach)

    def release(self, schedules: Collection[str], reach: Reach) -> None:
        """Unpause each DAG; what passed while it was paused is marked as served, so that Airflow makes no run of it."""

        there = self._each(self._there, sorted(schedules), reach)

        def open_up(dag: Mapping[str, Any]) -> None:
            marks.serve_passed(self._api, dag, reach.mark)
            self._api.patch(dag_path(dag["dag_id"]), {"is_paused": False})

        self._each(open_up, [dag for dag in there if dag["is_paused"]], reach)
        if held := set(schedules) - self.released(schedules):
            raise SystemFailure(f"{self._api.url} said it unpaused {min(held)}, and did not", "unpause it by hand")

    def hold(self, schedules: Collection[str], reach: Reach) -> None:
        """Pause each DAG, and outwait the scheduler's round. One that is not there starts nothing."""
        self._each(lambda name: self._api.patch(dag_path(name), {"is_paused": True}), schedules, reach)
        if going := self.released(schedules):
            raise SystemFailure(f"{self._api.url} said it paused {min(going)}, which goes on", "pause it by hand")
        time.sleep(min(self._spec.settle.total_seconds(), reach.seconds_left()))

    def rest(self, schedules: Collection[str], reach: Reach) -> None:
        """Runs of due ticks of which no task was taken up are gone; Airflow makes none ahead of time."""
        self._clear(self._unfinished(schedules), reach)
        if left := [f for f in self._unfinished(schedules) if f.stage is Stage.WAITING]:
            raise SystemFailure(f"{self._api.url} still has run {left[0].run} of {left[0].schedule}", "delete it")

    def released(self, schedules: Collection[str]) -> frozenset[str]:
        """Not paused, its file there and sound."""
        return frozenset(
            dag["dag_id"]
            for dag in self._rows(schedules)
            if not (dag["is_paused"] or dag["is_stale"] or dag["has_import_errors"])
        )

    def next_ticks(self, schedules: Sequence[Schedule], after: datetime, until: datetime) -> tuple[Tick, ...] | None:  # noqa: ARG002
        """It tells the next one alone, and `inventory` has compared that."""
        return None

    def history(self, schedules: Collection[str], after: datetime, until: datetime) -> tuple[Firing, ...]:
        """Runs by the time at which they were due."""
        return runs.firings_of(self._api, runs.runs_of(self._api, schedules, after, until))

    def at_work(self, schedules: Collection[str]) -> tuple[Firing, ...]:
        """One of several tasks whose DAG is paused stays so for good: its next task waits for the DAG."""
        return tuple(firing for firing in self._unfinished(schedules) if firing.stage.is_taken)

    def drop(self, ticks: Collection[Tick], reach: Reach) -> None:
        """Deleted where the DAG is paused; else they are set failed, since Airflow makes again what is deleted."""
        wanted = set(ticks)
        paused = {dag["dag_id"] for dag in self._rows({tick.schedule for tick in wanted}) if dag["is_paused"]}
        found = [firing for firing in self._of_ticks(wanted) if firing.stage is Stage.WAITING]
        self._clear([firing for firing in found if firing.schedule in paused], reach)
        self._each(self._fail, [firing for firing in found if firing.schedule not in paused], reach)

    def start(self, ticks: Collection[Tick], reach: Reach) -> frozenset[Tick]:
        """A run by hand, due since the tick, of DAGs that are released. One that is there already is left to do it."""
        open_ones = self.released({tick.schedule for tick in ticks})
        wanted = {tick for tick in ticks if tick.schedule in open_ones}
        there = {firing.tick for firing in self._of_ticks(wanted) if firing.stage is not Stage.CANCELLED}

        def make_up(tick: Tick) -> bool:
            return marks.make_up(self._api, self._there(tick.schedule), tick.at, reach.mark)

        missing = sorted(wanted - there)
        made = self._each(make_up, missing, reach)
        return frozenset(there | {tick for tick, is_made in zip(missing, made, strict=True) if is_made})

    def _unfinished(self, dags: Collection[str]) -> tuple[Firing, ...]:
        return runs.firings_of(self._api, runs.runs_of(self._api, dags, states=["queued", "running"]))

    def _of_ticks(self, ticks: set[Tick]) -> list[Firing]:
        if not ticks:
            return []
        moments = [tick.at for tick in ticks]
        first, last = min(moments) - timedelta(microseconds=1), max(moments)
        return [f for f in self.history({tick.schedule for tick in ticks}, first, last) if f.tick in ticks]

    def _clear(self, firings: Iterable[Firing], reach: Reach) -> None:
        """Those that wait are gone: one that Airflow calls running must fail before it can be deleted."""

        def clear(firing: Firing) -> None:
            if not self._api.delete(run_path(firing.schedule, firing.run)):
                self._fail(firing)
                self._api.delete(run_path(firing.schedule, firing.run))

        self._each(clear, [firing for firing in firings if firing.stage is Stage.WAITING], reach)

    def _fail(self, firing: Firing) -> None:
        self._api.patch(run_path(firing.schedule, firing.run), {"state": "failed"})

    def _details(self, name: str) -> dict[str, Any] | None:
        told, zones = self._api.get(dag_path(name, "/details")), self._spec.timezones
        if told is not None and (zone := next((z for n, z in zones.items() if fnmatchcase(name, n)), None)):
            told["timezone"] = zone
        return told

    def _there(self, name: str) -> dict[str, Any]:
        dag = self._details(name)
        if dag is None or dag["is_stale"] or dag["has_import_errors"]:
            raise StepError(f"{self._api.url} has no DAG {name} that could run", "see its import errors, deploy it")
        return dag

    def _rows(self, names: Collection[str]) -> list[dict[str, Any]]:
        if len(names) > _FEW:
            return [row for row in self._api.pages("dags", order_by="dag_id") if row["dag_id"] in names]
        return [row for row in _together(lambda name: self._api.get(dag_path(name)), sorted(names)) if row]

    def _each(self, act: Callable[[Any], Any], items: Iterable[Any], reach: Reach) -> list[Any]:
        def bounded(item: Any) -> Any:
            reach.seconds_left()
            return act(item)

        return _together(bounded, items)


def _together(act: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Side by side, in order; the first that fails ends it, and is raised."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        futures = [pool.submit(act, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def open_scheduler(keys: dict[str, Any], _settings: Settings) -> AirflowScheduler:
    """The Airflow that a plan's keys name."""
    return AirflowScheduler(Spec.model_validate(keys))
