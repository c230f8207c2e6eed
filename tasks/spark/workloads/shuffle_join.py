"""Workload `shuffle-join`: join a skewed table of facts with a dimension through a shuffle, and write the result.

Half of the facts have one of a few hot keys, so that a few tasks have most of the work; every seventh key is not in the
dimension, so that its facts drop out. The answer is known by mathematics. With `aqe`, Spark splits the hot partitions
while the job runs: what a lost executor takes away is then a part of a partition. Source: Spark's performance tuning
guide, "Optimizing Skew Join".
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from muster.spark.digest import Answer
from muster.spark.observations import Inspection
from tasks.spark.conf import SHUFFLED_JOINS, settings, tasks_of_a_stage
from tasks.spark.draw import Draw, hashed_column
from tasks.spark.result import answer_of, output_of, rows_at
from tasks.spark.workloads.workload import Generated, Place

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession

    from muster.spark.answers import Longs

_SCHEMA = "id bigint, key bigint, amount bigint, value bigint"
_COLUMNS = ("id", "key", "amount", "value")
_IS_HOT, _HOT, _COLD, _AMOUNT, _VALUE = range(1, 6)
_MISSING = 7
"""Every so many-th key has no row in the dimension."""
_PARTS = 16
_SKEW = {
    "spark.sql.adaptive.skewJoin.enabled": "true",
    "spark.sql.adaptive.skewJoin.skewedPartitionFactor": "2",
    "spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes": "1KB",
    "spark.sql.adaptive.advisoryPartitionSizeInBytes": "1KB",
}
"""Made for hundreds of megabytes, the defaults would never call a drill's partitions skewed."""


class ShuffleJoin(Generated):
    """Join."""

    type: Literal["shuffle-join"]
    aqe: bool = True
    """Whether Spark may change the plan while it runs."""
    hot: int = Field(default=2, ge=1, le=_MISSING - 1)
    """Keys that half of the facts have between them."""
    dimension: int = Field(default=20_000, ge=_MISSING)
    """Keys there are."""

    def answer(self) -> Answer:
        """Facts whose key the dimension has, with its value."""
        import numpy as np

        from muster.spark import answers
        from tasks.spark.draw import hashed

        def result(ids: "Longs") -> "tuple[Longs, Longs]":
            is_hot, hot, cold, amount = (draw.of(ids) for draw in self._draws)
            keys = np.where(is_hot == 1, hot, cold)
            is_there = keys % _MISSING != _MISSING - 1
            ids, keys, amount = ids[is_there], keys[is_there], amount[is_there]
            values = hashed(keys, self.seed, _VALUE)
            return answers.hash_rows(ids, keys, amount, values), keys % _PARTS

        return answers.answer_of(self.rows, result)

    def run(self, spark: "SparkSession", place: Place) -> None:
        """Generate both sides, join, write."""
        from pyspark.sql import functions as f

        facts = spark.range(0, self.rows, 1, self.partitions).select(
            "id", self._key.alias("key"), self._draws[3].column().alias("amount")
        )
        keys = spark.range(0, self.dimension, 1, self.partitions).withColumnRenamed("id", "key")
        dimension = keys.where(f.col("key") % _MISSING != _MISSING - 1).withColumn("value", self._value)
        wanted = {"spark.sql.adaptive.enabled": str(self.aqe).lower(), **SHUFFLED_JOINS, **_SKEW}
        with settings(spark, {**wanted, **tasks_of_a_stage(self.partitions)}):
            joined = facts.hint("merge").join(dimension, "key")
            joined.select(*_COLUMNS).write.mode("overwrite").parquet(place.output)

    def inspect(self, spark: "SparkSession", place: Place) -> Inspection:
        """Read it back: every row says by its id what it must be."""
        from pyspark.sql import functions as f

        rows = rows_at(spark, place.output, _SCHEMA)
        is_damaged = (
            (f.col("key") != self._key) | (f.col("amount") != self._draws[3].column()) | (f.col("value") != self._value)
        )
        answer = answer_of(rows, _COLUMNS, f.pmod("key", f.lit(_PARTS)), is_damaged)
        return Inspection(answer=answer, output=output_of(spark, place.output))

    @property
    def _draws(self) -> tuple[Draw, Draw, Draw, Draw]:
        return (
            self.draw(_IS_HOT, 2),
            self.draw(_HOT, self.hot),
            self.draw(_COLD, self.dimension),
            self.draw(_AMOUNT, 10_000),
        )

    @property
    def _key(self) -> "Column":
        from pyspark.sql import functions as f

        is_hot, hot, cold, _ = (draw.column() for draw in self._draws)
        return f.when(is_hot == 1, hot).otherwise(cold)

    @property
    def _value(self) -> "Column":
        return hashed_column("key", self.seed, _VALUE)


WORKLOAD = ShuffleJoin
