"""Route `pgbouncer`: databases of a PgBouncer, sent to another server by its configuration file and its admin console.

Promises: clients are cut off and new ones held (`KILL`) before the file changes, and let in (`RESUME`) only after
PgBouncer itself said that it leads to the new server; the file is whole at every moment, keeps owner and mode, and
changes in nothing but `host` and `port` of the named databases. Where all is well already, nobody is cut off. `KILL`
also forgets that the old server failed, after which PgBouncer would wait for `server_login_retry`.
Traps: the admin console knows the simple query protocol alone. The file must be on this machine: elsewhere, use the
`hook` route. Source: PgBouncer, "Usage" (admin console), "Config".
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from pydantic import BaseModel, ConfigDict, Field

from evidence.durable import replacing
from muster.errors import Refusal, SystemFailure, UsageError
from muster.failover.observations import Node
from tasks.postgres.bounded import connected
from tasks.process import Processes
from tasks.routes.clients import ClientDsn, last_words, require_answer, require_each, require_node
from tasks.routes.pgbouncer_ini import Address, addresses, sent_to

_CALL_SECONDS = 3.0
_Console = psycopg.Connection[Any]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]


class ServerAddress(BaseModel):
    """Where PgBouncer reaches a node."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    port: int = 5432


class Spec(BaseModel):
    """The route's keys in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["pgbouncer"] = "pgbouncer"
    admin_dsn: ClientDsn
    """The admin console: `dbname=pgbouncer` and a user of `admin_users`."""
    dsn: ClientDsn
    """Where clients connect: through PgBouncer, to one of `databases`, in session pooling."""
    databases: tuple[_Name, ...] = Field(min_length=1)
    """Entries of `[databases]` that are sent elsewhere, all together."""
    ini: Path
    """The file that holds these entries, best one of their own that pgbouncer.ini takes in by `%include`."""
    servers: Mapping[str, ServerAddress] | None = None
    """Node to where PgBouncer reaches it; default: host and port of the node's own DSN."""


