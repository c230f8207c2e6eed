"""A flow that runs a command line: what a line of a crontab, or a systemd service, becomes on Prefect.

Promises: it claims its tick first, as `muster tick` does, and does nothing when refused; the command's exit code
decides how the run ends; it ends with the run.
"""

import os
import subprocess
from datetime import UTC, datetime

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging.loggers import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from muster.guard import TICK, Guard
from muster.settings import Settings

_OWN = ("MUSTER_HOLDER",)
"""Of the old scheduler's environment, what would claim in its name."""


@flow(name="command", retries=0)
def command(
    command: str, schedule: str, environment: dict[str, str] | None = None, time_limit: float | None = None
) -> State:
    """Run a command line, once for each due time.

    Args:
        command: For /bin/sh. A leading `muster tick ... --` is left out: the flow claims by itself.
        schedule: Name that its ticks are claimed by.
        environment: Variables besides the worker's own.
        time_limit: Seconds after which it is ended.
    """
    settings = Settings.from_environment()
    tick = datetime.fromisoformat(str(flow_run.scheduled_start_time)).astimezone(UTC)
    with Guard(settings.ledger_url, settings.holder) as guard:
        grant = guard.claim(schedule, tick)
    if not grant:
        return Completed(name="Refused", message=grant.words)
    given = {key: value for key, value in (environment or {}).items() if key not in _OWN}
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", plain(command)],
            env={**os.environ, **given, TICK: tick.isoformat()},
            capture_output=True,
            text=True,
            timeout=time_limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Failed(message=f"it did not end within {time_limit:g} seconds")
    for line in (*done.stdout.splitlines(), *done.stderr.splitlines()):
        get_run_logger().info(line)
    return Completed() if done.returncode == 0 else Failed(message=f"exit code {done.returncode}")


def plain(command: str) -> str:
    """The command without the claim that cron made before it."""
    return command.partition(" -- ")[2] if command.startswith("muster tick ") and " -- " in command else command
