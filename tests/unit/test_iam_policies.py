"""The policies under deployments/iam: each grants its role what it needs and nothing that could undo evidence."""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from evidence.places import is_place

FOLDER = Path("deployments/iam")
ROLES = ("auditor", "notary", "prober", "writer")
READS = {"s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectRetention", "s3:GetObjectLegalHold"}
LOOKS = {"s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration"}
UNDOES = re.compile(r"s3:(Delete|Bypass|PutBucket|PutLifecycle|PutObjectRetention|PutObjectLegalHold|PutObjectAcl|\*)")
KEYS = {
    "orders/orders-1.tar.gz": "writer",
    "receipts/orders/orders-1.tar.gz.dsse.json": "notary",
    "proofs/orders/orders-1.tar.gz.tlog-proof": "notary",
    "log/heads/00000000000000000001": "notary",
    "log/batches/00000000000000000000": "notary",
    "log/tile/0/000": "notary",
    "log/tile/entries/x001/067": "notary",
    "log/times/00000000000000000001/freetsa.tsr": "notary",
    "log/cosignatures/00000000000000000001/witness": "notary",
    "keys/00000000.dsse.json": "notary",
    f"records/{'ab' * 32}.dsse.json": "notary",
    "packages/v1.tar.gz": "notary",
    "portal/index.html": "notary",
    "canaries/20261126T030000.000000Z": "prober",
}


def _statements(name: str) -> list[dict[str, Any]]:
    policy = json.loads((FOLDER / f"{name}.json").read_text())
    assert policy["Version"] == "2012-10-17"
    assert set(policy) == {"Version", "Statement"}
    assert len({one["Sid"] for one in policy["Statement"]}) == len(policy["Statement"])
    found: list[dict[str, Any]] = policy["Statement"]
    return found


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _allowed(name: str) -> Iterator[tuple[str, str]]:
    """Every action and resource that a role's policy allows."""
    for statement in _statements(name):
        if statement["Effect"] == "Allow":
            yield from ((a, r) for a in _listed(statement["Action"]) for r in _listed(statement["Resource"]))


def _may(name: str, action: str, key: str) -> bool:
    """What AWS would answer by this policy alone: a denial wins, and without an allowance there is none."""
    resource = f"arn:aws:s3:::EVIDENCE/{key}" if key else "arn:aws:s3:::EVIDENCE"
    effects = {
        statement["Effect"]
        for statement in _statements(name)
        if action in _listed(statement["Action"])
        and any(fnmatchcase(resource, pattern) for pattern in _listed(statement["Resource"]))
    }
    return effects == {"Allow"}


def test_every_role_has_its_policy_and_there_are_no_others() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == sorted((*ROLES, "bucket"))


@pytest.mark.parametrize("name", ROLES)
def test_a_policy_names_its_actions_and_its_bucket(name: str) -> None:
    for statement in _statements(name):
        assert set(statement) <= {"Sid", "Effect", "Action", "Resource"}
    for action, resource in _allowed(name):
        assert re.fullmatch("s3:[A-Za-z]+", action)
        assert re.fullmatch(r"arn:aws:s3:::EVIDENCE(/.+)?", resource)
        assert (resource == "arn:aws:s3:::EVIDENCE") == (action in LOOKS)


@pytest.mark.parametrize("name", ["auditor", "notary", "writer"])
def test_nobody_who_handles_evidence_may_undo_it(name: str) -> None:
    assert not [action for action, _ in _allowed(name) if UNDOES.match(action)]


def test_an_auditor_only_looks() -> None:
    assert {action for action, _ in _allowed("auditor")} == READS | LOOKS


def test_a_prober_touches_nothing_but_canaries() -> None:
    for action, resource in _allowed("prober"):
        assert action in LOOKS or resource == "arn:aws:s3:::EVIDENCE/canaries/*"


@pytest.mark.parametrize(("key", "owner"), KEYS.items())
def test_each_place_is_written_by_one_role(key: str, owner: str) -> None:
    assert is_place(key)
    assert [name for name in ROLES if _may(name, "s3:PutObject", key)] == [owner]
    assert _may("auditor", "s3:GetObjectVersion", key)
    assert _may("notary", "s3:GetObjectVersion", key)


@pytest.mark.parametrize("key", ["notes.txt", "x/y", "orders-1.tar.gz", "evidence/x.json"])
def test_no_role_writes_what_has_no_place(key: str) -> None:
    assert not is_place(key)
    assert not [name for name in ROLES if _may(name, "s3:PutObject", key)]


def test_the_bucket_denies_everybody_what_would_undo_evidence() -> None:
    statements = {one["Sid"]: one for one in _statements("bucket")}
    assert {one["Effect"] for one in statements.values()} == {"Deny"}
    assert {one["Principal"] for one in statements.values()} == {"*"}
    spared = {"arn:aws:s3:::EVIDENCE/canaries/*", "arn:aws:s3:::EVIDENCE/portal/*"}
    deletion = statements["NobodyDeletesEvidence"]
    assert set(deletion["Action"]) == {"s3:DeleteObject", "s3:DeleteObjectVersion"}
    assert set(deletion["NotResource"]) == spared
    once = statements["NothingIsWrittenTwice"]
    assert once["Condition"] == {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}}
    assert once["NotResource"] == "arn:aws:s3:::EVIDENCE/portal/*"
    for key in KEYS:
        resource = f"arn:aws:s3:::EVIDENCE/{key}"
        is_spared = any(fnmatchcase(resource, pattern) for pattern in spared)
        assert is_spared == key.startswith(("canaries/", "portal/"))
