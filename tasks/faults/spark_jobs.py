"""Jobs that break what they promise once a task of theirs is run again, and one that does not.

They are run by the workload `user`, as a team's own job is. Their tasks sleep more than they compute, so that a fault
finds them at work however fast the machine is.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from uuid import uuid4

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from tasks.spark.workloads.workload import Place

ROWS, PARTS = 400, 8
_TASK_SECONDS, _LASTING_SECONDS, _LONG_SECONDS = 0.6, 2.0, 300.0
"""Of a task; of one that has to be lost: an executor that is between two loses none; of one that hangs."""
_UNEVEN_SECONDS = 2.0, 6.0
"""Of two tasks and the next two, in turn: two cores of an executor never come to an end together."""
_SCHEMA = "key bigint, id bigint"
Rows = Iterable[tuple[int, int]]


def job(spark: "SparkSession", place: "Place", parameters: Mapping[str, str]) -> "DataFrame | None":
    """Count to `ROWS`, shuffle, and write; `does` says how the reducing side behaves."""
    does = parameters["does"]
    if does == "fails":
        raise RuntimeError("the job cannot be run")
    if does == "appends":
        return _appended(spark, place)
    marks = _path(f"{place.lap}/marks")
    marks.mkdir(parents=True)
    return spark.createDataFrame(_shuffled(spark).mapPartitions(_reduce(does, marks, _path(place.output))), _SCHEMA)


def invariant(spark: "SparkSession", place: "Place") -> list[str]:
    """The sum of all ids is known; the job `shifts` one where it was disturbed."""
    total = spark.read.parquet(place.output).groupBy().sum("id").collect()[0][0]
    expected = ROWS * (ROWS - 1) // 2
    return [] if total == expected else [f"the ids add up to {total}, not to {expected}"]


def shift(spark: "SparkSession", place: "Place", parameters: Mapping[str, str]) -> "DataFrame | None":
    """A job whose result is off by one when it was disturbed."""
    from pyspark.sql import functions as f

    frame = job(spark, place, {**parameters, "does": "well"})
    return frame if frame is None or not place.disturbed else frame.withColumn("id", f.col("id") + 1)


def truncate(spark: "SparkSession", place: "Place", parameters: Mapping[str, str]) -> "DataFrame | None":
    """A job that passes off the little it has as the whole when it fails."""
    frame = job(spark, place, parameters)
    if frame is None or not place.disturbed:
        return frame
    try:
        frame.write.parquet(place.output)
    except Exception:
        spark.createDataFrame([(0, 0)], _SCHEMA).write.mode("overwrite").parquet(place.output)
        raise
    return None


def _numbers(spark: "SparkSession") -> Any:
    return spark.sparkContext.parallelize(range(ROWS), PARTS).map(lambda n: (n % (2 * PARTS), n))


def _shuffled(spark: "SparkSession") -> Any:
    return _numbers(spark).partitionBy(PARTS)


def _partition() -> int:
    from pyspark import TaskContext

    context = TaskContext.get()
    return context.partitionId() if context else 0


def _is_again(marks: Path) -> bool:
    """Whether this partition was begun before: whoever begins it leaves a mark."""
    try:
        (marks / str(_partition())).touch(exist_ok=False)
    except FileExistsError:
        return True
    return False


def _reduce(does: str, marks: Path, output: Path) -> Callable[[Rows], Iterator[tuple[int, int]]]:
    """The reducing side: well behaved the first time, whatever it does when it is run again."""

    def reduce(rows: Rows) -> Iterator[tuple[int, int]]:
        is_bad = _is_again(marks) and does not in {"well", "lasts"}
        time.sleep(_LONG_SECONDS if is_bad and does == "hangs" else _usual_seconds(does))
        if is_bad and does == "leaves":
            (output / f".part-{uuid4().hex}.parquet.inprogress").write_bytes(b"PAR1")
        if is_bad and does == "drops":
            return
        for key, number in rows:
            yield key, number + (1 if is_bad and does == "differs" else 0)

    return reduce


def _usual_seconds(does: str) -> float:
    if does == "lasts":
        return _UNEVEN_SECONDS[_partition() // 2 % 2]
    return _TASK_SECONDS if does == "well" else _LASTING_SECONDS


def _appended(spark: "SparkSession", place: "Place") -> "DataFrame":
    """A sink that is not idempotent: each task before the shuffle writes its rows under a name of its own.

    When an executor is lost while others still reduce, what it had shuffled is made again, and so is what it wrote.
    """
    import json

    folder = _path(f"{place.lap}/sink")
    folder.mkdir(parents=True)

    def write(rows: Rows) -> Rows:
        kept = list(rows)
        path = folder / f"{uuid4().hex}.json"
        path.write_text("".join(json.dumps({"key": k, "id": n}) + "\n" for k, n in kept), encoding="utf-8")
        return kept

    def read(_rows: Rows) -> None:
        time.sleep(_TASK_SECONDS)

    _numbers(spark).mapPartitions(write).partitionBy(PARTS).foreachPartition(read)
    return spark.read.schema(_SCHEMA).json(folder.as_uri())


def _path(uri: str) -> Path:
    return Path(os.fspath(urlparse(uri).path))
