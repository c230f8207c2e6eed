"""`muster account`: account for every slot up to now, and start those that should have been."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from muster.cards import card_of
from muster.errors import MusterError
from muster.ledger import Ledger, open_ledger
from muster.notary.plans import tell_plans
from muster.plan import Plan, load_plans
from muster.report.wording import moment
from muster.settings import Settings
from muster.slots import Accounted, account_slots
from muster.verdict import ExitCode

_MOST_ROUNDS = 20


class _Start(NamedTuple):
    """One slot that should have been started by now."""

    plan: str
    tick: datetime
    said: str


def account(settings: Settings, *, start: bool, as_json: bool) -> int:
    """Record what was missed or waived; exit code 1 when something could not be accounted for."""
    from flows.registry import conductor_of

    plans = load_plans(settings.plans)
    with open_ledger(settings.ledger_url) as ledger:
        conductor = conductor_of(settings, ledger)
        finished = conductor.finish_dead_runs()
        rounds = [account_slots(conductor, plans)]
        while rounds[-1].more and len(rounds) < _MOST_ROUNDS:
            rounds.append(account_slots(conductor, plans))
        done = _together(rounds)
        telling = tell_plans(conductor, list(map(card_of, plans)))
        starts = tuple(_started(settings, plans, name, due, start) for name, due in done.startable)
        if as_json:
            print(json.dumps(_as_data(done, finished, starts), indent=2))
        else:
            _print(ledger, done, finished, starts)
    if telling.problem:
        print(f"plans are told to the log by a later round: {telling.problem}", file=sys.stderr)
    return ExitCode.FAIL if done.problems else ExitCode.PASS


def _together(rounds: Sequence[Accounted]) -> Accounted:
    """Several rounds as one: what was done adds up, what is left is what the last one left."""
    return rounds[-1]._replace(
        enrolled=tuple(name for done in rounds for name in done.enrolled),
        retired=tuple(name for done in rounds for name in done.retired),
        missed=tuple(run for done in rounds for run in done.missed),
        waived=tuple(run for done in rounds for run in done.waived),
    )


def _started(settings: Settings, plans: Sequence[Plan], name: str, due: datetime, start: bool) -> _Start:
    if not start:
        return _Start(name, due, "not started; `muster account --start` starts it")
    from flows.remote import start_slot

    try:
        flow_run = start_slot(settings, next(plan for plan in plans if plan.name == name), due)
    except MusterError as error:
        return _Start(name, due, f"could not be started: {error.message}")
    return _Start(name, due, f"started as flow run {flow_run}")


def _as_data(done: Accounted, finished: Sequence[str], starts: Sequence[_Start]) -> dict[str, object]:
    told = {name: list(getattr(done, name)) for name in ("enrolled", "retired", "missed", "waived", "problems")}
    slots = [{"plan": s.plan, "slot": s.tick.isoformat(), "said": s.said} for s in starts]
    return {"finished": list(finished), **told, "startable": slots, "more": done.more}


def _print(ledger: Ledger, done: Accounted, finished: Sequence[str], starts: Sequence[_Start]) -> None:
    table = Table("plan", "slot", "what", box=None, pad_edge=False, header_style="dim")
    for run in map(ledger.run, (*done.missed, *done.waived)):
        table.add_row(run.plan, moment(run.scheduled_at), run.reason)
    for late in starts:
        table.add_row(late.plan, moment(late.tick), late.said)
    for words, names in (
        ("enrolled: its slots count from now", done.enrolled),
        ("retired: its file is gone", done.retired),
    ):
        for name in names:
            table.add_row(name, "", words)
    for run in map(ledger.run, finished):
        table.add_row(
            run.plan, moment(run.scheduled_at), f"its process had died; undone, judged, sealed: {run.outcome}"
        )
    if table.rows:
        Console().print(table)
    elif not done.problems:
        print("Every slot up to now has its record.")
    for problem in done.problems:
        print(f"not accounted for: {problem}")
    if done.more:
        print("There is more: run `muster account` again.")
