"""The undo of a cutover and the handover itself, over schedulers in memory: from every state to one at work.

States are tried exhaustively: who owns each schedule, what each side does with it, who does not answer; and a handover
is broken off before and after every order that it gives. A side that somebody brought back by hand is among them where
it answers; where it does not, nobody but the owner is at work, which the order of the drill's own steps sees to.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from pathlib import Path

import pytest
from cutover_paper import Clock, Memory, plan
from sqlalchemy import event

from muster.cutover.observations import Drained, HomeSeen, Surveyed
from muster.cutover.ownership import Side
from muster.cutover.schedule import IntervalRule, Inventory, Job, Schedule, Stage, Tick
from muster.drill import Context, Workspace
from muster.errors import MusterError, Refusal, StepError, SystemFailure
from muster.identity import Identity
from muster.journal import EventKind, Journal
from muster.ledger import Ledger, open_ledger
from tasks.cutover import survey_schedulers
from tasks.handover import passing, scene, settling
from tests.fakes import FakeScheduler

A, B = Side.A, Side.B
HOLDERS = {A: "blue", B: "green"}
NAMES = ("x", "y")
RUN = "settling"


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """One, that stays open, and need not outlive the machine."""
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}") as opened:
        event.listen(opened.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
        opened.engine.dispose()
        monkeypatch.setattr(scene, "open_ledger", lambda _url: nullcontext(opened))
        yield opened


@dataclass
class Pair:
    """A target: two schedulers in memory."""

    schedulers: Mapping[Side, FakeScheduler]

    def identities(self) -> Mapping[Side, Identity]:
        return {side: scheduler.identify() for side, scheduler in self.schedulers.items()}

    def scheduler(self, side: Side) -> FakeScheduler:
        return self.schedulers[side]

    def holder(self, side: Side) -> str:
        return HOLDERS[side]

    def claims(self) -> str:
        return "the test's own"


class Killed(BaseException):
    """Muster died here."""


@dataclass
class World:
    """A cutover of two schedules, somewhere on its way."""

    ledger: Ledger
    every: timedelta
    """Between due times, of which one lies so much before `middle`, and one at it."""
    middle: datetime
    began: datetime
    keys: Mapping[str, object] = field(default_factory=dict)
    orders: list[tuple[Side, str]] = field(default_factory=list)
    """All that were carried out, by side and verb."""
    both_are_given: bool = False
    """Whether both had something at work to begin with."""
    dies_at: int = -1
    """Number of the point, before or after an order, at which Muster dies."""

    def __post_init__(self) -> None:
        rule = IntervalRule(seconds=self.every.total_seconds(), anchor=self.middle)
        self.jobs = {name: Job(name=name) for name in NAMES}
        self.rows = {name: Schedule(name=name, job=name, rule=rule) for name in NAMES}
        pairs = [(self.jobs[name], self.rows[name]) for name in NAMES]
        self.sides = {A: FakeScheduler.of("blue", pairs), B: FakeScheduler("green")}
        for side, scheduler in self.sides.items():
            scheduler.wakes_by_arming_alone = True
            scheduler.before_each = self._before
            scheduler.after_each = self._after(side)
        self.points = 0
        inventory = Inventory(jobs=tuple(self.jobs.values()), schedules=tuple(self.rows.values()))
        survey = Surveyed(
            inventory=inventory, holders=HOLDERS, dialects=dict.fromkeys(Side, "prefect"), waves=(NAMES,),
            began=self.began,
        )  # fmt: skip
        journal = Journal(RUN, Memory(), Clock())
        journal.append(EventKind.OPENED)
        journal.append(EventKind.STARTED, "survey")
        journal.append(EventKind.SUCCEEDED, "survey", result=survey.model_dump(mode="json"))
        self.context = Context(
            plan=_plan(**self.keys), target=Pair(self.sides), journal=journal, workspace=Workspace(RUN, Path("unused")),
            clock=Clock(), deadline_ns=10**18,
        )  # fmt: skip

    def _before(self, verb: str) -> None:
        self._point()

    def _after(self, side: Side) -> Callable[[str], None]:
        def after(verb: str) -> None:
            self.orders.append((side, verb))
            at_work = {each: scheduler.is_at_work() for each, scheduler in self.sides.items()}
            assert self.both_are_given or not at_work[A] & at_work[B], (self.orders, at_work)
            if verb == "release":
                owners = {tenure.holder for tenure in self.ledger.owners_of(NAMES).values()}
                assert owners <= {HOLDERS[side]}, (self.orders, owners)
            self._point()

        return after

    def _point(self) -> None:
        self.points += 1
        if self.points == self.dies_at:
            raise Killed

    def put(self, side: Side, name: str, state: str) -> None:
        """A schedule of a side: `absent`, `resting`, `shut` (armed, or held) or `at work`."""
        scheduler = self.sides[side]
        if state == "absent":
            return
        scheduler.jobs[name] = self.jobs[name]
        scheduler.schedules[name] = self.rows[name].model_copy(update={"active": state != "resting"})
        (scheduler.shut.discard if state == "at work" else scheduler.shut.add)(name)

    def own(self, owners: Mapping[str, Side | None]) -> None:
        """By the ledger, as a drill comes to it: all are the old one's, then some are the new one's."""
        self.ledger.forget_owners(NAMES)
        if owned := [name for name, side in owners.items() if side]:
            self.ledger.assign_owner(owned, HOLDERS[A])
        if given := [name for name, side in owners.items() if side is B]:
            self.ledger.raise_epochs(given, HOLDERS[B], self.ledger.now(), HOLDERS[A])

    def owners(self) -> set[str]:
        return {tenure.holder for tenure in self.ledger.owners_of(NAMES).values()}

    def due(self, until: datetime) -> list[Tick]:
        count = int((until - self.middle) / self.every)
        moments = [self.middle + n * self.every for n in range(-20, count + 1)]
        return [Tick(name, at) for at in moments if self.began < at <= until for name in NAMES]

    def standing(self) -> object:
        """What an undo must not touch where it gives up."""
        return {s: (dict(f.schedules), set(f.shut), dict(f.firings)) for s, f in self.sides.items()}, self.owners()

    def taken(self) -> dict[Side, set[Tick]]:
        return {side: {t for t, f in fake.firings.items() if f.stage.is_taken} for side, fake in self.sides.items()}


@cache
def _plan(**keys: object) -> object:
    return plan(**keys)


STATES = ("absent", "resting", "shut", "at work")
OWNERS = ({"x": None, "y": None}, {"x": A, "y": A}, {"x": B, "y": B}, {"x": B, "y": A})
NOBODY_AWAY: frozenset[Side] = frozenset()
AWAY = (NOBODY_AWAY, frozenset({A}), frozenset({B}), frozenset({A, B}))
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class State:
    """Where a cutover was left."""

    owners: tuple[Side | None, Side | None]
    a: tuple[str, str]
    b: tuple[str, str]
    commit: bool

    @property
    def is_of_a_drill(self) -> bool:
        """Whether nobody but the owner is at work, and what belongs to the new one is there."""
        return all(
            (owner is not B or (a != "at work" and b != "absent")) and (owner is B or b != "at work")
            for owner, a, b in zip(self.owners, self.a, self.b, strict=True)
        )

    @property
    def is_first_of_two(self) -> bool:
        """Which of the schedules is which does not matter, unless they have two owners."""
        return len(set(self.owners)) > 1 or (self.a[0], self.b[0]) <= (self.a[1], self.b[1])

    @property
    def home(self) -> Side:
        """Where all of it belongs."""
        return B if self.commit and set(self.owners) == {B} else A

    @property
    def may_be_elsewhere(self) -> bool:
        """Whether by the ledger the other side may have some of it."""
        return self.home.other in self.owners

    @property
    def is_well(self) -> bool:
        """Whether all of it is home already."""
        here, there = (self.a, self.b) if self.home is A else (self.b, self.a)
        return not self.may_be_elsewhere and set(here) == {"at work"} and "at work" not in there


def states() -> list[State]:
    found = product(OWNERS, product(STATES[1:], repeat=2), product(STATES, repeat=2), (False, True))
    every = (State((o["x"], o["y"]), a, b, commit) for o, a, b, commit in found)
    return [s for s in every if s.is_first_of_two and (s.is_of_a_drill or B not in s.owners or "absent" not in s.b)]


def world_of(ledger: Ledger, state: State, middle: datetime) -> World:
    """Five hours of due times: blue took up the first three, or green the third; nobody the last two."""
    keys = {"commit": state.commit, "look_back": "20h"}
    world = World(ledger, HOUR, middle, middle - 4.5 * HOUR, keys)
    for n, name in enumerate(NAMES):
        world.put(A, name, state.a[n])
        world.put(B, name, state.b[n])
        for hours in (4, 3, 2):
            green = hours == 2 and B in state.owners and state.b[n] != "absent"
            world.sides[B if green else A].make(Tick(name, middle - hours * HOUR), Stage.DONE)
    world.own(dict(zip(NAMES, state.owners, strict=True)))
    world.both_are_given = not state.is_of_a_drill
    return world


def middle_of(ledger: Ledger) -> datetime:
    """Half an hour ago: nothing falls due while all is tried. Claims of what was taken up stay for every state."""
    middle = ledger.now() - HOUR / 2
    ledger.forget_owners(NAMES)
    for name, hours in product(NAMES, (4, 3, 2)):
        assert ledger.claim_tick(name, middle - hours * HOUR, "whoever").granted
    return middle


def assert_settled(world: World, state: State) -> None:
    """Wholly home, and the ledger says so too; every due time was taken up once."""
    home, fakes = state.home, world.sides
    assert fakes[home].released(NAMES) == set(NAMES)
    assert not fakes[home.other].is_at_work()
    if not fakes[home.other].is_away:
        assert not any(row.active for row in fakes[home.other].schedules.values()), "it makes nothing ahead any more"
    assert world.owners() == ({HOLDERS[home]} if any(state.owners) else set())
    seen = world.context.history.latest(HomeSeen)
    assert seen is not None
    assert (seen.released[home], seen.active) == (2, 2)
    assert not seen.released[home.other]


def assert_each_tick_once(world: World, state: State) -> None:
    """What nobody had taken up is started at home. Of one at work that never was held it is its own to do."""
    world.sides[state.home].take_up()
    taken = world.taken()
    assert not taken[A] & taken[B]
    due = set(world.due(world.middle))
    if state.is_well and B not in state.owners:
        due = {tick for tick in due if tick.at < world.middle - HOUR}
    assert taken[A] | taken[B] == due


def test_from_everywhere_the_undo_leads_to_one_side_at_work(ledger: Ledger) -> None:
    middle, tried = middle_of(ledger), 0
    for state in states():
        world = world_of(ledger, state, middle)
        settling.settle(world.context)
        assert_settled(world, state)
        assert_each_tick_once(world, state)
        orders = len(world.orders)
        settling.settle(world.context)
        assert world.orders[orders:] == [(state.home.other, "rest")], "what is well is left alone"
        tried += 1
    assert tried > 500


def test_who_does_not_answer_stops_the_undo_only_where_it_may_have_something(ledger: Ledger) -> None:
    middle = middle_of(ledger)
    ended, stopped = 0, 0
    for state, away in product(states(), AWAY[1:]):
        if not state.is_of_a_drill:
            continue
        world = world_of(ledger, state, middle)
        for side in away:
            world.sides[side].is_away = True
        before = world.standing()
        must_stop = state.home in away or state.may_be_elsewhere
        if must_stop:
            with pytest.raises(MusterError) as told:
                settling.settle(world.context)
            assert told.value.advice
            if state.may_be_elsewhere:
                assert world.standing() == before, "who is at work goes on"
        else:
            settling.settle(world.context)
            assert_settled(world, state)
            assert_each_tick_once(world, state)
        for side in away:
            world.sides[side].is_away = False
        settling.settle(world.context)
        assert_settled(world, state)
        ended, stopped = ended + (not must_stop), stopped + must_stop
    assert ended > 100
    assert stopped > 100


def test_an_undo_that_dies_anywhere_is_done_by_the_next_one(ledger: Ledger) -> None:
    middle, died = middle_of(ledger), 0
    for state in states():
        if not state.is_of_a_drill or state.a[0] != state.a[1] or state.b[0] != state.b[1]:
            continue
        for point in range(1, 100):
            world = world_of(ledger, state, middle)
            world.dies_at = point
            try:
                settling.settle(world.context)
            except Killed:
                world.dies_at = -1
                died += 1
                settling.settle(world.context)
                assert_settled(world, state)
                world.sides[state.home].take_up()
                taken = world.taken()
                assert not taken[A] & taken[B]
                continue
            break
    assert died > 200


# An undo after a handover that broke off


NEAR = timedelta(seconds=20)
TICKS = (-2, -1, 1, 2)
"""Due times around now, in steps of `NEAR`."""


def broken_off(ledger: Ledger, taken: frozenset[int], dies_at: int, made_ahead: bool, **keys: object) -> World:
    """A handover of both schedules that dies at a point; blue's worker has taken up some due times."""
    now = ledger.now()
    world = World(ledger, NEAR, now, now - 2.5 * NEAR, {"quiet": "0s", "in_flight": "leave", **keys})
    world.own(dict.fromkeys(NAMES, A))
    for name, n in product(NAMES, TICKS):
        tick = Tick(name, now + n * NEAR)
        world.put(B, name, "shut")
        if n in taken:
            world.sides[A].make(tick, Stage.TAKEN if n > 0 else Stage.DONE)
        elif made_ahead:
            world.sides[A].make(tick, Stage.WAITING)
        if made_ahead:
            world.sides[B].make(tick, Stage.WAITING)
    # The middle one falls due now: it is taken up, so that no case hangs on who was quicker.
    for name in NAMES:
        world.sides[A].make(Tick(name, now), Stage.DONE)
        if made_ahead:
            world.sides[B].make(Tick(name, now), Stage.WAITING)
    world.dies_at = dies_at
    try:
        drained = passing.drain(world.context, A, 0)
        passing.fence(world.context, drained)
        passing.activate(world.context, drained)
    except Killed:
        pass
    return world


