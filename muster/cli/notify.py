"""`muster notify test`: a test message through each route, and what became of it."""

import json
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from muster.errors import UsageError
from muster.notify.message import trial
from muster.notify.routes import FILE, Route, check_plan_routes, load_routes
from muster.notify.send import Notifier, Receipt
from muster.plan import load_plans
from muster.quantity import format_seconds
from muster.settings import Settings
from muster.verdict import ExitCode


def notify_test(settings: Settings, name: str | None = None, *, as_json: bool = False) -> int:
    """Try one route or all; exit code 1 when one refuses, 64 when there is none, or a plan names one there is not."""
    routes = load_routes(settings.plans)
    now = datetime.now(UTC)
    chosen = _chosen(settings, name, routes.all)
    receipts = Notifier(routes).deliver({route.name: [trial(route.name, now)] for route in chosen})
    _show(receipts, as_json=as_json)
    if faults := check_plan_routes(load_plans(settings.plans), routes):
        raise UsageError("; ".join(faults), f"mend the plan's 'notifications', or add the route to {FILE}")
    return ExitCode.PASS if all(receipt.took for receipt in receipts) else ExitCode.FAIL


def _chosen(settings: Settings, name: str | None, routes: tuple[Route, ...]) -> tuple[Route, ...]:
    if not routes:
        raise UsageError(
            f"there are no routes in {settings.plans / FILE}",
            "add one: docs/notifications.md shows how; nobody is told now",
        )
    chosen = tuple(route for route in routes if name in (None, route.name))
    if not chosen:
        names = ", ".join(route.name for route in routes)
        raise UsageError(f"there is no route {name!r} in {settings.plans / FILE}", f"name one of: {names}")
    return chosen


def _show(receipts: tuple[Receipt, ...], *, as_json: bool) -> None:
    if as_json:
        told = [{"route": r.route, "took": r.took, "why": r.why, "seconds": round(r.seconds, 3)} for r in receipts]
        print(json.dumps(told, indent=2))
        return
    table = Table("", "route", "it took", "why not", box=None, pad_edge=False, header_style="dim")
    for receipt in receipts:
        sign = Text("✓ took it", "green") if receipt.took else Text("✗ refused", "bold red")
        table.add_row(sign, receipt.route, format_seconds(receipt.seconds), Text(receipt.why, overflow="fold"))
    Console().print(table)
