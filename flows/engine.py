"""Drills as Prefect flows: steps show as task runs, the journal stays the record.

Promises: Prefect's state says what the journal says (a failed drill is a failed flow run with the finding as its
message); each run leaves a Markdown artifact; an exception of Prefect's own never loses an undo.
"""

from collections.abc import Callable
from pathlib import Path

from prefect import Task, runtime, task
from prefect.artifacts import create_markdown_artifact
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from pydantic import BaseModel

from flows.registry import conductor_of
from muster.conduct import Request
from muster.errors import MusterError
from muster.ledger import Trigger, open_ledger
from muster.plan import find_plan
from muster.report.markdown import render_markdown
from muster.saga import Injection
from muster.settings import Settings
from muster.summary import Summary
from muster.verdict import Outcome


class DrillDidNotPass(MusterError):
    """The drill came to an end other than `passed`; Prefect shows the message."""


def run_drill(kind: str, plan: str, reason: str, inject_error: str | None = None) -> Summary:
    """Run a plan's drill inside a flow. Raises `DrillDidNotPass` unless it passed, after it is sealed."""
    settings = Settings.from_environment()
    found = find_plan(settings.plans, plan)
    if found.kind != kind:
        raise MusterError(f"plan {plan} is of kind {found.kind!r}", f"run the deployment of a {found.kind} plan")
    with open_ledger(settings.ledger_url) as ledger:
        conductor = conductor_of(settings, ledger)
        request = Request(
            reason=reason,
            trigger=_trigger(),
            flow_run=str(runtime.flow_run.id or ""),
            injection=Injection(inject_error) if inject_error else None,
        )
        summary = conductor.conduct(found, request, execute=as_task, on_open=_say)
        bundle = conductor.bundle_of(summary.run)
    create_markdown_artifact(
        key=f"{plan}-report",
        markdown=f"{render_markdown(summary)}\n\n{_evidence(bundle)}",
        description=summary.headline,
    )
    if summary.outcome is not Outcome.PASSED:
        raise DrillDidNotPass(f"{summary.outcome}: {summary.headline}")
    return summary


def as_task(name: str, act: Callable[[], BaseModel]) -> BaseModel:
    """Run one step as a task run of its name. Prefect neither retries nor caches it: the saga decides."""
    step: Task[[], BaseModel] = task(name=name, task_run_name=name, retries=0, persist_result=False)(act)
    return step()


def _evidence(bundle: Path | None) -> str:
    """Where the sealed bundle lies, and how to verify it."""
    if bundle is None:
        return "The run is not sealed yet: `muster undo run` finishes it."
    return f"**Evidence:** [{bundle.name}]({bundle.as_uri()}), to be verified by\n\n```\nmuster verify {bundle}\n```"


def _trigger() -> Trigger:
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    return Trigger.SCHEDULE if run is not None and run.auto_scheduled else Trigger.RUN_BUTTON


def _say(run: str) -> None:
    get_run_logger().info("run %s opened; its journal is in the ledger", run)
