"""Plans: one scheduled drill each, as a strict YAML file.

Promises: an unknown key is an error that names the file and the key; a plan that loads is complete; two plans
differ exactly if their digests do.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from muster.cadence.controls import faults_of
from muster.cadence.defaults import DEFAULTS
from muster.cadence.spec import RECORDED, Cadence
from muster.cadence.windows import slot_outside_windows
from muster.cutover.spec import CutoverSpec
from muster.errors import UnreadablePlans, UsageError
from muster.failover.spec import FailoverSpec
from muster.quantity import Duration
from muster.restore.spec import RestoreSpec
from muster.spark.spec import SparkSpec
from muster.strictyaml import read_model

RESERVED = frozenset({"canaries", "keys", "log", "packages", "portal", "proofs", "receipts", "records"})
"""What no plan is named: the store keeps other evidence in folders of these names, beside one of each plan."""


class Strict(BaseModel):
    """A frozen model that knows every key it may hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Environment(StrEnum):
    """Where the target lives. Production asks for an approval."""

    DEMO = "demo"
    TEST = "test"
    STAGING = "staging"
    PRODUCTION = "production"


class Objectives(Strict):
    """What the plan promises: recovery time and recovery point. A missing one is not judged."""

    rto: Duration | None = None
    rto_until: Literal["serving", "verified"] = "verified"
    """Where the RTO clock stops: when the restored system answers, or when every inspection has ended."""
    rpo: Duration | None = None


class Approval(Strict):
    """Who has to say yes before the drill starts: someone other than the one who starts it (DORA Art. 24(4))."""

    by: tuple[str, ...] = ()
    """Who may; with none, anyone but the starter."""
    within: Duration = Field(default="4h", validate_default=True, gt=timedelta())
    """How long the run waits; then it is refused."""


RouteName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]


