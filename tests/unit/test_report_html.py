"""The HTML report: well formed, self-contained, safe, legible in both colour schemes."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from test_report_samples import (
    ABORTED,
    COMPARED,
    DIFF,
    EVERY,
    FAILED,
    HOSTILE,
    PASSED,
    STRESSED,
    UNDECIDED,
)

from muster.report.html import render_html

VOID = {"meta"}


class Outline(HTMLParser):
    """Every element with its attributes; the tags must nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


def svgs_of(text: str) -> list[ElementTree.Element]:
    """Every figure's drawing; the last is that of the phases."""
    return [ElementTree.fromstring(figure)[0] for figure in re.findall(r"<figure>.*?</figure>", text, re.DOTALL)]


def svg_of(text: str) -> ElementTree.Element:
    return svgs_of(text)[-1]


@pytest.mark.parametrize("summary", EVERY.values(), ids=EVERY)
class TestEveryReport:
    def test_nests_and_loads_nothing(self, summary):
        outline = Outline(render_html(summary))
        assert not {tag for tag, _ in outline.elements} & {"script", "link", "img", "iframe", "object", "a", "form"}
        assert not [a for _, attrs in outline.elements for a in attrs if a.startswith("on") or a in {"src", "href"}]
        assert "url(http" not in render_html(summary)
        assert {
            "http-equiv": "Content-Security-Policy",
            "content": "default-src 'none'; style-src 'unsafe-inline'",
        } in (outline.of("meta"))

    def test_can_be_read_without_eyes(self, summary):
        outline = Outline(render_html(summary))
        headings = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
        assert headings.count(1) == 1
        assert all(deeper - level <= 1 for level, deeper in zip([0, *headings], headings, strict=False))
        assert len(outline.of("caption")) == len(outline.of("table"))
        assert all(attrs.get("scope") in {"col", "row"} for attrs in outline.of("th"))
        for svg in svgs_of(render_html(summary)):
            assert svg.get("role") == "img"
            assert [child.tag.split("}")[1] for child in svg][:2] == ["title", "desc"]
        ids = [attrs["id"] for _, attrs in outline.elements if "id" in attrs]
        assert len(ids) == len(set(ids))


def test_a_hostile_value_stays_text():
    assert "<script" not in render_html(HOSTILE)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in render_html(HOSTILE)
    assert "&lt;/pre&gt;&lt;/details&gt;" in render_html(HOSTILE)


def test_a_broken_phase_is_marked_by_form_and_word():
    told = render_html(ABORTED)
    assert re.search(r'class="bar verification failed".*?✕ failed', told, re.DOTALL)
    assert re.search(r'class="bar recovery cut-short".*?✕ cut short', told, re.DOTALL)
    assert "✕" not in "".join(svg_of(render_html(PASSED)).itertext())


def test_the_objective_is_a_line_where_it_is_on_the_scale():
    assert 'class="limit"' in render_html(UNDECIDED)
    assert 'class="limit"' not in render_html(PASSED)
    assert "lies beyond this scale" in render_html(PASSED)


def test_every_line_of_a_diff_is_there_and_open():
    told = render_html(FAILED)
    assert "<details open>" in told
    assert all(line in told for line in DIFF)
    assert "<details open>" not in render_html(PASSED)


def test_not_asked_comes_last_and_quietly():
    told = render_html(PASSED)
    assert told.index("rpo within") < told.index("Not asked for by the plan") < told.index("roles present")
    assert "Not asked for by the plan" not in render_html(ABORTED)


def test_a_command_in_an_advice_is_set_as_code():
    assert "run <code>muster reference shop-restore</code> in the source" in render_html(UNDECIDED)


def luminance(color: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = (int(color[n : n + 2], 16) / 255 for n in (1, 3, 5))
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrast_is_aa(scheme):
    blocks = [b for b in re.findall(r":root \{(.*?)\}", render_html(PASSED), re.DOTALL) if "--paper" in b]
    colors = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", blocks[scheme]))
    for ground in ("paper", "faint"):
        for text in ("ink", "quiet", "pass", "fail", "inconclusive"):
            assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
    for shape in ("accent", "second", "third"):
        assert contrast(colors[shape], colors["paper"]) >= 3, shape


def test_a_table_of_costs_with_many_columns_has_their_names_in_each_cell():
    told = render_html(COMPARED)
    assert '<table role="table" class="costs many">' in told
    assert len(re.findall(r'data-label="kept: disturbed"', told)) == len(COMPARED.costs.rows)
    assert 'class="costs"' in render_html(STRESSED)


def test_a_setting_that_is_advised_is_set_as_code():
    assert "(<code>spark.shuffle.service.enabled</code>)" in render_html(STRESSED)


def test_what_it_cost_comes_after_the_checks_and_before_the_facts():
    told = render_html(STRESSED)
    parts = (
        "Measured against",
        "Tasks over time",
        "Phases</h2>",
        "Checks</h2>",
        "What it cost",
        "cheaper</h2>",
        "Facts</h2>",
    )
    places = [told.index(part) for part in parts]
    assert places == sorted(places)
