"""`python -m bench.spark`: the stress drill beside bare Spark. Ratios of one run; `--only harness`, `digest`, `drill`
or `scale`.

- `harness`: a driver of ours that runs one lap, beside `spark-submit` of a script that does the same job.
- `digest`: reading the result back, as a share of the job's time, at three scales.
- `drill`: the shortest embedded drill, start to stop.
- `scale`: a drill over fifty million rows, and what memory Muster itself takes.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from bench.measure import Series, ratio, run
from bench.results import keep, machine, new_table, show
from tasks.process import AT_ONCE, Processes
from tasks.spark.cluster import Cluster, Shape
from tasks.spark.java import find_java, spark_home
from tasks.spark.session import DriverSession, Launch

MUSTER = Path(sys.executable).parent / "muster"
_ROWS = 400_000
_SCALES = (200_000, 800_000, 3_200_000)
_MOST = 50_000_000
_SECONDS = 3_000.0
_PATH = "/usr/bin:/bin"
_BARE = """
import sys
sys.path.insert(0, {root!r})
from pyspark.sql import SparkSession
from tasks.spark.workloads.workload import Place, open_workload
spark = SparkSession.builder.appName("bare").getOrCreate()
open_workload({workload!r}).run(spark, Place(lap={data!r}, shared={data!r}, number=0, disturbed=False))
spark.stop()
"""
_CONF = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "512m",
    "spark.executor.memory": "614m",
    "spark.ui.port": "0",
    "spark.ui.showConsoleProgress": "false",
}


@dataclass(frozen=True)
class Scaled:
    """One lap at one scale."""

    rows: int
    job: float
    digest: float


@contextmanager
def cluster_in(folder: Path) -> Iterator[tuple[Cluster, Processes]]:
    """A cluster of two workers that runs."""
    processes = Processes(folder / "processes", folder / "logs")
    cluster = Cluster(folder / "cluster", processes, find_java(), Shape())
    try:
        cluster.start(lambda: _SECONDS)
        yield cluster, processes
    finally:
        processes.stop_all(signals=AT_ONCE)


def session_in(folder: Path, cluster: Cluster, processes: Processes, workload: dict[str, Any]) -> DriverSession:
    """A driver of ours."""
    launch = Launch(
        application="bench",
        master=cluster.master_url,
        settings=_CONF,
        environment=cluster.environment,
        workload=workload,
        data=(folder / "data").as_uri(),
        folder=folder / "sessions",
        events=folder / "events",
    )
    return DriverSession("bench", launch, processes, lambda: _SECONDS).open()


def lap_of(session: DriverSession, number: int) -> tuple[float, float]:
    """Seconds of the job, and of reading its result back."""
    session.begin(number, f"bench-{number}", "bench", disturbed=False)
    while (told := session.ended()) is None:
        time.sleep(0.02)
    if told.state != "succeeded":
        raise RuntimeError(told.error)
    return told.seconds, told.inspect_seconds


def harness(folder: Path, rounds: int) -> Table:
    """One lap in a fresh driver of ours, until its answer is told, beside a fresh `spark-submit`; in turn."""
    workload = {"type": "terasort", "rows": _ROWS}
    bare, ours = [], []
    with cluster_in(folder) as (cluster, processes):
        script = folder / "bare.py"
        script.write_text(_BARE.format(root=str(Path.cwd()), workload=workload, data=(folder / "bare").as_uri()))
        argv = [str(spark_home() / "bin" / "spark-submit"), "--master", cluster.master_url]
        argv += [word for key, value in _CONF.items() for word in ("--conf", f"{key}={value}")] + [str(script)]
        for number in range(rounds):
            bare.append(run(argv, env={"PATH": _PATH, **cluster.environment}, timeout=_SECONDS).seconds)
            ours.append(_one_lap(folder / f"round-{number}", cluster, processes, workload))
    ratios = ratio(Series(tuple(ours)), Series(tuple(bare)))
    table = new_table("A lap beside spark-submit, whole processes, seconds", "rows", "spark-submit", "ours", "ratio")
    table.add_row(f"{_ROWS:,}", str(Series(tuple(bare))), str(Series(tuple(ours))), str(ratios))
    return table


def _one_lap(folder: Path, cluster: Cluster, processes: Processes, workload: dict[str, Any]) -> float:
    """From the driver's start to its end, without reading the result back: `spark-submit` does not either."""
    began = time.monotonic()
    session = session_in(folder, cluster, processes, workload)
    _, back = lap_of(session, 0)
    session.end()
    return time.monotonic() - began - back


