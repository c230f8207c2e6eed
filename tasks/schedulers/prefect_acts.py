"""What is done to a Prefect server. Promise: every act is safe to repeat, and is read back: a server that says 200 and
does nothing is a `SystemFailure`.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from muster.cutover.expected import ticks
from muster.cutover.schedule import Dialect, Firing, Job, Schedule
from muster.errors import MusterError, SystemFailure
from tasks.schedulers import prefect_forms as forms
from tasks.schedulers.prefect_api import DELETED_AT_ONCE, Api, batches
from tasks.schedulers.prefect_known import Known, Reading
from tasks.schedulers.scheduler import Reach

_SOON = timedelta(hours=1)
"""How far ahead runs are asked for; the server's own scheduler, which looks every minute, makes the others by then."""
_AT_ONCE = 8
"""Calls side by side: more only wait for each other in the server's database."""


class Acts:
    """The acts of one server."""

    def __init__(self, api: Api, reading: Reading) -> None:
        self._api, self._reading = api, reading

    def resume(self, deployments: Sequence[Known], wanted: frozenset[str], reach: Reach) -> None:
        """They are not paused, what they are due for soon is made, and the wanted schedules are on that were off."""
        if not deployments:
            return
        now = self._api.clock() or datetime.now(UTC)

        def resumed(known: Known) -> None:
            for own, schedule in known.schedules.items():
                if schedule.name in wanted - known.on:
                    self._api.patch(f"deployments/{known.id}/schedules/{own}", {"active": True})
            self._api.post(f"deployments/{known.id}/resume_deployment", {})
            if any(_is_due(schedule, now) for schedule in known.schedules.values()):
                self._api.post(f"deployments/{known.id}/schedule", {})

        self.each(resumed, deployments, reach)
        doubted = [known for known in deployments if known.names & wanted - known.on]
        if not self._reading.are(deployments, is_paused=False):
            doubted = list(deployments)
        for known in self._reading.fresh(known.job.name for known in doubted):
            if known.is_paused or known.names & wanted - known.on:
                raise SystemFailure(f"{self._api.url} said it resumed {known.job.name}, and did not", "resume it")

    def pause(self, deployments: Sequence[Known], reach: Reach) -> None:
        """Nothing more is made ahead of them."""
        if self._reading.are(deployments, is_paused=True):
            return
        self.each(lambda known: self._api.post(f"deployments/{known.id}/pause_deployment", {}), deployments, reach)
        if self._reading.are(deployments, is_paused=True):
            return
        if going := [k for k in self._reading.fresh(k.job.name for k in deployments) if not k.is_paused]:
            raise SystemFailure(f"{self._api.url} said it paused {going[0].job.name}, which goes on", "pause it")

    def shut(self, deployments: Sequence[Known], *, is_shut: bool) -> None:
        """Their work pools are paused, or are not."""
        for pool in sorted({known.pool for known in deployments}):
            self._api.patch(f"work_pools/{pool}", {"is_paused": is_shut})
            if self._reading.is_shut(pool) is not is_shut:
                raise SystemFailure(
                    f"{self._api.url} said it {'paused' if is_shut else 'resumed'} work pool {pool}, and did not",
                    "do it by hand, and find out who undoes it",
                )

    def withdraw(self, deployments: Sequence[Known], ahead: timedelta) -> None:
        """Runs that a worker may have asked for and not taken up yet are gone: it finds them no more.

        Once the pool is shut nobody asks for others; what the server makes anew meanwhile nobody gets.
        """
        until = (self._api.clock() or datetime.now(UTC)) + ahead
        which = {
            "flow_runs": {
                "state": {"type": {"any_": ["SCHEDULED"]}},
                "next_scheduled_start_time": {"before_": until.isoformat()},
            },
            "work_pools": {"name": {"any_": sorted({known.pool for known in deployments})}},
            "sort": "ID_DESC",
        }
        waiting = [run["id"] for run in self._api.pages("flow_runs/filter", which)]
        self._delete(waiting)
        if waiting and (left := set(waiting) & {run["id"] for run in self._api.pages("flow_runs/filter", which)}):
            raise SystemFailure(f"{self._api.url} said it deleted run {min(left)}, which is there", "delete it")

    def delete_runs(self, left: Callable[[], list[Firing]], reach: Reach) -> None:
        """These runs are gone, but for those that are taken up meanwhile; `left` says which there are still."""
        asked: set[str] = set()
        while waiting := [firing.run for firing in left()]:
            reach.seconds_left()
            if asked.issuperset(waiting):
                raise SystemFailure(f"{self._api.url} said it deleted run {waiting[0]}, which is there", "delete it")
            self._delete(waiting)
            asked.update(waiting)

    def _delete(self, runs: Sequence[str]) -> None:
        """Only while nobody has taken them up."""
        for ids in batches(runs, DELETED_AT_ONCE):
            only = {"id": {"any_": ids}, "state": {"type": {"any_": ["SCHEDULED"]}}}
            self._api.post("flow_runs/bulk_delete", {"flow_runs": only, "limit": DELETED_AT_ONCE})

    def make_places(self, jobs: Sequence[Job], reach: Reach) -> None:
        """Pools and queues of the jobs are there; shut is a pool that was not. What others made stays as it is."""
        places = {(str(job.own.get("work_pool_name") or ""), forms.queue_of(job)): job for job in jobs}
        for (pool, queue), job in sorted(places.items(), key=lambda place: forms.rank_of(place[1])):
            if not pool:
                continue
            there = self._api.get(f"work_pools/{pool}") or self._api.post("work_pools/", forms.pool_of(job, reach.mark))
            at, said = f"work_pools/{pool}/queues", forms.work_queue_of(job)
            if self._api.get(f"{at}/{queue}") is None:
                self._api.post(at, {"name": queue, **said})
            elif said and there["description"] == forms.MARK + reach.mark:  # every pool is born with a queue
                self._api.patch(f"{at}/{queue}", said)

    def remove_pools(self, reach: Reach) -> None:
        """Those that were made by this mark are gone, once nothing is in them."""
        for pool in list(self._api.pages("work_pools/filter", {})):
            inside = {"work_pools": {"name": {"any_": [pool["name"]]}}}
            if pool["description"] == forms.MARK + reach.mark and not self._api.post("deployments/count", inside):
                self._api.delete(f"work_pools/{pool['name']}")

    def each(self, act: Callable[[Any], object], items: Sequence[Any], reach: Reach) -> None:
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


def _is_due(schedule: Schedule, now: datetime) -> bool:
    try:
        return any(True for _ in ticks(schedule.rule, Dialect.PREFECT, now, now + _SOON))
    except MusterError:  # who cannot say asks for its runs
        return True
