"""The undo of a cutover and the handover itself, over schedulers in memory: from every state to one at work.

States are tried exhaustively: who owns each schedule, what each side does with it, who does not answer; and a handover
is broken off before and after every order that it gives. A side that somebody brought back by hand is among them where
it answers; where it does not, nobody but the owner is at work, which the order of the drill's own steps sees to.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from pathlib import Path

import pytest
from cutover_paper import Clock, Memory, book, plan
from sqlalchemy import event

from muster.cutover.observations import Drained, HomeSeen, Surveyed
from muster.cutover.ownership import Side
from muster.cutover.schedule import IntervalRule, Inventory, Job, Schedule, Stage, Tick
from muster.drill import Context, Workspace
from muster.errors import MusterError, Refusal, StepError, SystemFailure
from muster.identity import Identity
from muster.journal import EventKind, Journal
from muster.ledger import Ledger, open_ledger
from tasks.cutover import remove_copies, settle, survey_schedulers
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

    def begin(self) -> None:
        """The drill is about to release the new scheduler."""
        if "activate" not in self.context.history.step_states():
            self.context.journal.append(EventKind.STARTED, "activate")

    def _before(self, verb: str) -> None:
        self._point()

    def _after(self, side: Side) -> Callable[[str], None]:
        def after(verb: str) -> None:
            self.orders.append((side, verb))
            at_work = {each: scheduler.is_at_work() for each, scheduler in self.sides.items()}
            assert self.both_are_given or not at_work[A] & at_work[B], (self.orders, at_work)
            if verb == "release":
                owners = {tenure.holder for tenure in self.ledger.owners_of(at_work[side]).values()}
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

    def own(self, owners: Mapping[str, Side | None], *, begun: bool = False) -> None:
        """By the ledger, as a drill comes to it: all are the old one's, then some are the new one's; or they were."""
        self.ledger.forget_owners(NAMES)
        owned = [name for name, side in owners.items() if side]
        if owned:
            self.ledger.assign_owner(owned, HOLDERS[A])
        if given := owned if begun else [name for name, side in owners.items() if side is B]:
            self.ledger.raise_epochs(given, HOLDERS[B], self.ledger.now(), HOLDERS[A])
        if back := [name for name in given if owners[name] is A]:
            self.ledger.raise_epochs(back, HOLDERS[A], self.ledger.now(), HOLDERS[B])

    def owners(self) -> set[str]:
        return {tenure.holder for tenure in self.ledger.owners_of(NAMES).values()}

    def due(self, until: datetime) -> list[Tick]:
        count = int((until - self.middle) / self.every)
        moments = [self.middle + n * self.every for n in range(-20, count + 1)]
        return [Tick(name, at) for at in moments if self.began < at <= until for name in NAMES]

    def taken(self) -> dict[Side, set[Tick]]:
        return {side: {t for t, f in fake.firings.items() if f.stage.is_taken} for side, fake in self.sides.items()}


@cache
def _plan(**keys: object) -> object:
    return plan(**keys)


STATES = ("absent", "resting", "shut", "at work")
OWNERS = ({"x": None, "y": None}, {"x": A, "y": A}, {"x": B, "y": B}, {"x": B, "y": A})
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class State:
    """Where a cutover was left."""

    owners: tuple[Side | None, Side | None]
    a: tuple[str, str]
    b: tuple[str, str]
    commit: bool
    begun: bool
    """Whether the drill was about to release the new one."""

    @property
    def is_of_a_drill(self) -> bool:
        """Whether nobody but the owner is at work, and what belongs to the new one is there."""
        return all(
            (owner is not B or (a != "at work" and b != "absent")) and (owner is B or b != "at work")
            for owner, a, b in zip(self.owners, self.a, self.b, strict=True)
        ) and (all(self.owners) if self.begun else "at work" not in self.b)  # fmt: skip

    @property
    def is_first_of_two(self) -> bool:
        """Which of the schedules is which does not matter, unless they have two owners."""
        return len(set(self.owners)) > 1 or (self.a[0], self.b[0]) <= (self.a[1], self.b[1])

    @property
    def home(self) -> Side:
        """Where all of it belongs."""
        return B if self.commit and self.begun and set(self.owners) == {B} else A

    @property
    def may_be_elsewhere(self) -> bool:
        """Whether by the ledger the other side may have some of it."""
        return self.home.other in self.owners

    @property
    def is_well(self) -> bool:
        """Whether all of it is home already."""
        return self.is_well_on(self.home)

    def is_well_on(self, side: Side) -> bool:
        """Whether that side has all of it already."""
        return set(self.of(side)) == {"at work"} and "at work" not in self.of(side.other) \
            and side.other not in self.owners  # fmt: skip

    def of(self, side: Side) -> tuple[str, str]:
        """What the side does with each."""
        return self.a if side is A else self.b


def states() -> list[State]:
    found = product(OWNERS, product(STATES[1:], repeat=2), product(STATES, repeat=2), (False, True), (False, True))
    every = (State((o["x"], o["y"]), a, b, commit, begun) for o, a, b, commit, begun in found)
    usual = [s for s in every if s.is_first_of_two and (s.is_of_a_drill or B not in s.owners or "absent" not in s.b)]
    return [s for s in usual if s.is_of_a_drill or s.begun]


def world_of(ledger: Ledger, state: State, middle: datetime, **more: object) -> World:
    """Five hours of due times: blue took up the first three, or green the third; nobody the last two."""
    keys = {"commit": state.commit, "look_back": "20h", **more}
    world = World(ledger, HOUR, middle, middle - 4.5 * HOUR, keys)
    if state.begun:
        world.begin()
    for n, name in enumerate(NAMES):
        world.put(A, name, state.a[n])
        world.put(B, name, state.b[n])
        if state.b[n] != "absent":
            world.sides[B].marks[name] = RUN
        for hours in (4, 3, 2):
            green = hours == 2 and B in state.owners and state.b[n] != "absent"
            world.sides[B if green else A].make(Tick(name, middle - hours * HOUR), Stage.DONE)
    world.own(dict(zip(NAMES, state.owners, strict=True)), begun=state.begun)
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
    is_handed = B in state.owners or (state.begun and any(state.owners))
    assert world.owners() == ({HOLDERS[home]} if is_handed else set()), "what `arm` alone made known is forgotten"
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
    if state.is_well and B not in state.owners and not (state.begun and any(state.owners)):
        due = {tick for tick in due if tick.at < world.middle - HOUR}
    assert taken[A] | taken[B] == due


def test_from_everywhere_the_undo_leads_to_one_side_at_work(ledger: Ledger) -> None:
    middle, tried = middle_of(ledger), 0
    for state in states():
        world = world_of(ledger, state, middle)
        settling.settle(world.context)
        assert_settled(world, state)
        assert_each_tick_once(world, state)
        seen = world.context.history.latest(HomeSeen)
        assert seen is not None
        assert (seen.missed.count, seen.untold) == (0, 0)
        assert seen.forgotten == (0 if B in state.owners or state.begun else sum(map(bool, state.owners)))
        assert (seen.released_at is None) == state.is_well
        orders = len(world.orders)
        settling.settle(world.context)
        assert world.orders[orders:] == [(state.home.other, "rest")], "what is well is left alone"
        tried += 1
    assert tried > 500


# Sides that do not answer, or obey


AWAY, DEAF = "does not answer", "answers, and obeys no order"


@dataclass(frozen=True)
class Faults:
    """What is wrong with each side."""

    a: str = ""
    b: str = ""
    guarded: bool = True

    def of(self, side: Side) -> str:
        return self.a if side is A else self.b

    def put(self, world: World) -> None:
        for side, scheduler in world.sides.items():
            scheduler.is_away, scheduler.is_deaf = self.of(side) == AWAY, self.of(side) == DEAF

    def can_be_left(self, state: State, side: Side) -> bool:
        """Whether the other side may have everything: this one is held, or what it may start does no work."""
        if not self.of(side):
            return True
        if self.of(side) == DEAF and "at work" in state.of(side):
            return False
        never_began = side is B and not state.begun
        return side not in state.owners or never_began or (self.guarded and self.of(side) == DEAF)

    def ends_at(self, state: State) -> Side | None:
        """Who has everything after an undo; nobody new where that cannot be had safely."""
        home, other = state.home, state.home.other
        if state.is_well_on(home) and self.of(home) != AWAY:
            return home if self.of(other) == AWAY or "at work" not in state.of(other) else None
        if not self.of(home) and self.can_be_left(state, other):
            return home
        is_idle = self.of(home) == AWAY or "at work" not in state.of(home)
        may_begin = other is A or state.begun or set(state.owners) == {B}
        is_able = not self.of(other) and "absent" not in state.of(other)
        return other if is_idle and may_begin and is_able and self.can_be_left(state, home) else None


FAULTS = [Faults(*pair) for pair in product(("", AWAY, DEAF), repeat=2) if any(pair)]


def trials() -> list[tuple[State, Faults]]:
    """What starts nothing is shut here, or not there at all: how else it is makes no difference. The guard makes one
    where a side that began is deaf.
    """
    kept = [s for s in states() if s.is_of_a_drill and "resting" not in (*s.a, *s.b)]
    guarded = list(product(kept, FAULTS))
    return guarded + [(s, replace(f, guarded=False)) for s, f in guarded if s.begun and DEAF in {f.a, f.b}]


def test_whoever_can_be_brought_to_work_safely_is_and_who_is_at_work_goes_on(ledger: Ledger) -> None:
    """Both undos of the drill, in their order; then again, once everybody answers and obeys."""
    middle, ends = middle_of(ledger), Counter[str]()
    for state, faults in trials():
        world = world_of(ledger, state, middle, guarded=faults.guarded)
        faults.put(world)
        working = {side: scheduler.is_at_work() for side, scheduler in world.sides.items()}
        told = undone(world)
        end = faults.ends_at(state)
        at_work = {side: scheduler.is_at_work() for side, scheduler in world.sides.items()}
        assert not at_work[A] & at_work[B]
        if end:
            assert at_work == {end: set(NAMES), end.other: frozenset()}, (state, faults, told)
            assert not any(state.owners) or world.owners() <= {HOLDERS[end]}
        else:
            assert told["arm"], (state, faults)
            assert told["arm"].advice
            assert all(working[side] <= at_work[side] for side in Side), (state, faults, "who is at work goes on")
            if state.is_well_on(state.home.other) and not faults.of(state.home.other):
                assert world.orders == [], "and is not even interrupted"
        if at_work[A] != set(NAMES):
            assert working[B] <= world.sides[B].jobs.keys(), "what was at work is there"
            assert not state.begun or len(world.sides[B].jobs) == 2 - state.b.count("absent"), (state, faults)
        Faults().put(world)
        assert undone(world) == {"arm": None, "mirror": None}, (state, faults)
        if end is state.home or not (end and state.commit):
            assert_settled(world, state)
        world.sides[A].take_up(), world.sides[B].take_up()
        taken = world.taken()
        assert not taken[A] & taken[B]
        ends[str(end)] += 1
    assert min(ends.values()) > 30, ends
    assert set(ends) == {"a", "b", "None"}


def undone(world: World) -> dict[str, MusterError | None]:
    """What became of each of the drill's undos, which the saga calls one after the other."""
    told: dict[str, MusterError | None] = {}
    for step, undo in (("arm", settle), ("mirror", remove_copies)):
        try:
            undo(world.context)
            told[step] = None
        except MusterError as error:
            told[step] = error
    return told


