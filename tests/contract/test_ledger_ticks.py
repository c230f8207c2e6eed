"""A tick is claimed once, by who owns it; the fence between two schedulers is exact."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from muster.cutover.schedule import Tick
from muster.errors import Refusal
from muster.ledger import Claimed, Ledger, Tenure, open_ledger
from muster.ledger.claiming import tick_key
from tests.contract.ledgers import AT, execute

MINUTE = timedelta(minutes=1)
NAMES = ("orders", "bank", "billing#nightly")
EVER = (AT - 1000 * MINUTE, AT + 1000 * MINUTE)


def whys(*claimed: Claimed) -> list[str]:
    return [each.why for each in claimed]


def explain(ledger: Ledger, statement: str) -> str:
    ask = "EXPLAIN" if ledger.engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    return "\n".join(str(row[-1]) for row in execute(ledger, f"{ask} {statement}"))


def test_a_tick_is_granted_once_and_both_answers_are_kept(url: str, ledger: Ledger) -> None:
    before = ledger.now()
    first = ledger.claim_tick("orders", AT, by="a/1")
    again = ledger.claim_tick("orders", AT, "blue", by="b/2")
    assert (first.granted, first.why) == (True, "granted")
    assert (again.granted, again.why) == (False, "duplicate")
    assert before <= first.at <= again.at <= ledger.now()
    with open_ledger(url) as other:
        (claim,) = other.claims_between(NAMES, *EVER)
        (refusal,) = other.refusals_between(NAMES, *EVER)
    key = Tick("orders", AT).key
    assert claim == (key, "orders", AT, None, "", first.at, "a/1")
    assert refusal == (key, "orders", AT, None, "blue", "duplicate", again.at, "b/2")


@pytest.mark.parametrize("name", ["orders", "bill ing#ä\n", "", "it's\\x00"])
@pytest.mark.parametrize("at", [AT, AT.replace(microsecond=0), AT.replace(microsecond=1, year=2099)])
def test_the_key_is_that_of_the_tick_in_every_tongue(ledger: Ledger, name: str, at: datetime) -> None:
    zone = datetime.fromisoformat("2026-01-01T00:00:00+05:30").tzinfo
    assert ledger.claim_tick(name, at.astimezone(zone)).granted
    assert not ledger.claim_tick(name, at).granted
    (claim,) = ledger.claims_between([name], at - MINUTE, at)
    assert claim.key == Tick(name, at).key == tick_key(name, at)
    assert claim.at == at


def test_a_tick_without_its_zone_is_none(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="offset"):
        ledger.claim_tick("orders", AT.replace(tzinfo=None))
    with pytest.raises(ValueError, match="offset"):
        ledger.raise_epochs(["orders"], "green", AT.replace(tzinfo=None), "blue")


def test_an_owned_schedule_is_its_owners(ledger: Ledger) -> None:
    ledger.assign_owner(["orders"], "blue")
    told = [ledger.claim_tick("orders", AT, holder) for holder in ("", "green", "blue", "green", "blue")]
    assert whys(*told) == ["fenced", "fenced", "granted", "fenced", "duplicate"]
    assert ledger.claim_tick("bank", AT, "green").granted, "nobody owns it"
    assert whys(ledger.claim_tick("orders", AT + MINUTE, "blue", epoch=2)) == ["fenced"], "an epoch that it never had"
    assert [claim.epoch for claim in ledger.claims_between(["orders", "bank"], *EVER)] == [None, 1]
    assert [(r.holder, r.why, r.epoch) for r in ledger.refusals_between(["orders"], *EVER)] == [
        ("", "fenced", None),
        ("green", "fenced", None),
        ("green", "fenced", None),
        ("blue", "duplicate", None),
        ("blue", "fenced", 2),
    ]


def test_the_watermark_is_the_old_ones_last_tick_and_the_new_one_may_catch_up(ledger: Ledger) -> None:
    ledger.assign_owner(["orders"], "blue")
    ledger.raise_epochs(["orders"], "green", AT, "blue")
    instant = timedelta(microseconds=1)
    assert whys(
        ledger.claim_tick("orders", AT, "blue"),
        ledger.claim_tick("orders", AT + instant, "blue"),
        ledger.claim_tick("orders", AT + instant, "green"),
        ledger.claim_tick("orders", AT - MINUTE, "green"),
        ledger.claim_tick("orders", AT - MINUTE, "blue"),
        ledger.claim_tick("orders", AT, "green"),
    ) == ["granted", "fenced", "granted", "granted", "duplicate", "duplicate"]


def test_a_scheduler_that_came_back_claims_for_its_newest_epoch_unless_told(ledger: Ledger) -> None:
    ledger.assign_owner(["orders"], "blue")
    ledger.raise_epochs(["orders"], "green", AT, "blue")
    ledger.raise_epochs(["orders"], "blue", AT + MINUTE, "green")
    late = AT + 2 * MINUTE
    assert whys(
        ledger.claim_tick("orders", late, "blue", epoch=1),
        ledger.claim_tick("orders", late, "green"),
        ledger.claim_tick("orders", late, "blue"),
        ledger.claim_tick("orders", AT, "blue", epoch=1),
    ) == ["fenced", "fenced", "granted", "granted"]
    assert [claim.epoch for claim in ledger.claims_between(["orders"], *EVER)] == [1, 3]


def test_owners_and_every_epoch_are_told(ledger: Ledger) -> None:
    before = ledger.now()
    ledger.assign_owner(NAMES, "blue")
    ledger.assign_owner(["other"], "blue")
    ledger.raise_epochs(["orders", "bank"], "green", AT, "blue")
    epochs = ledger.epochs_of(["orders", "billing#nightly", "unknown"])
    assert [(e.schedule, e.epoch, e.holder, e.until) for e in epochs] == [
        ("billing#nightly", 1, "blue", None),
        ("orders", 1, "blue", AT),
        ("orders", 2, "green", None),
    ]
    assert before <= epochs[1].since <= epochs[2].since <= ledger.now()
    assert ledger.owners_of(["orders", "unknown"]) == {"orders": epochs[2]}
    assert isinstance(epochs[0], Tenure)
    assert ledger.owners_of([]) == {}


def test_both_can_be_repeated_and_change_nothing_then(ledger: Ledger) -> None:
    ledger.assign_owner(NAMES, "blue")
    ledger.assign_owner([*NAMES, "new", "new"], "blue")
    assert len(ledger.epochs_of([*NAMES, "new"])) == 4
    ledger.raise_epochs(NAMES[:1], "green", AT, "blue")
    ledger.raise_epochs(NAMES, "green", AT + MINUTE, "blue")  # died half-way, told again
    done = ledger.epochs_of(NAMES)
    assert [e.until for e in done if e.epoch == 1] == [AT + MINUTE, AT + MINUTE, AT]
    ledger.raise_epochs(NAMES, "green", AT + 5 * MINUTE, "blue")
    ledger.raise_epochs([], "green", AT, "blue")
    ledger.assign_owner([], "blue")
    assert ledger.epochs_of(NAMES) == done


def test_an_owner_that_is_not_expected_is_refused_and_nothing_changes(ledger: Ledger) -> None:
    ledger.assign_owner(NAMES[:2], "blue")
    before = ledger.epochs_of(NAMES)
    for act in (
        lambda: ledger.raise_epochs(NAMES[:2], "green", AT, "red"),
        lambda: ledger.raise_epochs(NAMES, "green", AT, "blue"),
        lambda: ledger.assign_owner(NAMES, "green"),
    ):
        with pytest.raises(Refusal) as caught:
            act()
        assert caught.value.advice
        assert ledger.epochs_of(NAMES) == before
    with pytest.raises(Refusal, match="billing#nightly is nobody's, not blue's"):
        ledger.raise_epochs(NAMES, "green", AT, "blue")
    with pytest.raises(Refusal, match="and 97 more"):
        ledger.raise_epochs([f"s{n}" for n in range(100)], "green", AT, "blue")


def test_forgotten_owners_leave_the_claims(ledger: Ledger) -> None:
    ledger.assign_owner(NAMES, "blue")
    ledger.claim_tick("orders", AT, "blue")
    ledger.forget_owners(["orders"])
    assert [e.schedule for e in ledger.epochs_of(NAMES)] == ["bank", "billing#nightly"]
    assert len(ledger.claims_between(NAMES, *EVER)) == 1
    assert whys(ledger.claim_tick("orders", AT), ledger.claim_tick("orders", AT + MINUTE)) == ["duplicate", "granted"]
    ledger.assign_owner(["orders"], "green")
    assert ledger.owners_of(["orders"])["orders"].epoch == 1


def test_what_is_read_lies_after_one_moment_and_up_to_another(ledger: Ledger) -> None:
    for number in range(4):
        for _ in range(2):
            ledger.claim_tick("orders", AT + number * MINUTE)
    ledger.claim_tick("bank", AT + MINUTE)
    asked = (["orders"], AT, AT + 2 * MINUTE)
    for found in (ledger.claims_between(*asked), ledger.refusals_between(*asked)):
        assert [row.at for row in found] == [AT + MINUTE, AT + 2 * MINUTE]
    assert ledger.claims_between([], AT, AT + MINUTE) == ()
    index = explain(ledger, "SELECT * FROM ticks WHERE schedule = 'orders' AND at > '2026-01-01'")
    assert "ticks_by_time" in index or ledger.engine.dialect.name == "postgresql"


def test_ten_thousand_schedules_change_hands_at_once(ledger: Ledger) -> None:
    names = [f"job-{n}" for n in range(10_000)]
    ledger.assign_owner(names, "blue")
    began = time.perf_counter()
    ledger.raise_epochs(names, "green", AT, "blue")
    took = time.perf_counter() - began
    assert len(ledger.owners_of(names)) == 10_000
    assert {tenure.holder for tenure in ledger.owners_of(names).values()} == {"green"}
    assert len(ledger.epochs_of(names)) == 20_000
    assert took < 10, "a second on a quiet machine"


def rounds_of(ledger: Ledger) -> int:
    """SQLite has one writer at a time and waits for it by sleeping: there is little to race, and it takes long."""
    return 5 if ledger.engine.dialect.name == "sqlite" else 60


def together(acts: list[Callable[[], object]]) -> None:
    """Carry all out at once; the first error is the caller's."""
    gate = threading.Barrier(len(acts))

    def begin(act: Callable[[], object]) -> None:
        gate.wait(30)
        act()

    with ThreadPoolExecutor(len(acts)) as pool:
        for done in [pool.submit(begin, act) for act in acts]:
            done.result(60)


