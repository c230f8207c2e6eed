"""What a drill asks of YARN, and does by it: REST of the ResourceManager, and of the NodeManagers for a last look.

Promises: of several ResourceManagers the active one is asked; a container is signalled only when its own id says that
it is of the application that is meant; what YARN denies is told with what would allow it.
Source: Hadoop's "ResourceManager REST APIs" and "NodeManager REST APIs"; `RMWSConsts.SIGNAL_TO_CONTAINER` and
`SignalContainerCommand` (Hadoop 3.3 or newer). A user is named by `user.name`, as simple authentication takes it.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from muster.errors import StepError
from muster.spark.observations import WorkerSeen

_SECONDS = 10.0
_FRESH = 5.0
_NAP = 0.1
_ACTIVE_STATES = "NEW,NEW_SAVING,SUBMITTED,ACCEPTED,RUNNING"
_RUNS = frozenset({"NEW", "LOCALIZING", "SCHEDULED", "RUNNING", "REINITIALIZING", "PAUSED"})
_CONTAINER = re.compile(r"container_(?:e\d+_)?(\d+)_(\d+)_\d+_\d+")


@dataclass(frozen=True)
class Manager:
    """One ResourceManager, as it tells of itself."""

    url: str
    id: str
    """The moment it was started: every application it takes has it in its id."""
    state: str
    version: str

    @property
    def is_active(self) -> bool:
        """Whether it takes applications."""
        return self.state == "ACTIVE"


@dataclass(frozen=True)
class App:
    """An application that has not ended."""

    id: str
    name: str


@dataclass(frozen=True)
class Container:
    """An executor's container, and the NodeManager that runs it."""

    id: str
    node: str
    """URL; empty where it was not told."""


