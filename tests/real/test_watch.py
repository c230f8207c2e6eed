"""A real `muster watch` on a real ledger: what is dead around it does not keep it from being heard."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml

from evidence.slots import stamp as stamp_of
from muster.cadence.dues import dues_after
from muster.cli import invoke
from muster.ledger import NewRun, Trigger, open_ledger
from muster.ledger.rows import Due
from muster.ownership import this_process
from muster.plan import load_plan
from muster.settings import Settings
from muster.verdict import Outcome
from tests.real.receivers import SECRET, Receiver, is_signed, receiver, wait_until

MUSTER = Path(sys.executable).parent / "muster"
AGO = timedelta(days=14)
"""A multiple of the plan's interval: slots are where they were."""


@dataclass
class Sentry:
    """An installation with one weekly plan, its ledger, and a route to `ops`."""

    root: Path
    ops: Receiver
    ping: Receiver

    @property
    def ledger(self) -> Path:
        return self.root / "db" / "ledger.sqlite"

    @property
    def plan_file(self) -> Path:
        return self.root / "plans" / "restore-shop.yaml"

    def install(self) -> None:
        self.plan_file.parent.mkdir()
        plan = {"name": "restore-shop", "kind": "restore", "environment": "test", "owner": "shop team"}
        plan |= {"target": {"type": "embedded"}, "cadence": {"interval": "7d"}, "restore": {"database": "shop"}}
        self.plan_file.write_text(yaml.safe_dump(plan))
        routes = [{"name": "ops", "webhook": self.ops.url, "secret_env": "OPS_SECRET"}]
        self.plan_file.with_name("routes.yaml").write_text(yaml.safe_dump({"routes": routes}))

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "PREFECT_"))},
            "MUSTER_HOME": str(self.root / "home"),
            "MUSTER_PLANS": str(self.plan_file.parent),
            "MUSTER_LEDGER": f"sqlite:///{self.ledger}",
            "MUSTER_STORE": str(self.root / "store"),
            "MUSTER_PING_URL": f"{self.ping.url}/switch",
            "OPS_SECRET": SECRET,
            **more,
        }

    @contextmanager
    def watching(self, **environment: str) -> "Iterator[subprocess.Popen[bytes]]":
        with (self.root / "watch.log").open("ab") as log:
            process = subprocess.Popen(
                [MUSTER, "watch", "--every", "1"], env=self.environment(**environment), stdout=log, stderr=log
            )
            try:
                yield process
            finally:
                process.kill()
                process.wait(30)

    def once(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
        """`muster watch --once`, in this process: its exit code and all that it printed."""
        with monkeypatch.context() as patch:
            for name, value in self.environment().items():
                patch.setenv(name, value)
            code = invoke(["watch", "--once"])
        out, err = capfd.readouterr()
        return code, out + err

    def log(self) -> str:
        return (self.root / "watch.log").read_text()

    def drill(self, run: str) -> None:
        """A run that passed just now."""
        plan = load_plan(self.plan_file)
        with open_ledger(Settings(ledger=f"sqlite:///{self.ledger}").ledger_url) as ledger:
            now = ledger.now()
            ledger.open_run(
                NewRun(run=run, plan=plan.name, plan_digest=plan.digest, substance=plan.substance, kind=plan.kind,
                       target_type="embedded", scheduled_at=now, trigger=Trigger.COMMAND_LINE, owner=this_process(),
                       lease_seconds=60)
            )  # fmt: skip
            due_at, overdue_at = dues_after(plan.cadence, now)
            timetable, cadence = plan.cadence.timetable, plan.cadence.model_dump_json()
            due = Due(timetable=timetable, cadence=cadence, due_at=due_at, overdue_at=overdue_at)
            ledger.close_run(run, Outcome.PASSED, due=due)

    def age(self) -> None:
        """Make the ledger what it would be, had all of it been written a while ago and nothing since."""
        with closing(sqlite3.connect(self.ledger, timeout=30)) as database, database:
            for table in ("runs", "standings"):
                columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
                moments = [c for c in columns if c.endswith("_at") or c in ("since", "accounted_until", "lease_until")]
                for key, *values in database.execute(f"SELECT rowid, {', '.join(moments)} FROM {table}").fetchall():
                    older = [stamp_of(datetime.fromisoformat(v) - AGO) if v else None for v in values]
                    settings = ", ".join(f"{c} = ?" for c in moments)
                    database.execute(f"UPDATE {table} SET {settings} WHERE rowid = ?", [*older, key])

    def heard(self, title: str) -> bool:
        return any(told.startswith(title) for told in self.ops.titles())

    def pings(self, path: str = "/switch") -> int:
        return sum(one.path == path for one in list(self.ping.heard))


@pytest.fixture
def sentry(tmp_path: Path) -> Iterator[Sentry]:
    with receiver() as ops, receiver() as ping:
        sentry = Sentry(tmp_path, ops, ping)
        sentry.install()
        yield sentry


def test_with_the_scheduler_dead_the_alarms_still_come(sentry: Sentry) -> None:
    sentry.drill("first")
    with receiver() as scheduler:
        port, api = scheduler.port, f"{scheduler.url}/api"
        with sentry.watching(MUSTER_SCHEDULER=api) as process:
            wait_until(lambda: sentry.pings() >= 2, "the first rounds")
            assert {one.path for one in scheduler.heard} == {"/api/health"}
            assert sentry.ops.heard == []
    with sentry.watching(MUSTER_SCHEDULER=api) as process:
        wait_until(lambda: sentry.heard("the scheduler is down"), "the alarm that the scheduler is down")
        sentry.age()
        wait_until(lambda: sentry.heard("restore-shop is overdue"), "the alarm that a drill is overdue")
        with receiver(port):
            wait_until(lambda: sentry.heard("over: the scheduler was down for"), "that the scheduler is back")
            sentry.drill("second")
            wait_until(lambda: sentry.heard("over: restore-shop was overdue for"), "that it is not overdue any more")
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        pings = sentry.pings()
        time.sleep(3)
        assert sentry.pings() == pings, "who watches the watch hears nothing now"
    assert all(is_signed(one.headers, one.body) for one in sentry.ops.heard)
    titles = sentry.ops.titles()
    assert len([t for t in titles if t.startswith("restore-shop is overdue")]) == 1, titles
    assert SECRET not in sentry.log()
    assert "/switch" not in sentry.log()


def test_what_breaks_around_the_watch_costs_rounds_and_not_the_watch(sentry: Sentry) -> None:
    good = sentry.plan_file.read_text()
    with sentry.watching() as process:
        wait_until(lambda: sentry.pings() >= 1, "the first round")
        sentry.plan_file.write_text("name: [")
        wait_until(lambda: sentry.heard("plans cannot be read"), "the alarm that plans cannot be read")
        sentry.plan_file.write_text(good)
        wait_until(lambda: sentry.heard("over: plans could not be read"), "that they can be read again")
        aside = sentry.ledger.parent.with_name("aside")
        sentry.ledger.parent.rename(aside)
        sentry.ledger.parent.write_text("a file where the folder should be")
        wait_until(lambda: sentry.heard("the ledger is away"), "the alarm that the ledger is away")
        assert sentry.pings("/switch/fail") >= 3
        sentry.ledger.parent.unlink()
        aside.rename(sentry.ledger.parent)
        wait_until(lambda: sentry.heard("over: the ledger was away"), "that it is back")
        assert len([t for t in sentry.ops.titles() if "ledger" in t]) == 2
        sentry.ping.status = 404
        wait_until(lambda: sentry.heard("the dead man's switch refuses"), "that pings are refused")
        sentry.ping.status = 200
        wait_until(lambda: sentry.heard("over: the dead man's switch refused"), "that they are taken again")
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    assert sentry.log().rstrip().endswith("stopped")


def test_one_round_tells_by_its_exit_code_and_prints_only_news(
    sentry: Sentry, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def once() -> tuple[int, str]:
        return sentry.once(monkeypatch, capfd)

    sentry.drill("first")
    assert once() == (0, "")
    sentry.age()
    code, printed = once()
    assert code == 1
    assert "restore-shop is overdue" in printed
    assert "[told ops]" in printed
    assert once() == (1, ""), "cron mails once"
    assert len(sentry.ops.heard) == 1
    assert sentry.pings() == 3
    sentry.ops.status = 404
    sentry.drill("second")
    assert once()[0] == 1
    assert sentry.pings("/switch/fail") == 1, "nobody could be told that the only route refuses"
    sentry.ops.status = 200
    assert once()[0] == 0
    sentry.ledger.parent.rename(sentry.root / "aside")
    sentry.ledger.parent.write_text("a file where the folder should be")
    code, printed = once()
    assert code == 64
    assert "ledger" in printed
    assert sentry.pings("/switch/fail") == 2


def test_broken_routes_are_refused_at_the_start(
    sentry: Sentry, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    sentry.plan_file.with_name("routes.yaml").write_text("routes: [{name: ops}]")
    code, printed = sentry.once(monkeypatch, capfd)
    assert code == 64
    assert "routes.yaml" in printed
