"""`python -m flows.canaries --holder NAME POOL [POOL ...]`: a Prefect worker for jobs that only say that they ran.

Promises: it is Prefect's own worker, polling, prefetching and reporting as every other; only what it starts for a run
is no process but a call, since hundreds of runs in a minute are to fit on a small machine. Each run claims its tick
before it works, as a guarded job does: one that is refused ends as `Refused`, and has done nothing.
"""

import argparse
import asyncio
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio
from prefect import flow
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.states import Completed, Failed, Running
from prefect.utilities.engine import propose_state
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from muster.guard import Guard

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

_NO_ID = UUID(int=0)
"""Of a place that a run is not asked for at."""
CARELESS = "careless"
"""A parameter of a canary that does not claim: what a job without the guard is like."""


@flow(name="canary")
def canary(schedule: str, size: int = 1, careless: bool = False) -> None:
    """A job that does nothing: it is there to be started.

    Args:
        schedule: Name of the schedule that starts it: what it claims its ticks by.
        size: Any number: that parameters arrive is checked.
        careless: Whether it works without a claim.
    """


class CanaryWorker(BaseWorker[BaseJobConfiguration, BaseVariables, BaseWorkerResult]):
    """Serves one pool."""

    type = "muster-canary"
    job_configuration = BaseJobConfiguration
    job_configuration_variables = BaseVariables
    _description = "Runs Muster's canaries: jobs that only claim their tick."
    guard: Guard

    async def run(
        self,
        flow_run: "FlowRun",
        configuration: BaseJobConfiguration,  # noqa: ARG002 - a worker's signature
        task_status: anyio.abc.TaskStatus[Any] | None = None,
    ) -> BaseWorkerResult:
        """Wait until the run is due, as the engine does; claim; end."""
        if task_status is not None:
            task_status.started(os.getpid())
        began: State[Any] = await propose_state(self.client, Running(), flow_run_id=flow_run.id)
        if began.is_running():
            await propose_state(self.client, await asyncio.to_thread(self._work, flow_run), flow_run_id=flow_run.id)
        return BaseWorkerResult(identifier=str(os.getpid()), status_code=0)

    def _work(self, flow_run: "FlowRun") -> State[Any]:
        asked = flow_run.parameters
        if asked.get(CARELESS):
            return Completed(message="worked without a claim")
        at = flow_run.expected_start_time
        if at is None or "schedule" not in asked:
            return Failed(message="nobody said which tick this is")
        tick = datetime.fromisoformat(at.isoformat()).astimezone(UTC)
        grant = self.guard.claim(str(asked["schedule"]), tick)
        return Completed() if grant.granted else Completed(name="Refused", message=grant.words)


class Trespasser(CanaryWorker):
    """Asks for the runs of a pool's deployments past the pool, as Prefect's runner does: its gate holds up nothing."""

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[self._work_pool_name]))
        deployments = [one.id for one in await self.client.read_deployments(work_pool_filter=pool)]
        soon = datetime.now(UTC) + timedelta(seconds=int(self._prefetch_seconds))
        runs = await self.client.get_scheduled_flow_runs_for_deployments(deployments, soon) if deployments else []
        return [WorkerFlowRunResponse(work_pool_id=_NO_ID, work_queue_id=_NO_ID, flow_run=run) for run in runs]


async def _serve(pools: list[str], holder: str, ledger: str, kind: type[CanaryWorker]) -> None:
    async with anyio.create_task_group() as together:
        for pool in pools:
            worker = kind(work_pool_name=pool, name=f"{holder}-{pool}-{kind.__name__}", limit=None)
            worker.guard = Guard(ledger, holder)
            together.start_soon(worker.start)


def main() -> None:
    """Serve until told to stop."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--holder", required=True, help="name of the scheduler, as claims know it")
    asked.add_argument("--past-the-gate", action="store_true", help="whether the pools are shut or not")
    asked.add_argument("pools", nargs="+", metavar="POOL")
    options = asked.parse_args()
    kind = Trespasser if options.past_the_gate else CanaryWorker
    asyncio.run(_serve(options.pools, options.holder, os.environ["MUSTER_LEDGER"], kind))


if __name__ == "__main__":
    main()
