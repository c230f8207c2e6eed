"""Workload `aggregate`: count and sum rows by a key of many values, and write one row for each.

The answer is known by mathematics. With `spill`, every task of the aggregation sorts on disk what its hash table will
not hold. Spark's own setting for the tests of that path forces it, since a small job would never come to it by itself,
and the threshold for sorters can only be set before an application starts.
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from muster.spark.digest import Answer
from muster.spark.observations import Inspection
from tasks.spark.conf import settings, tasks_of_a_stage
from tasks.spark.result import answer_of, output_of, rows_at
from tasks.spark.workloads.workload import Generated, Place

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from muster.spark.answers import Longs

_SCHEMA = "key bigint, many bigint, total bigint"
_COLUMNS = ("key", "many", "total")
_GROUP, _VALUE = 1, 2
_VALUES = 1_000
_PARTS = 16
_SPILLS = 4
"""How often a task spills, about."""


class Aggregate(Generated):
    """Group."""

    type: Literal["aggregate"]
    groups: int = Field(default=100_000, ge=1)
    """Values of the key, at most: some may be drawn by no row."""
    spill: bool = False
    """Whether the aggregation is made to use the disk."""
    compared = "count and sum of every group"

    def answer(self) -> Answer:
        """Every group that has rows."""
        import numpy as np

        from muster.spark import answers

        counts, totals = np.zeros(self.groups, np.int64), np.zeros(self.groups, np.int64)
        for ids in answers.chunks(self.rows):
            groups = self.draw(_GROUP, self.groups).of(ids)
            np.add.at(counts, groups, 1)
            np.add.at(totals, groups, self.draw(_VALUE, _VALUES).of(ids))

        def result(groups: "Longs") -> "tuple[Longs, Longs]":
            groups = groups[counts[groups] > 0]
            return answers.hash_rows(groups, counts[groups], totals[groups]), groups % _PARTS

        return answers.answer_of(self.groups, result)

    def run(self, spark: "SparkSession", place: Place) -> None:
        """Generate, group, write."""
        from pyspark.sql import functions as f

        rows = spark.range(0, self.rows, 1, self.partitions).select(
            self.draw(_GROUP, self.groups).column().alias("key"),
            self.draw(_VALUE, _VALUES).column().alias("value"),
        )
        with settings(spark, {**tasks_of_a_stage(self.partitions), **self._spilling}):
            found = rows.groupBy("key").agg(f.count("*").alias("many"), f.sum("value").alias("total"))
            found.write.mode("overwrite").parquet(place.output)

    def inspect(self, spark: "SparkSession", place: Place) -> Inspection:
        """Read it back."""
        from pyspark.sql import functions as f

        rows = rows_at(spark, place.output, _SCHEMA)
        answer = answer_of(rows, _COLUMNS, f.pmod("key", f.lit(_PARTS)))
        return Inspection(answer=answer, output=output_of(spark, place.output))

    @property
    def _spilling(self) -> dict[str, str]:
        """So few rows fit in a task's hash table; the first number is that of the table in front of it."""
        if not self.spill:
            return {}
        fitting = max(1, min(self.groups, self.rows) // (self.partitions * _SPILLS))
        return {"spark.sql.TungstenAggregate.testFallbackStartsAt": f"0, {fitting}"}


WORKLOAD = Aggregate
