"""Scheduler `prefect`: a Prefect 3 server, or a Cloud workspace, by the URL of its API or by a profile.

Promises: a handover waits for one call a work pool, however many deployments there are; whatever is changed is read
back; only what a mirror of ours made is ever deleted, and each is paused before, since deleting alone leaves its runs.
Traps of Prefect 3.8: creating a deployment that exists overwrites it; pausing a deployment deletes the runs made ahead
of it, those that are due and not yet taken up too; a worker takes runs up ten seconds before they are due; a pause of
the work pool ends that at once, and what was taken up before runs on.
Not yet proven on Prefect Cloud.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import httpx

from muster.cutover.schedule import CalendarRule, Cut, Dialect, Firing, Inventory, Job, Schedule, Stage, Tick, Unfit
from muster.errors import Refusal, StepError, SystemFailure
from muster.identity import Identity
from muster.settings import Settings
from tasks.schedulers import prefect_forms as forms
from tasks.schedulers.prefect_api import DELETED_AT_ONCE, Address, Api, batches
from tasks.schedulers.scheduler import Reach

_AT_ONCE = 8
"""Calls side by side: more only wait for each other in the server's database."""
_BORN_WITH = "block_types/slug/local-file-system"
"""Every database of a server gets these by itself, under ids of its own."""


class Spec(Address):
    """The scheduler's keys in a plan."""

    type: Literal["prefect"] = "prefect"
    gate: Literal["pool", "deployment"] = "pool"
    """What is shut to hold schedules: their work pools, one call each; or, where a pool also serves others, each
    deployment, one call each."""
    server: str = ""
    """The id that the server must prove to have, as `muster ready` shows it; empty: whichever answers there."""


@dataclass(frozen=True)
class _Known:
    """One deployment as the server has it."""

    id: str
    job: Job
    schedules: dict[str, Schedule]
    """By Prefect's own id of each."""
    unfit: tuple[Unfit, ...]
    is_paused: bool
    mark: str
    pool: str

    @property
    def names(self) -> set[str]:
        return {schedule.name for schedule in self.schedules.values()}


