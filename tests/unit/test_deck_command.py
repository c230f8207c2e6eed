"""`muster deck`: every form of one reading, from the ledger or from a file, and nothing slow imported."""

import json
from pathlib import Path

import pytest
from deck_samples import ESTATE
from test_startup import SLOW, modules_after

from muster.cli import invoke
from muster.deck.jsonform import read_json, write_json
from muster.deck.section import BEGIN, END


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "estate.json"
    path.write_text(write_json(ESTATE), encoding="utf-8")
    return str(path)


def test_every_form_in_one_call(tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    page, out = tmp_path / "page.md", tmp_path / "out"
    page.write_text(f"# Health\n\n{BEGIN}\n{END}\n\nBelow.\n")
    asked = [
        "deck", str(page), "--source", source, "--json", f"{out}/d.json", "--junit", f"{out}/d.xml", "--github",
        "--badges", f"{out}/badges", "--html", f"{out}/d.html", "--gitlab", f"{out}/g.json", "--comment", f"{out}/c.md",
    ]  # fmt: skip
    assert invoke(asked) == 0
    told = capsys.readouterr()
    assert page.read_text().endswith(f"{END}\n\nBelow.\n")
    assert "restore-orders" in page.read_text()
    assert read_json((out / "d.json").read_bytes()) == ESTATE
    assert (out / "d.xml").read_text().startswith("<?xml")
    assert (out / "d.html").read_text().startswith("<!DOCTYPE html>")
    assert len(json.loads((out / "g.json").read_text())) == 11
    assert (out / "c.md").read_text().startswith("<!-- muster:deck -->")
    assert (out / "badges" / "plans" / "restore-orders.svg").exists()
    assert "restore-orders" in (tmp_path / "summary.md").read_text()
    assert all(line.startswith(("::error ", "::warning ")) for line in told.out.splitlines())
    assert "page.md written" in told.err

    assert invoke(asked) == 0
    assert "written" not in capsys.readouterr().err


def test_a_badge_of_a_plan_that_is_gone_does_not_stay_green(tmp_path: Path, source: str) -> None:
    gone, foreign = tmp_path / "plans" / "restore-gone.svg", tmp_path / "plans" / "logo.svg"
    assert invoke(["deck", "--source", source, "--badges", str(tmp_path)]) == 0
    (tmp_path / "plans" / "restore-embedded.svg").rename(gone)
    foreign.write_text("<svg/>")
    assert invoke(["deck", "--source", source, "--badges", str(tmp_path)]) == 0
    assert "no such plan" in gone.read_text()
    assert "✓ fresh" in (tmp_path / "plans" / "restore-embedded.svg").read_text()
    assert foreign.read_text() == "<svg/>"


def test_with_nothing_asked_it_prints_markdown(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["deck", "--source", source]) == 0
    assert capsys.readouterr().out.startswith("**1 of 10 expected drills is fresh.**")


def test_a_page_with_broken_marks_leaves_everything_unwritten(
    tmp_path: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Health\n{BEGIN}\n")
    assert invoke(["deck", str(page), "--source", source, "--json", str(tmp_path / "d.json")]) == 64
    assert f"{page}, line 2" in capsys.readouterr().err
    assert page.read_text() == f"# Health\n{BEGIN}\n"
    assert not (tmp_path / "d.json").exists()


def test_github_elsewhere_and_a_missing_source_are_wrong_usage(
    tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert invoke(["deck", "--source", source, "--github", "--json", str(tmp_path / "d.json")]) == 64
    assert "GITHUB_STEP_SUMMARY" in capsys.readouterr().err
    assert not (tmp_path / "d.json").exists()
    assert invoke(["deck", "--source", str(tmp_path / "absent.json")]) == 64
    assert "absent.json cannot be read" in capsys.readouterr().err


def test_it_reads_the_ledger_and_imports_nothing_slow(tmp_path: Path) -> None:
    page = tmp_path / "new" / "page.md"
    imported = modules_after(tmp_path, "deck", str(page))
    assert "restore-embedded" in page.read_text()
    assert "cutover-embedded" in page.read_text()
    assert sorted(name for name in (*SLOW, "jinja2") if name in imported) == []
    assert "jinja2" in modules_after(tmp_path, "deck", "--html", str(tmp_path / "d.html"))
