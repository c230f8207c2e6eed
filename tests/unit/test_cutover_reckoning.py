"""The account: each kind of wrong tick is told as what it is, and a clean handover as clean."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from muster.cutover.observations import Activated, Drained, Handover, Raised, TickOf
from muster.cutover.ownership import Side
from muster.cutover.reckoning import Claim, Told, reckon
from muster.cutover.schedule import Firing, IntervalRule, Schedule, Stage, Tick

START = datetime(2026, 11, 26, 2, tzinfo=UTC)
NAME = "canary/x"
SCHEDULE = Schedule(name=NAME, job=NAME, rule=IntervalRule(seconds=5, anchor=START), parameters={"size": 1})
DUE = [Tick(NAME, START + timedelta(seconds=5 * n)) for n in range(1, 21)]
"""Due times 1 to 10 are the old scheduler's, 11 to 20 the new one's."""
WATERMARK = START + timedelta(seconds=52)


def firing(tick: Tick, stage: Stage = Stage.DONE, late: float = 0.2, **changed: Any) -> Firing:
    started = tick.at + timedelta(seconds=late)
    return Firing(
        **{
            "schedule": tick.schedule,
            "at": tick.at,
            "run": f"{tick.at}-{late}",
            "stage": stage,
            "started": started if stage is not Stage.WAITING else None,
            "ended": started if stage.is_over else None,
            "parameters": {"size": 1},
            **changed,
        }
    )


def handover(caught_up: list[Tick] | None = None, skipped: list[Tick] | None = None) -> Handover:
    def kept(ticks: list[Tick] | None) -> tuple[TickOf, ...]:
        return tuple(TickOf(schedule=t.schedule, at=t.at) for t in ticks or ())

    held = START + timedelta(seconds=51)
    return Handover(
        drained=Drained(
            wave=0, out=Side.A, began=held, held=held, held_ns=0, watermark=WATERMARK, nearest_tick_seconds=2.0,
            taken=10, behind=(), in_flight=0, still_in_flight=0, waited_seconds=0,
        ),
        raised=Raised(wave=0, into=Side.B, raised=held, schedules=1, proof="fenced"),
        activated=Activated(
            wave=0, into=Side.B, released=held, released_ns=1, dropped=0,
            caught_up=kept(caught_up), skipped=kept(skipped),
        ),
    )  # fmt: skip


def clean() -> Told:
    return Told(
        began=START,
        ended=START + timedelta(seconds=101),
        schedules=[SCHEDULE],
        expected=DUE,
        doubtful=frozenset(),
        firings={Side.A: [firing(t) for t in DUE[:10]], Side.B: [firing(t) for t in DUE[10:]]},
        claims=[Claim(t, "blue" if n < 10 else "green") for n, t in enumerate(DUE)],
        refused=[],
        holders={Side.A: "blue", Side.B: "green"},
        handovers=[(handover(), frozenset({NAME}))],
        guarded=True,
        late=timedelta(seconds=3),
        order=timedelta(seconds=1),
    )


def test_a_clean_handover_is_told_as_clean() -> None:
    book = reckon(clean())
    wrong = [
        book.missed, book.skipped, book.doubled, book.unexpected, book.misplaced, book.late, book.out_of_order,
        book.parameters, book.unclaimed, book.unrecorded, book.lost, book.unended,
    ]  # fmt: skip
    assert [counts.count for counts in wrong] == [0] * len(wrong)
    assert (book.expected, book.claims, book.by_side) == (20, 20, {Side.A: 10, Side.B: 10})
    assert book.phases == {"a": 10, "b": 10}
    assert book.lateness is not None
    assert book.lateness.median == pytest.approx(0.2)
    assert sum(sum(c.started.values()) for c in book.columns) == 20
    assert not any(c.wrong for c in book.columns)


def wave(number: int, into: Side, seconds: float) -> Handover:
    """A handover of this wave, with its border so far from the start."""
    one, mark = handover(), START + timedelta(seconds=seconds)
    drained = one.drained.model_copy(update={"wave": number, "out": into.other, "watermark": mark})
    return one.model_copy(
        update={"drained": drained, "activated": one.activated.model_copy(update={"wave": number, "into": into})}
    )


@pytest.mark.parametrize(
    ("times", "unseen"),
    [
        (((0, Side.B, 20), (1, Side.B, 40), (0, Side.A, 60), (1, Side.A, 80)), ()),
        (((0, Side.B, 20), (1, Side.B, 40)), ()),
        (((0, Side.B, 20), (1, Side.B, 78), (0, Side.A, 60), (1, Side.A, 80)), ("none of wave 2 while b had it",)),
        (((0, Side.B, 20), (1, Side.B, 500)), ("none of wave 2 while b had it",)),
        (((0, Side.B, 20),), ()),
    ],
)
def test_of_several_waves_each_must_have_been_seen_on_each_side(
    times: tuple[tuple[int, Side, float], ...], unseen: tuple[str, ...]
) -> None:
    """Each wave's one schedule is due every five seconds, but not at 80."""
    names = ("one", "two")
    due = [Tick(name, START + timedelta(seconds=s)) for s in range(5, 101, 5) if s != 80 for name in names]
    handovers = [(wave(number, into, at), frozenset({names[number]})) for number, into, at in times]
    book = reckon(told(a=[], b=[], expected=due, claims=[], handovers=handovers))
    assert book.unseen_waves == unseen


