"""The estate's scheduler: a Prefect server with its UI, a worker, and the plans' deployments.

Promises: it keeps its own profile and database; nothing is reported to anyone; runs start within seconds of being due.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from muster.errors import UsageError
from muster.prefectfile import POOL
from muster.settings import Settings
from tasks.estate.card import SchedulerCard
from tasks.estate.deployments import take_away_others, write_prefect_file
from tasks.estate.loopback import HOST, answers_http, ask_http, free_ports, wait_until_ours
from tasks.process import Processes

SERVER, WORKER = "prefect-server", "prefect-worker"
CHECKOUT = Path(__file__).parents[2]
"""Where `flows/` are."""


@dataclass(frozen=True)
class Scheduler:
    """Prefect below the estate's `prefect/`."""

    settings: Settings
    processes: Processes

    def start(self) -> SchedulerCard:
        """Start the server, then the worker and the deployments side by side with it."""
        if not (CHECKOUT / "flows").is_dir():
            raise UsageError(f"there are no flows in {CHECKOUT}", "run Muster from its checkout")
        rendered = write_prefect_file(self.settings, self.settings.estate / "prefect")
        (port,) = free_ports(self.settings.estate, SERVER, 1)
        root = f"http://{HOST}:{port}"
        env = self._environment(f"{root}/api")
        self._start_server(port, env)
        wait_until_ours(self.processes, SERVER, port, lambda: answers_http(f"{root}/api/health"), timeout=120)
        _make_pool(f"{root}/api")
        self.processes.start(WORKER, _prefect("worker", "start", *_WORKER), log=f"{WORKER}.log", env=env, cwd=CHECKOUT)
        deploy = [sys.executable, "-m", "flows.deploying", *_DEPLOY, "--prefect-file", str(rendered)]
        self.processes.run(deploy, log="prefect-deploy.log", timeout=_DEPLOY_SECONDS, env=env, cwd=CHECKOUT)
        take_away_others(f"{root}/api", rendered)
        identity = self.processes.identity(SERVER)
        if identity is None:
            raise LookupError("a running server is on record")
        return SchedulerCard(process=identity, api=f"{root}/api", ui=root, pool=POOL)

    def _start_server(self, port: int, env: Mapping[str, str]) -> None:
        argv = _prefect("server", "start", "--host", HOST, "--port", str(port), "--analytics-off")
        self.processes.start(SERVER, argv, log=f"{SERVER}.log", env=env, cwd=CHECKOUT)

    def _environment(self, api: str) -> dict[str, str]:
        """For the server, the worker and, through it, every flow run."""
        plans = self.settings.plans.expanduser().absolute()
        return {
            "MUSTER_HOME": str(self.settings.root),
            "MUSTER_PLANS": str(plans),
            "PREFECT_HOME": str(self.settings.estate / "prefect"),
            "PREFECT_API_URL": api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_CLI_COLORS": "false",
            "DO_NOT_TRACK": "1",
            "NO_PROXY": f"{HOST},localhost",
            "PWD": str(CHECKOUT),  # prefect.yaml's pull step reads it, as it does in a shell
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        }


_DEPLOY_SECONDS = 600.0
"""Thousands of plans are deployed one by one."""
_DEPLOY = ("--no-prompt", "deploy", "--all")
_WORKER = ("--pool", POOL, "--type", "process", "--name", "muster", "--prefetch-seconds", "1")


def _prefect(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "prefect", *arguments]


def _make_pool(api: str) -> None:
    """The deployments need the pool at once; `flows.deploying` gives it its job template."""
    known = {pool["name"] for pool in json.loads(ask_http(f"{api}/work_pools/filter", {}))}
    if POOL not in known:
        ask_http(f"{api}/work_pools/", {"name": POOL, "type": "process"})
