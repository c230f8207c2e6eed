"""Blue and green: two Prefect servers, each with a database and a worker of its own, and canaries that blue schedules.

Promises: they share nothing; canaries are made on blue where it has none, and stay; whatever of them was killed is
started again as it was, on the same port, with what it had.
The databases are servers of their own, so that a drill can do without one.
Trap: Prefect 3.8 walks a recurrence from its DTSTART each time, in the thread that serves everybody: one that is due
every few seconds and began months ago stops the server. Ours begin on the day on which they are made.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from muster.cutover.schedule import CronRule, IntervalRule, Job, RecurrenceRule, Rule, Schedule
from tasks.estate.loopback import HOST, answers_http, free_ports, wait_until_ours
from tasks.postgres.binaries import wheel_binaries
from tasks.postgres.server import Server
from tasks.process import Processes
from tasks.schedulers import prefect_forms as forms
from tasks.schedulers.prefect_api import Address, Api

BLUE, GREEN = "blue", "green"
POOL = "canaries"
POOL_TYPE = "muster-canary"
ENTRYPOINT = "flows/canaries.py:canary"
_FLOW = "canary"
_ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)
_START_SECONDS = 120.0
_SMALL = {"shared_buffers": "32MB", "synchronous_commit": "off"}
_CHECKOUT = Path(__file__).parents[2]


Canary = tuple[Job, tuple[Schedule, ...]]


def server_of(colour: str) -> str:
    """Name of a colour's server among the processes."""
    return f"{colour}-server"


def database_of(colour: str) -> str:
    """Name of a colour's database server among the processes."""
    return f"{colour}-database"


def worker_of(colour: str) -> str:
    """Name of a colour's worker among the processes."""
    return f"{colour}-worker"


def canaries() -> tuple[Canary, ...]:
    """Jobs with schedules of every kind: about one tick a second, all together."""

    def alone(name: str, rule: Rule, *, active: bool = True) -> Canary:
        job = _job(name)
        asked = {"schedule": job.name, "size": len(name)}
        return job, (Schedule(name=job.name, job=job.name, rule=rule, active=active, parameters=asked),)

    two = _job("two-rules")
    slow, fast = f"{two.name}#slow", f"{two.name}#fast"
    today = datetime.now(UTC).strftime("%Y%m%dT000000")
    return (
        alone("each-3s", IntervalRule(seconds=3, anchor=_ANCHOR)),
        alone("each-5s", IntervalRule(seconds=5, anchor=_ANCHOR, timezone="America/New_York")),
        alone("each-7s", IntervalRule(seconds=7, anchor=_ANCHOR.replace(second=3))),
        alone("recurring", RecurrenceRule(text=f"DTSTART:{today}\nRRULE:FREQ=MINUTELY;BYSECOND=2,14,26,38,50")),
        alone("each-minute", CronRule(expression="* * * * *", timezone="Europe/Berlin")),
        alone("at-night", CronRule(expression="30 1 * * *", timezone="Europe/London")),
        alone("retired", CronRule(expression="* * * * *"), active=False),
        (
            two,
            (
                Schedule(name=fast, job=two.name, rule=IntervalRule(seconds=6, anchor=_ANCHOR),
                         parameters={"schedule": fast, "size": 1}),
                Schedule(name=slow, job=two.name, rule=CronRule(expression="*/2 * * * *", timezone="Asia/Kolkata"),
                         parameters={"schedule": slow, "size": 2}),
            ),
        ),
    )  # fmt: skip


def _job(name: str) -> Job:
    return Job(
        name=f"{_FLOW}/{name}",
        tags=("canary", "owner:demo"),
        own={
            "entrypoint": ENTRYPOINT,
            "path": ".",
            "work_pool_name": POOL,
            "description": "Does nothing but claim its tick.",
            "enforce_parameter_schema": False,
        },
    )


