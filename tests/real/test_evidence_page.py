"""The commands by hand of docs/auditors.md verify a bundle of the first format too, by public tools alone."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

GOLDEN = Path("tests/golden/v1")
PAGE = Path("docs/auditors.md").read_text(encoding="utf-8")


@pytest.fixture
def script(tmp_path: Path) -> str:
    bundle = next(GOLDEN.glob("*.tar.gz"))
    shutil.copy(bundle, tmp_path / bundle.name)
    shutil.copy(next(GOLDEN.glob("*.pub")), tmp_path / "pinned.pub")
    (block,) = [b for b in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if b.startswith("tar ")]
    return block.replace("NAME", bundle.name.removesuffix(".tar.gz"))


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_public_tools_verify_a_bundle(script: str, tmp_path: Path) -> None:
    done = run(script, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Signature Verified Successfully" in done.stdout


def test_public_tools_find_a_changed_file(script: str, tmp_path: Path) -> None:
    unpack, enter, rest = script.split("\n", 2)
    done = run(f"{unpack}\n{enter}\necho more >> data/journal.jsonl\n{rest}", tmp_path)
    assert done.returncode != 0
    assert "data/journal.jsonl: FAILED" in done.stdout


def test_public_tools_find_a_changed_statement(script: str, tmp_path: Path) -> None:
    spoilt = script.replace("openssl pkeyutl", "printf x >> signed; openssl pkeyutl")
    assert spoilt != script
    assert run(spoilt, tmp_path).returncode != 0
