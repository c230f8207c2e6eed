"""Report, OSCAL and JUnit: each says what the population says, whatever was sealed."""

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from package_paper import (
    AUGUST,
    CONTROLS,
    JULY,
    OCTOBER,
    SEPTEMBER,
    Paper,
    at,
    card,
    contents_of,
    hostile,
    quarter,
    standing,
)
from pypdf import PdfReader
from test_package_population import blackout
from trestle.oscal.assessment_results import Model

from muster.cadence.controls import CONTROLS as KNOWN
from muster.cadence.spec import Cadence
from muster.notary.vouched import Anchor, Cosignature
from muster.package.contents import Contents
from muster.package.document import MOST as MOST_CHARACTERS
from muster.package.document import Document, Tone
from muster.package.html import render_html
from muster.package.jsonfile import pieces
from muster.package.junit import render_junit
from muster.package.oscal import objective_of, oscal_of, token_of
from muster.package.pdf import render_pdf
from muster.package.report import MOST, build_report


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    return Paper(tmp_path / "paper")


class Page(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "link", "br", "col"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def texts_of(document: Document) -> list[str]:
    """Every text of the document."""
    found = [document.kind, document.heading, document.when, *document.sentences, *document.footer]
    found += [count.word for count in document.counts]
    for section in document.sections:
        found += [section.title, section.note, *section.paragraphs, *(label for label, _ in section.facts)]
        cells = [value for _, value in section.facts]
        if section.table:
            found += [column.title for column in section.table.columns]
            cells += [cell for row in section.table.rows for cell in row]
        found += [text for cell in cells for text in (cell.text, *cell.more, *cell.lacks)]
    return [text for text in found if text]


def squeezed(text: str) -> str:
    """Without spaces, which line breaks eat."""
    return re.sub(r"\s", "", text)


@pytest.mark.parametrize("make", [quarter, hostile], ids=["quarter", "hostile"])
def test_the_page_is_whole_and_needs_nothing_else(paper: Paper, tmp_path: Path, make: Any) -> None:
    html = render_html(build_report(contents_of(make(paper), tmp_path)))
    page = Page(html)
    assert page.open == []
    assert not {"script", "img", "iframe", "object", "form"} & set(page.tags)
    assert [value for name, value in page.attributes if name in ("src", "href", "srcset", "action")] == ["data:,"]
    assert not any(name.startswith("on") for name, _ in page.attributes)
    identities = [value for name, value in page.attributes if name == "id"]
    assert len(identities) == len(set(identities))
    assert not {"\u202e", "\x1b", "\u2028"} & set(html)


@pytest.mark.parametrize("make", [quarter, hostile], ids=["quarter", "hostile"])
def test_page_and_pdf_tell_every_text_of_the_document(paper: Paper, tmp_path: Path, make: Any) -> None:
    contents = contents_of(make(paper), tmp_path)
    document = build_report(contents)
    page = squeezed(Page(render_html(document)).text)
    pdf = squeezed(
        "".join(sheet.extract_text() for sheet in PdfReader(BytesIO(render_pdf(document, contents.log.made_at))).pages)
    )
    for text in texts_of(document):
        assert squeezed(text) in page
        latin = squeezed("".join(c if ord(c) < 0x250 else f"U+{ord(c):04X}" for c in text))
        if len(latin) < 60:  # a longer one may be cut by the end of a page
            assert latin in pdf, text


def test_what_is_missing_stands_first_and_in_red(paper: Paper, tmp_path: Path) -> None:
    document = build_report(contents_of(quarter(paper), tmp_path))
    first = document.sections[0]
    assert (first.title, first.is_bad, document.tone) == ("Missing, or not to be relied on", True, Tone.FAIL)
    assert first.table is not None
    ((due, plan, record, what),) = first.table.rows
    assert (due.text, plan.text, record.text, record.tone) == ("2026-08-01 03:00", "orders", "unsealed", Tone.FAIL)
    assert what.text == "no sealed record: nothing shows what became of it"
    assert [(count.number, count.word) for count in document.counts] == [(1, "unsealed"), (5, "passed"), (1, "failed")]
    assert document.heading == "5 of 7 passed"


def test_a_clean_period_says_that_nothing_is_missing(paper: Paper, tmp_path: Path) -> None:
    for due in (JULY, AUGUST, SEPTEMBER, OCTOBER):
        paper.run("orders", due)
    inputs = paper.inputs(plans=[card("orders")], standings=[standing("orders")])
    document = build_report(contents_of(inputs, tmp_path))
    first = document.sections[0]
    assert (first.is_bad, first.table, document.tone) == (False, None, Tone.PASS)
    assert first.paragraphs[0].startswith("Nothing: every due time of the period has one sealed record")
    assert {section.key for section in document.sections}.isdisjoint(
        {"open", "not-passed", "waivers", "late", "linked"}
    )


def test_a_pass_that_cannot_be_relied_on_is_red_and_not_counted_as_passed(paper: Paper, tmp_path: Path) -> None:
    paper.run("orders", JULY, said={"envelope": "0" * 64})
    document = build_report(contents_of(paper.inputs(), tmp_path))
    assert (document.heading, document.tone) == ("0 of 1 passed", Tone.FAIL)
    assert [(count.number, count.word) for count in document.counts] == [(1, "not to be relied on")]


def test_a_waiver_is_told_with_owner_reason_and_end(paper: Paper, tmp_path: Path) -> None:
    frozen = Cadence(cron="0 3 1 * *", blackouts=(blackout("2026-07-30", "2026-08-20", "move"),))
    unrun = {"outcome": "waived", "why": "blackout: move", "until": OCTOBER.isoformat()}
    paper.run("orders", AUGUST, "waived", cadence=frozen, unrun=unrun, owner="ada")
    document = build_report(contents_of(paper.inputs(), tmp_path))
    (section,) = [section for section in document.sections if section.key == "waivers"]
    assert section.table is not None
    assert [cell.text for cell in section.table.rows[0]] == [
        "2026-08-01 03:00", "orders", "ada", "blackout: move", "2026-08-20 00:00",
    ]  # fmt: skip


def test_the_matrix_in_the_report_says_supports_or_does_not_show(paper: Paper, tmp_path: Path) -> None:
    document = build_report(contents_of(quarter(paper), tmp_path))
    (section,) = [section for section in document.sections if section.key == "controls"]
    assert section.table is not None
    rows = {row[0].text: row for row in section.table.rows}
    assert set(rows) == set(CONTROLS)
    shown = rows["SOC 2 A1.2"][-1]
    assert (shown.text, shown.tone) == ("5 runs support it", Tone.PASS)
    assert shown.lacks == ("does not show: billing: 1 failed", "does not show: orders: 1 unsealed")
    assert "SOC 2 CC7.5" in section.note
    html = render_html(document)
    assert "compl" not in re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL).lower()


