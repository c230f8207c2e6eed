"""Published schemas say what seals say: each real predicate fits its own, and one that was changed does not."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from test_report_samples import ABORTED, FAILED, PASSED, UNDECIDED

from evidence.envelope import open_envelope
from evidence.keyring import EVERY_ROLE, Action, Facts, Keyring
from evidence.keys import ensure_key_pair, load_signer, public_key_of
from evidence.plans import PlanEvent, PlanStatement
from evidence.statement import PredicateType, predicate_of
from muster.sealing import predicate_of as told
from muster.sealing import test_result_of as result_of
from muster.summary import Summary

SCHEMAS = Path("docs/schemas")
SAMPLES = [PASSED, FAILED, UNDECIDED, ABORTED]


def schema(name: str) -> Draft202012Validator:
    found = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(found)
    return Draft202012Validator(found)


@pytest.mark.parametrize("summary", SAMPLES, ids=lambda s: s.outcome.value)
def test_what_is_said_of_a_run_fits(summary: Summary) -> None:
    schema("drill-run").validate(told(summary))


@pytest.mark.parametrize(
    "change",
    [{"outcome": "fine"}, {"more": 1}, {"planDigest": {"sha256": "x"}}, {"verdict": None}, {"plan": "Shop"}],
)
def test_what_is_not_of_the_format_does_not(change: dict[str, Any]) -> None:
    assert not schema("drill-run").is_valid(told(PASSED) | change)
    assert not schema("drill-run").is_valid({k: v for k, v in told(PASSED).items() if k != "outcome"})


@pytest.mark.parametrize("summary", SAMPLES, ids=lambda s: s.outcome.value)
def test_only_a_pass_is_a_pass_for_whoever_reads_test_results(summary: Summary) -> None:
    result = result_of(summary)
    assert result["result"] == ("PASSED" if summary is PASSED else "FAILED")
    asked = [finding.check for finding in summary.findings if finding.verdict]
    assert sorted([*result["passedTests"], *result["failedTests"]]) == sorted(asked)
    assert result["warnedTests"] == []


def test_key_statements_fit(tmp_path: Path) -> None:
    for name in ("a", "b"):
        ensure_key_pair(tmp_path / name)
    a, b = load_signer(tmp_path / "a"), load_signer(tmp_path / "b")
    facts = Facts(datetime(2026, 11, 26, 5, 0, 0, 17, tzinfo=UTC), 0, "why")
    ring = Keyring()
    ring = ring.extended(ring.admit(a, EVERY_ROLE, by=a, facts=facts))
    ring = ring.extended(ring.admit(b, EVERY_ROLE, by=a, facts=facts))
    ring = ring.extended(ring.end(Action.REVOKE, public_key_of(a), by=b, facts=facts))
    for envelope in ring.envelopes:
        opened = open_envelope(envelope)
        said = predicate_of(opened.payload, PredicateType.KEY) if opened else None
        assert said is not None
        schema("key").validate(said)
        assert not schema("key").is_valid(said | {"fromIndex": -1})


def test_a_link_fits() -> None:
    at = "2026-11-26T05:00:00Z"
    link = {"at": at, "key": "shop/shop-1.tar.gz", "to": "auditor", "until": at, "version": "1"}
    schema("link").validate(link)
    assert not schema("link").is_valid(link | {"until": "soon"})


def test_plan_statements_fit() -> None:
    first = PlanStatement(
        plan="shop",
        number=0,
        event=PlanEvent.ENROLLED,
        at=None,
        plan_digest="0" * 64,
        cadence={"cron": "0 3 1 * *"},
        kind="restore",
        owner="",
        controls=("SOC 2 A1.2",),
        reason="",
        by="db1",
        previous=None,
    )
    gone = replace(first, event=PlanEvent.RETIRED, number=1, at=datetime(2026, 11, 26, tzinfo=UTC), previous="1" * 64)
    for said in (first.predicate(), gone.predicate()):
        schema("plan").validate(said)
        for change in ({"event": "dreamed"}, {"at": "soon"}, {"more": 1}, {"number": -1}, {"planDigest": "0" * 64}):
            assert not schema("plan").is_valid(said | change), change
    assert not schema("plan").is_valid(gone.predicate() | {"previous": None})
    assert not schema("plan").is_valid(first.predicate() | {"event": "retired"})
