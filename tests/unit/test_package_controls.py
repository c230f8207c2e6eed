"""The control matrix: only what passed, and was evidence, supports; what is missing is told with its reason."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from package_paper import AUGUST, CONTROLS, DUE, JULY, OCTOBER, Q3, SEPTEMBER, Paper, at, card, standing
from test_package_population import of_plan, population_of

from muster.cadence.controls import CONTROLS as KNOWN
from muster.cadence.spec import Cadence
from muster.package.controls import DOES_NOT_SHOW, SUPPORTS, ControlRow, build_matrix, controls_json
from muster.package.inputs import PackageInputs
from muster.package.jsonfile import pieces
from muster.package.log import copy_log

YEARLY = Cadence(cron="0 3 1 9 *")


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    return Paper(tmp_path)


def matrix_of(inputs: PackageInputs) -> dict[str, ControlRow]:
    log = copy_log(inputs.entries, inputs.head, inputs.period, inputs.previous, None)
    return {row.control.id: row for row in build_matrix(population_of(inputs), log)}


def test_every_control_is_a_row_also_those_that_nothing_supports(paper: Paper) -> None:
    paper.run("orders", JULY)
    matrix = matrix_of(paper.inputs())
    assert set(matrix) == {control.id for control in KNOWN}
    assert {row.says for row in matrix.values()} == {SUPPORTS, DOES_NOT_SHOW}


def test_a_passed_run_supports_the_controls_that_its_plan_named_and_no_other(paper: Paper) -> None:
    for due in (JULY, AUGUST, SEPTEMBER):
        paper.run("orders", due)
    matrix = matrix_of(paper.inputs())
    supported = {name for name, row in matrix.items() if row.supports}
    assert supported == set(CONTROLS)
    assert [row.at for row in matrix["SOC 2 A1.2"].supports] == [JULY, AUGUST, SEPTEMBER]
    assert matrix["SOC 2 A1.2"].lacks == ()


@pytest.mark.parametrize("outcome", ["failed", "inconclusive", "aborted", "refused", "missed", "waived"])
def test_a_run_that_did_not_pass_never_supports(paper: Paper, outcome: str) -> None:
    paper.run("orders", JULY, outcome)
    row = matrix_of(paper.inputs())["SOC 2 A1.2"]
    assert (row.says, row.supports) == (DOES_NOT_SHOW, ())
    assert row.lacks == (f"orders: 1 {outcome}",)


def test_what_did_not_pass_stands_beside_what_did(paper: Paper) -> None:
    paper.run("orders", JULY)
    paper.run("orders", AUGUST, "failed")
    row = matrix_of(paper.inputs())["SOC 2 A1.2"]
    assert row.says == SUPPORTS
    assert row.lacks == ("orders: 1 failed",)


def test_a_gap_is_told_of_the_controls_of_its_plan(paper: Paper) -> None:
    for due in DUE:
        if due != AUGUST:
            paper.run("orders", due)
    matrix = matrix_of(of_plan(paper, "orders"))
    assert matrix["SOC 2 A1.2"].lacks == ("orders: 1 unsealed",)


@pytest.mark.parametrize(
    ("said", "told"),
    [({"envelope": "0" * 64}, "said to have passed, which cannot be relied on"), ({"outcome": "failed"}, "1 failed")],
)
def test_a_pass_that_cannot_be_relied_on_supports_nothing(paper: Paper, said: dict[str, str], told: str) -> None:
    paper.run("orders", JULY, said=said)
    row = matrix_of(paper.inputs())["SOC 2 A1.2"]
    assert row.supports == ()
    assert told in row.lacks[0]


def test_a_lie_of_the_log_about_a_failed_run_supports_nothing(paper: Paper) -> None:
    paper.run("orders", JULY, "failed", said={"outcome": "passed"})
    assert matrix_of(paper.inputs())["SOC 2 A1.2"].supports == ()


def test_a_kind_that_is_no_evidence_supports_nothing(paper: Paper) -> None:
    paper.run("orders", JULY, kind="spark")
    matrix = matrix_of(paper.inputs())
    assert matrix["SOC 2 A1.2"].supports == ()
    assert "a spark drill is no evidence for it" in matrix["SOC 2 A1.2"].lacks[0]
    assert matrix["DORA Art. 11(6)(a)"].says == SUPPORTS, "which every kind is evidence for"


@pytest.mark.parametrize(
    ("control", "facts", "supports"),
    [
        ("DORA Art. 24(4)", {"approval": "approved by bob at 2026-07-01 02:00:00 UTC"}, True),
        ("DORA Art. 24(4)", {"approval": "asked for, and not given"}, False),
        ("DORA Art. 24(4)", {}, False),
        ("NIST CP-10", {"rto": 12.0}, True),
        ("NIST CP-10", {"rto": None}, False),
        ("NIST CP-10", {"rto": 1000.0}, False),
    ],
)
def test_what_a_control_needs_is_asked_of_each_run(
    paper: Paper, control: str, facts: dict[str, Any], supports: bool
) -> None:
    paper.run("orders", JULY, controls=[control], **facts)
    row = matrix_of(paper.inputs())[control]
    assert bool(row.supports) is supports
    assert any("cannot be counted" in each for each in row.lacks) is not supports


def test_a_control_that_no_plan_names_says_so(paper: Paper) -> None:
    paper.run("orders", JULY)
    matrix = matrix_of(paper.inputs())
    assert matrix["SOC 2 CC7.5"].lacks == ("no plan names it; drills of kind failover would be evidence",)
    assert "no drill of Muster is evidence for it" in matrix["DORA Art. 26(1)"].lacks[0]


def test_a_plan_that_names_it_and_never_ran_says_so(paper: Paper) -> None:
    paper.record("a.dsse.json", at("2026-11-01"))
    yearly = standing("orders", since=at("2026-10-15"))
    row = matrix_of(paper.inputs(plans=[card("orders")], standings=[yearly]))["SOC 2 A1.2"]
    assert (row.says, row.lacks) == (DOES_NOT_SHOW, ("orders: no run in the period",))


def test_a_time_between_passes_longer_than_the_controls_own_minimum_is_told(paper: Paper) -> None:
    """366 days for DORA Art. 11(6)(a), none for SOC 2 A1.2; the pass before the period counts."""
    paper.run("orders", at("2025-06-01T03:00"), cadence=YEARLY)
    paper.run("orders", SEPTEMBER, cadence=YEARLY)
    paper.record("a.dsse.json", at("2026-11-01"))
    matrix = matrix_of(paper.inputs())
    assert matrix["DORA Art. 11(6)(a)"].lacks == (
        "orders: from 2025-06-01 to 2026-09-01 no run that supports it, 366 days are allowed",
    )
    assert matrix["SOC 2 A1.2"].lacks == ()


def test_a_time_within_the_minimum_is_not(paper: Paper) -> None:
    paper.run("orders", SEPTEMBER - timedelta(days=366), cadence=YEARLY)
    paper.run("orders", SEPTEMBER, cadence=YEARLY)
    paper.record("a.dsse.json", at("2026-11-01"))
    assert matrix_of(paper.inputs())["DORA Art. 11(6)(a)"].lacks == ()


def test_a_control_of_your_own_is_supported_by_what_passed(paper: Paper) -> None:
    paper.run("orders", JULY, controls=["internal: BCM-7"])
    row = matrix_of(paper.inputs())["internal: BCM-7"]
    assert (row.says, row.lacks, row.control.framework) == (SUPPORTS, (), "internal")


def test_the_cadence_beside_the_control_is_the_plans(paper: Paper) -> None:
    for due in DUE:
        paper.run("orders", due)
    row = matrix_of(of_plan(paper, "orders"))["SOC 2 A1.2"]
    (cadence,) = row.as_json()["ourCadence"]
    assert cadence == {
        "cadence": "monthly, day 1 at 03:00 UTC",
        "kind": "restore",
        "longestGapDays": 31,
        "plan": "orders",
    }


def test_a_retired_plan_without_runs_is_not_asked_for_anything(paper: Paper) -> None:
    paper.run("billing", OCTOBER)
    gone = standing("orders", since=at("2026-01-15"), retired_at=at("2026-03-15"))
    row = matrix_of(paper.inputs(plans=[], standings=[gone]))["SOC 2 A1.2"]
    assert row.plans == ()


def test_the_document_never_says_that_anyone_complies(paper: Paper) -> None:
    for due in DUE:
        paper.run("orders", due)
    inputs = of_plan(paper, "orders")
    log = copy_log(inputs.entries, inputs.head, Q3, None, None)
    population = population_of(inputs)
    written = b"".join(pieces(controls_json(population, build_matrix(population, log))))
    assert b"compl" not in written.lower().replace(b"complete", b"")
    read = json.loads(written)
    (row,) = [row for row in read["controls"] if row["control"] == "SOC 2 A1.2"]
    assert [run["entry"] for run in row["supports"]] == [5, 6, 7]
    assert (row["says"], row["minimumDays"], row["source"]) == (SUPPORTS, None, "AICPA Trust Services Criteria")
