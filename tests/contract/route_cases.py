"""The routes that the contract suite runs over: one case each.

A case is a context manager that is given an empty folder with a short path and two servers that both take writes. It
starts what the route needs, yields a `Subject`, and leaves nothing running. A new route is a function here and a line
in `CASES`. A component that is missing on this machine is a failure, not a skip.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
from psycopg.pq import PGconn, Ping

from muster.errors import Refusal
from muster.failover.observations import Node
from tasks import unprivileged
from tasks.postgres.server import Server
from tasks.process import AT_ONCE, Processes
from tasks.routes.route import Route, open_route

PATIENCE = 60.0
READ_ONLY = "show default_transaction_read_only"
TERMINATE = (
    "select pg_terminate_backend(pid) from pg_stat_activity"
    " where pid <> pg_backend_pid() and backend_type = 'client backend'"
)


def nothing(*_: object) -> None:
    """For what a route has no use for."""


@dataclass(frozen=True)
class Regions:
    """Two servers, `a` and `b`, that know nothing of each other."""

    servers: Mapping[str, Server]
    processes: Processes

    @property
    def nodes(self) -> tuple[Node, ...]:
        """As a target would name them."""
        return tuple(Node(name=name, region=f"region-{name}", dsn=s.dsn()) for name, s in self.servers.items())

    def socket(self, name: str) -> Path:
        """Where the server listens."""
        return self.servers[name].sockets / ".s.PGSQL.5432"

    def start(self, name: str) -> None:
        """Let the server run."""
        if not self.servers[name].is_ready():
            self.servers[name].start({"shared_buffers": "16MB", "fsync": "off", "cluster_name": name})

    def only_writable(self, chosen: str) -> None:
        """One takes writes and the other does not, nor keeps its sessions: what a failover does to the databases."""
        for name, server in self.servers.items():
            state = "off" if name == chosen else "on"
            with suppress(psycopg.OperationalError), server.connect() as connection:
                connection.execute(f"alter system set default_transaction_read_only = {state}")
                connection.execute("select pg_reload_conf()")
                wait_until(lambda server=server, state=state: ask(server.dsn(), READ_ONLY) == state)
                if name != chosen:
                    connection.execute(TERMINATE)


@dataclass(frozen=True)
class Subject:
    """A route under contract."""

    route: Route
    kill: Callable[[], None]
    """What it is made of dies."""
    revive: Callable[[], None]
    fail_over: Callable[[str], None] = nothing
    """What the databases do before clients are sent to this node, where the route looks at them."""


Case = Callable[[Path, Regions], AbstractContextManager[Subject]]


@contextmanager
def libpq(folder: Path, regions: Regions) -> Iterator[Subject]:
    """Clients look for the server that takes writes; the route is dead when none does."""
    route = open_route({"type": "libpq"}, regions.nodes)
    regions.only_writable("a")
    yield Subject(
        route,
        kill=lambda: regions.only_writable("nobody"),
        revive=lambda: regions.only_writable("a"),
        fail_over=regions.only_writable,
    )
    for server in regions.servers.values():
        with server.connect() as connection:
            connection.execute("alter system reset default_transaction_read_only")
            connection.execute("select pg_reload_conf()")


class Haproxy:
    """A real HAProxy with one backend, that comes up with server `a` in service."""

    def __init__(
        self,
        folder: Path,
        regions: Regions,
        *,
        server_options: Mapping[str, str] | None = None,
        level: str = "admin",
        more: str = "",
    ) -> None:
        self.socket = folder / "admin.sock"
        self.dsn = f"host={folder} port=6432 user=postgres dbname=postgres connect_timeout=10"
        self._config = folder / "haproxy.cfg"
        options = server_options or {"a": "", "b": "disabled"}
        self._config.write_text(
            f"""
global
  stats socket {self.socket} mode 600 level {level}
defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
frontend clients
  bind unix@{folder}/.s.PGSQL.6432 mode 600
  default_backend regions
backend regions
  balance roundrobin
  {more}
  server east unix@{regions.socket("a")} {options["a"]}
  server west unix@{regions.socket("b")} {options["b"]}