class Route:
    """One PgBouncer, its file, and the databases in it that follow the primary."""

    def __init__(self, spec: Spec, nodes: Sequence[Node]) -> None:
        self._spec = spec
        self._nodes = nodes
        if spec.servers is not None:
            require_each(nodes, spec.servers, "servers")
            self._addresses = {name: Address(at.host, at.port) for name, at in spec.servers.items()}
        else:
            self._addresses = {node.name: _address_of(node) for node in nodes}

    def client_dsn(self) -> str:
        """PgBouncer's address, as the plan gives it."""
        return self._spec.dsn

    def check(self) -> None:
        """`Refusal` unless console, file and databases are as `point_to` needs them, and clients are served."""
        try:
            with self._console(_CALL_SECONDS) as console:
                self._refuse_oddities(console)
        except psycopg.Error as error:
            raise Refusal(
                f"pgbouncer: its admin console does not answer: {last_words(error)}",
                "see that PgBouncer runs and takes reroute.admin_dsn",
            ) from None
        require_answer(self._spec.dsn, "pgbouncer")

    def point_to(self, node: str, seconds_left: Callable[[], float], processes: Processes) -> str:  # noqa: ARG002
        """Cut clients off, change the file, reload, see where it leads, let clients in."""
        require_node(self._nodes, node)
        address, names = self._addresses[node], ", ".join(self._spec.databases)
        try:
            with self._console(min(_CALL_SECONDS, seconds_left())) as console:
                if self._is_settled(address, console):
                    return f"pgbouncer: {names} led to {address} already; nothing was done"
                for name in self._spec.databases:
                    _order(console, "kill", name)
                self._write(address)
                console.execute("reload")
                states = self._states(console)
                if not self._leads_to(address, states):
                    raise SystemFailure(
                        f"pgbouncer was reloaded, and leads to {_told(states)}, not to {address}; clients are held",
                        f"see its log, and that it reads {self._spec.ini}; then RESUME the databases",
                    )
                for name in (n for n, state in states.items() if state["paused"]):
                    _order(console, "resume", name)
                if held := self._held(console):
                    raise SystemFailure(f"pgbouncer refuses clients of {', '.join(held)}", "ENABLE it")
        except psycopg.Error as error:
            raise SystemFailure(
                f"pgbouncer: {last_words(error)}", "look at its log, and at SHOW DATABASES on its admin console"
            ) from None
        except OSError as error:
            raise SystemFailure(
                f"pgbouncer: {self._spec.ini}: {error.strerror}", "Muster must be able to write it"
            ) from None
        return f"pgbouncer: clients were cut off, {names} sent to {address}, and new clients let in"

    def _refuse_oddities(self, console: _Console) -> None:
        names, states = self._spec.databases, self._states(console)
        missing = sorted(set(names) - set(states))
        if missing:
            raise Refusal(f"pgbouncer has no database {', '.join(missing)}", "mend reroute.databases")
        if held := self._held(console):
            raise Refusal(f"pgbouncer holds or refuses clients of {', '.join(held)}", "RESUME or ENABLE it first")
        if not _may_order(console, names[0]):
            raise Refusal("pgbouncer: the user of reroute.admin_dsn may only look", "put it into admin_users")
        self._refuse_the_file(states)
        self._refuse_pooling(console, states)

    def _refuse_the_file(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        path = self._spec.ini
        try:
            written = addresses(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise Refusal(f"pgbouncer: {path} cannot be read: {error.strerror}", "mend reroute.ini") from None
        if not os.access(path.resolve().parent, os.W_OK):
            raise Refusal(f"pgbouncer: {path} cannot be replaced", "Muster must be able to write to its folder")
        for name in self._spec.databases:
            running = _running(states[name])
            if written.get(name) != running:
                raise Refusal(
                    f"pgbouncer: in {path} {name} leads to {written.get(name)}, in the running PgBouncer to {running}",
                    "name the file that PgBouncer reads, with a host in the entry, and RELOAD",
                )
            if running not in self._addresses.values():
                raise Refusal(
                    f"pgbouncer: {name} leads to {running}, which is no node's address",
                    "give the nodes' addresses, as PgBouncer knows them, in reroute.servers",
                )

    def _refuse_pooling(self, console: _Console, states: Mapping[str, Mapping[str, Any]]) -> None:
        """The client's commit mode is a setting of its session: only session pooling keeps it where it belongs."""
        used = str(conninfo_to_dict(self._spec.dsn).get("dbname", ""))
        if used not in self._spec.databases:
            raise Refusal(f"pgbouncer: reroute.dsn goes to database {used!r}", "name one of reroute.databases in it")
        settings = {row["key"]: row["value"] for row in console.execute("show config").fetchall()}
        mode = states[used]["pool_mode"] or settings["pool_mode"]
        if mode != "session":
            raise Refusal(
                f"pgbouncer: {used} has {mode} pooling, under which the client's commit mode means nothing",
                "add an entry with pool_mode=session for the rehearsal, and name it in reroute.dsn and .databases",
            )

    def _states(self, console: _Console) -> dict[str, Mapping[str, Any]]:
        """The running databases that are ours to send elsewhere."""
        rows = console.execute("show databases").fetchall()
        return {str(row["name"]): row for row in rows if row["name"] in self._spec.databases}

    def _held(self, console: _Console) -> list[str]:
        return [name for name, state in self._states(console).items() if state["paused"] or state["disabled"]]

    def _leads_to(self, address: Address, states: Mapping[str, Mapping[str, Any]]) -> bool:
        return all(name in states and _running(states[name]) == address for name in self._spec.databases)

    def _is_settled(self, address: Address, console: _Console) -> bool:
        """Whether PgBouncer leads there, would after the next reload too, and holds nobody."""
        written = addresses(self._spec.ini.read_text(encoding="utf-8"))
        return (
            self._leads_to(address, self._states(console))
            and all(written.get(name) == address for name in self._spec.databases)
            and not self._held(console)
        )

    def _write(self, address: Address) -> None:
        path = self._spec.ini.resolve()  # a link stays a link
        text = sent_to(path.read_text(encoding="utf-8"), self._spec.databases, address)
        with replacing(path, path.stat().st_mode & 0o777) as out:
            out.write(text.encode())
            os.fchown(out.fileno(), path.stat().st_uid, path.stat().st_gid)

    @contextmanager
    def _console(self, seconds: float) -> Iterator[_Console]:
        with connected(self._spec.admin_dsn, seconds) as connection:
            connection.prepare_threshold = None
            connection.row_factory = dict_row  # type: ignore[assignment]
            yield connection


def open_route(keys: Mapping[str, Any], nodes: Sequence[Node]) -> Route:
    """The route of a plan's `reroute`."""
    return Route(Spec.model_validate(keys), nodes)


def _address_of(node: Node) -> Address:
    parts = conninfo_to_dict(node.dsn)
    host = str(parts.get("hostaddr") or parts.get("host") or "")
    if not host or "," in host:
        raise UsageError(f"route pgbouncer: the DSN of {node.name} names no single host", "give reroute.servers")
    return Address(host, int(str(parts.get("port") or 5432)))


def _running(state: Mapping[str, Any]) -> Address:
    return Address(str(state["host"] or ""), int(state["port"]))


def _told(states: Mapping[str, Mapping[str, Any]]) -> str:
    return "; ".join(f"{name}: {_running(state)}" for name, state in states.items())


def _order(console: _Console, verb: str, name: str) -> None:
    console.execute(sql.SQL(f"{verb} {{}}").format(sql.Identifier(name)))


def _may_order(console: _Console, name: str) -> bool:
    """Whether the user may give orders. This one does nothing, as the database is not held, and is refused for that."""
    try:
        _order(console, "resume", name)
    except psycopg.Error as error:
        return "admin access" not in str(error)
    return True
