"""The gate's decision: policy, deck and now in; open, warned or blocked out, with every reason. Pure.

Promises: nothing observed is never a pass: no plans, no rule that fits, no watch and no source each block; a deck that
was made a while ago is judged as of now; a block for lack of knowledge can be told from one for what is known.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import NamedTuple

from muster.cadence.states import State
from muster.clock import AHEAD
from muster.deck.model import Deck, Row
from muster.deck.wording import span
from muster.errors import MusterError
from muster.gate.policy import Effect, GatePolicy, Match, Rule
from muster.quantity import format_seconds
from muster.readiness.states import Readiness, as_of
from muster.verdict import ExitCode

_RAN_BADLY = frozenset({"failed", "inconclusive", "aborted"})
_WATCH = "muster watch --once"


class Gate(StrEnum):
    """How the gate stands."""

    OPEN = "open"
    WARNED = "warned"
    BLOCKED = "blocked"


class Reason(NamedTuple):
    """One thing that blocks or warns: why, who owns it, what to run."""

    effect: Effect
    words: str
    plan: str = ""
    """Empty for what concerns no single plan."""
    rule: str = ""
    owner: str = ""
    run: str = ""
    """The next move, a command where there is one."""
    unknown: bool = False
    """Whether it is for lack of knowledge: never run, no source, a stale one."""


class Decision(NamedTuple):
    """How the gate stands at a moment, and why; blocks first."""

    at: datetime
    gate: Gate
    reasons: tuple[Reason, ...]
    judged: int
    """Plans that a rule was for."""

    @property
    def exit_code(self) -> ExitCode:
        """0 open or warned, 1 blocked, 2 blocked for lack of knowledge alone."""
        if self.gate is not Gate.BLOCKED:
            return ExitCode.PASS
        known = any(r.effect is Effect.BLOCK and not r.unknown for r in self.reasons)
        return ExitCode.FAIL if known else ExitCode.INCONCLUSIVE


def judge(policy: GatePolicy, deck: Deck, now: datetime) -> Decision:
    """The decision on a deck, live (`now` is its own moment) or read from a file."""
    plans = [_as_of(row, now) for row in deck.rows if row.plan]
    fits = [(rule, [row for row in plans if _fits(rule.match, row)]) for rule in policy.rules]
    judged = {row.plan for _, rows in fits for row in rows}
    found = [
        *_source(policy, deck, now),
        *_troubles(policy, deck),
        *_coverage(policy, deck, plans, judged),
        *(Reason(Effect.WARN, "is for no plan there is: a typo?", rule=rule.name) for rule, rows in fits if not rows),
        *(reason for rule, rows in fits for row in rows for reason in _by_rule(rule, row, now)),
    ]
    return _decided(found, len(judged), now)


def without_source(error: MusterError, now: datetime) -> Decision:
    """The decision where the ledger or the deck cannot be read."""
    return _decided([Reason(Effect.BLOCK, error.message, run=error.advice, unknown=True)], 0, now)


def _decided(found: Sequence[Reason], judged: int, now: datetime) -> Decision:
    worst: dict[tuple[str, str], Reason] = {}
    for reason in found:
        # Two rules that say the same of a plan are told once, as the graver of them.
        key = (reason.plan or reason.rule, reason.words)
        if reason.effect is not Effect.IGNORE and (key not in worst or reason.effect < worst[key].effect):
            worst[key] = reason
    reasons = tuple(sorted(worst.values(), key=lambda r: (r.effect, r.plan)))  # `block` before `warn`
    gate = {Effect.BLOCK: Gate.BLOCKED, Effect.WARN: Gate.WARNED}[reasons[0].effect] if reasons else Gate.OPEN
    return Decision(now, gate, reasons, judged)


def _source(policy: GatePolicy, deck: Deck, now: datetime) -> Iterator[Reason]:
    effect, most, seen = policy.source.watch, policy.source.max_age, deck.watched_at
    if why := _untrusted(deck.at, now, most):
        advice = "write the deck again: muster deck --json FILE"
        yield Reason(Effect.BLOCK, f"the deck {why}", run=advice, unknown=True)
    if seen is None:
        yield Reason(effect, "the watch never went round: nobody saw which slots were missed", run=_WATCH, unknown=True)
    elif why := _untrusted(seen, deck.at, most):
        yield Reason(effect, f"the watch's last round {why}", run=_WATCH, unknown=True)


def _untrusted(moment: datetime, now: datetime, most: timedelta) -> str:
    if moment - now > AHEAD:
        return f"is {_span(moment - now)} in the future: is a clock wrong?"
    return f"was {_span(now - moment)} ago, more than {span(most.total_seconds())}" if now - moment > most else ""


def _troubles(policy: GatePolicy, deck: Deck) -> Iterator[Reason]:
    for trouble in deck.troubles:
        # The watch's silence is judged by `source`, which says how long it may be.
        if (trouble.subject, trouble.condition) != ("watch", "silent"):
            run = "muster stop-all --resume --reason WHY" if trouble.condition == "stopped" else "muster status"
            yield Reason(policy.troubles, trouble.words, plan=trouble.subject, run=run)


def _coverage(policy: GatePolicy, deck: Deck, plans: Sequence[Row], judged: set[str]) -> Iterator[Reason]:
    if not plans:
        yield Reason(Effect.BLOCK, "there are no plans", run="see docs/restore.md for how to write one", unknown=True)
    elif not judged:
        advice = "mend 'match' in the policy: see docs/gate.md"
        yield Reason(Effect.BLOCK, "no rule is for any plan: nothing was judged", run=advice, unknown=True)
    for row in plans:
        if row.plan not in judged:
            run = "give it a rule, or set 'unmatched: ignore'"
            yield Reason(policy.unmatched, "no rule of the policy is for it", row.plan, "", row.owner, run)
    for kind in (row.kind for row in deck.rows if not row.plan):
        effect = policy.uncovered.get(kind, Effect.IGNORE)
        yield Reason(effect, f"no plan drills {kind}", run=f"write a plan of kind {kind}", unknown=True)


def _fits(match: Match, row: Row) -> bool:
    wanted = (
        (match.plans, (row.plan,)),
        (match.kinds, (row.kind,)),
        (match.environments, (row.environment,)),
        (match.controls, row.controls),
        (match.owners, (row.owner,)),
    )
    return all(not globs or any(fnmatchcase(v, g) for v in values for g in globs) for globs, values in wanted)


def _as_of(row: Row, now: datetime) -> Row:
    """The row at a later moment than its deck's: what was fresh may be due by now, what was ready not seen."""
    if row.ready is not None:
        row = row._replace(ready=as_of(row.ready, now, row.plan))
    if row.state not in (State.FRESH, State.DUE) or row.due_at is None or row.overdue_at is None:
        return row
    if now > row.overdue_at:
        return row._replace(state=State.OVERDUE, why="no run since its slot was due")
    return row._replace(state=State.DUE, why="its slot is due") if now >= row.due_at else row


