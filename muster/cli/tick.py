"""`muster tick`: claim a tick for a job in any language, and start the job if it may work."""

import json
import os
import shutil
import sys
from typing import NamedTuple

from muster.errors import UsageError
from muster.guard import AWAY, TICK, Grant, Guard, WhenAway, moment_of_text, told
from muster.settings import Settings
from muster.verdict import ExitCode


class Options(NamedTuple):
    """What the command line asks for."""

    schedule: str
    at: str
    holder: str
    epoch: int | None
    when_away: str
    """Empty: as the settings say, else `wait`."""
    patience: float | None
    command: tuple[str, ...]
    as_json: bool


def tick(settings: Settings, options: Options) -> int:
    """Claim the tick; 0 when granted, 4 when refused, 70 when the ledger stayed away. With a command: become it."""
    program = _program(options.command)
    holder = options.holder or settings.holder
    at = moment_of_text(options.at or os.environ.get(TICK, "") or _unsaid())
    when_away = WhenAway(options.when_away or settings.when_away or WhenAway.WAIT)
    with Guard(settings.ledger_url, holder, when_away, patience=options.patience) as guard:
        grant = guard.claim(options.schedule, at, epoch=options.epoch)
    if options.as_json:
        asked = {"schedule": options.schedule, "tick": told(at), "holder": holder}
        answer = {"granted": grant.granted, "why": grant.why, "answered_at": grant.at and told(grant.at)}
        print(json.dumps(asked | answer), flush=True)
    if not grant:
        return _refused(options.schedule, told(at), grant)
    if program:
        os.execve(program, options.command, os.environ | {TICK: told(at)})  # noqa: S606 - signals and exit code are its own
    return ExitCode.PASS


def _program(command: tuple[str, ...]) -> str:
    """Looked for before the claim: a tick claimed for a command that is not there would be lost."""
    found = shutil.which(command[0]) if command else ""
    if found is None:
        raise UsageError(f"the command {command[0]!r} is not found", "nothing was claimed; give its path")
    return found


def _unsaid() -> str:
    raise UsageError(
        "nobody said which tick this is", f"pass `--at`, or set {TICK} to a time such as 2026-03-01T04:05Z"
    )


def _refused(schedule: str, at: str, grant: Grant) -> int:
    if grant.why == AWAY:  # the guard has said so
        return ExitCode.INTERNAL
    print(f"muster: the tick of {schedule} at {at} is refused: {grant.words} ({grant.why})", file=sys.stderr)
    return ExitCode.REFUSED
