"""prefect.yaml says what the plans say, in words that Prefect reads; a stale or mended file is told."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.cli.deploy._models import DeploymentConfig, PrefectYamlModel, RawScheduleConfig, WorkPoolConfig
from prefect.cli.deploy._triggers import _initialize_deployment_triggers
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.utilities.templating import find_placeholders

from muster.cli.render import render
from muster.plan import Plan, load_plan, load_plans
from muster.prefectfile import HEADER, prefect_file
from muster.settings import Settings

EMBEDDED = load_plan(Path("deployments/restore-embedded.yaml"))


def deployments(*plans: Plan) -> list[dict[str, Any]]:
    return list(yaml.safe_load(prefect_file(plans))["deployments"])


def changed(**changes: Any) -> Plan:
    return Plan.model_validate(EMBEDDED.model_dump(mode="json") | changes)


def test_the_committed_file_is_what_the_plans_say() -> None:
    assert Path("prefect.yaml").read_text() == prefect_file(load_plans(Path("deployments"))), "run `muster render`"


def test_every_key_is_one_that_prefect_reads() -> None:
    """Prefect ignores keys it does not know: its own models say which it does."""
    content = yaml.safe_load(prefect_file([EMBEDDED]))
    assert set(content) <= set(PrefectYamlModel.model_fields)
    for deployment in content["deployments"]:
        assert set(deployment) <= set(DeploymentConfig.model_fields)
        assert set(deployment["work_pool"]) <= set(WorkPoolConfig.model_fields)
        for schedule in deployment["schedules"]:
            RawScheduleConfig.model_validate(schedule)
    PrefectYamlModel.model_validate(content)


def test_every_trigger_is_one_that_prefect_takes() -> None:
    triggers = deployments(EMBEDDED)[-1]["triggers"]
    read = _initialize_deployment_triggers("muster", deepcopy(triggers))
    assert {event for trigger in read for event in trigger.expect} >= {
        "muster.drill.failed",
        "muster.drill.left-behind",
        "muster.plan.overdue",
    }
    for trigger, written in zip(read, triggers, strict=True):
        assert set(written) <= set(type(trigger).model_fields)


def test_a_plan_becomes_a_deployment_of_its_kind() -> None:
    plan, health = deployments(EMBEDDED)
    assert plan["entrypoint"] == "flows/restore.py:restore"
    assert plan["version"] == EMBEDDED.digest[:12]
    assert plan["parameters"] == {"plan": "restore-embedded"}, "no reason: whoever starts it is asked"
    assert plan["schedules"][0]["parameters"] == {"reason": "scheduled"}
    assert {"muster", "kind:restore", "env:demo", "owner:platform-team"} < set(plan["tags"])
    assert "DORA Art. 12(2)" in plan["description"]
    assert health["entrypoint"] == "flows/health.py:health"


def test_a_cron_cadence_is_scheduled_in_its_time_zone() -> None:
    plan = changed(cadence={"cron": "30 2 * * 1", "timezone": "Europe/Berlin"})
    schedule = deployments(plan)[0]["schedules"][0]
    read = CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
    assert (read.cron, read.timezone) == ("30 2 * * 1", "Europe/Berlin")


def test_an_interval_keeps_its_anchor() -> None:
    plan = changed(cadence={"interval": "12h", "anchor": "2026-01-01T05:00:00+02:00"})
    schedule = deployments(plan)[0]["schedules"][0]
    read = IntervalSchedule(interval=schedule["interval"], anchor_date=schedule["anchor_date"], timezone="UTC")
    assert read.interval.total_seconds() == 43_200
    assert read.anchor_date == plan.cadence.anchor


def test_text_of_a_plan_is_no_placeholder() -> None:
    plan = changed(description="see {{{ $SECRET }} and {{ prefect.variables.x }}\nand 'quotes': #x")
    found = deployments(plan)[0]
    assert not any(find_placeholders(text) for text in (found["description"], *found["tags"]))
    assert "'quotes': #x" in found["description"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    plans = tmp_path / "plans"
    plans.mkdir()
    (plans / "restore-embedded.yaml").write_text(Path("deployments/restore-embedded.yaml").read_text())
    return Settings(home=tmp_path / "home", plans=plans)


def test_check_tells_a_stale_file_and_render_mends_it(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "prefect.yaml"
    assert render(settings, output, check=True) == 1
    assert not output.exists()
    assert render(settings, output, check=False) == 0
    assert render(settings, output, check=True) == 0
    output.write_text(output.read_text().replace("schedules:", "shedules:"))
    capsys.readouterr()
    assert render(settings, output, check=True) == 1
    told = capsys.readouterr()
    assert "-  shedules:" in told.out
    assert "muster render" in told.err
    assert render(settings, output, check=False) == 0
    assert output.read_text().startswith(HEADER)
    assert list(tmp_path.glob(".*partial")) == []
