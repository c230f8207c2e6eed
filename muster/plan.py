"""Plans: one scheduled drill each, as a strict YAML file.

Promises: an unknown key is an error that names the file and the key; a plan that loads is complete; two plans
differ exactly if their digests do.
"""

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from muster.errors import UsageError
from muster.quantity import Duration
from muster.restore.spec import RestoreSpec


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


class Plan(Strict):
    """One scheduled drill: what is drilled, against which objectives, for which controls."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{1,62}$")
    kind: str
    description: str = ""
    environment: Environment
    owner: str
    controls: tuple[str, ...] = ()
    target: Mapping[str, Any]
    """`type` names a file in `tasks/targets/`; the other keys are that target's own, checked by it."""
    objectives: Objectives = Objectives()
    time_limit: Duration = Field(default="1h", validate_default=True)
    """After this the drill stops, undoes what it did, and is sealed as aborted."""
    restore: RestoreSpec | None = None

    @model_validator(mode="after")
    def _kind_has_its_section(self) -> "Plan":
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} is unknown: one of {', '.join(KINDS)}")
        if getattr(self, self.kind) is None:
            raise ValueError(f"a plan of kind {self.kind!r} needs a section {self.kind!r}")
        if "type" not in self.target:
            raise ValueError("target needs a key 'type'")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the plan's content: a changed plan has to prove itself again."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


KINDS = ("restore",)


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key that is written twice is an error, as YAML 1.2 asks."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(k, deep=True) for k, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def load_plan(path: Path) -> Plan:
    """Read one plan file; a `UsageError` names every fault in it."""
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader
        return Plan.model_validate(raw)
    except FileNotFoundError:
        raise UsageError(f"there is no plan file {path}", "see `muster status` for the plans there are") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "check the file and its permissions") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is no valid YAML: {error}", "mend the line it names") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'plan'}: {e['msg']}" for e in error.errors())
        raise UsageError(f"{path}: {faults}", "mend these keys; docs/restore.md lists every key") from None


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
    return tuple(find_plan(folder, path.stem) for path in sorted(folder.glob("*.yaml")))
