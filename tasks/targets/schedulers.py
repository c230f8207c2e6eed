"""Target `schedulers`: any two schedulers that Muster knows, one of which has the schedules."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from muster.cutover.ownership import Side
from muster.errors import Refusal, UsageError
from muster.identity import Identity
from muster.settings import Settings
from tasks.schedulers.scheduler import Scheduler


class SideSpec(BaseModel):
    """One of the two. The other keys are those of its kind: docs/schedulers.md."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    holder: str = Field(pattern=r"^[A-Za-z0-9._-]{1,60}$")
    """Its name, as jobs give it with their claims (`muster tick --holder`)."""


class Spec(BaseModel):
    """The target's keys in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = "schedulers"
    a: SideSpec
    """Has the schedules."""
    b: SideSpec
    """Is to have them."""
    claims: str = ""
    """SQLAlchemy URL of the database where jobs claim their ticks; default: Muster's own ledger."""


class Target:
    """Two schedulers."""

    def __init__(self, spec: Spec, settings: Settings) -> None:
        if spec.a.holder == spec.b.holder:
            raise UsageError("both schedulers have the same `holder`", "claims are told apart by it")
        self._sides = {Side.A: spec.a, Side.B: spec.b}
        self._claims = spec.claims or settings.ledger_url
        self._schedulers = {side: _open(one, settings) for side, one in self._sides.items()}

    def identities(self) -> Mapping[Side, Identity]:
        """Both are asked."""
        found = {side: scheduler.identify() for side, scheduler in self._schedulers.items()}
        known = [identity.system_identifier for identity in found.values() if identity.system_identifier]
        if len(known) > len(set(known)):
            raise Refusal("both addresses lead to the same scheduler", "correct one of them")
        return found

    def scheduler(self, side: Side) -> Scheduler:
        """The one of a side."""
        return self._schedulers[side]

    def holder(self, side: Side) -> str:
        """Its name in claims."""
        return self._sides[side].holder

    def claims(self) -> str:
        """Where jobs claim."""
        return self._claims


def _open(spec: SideSpec, settings: Settings) -> Scheduler:
    module = f"tasks.schedulers.{spec.type.replace('-', '_')}"
    try:
        kind = import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise UsageError(f"there is no scheduler of type {spec.type!r}", "docs/schedulers.md lists them") from None
    if not hasattr(kind, "open_scheduler"):
        raise UsageError(f"there is no scheduler of type {spec.type!r}", "docs/schedulers.md lists them")
    keys = {"type": spec.type, **(spec.model_extra or {})}
    scheduler: Scheduler = kind.open_scheduler(keys, settings)
    return scheduler


def open_target(keys: dict[str, Any], settings: Settings) -> Target:
    """The two that a plan names."""
    return Target(Spec.model_validate(keys), settings)
