"""The `spark` section of a plan: what it must not hold, and what a comparison changes."""

from typing import Any

import pytest
from pydantic import ValidationError
from spark_paper import plan

from muster.errors import UsageError
from muster.spark.spec import Fault


@pytest.mark.parametrize(
    ("spark", "words"),
    [
        ({"workload": {"rows": 1}}, "needs a key 'type'"),
        ({"settings": {}}, "at least one named set"),
        ({"compare": ["plain", "tuned"]}, "compare names tuned"),
        ({"compare": ["plain"]}, "two or more"),
        ({"compare": ["plain", "plain"]}, "two or more"),
        ({"fault": {"victims": 2}}, "blast_radius.executors is 1"),
        ({"fault": {"type": "restart-workers"}}, "needs blast_radius.last_worker"),
        ({"fault": {"type": "kill-worker", "victims": 2}}, "blast_radius.workers is 1"),
        ({"fault": {"type": "kill-everything"}}, "fault.type"),
        ({"fault": {"after": 1.0}}, "fault.after"),
        ({"faults": {}}, "faults"),
        ({"settings": {"plain": {"executor.memory": "1g"}}}, "no setting of Spark"),
        ({"settings": {"plain": {"spark.hadoop.fs.s3a.secret.key": "x"}}}, "would put a secret on record"),
    ],
)
def test_a_wrong_section_is_told(spark: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        plan(**spark)


@pytest.mark.parametrize(
    "spark",
    [
        {"fault": {"victims": 2}, "blast_radius": {"executors": 2}},
        {"fault": {"type": "restart-workers"}, "blast_radius": {"last_worker": True}},
        {"settings": {"a": {}, "b": {"spark.speculation": True}}, "compare": ["b", "a"]},
        {"settings": {"plain": {"spark.hadoop.fs.s3a.aws.credentials.provider": "com.example.Provider"}}},
    ],
)
def test_a_section_that_keeps_within_its_bounds_is_taken(spark: dict[str, Any]) -> None:
    assert plan(**spark).spark is not None


def test_every_fault_hits_workers_executors_or_a_service() -> None:
    for fault in Fault:
        assert not (fault.hits_workers and fault.hits_executors)
    assert {f for f in Fault if not f.hits_workers and not f.hits_executors} == {
        Fault.RESTART_MASTER, Fault.KILL_DRIVER, Fault.KILL_SHUFFLE_SERVICE
    }  # fmt: skip


def test_a_comparison_is_of_the_same_promise() -> None:
    usual = plan(settings={"a": {}, "b": {}})
    compared = usual.comparing(("b", "a"))
    assert compared.spark is not None
    assert usual.spark is not None
    assert (usual.spark.variants, compared.spark.variants) == (("a",), ("b", "a"))
    assert compared.substance == usual.substance
    assert plan(settings={"a": {}, "b": {"spark.x": 1}}).substance != usual.substance
    assert usual.comparing(()) is usual


def test_what_cannot_be_compared_is_told() -> None:
    with pytest.raises(UsageError, match="compare names c") as caught:
        plan(settings={"a": {}, "b": {}}).comparing(("a", "c"))
    assert "a, b" in caught.value.advice
    restore = plan().model_copy(update={"spark": None, "kind": "restore"})
    with pytest.raises(UsageError, match="no Spark settings"):
        restore.comparing(("a", "b"))
