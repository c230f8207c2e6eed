"""Route `haproxy`: a TCP backend of HAProxy, ruled by its runtime socket.

Either Muster says which server is in service, and keeps the others in maintenance; or, as is usual with Patroni,
HAProxy's own health checks find the primary (`by: checks`), and are waited for: a server left in maintenance there
would be missing on the day of the real failover.

Promises: clients never reach two servers by our doing, for the others leave service before the new one enters it; what
was ordered is read back; every call on the socket is bounded. Other backends and the configuration are not touched.
Traps: the runtime state does not survive a reload of HAProxy, unless `load-server-state-from-file` is set there. A
server without `check` counts as up, dead or alive. A HAProxy that hung may carry out an order of ours when it comes
back: the first one is maintenance for the old server, so that clients reach nobody until it is pointed again.
Source: HAProxy Management Guide, "Unix Socket commands".
"""

import csv
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from muster.errors import MusterError, Refusal, SystemFailure
from muster.failover.observations import Node
from muster.quantity import Duration
from tasks.process import Processes
from tasks.routes.clients import ClientDsn, require_answer, require_each, require_node

_CALL_SECONDS = 3.0
_SERVERS = 4
"""`show stat` gives rows of kinds that are bits: this one is of servers."""
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]+$")]


class Spec(BaseModel):
    """The route's keys in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["haproxy"] = "haproxy"
    socket: str
    """The runtime socket, `stats socket ... level admin` in haproxy.cfg: a path, or `host:port` on this machine."""
    backend: _Name
    """The backend that clients are sent to; Muster takes charge of which of its servers is in service."""
    servers: Mapping[str, _Name]
    """Node to the server's name in that backend."""
    dsn: ClientDsn
    """Where clients connect."""
    by: Literal["muster", "checks"] = "muster"
    """Who decides which server is in service."""
    wait: Duration = Field(default="30s", validate_default=True)
    """How long health checks may take to find the new server up, and where they decide the old one down."""

    @field_validator("socket")
    @classmethod
    def _is_on_this_machine(cls, address: str) -> str:
        host, _, port = address.rpartition(":")
        if address.startswith("/") or (host in _LOOPBACK and port.isdecimal()):
            return address
        raise ValueError(
            "must be the path of a unix socket, or a port on 127.0.0.1: whoever reaches it rules the proxy; "
            "forward a distant one by ssh -L"
        )

    @field_validator("servers")
    @classmethod
    def _are_different(cls, servers: Mapping[str, str]) -> Mapping[str, str]:
        if len(set(servers.values())) < len(servers):
            raise ValueError("two nodes cannot be one server")
        return servers


class _NoAnswer(Exception):
    """HAProxy did not answer, or did not do what it was told; the message says what it said."""


@dataclass(frozen=True)
class _Row:
    """What `show stat` says of one server."""

    name: str
    status: str
    weight: int
    sessions: int
    is_backup: bool
    last_check: str

    @property
    def is_in_maintenance(self) -> bool:
        """Whether somebody took it out of service: health checks do not do that."""
        return self.status.startswith("MAINT")

    @property
    def is_in_service(self) -> bool:
        """Whether new connections may be given to it; a backup server's turn comes when no other is in service."""
        return self.weight > 0 and (self.status.startswith("UP") or self.status == "no check")

    def __str__(self) -> str:
        return f"{self.name} is {self.status}" + (f" ({self.last_check})" if self.last_check else "")


