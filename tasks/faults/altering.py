"""The product's drill with one of its steps done wrong."""

from collections.abc import Callable
from dataclasses import replace

from pydantic import BaseModel

from muster.drill import Context, Drill, Step
from muster.errors import StepError

Alter = Callable[[Drill], Drill]
Act = Callable[[Context], None]


def first(step: str, act: Act) -> Alter:
    """The drill with an act of ours before one of its steps."""

    def alter(drill: Drill) -> Drill:
        found = drill.step(step)

        def do(context: Context) -> BaseModel:
            act(context)
            return found.do(context)

        return _with(drill, replace(found, do=do))

    return alter


def instead(step: str, do: Callable[[Context], BaseModel]) -> Alter:
    """The drill with a step of ours in the place of one of its own; its undo stays."""
    return lambda drill: _with(drill, replace(drill.step(step), do=do))


def leaving(step: str) -> Alter:
    """The drill with a step whose undo fails."""

    def undo(_context: Context) -> None:
        raise StepError(f"the undo of {step} was made to fail", "it was planted")

    return lambda drill: _with(drill, replace(drill.step(step), undo=undo))


def each(*alters: Alter) -> Alter:
    """Several at once."""

    def alter(drill: Drill) -> Drill:
        for one in alters:
            drill = one(drill)
        return drill

    return alter


def _with(drill: Drill, step: Step) -> Drill:
    return replace(drill, steps=tuple(step if s.name == step.name else s for s in drill.steps))
