"""Bundles sealed by every version of the format, kept as they were: what verified once verifies for ever."""

import base64
import hashlib
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from evidence.verify import Given, check, load_key, verify

V1 = Path(__file__).parent / "v1"
BUNDLE, PINNED = V1 / "restore-shop-0001.tar.gz", V1 / "signing.pub"


def test_v1_verifies() -> None:
    report = verify(BUNDLE, PINNED)
    assert report.verdict == "pass", report.proofs
    assert report.predicate == {
        "kind": "restore",
        "outcome": "passed",
        "plan": "restore-shop",
        "rto_seconds": 8.25,
        "run": "restore-shop-0001",
        "verdict": "pass",
    }
    assert (
        hashlib.sha256(BUNDLE.read_bytes()).hexdigest()
        == "7c0b444411e19fee24ca7b61baeece8079b274c54f3fa74ac6db2dc3bd605255"
    )


@pytest.mark.parametrize("place", [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_v1_tampered_with_does_not(tmp_path: Path, place: float) -> None:
    content = bytearray(BUNDLE.read_bytes())
    content[int(len(content) * place)] ^= 1
    (tmp_path / "tampered.tar.gz").write_bytes(content)
    report = verify(tmp_path / "tampered.tar.gz", PINNED)
    assert report.verdict == "fail"
    assert report.predicate is None


def test_v1_unpacks_and_verifies_with_public_tools_alone(tmp_path: Path) -> None:
    """No code of ours: tar, sha256sum and openssl, as an auditor would."""
    with tarfile.open(BUNDLE) as archive:
        archive.extractall(tmp_path, filter="data")
    bag = tmp_path / "restore-shop-0001"
    for manifest in ("manifest-sha256.txt", "tagmanifest-sha256.txt"):
        subprocess.run(["sha256sum", "--strict", "-c", manifest], cwd=bag, check=True, timeout=30, capture_output=True)
    envelope = json.loads((bag / "statement.dsse.json").read_bytes())
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    (tmp_path / "pae").write_bytes(b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload))
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(PINNED), "-rawin"]
    command += ["-in", str(tmp_path / "pae"), "-sigfile", str(tmp_path / "sig")]
    subprocess.run(command, check=True, timeout=30, capture_output=True)
    signed = {subject["name"]: subject["digest"]["sha256"] for subject in json.loads(payload)["subject"]}
    assert signed == {name: hashlib.sha256((bag / name).read_bytes()).hexdigest() for name in signed}
    assert sorted(signed) == ["bag-info.txt", "data/journal.jsonl", "data/logs/pg_verifybackup.log", "data/report.md"]


V2 = Path(__file__).parent / "v2"
RUN = next(V2.glob("*-paper-drill-*.tar.gz"))
PACKAGE = V2 / "golden-2026-Q4.tar.gz"


def beside(**more: Path) -> Given:
    return Given(load_key(V2 / "pinned.pub"), keyring=V2 / "keys", **more)


def test_v2_verifies_by_the_first_key_though_a_later_one_sealed_it() -> None:
    given = beside(proof=V2 / f"{RUN.name}.tlog-proof", receipt=V2 / f"{RUN.name}.receipt.dsse.json")
    report = check(RUN, given)
    assert report.verdict == "pass", report.proofs
    assert report.predicate is not None
    assert report.predicate["outcome"] == "passed"
    made = {proof.name for proof in report.proofs if proof.ok}
    assert {"seal", "test result", "agreement", "keyring", "log", "receipt"} <= made


def test_a_package_of_v2_verifies() -> None:
    report = check(PACKAGE, Given(load_key(V2 / "pinned.pub")))
    assert report.verdict == "pass", report.proofs
    assert "3 passed" in " ".join(report.told)


@pytest.mark.parametrize("place", [0.01, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("golden", [RUN, PACKAGE], ids=["bundle", "package"])
def test_v2_tampered_with_does_not(tmp_path: Path, golden: Path, place: float) -> None:
    content = bytearray(golden.read_bytes())
    content[int(len(content) * place)] ^= 1
    (tmp_path / golden.name).write_bytes(content)
    assert check(tmp_path / golden.name, beside()).verdict == "fail"