""",
            encoding="utf-8",
        )
        self._processes = regions.processes

    def start(self) -> None:
        """Up when it returns."""
        self._processes.start("haproxy", ["/usr/sbin/haproxy", "-db", "-f", self._config], log="haproxy.log")
        wait_until(lambda: PGconn.ping(self.dsn.encode()) == Ping.OK)

    def kill(self) -> None:
        """Gone when it returns."""
        self._processes.stop("haproxy", signals=AT_ONCE)

    def signal(self, number: signal.Signals) -> None:
        """As an operator would, or a machine."""
        identity = self._processes.identity("haproxy")
        assert identity is not None
        identity.signal(number)

    def route(self, regions: Regions, **more: object) -> Route:
        """The route over it."""
        keys = {"type": "haproxy", "socket": str(self.socket), "backend": "regions", "dsn": self.dsn}
        return open_route({**keys, "servers": {"a": "east", "b": "west"}, **more}, regions.nodes)


@contextmanager
def haproxy(folder: Path, regions: Regions) -> Iterator[Subject]:
    """Debian's."""
    proxy = Haproxy(folder, regions)
    proxy.start()
    try:
        yield Subject(proxy.route(regions), kill=proxy.kill, revive=proxy.start)
    finally:
        proxy.kill()


class Primary:
    """What Patroni's REST API is for HAProxy: a port for each node, that answers 200 at the primary's and else 503."""

    def __init__(self) -> None:
        self.name = "a"
        self._servers = {node: ThreadingHTTPServer(("127.0.0.1", 0), self._handler(node)) for node in ("a", "b")}
        for server in self._servers.values():
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def port(self, node: str) -> int:
        """Where HAProxy asks."""
        return int(self._servers[node].server_address[1])

    def move(self, node: str) -> None:
        """From now on the node is primary."""
        self.name = node

    def close(self) -> None:
        """No more answers."""
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

    def _handler(self, node: str) -> type[BaseHTTPRequestHandler]:
        primary = self

        class Handler(BaseHTTPRequestHandler):
            def do_OPTIONS(self) -> None:
                self.send_response(200 if primary.name == node else 503)
                self.end_headers()

            log_message = nothing

        return Handler


@contextmanager
def checked_haproxy(folder: Path, regions: Regions) -> Iterator[tuple[Haproxy, Primary]]:
    """Debian's, configured as with Patroni: its health checks find the primary."""
    primary = Primary()
    options = {node: f"check addr 127.0.0.1 port {primary.port(node)} inter 50ms fall 1 rise 1" for node in ("a", "b")}
    proxy = Haproxy(folder, regions, server_options=options, more="option httpchk OPTIONS /primary")
    try:
        proxy.start()
        wait_until(lambda: is_taken(proxy.route(regions, by="checks")))  # both are up until they were checked
        yield proxy, primary
    finally:
        proxy.kill()
        primary.close()


@contextmanager
def haproxy_checks(folder: Path, regions: Regions) -> Iterator[Subject]:
    """The route that waits for health checks."""
    with checked_haproxy(folder, regions) as (proxy, primary):
        route = proxy.route(regions, by="checks")

        def revive() -> None:
            proxy.start()
            wait_until(lambda: is_taken(route))

        yield Subject(route, kill=proxy.kill, revive=revive, fail_over=primary.move)


def is_taken(route: Route) -> bool:
    """Whether the route's own check has nothing against it."""
    try:
        route.check()
    except Refusal:
        return False
    return True


