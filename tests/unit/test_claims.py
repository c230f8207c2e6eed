"""Claims on slots: which one a run serves, what becomes of each, in any interleaving of looks and runs."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.cadence.spec import Cadence, Late
from muster.cadence.ticks import claim_deadline, splay, ticks_between
from muster.claims import account_for, claim_of
from muster.plan import Plan
from muster.verdict import Outcome

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DAILY = {"cron": "0 3 * * *", "grace": "2h"}
BLACKOUT = {"from": "2026-01-05T00:00:00Z", "until": "2026-01-06T00:00:00Z", "reason": "the audit is here"}


def plan(**cadence: object) -> Plan:
    return Plan.model_validate(
        {
            "name": "paper-drill",
            "kind": "restore",
            "environment": "test",
            "owner": "tests",
            "target": {"type": "paper"},
            "restore": {},
            "cadence": DAILY | cadence,
        }
    )


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 1, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("keys", "expected", "now", "tick", "outcome", "why"),
    [
        ({}, at(2, 3), at(2, 3, 1), at(2, 3), None, ""),
        ({}, at(2, 3, 5), at(2, 3, 6), at(2, 3), None, ""),  # a scheduler that counts otherwise finds its slot
        ({}, at(2, 3), at(3, 2, 59), at(2, 3), None, ""),  # run once: until the next is due
        ({}, at(2, 3), at(3, 3), at(2, 3), Outcome.MISSED, "24 h 00 m late, when the next slot was due"),
        ({"late": "skip"}, at(2, 3), at(2, 4, 59), at(2, 3), None, ""),
        ({"late": "skip"}, at(2, 3), at(2, 5), at(2, 3), Outcome.MISSED, "the plan skips late slots"),
        ({"late": "run all", "late_within": "3d"}, at(2, 3), at(5, 2), at(2, 3), None, ""),
        ({"late": "run all", "late_within": "3d"}, at(2, 3), at(5, 3), at(2, 3), Outcome.MISSED, "`late_within`"),
        ({"blackouts": [BLACKOUT]}, at(5, 3), at(5, 3), at(5, 3), Outcome.WAIVED, "blackout: the audit is here"),
        ({"blackouts": [BLACKOUT]}, at(4, 3), at(5, 1), at(4, 3), Outcome.WAIVED, "the audit is here"),
        ({"blackouts": [BLACKOUT]}, at(4, 3), at(4, 23), at(4, 3), None, ""),
        ({"blackouts": [BLACKOUT]}, at(6, 3), at(6, 3), at(6, 3), None, ""),
    ],
)
def test_a_schedulers_run_finds_its_slot_and_what_becomes_of_it(
    keys: dict[str, object], expected: datetime, now: datetime, tick: datetime, outcome: Outcome | None, why: str
) -> None:
    claim = claim_of(plan(**keys), expected, now)
    assert (claim.tick, claim.outcome) == (tick, outcome)
    assert why in claim.why
    assert bool(claim.why) == (outcome is not None)


def test_a_plan_starts_at_its_own_share_of_the_jitter() -> None:
    jittery = plan(jitter="30m")
    claim = claim_of(jittery, at(2, 3), at(2, 3))
    assert at(2, 3) < claim.start_at < at(2, 3, 30)
    assert claim.start_at == at(2, 3) + splay(jittery.cadence, "paper-drill")


def test_an_open_slot_holds_the_watermark_and_can_be_started_when_it_is_late() -> None:
    cadence = plan(jitter="30m").cadence
    for now, startable in ((at(2, 3), ()), (at(2, 4, 14), ()), (at(2, 4, 15), (at(2, 3),)), (at(2, 23), (at(2, 3),))):
        account = account_for(cadence, START, now, frozenset({at(1, 3)}))
        assert account == ((), at(1, 3), startable, False)
    settled = account_for(cadence, START, at(2, 23), frozenset({at(1, 3), at(2, 3)}))
    assert settled == ((), at(2, 3), (), False)


def test_what_is_over_is_missed_and_what_a_blackout_holds_is_waived() -> None:
    account = account_for(plan(blackouts=[BLACKOUT]).cadence, START, at(6, 12), frozenset({at(2, 3)}))
    told = {slot.tick: slot.outcome for slot in account.unrun}
    missed = dict.fromkeys((at(1, 3), at(3, 3), at(4, 3)), Outcome.MISSED)
    assert told == missed | {at(5, 3): Outcome.WAIVED}
    assert account.until == at(5, 3)
    assert account.startable == (at(6, 3),)


@pytest.mark.parametrize(
    "keys",
    [{"windows": [{"from": "02:00", "until": "04:00"}]}, {"blackouts": [BLACKOUT | {"until": "2026-01-09T00:00Z"}]}],
)
def test_nothing_is_startable_when_it_would_be_refused(keys: dict[str, object]) -> None:
    cadence = plan(late="run all", **keys).cadence
    assert account_for(cadence, at(3, 12), at(5, 12), frozenset()).startable == ()
    assert account_for(plan(late="run all").cadence, at(3, 12), at(5, 12), frozenset()).startable == (
        at(4, 3),
        at(5, 3),
    )


def test_a_cadence_that_ends_leaves_nothing_open() -> None:
    cadence = plan().cadence
    in_grace = account_for(cadence, at(1, 12), at(2, 4), frozenset(), closing="the plan was removed")
    assert [(s.tick, s.outcome, s.why) for s in in_grace.unrun] == [(at(2, 3), Outcome.WAIVED, "the plan was removed")]
    late = account_for(cadence, at(1, 12), at(2, 12), frozenset(), closing="the plan was removed")
    assert [s.outcome for s in late.unrun] == [Outcome.MISSED]  # taking a plan away does not undo that it was late
    assert late.until == at(2, 3)


def test_a_long_silence_is_accounted_for_in_bounded_pieces() -> None:
    cadence = Cadence.model_validate({"interval": "1m", "late": "skip", "grace": "30s"})
    after, seen, calls = START, 0, 0
    while True:
        account = account_for(cadence, after, START + DAY, frozenset())
        after, seen, calls = account.until, seen + len(account.unrun), calls + 1
        if not account.more:
            break
    # The last one is due right now, and open.
    assert (seen, calls) == (24 * 60 - 1, 3)


def test_with_much_still_open_there_is_not_more_for_ever() -> None:
    cadence = Cadence.model_validate({"interval": "1m", "late": "run all"})
    account = account_for(cadence, START, START + DAY, frozenset())
    assert not account.more
    assert account.until == START


CADENCES = [
    {"cron": "0 */6 * * *"},
    {"cron": "30 3 * * *", "timezone": "Europe/Berlin", "late": "skip", "grace": "4h"},
    {"cron": "0 3 * * 1", "jitter": "1h"},
    {"interval": "7h", "late": "run all", "late_within": "2d"},
    {
        "cron": "15 1 * * *",
        "blackouts": [{"from": "2026-03-27T00:00Z", "until": "2026-03-30T12:00Z", "reason": "freeze"}],
    },
]


class World:
    """What a ledger and a wall clock are to the slots of one plan."""

    def __init__(self, keys: dict[str, object]) -> None:
        self.plan = plan(**{"cron": None, "grace": None} | keys)
        self.now = self.since = self.newest = datetime(2026, 3, 25, 12, 0, tzinfo=UTC)  # clocks change on the 29th
        self.until = self.since
        self.fates: dict[datetime, str] = {}

    def write(self, tick: datetime, fate: str) -> None:
        """The ledger takes one run a slot: whoever comes second finds it taken."""
        self.fates.setdefault(tick, fate)

    def step(self, hours: float) -> None:
        self.now += timedelta(hours=hours)
        self.newest = max(self.newest, self.now)

    def look(self, _: float = 0) -> None:
        for _call in range(50):
            account = account_for(self.plan.cadence, self.until, self.now, frozenset(self.fates))
            assert not {slot.tick for slot in account.unrun} & set(self.fates), "what has its record gets no other"
            assert set(account.startable).isdisjoint(self.fates)
            for slot in account.unrun:
                self.write(slot.tick, slot.outcome.value)
            assert account.until >= self.until
            self.until = account.until
            if not account.more:
                return
        raise AssertionError("it never came to an end")

    def run(self, hours_ago: float) -> None:
        claim = claim_of(self.plan, self.now - timedelta(hours=hours_ago), self.now)
        self.write(claim.tick, claim.outcome.value if claim.outcome else "run")


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("step"), st.floats(-20, 40)),
        st.tuples(st.just("look"), st.just(0.0)),
        st.tuples(st.just("run"), st.floats(0, 30)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(CADENCES), ACTS)
def test_every_slot_has_exactly_one_record_whatever_happens(
    keys: dict[str, object], acts: list[tuple[str, float]]
) -> None:
    world = World(keys)
    for name, value in acts:
        getattr(world, name)(value)
    cadence = world.plan.cadence
    owed = list(ticks_between(cadence, world.since, world.newest))
    # A clock that was set back is right in the end; then everything that was ever due is over.
    world.now = max([world.newest, *(claim_deadline(cadence, tick) for tick in owed)])
    world.look()
    assert set(owed) <= set(world.fates)
    for tick, fate in world.fates.items():
        held = cadence.blackouts and cadence.blackouts[0].start <= tick < cadence.blackouts[0].end
        assert fate == "waived" if held else fate in {"run", "missed", "waived"}
    assert account_for(cadence, world.until, world.now, frozenset(world.fates)).unrun == ()


@pytest.mark.parametrize("late", list(Late))
def test_the_deadline_of_a_claim_and_of_the_watch_are_one(late: Late) -> None:
    """Else a slot could be missed for the one and open for the other."""
    policed = plan(late=late.value, **({"late_within": "30h"} if late is Late.RUN_ALL else {}))
    for hours in range(1, 80):
        now = at(2, 3) + hours * HOUR / 2
        is_open = claim_of(policed, at(2, 3), now).outcome is None
        missed = {s.tick for s in account_for(policed.cadence, at(1, 3), now, frozenset()).unrun}
        assert (at(2, 3) in missed) != is_open


def test_five_years_of_looks_cost_little() -> None:
    """A look that finds nothing new parses no cron: 20,000 of them in far less than parsing would take."""
    cadence = plan(cron="0 3 1 * *").cadence
    account_for(cadence, START, START + HOUR, frozenset())
    begun = time.perf_counter()
    for minute in range(20_000):
        account_for(cadence, START, START + timedelta(minutes=minute / 100), frozenset())
    assert time.perf_counter() - begun < 5
