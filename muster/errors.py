"""Errors that tell the operator the next move.

Promise: every error a person can meet carries one clear sentence and one piece of advice.
"""

from pathlib import Path

from muster.verdict import ExitCode


class MusterError(Exception):
    """Something a person can act on: `message` says what is wrong, `advice` the next move."""

    exit_code = ExitCode.INTERNAL

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.advice}" if self.advice else self.message


class UsageError(MusterError):
    """A wrong command line, plan or setting. Nothing was touched."""

    exit_code = ExitCode.USAGE


class UnreadablePlans(UsageError):
    """The plans folder is not there, or cannot be read: not the same as one without plans."""

    def __init__(self, folder: Path, cause: OSError) -> None:
        advice = "go to the checkout, or set MUSTER_PLANS"
        super().__init__(f"the plans folder {folder.absolute()} cannot be read: {cause.strerror}", advice)


class Refusal(MusterError):
    """Preflight said no: the drill may not start. Nothing was touched."""

    exit_code = ExitCode.REFUSED


class StepError(MusterError):
    """A step could not do its work, as opposed to a system judged bad by a check."""

    exit_code = ExitCode.ABORTED


class SystemFailure(StepError):
    """The drilled system did not do what it must: the drill found a fault, it did not break."""

    exit_code = ExitCode.FAIL


class LeftBehind(MusterError):
    """An undo did not finish. `advice` names the command that finishes it."""

    exit_code = ExitCode.LEFT_BEHIND


class JournalError(MusterError):
    """The journal refused an event: an illegal transition, or another process owns the run now."""
