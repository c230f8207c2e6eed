"""A round of the fuzzer, as `make test` runs it: it fails when something is found, and is quiet when nothing is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLANTED = """
import base64

right = base64.b64decode


def b64decode(text, altchars=None, validate=False):
    if validate and len(text) < 20:
        raise ZeroDivisionError("planted")
    return right(text, altchars, validate)


base64.b64decode = b64decode
"""
"""What the verifier reads hashes with crashes at a short one."""


@pytest.mark.parametrize("is_planted", [True, False], ids=["planted", "healthy"])
def test_a_crash_fails_the_round_and_is_kept(tmp_path: Path, is_planted: bool) -> None:
    if is_planted:
        (tmp_path / "sitecustomize.py").write_text(PLANTED)
    command = [sys.executable, "-m", "tests.fuzz", "--seconds", "2", "--found", str(tmp_path / "found")]
    done = subprocess.run(
        [*command, "checkpoint", "time"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == is_planted, done.stdout + done.stderr
    assert ("checkpoint         FOUND" in done.stdout) == is_planted
    assert ("ZeroDivisionError: planted" in done.stdout) == is_planted
    assert "time               nothing found: " in done.stdout, "whatever the others find"
    kept = list((tmp_path / "found").glob("*/*"))
    assert [path.parent.name for path in kept] == (["checkpoint"] if is_planted else [])
