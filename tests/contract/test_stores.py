"""One suite of promises for every store: a folder; S3 as a real SeaweedFS serves it, with and without locks; and as
Amazon documents it, in memory.
"""

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from evidence.bundle import Sealed
from evidence.errors import AlreadyDifferent, StoreError, StoreUnreachable
from evidence.outbox import Outbox
from evidence.stores import LockMode, NotThere, Receipt, S3Store, Store, open_store
from evidence.stores.s3 import LONGEST_LINK
from evidence.stores.s3_wire import s3_client
from tests.contract.weed import CREDENTIALS, Weed, free_ports
from tests.paper_s3 import PaperS3

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(params=["folder", "s3 plain", "s3 versioned", "s3 locked", "s3 on paper"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store with nothing in it."""
    if request.param == "folder":
        return open_store(str(tmp_path / "store"))
    if request.param == "s3 on paper":
        paper: Any = PaperS3(page=2)
        return S3Store(paper, "evidence", "prefix", 1, "COMPLIANCE", lambda: datetime.now(UTC))
    weed: Weed = request.getfixturevalue("weed")
    bucket = request.param.removeprefix("s3 ")
    prefix = hashlib.sha256(str(tmp_path).encode()).hexdigest()[:16]
    return open_store(f"s3://{bucket}/{prefix}", weed.endpoint, lock_days=1, credentials=CREDENTIALS)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], tuple[Path, str]]:
    def file(content: bytes) -> tuple[Path, str]:
        digest = hashlib.sha256(content).hexdigest()
        path = tmp_path / f"file-{digest[:8]}"
        path.write_bytes(content)
        return path, digest

    return file


File = Callable[[bytes], tuple[Path, str]]


@pytest.mark.parametrize("content", [b"", b"a bundle", os.urandom(3 << 20)], ids=["empty", "small", "3 MiB"])
def test_what_is_put_comes_back(store: Store, file: File, tmp_path: Path, content: bytes) -> None:
    path, digest = file(content)
    receipt = store.put("runs/r1.tar.gz", path, digest)
    assert receipt.created
    assert (receipt.key, receipt.sha256, receipt.size) == ("runs/r1.tar.gz", digest, len(content))
    assert store.head("runs/r1.tar.gz") == replace(receipt, created=False)
    assert store.get("runs/r1.tar.gz", tmp_path / "back") == digest
    assert store.digest("runs/r1.tar.gz") == store.digest("runs/r1.tar.gz", receipt.version) == digest
    assert (tmp_path / "back").read_bytes() == content


LARGE = os.urandom((5 << 20) + 1000)


@pytest.fixture
def parted(store: Store) -> Store:
    """The store, which takes in parts what is larger than 1 MiB; the smallest part that S3 takes is 5 MiB."""
    return replace(store, largest_put=1 << 20, part=5 << 20) if isinstance(store, S3Store) else store


def _begun(request: pytest.FixtureRequest, store: Store) -> list[Any]:
    """Uploads in parts that nobody finished or took back."""
    if not isinstance(store, S3Store):
        return []
    if isinstance(store.client, PaperS3):
        return list(store.client.uploads)
    weed: Weed = request.getfixturevalue("weed")
    found: list[Any] = weed.client.list_multipart_uploads(Bucket=store.bucket, Prefix=store.name("")).get("Uploads", [])
    return found


def test_what_is_put_in_parts_is_kept_once_as_any_other(
    request: pytest.FixtureRequest, parted: Store, store: Store, file: File, tmp_path: Path
) -> None:
    path, digest = file(LARGE)
    first = parted.put("runs/large.tar.gz", path, digest)
    assert (first.created, first.sha256, first.size) == (True, digest, len(LARGE))
    assert (first.lock_mode is not None) == (getattr(store, "bucket", "") in {"locked", "evidence"})
    held = replace(first, created=False)
    assert parted.put("runs/large.tar.gz", path, digest) == held
    assert store.head("runs/large.tar.gz", first.version) == held, "also to who did not send it"
    assert store.get("runs/large.tar.gz", tmp_path / "back") == digest
    for other in (LARGE[::-1], b"small"):
        with pytest.raises(AlreadyDifferent):
            parted.put("runs/large.tar.gz", *file(other))
    assert len(list(store.versions("runs/"))) == 1
    assert _begun(request, store) == []


def test_parts_that_are_not_what_was_sealed_never_arrive(
    request: pytest.FixtureRequest, parted: Store, file: File
) -> None:
    path, _ = file(LARGE)
    with pytest.raises(StoreError, match="not what was sealed") as caught:
        parted.put("r1", path, hashlib.sha256(b"as sealed").hexdigest())
    assert not isinstance(caught.value, StoreUnreachable)
    assert (parted.head("r1"), parted.keys(), _begun(request, parted)) == (None, (), [])


def test_who_learns_in_the_end_that_the_key_is_taken_is_refused(
    request: pytest.FixtureRequest, parted: Store, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key was free when the first part was sent: the last request says so too, and the first bytes stay."""
    monkeypatch.setattr(S3Store, "_is_there", lambda *_: False)
    path, digest = file(LARGE)
    first = parted.put("r1", path, digest)
    assert parted.put("r1", path, digest) == replace(first, created=False)
    with pytest.raises(AlreadyDifferent):
        parted.put("r1", *file(LARGE[::-1]))
    assert parted.digest("r1") == digest
    assert len(list(parted.versions("r1"))) == 1
    assert _begun(request, parted) == []


def test_the_same_bytes_again_are_success_and_nothing_new(store: Store, file: File) -> None:
    path, digest = file(b"a bundle")
    first = store.put("r1", path, digest)
    assert store.put("r1", path, digest) == replace(first, created=False)


@pytest.mark.parametrize("content", [b"", b"a head", os.urandom(3 << 20)], ids=["empty", "small", "3 MiB"])
def test_bytes_that_are_put_are_read(store: Store, content: bytes) -> None:
    receipt = store.put_bytes("log/heads/0", content)
    assert receipt.created
    assert (receipt.key, receipt.sha256, receipt.size) == (
        "log/heads/0",
        hashlib.sha256(content).hexdigest(),
        len(content),
    )
    assert store.put_bytes("log/heads/0", content) == replace(receipt, created=False)
    assert store.read("log/heads/0") == store.read("log/heads/0", receipt.version) == content
    with pytest.raises(AlreadyDifferent):
        store.put_bytes("log/heads/0", content + b" ")
    assert store.read("log/heads/0") == content


def test_more_than_the_limit_is_not_taken_into_memory(store: Store) -> None:
    store.put_bytes("r1", b"0123456789")
    assert store.read("r1", limit=10) == b"0123456789"
    with pytest.raises(StoreError, match="more than 9 bytes"):
        store.read("r1", limit=9)


def test_other_bytes_are_refused_and_the_first_stay(store: Store, file: File, tmp_path: Path) -> None:
    first = store.put("r1", *file(b"a bundle"))
    with pytest.raises(AlreadyDifferent) as caught:
        store.put("r1", *file(b"a bumble"))
    assert caught.value.advice
    assert store.head("r1") == replace(first, created=False)
    store.get("r1", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"a bundle"


def test_bytes_that_are_not_what_was_sealed_never_arrive(store: Store, file: File) -> None:
    path, _ = file(b"damaged on disk")
    with pytest.raises(StoreError) as caught:
        store.put("r1", path, hashlib.sha256(b"as sealed").hexdigest())
    assert not isinstance(caught.value, StoreUnreachable)
    assert store.head("r1") is None
    assert store.keys() == ()


def test_nothing_there_is_said_so(store: Store, tmp_path: Path) -> None:
    assert store.head("none") is None
    with pytest.raises(StoreError, match="none"):
        store.get("none", tmp_path / "back")
    with pytest.raises(NotThere, match="none"):
        store.read("none")
    assert not (tmp_path / "back").exists()
    assert store.keys() == ()


def test_keys_are_listed_by_prefix_in_order(store: Store, file: File) -> None:
    for key in ("runs/b", "runs/a", "runs-old/c", "package"):
        store.put(key, *file(key.encode()))
    assert store.keys() == ("package", "runs-old/c", "runs/a", "runs/b")
    assert store.keys("runs/") == ("runs/a", "runs/b")
    assert store.keys("runs") == ("runs-old/c", "runs/a", "runs/b")
    assert store.keys("none") == ()
    assert store.keys(after="runs-old/c") == ("runs/a", "runs/b")
    assert store.keys("runs/", after="runs/a") == ("runs/b",)
    assert store.keys("runs/", after="runs/b") == ()
    assert store.keys("runs/", after="package") == ("runs/a", "runs/b")


@pytest.mark.parametrize("key", ["", "/a", "a/../../b", "..", ".incoming/part", "a b", "é", "a//b"])
def test_a_key_that_leaves_its_place_is_refused(store: Store, file: File, tmp_path: Path, key: str) -> None:
    with pytest.raises(StoreError, match="is no key"):
        store.put(key, *file(b"a bundle"))
    with pytest.raises(StoreError, match="is no key"):
        store.head(key)
    with pytest.raises(StoreError, match="is no key"):
        store.get(key, tmp_path / "back")
    with pytest.raises(StoreError, match="is no key"):
        store.read(key)
    with pytest.raises(StoreError, match="is no key"):
        store.put_bytes(key, b"a head")


def test_of_many_writers_one_creates(store: Store, file: File) -> None:
    path, digest = file(b"a bundle")
    receipts: list[Receipt] = []

    def put() -> None:
        for _ in range(10):  # a server may answer a race by "try again"
            try:
                receipts.append(store.put("r1", path, digest))
            except StoreUnreachable:
                continue
            return

    threads = [threading.Thread(target=put) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(receipts) == 6
    assert {receipt.sha256 for receipt in receipts} == {digest}
    assert sum(receipt.created for receipt in receipts) == 1


def test_of_many_writers_of_different_bytes_one_wins(store: Store, file: File) -> None:
    files = [file(f"bundle {number}".encode()) for number in range(6)]
    created: list[Receipt] = []
    refused: list[StoreError] = []

    def put(path: Path, digest: str) -> None:
        try:
            created.append(store.put("r1", path, digest))
        except StoreError as error:
            refused.append(error)

    threads = [threading.Thread(target=put, args=one) for one in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(created), len(refused)) == (1, 5)
    assert store.head("r1") == replace(created[0], created=False)


def test_a_receipt_survives_json(store: Store, file: File) -> None:
    receipt = store.put("r1", *file(b"a bundle"))
    assert Receipt.from_json(json.loads(json.dumps(receipt.as_json()))) == receipt


def test_a_store_that_is_away_is_said_so_at_once(tmp_path: Path, file: File) -> None:
    (port,) = free_ports(1)
    away = open_store("s3://locked/x", f"http://127.0.0.1:{port}", credentials=CREDENTIALS)
    path, digest = file(b"a bundle")
    for call in (
        lambda: away.put("r1", path, digest),
        lambda: away.head("r1"),
        lambda: away.get("r1", tmp_path / "back"),
        lambda: away.keys(),
    ):
        with pytest.raises(StoreUnreachable, match="cannot be reached") as caught:
            call()
        assert "start the object store" in caught.value.advice


def test_a_folder_that_is_no_folder_is_said_so(tmp_path: Path, file: File) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnreachable, match="is it mounted"):
        open_store(str(tmp_path / "file" / "store")).put("r1", *file(b"a bundle"))


def test_a_missing_bucket_and_wrong_credentials_are_said_so(weed: Weed, file: File) -> None:
    path, digest = file(b"a bundle")
    with pytest.raises(StoreError, match="NoSuchBucket") as caught:
        open_store("s3://no-such-bucket/x", weed.endpoint, credentials=CREDENTIALS).keys()
    assert not isinstance(caught.value, StoreUnreachable)
    with pytest.raises(StoreError, match="was refused"):
        open_store("s3://locked/x", weed.endpoint, credentials=("drill", "wrong")).put("r1", path, digest)
    with pytest.raises(StoreError, match="names no bucket"):
        open_store("s3:///x")


def test_a_kept_file_in_a_folder_cannot_be_written_by_mistake(tmp_path: Path, file: File) -> None:
    store = open_store(str(tmp_path / "store"))
    store.put("r1", *file(b"a bundle"))
    assert (tmp_path / "store" / "r1").stat().st_mode & 0o222 == 0


def test_a_changed_file_in_a_folder_shows_in_its_digest(tmp_path: Path, file: File) -> None:
    store = open_store(str(tmp_path / "store"))
    path, digest = file(b"a bundle")
    store.put("r1", path, digest)
    (tmp_path / "store" / "r1").chmod(0o644)
    (tmp_path / "store" / "r1").write_bytes(b"a bumble")
    head = store.head("r1")
    assert head is not None
    assert head.sha256 == hashlib.sha256(b"a bumble").hexdigest()
    with pytest.raises(AlreadyDifferent):
        store.put("r1", path, digest)


def test_versions_and_locks_are_read_back_from_the_bucket(weed: Weed, file: File) -> None:
    path, digest = file(b"a bundle")
    started = datetime.now(UTC)
    receipts = {
        bucket: open_store(f"s3://{bucket}/receipts", weed.endpoint, lock_days=30, credentials=CREDENTIALS).put(
            "r1", path, digest
        )
        for bucket in ("plain", "versioned", "locked")
    }
    assert [receipts[b].lock_mode for b in ("plain", "versioned", "locked")] == [None, None, "COMPLIANCE"]
    assert [receipts[b].locked_until is None for b in ("plain", "versioned", "locked")] == [True, True, False]
    assert receipts["versioned"].version
    assert receipts["locked"].version
    until = receipts["locked"].locked_until
    assert until is not None
    assert until >= started + timedelta(days=30) - timedelta(seconds=1)


def test_retention_is_counted_from_the_given_clock_in_the_given_mode(weed: Weed, file: File) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    store = open_store(
        "s3://locked/clock",
        weed.endpoint,
        lock_days=2,
        lock_mode="GOVERNANCE",
        credentials=CREDENTIALS,
        now=lambda: now,
    )
    receipt = store.put("r1", *file(b"a bundle"))
    assert (receipt.lock_mode, receipt.locked_until) == ("GOVERNANCE", now + timedelta(days=2))
    without = open_store("s3://locked/clock", weed.endpoint, credentials=CREDENTIALS)
    assert without.put("r2", *file(b"a bundle")).lock_mode is None


def test_a_locked_version_cannot_be_deleted_and_an_unlocked_one_can(weed: Weed, file: File) -> None:
    path, digest = file(b"a bundle")
    for bucket in ("versioned", "locked"):
        store = open_store(f"s3://{bucket}/deletion", weed.endpoint, lock_days=1, credentials=CREDENTIALS)
        receipt = store.put("r1", path, digest)
        doomed = {"Bucket": bucket, "Key": "deletion/r1", "VersionId": receipt.version}
        if bucket == "locked":
            with pytest.raises(ClientError, match="AccessDenied"):
                weed.client.delete_object(**doomed)
            assert store.head("r1") == replace(receipt, created=False)
        else:
            weed.client.delete_object(**doomed)
            assert store.head("r1") is None


def test_every_version_is_listed(store: Store) -> None:
    keys = {"runs/a": b"1", "runs/b": b"22", "runs.old/c": b"", "runs-old/d": b"4444", "package": b"55555"}
    started = datetime.now(UTC)
    receipts = {key: store.put_bytes(key, content) for key, content in keys.items()}
    found = list(store.versions())
    assert {v.key: (v.version, v.size) for v in found} == {k: (r.version, r.size) for k, r in receipts.items()}
    assert all(v.is_latest and not v.is_delete_marker for v in found)
    assert all(abs(v.at - started) < timedelta(minutes=10) for v in found)
    assert len(found) == len(keys)
    assert {v.key for v in store.versions("runs")} == {"runs/a", "runs/b", "runs.old/c", "runs-old/d"}
    assert [v.key for v in store.versions("runs/a")] == ["runs/a"]
    assert list(store.versions("none")) == []


def test_a_version_that_is_not_there_is_nothing(store: Store, tmp_path: Path) -> None:
    store.put_bytes("r1", b"a bundle")
    assert store.head("r1", "0" * 32) is None
    for call in (
        lambda: store.read("r1", "0" * 32),
        lambda: store.get("r1", tmp_path / "back", "0" * 32),
        lambda: store.digest("r1", "0" * 32),
    ):
        with pytest.raises(NotThere):
            call()
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("bucket", ["versioned", "locked"])
def test_what_was_hidden_or_overwritten_is_still_read_by_its_version(weed: Weed, tmp_path: Path, bucket: str) -> None:
    store = open_store(f"s3://{bucket}/pinned", weed.endpoint, lock_days=1, credentials=CREDENTIALS)
    first = store.put_bytes("r1", b"a bundle")
    weed.client.delete_object(Bucket=bucket, Key="pinned/r1")
    second = store.put_bytes("r1", b"a bumble")
    assert second.created
    assert store.read("r1") == b"a bumble"
    assert store.read("r1", first.version) == b"a bundle"
    assert store.head("r1", first.version) == replace(first, created=False)
    assert store.get("r1", tmp_path / "back", first.version) == first.sha256
    listed = {v.version: (v.is_latest, v.is_delete_marker, v.size) for v in store.versions("r1")}
    marker = next(v.version for v in store.versions("r1") if v.is_delete_marker)
    assert listed == {
        first.version: (False, False, 8),
        marker: (False, True, 0),
        second.version: (True, False, 8),
    }


def test_versions_are_listed_whole_where_one_listing_is_not(weed: Weed) -> None:
    """More than one page holds, with a folder whose name begins like another's: SeaweedFS loses that in one listing."""
    prefix = "many"
    names = [f"restore/r{number:04d}.tar.gz" for number in range(1005)] + ["restore-x/r1.tar.gz", "restore.x/r1.tar.gz"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: weed.client.put_object(Bucket="versioned", Key=f"{prefix}/{n}", Body=b""), names))
    store = open_store(f"s3://versioned/{prefix}", weed.endpoint, credentials=CREDENTIALS)
    assert sorted(v.key for v in store.versions()) == sorted(names)
    assert store.keys() == tuple(sorted(names))
    assert store.keys(after="restore-x/r1.tar.gz") == tuple(sorted(n for n in names if n > "restore-x/r1.tar.gz"))


def test_a_legal_hold_is_set_and_read_back(weed: Weed) -> None:
    held = open_store("s3://locked/hold", weed.endpoint, legal_hold=True, credentials=CREDENTIALS)
    receipt = held.put_bytes("r1", b"a bundle")
    assert (receipt.legal_hold, receipt.lock_mode, receipt.locked_until) == (True, None, None)
    with pytest.raises(ClientError, match="AccessDenied"):
        weed.client.delete_object(Bucket="locked", Key="hold/r1", VersionId=receipt.version)
    both = open_store("s3://locked/hold", weed.endpoint, lock_days=1, legal_hold=True, credentials=CREDENTIALS)
    receipt = both.put_bytes("r2", b"a bundle")
    assert (receipt.legal_hold, receipt.lock_mode) == (True, "COMPLIANCE")
    plain = open_store("s3://plain/hold", weed.endpoint, lock_days=1, legal_hold=True, credentials=CREDENTIALS)
    assert not plain.put_bytes("r1", b"a bundle").legal_hold


@pytest.mark.parametrize("mode", ["COMPLIANCE", "GOVERNANCE"])
def test_a_retention_is_extended_and_never_shortened(weed: Weed, mode: LockMode) -> None:
    store = S3Store(s3_client(weed.endpoint, CREDENTIALS), "locked", f"extend-{mode}", 2, mode, lambda: NOW)
    receipt = store.put_bytes("r1", b"a bundle")
    assert receipt.version
    assert receipt.locked_until == NOW + timedelta(days=2)
    with pytest.raises(StoreError, match="longer than asked"):
        store.extend("r1", receipt.version, NOW + timedelta(days=1))
    assert store.head("r1") == replace(receipt, created=False)
    longer = store.extend("r1", receipt.version, NOW + timedelta(days=5))
    assert longer == store.head("r1") == replace(receipt, locked_until=NOW + timedelta(days=5), created=False)
    with pytest.raises(NotThere):
        store.extend("r2", receipt.version, NOW + timedelta(days=5))


def test_a_link_brings_one_version_and_nothing_else(weed: Weed) -> None:
    store = S3Store(s3_client(weed.endpoint, CREDENTIALS), "locked", "link", 1, "COMPLIANCE", lambda: NOW)
    first = store.put_bytes("r1", b"a bundle").version
    assert first
    weed.client.delete_object(Bucket="locked", Key="link/r1")
    second = store.put_bytes("r1", b"a bumble").version
    assert second
    link = store.link("r1", first, 60)
    assert httpx.get(link).content == b"a bundle"
    assert httpx.get(link.replace(first, second)).status_code == 403
    assert httpx.put(link, content=b"other").status_code == 403
    assert httpx.delete(link).status_code == 403
    assert store.read("r1", first) == b"a bundle"


def test_a_link_ends(weed: Weed) -> None:
    store = S3Store(s3_client(weed.endpoint, CREDENTIALS), "locked", "link-end", 1, "COMPLIANCE", lambda: NOW)
    version = store.put_bytes("r1", b"a bundle").version
    assert version
    assert "X-Amz-Expires=604800" in store.link("r1", version, LONGEST_LINK)
    link = store.link("r1", version, 1)
    time.sleep(2.5)  # the server's clock ends it, and no other
    assert httpx.get(link).status_code == 403
    for seconds in (0, -1, LONGEST_LINK + 1):
        with pytest.raises(StoreError, match="up to 7 days"):
            store.link("r1", version, seconds)
    with pytest.raises(StoreError, match="for one version"):
        store.link("r1", "", 60)


def test_the_outbox_delivers_to_any_store(store: Store, tmp_path: Path, file: File) -> None:
    outbox = Outbox(tmp_path / "outbox")
    for name in ("b", "a"):
        path, digest = file(name.encode())
        outbox.add(Sealed(path, digest, path.stat().st_size, "key"), f"runs/{name}")
    delivery = outbox.flush(store)
    assert delivery.waiting == ()
    assert [(receipt.key, receipt.created) for receipt in delivery.sent] == [("runs/b", True), ("runs/a", True)]
    assert store.keys() == ("runs/a", "runs/b")
