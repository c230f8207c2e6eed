"""`muster ready`: look at targets now, without drilling them: would each take its drill, or the real thing?

Promises: it harms nothing and proves nothing; what it found is kept, as what the watch finds is; a target that could
not be seen never passes.
"""

import json
from collections.abc import Sequence

from rich.console import Console

from flows.registry import conductor_of
from muster.cards import card_of
from muster.cli.actor import actor_of
from muster.errors import UsageError
from muster.ledger import Ledger, Look, open_ledger
from muster.plan import Plan, find_plan, load_plans
from muster.readiness.looking import Looker
from muster.readiness.states import Readiness, Ready, ready_of
from muster.report.readyterminal import Looked, render_looks
from muster.settings import Settings
from muster.verdict import ExitCode

SCHEMA = "muster.ready/1"
_CODES = {Readiness.READY: ExitCode.PASS, Readiness.NOT_READY: ExitCode.FAIL, Readiness.NOT_SEEN: ExitCode.INCONCLUSIVE}
_ROUND_SECONDS = 600.0
"""A person waits for all of them, and can interrupt."""


def ready(
    settings: Settings, name: str | None, *, who: str = "", as_json: bool = False, console: Console | None = None
) -> int:
    """Look, keep it, print it. Exit code 0 ready, 1 not ready, 2 not seen; of several the worst: 1, then 2."""
    plans = _plans(settings, name)
    with open_ledger(settings.ledger_url) as ledger:
        looker = Looker(actor_of(settings, who), round_seconds=_ROUND_SECONDS)
        looks = {look.plan: look for look in looker.look(conductor_of(settings, ledger), plans)}
        looked = _looked(ledger, plans, looks)
        at = ledger.now()
    code = _code([one.ready.state for one in looked])
    if as_json:
        told = {"schema": SCHEMA, "at": at.isoformat(), "exit_code": int(code), "plans": [_as_data(o) for o in looked]}
        print(json.dumps(told, indent=2))
    else:
        render_looks(looked, at, console or Console())
    return code


def _plans(settings: Settings, name: str | None) -> tuple[Plan, ...]:
    if name is None:
        return tuple(plan for plan in load_plans(settings.plans) if plan.look_every)
    plan = find_plan(settings.plans, name)
    if plan.look_every is None:
        raise UsageError(
            f"a {plan.kind} drill has no look at its target: only the drill itself tells",
            f"muster run {plan.name}, or `muster ready` for every target that can be looked at",
        )
    return (plan,)


def _looked(ledger: Ledger, plans: Sequence[Plan], looks: dict[str, Look]) -> tuple[Looked, ...]:
    last, now = ledger.last_looks(), ledger.now()
    return tuple(_one(plan, ready_of(card_of(plan), last.get(plan.name), now), looks.get(plan.name)) for plan in plans)


def _one(plan: Plan, ready: Ready | None, look: Look | None) -> Looked:
    if ready is None:
        raise ValueError(f"plan {plan.name} has no look")
    if look is None:
        why = "a drill of its group is going on, or time was short: it was not looked at now"
        ready = ready._replace(state=Readiness.NOT_SEEN, why=why, advice=f"muster ready {plan.name}", since=None)
    return Looked(plan.name, plan.owner, ready, look)


def _code(states: Sequence[Readiness]) -> ExitCode:
    """Of nothing at all nothing was seen."""
    codes = {_CODES[state] for state in states} or {ExitCode.INCONCLUSIVE}
    return next(code for code in (ExitCode.FAIL, ExitCode.INCONCLUSIVE, ExitCode.PASS) if code in codes)


def _as_data(one: Looked) -> dict[str, object]:
    """A target for programs, as in docs/schemas/ready.schema.json."""
    ready, look = one.ready, one.look
    return {
        "plan": one.plan,
        "owner": one.owner,
        "state": ready.state.value,
        "why": ready.why,
        "advice": ready.advice,
        "since": ready.since.isoformat() if ready.since else None,
        "looked_at": ready.looked_at.isoformat() if ready.looked_at else None,
        "by": ready.by,
        "every_seconds": ready.every_seconds,
        "seconds": look.seconds if look else None,
        "findings": [finding.model_dump(mode="json") for finding in look.findings] if look else [],
    }
