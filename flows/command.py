"""A flow that runs a command line: what a line of a crontab, or a systemd service, becomes on Prefect.

Promises: it claims its tick first, as `muster tick` does, in the name of the scheduler that it was copied to, and does
nothing when refused; a run whose work nobody does is no run that went well; the command's exit code decides how the run
ends; it ends with the run.
"""

import os
import subprocess

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging.loggers import get_run_logger
from prefect.states import Completed, Failed

from flows.guarding import Claiming, refusal, run_here
from muster.cutover.claimline import read_claim
from muster.guard import TICK, told
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
    """Run a command line, once for each due time; a run by hand claims none.

    Args:
        command: For /bin/sh. A leading `muster tick ... --` is left out: the flow claims by itself.
        schedule: Name that its ticks are claimed by.
        environment: Variables besides the worker's own; a `MUSTER_LEDGER` among them is where it claims.
        time_limit: Seconds after which it is ended.
        holder: The scheduler whose run this is, as claims name it; empty: as the worker's `MUSTER_HOLDER` says.
        when_away: `run` or `wait` while the ledger is away; empty: as the claim in the command says, or its variables.
    """
    asked, given = read_claim(command), {**os.environ, **(environment or {})}
    settings = Settings.from_environment(given)
    how = Claiming(
        url=settings.ledger_url,
        holder=holder or settings.holder,
        when_away=when_away or asked.when_away or settings.when_away,
        patience=float(asked.patience) if asked.patience else None,
    )
    run = run_here()
    if refused := refusal(run, schedule, how):
        return refused
    served = {_HOLDER: how.holder} if how.holder else {}
    served |= {TICK: told(run.tick)} if run.tick else {}
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", asked.work],
            env=given | served,
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
