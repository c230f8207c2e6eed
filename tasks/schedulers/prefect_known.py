"""What a Prefect server has: its deployments, and what became of their runs. Only asks.

Promises: every page is turned, and what moved while pages were turned is told once; a deployment is told whole or is
unfit; what was read before is used again where a handover waits, and is read anew where somebody must be sure.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from muster.cutover.schedule import Firing, Job, Schedule, Stage, Tick, Unfit
from muster.errors import StepError
from tasks.schedulers import prefect_forms as forms
from tasks.schedulers.prefect_api import Api, batches

_BY_AGE = "CREATED_DESC"
"""What is made while pages are turned pushes others on, and hides none. By name nothing is sure: flows share them."""


@dataclass(frozen=True)
class Known:
    """One deployment as the server has it."""

    id: str
    job: Job
    schedules: Mapping[str, Schedule]
    """By Prefect's own id of each."""
    on: frozenset[str]
    """Names of those that are switched on, whether or not the deployment is paused."""
    unfit: tuple[Unfit, ...]
    is_paused: bool
    mark: str
    pool: str

    @property
    def names(self) -> set[str]:
        """Of its schedules."""
        return {schedule.name for schedule in self.schedules.values()}


class Reading:
    """Everything that is asked of one server."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[str, Known] = {}
        self._has_all = False

    def every(self) -> list[Known]:
        """All deployments as they are now."""
        self._known.clear()
        found = self._read({})
        self._has_all = True
        return found

    def fresh(self, jobs: Iterable[str]) -> list[Known]:
        """As the server has them now; those it has not are left out."""
        wanted = set(jobs)
        for name in wanted:
            self._known.pop(name, None)
        for names in batches(sorted({forms.deployment_of(name) for name in wanted})):
            self._read({"deployments": {"name": {"any_": names}}})
        return [self._known[name] for name in sorted(wanted) if name in self._known]

    def of(self, schedules: Collection[str]) -> list[Known]:
        """Their deployments, from what was read before where that will do."""
        jobs = {job_of(name) for name in schedules}
        if unknown := jobs - self._known.keys():
            self.fresh(unknown)
        if missing := jobs - self._known.keys():
            raise StepError(f"{self._api.url} has no deployment {min(missing)}", "see what became of it")
        found = [self._known[name] for name in sorted(jobs)]
        if missing := set(schedules).difference(*(known.names for known in found)):
            raise StepError(f"{self._api.url} has no schedule {min(missing)}", "see what became of it")
        return found

    def beside(self, deployments: Sequence[Known]) -> list[Known]:
        """Others in their pools that are not paused. All are read where that was never done."""
        if deployments and not self._has_all:
            self.every()
        pools, ours = {known.pool for known in deployments}, {known.job.name for known in deployments}
        return [k for k in self._known.values() if k.pool in pools and k.job.name not in ours and not k.is_paused]

    def are(self, deployments: Sequence[Known], *, is_paused: bool) -> bool:
        """Whether every one of them is there and paused, or is not. To count costs a hundredth of reading them."""
        if self.count([known.id for known in deployments], paused={"eq_": is_paused}) != len(deployments):
            return False
        for known in deployments:
            self._known[known.job.name] = replace(self._known.get(known.job.name, known), is_paused=is_paused)
        return True

    def going(self, jobs: Collection[str]) -> list[Known]:
        """Those that are not paused, in pools that are not shut. Those are read that do not all count as quiet."""
        known = [self._known[name] for name in sorted(jobs) if name in self._known]
        shut = {pool for pool in {one.pool for one in known} if self.is_shut(pool)}
        behind = [one for one in known if one.pool in shut]
        quiet = set()
        if behind and self.count([one.id for one in behind], pools=sorted(shut)) == len(behind):
            quiet |= {one.job.name for one in behind}
        open_ones = [one for one in known if one.job.name not in quiet]
        if open_ones and self.are(open_ones, is_paused=True):
            quiet |= {one.job.name for one in open_ones}
        found = [one for one in self.fresh(set(jobs) - quiet) if not one.is_paused]
        shut = {pool for pool in {one.pool for one in found} if self.is_shut(pool)}
        return [one for one in found if one.pool not in shut]

    def count(self, deployments: Sequence[str], *, pools: Sequence[str] | None = None, **which: Any) -> int:
        """How many of these ids are there, in one of the pools where these are given."""
        where = {} if pools is None else {"work_pools": {"name": {"any_": pools}}}
        return sum(
            int(self._api.post("deployments/count", {"deployments": {"id": {"any_": ids}, **which}, **where}))
            for ids in batches(deployments)
        )

    def is_shut(self, pool: str) -> bool:
        """Whether no worker is given anything out of it."""
        said = self._api.get(f"work_pools/{pool}") if pool else None
        return said is None or bool(said["is_paused"])

    def placed(self, deployments: Sequence[Known]) -> list[Job]:
        """Their jobs, with what their pools and queues are like: what a mirror needs where these are not there."""
        used = {known.pool for known in deployments}
        pools = {pool["name"]: pool for pool in self._api.pages("work_pools/filter", {}) if pool["name"] in used}
        queues = {
            (pool, queue["name"]): queue
            for pool in pools
            for queue in self._api.pages(f"work_pools/{pool}/queues/filter", {})
        }
        return [
            forms.placed(known.job, pools.get(known.pool, {}), queues.get((known.pool, forms.queue_of(known.job)), {}))
            for known in deployments
        ]

    def history(self, schedules: Collection[str], after: datetime, until: datetime) -> tuple[Firing, ...]:
        """Flow runs by the time at which they were due."""
        due = {"expected_start_time": {"after_": after.isoformat(), "before_": until.isoformat()}}
        found = [firing for firing in self._firings(self.of(schedules), due) if after < firing.at <= until]
        return _of_schedules(found, schedules)

    def at_work(self, schedules: Collection[str]) -> tuple[Firing, ...]:
        """Pending, running, paused, or between two tries, whenever they began."""
        found = [f for f in self._firings(self.of(schedules), {"state": forms.AT_WORK}) if not f.stage.is_over]
        return _of_schedules([firing for firing in found if firing.stage is not Stage.WAITING], schedules)

    def waiting(self, deployments: Sequence[Known]) -> list[Firing]:
        """Runs of their ticks that nobody has taken up."""
        found = self._firings(deployments, {"state": {"type": {"any_": ["SCHEDULED"]}}})
        return [firing for firing in found if firing.stage is Stage.WAITING]

    def of_ticks(self, ticks: Collection[Tick]) -> list[Firing]:
        """What was made of these ticks."""
        if not ticks:
            return []
        moments = [tick.at for tick in ticks]
        first, last = min(moments) - timedelta(microseconds=1), max(moments)
        return [f for f in self.history({tick.schedule for tick in ticks}, first, last) if f.tick in ticks]

    def _firings(self, deployments: Sequence[Known], which: Mapping[str, Any]) -> Iterator[Firing]:
        known = {one.id: one for one in deployments}
        for ids in batches(list(known)):
            only = {"deployment_id": {"any_": ids}, **which}
            for run in self._api.pages("flow_runs/filter", {"flow_runs": only, "sort": "ID_DESC"}):
                if firing := forms.firing_of(run, known[run["deployment_id"]].schedules):
                    yield firing

    def _read(self, which: Mapping[str, Any]) -> list[Known]:
        rows = list(self._api.pages("deployments/filter", {**which, "sort": _BY_AGE}))
        flows: dict[str, str] = {}
        for ids in batches(sorted({row["flow_id"] for row in rows})):
            asked = {"flows": {"id": {"any_": ids}}}
            flows.update({flow["id"]: flow["name"] for flow in self._api.pages("flows/filter", asked)})
        found = [_known(row, flows[row["flow_id"]]) for row in rows if row["flow_id"] in flows]
        self._known.update({known.job.name: known for known in found})
        return sorted(found, key=lambda known: known.job.name)


def job_of(schedule: str) -> str:
    """Name of the job that a schedule of this name starts."""
    return schedule.partition("#")[0]


def _of_schedules(firings: Iterable[Firing], schedules: Collection[str]) -> tuple[Firing, ...]:
    wanted = set(schedules)
    return tuple(sorted((f for f in firings if f.schedule in wanted), key=lambda f: (f.at, f.schedule)))


def _known(row: Mapping[str, Any], flow: str) -> Known:
    job = forms.job_of(row, flow)
    schedules, unfit = forms.schedules_of(row, job)
    pool = row.get("work_pool_name") or ""
    if schedules and not pool:
        why = "no work pool serves it: whoever serves it cannot be held"
        schedules, unfit = {}, tuple(Unfit(name=schedule.name, reason=why) for schedule in schedules.values())
    on = {schedules[said["id"]].name for said in row["schedules"] if said["active"] and said["id"] in schedules}
    return Known(row["id"], job, schedules, frozenset(on), unfit, row["paused"], forms.mark_of(row), pool)
