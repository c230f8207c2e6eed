"""`muster stop-all`: the kill switch, thrown and let go again."""

import json
import os

from muster.cli.actor import actor_of
from muster.errors import UsageError
from muster.ledger import Ledger, open_ledger
from muster.ledger.rows import Stop
from muster.settings import Settings
from muster.stopping import words_of
from muster.verdict import ExitCode


def stop_all(settings: Settings, reason: str, *, resume: bool, who: str, as_json: bool) -> int:
    """Stop every drill, or let drills run again. Exit code 1 when a Prefect server is known but could not be told."""
    if not reason.strip():
        raise UsageError("a stop needs a reason", "give it with `--reason`: everyone who is stopped by it reads it")
    by = actor_of(settings, who)
    with open_ledger(settings.ledger_url) as ledger:
        return (
            _resume(settings, ledger, by, reason, as_json) if resume else _stop(settings, ledger, by, reason, as_json)
        )


def _stop(settings: Settings, ledger: Ledger, by: str, reason: str, as_json: bool) -> int:
    stop = ledger.stop_all(by, reason)
    running = [run.run for run in ledger.unfinished_runs() if run.outcome is None]  # before the first has obeyed
    told = _tell_prefect(settings, stop)
    if as_json:
        said = {"stopped": stop.model_dump(mode="json"), "running": running, "prefect_told": told}
        print(json.dumps(said, indent=2))
    else:
        print(f"Stopped. {words_of(stop)}.")
        for run in running:
            print(f"  {run} stops before its next step, and is undone, judged and sealed")
        if not running:
            print("  No drill is running.")
        print("No other starts until `muster stop-all --resume --reason ...`. `muster undo list` shows what is left.")
        _warn(told, "set")
    return ExitCode.FAIL if told is False else ExitCode.PASS


def _resume(settings: Settings, ledger: Ledger, by: str, reason: str, as_json: bool) -> int:
    ended = ledger.resume_all(by, reason)
    told = _tell_prefect(settings, None)
    if as_json:
        print(json.dumps({"ended": ended, "by": by, "reason": reason, "prefect_told": told}, indent=2))
    else:
        print("Drills may run again." if ended else "Nothing was stopped: drills may run.")
        _warn(told, "cleared")
    return ExitCode.FAIL if told is False else ExitCode.PASS


def _tell_prefect(settings: Settings, stop: Stop | None) -> bool | None:
    """Whether the server was told; `None` where no server is known."""
    from tasks.estate.card import read_card

    card = read_card(settings)
    if not ((card and card.scheduler) or settings.scheduler or os.environ.get("PREFECT_API_URL")):
        return None
    from flows.remote import set_stop_variable

    if stop is None:
        return set_stop_variable(settings, None)
    return set_stop_variable(settings, stop.reason, by=stop.by, at=stop.at.isoformat())


def _warn(told: bool | None, verb: str) -> None:
    if told is False:
        print(
            f"The Prefect server does not answer: its variable was not {verb}. The ledger counts; try again for the UI."
        )
