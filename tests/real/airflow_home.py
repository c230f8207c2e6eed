"""A real Airflow 3 on loopback: API server, scheduler and DAG processor over SQLite, below one folder.

Promises: what was started is ended by its record; the DAGs are paused when they come; its account is `muster`.
"""

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from muster.errors import StepError
from tasks.estate.loopback import HOST, answers_http, free_ports, wait_until_ours
from tasks.process import AT_ONCE, Processes

PASSWORD_ENV = "AIRFLOW_TEST_PASSWORD"
_PARTS = ("scheduler", "dag-processor")
_PATIENCE = 180.0
_SETTINGS = {
    "CORE__LOAD_EXAMPLES": "False",
    "CORE__EXECUTOR": "LocalExecutor",
    "CORE__PARALLELISM": "4",
    "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
    "CORE__SIMPLE_AUTH_MANAGER_USERS": "muster:admin",
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
    "DAG_PROCESSOR__PARSING_PROCESSES": "1",
    "LOGGING__LOGGING_LEVEL": "WARNING",
    "API__WORKERS": "1",
    "API__HOST": HOST,
}


class AirflowHome:
    """One Airflow, below a folder."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.folder, self._binaries = folder.absolute(), binaries.absolute()
        self.password = secrets.token_hex(12)
        self._port, self._log_port = free_ports(self.folder, "airflow", 2)
        self.url = f"http://{HOST}:{self._port}"
        self.processes = Processes(self.folder / "records", self.folder / "logs", [self.password])
        self.since = datetime.now(UTC).replace(second=0, microsecond=0)

    def start(self) -> None:
        """Everything runs, and every DAG was read."""
        dags = self.folder / "dags"
        dags.mkdir(parents=True)
        shutil.copy(Path(__file__).with_name("airflow_dags.py"), dags / "deployed.py")
        (self.folder / "passwords.json").write_text(json.dumps({"muster": self.password}))
        self.processes.run([self._binaries / "airflow", "db", "migrate"], log="migrate", timeout=300, env=self._env())
        self._begin("api-server")
        wait_until_ours(
            self.processes, "api-server", self._port, lambda: answers_http(f"{self.url}/api/v2/version"), timeout=240
        )
        for part in _PARTS:
            self._begin(part)
        wait(lambda: len(self.ask("GET", "dags")["dags"]) >= 16, "every DAG to be read")

    def stop(self) -> None:
        """Nothing of it is left running."""
        self.processes.stop_all(signals=AT_ONCE)

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """What the API says, as the account of the tests."""
        return self.answer(method, path, **more).json()

    def answer(self, method: str, path: str, **more: Any) -> httpx.Response:
        """The same, with status and head."""
        who = {"username": "muster", "password": self.password}
        token = httpx.post(f"{self.url}/auth/token", json=who, timeout=30).json()["access_token"]
        head = {"Authorization": f"Bearer {token}"}
        return httpx.request(method, f"{self.url}/api/v2/{path}", headers=head, timeout=60, **more)

    def _begin(self, part: str) -> None:
        more = ("--port", str(self._port)) if part == "api-server" else ()
        self.processes.start(part, [self._binaries / "airflow", part, *more], log=part, env=self._env())

    def _env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "MUSTER_"))}
        own = {
            **_SETTINGS,
            "CORE__DAGS_FOLDER": str(self.folder / "dags"),
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.folder / "passwords.json"),
            "LOGGING__WORKER_LOG_SERVER_PORT": str(self._log_port),
            "API__BASE_URL": self.url,
            "API__SECRET_KEY": self.password,
            "API_AUTH__JWT_SECRET": self.password * 4,
        }
        return {
            **kept,
            **{f"AIRFLOW__{name}": value for name, value in own.items()},
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW_DAGS_SINCE": self.since.isoformat(),
            "PATH": f"{self._binaries}:{os.environ['PATH']}",
        }


def wait(holds: Callable[[], bool], what: str, patience: float = _PATIENCE) -> None:
    """Until it holds."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            raise StepError(f"waited {patience:g} s for {what}", "see the logs")
        time.sleep(0.5)
