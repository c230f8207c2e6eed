"""The policies under deployments/iam on a server that enforces them: SeaweedFS, with an identity for each role.

What it does not know is said here and in docs/iam.md: the condition `s3:if-none-match`; and its bucket policies do not
hold for deletions in a batch. TLS it has none here.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from evidence.audit import audit
from evidence.errors import StoreError
from evidence.keys import ensure_key_pair, load_public, load_signer
from evidence.probe import probe
from evidence.receipts import receipt_key, signed_receipt
from evidence.stores import Store, open_store
from tests.contract.weed import Weed, running_weed

FOLDER = Path("deployments/iam")
ROLES = ("writer", "notary", "auditor", "prober")
BUCKET = "locked"
BUNDLE, HEAD, RECEIPT, CANARY, PAGE = (
    "orders/orders-1.tar.gz",
    "log/heads/00000000000000000001",
    "receipts/orders/orders-1.tar.gz.dsse.json",
    "canaries/20261126T030000.000000Z",
    "portal/index.html",
)


def _policy(name: str) -> str:
    return (FOLDER / f"{name}.json").read_text().replace("EVIDENCE", BUCKET)


def _credentials(role: str) -> tuple[str, str]:
    return role, f"{role}-secret"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    """A server with the four identities, whose bucket locks what is put for 30 days by itself."""
    identities = [
        {
            "name": role,
            "credentials": [dict(zip(("accessKey", "secretKey"), _credentials(role), strict=True))],
            "policyNames": [role],
        }
        for role in ROLES
    ]
    policies = [{"name": role, "content": _policy(role)} for role in ROLES]
    with running_weed(tmp_path_factory.mktemp("guarded"), {"identities": identities, "policies": policies}) as weed:
        rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}}
        weed.client.put_object_lock_configuration(
            Bucket=BUCKET, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
        )
        for key in (BUNDLE, HEAD, RECEIPT, CANARY, PAGE):
            weed.client.put_object(Bucket=BUCKET, Key=key, Body=b"")
        yield weed


def _store(weed: Weed, role: str, prefix: str = "") -> Store:
    return open_store(f"s3://{BUCKET}/{prefix}", weed.endpoint, credentials=_credentials(role))


UNTIL = datetime.now(UTC) + timedelta(days=60)


def _deeds(client: Any, key: str, version: str) -> dict[str, Callable[[], Any]]:
    """What can be done to an object. Each is a promise of the role's policy to allow it, or not."""
    named = {"Bucket": BUCKET, "Key": key}
    other = {"Bucket": BUCKET, "Key": key + "-none"}
    retention = {"Mode": "COMPLIANCE", "RetainUntilDate": UNTIL}
    return {
        "read": lambda: client.get_object(**named, VersionId=version)["Body"].read(),
        "write": lambda: client.put_object(**named, Body=b""),
        "copy": lambda: client.copy_object(**named, CopySource=named, MetadataDirective="REPLACE"),
        "parts": lambda: client.create_multipart_upload(**named),
        "lock": lambda: client.put_object_retention(**named, VersionId=version, Retention=retention),
        "hold": lambda: client.put_object_legal_hold(**named, VersionId=version, LegalHold={"Status": "OFF"}),
        "hide": lambda: client.delete_object(**other),
        "delete": lambda: client.delete_object(**other, VersionId="0" * 32),
        "delete in a batch": partial(_delete_batch, client, other["Key"]),
    }


def _delete_batch(client: Any, key: str) -> None:
    answer = client.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key}]})
    for error in answer.get("Errors", ()):
        raise ClientError({"Error": error, "ResponseMetadata": {"HTTPStatusCode": 403}}, "DeleteObjects")


def _bucket_deeds(client: Any) -> dict[str, Callable[[], Any]]:
    rule = {"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    suspended = {"Status": "Suspended"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    return {
        "list": lambda: client.list_objects_v2(Bucket=BUCKET),
        "list versions": lambda: client.list_object_versions(Bucket=BUCKET),
        "ask for the lock": lambda: client.get_object_lock_configuration(Bucket=BUCKET),
        "ask for versioning": lambda: client.get_bucket_versioning(Bucket=BUCKET),
        "suspend": lambda: client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=suspended),
        "unlock": lambda: client.put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration={}),
        "let expire": lambda: client.put_bucket_lifecycle_configuration(
            Bucket=BUCKET, LifecycleConfiguration={"Rules": [rule]}
        ),
        "change the policy": lambda: client.put_bucket_policy(Bucket=BUCKET, Policy=policy),
        "delete the bucket": lambda: client.delete_bucket(Bucket=BUCKET),
        "make a bucket": lambda: client.create_bucket(Bucket="another"),
        "read another": lambda: client.list_objects_v2(Bucket="plain"),
        "write another": lambda: client.put_object(Bucket="plain", Key=BUNDLE, Body=b""),
    }