def subsets() -> list[frozenset[int]]:
    return [frozenset(n for n, is_in in zip(TICKS, bits, strict=True) if is_in) for bits in product((0, 1), repeat=4)]


def started(world: World, at: Side) -> dict[Tick, int]:
    """How often each due time was, or is about to be, started."""
    waiting = {t for t, f in world.sides[at].firings.items() if f.stage is Stage.WAITING}
    taken = world.taken()
    every = [Tick(name, world.middle + n * NEAR) for name, n in product(NAMES, (*TICKS, 0))]
    return {tick: (tick in taken[A]) + (tick in taken[B]) + (tick in waiting) for tick in every}


@pytest.mark.parametrize("made_ahead", [True, False])
def test_a_handover_starts_every_due_time_once(ledger: Ledger, made_ahead: bool) -> None:
    for taken in subsets():
        world = broken_off(ledger, taken, -1, made_ahead)
        assert world.sides[B].released(NAMES) == set(NAMES)
        assert not world.sides[A].released(NAMES)
        last = world.middle + (max(taken | {0}) * NEAR if made_ahead else timedelta())
        counts = started(world, B)
        assert {n for tick, n in counts.items() if tick.at <= last} == {1}, (taken, counts)
        if made_ahead:
            assert set(counts.values()) == {1}, (taken, counts)


