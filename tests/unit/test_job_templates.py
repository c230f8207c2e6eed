"""The job templates for docker and kubernetes pools are whole: valid schemas, every placeholder declared."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from prefect.utilities.schema_tools import validate
from prefect.utilities.templating import apply_values, find_placeholders
from prefect.workers.base import BaseJobConfiguration

TEMPLATES = sorted(Path("deployments/prefect").glob("*-job-template.json"))
JOB_SPEC = {  # the part of batch/v1 that the template fills in: https://kubernetes.io/docs/concepts/workloads/controllers/job/
    "type": "object",
    "required": ["template", "backoffLimit"],
    "properties": {
        "backoffLimit": {"const": 0},
        "parallelism": {"const": 1},
        "completions": {"const": 1},
        "ttlSecondsAfterFinished": {"type": "integer"},
        "template": {
            "type": "object",
            "required": ["spec"],
            "properties": {
                "spec": {
                    "type": "object",
                    "required": ["containers", "restartPolicy"],
                    "properties": {
                        "restartPolicy": {"const": "Never"},
                        "terminationGracePeriodSeconds": {"type": "integer"},
                    },
                }
            },
        },
    },
    "additionalProperties": False,
}


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def assert_is_whole(template: dict[str, Any]) -> None:
    """Raises when a schema is none, a default does not fit it, or a placeholder and its variable do not meet."""
    variables = template["variables"]
    jsonschema.Draft202012Validator.check_schema(variables)
    defaults = {name: v["default"] for name, v in variables["properties"].items() if v["default"] is not None}
    validate(defaults, variables, raise_on_error=True)
    asked = {placeholder.name for placeholder in find_placeholders(template["job_configuration"])}
    assert asked == set(variables["properties"])


def test_there_is_one_for_each_kind_of_pool() -> None:
    assert [path.name for path in TEMPLATES] == ["docker-job-template.json", "kubernetes-job-template.json"]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.stem)
def test_a_template_is_whole(path: Path) -> None:
    template = read(path)
    assert_is_whole(template)
    assert set(BaseJobConfiguration.model_fields) <= set(template["job_configuration"])


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.stem)
def test_a_broken_template_is_seen(path: Path) -> None:
    typo, no_schema = deepcopy(read(path)), deepcopy(read(path))
    typo["job_configuration"]["image"] = "{{ imgae }}"
    no_schema["variables"]["properties"]["image"]["type"] = "sting"
    with pytest.raises(AssertionError):
        assert_is_whole(typo)
    with pytest.raises(jsonschema.SchemaError):
        assert_is_whole(no_schema)


def test_the_kubernetes_template_fills_in_to_a_job() -> None:
    template = read(Path("deployments/prefect/kubernetes-job-template.json"))
    values = {name: variable["default"] for name, variable in template["variables"]["properties"].items()}
    job = apply_values(template["job_configuration"], values | {"name": "drill"})["job_manifest"]
    jsonschema.validate(job["spec"], JOB_SPEC)
    assert not find_placeholders(job)