def _granted(deeds: dict[str, Callable[[], Any]]) -> set[str]:
    answers = {name: _status(deed) for name, deed in deeds.items()}
    assert set(answers.values()) <= {200, 403}, answers
    return {name for name, status in answers.items() if status == 200}


def _status(deed: Callable[[], Any]) -> int:
    try:
        deed()
    except ClientError as error:
        return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
    return 200


WRITE = {"read", "write", "copy", "parts"}
LOOK = {"list", "list versions", "ask for the lock", "ask for versioning"}


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("writer", {BUNDLE: WRITE, HEAD: set(), RECEIPT: set(), CANARY: set(), PAGE: set()}),
        ("notary", {BUNDLE: {"read"}, HEAD: WRITE, RECEIPT: WRITE, CANARY: {"read"}, PAGE: WRITE}),
        ("auditor", {key: {"read"} for key in (BUNDLE, HEAD, RECEIPT, CANARY, PAGE)}),
        ("prober", {BUNDLE: set(), HEAD: set(), RECEIPT: set(), PAGE: set()}),
    ],
)
def test_each_role_may_do_what_it_must_and_nothing_else(
    guarded: Weed, role: str, expected: dict[str, set[str]]
) -> None:
    client = guarded.client_of(_credentials(role))
    for key, deeds in expected.items():
        version = guarded.client.head_object(Bucket=BUCKET, Key=key)["VersionId"]
        assert _granted(_deeds(client, key, version)) == deeds, key
    assert _granted(_bucket_deeds(client)) == (set() if role == "writer" else LOOK)


def test_a_prober_may_try_everything_on_a_canary(guarded: Weed) -> None:
    client = guarded.client_of(_credentials("prober"))
    version = guarded.client.head_object(Bucket=BUCKET, Key=CANARY)["VersionId"]
    deeds = _deeds(client, CANARY, version)
    assert _granted(deeds) == set(deeds)


def test_the_roles_together_keep_evidence_and_none_does_more_than_its_part(guarded: Weed, tmp_path: Path) -> None:
    ensure_key_pair(tmp_path / "key.pem")
    signer, trusted = load_signer(tmp_path / "key.pem"), [load_public(tmp_path / "key.pub")]
    writer, notary, auditor = (_store(guarded, role) for role in ("writer", "notary", "auditor"))
    key = "billing/billing-1.tar.gz"
    put = writer.put_bytes(key, b"a bundle")
    assert put.lock_mode == "COMPLIANCE"
    assert put.locked_until is not None
    assert put.locked_until > datetime.now(UTC) + timedelta(days=29)
    assert not writer.put_bytes(key, b"a bundle").created
    receipt = signed_receipt(notary, key, put.sha256, notary.where, datetime.now(UTC), signer)
    with pytest.raises(StoreError, match="was refused"):
        writer.put_bytes(receipt_key(key), receipt)
    with pytest.raises(StoreError, match="was refused"):
        notary.put_bytes("billing/billing-2.tar.gz", b"another")
    notary.put_bytes(receipt_key(key), receipt)
    with pytest.raises(StoreError, match="was refused"):
        auditor.put_bytes(key, b"a bundle")
    hashed = hashlib.sha256(b"a bundle").hexdigest()
    assert auditor.get(key, tmp_path / "pulled", put.version) == hashed
    assert [
        one.seen for one in audit(auditor, lambda: trusted, deep=True).findings if one.key.startswith("billing/")
    ] == []
    result = probe(_store(guarded, "prober"), datetime.now(UTC), "s3://locked")
    assert result.is_worm
    assert not [note for note in result.notes if "may not delete" in note]
    assert result.bucket is not None
    assert result.bucket.default_retention == "COMPLIANCE for 30 days"


@pytest.fixture
def guarded_twice(guarded: Weed) -> Iterator[Weed]:
    """With the bucket's own policy too, but for the statement about TLS, which is not spoken here."""
    policy = json.loads(_policy("bucket"))
    policy["Statement"] = [one for one in policy["Statement"] if one["Sid"] != "NothingInTheClear"]
    guarded.client.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
    yield guarded
    guarded.client.delete_bucket_policy(Bucket=BUCKET)


def test_by_the_buckets_policy_an_administrator_deletes_no_evidence(guarded_twice: Weed) -> None:
    deeds = _deeds(guarded_twice.client, BUNDLE, "")
    assert _granted({name: deeds[name] for name in ("hide", "delete")}) == set()
    for key in (CANARY, PAGE):
        deeds = _deeds(guarded_twice.client, key, "")
        assert _granted({name: deeds[name] for name in ("hide", "delete")}) == {"hide", "delete"}
    assert _store(guarded_twice, "writer").put_bytes("orders/orders-7.tar.gz", b"").created


def test_that_policy_does_not_reach_batches_on_seaweedfs(guarded_twice: Weed) -> None:
    """A hole of SeaweedFS 4.48, and the reason why docs/iam.md does not count on its bucket policies."""
    _delete_batch(guarded_twice.client, "orders/orders-8.tar.gz-none")