@pytest.mark.parametrize("commit", [True, False])
@pytest.mark.parametrize("made_ahead", [True, False])
def test_a_handover_that_breaks_off_anywhere_is_undone_with_every_due_time_once(
    ledger: Ledger, commit: bool, made_ahead: bool
) -> None:
    ends = set()
    for taken in subsets():
        for point in range(1, 100):
            world = broken_off(ledger, taken, point, made_ahead, commit=commit)
            died, world.dies_at = world.points == point, -1
            was_held = bool(world.orders)
            home = B if commit and world.owners() == {HOLDERS[B]} else A
            settling.settle(world.context)
            assert world.sides[home].released(NAMES) == set(NAMES)
            assert not world.sides[home.other].released(NAMES)
            counts = started(world, home)
            past = {n for tick, n in counts.items() if tick.at <= world.middle}
            assert past == {1} or not was_held, (taken, point, counts)
            assert max(counts.values()) == 1, (taken, point, counts)
            if made_ahead:
                assert min(counts.values()) == 1, (taken, point, counts)
            ends.add(home)
            if not died:
                break
        else:
            pytest.fail("it never came to its end")
    assert ends == ({A, B} if commit else {A})


def test_what_the_other_side_took_up_ahead_is_not_started_again_at_home(ledger: Ledger) -> None:
    """Green's worker has a run that is due in twenty seconds; blue, which gets all back, has made one of it too."""
    now = ledger.now()
    world = World(ledger, NEAR, now, now - NEAR / 2, {"guarded": False})
    tick = Tick("x", now + NEAR)
    world.own(dict.fromkeys(NAMES, B))
    for name in NAMES:
        world.put(A, name, "shut")
        world.put(B, name, "at work")
        world.sides[B].make(Tick(name, now), Stage.DONE)
    world.sides[B].make(tick, Stage.TAKEN)
    world.sides[A].make(tick, Stage.WAITING)
    settling.settle(world.context)
    assert world.sides[A].released(NAMES) == set(NAMES)
    assert tick not in world.sides[A].firings
    claimed = ledger.claim_tick("x", tick.at, HOLDERS[B])
    assert claimed.granted, "it is green's: the watermark lies after it"


