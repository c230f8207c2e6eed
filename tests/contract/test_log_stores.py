"""The log over every store: a folder, and S3 as a real SeaweedFS serves it, with and without locks."""

import hashlib
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from evidence.errors import StoreUnreachable
from evidence.log import ForkAlarm, Log
from evidence.stores import Store, open_store
from evidence.verify import check_consistency, check_inclusion, leaf_hash, parse_tlog_proof
from tests.contract.weed import CREDENTIALS, Weed
from tests.unit.paper_log import NOON, assert_whole, drafts, log, signer


@pytest.fixture(params=["folder", "s3 plain", "s3 versioned", "s3 locked"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store with nothing in it."""
    if request.param == "folder":
        return open_store(str(tmp_path / "store"))
    weed: Weed = request.getfixturevalue("weed")
    bucket = request.param.removeprefix("s3 ")
    prefix = hashlib.sha256(str(tmp_path).encode()).hexdigest()[:16]
    return open_store(f"s3://{bucket}/{prefix}", weed.endpoint, lock_days=1, credentials=CREDENTIALS)


def content_of(shelf: Store) -> dict[str, bytes]:
    return {key: shelf.read(key) for key in shelf.keys("log/")}


def test_a_log_in_a_store_is_what_it_is_in_memory(shelf: Store) -> None:
    sizes = (1, 2, 300)
    for at, size in enumerate(sizes):
        log(shelf).append(drafts(*range(sum(sizes[:at]), sum(sizes[:at]) + size)))
    content = content_of(shelf)
    assert_whole(content, range(sum(sizes)))
    view = log(shelf).view()
    proof = parse_tlog_proof(view.prove(290))
    assert proof is not None
    assert check_inclusion(290, view.size, leaf_hash(proof.extra), proof.hashes, view.head.root)
    assert check_consistency(3, view.size, view.root_at(3), view.head.root, view.consistency(3))


def test_writers_of_one_store_make_one_chain(shelf: Store) -> None:
    errors: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            for number in range(4):
                _append(log(shelf), f"{writer} {number}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert errors == []
    assert_whole(content_of(shelf), [f"{writer} {number}" for writer in range(4) for number in range(4)])


def _append(writer: Log, name: str) -> None:
    """As a service does it: a server may answer a race by "try again", and an append may be repeated."""
    for _ in range(20):
        try:
            writer.append_once(drafts(name), NOON - timedelta(hours=1))
        except StoreUnreachable:
            continue
        return
    raise AssertionError("the store never let it in")


def test_a_foreign_batch_in_a_store_is_an_alarm(shelf: Store) -> None:
    log(shelf).append(drafts("a"))
    shelf.put_bytes(f"log/batches/{1:020d}", b"foreign")
    with pytest.raises(ForkAlarm, match="is not a batch"):
        log(shelf).append(drafts("b"))
    assert Log(shelf, "example.org/log", signer(), now=lambda: NOON).view().size == 1
