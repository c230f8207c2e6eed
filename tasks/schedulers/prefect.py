"""Scheduler `prefect`: a Prefect 3 server, or a Cloud workspace, by the URL of its API or by a profile.

Promises: a handover waits for a few calls a work pool, however many deployments there are; what else goes through the
same gate is never held or released in silence; whatever is changed is read back; only what a mirror of ours made is
ever deleted, and each is paused before, since deleting alone leaves its runs.
Traps of Prefect 3.8: creating a deployment that exists overwrites it; pausing a deployment deletes the runs made ahead
of it, those that are due and not yet taken up too, but none that waits for a concurrency slot; a worker takes runs up
ten seconds before they are due; a pause of the work pool ends that, but for runs that it had just asked for; what was
taken up before runs on.
Not yet proven on Prefect Cloud.
"""

import time
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import httpx
from pydantic import Field

from muster.cutover.schedule import CalendarRule, Cut, Dialect, Firing, Inventory, Job, Schedule, Stage, Tick
from muster.errors import Refusal, SystemFailure
from muster.identity import Identity
from muster.quantity import Duration
from muster.settings import Settings
from tasks.schedulers import prefect_forms as forms
from tasks.schedulers.prefect_acts import Acts
from tasks.schedulers.prefect_api import Address, Api
from tasks.schedulers.prefect_known import Known, Reading, job_of
from tasks.schedulers.scheduler import Reach

_BORN_WITH = "block_types/slug/local-file-system"
"""Every database of a server gets these by itself, under ids of its own."""


class Spec(Address):
    """The scheduler's keys in a plan."""

    type: Literal["prefect"] = "prefect"
    gate: Literal["pool", "deployment"] = "pool"
    """What is shut to hold schedules: their work pools, one call each; or, where a pool also serves others, each
    deployment, one call each."""
    prefetch: Duration = Field(default="30s", validate_default=True, ge=timedelta())
    """How far ahead workers take runs up, at most: a run that one has asked for and not taken up yet is taken back."""
    settle: Duration = Field(default="1s", validate_default=True, ge=timedelta())
    """How long a round of the server's scheduler is outwaited that began before a deployment was paused."""
    server: str = ""
    """The id that the server must prove to have, as `muster ready` shows it; empty: whichever answers there."""


