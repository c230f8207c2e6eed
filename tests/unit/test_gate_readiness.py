"""The gate and what was seen of targets: a warning unless the policy says otherwise, and never taken for proof."""

from datetime import timedelta

import pytest
from deck_samples import NEVER_SEEN, NOW, SEEN, UNREADY
from pydantic import ValidationError
from test_gate import deck, policy, row

from muster.cadence.states import State
from muster.gate.judge import Decision, Gate, judge
from muster.readiness.states import Ready

LAX = {"source": {"max_age": "30d"}}


def decide(ready: Ready | None, rule: dict[str, object] | None = None, later: timedelta = timedelta()) -> Decision:
    rules = policy({"block_on": ["failing"]} | (rule or {}), **LAX)
    target = row(ready=ready, due_at=NOW + timedelta(days=9), overdue_at=NOW + timedelta(days=10))
    return judge(rules, deck(target, at=NOW), NOW + later)


@pytest.mark.parametrize("ready", [SEEN, None], ids=["ready", "no look"])
def test_what_is_ready_or_has_no_look_passes_by(ready: Ready | None) -> None:
    assert decide(ready, {"unready": "block"}).gate is Gate.OPEN


@pytest.mark.parametrize(
    ("effect", "gate", "codes"),
    [(None, Gate.WARNED, (0, 0)), ("warn", Gate.WARNED, (0, 0)), ("block", Gate.BLOCKED, (1, 2)),
     ("ignore", Gate.OPEN, (0, 0))],
    ids=["default", "warn", "block", "ignore"],
)  # fmt: skip
def test_not_ready_and_not_seen_do_as_the_policy_says(effect: str | None, gate: Gate, codes: tuple[int, int]) -> None:
    rule: dict[str, object] = {"unready": effect} if effect else {}
    for ready, code in zip((UNREADY, NEVER_SEEN), codes, strict=True):
        decision = decide(ready, rule)
        assert (decision.gate, decision.exit_code) == (gate, code)
        if gate is not Gate.OPEN:
            (reason,) = decision.reasons
            assert reason.words == f"its target is {ready.state}: {ready.why}"
            assert reason.run == "muster ready orders"


def test_a_deck_that_was_drawn_a_while_ago_says_nothing_of_now() -> None:
    assert decide(SEEN, later=timedelta(minutes=11)).gate is Gate.OPEN
    (reason,) = decide(SEEN, later=timedelta(minutes=13)).reasons
    assert reason.words.startswith("its target is not seen: nobody has looked since 2026-08-03 05:57 UTC")
    assert reason.unknown


def test_ready_is_no_pass() -> None:
    failing = row(ready=SEEN, state=State.FAILING, why="failed: rows are missing", last_outcome="failed")
    assert judge(policy({"block_on": ["failing"]}), deck(failing, at=NOW), NOW).gate is Gate.BLOCKED


def test_a_rule_may_ask_for_nothing_else() -> None:
    assert policy({"unready": "block"}).rules[0].unready == "block"
    with pytest.raises(ValidationError, match="asks for nothing"):
        policy({})