@pytest.mark.parametrize("owned", [False, True], ids=["nobody's", "owned"])
def test_of_threads_that_claim_one_tick_one_is_granted(url: str, ledger: Ledger, owned: bool) -> None:
    if owned:
        ledger.assign_owner(["orders"], "blue")
    ticks, told = 10, []

    def claim_all() -> None:
        with open_ledger(url) as own:
            told.extend(own.claim_tick("orders", AT + n * MINUTE, "blue").why for n in range(ticks))

    together([claim_all] * 8)
    assert (told.count("granted"), told.count("duplicate")) == (ticks, 7 * ticks)
    assert len(ledger.claims_between(["orders"], *EVER)) == ticks
    assert len(ledger.refusals_between(["orders"], *EVER)) == 7 * ticks


def test_nothing_of_the_old_epoch_passes_a_fence_that_stands(url: str, ledger: Ledger) -> None:
    """Claims of the old scheduler race the raise; by the ledger's clock none beyond the watermark comes after it."""
    rounds, beyond = rounds_of(ledger), 0
    schedules = [f"job-{n}" for n in range(rounds)]
    ledger.assign_owner(schedules, "blue")
    with open_ledger(url) as old, open_ledger(url) as older, open_ledger(url) as new:
        for name in schedules:
            stands = threading.Event()

            def claim(own: Ledger, first: int, name: str = name, stands: threading.Event = stands) -> None:
                for number in range(first, first + 200):
                    is_up = stands.is_set()
                    told = own.claim_tick(name, AT + (number + 1) * MINUTE / 1000, "blue")
                    assert not (is_up and told.granted)
                    if is_up:
                        return

            def hand_over(name: str = name, stands: threading.Event = stands) -> None:
                time.sleep(0.01)
                new.raise_epochs([name], "green", AT, "blue")
                stands.set()
                new.raise_epochs([name], "green", AT + MINUTE, "blue")

            together([lambda claim=claim: claim(old, 0), lambda claim=claim: claim(older, 1000), hand_over])
            first, second = ledger.epochs_of([name])
            assert (first.until, second.holder, second.until) == (AT, "green", None)
            late = [c.claimed_at for c in ledger.claims_between([name], *EVER)]
            assert all(moment < second.since for moment in late)
            beyond += len(late)
    assert beyond > rounds, "the race is none unless claims are granted before the fence stands"