class Pgbouncer:
    """A real PgBouncer with one database on server `a`, kept in a file of its own."""

    def __init__(self, folder: Path, regions: Regions, *, pool_mode: str = "session", login_retry: int = 1) -> None:
        self.ini = folder / "regions.ini"
        self.ini.write_text(
            "; who serves the shop\n"
            f"shop = host={regions.servers['a'].sockets} port=5432 dbname=postgres user=postgres\n"
            "other = host=/nowhere user=postgres\n",
            encoding="utf-8",
        )
        self.ini.chmod(0o640)
        self._config = folder / "pgbouncer.ini"
        self._config.write_text(
            f"""
[databases]
%include {self.ini}
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {folder}
auth_type = any
admin_users = pgbouncer
pool_mode = {pool_mode}
server_login_retry = {login_retry}
query_wait_timeout = 3
""",
            encoding="utf-8",
        )
        unprivileged.hand_over(folder)
        self.dsn = f"host={folder} port=6432 user=postgres dbname=shop connect_timeout=10"
        self.admin_dsn = f"host={folder} port=6432 user=pgbouncer dbname=pgbouncer connect_timeout=10"
        self._processes = regions.processes

    def start(self) -> None:
        """Up when it returns."""
        argv = ["/usr/sbin/pgbouncer", self._config]
        self._processes.start("pgbouncer", argv, log="pgbouncer.log", unprivileged=True)
        wait_until(lambda: PGconn.ping(self.admin_dsn.encode()) == Ping.OK)

    def kill(self) -> None:
        """Gone when it returns."""
        self._processes.stop("pgbouncer", signals=AT_ONCE)

    def signal(self, number: signal.Signals) -> None:
        """As an operator would, or a machine."""
        identity = self._processes.identity("pgbouncer")
        assert identity is not None
        identity.signal(number)

    def order(self, command: str) -> list[tuple[object, ...]]:
        """On its admin console."""
        with psycopg.connect(self.admin_dsn, autocommit=True) as console:
            cursor = console.execute(command.encode())
            return cursor.fetchall() if cursor.description else []

    def route(self, regions: Regions, **more: object) -> Route:
        """The route over it."""
        keys = {"type": "pgbouncer", "admin_dsn": self.admin_dsn, "dsn": self.dsn, "databases": ["shop"]}
        return open_route({**keys, "ini": str(self.ini), **more}, regions.nodes)


@contextmanager
def pgbouncer(folder: Path, regions: Regions) -> Iterator[Subject]:
    """Debian's."""
    pooler = Pgbouncer(folder, regions)
    pooler.start()
    try:
        yield Subject(pooler.route(regions), kill=pooler.kill, revive=pooler.start)
    finally:
        pooler.kill()


@contextmanager
def hook(folder: Path, regions: Regions) -> Iterator[Subject]:
    """A script that turns a link to the socket folder of the server that serves, and ends sessions at the other."""
    script, current = folder / "reroute.sh", folder / "current"
    psql = regions.servers["a"].binaries.tool("psql")
    script.write_text(
        "set -e\n"
        f'cd {folder}\nln -sfn "$1/$MUSTER_NODE/s" next\nmv -T next current\n'
        'for node in a b; do [ $node = "$MUSTER_NODE" ] ||\n'
        f'  {psql} -qX "host=$1/$node/s user=postgres" -o /dev/null -c "{TERMINATE}" || true\ndone\n'
        'echo "clients go to $MUSTER_NODE"\n',
        encoding="utf-8",
    )
    above = regions.servers["a"].sockets.parent.parent

    def turn() -> None:
        current.unlink(missing_ok=True)
        current.symlink_to(regions.servers["a"].sockets)

    turn()
    command = {"run": ["/bin/sh", str(script), str(above)], "within": "30s"}
    keys = {"type": "hook", "command": command, "dsn": f"host={current} user=postgres dbname=postgres"}
    yield Subject(open_route(keys, regions.nodes), kill=current.unlink, revive=turn)


CASES: Mapping[str, Case] = {
    "libpq": libpq,
    "haproxy": haproxy,
    "haproxy-checks": haproxy_checks,
    "pgbouncer": pgbouncer,
    "hook": hook,
}


def ask(dsn: str, question: str = "select current_setting('cluster_name')") -> str:
    """One text from the server that the DSN leads to: by default its name."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(question.encode()).fetchone()
    assert row is not None
    return str(row[0])


def wait_until(is_so: Callable[[], bool]) -> None:
    """Poll, generously."""
    until = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
