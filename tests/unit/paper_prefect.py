"""A Prefect server of paper: what its API answers, in memory, as far as the adapter asks."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

import httpx

from tasks.schedulers.prefect import PrefectScheduler, Spec

API = "http://prefect:4200/api"
_MOST = 200
Row = dict[str, Any]


def cron_row(number: int, expression: str = "*/5 * * * *", **more: Any) -> Row:
    """One schedule of a deployment."""
    rule = {"cron": expression, "timezone": "UTC", "day_or": True}
    return {"id": f"s{number}", "active": True, "schedule": rule, "parameters": {}, "slug": None, **more}


@dataclass
class PaperPrefect:
    """The server. `before` sees every request first, and may answer in its place."""

    born: str = "blue"
    deployments: list[Row] = field(default_factory=list)
    """The newest first."""
    flows: dict[str, str] = field(default_factory=dict)
    pools: dict[str, Row] = field(default_factory=dict)
    queues: dict[tuple[str, str], Row] = field(default_factory=dict)
    """By pool and name."""
    runs: list[Row] = field(default_factory=list)
    before: Callable[[httpx.Request], httpx.Response | None] = lambda request: None
    asked: list[tuple[str, str]] = field(default_factory=list)
    is_deaf: bool = False
    """It says 200 to every order, and follows none."""

    def __post_init__(self) -> None:
        self._numbers = count(1)

    def scheduler(self, **keys: Any) -> PrefectScheduler:
        """Muster's, of this server."""
        spec = Spec.model_validate({"api": API, "patience": "500ms", **keys})
        return PrefectScheduler(spec, httpx.MockTransport(self.answer))

    def deploy(self, name: str, *schedules: Row, pool: str = "pool", **more: Any) -> Row:
        """A deployment `flow/name` at work."""
        flow, _, own = name.partition("/")
        self.flows.setdefault(f"flow-{flow}", flow)
        if pool and pool not in self.pools:
            self.pools[pool] = self._pool({"name": pool, "type": "process"})
        row = {
            "id": f"d{next(self._numbers)}",
            "name": own,
            "flow_id": f"flow-{flow}",
            "paused": False,
            "tags": [],
            "parameters": {},
            "schedules": list(schedules) or [cron_row(next(self._numbers))],
            "work_pool_name": pool or None,
            "entrypoint": "flows.py:work",
            **more,
        }
        self.deployments.insert(0, row)
        return row

    def run(self, deployment: Row, at: str, state: str = "SCHEDULED", **more: Any) -> Row:
        """A run of its first schedule."""
        row = {
            "id": f"r{next(self._numbers)}",
            "deployment_id": deployment["id"],
            "expected_start_time": at,
            "state_type": state,
            "state_name": state.title(),
            "auto_scheduled": True,
            "created_by": {"id": deployment["schedules"][0]["id"]},
            **more,
        }
        self.runs.append(row)
        return row

    def orders(self) -> list[tuple[str, str]]:
        """What was asked that changes something."""
        return [(m, p) for m, p in self.asked if m != "GET" and not p.endswith(("/filter", "/count"))]

    def answer(self, request: httpx.Request) -> httpx.Response:
        """As the server would."""
        path = request.url.path.removeprefix("/api/")
        self.asked.append((request.method, path))
        early = self.before(request)
        if early is not None:
            return early
        body = json.loads(request.content or b"{}")
        if request.method == "GET":
            return self._told(path)
        if path.endswith(("/filter", "/count")):
            return self._found(path, body)
        return httpx.Response(200, json={"id": "flow-x"}) if self.is_deaf else self._done(request.method, path, body)

    def _told(self, path: str) -> httpx.Response:
        own = path.rpartition("/")[2]
        things: Mapping[str, Any] = {
            "admin/version": "3.8.0",
            "block_types/slug/local-file-system": {"id": self.born},
            **{f"work_pools/{name}": pool for name, pool in self.pools.items()},
            **{f"work_pools/{pool}/queues/{name}": queue for (pool, name), queue in self.queues.items()},
        }
        return httpx.Response(200, json=things[path]) if path in things else httpx.Response(404, json={"detail": own})

    def _found(self, path: str, body: Row) -> httpx.Response:
        kind, _, verb = path.partition("/")
        if queues := re.fullmatch(r"work_pools/(.+)/queues/filter", path):
            kind = "queues"
        rows: list[Row] = {
            "deployments": lambda: [row for row in self.deployments if _fits(row, body)],
            "flows": lambda: [{"id": i, "name": n} for i, n in self.flows.items() if i in _any(body, "flows", "id")],
            "work_pools": lambda: list(self.pools.values()),
            "queues": lambda: [queue for (pool, _), queue in self.queues.items() if queues and pool == queues[1]],
            "flow_runs": lambda: [row for row in self.runs if _runs(row, body["flow_runs"])],
        }[kind]()
        if verb == "count":
            return httpx.Response(200, json=len(rows))
        assert body["limit"] <= _MOST
        return httpx.Response(200, json=rows[body["offset"] : body["offset"] + body["limit"]])

    def _done(self, method: str, path: str, body: Row) -> httpx.Response:
        for shape, act in (
            (r"work_pools/", lambda: self.pools.update({body["name"]: self._pool(body)})),
            (r"work_pools/(.+)/queues", lambda pool: self._add_queue(pool, body)),
            (r"work_pools/(.+)/queues/(.+)", lambda pool, own: self.queues[pool, own].update(body)),
            (r"work_pools/([^/]+)", lambda own: self._on_pool(method, own, body)),
            (r"flows/", lambda: self.flows.update({f"flow-{body['name']}": body["name"]})),
            (r"flow_runs/bulk_delete", lambda: self._delete_runs(body)),
            (r"deployments/", lambda: self._create(body)),
            (r"deployments/(\w+)", lambda own: self.deployments.remove(self._by_id(own))),
            (r"deployments/(\w+)/pause_deployment", self._pause),
            (r"deployments/(\w+)/resume_deployment", lambda own: self._by_id(own).update(paused=False)),
            (r"deployments/(\w+)/schedule", lambda own: None),
            (r"deployments/(\w+)/schedules/(\w+)", self._switch(body)),
            (r"deployments/(\w+)/create_flow_run", lambda own: self._start(own, body)),
        ):
            if found := re.fullmatch(shape, path):
                act(*found.groups())
                break
        else:
            raise AssertionError(f"nobody knows {method} {path}")
        made = {
            "flows/": lambda: {"id": f"flow-{body['name']}"},
            "work_pools/": lambda: self.pools[body["name"]],
            "deployments/": lambda: self._named(body),
        }
        return httpx.Response(200, json=made.get(path, dict)())

    def _add_queue(self, pool: str, body: Row) -> None:
        self.queues[pool, body["name"]] = {"id": f"q-{pool}-{body['name']}", "priority": 1, **body}

    def _pool(self, body: Row) -> Row:
        self._add_queue(body["name"], {"name": "default"})
        return {"id": f"p-{body['name']}", "is_paused": False, "description": None, **body}

    def _on_pool(self, method: str, own: str, body: Row) -> None:
        if method == "DELETE":
            del self.pools[own]
        else:
            self.pools[own].update(body)

    def _by_id(self, own: str) -> Row:
        return next(row for row in self.deployments if row["id"] == own)

    def _named(self, body: Row) -> Row | None:
        keys = ("flow_id", "name")
        return next((row for row in self.deployments if all(row[key] == body[key] for key in keys)), None)

    def _create(self, body: Row) -> None:
        rows = [cron_row(next(self._numbers)) | row for row in body["schedules"]]
        if there := self._named(body):
            there.update(body, schedules=rows)
        else:
            self.deployments.insert(0, {**body, "id": f"d{next(self._numbers)}", "schedules": rows})

    def _pause(self, own: str) -> None:
        self._by_id(own)["paused"] = True
        self.runs[:] = [
            run
            for run in self.runs
            if run["deployment_id"] != own
            or run["state_type"] != "SCHEDULED"
            or run.get("run_count")
            or run["state_name"] == "AwaitingConcurrencySlot"
            or not run["auto_scheduled"]
        ]

    def _switch(self, body: Row) -> Callable[[str, str], None]:
        def switch(deployment: str, own: str) -> None:
            next(row for row in self._by_id(deployment)["schedules"] if row["id"] == own).update(body)

        return switch

    def _delete_runs(self, body: Row) -> None:
        assert len(body["flow_runs"]["id"]["any_"]) <= body["limit"] == 50
        self.runs[:] = [run for run in self.runs if run["id"] not in body["flow_runs"]["id"]["any_"]]

    def _start(self, own: str, body: Row) -> None:
        at, more = body["state"]["state_details"]["scheduled_time"], {"auto_scheduled": False, "created_by": None}
        key = body["idempotency_key"]
        if all(run.get("idempotency_key") != key for run in self.runs):
            self.run(self._by_id(own), at, **more, idempotency_key=key, parameters=body["parameters"])


