"""A job's result, read back in Spark: its digest by parts, and its files.

Runs in the driver's process. Only digests and names of files leave the cluster.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from muster.spark.digest import Answer, Digest, combined
from muster.spark.observations import Output

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

MOST_PARTS = 512
_SHOWN = 20
SUCCESS = "_SUCCESS"


def answer_of(frame: "DataFrame", columns: Sequence[str], part: "Column", damaged: "Column | None" = None) -> Answer:
    """The digest of the rows of a frame, by part. `damaged` says of a row that it is not what its id says."""
    from pyspark.sql import functions as f

    is_damaged = damaged if damaged is not None else f.lit(False)
    rows = frame.select(f.xxhash64(*columns).alias("h"), part.cast("string").alias("p"), is_damaged.alias("d"))
    found = (
        rows.groupBy("p")
        .agg(
            f.count("*").alias("n"),
            f.expr("bit_xor(h)").alias("x"),
            f.sum(f.col("h").cast("decimal(38,0)")).alias("s"),
            f.count_if(f.col("d")).alias("damaged"),
        )
        .limit(MOST_PARTS + 1)
        .collect()
    )
    if len(found) > MOST_PARTS:
        raise ValueError(f"the result has more than {MOST_PARTS} parts: choose a coarser one")
    parts = {str(r["p"]): Digest.of(r["n"], r["x"], int(r["s"]), r["damaged"]) for r in found}
    return Answer(whole=combined(parts.values()), parts=dict(sorted(parts.items())))


def output_of(spark: "SparkSession", uri: str, *, expected: Sequence[str] = ()) -> Output:
    """The files below a folder: how many, and whatever does not belong to a job that has ended.

    `expected` are folders below it that must be there.
    """
    jvm: Any = spark.sparkContext._jvm
    root = jvm.org.apache.hadoop.fs.Path(uri)
    system = root.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())
    names = _names(system, root)
    data = {name: size for name, size in names.items() if _is_data(name)}
    extra = [name for name in names if name not in data and name.rpartition("/")[2] not in {SUCCESS}]
    folders = {name.rpartition("/")[0] for name in data}
    return Output(
        files=len(data),
        bytes=sum(data.values()),
        is_marked_complete=SUCCESS in names,
        extra=tuple(sorted(extra)[:_SHOWN]),
        missing=tuple(sorted(set(expected) - folders)[:_SHOWN]),
    )


def _names(system: Any, root: Any) -> dict[str, int]:
    """Every file and every empty or hidden folder below the root, by its relative name; checksum files left out."""
    found: dict[str, int] = {}
    if not system.exists(root):
        return found
    prefix = len(system.makeQualified(root).toString()) + 1
    waiting = [root]
    while waiting:
        for status in system.listStatus(waiting.pop()):
            name = status.getPath().toString()[prefix:]
            if status.isDirectory():
                if name.rpartition("/")[2].startswith(("_", ".")):
                    found[f"{name}/"] = 0
                else:
                    waiting.append(status.getPath())
            elif not name.endswith(".crc"):
                found[name] = status.getLen()
    return found


def _is_data(name: str) -> bool:
    last = name.rpartition("/")[2]
    return not name.endswith("/") and last.startswith("part-") and last.endswith((".parquet", ".csv", ".json"))


def delete(spark: "SparkSession", uri: str) -> None:
    """Make sure that a folder and all below it is gone."""
    jvm: Any = spark.sparkContext._jvm
    path = jvm.org.apache.hadoop.fs.Path(uri)
    path.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration()).delete(path, True)
