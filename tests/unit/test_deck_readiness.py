"""What was seen stands apart from what was proven, in every form of the deck and on the terminal."""

from datetime import timedelta
from io import StringIO
from xml.etree import ElementTree

import pytest
from deck_samples import DAY, ESTATE, LOOKED_AT, NOW, SEEN, UNREADY, card, row
from rich.console import Console

from muster.cadence.states import State
from muster.deck.github import annotations
from muster.deck.html import render_html
from muster.deck.jsonform import read_json, write_json
from muster.deck.junit import render_junit
from muster.deck.markdown import render_markdown
from muster.deck.model import Deck
from muster.deck.problems import problems_of
from muster.report.deckterminal import needs_attention, render_deck
from muster.report.planterminal import render_card


def terminal(deck: Deck, width: int = 80) -> list[str]:
    console = Console(file=StringIO(), width=width)
    render_deck(deck, console, most=200)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_the_terminal_shows_both_columns() -> None:
    told = terminal(LOOKED_AT)
    place = told.index("readiness    plan               looked at  proven by drill  by")
    assert told[place + 1 : place + 11] == [
        "✓ ready      failover-orders    3 min ago  2 d ago          watch@db1",
        "✕ not ready  failover-payments  3 min ago  2 d ago          watch@db1",
        "○ not seen   failover-stock     never      never",
        "",
        "✕ not ready  failover-payments: lag: 31 s behind; owner: platform team",
        "             → the standby does not keep up",
        "○ not seen   failover-stock: never looked at; owner: platform team",
        "             → muster ready failover-stock",
        "",
        "4 plans: 1 overdue · 1 never · 2 fresh",
    ]
    assert not any("readiness" in line for line in terminal(ESTATE))


def test_not_ready_and_not_seen_need_somebody() -> None:
    fresh = row("failover-shop", State.FRESH, "passed in time")
    assert not needs_attention(fresh)
    assert not needs_attention(fresh._replace(ready=SEEN))
    assert needs_attention(fresh._replace(ready=UNREADY))


def test_a_card_says_it_in_full() -> None:
    console = Console(file=StringIO(), width=120)
    cadence = '{"cron": "0 3 * * *"}'
    shown = row("failover-shop", State.FRESH, "passed in time", kind="failover", ready=UNREADY)
    render_card(shown, card(name="failover-shop", cadence_json=cadence), (), NOW, console)
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "readiness   ✕ not ready, looked at 3 min ago by watch@db1, so for 60 min; every 5 m" in told
    assert "lag: 31 s behind" in told
    assert "→ the standby does not keep up" in told
    assert "last pass   2 d ago" in told


def test_markdown_says_that_it_was_a_look_and_no_proof() -> None:
    lines = [
        line for line in render_markdown(LOOKED_AT, to_the_minute=True).splitlines() if line.startswith("| **fail")
    ]
    told = {line.split("**")[1]: line for line in lines}
    seen = "last looked at 2026-08-03 05:57 UTC by watch@&#8203;db1, so since 2026-07-14 06:00 UTC"
    assert f"! **overdue**: passed 2026-08-01, 2 d of 31 d<br>✓ **ready** (a look, not a proof); {seen}<br>" in told[
        "failover-orders"
    ]  # fmt: skip
    assert "✕ **not ready** (a look, not a proof)" in told["failover-payments"]
    assert "**lag: 31 s behind**" in told["failover-payments"]
    assert "○ **not seen** (a look, not a proof); **never looked at**" in told["failover-stock"]
    assert "not a proof" not in render_markdown(ESTATE)


def test_a_page_under_version_control_does_not_change_with_every_look() -> None:
    later = NOW + timedelta(minutes=30)
    rows = tuple(
        r._replace(ready=r.ready._replace(looked_at=later)) if r.ready and r.ready.looked_at else r
        for r in LOOKED_AT.rows
    )
    assert render_markdown(LOOKED_AT._replace(at=later, rows=rows)) == render_markdown(LOOKED_AT)


def test_junit_has_a_suite_of_its_own() -> None:
    root = ElementTree.fromstring(render_junit(LOOKED_AT).encode())
    suites = {suite.get("name"): suite for suite in root}
    ends = {case.get("name"): (case[0].tag, case[0].get("message")) for case in suites["readiness"]}
    assert ends == {
        "failover-orders": ("system-out", None),
        "failover-payments": ("failure", "not ready: lag: 31 s behind"),
        "failover-stock": ("error", "not seen: never looked at"),
    }
    drills = {case.get("name"): case[0].tag for case in suites["failover"]}
    assert drills["failover-orders"] == "failure", "ready is no excuse for overdue"
    assert drills["failover-payments"] == "system-out", "a drill that passed did so"
    assert "readiness" not in render_junit(ESTATE)


def test_what_is_not_ready_is_a_problem_and_no_broken_promise() -> None:
    found = [(p.subject, p.condition, p.is_urgent) for p in problems_of(LOOKED_AT)]
    assert found == [
        ("failover-orders", "overdue", True), ("failover-stock", "never", False),
        ("failover-stock", "not seen", False), ("failover-payments", "not ready", False),
    ]  # fmt: skip
    assert any(line.startswith("::warning title=failover-payments%3A not ready") for line in annotations(LOOKED_AT))


def test_html_shows_both_columns() -> None:
    page = render_html(LOOKED_AT)
    assert "Seen ready, beside proven" in page
    assert page.count("a look, not a proof") == 3
    assert "last looked at 2026-08-03 05:57 UTC by watch@db1, so since 2026-07-14 06:00 UTC" in page
    assert "Seen ready" not in render_html(ESTATE)


def test_a_deck_of_before_there_were_looks_still_reads() -> None:
    old = write_json(LOOKED_AT._replace(rows=LOOKED_AT.rows[3:])).replace('"ready": null, ', "").replace(
        ', "ready": null', ""
    )  # fmt: skip
    assert '"ready"' not in old
    assert read_json(old).rows[0].ready is None


@pytest.mark.parametrize("moment", ["looked_at", "since"])
def test_a_look_without_its_offset_from_utc_is_no_deck(moment: str) -> None:
    from muster.errors import UsageError

    naive = SEEN._replace(**{moment: (NOW - DAY).replace(tzinfo=None)})
    with pytest.raises(UsageError, match="offset"):
        read_json(write_json(LOOKED_AT._replace(rows=(LOOKED_AT.rows[0]._replace(ready=naive),))))