@pytest.mark.parametrize("faults", [Faults(), Faults(b=AWAY), Faults(a=AWAY), Faults(a=DEAF), Faults(b=DEAF)], ids=str)
def test_an_undo_that_dies_anywhere_is_done_by_the_next_one(ledger: Ledger, faults: Faults) -> None:
    """Before and after every order. The next one finds the same fault; then all is well."""
    middle, died = middle_of(ledger), 0
    for state in states():
        if not state.is_of_a_drill or state.a[0] != state.a[1] or state.b[0] != state.b[1]:
            continue
        if faults != Faults() and (B not in state.owners or "resting" in (*state.a, *state.b)):
            continue
        for point in range(1, 100):
            world = world_of(ledger, state, middle)
            faults.put(world)
            world.dies_at = point
            try:
                undone(world)
            except Killed:
                world.dies_at = -1
                died += 1
                worked = world.sides[B].is_at_work()
                undone(world)
                if not world.sides[A].is_at_work():
                    assert worked <= world.sides[B].jobs.keys(), "what was at work is there"
                Faults().put(world)
                assert undone(world) == {"arm": None, "mirror": None}, (state, point)
                ends = [side for side in Side if world.sides[side].is_at_work() == set(NAMES)]
                assert len(ends) == 1, (state, point)
                assert not world.sides[ends[0].other].is_at_work()
                assert ends[0] is state.home or state.commit
                if faults == Faults():
                    assert_settled(world, state)
                world.sides[A].take_up(), world.sides[B].take_up()
                taken = world.taken()
                assert not taken[A] & taken[B]
                continue
            break
    assert died > (400 if faults == Faults() else 20)