def test_what_falls_due_while_nobody_is_at_work_is_made_up_for(ledger: Ledger) -> None:
    """Between the hold of the one and the release of the other, who is made ready only then."""
    now = ledger.now()
    world = World(ledger, NEAR, now + timedelta(seconds=0.3), now - NEAR)
    world.own(dict.fromkeys(NAMES, B))
    for name in NAMES:
        world.put(A, name, "resting")
        world.put(B, name, "at work")
        world.sides[B].make(Tick(name, world.middle - NEAR), Stage.DONE)
    world.sides[A].before_each = lambda verb: time.sleep(0.5 if verb == "arm" else 0)
    settling.settle(world.context)
    assert set(world.sides[A].firings) == {Tick(name, world.middle) for name in NAMES}


# Between the border and the release


@pytest.mark.parametrize(
    ("there", "started"),
    [
        ("nothing", True),
        ("a run of green's that waits", False),
        ("a run of blue's that is done", False),
        ("a run of blue's that waits", True),
        ("a claim", False),
    ],
)
def test_a_due_time_between_border_and_release_is_made_up_for_where_nobody_has_it(
    ledger: Ledger, there: str, started: bool
) -> None:
    """Muster died after it released green, and before it told green what had come due meanwhile."""
    now = ledger.now()
    world = World(ledger, NEAR, now - 1.5 * NEAR, now - 3 * NEAR, {"commit": True})
    world.own(dict.fromkeys(NAMES, A))
    ledger.raise_epochs(NAMES, HOLDERS[B], now - 2 * NEAR, HOLDERS[A])
    missed = [Tick(name, world.middle) for name in NAMES]
    for name in NAMES:
        world.put(A, name, "shut")
        world.put(B, name, "at work")
        for steps, side in ((-1, A), (1, B)):
            world.sides[side].make(Tick(name, world.middle + steps * NEAR), Stage.DONE)
    for tick in missed:
        match there:
            case "a run of green's that waits":
                world.sides[B].make(tick, Stage.WAITING)
            case "a run of blue's that is done":
                world.sides[A].make(tick, Stage.DONE)
            case "a run of blue's that waits":
                world.sides[A].make(tick, Stage.WAITING)
            case "a claim":
                assert ledger.claim_tick(tick.schedule, tick.at, HOLDERS[B]).granted
    before = dict(world.sides[B].firings)
    settling.settle(world.context)
    new = {t for t, f in world.sides[B].firings.items() if before.get(t) != f}
    assert new == (set(missed) if started else set())


