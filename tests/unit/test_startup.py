"""Commands that people wait for import only what they need: what is slow to import is named, not timed."""

import subprocess
import sys
from pathlib import Path

import pytest

from muster.cli import invoke
from muster.verdict import ExitCode

SLOW = ("prefect", "sqlalchemy", "alembic", "boto3", "psycopg", "securesystemslib", "pyspark", "matplotlib")


def modules_after(tmp_path: Path, *arguments: str) -> set[str]:
    """The modules that a command line has imported when it ends."""
    code = (
        "import sys; from muster.cli import invoke\n"
        f"code = invoke({list(arguments)!r})\n"
        "print('MODULES', *sys.modules)\nsys.exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"MUSTER_HOME": str(tmp_path / "home"), "MUSTER_PLANS": "deployments", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.rsplit("MODULES", 1)[1].split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("status",),
        ("status", "--json"),
        ("status", "restore-embedded", "--history"),
        ("gate",),
        ("calendar",),
        ("deck",),
        ("verify", "tests/golden/v1/BUNDLE", "--key", "tests/golden/v1/KEY"),
    ],
    ids=lambda a: "-".join(a[:2]).replace("/", "-"),
)
def test_a_quick_command_imports_nothing_slow(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    golden = Path("tests/golden/v1")
    names = {
        "tests/golden/v1/BUNDLE": str(next(golden.glob("*.tar.gz"))),
        "tests/golden/v1/KEY": str(next(golden.glob("*.pub"))),
    }
    imported = modules_after(tmp_path, *(names.get(a, a) for a in arguments))
    assert "muster.cli" in imported
    assert sorted(name for name in SLOW if name in imported) == []


def test_a_tick_is_claimed_without_anything_slow(tmp_path: Path) -> None:
    """A ledger that is not there is made, once; from then on a claim is as quick as the other quick commands."""
    claim = ("tick", "orders", "--at", "2026-03-01T04:05Z")
    assert "sqlalchemy" in modules_after(tmp_path, *claim)
    assert [name for name in SLOW if name in modules_after(tmp_path, *claim)] == []


def test_a_folder_that_cannot_be_written_is_told_with_the_next_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever operating systems say of a path is no traceback."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path / "file" / "home"))
    assert invoke(["evidence", "key"]) == ExitCode.INTERNAL
    said = capsys.readouterr().err
    assert said.startswith("muster: ")
    assert "file cannot be used: File exists\n  -> look at the path" in said
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path / "home"))
    assert invoke(["evidence", "key"]) == ExitCode.PASS


def test_a_slow_import_would_be_seen(tmp_path: Path) -> None:
    """The control: a command that opens the ledger for writing does import SQLAlchemy."""
    assert "sqlalchemy" in modules_after(tmp_path, "undo", "list")