def digest(folder: Path) -> Table:
    """What reading the result back costs, warm."""
    table = new_table(
        "Reading the result back, as a share of the job, warm", "workload", "rows", "job", "digest", "share"
    )
    with cluster_in(folder) as (cluster, processes):
        for kind in ("aggregate", "terasort"):
            for rows in _SCALES:
                session = session_in(folder / f"{kind}-{rows}", cluster, processes, {"type": kind, "rows": rows})
                lap_of(session, 0)
                job, back = lap_of(session, 1)
                session.end()
                table.add_row(kind, f"{rows:,}", f"{job:.1f} s", f"{back:.1f} s", f"{back / job:.2f}")
    return table


def drill(folder: Path) -> Table:
    """Start, baseline, fault, compare, stop."""
    seconds, peak = _run(folder, yaml.safe_load(Path("deployments/spark-smoke.yaml").read_text()))
    table = new_table("The shortest embedded drill", "seconds", "Muster's memory, MB")
    table.add_row(f"{seconds:.0f}", f"{peak:.0f}")
    return table


def scale(folder: Path, rows: int) -> Table:
    """A drill over many rows: memory of Muster itself, the driver left out."""
    table = new_table("A whole drill, by rows", "rows", "seconds", "Muster's memory, MB")
    for count in (rows // 50, rows):
        plan = yaml.safe_load(Path("deployments/spark-smoke.yaml").read_text())
        plan["time_limit"] = "2h"
        plan["spark"] |= {"workload": {"type": "aggregate", "rows": count}, "lap_limit": "1h"}
        seconds, peak = _run(folder / str(count), plan)
        table.add_row(f"{count:,}", f"{seconds:.0f}", f"{peak:.0f}")
    return table


def _run(folder: Path, plan: dict[str, Any]) -> tuple[float, float]:
    """Seconds, and the peak of Muster's own memory in MB."""
    plans = folder / "plans"
    plans.mkdir(parents=True)
    (plans / f"{plan['name']}.yaml").write_text(yaml.safe_dump(plan))
    env = {"PATH": _PATH, "MUSTER_HOME": str(folder / "home"), "MUSTER_PLANS": str(plans),
           "MUSTER_STORE": str(folder / "store")}  # fmt: skip
    done = run([MUSTER, "run", plan["name"], "--here", "--json"], env=env, timeout=_SECONDS)
    return done.seconds, done.peak_mb


def main(arguments: list[str]) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m bench.spark", description=__doc__)
    parser.add_argument("--only", choices=["harness", "digest", "drill", "scale"], nargs="*")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=_MOST)
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args(arguments)
    console, began, tables = Console(), datetime.now(UTC), []
    console.print(machine())
    parts: dict[str, Callable[[Path], Table]] = {
        "harness": lambda folder: harness(folder, options.rounds),
        "digest": digest,
        "drill": drill,
        "scale": lambda folder: scale(folder, options.rows),
    }
    for name, part in parts.items():
        if options.only and name not in options.only:
            continue
        folder = Path(tempfile.mkdtemp(prefix="muster-bench-", dir=options.dir))
        try:
            tables.append(part(folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        show(tables[-1:], console)
    keep(f"spark-{began:%Y%m%dT%H%M%SZ}", began, tables, {"machine": machine()})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