def _by_rule(rule: Rule, row: Row, now: datetime) -> Iterator[Reason]:
    for effect, words, run, unknown in (
        *_by_state(rule, row, now),
        *_by_age(rule, row, now),
        *_by_readiness(rule, row),
        *_by_proof(rule, row, now),
    ):
        yield Reason(effect, words, row.plan, rule.name, row.owner, run, unknown)


Found = tuple[Effect, str, str, bool]
"""Effect, words, what to run, whether it is for lack of knowledge."""


def _by_state(rule: Rule, row: Row, now: datetime) -> Iterator[Found]:
    run = f"muster run {row.plan} --reason WHY"
    told = row.why if row.why.startswith(row.state) else f"{row.state}: {row.why}"
    states = tuple(_states_of(row, now))
    for effect, named in ((Effect.BLOCK, rule.block_on), (Effect.WARN, rule.warn_on)):
        if state := next((state for state in states if state in named), None):
            also = "" if state is row.state else f"; it is {state} too"
            yield effect, f"{told}{also}", run, state is State.NEVER and _is_unknown(row)
            break
    for outcome, effect in rule.outcomes.items():
        if row.last_outcome == outcome:
            yield effect, f"its last slot was {outcome}", f"muster status {row.plan} --history", False


def _states_of(row: Row, now: datetime) -> Iterator[State]:
    """The plan's state, and those that it stands before: a rule that names one of them means this plan too."""
    yield row.state
    if row.state is State.NEVER and not _is_unknown(row):
        yield State.FAILING
    if row.state in (State.NEVER, State.FAILING, State.CHANGED):
        if row.overdue_at is not None and now > row.overdue_at:
            yield State.OVERDUE
        elif row.due_at is not None and now >= row.due_at:
            yield State.DUE


def _is_unknown(row: Row) -> bool:
    """Whether a plan that never passed was never seen to do anything else either."""
    return row.state is State.NEVER and not _RAN_BADLY & {row.last_outcome, *(mark.outcome for mark in row.recent)}


def _by_age(rule: Rule, row: Row, now: datetime) -> Iterator[Found]:
    run = f"muster run {row.plan} --reason WHY"
    for effect, most in ((Effect.BLOCK, rule.max_age), (Effect.WARN, rule.warn_age)):
        if most is None:
            continue
        if row.pass_at is None:
            yield effect, "it has no pass whose age could be judged", run, _is_unknown(row)
        elif why := _untrusted(row.pass_at, now, most):
            yield effect, f"its last pass {why}", run, row.pass_at > now
            return


def _by_readiness(rule: Rule, row: Row) -> Iterator[Found]:
    if row.ready is not None and row.ready.state is not Readiness.READY:
        words = f"its target is {row.ready.state}: {row.ready.why}"
        yield rule.unready, words, f"muster ready {row.plan}", row.ready.state is Readiness.NOT_SEEN


def _by_proof(rule: Rule, row: Row, now: datetime) -> Iterator[Found]:
    if rule.proven_within is None:
        return
    run, proven = f"muster prove {row.kind}", row.proven
    if proven is None:
        yield Effect.BLOCK, f"no negative controls of {row.kind} are on record", run, True
    elif not proven.is_complete:
        counts = f"{proven.caught} of {proven.planted} faults caught, {proven.quiet} of {proven.healthy} forms quiet"
        yield Effect.BLOCK, f"its negative controls are not complete: {counts}", run, False
    elif why := _untrusted(proven.at, now, rule.proven_within):
        yield Effect.BLOCK, f"its negative controls' last round {why}", run, True


def _span(length: timedelta) -> str:
    return format_seconds(length.total_seconds())
