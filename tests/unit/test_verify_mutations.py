"""Packages with one thing changed, by a hand without keys and by one that can seal anew: the verifier catches each."""

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from evidence.verify import DEFLATED_HEADER, STORED_HEADER, Limits
from tests.paper_package import HOUR, Auditor, Files, Installation, Period, Run, a_period_after, day, pack, unpack


@dataclass(frozen=True)
class Case:
    """A healthy package, who made it, and who looks at it."""

    auditor: Auditor
    period: Period
    files: Files
    healthy: bytes
    given: dict[str, Any]

    def failed(self, files: Files) -> set[str]:
        """Which checks fail when the writer seals these files in place of the healthy ones."""
        return self.auditor.failed(self.period.package(files), **self.given)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("package")
    home = Installation(folder)
    period = a_period_after(home, {})
    witness, size = home.witness(), 5
    head = period.keep_head(size)
    text = head[: head.index(b"\n\n") + 1]
    seen_at = int((day(1) + 3 * HOUR).timestamp())
    period.files[f"log/cosignatures/{size:020d}/{witness.name}"] = witness.cosign(text, seen_at)
    files = period.all_files()
    given = {"witnesses": (_witness(str(witness.key)),)}
    return Case(Auditor(folder, home.pinned), period, files, period.package(files), given)


def _witness(vkey: str) -> Any:
    from evidence.verify import parse_vkey

    return parse_vkey(vkey)


def test_the_healthy_package_passes(case: Case) -> None:
    report = case.auditor.look(case.healthy, **case.given)
    assert report.verdict == "pass", report.proofs
    unchecked = {proof.name for proof in report.proofs if proof.ok is None}
    assert unchecked == {"anchors", "forms", "previous", "own entry", "own receipt"}
    assert report.told[0].endswith(
        "2 passed, 1 failed; besides 1 open and 0 sealed late and 1 carried from the package before"
    )
    assert case.period.package(case.files) == case.healthy


