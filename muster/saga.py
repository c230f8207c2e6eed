"""The saga: run steps in order, and undo every step that started, in reverse, always.

Promises: `started` is durable before a step acts; an undo runs on success, failure, abort and time-out; an undo
that fails does not stop the others, and is named as left behind. Ideas: Steno (oxidecomputer/steno).
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Literal

from pydantic import BaseModel

from muster.drill import Context, Drill, Step
from muster.errors import MusterError, Refusal, StepError, SystemFailure, UsageError
from muster.journal import EventKind

Execute = Callable[[str, Callable[[], BaseModel]], BaseModel]
"""Runs one step's action under its name. Prefect wraps it as a task; the default just calls."""


@dataclass(frozen=True)
class Injection:
    """A fault in Muster itself, planted after a step has acted and before that is recorded."""

    step: str
    how: Literal["error", "kill"] = "error"

    def strike(self, step: str) -> None:
        """Fail, or die without a word, if this is the step."""
        if step != self.step:
            return
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise StepError(f"an error was injected into step {step!r}", "it was asked for by --inject-error")


def call(_name: str, act: Callable[[], BaseModel]) -> BaseModel:
    """Run an action as it is."""
    return act()


def run_steps(drill: Drill, context: Context, execute: Execute = call, injection: Injection | None = None) -> None:
    """Run every step in order. The first that fails ends it: its event is recorded and the error raised.

    Urgent steps act without `execute`, which may be slow, and are shown by it once a step comes that is not.
    """
    unshown: list[tuple[str, BaseModel]] = []
    for step in drill.steps:
        if step.is_urgent:
            unshown.append((step.name, _run_step(step, context, call, injection)))
            continue
        for name, result in unshown:
            execute(name, partial(_same, result))
        unshown.clear()
        _run_step(step, context, execute, injection)


def _same(result: BaseModel) -> BaseModel:
    return result


def _run_step(step: Step, context: Context, execute: Execute, injection: Injection | None) -> BaseModel:
    context.check_may_go_on()
    context.journal.append(EventKind.STARTED, step.name)

    def act() -> BaseModel:
        result = step.do(context)
        if injection:
            injection.strike(step.name)
        return result

    try:
        result = execute(step.name, act)
    except BaseException as error:
        context.journal.append(EventKind.FAILED, step.name, **describe(error))
        raise
    context.journal.append(EventKind.SUCCEEDED, step.name, result=result.model_dump(mode="json"))
    return result


def undo_unrecorded(drill: Drill, context: Context) -> None:
    """Undo as much as goes while the ledger is away. What is on record as open is undone again later: that is safe."""
    for name in context.history.needs_undo():
        if undo := drill.step(name).undo:
            with suppress(Exception):
                undo(context)


class Cause(StrEnum):
    """Why a step failed: the drilled system failed, the drill was refused, or the drill itself broke."""

    SYSTEM = "system"
    REFUSED = "refused"
    DRILL = "drill"


def _cause(error: BaseException) -> Cause:
    if isinstance(error, SystemFailure):
        return Cause.SYSTEM
    return Cause.REFUSED if isinstance(error, Refusal | UsageError) else Cause.DRILL


def describe(error: BaseException) -> dict[str, str]:
    """An exception as the journal keeps it."""
    return {
        "cause": _cause(error).value,
        "error": type(error).__name__,
        "message": _words(error),
        "advice": error.advice if isinstance(error, MusterError) else "",
    }


def _words(error: BaseException) -> str:
    if isinstance(error, MusterError):
        return error.message
    if isinstance(error, SystemExit):  # Prefect's way to end a flow whose worker died
        return f"the process was told to exit with code {error.code}"
    return str(error) or "interrupted"


def undo_steps(drill: Drill, context: Context) -> tuple[str, ...]:
    """Undo every step that started and is not undone, the last first. Returns the steps left behind.

    What is said to be gone is on record before an undo acts on it.
    """
    left_behind = []
    said = {"gone": sorted(context.gone)} if context.gone else {}
    for name in context.history.needs_undo():
        undo = drill.step(name).undo
        context.journal.append(EventKind.UNDO_STARTED, name, **said)
        try:
            if undo:
                undo(context)
        except Exception as error:  # the other undos must still run
            context.journal.append(EventKind.UNDO_FAILED, name, **describe(error))
            left_behind.append(name)
        else:
            context.journal.append(EventKind.UNDONE, name)
    return tuple(left_behind)
