"""Sealing: the same input gives the same bytes, and public tools can check them."""

import gzip
import hashlib
import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any, BinaryIO, cast

import bagit
import pytest

from evidence import durable
from evidence.archive import ArchiveWriter
from evidence.bundle import Sealed, seal
from evidence.errors import SealError
from evidence.keys import ensure_key_pair, load_signer
from evidence.names import is_portable
from evidence.verify import Limits, read_archive, verify

INFO = {"Source-Organization": "Example Ltd", "Contact-Name": "Zoë"}


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "signing.pem"
    ensure_key_pair(path)
    return path


@pytest.fixture(scope="module")
def signer(private: Path) -> Any:
    return load_signer(private)


def _members(folder: Path) -> dict[str, Path | bytes]:
    folder.mkdir(exist_ok=True)
    (folder / "server.log").write_bytes(b"a line of a log\n" * 5000)
    (folder / "empty").write_bytes(b"")
    return {
        "journal.jsonl": b'{"seq":0}\n',
        "logs/server.log": folder / "server.log",
        "logs/empty": folder / "empty",
        "noise": b"\x00\xff" * 70_000,
    }


def _seal(tmp_path: Path, signer: Any, name: str = "r1.tar.gz") -> Sealed:
    return seal(_members(tmp_path / "in"), {"run": "r1"}, signer, tmp_path / "out" / name, INFO)


def test_what_is_sealed_verifies(tmp_path: Path, signer: Any, private: Path) -> None:
    sealed = _seal(tmp_path, signer)
    report = verify(sealed.path, private.with_suffix(".pub"))
    assert report.verdict == "pass", report
    assert report.predicate == {"run": "r1"}
    assert report.key_id == sealed.key_id
    assert sealed.sha256 == hashlib.sha256(sealed.path.read_bytes()).hexdigest()
    assert sealed.size == sealed.path.stat().st_size


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, signer: Any) -> None:
    first = _seal(tmp_path, signer)
    again = tmp_path / "again"
    again.mkdir()
    os.utime(tmp_path / "in" / "server.log", (1, 1))
    second = seal(
        dict(reversed(_members(tmp_path / "in").items())),
        {"run": "r1"},
        signer,
        again / "r1.tar.gz",
        dict(reversed(INFO.items())),
    )
    assert first.path.read_bytes() == second.path.read_bytes()


def test_public_tools_check_the_unpacked_bag(tmp_path: Path, signer: Any) -> None:
    sealed = _seal(tmp_path, signer)
    subprocess.run(["tar", "-xzf", sealed.path, "-C", tmp_path], check=True, timeout=60, stderr=subprocess.PIPE)
    bag = tmp_path / "r1"
    for manifest in ("manifest-sha256.txt", "tagmanifest-sha256.txt"):
        subprocess.run(["sha256sum", "--strict", "-c", manifest], cwd=bag, check=True, timeout=60, capture_output=True)
    assert bagit.Bag(str(bag)).validate()
    assert (bag / "bag-info.txt").read_text().splitlines() == [
        "Contact-Name: Zoë",
        "External-Identifier: r1",
        "Payload-Oxum: 220010.4",
        "Source-Organization: Example Ltd",
    ]
    (bag / "data" / "journal.jsonl").write_bytes(b"{}\n")
    command = ["sha256sum", "--strict", "-c", "manifest-sha256.txt"]
    assert subprocess.run(command, cwd=bag, timeout=60, capture_output=True).returncode != 0
    with pytest.raises(bagit.BagValidationError):
        bagit.Bag(str(bag)).validate()


def test_the_archive_carries_nothing_of_the_machine(tmp_path: Path, signer: Any) -> None:
    with tarfile.open(_seal(tmp_path, signer).path) as archive:
        members = archive.getmembers()
    assert [m.name for m in members] == sorted(m.name for m in members)
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode, m.type) for m in members} == {
        (0, 0, 0, "", "", 0o644, tarfile.REGTYPE)
    }
    assert {m.name.split("/")[0] for m in members} == {"r1"}


