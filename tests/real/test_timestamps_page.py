"""The commands of docs/timestamps.md, run as they stand there, tell right from wrong."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.real.timestamp_authority import TimestampAuthority
from tests.unit.witness_paper import NOON, PaperLog, cosigner

PAGE = Path("docs/timestamps.md").read_text(encoding="utf-8")
GOLDEN = Path("tests/golden/timestamps")
ANCHOR, COSIGNATURE = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def anchored(tmp_path: Path) -> Path:
    for name, kept in (("HEAD", "openssl.head"), ("TOKEN.tsr", "openssl.tsr"), ("authority.pem", "openssl.pem")):
        (tmp_path / name).write_bytes((GOLDEN / kept).read_bytes())
    return tmp_path


def test_an_anchor_is_checked_by_openssl(anchored: Path) -> None:
    done = run(ANCHOR, anchored)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Time stamp: Nov 26" in done.stdout
    assert "Hash Algorithm: sha256" in done.stdout
    assert "Verification: OK" in done.stdout + done.stderr


def test_an_anchor_holds_after_its_certificate_has_expired(tmp_path: Path) -> None:
    expired = TimestampAuthority(tmp_path / "made", made="400 days ago", days=30)
    (tmp_path / "HEAD").write_bytes(b"a head\n")
    (tmp_path / "TOKEN.tsr").write_bytes(expired.stamp(b"a head\n", when="390 days ago"))
    (tmp_path / "authority.pem").write_bytes(expired.root.read_bytes())
    assert run(ANCHOR, tmp_path).returncode == 0
    (tmp_path / "TOKEN.tsr").write_bytes(expired.stamp(b"a head\n"))
    assert run(ANCHOR, tmp_path).returncode != 0, "made after it had expired"


def test_an_anchor_of_another_head_is_found(anchored: Path) -> None:
    (anchored / "HEAD").write_bytes((anchored / "HEAD").read_bytes().replace(b"\n3\n", b"\n4\n"))
    assert run(ANCHOR, anchored).returncode != 0


def test_an_anchor_by_another_authority_is_found(anchored: Path) -> None:
    (anchored / "authority.pem").write_bytes((GOLDEN / "sigstore.pem").read_bytes())
    assert run(ANCHOR, anchored).returncode != 0


@pytest.mark.parametrize(
    "weak", [{"digest": "sha1"}, {"certificate": "sha1"}, {"digest": "md5"}, {"root": "sha1"}], ids=str
)
def test_an_anchor_over_a_broken_hash_is_found(tmp_path: Path, weak: dict[str, Any]) -> None:
    made = TimestampAuthority(tmp_path / "made", **weak)
    (tmp_path / "HEAD").write_bytes(b"a head\n")
    (tmp_path / "TOKEN.tsr").write_bytes(made.stamp(b"a head\n"))
    (tmp_path / "authority.pem").write_bytes(made.root.read_bytes())
    assert (run(ANCHOR, tmp_path).returncode == 0) == ("root" in weak), "the pinned one's own signature says nothing"


@pytest.fixture
def witnessed(tmp_path: Path) -> Path:
    head = PaperLog().head(3)
    line = cosigner().cosign(head.rpartition(b"\n\n")[0] + b"\n", int(NOON.timestamp()))
    (tmp_path / "HEAD").write_bytes(head)
    (tmp_path / "LINE").write_bytes(line)
    (tmp_path / "witness.vkey").write_text(f"{cosigner().key}\n")
    return tmp_path


def test_a_cosignature_is_checked_by_openssl(witnessed: Path) -> None:
    done = run(COSIGNATURE, witnessed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"cosigned at {NOON.timestamp():.0f}" in done.stdout
    assert "Signature Verified Successfully" in done.stdout


def test_a_cosignature_of_another_head_is_found(witnessed: Path) -> None:
    (witnessed / "HEAD").write_bytes(PaperLog().head(4))
    assert run(COSIGNATURE, witnessed).returncode != 0


def test_a_cosignature_by_another_witness_is_found(witnessed: Path) -> None:
    (witnessed / "witness.vkey").write_text(f"{cosigner(seed=201).key}\n")
    done = run(COSIGNATURE, witnessed)
    assert done.returncode != 0
    assert "another witness" in done.stderr
