"""Files of a job's place, through the file system that Spark itself uses for them, wherever that is."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def files_below(spark: "SparkSession", uri: str) -> dict[str, int]:
    """Every file by its relative name, to its bytes, and every hidden folder with a slash at its end, not looked into.

    Checksum files are left out. Nothing where there is no such folder.
    """
    system, root = _reach(spark, uri)
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


def exists(spark: "SparkSession", uri: str) -> bool:
    """Whether there is such a file or folder."""
    system, path = _reach(spark, uri)
    return bool(system.exists(path))


def delete(spark: "SparkSession", uri: str) -> None:
    """Make sure that a folder and all below it is gone."""
    system, path = _reach(spark, uri)
    system.delete(path, True)


def move(spark: "SparkSession", uri: str, to: str) -> None:
    """Rename a folder; `OSError` when the file system did not."""
    system, path = _reach(spark, uri)
    if not system.rename(path, _reach(spark, to)[1]):
        raise OSError(f"{uri} could not be renamed to {to}")


def mark(spark: "SparkSession", uri: str) -> None:
    """Make an empty file: it is there as a whole, or not at all."""
    system, path = _reach(spark, uri)
    system.create(path, True).close()


def _reach(spark: "SparkSession", uri: str) -> tuple[Any, Any]:
    """The file system that a URI belongs to, and the path on it."""
    jvm: Any = spark.sparkContext._jvm
    path = jvm.org.apache.hadoop.fs.Path(uri)
    return path.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration()), path