class Route:
    """One backend, its servers, and the socket by which they are ruled."""

    def __init__(self, spec: Spec, nodes: Sequence[Node]) -> None:
        self._spec = spec
        self._nodes = nodes
        require_each(nodes, spec.servers, "servers")

    def client_dsn(self) -> str:
        """The frontend's address, as the plan gives it."""
        return self._spec.dsn

    def check(self) -> None:
        """`Refusal` when the socket may not be used, a server is missing, or clients reach none, or more than one."""
        try:
            level = self._ask("show cli level", _CALL_SECONDS)
            rows = self._rows(_CALL_SECONDS)
        except _NoAnswer as error:
            raise Refusal(
                f"haproxy: {error}", "see that HAProxy runs, and 'stats socket' in its configuration"
            ) from None
        if level != "admin":
            raise Refusal(f"haproxy: the socket's level is {level!r}", "set 'level admin' on the 'stats socket'")
        missing = sorted(set(self._spec.servers.values()) - {row.name for row in rows})
        if missing:
            raise Refusal(
                f"haproxy: backend {self._spec.backend} has no server {', '.join(missing)}",
                f"it has {', '.join(row.name for row in rows)}: mend reroute.servers",
            )
        serving = _serving(rows)
        if len(serving) != 1:
            raise Refusal(
                f"haproxy: clients of backend {self._spec.backend} reach {', '.join(sorted(serving)) or 'no server'}",
                "one server is to be in service: 'disabled' in haproxy.cfg, 'set server BACKEND/SERVER state maint', "
                "or health checks that know the primary",
            )
        self._refuse_the_wrong_master([row for row in rows if row.name in self._spec.servers.values()])
        require_answer(self._spec.dsn, "haproxy")

    def point_to(self, node: str, seconds_left: Callable[[], float], processes: Processes) -> str:  # noqa: ARG002
        """The node's server alone is in service, and the others have no sessions."""
        require_node(self._nodes, node)
        chosen, backend = self._spec.servers[node], self._spec.backend
        others = [server for server in self._spec.servers.values() if server != chosen]
        try:
            if self._spec.by == "muster":
                self._put_in_service(chosen, others, seconds_left)
            self._await(lambda rows: _serving(rows) == {chosen}, seconds_left)
            for other in others:
                self._order(f"shutdown sessions server {backend}/{other}", seconds_left())
            self._await(
                lambda rows: _serving(rows) == {chosen} and not any(r.sessions for r in rows if r.name in others),
                seconds_left,
            )
        except _NoAnswer as error:
            raise _failure(str(error)) from None
        out = "in maintenance" if self._spec.by == "muster" else "found down"
        return f"haproxy: {backend}/{chosen} is in service; {', '.join(others)} {out}, and rid of sessions"

    def _refuse_the_wrong_master(self, rows: Sequence[_Row]) -> None:
        """Two must not rule one backend: servers are out of service by order or by their checks, as the plan says."""
        if self._spec.by == "checks":
            wrong = [row for row in rows if row.is_in_maintenance]
            advice = "give it back to its health checks: set server BACKEND/SERVER state ready"
        else:
            wrong = [row for row in rows if not row.is_in_service and not row.is_in_maintenance]
            advice = (
                "where health checks find the primary, say 'by: checks' in the plan's reroute; else see that it is up"
            )
        if wrong:
            raise Refusal(f"haproxy: {'; '.join(map(str, wrong))}", advice)

    def _put_in_service(self, chosen: str, others: Sequence[str], seconds_left: Callable[[], float]) -> None:
        backend = self._spec.backend
        for other in others:
            self._order(f"set server {backend}/{other} state maint", seconds_left())
        self._order(f"set server {backend}/{chosen} state ready", seconds_left())
        if any(row.name == chosen and row.weight == 0 for row in self._rows(seconds_left())):
            self._order(f"set server {backend}/{chosen} weight 100%", seconds_left())

    def _await(self, is_so: Callable[[tuple[_Row, ...]], bool], seconds_left: Callable[[], float]) -> None:
        """Read the backend's state until it is so."""
        attempts = Retrying(
            stop=stop_after_delay(min(self._spec.wait.total_seconds(), seconds_left())),
            wait=wait_fixed(0.02),
            retry=retry_if_result(lambda rows: not is_so(rows)),
        )
        try:
            attempts(lambda: self._rows(seconds_left()))
        except RetryError as error:
            rows: tuple[_Row, ...] = error.last_attempt.result()
            raise _failure(
                f"{'; '.join(map(str, rows))}; clients reach {', '.join(sorted(_serving(rows))) or 'no server'}"
            ) from None

    def _rows(self, seconds: float) -> tuple[_Row, ...]:
        """Every server of the backend."""
        said = self._ask(f"show stat {self._spec.backend} {_SERVERS} -1", seconds)
        if not said.startswith("# "):
            raise _NoAnswer(f"backend {self._spec.backend}: {said}")
        return tuple(
            _Row(
                name=row["svname"],
                status=row["status"],
                weight=int(row["weight"] or 0),
                sessions=int(row["scur"] or 0),
                is_backup=row["bck"] == "1",
                last_check=" ".join(filter(None, (row["check_status"], row["last_chk"]))),
            )
            for row in csv.DictReader(said.removeprefix("# ").splitlines())
        )

    def _order(self, command: str, seconds: float) -> None:
        """A command that says nothing when it was done."""
        said = self._ask(command, seconds)
        if said:
            raise _NoAnswer(f"{command!r}: {said}")

    def _ask(self, command: str, seconds: float) -> str:
        """Its answer to one command; it closes the connection after that."""
        try:
            with _connected(self._spec.socket, min(_CALL_SECONDS, seconds)) as channel:
                channel.sendall(f"{command}\n".encode())
                return b"".join(iter(lambda: channel.recv(65536), b"")).decode("utf-8", "replace").strip()
        except OSError as error:
            raise _NoAnswer(f"{self._spec.socket} does not answer: {error.strerror or error}") from None


def open_route(keys: Mapping[str, Any], nodes: Sequence[Node]) -> Route:
    """The route of a plan's `reroute`."""
    return Route(Spec.model_validate(keys), nodes)


def _connected(address: str, seconds: float) -> socket.socket:
    if not address.startswith("/"):
        host, _, port = address.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), seconds)
    channel = socket.socket(socket.AF_UNIX)
    try:
        channel.settimeout(seconds)
        channel.connect(address)
    except OSError:
        channel.close()
        raise
    return channel


def _serving(rows: Iterable[_Row]) -> set[str]:
    """The servers that new connections are given to."""
    active = {row.name for row in rows if row.is_in_service and not row.is_backup}
    return active or {row.name for row in rows if row.is_in_service}


def _failure(message: str) -> MusterError:
    return SystemFailure(f"haproxy: {message}", "look at 'show stat' on its runtime socket, and at its log")