def _any(body: Row, kind: str, key: str) -> list[str] | None:
    found: list[str] | None = body.get(kind, {}).get(key, {}).get("any_")
    return found


def _fits(row: Row, body: Row) -> bool:
    asked = {
        "name": _any(body, "deployments", "name"),
        "id": _any(body, "deployments", "id"),
        "work_pool_name": _any(body, "work_pools", "name"),
    }
    is_paused = body.get("deployments", {}).get("paused", {}).get("eq_")
    fits = all(wanted is None or row[key] in wanted for key, wanted in asked.items())
    return fits and is_paused in {None, row["paused"]}


def _runs(row: Row, only: Row) -> bool:
    state, due = only.get("state", {}), only.get("expected_start_time")
    types, names = (state.get(key, {}).get("any_", []) for key in ("type", "name"))
    is_due = due is None or (
        datetime.fromisoformat(due["after_"])
        <= datetime.fromisoformat(row["expected_start_time"])
        <= datetime.fromisoformat(due["before_"])
    )
    is_so = not state or row["state_type"] in types or row["state_name"] in names
    soon = only.get("next_scheduled_start_time")
    is_soon = soon is None or row["expected_start_time"] <= soon["before_"]
    wanted = only.get("deployment_id")
    return (wanted is None or row["deployment_id"] in wanted["any_"]) and is_due and is_so and is_soon
