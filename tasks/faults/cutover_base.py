"""The base of the cutover catalogue: blue and green with a worker each, and a pool and canaries for every form.

Promises: both are the product's own, real servers; forms share them, and nothing else: each has a pool, canaries and a
ledger's schedules of its own.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from muster.cutover.schedule import CronRule, IntervalRule, Job, RecurrenceRule, Rule, Schedule
from muster.drill import Workspace
from muster.ledger import open_ledger
from tasks.estate.bluegreen import BLUE, ENTRYPOINT, GREEN, BlueGreen, Canary, make_canaries, worker_of
from tasks.faults.faketime import clock_ahead, forget_clock
from tasks.process import AT_ONCE, SOON, Processes
from tasks.schedulers.prefect_api import Address, Api

_ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)
POOLS = tuple(f"form-{number}" for number in range(1, 5))
"""As many as forms may run side by side: a worker serves a fixed set of pools."""
_OUTWAIT_SECONDS = 15.0


@dataclass(frozen=True)
class Base:
    """Where both answer, and where jobs claim."""

    folder: Path
    apis: dict[str, str]
    ledger_url: str
    pair: BlueGreen
    free: list[str]
    """Pools that no form has now."""

    def api(self, colour: str) -> Api:
        """One server's."""
        return Api(Address(api=self.apis[colour]))

    @contextmanager
    def pool(self) -> Iterator[str]:
        """A pool for one form, on both servers, open, and with nothing in it."""
        name = self.free.pop(0)
        try:
            for colour in (BLUE, GREEN):
                self.api(colour).patch(f"work_pools/{name}", {"is_paused": False})
            yield name
        finally:
            for colour in (BLUE, GREEN):
                self._empty(self.api(colour), name)
            self.free.append(name)

    @contextmanager
    def trespasser(self, colour: str, pool: str) -> Iterator[None]:
        """One more worker of a side, which serves the pool past its gate."""
        name = f"{worker_of(colour)}-past-{pool}"
        self.pair.start_worker(colour, self.apis[colour], [pool], trespasser=name)
        try:
            yield
        finally:
            self.pair.processes.stop(name, signals=SOON)

    @contextmanager
    def ahead(self, colour: str, seconds: int, name: str) -> Iterator[str]:
        """One more server of a side, whose clock is ahead: the URL of its API."""
        try:
            yield self.pair.start_server(colour, name, clock_ahead(seconds))
        finally:
            server = self.pair.processes.identity(name)
            self.pair.processes.stop(name, signals=SOON)
            if server:
                forget_clock(server.pid)

    def _empty(self, server: Api, pool: str) -> None:
        rows = list(server.pages("deployments/filter", {"work_pools": {"name": {"any_": [pool]}}}))
        for row in rows:
            server.post(f"deployments/{row['id']}/pause_deployment", {})
        self._outwait(server, [row["id"] for row in rows])
        for row in rows:
            server.delete(f"deployments/{row['id']}")

    def _outwait(self, server: Api, deployments: list[str]) -> None:
        """A worker whose runs vanish under it falters, and the next form would be without it."""
        at_work = {"deployment_id": {"any_": deployments}, "state": {"type": {"any_": ["PENDING", "RUNNING"]}}}
        deadline = time.monotonic() + _OUTWAIT_SECONDS
        while deployments and time.monotonic() < deadline:
            if not server.post("flow_runs/count", {"flow_runs": at_work}):
                return
            time.sleep(0.5)


@contextmanager
def blue_and_green(folder: Path) -> Iterator[Base]:
    """Both, for the time of a `with` block."""
    folder.mkdir(parents=True)
    processes = Processes(folder / "processes", folder / "logs")
    url = f"sqlite:///{folder / 'ledger.sqlite'}"
    with open_ledger(url):
        pass
    sockets = Workspace("base", folder).sockets
    sockets.mkdir(mode=0o700)
    try:
        pair = BlueGreen(folder / "servers", sockets, processes, url)
        yield Base(folder, pair.start(POOLS, ()), url, pair, list(POOLS))
    finally:
        processes.stop_all(signals=AT_ONCE)
        processes.close()
        shutil.rmtree(sockets, ignore_errors=True)


def canaries_of(form: str, pool: str, *, careless: bool = False) -> tuple[Canary, ...]:
    """A form's jobs: two that are due every few seconds, one with two rules, and one that is due at night."""

    def job(name: str) -> Job:
        own = {"entrypoint": ENTRYPOINT, "path": ".", "work_pool_name": pool, "enforce_parameter_schema": False}
        return Job(name=f"canary/{form}-{name}", tags=(form,), own=own)

    def alone(name: str, rule: Rule) -> Canary:
        made = job(name)
        asked = {"schedule": made.name, "size": 3, **({"careless": True} if careless and name == "second" else {})}
        return made, (Schedule(name=made.name, job=made.name, rule=rule, parameters=asked),)

    today = datetime.now(UTC).strftime("%Y%m%dT000000")
    two = job("third")
    names = (f"{two.name}#a", f"{two.name}#b")
    rules = (
        IntervalRule(seconds=7, anchor=_ANCHOR),
        RecurrenceRule(text=f"DTSTART:{today}\nRRULE:FREQ=MINUTELY;BYSECOND=1,10,19,28,37,46,55"),
    )
    return (
        alone("first", IntervalRule(seconds=4, anchor=_ANCHOR)),
        alone("second", IntervalRule(seconds=5, anchor=_ANCHOR, timezone="America/New_York")),
        alone("night", CronRule(expression="30 1 * * *", timezone="Europe/London")),
        (
            two,
            tuple(
                Schedule(name=name, job=two.name, rule=rule, parameters={"schedule": name, "size": size})
                for size, (name, rule) in enumerate(zip(names, rules, strict=True))
            ),
        ),
    )  # fmt: skip


def start_canaries(base: Base, form: str, pool: str, *, careless: bool = False) -> None:
    """Make them on blue, at work."""
    make_canaries(base.api(BLUE), canaries_of(form, pool, careless=careless))