def test_a_file_that_grows_while_it_is_sealed_is_refused(
    tmp_path: Path, signer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * (3 * durable.CHUNK))
    plain = durable.chunks

    def growing(source: Any) -> Any:
        for piece in plain(source):
            with log.open("ab") as more:
                more.write(b"y")
            yield piece

    seal({"log": log}, {}, signer, tmp_path / "good.tar.gz", {})
    monkeypatch.setattr(durable, "chunks", growing)
    with pytest.raises(SealError, match="changed while it was sealed"):
        seal({"log": log}, {}, signer, tmp_path / "bad.tar.gz", {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["good.tar.gz", "log"]


def test_what_is_hashed_is_what_was_written(tmp_path: Path, signer: Any, private: Path) -> None:
    """A writer that keeps changing the file, at constant size, can never make a bundle that contradicts itself."""
    log = tmp_path / "log"
    log.write_bytes(bytes(8 * durable.CHUNK))
    stop = threading.Event()

    def scribble() -> None:
        with log.open("r+b") as out:
            while not stop.is_set():
                out.seek(0)
                out.write(os.urandom(4096))
                out.flush()

    writer = threading.Thread(target=scribble)
    writer.start()
    try:
        for round_ in range(3):
            sealed = seal({"log": log}, {}, signer, tmp_path / f"r{round_}.tar.gz", {})
            assert verify(sealed.path, private.with_suffix(".pub")).verdict == "pass"
    finally:
        stop.set()
        writer.join(30)


def test_links_pipes_folders_and_missing_files_are_refused(tmp_path: Path, signer: Any) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "link", tmp_path / "pipe", tmp_path, tmp_path / "none"):
        with pytest.raises(SealError):
            seal({"member": path}, {}, signer, tmp_path / "r.tar.gz", {})
    assert not (tmp_path / "r.tar.gz").exists()


@pytest.mark.parametrize(
    ("members", "name", "info"),
    [
        ({}, "r.tar.gz", {}),
        ({"../up": b""}, "r.tar.gz", {}),
        ({"/absolute": b""}, "r.tar.gz", {}),
        ({"näme": b""}, "r.tar.gz", {}),
        ({"a": b"", "A": b""}, "r.tar.gz", {}),
        ({"aux.txt": b""}, "r.tar.gz", {}),
        ({"a": b"", "a/b": b""}, "r.tar.gz", {}),
        ({"a": b""}, "r.zip", {}),
        ({"a": b""}, ".tar.gz", {}),
        ({"a": b""}, "r.tar.gz", {"Label": "two\nlines"}),
        ({"a": b""}, "r.tar.gz", {"payload-oxum": "1.1"}),
        ({"a": b""}, "r.tar.gz", {"Label": ""}),
    ],
)
def test_what_would_not_unpack_everywhere_is_refused(
    tmp_path: Path, signer: Any, members: dict[str, Path | bytes], name: str, info: dict[str, str]
) -> None:
    with pytest.raises(SealError) as caught:
        seal(members, {}, signer, tmp_path / name, info)
    assert caught.value.advice
    assert list(tmp_path.iterdir()) == []


def test_names_are_portable_or_not() -> None:
    good = ("a", "data/journal.jsonl", "base/16384/1259_vm.1", "x.y-z_1", "000000010000000000000003", "a+b=c,d@e")
    bad = ("", "/a", "a/", "a//b", ".", "..", "a/../b", "a.", "-a", "a b", "a\\b", "é", "CON", "x/nul.txt", "a" * 101)
    assert all(map(is_portable, good))
    assert not any(map(is_portable, bad))


def test_a_killed_sealing_leaves_nothing_that_the_next_does_not_sweep(tmp_path: Path, signer: Any) -> None:
    destination = tmp_path / "r.tar.gz"
    child = os.fork()
    if not child:
        sys.addaudithook(lambda event, _: os.kill(os.getpid(), 9) if event == "os.rename" else None)
        try:
            seal({"a": b"1"}, {}, signer, destination, {})
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    assert not destination.exists()
    assert len(list(tmp_path.iterdir())) == 1
    seal({"a": b"1"}, {}, signer, destination, {})
    assert [p.name for p in tmp_path.iterdir()] == ["r.tar.gz"]


def test_memory_is_flat_whatever_the_size(tmp_path: Path, private: Path) -> None:
    """Peak resident memory grows by less than the extra payload's tenth."""
    code = """
import resource, sys
from pathlib import Path
from evidence.bundle import seal
from evidence.keys import load_signer
from evidence.verify import verify
private, folder = Path(sys.argv[1]), Path(sys.argv[2])
sealed = seal({"big": folder / "big"}, {}, load_signer(private), folder / "r.tar.gz", {})
assert verify(sealed.path, private.with_suffix(".pub")).verdict == "pass"
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

    def peak(megabytes: int) -> int:
        with (tmp_path / "big").open("wb") as out:
            out.truncate(megabytes << 20)
        command = [sys.executable, "-c", code, str(private), str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return int(done.stdout)

    assert peak(128) - peak(1) < 13 << 10


@pytest.mark.parametrize("size", [0, 1, 65_535 - 2048, 65_535 * 3, 1 << 20, (1 << 20) + 7])
def test_what_is_large_is_stored_in_the_one_way_there_is(tmp_path: Path, private: Path, size: int) -> None:
    """Blocks as long as they can be, whatever the sizes of members and of pieces; every tool unpacks it."""
    content = os.urandom(1 << 16) * 65 + os.urandom(size)
    (tmp_path / "big").write_bytes(content)
    sealed = seal({"a": b"x", "big": tmp_path / "big"}, {}, load_signer(private), tmp_path / "r.tar.gz", {})
    packed = sealed.path.read_bytes()
    assert (sealed.sha256, sealed.size) == (hashlib.sha256(packed).hexdigest(), len(packed))
    plain = gzip.decompress(packed)
    lengths = [min(65_535, len(plain) - at) for at in range(0, len(plain), 65_535)]
    assert len(packed) == 10 + len(plain) + 5 * len(lengths) + 8
    assert verify(sealed.path, private.with_suffix(".pub")).verdict == "pass"
    with tarfile.open(sealed.path) as archive:
        member = archive.extractfile("r/data/big")
        assert member is not None
        assert member.read() == content
    in_memory = seal({"a": b"x", "big": content}, {}, load_signer(private), tmp_path / "m" / "r.tar.gz", {})
    assert in_memory.path.read_bytes() == packed


def test_a_last_block_that_is_full_is_marked_as_the_last(tmp_path: Path) -> None:
    """The shortest archive that ends where a block ends: 512 times 65,535 bytes."""
    size = 512 * 65_535 - 3 * 512
    with (tmp_path / "r").open("w+b") as out:
        writer = ArchiveWriter(out, "r", payload=size)
        writer.add("a", size, [bytes(1_000_000)] * (size // 1_000_000) + [bytes(size % 1_000_000)])
        _, packed = writer.close()
    assert packed == 10 + 512 * (65_535 + 5) + 8
    with (tmp_path / "r").open("rb") as source:
        assert [(name, found) for name, found, _ in read_archive(source, Limits())] == [("r/a", size)]


def test_a_disk_that_takes_no_more_is_said_also_from_behind() -> None:
    def write(full: BinaryIO) -> None:
        writer = ArchiveWriter(full, "r", payload=8 << 20)
        for number in range(64):
            writer.add(f"data/{number:02d}", 1 << 20, [bytes(1 << 20)])

    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="No space"):
        write(cast(BinaryIO, full))
