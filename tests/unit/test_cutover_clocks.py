"""A scheduler's clock: behind by an answer that was stale it is asked again; ahead, or behind for good, it is told."""

from typing import Any

import pytest

from muster.cutover.observations import ClockSeen
from muster.cutover.ownership import Side
from tasks.handover import clocks


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ((0.1,), 0.1),
        ((-4.4, -0.2), -0.2),
        ((-60.0, -60.0, -60.0, -60.0, 0.0), -60.0),
        ((60.0, 0.0), 60.0),
        ((-4.4, 60.0, 0.0), 60.0),
    ],
    ids=["right", "stale once", "behind for good", "ahead", "ahead after a stale answer"],
)
def test_only_what_can_be_stale_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[float, ...], told: float
) -> None:
    given = iter(answers)

    def ask(*_: Any) -> ClockSeen:
        return ClockSeen(side=Side.B, stage="watch", ahead_seconds=next(given), doubt_seconds=0.5)

    monkeypatch.setattr(clocks, "_ask", ask)
    monkeypatch.setattr(clocks.time, "sleep", lambda _: None)
    scheduler: Any = None
    assert clocks.see_clock(scheduler, scheduler, Side.B, "watch", 2.0).ahead_seconds == told
