"""`muster notary`: rounds for ever, or one; it enters what was handed in and has others vouch for the log.

Promises: a store that is away, an authority that refuses, costs one round; a fork of the log ends the process, since
nothing may be signed on it any more; SIGTERM and Ctrl-C end it at once.
"""

import json
import sys
import time
from datetime import UTC, datetime

from evidence.errors import EvidenceError
from evidence.log import ForkAlarm
from flows.registry import conductor_of, store_of
from muster.cards import card_of
from muster.cli.interrupts import terminated_as_interrupted
from muster.clock import SystemClock
from muster.errors import MusterError
from muster.ledger import open_ledger
from muster.notary.desk import Desk
from muster.notary.plans import Telling, tell_plans
from muster.notary.rounds import Round, go_round
from muster.plan import load_plans
from muster.settings import Settings
from muster.verdict import ExitCode


def notary(settings: Settings, *, once: bool, every: float, as_json: bool) -> int:
    """Go round for ever; with `once`, exit with 1 when something could not be entered or vouched for, or 0."""
    with terminated_as_interrupted():
        try:
            if once:
                done = _round(settings)
                _show(done, as_json=as_json)
                return ExitCode.FAIL if done.problems else ExitCode.PASS
            while True:
                _round_come_what_may(settings)
                time.sleep(every)
        except KeyboardInterrupt:
            _say("stopped")
    return ExitCode.PASS


def _round(settings: Settings) -> Round:
    """Everything anew each round: policy, keys, keyring, head."""
    desk = Desk(settings, SystemClock())
    _tell_plans(settings)
    return go_round(desk.notary(store_of(settings)), desk.policy)


def _tell_plans(settings: Settings) -> None:
    """What runners do is in the ledger that they share: a notary apart that shares it tells the log of their plans."""
    if not settings.ledger:
        return
    try:
        with open_ledger(settings.ledger_url) as ledger:
            done = tell_plans(conductor_of(settings, ledger), list(map(card_of, load_plans(settings.plans))))
    except MusterError as error:
        done = Telling(problem=error.message)
    for words in (*(f"entered: plan {words}" for words in done.entered), *filter(None, [done.problem])):
        _say(words)


def _round_come_what_may(settings: Settings) -> None:
    try:
        done = _round(settings)
    except ForkAlarm:
        raise
    except EvidenceError as error:
        _say(f"this round failed: {error.message}")
        return
    for words in (*(f"entered {key}" for key in done.entered), *done.problems):
        _say(words)


def _show(done: Round, *, as_json: bool) -> None:
    if as_json:
        told = {"entered": done.entered, "problems": done.problems, "entries": done.size, "vouched": done.vouched}
        print(json.dumps(told, indent=2))
        return
    print(f"{len(done.entered)} entered; {done.size} entries in the log.")
    for words in (*(f"entered {key}" for key in done.entered), *done.vouched, *done.problems):
        print(f"  {words}")
    if not done.vouched:
        print("  Nobody else vouches for its times: docs/timestamps.md says how to change that.")


def _say(words: str) -> None:
    print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {words}", file=sys.stderr, flush=True)
