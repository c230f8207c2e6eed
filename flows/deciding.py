"""Approval in the flow: the run pauses with a form in the UI, and `muster approve` is heard as well.

Promises: the decision on record in the ledger is the one that counts, whichever way it came; an answer that may not
count (the starter's own, or one by someone the plan does not name) is told and asked again; nobody's answer within
the plan's time is a refusal; the kill switch, in the ledger or in Prefect, ends the waiting within seconds.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated
from uuid import UUID

from prefect import pause_flow_run
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.input import RunInput
from prefect.logging import get_run_logger
from pydantic import Field

from muster.approval import check_approver, nobody
from muster.errors import Refusal, StepError, UsageError
from muster.ledger import Ledger
from muster.ledger.rows import Decision
from muster.plan import Approval, Plan
from muster.report.markdown import escaped
from muster.stopping import words_of

_POLL_SECONDS = 1
_SLACK_SECONDS = 300
"""Prefect's own time-out comes that much after ours: a pause that it ends can end in no state but its own."""
_MOST_ANSWERS = 10


class Answer(RunInput):
    """What the approver fills in."""

    approver: Annotated[str, Field(max_length=200, title="Your name")]
    approve: Annotated[bool, Field(title="Let the drill run")] = True
    note: Annotated[str, Field(max_length=1000, title="Note for the evidence")] = ""


def waiting_in_flow(ledger: Ledger, requested_by: str, why_stop: Callable[[], str]) -> Callable[[str, Plan], Decision]:
    """How the conductor waits for approval inside a flow run."""

    def wait(run: str, plan: Plan) -> Decision:
        approval = plan.approval or Approval()
        deadline = time.monotonic() + approval.within.total_seconds()
        refused = ""

        def thrown() -> str:
            stop = ledger.current_stop()
            return words_of(stop) if stop else why_stop()

        for _ in range(_MOST_ANSWERS):
            answer = _ask(ledger, run, plan, refused, deadline, thrown)
            if decision := ledger.decision(run):
                return decision
            if reason := thrown():
                raise StepError(f"stopped while waiting for approval: {reason}", "resume when it is safe")
            if time.monotonic() >= deadline:
                raise nobody(approval)
            try:
                check_approver(plan, requested_by, answer.approver)
            except (Refusal, UsageError) as error:
                refused = error.message
                get_run_logger().warning("the answer of %r does not count: %s", answer.approver, error.message)
                continue
            return ledger.record_decision(
                run, approved=answer.approve, by=answer.approver.strip(), note=answer.note.strip()
            )
        raise Refusal(f"{_MOST_ANSWERS} answers that do not count; the last: {refused}", "let someone else approve it")

    return wait


def _ask(ledger: Ledger, run: str, plan: Plan, refused: str, deadline: float, why_stop: Callable[[], str]) -> Answer:
    """Pause until someone answers the form, or the ledger has the decision, or the time is up."""
    opened = ledger.run(run)
    asked = f"{escaped(opened.requested_by or opened.trigger.value)} asks for it: {escaped(opened.reason)}"
    words = (
        f"**{plan.name}** ({plan.environment.value}) waits for approval of run `{run}`. {asked}\n\n{plan.description}"
    )
    if refused:
        words = f"**That answer does not count: {refused}.**\n\n{words}"
    seconds = max(1, math.ceil(deadline - time.monotonic()))
    with _resumed_when(lambda: bool(ledger.decision(run) or why_stop()) or time.monotonic() >= deadline):
        return pause_flow_run(
            Answer.with_initial_data(description=words), timeout=seconds + _SLACK_SECONDS, poll_interval=_POLL_SECONDS
        )


@contextmanager
def _resumed_when(is_over: Callable[[], bool]) -> Iterator[None]:
    """Resume the paused flow run from beside it, once the waiting is over for another reason than the form."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("approval in a flow needs a flow run")
    done = threading.Event()
    thread = threading.Thread(target=_resume, args=(context.flow_run.id, is_over, done), name="approval", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=10)


def _resume(flow_run: UUID, is_over: Callable[[], bool], done: threading.Event) -> None:
    while not done.wait(_POLL_SECONDS):
        with suppress(Exception):  # a ledger or server that is away is asked again
            if is_over():
                with get_client(sync_client=True) as client:
                    client.resume_flow_run(flow_run, run_input={"approver": "", "approve": False, "note": ""})
