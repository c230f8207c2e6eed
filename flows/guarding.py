"""The guard of a Prefect flow: it claims the due time of its run before it works. It stands below `@flow`:

    @flow
    @guarded_run()
    def orders(): ...

Promises: the tick is the run's own, however late it begins; a run by hand serves no tick, and claims none; a run that
is tried again works under the claim that it made before; one that may not work, and whose work nobody is known to do,
ends as failed, not as done.
"""

import asyncio
import functools
import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.runtime import deployment, flow_run
from prefect.states import Completed, Failed

from muster.errors import UsageError
from muster.guard import Guard, WhenAway
from muster.ledger.claiming import DUPLICATE
from muster.settings import Settings
from tasks.schedulers.prefect_forms import ALONE, CAUGHT_UP

Job = TypeVar("Job", bound=Callable[..., Any])


class Run(NamedTuple):
    """The run that is at work here."""

    id: str
    tick: datetime | None
    """Which due time it serves; `None` for a run by hand."""
    is_alone: bool = False
    """Whether flow and deployment have one name, that of a job from elsewhere."""


class Claiming(NamedTuple):
    """How a run claims. What is empty here the worker's environment says (`MUSTER_LEDGER` and its like)."""

    url: str = ""
    holder: str = ""
    when_away: str = ""
    patience: float | None = None


def run_here() -> Run:
    """The run of this process, by Prefect's own context."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.expected_start_time is None:
        raise UsageError("this is no run of a Prefect flow", "put `@guarded_run()` below `@flow`, and call the flow")
    is_due = run.auto_scheduled or (run.idempotency_key or "").startswith(CAUGHT_UP)
    tick = datetime.fromisoformat(str(run.expected_start_time)).astimezone(UTC) if is_due else None
    return Run(str(run.id), tick, ALONE in run.tags)


def job_of(run: Run) -> str:
    """Its deployment, as Muster names jobs; empty where it has none. Prefect is asked for it."""
    flow, name = flow_run.flow_name or "", deployment.name or ""
    if not name:
        return ""
    return flow if run.is_alone and flow == name else f"{flow}/{name}"


def refusal(run: Run, schedule: str, how: Claiming) -> State[Any] | None:
    """Claim the run's tick: `None` where it may work, else the state that it ends in.

    A duplicate is somebody else's to do, and is done. What is fenced or not decided nobody here does.
    """
    if run.tick is None:
        return None
    settings = Settings.from_environment()
    holder, by = how.holder or settings.holder, f"prefect run {run.id}"
    url = how.url or settings.ledger_url
    away = WhenAway(how.when_away or settings.when_away or WhenAway.WAIT)
    with Guard(url, holder, away, patience=how.patience, by=by, is_one_run=True) as guard:
        grant = guard.claim(schedule, run.tick)
    if grant:
        return None
    if grant.why == DUPLICATE:
        return Completed(name="Refused", message=grant.words)
    return Failed(name="Refused", message=f"{grant.words}; it claimed as {holder or 'nobody'}")


def guarded_run(
    schedule: str = "", *, holder: str = "", url: str = "", when_away: WhenAway | None = None,
    patience: float | None = None,
) -> Callable[[Job], Job]:  # fmt: skip
    """Let a flow work only on a run whose tick it claimed. For functions, async ones too.

    The ticks are those of `schedule`, else of what the run's parameter `schedule` says, else of the deployment.
    """
    how = Claiming(url, holder, when_away or "", patience)

    def decorate(job: Job) -> Job:
        parameters = inspect.signature(job)

        def refused(args: Any, kwargs: Any) -> State[Any] | None:
            run, given = run_here(), parameters.bind_partial(*args, **kwargs)
            given.apply_defaults()
            name = schedule or str(given.arguments.get("schedule") or "") or job_of(run)
            if not name:
                raise UsageError("nobody said which schedule this run is of", "name it: `@guarded_run('orders')`")
            return refusal(run, name, how)

        if inspect.iscoroutinefunction(job):

            @functools.wraps(job)
            async def later(*args: Any, **kwargs: Any) -> Any:
                return await asyncio.to_thread(refused, args, kwargs) or await job(*args, **kwargs)

            return later  # type: ignore[return-value]

        @functools.wraps(job)
        def now(*args: Any, **kwargs: Any) -> Any:
            return refused(args, kwargs) or job(*args, **kwargs)

        return now  # type: ignore[return-value]

    return decorate
