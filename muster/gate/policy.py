"""The gate's policy, `deployments/gate.yaml`: which plans it looks at, what blocks and what warns.

Promises: an unknown key, state, outcome or kind is an error that names it; a rule that would judge nothing is one too.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from muster.cadence.states import State
from muster.deck.model import EXPECTED
from muster.errors import UsageError
from muster.quantity import Duration
from muster.strictyaml import read_model
from muster.verdict import Outcome


class Effect(StrEnum):
    """What a finding does to the gate."""

    BLOCK = "block"
    WARN = "warn"
    IGNORE = "ignore"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _a_kind(value: str) -> str:
    if value not in EXPECTED:
        raise ValueError(f"{value!r} is no kind of drill: one of {', '.join(EXPECTED)}")
    return value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta():
        raise ValueError("has to be longer than nothing")
    return value


def _a_list(value: Any) -> Any:
    if isinstance(value, str):  # pydantic takes no text for a tuple either, but does not say what to write
        raise ValueError(f"write a list: [{value}]")
    return value


Kind = Annotated[str, AfterValidator(_a_kind)]
Age = Annotated[Duration, AfterValidator(_positive)]
Globs = Annotated[tuple[str, ...], BeforeValidator(_a_list)]
"""Shell patterns, any of which has to fit: `orders-*`, `DORA*`. With none, everything fits."""


class Match(_Strict):
    """Which plans a rule is for: those that fit every key given here."""

    plans: Globs = ()
    kinds: tuple[Kind, ...] = ()
    environments: tuple[Literal["demo", "test", "staging", "production"], ...] = ()
    controls: Globs = ()
    """One control that fits is enough."""
    owners: Globs = ()


class Rule(_Strict):
    """What is asked of the plans that fit. Every rule that fits a plan applies to it, and the worst effect wins."""

    name: str = Field(min_length=1)
    match: Match = Match()
    block_on: tuple[State, ...] = ()
    warn_on: tuple[State, ...] = ()
    outcomes: Mapping[Outcome, Effect] = {}
    """What the outcome of the last slot does, such as `missed: warn`, whatever the plan's state."""
    max_age: Age | None = None
    """A last pass older than this blocks, and so does none at all."""
    warn_age: Age | None = None
    unready: Effect = Effect.WARN
    """What it does when a plan's target is not ready now, or was not seen lately; plans without such a look pass by."""
    proven_within: Age | None = None
    """Negative controls of the plan's kind have to be this new and complete: every fault caught, every form quiet."""

    @model_validator(mode="after")
    def _judges_something(self) -> "Rule":
        if both := set(self.block_on) & set(self.warn_on):
            raise ValueError(f"{', '.join(sorted(both))} is in 'block_on' and in 'warn_on'")
        asked = (self.block_on, self.warn_on, self.outcomes, self.max_age, self.warn_age, self.proven_within)
        if not any(asked) and "unready" not in self.model_fields_set:
            wanted = "'block_on', 'warn_on', 'outcomes', an age, 'unready' or 'proven_within'"
            raise ValueError(f"asks for nothing: give it {wanted}")
        if self.max_age and self.warn_age and self.warn_age >= self.max_age:
            raise ValueError("'warn_age' has to be shorter than 'max_age'")
        return self


class Source(_Strict):
    """How new what the gate judges by has to be."""

    max_age: Age = Field(default="30m", validate_default=True)
    """Of the watch's last round, and of a deck read from a file."""
    watch: Effect = Effect.BLOCK
    """What it does when the watch was not heard of in that time."""


class GatePolicy(_Strict):
    """The whole policy."""

    source: Source = Source()
    troubles: Effect = Effect.BLOCK
    """What is wrong beside the plans: the kill switch, a route that refuses, something left behind."""
    unmatched: Effect = Effect.WARN
    """What a plan that no rule is for does."""
    uncovered: Mapping[Kind, Effect] = {}
    """What it does when no plan drills a kind, such as `failover: warn`."""
    rules: tuple[Rule, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_names_of_its_own(self) -> "GatePolicy":
        names = [rule.name for rule in self.rules]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two rules are named {', '.join(twice)}")
        return self


def load_policy(path: Path) -> GatePolicy:
    """Read a policy; a `UsageError` names every fault in it."""
    try:
        return read_model(path, GatePolicy, "policy", "docs/gate.md")
    except FileNotFoundError:
        advice = "name one with --policy; docs/gate.md shows how to write it"
        raise UsageError(f"there is no policy {path}", advice) from None
