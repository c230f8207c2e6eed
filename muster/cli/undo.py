"""`muster undo`: what dead runs left behind, and its removal."""

import json
import socket
from collections.abc import Callable, Collection
from functools import partial

from rich.console import Console
from rich.table import Table

from muster.errors import LeftBehind, UsageError
from muster.journal import History
from muster.ledger import Ledger, Run, open_ledger
from muster.ownership import is_dead
from muster.settings import Settings
from muster.verdict import ExitCode


def list_undos(settings: Settings, *, as_json: bool) -> int:
    """Print every unfinished run; exit code 5 when there is something to undo."""
    with open_ledger(settings.ledger_url) as ledger:
        runs = ledger.unfinished_runs()
        rows = [(run, History(ledger.read_events(run.run)).needs_undo()) for run in runs]
    if as_json:
        print(json.dumps([{"run": r.run, "plan": r.plan, "alive": not is_dead(r.owner), "steps": s} for r, s in rows]))
    elif not rows:
        print("Nothing is left behind.")
    else:
        table = Table("run", "its process", "steps to undo", box=None, pad_edge=False, header_style="dim")
        for run, steps in rows:
            table.add_row(run.run, _process(run), ", ".join(steps) or "none; to be judged and sealed")
        Console().print(table)
    return ExitCode.LEFT_BEHIND if any(is_dead(run.owner) for run, _ in rows) else ExitCode.PASS


def run_undos(settings: Settings, name: str | None, gone: Collection[str] = ()) -> int:
    """Finish one run, or every run whose process died; exit code 5 when something stays behind.

    `gone`: parts of that one run's target that are lost for good.
    """
    from flows.registry import conductor_of

    if gone and name is None:
        raise UsageError("--gone is said of one run's target", "name the run: `muster undo list` shows it")
    with open_ledger(settings.ledger_url) as ledger:
        conductor = conductor_of(settings, ledger)
        code = ExitCode.PASS
        wanted = [run for run in ledger.unfinished_runs() if name in (None, run.run)]
        for run in wanted:
            code = max(code, _finish(partial(conductor.finish, gone=frozenset(gone)), run, ledger))
        if not wanted:
            print("Nothing is left behind.")
        for waiting in conductor.send_waiting().waiting:
            print(f"waits for the store: {waiting.key or 'bundles'} ({waiting.why})")
    return code


def _finish(finish: Callable[[str], bool], run: Run, ledger: Ledger) -> ExitCode:
    try:
        done = finish(run.run)
    except LeftBehind as error:
        print(error)
        return ExitCode.LEFT_BEHIND
    if not done:
        print(f"{run.run}: left alone, it is {_process(run)}; what it leaves can be undone only there")
        return ExitCode.PASS
    outcome = ledger.run(run.run).outcome
    print(f"{run.run}: undone, judged and sealed as {outcome}")
    return ExitCode.PASS


def _process(run: Run) -> str:
    state = "dead" if is_dead(run.owner) else "alive" if run.owner.host == socket.gethostname() else "of that machine"
    return f"{run.owner.pid} on {run.owner.host}, {state}"