@dataclass(frozen=True)
class BlueGreen:
    """Both, below `home`."""

    home: Path
    sockets: Path
    """Folder for the databases' sockets: short."""
    processes: Processes
    ledger_url: str

    def start(self, pools: Sequence[str] = (POOL,), jobs: Sequence[Canary] | None = None) -> dict[str, str]:
        """Both servers, side by side, then their workers. Returns the URL of each one's API by its colour.

        `jobs` are made on blue; without them the demo's.
        """
        made = canaries() if jobs is None else jobs
        with ThreadPoolExecutor(2) as pool:
            apis = pool.map(lambda colour: self._start(colour, pools, made if colour == BLUE else ()), (BLUE, GREEN))
            return dict(zip((BLUE, GREEN), apis, strict=True))

    def _start(self, colour: str, pools: Sequence[str], jobs: Sequence[Canary]) -> str:
        self.database(colour).start(_SMALL)
        api = self.start_server(colour)
        server = Api(Address(api=api))
        for pool in pools:
            if server.get(f"work_pools/{pool}") is None:
                server.post("work_pools/", {"name": pool, "type": POOL_TYPE})
        make_canaries(server, jobs)
        self.start_worker(colour, api, pools)
        return api

    def database(self, colour: str) -> Server:
        """One server's database: made where there is none."""
        home = self.home / colour
        home.mkdir(parents=True, exist_ok=True)
        server = Server(wheel_binaries(), home / "database", self.sockets / colour, self.processes, database_of(colour))
        if not (server.data / "PG_VERSION").exists():
            server.init()
        return server

    def start_server(self, colour: str, name: str = "", env: Mapping[str, str] | None = None) -> str:
        """One server; the same port as before where that is free. Of another name: one more, that only answers."""
        is_more = bool(name)
        name = name or server_of(colour)
        (port,) = free_ports(self.home, name, 1)
        api = f"http://{HOST}:{port}/api"
        argv = [
            sys.executable,
            "-m",
            "prefect",
            "server",
            "start",
            "--host",
            HOST,
            "--port",
            str(port),
            "--analytics-off",
            *(["--no-services"] if is_more else []),
        ]
        given = {**self._environment(colour, api), **(env or {})}
        self.processes.start(name, argv, log=f"{name}.log", env=given, cwd=_CHECKOUT)
        wait_until_ours(self.processes, name, port, lambda: answers_http(f"{api}/health"), timeout=_START_SECONDS)
        return api

    def start_worker(self, colour: str, api: str, pools: Iterable[str] = (POOL,), trespasser: str = "") -> None:
        """Its worker, for all of these pools; or one more, of this name, that their gates hold up in nothing."""
        name, past = trespasser or worker_of(colour), ["--past-the-gate"] if trespasser else []
        argv = [sys.executable, "-m", "flows.canaries", "--holder", colour, *past, *pools]
        self.processes.start(name, argv, log=f"{name}.log", env=self._environment(colour, api), cwd=_CHECKOUT)

    def _environment(self, colour: str, api: str) -> dict[str, str]:
        return {
            "MUSTER_LEDGER": self.ledger_url,
            "PREFECT_HOME": str(self.home / colour),
            "PREFECT_API_URL": api,
            "PREFECT_API_DATABASE_CONNECTION_URL": (
                f"postgresql+asyncpg://postgres@/postgres?host={quote(str(self.sockets / colour))}"
            ),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            # Canaries come every few seconds: look ahead for minutes, not for an hour.
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "15",
            "PREFECT_SERVER_SERVICES_SCHEDULER_MAX_RUNS": "40",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_WORKER_PREFETCH_SECONDS": "5",
            "PREFECT_LOGGING_LEVEL": "WARNING",
            "DO_NOT_TRACK": "1",
            "NO_PROXY": f"{HOST},localhost",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        }


def make_canaries(server: Api, jobs: Sequence[Canary]) -> None:
    """Those that the server has not yet, at work at once."""
    flow = server.post("flows/", {"name": _FLOW})["id"]
    for job, schedules in jobs:
        if server.get(f"deployments/name/{job.name}") is None:
            made = server.post("deployments/", forms.created(job, schedules, flow))
            server.post(f"deployments/{made['id']}/resume_deployment", {})
            server.post(f"deployments/{made['id']}/schedule", {})  # what is due before the server looks would be missed
