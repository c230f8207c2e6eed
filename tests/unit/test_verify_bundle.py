"""The verifier: healthy bundles pass; every change, by accident or by a forger who mends the manifests, fails."""

import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence import bag
from evidence.archive import ArchiveWriter
from evidence.bundle import seal
from evidence.keys import ensure_key_pair, load_signer
from evidence.verify import DEFLATED_HEADER, Limits, Report, Unusable, verify

Files = dict[str, bytes]
_HEADER = len(DEFLATED_HEADER) + 32


@dataclass(frozen=True)
class Case:
    """One healthy bundle, the key that sealed it, and a place to put changed ones."""

    folder: Path
    healthy: bytes
    files: Files

    def verify(self, content: bytes, limits: Limits | None = None) -> Report:
        path = self.folder / "changed.tar.gz"
        path.write_bytes(content)
        return verify(path, self.folder / "signing.pub", limits)

    def failed(self, content: bytes) -> set[str]:
        report = self.verify(content)
        assert (report.verdict == "pass") == all(proof.ok for proof in report.proofs if proof.counts)
        return {proof.name for proof in report.proofs if proof.ok is False}


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("verifier")
    ensure_key_pair(folder / "signing.pem")
    members: dict[str, Path | bytes] = {"journal.jsonl": b'{"seq":0}\n', "logs/a.log": b"one\n", "logs/b.log": b"two\n"}
    sealed = seal(members, {"run": "r1"}, load_signer(folder / "signing.pem"), folder / "r1.tar.gz", {"Label": "x"})
    healthy = sealed.path.read_bytes()
    return Case(folder, healthy, _unpack(healthy))


def _unpack(content: bytes) -> Files:
    with tarfile.open(fileobj=io.BytesIO(content)) as unpacked:
        return {m.name.removeprefix("r1/"): unpacked.extractfile(m).read() for m in unpacked}  # type: ignore[union-attr]


def _pack(files: Files, top: str = "r1") -> bytes:
    out = io.BytesIO()
    writer = ArchiveWriter(out, top)
    for name in sorted(files):
        writer.add(name, len(files[name]), [files[name]])
    writer.close()
    return out.getvalue()


def _mend(files: Files) -> Files:
    """What a forger does who knows the format but has no key: manifests and size that agree with the changed files."""

    def manifest(names: list[str]) -> bytes:
        return bag.manifest({name: hashlib.sha256(files[name]).hexdigest() for name in names})

    payload = [name for name in files if name.startswith(bag.PAYLOAD)]
    if bag.LABELS in files:
        old = bag.label_in(files[bag.LABELS], bag.SIZE_LABEL) or "?"
        new = bag.oxum({name: len(files[name]) for name in payload})
        files = files | {bag.LABELS: files[bag.LABELS].replace(old.encode(), new.encode())}
    files = files | {bag.MANIFEST: manifest(payload)}
    tags = [name for name in files if name not in payload and name != bag.TAG_MANIFEST]
    return files | {bag.TAG_MANIFEST: manifest(tags)}


def test_the_healthy_bundle_passes(case: Case) -> None:
    report = case.verify(case.healthy)
    assert report.verdict == "pass"
    assert report.predicate == {"run": "r1"}
    assert [p.name for p in report.proofs] == [
        "archive", "layout", "manifest", "tag manifest", "seal", "subjects", "labels", "test result", "agreement",
        "keyring", "log", "receipt",
    ]  # fmt: skip
    assert _pack(case.files) == case.healthy
    assert _pack(_mend(case.files)) == case.healthy


def test_every_flipped_byte_and_bit_fails(case: Case) -> None:
    for position in range(len(case.healthy)):
        for flip in (0xFF, 1 << position % 8):
            changed = bytearray(case.healthy)
            changed[position] ^= flip
            assert case.failed(bytes(changed)) == {"archive"}, (position, flip)


def test_a_flip_that_decompresses_to_the_same_files_fails_too(case: Case) -> None:
    """Deflate has several encodings of the same content: only the digest in the header tells them apart."""
    packed = zlib.compressobj(1, zlib.DEFLATED, -15)
    other = packed.compress(gzip.decompress(case.healthy)) + packed.flush() + case.healthy[-8:]
    changed = case.healthy[:_HEADER] + other
    assert gzip.decompress(changed) == gzip.decompress(case.healthy)
    assert case.failed(changed) == {"archive"}


