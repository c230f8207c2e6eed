"""Faults at each moment of a slot: afterwards it has exactly one sealed record, and the plan's standing is right.

Workers are real processes on a real ledger; what they drill is paper, so that no Prefect server is needed here.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import psycopg
import pytest
import yaml
from sqlalchemy import update

from evidence.verify import verify
from flows import registry
from muster.cadence.ticks import tick_at_or_before, ticks_between
from muster.cli import invoke
from muster.journal import History, RunState
from muster.ledger import Run, SlotTaken, open_ledger
from muster.ledger.schema import standings
from muster.plan import Plan, load_plan
from muster.settings import Settings
from muster.slots import account_slots
from muster.verdict import ExitCode, Outcome
from tasks.postgres.binaries import wheel_binaries
from tasks.postgres.server import Server
from tasks.process import AT_ONCE, Processes
from tests.real.slot_worker import ERROR, TAKEN, Moment, conductor, drill, serve

NOW = datetime.now(UTC).replace(second=0, microsecond=0)
DUE = NOW - timedelta(hours=1)
"""The one slot that is due: the next is 23 hours away, however slowly the tests run."""
DAILY: dict[str, object] = {"interval": "1d", "anchor": DUE.isoformat(), "grace": "30m"}
PLAN = {
    "name": "paper-drill",
    "kind": "restore",
    "environment": "test",
    "owner": "tests",
    "target": {"type": "paper"},
    "restore": {},
}


@dataclass(frozen=True)
class Place:
    """An installation with one plan that is known since two hours before its slot."""

    settings: Settings

    @property
    def environment(self) -> dict[str, str]:
        given = {k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "PREFECT_"))}
        own = {"HOME": self.settings.home, "PLANS": self.settings.plans, "STORE": self.settings.store}
        return given | {f"MUSTER_{k}": str(v) for k, v in own.items()} | {"MUSTER_LEDGER": self.settings.ledger_url}

    @property
    def plan(self) -> Plan:
        return load_plan(self.settings.plans / "paper-drill.yaml")

    def enroll(self, at: datetime) -> None:
        with open_ledger(self.settings.ledger_url) as ledger:
            account_slots(conductor(self.settings, ledger), [self.plan])
            with ledger.engine.begin() as connection:
                connection.execute(update(standings).values(since=at, accounted_until=at))

    def worker(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.real.slot_worker", DUE.isoformat(), *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self.environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def account_by_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """`muster account`, here: it finishes what a dead process left, and accounts for slots."""
        with monkeypatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            patch.setattr(registry, "drill_of", lambda _kind: drill())
            assert invoke(["account"]) == ExitCode.PASS

    def serve(self, expected: datetime, now: datetime) -> bool:
        """Another scheduler's run of the slot; whether it was the first."""
        with open_ledger(self.settings.ledger_url) as ledger:
            try:
                serve(conductor(self.settings, ledger), self.plan, expected, now)
            except SlotTaken:
                return False
            return True

    def account(self, now: datetime) -> None:
        with open_ledger(self.settings.ledger_url) as ledger:
            assert account_slots(conductor(self.settings, ledger), [self.plan], now=now).problems == ()

    def runs(self) -> tuple[Run, ...]:
        with open_ledger(self.settings.ledger_url) as ledger:
            return ledger.runs(limit=1000)

    def sealed(self) -> dict[datetime, Outcome]:
        """How each slot ended; asserts that each has one record, sealed, sent, verified, and that nothing is left."""
        runs = self.runs()
        slots: dict[datetime, Outcome] = {}
        with open_ledger(self.settings.ledger_url) as ledger:
            for run in runs:
                history = History(ledger.read_events(run.run))
                assert (history.run_state(), history.needs_undo()) == (RunState.SENT, ())
                assert run.scheduled_at not in slots
                assert run.scheduled_at
                assert run.outcome
                slots[run.scheduled_at] = run.outcome
            kept = ledger.standings()
            ledger.rebuild_standings()
            assert ledger.standings() == kept
            assert [standing.open_run for standing in kept] == [None]
        bundles = sorted(Path(self.settings.store).rglob("*.tar.gz"))
        assert sorted(bundle.name.removesuffix(".tar.gz") for bundle in bundles) == sorted(run.run for run in runs)
        assert {verify(bundle, self.settings.public_key_file).verdict for bundle in bundles} <= {"pass"}
        assert not any(self.settings.runs.glob("*"))
        assert not _is_left(self.settings.home)
        return slots


