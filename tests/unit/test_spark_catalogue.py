"""The stress drill's catalogue holds every check to a fault, and its plans are plans."""

from pathlib import Path

import pytest
from spark_paper import journal, plan

from flows.spark import DRILL
from muster.finding import Finding
from muster.prove import Check, Doubt, Form, Trial
from muster.verdict import Outcome, Verdict
from tasks.faults import spark as catalogue
from tasks.spark.workloads.workload import open_workload

ALL = catalogue.FORMS


def names_of_checks() -> set[str]:
    of = plan()
    history = journal(of)
    return {f.check for check in DRILL.checks for f in (check(history, of),) if isinstance(f, Finding)}


def test_every_check_must_catch_something_and_no_other_is_counted_on() -> None:
    caught = {form.caught_by.name for form in ALL if isinstance(form.caught_by, Check)}
    doubted = {form.caught_by.check for form in ALL if isinstance(form.caught_by, Doubt)}
    assert caught | doubted == names_of_checks()


@pytest.mark.parametrize("form", ALL, ids=lambda form: form.name)
def test_a_form_has_a_plan_and_a_job(form: Form, tmp_path: Path) -> None:
    with form.plant(catalogue.nothing_but_a_folder, tmp_path / form.name) as scene:
        assert scene.plan.spark is not None
        assert open_workload(scene.plan.spark.workload).question
    assert not (tmp_path / form.name).exists()


def finding(check: str, verdict: Verdict, seen: str = "") -> Finding:
    return Finding(check=check, verdict=verdict, expected="", seen=seen)


def test_a_doubt_is_caught_only_where_nothing_was_taken_for_a_pass() -> None:
    doubt = Doubt("landed", "hit nothing")
    dark = finding("landed", Verdict.INCONCLUSIVE, "it hit nothing")
    assert doubt.name == "landed: inconclusive"
    assert doubt.catches(Trial(Outcome.INCONCLUSIVE, (dark,)))
    assert not doubt.catches(Trial(Outcome.PASSED, (dark,)))
    assert not doubt.catches(Trial(Outcome.INCONCLUSIVE, (finding("landed", Verdict.INCONCLUSIVE, "another reason"),)))
    assert not doubt.catches(Trial(Outcome.FAILED, (finding("landed", Verdict.FAIL, "it hit nothing"),)))
    assert not doubt.catches(Trial(Outcome.INCONCLUSIVE, (finding("answer", Verdict.INCONCLUSIVE, "it hit nothing"),)))