def _places(content: bytes, most: int) -> Iterator[tuple[int, int]]:
    """Byte and bit: every byte of a small file; of a larger one some, evenly, and some by chance."""
    step = -(-len(content) // most)
    places = {
        *range(0, len(content), step),
        *random.Random(len(content)).sample(range(len(content)), k=step > 1 and 10),
    }
    return ((place, place % 8) for place in sorted(places))


def _flipped(content: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed)


def test_a_flipped_bit_of_the_package_is_caught(case: Case) -> None:
    for place, bit in _places(case.healthy, 300):
        assert case.auditor.failed(_flipped(case.healthy, place, bit)) == {"archive"}, place


def test_a_flipped_bit_of_a_member_is_caught_when_the_manifests_are_mended(case: Case) -> None:
    """Whoever has no key cannot mend the seal: of each member one bit, some of them in each of its eight places."""
    members = unpack(case.healthy)
    for number, (name, content) in enumerate(sorted(members.items())):
        place = number * 7 % len(content)
        changed = members | {name: _flipped(content, place, number % 8)}
        mended = changed if name.endswith(".txt") else _mended(changed)
        assert case.auditor.failed(pack(mended, case.period.name)), name


def _mended(members: Files) -> Files:
    from evidence import bag

    def manifest(names: list[str]) -> bytes:
        return bag.manifest({name: hashlib.sha256(members[name]).hexdigest() for name in names})

    payload = [name for name in members if name.startswith(bag.PAYLOAD)]
    members = members | {bag.MANIFEST: manifest(payload)}
    tags = [name for name in members if name not in payload and name != bag.TAG_MANIFEST]
    return members | {bag.TAG_MANIFEST: manifest(tags)}


INNER = (
    "keys/00000000.dsse.json",
    "keys/00000001.dsse.json",
    "log/cosignatures/00000000000000000005/witness.example",
    "log/entries.jsonl",
    "log/head",
    "log/heads/00000000000000000005",
    "population.json",
    "previous.json",
    "receipts/restore-shop/restore-shop-0001.tar.gz.dsse.json",
    "runs/restore-shop/restore-shop-0002.tar.gz",
)


@pytest.mark.parametrize("name", INNER)
def test_a_flipped_bit_is_caught_though_the_package_is_sealed_anew(case: Case, name: str) -> None:
    for place, bit in _places(case.files[name], 48):
        changed = case.period.package(case.files | {name: _flipped(case.files[name], place, bit)})
        report = case.auditor.look(changed, **case.given)
        is_nobodys = name.startswith("log/cosignatures/") and report.verdict == "inconclusive"
        is_word = name == "population.json" and _without_words(_flipped(case.files[name], place, bit)) == _told(case)
        assert report.verdict == "fail" or is_nobodys or is_word, (
            place,
            bit,
        )  # a line by a witness that nobody asked for


def _told(case: Case) -> Any:
    return _without_words(case.files["population.json"])


def _without_words(population: bytes) -> Any:
    """But for what only who made the package says: until when an open slot can be run, how far due times are apart."""
    try:
        value = json.loads(population)
        for row in (*value["carried"], *value["open"]):
            del row["claimableUntil"]
        value["plans"] = [plan["name"] for plan in value["plans"]]
    except (ValueError, KeyError, TypeError):
        return None
    return value


def test_a_flipped_bit_of_a_record_is_caught_though_the_package_is_sealed_anew(case: Case) -> None:
    """A later receipt, and what was said of a plan."""
    names = [name for name in case.files if name.startswith("records/")]
    assert len(names) == 2
    for name in names:
        for place, bit in _places(case.files[name], 48):
            assert "records" in case.failed(case.files | {name: _flipped(case.files[name], place, bit)}), (place, bit)


def _read_by_the_verifier(files: Files) -> list[str]:
    return [name for name in files if name != "README.txt"]


def test_a_dropped_file_is_caught_though_the_package_is_sealed_anew(case: Case) -> None:
    for name in _read_by_the_verifier(case.files):
        rest = {other: content for other, content in case.files.items() if other != name}
        if name == "previous.json":
            assert case.failed(rest) == {"previous"}
        elif name.startswith("log/cosignatures/"):  # the witness that was asked for is not there
            assert case.auditor.look(case.period.package(rest), **case.given).verdict == "inconclusive"
        else:
            assert case.failed(rest), name


ADDED: dict[str, str] = {
    "runs/restore-shop/restore-shop-0009.tar.gz": "runs",
    "receipts/restore-shop/restore-shop-0009.tar.gz.dsse.json": "receipts",
    f"records/{'0' * 64}.dsse.json": "records",
    "keys/00000002.dsse.json": "keyring",
    "keys/00000003.dsse.json": "keyring",
    "log/heads/00000000000000000006": "heads",
    "log/heads/00000000000000000099": "heads",
    "log/times/00000000000000000006/tsa.tsr": "heads",
    "links.json": "links",
    "surprise.txt": "contents",
    "runs/restore-shop-0001.tar.gz": "contents",
    "log/tile/0/000": "contents",
    "telemetry": "contents",
}


@pytest.mark.parametrize("name", ADDED)
def test_an_added_file_is_caught_though_the_package_is_sealed_anew(case: Case, name: str) -> None:
    likes = {name.partition("/")[0]: content for name, content in case.files.items()}
    content = likes.get(name.partition("/")[0], b"x")
    assert ADDED[name] in case.failed(case.files | {name: content})


def test_a_renamed_or_swapped_bundle_is_caught_though_the_package_is_sealed_anew(case: Case) -> None:
    first, second = (f"runs/{Run(number).key}" for number in (1, 2))
    swapped = case.files | {first: case.files[second], second: case.files[first]}
    assert case.failed(swapped) == {"runs"}
    renamed = {name: content for name, content in case.files.items() if name != first}
    assert case.failed(renamed | {f"runs/{Run(7).key}": case.files[first]}) == {"runs"}
    receipts = [f"receipts/{Run(number).key}.dsse.json" for number in (1, 2)]
    swapped = case.files | dict(zip(receipts, (case.files[name] for name in reversed(receipts)), strict=True))
    assert case.failed(swapped) == {"receipts"}


def test_names_that_differ_only_by_case_are_caught(case: Case) -> None:
    name = f"runs/{Run(1).key}"
    assert "layout" in case.failed(case.files | {name.upper().replace("RUNS/", "runs/"): case.files[name]})


LINES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "tail cut": lambda lines: lines[:-1],
    "first gone": lambda lines: lines[1:],
    "one gone": lambda lines: lines[:2] + lines[3:],
    "swapped": lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]],
    "reversed": lambda lines: lines[::-1],
    "replayed": lambda lines: [*lines, lines[-1]],
    "replayed at once": lambda lines: [*lines[:3], lines[2], *lines[3:]],
    "empty line": lambda lines: [*lines, b""],
    "none": lambda lines: [],
}