def test_every_cut_fails(case: Case) -> None:
    assert all(case.failed(case.healthy[:length]) for length in range(len(case.healthy)))


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "first bit": lambda b: bytes([b[0] ^ 1]) + b[1:],
    "last bit": lambda b: b[:-1] + bytes([b[-1] ^ 1]),
    "case of a letter": lambda b: b.swapcase(),
    "a space more": lambda b: b + b" ",
    "a line more": lambda b: b + b"\n",
    "cut": lambda b: b[:-1],
    "emptied": lambda b: b"",
    "twice": lambda b: b + b,
}
MEMBERS = [
    "bag-info.txt",
    "bagit.txt",
    "data/journal.jsonl",
    "data/logs/a.log",
    "data/logs/b.log",
    "key.pub",
    "manifest-sha256.txt",
    "statement.dsse.json",
    "tagmanifest-sha256.txt",
]


def test_the_members_are_all_there(case: Case) -> None:
    assert sorted(case.files) == MEMBERS


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", MEMBERS)
def test_every_changed_member_fails(case: Case, name: str, change: str) -> None:
    files = case.files | {name: CHANGES[change](case.files[name])}
    assert case.failed(_pack(files))
    mended = _mend(files)
    if mended != case.files:  # a manifest that the forger writes anew is the healthy one
        assert case.failed(_pack(mended))


@pytest.mark.parametrize("name", MEMBERS)
def test_every_dropped_or_renamed_member_fails(case: Case, name: str) -> None:
    rest = {other: content for other, content in case.files.items() if other != name}
    for new_name in (f"{name}.x", f"data/{name.removeprefix('data/')}.x", name.upper(), f"x/{name}"):
        renamed = rest | {new_name: case.files[name]}
        assert case.failed(_pack(renamed))
        if _mend(renamed).keys() != case.files.keys():
            assert case.failed(_pack(_mend(renamed)))
    assert case.failed(_pack(rest))
    if _mend(rest) != case.files:
        assert case.failed(_pack(_mend(rest)))


@pytest.mark.parametrize("name", ["data/extra", "data/logs/a.log.1", "extra.txt", "fetch.txt", "manifest-md5.txt"])
def test_every_added_member_fails(case: Case, name: str) -> None:
    files = case.files | {name: b""}
    assert "layout" in case.failed(_pack(files)) or "manifest" in case.failed(_pack(files))
    assert case.failed(_pack(_mend(files)))


def test_swapped_members_fail(case: Case) -> None:
    for first in MEMBERS:
        for second in MEMBERS:
            files = case.files | {first: case.files[second], second: case.files[first]}
            assert bool(case.failed(_pack(files))) == (first != second)
            if _mend(files) != case.files:
                assert case.failed(_pack(_mend(files))), (first, second)


def test_a_payload_member_that_a_forger_changed_is_found_by_the_signed_subjects(case: Case) -> None:
    files = _mend(case.files | {"data/journal.jsonl": b'{"seq":1}\n'})
    report = case.verify(_pack(files))
    assert {p.name: p.ok for p in report.proofs} == {
        "archive": True, "layout": True, "manifest": True, "tag manifest": True, "seal": True, "labels": True,
        "test result": True, "agreement": True, "subjects": False, "keyring": None, "log": None, "receipt": None,
    }  # fmt: skip
    assert [p.seen for p in report.proofs if p.ok is False] == ["changed: data/journal.jsonl"]


def test_a_bundle_sealed_by_another_key_fails_also_with_the_pinned_key_inside(case: Case, tmp_path: Path) -> None:
    ensure_key_pair(tmp_path / "other.pem")
    other = load_signer(tmp_path / "other.pem")
    members: dict[str, Path | bytes] = {
        name.removeprefix("data/"): content for name, content in case.files.items() if name.startswith("data/")
    }
    sealed = seal(members, {"run": "r1"}, other, tmp_path / "r1.tar.gz", {"Label": "x"})
    forged = _unpack(sealed.path.read_bytes())
    assert verify(sealed.path, tmp_path / "other.pub").verdict == "pass"
    assert case.failed(sealed.path.read_bytes()) == {"seal"}
    assert case.failed(_pack(_mend(forged | {"key.pub": case.files["key.pub"]}))) == {"seal"}
    assert case.verify(sealed.path.read_bytes()).predicate is None
    renamed_key = forged["statement.dsse.json"].replace(
        verify(sealed.path, tmp_path / "other.pub").key_id.encode(), case.verify(case.healthy).key_id.encode()
    )
    assert case.failed(_pack(_mend(forged | {"statement.dsse.json": renamed_key, "key.pub": case.files["key.pub"]})))


