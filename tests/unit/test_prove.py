"""When a planted fault counts as caught: only by what must catch it, and never by absence."""

from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from muster.clock import SystemClock
from muster.errors import UsageError
from muster.finding import Finding
from muster.ledger import ProofRow
from muster.prove import Bench, Check, Ending, Form, Trial, decide, is_proven, pick, proof_of
from muster.verdict import Outcome, Verdict


def finding(check, verdict, seen="", detail=()):
    return Finding(check=check, verdict=verdict, expected="", seen=seen, detail=detail)


def trial(*findings, outcome=Outcome.FAILED, ending=None):
    return Trial(outcome=outcome, findings=findings, ending=ending or {})


def form(caught_by=None, name="form", plant=None):
    return Form(name, "words", plant, caught_by)


FAIL, PASS, DARK = Verdict.FAIL, Verdict.PASS, Verdict.INCONCLUSIVE
REFUSED = {"step": "choose", "message": "no room to restore"}

# fmt: off
FAULTS = [
    (Check("bytes"), trial(finding("bytes", FAIL)), True),
    (Check("bytes"), trial(finding("bytes", FAIL), finding("rows", FAIL)), True),
    (Check("bytes"), trial(finding("bytes", PASS), finding("rows", FAIL)), False),
    (Check("bytes"), trial(finding("bytes", DARK), finding("rows", FAIL)), False),
    (Check("bytes"), trial(finding("bytes", None)), False),
    (Check("bytes"), trial(), False),
    (Check("bytes"), trial(outcome=Outcome.REFUSED, ending=REFUSED), False),
    (Check("restored", "step fetch"), trial(finding("restored", FAIL, "step fetch: gone")), True),
    (Check("restored", "step fetch"), trial(finding("restored", FAIL, "step replay: gone")), False),
    (Check("rows", "payments"), trial(finding("rows", FAIL, "1 table", ("payments: missing",))), True),
    (Ending(Outcome.REFUSED, "choose", "no room"), trial(outcome=Outcome.REFUSED, ending=REFUSED), True),
    (Ending(Outcome.REFUSED, "fetch", "no room"), trial(outcome=Outcome.REFUSED, ending=REFUSED), False),
    (Ending(Outcome.REFUSED, "choose", "no key"), trial(outcome=Outcome.REFUSED, ending=REFUSED), False),
    (Ending(Outcome.ABORTED, "choose", "no room"), trial(outcome=Outcome.REFUSED, ending=REFUSED), False),
    (Ending(Outcome.REFUSED, "choose", "no room"), trial(finding("bytes", FAIL)), False),
]
HEALTHY = [
    (trial(finding("bytes", PASS), finding("wal", None), outcome=Outcome.PASSED), True),
    (trial(finding("bytes", PASS), finding("rows", DARK), outcome=Outcome.INCONCLUSIVE), False),
    (trial(finding("bytes", PASS), finding("rows", FAIL)), False),
    (trial(finding("bytes", PASS), outcome=Outcome.ABORTED, ending=REFUSED), False),
    (trial(outcome=Outcome.INCONCLUSIVE), False),
]
# fmt: on


@pytest.mark.parametrize(("catcher", "seen", "is_right"), FAULTS)
def test_a_fault_is_caught_by_what_must_catch_it_alone(catcher, seen, is_right):
    row = decide(form(catcher), seen)
    assert (row.planted, row.is_right, row.must_catch) == (True, is_right, (catcher.name,))
    assert bool(row.note) is not is_right


@pytest.mark.parametrize(("seen", "is_right"), HEALTHY)
def test_a_healthy_form_passes_without_a_doubt(seen, is_right):
    row = decide(form(), seen)
    assert (row.planted, row.is_right, row.must_catch) == (False, is_right, ())
    assert bool(row.note) is not is_right


def test_a_row_names_what_caught_it_and_what_else_failed():
    ended = decide(form(Ending(Outcome.REFUSED, "choose", "no room")), trial(outcome=Outcome.REFUSED, ending=REFUSED))
    failed = decide(form(Check("bytes")), trial(finding("rows", FAIL), finding("bytes", FAIL)))
    assert (ended.caught_by, failed.caught_by) == (("refused in choose",), ("rows", "bytes"))


def test_a_row_that_is_not_right_says_what_was_seen():
    row = decide(form(Check("bytes")), trial(finding("rows", FAIL, "2 tables differ")))
    assert "the drill failed" in row.note
    assert "rows fail: 2 tables differ" in row.note


@pytest.mark.parametrize("catcher", [None, Check("bytes")])
def test_a_form_that_cannot_be_planted_is_not_right(catcher):
    @contextmanager
    def plant(base, folder):
        raise OSError("no such base")
        yield

    row = Bench(None, None, None, Path("nowhere")).try_form(form(catcher, plant=plant))
    assert not row.is_right
    assert "OSError: no such base" in row.note


def row(name, *, planted, is_right):
    return ProofRow(form=name, planted=planted, is_right=is_right)


@pytest.mark.parametrize(
    ("rows", "counts", "proven"),
    [
        ([row("a", planted=True, is_right=True), row("b", planted=False, is_right=True)], (1, 1, 1, 1), True),
        ([row("a", planted=True, is_right=False), row("b", planted=False, is_right=True)], (0, 1, 1, 1), False),
        ([row("a", planted=True, is_right=True), row("b", planted=False, is_right=False)], (1, 1, 0, 1), False),
        ([], (0, 0, 0, 0), False),
    ],
)
def test_a_proof_counts_its_rows(rows, counts, proven):
    proof = proof_of("restore", rows, SystemClock())
    assert (proof.caught, proof.planted, proof.quiet, proof.healthy) == counts
    assert is_proven(proof) is proven
    assert proof.at <= datetime.now(UTC)


def test_forms_are_picked_by_name_in_the_order_of_the_catalogue():
    forms = tuple(form(name=name) for name in "abc")
    assert pick(forms, None) == pick(forms, []) == forms
    assert pick(forms, ["c", "a"]) == (forms[0], forms[2])
    with pytest.raises(UsageError, match="no form named d, e"):
        pick(forms, ["e", "a", "d"])
