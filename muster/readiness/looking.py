"""Looking at targets: each drill's own harmless look, bounded in time, kept in the ledger.

Promises: a target that cannot be opened, hangs, or breaks its look was not seen, and never passes; one that hangs keeps
no other from its turn, and is not looked at once more while it does; nothing is looked at, or kept, that a drill is
moving at the time: what it does on purpose is no trouble.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from muster.clock import AHEAD
from muster.conduct import Conductor
from muster.errors import MusterError, Refusal
from muster.finding import Finding, unseen
from muster.ledger import Look, NewLook
from muster.ledger.standing import LastLook
from muster.plan import Plan
from muster.redaction import redacted
from muster.turns import groups_going_on

_CHECK, _EXPECTED = "look", "the target can be looked at"


@dataclass
class Looker:
    """One process's looking. It remembers the looks that hang, so one is to be kept for the life of the process."""

    by: str
    """Whose process it is: a person's name, `watch` or `health`."""
    seconds: float = 15.0
    """For one look."""
    at_once: int = 8
    round_seconds: float = 30.0
    """After this no look is begun any more; the plans that are left come first the next time."""
    _hanging: dict[str, threading.Thread] = field(default_factory=dict)

    def look_where_due(self, conductor: Conductor, plans: Sequence[Plan]) -> tuple[Look, ...]:
        """Look at the targets whose last look is as old as their plan says, the longest unseen first."""
        ledger = conductor.ledger
        return self.look(conductor, due(plans, ledger.last_looks(), ledger.now()))

    def look(self, conductor: Conductor, plans: Sequence[Plan]) -> tuple[Look, ...]:
        """Look at these targets and keep what was found; those are left out that a drill moves, or time was short for.

        Raises `LedgerError` when the ledger is away, and nothing else.
        """
        if not plans:
            return ()
        for kind in {plan.kind for plan in plans}:
            with suppress(Exception):  # told as what keeps each of its plans from being looked at
                conductor.drill_of(kind)  # its import takes seconds, and is no part of any look
        end = conductor.clock.monotonic_ns() + int(self.round_seconds * 1e9)
        going_on = groups_going_on(conductor.ledger)

        def in_turn(plan: Plan) -> Look | None:
            if plan.group in going_on or conductor.clock.monotonic_ns() >= end:
                return None
            return self._look(conductor, plan)

        with ThreadPoolExecutor(min(self.at_once, len(plans)), thread_name_prefix="look") as lanes:
            return tuple(look for look in lanes.map(in_turn, plans) if look)

    def _look(self, conductor: Conductor, plan: Plan) -> Look | None:
        began = conductor.clock.monotonic_ns()
        findings = self._within_time(plan, lambda: examine(conductor, plan))
        seconds = (conductor.clock.monotonic_ns() - began) / 1e9
        if plan.group in groups_going_on(conductor.ledger):
            return None  # a drill began meanwhile, and what was seen may be its doing
        return conductor.ledger.record_look(
            NewLook(
                plan=plan.name,
                substance=plan.substance,
                by=self.by,
                host=socket.gethostname(),
                findings=findings,
                seconds=seconds,
                every_seconds=plan.look_every.total_seconds() if plan.look_every else 0.0,
            )
        )

    def _within_time(self, plan: Plan, act: Callable[[], tuple[Finding, ...]]) -> tuple[Finding, ...]:
        """In a thread that may hang: nothing can end it, and nothing waits for it once its time is over."""
        before = self._hanging.get(plan.name)
        if before is not None and before.is_alive():
            return (_unseen("the look before still hangs", _HANGS),)
        found: list[tuple[Finding, ...]] = []
        thread = threading.Thread(target=lambda: found.append(act()), name=f"look at {plan.name}", daemon=True)
        thread.start()
        thread.join(self.seconds)
        if found:
            self._hanging.pop(plan.name, None)
            return found[0]
        self._hanging[plan.name] = thread
        return (_unseen(f"it gave no answer within {self.seconds:g} s", _HANGS),)


_HANGS = "look at the way to it: something there neither answers nor refuses"


def due(plans: Iterable[Plan], last: Mapping[str, LastLook], now: datetime) -> tuple[Plan, ...]:
    """The plans whose target is to be looked at now, those never seen first, then the longest unseen."""
    waiting = [plan for plan in plans if plan.look_every is not None and _is_due(plan, last.get(plan.name), now)]
    never = datetime.min.replace(tzinfo=now.tzinfo)
    return tuple(sorted(waiting, key=lambda plan: last[plan.name].at if plan.name in last else never))


def _is_due(plan: Plan, last: LastLook | None, now: datetime) -> bool:
    if last is None or last.substance != plan.substance or plan.look_every is None:
        return True
    return now - last.at >= plan.look_every or last.at - now > AHEAD


def examine(conductor: Conductor, plan: Plan) -> tuple[Finding, ...]:
    """What the drill's look finds. Whatever keeps it from looking is a finding too, and never a pass."""
    try:
        drill = conductor.drill_of(plan.kind)
        if drill.ready is None:
            return (_unseen(f"a {plan.kind} drill has no look", f"muster run {plan.name}"),)
        target = conductor.open_target(plan.target, conductor.settings)
        if not isinstance(target, drill.needs):
            raise Refusal(f"a target of type {plan.target['type']!r} is not {drill.needs.__name__}")
        return drill.ready(target, plan)
    except MusterError as error:
        return (_unseen(error.message, error.advice or "look at the target by hand"),)
    except Exception as error:  # the drill's and the target's own code: whatever it raises, nothing was seen
        why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        return (_unseen(why, "this is a defect in Muster: please report it"),)


def _unseen(why: str, advice: str) -> Finding:
    return unseen(_CHECK, _EXPECTED, redacted(why, os.environ), redacted(advice, os.environ))
