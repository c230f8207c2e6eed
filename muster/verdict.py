"""The closed sets every drill ends in: verdicts, outcomes and exit codes.

Promises: nothing observed is never a pass; the worst verdict wins; each outcome has one exit code.
"""

from collections.abc import Iterable
from enum import IntEnum, StrEnum


class Verdict(StrEnum):
    """What a check concluded. Merging: fail > inconclusive > pass."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"


_GRAVITY = {Verdict.PASS: 0, Verdict.INCONCLUSIVE: 1, Verdict.FAIL: 2}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The gravest of the verdicts; `inconclusive` when there are none (Jepsen's `:unknown` rule)."""
    return max(verdicts, key=_GRAVITY.__getitem__, default=Verdict.INCONCLUSIVE)


class Outcome(StrEnum):
    """How a due slot ended. Every slot gets exactly one."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    ABORTED = "aborted"
    REFUSED = "refused"
    MISSED = "missed"
    WAIVED = "waived"


class ExitCode(IntEnum):
    """What a command tells the shell. In a suite the worst wins, and `FAIL` outranks `INCONCLUSIVE`."""

    PASS = 0
    FAIL = 1
    INCONCLUSIVE = 2
    ABORTED = 3
    REFUSED = 4
    LEFT_BEHIND = 5
    USAGE = 64
    INTERNAL = 70


_OUTCOME_OF = {
    Verdict.PASS: Outcome.PASSED,
    Verdict.FAIL: Outcome.FAILED,
    Verdict.INCONCLUSIVE: Outcome.INCONCLUSIVE,
}

_EXIT_OF = {
    Outcome.PASSED: ExitCode.PASS,
    Outcome.FAILED: ExitCode.FAIL,
    Outcome.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
    Outcome.ABORTED: ExitCode.ABORTED,
    Outcome.REFUSED: ExitCode.REFUSED,
    Outcome.MISSED: ExitCode.FAIL,
    Outcome.WAIVED: ExitCode.PASS,
}


def outcome_of(verdict: Verdict) -> Outcome:
    """The outcome of a run that came to its end with this verdict."""
    return _OUTCOME_OF[verdict]


def exit_code_of(outcome: Outcome, *, left_behind: bool = False) -> ExitCode:
    """The exit code of a run; something left behind hides a pass, never a failure."""
    code = _EXIT_OF[outcome]
    return ExitCode.LEFT_BEHIND if left_behind and code is ExitCode.PASS else code