@pytest.mark.parametrize("change", LINES)
def test_a_changed_list_of_entries_is_caught_though_the_package_is_sealed_anew(case: Case, change: str) -> None:
    lines = LINES[change](case.files["log/entries.jsonl"].split(b"\n")[:-1])
    content = b"".join(line + b"\n" for line in lines)
    assert {"head", "log"} & case.failed(case.files | {"log/entries.jsonl": content})


def test_a_list_of_entries_without_an_end_is_caught(case: Case) -> None:
    entries = case.files["log/entries.jsonl"]
    for content in (entries[:-1], entries + b"{}", entries + b" " * 70_000):
        assert case.failed(case.files | {"log/entries.jsonl": content}) == {"archive"}


def _tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    for info, content in members:
        info.size = len(content)
        out.write(info.tobuf(tarfile.USTAR_FORMAT, "utf-8") + content + bytes(-len(content) % 512))
    body = gzip.compress(out.getvalue() + bytes(1024), 6, mtime=0)[10:]
    return DEFLATED_HEADER + hashlib.sha256(body).digest() + body


def _odd(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


ODD = {
    "climbs": _odd("../../etc/passwd"),
    "absolute": _odd("/etc/passwd"),
    "link": _odd("r/data/link", tarfile.SYMTYPE, "/etc/passwd"),
    "hard link": _odd("r/data/link", tarfile.LNKTYPE, "/etc/passwd"),
    "device": _odd("r/data/device", tarfile.CHRTYPE),
    "look-alike": _odd("r/d\u0430ta/x"),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_member_of_a_bundle_in_the_package_is_caught_and_lands_nowhere(case: Case, odd: str) -> None:
    name = f"runs/{Run(1).key}"
    before = sorted(case.auditor.folder.rglob("*"))
    assert case.failed(case.files | {name: _tar((ODD[odd], b""))}) == {"runs"}
    assert sorted(case.auditor.folder.rglob("*")) == before


def test_a_zip_or_anything_else_in_a_bundles_place_is_caught(case: Case) -> None:
    for content in (b"PK\x03\x04" + bytes(100), b"", case.healthy, case.healthy[:-1], STORED_HEADER, DEFLATED_HEADER):
        assert case.failed(case.files | {f"runs/{Run(1).key}": content}) == {"runs"}


def test_a_bomb_in_the_package_is_caught_by_what_is_unpacked_in_all(case: Case) -> None:
    name = f"runs/{Run(1).key}"
    bomb = _tar((_odd("r/data/zeros"), bytes(8 << 20)))
    files = case.files | {name: bomb}
    assert len(bomb) < 10_000
    total = sum(map(len, unpack(case.period.package(files)).values()))
    for room, failed in ((8 << 20, False), (100, True)):
        limits = Limits(total_bytes=total + 100_000 + room, tag_bytes=1 << 20)
        report = case.auditor.look(case.period.package(files), limits=limits, **case.given)
        assert report.verdict == "fail"
        assert any("more than" in proof.seen for proof in report.proofs) == failed
    assert case.failed(case.files | {name: bomb}) == {"runs"}


def test_a_package_that_is_stored_is_held_to_the_same(case: Case) -> None:
    """Above four megabytes nothing is compressed; the form is another, the checks are not."""
    stored = case.period.package(case.files | {"README.txt": bytes(5 << 20)})
    assert stored.startswith(STORED_HEADER)
    assert case.auditor.look(stored, **case.given).verdict == "pass"
    for place in (
        0,
        3,
        9,
        10,
        11,
        12,
        13,
        14,
        15,
        5000,
        len(stored) // 2,
        len(stored) - 9,
        len(stored) - 5,
        len(stored) - 1,
    ):
        for bit in (0, 7):
            assert case.auditor.failed(_flipped(stored, place, bit)), place
    for length in (11, 15, 70_000, len(stored) - 1):
        assert case.auditor.failed(stored[:length]) == {"archive"}
    assert case.auditor.failed(stored + b"x") == {"archive"}


def test_packages_of_any_good_runs_raise_no_alarm(tmp_path: Path) -> None:
    home = Installation(tmp_path)
    auditor, chance = Auditor(tmp_path, home.pinned), random.Random(7)
    for _ in range(20):
        period = Period(home)
        period.enter_keys()
        for number in sorted(chance.sample(range(80), k=chance.randrange(6))):
            period.enter_run(Run(number, chance.choice(["passed", "failed", "missed", "waived", "aborted", "refused"])))
        report = auditor.look(period.package())
        assert report.verdict == "pass", report.proofs