def test_what_nobody_outside_vouches_for_is_said(paper: Paper, tmp_path: Path) -> None:
    inputs = quarter(paper)
    alone = {section.key: section for section in build_report(contents_of(inputs, tmp_path)).sections}
    assert "No authority outside gave a time-stamp" in alone["times"].paragraphs[0]
    assert "No witness cosigned" in alone["witnesses"].paragraphs[0]
    (tmp_path / "again").mkdir()
    anchors = [Anchor(12, "one", at("2026-08-01T04:00")), Anchor(18, "two", None)]
    vouched = replace(inputs, anchors=anchors, cosignatures=[Cosignature(18, "neighbour")], looks=())
    told = {section.key: section for section in build_report(contents_of(vouched, tmp_path / "again")).sections}
    assert told["times"].paragraphs == (
        "Entries 0 to 11 existed by the time of a time-stamp that was checked.",
        "Entries 12 to 17 have none: for them only the notary's own clock shows it.",
    )
    assert told["witnesses"].table is not None


def test_long_tables_are_cut_and_the_rest_is_counted(paper: Paper, tmp_path: Path) -> None:
    daily = Cadence(cron="0 3 * * *")
    hourly = Cadence(cron="0 * * * *")
    paper.record("a.dsse.json", at("2026-06-01"))
    paper.record("b.dsse.json", at("2026-11-01"))
    inputs = paper.inputs(standings=[standing("orders", hourly), standing("billing", daily)])
    contents = contents_of(inputs, tmp_path)
    assert len(contents.population.gaps) == 92 * 24 + 92
    document = build_report(contents)
    tables = [section.table for section in document.sections if section.table]
    assert max(len(table.rows) for table in tables) == MOST
    assert document.sections[0].note == "1,300 more are counted above and listed in population.json."
    assert len(render_pdf(document, contents.log.made_at)) > 50_000


