"""The drill's handle on the client, a process of its own that outlives the drill's: it is found again by its record."""

import os
import signal
import sys
import time

from muster.errors import StepError
from muster.failover.record import Kind
from tasks.client.config import ClientConfig
from tasks.client.tail import Tail
from tasks.process import Processes

_SECRETS = ("PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE", "PGSSLMODE", "PGSSLCERT", "PGSSLKEY", "PGSSLROOTCERT")
"""What libpq takes from the environment to be let in; nothing that says where to connect."""
_PATIENCE = 20.0


class Client:
    """The client of one rehearsal; another object with the same arguments handles the same process."""

    NAME = "client"

    def __init__(self, processes: Processes, config: ClientConfig) -> None:
        self._processes = processes
        self._config = config

    def start(self, patience: float = _PATIENCE) -> int:
        """Start it; returns its pid once a write is acknowledged. A `StepError` if none is within `patience` seconds.

        One that runs is left running. One that has ended is not started again: its ids are spent.
        """
        if not self.is_alive():
            self._spawn()
        deadline = time.monotonic() + patience
        while not self._is_acknowledged():
            if not self.is_alive():
                raise self._failed("the client ended at once")
            if time.monotonic() > deadline:
                why = self._failed(f"no write of the client was acknowledged within {patience:g} seconds")
                self.stop(timeout=self._config.timeout_seconds + 5)
                raise why
            time.sleep(0.01)
        identity = self._processes.identity(self.NAME)
        if identity is None:
            raise self._failed("the client ended at once")
        return identity.pid

    def stop(self, timeout: float) -> None:
        """Make sure that it is gone: it has `timeout` seconds to end its calls and its files, then it is killed."""
        self._processes.stop(self.NAME, signals=((signal.SIGTERM, timeout), (signal.SIGKILL, 5.0)))

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.NAME in self._processes.alive()

    def _spawn(self) -> None:
        folder = self._config.folder
        if any(folder.glob("*.log")):
            raise StepError(f"{folder} holds the history of a client that has ended", "run the drill anew")
        folder.mkdir(parents=True, exist_ok=True)
        told = folder / "client.json"
        told.write_text(self._config.model_dump_json(indent=1) + "\n", encoding="utf-8")
        self._processes.stop(self.NAME)  # the record of one that died before it wrote anything
        argv = [sys.executable, "-m", "tasks.client", str(told)]
        env = {name: os.environ[name] for name in _SECRETS if name in os.environ}
        self._processes.start(self.NAME, argv, log=f"{self.NAME}.log", env=env)

    def _is_acknowledged(self) -> bool:
        return Tail(self._config.folder).has(Kind.OK)

    def _failed(self, what: str) -> StepError:
        sessions = Tail(self._config.folder).sessions()
        error = next((each.error for each in reversed(sessions) if each.error), "")
        log = self._processes.logs / f"{self.NAME}.log"
        said = [line for line in self._processes.tail(log).splitlines() if line.strip() and not line.startswith("$ ")]
        why = self._processes.redact(error) or " | ".join(said[-2:]) or "nothing was said"
        return StepError(f"{what}: {why}", f"see whether the plan's route leads to a server that takes writes; {log}")
