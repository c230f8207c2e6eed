"""What a drill asks of a Databricks workspace: who we are, what a machine is, runs of one lap, their clusters.

Promises: the token is read from the environment for each request, and is in no error, no log and no `repr`; a run is
asked for with a token of its own, so that asking twice makes one run.
Source: Databricks REST API reference: Jobs 2.2, Clusters 2.1, SCIM 2.0.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from muster.errors import StepError
from tasks.spark.remote import Job

_SECONDS = 30.0
_OVER = frozenset({"TERMINATED", "SKIPPED", "INTERNAL_ERROR"})
_TOLD = ("NODES_LOST", "UPSIZE_COMPLETED", "RESIZING", "DRIVER_NOT_RESPONDING", "DRIVER_UNAVAILABLE", "SPARK_EXCEPTION")


class Missing(StepError):
    """There is nothing of this name."""


@dataclass(frozen=True)
class Run:
    """A run that has not ended."""

    id: str
    name: str


class Databricks:
    """One workspace."""

    def __init__(
        self,
        host: str,
        token_from: str,
        transport: httpx.BaseTransport | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.host = host
        self._token_from = token_from
        self._environment = environment
        self._client = httpx.Client(base_url=host, trust_env=False, timeout=_SECONDS, transport=transport)

    def who(self) -> str:
        """Whose the token is."""
        return str(self.json("GET", "/api/2.0/preview/scim/v2/Me")["userName"])

    def size(self, node_type: str) -> tuple[int, int] | None:
        """Cores and MiB of a machine of this type; `None` when there is no such type."""
        told = self.json("GET", "/api/2.1/clusters/list-node-types").get("node_types", ())
        found = next((n for n in told if n["node_type_id"] == node_type), None)
        return (int(found["num_cores"]), int(found["memory_mb"])) if found else None

    def has_runtime(self, key: str) -> bool:
        """Whether clusters can have this runtime."""
        told = self.json("GET", "/api/2.1/clusters/spark-versions").get("versions", ())
        return any(version["key"] == key for version in told)

    def submit(self, name: str, task: Mapping[str, Any], timeout: float) -> str:
        """Ask for a run of one task. Databricks ends it after so many seconds, whatever becomes of us."""
        body = {
            "run_name": name,
            "idempotency_token": hashlib.sha256(name.encode()).hexdigest(),
            "timeout_seconds": int(timeout),
            "tasks": [{"task_key": "lap", **task}],
        }
        return str(self.json("POST", "/api/2.2/jobs/runs/submit", body=body)["run_id"])

    def job(self, run: str) -> Job:
        """How a run stands."""
        told = self.json("GET", "/api/2.2/jobs/runs/get", params={"run_id": run}).get("state", {})
        life, result = told.get("life_cycle_state", ""), told.get("result_state", "")
        words = f"run {run} is {life}" + (f", {result}" if result else "")
        message = told.get("state_message", "")
        return Job(life in _OVER, words + (f": {message}" if message else ""))

    def cluster_of(self, run: str) -> str:
        """The id of the cluster that a run has; empty while it has none."""
        told = self.json("GET", "/api/2.2/jobs/runs/get", params={"run_id": run})
        found = (task.get("cluster_instance", {}).get("cluster_id", "") for task in told.get("tasks", ()))
        return str(next(filter(None, found), ""))

    def runs(self, prefix: str) -> tuple[Run, ...]:
        """Runs that have not ended, whose name begins so."""
        found, params = [], {"active_only": "true", "run_type": "SUBMIT_RUN"}
        while True:
            told = self.json("GET", "/api/2.2/jobs/runs/list", params=params)
            found += [Run(str(r["run_id"]), str(r.get("run_name", ""))) for r in told.get("runs", ())]
            if not (page := told.get("next_page_token")):
                return tuple(run for run in found if run.name.startswith(prefix))
            params = {**params, "page_token": page}

    def cancel(self, run: str) -> None:
        """Ask for its end; its cluster ends with it."""
        self.json("POST", "/api/2.2/jobs/runs/cancel", body={"run_id": int(run)})

    def machines(self, cluster: str) -> tuple[str, ...]:
        """The addresses of a cluster's workers, by which Spark knows them too."""
        told = self.json("GET", "/api/2.1/clusters/get", params={"cluster_id": cluster})
        return tuple(str(node["private_ip"]) for node in told.get("executors", ()) if node.get("private_ip"))

    def happened(self, cluster: str, since_ms: int) -> tuple[str, ...]:
        """What Databricks says became of a cluster's machines since a moment."""
        body = {"cluster_id": cluster, "start_time": since_ms, "event_types": list(_TOLD), "order": "ASC"}
        told = self.json("POST", "/api/2.1/clusters/events", body=body).get("events", ())
        return tuple(f"{e['type']}, {(e['timestamp'] - since_ms) / 1000:.0f} s after the strike" for e in told)

    def json(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: object = None
    ) -> dict[str, Any]:
        """Ask, and take a JSON object for the answer."""
        answer = self.send(method, path, params=params, json=body)
        try:
            told = answer.json() if answer.content else {}
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise StepError(f"{method} {path}: the answer is no JSON object", "is target.host a Databricks workspace?")
        return told

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask; an answer that is an error is one of ours."""
        token = self._environment.get(self._token_from, "")
        if not token:
            raise StepError(
                f"the environment variable {self._token_from} is not set", "set it to a token of the workspace"
            )
        headers = {"Authorization": f"Bearer {token}"}
        try:
            answer = self._client.request(method, path, headers=headers, **more)
        except httpx.HTTPError as error:
            raise StepError(f"{self.host} has no answer: {error}", "see the network, and target.host") from None
        if answer.is_success:
            return answer
        raise _error(method, path, answer)


def _error(method: str, path: str, answer: httpx.Response) -> StepError:
    try:
        told = answer.json()
    except ValueError:
        told = {}
    code, said = told.get("error_code", ""), told.get("message", "")
    words = f"{method} {path}: {answer.status_code} {code} {said}".strip()
    if answer.status_code == 404 or code in {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}:
        return Missing(words, "mend the names in the plan's target")
    advice = {
        401: "the token is not taken: make a new one",
        403: "give whoever the token is of the right to it",
        429: "Databricks wants fewer requests: see who else asks, then run again",
    }.get(answer.status_code, "see the workspace, and Databricks' status page")
    return StepError(words, advice)
