"""When an account may be drawn up: once all that was due is known to be over, or has had its time."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from cutover_paper import plan

from muster.cutover.ownership import Side
from muster.cutover.schedule import Firing, Stage, Tick
from tasks.handover import accounting

AT = datetime(2026, 11, 26, 2, tzinfo=UTC)
TICK = Tick("orders", AT)
Histories = Mapping[Side, tuple[Firing, ...] | None]


def run(stage: Stage) -> tuple[Firing, ...]:
    return (Firing(schedule="orders", at=AT, run="1", stage=stage),)


def asked(monkeypatch: pytest.MonkeyPatch, told: Histories, claims: list[set[Tick]], *, guarded: bool = True) -> int:
    """How often the claims were looked at until the account could be drawn up; `claims`, what each look saw."""
    looks = 0

    def claimed() -> set[Tick]:
        nonlocal looks
        looks += 1
        return claims[min(looks, len(claims)) - 1]

    monkeypatch.setattr(accounting, "_NAP", 0.01)
    monkeypatch.setattr(accounting, "_history", lambda _context, side, *_span: told[side])
    context = SimpleNamespace(plan=plan(late="1s", guarded=guarded), seconds_left=60.0, check_may_go_on=lambda: None)
    until = AT + timedelta(minutes=1)
    assert accounting._settled(context, [TICK], AT, until, claimed if guarded else None) == told  # type: ignore[arg-type]
    return looks


@pytest.mark.parametrize("told", [None, run(Stage.BEGUN)], ids=["no history", "no ends"])
def test_a_claim_is_waited_for_where_a_history_does_not_say_enough(
    monkeypatch: pytest.MonkeyPatch, told: tuple[Firing, ...] | None
) -> None:
    """The job of the last due time may just be starting."""
    assert asked(monkeypatch, {Side.A: told, Side.B: ()}, [set(), set(), {TICK}]) == 3
    assert asked(monkeypatch, {Side.A: told, Side.B: ()}, [{TICK}]) == 1
    assert asked(monkeypatch, {Side.A: told, Side.B: ()}, [set()]) > 10, "it had its time, and made none"


def test_whole_histories_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, {Side.A: run(Stage.DONE), Side.B: ()}, [set()]) == 0


def test_who_makes_no_claims_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, {Side.A: None, Side.B: ()}, [], guarded=False) == 0
    assert asked(monkeypatch, {Side.A: run(Stage.BEGUN), Side.B: ()}, [], guarded=False) == 0
