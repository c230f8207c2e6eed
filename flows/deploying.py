"""`python -m flows.deploying ARGUMENTS`: what the estate's server needs besides deployments, then stock `prefect`.

Promises: it is safe to repeat; Prefect is imported once for all of it, which is most of what a deploy costs.
"""

import runpy
import shlex
import sys

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.workers.process import ProcessWorker

from flows.blocks import register
from muster.prefectfile import POOL


def start_engines_directly() -> None:
    """Have the pool's worker start a flow run as one process.

    By default Prefect 3.8 starts one that prepares a workspace and then becomes the engine: it imports Prefect twice,
    and what it prepares is this checkout.
    """
    template = ProcessWorker.get_default_base_job_template()
    template["variables"]["properties"]["command"]["default"] = f"{shlex.quote(sys.executable)} -m prefect.engine"
    with get_client(sync_client=True) as client:
        client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=template))


if __name__ == "__main__":
    register()
    start_engines_directly()
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)
