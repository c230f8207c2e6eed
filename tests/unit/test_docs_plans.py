"""Every plan that the documentation shows is one that Muster takes."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from flows.registry import open_target
from muster.plan import Plan
from muster.restore.spec import RestoreSpec
from muster.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLANS = [
    pytest.param(block, id=f"{path.stem}-{number}")
    for path in sorted(DOCS.rglob("*.md"))
    for number, block in enumerate(BLOCK.findall(path.read_text("utf-8")))
]


def test_there_are_plans():
    assert PLANS


@pytest.mark.parametrize("block", PLANS)
def test_a_plan_in_the_docs_is_a_plan(block, tmp_path):
    plan = Plan.model_validate(yaml.safe_load(block))
    open_target(plan.target, Settings(home=tmp_path))


@pytest.mark.parametrize("kind", ["pgbackrest", "dump", "embedded"])
def test_every_key_of_a_target_is_documented(kind):
    section = re.search(rf"^## Target `{kind}`\n(.*?)^## ", (DOCS / "restore.md").read_text("utf-8"), re.M | re.S)
    assert section
    documented = set(re.findall(r"^\| `(\w+)` \|", section[1], re.MULTILINE))
    assert documented == set(import_module(f"tasks.targets.{kind}").Spec.model_fields) - {"type"}


def test_every_key_of_the_restore_section_is_documented():
    text = (DOCS / "restore.md").read_text("utf-8")
    assert [key for key in RestoreSpec.model_fields if f"`{key}" not in text] == []