def test_another_key_beside_a_right_seal_fails(case: Case, tmp_path: Path) -> None:
    other = ensure_key_pair(tmp_path / "other.pem")
    assert case.failed(_pack(_mend(case.files | {"key.pub": other.pem}))) == {"seal"}


def test_the_folder_inside_cannot_be_renamed_nor_doubled(case: Case) -> None:
    assert case.failed(_pack(case.files, top="r2")) == {"labels"}
    assert case.failed(_tar(*[(f"r1/{n}", c) for n, c in sorted(case.files.items())], ("r2/data/x", b""))) >= {"layout"}


def test_the_file_itself_may_be_renamed(case: Case) -> None:
    (case.folder / "sent-by-mail.bin").write_bytes(case.healthy)
    assert verify(case.folder / "sent-by-mail.bin", case.folder / "signing.pub").verdict == "pass"


def _tar(*members: tuple[str, bytes] | tarfile.TarInfo, form: int = tarfile.USTAR_FORMAT) -> bytes:
    """An archive by the standard library, in the writer's form but for what the members ask for."""
    out = io.BytesIO()
    for member in members:
        info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member[0])
        content = b"" if isinstance(member, tarfile.TarInfo) else member[1]
        info.size = len(content)
        out.write(info.tobuf(form, "utf-8") + content + bytes(-len(content) % 512))
    return _gzip(out.getvalue() + bytes(1024))


def _gzip(content: bytes) -> bytes:
    """Compressed as the writer does it, with a right digest."""
    body = gzip.compress(content, 6, mtime=0)[10:]
    return DEFLATED_HEADER + hashlib.sha256(body).digest() + body


