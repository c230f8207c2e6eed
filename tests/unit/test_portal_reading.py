"""Whatever a log and its seals hold is read, shown and harmless; what is healthy is read as it is."""

import csv
import io
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from portal_samples import DAY, FORTY, NOW, ONE, ORDERS, SINCE, hostile, measure, portal_of, sealed

from muster.cadence.controls import BY_ID
from muster.portal.columns import index_of
from muster.portal.downloads import COLUMNS
from muster.portal.model import LogEntry, PortalData
from muster.portal.outcomes import OUTCOMES
from muster.portal.page import render_portal
from muster.portal.reading import NAME, count, key, moment, number, runs_of, text
from muster.portal.support import supported_by
from muster.verdict import Outcome

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["kind", "outcome", "plan", "run", "scheduledAt", "loggedAt", "bundle", "measures", "findings", "controls", "key",
     "endedAt", "openedAt", "planDigest", "sha256", "size", "period", "lockedUntil"]
)  # fmt: skip
RECORDS = st.dictionaries(NAMES, ANY | st.fixed_dictionaries({"key": st.just("p/r.tar.gz"), "size": ANY}), max_size=12)


@settings(max_examples=60, deadline=None)
@given(entry=RECORDS, seal=RECORDS, receipt=RECORDS, kind=st.sampled_from(["run", "package", "record"]))
def test_no_content_keeps_the_portal_from_being_drawn(
    entry: dict[str, Any], seal: dict[str, Any], receipt: dict[str, Any], kind: str
) -> None:
    named = {**entry, "kind": kind, "bundle": entry.get("bundle") or {"key": "p/r.tar.gz"}}
    data = PortalData(
        NOW, "o", 1, "", [LogEntry(0, named)], {"p/r.tar.gz": seal}, {"p/r.tar.gz": receipt}, keys=(seal,)
    )
    files = render_portal(data)
    json.loads(files["portal/runs.json"])
    assert len(list(csv.reader(io.StringIO(files["portal/runs.csv"].decode(), newline="")))) == 1 + (kind == "run")


def test_values_of_the_wrong_kind_are_no_values() -> None:
    wrong = (None, True, float("nan"), float("inf"), 10**400, "8", [], {})
    assert [number(value) for value in wrong] == [None] * len(wrong)
    assert number(8.5) == 8.5
    assert [count(value) for value in (-1, 1.0, 2**53, True, "3")] == [None] * 5
    assert count(3) == 3
    for value in (None, 5, "soon", "2026-08-03T06:00:00", "9999-12-31T23:59:59-23:59", {}):
        assert moment(value) is None
    assert moment("2026-08-03T08:00:00+02:00") == NOW
    for value in (
        "../x",
        "/x",
        "a//b",
        "a b",
        "a/..",
        "ä",
        "x\n",
        "",
        None,
        "-x",
        "con",
        "x$(y)",
        "javascript:alert(1)",
    ):
        assert key(value) == ""
    assert key("plan/run-1.tar.gz") == "plan/run-1.tar.gz"


def test_long_text_is_cut_and_counted_and_control_characters_are_gone() -> None:
    assert text("x" * NAME) == "x" * NAME
    assert text("x" * (NAME + 1234)).endswith("… (1,234 more characters)")
    assert text("a\u202eb\x00c\nd") == "a\ufffdb\ufffdc d"
    assert text("שלום عربي") == "שלום عربي"
    assert text("\ud800") == "\ufffd"
    assert text(None) == text(7) == ""


def test_an_outcome_that_nobody_knows_is_never_a_pass() -> None:
    runs = runs_of(hostile())
    assert [run.outcome for run in runs] == ["passed", "failed", "unknown", "unknown"]
    assert [found.word for found in runs[0].findings] == ["fail", "inconclusive"]
    assert set(Outcome) < set(OUTCOMES)
    assert [supported_by(run, BY_ID) for run in runs] == [()] * 4


