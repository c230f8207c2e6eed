"""An installation with one Spark plan in a hurry, and what is left of its clusters."""

import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import yaml

from muster.journal import History
from muster.ledger import open_ledger
from muster.settings import Settings
from muster.spark.eventlog import Log, read_log
from tests.real.conftest import Home

PATIENCE = 500.0
"""Seconds for one drill: a JVM starts slowly on a busy machine."""


def installed(root: Path, target: dict[str, Any] | None = None, **spark: Any) -> Home:
    """One plan on a cluster of the drill's own, or on another target; keywords replace keys of its section."""
    plan = yaml.safe_load(Path("deployments/spark-smoke.yaml").read_text())
    plan |= {"name": "spark-test", "environment": "test"}
    plan["target"] = target or {"type": "embedded-spark", "memory": 900}
    plan["spark"] |= {"workload": {"type": "terasort", "rows": 150_000}, "ready": {"min_free": 0}, **spark}
    plans = root / "plans"
    plans.mkdir(exist_ok=True)
    (plans / "spark-test.yaml").write_text(yaml.safe_dump(plan))
    return Home(root, Settings(home=root / "home", plans=plans, store=str(root / "store")), "spark-test")


def members(home: Home) -> dict[psutil.Process, str]:
    """What runs on behalf of this installation, by what its environment says, JVMs too, with its command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if f"MUSTER_HOME={home.settings.home}\0".encode() in (entry / "environ").read_bytes():
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                found[psutil.Process(int(entry.name))] = line
        except (OSError, psutil.Error):
            continue
    return found


def family(home: Home) -> list[str]:
    """The command lines of all of them."""
    return list(members(home).values())


def wait_for(home: Home, what: Callable[[], object]) -> None:
    """Wait until something is so; tell who runs when it never is."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, family(home)
        time.sleep(0.1)


def assert_nothing_is_left(home: Home) -> None:
    """No process, and of the run's folder nothing."""
    assert family(home) == []
    runs = home.settings.runs
    assert not runs.exists() or list(runs.iterdir()) == []


def history_of(home: Home) -> History:
    """The journal of the newest run."""
    with open_ledger(home.settings.ledger_url) as ledger:
        return History(ledger.read_events(ledger.runs()[0].run))


def sealed_logs(home: Home, folder: Path) -> dict[str, Log]:
    """The event logs in the one bundle that was sealed, by application."""
    (bundle,) = Path(home.settings.store).rglob("*.tar.gz")
    with tarfile.open(bundle) as sealed:
        sealed.extractall(folder, filter="data")
    found = {}
    for path in folder.rglob("eventlog/*.jsonl"):
        with path.open(encoding="utf-8") as lines:
            log = read_log(lines)
        found[log.application] = log
    return found
