"""Intakes: a folder for each control, lists that the tools read, and links for what they do not take."""

import csv
import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from package_paper import JULY, NASTY, Paper, card, hostile, quarter, standing
from pypdf import PdfReader

from evidence.errors import EvidenceError
from muster.package.intake import Intake, export
from muster.package.making import make_package
from muster.package.oscal import token_of

COLUMNS = {
    "evidences.csv": {"name", "description", "ref_id", "filtering_labels"},
    "applied-controls.csv": {
        "name", "description", "category", "csf_function", "ref_id", "status", "observation", "filtering_labels",
    },
}  # fmt: skip
"""As CISO Assistant's data wizard reads them (`documentation/data_wizard_analysis.md`, August 2026)."""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    paper = Paper(tmp_path / "paper")
    return make_package(quarter(paper), paper.signer, tmp_path).path


def rows_of(path: Path) -> list[dict[str, str]]:
    """As CISO Assistant reads a list: the separator is guessed from the first bytes."""
    text = path.read_text(encoding="utf-8")
    dialect = csv.Sniffer().sniff(text[:8192], delimiters=",;\t|")
    assert dialect.delimiter == ","
    return list(csv.DictReader(text.splitlines()))


@pytest.mark.parametrize("intake", Intake)
def test_every_control_that_a_plan_names_has_its_folder(package: Path, tmp_path: Path, intake: Intake) -> None:
    exported = export(package, intake, tmp_path / "out")
    assert set(exported.controls) == {"SOC 2 A1.2", "ISO 27001 A.8.13", "DORA Art. 11(6)(a)"}
    for control in exported.controls:
        folder = tmp_path / "out" / token_of(control)
        assert {path.name for path in folder.iterdir()} == {"summary.pdf", "runs.csv", "runs.json"}
        text = "".join(page.extract_text() for page in PdfReader(folder / "summary.pdf").pages)
        assert control in text
        assert "5 runs support it" in text
        assert "orders: 1 unsealed." in " ".join(text.split())
    assert [row["folder"] for row in rows_of(tmp_path / "out" / "index.csv")] == list(map(token_of, exported.controls))


def test_runs_are_told_with_what_they_show_and_how_to_know_them(package: Path, tmp_path: Path) -> None:
    export(package, Intake.DRATA, tmp_path / "out")
    rows = rows_of(tmp_path / "out" / "soc-2-a1-2" / "runs.csv")
    told = [(row["plan"], row["outcome"], row["supports"]) for row in rows]
    assert told == [
        ("orders", "passed", "supports"), ("billing", "passed", "supports"), ("orders", "passed", "supports"),
        ("billing", "failed", "does not show"), ("orders", "unsealed", "does not show"),
        ("billing", "passed", "supports"), ("orders", "passed", "supports"),
    ]  # fmt: skip
    read = json.loads((tmp_path / "out" / "soc-2-a1-2" / "runs.json").read_text())
    assert [row["run"] for row in read["runs"]] == [row["run"] for row in rows]


def test_bundles_are_copied_where_a_tool_takes_them(package: Path, tmp_path: Path) -> None:
    exported = export(package, Intake.VANTA, tmp_path / "out")
    assert exported.bundles == 6
    for row in rows_of(tmp_path / "out" / "soc-2-a1-2" / "runs.csv"):
        if row["bundle"]:
            content = (tmp_path / "out" / row["where"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == row["sha256"]
            assert str(len(content)) == row["bytes"]


def test_what_a_tool_does_not_take_is_a_link(package: Path, tmp_path: Path) -> None:
    key = "orders/20260701T030000Z-orders-00000c.tar.gz"
    exported = export(package, Intake.DRATA, tmp_path / "out", {key: "https://store.example/signed"})
    assert exported.bundles == 0
    assert not (tmp_path / "out" / "bundles").exists()
    where = {row["bundle"]: row["where"] for row in rows_of(tmp_path / "out" / "soc-2-a1-2" / "runs.csv")}
    assert where.pop(key) == "https://store.example/signed"
    assert where.pop("") == ""
    assert all(told.startswith("v1.4.0.tar.gz, or the store: ") for told in where.values())


def test_what_is_too_large_is_a_link(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from muster.package import intake

    monkeypatch.setitem(intake._RULES, Intake.VANTA, intake._Rules(takes_bundles=True, most_bytes=100))
    assert export(package, Intake.VANTA, tmp_path / "out").bundles == 0


def test_ciso_assistant_gets_lists_with_the_columns_that_it_reads(package: Path, tmp_path: Path) -> None:
    export(package, Intake.CISO_ASSISTANT, tmp_path / "out")
    for name, columns in COLUMNS.items():
        rows = rows_of(tmp_path / "out" / name)
        assert rows
        assert set(rows[0]) == columns
        assert all(row["name"] for row in rows), "a name is mandatory"
    evidences = rows_of(tmp_path / "out" / "evidences.csv")
    readme = (tmp_path / "out" / "README.txt").read_text()
    for row in evidences:
        assert f'--name "{row["name"]}"' in readme
    controls = rows_of(tmp_path / "out" / "applied-controls.csv")
    assert [(row["name"], row["status"]) for row in controls] == [
        ("Drill billing", "active"),
        ("Drill orders", "active"),
    ]
    assert {row["csf_function"] for row in controls} == {"recover"}


@pytest.mark.parametrize("intake", Intake)
def test_hostile_words_stay_words(tmp_path: Path, intake: Intake) -> None:
    paper = Paper(tmp_path / "paper")
    formula = "=HYPERLINK(1)"
    paper.run("orders", JULY, controls=[f"internal: {NASTY}", formula])
    inputs = paper.inputs(plans=[card("orders", controls=[formula])], standings=[standing("orders")])
    package = make_package(inputs, paper.signer, tmp_path).path
    exported = export(package, intake, tmp_path / "out")
    assert len(exported.controls) == 2
    for path in (tmp_path / "out").rglob("*.csv"):
        for row in rows_of(path):
            assert not any(cell.lstrip()[:1] in ("=", "+", "-", "@") for cell in row.values())
            assert not {"\x1b", "\u202e", "\u2028"} & set("".join(row.values()))


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    paper = Paper(tmp_path / "paper")
    key = paper.run("orders", JULY)
    for path, what in ((paper.bundles[key], "no package"), (tmp_path / "none.tar.gz", "cannot be read")):
        with pytest.raises(EvidenceError, match=what):
            export(path, Intake.VANTA, tmp_path / "out" / what)
    (tmp_path / "cut.tar.gz").write_bytes(paper.bundles[key].read_bytes()[:-20])
    with pytest.raises(EvidenceError, match="damaged"):
        export(tmp_path / "cut.tar.gz", Intake.VANTA, tmp_path / "out" / "cut")


def test_a_folder_that_holds_something_is_left_alone(package: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(EvidenceError, match="not empty"):
        export(package, Intake.VANTA, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_the_same_package_gives_the_same_folders(package: Path, tmp_path: Path) -> None:
    def all_of(folder: Path) -> dict[str, bytes]:
        export(package, Intake.CISO_ASSISTANT, folder)
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert all_of(tmp_path / "a") == all_of(tmp_path / "b")


def test_a_hostile_package_makes_pages_too(tmp_path: Path) -> None:
    paper = Paper(tmp_path / "paper")
    package = make_package(hostile(paper), paper.signer, tmp_path).path
    exported: Any = export(package, Intake.VANTA, tmp_path / "out")
    (folder,) = [token_of(control) for control in exported.controls]
    assert PdfReader(BytesIO((tmp_path / "out" / folder / "summary.pdf").read_bytes())).pages
