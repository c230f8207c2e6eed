"""The driver's own process: `python -m tasks.spark.driver FOLDER STARTER`, with the pid of whoever starts it. It makes
an application and runs laps, one by one.

Promises: it runs what it is asked and ends when it is told; when whoever started it is gone it ends whatever it does,
its JVM with it; a job that fails is told, never repeated by us; what it tells of a result is a digest.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.spark.post import CONFIG, END, UP, Ask, Config, Told, Up, ask_name, hear, say, told_name
from tasks.spark.workloads.workload import Place, Workload, open_workload

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_NAP = 0.01
_ERROR = 600
"""Characters of an error that are kept."""


def main(folder: Path, starter: int) -> int:
    """Serve until told to end."""
    from tasks.spark.watchdog import Watchdog  # this module is shipped to where there is no psutil

    with Watchdog(starter):
        return _serve(folder)


def _serve(folder: Path) -> int:
    config = hear(folder, CONFIG, Config)
    if config is None:
        raise FileNotFoundError(folder / CONFIG)
    workload = open_workload(config.workload)
    spark = session_of(config)
    try:
        say(folder, UP, up_of(spark))
        number = 0
        while not (folder / END).exists():
            if (folder / told_name(number)).exists():
                number += 1
            elif ask := hear(folder, ask_name(number), Ask):
                say(folder, told_name(number), run_lap(spark, workload, config, ask))
            else:
                time.sleep(_NAP)
    finally:
        spark.stop()
    return 0


def session_of(config: Config) -> "SparkSession":
    """An application as it was asked for."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName(config.application).master(config.master)
    for key, value in config.settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def up_of(spark: "SparkSession") -> Up:
    """What is to be known of an application."""
    context = spark.sparkContext
    return Up(
        application=context.applicationId,
        ui=context.uiWebUrl or "",
        spark=spark.version,
        java=context._jvm.java.lang.System.getProperty("java.version"),  # type: ignore[union-attr]
        cores=context.defaultParallelism,
    )


def run_lap(spark: "SparkSession", workload: Workload, config: Config, ask: Ask) -> Told:
    """Do the job once, and look at its result."""
    place = Place(
        lap=f"{config.data}/{ask.group}",
        shared=f"{config.data}/shared",
        number=ask.lap,
        disturbed=ask.disturbed,
        is_again=ask.is_again,
    )
    context = spark.sparkContext
    context.setJobDescription(ask.words)
    context.addJobTag(ask.group)
    began_ms, began = _now_ms(), time.monotonic()
    error = _attempt(lambda: workload.run(spark, place))
    ended_ms, seconds = _now_ms(), time.monotonic() - began
    context.clearJobTags()
    context.setJobDescription(f"{ask.words}: looking at the result")
    inspections = []
    broken = _attempt(lambda: inspections.append(workload.inspect(spark, place)))
    return Told(
        number=ask.number,
        question=workload.question,
        state="failed" if error else "succeeded",
        error=error or (f"the result could not be read: {broken}" if broken else ""),
        began_ms=began_ms,
        ended_ms=ended_ms,
        seconds=seconds,
        inspect_seconds=time.monotonic() - began - seconds,
        inspection=inspections[0] if inspections else None,
    )


def _attempt(act: Callable[[], None]) -> str:
    """What an act raised, in words; empty when it did well."""
    try:
        act()
    except Exception as error:  # whatever the job raises is how it ended
        said = str(getattr(error, "java_exception", None) or error).strip() or type(error).__name__
        return " ".join(said.split())[:_ERROR]
    return ""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
