"""An Airflow made of recorded answers: what a running one said, with as much memory as hold, release and runs need.

Promise: every answer is one that was recorded (`recorded/airflow`, each with version and date), changed only in what
the request was about: whether a DAG is paused, which runs there are, which page was asked for.
"""

import copy
import json
import re
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx

FOLDER = Path(__file__).parent / "recorded" / "airflow"
_DAG = re.compile(r"/api/v2/dags/([^/~]+)(/details)?")
_RUNS = re.compile(r"/api/v2/dags/([^/~]+)/dagRuns")
_RUN = re.compile(r"/api/v2/dags/([^/~]+)/dagRuns/([^/]+)")


def answer(name: str) -> dict[str, Any]:
    """One recorded answer: `status`, `json`, and whence it is."""
    return json.loads((FOLDER / f"{name}.json").read_text())


class ReplayedAirflow:
    """Give `transport` to an adapter."""

    def __init__(
        self, only: Collection[str] | None = None, *, now: datetime | None = None, every_page: int = 100
    ) -> None:
        rows = answer("dags")["json"]["dags"]
        self.rows = {row["dag_id"]: row for row in rows if only is None or row["dag_id"] in only}
        self.details = {name: answer(f"details-{name}")["json"] for name in self.rows}
        self.runs: list[dict[str, Any]] = answer("runs")["json"]["dag_runs"]
        self.tasks: list[dict[str, Any]] = answer("tasks")["json"]["task_instances"]
        self.now = now or parsedate_to_datetime(answer("runs")["date"])
        self.health: dict[str, Any] = answer("health")["json"]
        self.disobeys = False
        """It answers every change as if it were done, and does nothing."""
        self._every_page = every_page
        self._lock = threading.Lock()

    @property
    def transport(self) -> httpx.MockTransport:
        """In place of the network."""
        return httpx.MockTransport(self._take)

    def pause(self, *names: str, is_paused: bool = True) -> None:
        """As somebody else would."""
        for name in names:
            self.rows[name]["is_paused"] = self.details[name]["is_paused"] = is_paused

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """For that long it disobeys."""
        self.disobeys = True
        yield
        self.disobeys = False

    def run(self, dag: str, run: str) -> dict[str, Any] | None:
        """A run, if it is there."""
        return next((r for r in self.runs if (r["dag_id"], r["dag_run_id"]) == (dag, run)), None)

    def _take(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            status, told = self._answer(request)
        head = {"date": format_datetime(self.now, usegmt=True)}
        return httpx.Response(status, json=told, headers=head) if told is not None else httpx.Response(status)

    def _answer(self, request: httpx.Request) -> tuple[int, Any]:
        path = request.url.raw_path.decode().partition("?")[0]
        if path == "/api/v2/monitor/health":
            return 200, self.health
        if name := {"/auth/token": "login", "/api/v2/version": "version"}.get(path):
            return _of(name)
        if "authorization" not in request.headers:
            return _of("unauthorized")
        if path == "/api/v2/dags":
            return 200, self._page("dags", list(self.rows.values()), dict(request.url.params), "")
        if path == "/api/v2/dags/~/dagRuns/list":
            return self._listed("dag_runs", self.runs, json.loads(request.content))
        if path == "/api/v2/dags/~/dagRuns/~/taskInstances/list":
            return self._listed("task_instances", self.tasks, json.loads(request.content))
        return self._of_dag(request, path)

    def _of_dag(self, request: httpx.Request, path: str) -> tuple[int, Any]:
        if match := _RUN.fullmatch(path):
            return self._of_run(request, unquote(match[1]), unquote(match[2]))
        if match := _RUNS.fullmatch(path):
            return self._post(unquote(match[1]), json.loads(request.content))
        match = _DAG.fullmatch(path)
        name = unquote(match[1]) if match else ""
        if name not in self.rows or match is None:
            return _of("missing")
        if request.method == "PATCH" and not self.disobeys:
            self.pause(name, **json.loads(request.content))
        return 200, (self.details if match[2] else self.rows)[name]

    def _of_run(self, request: httpx.Request, dag: str, name: str) -> tuple[int, Any]:
        run = self.run(dag, name)
        if run is None:
            return 404, answer("missing")["json"]
        if request.method == "DELETE":
            if run["state"] == "running":
                return _of("delete-running")
            if not self.disobeys:
                self.runs.remove(run)
            return 204, None
        if request.method == "PATCH" and not self.disobeys:
            run["state"] = json.loads(request.content)["state"]
        return 200, run

    def _post(self, dag: str, body: dict[str, Any]) -> tuple[int, Any]:
        theirs = [run for run in self.runs if run["dag_id"] == dag]
        if any(run["dag_run_id"] == body["dag_run_id"] or _at(run, "logical_date") == _at(body) for run in theirs):
            return _of("conflict")
        made = {**copy.deepcopy(answer("posted")["json"]), **body, "dag_id": dag}
        if not self.disobeys:
            self.runs.append(made)
        return 200, made

    def _listed(self, key: str, rows: list[dict[str, Any]], body: dict[str, Any]) -> tuple[int, Any]:
        keep: list[Callable[[dict[str, Any]], bool]] = [lambda row: row["dag_id"] in body["dag_ids"]]
        if states := body.get("states"):
            keep.append(lambda row: row["state"] in states)
        if names := body.get("dag_run_ids"):
            keep.append(lambda row: row["dag_run_id"] in names)
        if "run_after_gte" in body:
            keep.append(lambda row: _at(row, "run_after") >= datetime.fromisoformat(body["run_after_gte"]))
        if "run_after_lte" in body:
            keep.append(lambda row: _at(row, "run_after") <= datetime.fromisoformat(body["run_after_lte"]))
        return 200, self._page(key, [row for row in rows if all(holds(row) for holds in keep)], body, "page_")

    def _page(self, key: str, rows: list[dict[str, Any]], asked: dict[str, Any], prefix: str) -> dict[str, Any]:
        limit = min(int(asked[f"{prefix}limit"]), self._every_page)
        offset = int(asked[f"{prefix}offset"])
        return {key: rows[offset : offset + limit], "total_entries": len(rows)}


def _of(name: str) -> tuple[int, Any]:
    card = answer(name)
    return card["status"], card["json"]


def _at(row: dict[str, Any], key: str = "logical_date") -> datetime:
    return datetime.fromisoformat(row[key])
