"""Laps as runs of Databricks: what is asked for, and the event logs that are delivered afterwards."""

import gzip
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tasks.spark.databricks_api import Databricks
from tasks.spark.databricks_files import Files, files_at
from tasks.spark.post import UP
from tasks.spark.remote import CODE, EVENTS, LAPS, Job
from tasks.spark.shipment import SCRIPT, ZIP

_START_SECONDS = 1800.0
"""What a run may take beyond its lap's limit before Databricks ends it, whatever became of us."""
_NEEDS = {"pypi": {"package": "pydantic>=2.11,<3"}}
_LOG = re.compile(r"eventlog(-.*)?$")


class NewCluster(BaseModel):
    """The cluster that each lap gets, in the words of Databricks' API."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spark_version: str
    node_type_id: str
    num_workers: int = Field(ge=1)
    driver_node_type_id: str | None = None
    instance_pool_id: str | None = None
    """Where machines are kept ready; they must be of `node_type_id`."""
    policy_id: str | None = None
    single_user_name: str | None = None
    aws_attributes: Mapping[str, Any] | None = None
    azure_attributes: Mapping[str, Any] | None = None
    gcp_attributes: Mapping[str, Any] | None = None


class Runs:
    """The service that runs laps."""

    def __init__(self, api: Databricks, files: Files, cluster: NewCluster, application: str, limit: float) -> None:
        self._api = api
        self._files = files
        self._cluster = cluster
        self._application = application
        self._limit = limit

    def submit(self, group: str, settings: Mapping[str, str]) -> str:
        """A run of our script on the lap's folder, on a cluster that is made for it and ends with it."""
        script = {
            "python_file": f"{self._files.uri}/{CODE}/{SCRIPT}",
            "parameters": [f"{self._files.uri}/{LAPS}/{group}", f"{self._files.mounted}/{CODE}/{ZIP}"],
        }
        task = {"new_cluster": self._wanted(settings), "libraries": [_NEEDS], "spark_python_task": script}
        return self._api.submit(f"{self._application} {group}", task, self._limit + _START_SECONDS)

    def job(self, name: str) -> Job:
        """How a run stands."""
        return self._api.job(name)

    def _wanted(self, settings: Mapping[str, str]) -> dict[str, Any]:
        cluster = self._cluster.model_dump(mode="json", exclude_none=True)
        if "instance_pool_id" in cluster:
            del cluster["node_type_id"]  # the pool says it, and the API takes only one of them
        return {
            **cluster,
            "data_security_mode": "SINGLE_USER",
            "spark_conf": dict(settings),
            "cluster_log_conf": files_at(self._api, f"{self._files.uri}/{EVENTS}").log_conf,
        }


def laps_of(files: Files) -> int:
    """How many laps came up."""
    return sum(name.endswith(f"/{UP}") for name in files.names(LAPS))


def logs_of(files: Files) -> dict[str, list[str]]:
    """Cluster to its event log's pieces in their order: what was rolled, by the date in its name, then the last."""
    found: dict[str, list[str]] = {}
    for name in files.names(EVENTS):
        parts = name.split("/")
        if len(parts) > 2 and _LOG.match(parts[-1]):
            found.setdefault(parts[1], []).append(name)
    return {
        cluster: sorted(names, key=lambda name: (not name.endswith(".gz"), name)) for cluster, names in found.items()
    }


def fetch_logs(files: Files, into: Path) -> tuple[Path, ...]:
    """One file a cluster, its pieces unpacked and put together."""
    into.mkdir(parents=True, exist_ok=True)
    paths = []
    for cluster, names in logs_of(files).items():
        path = into / f"{cluster}.jsonl"
        with path.open("wb") as file:
            for name in names:
                content = files.read(name) or b""
                file.write(gzip.decompress(content) if name.endswith(".gz") else content)
        paths.append(path)
    return tuple(paths)
