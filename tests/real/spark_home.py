"""An installation with one Spark plan in a hurry, and what is left of its clusters."""

import os
from pathlib import Path
from typing import Any

import yaml

from muster.journal import History
from muster.ledger import open_ledger
from muster.settings import Settings
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


def family(home: Home) -> list[str]:
    """What runs on behalf of this installation, by what its environment says: JVMs too."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if f"MUSTER_HOME={home.settings.home}\0".encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:
            continue
    return found


def assert_nothing_is_left(home: Home) -> None:
    """No process, and of the run's folder nothing."""
    assert family(home) == []
    runs = home.settings.runs
    assert not runs.exists() or list(runs.iterdir()) == []


def history_of(home: Home) -> History:
    """The journal of the newest run."""
    with open_ledger(home.settings.ledger_url) as ledger:
        return History(ledger.read_events(ledger.runs()[0].run))
