"""The probe on a real SeaweedFS: which of its buckets keeps what it was told to keep."""

from datetime import UTC, datetime

import pytest

from evidence.probe import ProbeResult, probe
from evidence.stores import LockMode, open_store
from evidence.stores.canary import Answer, Trial
from tests.contract.weed import CREDENTIALS, Weed


def _probe(weed: Weed, bucket: str, mode: LockMode = "COMPLIANCE", *, hold: bool = False) -> ProbeResult:
    store = open_store(
        f"s3://{bucket}/probe",
        weed.endpoint,
        lock_days=30,
        lock_mode=mode,
        legal_hold=hold,
        credentials=CREDENTIALS,
    )
    return probe(store, datetime.now(UTC), f"s3://{bucket}/probe")


def test_a_bucket_that_locks_by_compliance_is_worm_even_to_its_administrator(weed: Weed) -> None:
    result = _probe(weed, "locked")
    assert result.reasons == ()
    assert result.is_worm
    answers = {attempt.trial: attempt.answer for attempt in result.attempts}
    assert answers.pop(Trial.HIDE) is Answer.ACCEPTED
    assert set(answers.values()) == {Answer.REFUSED}
    assert set(answers) == set(Trial) - {Trial.HIDE, Trial.LIFT_HOLD}
    store = open_store("s3://locked/probe", weed.endpoint, credentials=CREDENTIALS)
    assert store.head(result.canary.key) is None
    assert store.head(result.canary.key, result.canary.version) is not None


def test_governance_does_not_bind_an_administrator(weed: Weed) -> None:
    result = _probe(weed, "locked", "GOVERNANCE")
    assert not result.is_worm
    assert [attempt.trial for attempt in result.attempts if attempt.reason] == [
        Trial.BYPASS_SHORTEN,
        Trial.BYPASS_DELETE,
    ]


def test_a_legal_hold_is_lifted_and_the_retention_stays(weed: Weed) -> None:
    result = _probe(weed, "locked", hold=True)
    assert result.is_worm
    assert {a.trial: a.answer for a in result.attempts}[Trial.LIFT_HOLD] is Answer.ACCEPTED


@pytest.mark.parametrize("bucket", ["plain", "versioned"])
def test_a_bucket_without_object_lock_is_refused(weed: Weed, bucket: str) -> None:
    result = _probe(weed, bucket)
    assert not result.is_worm
    assert "the bucket has no Object Lock" in result.reasons[0]
    assert "agreed to delete the version, and the version is gone" in result.reasons[1]
    assert result.bucket is not None
    assert result.bucket.object_lock is False
