"""Put receipts: of the store's own answer, in one form."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from evidence.envelope import open_envelope
from evidence.errors import AlreadyDifferent, StoreError, StoreUnreachable
from evidence.keys import ensure_key_pair, load_public, load_signer
from evidence.receipts import PutReceipt, ask, parse_receipt, receipt_key, signed_receipt
from evidence.statement import PredicateType, canonical, statement
from evidence.stores import DirectoryStore, NotThere, Receipt, Version

NOW = datetime(2026, 11, 26, 3, 0, tzinfo=UTC)
SHA256 = "ab" * 32
SCHEMA = Draft202012Validator(json.loads(Path("docs/schemas/put-receipt.schema.json").read_text()))


@dataclass(frozen=True)
class Bucket(DirectoryStore):
    """A folder that claims to be a bucket with these versions and this lock."""

    listed: tuple[Version, ...] = ()
    lock: dict[str, Any] = field(default_factory=dict)

    def head(self, key: str, version: str | None = None) -> Receipt | None:
        held = super().head(key)
        return replace(held, version=version or "v9", **self.lock) if held else None

    def versions(self, prefix: str = "") -> Iterator[Version]:
        return iter(self.listed)


def _version(key: str, version: str, *, marker: bool = False) -> Version:
    return Version(key, version, not marker, marker, NOW, 0)


def test_the_store_is_asked_and_its_answer_is_kept(tmp_path: Path) -> None:
    put = DirectoryStore(tmp_path).put_bytes("plan/r1.tar.gz", b"a bundle")
    listed = (_version("plan/r1.tar.gz", "v9"), _version("plan/r1.tar.gz.more", "v1"))
    lock = {"lock_mode": "COMPLIANCE", "locked_until": NOW + timedelta(days=30), "legal_hold": True}
    store = Bucket(tmp_path, listed, lock)
    receipt = ask(store, "plan/r1.tar.gz", None, put.sha256, "s3://evidence", NOW)
    assert receipt.predicate() == {
        "askedAt": "2026-11-26T03:00:00Z",
        "deleteMarkers": 0,
        "key": "plan/r1.tar.gz",
        "legalHold": True,
        "lockMode": "COMPLIANCE",
        "lockedUntil": "2026-12-26T03:00:00Z",
        "sha256": put.sha256,
        "size": 8,
        "store": "s3://evidence",
        "version": "v9",
        "versions": 1,
    }
    assert list(SCHEMA.iter_errors(receipt.predicate())) == []
    assert ask(store, "plan/r1.tar.gz", "v3", put.sha256, "s3://evidence", NOW).held.version == "v3"


def test_other_versions_and_markers_are_counted(tmp_path: Path) -> None:
    put = DirectoryStore(tmp_path).put_bytes("r1", b"a bundle")
    marker, other = _version("r1", "v7", marker=True), _version("r10", "v1", marker=True)
    store = Bucket(tmp_path, (_version("r1", "v9"), _version("r1", "v8"), marker, other))
    receipt = ask(store, "r1", None, put.sha256, "s3://evidence", NOW)
    assert (receipt.versions, receipt.delete_markers) == (2, 1)


def test_no_receipt_is_made_of_what_the_store_does_not_hold(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put_bytes("r1", b"a bundle")
    with pytest.raises(AlreadyDifferent, match="other bytes under r1"):
        ask(store, "r1", None, SHA256, "the store", NOW)
    with pytest.raises(NotThere, match="holds no r2"):
        ask(store, "r2", None, SHA256, "the store", NOW)

    class Away(DirectoryStore):
        def head(self, key: str, version: str | None = None) -> Receipt | None:
            raise StoreUnreachable("nobody answers")

    with pytest.raises(StoreError):
        ask(Away(tmp_path), "r1", None, SHA256, "the store", NOW)


def test_a_signed_receipt_verifies_and_reads_back(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    put = store.put_bytes("plan/r1.tar.gz", b"a bundle")
    ensure_key_pair(tmp_path / "key.pem")
    signer = load_signer(tmp_path / "key.pem")
    envelope = open_envelope(signed_receipt(store, "plan/r1.tar.gz", put.sha256, "a folder", NOW, signer))
    assert envelope is not None
    assert envelope.is_signed_by(load_public(tmp_path / "key.pub"))
    receipt = parse_receipt(envelope.payload)
    assert receipt == PutReceipt(replace(put, created=False), "a folder", NOW, 1, 0)
    assert json.loads(envelope.payload)["subject"] == [{"digest": {"sha256": put.sha256}, "name": "plan/r1.tar.gz"}]
    assert receipt_key("plan/r1.tar.gz") == "receipts/plan/r1.tar.gz.dsse.json"


RECEIPT = PutReceipt(Receipt("plan/r1.tar.gz", SHA256, 8, "v9", "COMPLIANCE", NOW), "s3://evidence", NOW, 1, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"askedAt": "2026-11-26T03:00:00+00:00"},
        {"askedAt": "2026-11-26T03:00:00"},
        {"askedAt": "yesterday"},
        {"askedAt": "0001-01-01T00:00:00+23:59"},
        {"deleteMarkers": -1},
        {"deleteMarkers": False},
        {"key": "../r1"},
        {"key": "plan/r2.tar.gz"},
        {"legalHold": 0},
        {"lockMode": "compliance"},
        {"lockedUntil": 1},
        {"sha256": "AB" * 32},
        {"sha256": "cd" * 32},
        {"size": True},
        {"size": 1.5},
        {"store": None},
        {"version": 3},
        {"versions": "1"},
        {"more": 1},
    ],
    ids=str,
)
def test_what_is_not_exactly_a_receipt_is_none(change: dict[str, Any]) -> None:
    assert parse_receipt(RECEIPT.payload()) == RECEIPT
    changed = RECEIPT.predicate() | change
    assert parse_receipt(statement({"plan/r1.tar.gz": SHA256}, changed, PredicateType.PUT_RECEIPT)) is None


@pytest.mark.parametrize("name", sorted(RECEIPT.predicate()))
def test_no_part_may_be_missing(name: str) -> None:
    changed = {k: v for k, v in RECEIPT.predicate().items() if k != name}
    assert parse_receipt(statement({"plan/r1.tar.gz": SHA256}, changed, PredicateType.PUT_RECEIPT)) is None
    assert list(SCHEMA.iter_errors(changed))


def test_another_kind_of_statement_is_no_receipt() -> None:
    assert parse_receipt(statement({"plan/r1.tar.gz": SHA256}, RECEIPT.predicate(), PredicateType.PROBE)) is None
    assert parse_receipt(RECEIPT.payload() + b"\n") is None
    for content in (b"", b"{}", b"[]", b"\xff", canonical({"predicateType": "urn:muster:put-receipt:v1"})):
        assert parse_receipt(content) is None


times = st.datetimes(datetime(1900, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC))
receipts = st.builds(
    PutReceipt,
    st.builds(
        Receipt,
        st.from_regex("[a-z0-9]{3,9}/r[a-z0-9]{1,9}", fullmatch=True).filter(lambda k: k[:3] not in {"con", "nul"}),
        st.from_regex("[0-9a-f]{64}", fullmatch=True),
        st.integers(0, 2**53 - 1),
        st.none() | st.text(max_size=9),
        st.sampled_from(["COMPLIANCE", "GOVERNANCE", None]),
        st.none() | times,
        st.booleans(),
    ),
    st.text(max_size=20),
    times,
    st.integers(0, 9),
    st.integers(0, 9),
)


@given(receipts)
def test_every_receipt_reads_back_and_fits_its_schema(receipt: PutReceipt) -> None:
    assert parse_receipt(receipt.payload()) == receipt
    assert list(SCHEMA.iter_errors(receipt.predicate())) == []


@given(
    st.binary(max_size=80)
    | st.integers(0, len(RECEIPT.payload()) - 1).map(
        lambda at: RECEIPT.payload()[:at] + bytes([RECEIPT.payload()[at] ^ 1]) + RECEIPT.payload()[at + 1 :]
    )
)
def test_no_bytes_raise_and_none_but_a_receipt_is_one(content: bytes) -> None:
    receipt = parse_receipt(content)
    assert receipt is None or receipt.payload() == content
