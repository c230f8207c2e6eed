"""Forms are put down whole: what dies half-way leaves the old file, and nothing else."""

import os
import stat
from pathlib import Path

import pytest

from muster.deck.files import append, renew_file, write_form
from muster.errors import UsageError


def test_a_new_file_is_made_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "deck.md"
    assert write_form(path, "✓\n")
    assert path.read_bytes() == "✓\n".encode()


def test_an_unchanged_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "deck.md"
    write_form(path, "one")
    before = path.stat()
    assert not write_form(path, "one")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert write_form(path, "two")


def test_mode_and_link_stay(tmp_path: Path) -> None:
    page, link = tmp_path / "page.md", tmp_path / "link.md"
    page.write_text("old")
    page.chmod(0o640)
    link.symlink_to("page.md")
    assert write_form(link, "new")
    assert link.is_symlink()
    assert page.read_text() == "new"
    assert stat.S_IMODE(page.stat().st_mode) == 0o640


@pytest.mark.parametrize("dies_in", ["fsync", "replace"])
def test_what_dies_half_way_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    path = tmp_path / "deck.md"
    path.write_text("old")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(*{"fsync": (os, "fsync", die), "replace": (Path, "replace", die)}[dies_in])
        with pytest.raises(KeyboardInterrupt):
            write_form(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["deck.md"]
    assert write_form(path, "new")


def test_an_error_while_renewing_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "deck.md"
    path.write_text("old")

    def refuse(_: bytes) -> bytes:
        raise UsageError("broken marks")

    with pytest.raises(UsageError, match="broken marks"):
        renew_file(path, refuse)
    assert path.read_text() == "old"


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{tmp_path} cannot be written: Is a directory"):
        write_form(tmp_path, "x")
    with pytest.raises(UsageError, match="cannot be written"):
        append(tmp_path, "x")


def test_a_device_is_written_to_not_replaced() -> None:
    assert write_form(Path("/dev/null"), "x")
    assert Path("/dev/null").is_char_device()


def test_a_summary_keeps_what_others_wrote(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    append(path, "one\n")
    append(path, "two\n")
    assert path.read_text() == "one\ntwo\n"
