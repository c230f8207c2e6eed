"""The commands of docs/evidence.md, run as they stand there, verify a bundle by public tools alone."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

GOLDEN = Path("tests/golden/v1")
PAGE = Path("docs/evidence.md").read_text(encoding="utf-8")


@pytest.fixture
def script(tmp_path: Path) -> str:
    bundle = next(GOLDEN.glob("*.tar.gz"))
    shutil.copy(bundle, tmp_path / bundle.name)
    shutil.copy(next(GOLDEN.glob("*.pub")), tmp_path / "signing.pub")
    (block,) = [b for b in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if "openssl" in b]
    return block.replace("RUN", bundle.name.removesuffix(".tar.gz"))


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_public_tools_verify_a_bundle(script: str, tmp_path: Path) -> None:
    done = run(script, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Signature Verified Successfully" in done.stdout
    assert "OK  data/" in done.stdout or "OK data/" in " ".join(done.stdout.split())
    assert "BAD" not in done.stdout
    assert "FAILED" not in done.stdout


def test_public_tools_find_a_changed_file(script: str, tmp_path: Path) -> None:
    unpack, rest = script.split("\n", 1)
    done = run(f"{unpack}\necho more >> data/journal.jsonl\n{rest}", tmp_path)
    assert done.returncode != 0
    assert "journal.jsonl: FAILED" in done.stdout


def test_public_tools_find_a_changed_statement(script: str, tmp_path: Path) -> None:
    spoilt = script.replace("openssl pkeyutl", "printf x >> pae; openssl pkeyutl")
    assert run(spoilt, tmp_path).returncode != 0
