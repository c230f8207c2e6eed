"""Every target, drill and deployment is picked up by its file; one that does not import, or is misspelt, is told."""

from importlib import import_module
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from flows.registry import drill_of, open_target
from muster.errors import UsageError
from muster.plan import KINDS, load_plans
from muster.settings import Settings

TARGETS = sorted(
    p.stem
    for p in Path("tasks/targets").glob("*.py")
    if p.stem not in {"__init__", "promotable", "restorable", "schedulable", "stressable"}
)


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_has_strict_keys_and_an_opener(name: str) -> None:
    module = import_module(f"tasks.targets.{name}")
    assert callable(module.open_target)
    assert issubclass(module.Spec, BaseModel)
    assert module.Spec.model_config["extra"] == "forbid"
    with pytest.raises(UsageError, match="tpyo"):
        open_target({"type": name, "tpyo": 1}, Settings())


def test_a_target_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="'nowhere'"):
        open_target({"type": "nowhere"}, Settings())


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_its_drill(kind: str) -> None:
    drill = drill_of(kind)
    assert drill.kind == kind
    assert len({step.name for step in drill.steps}) == len(drill.steps)
    assert drill.checks


def test_every_plan_loads_and_is_deployed_under_its_name() -> None:
    plans = {plan.name: plan for plan in load_plans(Path("deployments"))}
    deployments = yaml.safe_load(Path("prefect.yaml").read_text())["deployments"]
    drills = [d for d in deployments if "plan" in d["parameters"]]
    assert {d["name"] for d in drills} == {d["parameters"]["plan"] for d in drills} == set(plans)
    for deployment in deployments:
        module, flow = deployment["entrypoint"].removesuffix(".py").split(".py:")
        assert callable(getattr(import_module(module.replace("/", ".")), flow))