def test_no_text_is_longer_than_a_page(paper: Paper, tmp_path: Path) -> None:
    contents = contents_of(hostile(paper), tmp_path)
    document = build_report(contents)
    cells = [cell for section in document.sections if section.table for row in section.table.rows for cell in row]
    assert MOST_CHARACTERS - 2 <= max(len(cell.text) for cell in cells) <= MOST_CHARACTERS
    assert render_pdf(document, contents.log.made_at).startswith(b"%PDF-")


def test_the_pdf_is_the_same_again_dated_by_the_log_and_without_what_it_needs_from_outside(
    paper: Paper, tmp_path: Path
) -> None:
    contents = contents_of(quarter(paper), tmp_path)
    document = build_report(contents)
    first = render_pdf(document, contents.log.made_at)
    assert first == render_pdf(document, contents.log.made_at)
    assert first != render_pdf(document, contents.log.made_at + timedelta(days=1))
    reader = PdfReader(BytesIO(first))
    assert reader.metadata is not None
    assert reader.metadata.creation_date == contents.log.made_at
    assert reader.metadata.title == "v1.4.0: 5 of 7 passed"
    fonts = {
        font["/BaseFont"]: "/FontDescriptor" in font and "/FontFile2" in font["/FontDescriptor"]
        for page in reader.pages
        for font in (each.get_object() for each in page["/Resources"]["/Font"].values())  # type: ignore[index]
    }
    used = {name: is_embedded for name, is_embedded in fonts.items() if "Vera" in name}
    assert used
    assert all(used.values())


def read_oscal(contents: Contents) -> tuple[Any, Model]:
    written = b"".join(pieces(oscal_of(contents)))
    return json.loads(written), Model.model_validate_json(written)


@pytest.mark.parametrize("make", [quarter, hostile], ids=["quarter", "hostile"])
def test_oscal_fits_the_model_of_nist(paper: Paper, tmp_path: Path, make: Any) -> None:
    read, model = read_oscal(contents_of(make(paper), tmp_path))
    assert read["assessment-results"]["metadata"]["oscal-version"] == "1.2.1"
    (result,) = model.assessment_results.results
    assert len(result.findings or []) == len(
        read["assessment-results"]["results"][0]["reviewed-controls"]["control-selections"][0]["include-controls"]
    )


def test_a_document_that_does_not_fit_would_be_seen(paper: Paper, tmp_path: Path) -> None:
    read, _ = read_oscal(contents_of(quarter(paper), tmp_path))
    del read["assessment-results"]["results"][0]["findings"][0]["target"]
    with pytest.raises(ValueError, match="target"):
        Model.model_validate(read)


def test_an_empty_period_fits_too(paper: Paper, tmp_path: Path) -> None:
    paper.record("a.dsse.json", OCTOBER)
    read, _ = read_oscal(contents_of(paper.inputs(), tmp_path))
    assert "observations" not in read["assessment-results"]["results"][0]


def test_findings_name_the_runs_that_support_and_no_others(paper: Paper, tmp_path: Path) -> None:
    contents = contents_of(quarter(paper), tmp_path)
    read, _ = read_oscal(contents)
    (result,) = read["assessment-results"]["results"]
    observed = {each["uuid"]: each for each in result["observations"]}
    assert len(observed) == len(contents.population.rows) == 7
    findings = {each["target"]["target-id"]: each for each in result["findings"]}
    supported = findings[objective_of("SOC 2 A1.2")]
    named = [observed[each["observation-uuid"]] for each in supported["related-observations"]]
    assert Counter(_outcome(each) for each in named) == {"passed": 5}
    assert supported["target"]["status"]["state"] == "not-satisfied", "a drill failed, and one is missing"
    assert "related-observations" not in findings[objective_of("SOC 2 CC7.5")]
    (gap,) = [each for each in observed.values() if _outcome(each) == "unsealed"]
    assert (gap["methods"], "relevant-evidence" in gap) == (["EXAMINE"], False)
    (failed,) = [each for each in observed.values() if _outcome(each) == "failed"]
    assert failed["relevant-evidence"][0]["href"].startswith("runs/billing/20260801")


