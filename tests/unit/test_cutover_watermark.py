"""The border between two schedulers: no tick on it, none lost, none twice."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from muster.cutover.schedule import Firing, Stage, Tick
from muster.cutover.watermark import border, made_ahead, quietest

START = datetime(2026, 11, 26, 2, tzinfo=UTC)
LOOK_BACK = timedelta(seconds=60)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def firing(tick: Tick, stage: Stage) -> Firing:
    return Firing(schedule=tick.schedule, at=tick.at, run=f"{tick.schedule}-{tick.at}", stage=stage)


TICKS = st.lists(
    st.tuples(st.sampled_from("xyz"), st.integers(-50, 80)).map(lambda pair: Tick(pair[0], at(pair[1]))),
    unique=True, min_size=1, max_size=60,
)  # fmt: skip


@given(TICKS, st.integers(0, 10_000).map(lambda ms: ms / 1000), st.data())
def test_every_tick_has_one_owner(ticks: list[Tick], held: float, data: st.DataObject) -> None:
    due = sorted(ticks, key=lambda t: (t.at, t.schedule))
    # A worker takes up what is due within ten seconds, if it comes to it.
    taken = {t for t in due if t.at <= at(held + 10) and data.draw(st.booleans())}
    line = border(due, [firing(t, Stage.TAKEN if t in taken else Stage.WAITING) for t in due], at(held), LOOK_BACK)
    assert line.watermark not in {tick.at for tick in due}
    assert line.watermark > at(held)
    assert all(tick.at < line.watermark for tick in taken)
    behind = set(line.behind)
    for tick in due:
        by_old = tick in taken
        by_new = tick in behind or tick.at > line.watermark
        too_old = tick.at <= at(held) - LOOK_BACK
        assert by_old + by_new == 1 or (too_old and not by_old and not by_new), tick


@given(TICKS, st.integers(0, 20))
def test_the_new_one_drops_what_the_old_one_took_and_keeps_what_it_left(ticks: list[Tick], held: int) -> None:
    due = sorted(ticks, key=lambda t: (t.at, t.schedule))
    taken = set(due[::2])
    line = border(due, [firing(t, Stage.DONE) for t in taken], at(held), LOOK_BACK)
    ahead = [firing(t, Stage.WAITING) for t in due]
    dropped = set(made_ahead(ahead, line.watermark, set(line.behind)))
    assert taken <= dropped
    assert not dropped & set(line.behind)
    assert all(tick.at < line.watermark for tick in dropped)


def test_a_cancelled_run_was_not_taken_up() -> None:
    tick = Tick("x", at(-1))
    assert border([tick], [firing(tick, Stage.CANCELLED)], at(0), LOOK_BACK).behind == (tick,)


def test_quiet_is_just_after_the_tick_before_the_longest_gap() -> None:
    ticks = [Tick("x", at(s)) for s in (1, 2, 5, 6)]
    chosen = quietest(ticks, at(0), at(6))
    assert at(2) < chosen < at(3)
    assert quietest([], at(0), at(6)) == at(0)
    assert quietest(ticks, at(3), at(3)) == at(3)
