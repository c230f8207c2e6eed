"""Workload `commit`: overwrite the days of a table that new rows are of, and leave its other days alone.

The lap writes a table of older rows first: every day that comes again, and one more. Then the new rows overwrite their
days (`spark.sql.sources.partitionOverwriteMode=dynamic`). A day that was half overwritten, written twice or lost, an
older row that came back, a folder that the committer forgot: all are seen. The answer is known by mathematics. A driver
that dies is followed by one that begins the lap anew, older table and all: what the dead one left of a half-made commit
is removed, and not judged. Source: Spark's cloud integration guide, "Hadoop committers"; Hadoop's
`FileOutputCommitter`.
"""

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from muster.spark.digest import Answer
from muster.spark.observations import Inspection
from tasks.spark.conf import settings
from tasks.spark.draw import hashed_column, long
from tasks.spark.files import delete
from tasks.spark.result import answer_of, output_of, rows_at
from tasks.spark.workloads.workload import Generated, Place

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from muster.spark.answers import Longs

_SCHEMA = "id bigint, issue bigint, value bigint, day bigint"
_COLUMNS = ("id", "issue", "value", "day")
_OLDER, _NEWER = 0, 1
_OLDER_SHARE = 4
"""One older row for so many new ones."""
_DYNAMIC = {"spark.sql.sources.partitionOverwriteMode": "dynamic"}
_STATIC = {"spark.sql.sources.partitionOverwriteMode": "static"}


class Commit(Generated):
    """Overwrite."""

    type: Literal["commit"]
    days: int = Field(default=8, ge=1, le=400)
    """Partitions of the table that are overwritten; one more is left alone."""
    committer: Literal["v1", "v2"] = "v1"
    """Algorithm of Hadoop's committer: `v1` moves files when the job ends, `v2` when each task does."""
    compared = "every row of every day, and the folders of the days"

    @model_validator(mode="after")
    def _days_have_rows(self) -> Self:
        if self.rows < self.days:
            raise ValueError(f"rows must be at least days ({self.days}): each day is overwritten by some row")
        return self

    def answer(self) -> Answer:
        """New rows in the days that they are of; older ones in the day that none is of."""
        import numpy as np

        from muster.spark import answers

        def newer(ids: "Longs") -> "tuple[Longs, Longs]":
            return self._hashes(ids, _NEWER), ids % self.days

        def older(ids: "Longs") -> "tuple[Longs, Longs]":
            ids = ids[ids % (self.days + 1) == self.days]
            return self._hashes(ids, _OLDER), np.full_like(ids, self.days)

        kept = answers.answer_of(self._older_rows, older)
        return answers.whole_of({**answers.answer_of(self.rows, newer).parts, **kept.parts})

    def run(self, spark: "SparkSession", place: Place) -> None:
        """Write the older table; overwrite its days."""
        delete(spark, place.lap)
        older = self._issue(spark, self._older_rows, self.days + 1, _OLDER)
        newer = self._issue(spark, self.rows, self.days, _NEWER)
        with settings(spark, _STATIC):
            self._write(older.coalesce(1), place)
        with settings(spark, _DYNAMIC):
            self._write(newer.repartition(self.partitions, "id"), place)

    def inspect(self, spark: "SparkSession", place: Place) -> Inspection:
        """Read it back: every row, every folder."""
        from pyspark.sql import functions as f

        rows = rows_at(spark, place.output, _SCHEMA)
        is_newer = f.col("issue") == _NEWER
        days = f.when(is_newer, long(self.days)).otherwise(long(self.days + 1))
        is_damaged = (f.col("value") != self._value) | (f.col("day") != f.pmod("id", days))
        answer = answer_of(rows, _COLUMNS, f.col("day"), is_damaged)
        output = output_of(spark, place.output, expected=[f"day={day}" for day in range(self.days + 1)])
        return Inspection(answer=answer, output=output)

    def _issue(self, spark: "SparkSession", rows: int, days: int, issue: int) -> "DataFrame":
        from pyspark.sql import functions as f

        return spark.range(0, rows, 1, self.partitions).select(
            "id", long(issue).alias("issue"), self._value.alias("value"), f.pmod("id", long(days)).alias("day")
        )

    def _write(self, rows: "DataFrame", place: Place) -> None:
        version = self.committer.removeprefix("v")
        writer = rows.write.mode("overwrite").partitionBy("day")
        writer.option("mapreduce.fileoutputcommitter.algorithm.version", version).parquet(place.output)

    def _hashes(self, ids: "Longs", issue: int) -> "Longs":
        import numpy as np

        from muster.spark import answers
        from tasks.spark.draw import hashed

        day = ids % (self.days + 1 if issue == _OLDER else self.days)
        return answers.hash_rows(ids, np.full_like(ids, issue), hashed(ids, self.seed), day)

    @property
    def _older_rows(self) -> int:
        return max(self.days + 1, self.rows // _OLDER_SHARE)

    @property
    def _value(self) -> "Column":
        return hashed_column("id", self.seed)


WORKLOAD = Commit
