"""Record what a real Airflow answers, for the tests that replay it. By hand, from the repository's root:

    python -m tests.real.airflow_recording BIN FOLDER

BIN is the bin folder of an environment that has Airflow; FOLDER does not exist yet. It takes some minutes.

Promises: answers are kept as they came, but for where the machine shows: paths, names of hosts, pids, tokens.
"""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from muster.cutover.schedule import Stage
from muster.settings import Settings
from tasks.schedulers.airflow import open_scheduler
from tasks.schedulers.scheduler import Reach
from tests.real.airflow_home import PASSWORD_ENV, AirflowHome, wait

RECORDED = Path(__file__).parents[1] / "contract" / "recorded" / "airflow"
_HIDDEN = {
    "fileloc": "/opt/airflow/dags/deployed.py",
    "file_token": "TOKEN",
    "access_token": "TOKEN",
    "hostname": "airflow",
    "unixname": "airflow",
    "pid": 1,
    "bundle_url": None,
    "triggerer_job": None,
}
_DAGS = (
    *("minutely", "interval", "grid", "slow", "daily", "every"),
    *("zoned", "several", "once", "never", "asset", "ended"),
    *("orders", "invoices", "report", "boot"),
)


def record(home: AirflowHome) -> None:
    """Everything that the tests replay."""
    keep = Keeper(home)
    keep.asked("version", "GET", "version")
    keep.asked("health", "GET", "monitor/health")
    keep.asked("dags", "GET", "dags", params={"limit": 100, "offset": 0, "order_by": "dag_id"})
    keep.asked("dags-page", "GET", "dags", params={"limit": 5, "offset": 5, "order_by": "dag_id"})
    keep.asked("missing", "GET", "dags/nowhere/details")
    keep.kept("login", httpx.post(f"{home.url}/auth/token", json={"username": "muster", "password": home.password}))
    keep.kept("login-refused", httpx.post(f"{home.url}/auth/token", json={"username": "muster", "password": "no"}))
    keep.kept("unauthorized", httpx.get(f"{home.url}/api/v2/dags", headers={"Authorization": "Bearer no"}))
    for dag in _DAGS:
        keep.asked(f"details-{dag}", "GET", f"dags/{dag}/details")
    _run(home, keep)


def _run(home: AirflowHome, keep: "Keeper") -> None:
    os.environ[PASSWORD_ENV] = home.password
    keys = {"type": "airflow", "url": home.url, "username": "muster", "password_env": PASSWORD_ENV}
    airflow, reach = open_scheduler(keys, Settings()), Reach("recorded/1", lambda: 600.0)
    busy = {"minutely", "interval", "grid", "slow"}
    airflow.release(busy, reach)
    keep.asked("unpaused", "PATCH", "dags/daily", json={"is_paused": False})

    def stages(name: str) -> set[Stage]:
        return {f.stage for f in airflow.history({name}, home.since - timedelta(days=2), datetime.now(UTC))}

    for name in busy - {"slow"}:
        wait(lambda name=name: Stage.DONE in stages(name), f"a run of {name}", 400)
    wait(lambda: Stage.RUNNING in stages("slow"), "a run of slow", 200)
    running = next(r for r in home.ask("GET", "dags/slow/dagRuns")["dag_runs"] if r["state"] == "running")
    path = f"dags/slow/dagRuns/{running['dag_run_id'].replace('+', '%2B')}"
    keep.asked("delete-running", "DELETE", path)
    keep.asked("paused", "PATCH", "dags/daily", json={"is_paused": True})
    airflow.hold(busy, reach)
    home.ask("PATCH", "pools/default_pool", json={"slots": 0}, params={"update_mask": "slots"})
    home.ask("PATCH", "dags/minutely", json={"is_paused": False})
    wait(lambda: Stage.WAITING in stages("minutely"), "a run with no slot", 200)
    home.ask("PATCH", "dags/minutely", json={"is_paused": True})
    _put(home, keep, "posted", "muster-started-2026-11-01T00:00:00Z")
    _put(home, keep, "conflict", "muster-started-again")
    _put(home, keep, "posted-failed", "muster-started-2026-11-02T00:00:00Z", "2026-11-02T00:00:00Z")
    keep.asked("failed", "PATCH", "dags/minutely/dagRuns/muster-started-2026-11-02T00:00:00Z", json={"state": "failed"})
    runs = {"dag_ids": [*busy, "daily"], "order_by": "id", "page_limit": 100, "page_offset": 0}
    keep.asked("runs", "POST", "dags/~/dagRuns/list", json=runs)
    tasks = {"dag_ids": [*busy, "daily"], "page_limit": 100, "page_offset": 0}
    keep.asked("tasks", "POST", "dags/~/dagRuns/~/taskInstances/list", json=tasks)
    keep.asked("details-released", "GET", "dags/interval/details")


def _put(home: AirflowHome, keep: "Keeper", name: str, run: str, tick: str = "2026-11-01T00:00:00Z") -> None:
    span = {"logical_date": tick, "data_interval_start": tick, "data_interval_end": tick, "run_after": tick}
    body = {"dag_run_id": run, **span, "note": "Muster, recorded/1: makes up for a tick that nobody served"}
    keep.asked(name, "POST", "dags/minutely/dagRuns", json=body)


class Keeper:
    """Writes answers, each a file."""

    def __init__(self, home: AirflowHome) -> None:
        self._home = home
        self._version = home.ask("GET", "version")["version"]

    def asked(self, name: str, method: str, path: str, **more: Any) -> None:
        """Ask, and keep the answer."""
        self.kept(name, self._home.answer(method, path, **more))

    def kept(self, name: str, answer: httpx.Response) -> None:
        """Keep an answer."""
        told = answer.json() if answer.content else None
        card = {
            "airflow": self._version,
            "recorded": f"{datetime.now(UTC):%Y-%m-%d}",
            "request": f"{answer.request.method} {answer.request.url.raw_path.decode()}",
            "status": answer.status_code,
            "date": answer.headers.get("date"),
            "json": _hidden(told),
        }
        RECORDED.mkdir(parents=True, exist_ok=True)
        (RECORDED / f"{name}.json").write_text(json.dumps(card, indent=1, sort_keys=True) + "\n")


def _hidden(told: Any) -> Any:
    if isinstance(told, list):
        return [_hidden(one) for one in told]
    if isinstance(told, dict):
        return {key: _HIDDEN.get(key, _hidden(value)) if value else value for key, value in told.items()}
    return told


if __name__ == "__main__":
    started = AirflowHome(Path(sys.argv[1]), Path(sys.argv[2]))
    try:
        started.start()
        record(started)
    finally:
        started.stop()
