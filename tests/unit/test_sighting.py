"""What a target is: another system gives another digest, and what could not be seen gives none."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from muster.errors import Refusal
from muster.identity import Identity
from muster.ledger import Ledger
from muster.opening import Request
from muster.restore.observations import Backup
from muster.restore.telling import sight
from muster.settings import Settings
from muster.sighting import digest_of
from muster.verdict import Outcome
from tests.unit.paper import PLAN, paper_conductor, paper_drill
from tests.unit.test_restore_checks import AT


def backup(label: str = "b", hours: int = 0, **keys: Any) -> Backup:
    return Backup(**{"label": label, "form": "physical", "taken_at": AT + timedelta(hours=hours), "bytes": 1} | keys)


def target(*backups: Backup, identifier: str | None = None) -> Any:
    identity = Identity(description="a shop", system_identifier=identifier, proof="asked")
    return SimpleNamespace(identify=lambda: identity, backups=lambda: backups)


@pytest.mark.parametrize(
    ("seen", "facts"),
    [
        (target(backup(major=17), identifier="7"), {"form": "physical", "major": "17", "system_identifier": "7"}),
        (
            target(backup(major=17, system_identifier="8")),
            {"form": "physical", "major": "17", "system_identifier": "8"},
        ),
        (target(backup(major=17)), {}),
        (target(), {}),
        (target(backup(form="dump", major=16), backup(hours=1, form="dump")), {"form": "dump", "major": "16"}),
        (target(backup(form="dump")), {}),
        (
            target(backup(major=17), backup(hours=1, major=18), identifier="7"),
            {"form": "physical", "major": "18", "system_identifier": "7"},
        ),
    ],
    ids=["asked", "by-backup", "nobodys", "empty", "damaged-dump", "only-damaged", "upgraded"],
)
def test_what_a_restore_drills_target_is(seen: Any, facts: dict[str, str]) -> None:
    assert sight(seen) == facts


def test_target_and_catalog_make_the_digest() -> None:
    facts = {"system_identifier": "7"}
    digests = {
        digest_of(facts, {}),
        digest_of(facts, {"catalog": ["table a"]}),
        digest_of(facts, {"catalog": ["table b"]}),
        digest_of({"system_identifier": "8"}, {}),
    }
    assert len(digests) == 4
    assert None not in digests
    assert digest_of(facts, {"catalog": ["table a"]}) == digest_of(facts, {"catalog": ["table a"], "machine": "other"})
    assert digest_of({}, {"catalog": ["table a"]}) is None


def test_a_run_and_a_look_see_the_same_and_another_target_is_seen(settings: Settings, ledger: Ledger) -> None:
    drill = replace(paper_drill(), sight=lambda seen: {"system_identifier": seen})
    summary = paper_conductor(settings, ledger, drill, "7").conduct(PLAN, Request("a test"))
    assert summary.outcome is Outcome.PASSED
    standing = ledger.standing(PLAN.name)
    assert standing is not None
    assert standing.pass_target == standing.seen_target
    assert paper_conductor(settings, ledger, drill, "7").look_at(PLAN) == standing.pass_target
    other = paper_conductor(settings, ledger, drill, "8").look_at(PLAN)
    seen = ledger.standing(PLAN.name)
    assert seen is not None
    assert (seen.seen_target, seen.pass_target) == (other, standing.pass_target)
    assert other != standing.pass_target


def _breaks(_: Any) -> dict[str, str]:
    raise OSError("it does not answer")


@pytest.mark.parametrize("how", ["refuses", "breaks", "unlike", "blind"])
def test_what_cannot_be_seen_has_no_digest_and_harms_no_drill(settings: Settings, ledger: Ledger, how: str) -> None:
    sights = {"breaks": _breaks, "blind": lambda _: {}}
    drill = replace(paper_drill(), sight=sights.get(how, lambda _: {"system_identifier": "7"}))
    if how == "unlike":
        drill = replace(drill, needs=int)
    seen = Refusal("not today") if how == "refuses" else "7"
    conductor = paper_conductor(settings, ledger, drill, seen)
    assert conductor.look_at(PLAN) is None
    summary = conductor.conduct(PLAN, Request("a test"))
    standing = ledger.standing(PLAN.name)
    assert standing is not None
    assert (standing.seen_target, standing.pass_target) == (None, None)
    assert summary.outcome is (Outcome.PASSED if how in {"breaks", "blind"} else Outcome.REFUSED)
