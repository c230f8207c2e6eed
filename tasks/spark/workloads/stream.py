"""Workload `stream`: read events from small files as a stream, drop those that come twice, write each exactly once.

Some events are in two files, as from a sender that tries again; the stream knows them by its state. The answer is known
by mathematics. A driver that dies is followed by one that goes on from the checkpoint: the source is made before the
stream starts and counts as made only once its mark is there; then neither it nor the checkpoint is touched again. What
killed batches left in the sink is not in the sink's log, and its readers pass over it. Source: Spark's Structured
Streaming guide, "Fault Tolerance Semantics", "Streaming Deduplication".
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from muster.spark.digest import Answer
from muster.spark.observations import Inspection
from tasks.spark.conf import settings, tasks_of_a_stage
from tasks.spark.files import delete, exists, mark, move
from tasks.spark.result import answer_of, each_once, rows_at, sink_of
from tasks.spark.workloads.workload import Generated, Place

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession

    from muster.spark.answers import Longs

_SCHEMA = "id bigint, second bigint"
_AGAIN = 1
_OFTEN = 8
"""One of so many events comes twice."""
_BEGIN, _SECONDS = 1_700_000_000, 1_800
"""The events' own time. All are within the watermark's delay: which of them come late is up to the order of files, and
none may be dropped for it."""
_DELAY = "1 day"


class Stream(Generated):
    """Keep up."""

    type: Literal["stream"]
    files: int = Field(default=24, ge=1)
    """Of the source."""
    files_per_batch: int = Field(default=4, ge=1)

    compared = "every event, through the sink's own log"
    not_compared = "how events fall into batches and files, which may differ"

    def answer(self) -> Answer:
        """Each event once."""
        from muster.spark import answers

        def result(ids: "Longs") -> "tuple[Longs, Longs]":
            return answers.hash_rows(ids, _BEGIN + ids * _SECONDS // self.rows), self.span_of(ids)

        return answers.answer_of(self.rows, result)

    def run(self, spark: "SparkSession", place: Place) -> None:
        """Make the source unless it is there; stream until all of it is through."""
        if not (place.is_again and exists(spark, _source_mark(place))):
            delete(spark, place.lap)
            self._make_source(spark, place)
        with settings(spark, tasks_of_a_stage(self.partitions)):
            self._stream(spark, place)

    def inspect(self, spark: "SparkSession", place: Place) -> Inspection:
        """Read the sink back as any reader would; count each event."""
        from pyspark.sql import functions as f

        rows = rows_at(spark, place.output, _SCHEMA)
        answer = answer_of(rows, ["id", "second"], self.span_column(), f.col("second") != self._second)
        output = sink_of(spark, place.output, _checkpoint(place))
        return Inspection(answer=answer, output=output, problems=each_once(rows, self.rows, "event", "events"))

    def _make_source(self, spark: "SparkSession", place: Place) -> None:
        from pyspark.sql import functions as f

        ids = spark.range(0, self.rows, 1, self.partitions)
        copies = f.when(self.draw(_AGAIN, _OFTEN).column() == 0, 2).otherwise(1)
        arrivals = ids.select("id", f.explode(f.sequence(f.lit(1), copies)).alias("copy"))
        # Tasks of a driver that was killed may still write: each has a folder of its own until its files are whole.
        partial = f"{place.lap}/source-{spark.sparkContext.applicationId}"
        spread = arrivals.repartition(self.files, "id", "copy")
        spread.select("id", self._second.alias("second")).write.mode("overwrite").parquet(partial)
        move(spark, partial, _source(place))
        mark(spark, _source_mark(place))

    def _stream(self, spark: "SparkSession", place: Place) -> None:
        from pyspark.sql import functions as f

        source = spark.readStream.schema(_SCHEMA).option("maxFilesPerTrigger", self.files_per_batch)
        events = source.parquet(_source(place)).withColumn("at", f.timestamp_seconds("second"))
        known = events.withWatermark("at", _DELAY).dropDuplicates(["id", "at"])
        query = (
            known.select("id", "second")
            .writeStream.format("parquet")
            .option("checkpointLocation", _checkpoint(place))
            .trigger(availableNow=True)
            .start(place.output)
        )
        try:
            query.awaitTermination()
        finally:
            query.stop()

    @property
    def _second(self) -> "Column":
        from pyspark.sql import functions as f

        return f.expr(f"{_BEGIN}L + id * {_SECONDS}L div {self.rows}L")


def _source(place: Place) -> str:
    return f"{place.lap}/source"


def _source_mark(place: Place) -> str:
    return f"{place.lap}/source-is-whole"


def _checkpoint(place: Place) -> str:
    return f"{place.lap}/checkpoint"


WORKLOAD = Stream
