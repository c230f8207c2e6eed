"""Two packages of one log: what the first leaves open or comes late is told by the second, and no third hides it."""

import json
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evidence.envelope import sign
from evidence.keyring import Action, Facts, Role
from evidence.keys import public_key_of
from evidence.log import Bundle, run_draft
from evidence.plans import PlanEvent, PlanStatement
from evidence.statement import PredicateType, canonical, utc
from evidence.verify import Judge, Report, default_judge, judge_by_openssl, parse_vkey
from tests.paper_package import (
    BEGIN,
    END,
    HOUR,
    Auditor,
    Installation,
    Period,
    Run,
    day,
    digest,
    envelope_in,
    in_order,
    open_row,
    row,
)

DAY = timedelta(days=1)
MIDDLE = day(9) + 2 * HOUR
"""When the first package is made: its last due time came two hours ago."""
LEFT = Run(9)
"""Open in the first package, for another day and an hour."""


@pytest.fixture
def home(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


@pytest.fixture
def auditor(tmp_path: Path, home: Installation) -> Auditor:
    return Auditor(tmp_path, home.pinned)


@dataclass
class Two:
    """A package up to `MIDDLE`, and what is made of the time after it."""

    auditor: Auditor
    first: Path
    next: Period

    def look(self, **given: Any) -> Report:
        return self.auditor.look(self.next.package(), **({"before": self.first} | given))

    def failed(self, **given: Any) -> set[str]:
        return {proof.name for proof in self.look(**given).proofs if proof.ok is False}

    def seen(self, check: str = "population") -> str:
        return next(proof.seen for proof in self.look().proofs if proof.name == check)


def begun(home: Installation, **says: Any) -> Period:
    """The first package: one run passed, one due time is open."""
    period = Period(home, name="first", until=MIDDLE)
    period.enter_keys()
    period.enter_run(Run(1))
    period.says |= {"open": [open_row(LEFT)]} | says
    return period


def two(auditor: Auditor, period: Period, since: Any = MIDDLE, until: Any = END) -> Two:
    first = auditor.folder / "first.tar.gz"
    first.write_bytes(period.package())
    assert auditor.look(first.read_bytes()).verdict == "pass"
    return Two(auditor, first, period.next("second", since, until))


def enter_elsewhere(period: Period, run: Run, at: Any = None) -> dict[str, Any]:
    """Log a run, and hide it: its row is given back, and neither bundle nor receipt is in the package."""
    period.enter_run(run, logged_at=at)
    for name in (f"runs/{run.key}", f"receipts/{run.key}.dsse.json"):
        del period.files[name]
    return period.rows.pop()


# --- Due times that were open -----------------------------------------------------------------------------------------

ENDS: dict[str, Callable[[Two], Any]] = {
    "it passed, and is told as late": lambda t: t.next.says.update(late=[late(t, LEFT)]),
    "it failed, and is told as late": lambda t: t.next.says.update(late=[late(t, replace(LEFT, outcome="failed"))]),
    "it is open still": lambda t: t.next.says.update(carried=[open_row(LEFT)]),
}


def late(t: Two, run: Run) -> dict[str, Any]:
    t.next.enter_run(run)
    return t.next.rows.pop()


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("judge", [default_judge, judge_by_openssl], ids=["cryptography", "openssl"])
def test_what_was_open_and_is_told_raises_no_alarm(
    home: Installation, auditor: Auditor, end: str, judge: Judge
) -> None:
    found = two(auditor, begun(home))
    ENDS[end](found)
    report = found.look(judge=judge)
    assert report.verdict == "pass", report.proofs


LOST: dict[str, Callable[[Two], Any]] = {
    "it is told nowhere": lambda t: None,
    "another due time is told": lambda t: t.next.says.update(carried=[open_row(Run(8))]),
    "it is told as run on another day": lambda t: t.next.enter_run(Run(10)),
    "it is told as a gap": lambda t: t.next.says.update(carried=[row(replace(LEFT, outcome="unsealed"), None)]),
    "it failed, and that is left out": lambda t: enter_elsewhere(t.next, replace(LEFT, outcome="failed")),
    "it failed, and is told as open": lambda t: (
        enter_elsewhere(t.next, replace(LEFT, outcome="failed")), t.next.says.update(carried=[open_row(LEFT)]),
    ),
    "it is open for longer than it could be": lambda t: (
        t.next.enter_run(Run(11)), t.next.says.update(carried=[open_row(LEFT)]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", LOST)
@pytest.mark.parametrize("judge", [default_judge, judge_by_openssl], ids=["cryptography", "openssl"])
def test_what_was_open_cannot_be_lost_between_two_packages(
    home: Installation, auditor: Auditor, way: str, judge: Judge
) -> None:
    found = two(auditor, begun(home))
    LOST[way](found)
    assert found.failed(judge=judge) == {"population"}


def test_a_failure_told_as_open_is_caught_without_the_package_before_it_too(
    home: Installation, auditor: Auditor
) -> None:
    found = two(auditor, begun(home))
    found.next.says["carried"] = [open_row(LEFT)]
    assert auditor.failed(found.next.package()) == set()
    enter_elsewhere(found.next, replace(LEFT, outcome="failed"))
    assert auditor.failed(found.next.package()) == {"population"}


def test_what_was_open_is_told_by_every_package_until_it_is_over(home: Installation, auditor: Auditor) -> None:
    period = begun(home, open=[open_row(LEFT, day(12))])
    found = two(auditor, period)
    found.next.until = day(11)
    found.next.enter_run(Run(10))
    found.next.says["carried"] = [open_row(LEFT, day(12))]
    assert found.failed() == set()
    third = two(auditor, found.next, since=day(11))
    third.next.enter_run(Run(14))
    assert third.failed() == {"population"}
    assert "restore-shop 2026-07-10T03:00:00Z: open in the package before, and told nowhere since" in third.seen()
    third.next.says["carried"] = [row(replace(LEFT, outcome="unsealed"), None)]
    assert "due, and nothing was sealed" in third.seen()


def test_packages_whose_periods_overlap_or_turn_back_tell_it_where_it_belongs(
    home: Installation, auditor: Auditor
) -> None:
    again = two(auditor, begun(home), since=BEGIN)  # the first period once more, and what came since
    bundle = home.bundle(Run(1))
    receipt = home.receipt(Run(1).key, bundle, Run(1).ended_at + HOUR - timedelta(minutes=1))
    again.next.files |= {f"runs/{Run(1).key}": bundle, f"receipts/{Run(1).key}.dsse.json": receipt}
    again.next.rows.append(row(Run(1), 2))
    again.next.says["open"] = [open_row(LEFT)]
    assert again.failed() == set()
    again.next.says |= {"open": [], "carried": [open_row(LEFT)]}
    assert "restore-shop 2026-07-10T03:00:00Z is of this period" in again.seen()

    earlier = two(auditor, begun(home), since=BEGIN - 90 * DAY, until=BEGIN)  # of a time before the first
    earlier.next.says["carried"] = [open_row(LEFT)]
    assert earlier.failed() == set()
    run = replace(LEFT, outcome="failed")
    enter_elsewhere(earlier.next, run)
    earlier.next.says["carried"] = []
    report = earlier.look()
    assert report.verdict == "pass", report.proofs  # a package of this time has nothing to tell of that one
    assert any("1 runs of times after this period" in each for each in report.remarks)


def test_an_older_package_that_is_not_the_one_before_is_compared_as_far_as_it_can_be(
    home: Installation, auditor: Auditor
) -> None:
    first = two(auditor, begun(home))
    first.next.until = day(12)
    first.next.says["carried"] = [row(replace(LEFT, outcome="unsealed"), None)]
    first.next.enter_run(Run(11))
    third = Two(auditor, first.first, first.next.next("third", day(12), END))
    third.next.enter_run(Run(13))
    report = third.look()
    assert report.verdict == "pass", report.proofs
    told = " ".join(report.remarks)
    assert "the older package is not the one that previous.json names" in told
    assert "restore-shop 2026-07-10T03:00:00Z was open in the older package, and has no record here" in told
    assert "the older package" not in " ".join(third.look(before=None).remarks)


def test_of_packages_from_before_the_format_it_is_told_and_nothing_is_failed(
    home: Installation, auditor: Auditor
) -> None:
    old_row = row(replace(LEFT, outcome="open"), None)
    period = begun(home, open=[old_row])
    period.is_old = True
    del period.says["carried"]
    found = two(auditor, period)
    found.next.is_old = True
    del found.next.says["carried"]
    found.next.enter_run(Run(20))
    report = found.look()
    assert report.verdict == "pass", report.proofs
    assert any("was open in the older package, and has no record here" in each for each in report.remarks)
    found.next.is_old = False  # who makes packages by now has to tell
    assert found.failed() == {"population"}
    found.next.says["carried"] = []
    assert found.failed() == {"population"}
    found.next.says["carried"] = [row(replace(LEFT, outcome="unsealed"), None)]
    assert "due, and nothing was sealed" in found.seen()


@pytest.mark.parametrize(("after", "is_caught"), [(timedelta(seconds=-1), False), (timedelta(), True), (9 * DAY, True)])
def test_a_gap_told_as_open_is_caught_once_no_record_can_come(
    home: Installation, auditor: Auditor, after: timedelta, is_caught: bool
) -> None:
    """Claimed in an hour, and a day for its record."""
    period = begun(home)
    period.until = END
    period.enter_run(Run(5, plan="other"), logged_at=day(10) + HOUR + after)
    assert auditor.failed(period.package()) == ({"population"} if is_caught else set())


@pytest.mark.parametrize("until", [None, "soon", utc(day(9) - HOUR), 1, utc(day(9)).replace("Z", "+00:00")])
def test_until_when_it_can_be_run_is_a_time_after_it_was_due(home: Installation, auditor: Auditor, until: Any) -> None:
    period = begun(home)
    period.says["open"] = [open_row(LEFT) | {"claimableUntil": until}]
    is_right = isinstance(until, str) and until.endswith("+00:00")  # another form of the same time
    assert auditor.failed(period.package()) == (set() if is_right else {"population"})


def test_an_open_due_time_says_until_when_since_there_is_a_format(home: Installation, auditor: Auditor) -> None:
    period = begun(home, open=[row(replace(LEFT, outcome="open"), None)])
    assert auditor.failed(period.package()) == {"population"}
    period.is_old = True
    assert auditor.look(period.package()).verdict == "pass"
    period.until = END
    period.enter_run(Run(80))
    report = auditor.look(period.package())
    assert report.verdict == "pass"
    told = "restore-shop 2026-07-10T03:00:00Z is told as open 71 days, 2:00:00 after it was due, and not until when"
    assert any(told in each for each in report.remarks)


def test_a_due_time_that_is_said_to_be_open_for_long_is_told(home: Installation, auditor: Auditor) -> None:
    period = begun(home, open=[open_row(LEFT, day(400))])
    period.until = END
    assert not any("is told as open" in each for each in auditor.look(period.package()).remarks)
    period.enter_run(Run(80))
    report = auditor.look(period.package())
    assert report.verdict == "pass"
    assert any("is told as open 71 days, 2:00:00 after it was due: until 2027-08-05" in each for each in report.remarks)


CARRIED: dict[str, dict[str, Any]] = {
    "no list": {"carried": {}},
    "null": {"carried": None},
    "a row with an entry": {"carried": [row(Run(-3), 2)]},
    "a row with an outcome": {"carried": [row(Run(-3), None)]},
    "twice": {"carried": [open_row(Run(-3)), open_row(Run(-3))]},
    "out of order": {"carried": [open_row(Run(-3)), open_row(Run(-4))]},
    "of this period": {"carried": [open_row(Run(3))]},
}


@pytest.mark.parametrize("way", CARRIED)
def test_what_is_carried_has_its_form(home: Installation, auditor: Auditor, way: str) -> None:
    assert auditor.failed(begun(home, **CARRIED[way]).package()) == {"population"}
    assert auditor.failed(begun(home, carried=[open_row(Run(-3), day(10))]).package()) == set()


# --- Which package came before ----------------------------------------------------------------------------------------

NAMED: dict[str, bytes] = {
    "none": b"null",
    "another of its name": canonical({"name": "first", "sha256": "0" * 64}),
    "its digest under another name": b"",
    "one that the log does not know": canonical({"name": "zeroth", "sha256": "0" * 64}),
}


@pytest.mark.parametrize("way", NAMED)
@pytest.mark.parametrize("judge", [default_judge, judge_by_openssl], ids=["cryptography", "openssl"])
def test_the_package_before_is_the_newest_in_the_log(
    home: Installation, auditor: Auditor, way: str, judge: Judge
) -> None:
    """By null a failure that came late could be hidden: it is held beside the package before, and none was named."""
    found = two(auditor, begun(home, open=[]))
    enter_elsewhere(found.next, Run(5, "failed"), MIDDLE + HOUR)
    assert found.failed(judge=judge) == {"population"}
    honest = json.loads(found.next.previous)
    found.next.previous = NAMED[way] or canonical(honest | {"name": "zeroth"})
    assert "previous" in found.failed(judge=judge)
    assert auditor.failed(found.next.package(), judge=judge) == {"previous"}  # seen without the older package too


def test_the_first_package_names_none_and_the_second_the_first(home: Installation, auditor: Auditor) -> None:
    period = begun(home, open=[])
    period.previous = canonical({"name": "zeroth", "sha256": "0" * 64})
    assert auditor.failed(period.package()) == {"previous"}
    period.previous = b"null"
    found = two(auditor, period)
    assert found.failed() == set()
    renamed = auditor.folder / "whatever.tar.gz"
    found.first.rename(renamed)
    report = found.look(before=renamed)
    assert report.verdict == "pass"
    assert not any("is not the one that previous.json names" in each for each in report.remarks)


def test_another_package_of_the_name_of_the_one_before_is_caught(home: Installation, auditor: Auditor) -> None:
    """By the right key, and by itself in order."""
    period = begun(home, open=[])
    found = two(auditor, period)
    assert found.failed() == set()
    period.files["README.txt"] = b"other words"
    found.first.write_bytes(period.package())
    assert found.seen("previous") == "previous.json names another package of that name than the one given"


def test_of_two_packages_made_at_one_time_neither_knows_of_the_other(home: Installation, auditor: Auditor) -> None:
    """Both go on from the same one; the next goes on from the one that the log has last."""
    found = two(auditor, begun(home, open=[]))
    one, other = found.next, replace(found.next, name="at-once", files=dict(found.next.files), entries=[])
    other.entries = list(one.entries)
    assert found.failed() == set()
    assert auditor.failed(other.package(), before=found.first) == set()
    other.entries.append(one.next("x", MIDDLE, END).entries[-1])  # the one is in the log when the other is entered
    third = Two(auditor, found.first, other.next("third", END, END + 90 * DAY))
    assert auditor.failed(third.next.package()) == set()


def test_a_run_that_came_late_cannot_be_left_out(home: Installation, auditor: Auditor) -> None:
    """It was logged after the package of its period was made: only the next one can tell it."""
    found = two(auditor, begun(home, open=[]))
    found.next.enter_run(Run(5, "failed"), logged_at=MIDDLE + HOUR)
    told = found.next.rows.pop()
    found.next.says["late"] = [told]
    assert found.failed() == set()
    found.next.says["late"] = []
    for name in (f"runs/{Run(5).key}", f"receipts/{Run(5).key}.dsse.json"):
        del found.next.files[name]
    assert found.failed() == {"population"}
    assert auditor.failed(found.next.package()) == set()  # alone it cannot be told


# --- Runs that are entered again --------------------------------------------------------------------------------------


def enter_on_demand(period: Period, run: Run, bundle: bytes, at: Any) -> dict[str, Any]:
    """A run that serves no slot belongs to the period in which it was logged; its row."""
    receipt = period.home.receipt(run.key, bundle, at)
    period.files |= {f"runs/{run.key}": bundle, f"receipts/{run.key}.dsse.json": receipt}
    held = Bundle(run.key, digest(bundle), len(bundle))
    facts = {"envelope": digest(envelope_in(bundle)), "outcome": run.outcome, "plan": run.plan, "run": run.name}
    draft = run_draft(bundle=held, receipt=digest(receipt), scheduled_at=None, slot=None, **facts)
    return row(run, period.enter(draft, at), scheduledAt=None, slot=None)


@pytest.mark.parametrize("judge", [default_judge, judge_by_openssl], ids=["cryptography", "openssl"])
def test_a_run_of_an_earlier_period_that_is_entered_again_is_caught(
    home: Installation, auditor: Auditor, judge: Judge
) -> None:
    run, other = Run(-100), Run(-99)
    bundle, another = (
        home.sealed({"note": one.name.encode()}, one.name, {**one.predicate, "scheduledAt": None})
        for one in (run, other)
    )
    for second, is_caught in ((run, True), (other, False)):
        period = Period(home, logged_at=BEGIN - 200 * DAY)
        period.enter_keys()
        enter_on_demand(period, run, bundle, day(-99))
        period.files = {name: content for name, content in period.files.items() if name.startswith("keys/")}
        period.rows = [enter_on_demand(period, second, bundle if second is run else another, day(5))]
        assert auditor.failed(period.package(), judge=judge) == ({"log"} if is_caught else set())


# --- Witnesses and heads that were kept -------------------------------------------------------------------------------


def cosigned(period: Period, at: Any, size: int = 0) -> Any:
    witness, size = period.home.witness(), size or len(period.entries)
    head = period.keep_head(size)
    line = witness.cosign(head[: head.index(b"\n\n") + 1], int(at.timestamp()))
    period.files[f"log/cosignatures/{size:020d}/witness"] = line
    return (parse_vkey(str(witness.key)),)


@pytest.mark.parametrize(
    ("at", "is_caught"), [(day(3), True), (day(40), True), (day(40) + HOUR, False), (day(41), False), (day(43), True)]
)
@pytest.mark.parametrize("judge", [default_judge, judge_by_openssl], ids=["cryptography", "openssl"])
def test_times_in_the_log_are_held_beside_those_of_a_witness(
    home: Installation, auditor: Auditor, at: Any, is_caught: bool, judge: Judge
) -> None:
    """The entry below it says 05:00 of day 40, that at it 05:00 of day 42; a clock may be wrong by an hour."""
    period = Period(home)
    period.enter_keys()
    period.enter_run(Run(40))
    witnesses = cosigned(period, at)
    period.enter_run(Run(42))
    failed = auditor.failed(period.package(), witnesses=witnesses, judge=judge)
    assert failed == ({"witnesses"} if is_caught else set())


def test_how_much_of_the_log_a_witness_saw_stands_in_its_check(home: Installation, auditor: Auditor) -> None:
    period = Period(home)
    period.enter_keys()
    period.enter_run(Run(1))
    witnesses = cosigned(period, day(1) + 2 * HOUR, 2)
    period.enter_run(Run(2))
    period.enter_run(Run(3))
    report = auditor.look(period.package(), witnesses=witnesses)
    assert report.verdict == "pass"
    assert [proof.seen for proof in report.proofs if proof.name == "witnesses"] == ["witness.example: 2 of 5 entries"]


@dataclass
class Kept:
    """A log of five entries, and heads of it that somebody kept."""

    auditor: Auditor
    period: Period
    short: Period
    """The log when it had four."""

    def lay(self, head: bytes) -> Path:
        path = self.auditor.folder / "head"
        path.write_bytes(head)
        return path


@pytest.fixture
def kept(home: Installation, auditor: Auditor) -> Kept:
    periods = []
    for last in (3, 4):
        period = Period(home)
        period.enter_keys()
        for number in range(1, last):
            period.enter_run(Run(number))
        periods.append(period)
    return Kept(auditor, periods[1], periods[0])


@pytest.mark.parametrize("judge", [default_judge, judge_by_openssl], ids=["cryptography", "openssl"])
def test_a_head_that_was_kept_catches_a_log_that_was_cut_forked_or_written_anew(
    kept: Kept, home: Installation, judge: Judge
) -> None:
    def failed(period: Period, *heads: bytes) -> set[str]:
        paths = []
        for number, head in enumerate(heads):
            paths.append(kept.auditor.folder / f"head-{number}")
            paths[-1].write_bytes(head)
        return kept.auditor.failed(period.package(), heads=tuple(paths), judge=judge)

    true = kept.period
    assert failed(true, true.head(), true.head(4), true.head(0)) == set()
    assert failed(kept.short, true.head()) == {"heads"}  # cut
    forged = Period(home)
    forged.enter_keys()
    for number in range(1, 5):
        forged.enter_run(Run(number, "failed" if number == 2 else "passed"))
    assert failed(forged, true.head(3)) == set()
    assert failed(forged, true.head(4)) == failed(forged, true.head(3), true.head()) == {"heads"}
    for wrong in (
        true.head(signer=home.new_key("stranger")),
        true.head(signer=home.seal),
        b"",
        b"x\n\n",
        true.head()[:-1],
    ):
        assert failed(true, wrong) == {"heads"}


def test_a_witness_shows_a_head_with_its_own_line_below(kept: Kept, home: Installation) -> None:
    head = kept.period.head(4)
    shown = head + home.witness().cosign(head[: head.index(b"\n\n") + 1], int(day(3).timestamp()))
    assert kept.auditor.failed(kept.period.package(), heads=(kept.lay(shown),)) == set()
    assert kept.auditor.failed(kept.short.package(), heads=(kept.lay(shown),)) == set()
    lines = shown.split(b"\n")
    alone = b"\n".join([*lines[:4], lines[5], b""])  # without the log's own
    assert kept.auditor.failed(kept.period.package(), heads=(kept.lay(alone),)) == {"heads"}


# --- Plans, sizes, keys that came meanwhile ---------------------------------------------------------------------------


def test_what_is_too_large_to_be_compared_leaves_the_package_in_doubt(home: Installation, auditor: Auditor) -> None:
    from evidence.verify import PACKAGE_LIMITS

    period = begun(home)
    whole = period.all_files()
    room = max(len(content) for name, content in whole.items() if not name.startswith("runs/")) + 4096
    period.says["says"] = "x" * room
    limits = replace(PACKAGE_LIMITS, tag_bytes=room)
    report = auditor.look(period.package(), limits=limits)
    unmade = {proof.name for proof in report.proofs if proof.ok is None and proof.counts}
    assert (report.verdict, unmade) == ("inconclusive", {"population", "runs", "receipts", "records"})
    assert auditor.look(period.package()).verdict == "pass"
    del period.says["says"]
    link = {"key": Run(1).key, "url": "x" * room}
    bundle = period.files.pop(f"runs/{Run(1).key}")
    period.files["links.json"] = canonical([link | {"sha256": digest(bundle), "size": len(bundle)}])
    report = auditor.look(period.package(), limits=limits)
    unmade = {proof.name for proof in report.proofs if proof.ok is None and proof.counts}
    assert (report.verdict, unmade) == ("inconclusive", {"links"})


def test_keys_that_came_went_and_were_replaced_over_two_packages_raise_no_alarm(
    home: Installation, auditor: Auditor
) -> None:
    period, second = begun(home), home.new_key("second")
    found = two(auditor, period)
    facts = Facts(found.next.logged_at, len(found.next.entries) + 1, "a test")
    home.extend(home.keyring.admit(second, frozenset({Role.SEAL}), by=home.seal, facts=facts))
    found.next.enter_keys()
    found.next.says["carried"] = [open_row(LEFT)]
    assert found.failed() == set()
    facts = Facts(found.next.logged_at, len(found.next.entries) + 1, "a test")
    home.extend(home.keyring.end(Action.RETIRE, public_key_of(second), by=home.seal, facts=facts))
    found.next.enter_keys()
    found.next.says |= {"carried": [], "late": [late(found, LEFT)]}
    assert found.failed() == set()


def test_a_file_under_another_name_says_so(home: Installation, auditor: Auditor) -> None:
    period = begun(home)
    report = auditor.look(period.package())
    assert "the file is called sent.tar.gz, and what was sealed in it first: only that counts" in report.remarks
    period.name = "sent"
    assert not any("the file is called" in each for each in auditor.look(period.package()).remarks)
    told = auditor.look(home.bundle(Run(1))).remarks
    assert "the file is called sent.tar.gz, and what was sealed in it restore-shop-0001: only that counts" in told
    assert any("report.html" in each for each in told)


# --- No false alarm ---------------------------------------------------------------------------------------------------

OUTCOMES = ("passed", "passed", "failed", "inconclusive", "missed", "waived", "aborted", "refused")


class Honest:
    """An installation that goes on for years: who packages tells all that he knows, and chance what happens.

    Keys are replaced, bundles are large and linked to, runs come late or on demand, slots stay open for a while.
    """

    def __init__(self, home: Installation, folder: Path, seed: int) -> None:
        self.home, self.folder, self.chance = home, folder, random.Random(seed)
        self.period = Period(home, name="p0", since=day(0), until=day(0) + HOUR)
        self.period.enter_keys()
        daily, who = {"cron": "0 3 * * *"}, ("restore", "", (), "", "db1", None)
        said = PlanStatement("restore-shop", 0, PlanEvent.ENROLLED, BEGIN, "0" * 64, daily, *who)
        self.period.enter_record(sign(said.payload(), home.seal), PredicateType.PLAN, BEGIN)
        self.day = self.packages = self.bundles = 0
        self.waiting: dict[int, Any] = {}
        """Slots without a record, and until when a run may claim each."""
        self.heads: list[Path] = []
        self.before: Path | None = None

    def live(self, days: int) -> None:
        """As many due times, and what comes of those that waited."""
        for number in range(self.day, self.day + days):
            if self.chance.random() < 0.1:
                self._replace_key()
            due = sorted([*self.waiting, number])
            self.waiting.setdefault(number, day(number) + self.chance.choice([1, 50, 200]) * HOUR)
            for each in due:
                is_last = day(number + 1) + 2 * HOUR >= self.waiting[each] + DAY
                is_slow = self.waiting[each] - day(each) > 100 * HOUR
                if is_last or self.chance.random() < (0.1 if is_slow else 0.7):
                    self._enter(Run(each, self.chance.choice(OUTCOMES)), day(number) + 2 * HOUR)
        self.day += days

    def package(self) -> tuple[bytes, dict[str, Any]]:
        """A package of what happened, and what an auditor may have beside it."""
        period, until = self.period, day(self.day - 1) + 3 * HOUR
        period.until = until
        rows = period.rows
        period.rows = [each for each in rows if self._at(each) >= period.since]
        waiting = [(self._at(each), each) for each in (open_row(Run(n), at) for n, at in sorted(self.waiting.items()))]
        period.says = {
            "carried": [each for at, each in waiting if at < period.since],
            "late": in_order(each for each in rows if self._at(each) < period.since),
            "open": [each for at, each in waiting if at >= period.since],
            "plans": [{"longestGapSeconds": 86400, "name": "restore-shop", "retiredAt": None}],
        }
        content, linked = period.package(), self.folder / "linked"
        given: dict[str, Any] = {"heads": tuple(self.heads), "before": self.before}
        if "links.json" in period.files:
            given["linked"] = linked
        self._go_on(content, until)
        return content, given

    def _go_on(self, content: bytes, until: Any) -> None:
        period = self.period
        self.packages += 1
        self.before = self.folder / f"{period.name}.tar.gz"
        self.before.write_bytes(content)
        self.heads.append(self.folder / f"{period.name}.head")
        self.heads[-1].write_bytes(period.head())
        self.period = period.next(f"p{self.packages}", until, until)

    def _enter(self, run: Run, at: Any) -> None:
        self.bundles += 1
        bundle = self.home.bundle(run)
        self.period.enter_run(run, bundle, logged_at=at)
        del self.waiting[run.number]
        if self.chance.random() < 0.1:
            del self.period.files[f"runs/{run.key}"]
            links = json.loads(self.period.files.get("links.json", b"[]"))
            links.append({"key": run.key, "sha256": digest(bundle), "size": len(bundle)})
            self.period.files["links.json"] = canonical(sorted(links, key=lambda each: each["key"]))
            path = self.folder / "linked" / run.key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bundle)

    def _replace_key(self) -> None:
        home, period = self.home, self.period
        old, new = home.seal, home.new_key(f"key-{self.day}-{len(home.keyring.statements)}")
        facts = Facts(period.logged_at, len(period.entries) + 1, "as planned")
        home.extend(home.keyring.admit(new, frozenset({Role.SEAL}), by=old, facts=facts))
        period.enter_keys()
        facts = Facts(period.logged_at, len(period.entries) + 1, "as planned")
        home.extend(home.keyring.end(Action.RETIRE, public_key_of(old), by=new, facts=facts))
        home.seal = new
        period.enter_keys()

    def _at(self, told: dict[str, Any]) -> Any:
        return datetime.fromisoformat(told["scheduledAt"])


@pytest.mark.parametrize("seed", range(5))
def test_a_thousand_good_bundles_in_packages_one_after_the_other_raise_no_alarm(
    home: Installation, tmp_path: Path, seed: int
) -> None:
    """Each beside the one before it, and all heads that were ever kept."""
    honest, auditor = Honest(home, tmp_path, seed), Auditor(tmp_path, home.pinned)
    told: Counter[str] = Counter()
    while honest.bundles < 200:
        honest.live(honest.chance.choice([1, 3, 12, 24]))
        content, given = honest.package()
        report = auditor.look(content, **given)
        assert report.verdict == "pass", [proof for proof in report.proofs if proof.ok is False]
        told.update(re.findall(r"[1-9][0-9]* (passed|failed|waived|open|sealed late|carried)", report.told[0]))
        assert auditor.look(content, **(given | {"before": None, "heads": ()})).verdict == "pass"
    assert honest.packages > 5
    assert set(told) == {"passed", "failed", "waived", "open", "sealed late", "carried"}
