"""The probe: a bucket that keeps its word is WORM, and every way of breaking it is seen and said."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from evidence.errors import StoreUnreachable
from evidence.probe import ProbeResult, probe
from evidence.statement import PredicateType, predicate_of, statement, subjects_of
from evidence.stores import DirectoryStore, LockMode, S3Store
from evidence.stores.canary import Answer, Trial
from tests.paper_s3 import Kept, PaperS3, error

NOW = datetime(2026, 11, 26, 3, 0, 0, 123456, tzinfo=UTC)
SCHEMA = Draft202012Validator(json.loads(Path("docs/schemas/probe.schema.json").read_text()))


def _store(bucket: PaperS3, mode: LockMode = "COMPLIANCE", days: int | None = 3650, *, hold: bool = False) -> S3Store:
    client: Any = bucket
    return S3Store(client, "evidence", "", days, mode, lambda: NOW, hold)


def _paper(kind: type[PaperS3] = PaperS3, **more: Any) -> Any:
    return kind(clock=lambda: NOW, **more)


def _probe(store: S3Store) -> ProbeResult:
    result = probe(store, NOW, "s3://evidence")
    payload = statement(result.subjects(), result.predicate(), PredicateType.PROBE)
    assert predicate_of(payload, PredicateType.PROBE) == result.predicate()
    assert list(SCHEMA.iter_errors(result.predicate())) == []
    assert subjects_of(payload) == {result.canary.key: result.canary.sha256}
    return result


def _answers(result: ProbeResult) -> dict[Trial, Answer]:
    return {attempt.trial: attempt.answer for attempt in result.attempts}


def test_a_bucket_that_locks_is_worm_and_the_canary_is_there_behind_its_marker() -> None:
    bucket = _paper()
    result = _probe(_store(bucket))
    assert result.is_worm
    assert result.reasons == ()
    assert _answers(result) == {
        Trial.OVERWRITE: Answer.REFUSED,
        Trial.SHORTEN: Answer.REFUSED,
        Trial.UNLOCK: Answer.REFUSED,
        Trial.DOWNGRADE: Answer.REFUSED,
        Trial.BYPASS_SHORTEN: Answer.REFUSED,
        Trial.DELETE: Answer.REFUSED,
        Trial.DELETE_BATCH: Answer.REFUSED,
        Trial.BYPASS_DELETE: Answer.REFUSED,
        Trial.HIDE: Answer.ACCEPTED,
    }
    assert (result.canary.lock_mode, result.canary.locked_until) == ("COMPLIANCE", NOW + timedelta(days=1))
    assert [(one.name, one.body is None) for one in bucket.kept] == [
        (result.canary.key, False),
        (result.canary.key, True),
    ]
    assert "a marker hides a key" in " ".join(result.notes)
    assert result.bucket is not None
    assert (result.bucket.versioning, result.bucket.object_lock) == ("Enabled", True)


def test_nothing_but_the_canary_is_touched() -> None:
    bucket = _paper()
    _store(bucket).put_bytes("plan/r1.tar.gz", b"a bundle")
    before = [vars(one).copy() for one in bucket.kept]
    _probe(_store(bucket))
    assert [vars(one) for one in bucket.kept if not one.name.startswith("canaries/")] == before


def test_governance_is_worm_only_to_who_may_not_bypass_it() -> None:
    bound = _probe(_store(_paper(), "GOVERNANCE"))
    assert bound.is_worm
    assert "s3:BypassGovernanceRetention" in " ".join(bound.notes)
    assert Trial.DOWNGRADE not in _answers(bound)
    free = _probe(_store(_paper(may_bypass=True), "GOVERNANCE"))
    assert not free.is_worm
    assert "agreed to end the retention sooner, past governance" in free.reasons[0]
    assert "agreed to delete the version past governance" in free.reasons[-1]
    assert _probe(_store(_paper(may_bypass=True), "COMPLIANCE")).is_worm


def test_a_legal_hold_can_be_lifted_and_the_retention_stays() -> None:
    both = _probe(_store(_paper(), hold=True))
    assert both.is_worm
    assert _answers(both)[Trial.LIFT_HOLD] is Answer.ACCEPTED
    assert "only the retention holds" in " ".join(both.notes)
    alone = _probe(_store(_paper(), days=None, hold=True))
    assert not alone.is_worm
    assert any("agreed to delete the version, and the version is gone" in reason for reason in alone.reasons)


def test_a_bucket_without_locks_is_not_worm() -> None:
    result = _probe(_store(_paper(locks=False)))
    assert not result.is_worm
    assert "the bucket has no Object Lock" in result.reasons[0]
    assert "agreed to delete the version, and the version is gone" in result.reasons[1]
    assert _answers(result) == {Trial.OVERWRITE: Answer.REFUSED, Trial.DELETE: Answer.ACCEPTED}


def test_a_retention_that_nobody_asks_for_is_said_so() -> None:
    result = _probe(_store(_paper(), days=None))
    assert not result.is_worm
    assert "none was asked for" in result.reasons[0]


def test_a_bucket_that_locks_by_itself_is_worm() -> None:
    @dataclass
    class Default(PaperS3):
        def get_object_lock_configuration(self, **_: Any) -> dict[str, Any]:
            rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}}
            return {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled", "Rule": rule}}

        def keep(self, *arguments: Any, **more: Any) -> Kept:
            made = super().keep(*arguments, **more)
            made.mode, made.until = "COMPLIANCE", NOW + timedelta(days=30)
            return made

    result = _probe(_store(_paper(Default), days=None))
    assert result.is_worm
    assert result.bucket is not None
    assert result.bucket.default_retention == "COMPLIANCE for 30 days"


def test_a_folder_is_not_worm_and_says_so(tmp_path: Path) -> None:
    result = probe(DirectoryStore(tmp_path), NOW, "a folder")
    assert not result.is_worm
    assert result.reasons == ("it is no bucket: who may write in a folder may delete in it",)
    assert list(SCHEMA.iter_errors(result.predicate())) == []


class Liar(PaperS3):
    """Each subclass breaks its word in one way."""

    def destroy(self, version: str | None) -> None:
        self.kept = [one for one in self.kept if one.version != version]


class SaysYesAndDeletes(Liar):
    def delete_object(self, *, VersionId: str | None = None, **more: Any) -> dict[str, Any]:
        self.destroy(VersionId)
        return {}


class SaysNoAndDeletes(Liar):
    def delete_object(self, *, VersionId: str | None = None, **more: Any) -> dict[str, Any]:
        self.destroy(VersionId)
        raise error(403, "AccessDenied")


class DeletesInBatches(Liar):
    def delete_objects(self, *, Delete: Any, **_: Any) -> dict[str, Any]:
        self.destroy(Delete["Objects"][0]["VersionId"])
        return {"Deleted": Delete["Objects"]}


class DeletesByMarker(Liar):
    def delete_object(self, *, VersionId: str | None = None, **more: Any) -> dict[str, Any]:
        if VersionId is None:
            self.kept = []
            return {"DeleteMarker": True}
        return super().delete_object(VersionId=VersionId, **more)


class ClaimsALock(Liar):
    def put_object(self, **more: Any) -> dict[str, Any]:
        return super().put_object(**{name: value for name, value in more.items() if not name.startswith("ObjectLock")})

    def head_object(self, **more: Any) -> dict[str, Any]:
        lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": NOW + timedelta(days=1)}
        return super().head_object(**more) | lock

    def put_object_retention(self, **_: Any) -> dict[str, Any]:
        raise error(403, "AccessDenied")


class SaysYesAndDoesNothing(Liar):
    def put_object_retention(self, **_: Any) -> dict[str, Any]:
        return {}


class Shortens(Liar):
    def put_object_retention(self, *, Key: str, Retention: Any, **more: Any) -> dict[str, Any]:
        found = self.newest(Key)
        if found and Retention.get("RetainUntilDate"):
            found.until = Retention["RetainUntilDate"]
            return {}
        raise error(400, "InvalidRequest")


class Downgrades(Liar):
    def put_object_retention(self, *, Key: str, Retention: Any, **more: Any) -> dict[str, Any]:
        found = self.newest(Key)
        if found and Retention.get("Mode") == "GOVERNANCE":
            found.mode = "GOVERNANCE"
            return {}
        return super().put_object_retention(Key=Key, Retention=Retention, **more)


class Unlocks(Liar):
    def put_object_retention(self, *, Key: str, Retention: Any, **more: Any) -> dict[str, Any]:
        found = self.newest(Key)
        if found and not Retention:
            found.mode = found.until = None
            return {}
        return super().put_object_retention(Key=Key, Retention=Retention, **more)


class IgnoresIfNoneMatch(Liar):
    def put_object(self, **more: Any) -> dict[str, Any]:
        return super().put_object(**{name: value for name, value in more.items() if name != "IfNoneMatch"})


class OverwritesInPlace(Liar):
    def put_object(self, *, Key: str, Body: Any, **more: Any) -> dict[str, Any]:
        found = self.newest(Key)
        if found is None:
            return super().put_object(Key=Key, Body=Body, **more)
        found.body = Body
        return {"VersionId": found.version}


class LocksForAnHour(Liar):
    def keep(self, *arguments: Any, **more: Any) -> Kept:
        made = super().keep(*arguments, **more)
        made.until = NOW + timedelta(hours=1) if made.until else None
        return made


class LocksByGovernance(Liar):
    def keep(self, *arguments: Any, **more: Any) -> Kept:
        made = super().keep(*arguments, **more)
        made.mode = "GOVERNANCE" if made.mode else None
        return made


class CannotSay(Liar):
    def delete_object(self, *, VersionId: str | None = None, **more: Any) -> dict[str, Any]:
        raise error(503, "SlowDown")


class GivesOtherBytes(Liar):
    """Its HEAD shows what was put; its GET does not."""

    def get_object(self, **more: Any) -> dict[str, Any]:
        answer = super().get_object(**more)
        answer["Body"].read = lambda *_: b"other bytes"
        return answer


class ListsNothing(Liar):
    def get_paginator(self, name: str) -> Any:
        return PaperS3().get_paginator(name)


class IsSuspended(Liar):
    def get_bucket_versioning(self, **_: Any) -> dict[str, Any]:
        return {"Status": "Suspended"}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (SaysYesAndDeletes, "agreed to delete the version, and the version is gone"),
        (SaysNoAndDeletes, "refused to delete the version, and the version is gone"),
        (DeletesInBatches, "agreed to delete the version in a batch, and the version is gone"),
        (DeletesByMarker, "agreed to hide the key behind a delete marker, and the version is gone"),
        (ClaimsALock, "agreed to delete the version, and the version is gone"),
        (SaysYesAndDoesNothing, "agreed to end the retention sooner (yes), though nothing had changed then"),
        (Shortens, "agreed to end the retention sooner, and its retention ends at 2026-11-26 15:00"),
        (Downgrades, "agreed to turn COMPLIANCE into GOVERNANCE, and its mode is GOVERNANCE now"),
        (Unlocks, "agreed to take the retention away, and its mode is none now"),
        (IgnoresIfNoneMatch, "though it is taken (If-None-Match), and a second version hides the first"),
        (OverwritesInPlace, "though it is taken (If-None-Match), and its bytes are others now"),
        (LocksForAnHour, "locked the canary only until 2026-11-26T04:00:00.123456Z, sooner than asked"),
        (LocksByGovernance, "locked the canary by GOVERNANCE, not COMPLIANCE as asked"),
        (CannotSay, "gave no clear answer to delete the version (503 SlowDown)"),
        (GivesOtherBytes, "the canary's bytes are others now"),
        (ListsNothing, "it does not list the canary's version"),
        (IsSuspended, "the bucket's versioning is Suspended"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_store_that_breaks_its_word_is_seen(kind: type[Liar], words: str) -> None:
    result = _probe(_store(_paper(kind)))
    assert not result.is_worm
    assert words in "; ".join(result.reasons)


def test_a_lie_that_is_found_early_does_not_hide_the_healthy_rest() -> None:
    result = _probe(_store(_paper(Downgrades)))
    assert [a.trial for a in result.attempts if a.reason] == [Trial.DOWNGRADE]
    assert _answers(result)[Trial.SHORTEN] is Answer.REFUSED
    assert _answers(result)[Trial.HIDE] is Answer.ACCEPTED


def test_credentials_that_may_not_delete_show_less_and_it_is_said() -> None:
    class MayNotDelete(Liar):
        def delete_object(self, **_: Any) -> dict[str, Any]:
            raise error(403, "AccessDenied")

    result = _probe(_store(_paper(MayNotDelete)))
    assert result.is_worm
    assert "a probe by who may delete shows more" in " ".join(result.notes)


def test_a_bucket_that_does_not_tell_is_judged_by_what_it_does() -> None:
    @dataclass
    class Mute(PaperS3):
        def get_bucket_versioning(self, **_: Any) -> dict[str, Any]:
            raise error(403, "AccessDenied")

    result = _probe(_store(_paper(Mute)))
    assert result.is_worm
    assert result.bucket is not None
    assert result.bucket.versioning is None


def test_a_store_that_goes_away_shows_nothing_either_way() -> None:
    class GoesAway(Liar):
        def head_object(self, **more: Any) -> dict[str, Any]:
            if len(self.kept) > 0 and self.away:
                raise error(503, "SlowDown")
            self.away = True
            return super().head_object(**more)

        away = False

    with pytest.raises(StoreUnreachable):
        _probe(_store(_paper(GoesAway)))


@pytest.mark.parametrize("name", sorted(_probe(_store(_paper())).predicate()))
def test_the_schema_asks_for_every_part(name: str) -> None:
    whole = _probe(_store(_paper())).predicate()
    assert list(SCHEMA.iter_errors({key: value for key, value in whole.items() if key != name}))