def told(**sides: Any) -> Told:
    """The clean one with other histories: `a` and `b` replace a side's firings, other keys their field."""
    base = clean()
    firings = {Side.A: sides.pop("a", base.firings[Side.A]), Side.B: sides.pop("b", base.firings[Side.B])}
    return replace(base, firings=firings, **sides)


A, B = clean().firings[Side.A], clean().firings[Side.B]
assert A is not None
assert B is not None


@pytest.mark.parametrize(
    ("field", "changed", "words"),
    [
        ("missed", {"b": B[1:], "claims": [c for c in clean().claims if c.tick != DUE[10]]}, "02:00:55"),
        ("missed", {"b": [firing(DUE[10], Stage.WAITING), *B[1:]],
                    "claims": [c for c in clean().claims if c.tick != DUE[10]]}, "02:00:55"),
        ("doubled", {"a": [*A, firing(DUE[10], late=0.3)]}, "by a"),
        ("misplaced", {"a": [*A, firing(DUE[10])], "b": B[1:]}, "b's to start"),
        ("misplaced", {"a": A[:-1], "b": [firing(DUE[9]), *B]}, "a's to start"),
        ("unexpected", {"b": [*B, firing(Tick(NAME, DUE[12].at + timedelta(seconds=1)))]}, "02:01:06"),
        ("late", {"b": [firing(DUE[10], late=3.5), *B[1:]]}, "3.5 s late"),
        ("out_of_order", {"b": [firing(DUE[10], late=6.5), *B[1:]]}, "02:00:55"),
        ("parameters", {"b": [firing(DUE[10], parameters={}), *B[1:]]}, "02:00:55"),
        ("unclaimed", {"claims": clean().claims[1:]}, "02:00:05"),
        ("unrecorded", {"b": B[:-1]}, "02:01:40"),
        ("lost", {"b": [firing(DUE[10], Stage.FAILED), *B[1:]]}, "failed"),
        ("lost", {"b": [firing(DUE[10], Stage.TAKEN), *B[1:]]}, "taken"),
        ("unended", {"b": [firing(DUE[10], Stage.RUNNING), *B[1:]]}, "still at work"),
        ("unended", {"b": [firing(DUE[10], Stage.BEGUN), *B[1:]]}, "nothing tells how it ended"),
        ("unclaimed", {"b": [firing(DUE[10], Stage.BEGUN), *B[1:]],
                       "claims": [c for c in clean().claims if c.tick != DUE[10]]}, "02:00:55"),
    ],
)  # fmt: skip
def test_each_wrong_tick_is_told_as_what_it_is(field: str, changed: dict[str, Any], words: str) -> None:
    counts = getattr(reckon(told(**changed)), field)
    assert counts.count == 1
    assert words in counts.examples[0]


def test_what_begins_together_has_no_order() -> None:
    assert reckon(told(b=[firing(DUE[10], late=6.0), *B[1:]])).out_of_order.count == 0


def test_of_a_scheduler_without_a_history_its_claims_are_the_history() -> None:
    book = reckon(told(a=None))
    assert (book.by_side, book.histories) == ({Side.A: 10, Side.B: 10}, {Side.A: False, Side.B: True})
    assert [book.missed.count, book.unrecorded.count, book.misplaced.count, book.lost.count] == [0, 0, 0, 0]
    assert sum(sum(c.started.values()) for c in book.columns) == 20
    twice = reckon(told(a=None, b=[firing(DUE[9]), *B], refused=[Claim(DUE[9], "green")]))
    assert (twice.doubled.count, twice.stopped, twice.misplaced.count) == (1, 1, 1)
    assert "by a" in twice.doubled.examples[0]
    unclaimed = [claim for claim in clean().claims if claim.tick != DUE[9]]
    assert reckon(told(a=None, claims=unclaimed)).missed.examples == (f"{NAME} of 2026-11-26 02:00:50",)


def test_where_one_keeps_no_history_the_other_ones_must_still_be_whole() -> None:
    assert reckon(told(a=None, b=B[:-1])).unrecorded.count == 1


