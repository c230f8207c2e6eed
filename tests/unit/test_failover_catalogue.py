"""The failover catalogue holds every check to a fault, and every scenario and commit mode to a healthy form."""

import pytest

from flows.failover import DRILL
from muster.clock import SystemClock
from muster.failover.spec import Commit, Scenario
from muster.journal import EventKind, Journal
from muster.judging import brief_of
from muster.prove import Check
from tasks.faults import failover as catalogue
from tasks.faults.failover_stage import plan_of

ALL = [form for group in catalogue.GROUPS.values() for form in group]
HEALTHY = {form.name for form in ALL if not form.is_planted}
NO_FORM = {"versions": "no server streams from one of another major version: there is no such pair to plant it in"}
"""Checks that no form must be caught by, and why."""


class Memory:
    def __init__(self):
        self.events = []

    def append_event(self, event):
        self.events.append(event)

    def read_events(self, run):
        return tuple(self.events)


@pytest.fixture
def plan(tmp_path):
    return plan_of(tmp_path / "form", {"type": "libpq"}, {}, {})


def names_of_checks(plan):
    """What the checks of a drill that did nothing call themselves."""
    journal = Journal("nothing", Memory(), SystemClock())
    journal.append(EventKind.OPENED, **brief_of(DRILL, plan, {}))
    findings = [check(journal.history, plan) for check in DRILL.checks]
    return {f.check for found in findings for f in (found if isinstance(found, tuple) else (found,))}


def test_every_check_must_catch_something(plan):
    catchers = {form.caught_by.name for form in ALL if isinstance(form.caught_by, Check)}
    assert names_of_checks(plan) - catchers == set(NO_FORM)


def test_only_checks_of_the_drill_are_counted_on(plan):
    assert {form.caught_by.name for form in ALL if isinstance(form.caught_by, Check)} <= names_of_checks(plan)


def test_every_scenario_and_commit_mode_must_pass_once():
    assert {str(scenario) for scenario in Scenario} <= HEALTHY
    assert {str(commit).replace("_", "-") for commit in Commit if commit is not Commit.REMOTE_APPLY} <= HEALTHY
