"""The audit of real stores: what an administrator of SeaweedFS, or of a folder, does to them is found."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evidence.audit import Audit, Fault, audit
from evidence.bundle import seal
from evidence.keys import ensure_key_pair, load_public, load_signer
from evidence.notary import Hands, Notary
from evidence.receipts import receipt_key, signed_receipt
from evidence.stores import LockMode, S3Store, Store, open_store
from evidence.vault import Vault
from tests.contract.weed import CREDENTIALS, Weed

KEYS = tuple(f"orders/orders-{number}.tar.gz" for number in range(4))
HEAD = "log/heads/00000000000000000004"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    ensure_key_pair(tmp_path / "key.pem")
    return tmp_path / "key.pem"


def _filled(weed: Weed, bucket: str, prefix: str, key: Path, mode: LockMode = "COMPLIANCE") -> Store:
    where = f"s3://{bucket}/{prefix}"
    store = open_store(where, weed.endpoint, lock_days=30, lock_mode=mode, credentials=CREDENTIALS)
    for place in (*KEYS, HEAD):
        store.put_bytes(place, place.encode())
    for place in KEYS:
        digest = hashlib.sha256(place.encode()).hexdigest()
        receipt = signed_receipt(store, place, digest, where, datetime.now(UTC), load_signer(key))
        store.put_bytes(receipt_key(place), receipt)
    return store


def _told(found: Audit) -> set[tuple[Fault, str]]:
    return {(one.fault, one.key) for one in found.findings}


@pytest.mark.parametrize("bucket", ["plain", "versioned", "locked"])
def test_a_bucket_that_nobody_touched_has_no_findings_and_a_touched_one_has(weed: Weed, key: Path, bucket: str) -> None:
    prefix = f"audit-{bucket}"
    store = _filled(weed, bucket, prefix, key)
    trusted = [load_public(key.with_suffix(".pub"))]
    assert audit(store, lambda: trusted, deep=True) == Audit((), 9, 4, 4, True)
    weed.client.put_object(Bucket=bucket, Key=f"{prefix}/{KEYS[0]}", Body=b"another")
    weed.client.delete_object(Bucket=bucket, Key=f"{prefix}/{KEYS[1]}")
    weed.client.delete_object(Bucket=bucket, Key=f"{prefix}/{HEAD}")
    weed.client.put_object(Bucket=bucket, Key=f"{prefix}/notes.txt", Body=b"")
    expected = {
        "plain": {(Fault.DIFFERENT, KEYS[0]), (Fault.MISSING, KEYS[1])},
        "versioned": {(Fault.SECOND_VERSION, KEYS[0]), (Fault.MARKER, KEYS[1]), (Fault.MARKER, HEAD)},
    }
    found = _told(audit(store, lambda: trusted))
    assert found == expected["plain" if bucket == "plain" else "versioned"] | {(Fault.STRAY, "notes.txt")}


def test_a_shortened_lock_and_a_deleted_version_are_found(weed: Weed, key: Path) -> None:
    prefix = "audit-governance"
    store = _filled(weed, "locked", prefix, key, "GOVERNANCE")
    trusted = [load_public(key.with_suffix(".pub"))]
    assert audit(store, lambda: trusted, deep=True).findings == ()

    def named(place: str) -> dict[str, Any]:
        held = store.head(place)
        assert held is not None
        pinned = {"Bucket": "locked", "Key": f"{prefix}/{place}", "VersionId": held.version}
        return pinned | {"BypassGovernanceRetention": True}

    sooner = {"Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(days=1)}
    weed.client.put_object_retention(**named(KEYS[0]), Retention=sooner)
    weed.client.delete_object(**named(KEYS[1]))
    found = audit(store, lambda: trusted)
    assert _told(found) == {(Fault.SHORTENED, KEYS[0]), (Fault.MISSING, KEYS[1])}
    assert "the receipt says" in found.findings[0].seen


def test_a_version_that_was_put_unlocked_is_found(weed: Weed, key: Path) -> None:
    prefix = "audit-unlocked"
    store = _filled(weed, "locked", prefix, key)
    place = "records/" + "ab" * 32 + ".dsse.json"
    weed.client.put_object(Bucket="locked", Key=f"{prefix}/{place}", Body=b"")
    trusted = [load_public(key.with_suffix(".pub"))]
    assert _told(audit(store, lambda: trusted, deep=True)) == {(Fault.UNLOCKED, place)}


@pytest.mark.parametrize("kind", ["folder", "plain", "versioned", "locked"])
def test_what_the_holder_of_the_key_exchanged_is_found_by_the_log(
    request: pytest.FixtureRequest, tmp_path: Path, key: Path, kind: str
) -> None:
    """A bundle and its receipt destroyed, and others that fit each other put in their place."""
    if kind == "folder":
        store = open_store(str(tmp_path / "store"))
    else:
        weed: Weed = request.getfixturevalue("weed")
        where = f"s3://{kind}/audit-log-{kind}"
        store = open_store(where, weed.endpoint, lock_days=30, lock_mode="GOVERNANCE", credentials=CREDENTIALS)
    signer = load_signer(key)
    notary = Notary(store, Hands(signer, signer), now=lambda: datetime.now(UTC), where=store.where)
    bundles = [_sealed(store, key, tmp_path, number, "passed") for number in range(3)]
    assert notary.enter_all(bundles) == {}
    vault = Vault.open(store, load_public(key.with_suffix(".pub")))
    trusted = [load_public(key.with_suffix(".pub"))]
    found = audit(store, lambda: trusted, entries=vault.entries, deep=True)
    assert (found.findings, found.bundles, found.receipts, found.entries) == ((), 3, 3, 3)
    place = bundles[1][0]
    for gone in (place, receipt_key(place)):
        _destroy(request, store, gone)
    _sealed(store, key, tmp_path, 1, "failed")
    digest = store.digest(place)
    store.put_bytes(receipt_key(place), signed_receipt(store, place, digest, store.where, datetime.now(UTC), signer))
    assert audit(store, lambda: trusted, deep=True).findings == (), "bundle and receipt agree"
    told = _told(audit(store, lambda: trusted, entries=vault.entries))
    assert told == {(Fault.NOT_AS_LOGGED, place), (Fault.NOT_AS_LOGGED, receipt_key(place))}


def _sealed(store: Store, key: Path, folder: Path, number: int, outcome: str) -> tuple[str, Path]:
    at = datetime(2026, 11, 26, 3, tzinfo=UTC).isoformat()
    said = {"run": f"shop-{number}", "plan": "shop", "outcome": outcome, "scheduledAt": at, "endedAt": at}
    made = seal({"a": b"1"}, said, load_signer(key), folder / outcome / f"shop-{number}.tar.gz", {})
    return store.put(f"shop/shop-{number}.tar.gz", made.path, made.sha256).key, made.path


def _destroy(request: pytest.FixtureRequest, store: Store, key: str) -> None:
    """For good, with all that an administrator can."""
    if not isinstance(store, S3Store):
        (Path(store.where) / key).unlink()
        return
    held = store.head(key)
    assert held is not None
    pinned = {"VersionId": held.version, "BypassGovernanceRetention": True} if held.version else {}
    weed: Weed = request.getfixturevalue("weed")
    weed.client.delete_object(Bucket=store.bucket, Key=store.name(key), **pinned)
