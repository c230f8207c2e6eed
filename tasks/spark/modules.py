"""A team's modules for the executors, which do not see the driver's folders."""

import zipfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from muster.errors import UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def ship(spark: "SparkSession", folder: Path) -> None:
    """Make sure that every executor can import the modules below a folder; once in an application.

    They go out as they are then: a module that is changed later takes a new application.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder} to look for modules in", "mend `path` of the plan's workload")
    archive = _home(spark) / f"modules-{sha256(str(folder.resolve()).encode()).hexdigest()[:16]}.zip"
    if archive.exists():
        return
    modules = sorted(folder.rglob("*.py"))
    with zipfile.ZipFile(archive, "w") as packed:
        for module in modules:
            packed.write(module, module.relative_to(folder))
    spark.sparkContext.addPyFile(str(archive))


def _home(spark: "SparkSession") -> Path:
    """Spark's own temporary folder: executors fetch from it, and it goes when the application ends."""
    return Path(spark.sparkContext._temp_dir)
