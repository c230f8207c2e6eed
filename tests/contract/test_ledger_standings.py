"""Where a plan stands is what its runs say, in whatever order they open and end, whoever ends them, and from whatever
revision the ledger came."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from muster.ledger import Due, Ledger, Measures, Run, migrations, open_ledger
from muster.ledger.glance import glance
from muster.ledger.standing import RECENT, Mark, Standing
from muster.verdict import Outcome
from tests.contract.ledgers import AT, execute, new_run

JUDGED = (Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.ABORTED)
UNJUDGED = (Outcome.REFUSED, Outcome.MISSED, Outcome.WAIVED)
HOUR = timedelta(hours=1)


def _due(days: int, timetable: str = "daily") -> Due:
    """Of a slot so many days from the real now, as that of a pass always lies ahead."""
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
    return Due(timetable=timetable, cadence='{"cron":"0 3 * * *"}', due_at=at, overdue_at=at + HOUR)


def _open(ledger: Ledger, hours: float = 0, plan: str = "shop") -> Run:
    return ledger.open_run(new_run(plan, scheduled_at=AT + hours * HOUR, substance=f"s{hours}"))


def _drill(ledger: Ledger, outcome: Outcome, hours: float = 0, plan: str = "shop", due: Due | None = None) -> Run:
    run = _open(ledger, hours, plan)
    target = f"t{hours}" if outcome in JUDGED else None
    measures = Measures(rto_seconds=hours + 1.5, rpo_seconds=0.25) if outcome in JUDGED else None
    return ledger.close_run(run.run, outcome, None, measures, headline=f"h{hours}", target_digest=target, due=due)


def _standing(ledger: Ledger, plan: str = "shop") -> Standing:
    standing = ledger.standing(plan)
    assert standing
    return standing


# --- what a run makes of a standing -----------------------------------------------------------------------------


def test_a_plan_that_was_never_heard_of_has_no_standing(ledger: Ledger) -> None:
    assert ledger.standing("shop") is None
    assert ledger.standings() == ()
    assert ledger.rebuild_standings() == 0


def test_opening_a_run_makes_a_standing_that_counts_from_now(ledger: Ledger) -> None:
    before = ledger.now()
    run = _open(ledger)
    standing = _standing(ledger)
    assert standing == Standing(
        "shop", since=standing.since, accounted_until=standing.since, open_run=run.run, recent=()
    )
    assert standing.since
    assert before <= standing.since <= run.opened_at


def test_a_pass_is_all_told(ledger: Ledger) -> None:
    run, due = _open(ledger), _due(1)
    ledger.set_bundle(run.run, "a" * 64, "shop/a.tar.gz")
    measures = Measures(rto_seconds=7.25, rpo_seconds=0.5)
    closed = ledger.close_run(
        run.run, Outcome.PASSED, None, measures, headline="All 9 checks passed.", target_digest="t", due=due
    )
    assert (closed.headline, closed.target_digest) == ("All 9 checks passed.", "t")
    standing = _standing(ledger)
    assert standing == Standing(
        plan="shop",
        since=standing.since,
        accounted_until=standing.since,
        **due.model_dump(),
        last_run=run.run,
        last_at=AT,
        last_outcome="passed",
        last_bundle="shop/a.tar.gz",
        judged_run=run.run,
        judged_at=AT,
        judged_outcome="passed",
        judged_headline="All 9 checks passed.",
        pass_run=run.run,
        pass_at=run.opened_at,
        pass_substance="s0",
        pass_target="t",
        pass_rto=7.25,
        pass_rpo=0.5,
        pass_bundle="shop/a.tar.gz",
        seen_target="t",
        seen_at=closed.ended_at,
        recent=(Mark(AT, "passed", 7.25, 0.5),),
    )


def test_a_pass_was_measured_when_it_opened_or_at_its_slot_if_that_is_later(ledger: Ledger) -> None:
    run = ledger.open_run(new_run(scheduled_at=ledger.now() + HOUR))
    ledger.close_run(run.run, Outcome.PASSED)
    assert _standing(ledger).pass_at == run.scheduled_at > run.opened_at


@pytest.mark.parametrize("outcome", UNJUDGED)
def test_what_did_not_run_says_nothing_of_the_system(ledger: Ledger, outcome: Outcome) -> None:
    passed = _drill(ledger, Outcome.PASSED, 0, due=_due(1))
    before = _standing(ledger)
    unrun = _drill(ledger, outcome, 1)
    after = _standing(ledger)
    assert (after.last_run, after.last_at, after.last_outcome) == (unrun.run, unrun.scheduled_at, outcome)
    assert after.judged_run == after.pass_run == passed.run
    kept = ("judged_at", "judged_outcome", "judged_headline", "pass_at", "due_at", "overdue_at", "seen_target")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
    assert [mark.outcome for mark in after.recent] == ["passed", outcome]


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.ABORTED])
def test_what_ran_and_did_not_pass_leaves_the_last_pass(ledger: Ledger, outcome: Outcome) -> None:
    passed = _drill(ledger, Outcome.PASSED, 0, due=_due(1))
    failed = _drill(ledger, outcome, 1)
    standing = _standing(ledger)
    assert (standing.judged_run, standing.judged_outcome, standing.judged_headline) == (failed.run, outcome, "h1")
    assert (standing.pass_run, standing.pass_target, standing.seen_target) == (passed.run, "t0", "t1")
    assert standing.due_at


def test_a_slot_recorded_late_stands_before_the_runs_that_came_after_it(ledger: Ledger) -> None:
    due = _due(1)
    passed = _drill(ledger, Outcome.PASSED, 5, due=due)
    _drill(ledger, Outcome.MISSED, 3)
    standing = _standing(ledger)
    assert standing.last_run == standing.judged_run == standing.pass_run == passed.run
    assert standing.due_at == due.due_at
    assert [mark.outcome for mark in standing.recent] == ["missed", "passed"]


def test_what_was_measured_last_counts_though_its_slot_is_older(ledger: Ledger) -> None:
    """After an outage a slot is served late: beside a drill that a person ran in the meantime, it is the news."""
    passed = _drill(ledger, Outcome.PASSED, 5, due=_due(1))
    failed = _drill(ledger, Outcome.FAILED, 2)
    standing = _standing(ledger)
    assert (standing.last_run, standing.pass_run, standing.judged_run) == (passed.run, passed.run, failed.run)
    due = _due(2)
    again = _drill(ledger, Outcome.PASSED, 1, due=due)
    standing = _standing(ledger)
    assert (standing.last_run, standing.pass_run, standing.judged_run) == (passed.run, again.run, again.run)
    assert (standing.due_at, standing.pass_at) == (due.due_at, again.opened_at)
    assert ledger.rebuild_standings() == 1
    assert _standing(ledger) == standing


def test_a_run_of_a_time_to_come_says_nothing_once_the_clock_is_set_back(ledger: Ledger) -> None:
    kept = _drill(ledger, Outcome.PASSED, due=_due(1))
    wrong = _drill(ledger, Outcome.PASSED, 1, due=_due(400))
    assert _standing(ledger).pass_run == wrong.run
    ahead = (datetime.now(UTC) + timedelta(days=366)).isoformat(timespec="microseconds")
    execute(ledger, f"UPDATE runs SET opened_at = '{ahead}' WHERE run = '{wrong.run}'")
    _drill(ledger, Outcome.REFUSED, 2)
    standing = _standing(ledger)
    assert (standing.judged_run, standing.pass_run) == (kept.run, kept.run)
    assert standing.due_at is None, "it was reckoned from the other pass: readers reckon it anew"
    due = _due(2)
    again = _drill(ledger, Outcome.PASSED, 3, due=due)
    assert (_standing(ledger).pass_run, _standing(ledger).due_at) == (again.run, due.due_at)


def test_the_newest_open_run_is_told_until_it_ends(ledger: Ledger) -> None:
    late, early = _open(ledger, 2), _open(ledger, 1)
    assert _standing(ledger).open_run == late.run
    ledger.close_run(late.run, Outcome.ABORTED)
    assert _standing(ledger).open_run == early.run
    ledger.close_run(early.run, Outcome.ABORTED)
    assert _standing(ledger).open_run is None


def test_the_newest_marks_are_kept(ledger: Ledger) -> None:
    for hours in range(RECENT + 3):
        _drill(ledger, Outcome.PASSED, hours)
    recent = _standing(ledger).recent
    assert [mark.at for mark in recent] == [AT + hours * HOUR for hours in range(3, RECENT + 3)]
    assert recent[-1].rto_seconds == RECENT + 2 + 1.5


def test_a_pass_without_a_due_time_makes_the_old_one_stale(ledger: Ledger) -> None:
    _drill(ledger, Outcome.PASSED, 0, due=_due(1))
    _drill(ledger, Outcome.PASSED, 1)
    standing = _standing(ledger)
    assert (standing.timetable, standing.due_at, standing.overdue_at) == ("", None, None)


def test_ending_a_run_again_changes_no_standing(ledger: Ledger) -> None:
    run = _drill(ledger, Outcome.PASSED, due=_due(1))
    before = _standing(ledger)
    ledger.close_run(run.run, Outcome.PASSED, headline="another", target_digest="another")
    assert _standing(ledger) == before
    assert ledger.run(run.run).headline == "h0"


def test_a_bundle_that_comes_after_the_end_is_told(ledger: Ledger) -> None:
    run = _drill(ledger, Outcome.PASSED)
    ledger.set_bundle(run.run, "a" * 64, "shop/a.tar.gz")
    assert (_standing(ledger).last_bundle, _standing(ledger).pass_bundle) == ("shop/a.tar.gz",) * 2
    assert _standing(ledger).pass_run == run.run


# --- made again from the runs ------------------------------------------------------------------------------------

_ACTS = st.lists(
    st.tuples(
        st.integers(0, 7),  # which slot
        st.sampled_from(("shop", "bank")),
        st.none() | st.sampled_from(Outcome),  # None: open it; else end it so
        st.booleans(),  # with a due time, a target, a bundle
    ),
    max_size=30,
)


@pytest.fixture(scope="module")
def sqlite_ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:///{tmp_path_factory.mktemp('standings') / 'ledger.sqlite'}") as opened:
        yield opened


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=_ACTS)
def test_standings_kept_run_by_run_are_those_made_from_all_runs(
    sqlite_ledger: Ledger, acts: list[tuple[int, str, Outcome | None, bool]]
) -> None:
    _act(sqlite_ledger, acts)
    _is_what_the_runs_say(sqlite_ledger)


def test_standings_kept_run_by_run_are_those_made_from_all_runs_on_either_database(ledger: Ledger) -> None:
    draw = random.Random(7)
    acts = [
        (draw.randrange(20), draw.choice(("shop", "bank")), draw.choice((None, *Outcome)), draw.random() < 0.5)
        for _ in range(150)
    ]
    _act(ledger, acts)
    assert len(_standing(ledger).recent) == RECENT
    _is_what_the_runs_say(ledger)
    execute(ledger, "UPDATE standings SET last_run = 'x', pass_rto = 9, recent = '[]', open_run = 'y'")
    wrong = ledger.standings()
    ledger.rebuild_standings()
    assert ledger.standings() != wrong, "a standing that has drifted is mended"
    _is_what_the_runs_say(ledger)


def _act(ledger: Ledger, acts: list[tuple[int, str, Outcome | None, bool]]) -> None:
    for table in ("standings", "runs"):
        execute(ledger, f"DELETE FROM {table}")
    known: dict[tuple[int, str], Run] = {}
    for slot, plan, outcome, is_rich in acts:
        run = known.get((slot, plan))
        if run is None:
            run = known[slot, plan] = ledger.open_run(new_run(plan, scheduled_at=AT + slot * HOUR))
        if outcome is None or ledger.run(run.run).outcome is not None:
            continue
        if is_rich:
            ledger.set_bundle(run.run, "a" * 64, f"{plan}/{slot}.tar.gz")
        ledger.close_run(
            run.run,
            outcome,
            measures=Measures(rto_seconds=slot),
            headline=f"slot {slot}",
            target_digest=f"t{slot}" if is_rich else None,
            due=_due(slot) if is_rich else None,
        )


def _is_what_the_runs_say(ledger: Ledger) -> None:
    kept = ledger.standings()
    assert ledger.rebuild_standings() == len(kept)
    assert ledger.standings() == kept
    execute(ledger, "DELETE FROM standings")
    assert ledger.rebuild_standings() == len(kept)
    outside = {"since", "accounted_until", "timetable", "cadence", "due_at", "overdue_at"}
    told = [name for name in Standing._fields if name not in outside]
    for made, was in zip(ledger.standings(), kept, strict=True):
        assert {n: getattr(made, n) for n in told} == {n: getattr(was, n) for n in told}


def test_a_newer_sighting_outlives_a_rebuild(ledger: Ledger) -> None:
    _drill(ledger, Outcome.PASSED)
    ledger.record_sighting("shop", "moved")
    assert ledger.rebuild_standings() == 1
    assert (_standing(ledger).seen_target, _standing(ledger).pass_target) == ("moved", "t0")


def test_a_rebuild_finds_plans_anew_and_misses_no_slot_of_theirs(ledger: Ledger) -> None:
    run = _drill(ledger, Outcome.PASSED)
    execute(ledger, "DELETE FROM standings")
    before = ledger.now()
    ledger.rebuild_standings()
    standing = _standing(ledger)
    assert standing.since == run.opened_at
    assert standing.accounted_until
    assert standing.accounted_until >= before


# --- several at once ----------------------------------------------------------------------------------------------


def test_runs_of_one_plan_that_end_at_once_are_all_told(url: str, ledger: Ledger) -> None:
    opened = [_open(ledger, hours) for hours in range(RECENT)]

    def end(run: Run) -> None:
        with open_ledger(url) as mine:
            mine.close_run(run.run, Outcome.PASSED, target_digest="t")
            mine.open_run(new_run("bank"))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(end, opened))
    standing = _standing(ledger)
    assert [mark.at for mark in standing.recent] == [run.scheduled_at for run in opened]
    assert (standing.open_run, standing.pass_run) == (None, opened[-1].run)
    kept = ledger.standings()
    ledger.rebuild_standings()
    assert ledger.standings() == kept


# --- plans --------------------------------------------------------------------------------------------------------


def test_enrolled_plans_count_from_now(ledger: Ledger) -> None:
    ledger.enroll({})
    before, due = ledger.now(), _due(1)
    ledger.enroll({"shop": due, "bank": due})
    bank, shop = ledger.standings()
    assert shop == bank._replace(plan="shop")
    assert bank == Standing("bank", since=bank.since, accounted_until=bank.since, **due.model_dump())
    assert bank.since
    assert before <= bank.since <= ledger.now()


def test_enrolling_again_keeps_the_account_and_takes_the_new_cadence(ledger: Ledger) -> None:
    ledger.enroll({"shop": _due(1)})
    first = _standing(ledger)
    ledger.enroll({"shop": (weekly := _due(7, "weekly"))})
    assert _standing(ledger) == first._replace(**weekly.model_dump())
    run = _drill(ledger, Outcome.PASSED)
    ledger.enroll({"shop": weekly})
    assert (_standing(ledger).pass_run, _standing(ledger).timetable) == (run.run, "weekly")


def test_a_due_time_from_before_the_last_pass_is_left_out(ledger: Ledger) -> None:
    due = _due(1)
    _drill(ledger, Outcome.PASSED, due=due)
    ledger.enroll({"shop": _due(-1, "computed too early")})
    assert (_standing(ledger).due_at, _standing(ledger).timetable) == (due.due_at, "daily")


def test_a_plan_that_is_gone_is_retired_once_and_counts_from_now_when_it_is_back(ledger: Ledger) -> None:
    ledger.enroll({"shop": _due(1), "bank": _due(1)})
    ledger.retire("shop")
    ledger.retire("nobody")
    gone = _standing(ledger)
    assert gone.retired_at
    assert _standing(ledger, "bank").retired_at is None
    ledger.retire("shop")
    assert _standing(ledger) == gone
    ledger.enroll({"shop": _due(1), "bank": _due(1)})
    back, bank = _standing(ledger), _standing(ledger, "bank")
    assert back.retired_at is None
    assert back.since == gone.since
    assert back.accounted_until
    assert back.accounted_until > gone.retired_at, "no slot of the time when there was no plan was missed"
    assert bank.accounted_until == bank.since


def test_the_account_never_moves_backwards(ledger: Ledger) -> None:
    ledger.enroll({"shop": _due(1), "bank": _due(1)})
    start = _standing(ledger).accounted_until
    assert start
    ledger.set_accounted({})
    ledger.set_accounted({"shop": start + 2 * HOUR, "bank": start - HOUR, "nobody": start})
    ledger.set_accounted({"shop": start + HOUR})
    assert _standing(ledger).accounted_until == start + 2 * HOUR
    assert _standing(ledger, "bank").accounted_until == start
    assert ledger.standing("nobody") is None


def test_a_sighting_between_runs_is_kept(ledger: Ledger) -> None:
    before = ledger.now()
    ledger.record_sighting("shop", "a")
    ledger.record_sighting("shop", "b")
    standing = _standing(ledger)
    assert standing.seen_target == "b"
    assert standing.seen_at
    assert before <= standing.seen_at <= ledger.now()
    assert standing.pass_target is None


# --- from an older revision ---------------------------------------------------------------------------------------

_OLD_RUN = """
INSERT INTO runs (run, plan, plan_digest, kind, target_type, slot, scheduled_at, opened_at, trigger, reason, owner_host,
                  owner_boot_id, owner_pid, owner_started, lease_until, needs_undo, outcome, rto_seconds, ended_at,
                  bundle_key, facts)
