"""One lap in an application of its own, on a cluster where the drill cannot start a driver.

It is shipped with our package, and started by the cluster's own service: `onelap.main(FOLDER)`, where FOLDER is the URI
of the lap's folder as Spark names it. What is asked is read there (`driver.json` and an ask), what is told is written
there, the same files as between a drill and a driver beside it. While the job runs its progress is written there every
second: whoever started it has no other way to see it. It needs Python 3.11 or newer and pydantic 2, and no more.
"""

import json
import os
import threading
import urllib.request
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from tasks.spark.driver import run_lap, up_of
from tasks.spark.post import CONFIG, UP, Ask, Config, ask_name, told_name
from tasks.spark.workloads.workload import open_workload

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

M = TypeVar("M", bound=BaseModel)
PROGRESS = "progress.json"
_EVERY = 1.0
_SECONDS = 10.0
_ASKED = {"jobs": "jobs", "stages": "stages?details=false", "allexecutors": "allexecutors"}
_STOPS_ITSELF = "DATABRICKS_RUNTIME_VERSION"
"""Set where the platform owns the application, and forbids to stop it."""


def main(folder: str) -> None:
    """Run the lap."""
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.getOrCreate()
    place = _Place(spark, folder)
    config, ask = place.read(CONFIG, Config), place.read(ask_name(0), Ask)
    up = up_of(spark)
    place.write(UP, up.model_dump_json())
    with _Progress(place, f"{up.ui}/api/v1/applications/{up.application}"):
        told = run_lap(spark, open_workload(config.workload), config, ask)
    place.write(told_name(0), told.model_dump_json())
    if _STOPS_ITSELF not in os.environ:
        spark.stop()


class _Place:
    """The lap's folder, through the file system that Spark itself uses."""

    def __init__(self, spark: "SparkSession", folder: str) -> None:
        self._jvm: Any = spark.sparkContext._jvm
        self._folder = folder
        root = self._path("")
        self._system = root.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())

    def read(self, name: str, model: type[M]) -> M:
        """What a file says."""
        stream = self._system.open(self._path(name))
        try:
            return model.model_validate_json(self._jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8"))
        finally:
            stream.close()

    def write(self, name: str, text: str) -> None:
        """Make a file, in the place of one that is there."""
        stream = self._system.create(self._path(name), True)
        try:
            stream.write(bytearray(text.encode()))
        finally:
            stream.close()

    def _path(self, name: str) -> Any:
        return self._jvm.org.apache.hadoop.fs.Path(f"{self._folder}/{name}".rstrip("/"))


class _Progress(threading.Thread):
    """Writes down, every second and once more at the end, what the application tells of itself."""

    def __init__(self, place: _Place, api: str) -> None:
        super().__init__(name="progress", daemon=True)
        self._place = place
        self._api = api
        self._is_over = threading.Event()

    def __enter__(self) -> "_Progress":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join()
        self._write()

    def run(self) -> None:
        """Until the job is over."""
        while not self._is_over.wait(_EVERY):
            self._write()

    def _write(self) -> None:
        try:
            told = {name: _asked(f"{self._api}/{what}") for name, what in _ASKED.items()}
            self._place.write(PROGRESS, json.dumps(told))
        except Exception as error:  # a lap whose progress cannot be told is still a lap
            print(f"the progress was not written: {error}")


def _asked(url: str) -> Any:
    """On YARN the driver's own address sends us on to the proxy; urllib follows."""
    if not url.startswith("http"):
        raise ValueError("the application has no UI")
    with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310 - http, as asked above
        return json.load(answer)
