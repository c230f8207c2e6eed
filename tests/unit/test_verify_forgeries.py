"""What whoever holds the keys could try: a history written anew, a run hidden or told otherwise, a lock lifted."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from evidence import bag
from evidence.envelope import sign
from evidence.keyring import EVERY_ROLE, Action, Facts, Role
from evidence.keys import public_key_of
from evidence.statement import PredicateType, canonical, statement, utc
from evidence.verify import Judge, default_judge, judge_by_openssl, parse_vkey
from tests.paper_package import (
    BEGIN,
    END,
    HOUR,
    Auditor,
    Installation,
    Period,
    Run,
    a_period,
    day,
    digest,
    envelope_saying,
    open_row,
    pack,
    row,
    unpack,
)


@pytest.fixture
def home(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


@pytest.fixture
def auditor(tmp_path: Path, home: Installation) -> Auditor:
    return Auditor(tmp_path, home.pinned)


def fresh(home: Installation) -> Period:
    period = Period(home)
    period.enter_keys()
    return period


# --- Runs told otherwise than they were -------------------------------------------------------------------------------

TOLD: dict[str, tuple[dict[str, Any], str]] = {
    "the entry says passed": ({"outcome": "passed"}, "runs"),
    "the entry names another run": ({"run": "restore-shop-0099"}, "runs"),
    "the entry names another plan": ({"plan": "restore-mall"}, "log"),
    "the entry names another seal": ({"envelope": "0" * 64}, "runs"),
    "the entry names another receipt": ({"receipt": "0" * 64}, "receipts"),
    "the entry has no slot": ({"slot": None, "scheduled_at": None}, "runs"),
    "the entry has a slot of another plan": ({"slot": "0" * 64}, "log"),
    "the entry has another due time": ({"scheduled_at": day(30)}, "log"),
}


@pytest.mark.parametrize("what", TOLD)
def test_an_entry_that_tells_another_run_is_caught(home: Installation, auditor: Auditor, what: str) -> None:
    says, check = TOLD[what]
    period = fresh(home)
    period.enter_run(Run(1, "failed"), says=says)
    assert check in auditor.failed(period.package())


REPORTS: dict[str, dict[str, Any]] = {
    "outcome": {"outcome": "passed"},
    "verdict": {"verdict": "pass"},
    "run": {"run": "restore-shop-0002"},
    "due time": {"scheduled_at": utc(day(2))},
    "end": {"ended_at": utc(day(1))},
}


@pytest.mark.parametrize("what", REPORTS)
def test_a_report_that_disagrees_with_its_journal_is_caught(home: Installation, auditor: Auditor, what: str) -> None:
    period = fresh(home)
    run = Run(1, "failed", says=REPORTS[what])
    bundle = home.bundle(run)
    assert auditor.failed(bundle) == {"agreement"}
    period.enter_run(run, bundle)
    assert auditor.failed(period.package()) == {"runs"}


JOURNALS: dict[str, bytes] = {
    "another outcome": canonical({"body": {"outcome": "passed", "verdict": "fail"}, "kind": "judged"}) + b"\n",
    "another run": canonical({"body": {}, "kind": "judged", "run": "r2"}) + b"\n",
    "no judgement": b'{"kind":"opened"}\n',
    "no end": canonical({"body": {}, "kind": "judged", "run": "r1"}),
    "empty": b"",
}


@pytest.mark.parametrize("what", JOURNALS)
def test_a_journal_that_disagrees_with_its_seal_is_caught(home: Installation, auditor: Auditor, what: str) -> None:
    said = {"outcome": "failed", "run": "r1", "verdict": "fail"}
    good = canonical({"body": {"outcome": "failed", "verdict": "fail"}, "kind": "judged", "run": "r1"}) + b"\n"
    assert auditor.failed(home.sealed({"journal.jsonl": b"long ago\n" + good}, "r1", said)) == set()
    assert auditor.failed(home.sealed({"journal.jsonl": good + JOURNALS[what]}, "r1", said)) == (
        {"agreement"} if what != "empty" else set()
    )
    assert auditor.failed(home.sealed({"journal.jsonl": JOURNALS[what]}, "r1", said)) == {"agreement"}


PASSES: dict[str, tuple[dict[str, Any], bool]] = {
    "as it was": ({}, False),
    "without a verdict, as of old": ({"verdict": None}, False),
    "with findings that passed": ({"findings": [{"check": "a", "verdict": "pass"}]}, False),
    "with one that was not asked": ({"findings": [{"check": "a", "verdict": None}]}, False),
    "with a failing verdict": ({"verdict": "fail"}, True),
    "with no verdict at all": ({"verdict": "inconclusive"}, True),
    "with a finding that failed": (
        {"findings": [{"check": "a", "verdict": "pass"}, {"check": "b", "verdict": "fail"}]}, True,
    ),
    "with one that saw nothing": ({"findings": [{"check": "a", "verdict": "inconclusive"}]}, True),
}  # fmt: skip


@pytest.mark.parametrize("what", PASSES)
@pytest.mark.parametrize("judge", [default_judge, judge_by_openssl], ids=["cryptography", "openssl"])
def test_a_pass_that_its_own_findings_contradict_is_caught(
    home: Installation, auditor: Auditor, what: str, judge: Judge
) -> None:
    says, is_caught = PASSES[what]
    run = Run(1)
    bundle = home.sealed({"note.txt": b"no journal"}, run.name, {**run.predicate, **says})
    assert auditor.failed(bundle, judge=judge) == ({"agreement"} if is_caught else set())
    period = fresh(home)
    period.enter_run(run, bundle)
    assert auditor.failed(period.package(), judge=judge) == ({"runs"} if is_caught else set())
    failed = home.sealed({"note.txt": b"no journal"}, run.name, {**run.predicate, **says, "outcome": "failed"})
    assert auditor.failed(failed) == set()  # who failed may say whatever he found


@pytest.mark.parametrize("judge", [default_judge, judge_by_openssl], ids=["cryptography", "openssl"])
def test_a_test_result_that_was_dropped_is_missed_since_the_format_has_a_label(
    home: Installation, auditor: Auditor, judge: Judge
) -> None:
    """Without any key: its digest is in no statement."""
    for is_old in (False, True):
        result = {"result": "PASSED"}
        sealed = home.sealed({"a": b""}, "r1", {"outcome": "passed"}, result=result, is_old=is_old)
        files = {name: content for name, content in unpack(sealed).items() if name != bag.TEST_RESULT}
        tags = {n: digest(c) for n, c in files.items() if not n.startswith("data/") and n != bag.TAG_MANIFEST}
        dropped = pack(files | {bag.TAG_MANIFEST: bag.manifest(tags)}, "r1")
        assert auditor.failed(sealed, judge=judge) == set()
        assert auditor.failed(dropped, judge=judge) == (set() if is_old else {"test result"})
    labels = files[bag.LABELS] + b"x: y\n"  # nor can the label be dropped or put in
    tags[bag.LABELS] = digest(labels)
    relabelled = pack(files | {bag.LABELS: labels, bag.TAG_MANIFEST: bag.manifest(tags)}, "r1")
    assert "subjects" in auditor.failed(relabelled, judge=judge)


@pytest.mark.parametrize(
    ("outcome", "result", "is_caught"),
    [
        ("passed", {"result": "PASSED"}, False),
        ("passed", {"result": "FAILED"}, True),
        ("failed", {"result": "FAILED"}, False),
        ("failed", {"result": "PASSED"}, True),
        ("inconclusive", {"result": "PASSED"}, True),
        ("inconclusive", {"result": "WARNED"}, False),
        ("waived", {"result": "PASSED"}, True),
        ("waived", {"result": "SKIPPED"}, True),
        ("waived", {}, True),
    ],
)
def test_a_test_result_no_better_than_the_run(
    home: Installation, auditor: Auditor, outcome: str, result: dict[str, Any], is_caught: bool
) -> None:
    bundle = home.sealed({"a": b""}, "r1", {"outcome": outcome}, result=result)
    assert auditor.failed(bundle) == ({"test result"} if is_caught else set())


def test_a_test_result_of_other_files_or_by_another_key_is_caught(home: Installation, auditor: Auditor) -> None:
    sealed = home.sealed({"a": b""}, "r1", {"outcome": "passed"}, result={"result": "PASSED"})
    files = unpack(sealed)
    subjects = {name: digest(content) for name, content in files.items() if name in ("data/a", bag.LABELS)}
    other = home.new_key("other")
    kind = PredicateType.TEST_RESULT

    def with_result(envelope: bytes) -> bytes:
        changed = files | {bag.TEST_RESULT: envelope}
        tags = {n: digest(c) for n, c in changed.items() if not n.startswith("data/") and n != bag.TAG_MANIFEST}
        return pack(changed | {bag.TAG_MANIFEST: bag.manifest(tags)}, "r1")

    result = {"result": "PASSED"}
    assert with_result(sign(statement(subjects, result, kind), home.seal)) == sealed
    for envelope in (
        sign(statement(subjects, result, kind), other),
        sign(statement(subjects, result, kind), home.seal, other),
        sign(statement({"data/a": "0" * 64}, result, kind), home.seal),
        sign(statement(subjects, result), home.seal),
        b"{}",
    ):
        assert auditor.failed(with_result(envelope)) == {"test result"}


# --- The population ---------------------------------------------------------------------------------------------------

POPULATIONS: dict[str, Callable[[Period], Any]] = {
    "a run hidden": lambda p: p.rows.pop(1),
    "a failure told as passed": lambda p: p.rows[1].update(outcome="passed"),
    "a failure told as open": lambda p: p.rows[1].update(outcome="open", entry=None),
    "another run": lambda p: p.rows[1].update(run="restore-shop-0001"),
    "another entry": lambda p: p.rows[1].update(entry=p.rows[0]["entry"]),
    "an entry that is no run": lambda p: p.rows[1].update(entry=0),
    "an entry beyond the log": lambda p: p.rows[1].update(entry=99),
    "another slot": lambda p: p.rows[1].update(slot="0" * 64),
    "an invented run": lambda p: p.rows.append(row(Run(9), 7)),
    "a gap": lambda p: p.rows.append(row(Run(9, "unsealed"), None)),
    "a gap told as passed": lambda p: p.rows.append(row(Run(9, "passed"), None)),
    "another logged time": lambda p: p.rows[1].update(loggedAt=utc(BEGIN)),
    "another end": lambda p: p.rows[1].update(endedAt=utc(BEGIN)),
    "a word that is no outcome": lambda p: p.rows[1].update(outcome="great"),
    "a row twice": lambda p: p.rows.append(p.rows[1]),
    "a row of another period": lambda p: p.rows.append(row(Run(200, "unsealed"), None)),
}


@pytest.mark.parametrize("what", POPULATIONS)
def test_a_population_that_hides_or_invents_is_caught(home: Installation, auditor: Auditor, what: str) -> None:
    period = a_period(home)
    POPULATIONS[what](period)
    failed = auditor.failed(period.package())
    assert "population" in failed
    assert failed <= {"population", "receipts", "runs", "log"}  # what no row names is not of the period


def population(period: Period, **says: Any) -> bytes:
    import json

    return canonical(json.loads(period.all_files()["population.json"]) | says)


@pytest.mark.parametrize(
    "says",
    [
        {"until": utc(day(3))},
        {"from": utc(day(3))},
        {"from": utc(END), "until": utc(BEGIN)},
        {"madeAt": utc(BEGIN)},
        {"late": [row(Run(1), 2)]},
        {"open": [row(Run(1), 2)]},
        {"open": [row(Run(1, "open"), None)]},
        {"slots": {}},
    ],
    ids=str,
)
def test_a_population_of_another_form_or_period_is_caught(
    home: Installation, auditor: Auditor, says: dict[str, Any]
) -> None:
    period = a_period(home)
    period.files["population.json"] = population(period, **says)
    assert "population" in auditor.failed(period.package())


def test_open_slots_and_runs_of_an_earlier_period_are_no_findings(home: Installation, auditor: Auditor) -> None:
    period = fresh(home)
    before = Run(-3, "missed")
    period.enter_run(before, logged_at=day(1))
    late = period.rows.pop()
    period.enter_run(Run(2))
    period.files["population.json"] = population(period, late=[late], open=[open_row(Run(9))])
    report = auditor.look(period.package())
    assert report.verdict == "pass", report.proofs
    assert report.told[0].endswith("1 passed; besides 1 open and 1 sealed late")
    assert any(remark.startswith("sealed late: restore-shop/restore-shop--003.tar.gz") for remark in report.remarks)


def test_an_empty_period_says_that_it_is_empty(home: Installation, auditor: Auditor) -> None:
    report = auditor.look(fresh(home).package())
    assert report.verdict == "pass"
    assert "nothing was due" in report.told[0]


@pytest.mark.parametrize(
    "says",
    [
        {"head": {"origin": "example.org/other", "root": "", "size": 1}},
        {"period": {"from": utc(BEGIN), "until": utc(day(1))}},
        {"head": None},
        {"period": {}},
    ],
    ids=str,
)
def test_a_seal_that_names_another_head_or_period_is_caught(
    home: Installation, auditor: Auditor, says: dict[str, Any]
) -> None:
    assert auditor.failed(a_period(home).package(**says)) == {"statement"}


# --- The log ----------------------------------------------------------------------------------------------------------


def written_anew(home: Installation, outcomes: dict[int, str]) -> Period:
    """The same runs with other outcomes, by the same keys: in itself nothing is wrong with it."""
    period = fresh(home)
    for number, outcome in outcomes.items():
        period.enter_run(Run(number, outcome))
    return period


def test_a_history_written_anew_is_caught_beside_an_older_package(home: Installation, auditor: Auditor) -> None:
    true = written_anew(home, {1: "failed", 2: "passed"})
    older = auditor.folder / "older.tar.gz"
    older.write_bytes(true.package())
    true.enter_run(Run(3))
    forged = written_anew(home, {1: "passed", 2: "passed", 3: "passed"})
    assert auditor.look(forged.package()).verdict == "pass"  # alone it cannot be told
    assert auditor.look(true.package(), before=older).verdict == "pass"
    report = auditor.look(forged.package(), before=older)
    assert {proof.name: proof.seen for proof in report.proofs if not proof.ok and proof.counts} == {
        "previous": "entry 2 of the older package is another here: the log was cut, forked or written anew"
    }


def test_a_fork_shown_to_two_auditors_is_caught_when_they_compare(home: Installation, auditor: Auditor) -> None:
    one, two = written_anew(home, {1: "passed", 2: "failed"}), written_anew(home, {1: "passed", 2: "passed"})
    shown = auditor.folder / "shown.tar.gz"
    for mine, other in ((one, two), (two, one)):
        shown.write_bytes(other.package())
        assert auditor.failed(mine.package(), before=shown) == {"previous"}
        shown.write_bytes(mine.package())
        assert auditor.look(mine.package(), before=shown).verdict == "pass"


def test_a_log_whose_end_was_cut_off_with_everything_about_it_is_caught(home: Installation, auditor: Auditor) -> None:
    older = auditor.folder / "older.tar.gz"
    older.write_bytes(written_anew(home, {1: "passed", 2: "failed"}).package())
    cut = written_anew(home, {1: "passed"}).package()
    assert auditor.look(cut).verdict == "pass"
    assert auditor.failed(cut, before=older) == {"previous"}


def test_a_history_written_anew_is_caught_by_its_witness(home: Installation, auditor: Auditor) -> None:
    witness = home.witness()
    given = {"witnesses": (parse_vkey(str(witness.key)),)}
    true, forged = written_anew(home, {1: "failed"}), written_anew(home, {1: "passed"})
    head = true.keep_head(3)
    line = witness.cosign(head[: head.index(b"\n\n") + 1], int(day(2).timestamp()))
    place = "log/cosignatures/00000000000000000003/witness"
    true.files[place] = line
    report = auditor.look(true.package(), **given)
    assert report.verdict == "pass"
    assert "entries 0 to 2 were cosigned at 2026-07-03T03:00:00Z by witness.example" in report.remarks
    assert auditor.look(forged.package(), **given).verdict == "inconclusive"  # without any line
    forged.files[place] = line
    forged.keep_head(3)
    assert auditor.failed(forged.package(), **given) == {"witnesses"}  # with the true line
    forged.files["log/heads/00000000000000000003"] = head
    assert auditor.failed(forged.package(), **given) == {"heads"}  # with the true head too


def test_entries_that_go_back_in_time_are_caught(home: Installation, auditor: Auditor) -> None:
    period = fresh(home)
    period.enter_run(Run(5))
    period.enter_run(Run(2), logged_at=day(2) + HOUR * 2)
    period.logged_at = day(5) + HOUR * 2
    assert auditor.failed(period.package()) == {"log"}


def test_a_run_that_ended_after_it_was_logged_is_caught(home: Installation, auditor: Auditor) -> None:
    period = fresh(home)
    period.enter_run(Run(5), logged_at=day(4))
    assert auditor.failed(period.package()) == {"runs"}


def test_a_run_that_was_logged_long_after_it_ended_is_reported(home: Installation, auditor: Auditor) -> None:
    period = fresh(home)
    period.enter_run(Run(1), logged_at=day(60))
    report = auditor.look(period.package())
    assert report.verdict == "pass"
    assert "sealed late: restore-shop/restore-shop-0001.tar.gz, 58 days, 23:00:00 after it ended" in report.remarks


def test_a_run_logged_twice_is_caught_however_it_is_told(home: Installation, auditor: Auditor) -> None:
    period = fresh(home)
    run = Run(1)
    bundle = home.bundle(run)
    period.enter_run(run, bundle)
    receipt = period.files[f"receipts/{run.key}.dsse.json"]
    period.enter_run(run, bundle, logged_at=day(2))
    period.files[f"receipts/{run.key}.dsse.json"] = receipt
    assert {"log", "population"} <= auditor.failed(period.package())
    period.rows.pop()
    assert "population" in auditor.failed(period.package())


def test_two_runs_of_one_slot_are_caught(home: Installation, auditor: Auditor) -> None:
    period = fresh(home)
    period.enter_run(Run(1, "failed"))
    again = Run(1, "passed")
    other = replace(again, plan="restore-shop")
    index = period.enter_run(other, logged_at=day(3))
    assert index == 3
    assert "population" in auditor.failed(period.package())


def test_a_head_by_another_key_or_of_another_log_is_caught(home: Installation, auditor: Auditor) -> None:
    period = a_period(home)
    for signer in (home.seal, home.new_key("stranger")):
        assert auditor.failed(period.package(period.all_files() | {"log/head": period.head(signer=signer)})) == {"head"}
    shorter = period.all_files() | {"log/head": period.head(size=5)}
    assert auditor.failed(period.package(shorter)) == {"head", "statement"}


# --- Receipts ---------------------------------------------------------------------------------------------------------

LATER: dict[str, tuple[dict[str, Any], str]] = {
    "a shortened lock": ({"locked_until": day(100)}, "shortened"),
    "a lock that is gone": ({"lock_mode": None, "locked_until": None}, "weakened"),
    "a downgraded lock": ({"lock_mode": "GOVERNANCE"}, "weakened"),
    "a delete marker": ({"delete_markers": 1}, "delete markers"),
    "a second version": ({"versions": 2}, "2 versions"),
    "another version": ({"version": "v2"}, "another version"),
    "other bytes": ({"sha256": "0" * 64}, "other bytes"),
    "another size": ({"size": 1}, "other bytes"),
    "a lock that is over": ({"locked_until": day(2)}, "was over"),
}


@pytest.mark.parametrize("what", LATER)
def test_what_became_of_a_lock_is_found_by_a_later_receipt(home: Installation, auditor: Auditor, what: str) -> None:
    says, word = LATER[what]
    period, run = fresh(home), Run(1)
    period.enter_run(run)
    content, again = period.files[f"runs/{run.key}"], day(3)
    good = {"locked_until": again + timedelta(days=400)}
    period.enter_record(home.receipt(run.key, content, again, **good), PredicateType.PUT_RECEIPT, again)
    assert auditor.failed(period.package()) == set()
    period.enter_record(home.receipt(run.key, content, again, **(good | says)), PredicateType.PUT_RECEIPT, day(4))
    report = auditor.look(period.package())
    assert {proof.name for proof in report.proofs if proof.ok is False} == {"records"}
    assert word in next(proof.seen for proof in report.proofs if proof.name == "records")


def test_a_lock_shortened_since_the_older_package_is_found(home: Installation, auditor: Auditor) -> None:
    """The first receipt is in the older package alone."""
    period, run = fresh(home), Run(-3)
    period.enter_run(run, logged_at=BEGIN + HOUR)
    content = period.files[f"runs/{run.key}"]
    later = Period(home, files={k: v for k, v in period.files.items() if k.startswith("keys/")})
    later.entries, later.logged_at = list(period.entries), period.logged_at
    period.files["population.json"] = population(period, late=period.rows, slots=[])
    older = auditor.folder / "older.tar.gz"
    older.write_bytes(period.package())
    receipt = home.receipt(run.key, content, day(1), locked_until=day(30))
    later.enter_record(receipt, PredicateType.PUT_RECEIPT, day(1))
    assert auditor.look(later.package()).verdict == "pass"
    assert auditor.failed(later.package(), before=older) == {"records"}


@pytest.mark.parametrize("what", ["a delete marker", "a second version", "other bytes", "another size"])
def test_a_first_receipt_that_shows_tampering_is_caught(home: Installation, auditor: Auditor, what: str) -> None:
    period, run = fresh(home), Run(1)
    at = run.ended_at + HOUR
    bundle = home.bundle(run)
    receipt = home.receipt(run.key, bundle, at, **LATER[what][0])
    period.enter_run(run, bundle, says={"receipt": digest(receipt)})
    period.files[f"receipts/{run.key}.dsse.json"] = receipt
    assert auditor.failed(period.package()) == {"receipts"}


def test_a_receipt_by_another_key_or_of_another_form_is_caught(home: Installation, auditor: Auditor) -> None:
    run = Run(1)
    bundle = home.bundle(run)
    good = home.receipt(run.key, bundle, run.ended_at)
    for receipt in (
        envelope_saying(good, home.log),
        envelope_saying(good, home.new_key("stranger")),
        envelope_saying(good, home.seal, key="restore-shop/other.tar.gz"),
        envelope_saying(good, home.seal, lockMode="SOMETHING"),
        envelope_saying(good, home.seal, size="1"),
        envelope_saying(good, home.seal, askedAt="yesterday"),
        envelope_saying(good, home.seal, askedAt=utc(day(50))),
        envelope_saying(good, home.seal, more=1),
    ):
        period = fresh(home)
        period.enter_run(run, bundle, says={"receipt": digest(receipt)})
        period.files[f"receipts/{run.key}.dsse.json"] = receipt
        assert auditor.failed(period.package()) == {"receipts"}


def test_a_bundle_under_no_lock_is_told(home: Installation, auditor: Auditor) -> None:
    run, period = Run(1), fresh(home)
    bundle = home.bundle(run)
    receipt = home.receipt(run.key, bundle, run.ended_at, lock_mode=None, locked_until=None, version=None)
    period.enter_run(run, bundle, says={"receipt": digest(receipt)})
    period.files[f"receipts/{run.key}.dsse.json"] = receipt
    report = auditor.look(period.package())
    assert report.verdict == "pass"
    assert any("1 bundles lie under no lock" in remark for remark in report.remarks)


# --- Keys -------------------------------------------------------------------------------------------------------------


def facts(period: Period, from_index: int | None = None) -> Facts:
    return Facts(period.logged_at, len(period.entries) + 1 if from_index is None else from_index, "a test")


def test_a_key_counts_from_its_admission_to_its_end(home: Installation, auditor: Auditor) -> None:
    period, second = fresh(home), home.new_key("second")
    period.enter_run(Run(1), home.bundle(Run(1)))
    home.extend(home.keyring.admit(second, frozenset({Role.SEAL}), by=home.seal, facts=facts(period)))
    period.enter_keys()
    period.enter_run(Run(2), home.bundle(Run(2), second))
    home.extend(home.keyring.end(Action.REVOKE, public_key_of(second), by=home.seal, facts=facts(period)))
    period.enter_keys()
    assert auditor.look(period.package()).verdict == "pass"  # what was logged before counts for ever
    assert auditor.failed(period.package(signer=second)) == {"seal"}
    period.enter_run(Run(3), home.bundle(Run(3), second))
    report = auditor.look(period.package())
    assert {proof.name for proof in report.proofs if proof.ok is False} == {"runs"}
    assert "which was revoked from entry 6 on" in next(p.seen for p in report.proofs if p.name == "runs")


def test_a_seal_before_its_keys_admission_is_caught(home: Installation, auditor: Auditor) -> None:
    period, second = fresh(home), home.new_key("second")
    period.enter_run(Run(1), home.bundle(Run(1), second))
    assert auditor.failed(period.package()) == {"runs"}
    home.extend(home.keyring.admit(second, frozenset({Role.SEAL}), by=home.seal, facts=facts(period)))
    period.enter_keys()
    assert auditor.failed(period.package()) == {"runs"}


def test_a_revocation_that_reaches_back_takes_what_was_logged_since(home: Installation, auditor: Auditor) -> None:
    period, second = fresh(home), home.new_key("second")
    home.extend(home.keyring.admit(second, frozenset({Role.SEAL}), by=home.seal, facts=facts(period)))
    period.enter_keys()
    stolen = period.enter_run(Run(2), home.bundle(Run(2), second))
    home.extend(home.keyring.end(Action.REVOKE, public_key_of(second), by=home.seal, facts=facts(period, stolen)))
    period.enter_keys()
    assert auditor.failed(period.package()) == {"runs"}


def test_a_runner_that_only_submits_seals_runs_and_nothing_else(home: Installation, auditor: Auditor) -> None:
    runner = home.new_key("runner")
    period = fresh(home)
    home.extend(home.keyring.admit_runner(public_key_of(runner), by=home.seal, facts=facts(period)))
    period.enter_keys()
    run = Run(1)
    bundle = home.bundle(run, runner)
    period.enter_run(run, bundle)
    assert auditor.look(period.package()).verdict == "pass"
    assert auditor.failed(period.package(signer=runner)) == {"seal"}
    receipt = envelope_saying(home.receipt(run.key, bundle, run.ended_at), runner)
    other = fresh(home)
    other.enter_run(run, bundle, says={"receipt": digest(receipt)})
    other.files[f"receipts/{run.key}.dsse.json"] = receipt
    assert auditor.failed(other.package()) == {"receipts"}


def test_a_head_by_a_log_key_that_was_retired_is_caught(home: Installation, auditor: Auditor) -> None:
    period, old = fresh(home), home.log
    new = home.new_key("newer")
    home.extend(home.keyring.admit(new, frozenset({Role.LOG}), by=home.seal, facts=facts(period)))
    home.extend(home.keyring.end(Action.RETIRE, public_key_of(old), by=home.seal, facts=facts(period, 4)))
    period.enter_keys()
    assert auditor.look(period.package()).verdict == "pass"  # of size 4: its last entry is 3
    period.enter_run(Run(1))
    assert auditor.failed(period.package()) == {"head"}
    home.log = new
    assert auditor.look(period.package()).verdict == "pass"


def test_a_pinned_key_that_is_revoked_or_not_in_the_keyring_trusts_nothing(
    home: Installation, auditor: Auditor, tmp_path: Path
) -> None:
    period, second = fresh(home), home.new_key("second")
    home.new_key("stranger")
    home.extend(home.keyring.admit(second, EVERY_ROLE, by=home.seal, facts=facts(period)))
    period.enter_keys()
    healthy = period.package(signer=second)
    for name in ("signing", "second", "log"):  # each stands in the chain
        assert Auditor(tmp_path, tmp_path / f"{name}.pub").look(healthy).verdict == "pass"
    assert "keyring" in Auditor(tmp_path, tmp_path / "stranger.pub").failed(healthy)
    home.extend(home.keyring.end(Action.REVOKE, public_key_of(home.seal), by=second, facts=facts(period)))
    period.enter_keys()
    home.seal = second
    changed = period.package()
    assert "keyring" in auditor.failed(changed)
    assert Auditor(tmp_path, tmp_path / "second.pub").look(changed).verdict == "pass"


def test_a_newer_keyring_beside_an_old_package_knows_what_was_revoked_since(
    home: Installation, auditor: Auditor, tmp_path: Path
) -> None:
    period, second = fresh(home), home.new_key("second")
    home.extend(home.keyring.admit(second, frozenset({Role.SEAL}), by=home.seal, facts=facts(period)))
    period.enter_keys()
    stolen = period.enter_run(Run(2), home.bundle(Run(2), second))
    package = period.package()
    folder = tmp_path / "keys"
    folder.mkdir()

    def lay() -> None:
        for number, envelope in enumerate(home.keyring.envelopes):
            (folder / f"{number:08d}.dsse.json").write_bytes(envelope)

    lay()
    assert auditor.look(package, keyring=folder).verdict == "pass"
    home.extend(home.keyring.end(Action.REVOKE, public_key_of(second), by=home.seal, facts=facts(period, stolen)))
    lay()
    assert auditor.failed(package, keyring=folder) == {"runs"}
    (folder / "00000002.dsse.json").unlink()
    assert "keyring" in auditor.failed(package, keyring=folder)


# --- Links ------------------------------------------------------------------------------------------------------------


def test_a_bundle_by_link_is_checked_when_it_is_given_and_said_when_it_is_not(
    home: Installation, auditor: Auditor, tmp_path: Path
) -> None:
    period, run = a_period(home), Run(1)
    bundle = period.files.pop(f"runs/{run.key}")
    link = {"key": run.key, "sha256": digest(bundle), "size": len(bundle), "url": "https://example.org/x"}
    period.files["links.json"] = canonical([link])
    report = auditor.look(period.package())
    assert report.verdict == "inconclusive"
    assert [proof.seen for proof in report.proofs if proof.ok is None and proof.counts] == [
        "not checked: 1 bundles lie elsewhere: fetch them, and give their folder by --linked"
    ]
    given = tmp_path / "linked" / run.key
    given.parent.mkdir(parents=True)
    given.write_bytes(bundle)
    assert auditor.look(period.package(), linked=tmp_path / "linked").verdict == "pass"
    given.write_bytes(home.bundle(Run(1, "failed")))
    assert {"links", "runs"} <= auditor.failed(period.package(), linked=tmp_path / "linked")
    given.unlink()
    assert "links" in auditor.failed(period.package(), linked=tmp_path / "linked")
    for wrong in ({"sha256": "0" * 64}, {"size": 1}, {"key": "../../etc/passwd"}, {"key": Run(2).key}, {"size": "1"}):
        period.files["links.json"] = canonical([link | wrong])
        assert {"links", "runs"} & auditor.failed(period.package()), wrong