def test_the_first_owner_is_a_fence_as_well(url: str, ledger: Ledger) -> None:
    """A claim that still believes that nobody owns the schedule is over when `assign_owner` returns."""
    with open_ledger(url) as old, open_ledger(url) as new:
        for number in range(rounds_of(ledger)):
            name = f"job-{number}"
            told: list[str] = []
            stands = threading.Event()

            def claim(name: str = name, told: list[str] = told, stands: threading.Event = stands) -> None:
                for tick in range(500):
                    is_up = stands.is_set()
                    told.append(old.claim_tick(name, AT + tick * MINUTE).why)
                    assert not (is_up and told[-1] == "granted")
                    if is_up:
                        return

            def own(name: str = name, stands: threading.Event = stands) -> None:
                time.sleep(0.01)
                new.assign_owner([name], "green")
                stands.set()

            together([claim, own])
            since = ledger.owners_of([name])[name].since
            assert all(c.claimed_at < since for c in ledger.claims_between([name], AT - MINUTE, AT + 501 * MINUTE))


def test_two_who_raise_at_once_end_with_one_owner(url: str, ledger: Ledger) -> None:
    for number in range(10):
        name = f"job-{number}"
        ledger.assign_owner([name], "blue")
        refused: list[str] = []

        def take(holder: str, name: str = name, refused: list[str] = refused) -> None:
            with open_ledger(url) as own:
                try:
                    own.raise_epochs([name], holder, AT, "blue")
                except Refusal:
                    refused.append(holder)

        together([lambda take=take: take("green"), lambda take=take: take("red")])
        assert len(refused) == 1
        owner = ledger.owners_of([name])[name]
        assert (owner.epoch, owner.holder in refused) == (2, False)