class PrefectScheduler:
    """A Prefect server."""

    dialect = Dialect.PREFECT

    def __init__(self, spec: Spec, transport: httpx.BaseTransport | None = None) -> None:
        self._spec = spec
        self._api = Api(Address(**spec.model_dump(exclude={"type", "gate", "server"})), transport)
        self._known: dict[str, _Known] = {}

    def identify(self) -> Identity:
        """Its version, and an id that its database was born with."""
        version, born = self._api.get("admin/version"), self._api.get(_BORN_WITH)
        if version is None or born is None:
            raise Refusal(f"{self._api.url} is no API of a Prefect 3 server", "its address ends in /api")
        if self._spec.server not in {"", born["id"]}:
            raise Refusal(f"{self._api.url} is server {born['id']}, not the plan's", "correct `api` or `server`")
        return Identity(description=f"Prefect {version}", system_identifier=born["id"], proof=f"{self._api.url} asked")

    def now(self) -> datetime | None:
        """To the second."""
        return self._api.clock()

    def inventory(self, cut: Cut) -> Inventory:
        """By pages; with the gate `pool` no other deployment may be at work in the pools of the cut."""
        every = self._read({"deployments": {"operator": "and_"}})
        taken = [known for known in every if cut.takes(known.job)]
        if self._spec.gate == "pool":
            _assert_alone(taken, every)
        return Inventory(
            jobs=tuple(known.job for known in taken if known.schedules),
            schedules=tuple(schedule for known in taken for schedule in known.schedules.values()),
            unfit=tuple(unfit for known in taken for unfit in known.unfit),
        )

    def untold(self, job: Job, schedule: Schedule) -> tuple[str, ...]:
        """Prefect carries cron, intervals and recurrences as they are."""
        return forms.untold_of(job, schedule)

    def carried(self, schedule: Schedule) -> Schedule | None:
        """As it is, but for what only systemd reads."""
        return None if isinstance(schedule.rule, CalendarRule) else schedule

    def mirror(self, jobs: Sequence[Job], schedules: Sequence[Schedule], reach: Reach) -> None:
        """Deployments, paused; a pool that is not there is made, shut."""
        foreign = [k.job.name for k in self._fresh(job.name for job in jobs) if k.mark != reach.mark]
        if foreign:
            raise Refusal(
                f"{self._api.url} has deployments that no mirror of this run made: {', '.join(foreign[:5])}",
                "rename or remove them, or hand over in the other direction",
            )
        for pool in sorted({str(job.own.get("work_pool_name") or "") for job in jobs} - {""}):
            self._make_pool(pool, jobs, reach)
        flows = {name: self._api.post("flows/", {"name": name})["id"] for name in {_flow_of(job.name) for job in jobs}}
        theirs: dict[str, list[Schedule]] = {job.name: [] for job in jobs}
        for schedule in schedules:
            theirs[schedule.job].append(schedule)

        def make(job: Job) -> None:
            body = forms.created(job, theirs[job.name], flows[_flow_of(job.name)], reach.mark)
            self._api.post("deployments/", body)

        self._each(make, jobs, reach)
        made = {known.job.name for known in self._fresh(job.name for job in jobs) if known.is_paused}
        if missing := [job.name for job in jobs if job.name not in made]:
            raise SystemFailure(f"{self._api.url} said it made {missing[0]} and has it not", "look at the server")

    def remove(self, jobs: Collection[str], reach: Reach) -> None:
        """Those of the mark, and the pools that were made with them."""
        ours = [known for known in self._fresh(jobs) if known.mark == reach.mark]
        self._each(lambda known: self._api.post(f"deployments/{known.id}/pause_deployment", {}), ours, reach)
        self._each(lambda known: self._api.delete(f"deployments/{known.id}"), ours, reach)
        for pool in {known.pool for known in ours} - {""}:
            said = self._api.get(f"work_pools/{pool}")
            if said and said["description"] == forms.MARK + reach.mark:
                self._api.delete(f"work_pools/{pool}")
        for known in ours:
            self._known.pop(known.job.name, None)

    def arm(self, schedules: Collection[str], reach: Reach) -> None:
        """Runs are made ahead, behind a shut pool. Without such a gate there is nothing to do before the release."""
        if self._spec.gate == "pool":
            armed = self._of(schedules)
            self._shut(armed, is_shut=True)
            self._resume(armed, reach)

    def release(self, schedules: Collection[str], reach: Reach) -> None:
        """Open the pools; or resume each deployment, and have its runs made at once."""
        released = self._of(schedules)
        if self._spec.gate == "pool":
            self._shut(released, is_shut=False)
        else:
            self._resume(released, reach)

    def hold(self, schedules: Collection[str], reach: Reach) -> None:
        """Shut the pools; or pause each deployment, which also takes back what was made ahead of it."""
        held = self._of(schedules)
        if self._spec.gate == "pool":
            self._shut(held, is_shut=True)
        else:
            self._pause(held, reach)

    def rest(self, schedules: Collection[str], reach: Reach) -> None:
        """Pause each deployment: twice where the server was making runs at that moment."""
        self._pause(self._of(schedules), reach)

    def released(self, schedules: Collection[str]) -> frozenset[str]:
        """Active, their deployment not paused, and their pool open."""
        found = self._fresh({_job_of(name) for name in schedules})
        shut = {pool for pool in {known.pool for known in found} if self._is_shut(pool)}
        return frozenset(
            schedule.name
            for known in found
            if not known.is_paused and known.pool not in shut
            for schedule in known.schedules.values()
            if schedule.active and schedule.name in schedules
        )

    def next_ticks(self, schedules: Sequence[Schedule], after: datetime, until: datetime) -> tuple[Tick, ...] | None:
        """The runs it made ahead: it makes a hundred of a schedule at most, and none of one that is paused."""
        made = self.history({schedule.name for schedule in schedules}, after, until)
        named = {firing.tick for firing in made if firing.stage is not Stage.CANCELLED}
        return tuple(sorted(named, key=lambda tick: (tick.at, tick.schedule))) or None

    def history(self, schedules: Collection[str], after: datetime, until: datetime) -> tuple[Firing, ...]:
        """Flow runs by the time at which they were due."""
        wanted = set(schedules)
        known = {one.id: one for one in self._of(schedules)}
        found: dict[str, Firing] = {}  # by run: rows made while pages are turned push others on
        for ids in batches(list(known)):
            for run in self._runs(ids, after, until):
                firing = forms.firing_of(run, known[run["deployment_id"]].schedules)
                if firing and firing.schedule in wanted and after < firing.at <= until:
                    found[firing.run] = firing
        return tuple(sorted(found.values(), key=lambda firing: (firing.at, firing.schedule)))

    def at_work(self, schedules: Collection[str]) -> tuple[Firing, ...]:
        """Pending, running or paused, whenever they began."""
        wanted, known = set(schedules), {one.id: one for one in self._of(schedules)}
        found = []
        for ids in batches(list(known)):
            only = {"deployment_id": {"any_": ids}, "state": {"type": {"any_": list(forms.AT_WORK)}}}
            for run in self._api.pages("flow_runs/filter", {"flow_runs": only, "sort": "ID_DESC"}):
                firing = forms.firing_of(run, known[run["deployment_id"]].schedules)
                if firing and firing.schedule in wanted and not firing.stage.is_over:
                    found.append(firing)
        return tuple(found)

    def drop(self, ticks: Collection[Tick], reach: Reach) -> None:
        """By id, and only while nobody has taken them up."""
        wanted = set(ticks)
        while waiting := [f.run for f in self._of_ticks(wanted) if f.stage is Stage.WAITING]:
            reach.seconds_left()
            for ids in batches(waiting, DELETED_AT_ONCE):
                only = {"id": {"any_": ids}, "state": {"type": {"any_": ["SCHEDULED"]}}}
                self._api.post("flow_runs/bulk_delete", {"flow_runs": only, "limit": DELETED_AT_ONCE})

    def start(self, ticks: Collection[Tick], reach: Reach) -> frozenset[Tick]:
        """A run that is due since the tick. A run of the tick that is there already is left to do it."""
        there = {firing.tick for firing in self._of_ticks(set(ticks)) if firing.stage is not Stage.CANCELLED}
        by_name = {name: known for known in self._of({t.schedule for t in ticks}) for name in known.names}

        def make(tick: Tick) -> None:
            known = by_name[tick.schedule]
            schedule = next(s for s in known.schedules.values() if s.name == tick.schedule)
            self._api.post(f"deployments/{known.id}/create_flow_run", _made_up_for(tick, schedule))

        self._each(make, [tick for tick in ticks if tick not in there and tick.schedule in by_name], reach)
        return frozenset(tick for tick in ticks if tick.schedule in by_name)

    def _of_ticks(self, ticks: set[Tick]) -> list[Firing]:
        if not ticks:
            return []
        moments = [tick.at for tick in ticks]
        first, last = min(moments) - timedelta(microseconds=1), max(moments)
        return [f for f in self.history({tick.schedule for tick in ticks}, first, last) if f.tick in ticks]

    def _runs(self, deployments: list[str], after: datetime, until: datetime) -> Iterable[dict[str, Any]]:
        only = {
            "deployment_id": {"any_": deployments},
            "expected_start_time": {"after_": after.isoformat(), "before_": until.isoformat()},
        }
        return self._api.pages("flow_runs/filter", {"flow_runs": only, "sort": "ID_DESC"})

    def _resume(self, deployments: Sequence[_Known], reach: Reach) -> None:
        def resume(known: _Known) -> None:
            self._api.post(f"deployments/{known.id}/resume_deployment", {})
            self._api.post(f"deployments/{known.id}/schedule", {})

        self._each(resume, deployments, reach)
        if paused := [k for k in self._fresh(k.job.name for k in deployments) if k.is_paused]:
            raise SystemFailure(f"{self._api.url} said it resumed {paused[0].job.name}, which is paused", "resume it")

    def _pause(self, deployments: Sequence[_Known], reach: Reach) -> None:
        self._each(lambda known: self._api.post(f"deployments/{known.id}/pause_deployment", {}), deployments, reach)
        if going := [k for k in self._fresh(k.job.name for k in deployments) if not k.is_paused]:
            raise SystemFailure(f"{self._api.url} said it paused {going[0].job.name}, which goes on", "pause it")

    def _shut(self, deployments: Sequence[_Known], *, is_shut: bool) -> None:
        for pool in sorted({known.pool for known in deployments}):
            self._api.patch(f"work_pools/{pool}", {"is_paused": is_shut})
            if self._is_shut(pool) is not is_shut:
                raise SystemFailure(
                    f"{self._api.url} said it {'paused' if is_shut else 'resumed'} work pool {pool}, and did not",
                    "do it by hand, and find out who undoes it",
                )

    def _is_shut(self, pool: str) -> bool:
        said = self._api.get(f"work_pools/{pool}") if pool else None
        return said is None or bool(said["is_paused"])

    def _make_pool(self, pool: str, jobs: Sequence[Job], reach: Reach) -> None:
        if self._api.get(f"work_pools/{pool}") is None:
            kind = next(job.own.get("pool_type") for job in jobs if job.own.get("work_pool_name") == pool)
            body = {"name": pool, "type": kind or "process", "is_paused": True, "description": forms.MARK + reach.mark}
            self._api.post("work_pools/", body)

    def _each(self, act: Callable[[Any], object], items: Sequence[Any], reach: Reach) -> None:
        """Side by side; the first that fails ends it, and is raised."""

        def bounded(item: Any) -> None:
            reach.seconds_left()
            act(item)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for future in [pool.submit(bounded, item) for item in items]:
                try:
                    future.result()
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise

    def _of(self, schedules: Collection[str]) -> list[_Known]:
        """Their deployments, from what was read before where that will do."""
        jobs = {_job_of(name) for name in schedules}
        if unknown := jobs - self._known.keys():
            self._fresh(unknown)
        if missing := jobs - self._known.keys():
            raise StepError(f"{self._api.url} has no deployment {sorted(missing)[0]}", "see what became of it")
        return [self._known[name] for name in sorted(jobs)]

    def _fresh(self, jobs: Iterable[str]) -> list[_Known]:
        """As the server has them now; those it has not are left out."""
        wanted = set(jobs)
        for name in wanted:
            self._known.pop(name, None)
        for names in batches(sorted({name.partition("/")[2] for name in wanted})):
            self._read({"deployments": {"name": {"any_": names}}})
        return [self._known[name] for name in sorted(wanted) if name in self._known]

    def _read(self, which: dict[str, Any]) -> list[_Known]:
        rows = list(self._api.pages("deployments/filter", {**which, "sort": "NAME_ASC"}))
        flows: dict[str, str] = {}
        for ids in batches(sorted({row["flow_id"] for row in rows})):
            flows.update(
                {f["id"]: f["name"] for f in self._api.pages("flows/filter", {"flows": {"id": {"any_": ids}}})}
            )
        found = [_known(row, flows[row["flow_id"]]) for row in rows if row["flow_id"] in flows]
        self._known.update({known.job.name: known for known in found})
        return found