def _info(name: str, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


ODD: dict[str, tarfile.TarInfo] = {
    "absolute": _info("/etc/passwd"),
    "climbs": _info("r1/../../etc/passwd"),
    "symlink": _info("r1/data/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "hard link": _info("r1/data/link", type=tarfile.LNKTYPE, linkname="r1/data/journal.jsonl"),
    "device": _info("r1/data/dev", type=tarfile.CHRTYPE),
    "pipe": _info("r1/data/pipe", type=tarfile.FIFOTYPE),
    "folder": _info("r1/data", type=tarfile.DIRTYPE),
    "sparse": _info("r1/data/s", type=tarfile.GNUTYPE_SPARSE),
    "contiguous": _info("r1/data/c", type=tarfile.CONTTYPE),
    "old type": _info("r1/data/o", type=tarfile.AREGTYPE),
    "time": _info("r1/data/t", mtime=1),
    "owner": _info("r1/data/u", uid=1),
    "owner's name": _info("r1/data/u", uname="root"),
    "mode": _info("r1/data/m", mode=0o4755),
    "composed": _info("r1/data/\u00e9"),
    "decomposed": _info("r1/data/e\u0301"),
    "look-alike": _info("r1/d\u0430ta/x"),
    "backslash": _info("r1\\data\\x"),
    "line break": _info("r1/data/a\nb"),
    "reserved": _info("r1/data/NUL"),
    "no name": _info(""),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_odd_members_are_refused(case: Case, odd: str, form: int) -> None:
    assert case.failed(_tar(ODD[odd], form=form)) == {"archive"}
    members = [(f"r1/{name}", content) for name, content in sorted(case.files.items())]
    assert case.failed(_tar(*members)) == set()
    assert case.failed(_tar(*members, ODD[odd], form=form)) == {"archive"}


def test_the_same_name_twice_or_out_of_order_is_refused(case: Case) -> None:
    members = [(f"r1/{name}", content) for name, content in sorted(case.files.items())]
    assert case.failed(_tar(*members, members[-1])) == {"archive"}
    assert case.failed(_tar(*reversed(members))) == {"archive"}


def test_nothing_may_follow_the_end_or_hide_in_it(case: Case) -> None:
    plain = gzip.decompress(case.healthy)
    behind_a_member = bytearray(plain)
    behind_a_member[plain.index(b"one\n") + 100] = 1
    changed = {
        "garbage": case.healthy + b"x",
        "zeros": case.healthy + bytes(512),
        "second gzip member": case.healthy + gzip.compress(b""),
        "itself again": case.healthy * 2,
        "more blocks": _gzip(plain + bytes(512)),
        "a second archive": _gzip(plain * 2),
        "one end block": _gzip(plain[:-512]),
        "bytes behind a member": _gzip(bytes(behind_a_member)),
        "no digest in the gzip header": gzip.compress(plain, 6, mtime=0),
        "not compressed": plain,
    }
    assert case.failed(_gzip(plain)) == set()
    assert {what for what, content in changed.items() if case.failed(content) != {"archive"}} == set()


def test_bombs_are_refused_by_their_limits(case: Case) -> None:
    total = sum(map(len, case.files.values()))
    enough = Limits(members=len(MEMBERS), total_bytes=total, tag_bytes=max(map(len, case.files.values())))
    assert case.verify(case.healthy, enough).verdict == "pass"
    for limits in (
        replace(enough, members=len(MEMBERS) - 1),
        replace(enough, total_bytes=total - 1),
        replace(enough, tag_bytes=enough.tag_bytes - 1),
    ):
        assert case.verify(case.healthy, limits).verdict == "fail"
    huge = tarfile.TarInfo("r1/data/huge")
    huge.size = 8**11 - 1
    header = huge.tobuf(tarfile.USTAR_FORMAT)
    assert case.failed(_gzip(header)) == {"archive"}
    assert case.failed(_gzip(header + bytes(10_000_000))) == {"archive"}


def test_what_cannot_be_read_fails_and_the_rest_is_not_checked(case: Case, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").write_bytes(b"")
    for path in (tmp_path / "none", tmp_path, tmp_path / "empty", tmp_path / "pipe"):
        report = verify(path, case.folder / "signing.pub")
        assert report.verdict == "fail"
        assert [proof.ok for proof in report.proofs] == [False] + [None] * 11
        assert report.predicate is None


def test_without_a_pinned_key_nothing_is_checked(case: Case) -> None:
    with pytest.raises(Unusable):
        verify(case.folder / "r1.tar.gz", case.folder / "none.pub")


@settings(max_examples=300, deadline=None)
@given(
    content=st.binary()
    | st.binary().map(_gzip)
    | st.dictionaries(st.sampled_from([*MEMBERS, "data/x"]), st.binary(max_size=40)).map(_pack)
)
def test_no_input_raises_and_none_passes(case: Case, content: bytes) -> None:
    assert case.failed(content)


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from([n for n in MEMBERS if not n.startswith("data/")]),
    content=st.binary() | st.text().map(str.encode),
)
def test_no_tag_file_raises_and_none_passes(case: Case, name: str, content: bytes) -> None:
    assert case.failed(_pack(_mend(case.files | {name: content}))) or _mend(case.files | {name: content}) == case.files


def test_good_bundles_raise_no_alarm(case: Case) -> None:
    signer = load_signer(case.folder / "signing.pem")
    for number in range(1000):
        members: dict[str, Path | bytes] = {f"f{n}": os.urandom(n * (number % 200)) for n in range(1, number % 7 + 2)}
        outcome, result = OUTCOMES[number % len(OUTCOMES)]
        told = None if result is None else {"result": result}
        said = {"run": number, "outcome": outcome}
        sealed = seal(members, said, signer, case.folder / "good.tar.gz", {}, test_result=told)
        assert verify(sealed.path, case.folder / "signing.pub").verdict == "pass"


OUTCOMES = (
    ("passed", "PASSED"),
    ("failed", "FAILED"),
    ("inconclusive", "WARNED"),
    ("missed", "FAILED"),
    ("passed", None),
)
"""Of a run and of its test result, which bundles of old have none of."""
