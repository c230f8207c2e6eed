"""Looks at targets: the newest is cheap to read and says since when it is so, the history is bounded."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from evidence.slots import stamp
from muster.finding import Finding, judge, not_asked, unseen
from muster.ledger import Ledger, Look, NewLook, open_ledger
from muster.ledger.glance import LOOKS, glance
from muster.ledger.looks import KEPT, KEPT_FOR
from muster.ledger.rows import to_utc
from muster.ledger.standing import STALE_AFTER
from muster.verdict import Verdict
from tests.contract.ledgers import execute

EVERY = 300.0
WELL = judge("lag", True, "at most 10 s", "0.1 s behind")
ILL = judge("lag", False, "at most 10 s", "31 s behind", "the standby does not keep up")
BLIND = unseen("reachable", "every server answers", "no answer", "start them")
QUIET = not_asked("synchronous", "a standby", "failover.commit")


def a_look(*findings: Finding, plan: str = "orders", substance: str = "s", by: str = "watch") -> NewLook:
    return NewLook(
        plan=plan, substance=substance, by=by, host="db1", findings=findings, seconds=0.25, every_seconds=EVERY
    )


def record(ledger: Ledger, looks: Sequence[NewLook]) -> list[Look]:
    return [ledger.record_look(look) for look in looks]


def age(ledger: Ledger, seconds: float, plan: str = "orders") -> None:
    """Make the plan's looks what they would be, had all been taken so long ago."""
    for table in ("looks", "readiness"):
        for at, since in set(execute(ledger, f"SELECT at, since FROM {table} WHERE plan = '{plan}'")):
            older = [_older(moment, seconds) for moment in (at, since)]
            where = f"plan = '{plan}' AND at = '{at}' AND since = '{since}'"
            execute(ledger, f"UPDATE {table} SET at = '{older[0]}', since = '{older[1]}' WHERE {where}")


def _older(moment: object, seconds: float) -> str:
    return stamp(to_utc(moment) - timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("findings", "verdict", "why", "advice"),
    [
        ((WELL, QUIET), Verdict.PASS, "", ""),
        ((WELL, BLIND, ILL), Verdict.FAIL, "lag: 31 s behind", "the standby does not keep up"),
        ((WELL, BLIND), Verdict.INCONCLUSIVE, "reachable: not observed: no answer", "start them"),
        ((QUIET,), Verdict.INCONCLUSIVE, "", ""),
        ((), Verdict.INCONCLUSIVE, "", ""),
    ],
    ids=["ready", "not ready", "not seen", "nothing asked", "nothing found"],
)
def test_a_look_is_kept_as_it_was(
    url: str, ledger: Ledger, findings: tuple[Finding, ...], verdict: Verdict, why: str, advice: str
) -> None:
    before = ledger.now()
    look = ledger.record_look(a_look(*findings, by="ann"))
    assert (look.plan, look.number, look.by, look.host, look.substance) == ("orders", 1, "ann", "db1", "s")
    assert (look.verdict, look.findings, look.seconds, look.since) == (verdict, findings, 0.25, look.at)
    assert before <= look.at <= ledger.now()
    assert ledger.looks("orders", 10) == (look,)
    last = ledger.last_look("orders")
    assert last is not None
    assert (last.verdict, last.why, last.advice, last.times, last.number) == (verdict, why, advice, 1, 1)
    assert (last.at, last.since, last.by, last.host, last.seconds) == (look.at, look.at, "ann", "db1", 0.25)
    assert glance(url).looks == ledger.last_looks() == {"orders": last}
    with open_ledger(url) as again:
        assert again.last_looks() == {"orders": last}


def test_a_plan_never_looked_at_has_none(url: str, ledger: Ledger) -> None:
    ledger.record_look(a_look(WELL, plan="other"))
    assert ledger.last_look("orders") is None
    assert ledger.looks("orders", 10) == ()
    assert list(glance(url).looks) == ["other"]


def test_since_is_when_it_began_to_be_so(ledger: Ledger) -> None:
    first, second = record(ledger, [a_look(WELL), a_look(WELL, by="ann")])
    assert (second.since, second.number) == (first.at, 2)
    third, fourth = record(ledger, [a_look(ILL), a_look(ILL)])
    assert (third.since, fourth.since) == (third.at, third.at)
    last = ledger.last_look("orders")
    assert last is not None
    assert (last.times, last.number) == (2, 4)
    (fifth,) = record(ledger, [a_look(WELL)])
    assert fifth.since == fifth.at, "what it was before it was not ready says nothing of now"
    assert [look.number for look in ledger.looks("orders", 3)] == [5, 4, 3]


def test_since_spans_no_time_in_which_nobody_looked(ledger: Ledger) -> None:
    first = ledger.record_look(a_look(WELL))
    age(ledger, STALE_AFTER * EVERY - 60)
    second = ledger.record_look(a_look(WELL))
    assert second.since < first.at, "a look that is not old yet is joined by the next"
    age(ledger, STALE_AFTER * EVERY + 60)
    third = ledger.record_look(a_look(WELL))
    assert third.since == third.at
    last = ledger.last_look("orders")
    assert last is not None
    assert last.times == 1


def test_a_look_at_something_else_begins_anew(ledger: Ledger) -> None:
    ledger.record_look(a_look(WELL))
    changed = ledger.record_look(a_look(WELL, substance="t"))
    assert changed.since == changed.at


def test_a_look_dated_in_the_future_is_not_joined(ledger: Ledger) -> None:
    """Some clock was set back since."""
    ledger.record_look(a_look(WELL))
    age(ledger, -3600)
    after = ledger.record_look(a_look(WELL))
    assert after.since == after.at


def test_the_history_of_a_plan_is_bounded_by_count(ledger: Ledger) -> None:
    record(ledger, [a_look(WELL), a_look(WELL), a_look(WELL, plan="other")])
    for table in ("looks", "readiness"):
        execute(ledger, f"UPDATE {table} SET number = {KEPT} WHERE plan = 'orders' AND number = 2")
    assert len(ledger.looks("orders", 10)) == 2
    record(ledger, [a_look(WELL)])
    assert [look.number for look in ledger.looks("orders", 10)] == [KEPT + 1, KEPT]
    assert len(ledger.looks("other", 10)) == 1


def test_old_looks_go_whosever_they_are_and_the_newest_row_stays(ledger: Ledger) -> None:
    record(ledger, [a_look(WELL), a_look(WELL, plan="retired")])
    age(ledger, KEPT_FOR.total_seconds() - 3600, "orders")
    age(ledger, KEPT_FOR.total_seconds() + 3600, "retired")
    record(ledger, [a_look(ILL)])
    assert [look.number for look in ledger.looks("orders", 10)] == [2, 1]
    assert ledger.looks("retired", 10) == ()
    assert ledger.last_look("retired") is not None


def test_looks_at_one_plan_at_once_each_get_their_number(url: str, ledger: Ledger) -> None:
    def look(_: int) -> int:
        with open_ledger(url) as own:
            return own.record_look(a_look(WELL)).number

    with ThreadPoolExecutor(4) as pool:
        numbers = sorted(pool.map(look, range(12)))
    assert numbers == list(range(1, 13))
    last = ledger.last_look("orders")
    assert last is not None
    assert (last.number, last.times) == (12, 12)


def test_the_newest_looks_are_read_without_the_history(ledger: Ledger) -> None:
    explain = "EXPLAIN" if ledger.engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    told = "\n".join(str(row[-1]) for row in execute(ledger, f"{explain} {LOOKS}"))
    assert not re.search(r"\blooks\b", told)
    assert re.search(r"\breadiness\b", told)
