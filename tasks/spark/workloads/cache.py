"""Workload `cache`: keep a dataset in the executors, go through it several times, and write a share of it each time.

An executor that is lost takes its cached blocks with it: what comes later computes them again, shuffle and all. Each
pass reads the whole dataset and writes the rows whose turn it is, so that a block computed wrongly is seen in the
passes after it. The answer is known by mathematics.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from muster.spark.digest import Answer
from muster.spark.observations import Inspection
from tasks.spark.draw import Draw, hashed, hashed_column
from tasks.spark.files import delete
from tasks.spark.result import answer_of, output_of, rows_at
from tasks.spark.workloads.workload import Generated, Place

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from muster.spark.answers import Longs

_SCHEMA = "id bigint, key bigint, value bigint, pass bigint"
_COLUMNS = ("id", "key", "value")
_KEY, _TURN, _VALUE = 1, 2, 3
_KEYS = 10_000
Storage = Literal["MEMORY_ONLY", "MEMORY_AND_DISK", "DISK_ONLY", "MEMORY_ONLY_2", "MEMORY_AND_DISK_2", "OFF_HEAP"]


class Cache(Generated):
    """Use again."""

    type: Literal["cache"]
    storage: Storage = "MEMORY_ONLY"
    """Where blocks are kept; `_2`: on two executors, so that a lost one takes none away."""
    passes: int = Field(default=3, ge=2, le=100)

    def answer(self) -> Answer:
        """Every row, in the pass whose turn it is."""
        from muster.spark import answers

        def result(ids: "Longs") -> "tuple[Longs, Longs]":
            keys, values = self._keys.of(ids), hashed(ids, self.seed, _VALUE)
            return answers.hash_rows(ids, keys, values), self._turns.of(ids)

        return answers.answer_of(self.rows, result)

    def run(self, spark: "SparkSession", place: Place) -> None:
        """Generate, shuffle, keep; go through it, pass by pass."""
        from pyspark.sql import functions as f

        delete(spark, place.lap)
        ids = spark.range(0, self.rows, 1, self.partitions)
        keyed = ids.select("id", self._keys.column().alias("key")).repartition(self.partitions, "key")
        with _kept(keyed.withColumn("value", self._value), self.storage) as rows:
            for number in range(self.passes):
                turn = rows.where(self._turns.column() == number).withColumn("pass", f.lit(number).cast("bigint"))
                turn.write.mode("append").parquet(place.output)

    def inspect(self, spark: "SparkSession", place: Place) -> Inspection:
        """Read all passes' rows back."""
        from pyspark.sql import functions as f

        rows = rows_at(spark, place.output, _SCHEMA)
        is_damaged = (
            (f.col("key") != self._keys.column())
            | (f.col("value") != self._value)
            | (f.col("pass") != self._turns.column())
        )
        answer = answer_of(rows, _COLUMNS, f.col("pass"), is_damaged)
        return Inspection(answer=answer, output=output_of(spark, place.output))

    @property
    def _keys(self) -> Draw:
        return self.draw(_KEY, _KEYS)

    @property
    def _turns(self) -> Draw:
        return self.draw(_TURN, self.passes)

    @property
    def _value(self) -> "Column":
        return hashed_column("id", self.seed, _VALUE)


@contextmanager
def _kept(frame: "DataFrame", storage: str) -> "Iterator[DataFrame]":
    """Persisted within the block; nothing of it stays, also when a pass fails."""
    from pyspark import StorageLevel

    kept = frame.persist(getattr(StorageLevel, storage))
    try:
        yield kept
    finally:
        kept.unpersist(blocking=True)


WORKLOAD = Cache
