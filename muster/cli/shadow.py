"""`muster run PLAN --shadow-only`: what a cutover would do to which due times, without touching anything.

Promises: both schedulers are only read; nothing is on record, so no plan gets fresher by it; the exit code says whether
the cutover could begin.
"""

import json
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from muster.errors import UsageError
from muster.plan import Plan
from muster.report.wording import moment
from muster.settings import Settings
from muster.verdict import ExitCode

if TYPE_CHECKING:
    from tasks.handover.shadowing import Foreseen

_SHOWN = 20


def shadow_only(settings: Settings, plan: Plan, *, as_json: bool) -> int:
    """Read both, translate, compare; 0 when every schedule would be carried, every due time be the same, and nothing
    else be refused.
    """
    if plan.kind != "cutover":
        raise UsageError(f"plan {plan.name} is of kind {plan.kind!r}", "--shadow-only is for cutovers")
    from flows.registry import open_target
    from muster.ledger import open_ledger
    from tasks.handover.shadowing import foresee

    target = open_target(plan.target, settings)
    with open_ledger(target.claims()) as ledger:
        seen = foresee(target, plan, ledger)
    if as_json:
        print(json.dumps(seen.model_dump(mode="json"), indent=2))
    else:
        _tell(seen, Console())
    return ExitCode.PASS if seen.is_fit else ExitCode.FAIL


def _tell(seen: "Foreseen", console: Console) -> None:
    console.print(f"{seen.old} -> {seen.new}", highlight=False)
    table = Table("schedule", "rule", "next", "there", box=None, pad_edge=False, header_style="dim")
    for row in seen.schedules[:_SHOWN]:
        told = Text(row.untold, "yellow") if row.untold else Text("the same", "green")
        table.add_row(row.name, row.rule, moment(row.next) if row.next else "", told)
    console.print(table)
    if len(seen.schedules) > _SHOWN:
        console.print(f"and {len(seen.schedules) - _SHOWN} more: --json shows all", style="dim")
    shadow = seen.shadow
    for line in shadow.differences:
        console.print(Text(f"differs: {line}", "red"))
    for line in seen.refused:
        console.print(Text(f"would be refused: {line}", "red"))
    console.print(
        f"{shadow.ticks:,} due times until {shadow.until:%Y-%m-%d} compared: {shadow.different + shadow.told_different}"
        f" differ. Nothing was touched, and nothing is on record.",
        highlight=False,
    )
