"""A PostgreSQL server of ours: started, asked, stopped.

Promises: it listens on its own socket alone unless told otherwise, and admits whoever may enter the socket's folder
(which is ours alone); our settings win over any configuration that came with the data, `data_directory` first of
all; a server that does not start says why in its own words.
"""

import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg.pq import PGconn, Ping

from muster.errors import StepError, UsageError
from tasks import unprivileged
from tasks.postgres.binaries import Binaries
from tasks.process import Processes

StopMode = Literal["smart", "fast", "immediate"]
_SIGNALS: Mapping[StopMode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
_LONGEST_SOCKET = 107
"""Bytes of `sun_path`, unix(7), without its closing zero."""

_HBA = "local all all trust\nlocal replication all trust\n"


class Server:
    """One data directory, its socket folder (short, ours alone), and the process that serves them."""

    def __init__(
        self,
        binaries: Binaries,
        data: Path,
        sockets: Path,
        processes: Processes,
        name: str,
        port: int = 5432,
        user: str = "postgres",
    ) -> None:
        self.binaries = binaries
        self.data = data.absolute()
        self.sockets = sockets.absolute()
        self.processes = processes
        self.name = name
        self.port = port
        self.user = user
        self.network: Path | None = None
        """The network namespace it is started in; `None` is ours."""
        self._settings: dict[str, str] = {}
        self._log_start = 0
        if len(bytes(self.sockets / f".s.PGSQL.{port}")) > _LONGEST_SOCKET:
            raise UsageError(f"the socket folder {self.sockets} has too long a path", "choose a shorter MUSTER_HOME")

    def init(self, *options: str, timeout: float = 120) -> None:
        """Make a new cluster by initdb; `options` are initdb's own, such as `--data-checksums`."""
        self.data.mkdir(parents=True, exist_ok=True)
        unprivileged.hand_over(self.data)
        argv = [str(self.binaries.tool("initdb")), "-D", str(self.data), "-U", self.user, "--auth=trust", "--no-sync"]
        self.processes.run([*argv, *options], log=self.log.name, timeout=timeout, unprivileged=True)

    def configure(self, settings: Mapping[str, str]) -> None:
        """Settings for every later start; they go on the command line, out of reach of any file."""
        self._settings |= settings

    def start(self, settings: Mapping[str, str] | None = None, *, timeout: float = 60, wait: bool = True) -> None:
        """Start `postgres` itself and, unless told not to, wait until it takes connections."""
        self._prepare()
        chosen = self._ours() | self._settings | dict(settings or {}) | {"data_directory": str(self.data)}
        argv: list[str | Path] = [self.binaries.tool("postgres"), "-D", self.data, "-p", str(self.port)]
        for key, value in chosen.items():
            argv += ["-c", f"{key}={value}"]
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self.processes.start(self.name, argv, log=self.log.name, unprivileged=True, network=self.network)
        if wait:
            self.wait_ready(timeout)

    def wait_ready(self, timeout: float = 60) -> None:
        """Wait until connections are taken, which a hot standby does before its recovery target."""
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            code = self.poll()
            if code is not None:
                raise self._refused(f"did not start (exit code {code})")
            if time.monotonic() > deadline:
                raise self._refused(f"takes no connections after {timeout:g} seconds")
            time.sleep(0.02)

    def is_ready(self) -> bool:
        """Whether the server takes connections now (libpq's PQping)."""
        return PGconn.ping(self.dsn().encode()) == Ping.OK

    def poll(self) -> int | None:
        """`None` while the server runs, else its exit code; -1 when another process started it."""
        code = self.processes.exit_code(self.name)
        if code is not None:
            return code
        identity = self.processes.identity(self.name)
        return None if identity and identity.is_alive() else -1

    def stop(self, mode: StopMode = "fast", *, timeout: float = 30) -> None:
        """Make sure that the server is gone; after `timeout` seconds it is killed."""
        self.processes.stop(self.name, signals=((_SIGNALS[mode], timeout), (signal.SIGKILL, 5.0)))

    def connect(self, dbname: str = "postgres", **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection through the socket, in autocommit."""
        return psycopg.connect(self.dsn(dbname), autocommit=True, **options)

    def dsn(self, dbname: str = "postgres") -> str:
        """The address, as libpq reads it; it holds no secret."""
        return psycopg.conninfo.make_conninfo(
            host=str(self.sockets),
            port=self.port,
            user=self.user,
            dbname=dbname,
            connect_timeout=10,
            client_encoding="utf8",  # of an SQL_ASCII database psycopg would give bytes
            application_name="muster",
        )

    @property
    def log(self) -> Path:
        """Where the server talks."""
        return self.processes.logs / f"{self.name}.log"

    def log_tail(self) -> str:
        """The last kilobytes that the server said since it was started."""
        return self.processes.tail(self.log, self._log_start) if self.log.exists() else ""

    def pid(self) -> int:
        """The running server's process."""
        identity = self.processes.identity(self.name)
        if identity is None:
            raise StepError(f"{self.name} is not running", f"see {self.log}")
        return identity.pid

    def control_data(self) -> str:
        """What `pg_controldata` says of the data directory."""
        argv = (self.binaries.tool("pg_controldata"), self.data)
        return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True, env={"LC_ALL": "C"}).stdout

    def _prepare(self) -> None:
        """Settle what a copied or killed data directory may lack or hold."""
        self.sockets.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.sockets / "pg_hba.conf").write_text(_HBA, encoding="utf-8")
        (self.sockets / "postgresql.conf").touch()
        self.data.chmod(0o700)
        if self.name not in self.processes.alive():
            # A killed server's lock files may name a pid that is somebody else's by now, or a zombie's. Should a
            # backend of it still live, PostgreSQL sees its shared memory, and refuses.
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            (self.sockets / f".s.PGSQL.{self.port}.lock").unlink(missing_ok=True)
        unprivileged.hand_over(self.sockets, self.data)

    def _ours(self) -> dict[str, str]:
        """What no server of ours takes from files that came with its data."""
        ours = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",
            "hba_file": str(self.sockets / "pg_hba.conf"),
            "external_pid_file": str(self.sockets / "pid"),
            "logging_collector": "off",
            "log_destination": "stderr",
        }
        if not (self.data / "postgresql.conf").exists():  # Debian keeps it elsewhere, and out of backups
            ours["config_file"] = str(self.sockets / "postgresql.conf")
        return ours

    def _refused(self, how: str) -> StepError:
        return StepError(f"{self.name} {how}: {self.last_complaint()}", f"see {self.log}")

    def last_complaint(self) -> str:
        """The gravest of what the server said since it was started."""
        said = [line.strip() for line in self.log_tail().splitlines() if line.strip() and not line.startswith("$ ")]
        grave = [line for line in said if any(word in line for word in ("FATAL:", "PANIC:", "ERROR:"))]
        return " | ".join((grave or said)[-3:]) or "it said nothing"
