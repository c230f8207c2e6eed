"""Settings that a workload needs while it runs.

Promise: the session has its own settings again afterwards, whether the job came to its end or not.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SHUFFLED_JOINS: Mapping[str, str] = {
    "spark.sql.autoBroadcastJoinThreshold": "-1",
    "spark.sql.adaptive.autoBroadcastJoinThreshold": "-1",
}
"""No join is a broadcast: a fault has shuffle data to hit, and stages come in the same order in every lap."""


def tasks_of_a_stage(partitions: int) -> dict[str, str]:
    """As many tasks behind each shuffle as the plan says: a fault is aimed by the share of them that ended."""
    return {
        "spark.sql.shuffle.partitions": str(partitions),
        "spark.sql.adaptive.coalescePartitions.enabled": "false",
    }


@contextmanager
def settings(spark: "SparkSession", wanted: Mapping[str, str]) -> Iterator[None]:
    """Set within the block."""
    before = spark.conf.getAll
    try:
        for key, value in wanted.items():
            spark.conf.set(key, value)
        yield
    finally:
        for key in wanted:
            if key in before:
                spark.conf.set(key, before[key])
            else:
                spark.conf.unset(key)
