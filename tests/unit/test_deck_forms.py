"""JUnit, badges, annotations, code quality, comment: each tells every drill that is not healthy, and no form breaks."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from deck_samples import EMPTY, ESTATE, HEALTHY, HOSTILE, crowd

from muster.cadence.states import State
from muster.deck.badges import MARK, render_badges
from muster.deck.comment import render_comment
from muster.deck.github import annotations, step_summary, summary_file
from muster.deck.gitlab import render_code_quality
from muster.deck.junit import render_junit
from muster.deck.model import Deck
from muster.errors import UsageError

SAMPLES = pytest.mark.parametrize(
    "deck", [ESTATE, EMPTY, HEALTHY, HOSTILE], ids=["estate", "empty", "healthy", "hostile"]
)


def junit(deck: Deck) -> ElementTree.Element:
    return ElementTree.fromstring(render_junit(deck).encode())


@SAMPLES
def test_junit_has_a_case_for_every_drill_and_trouble_and_counts_them(deck: Deck) -> None:
    root = junit(deck)
    cases = list(root.iter("testcase"))
    looked_at = sum(row.ready is not None for row in deck.rows)
    assert len(cases) == len(deck.rows) + looked_at + len(deck.troubles) == int(root.get("tests", ""))
    assert root.findall(".//skipped") == []
    for element in (root, *root):
        assert int(element.get("failures", "")) == len(element.findall(".//failure"))
        assert int(element.get("errors", "")) == len(element.findall(".//error"))
        assert int(element.get("tests", "")) == len(element.findall(".//testcase"))


def test_junit_fails_what_broke_a_promise_and_errs_what_shows_none() -> None:
    ends = {case.get("name"): case[0].tag for case in junit(ESTATE).iter("testcase") if case.get("name") != "no plan"}
    assert {name: tag for name, tag in ends.items() if name and name.startswith("restore-")} == {
        "restore-orders": "failure",
        "restore-billing": "failure",
        "restore-warehouse": "error",
        "restore-catalogue": "error",
        "restore-ledger": "system-out",
        "restore-embedded": "system-out",
    }
    assert ends["muster: stopped"] == ends["watch: silent"] == "failure"
    assert [suite.get("name") for suite in junit(ESTATE)] == [
        "restore", "failover", "spark", "cutover", "incident", "muster",
    ]  # fmt: skip


def test_a_healthy_deck_is_green_everywhere() -> None:
    root = junit(HEALTHY)
    assert (root.get("failures"), root.get("errors"), root.get("tests")) == ("0", "0", "2")
    assert root.find(".//testcase").get("time") == "412.000"  # type: ignore[union-attr]
    assert list(annotations(HEALTHY)) == []
    assert json.loads(render_code_quality(HEALTHY)) == []
    assert "✓ 2 of 2 fresh" in render_badges(HEALTHY)["deck.svg"]


@SAMPLES
def test_badges_are_svg_with_a_title_and_text_inside(deck: Deck) -> None:
    badges = render_badges(deck, known=["restore-old"])
    plans = {row.plan for row in deck.rows if row.plan} if deck is not HOSTILE else set()
    assert set(badges) == {"deck.svg", *(f"plans/{plan}.svg" for plan in {"restore-old", *plans})}
    for svg in badges.values():
        root = ElementTree.fromstring(svg)
        width, texts = float(root.get("width", "")), root.findall(".//{*}text")
        assert root.get("aria-label") == root.findtext("{*}title")
        assert root.get("role") == "img"
        assert MARK in svg
        ends = [float(t.get("x", "")) + float(t.get("textLength", "")) for t in texts]
        assert 0 < ends[0] < float(texts[1].get("x", "")) < ends[1] < width


def test_badges_wear_the_colour_of_their_state() -> None:
    badges = render_badges(ESTATE, known=["restore-old", "restore-embedded"])
    red, amber, green, grey = "#b0231b", "#855400", "#17663a", "#5b6069"
    assert red in badges["deck.svg"]
    assert "✕ 1 of 10 fresh" in badges["deck.svg"]
    for plan, colour in (("orders", red), ("billing", red), ("warehouse", amber), ("embedded", green), ("old", grey)):
        assert colour in badges[f"plans/restore-{plan}.svg"], plan


def test_no_plan_name_leaves_the_folder() -> None:
    row = ESTATE.rows[0]
    escaping = ESTATE._replace(rows=tuple(row._replace(plan=name) for name in ("../up", "a/b", "..", "/etc")))
    assert set(render_badges(escaping)) == {"deck.svg"}


def test_annotations_are_errors_for_broken_promises_and_warnings_for_the_rest() -> None:
    lines = list(annotations(ESTATE))
    assert [line.split("::")[1].split(" ")[0] for line in lines] == ["error"] * 3 + ["warning"] * 8
    assert lines[0].startswith("::error title=muster%3A stopped::the kill switch is on: storage migration")
    assert lines[1].startswith("::error title=restore-orders%3A failing,file=deployments/restore-orders.yaml::failed:")
    assert not any("restore-ledger" in line or "restore-embedded" in line for line in lines)


def test_nothing_ends_a_workflow_command_or_begins_one() -> None:
    lines = list(annotations(HOSTILE))
    assert len(lines) == 3
    for line in lines:
        assert len(line.splitlines()) == 1
        command, _, _ = line.removeprefix("::").partition("::")
        properties = dict(told.split("=", 1) for told in command.split(" ", 1)[1].split(","))
        assert set(properties) <= {"title", "file"}
        assert not any(character in value for value in properties.values() for character in ":,\r\n")
        assert "%250A" in line, "a percent sign of the text is not an escape"


def test_annotations_that_github_would_drop_are_counted() -> None:
    lines = list(annotations(crowd(300, State.OVERDUE)))
    assert len(lines) == 10
    assert "title=291 more drills::" in lines[-1]
    assert len(list(annotations(crowd(10, State.OVERDUE)))) == 10
    assert "more drills" not in "".join(annotations(crowd(10, State.OVERDUE)))


def test_a_summary_and_a_comment_fit_what_github_takes() -> None:
    crowded = crowd(4_000, State.FAILING)
    assert len(step_summary(crowded).encode()) < 2**20
    comment = render_comment(crowded)
    assert len(comment) < 65_536
    assert "more: " in comment
    assert render_comment(ESTATE).startswith("<!-- muster:deck -->\n")
    assert "As of 2026-08-03 06:00 UTC." in render_comment(ESTATE)


def test_outside_github_there_is_no_summary() -> None:
    assert summary_file({"GITHUB_STEP_SUMMARY": "/x/summary"}) == Path("/x/summary")
    for environment in ({}, {"GITHUB_STEP_SUMMARY": ""}):
        with pytest.raises(UsageError, match="GITHUB_STEP_SUMMARY"):
            summary_file(environment)


def test_code_quality_keeps_a_fingerprint_while_a_problem_lasts() -> None:
    entries = json.loads(render_code_quality(ESTATE))
    assert len(entries) == len({entry["fingerprint"] for entry in entries}) == 11
    assert {entry["severity"] for entry in entries} <= {"critical", "major"}
    assert all(entry["location"]["path"] and entry["location"]["lines"]["begin"] == 1 for entry in entries)
    older = ESTATE._replace(rows=tuple(row._replace(why="as before, a day later") for row in ESTATE.rows))
    assert [e["fingerprint"] for e in json.loads(render_code_quality(older))] == [e["fingerprint"] for e in entries]
    mended = ESTATE._replace(rows=tuple(row._replace(state=State.NEVER) for row in ESTATE.rows))
    assert [e["fingerprint"] for e in json.loads(render_code_quality(mended))] != [e["fingerprint"] for e in entries]
