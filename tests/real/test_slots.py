"""`muster account` killed by SIGKILL at any event of a slot's record: the next one leaves exactly one sealed record."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evidence.verify import verify
from muster.journal import History, RunState
from muster.ledger import open_ledger
from muster.settings import Settings
from muster.verdict import Outcome

PLAN = """
name: paper-drill
kind: restore
environment: test
owner: tests
target: {type: dump, path: /nowhere}
cadence: {cron: "0 * * * *", grace: 30m}
restore: {}
"""
ACCOUNT = """
import os, signal, sys
from datetime import timedelta
from muster.cli import invoke
from muster.ledger import Ledger

die_at, hours = int(sys.argv[1]), int(sys.argv[2])
now, append, count = Ledger.now, Ledger.append_event, 0

def append_event(self, event):
    global count
    count += 1
    if 2 * count - 1 == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, event)
    if 2 * count == die_at:
        os.kill(os.getpid(), signal.SIGKILL)

Ledger.now = lambda self: now(self) + timedelta(hours=hours)
Ledger.append_event = append_event
code = invoke(["account"])
assert "prefect" not in sys.modules, "a slot that was not run needs no scheduler"
sys.exit(code)
"""


def account(settings: Settings, hours: int, die_at: int = 0) -> int:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "PREFECT_"))}
    environment |= {
        "MUSTER_HOME": str(settings.home),
        "MUSTER_PLANS": str(settings.plans),
        "MUSTER_STORE": settings.store,
    }
    command = [sys.executable, "-c", ACCOUNT, str(die_at), str(hours)]
    done = subprocess.run(command, env=environment, timeout=120, capture_output=True, text=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.mark.parametrize("die_at", [1, 2, 4, 6, 7])
def test_a_killed_accounting_is_finished_by_the_next(tmp_path: Path, die_at: int) -> None:
    settings = Settings(home=tmp_path / "home", plans=tmp_path / "plans", store=str(tmp_path / "store"))
    settings.plans.mkdir()
    (settings.plans / "paper-drill.yaml").write_text(PLAN)
    assert account(settings, hours=0) == 0
    assert account(settings, hours=2, die_at=die_at) == -signal.SIGKILL
    assert account(settings, hours=2) == 0
    with open_ledger(settings.ledger_url) as ledger:
        (run,) = ledger.runs()
        assert run.outcome is Outcome.MISSED
        assert History(ledger.read_events(run.run)).run_state() is RunState.SENT
    (bundle,) = Path(settings.store).rglob("*.tar.gz")
    assert verify(bundle, settings.public_key_file).verdict == "pass"