def test_an_objective_is_satisfied_only_where_nothing_lacks(paper: Paper, tmp_path: Path) -> None:
    for due in (JULY, AUGUST, SEPTEMBER, OCTOBER):
        paper.run("orders", due)
    read, _ = read_oscal(contents_of(paper.inputs(plans=[card("orders")], standings=[standing("orders")]), tmp_path))
    states = {
        each["target"]["target-id"]: each["target"]["status"]["state"]
        for each in read["assessment-results"]["results"][0]["findings"]
    }
    assert {name for name, state in states.items() if state == "satisfied"} == set(map(objective_of, CONTROLS))


def test_identities_follow_from_the_package(paper: Paper, tmp_path: Path) -> None:
    inputs = quarter(paper)
    first, _ = read_oscal(contents_of(inputs, tmp_path))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    again, _ = read_oscal(contents_of(inputs, tmp_path / "a"))
    other, _ = read_oscal(contents_of(replace(inputs, name="v1.4.1"), tmp_path / "b"))
    assert first == again
    assert first["assessment-results"]["uuid"] != other["assessment-results"]["uuid"]


def test_every_control_has_an_id_of_its_own_in_oscal() -> None:
    tokens = [token_of(control.id) for control in KNOWN]
    assert len(set(tokens)) == len(tokens)
    assert token_of("SOC 2 A1.2") == "soc-2-a1-2"
    assert token_of("9.1 ours").startswith("c-9-1-ours-")
    assert token_of("internal: A 1") != token_of("internal: A-1")


def _outcome(observation: Any) -> str:
    return next(prop["value"] for prop in observation["props"] if prop["name"] == "outcome")


@pytest.mark.parametrize("make", [quarter, hostile], ids=["quarter", "hostile"])
def test_junit_has_a_case_for_every_row_and_only_passes_are_without_fault(
    paper: Paper, tmp_path: Path, make: Any
) -> None:
    contents = contents_of(make(paper), tmp_path)
    root = ElementTree.fromstring(render_junit(contents))
    cases = list(root.iter("testcase"))
    assert len(cases) == len(contents.population.rows) == int(root.get("tests", ""))
    quiet = [case for case in cases if case.find("failure") is None and case.find("error") is None]
    assert len(quiet) == sum(row.passed for row in contents.population.rows)
    assert root.get("skipped") == "0"
    assert not list(root.iter("skipped"))


@pytest.mark.parametrize(
    ("outcome", "tag"),
    [
        ("failed", "failure"), ("missed", "failure"), ("inconclusive", "error"), ("aborted", "error"),
        ("refused", "error"), ("waived", "error"), ("unheard of", "failure"),
    ],
)  # fmt: skip
def test_junit_says_what_did_not_pass(paper: Paper, tmp_path: Path, outcome: str, tag: str) -> None:
    paper.run("orders", JULY, outcome)
    (case,) = ElementTree.fromstring(render_junit(contents_of(paper.inputs(), tmp_path))).iter("testcase")
    found = case.find(tag)
    assert found is not None
    assert found.get("type") == outcome


def test_an_open_slot_is_an_error_and_no_pass(paper: Paper, tmp_path: Path) -> None:
    paper.run("orders", AUGUST)
    paper.run("billing", SEPTEMBER + timedelta(hours=1), on_demand=True)
    inputs = paper.inputs(plans=[card("orders")], standings=[standing("orders")])
    root = ElementTree.fromstring(render_junit(contents_of(inputs, tmp_path)))
    (case,) = [
        case
        for case in root.iter("testcase")
        if "2026-09-01" in case.get("name", "") and "orders" in case.get("name", "")
    ]
    error = case.find("error")
    assert error is not None
    assert error.get("type") == "open"
