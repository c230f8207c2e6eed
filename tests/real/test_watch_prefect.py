"""A real Prefect server killed: the watch says so, and goes on telling what is overdue."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tasks.estate.loopback import HOST, free_ports
from tests.real.receivers import wait_until
from tests.real.test_watch import Sentry, sentry  # noqa: F401 - a fixture

PREFECT = Path(sys.executable).parent / "prefect"


def test_when_prefect_itself_is_dead_the_overdue_alarm_still_comes(sentry: Sentry) -> None:  # noqa: F811
    (port,) = free_ports(sentry.root / "ports", "watch", 1)
    api = f"http://{HOST}:{port}/api"
    sentry.drill("first")
    env = {**os.environ, "PREFECT_HOME": str(sentry.root / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    with (sentry.root / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [PREFECT, "server", "start", "--host", HOST, "--port", str(port), "--no-services"],
            env=env, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            wait_until(lambda: _is_healthy(api), "the server")
            with sentry.watching(MUSTER_SCHEDULER=api):
                wait_until(lambda: sentry.pings() >= 2, "the first rounds")
                assert sentry.ops.heard == []
                os.killpg(server.pid, signal.SIGKILL)
                sentry.age()
                wait_until(lambda: sentry.heard("the scheduler is down"), "the alarm that the scheduler is down")
                wait_until(lambda: sentry.heard("restore-shop is overdue"), "the alarm that a drill is overdue")
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)
            server.wait(30)


def _is_healthy(api: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
