"""A flow that runs a command line: what a line of a crontab, or a systemd service, becomes on Prefect.

Promises: it claims its tick first, as `muster tick` does, in the name of the scheduler that it was copied to, and does
nothing when refused; a run whose work nobody does is no run that went well; the command's exit code decides how the run
ends; it ends with the run.
"""

import os
import subprocess
from datetime import UTC, datetime

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging.loggers import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from muster.cutover.claimline import read_claim
from muster.guard import TICK, Grant, Guard, WhenAway, told
from muster.ledger.claiming import DUPLICATE
from muster.settings import Settings

_HOLDER = "MUSTER_HOLDER"


@flow(name="command", retries=0)
def command(
    command: str,
    schedule: str,
    environment: dict[str, str] | None = None,
    time_limit: float | None = None,
    holder: str = "",
    when_away: str = "",
) -> State:
    """Run a command line, once for each due time.

    Args:
        command: For /bin/sh. A leading `muster tick ... --` is left out: the flow claims by itself.
        schedule: Name that its ticks are claimed by.
        environment: Variables besides the worker's own; a `MUSTER_LEDGER` among them is where it claims.
        time_limit: Seconds after which it is ended.
        holder: The scheduler whose run this is, as claims name it; empty: as the worker's `MUSTER_HOLDER` says.
        when_away: `run` or `wait` while the ledger is away; empty: as the claim in the command says, else `wait`.
    """
    asked, given = read_claim(command), {**os.environ, **(environment or {})}
    settings = Settings.from_environment(given)
    tick = datetime.fromisoformat(str(flow_run.scheduled_start_time)).astimezone(UTC)
    own, policy = holder or settings.holder, WhenAway(when_away or asked.when_away or WhenAway.WAIT)
    with Guard(settings.ledger_url, own, policy, patience=float(asked.patience) if asked.patience else None) as guard:
        grant = guard.claim(schedule, tick)
    if not grant:
        return _refused(grant, own)
    given |= {**({_HOLDER: own} if own else {}), TICK: told(tick)}
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", asked.work],
            env=given,
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


def _refused(grant: Grant, holder: str) -> State:
    """A duplicate is somebody else's to do, and is done. What is fenced or not decided is done by nobody here."""
    if grant.why == DUPLICATE:
        return Completed(name="Refused", message=grant.words)
    return Failed(name="Refused", message=f"{grant.words}; it claimed as {holder or 'nobody'}")