class Plan(Strict):
    """One scheduled drill: what is drilled, against which objectives, for which controls."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{1,57}$")
    """Its runs, with the time and an ending, have to fit into the names that evidence may have."""
    kind: str
    description: str = ""
    environment: Environment
    owner: str
    controls: tuple[str, ...] = ()
    """Ids of `muster.cadence.controls.CONTROLS`, or `internal: ...` for a company's own."""
    target: Mapping[str, Any]
    """`type` names a file in `tasks/targets/`; the other keys are that target's own, checked by it."""
    objectives: Objectives = Objectives()
    cadence: Cadence
    """When it is due; default: how often its kind is drilled at least (`muster.cadence.defaults.DEFAULTS`)."""
    approval: Approval | None = None
    notifications: tuple[RouteName, ...] = ()
    """Names of routes in `deployments/routes.yaml`; with none, every route that takes this plan."""
    concurrency: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,100}$")
    """Plans of one group never run at the same time; default: those with the same target."""
    time_limit: Duration = Field(default="1h", validate_default=True, gt=timedelta())
    """After this the drill stops, undoes what it did, and is sealed as aborted. Waiting for approval does not count."""
    restore: RestoreSpec | None = None
    failover: FailoverSpec | None = None
    spark: SparkSpec | None = None
    cutover: CutoverSpec | None = None

    @classmethod
    def recorded(cls, raw: Any) -> "Plan":
        """A plan as a journal holds it: rules that came after it was taken keep nobody from undoing what it did."""
        return cls.model_validate(raw, context=RECORDED)

    @model_validator(mode="before")
    @classmethod
    def _has_a_cadence(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("cadence") is None:
            kind = str(raw.get("kind"))
            default = DEFAULTS.get(kind if kind in KINDS else KINDS[0])  # an unknown kind is told below, and it alone
            return {**raw, "cadence": default} if default else raw
        return raw

    @model_validator(mode="after")
    def _kind_has_its_section(self) -> "Plan":
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} is unknown: one of {', '.join(KINDS)}")
        if getattr(self, self.kind) is None:
            raise ValueError(f"a plan of kind {self.kind!r} needs a section {self.kind!r}")
        for other in KINDS:
            if other != self.kind and getattr(self, other) is not None:
                raise ValueError(f"a plan of kind {self.kind!r} has no section {other!r}")
        if "type" not in self.target:
            raise ValueError("target needs a key 'type'")
        return self

    @model_validator(mode="after")
    def _is_fit_to_run(self, info: ValidationInfo) -> "Plan":
        if info.context != RECORDED and (faults := [*self._faults_of_guards(), *self._faults_of_controls()]):
            raise ValueError("; ".join(faults))
        return self

    def _faults_of_guards(self) -> list[str]:
        if self.name in RESERVED:
            return [f"name: {self.name!r} is taken: the store keeps other evidence under that name"]
        if self.environment is Environment.PRODUCTION and not (self.approval and self.cadence.windows):
            return ["a drill in production needs 'approval' and change windows ('cadence.windows')"]
        outside = slot_outside_windows(self.cadence)
        if outside is None:
            return []
        when = outside.astimezone(ZoneInfo(self.cadence.timezone)).strftime("%A %Y-%m-%d %H:%M %Z")
        return [f"cadence.windows: a slot such as {when} does not lie in a change window with its jitter"]

    def _faults_of_controls(self) -> list[str]:
        has = {"approval": self.approval, "objectives.rto": self.objectives.rto}
        named = faults_of(self.controls, self.kind, self.cadence.gaps.longest, [key for key in has if has[key]])
        return [f"controls: {fault}" for fault in named]

    @property
    def digest(self) -> str:
        """SHA-256 of the plan's content, for evidence: two plans differ exactly if their digests do."""
        return _digest(self.model_dump(mode="json"))

    @property
    def substance(self) -> str:
        """SHA-256 of what is drilled and promised. When it changes the plan has to prove itself again.

        Owner, wording, controls, cadence and notifications may change without making the last pass worth less.
        """
        promised = {"kind", "environment", "target", "objectives", self.kind}
        return _digest(self.model_dump(mode="json", include=promised, exclude={self.kind: {"compare"}}))

    def comparing(self, names: Sequence[str]) -> "Plan":
        """The same plan with these of its Spark settings compared; with none, as it is.

        What is compared changes nothing of what is promised, so such a run is a run of this plan.
        """
        if not names:
            return self
        if self.spark is None:
            raise UsageError(f"plan {self.name} is of kind {self.kind!r}: there are no Spark settings to compare")
        try:
            spark = SparkSpec.model_validate({**self.spark.model_dump(mode="json"), "compare": tuple(names)})
        except ValidationError as error:
            faults = "; ".join(e["msg"].removeprefix("Value error, ") for e in error.errors())
            raise UsageError(faults, f"the plan's settings are {', '.join(self.spark.settings)}") from None
        return self.model_copy(update={"spark": spark})

    @property
    def look_every(self) -> timedelta | None:
        """How often the target's readiness is looked at: `ready.every` in the section of its kind, if it has that."""
        every = getattr(getattr(getattr(self, self.kind), "ready", None), "every", None)
        return every if isinstance(every, timedelta) else None

    @property
    def group(self) -> str:
        """Plans of the same group never run at the same time."""
        return self.concurrency or f"target-{_digest(self.model_dump(mode='json', include={'target'}))[:16]}"


KINDS = ("restore", "failover", "spark", "cutover")


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def load_plan(path: Path) -> Plan:
    """Read one plan file; a `UsageError` names every fault in it."""
    try:
        return read_model(path, Plan, "plan", "docs/restore.md")
    except FileNotFoundError:
        raise UsageError(f"there is no plan file {path}", "see `muster status` for the plans there are") from None


def find_plan(folder: Path, name: str) -> Plan:
    """The plan of this name: `NAME.yaml` in the plans folder, or a path to a file."""
    direct = Path(name)
    path = direct if direct.suffix in {".yaml", ".yml"} else folder / f"{name}.yaml"
    plan = load_plan(path)
    if plan.name != path.stem:
        raise UsageError(f"{path} holds a plan named {plan.name!r}", f"name the file {plan.name}.yaml")
    return plan


def load_plans(folder: Path) -> tuple[Plan, ...]:
    """Every plan in the folder, by name. One broken plan is an error, never skipped."""
    return tuple(find_plan(folder, path.stem) for path in plan_files(folder))


POLICIES = frozenset({"evidence", "gate", "routes"})
"""Files in the plans folder that are no plans: how evidence is kept, the gate's policy, where notifications go."""


def plan_files(folder: Path) -> list[Path]:
    """Every plan file in the folder, in order of name. `UnreadablePlans` when there is no such folder."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".yaml" and path.stem not in POLICIES)
    except OSError as error:
        raise UnreadablePlans(folder, error) from None
