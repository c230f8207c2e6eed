"""The portal as files: whole, the same each time, told without its script too, and deaf to hostile text."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from portal_samples import DAY, EMPTY, FORTY, KEY, NASTY, NOW, ONE, ORDERS, SINCE, crowd, hostile, portal_of, sealed

import muster.portal
from evidence.names import is_portable
from muster.notary.vouched import Anchor
from muster.portal.model import PortalData
from muster.portal.page import NEWEST, periods_of, render_portal
from muster.portal.reading import runs_of

VOID = {"meta", "link", "br", "input"}
SHAPES = {"use", "path", "circle", "rect"}
SAMPLES = pytest.mark.parametrize(
    "data", [EMPTY, ONE, FORTY, hostile()], ids=["empty", "one", "every outcome", "hostile"]
)


class Page(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.attributes: list[tuple[str, str | None]] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.inside:
            self.inside[self.open[-1]].append(data)
        else:
            self.text += data

    def all(self, name: str) -> list[str | None]:
        return [value for key, value in self.attributes if key == name]


def page_of(data: PortalData) -> Page:
    return Page(render_portal(data)["portal/index.html"].decode())


def shard_of(files: dict[str, bytes], number: int) -> dict[str, dict[str, object]]:
    """What a shard hands to the page: the JSON within its one quoted text."""
    script = files[f"portal/runs/{number:06d}.js"].decode("ascii")
    quoted = re.fullmatch(rf"musterPortal\({number}, '((?:[^'\\]|\\.)*)'\);\n", script)
    assert quoted is not None
    loaded: dict[str, dict[str, object]] = json.loads(re.sub(r"\\(.)", r"\1", quoted[1]))
    return loaded


@SAMPLES
def test_every_file_is_whole_and_the_same_each_time(data: PortalData) -> None:
    files = render_portal(data)
    assert files == render_portal(data)
    assert all(is_portable(key) and key.startswith("portal/") for key in files)
    html = files["portal/index.html"].decode()
    page = Page(html)
    assert page.open == []
    identities = page.all("id")
    assert len(identities) == len(set(identities))
    labels = {value for name in ("aria-labelledby", "aria-describedby") for value in page.all(name)}
    assert labels <= set(identities)
    assert {href for href in page.all("href") if href and href.startswith("#") and "/" not in href} <= {
        f"#{identity}" for identity in identities
    }


@SAMPLES
def test_nothing_but_its_own_script_and_style_runs_and_nothing_is_loaded(data: PortalData) -> None:
    html = render_portal(data)["portal/index.html"].decode()
    page = Page(html)
    assert page.tags.count("script") == 2  # the data, which is not run, and the script
    assert not {"img", "iframe", "object", "base", "embed"} & set(page.tags)
    assert page.all("src") == []
    assert "style" not in dict(page.attributes)
    assert not any(name.startswith("on") for name, _ in page.attributes)
    hrefs = [href or "" for href in page.all("href")]
    assert all(re.match(r"#|\.\./|data:,$|runs\.(csv|json)$", href) for href in hrefs), hrefs
    policy = next(value for value in page.all("content") if value and "default-src" in value)
    for directive, content in (("script-src", page.inside["script"][-1]), ("style-src", page.inside["style"][0])):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_script_never_makes_markup_of_text_and_asks_no_network() -> None:
    source = (Path(muster.portal.__file__).parent / "templates" / "portal.js").read_text(encoding="utf-8")
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function(", "fetch(",
                      "XMLHttp", "import(", "import ", "DOMParser", "</", "http://", "https://"):  # fmt: skip
        assert forbidden not in source.replace("http://www.w3.org/2000/svg", ""), forbidden


def test_hostile_text_stays_text_everywhere() -> None:
    files = render_portal(hostile())
    html = files["portal/index.html"].decode()
    page = Page(html)
    assert "img" not in page.tags
    assert "alert(1)" in page.text
    assert "49" not in page.text.replace("492", "")
    for name, content in files.items():
        assert "\u202e" not in content.decode(), name
        assert "\u2028" not in content.decode(), name
    told = json.loads(page.inside["script"][0])
    assert any("<script>alert(1)</script>" in plan["name"] for plan in told["plans"])
    for scripts in (page.inside["script"][0], *(files[key].decode() for key in files if key.endswith(".js"))):
        assert "<" not in scripts
    shard = shard_of(files, 0)
    assert all(run["key"] == "" and run["sha256"] == "" for run in (shard["2"], shard["3"]))
    assert "../../etc" not in html
    assert "$(reboot)" not in str([run["sha256"] for run in shard.values()])


def test_what_is_wrong_comes_first_and_in_words() -> None:
    page = page_of(FORTY)
    text = " ".join(page.text.split())
    assert "43 runs, 5 gaps" in text
    assert text.index("no sealed record") < text.index("Due from") < text.index("v1.1.0")
    for words in (
        "3 unsealed",
        "1 overdue",
        "1 missed",
        "last passed 2026-04-27",
        "the store is away",
        "no worker took it",
    ):
        assert words in text


def test_it_says_that_it_is_no_evidence_how_to_verify_and_what_nothing_catches() -> None:
    text = " ".join(page_of(FORTY).text.split())
    for words in ("This page is not evidence.", "verify the files", "Get the public key by another road",
                  "openssl pkeyutl -verify", "manifest-sha256.txt tagmanifest-sha256.txt", "What nothing here catches",
                  "One who runs the drills and holds the sealing key"):  # fmt: skip
        assert words in text
    assert "compl" not in text.lower().replace("complete", "")


def test_what_is_anchored_and_what_is_not_is_told_apart() -> None:
    text = " ".join(page_of(FORTY).text.split())
    assert "Entries 30 to 44 not anchored" in text
    assert "Entries 12 to 29 existed by 2026-06-30 00:00 UTC, says freetsa; existed by 2026-06-30 00:01 UTC" in text
    assert "witness.example/w1 cosigned the head of 30 entries" in text
    assert KEY in text
    assert "no attempt could destroy, change or unlock what was locked" in text
    assert "2026-Q2, 2026-04-01 to 2026-06-30" in text
    bare = " ".join(page_of(ONE).text.split())
    assert "Nothing is anchored." in bare
    assert "No witness cosigned a head" in bare
    assert "Never probed." in bare
    unchecked = replace(
        ONE, anchors=(Anchor(1, "freetsa", None),), probe={"isWorm": False, "reasons": ["it is no bucket"]}
    )
    told = " ".join(page_of(unchecked).text.split())
    assert "Nothing is anchored." in told
    assert "not counted: 1 more of the time-stamps" in told
    assert "not a store that locks: it is no bucket" in told


def test_nothing_sealed_is_told_as_that() -> None:
    text = " ".join(page_of(EMPTY).text.split())
    assert "Nothing is sealed yet" in text
    assert "0 entries in the log" in text
    assert "The log is empty." in text
    assert "no gap" not in text.partition("Gaps")[0]


def test_no_gap_is_told_as_none_known() -> None:
    text = " ".join(page_of(ONE).text.split())
    assert "1 run, no gap is known" in text
    assert "What no plan drills is no gap here." in text


def test_without_script_the_newest_runs_stand_in_a_table_with_links_to_their_bundles() -> None:
    data = crowd(200, plans=4)
    html = render_portal(data)["portal/index.html"].decode()
    fallback = html[html.index("<noscript>") : html.index("</noscript>")]
    assert fallback.count("<tr") == NEWEST + 1
    assert f"the newest {NEWEST} of 200 runs" in fallback
    newest = max((run for run in runs_of(data) if run.due), key=lambda run: (run.due, run.index))
    assert f'href="../{newest.key}"' in fallback


def test_a_shard_tells_a_run_and_a_full_one_does_not_change() -> None:
    data = crowd(200, plans=4)
    files = render_portal(data)
    assert sum(key.startswith("portal/runs/") for key in files) == 4
    told = shard_of(files, 1)
    assert set(told) == {str(index) for index in range(64, 128)}
    assert told["64"]["isRead"] is True
    later = replace(data, at=NOW + 30 * DAY, entries=data.entries[:150], size=150, anchors=())
    assert render_portal(later)["portal/runs/000001.js"] == files["portal/runs/000001.js"]


def test_periods_are_the_years_and_quarters_in_which_something_was_due() -> None:
    runs = runs_of(portal_of([sealed(ORDERS, SINCE, "passed", 5.0), sealed(ORDERS, SINCE + 200 * DAY, "passed", 5.0)]))
    told = [(name, str(first), str(last)) for name, first, last in periods_of(runs, NOW)]
    assert told == [
        ("2026", "2026-01-01", "2026-12-31"),
        ("2026-Q3", "2026-07-01", "2026-09-30"),
        ("2026-Q1", "2026-01-01", "2026-03-31"),
    ]


def test_nasty_is_nasty() -> None:
    """The control: the samples do hold what the page has to survive."""
    for part in ("<script>", '"', "'", "&", "\u202e", "\u2028", "{{"):
        assert part in NASTY
