"""Blue and green without workers, started once for a whole test process when somebody asks for them first.

Promises: whoever asks finds both empty; `stop` leaves no process and no folder.
"""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from muster.cutover.schedule import CronRule, Job, Schedule
from tasks.estate.bluegreen import BLUE, ENTRYPOINT, GREEN, POOL_TYPE, BlueGreen
from tasks.process import AT_ONCE, Processes
from tasks.schedulers import prefect_forms as forms
from tasks.schedulers.prefect_api import Address, Api

FLOW = "shop"
POOL = "shop"
QUEUE = "urgent"
_QUICK = {"shared_buffers": "32MB", "fsync": "off"}


class Servers:
    """Both, in a short folder of their own."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="mpft", dir="/tmp"))  # sockets want short paths
        self._processes = Processes(self._home / "processes", self._home / "logs")
        made = BlueGreen(
            self._home / "servers", self._home / "s", self._processes, f"sqlite:///{self._home / 'ledger'}"
        )

        def start(colour: str) -> str:
            made.database(colour).start(_QUICK)
            return made.start_server(colour)

        try:
            with ThreadPoolExecutor(2) as pool:
                self.apis = dict(zip((BLUE, GREEN), pool.map(start, (BLUE, GREEN)), strict=True))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Both are gone."""
        self._processes.stop_all(signals=AT_ONCE)
        self._processes.close()
        shutil.rmtree(self._home)

    def empty(self) -> None:
        """No deployment and no pool is left in either."""
        for api in (Api(Address(api=url)) for url in self.apis.values()):
            for row in list(api.pages("deployments/filter", {})):
                api.post(f"deployments/{row['id']}/pause_deployment", {})
                api.delete(f"deployments/{row['id']}")
            for pool in list(api.pages("work_pools/filter", {})):
                api.delete(f"work_pools/{pool['name']}")


@cache
def servers() -> Servers:
    """They run from now on."""
    return Servers()


def stop() -> None:
    """End them, if they were ever asked for."""
    if servers.cache_info().currsize:
        servers().close()
        servers.cache_clear()


def deploy(
    api: Api, name: str, expression: str, tags: tuple[str, ...], *, pool: str = POOL, active: bool = True, **row: object
) -> None:
    """A deployment at work, as its owner would have made it; `row` is set on its schedule."""
    if pool and api.get(f"work_pools/{pool}") is None:
        api.post("work_pools/", {"name": pool, "type": POOL_TYPE, "concurrency_limit": 7})
        api.post(f"work_pools/{pool}/queues", {"name": QUEUE, "priority": 2, "concurrency_limit": 3})
    own = {
        "entrypoint": ENTRYPOINT,
        "path": ".",
        **({"work_pool_name": pool, "work_queue_name": QUEUE} if pool else {}),
    }
    job = Job(name=f"{FLOW}/{name}", tags=tags, own={**own, "enforce_parameter_schema": False}, parameters={"size": 3})
    schedule = Schedule(name=job.name, job=job.name, rule=CronRule(expression=expression), active=active)
    made = api.post("deployments/", forms.created(job, [schedule], api.post("flows/", {"name": FLOW})["id"]))
    if row:
        api.patch(f"deployments/{made['id']}/schedules/{made['schedules'][0]['id']}", row)
    api.post(f"deployments/{made['id']}/resume_deployment", {})
    api.post(f"deployments/{made['id']}/schedule", {})
