"""`muster status`: every plan with its last run and last pass. One query, whatever the history."""

import json
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from muster.ledger import PlanStatus, Run, glance
from muster.plan import Plan, load_plans
from muster.quantity import format_seconds
from muster.settings import Settings
from muster.verdict import ExitCode

_STYLES = {"passed": "green", "failed": "bold red", "inconclusive": "yellow", "aborted": "yellow", "refused": "yellow"}


def status(settings: Settings, *, as_json: bool) -> int:
    """Print the status of every plan, one never run as `never`."""
    plans = load_plans(settings.plans)
    known = {row.plan: row for row in glance(settings.ledger_url)}
    if as_json:
        print(json.dumps([_as_json(plan, known.get(plan.name)) for plan in plans], indent=2))
        return ExitCode.PASS
    console = Console()
    if not plans:
        console.print(f"No plans in {settings.plans}/. See docs/restore.md for how to write one.", markup=False)
        return ExitCode.PASS
    table = Table(
        "plan", "last run", "ended as", "RTO", "RPO", "last pass", box=None, pad_edge=False, header_style="dim"
    )
    for plan in plans:
        table.add_row(*_row(plan, known.get(plan.name), datetime.now(UTC)))
    console.print(table)
    return ExitCode.PASS


def _row(plan: Plan, row: PlanStatus | None, now: datetime) -> tuple[str | Text, ...]:
    last, last_pass = (row.last_run, row.last_pass) if row else (None, None)
    if last is None:
        return plan.name, "never", "", "", "", "never"
    word = last.outcome.value if last.outcome else "not finished"
    return (
        plan.name,
        _ago(last, now),
        Text(word, _STYLES.get(word, "")),
        _seconds(last.rto_seconds),
        _seconds(last.rpo_seconds),
        _ago(last_pass, now) if last_pass else "never",
    )


def _ago(run: Run, now: datetime) -> str:
    return f"{format_seconds(max(0.0, (now - run.opened_at).total_seconds()))} ago"


def _seconds(value: float | None) -> str:
    return "" if value is None else format_seconds(value)


def _as_json(plan: Plan, row: PlanStatus | None) -> dict[str, object]:
    return {
        "plan": plan.name,
        "kind": plan.kind,
        "owner": plan.owner,
        "environment": plan.environment.value,
        "last_run": row.last_run.model_dump(mode="json") if row and row.last_run else None,
        "last_pass": row.last_pass.model_dump(mode="json") if row and row.last_pass else None,
    }
