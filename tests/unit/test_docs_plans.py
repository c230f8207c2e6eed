"""Every plan that the documentation shows is one that Muster takes, and every key that it takes is documented."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from flows.registry import open_target
from muster.cadence.spec import Blackout, Cadence, Window
from muster.cutover.schedule import Cut
from muster.cutover.spec import CutoverSpec, Told
from muster.cutover.spec import Ready as CutoverReady
from muster.failover.spec import ClientSpec, Degraded, Detection, Failback, FailoverSpec, Ready
from muster.plan import Approval, Objectives, Plan
from muster.restore.spec import RestoreSpec
from muster.settings import Settings
from muster.spark.spec import BlastRadius, Fault, FaultSpec, SparkSpec
from muster.spark.spec import Ready as SparkReady
from tasks.targets import schedulers

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Pages also show policies, routes and pipelines; what speaks of one of these is a plan, or a part of one.
OF_A_PLAN = re.compile(r"^(kind|target|cadence|objectives|approval|restore|failover|spark|cutover):", re.MULTILINE)
PLANS = [
    pytest.param(block, id=f"{path.stem}-{number}")
    for path in sorted(DOCS.rglob("*.md"))
    for number, block in enumerate(BLOCK.findall(path.read_text("utf-8")))
    if OF_A_PLAN.search(block)
]
REST = {
    "name": "shown", "kind": "restore", "environment": "test", "owner": "docs", "target": {"type": "embedded"},
    "restore": {},
}  # fmt: skip
RESTORE = (DOCS / "restore.md").read_text("utf-8")
FAILOVERS = ("patroni", "patroni-clusters", "streaming", "embedded-regions", "aurora-global", "rds-replica")
SPARK, SPARK_TARGETS = ((DOCS / page).read_text("utf-8") for page in ("spark.md", "spark-targets.md"))
FAILOVER = (DOCS / "failover.md").read_text("utf-8")
CUTOVER = (DOCS / "cutover.md").read_text("utf-8")


def test_there_are_plans():
    assert len(PLANS) >= 7


@pytest.mark.parametrize("block", PLANS)
def test_a_plan_in_the_docs_is_a_plan(block, tmp_path):
    shown = yaml.safe_load(block)
    plan = Plan.model_validate(shown if "name" in shown else {**REST, **shown})
    open_target(plan.target, Settings(home=tmp_path))


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        *((RESTORE, kind) for kind in ("pgbackrest", "dump", "embedded")),
        *((FAILOVER, kind) for kind in FAILOVERS),
        (SPARK, "embedded-spark"),
        *((SPARK_TARGETS, kind) for kind in ("standalone", "kubernetes", "yarn", "emr", "databricks")),
    ],
    ids=lambda value: value if len(value) < 40 else "page",
)
def test_every_key_of_a_target_is_documented(page, kind):
    section = re.search(rf"^## Target `{kind}`\n(.*?)^## ", page, re.M | re.S)
    assert section
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", section[1], re.MULTILINE)
    documented = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    module = import_module(f"tasks.targets.{kind.replace('-', '_')}")
    assert set(module.Spec.model_fields) - {"type"} <= documented


@pytest.mark.parametrize("name", ["libpq", "haproxy", "pgbouncer", "route53", "hook"])
def test_every_key_of_a_route_is_documented(name):
    section = re.search(rf"^- `{name}`: (.*?)^(?:- |\n)", FAILOVER, re.M | re.S)
    assert section
    keys = set(import_module(f"tasks.routes.{name}").Spec.model_fields) - {"type"}
    assert [key for key in sorted(keys) if f"`{key}`" not in section[1]] == []


def test_every_key_of_the_failover_section_is_documented():
    documented = {
        key for row in re.findall(r"^\| (`[^|]+) \|", FAILOVER, re.M) for key in re.findall(r"`([\w.]+)`", row)
    }
    nested = {"client": ClientSpec, "detection": Detection, "slow_link": Degraded, "ready": Ready, "failback": Failback}
    keys = {f"{name}.{key}" for name, model in nested.items() for key in model.model_fields}
    keys |= set(FailoverSpec.model_fields) - set(nested)
    assert sorted(keys - documented) == []


def test_every_key_of_the_restore_section_is_documented():
    assert [key for key in RestoreSpec.model_fields if f"`{key}" not in RESTORE] == []


def test_every_key_of_the_spark_section_is_documented():
    documented = {key for row in re.findall(r"^\| (`[^|]+) \|", SPARK, re.M) for key in re.findall(r"`([\w.]+)`", row)}
    nested = {"fault": FaultSpec, "blast_radius": BlastRadius, "ready": SparkReady}
    keys = {f"{name}.{key}" for name, model in nested.items() for key in model.model_fields}
    keys |= set(SparkSpec.model_fields) - set(nested)
    assert sorted(keys - documented) == []


def test_every_key_of_the_cutover_section_is_documented():
    rows = re.findall(r"^\| (`[^|]+) \|(.*)$", CUTOVER, re.M)
    documented = {key for row in rows for key in re.findall(r"`([\w.]+)`", row[0])}
    within = {key: told for row, told in rows for key in re.findall(r"`(\w+)`", row)}
    assert {f"ready.{key}" for key in CutoverReady.model_fields} <= documented
    assert sorted(set(CutoverSpec.model_fields) - {"ready"} - documented) == []
    for name, model in (("cut", Cut), ("jobs", Told)):
        assert [key for key in model.model_fields if f"`{key}`" not in within[name]] == []
    assert set(schedulers.Spec.model_fields) - {"type"} <= documented


@pytest.mark.parametrize("path", sorted(Path("tasks/spark/workloads").glob("[!_]*.py")), ids=lambda path: path.stem)
def test_every_workload_and_its_keys_are_documented(path):
    module = import_module(f"tasks.spark.workloads.{path.stem}")
    if not hasattr(module, "WORKLOAD"):
        return
    name = path.stem.replace("_", "-")
    (row,) = re.findall(rf"^\| `{name}` \|.*$", SPARK, re.M)
    keys = set(module.WORKLOAD.model_fields) - {"type", "rows", "partitions", "seed"}
    assert [key for key in sorted(keys) if f"`{key}`" not in row] == []


def test_every_fault_is_documented():
    assert [fault for fault in Fault if not re.search(rf"^\| `{fault}` \|", SPARK, re.M)] == []


def test_every_key_of_a_plan_is_documented():
    documented = {
        key for row in re.findall(r"^\| (`[^|]+) \|", RESTORE, re.M) for key in re.findall(r"`([\w.]+)`", row)
    }
    keys = {f"cadence.{key}" for key in Cadence.model_fields}
    keys |= {f"approval.{key}" for key in Approval.model_fields}
    keys |= {f"objectives.{key}" for key in Objectives.model_fields}
    assert keys <= documented
    assert set(Plan.model_fields) - {"approval", "objectives", "restore", "failover", "spark", "cutover"} <= documented
    assert {key for key in documented if key.startswith(("cadence.", "approval.", "objectives."))} == keys


def test_every_key_of_windows_and_blackouts_is_documented():
    for key, model in (("windows", Window), ("blackouts", Blackout)):
        (row,) = re.findall(rf"^\| `cadence\.{key}` .*$", RESTORE, re.M)
        names = {field.alias or name for name, field in model.model_fields.items()}
        assert [name for name in names if f"`{name}`" not in row] == []
