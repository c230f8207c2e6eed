"""The cutover catalogue holds every check to a fault, or says why that is done on paper alone; its plans are plans."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cutover_paper import journal, plan
from test_cutover_checks import CASES

from flows.cutover import DRILL
from muster.finding import Finding
from muster.prove import Check, Doubt, Ending, Form
from muster.settings import Settings
from muster.verdict import Verdict
from tasks.estate.bluegreen import BLUE, GREEN
from tasks.faults import cutover as catalogue
from tasks.faults import cutover_stage
from tasks.targets.schedulable import Schedulable
from tasks.targets.schedulers import open_target

ALL = tuple(form for group in catalogue.GROUPS.values() for form in group)
"""Those too that this machine has not the means for."""
STEPS = {step.name for step in DRILL.steps}
PAPER_ONLY = {
    "translation": "one Prefect carries all that another has; what it does not, the step `mirror` refuses",
    "mirror": "the copy would have to be changed between the step's last write and its own reading back",
    "shadow": "a difference refuses the drill in its step: form `zone-changed` must end so",
    "once": "whether what comes back doubles a due time or takes it is up to who is quicker: form `runs-left`",
    "late": "a worker made slow would be slow for every form beside it",
    "order": "one worker cannot be made to begin two runs the wrong way round",
    "in flight": "the worker that loses a run serves every form; tests/real/test_cutover.py kills one",
    "home": "the undo would have to lie; tests/unit/test_cutover_settling.py tries it from everywhere",
    "made up for": "the undo would have to find what cannot be made up for: tests/unit/test_cutover_settling.py",
}  # fmt: skip
"""Checks that no form must be caught by, and why. Each is made to fail in test_cutover_checks.py."""


class Base:
    """As much of blue and green as a plan is made of."""

    apis = {BLUE: "http://127.0.0.1:1/api", GREEN: "http://127.0.0.1:2/api"}  # noqa: RUF012
    ledger_url = "sqlite:///ledger.sqlite"

    @contextmanager
    def pool(self) -> Iterator[str]:
        yield "form-1"

    @contextmanager
    def trespasser(self, colour: str, pool: str) -> Iterator[None]:
        assert (colour, pool) == (BLUE, "form-1")
        yield

    @contextmanager
    def ahead(self, colour: str, seconds: int, name: str) -> Iterator[str]:
        assert (colour, seconds, name) == (GREEN, 60, "green-clock-off")
        yield "http://127.0.0.1:3/api"


def names_of_checks() -> set[str]:
    of = plan()
    history = journal(of)
    return {f.check for check in DRILL.checks for f in (check(history, of),) if isinstance(f, Finding)}


def counted_on() -> set[str]:
    checks = {form.caught_by.name for form in ALL if isinstance(form.caught_by, Check)}
    return checks | {form.caught_by.check for form in ALL if isinstance(form.caught_by, Doubt)}


def test_every_check_must_catch_something_or_is_proven_on_paper_for_a_reason() -> None:
    assert names_of_checks() - counted_on() == set(PAPER_ONLY)
    assert all(PAPER_ONLY.values())


def test_what_is_proven_on_paper_is_made_to_fail_there() -> None:
    assert set(PAPER_ONLY) <= {check for check, _, _, verdict, _ in CASES if verdict is Verdict.FAIL}


def test_only_checks_and_steps_of_the_drill_are_counted_on() -> None:
    assert counted_on() <= names_of_checks()
    assert {form.caught_by.step for form in ALL if isinstance(form.caught_by, Ending)} <= STEPS


def test_no_two_forms_have_one_name() -> None:
    assert len({form.name for form in ALL}) == len(ALL)


def test_there_and_back_for_good_and_waves_must_pass() -> None:
    assert {"there-and-back", "for-good", "waves"} <= {form.name for form in ALL if not form.is_planted}


@pytest.mark.parametrize("form", ALL, ids=lambda form: form.name)
def test_a_form_has_a_plan_a_target_and_a_drill(form: Form, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Any, ...]] = []
    monkeypatch.setattr(cutover_stage, "start_canaries", lambda *given, **_: made.append(given))
    base = Base()
    with form.plant(base, tmp_path / form.name) as scene:
        assert (scene.plan.kind, scene.plan.name) == (DRILL.kind, form.name)
        assert scene.plan.cutover is not None
        assert isinstance(open_target(scene.plan.target, Settings(home=tmp_path)), Schedulable)
        assert {step.name for step in scene.drill(DRILL).steps} == STEPS
    assert made == [(base, form.name, "form-1")]


def test_a_clock_that_is_off_is_a_servers_own_and_left_out_where_there_are_no_means_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutover_stage, "start_canaries", lambda *_, **__: None)
    assert {form.name for form in ALL} - {form.name for form in catalogue.FORMS} <= {"clock-off"}
    with next(form for form in ALL if form.name == "clock-off").plant(Base(), tmp_path / "clock-off") as scene:
        assert scene.plan.target["b"]["api"] == "http://127.0.0.1:3/api"
        assert scene.plan.target["a"]["api"] == Base.apis[BLUE]


def test_a_fault_in_the_drill_is_one_and_a_healthy_drill_is_the_products_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for what a plan, an objective or a job brings about, and due times that are left behind on purpose."""
    monkeypatch.setattr(cutover_stage, "start_canaries", lambda *_, **__: None)
    changed = set()
    for form in ALL:
        with form.plant(Base(), tmp_path / form.name) as scene:
            if scene.drill(DRILL).steps != DRILL.steps:
                changed.add(form.name)
    planted = {form.name for form in ALL if form.is_planted}
    assert planted - changed == {"careless-job", "nothing-due", "clock-off"}
    assert changed - planted == {"caught-up"}