def test_a_run_supports_only_what_its_kind_is_evidence_for_if_it_passed_and_its_seal_agrees() -> None:
    named = ["SOC 2 A1.3", "DORA Art. 25(1)", "NIST CP-10", "DORA Art. 24(4)", "internal: BCM-7", "made up"]

    def supports(ended: str = "passed", **changes: Any) -> tuple[str, ...]:
        data = portal_of([sealed(ORDERS, SINCE, ended, 5.0, **{"controls": named} | changes)])
        return supported_by(runs_of(data)[0], BY_ID)

    assert supports() == ("SOC 2 A1.3", "NIST CP-10", "internal: BCM-7")
    assert supports(approval="approved by a.smith") == (*supports()[:2], "DORA Art. 24(4)", "internal: BCM-7")
    assert supports(approval="asked for, and not given") == supports()
    assert supports(measures=[]) == ("SOC 2 A1.3", "internal: BCM-7")
    assert supports(measures=[measure("RTO", 5.0, None)]) == supports(measures=[])
    assert supports(measures=[measure("RTO", 1_000.0, 900.0)]) == supports(measures=[])
    for outcome in set(Outcome) - {Outcome.PASSED}:
        assert supports(outcome.value) == ()
    data = portal_of([sealed(ORDERS, SINCE, "passed", 5.0)])
    (name,) = data.predicates
    lying = PortalData(NOW, "o", 1, "", data.entries, {name: {**data.predicates[name], "plan": "other"}})
    assert supported_by(runs_of(lying)[0], BY_ID) == ()
    unread = PortalData(NOW, "o", 1, "", data.entries)
    assert supported_by(runs_of(unread)[0], BY_ID) == ()


def test_every_slot_is_a_row_of_the_page_and_every_run_a_row_of_the_downloads() -> None:
    files = render_portal(FORTY)
    rows = index_of(FORTY, runs_of(FORTY))["runs"]
    assert len(rows["entry"]) == 46
    assert rows["entry"].count(None) == 3
    assert sorted(entry for entry in rows["entry"] if entry is not None) == list(range(43))
    told = json.loads(files["portal/runs.json"])
    assert [run["entry"] for run in told["runs"]] == list(range(42, -1, -1))
    assert list(told["runs"][0]) == list(COLUMNS)
    assert len(told["gaps"]) == 5
    assert [package["name"] for package in told["packages"]] == ["v1.1.0", "v1.0.0"]
    lines = list(csv.DictReader(io.StringIO(files["portal/runs.csv"].decode(), newline="")))
    assert len(lines) == 43
    assert lines[0]["anchored"] == "False"
    assert lines[-1]["anchored"] == "True"


def test_no_cell_of_the_csv_is_a_formula() -> None:
    evil = sealed(ORDERS, SINCE, "passed", 5.0, run="=cmd|' /C calc'!A0", plan="@SUM(1)", controls=["-2+3", "+1"])
    (line,) = csv.DictReader(io.StringIO(render_portal(portal_of([evil]))["portal/runs.csv"].decode(), newline=""))
    assert [line["run"][0], line["plan"][0], line["controls"][0]] == ["'", "'", "'"]


def test_open_and_coming_slots_are_no_rows_but_marks() -> None:
    index = index_of(FORTY, runs_of(FORTY))
    orders = next(plan for plan in index["plans"] if plan["name"] == "restore-orders")
    assert orders["next"]
    assert all(at > index["at"] for at in orders["next"])
    assert index_of(ONE, runs_of(ONE))["plans"] == [
        {"name": "restore-orders", "kind": "restore", "cadence": "", "ended": "", "next": []}
    ]


def test_a_run_on_demand_stands_where_it_was_asked_for() -> None:
    (run,) = runs_of(portal_of([sealed(ORDERS, SINCE + DAY, "passed", 5.0, trigger="demand")]))
    assert run.due == SINCE + DAY