class Yarn:
    """One cluster."""

    def __init__(self, urls: Sequence[str], user: str, transport: httpx.BaseTransport | None = None) -> None:
        self._urls = urls
        params = {"user.name": user} if user else {}
        self._client = httpx.Client(trust_env=False, timeout=_SECONDS, transport=transport, params=params)
        self._known: tuple[float, Manager] | None = None

    def managers(self) -> tuple[list[Manager], list[str]]:
        """Those that answer, and what is wrong with the others."""
        found, problems = [], []
        for url in self._urls:
            try:
                told = self._json("GET", f"{url}/ws/v1/cluster/info")["clusterInfo"]
                state = told.get("haState", "ACTIVE") if told["state"] == "STARTED" else told["state"]
                found.append(Manager(url, str(told["id"]), str(state), str(told.get("resourceManagerVersion", ""))))
            except (StepError, KeyError, TypeError) as error:
                problems.append(f"{url}: {error.message if isinstance(error, StepError) else 'this is no YARN'}")
        return found, problems

    def active(self) -> Manager:
        """The one that takes applications; remembered for a few seconds."""
        if self._known and time.monotonic() - self._known[0] < _FRESH:
            return self._known[1]
        found, problems = self.managers()
        for manager in found:
            if manager.is_active:
                self._known = (time.monotonic(), manager)
                return manager
        told = [f"{m.url} is {m.state}" for m in found] + problems
        raise StepError(f"no ResourceManager is active: {'; '.join(told)}", "start one, or mend the plan's target")

    def nodes(self) -> tuple[WorkerSeen, ...]:
        """The NodeManagers that the cluster knows."""
        told = (self._ask("nodes").get("nodes") or {}).get("node", ())
        return tuple(
            WorkerSeen(
                name=str(n["id"]),
                host=str(n["nodeHostName"]),
                state="ALIVE" if n["state"] == "RUNNING" else str(n["state"]),
                cores=int(n["usedVirtualCores"]) + int(n["availableVirtualCores"]),
                cores_free=max(0, int(n["availableVirtualCores"])),
                memory=int(n["usedMemoryMB"]) + int(n["availMemoryMB"]),
                memory_free=max(0, int(n["availMemoryMB"])),
            )
            for n in told
        )

    def applications(self) -> tuple[App, ...]:
        """Those that have not ended."""
        told = (self._ask(f"apps?states={_ACTIVE_STATES}").get("apps") or {}).get("app", ())
        return tuple(App(str(a["id"]), str(a["name"])) for a in told)

    def kill(self, application: str) -> None:
        """Ask for its end; it takes a moment."""
        path = f"apps/{application}/state"
        self._json("PUT", f"{self.active().url}/ws/v1/cluster/{path}", body={"state": "KILLED"})

    def executors(self, application: str) -> dict[str, Container]:
        """The container of each executor that lives, as the driver tells, through YARN's proxy."""
        url = f"{self.proxy(application)}/api/v1/applications/{application}/executors"
        told = self._json("GET", url)
        found = {str(e["id"]): _container(e) for e in told if e["id"] != "driver"}
        return {executor: container for executor, container in found.items() if container}

    def proxy(self, application: str) -> str:
        """Where a driver's UI answers; asked itself it sends one on to here. While nobody is active: where it was."""
        try:
            url = self.active().url
        except StepError:
            url = self._known[1].url if self._known else self._urls[0]
        return f"{url}/proxy/{application}"

    def shut_down(self, container: Container, application: str) -> None:
        """SIGKILL to a container's process, which its NodeManager sends after its next heartbeat."""
        match = _CONTAINER.fullmatch(container.id)
        if match is None or application != f"application_{match[1]}_{match[2]}":
            raise StepError(f"{container.id} is no container of {application}: it was not hit", "please report it")
        path = f"containers/{container.id}/signal/FORCEFUL_SHUTDOWN"
        self._send("POST", f"{self.active().url}/ws/v1/cluster/{path}")

    def wait_for_end(self, container: Container, within: float) -> None:
        """Until its NodeManager says that it is gone, or the time is up: the driver will see it in any case."""
        deadline = time.monotonic() + within
        while container.node and self._runs(container) and time.monotonic() < deadline:
            time.sleep(_NAP)

    def _runs(self, container: Container) -> bool:
        """Whether its NodeManager says so; one that does not say is not waited for."""
        try:
            answer = self._client.get(f"{container.node}/ws/v1/node/containers/{container.id}")
            return answer.is_success and str(answer.json()["container"]["state"]) in _RUNS
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return False

    def _ask(self, what: str) -> dict[str, Any]:
        return dict(self._json("GET", f"{self.active().url}/ws/v1/cluster/{what}"))

    def _json(self, method: str, url: str, body: object = None) -> Any:
        answer = self._send(method, url, body)
        try:
            return answer.json()
        except ValueError:
            raise StepError(f"{method} {url}: the answer is no JSON", "is this the address of YARN's REST?") from None

    def _send(self, method: str, url: str, body: object = None) -> httpx.Response:
        try:
            answer = self._client.request(method, url, json=body, headers={"Accept": "application/json"})
        except httpx.HTTPError as error:
            raise StepError(f"{method} {url} has no answer: {error}", "see the network, and YARN's health") from None
        if answer.is_success:
            return answer
        advice = {
            401: "YARN asks who it is: name target.user; Kerberos is not spoken here",
            403: "name in target.user who may do it: the application's owner, or an admin of its queue",
            404: "a signal to a container needs Hadoop 3.3 or newer, or a hook in target.hooks",
        }.get(answer.status_code, "see the ResourceManager's log")
        raise StepError(f"{method} {url}: {answer.status_code}", advice)


def _container(told: dict[str, Any]) -> Container | None:
    """By its attributes, which Spark 3 and newer tell; else by the address of its log."""
    attributes, logs = told.get("attributes") or {}, told.get("executorLogs") or {}
    words = [str(attributes.get("CONTAINER_ID", "")), *map(str, logs.values())]
    found = next((match for word in words if (match := _CONTAINER.search(word))), None)
    if found is None:
        return None
    address, scheme = attributes.get("NM_HTTP_ADDRESS", ""), attributes.get("HTTP_SCHEME") or "http://"
    return Container(found[0], f"{scheme}{address}" if address else "")
