"""Statements about plans in a package: right ones pass, forged ones are caught, and an end without one is told."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evidence.envelope import sign
from evidence.log import record_draft
from evidence.plans import PlanEvent, PlanStatement
from evidence.statement import PredicateType, canonical, statement, utc
from evidence.verify import Report
from tests.paper_package import BEGIN, Auditor, Installation, Period, Run, day, digest, row

PLAN = "restore-shop"
ENROLLED, CHANGED, RETIRED = PlanEvent
DAY = timedelta(days=1)


@pytest.fixture
def home(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


@pytest.fixture
def auditor(tmp_path: Path, home: Installation) -> Auditor:
    return Auditor(tmp_path, home.pinned)


class Told(Period):
    """A period in which plans are told of."""

    last: PlanStatement | None = None
    before: str | None = None

    def said(self, event: PlanEvent, at: datetime | None, **says: Any) -> PlanStatement:
        number = self.last.number + 1 if self.last else 0
        made = PlanStatement(
            PLAN, number, event, at, "0" * 64, {"cron": "0 3 * * *"}, "restore", "", (), "", "db1", self.before
        )
        return replace(made, **says)

    def tell(
        self,
        event: PlanEvent,
        at: datetime | None,
        logged_at: datetime | None = None,
        signer: Any = None,
        **says: Any,
    ) -> int:
        """Log what is said of the plan."""
        said = self.said(event, at, **says)
        envelope = sign(said.payload(), signer or self.home.seal)
        self.last, self.before = said, digest(envelope)
        return self.enter_record(envelope, PredicateType.PLAN, logged_at or at or self.logged_at)

    def with_plans(self, **plan: Any) -> bytes:
        """The package, whose population tells of the plan too."""
        told = {"longestGapSeconds": 86400, "name": PLAN, "retiredAt": None} | plan
        self.says["plans"] = [told]
        return self.package()


@pytest.fixture
def period(home: Installation) -> Told:
    """A plan that was enrolled and run twice, and retired on the third day."""
    period = Told(home)
    period.enter_keys()
    period.tell(ENROLLED, BEGIN + timedelta(hours=1))
    period.enter_run(Run(0))
    period.enter_run(Run(1))
    return period


def problem(report: Report, check: str = "plans") -> str:
    return next(proof.seen for proof in report.proofs if proof.name == check and proof.ok is False)


def vouched(report: Report) -> list[str]:
    return [each for each in report.remarks if "vouched for" in each and PLAN in each]


def test_a_plan_that_was_enrolled_changed_and_retired_passes(period: Told, auditor: Auditor) -> None:
    period.tell(CHANGED, None)
    period.tell(RETIRED, day(2))
    period.enter_run(Run(60, plan="another"))
    report = auditor.look(period.with_plans(retiredAt=utc(day(2))))
    assert report.verdict == "pass", report.proofs
    assert next(proof.ok for proof in report.proofs if proof.name == "plans") is True
    assert vouched(report) == []


def test_a_plan_that_came_back_passes(period: Told, auditor: Auditor) -> None:
    period.tell(RETIRED, day(2))
    period.tell(ENROLLED, None, day(4))
    period.enter_run(Run(5))
    report = auditor.look(period.with_plans())
    assert report.verdict == "pass", report.proofs


def test_of_a_log_that_tells_nothing_of_plans_the_check_is_not_made(home: Installation, auditor: Auditor) -> None:
    older = Told(home)
    older.enter_keys()
    older.enter_run(Run(0))
    report = auditor.look(older.with_plans())
    assert report.verdict == "pass", report.proofs
    (plans,) = [proof for proof in report.proofs if proof.name == "plans"]
    assert (plans.ok, plans.counts) == (None, False)


def test_an_end_that_the_log_does_not_tell_is_not_vouched_for(period: Told, auditor: Auditor) -> None:
    period.enter_run(Run(60, plan="another"))
    (stops,) = vouched(auditor.look(period.with_plans()))
    assert "was due until 2026-07-02T03:00:00Z" in stops
    (said,) = vouched(auditor.look(period.with_plans(retiredAt=utc(day(2)))))
    assert "is said to be retired" in said
    assert vouched(auditor.look(period.with_plans(longestGapSeconds=86400 * 365))) == []


def test_a_plan_of_which_no_cadence_is_told_is_not_vouched_for(period: Told, auditor: Auditor) -> None:
    """Without one nobody could tell that its due times stop."""
    period.enter_run(Run(60, plan="another"))
    for gap in (None, 0, "often"):
        (said,) = vouched(auditor.look(period.with_plans(longestGapSeconds=gap)))
        assert "is said to have no known cadence" in said


def test_plans_that_the_log_tells_of_and_the_population_does_not_are_caught(period: Told, auditor: Auditor) -> None:
    period.enter_run(Run(60, plan="another"))
    assert auditor.failed(period.with_plans()) == set()
    for told in ([], None, {}, "none"):
        period.says["plans"] = told
        assert auditor.failed(period.package()) == {"plans"}
    del period.says["plans"]
    assert auditor.failed(period.package()) == {"plans"}


def test_due_times_that_go_on_as_gaps_need_no_word(period: Told, auditor: Auditor) -> None:
    period.rows += [row(Run(number), None, outcome="unsealed") for number in range(2, 60)]
    period.enter_run(Run(60, plan="another"))
    report = auditor.look(period.with_plans())
    assert "due, and nothing was sealed" in problem(report, "population")
    assert vouched(report) == []


def test_a_retirement_that_was_logged_long_after_says_so(period: Told, auditor: Auditor) -> None:
    period.tell(RETIRED, day(2), day(20))
    report = auditor.look(period.with_plans(retiredAt=utc(day(2))))
    assert report.verdict == "pass", report.proofs
    (late,) = vouched(report)
    assert "was retired at 2026-07-03T03:00:00Z, logged 18 days" in late


Forge = Callable[[Told, Installation], None]


def by_a_stranger(period: Told, home: Installation) -> None:
    period.tell(RETIRED, day(2), signer=home.new_key("stranger"))


def in_another_s_name(period: Told, home: Installation) -> None:
    period.tell(RETIRED, day(2))
    place = f"records/{period.before}.dsse.json"
    envelope = json.loads(period.files.pop(place))
    period.entries.pop()
    envelope["signatures"][0]["sig"] = base64.b64encode(bytes(64)).decode()
    period.enter_record(canonical(envelope), PredicateType.PLAN, day(2))


def by_a_key_that_was_revoked(period: Told, home: Installation) -> None:
    from evidence.keyring import EVERY_ROLE, Action, Facts
    from evidence.keys import public_key_of

    second = home.new_key("second")
    at = Facts(period.logged_at, len(period.entries) + 1, "as planned")
    home.extend(home.keyring.admit(second, EVERY_ROLE, by=home.seal, facts=at))
    home.extend(home.keyring.end(Action.REVOKE, public_key_of(second), by=home.seal, facts=replace(at, from_index=5)))
    period.enter_keys()
    period.tell(RETIRED, day(2), signer=second)


@pytest.mark.parametrize("forge", [by_a_stranger, in_another_s_name, by_a_key_that_was_revoked])
def test_a_retirement_that_no_key_of_the_time_signed_is_caught(
    period: Told, home: Installation, auditor: Auditor, forge: Forge
) -> None:
    forge(period, home)
    assert "records" in auditor.failed(period.with_plans(retiredAt=utc(day(2))))


@pytest.mark.parametrize(
    "change",
    [
        {"number": 2},
        {"number": 0},
        {"previous": None},
        {"previous": "1" * 64},
        {"event": ENROLLED},
        {"plan": "another", "previous": None, "number": 0},
        {"at": day(9)},
    ],
)
def test_a_statement_that_does_not_follow_is_caught(period: Told, auditor: Auditor, change: dict[str, Any]) -> None:
    told: dict[str, Any] = {"event": RETIRED, "at": day(2), "logged_at": day(2)} | change
    period.tell(**told)
    assert "plans" in auditor.failed(period.with_plans(retiredAt=utc(day(2))))


@pytest.mark.parametrize(
    "change",
    [
        {"event": "dreamed"}, {"at": "soon"}, {"at": "2026-07-03T03:00:00+00:00"}, {"number": "1"}, {"number": -1},
        {"more": 1}, {"planDigest": "0" * 64}, {"planDigest": {"sha256": "1" * 64}}, {"cadence": None},
    ],
)  # fmt: skip
def test_a_statement_in_another_form_is_caught(period: Told, auditor: Auditor, change: dict[str, Any]) -> None:
    said = period.said(RETIRED, day(2))
    envelope = sign(statement(said.subjects, said.predicate() | change, PredicateType.PLAN), period.home.seal)
    period.enter_record(envelope, PredicateType.PLAN, day(2))
    report = auditor.look(period.with_plans())
    assert "one form" in problem(report)


def test_a_statement_that_is_not_signed_at_all_is_caught(period: Told, auditor: Auditor) -> None:
    payload = period.said(RETIRED, day(2)).payload()
    period.enter_record(payload, PredicateType.PLAN, day(2))
    assert "no envelope" in problem(auditor.look(period.with_plans()), "records")


def test_a_statement_that_is_kept_back_is_caught_also_one_of_an_earlier_period(
    home: Installation, auditor: Auditor
) -> None:
    period = Told(home, logged_at=BEGIN - 90 * DAY)
    period.enter_keys()
    period.tell(ENROLLED, BEGIN - 80 * DAY)
    period.enter_run(Run(0))
    assert auditor.failed(period.with_plans()) == set()
    del period.files[f"records/{period.before}.dsse.json"]
    assert "is not here: entry 2" in problem(auditor.look(period.with_plans()))


def test_a_plan_that_the_population_leaves_out_or_ends_early_is_caught(period: Told, auditor: Auditor) -> None:
    assert "does not tell of it" in problem(auditor.look(period.with_plans(name="another")))
    period.tell(RETIRED, day(2))
    assert "another time" in problem(auditor.look(period.with_plans(retiredAt=utc(day(1)))))
    assert "another time" in problem(auditor.look(period.with_plans()))


# --- Records that come later than this verifier ----------------------------------------------------------------------


def enter_later_kind(period: Told, signer: Any) -> None:
    body = {"_type": "https://in-toto.io/Statement/v1", "predicate": {"x": 1}, "predicateType": "urn:muster:later:v1"}
    envelope = sign(canonical(body | {"subject": [{"digest": {"sha256": "0" * 64}, "name": "x"}]}), signer)
    place = f"records/{digest(envelope)}.dsse.json"
    period.files[place] = envelope
    draft = record_draft(envelope=digest(envelope), key=place, predicate_type="urn:muster:later:v1")
    period.enter(draft, period.logged_at)


def test_a_record_of_a_kind_that_came_later_is_no_fault_if_it_is_sealed(
    period: Told, home: Installation, auditor: Auditor
) -> None:
    enter_later_kind(period, home.seal)
    report = auditor.look(period.with_plans())
    assert report.verdict == "pass", report.proofs
    assert any("1 records of the kind 'urn:muster:later:v1' came after" in each for each in report.remarks)
    enter_later_kind(period, home.new_key("stranger"))
    assert auditor.failed(period.with_plans()) == {"records"}
