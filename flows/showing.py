"""What the Prefect UI shows of a drill: its end state, report, checks, evidence, progress, lineage and events.

Promises: the state says what the journal says; nothing that Prefect does or fails to do here changes a run.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.assets import Asset, AssetProperties, materialize
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Cancelled, Completed, Failed

from muster.plan import Plan
from muster.report.markdown import render_markdown
from muster.summary import Summary
from muster.verdict import Outcome

_ENDS: dict[Outcome, Callable[..., State]] = {
    Outcome.PASSED: Completed,
    Outcome.FAILED: Failed,
    Outcome.INCONCLUSIVE: Failed,
    Outcome.ABORTED: Failed,
    Outcome.REFUSED: Failed,
    Outcome.MISSED: Failed,
    # Nothing was completed, and nothing is wrong: the plan itself said that this slot is not to run.
    Outcome.WAIVED: Cancelled,
}


def end_state(outcome: Outcome, words: str) -> State:
    """The final state of the flow run: named as the outcome, with the finding as its message."""
    return _ENDS[outcome](name=outcome.value.capitalize(), message=words)


def duplicate(holder: str) -> State:
    """The final state of a flow run whose slot another run has."""
    return Cancelled(name="Duplicate", message=f"its slot is taken: run {holder} has it, so nothing was done twice")


@contextmanager
def briefly() -> Iterator[None]:
    """Ask Prefect's server twice, seconds apart. Its own habit is a minute of retries a call, which a drill would last
    longer, and its measured RTO with it."""
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 1}):
        yield


@contextmanager
def unharmed(what: str) -> Iterator[None]:
    """Let nothing that goes wrong while Prefect is told spoil the run; the log says what was not shown."""
    try:
        with briefly():
            yield
    except Exception as error:  # Prefect, its HTTP client and the network each have errors of their own
        get_run_logger().warning("%s could not be shown: %s: %s", what, type(error).__name__, error)


class Progress:
    """A progress bar over the drill's steps."""

    def __init__(self, plan: str, steps: int) -> None:
        self._steps, self._done = steps, 0
        self._bar: Any = None  # Prefect types it as what the asynchronous form returns, too
        with unharmed("the progress"):
            self._bar = create_progress_artifact(0.0, key=f"{plan}-progress", description=f"0 of {steps} steps")

    def step_ended(self, name: str) -> None:
        """Another step succeeded."""
        self._done += 1
        if self._bar is not None:
            words = f"{self._done} of {self._steps} steps, the last was {name}"
            with unharmed("the progress"):
                update_progress_artifact(self._bar, 100.0 * self._done / self._steps, words)


def show(summary: Summary, plan: Plan, bundle: Path | None, store: str) -> None:
    """The artifacts of an ended run, and the lineage from its backup to its evidence."""
    with unharmed("the report"):
        create_markdown_artifact(
            key=f"{plan.name}-report",
            markdown=f"{render_markdown(summary)}\n\n{_evidence(bundle)}",
            description=summary.headline,
        )
        create_table_artifact(_checks(summary), key=f"{plan.name}-checks", description=summary.headline)
    if bundle:
        with unharmed("the evidence"):
            link = _link(bundle, store)
            create_link_artifact(link, bundle.name, key=f"{plan.name}-evidence", description="The sealed bundle.")
            _show_lineage(summary, plan, bundle, link)


def tell(plan: Plan, event: str, words: str, **payload: Any) -> None:
    """Emit `muster.EVENT` about the plan, for automations and webhooks."""
    with unharmed("an event"):
        emit_event(
            f"muster.{event}",
            resource={
                "prefect.resource.id": f"muster.plan.{plan.name}",
                "prefect.resource.name": plan.name,
                "muster.kind": plan.kind,
                "muster.environment": plan.environment.value,
                "muster.owner": plan.owner,
            },
            payload={"message": words, **payload},
        )


def _checks(summary: Summary) -> list[dict[str, str]]:
    keys = ("verdict", "check", "expected", "seen", "advice")
    return [{key: str(getattr(finding, key)) for key in keys} for finding in summary.findings]


def _evidence(bundle: Path | None) -> str:
    """Where the sealed bundle lies, and how to verify it."""
    if bundle is None:
        return "The run is not sealed yet: `muster undo run` finishes it."
    return f"**Evidence:** [{bundle.name}]({bundle.as_uri()}), to be verified by\n\n```\nmuster verify {bundle}\n```"


def _link(bundle: Path, store: str) -> str:
    """A link that a browser can open: the object in the AWS console, or the local copy."""
    if not store.startswith("s3://"):
        return bundle.as_uri()
    bucket, _, prefix = store.removeprefix("s3://").partition("/")
    key = "/".join(part for part in (prefix.strip("/"), bundle.parent.name, bundle.name) if part)
    return f"https://s3.console.aws.amazon.com/s3/object/{bucket}?prefix={key}"


def _show_lineage(summary: Summary, plan: Plan, bundle: Path, link: str) -> None:
    """A task that materialises the evidence from the backup: Prefect sends the lineage as events."""
    backup = dict(summary.facts).get("backup", "").partition(",")[0]
    source = Asset(
        key=f"backup://{plan.name}/{backup or 'none'}",
        properties=AssetProperties(name=f"backup {backup}" if backup else "no backup", owners=[plan.owner]),
    )
    evidence = Asset(
        key=f"evidence://{plan.name}/{bundle.name}",
        properties=AssetProperties(name=bundle.name, url=link, description=summary.headline, owners=[plan.owner]),
    )

    @materialize(evidence, by="muster", name="evidence", task_run_name="evidence", asset_deps=[source], retries=0)
    def seal() -> None:
        """Nothing is done here: the conductor has sealed the bundle already."""

    seal()