def _is_left(home: Path) -> bool:
    """Whether a drill's process lives on: it works in the run's folder."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "cwd").readlink().is_relative_to(home):
                return True
    return False


def _place(root: Path, cadence: Mapping[str, object] = DAILY, ledger: str = "") -> Place:
    plans = root / "plans"
    plans.mkdir()
    (plans / "paper-drill.yaml").write_text(yaml.safe_dump(PLAN | {"cadence": cadence}))
    return Place(Settings(home=root / "home", plans=plans, store=str(root / "store"), ledger=ledger))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = _place(tmp_path)
    made.enroll(DUE - timedelta(hours=2))
    return made


def test_of_two_workers_on_one_slot_one_drills(place: Place) -> None:
    workers = [place.worker(Moment.CLAIMING, "hold") for _ in range(2)]
    for worker in workers:
        assert worker.stdout
        assert worker.stdout.readline() == "held\n"
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("\n")
        worker.stdin.flush()
    said = [worker.communicate(timeout=60) for worker in workers]
    assert sorted(worker.returncode for worker in workers) == [0, TAKEN], said
    (run,) = place.runs()
    assert any(f"duplicate of {run.run}" in out for out, _ in said)
    assert place.sealed() == {DUE: Outcome.PASSED}


@pytest.mark.parametrize("moment", Moment)
def test_a_killed_worker_leaves_its_slot_to_be_finished_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, moment: Moment
) -> None:
    worker = place.worker(moment, "die")
    assert worker.communicate(timeout=60) == ("", "")
    assert worker.returncode == -signal.SIGKILL
    assert _is_left(place.settings.home) == (moment is Moment.STEP)
    place.account_by_command(monkeypatch)
    assert len(place.runs()) == (moment is not Moment.CLAIMING), "a slot nobody claimed is still to be run"
    assert place.serve(DUE, NOW) == (moment is Moment.CLAIMING)
    place.account_by_command(monkeypatch)
    died_before_its_end = moment in (Moment.CLAIMED, Moment.STEP)
    assert place.sealed() == {DUE: Outcome.ABORTED if died_before_its_end else Outcome.PASSED}


HOURLY: dict[str, object] = {"cron": "0 * * * *", "grace": "30m"}
HOUR = NOW.replace(minute=0)
"""The last full hour: what is told below happened before it, since no slot is run that is yet to come."""


def _ends(missed: int, run: int) -> list[Outcome]:
    return [Outcome.MISSED] * missed + [Outcome.PASSED] * run


@pytest.mark.parametrize("is_accounted_first", [True, False])
@pytest.mark.parametrize(
    ("policy", "ends"),
    [
        ({"late": "run once"}, _ends(5, 1)),
        ({"late": "run all", "late_within": "3h"}, _ends(3, 3)),
        ({"late": "skip"}, _ends(5, 1)),
        ({"late": "skip", "grace": "5m"}, _ends(6, 0)),
    ],
    ids=["run once", "run all", "skip", "skip, past its grace"],
)
def test_slots_of_an_outage_each_get_one_record_by_the_plans_policy(
    tmp_path: Path, policy: dict[str, object], ends: list[Outcome], is_accounted_first: bool
) -> None:
    """The scheduler comes back ten minutes past an hour, with a run for each hour in which it was down."""
    place = _place(tmp_path, HOURLY | policy)
    went, back = HOUR - timedelta(hours=6), HOUR + timedelta(minutes=10)
    place.enroll(went)
    slots = list(ticks_between(place.plan.cadence, went, back))
    assert len(slots) == 6
    if is_accounted_first:
        place.account(back)
    first = [place.serve(slot, back) for slot in slots]
    place.account(back)
    assert not any(place.serve(slot, back) for slot in slots), "Prefect may deliver each of them twice"
    place.account(back)
    assert place.sealed() == dict(zip(slots, ends, strict=True))
    assert first == ([end is Outcome.PASSED for end in ends] if is_accounted_first else [True] * 6)


def test_a_clock_that_steps_forth_and_back_by_hours_doubles_and_loses_no_slot(tmp_path: Path) -> None:
    place = _place(tmp_path, HOURLY)
    hour = HOUR - timedelta(hours=11)
    place.enroll(hour)
    for hours in (1, 6, 2, 3, 9, 4, 10):
        now = hour + timedelta(hours=hours, minutes=40)
        due = tick_at_or_before(place.plan.cadence, now)
        assert due
        place.serve(due, now)
        place.account(now)
    ends = place.sealed()
    assert sorted(ends) == list(ticks_between(place.plan.cadence, hour, hour + timedelta(hours=10, minutes=40)))
    ran = {slot.hour for slot, outcome in ends.items() if outcome is Outcome.PASSED}
    assert ran == {(hour + timedelta(hours=hours)).hour for hours in (1, 6, 9, 10)}, "those that were met first"


@pytest.fixture(scope="module")
def database() -> Iterator[Server]:
    """A real PostgreSQL server that is there to be killed."""
    folder = Path(tempfile.mkdtemp(prefix="mslf", dir="/tmp"))
    processes = Processes(folder / "processes", folder / "logs")
    server = Server(wheel_binaries(), folder / "d", folder / "s", processes, "ledger")
    try:
        server.init()
        server.configure({"shared_buffers": "16MB"})
        server.start()
        yield server
    finally:
        for name in processes.alive():
            processes.stop(name, signals=AT_ONCE)
        shutil.rmtree(folder)


_numbers = count()


@pytest.mark.parametrize("moment", [Moment.CLAIMING, Moment.STEP, Moment.JUDGED, Moment.SEALED])
def test_a_ledger_that_dies_around_a_drill_costs_one_clear_error_and_no_record(
    tmp_path: Path, database: Server, monkeypatch: pytest.MonkeyPatch, moment: Moment
) -> None:
    name = f"slots_{next(_numbers)}"
    with psycopg.connect(database.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    place = _place(tmp_path, ledger=f"postgresql://postgres@/{name}?host={database.sockets}")
    place.enroll(DUE - timedelta(hours=2))
    worker = place.worker(moment, "hold")
    assert worker.stdout
    assert worker.stdout.readline() == "held\n"
    database.processes.stop(database.name, signals=AT_ONCE)
    _, said = worker.communicate("\n", timeout=60)
    late = place.worker()
    _, refused = late.communicate(timeout=60)
    assert not _is_left(place.settings.home), "what was started is gone before the ledger is back"
    database.start()
    for process, words in ((worker, said), (late, refused)):
        assert process.returncode == ERROR, words
        assert "the ledger" in words
        assert "check that the database is up" in words
        assert "Traceback" not in words
    place.account_by_command(monkeypatch)
    assert place.serve(DUE, NOW) == (moment is Moment.CLAIMING)
    assert place.sealed() == {DUE: Outcome.ABORTED if moment is Moment.STEP else Outcome.PASSED}
