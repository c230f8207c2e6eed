"""Workload `terasort`: generate rows, sort them by a random key, write them, validate as TeraValidate does.

The answer is known by mathematics: sorting changes no row. Beside the digest: every row carries a check of its own,
rows are in order within each file, and no file begins before the one before it ends. Source: Hadoop's TeraGen, TeraSort
and TeraValidate (`org.apache.hadoop.examples.terasort`).
"""

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from muster.spark.digest import Answer
from muster.spark.observations import Inspection
from tasks.spark.result import answer_of, output_of, rows_at
from tasks.spark.workloads.workload import Generated, Place

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_RANGE_BITS = 60
"""The upper four bits of the key are its part: sixteen ranges are told apart in the digest."""


class Terasort(Generated):
    """Sort."""

    type: Literal["terasort"]
    compared = "every row, and their order"

    def answer(self) -> Answer:
        """The rows that were generated."""
        import numpy as np

        from muster.spark import answers

        def result(ids: answers.Longs) -> tuple[answers.Longs, answers.Longs]:
            keys = answers.hash_rows(ids, np.full_like(ids, self.seed))
            return answers.hash_rows(keys, ids), keys >> np.int64(_RANGE_BITS)

        return answers.answer_of(self.rows, result)

    def run(self, spark: "SparkSession", place: Place) -> None:
        """Generate, sort, write."""
        from pyspark.sql import functions as f

        ids = spark.range(0, self.rows, 1, self.partitions)
        rows = ids.select(
            f.xxhash64("id", f.lit(self.seed).cast("bigint")).alias("key"),
            "id",
            f.sha2(f.col("id").cast("string"), 256).alias("payload"),
        )
        rows.repartitionByRange(self.partitions, "key").sortWithinPartitions("key").write.mode("overwrite").parquet(
            place.output
        )

    def inspect(self, spark: "SparkSession", place: Place) -> Inspection:
        """Read it back: every row, their order, the files."""
        from pyspark.sql import Window
        from pyspark.sql import functions as f

        rows = rows_at(spark, place.output, "key bigint, id bigint, payload string")
        is_damaged = (f.col("key") != f.xxhash64("id", f.lit(self.seed).cast("bigint"))) | (
            f.col("payload") != f.sha2(f.col("id").cast("string"), 256)
        )
        answer = answer_of(rows, ["key", "id"], f.shiftright("key", _RANGE_BITS), is_damaged)
        placed = rows.select(
            f.element_at(f.split(f.input_file_name(), "/"), -1).alias("file"),
            f.monotonically_increasing_id().alias("place"),
            "key",
        )
        before = f.lag("key").over(Window.partitionBy("file").orderBy("place"))
        files = (
            placed.withColumn("before", before)
            .groupBy("file")
            .agg(
                f.min("key").alias("least"),
                f.max("key").alias("most"),
                f.count_if(f.col("before") > f.col("key")).alias("wrong"),
            )
            .orderBy("file")
            .collect()
        )
        problems = [f"{row['file']}: {row['wrong']:,} rows are out of order" for row in files if row["wrong"]]
        problems += [
            f"{after['file']} begins before {first['file']} ends"
            for first, after in pairwise(files)
            if after["least"] < first["most"]
        ]
        return Inspection(answer=answer, output=output_of(spark, place.output), problems=tuple(problems[:20]))


WORKLOAD = Terasort