def test_copies_stay_while_the_ledger_is_away(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The undo of the copies is tried all the same (`saga.undo_unrecorded`): nothing says that nobody needs them."""
    state = State((B, B), ("resting", "resting"), ("at work", "at work"), commit=False, begun=True)
    world = world_of(ledger, state, middle_of(ledger))

    def away(_url: str) -> Ledger:
        raise StepError("the ledger does not answer", "bring it up")

    with monkeypatch.context() as patch:
        patch.setattr(scene, "open_ledger", away)
        told = undone(world)
    assert None not in told.values()
    assert world.orders == []
    assert world.sides[B].is_at_work() == set(NAMES)
    assert undone(world) == {"arm": None, "mirror": None}
    assert not world.sides[B].jobs


# A side that is lost for good


def lost(ledger: Ledger, state: State, side: Side, middle: datetime, **keys: object) -> World:
    """It does not answer, and somebody has said that it never will, which the saga keeps in the journal."""
    world = world_of(ledger, state, middle, **keys)
    world.sides[side].is_away = True
    world.both_are_given = True
    for step in ("mirror", "arm"):
        world.context.journal.append(EventKind.STARTED, step)
    world.context.journal.append(EventKind.UNDO_STARTED, "arm", gone=[side.value])
    world.context = replace(world.context, gone=frozenset({side.value}))
    return world


@pytest.mark.parametrize("side", Side)
def test_what_is_lost_for_good_is_left_behind_where_jobs_claim(ledger: Ledger, side: Side) -> None:
    """Should it come back all the same, none of its jobs works."""
    middle, tried = middle_of(ledger), 0
    for state in states():
        if not state.is_of_a_drill or "absent" in state.b or "resting" in (*state.a, *state.b):
            continue
        world = lost(ledger, state, side, middle)
        assert undone(world) == {"arm": None, "mirror": None}, state
        assert world.sides[side.other].is_at_work() == set(NAMES)
        seen = world.context.history.latest(HomeSeen)
        assert seen is not None
        assert (seen.gone, seen.released[side]) == ((side,), None)
        if any(state.owners):
            tick = middle + timedelta(days=1, microseconds=tried)
            assert not (side is A or state.begun) or ledger.claim_tick("x", tick, HOLDERS[side]).why == "fenced"
            assert ledger.claim_tick("x", tick, HOLDERS[side.other]).granted
        tried += 1
    assert tried > 30


def test_what_is_lost_for_good_is_not_left_behind_where_jobs_do_not_claim(ledger: Ledger) -> None:
    state = State((B, B), ("shut", "shut"), ("at work", "at work"), commit=False, begun=True)
    world = lost(ledger, state, B, middle_of(ledger), guarded=False)
    with pytest.raises(StepError, match="cannot be held"):
        settling.settle(world.context)
    assert world.orders == []


def test_what_is_said_to_be_lost_and_is_at_work_is_held(ledger: Ledger) -> None:
    state = State((B, B), ("shut", "shut"), ("at work", "at work"), commit=False, begun=True)
    world = lost(ledger, state, B, middle_of(ledger))
    world.sides[B].is_away = False
    settling.settle(world.context)
    assert_settled(world, state)


# Owners


@pytest.mark.parametrize("owners", [{"x": "red", "y": "red"}, {"x": "red", "y": "blue"}, {"x": "red"}], ids=str)
def test_what_a_third_scheduler_owns_is_left_alone(ledger: Ledger, owners: Mapping[str, str]) -> None:
    """Another cutover took it on, while this one lay dead. All is well where red has all, and neither side any."""
    middle, ended = middle_of(ledger), 0
    for a, b in product(("resting", "shut", "at work"), STATES):
        state = State((None, None), (a, a), (b, b), commit=False, begun=False)
        world = world_of(ledger, state, middle)
        world.both_are_given = True
        for name, holder in owners.items():
            ledger.assign_owner([name], HOLDERS[A])
            if holder == "red":
                ledger.raise_epochs([name], "red", ledger.now(), HOLDERS[A])
        told = undone(world)
        is_well = set(owners.values()) == {"red"} and len(owners) == 2 and "at work" not in (a, b)
        assert (told["arm"] is None) == is_well, (a, b)
        if told["arm"]:
            assert "red's by the ledger" in told["arm"].message
        assert bool(world.sides[A].is_at_work()) == (a == "at work"), "it was not released, nor held"
        assert {t.holder for t in ledger.owners_of(NAMES).values()} == set(owners.values()), "and are remembered"
        ended += is_well
    assert ended == (6 if owners == {"x": "red", "y": "red"} else 0)


def test_an_owner_from_before_the_drill_stays_known(ledger: Ledger) -> None:
    """What `arm` alone made known is forgotten (above): jobs that claim in another name go on as before."""
    state = State((A, A), ("at work", "at work"), ("shut", "shut"), commit=False, begun=False)
    world = world_of(ledger, state, middle_of(ledger))
    assert not ledger.claim_tick("x", world.middle + HOUR, "somebody").granted
    survey = world.context.result("survey", Surveyed).model_copy(update={"began": ledger.now()})
    later = World(ledger, HOUR, world.middle, survey.began)
    later.sides = world.sides
    later.context = replace(later.context, target=Pair(world.sides))
    settling.settle(later.context)
    assert world.owners() == {HOLDERS[A]}
    settling.settle(world.context)
    assert world.owners() == set()
    assert ledger.claim_tick("x", world.middle + HOUR, "somebody").granted


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
        world.begin()
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
            has_begun = "activate" in world.context.history.step_states()
            home = B if commit and has_begun and world.owners() == {HOLDERS[B]} else A
            settling.settle(world.context)
            assert world.sides[home].released(NAMES) == set(NAMES)
            assert not world.sides[home.other].released(NAMES)
            counts = started(world, home)
            past = {n for tick, n in counts.items() if tick.at <= world.middle}
            assert past == {1} or not was_held, (taken, point, counts)
            assert max(counts.values()) == 1, (taken, point, counts)
            if made_ahead:
                assert min(counts.values()) == 1, (taken, point, counts)
            seen = world.context.history.latest(HomeSeen)
            assert seen is not None
            assert (seen.missed.count, seen.untold) == (0, 0), "what was left is made up for"
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
    world.sides[A].before_each = lambda verb: time.sleep(0.5 if verb == "drop" else 0)
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
    world.begin()
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
    world.begin()
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


def without_history(ledger: Ledger, claimed: Collection[int] = (-2, 0), **keys: object) -> World:
    """Blue is at work and keeps no history. Of three due times jobs have claimed some."""
    now = ledger.now()
    world = World(ledger, NEAR, now, now - 2.5 * NEAR, {"quiet": "0s", **keys})
    world.own(dict.fromkeys(NAMES, A))
    for name in NAMES:
        world.put(B, name, "shut")
        for n in claimed:
            ledger.claim_tick(name, now + n * NEAR, HOLDERS[A])
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
    seen = world.context.history.latest(HomeSeen)
    assert seen is not None
    assert (seen.caught_up.count, seen.missed.count, seen.untold) == (2, 0, 0)


def test_an_undo_makes_up_for_nothing_where_nothing_says_what_is_behind(ledger: Ledger) -> None:
    world = without_history(ledger, guarded=False)
    world.put(A, "x", "shut")
    settling.settle(world.context)
    assert world.sides[A].released(NAMES) == set(NAMES)
    assert not world.sides[A].firings
    assert missed_of(world) == (0, 6), "of none of six can it be said"


def test_what_a_scheduler_cannot_make_up_for_is_told_as_missed(ledger: Ledger) -> None:
    """As cron: it starts nothing late. Of what fell due just now there may be a claim yet."""
    world = without_history(ledger)
    world.put(A, "x", "shut")
    world.sides[A].start = lambda ticks, reach: frozenset()  # type: ignore[method-assign]
    settling.settle(world.context)
    assert missed_of(world) == (2, 0)
    seen = world.context.history.latest(HomeSeen)
    assert seen is not None
    assert seen.missed.examples[0] == f"x of {world.middle - NEAR:%Y-%m-%d %H:%M:%S}"
    fresh = without_history(ledger, claimed=(-2, -1))
    fresh.put(A, "x", "shut")
    fresh.sides[A].start = lambda ticks, reach: frozenset()  # type: ignore[method-assign]
    settling.settle(fresh.context)
    assert missed_of(fresh) == (0, 2)


def test_what_is_too_old_to_be_made_up_for_is_told_as_missed(ledger: Ledger) -> None:
    state = State((B, B), ("shut", "shut"), ("shut", "shut"), commit=True, begun=True)
    world = world_of(ledger, state, middle_of(ledger), look_back="1h")
    settling.settle(world.context)
    seen = world.context.history.latest(HomeSeen)
    assert seen is not None
    assert (seen.caught_up.count, seen.missed.count) == (2, 2)


def test_what_the_account_has_told_is_not_told_again(ledger: Ledger) -> None:
    state = State((B, B), ("shut", "shut"), ("shut", "shut"), commit=True, begun=True)
    world = world_of(ledger, state, middle_of(ledger), catch_up="skip")
    world.context.journal.append(EventKind.STARTED, "account")
    told = book(ended=world.middle - HOUR / 2).model_dump(mode="json")
    world.context.journal.append(EventKind.SUCCEEDED, "account", result=told)
    settling.settle(world.context)
    assert missed_of(world) == (2, 0), "the last one of each, an hour later"


def missed_of(world: World) -> tuple[int, int]:
    """How many due times the undo told as missed, and of how many it could not say."""
    seen = world.context.history.latest(HomeSeen)
    assert seen is not None
    return seen.missed.count, seen.untold


def test_what_the_plan_skips_is_not_made_up_for(ledger: Ledger) -> None:
    state = State((B, B), ("shut", "shut"), ("shut", "shut"), commit=True, begun=True)
    world = world_of(ledger, state, middle_of(ledger))
    object.__setattr__(world.context, "plan", _plan(commit=True, look_back="20h", catch_up="skip"))
    settling.settle(world.context)
    assert_settled(world, state)
    assert (B, "start") not in world.orders
    assert missed_of(world) == (4, 0), "two of each, and told"


def test_an_other_side_that_says_it_is_held_and_is_not_stops_the_undo(ledger: Ledger) -> None:
    """It was brought back by somebody, the ledger gives it nothing, and it follows no order."""
    state = State((A, A), ("shut", "shut"), ("at work", "at work"), commit=False, begun=True)
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