class PrefectScheduler:
    """A Prefect server."""

    dialect = Dialect.PREFECT

    def __init__(self, spec: Spec, transport: httpx.BaseTransport | None = None) -> None:
        self._spec = spec
        self._has_pools = spec.gate == "pool"
        self._api = Api(Address(**spec.model_dump(exclude={"type", "gate", "server", "prefetch", "settle"})), transport)
        self._reading = Reading(self._api)
        self._acts = Acts(self._api, self._reading)

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
        """By pages; with the gate `pool` nothing else may be at work in the pools of the cut."""
        every = self._reading.every()
        taken = [known for known in every if cut.takes(known.job)]
        whole = [known for known in taken if known.schedules]
        if self._has_pools:
            _assert_alone(self._reading.beside(whole))
        return Inventory(
            jobs=tuple(self._reading.placed(whole) if whole else ()),
            schedules=tuple(schedule for known in whole for schedule in known.schedules.values()),
            unfit=tuple(unfit for known in taken for unfit in known.unfit),
        )

    def untold(self, job: Job, schedule: Schedule) -> tuple[str, ...]:
        """Prefect carries cron, intervals and recurrences as they are."""
        return forms.untold_of(job, schedule)

    def carried(self, schedule: Schedule) -> Schedule | None:
        """As it is, but for what only systemd reads."""
        return None if isinstance(schedule.rule, CalendarRule) else schedule

    def gate_of(self, job: Job) -> str:
        """Its work pool, with the gate `pool`."""
        return str(job.own.get("work_pool_name") or "") if self._has_pools else ""

    def objection(self, jobs: Sequence[Job], schedules: Sequence[Schedule], mark: str) -> str:  # noqa: ARG002
        """A name that is taken: to create a deployment that exists would overwrite it."""
        foreign = [k.job.name for k in self._reading.fresh(job.name for job in jobs) if k.mark != mark]
        more = f", and {len(foreign) - 5} more" if len(foreign) > 5 else ""
        named = f"{', '.join(foreign[:5])}{more}"
        return f"{self._api.url} has deployments that no mirror of this run made: {named}" if foreign else ""

    def mirror(self, jobs: Sequence[Job], schedules: Sequence[Schedule], reach: Reach) -> None:
        """Deployments, paused; a pool that is not there is made, shut, and so is a queue."""
        if words := self.objection(jobs, schedules, reach.mark):
            raise Refusal(words, "rename them, or remove them: after a cutover for good they are the old ones, at rest")
        self._acts.make_places(jobs, reach)
        flows = {
            name: self._api.post("flows/", {"name": name})["id"] for name in {forms.flow_of(job.name) for job in jobs}
        }
        theirs: dict[str, list[Schedule]] = {job.name: [] for job in jobs}
        for schedule in schedules:
            theirs[schedule.job].append(schedule)

        ids: list[str] = []

        def make(job: Job) -> None:
            body = forms.created(job, theirs[job.name], flows[forms.flow_of(job.name)], reach.mark)
            ids.append(self._api.post("deployments/", body)["id"])

        self._acts.each(make, jobs, reach)
        if self._reading.count(ids, paused={"eq_": True}) == len(jobs):
            return
        made = {known.job.name for known in self._reading.fresh(job.name for job in jobs) if known.is_paused}
        if missing := [job.name for job in jobs if job.name not in made]:
            raise SystemFailure(f"{self._api.url} said it made {missing[0]} and has it not", "look at the server")

    def remove(self, jobs: Collection[str], reach: Reach) -> None:
        """Those of the mark, and the pools that were made with them, once nothing else is in these."""
        ours = [known for known in self._reading.fresh(jobs) if known.mark == reach.mark]
        self._acts.pause(ours, reach)
        self._acts.delete_runs(lambda: self._reading.waiting(ours), reach)
        self._acts.each(lambda known: self._api.delete(f"deployments/{known.id}"), ours, reach)
        if left := [known.job.name for known in self._reading.fresh(jobs) if known.mark == reach.mark]:
            raise SystemFailure(f"{self._api.url} said it removed {left[0]}, which is there", "remove it by hand")
        self._acts.remove_pools(reach)

    def arm(self, schedules: Collection[str], reach: Reach) -> None:
        """Runs are made ahead, behind a shut pool. Without such a gate there is nothing to do before the release."""
        armed = self._whole(schedules)
        if self._has_pools:
            self._acts.shut(armed, is_shut=True)
            self._acts.resume(armed, frozenset(), reach)

    def release(self, schedules: Collection[str], reach: Reach) -> None:
        """Open the pools; or resume each deployment, and have its runs made at once."""
        released, wanted = self._whole(schedules), frozenset(schedules)
        unarmed = [known for known in released if known.is_paused or known.names & wanted - known.on]
        self._acts.resume(unarmed if self._has_pools else released, wanted, reach)
        if self._has_pools:
            self._acts.shut(released, is_shut=False)

    def hold(self, schedules: Collection[str], reach: Reach) -> None:
        """Shut the pools, and take back what workers may have in hand; or put each deployment to rest, twice.

        A worker is given whatever is left of a deployment, and a round of the server's scheduler that began before the
        pause may still leave something: it is outwaited.
        """
        held = self._whole(schedules)
        if self._has_pools:
            self._acts.shut(held, is_shut=True)
            self._acts.withdraw(held, self._spec.prefetch)
        else:
            self.rest(schedules, reach)
            time.sleep(min(self._spec.settle.total_seconds(), reach.seconds_left()))
            self._acts.delete_runs(lambda: self._reading.waiting(held), reach)

    def rest(self, schedules: Collection[str], reach: Reach) -> None:
        """Pause each deployment; then delete what that leaves: runs that wait for a slot, or were just being made."""
        resting = self._reading.of(schedules)
        self._acts.pause(resting, reach)
        self._acts.delete_runs(lambda: self._reading.waiting(resting), reach)

    def released(self, schedules: Collection[str]) -> frozenset[str]:
        """Switched on, their deployment not paused, and their pool open."""
        going = self._reading.going({job_of(name) for name in schedules})
        return frozenset(schedules).intersection(frozenset().union(*(known.on for known in going)))

    def next_ticks(self, schedules: Sequence[Schedule], after: datetime, until: datetime) -> tuple[Tick, ...] | None:
        """The runs it made ahead: it makes a hundred of a schedule at most, and none of one that is paused."""
        made = self.history({schedule.name for schedule in schedules}, after, until)
        named = {firing.tick for firing in made if firing.stage is not Stage.CANCELLED}
        return tuple(sorted(named, key=lambda tick: (tick.at, tick.schedule))) or None

    def history(self, schedules: Collection[str], after: datetime, until: datetime) -> tuple[Firing, ...]:
        """Flow runs by the time at which they were due."""
        return self._reading.history(schedules, after, until)

    def at_work(self, schedules: Collection[str]) -> tuple[Firing, ...]:
        """Pending, running, paused, or between two tries, whenever they began."""
        return self._reading.at_work(schedules)

    def drop(self, ticks: Collection[Tick], reach: Reach) -> None:
        """By id, and only while nobody has taken them up."""
        wanted = set(ticks)
        self._acts.delete_runs(lambda: [f for f in self._reading.of_ticks(wanted) if f.stage is Stage.WAITING], reach)

    def start(self, ticks: Collection[Tick], reach: Reach) -> frozenset[Tick]:
        """A run that is due since the tick. A run of the tick that is there already is left to do it."""
        there = {firing.tick for firing in self._reading.of_ticks(set(ticks)) if firing.stage is not Stage.CANCELLED}
        by_name = {name: known for known in self._reading.of({t.schedule for t in ticks}) for name in known.names}

        def make(tick: Tick) -> None:
            known = by_name[tick.schedule]
            schedule = next(s for s in known.schedules.values() if s.name == tick.schedule)
            self._api.post(f"deployments/{known.id}/create_flow_run", forms.made_up_for(tick, schedule))

        self._acts.each(make, [tick for tick in ticks if tick not in there], reach)
        return frozenset(ticks)

    def _whole(self, schedules: Collection[str]) -> list[Known]:
        """Their deployments; `Refusal` where the gate would hold or release something that is not named."""
        named, wanted = self._reading.of(schedules), frozenset(schedules)
        if not self._unnamed(named, wanted):
            return named
        self._reading.every()
        named = self._reading.of(schedules)
        if others := self._unnamed(named, wanted):
            gate = f"work pool {named[0].pool}" if self._has_pools else f"deployment {job_of(others[0])}"
            raise Refusal(
                f"{others[0]} goes through the same gate ({gate}) and is not to be handed over now",
                "set `gate: deployment`, or give each wave work pools of its own" if self._has_pools
                else "pause it, or hand over all schedules of a deployment at once",
            )  # fmt: skip
        return named

    def _unnamed(self, named: Sequence[Known], wanted: frozenset[str]) -> list[str]:
        gated = [*named, *(self._reading.beside(named) if self._has_pools else ())]
        return sorted(frozenset().union(*(known.on for known in gated)) - wanted)


def _assert_alone(others: Iterable[Known]) -> None:
    for other in others:
        raise Refusal(
            f"work pool {other.pool} also serves {other.job.name}, which the cut would hold and not hand over",
            "set `gate: deployment`, widen the cut, or give the cut a pool of its own",
        )


def open_scheduler(keys: dict[str, Any], _settings: Settings) -> PrefectScheduler:
    """The server that a plan's keys name."""
    return PrefectScheduler(Spec.model_validate(keys))
