"""A job's result, read back in Spark: its digest by parts, and its files.

Runs in the driver's process. Only digests, counts and names of files leave the cluster.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from muster.quantity import count_of
from muster.spark.digest import Answer, Digest, combined
from muster.spark.observations import Output
from tasks.spark.files import exists, files_below

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import DataType

MOST_PARTS = 512
_SHOWN = 20
SUCCESS = "_SUCCESS"
_SINK_LOG = "_spark_metadata/"


def rows_at(spark: "SparkSession", uri: str, schema: str) -> "DataFrame":
    """The rows of a parquet result: none where all files or the folder are gone, which the digest then tells."""
    if not exists(spark, uri):
        return spark.createDataFrame([], schema)
    return spark.read.schema(schema).option("ignoreMissingFiles", True).parquet(uri)


def whatever_is_at(spark: "SparkSession", uri: str) -> "DataFrame | None":
    """The rows of a parquet result of any form; `None` where there is no file of it."""
    return spark.read.parquet(uri) if any(map(_is_data, files_below(spark, uri))) else None


def answer_of(
    frame: "DataFrame", columns: "Sequence[str | Column]", part: "Column", damaged: "Column | None" = None
) -> Answer:
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


def every_column(frame: "DataFrame") -> "list[Column]":
    """The columns of a frame in a form that `xxhash64` takes, and that tells apart whatever differs."""
    from pyspark.sql import functions as f

    return [_telling(f.col(f"`{field.name.replace('`', '``')}`"), field.dataType) for field in frame.schema.fields]


def _telling(value: "Column", kind: "DataType") -> "Column":
    """A value with what `xxhash64` passes over, nulls and ends of arrays; maps, which it refuses, as sorted pairs."""
    from pyspark.sql import functions as f
    from pyspark.sql import types as t

    match kind:
        case t.StructType():
            inner = [_telling(value.getField(field.name), field.dataType) for field in kind.fields]
            told = f.struct(*(column.alias(f"c{n}") for n, column in enumerate(inner))) if inner else f.lit(0)
        case t.ArrayType():
            told = _sized(f.transform(value, lambda each: _telling(each, kind.elementType)))
        case t.MapType():
            pairs = f.transform(
                f.map_entries(value),
                lambda pair: f.struct(
                    _telling(pair.getField("key"), kind.keyType).alias("k"),
                    _telling(pair.getField("value"), kind.valueType).alias("v"),
                ),
            )
            told = _sized(f.array_sort(pairs))
        case t.VariantType():
            told = f.to_json(value)
        case _:
            told = value
    return f.struct(value.isNull().alias("is_null"), told.alias("told"))


def _sized(items: "Column") -> "Column":
    from pyspark.sql import functions as f

    return f.struct(f.cardinality(items).alias("size"), items.alias("items"))


def each_once(frame: "DataFrame", rows: int, one: str, many: str) -> tuple[str, ...]:
    """What is wrong, in words, unless each id from 0 to just under `rows` is in column `id` exactly once."""
    from pyspark.sql import functions as f

    is_known = f.col("id").between(0, rows - 1)
    counts = frame.groupBy("id").agg(f.count("*").alias("times"))
    found = counts.agg(
        f.count_if(is_known).alias("ids"),
        f.count_if(is_known & (f.col("times") > 1)).alias("doubled"),
        f.count_if(~f.coalesce(is_known, f.lit(False))).alias("strange"),
    ).first()
    if found is None:
        raise ValueError("a count without groups has one row")
    numbers = {"lost": rows - found["ids"], "there more than once": found["doubled"], "of no origin": found["strange"]}
    return tuple(f"{what}: {count_of(number, one, many)}" for what, number in numbers.items() if number)


def output_of(
    spark: "SparkSession", uri: str, *, expected: Sequence[str] = (), marked: Sequence[str] = ("",)
) -> Output:
    """The files below a folder: how many, and whatever does not belong to a job that has ended.

    `expected` are folders below it that must be there; `marked` those that must be marked complete, itself by default.
    """
    names = files_below(spark, uri)
    data = {name: size for name, size in names.items() if _is_data(name)}
    extra = [name for name in names if name not in data and name.rpartition("/")[2] not in {SUCCESS}]
    folders = {name.rpartition("/")[0] for name in data}
    return Output(
        files=len(data),
        bytes=sum(data.values()),
        is_marked_complete=all(f"{folder}/{SUCCESS}".lstrip("/") in names for folder in marked),
        extra=tuple(sorted(extra)[:_SHOWN]),
        missing=tuple(sorted(set(expected) - folders)[:_SHOWN]),
    )


def sink_of(spark: "SparkSession", uri: str, checkpoint: str) -> Output:
    """The files of a stream's sink, by the sink's own log, which is what its readers go by.

    Data that the log does not know is what batches that were killed left behind: readers pass over it, and so do
    we. The sink is complete when the last batch that the checkpoint holds as planned is held as committed too.
    Source: Spark's Structured Streaming guide, "Output Sinks".
    """
    names = files_below(spark, uri)
    logged: set[str] = set()
    if _SINK_LOG in names:
        logged = {name.rpartition("/")[2] for name in spark.read.schema("id bigint").parquet(uri).inputFiles()}
    data = {name.rpartition("/")[2]: size for name, size in names.items() if _is_data(name)}
    batches = files_below(spark, checkpoint)
    planned, committed = _latest(batches, "offsets/"), _latest(batches, "commits/")
    return Output(
        files=len(logged),
        bytes=sum(size for name, size in data.items() if name in logged),
        is_marked_complete=_SINK_LOG in names and planned is not None and planned == committed,
        extra=tuple(sorted(name for name in names if name != _SINK_LOG and not _is_data(name))[:_SHOWN]),
        missing=tuple(sorted(logged - set(data))[:_SHOWN]),
    )


def _latest(names: dict[str, int], folder: str) -> int | None:
    numbers = [name.removeprefix(folder) for name in names if name.startswith(folder)]
    return max((int(number) for number in numbers if number.isdigit()), default=None)


def _is_data(name: str) -> bool:
    last = name.rpartition("/")[2]
    return not name.endswith("/") and last.startswith("part-") and last.endswith((".parquet", ".csv", ".json"))
