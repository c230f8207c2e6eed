"""A package that a verifier could not read is not made, and what is made it reads: the same limits on both sides."""

from bisect import bisect
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from package_paper import Paper, at, quarter, standing
from test_package_gather import Q3, Estate

from evidence.errors import EvidenceError
from evidence.verify import PACKAGE_LIMITS, Given, Limits, check, load_key
from muster.package import making
from muster.package.gather import gather
from muster.package.limits import READ_WHOLE, assert_readable


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    return Paper(tmp_path / "paper")


@pytest.fixture
def estate(tmp_path: Path) -> Estate:
    estate = Estate(tmp_path)
    estate.ledger.known = [standing("orders")]
    for month in range(2, 10):
        estate.run("orders", at(f"2026-{month:02d}-01T03:00"))
    return estate


def allows(monkeypatch: pytest.MonkeyPatch, limits: Limits) -> None:
    monkeypatch.setattr(making, "assert_readable", partial(assert_readable, limits=limits))


@pytest.mark.parametrize("what", ["tag_bytes", "members", "total_bytes"])
def test_the_least_limits_that_the_packager_takes_are_enough_for_the_verifier(
    estate: Estate, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(making, "render_pdf", lambda *_: b"%PDF")  # drawn many times, and no verifier reads it
    (estate.folder / "work").mkdir()
    inputs = gather(estate.sources(), "v1", Q3, estate.folder / "work")

    def made(limit: int) -> Path | None:
        allows(monkeypatch, replace(PACKAGE_LIMITS, **{what: limit}))
        try:
            return making.make_package(inputs, estate.paper.signer, estate.folder / "out").path
        except EvidenceError:
            return None

    tried = range(0, 500, 1) if what == "members" else range(0, 500_000, 500)
    least = tried[bisect(tried, 0, key=lambda limit: made(limit) is not None)]
    assert least
    path = made(least)
    assert path
    limits = replace(PACKAGE_LIMITS, **{what: least})
    assert check(path, Given(load_key(estate.pinned), limits=limits)).verdict == "pass"
    half = replace(limits, **{what: least // 2})
    assert check(path, Given(load_key(estate.pinned), limits=half)).verdict != "pass", "it is a limit there too"


@pytest.mark.parametrize("name", READ_WHOLE)
def test_each_file_that_a_verifier_holds_in_memory_has_a_limit(name: str) -> None:
    limits = Limits(tag_bytes=5_000, members=100)
    assert_readable({name: bytes(5_000)}, {}, 0, limits)
    with pytest.raises(EvidenceError, match=f"{name} would have 5,001 bytes, and a verifier reads 5,000"):
        assert_readable({name: bytes(5_001)}, {}, 0, limits)


def test_what_is_in_the_bundles_counts_and_what_is_read_as_a_stream_does_not() -> None:
    limits = Limits(tag_bytes=5_000, members=100, total_bytes=30_000)
    assert_readable({"runs/a.tar.gz": bytes(10_000)}, {}, 10_000, limits)
    with pytest.raises(EvidenceError, match="all of it, unpacked"):
        assert_readable({"runs/a.tar.gz": bytes(10_000)}, {}, 20_000, limits)


def test_many_files_make_a_statement_that_is_too_large() -> None:
    members = {f"runs/orders/{number:06d}.tar.gz": b"" for number in range(100)}
    assert_readable(members, {}, 0, Limits(tag_bytes=30_000, members=200))
    with pytest.raises(EvidenceError, match=r"statement\.dsse\.json"):
        assert_readable(members, {}, 0, Limits(tag_bytes=15_000, members=200))
    with pytest.raises(EvidenceError, match="100 files, and a verifier reads 107") as refused:
        assert_readable(members, {}, 0, Limits(tag_bytes=30_000, members=107))
    assert "--period" in refused.value.advice


def test_nothing_is_left_of_a_package_that_is_refused(
    paper: Paper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allows(monkeypatch, Limits(tag_bytes=1_000))
    with pytest.raises(EvidenceError, match=r"population\.json"):
        making.make_package(quarter(paper), paper.signer, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    monkeypatch.undo()
    assert making.make_package(quarter(paper), paper.signer, tmp_path / "out").path.exists()