def test_each_side_is_held_to_the_parameters_that_it_was_to_give() -> None:
    """A command line of a crontab is given as parameters to the flow that runs it."""
    other = {"command": "x.sh"}
    as_copied = [firing(tick, parameters=other) for tick in DUE[10:]]
    translated = [SCHEDULE.model_copy(update={"parameters": other})]
    assert reckon(told(b=as_copied)).parameters.count == 10
    assert reckon(told(b=as_copied, translated=translated)).parameters.count == 0
    assert reckon(told(translated=translated)).parameters.count == 10


def test_runs_are_counted_of_which_somebody_says_what_they_were_given() -> None:
    assert reckon(clean()).given == 20
    assert reckon(told(b=[firing(tick, parameters=None) for tick in DUE[10:]])).given == 10
    assert reckon(told(a=None, b=None)).given == 0


def test_a_second_run_that_the_guard_stopped_is_counted_as_stopped() -> None:
    book = reckon(told(a=[*A, firing(DUE[10], late=0.3)], refused=[Claim(DUE[10], "blue")]))
    assert (book.doubled.count, book.stopped) == (1, 1)
    assert reckon(told(refused=[Claim(DUE[10], "blue")])).stopped == 0


@pytest.mark.parametrize("blind", [{"a": None}, {"a": None, "b": None}])
def test_of_a_scheduler_without_a_history_a_refused_claim_is_a_second_start(blind: dict[str, Any]) -> None:
    """A tick is granted once, whoever is at work: by granted claims alone nothing is ever started twice."""
    once = reckon(told(**blind))
    assert (once.doubled.count, once.misplaced.count) == (0, 0)
    again = reckon(told(**blind, refused=[Claim(DUE[4], "blue")]))
    assert (again.doubled.count, again.stopped, again.misplaced.count) == (1, 1, 0)
    late = reckon(told(**blind, refused=[Claim(DUE[14], "blue")]))
    assert (late.doubled.count, late.misplaced.count) == (1, 1), "a fenced one that goes on"
    assert "by a" in late.doubled.examples[0]


def test_a_claim_that_was_refused_and_granted_to_nobody_is_no_start() -> None:
    """Such as the one by which the fence is tried; a tick that nobody may serve is missed all the same."""
    tried = Claim(Tick(NAME, WATERMARK + timedelta(microseconds=7)), "blue")
    book = reckon(told(a=None, refused=[tried]))
    assert (book.doubled.count, book.unexpected.count, book.missed.count) == (0, 0, 0)
    gone = [claim for claim in clean().claims if claim.tick != DUE[9]]
    assert reckon(told(a=None, claims=gone, refused=[Claim(DUE[9], "blue")])).missed.count == 1


def test_schedules_of_which_nothing_was_due_are_counted_for_each_side() -> None:
    """One that was due all along, one only at first, one never; the last of them stays where it is."""
    others = [SCHEDULE.model_copy(update={"name": name, "job": name}) for name in ("early", "night")]
    moved = frozenset({NAME, "early"})
    due = sorted([*DUE, Tick("early", DUE[0].at)], key=lambda tick: tick.at)
    there = told(schedules=[SCHEDULE, *others], expected=due, handovers=[(handover(), moved)])
    assert reckon(there).undue == {"b": 1, "a": 1}
    assert reckon(clean()).undue == {}
    back = wave(0, Side.A, 500)
    assert reckon(told(handovers=[*clean().handovers, (back, frozenset({NAME}))])).undue == {"a again": 1}


@pytest.mark.parametrize(("late", "count"), [(2.5, 0), (20.0, 1)])
def test_what_was_caught_up_may_be_overtaken_and_is_late_like_others(late: float, count: int) -> None:
    moved = told(a=A[:-1], b=[firing(DUE[9], late=late), *B], handovers=[(handover([DUE[9]]), frozenset({NAME}))])
    book = reckon(moved)
    assert (book.misplaced.count, book.late.count, book.missed.count, book.caught_up) == (0, count, 0, 1)
    assert book.out_of_order.count == 0


def test_what_was_skipped_by_the_plans_word_is_told_and_not_missed() -> None:
    gone = [c for c in clean().claims if c.tick != DUE[9]]
    book = reckon(told(a=A[:-1], claims=gone, handovers=[(handover(skipped=[DUE[9]]), frozenset({NAME}))]))
    assert (book.missed.count, book.skipped.count) == (0, 1)


def test_a_doubtful_tick_that_nobody_started_is_not_missed() -> None:
    gone = [c for c in clean().claims if c.tick != DUE[9]]
    assert reckon(told(a=A[:-1], claims=gone, doubtful=frozenset({DUE[9]}))).missed.count == 0
    assert reckon(told(a=A[:-1], claims=gone)).missed.count == 1


def test_without_a_history_claims_say_that_a_tick_was_started() -> None:
    book = reckon(told(b=None))
    assert (book.missed.count, book.histories[Side.B]) == (0, False)