def test_a_run_that_is_just_being_made_is_waited_for(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    now = ledger.now()
    world = World(ledger, NEAR, now - NEAR / 20, now - NEAR, {"commit": True})
    world.own(dict.fromkeys(NAMES, A))
    ledger.raise_epochs(NAMES, HOLDERS[B], now - NEAR / 2, HOLDERS[A])
    for name in NAMES:
        world.put(A, name, "shut")
        world.put(B, name, "at work")
    fresh = Tick("x", world.middle)
    monkeypatch.setattr(settling.time, "sleep", lambda _seconds: world.sides[B].make(fresh, Stage.TAKEN))
    settling.settle(world.context)
    assert {tick: firing.stage for tick, firing in world.sides[B].firings.items()} == {
        fresh: Stage.TAKEN, Tick("y", world.middle): Stage.WAITING,
    }  # fmt: skip


# What cannot be said


def without_history(ledger: Ledger, **keys: object) -> World:
    """Blue is at work and keeps no history. Of two due times a job has claimed one."""
    now = ledger.now()
    world = World(ledger, NEAR, now, now - 2.5 * NEAR, {"quiet": "0s", **keys})
    world.own(dict.fromkeys(NAMES, A))
    for name in NAMES:
        world.put(B, name, "shut")
        ledger.claim_tick(name, now - 2 * NEAR, HOLDERS[A])
        ledger.claim_tick(name, now, HOLDERS[A])
    world.sides[A].keeps_history = False
    return world


def test_where_there_is_no_history_claims_say_what_is_behind(ledger: Ledger) -> None:
    world = without_history(ledger)
    drained = passing.drain(world.context, A, 0)
    assert {(t.schedule, t.at) for t in drained.behind} == {(name, world.middle - NEAR) for name in NAMES}
    assert (drained.in_flight, drained.still_in_flight) == (None, None)


def test_where_nothing_says_so_nothing_is_taken_for_behind(ledger: Ledger) -> None:
    world = without_history(ledger, guarded=False)
    assert passing.drain(world.context, A, 0).behind == ()


def test_an_undo_makes_up_by_claims_too(ledger: Ledger) -> None:
    world = without_history(ledger)
    world.put(A, "x", "shut")
    settling.settle(world.context)
    assert set(world.sides[A].firings) == {Tick(name, world.middle - NEAR) for name in NAMES}


def test_an_undo_makes_up_for_nothing_where_nothing_says_what_is_behind(ledger: Ledger) -> None:
    world = without_history(ledger, guarded=False)
    world.put(A, "x", "shut")
    settling.settle(world.context)
    assert world.sides[A].released(NAMES) == set(NAMES)
    assert not world.sides[A].firings


def test_what_the_plan_skips_is_not_made_up_for(ledger: Ledger) -> None:
    state = State((B, B), ("shut", "shut"), ("shut", "shut"), commit=True)
    world = world_of(ledger, state, middle_of(ledger))
    object.__setattr__(world.context, "plan", _plan(commit=True, look_back="20h", catch_up="skip"))
    settling.settle(world.context)
    assert_settled(world, state)
    assert (B, "start") not in world.orders


def test_an_other_side_that_says_it_is_held_and_is_not_stops_the_undo(ledger: Ledger) -> None:
    """It was brought back by somebody, the ledger gives it nothing, and it follows no order."""
    state = State((A, A), ("shut", "shut"), ("at work", "at work"), commit=False)
    world = world_of(ledger, state, middle_of(ledger))
    world.sides[B].is_deaf = True
    with pytest.raises(StepError, match="cannot be held"):
        settling.settle(world.context)
    assert not world.sides[A].released(NAMES)


# The handover's own promises


def test_what_another_owns_is_refused_before_anything_is_touched(ledger: Ledger) -> None:
    """Somebody took it back by hand: an undo would bring it to its owner, which is not what was asked for."""
    world = World(ledger, NEAR, ledger.now(), ledger.now(), {"commit": True})
    survey_schedulers(world.context)
    world.own({"x": A, "y": A})
    survey_schedulers(world.context)
    world.own({"x": B, "y": A})
    with pytest.raises(Refusal, match="x is green's by the ledger, not blue's"):
        survey_schedulers(world.context)
    assert world.orders == []


def handed(ledger: Ledger, **keys: object) -> World:
    now = ledger.now()
    world = World(ledger, NEAR, now, now - NEAR / 2, {"quiet": "0s", **keys})
    world.own(dict.fromkeys(NAMES, A))
    for name in NAMES:
        world.put(B, name, "shut")
    return world


def test_an_epoch_that_does_not_end_is_found_out_before_anybody_is_released(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = handed(ledger)
    drained = passing.drain(world.context, A, 0)
    monkeypatch.setattr(Ledger, "raise_epochs", lambda *_: None)
    with pytest.raises(SystemFailure, match="granted"):
        passing.fence(world.context, drained)
    assert not world.sides[B].released(NAMES)


def test_a_fence_is_not_tried_where_jobs_do_not_claim(ledger: Ledger) -> None:
    world = handed(ledger, guarded=False)
    drained = passing.drain(world.context, A, 0)
    assert passing.fence(world.context, drained).proof == "not guarded"
    assert world.owners() == {HOLDERS[B]}


def test_what_is_in_flight_is_waited_for_so_long_and_no_longer(ledger: Ledger) -> None:
    world = handed(ledger, in_flight_limit="1s")
    world.sides[A].make(Tick("x", world.middle), Stage.RUNNING)
    drained = passing.drain(world.context, A, 0)
    assert (drained.in_flight, drained.still_in_flight) == (1, 1)
    assert 1 <= drained.waited_seconds < 5


def test_what_the_plan_skips_or_the_new_one_cannot_do_is_told(ledger: Ledger) -> None:
    behind = {(name, n) for name, n in product(NAMES, (-1,))}

    def told(**keys: object) -> tuple[Drained, World]:
        now = ledger.now()
        world = World(ledger, NEAR, now, now - 1.5 * NEAR, {"quiet": "0s", **keys})
        world.own(dict.fromkeys(NAMES, A))
        for name in NAMES:
            world.put(B, name, "shut")
            world.sides[A].make(Tick(name, now), Stage.DONE)
        drained = passing.drain(world.context, A, 0)
        assert {(t.schedule, round((t.at - now) / NEAR)) for t in drained.behind} == behind
        passing.fence(world.context, drained)
        return drained, world

    drained, world = told(catch_up="skip")
    skipped = passing.activate(world.context, drained)
    assert (skipped.caught_up, skipped.skipped) == ((), drained.behind)
    drained, world = told()
    world.sides[B].start = lambda ticks, reach: frozenset()  # type: ignore[method-assign]
    assert passing.activate(world.context, drained).skipped == drained.behind
    drained, world = told()
    made = passing.activate(world.context, drained)
    assert (made.caught_up, made.skipped) == (drained.behind, ())
    assert datetime.now(UTC) - made.released < timedelta(seconds=5)
