"""Verdicts, outcomes and exit codes: closed sets, each fully mapped."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.verdict import ExitCode, Outcome, Verdict, exit_code_of, outcome_of, worst

VERDICTS = st.lists(st.sampled_from(Verdict))


def test_nothing_observed_is_inconclusive() -> None:
    assert worst([]) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([Verdict.PASS], Verdict.PASS),
        ([Verdict.PASS, Verdict.INCONCLUSIVE], Verdict.INCONCLUSIVE),
        ([Verdict.INCONCLUSIVE, Verdict.FAIL, Verdict.PASS], Verdict.FAIL),
    ],
)
def test_worst_verdict_wins_in_any_order(verdicts: list[Verdict], expected: Verdict) -> None:
    assert {worst(order) for order in itertools.permutations(verdicts)} == {expected}


@given(VERDICTS.filter(bool), VERDICTS.filter(bool))
def test_merging_in_parts_is_merging_at_once(left: list[Verdict], right: list[Verdict]) -> None:
    assert worst([worst(left), worst(right)]) is worst(left + right)
    assert (worst(left) is Verdict.PASS) == (set(left) == {Verdict.PASS})


def test_verdict_names_its_outcome() -> None:
    assert [outcome_of(v) for v in (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE)] == [
        Outcome.PASSED,
        Outcome.FAILED,
        Outcome.INCONCLUSIVE,
    ]


@pytest.mark.parametrize(
    ("outcome", "code", "code_with_leftovers"),
    [
        (Outcome.PASSED, 0, 5),
        (Outcome.FAILED, 1, 1),
        (Outcome.INCONCLUSIVE, 2, 2),
        (Outcome.ABORTED, 3, 3),
        (Outcome.REFUSED, 4, 4),
        (Outcome.MISSED, 1, 1),
        (Outcome.WAIVED, 0, 5),
    ],
)
def test_outcome_has_its_exit_code_and_leftovers_hide_a_pass_alone(
    outcome: Outcome, code: int, code_with_leftovers: int
) -> None:
    assert exit_code_of(outcome) == code
    assert exit_code_of(outcome, left_behind=True) == code_with_leftovers


def test_every_verdict_and_outcome_is_mapped() -> None:
    assert all(isinstance(outcome_of(verdict), Outcome) for verdict in Verdict)
    assert all(isinstance(exit_code_of(outcome), ExitCode) for outcome in Outcome)