def _known(row: dict[str, Any], flow: str) -> _Known:
    job = forms.job_of(row, flow)
    schedules, unfit = forms.schedules_of(row, job)
    pool = row.get("work_pool_name") or ""
    if schedules and not pool:
        schedules, unfit = (
            {},
            (Unfit(name=job.name, reason="no work pool serves it: whoever serves it cannot be held"),),
        )
    return _Known(row["id"], job, schedules, unfit, row["paused"], forms.mark_of(row), pool)


def _assert_alone(taken: Sequence[_Known], every: Sequence[_Known]) -> None:
    names, pools = {known.job.name for known in taken}, {known.pool for known in taken if known.schedules}
    others = [k for k in every if k.pool in pools and k.job.name not in names and not k.is_paused]
    if others:
        raise Refusal(
            f"work pool {others[0].pool} also serves {others[0].job.name}, which the cut would hold and not hand over",
            "set `gate: deployment`, widen the cut, or give the cut a pool of its own",
        )


def _made_up_for(tick: Tick, schedule: Schedule) -> dict[str, Any]:
    return {
        "state": {"type": "SCHEDULED", "name": "Late", "state_details": {"scheduled_time": tick.at.isoformat()}},
        "idempotency_key": forms.CAUGHT_UP + tick.key,
        "parameters": dict(schedule.parameters),
        "tags": ["caught-up"],
    }


def _job_of(schedule: str) -> str:
    return schedule.partition("#")[0]


def _flow_of(job: str) -> str:
    return job.partition("/")[0]


def open_scheduler(keys: dict[str, Any], _settings: Settings) -> PrefectScheduler:
    """The server that a plan's keys name."""
    return PrefectScheduler(Spec.model_validate(keys))