VALUES (:run, :plan, 'd', 'restore', 'embedded', :slot, :scheduled_at, :opened_at, 'command line', '', 'h', 'b', 1, 2,
        :opened_at, false, :outcome, 5.5, :opened_at, 'old/' || :run, '{}')
"""


def _make_0001(url: str) -> None:
    """A ledger as the first release left it, with runs."""
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True)
    config = Config()
    config.set_main_option("script_location", str(Path(str(migrations.__file__)).parent).replace("%", "%%"))
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for hours, (plan, outcome, slot) in enumerate(
            (("shop", "passed", None), ("shop", "failed", "key"), ("bank", "refused", None), ("shop", None, None))
        ):
            at = (AT + hours * HOUR).isoformat(timespec="microseconds")
            due = (AT - HOUR).isoformat(timespec="microseconds") if slot else None
            row = {"run": f"old-{hours}", "plan": plan, "outcome": outcome, "opened_at": at}
            connection.execute(text(_OLD_RUN), row | {"slot": slot, "scheduled_at": due})
    engine.dispose()


@pytest.mark.parametrize("opens", ["open_ledger", "glance"])
def test_a_ledger_of_the_first_release_gets_its_standings(url: str, opens: str) -> None:
    _make_0001(url)
    if opens == "glance":
        assert set(glance(url).standings) == {"shop", "bank"}
    with open_ledger(url) as ledger:
        bank, shop = ledger.standings()
        assert (shop.open_run, shop.since, shop.timetable) == ("old-3", AT, "")
        assert (shop.last_run, shop.pass_run) == ("old-0", "old-0"), "old-1 was due before old-0"
        assert shop.judged_run == "old-1", "and opened after it"
        assert (shop.pass_at, shop.pass_rto, shop.pass_bundle) == (AT, 5.5, "old/old-0")
        assert [mark.outcome for mark in shop.recent] == ["failed", "passed"]
        assert (bank.last_outcome, bank.judged_run) == ("refused", None)
        assert shop.accounted_until
        assert shop.accounted_until > AT + timedelta(days=1), "what nobody promised was not missed"
        old = ledger.run("old-0")
        assert (old.scheduled_at, old.slot, old.substance, old.headline, old.requested_by) == (AT, None, "", "", "")
        assert glance(url).standings == {"bank": bank, "shop": shop}
        kept = ledger.standings()
        ledger.close_run("old-3", Outcome.PASSED)
        assert (_standing(ledger).pass_run, _standing(ledger).open_run) == ("old-3", None)
    with open_ledger(url) as again:
        assert again.standing("bank") == kept[0]


def test_the_first_run_is_the_one_that_was_opened_first_and_begins_the_standing_of_a_plan_nobody_enrolled(
    ledger: Ledger,
) -> None:
    assert ledger.first_run("shop") is None
    first = _open(ledger, 5)
    _open(ledger, 0)
    _open(ledger, 9, "bank")
    assert ledger.first_run("shop") == first
    since = _standing(ledger).since
    assert since is not None
    assert abs(first.opened_at - since) < timedelta(seconds=1)
