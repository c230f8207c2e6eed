"""Every workload in a real Spark: its result is the answer, one that was spoilt is seen, a stream goes on."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from muster.errors import UsageError
from muster.spark.digest import Answer, differences
from muster.spark.observations import Inspection
from tasks.spark.java import find_java, prepare_home
from tasks.spark.result import answer_of, every_column
from tasks.spark.workloads.workload import Place, Workload, open_workload

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PARTITIONS = 4
GENERATED: Mapping[str, Mapping[str, Any]] = {
    "terasort": {"type": "terasort"},
    "shuffle-join": {"type": "shuffle-join", "partitions": 8, "dimension": 500},
    "shuffle-join, fixed plan": {"type": "shuffle-join", "aqe": False, "dimension": 500},
    "aggregate": {"type": "aggregate", "groups": 1_500},
    "aggregate, spilling": {"type": "aggregate", "groups": 1_500, "spill": True},
    "cache": {"type": "cache"},
    "cache, on disk too": {"type": "cache", "storage": "MEMORY_AND_DISK", "passes": 2},
    "stream": {"type": "stream", "files": 8, "files_per_batch": 3},
    "commit": {"type": "commit", "days": 3},
    "commit, v2": {"type": "commit", "days": 3, "committer": "v2"},
    "sql": {"type": "sql"},
    "indeterminate": {"type": "indeterminate"},
}
JOBS = '''
from pyspark.sql import functions as f


def longer(n):
    return n + INCREMENT


INCREMENT = 7


def totals(spark, place):
    """With a function of Python: executors need this module."""
    rows = spark.range(0, 1000, 1, 4).withColumn("day", f.expr("id % 3"))
    rows = rows.withColumn("more", f.udf(longer, "bigint")("id"))
    return rows.withColumn("tags", f.create_map(f.lit("a"), "more", f.lit("b"), "id")).repartition(2, "id")


def written(spark, place, parameters):
    spark.range(int(parameters["rows"])).write.parquet(f"{place.output}")


def elsewhere(spark, place):
    spark.range(10).write.parquet(f"{place.lap}/elsewhere")


def streamed(spark, place):
    """Counts what an earlier driver left, as a checkpoint does."""
    folder = f"{place.lap}/checkpoint"
    spark.range(10).write.mode("append").parquet(folder)
    return spark.read.parquet(folder)


def chance(spark, place):
    return spark.range(100).withColumn("chance", f.rand())


def holds(spark, place):
    return [] if spark.read.parquet(place.output).count() == 100 else ["there are not 100 rows"]


def is_wrong(spark, place):
    return "not a list"
'''


@dataclass
class Bench:
    """One application, and laps in it."""

    spark: "SparkSession"
    home: Path
    laps: dict[str, Place] = field(default_factory=dict)

    def place(self, folder: str | Path) -> Place:
        """A lap's place: below the home, or anywhere."""
        uri = (self.home / folder).as_uri()
        return Place(lap=uri, shared=f"{self.home.as_uri()}/shared", number=0, disturbed=False)

    def run(self, workload: Workload, place: Place) -> None:
        """As the driver does: under a tag."""
        self.spark.sparkContext.addJobTag(tag_of(place))
        try:
            with without_answers():
                workload.run(self.spark, place)
        finally:
            self.spark.sparkContext.clearJobTags()

    def inspect(self, workload: Workload, place: Place) -> Inspection:
        """As the driver does, after the lap."""
        with without_answers():
            return workload.inspect(self.spark, place)

    def lap(self, name: str) -> tuple[Workload, Place]:
        """A lap of one of `GENERATED`, run once for all tests that only look at it."""
        workload = workload_of(name)
        if name not in self.laps:
            place = self.place(name.replace(", ", "-").replace(" ", "-"))
            self.run(workload, place)
            self.laps[name] = place
        return workload, self.laps[name]

    def copy(self, name: str, to: Path) -> tuple[Workload, Place]:
        """A copy of such a lap, to be spoilt."""
        workload, place = self.lap(name)
        shutil.copytree(folder_of(place), to, dirs_exist_ok=True)
        return workload, self.place(to)

    def events(self, place: Place) -> list[dict[str, Any]]:
        """What the log has of a lap: its jobs, and whatever is of their stages."""
        (log,) = (self.home / "events").iterdir()
        with log.open(encoding="utf-8") as lines:
            told = [json.loads(line) for line in lines]
        jobs = [e for e in told if e["Event"] == "SparkListenerJobStart" and tag_of(place) in tags_in(e)]
        stages = {number for job in jobs for number in job["Stage IDs"]}
        return [*jobs, *(e for e in told if stage_of(e) in stages)]

    def tasks(self, place: Place) -> list[dict[str, Any]]:
        """Those of a lap, each as it ended."""
        return [e for e in self.events(place) if e["Event"] == "SparkListenerTaskEnd"]


@contextmanager
def without_answers() -> Iterator[None]:
    """A driver on a cluster has no numpy: answers are for the drill's own process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "muster.spark.answers", None)
        yield


def workload_of(name: str) -> Workload:
    return open_workload({"rows": 5_000, "partitions": PARTITIONS, **GENERATED[name]})


def tag_of(place: Place) -> str:
    return f"test-{folder_of(place).name}"


def tags_in(event: dict[str, Any]) -> list[str]:
    return str(event["Properties"].get("spark.job.tags", "")).split(",")


def stage_of(event: dict[str, Any]) -> int | None:
    number: int | None = event.get("Stage ID", event.get("Stage Info", {}).get("Stage ID"))
    return number


def read_by(task: dict[str, Any]) -> int:
    """Rows of a shuffle."""
    return int(task["Task Metrics"]["Shuffle Read Metrics"]["Total Records Read"])


def written_by(task: dict[str, Any]) -> int:
    """Rows of the result."""
    return int(task["Task Metrics"]["Output Metrics"]["Records Written"])


def folder_of(place: Place) -> Path:
    return Path(place.lap.removeprefix("file://"))


def output_of(place: Place) -> Path:
    return folder_of(place) / "output"


def files_of(place: Place) -> list[Path]:
    """The result's files, largest first: one with rows."""
    return sorted(output_of(place).rglob("part-*.parquet"), key=lambda path: (-path.stat().st_size, path))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A small application of its own, with an event log."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    home = tmp_path_factory.mktemp("spark")
    (home / "events").mkdir()
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.local.dir": str(home / "local"),
        "spark.sql.warehouse.dir": str(home / "warehouse"),
        "spark.eventLog.enabled": "true",
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.compress": "false",
        "spark.eventLog.dir": (home / "events").as_uri(),
        "spark.log.level": "ERROR",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_HOME", str(prepare_home(find_java(), home / "java")))
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.appName("workloads").master("local[2]")
        for key, value in settings.items():
            builder = builder.config(key, value)
        spark = builder.getOrCreate()
        try:
            yield Bench(spark, home)
        finally:
            spark.stop()
            gateway = SparkContext._gateway
            SparkContext._gateway = SparkContext._jvm = None
            gateway.shutdown()
            # The JVM lives as long as its standard input.
            gateway.proc.stdin.close()
            gateway.proc.wait(60)


def truth_of(bench: Bench, name: str) -> Answer:
    """Mathematics; or a second lap."""
    workload = workload_of(name)
    if workload.basis == "mathematics":
        truth = workload.answer()
        assert truth is not None
        return truth
    place = bench.place(f"{name}-again")
    bench.run(workload, place)
    return bench.inspect(workload, place).answer


def assert_well(inspection: Inspection) -> None:
    assert inspection.problems == ()
    assert inspection.output is not None
    assert inspection.output.is_marked_complete
    assert inspection.output.extra == inspection.output.missing == ()
    assert inspection.output.files > 0
    assert inspection.output.bytes > 0
    assert inspection.answer.adds_up
    assert inspection.answer.whole.damaged == 0


@pytest.mark.parametrize("name", GENERATED)
def test_a_lap_gives_the_answer(bench: Bench, name: str) -> None:
    before = bench.spark.conf.getAll
    workload, place = bench.lap(name)
    inspection = bench.inspect(workload, place)
    truth = truth_of(bench, name)
    assert differences(truth, inspection.answer) == ()
    assert truth == inspection.answer
    assert truth.whole.rows > 0
    assert len(truth.parts) > 1
    assert_well(inspection)
    assert bench.spark.conf.getAll == before, "the session's settings are not as they were"
    assert not bench.spark.sparkContext._jsc.getPersistentRDDs(), "something is still cached"
    assert bench.spark.catalog.listTables() == []
    assert bench.spark.streams.active == []


@pytest.mark.parametrize("name", GENERATED)
def test_a_lap_has_shuffles_to_aim_at(bench: Bench, name: str) -> None:
    """A fault strikes once a share of a stage's tasks have ended: there must be as many as the plan says."""
    workload, place = bench.lap(name)
    tasks = bench.tasks(place)
    reading = {stage_of(e) for e in tasks if read_by(e)}
    most = max(len([e for e in tasks if stage_of(e) == stage]) for stage in reading)
    assert most >= workload.model_dump()["partitions"]


def lose_a_file(place: Place) -> None:
    files_of(place)[0].unlink()


def lose_all_files(place: Place) -> None:
    for path in files_of(place):
        path.unlink()


def lose_the_folder(place: Place) -> None:
    shutil.rmtree(output_of(place))


def double_a_file(place: Place) -> None:
    path = files_of(place)[0]
    shutil.copy(path, path.with_name(f"part-09999-{path.name}"))


def leave_a_folder(place: Place) -> None:
    (output_of(place) / "_temporary" / "0").mkdir(parents=True)


def leave_staging(place: Place) -> None:
    (output_of(place) / ".spark-staging-1").mkdir()


def lose_the_mark(place: Place) -> None:
    next(output_of(place).rglob("_SUCCESS")).unlink()


IN_DIGEST = (lose_a_file, lose_all_files, lose_the_folder, double_a_file)
IN_OUTPUT = {
    leave_a_folder: lambda output: output.extra == ("_temporary/",),
    leave_staging: lambda output: output.extra == (".spark-staging-1/",),
    lose_the_mark: lambda output: not output.is_marked_complete,
    lose_the_folder: lambda output: not output.is_marked_complete and output.files == 0,
}
BATCH = [name for name in GENERATED if name != "stream" and "," not in name]


@pytest.mark.parametrize("act", IN_DIGEST, ids=lambda act: act.__name__)
@pytest.mark.parametrize("name", BATCH)
def test_a_spoilt_result_is_seen_in_the_digest(
    bench: Bench, name: str, act: Callable[[Place], None], tmp_path: Path
) -> None:
    workload, place = bench.copy(name, tmp_path)
    good = bench.inspect(workload, place).answer
    act(place)
    assert differences(good, bench.inspect(workload, place).answer)


@pytest.mark.parametrize("act", IN_OUTPUT, ids=lambda act: act.__name__)
@pytest.mark.parametrize("name", ["cache", "commit", "sql"])
def test_a_spoilt_result_is_seen_in_the_output(
    bench: Bench, name: str, act: Callable[[Place], None], tmp_path: Path
) -> None:
    workload, place = bench.copy(name, tmp_path)
    act(place)
    output = bench.inspect(workload, place).output
    assert output is not None
    assert IN_OUTPUT[act](output), output


def test_a_day_that_is_gone_is_named(bench: Bench, tmp_path: Path) -> None:
    workload, place = bench.copy("commit", tmp_path)
    shutil.rmtree(output_of(place) / "day=2")
    inspection = bench.inspect(workload, place)
    assert inspection.output is not None
    assert inspection.output.missing == ("day=2",)
    answer = workload.answer()
    assert answer is not None
    assert [words.partition(":")[0] for words in differences(answer, inspection.answer)] == ["2"]


def test_an_older_row_that_came_back_is_seen(bench: Bench, tmp_path: Path) -> None:
    """A day that was not overwritten, beside one that was."""
    workload, place = bench.copy("commit", tmp_path)
    (kept,) = (output_of(place) / "day=3").glob("part-*.parquet")
    shutil.copy(kept, output_of(place) / "day=1")
    seen = bench.inspect(workload, place).answer
    assert seen.parts["1"].damaged == rows_in(bench, kept)


def rows_in(bench: Bench, path: Path) -> int:
    return bench.spark.read.parquet(str(path)).count()


def test_a_table_is_really_overwritten_day_by_day(bench: Bench) -> None:
    """Else the day that must stay would prove nothing."""
    _, place = bench.lap("commit")
    issues = bench.spark.read.parquet(place.output).groupBy("day").agg({"issue": "max"}).collect()
    assert {row["day"]: row["max(issue)"] for row in issues} == {0: 1, 1: 1, 2: 1, 3: 0}


@pytest.mark.parametrize(("name", "spills"), [("aggregate", False), ("aggregate, spilling", True)])
def test_an_aggregation_spills_when_it_is_to(bench: Bench, name: str, spills: bool) -> None:
    _, place = bench.lap(name)
    tasks = bench.tasks(place)
    spilled = {stage: 0 for stage in sorted(map(stage_of, tasks), key=str)}
    for task in tasks:
        spilled[stage_of(task)] += task["Task Metrics"]["Disk Bytes Spilled"]
    assert len(spilled) == 2
    assert all(spilled.values()) if spills else not any(spilled.values())


@pytest.mark.parametrize(("name", "splits"), [("shuffle-join", True), ("shuffle-join, fixed plan", False)])
def test_a_skewed_join_is_split_when_plans_may_change(bench: Bench, name: str, splits: bool) -> None:
    workload, place = bench.lap(name)
    written = [e for e in bench.tasks(place) if written_by(e)]
    partitions = workload.model_dump()["partitions"]
    assert len(written) > partitions if splits else len(written) <= partitions
    records = sorted(read_by(e) for e in written)
    assert splits or records[-1] > 2 * records[0], "nothing is skewed"


def test_a_cache_is_read_in_every_pass(bench: Bench) -> None:
    _, place = bench.lap("cache")
    ended = [e["Stage Info"] for e in bench.events(place) if e["Event"] == "SparkListenerStageCompleted"]
    caching = {
        info["Stage ID"] for info in ended if any(rdd["Storage Level"]["Use Memory"] for rdd in info["RDD Info"])
    }
    writing = {stage_of(e) for e in bench.tasks(place) if written_by(e)}
    shuffled = {stage_of(e) for e in bench.tasks(place) if read_by(e)}
    assert len(writing) == 3
    assert writing <= caching
    assert len(shuffled) == 1, "blocks were computed more than once"
    assert shuffled <= caching


def test_nothing_stays_cached_when_a_pass_fails(bench: Bench, tmp_path: Path) -> None:
    workload, place = workload_of("cache"), bench.place(tmp_path)
    turns, cached = type(workload)._turns, []  # type: ignore[attr-defined]

    def fail_in_the_second(self: Workload) -> Any:
        cached.append(len(bench.spark.sparkContext._jsc.getPersistentRDDs()))
        if len(cached) == 2:
            raise RuntimeError("in the midst of it")
        return turns.fget(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(workload), "_turns", property(fail_in_the_second))
        with pytest.raises(RuntimeError, match="in the midst"):
            bench.run(workload, place)
    assert cached == [0, 1]
    assert not bench.spark.sparkContext._jsc.getPersistentRDDs()


def test_settings_are_restored_when_a_job_fails(bench: Bench, tmp_path: Path) -> None:
    """What was not set is unset, what was set has its value again."""
    bench.spark.conf.set("spark.sql.shuffle.partitions", "3")
    before = bench.spark.conf.getAll
    place = bench.place(tmp_path / "a-file" / "lap")
    (tmp_path / "a-file").touch()
    try:
        with pytest.raises(Exception, match="a-file"):
            bench.run(workload_of("shuffle-join"), place)
        assert bench.spark.conf.getAll == before
    finally:
        bench.spark.conf.unset("spark.sql.shuffle.partitions")


def lose_the_limit(place: Place) -> None:
    for path in (output_of(place) / "some").glob("part-*.parquet"):
        path.unlink()


def double_the_limit(place: Place) -> None:
    for path in list((output_of(place) / "some").glob("part-*.parquet")):
        shutil.copy(path, path.with_name(f"part-09999-{path.name}"))


def lose_the_sum(place: Place) -> None:
    shutil.rmtree(output_of(place) / "sum")


BOUNDS: Mapping[Callable[[Place], None], tuple[str, ...]] = {
    lose_the_limit: ("limit(100) took 0 rows, not 100",),
    double_the_limit: ("limit(100) took 200 rows, not 100", "limit(100) took a row twice"),
    lose_the_sum: ("there is no sum of floats",),
}


@pytest.mark.parametrize("act", BOUNDS, ids=lambda act: act.__name__)
def test_broken_bounds_are_told(bench: Bench, act: Callable[[Place], None], tmp_path: Path) -> None:
    workload, place = bench.copy("indeterminate", tmp_path)
    act(place)
    assert bench.inspect(workload, place).problems == BOUNDS[act]


def test_values_out_of_bounds_are_told(bench: Bench, tmp_path: Path) -> None:
    workload, place = bench.copy("indeterminate", tmp_path)
    from pyspark.sql import functions as f

    rows = bench.spark.range(5_000)
    wrong = rows.select("id", (f.col("id") / 4_999).alias("chance"), f.lit(None).cast("double").alias("seeded"),
                        f.expr("id div 2").alias("place"))  # fmt: skip
    wrong.write.mode("overwrite").parquet(f"{place.output}/rows")
    bench.spark.range(50_000, 50_100).write.mode("overwrite").parquet(f"{place.output}/some")
    bench.spark.range(1).select(f.lit(1.5).alias("total")).write.mode("overwrite").parquet(f"{place.output}/sum")
    problems = bench.inspect(workload, place).problems
    assert problems[:4] == (
        "rand() gave 1 rows a number outside of [0, 1)",
        "rand(seed) gave 5,000 rows a number outside of [0, 1)",
        "monotonically_increasing_id() gave 2,500 rows an id that another row has, or none",
        "limit(100) took rows that there are not",
    )
    assert problems[4].startswith("the sum of floats is 1.5, the exact one ")
    assert len(problems) == 5


def test_lost_doubled_and_strange_rows_are_counted(bench: Bench, tmp_path: Path) -> None:
    workload, place = bench.copy("indeterminate", tmp_path)
    kept = bench.spark.read.parquet(f"{place.output}/rows").where("id >= 3").cache()
    strange = bench.spark.createDataFrame([(5_000, 0.5, 0.5, -1), (None, 0.5, 0.5, -2)], kept.schema)
    kept.union(kept.where("id = 9")).union(strange).write.parquet(f"{place.output}/worse")
    kept.unpersist()
    shutil.rmtree(output_of(place) / "rows")
    (output_of(place) / "worse").rename(output_of(place) / "rows")
    inspection = bench.inspect(workload, place)
    assert inspection.problems[:3] == ("lost: 3 rows", "there more than once: 1 row", "of no origin: 2 rows")


def streamed(bench: Bench, folder: Path) -> tuple[Workload, Place]:
    """A lap of its own: the sink's log holds whole paths, so that a copy would not do."""
    workload, place = workload_of("stream"), bench.place(folder)
    bench.run(workload, place)
    return workload, place


def newest(folder: Path) -> Path:
    return max((path for path in folder.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))


def forget(path: Path) -> None:
    """With the checksum, else the file system finds fault with the next file of that name."""
    path.unlink()
    path.with_name(f".{path.name}.crc").unlink(missing_ok=True)


def contents(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def go_on(bench: Bench, workload: Workload, place: Place) -> Inspection:
    again = replace(place, is_again=True)
    bench.run(workload, again)
    return bench.inspect(workload, again)


@pytest.mark.parametrize("is_logged", [True, False], ids=["batch is in the sink", "batch is not in the sink"])
def test_a_stream_goes_on_where_a_dead_driver_was(bench: Bench, is_logged: bool, tmp_path: Path) -> None:
    """The last batch was planned and written; the checkpoint does not say that it was committed."""
    workload, place = streamed(bench, tmp_path)
    source, query = contents(tmp_path / "source"), (tmp_path / "checkpoint" / "metadata").read_text()
    files = len(files_of(place))
    forget(newest(tmp_path / "checkpoint" / "commits"))
    if not is_logged:
        forget(newest(tmp_path / "output" / "_spark_metadata"))
    half_way = bench.inspect(workload, place)
    assert half_way.output is not None
    assert not half_way.output.is_marked_complete
    assert bool(half_way.problems) is not is_logged

    inspection = go_on(bench, workload, place)
    assert inspection.answer == workload.answer()
    assert_well(inspection)
    assert contents(tmp_path / "source") == source
    assert (tmp_path / "checkpoint" / "metadata").read_text() == query
    assert (len(files_of(place)) > files) is not is_logged, (
        "the batch was to be written again, beside what was left of it"
    )


def test_a_stream_goes_on_from_its_middle(bench: Bench, tmp_path: Path) -> None:
    """Batches that were never planned, too."""
    workload, place = streamed(bench, tmp_path)
    for folder in ("checkpoint/commits", "checkpoint/offsets", "checkpoint/sources/0", "output/_spark_metadata"):
        forget(newest(tmp_path / folder))
    forget(newest(tmp_path / "checkpoint" / "commits"))
    assert bench.inspect(workload, place).problems
    inspection = go_on(bench, workload, place)
    assert inspection.answer == workload.answer()
    assert_well(inspection)


def test_a_source_that_was_half_made_is_made_anew(bench: Bench, tmp_path: Path) -> None:
    workload, place = workload_of("stream"), bench.place(tmp_path)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "part-00000-half.parquet").write_bytes(b"PAR1")
    inspection = go_on(bench, workload, place)
    assert inspection.answer == workload.answer()
    assert_well(inspection)


def test_a_lap_of_a_stream_begins_anew_unless_it_goes_on(bench: Bench, tmp_path: Path) -> None:
    workload, place = streamed(bench, tmp_path)
    query = (tmp_path / "checkpoint" / "metadata").read_text()
    bench.run(workload, place)
    assert (tmp_path / "checkpoint" / "metadata").read_text() != query
    inspection = bench.inspect(workload, place)
    assert inspection.answer == workload.answer()
    assert_well(inspection)


def test_what_is_wrong_with_a_sink_is_told(bench: Bench, tmp_path: Path) -> None:
    workload, place = streamed(bench, tmp_path)
    good, output = bench.inspect(workload, place), output_of(place)
    # Readers go by the log: what it does not know is legal, and not seen.
    first = files_of(place)[0]
    shutil.copy(first, first.with_name(f"part-09999-{first.name}"))
    assert bench.inspect(workload, place) == good

    (output / "_temporary").mkdir()
    seen = bench.inspect(workload, place)
    assert seen.output is not None
    assert seen.output.extra == ("_temporary/",)

    lost = rows_in(bench, first)
    forget(first)
    seen = bench.inspect(workload, place)
    assert seen.output is not None
    assert seen.output.missing == (first.name,)
    assert seen.problems == (f"lost: {lost} events",)
    assert differences(good.answer, seen.answer)

    shutil.rmtree(output / "_spark_metadata")
    last = files_of(place)[-1]
    shutil.copy(last, last.with_name(f"part-09998-{last.name}"))
    seen = bench.inspect(workload, place)
    assert seen.output is not None
    assert not seen.output.is_marked_complete
    assert seen.problems == (f"there more than once: {rows_in(bench, last)} events",)

    shutil.rmtree(output)
    seen = bench.inspect(workload, place)
    assert seen.problems == ("lost: 5,000 events",)
    assert seen.output is not None
    assert not seen.output.is_marked_complete


def test_batches_of_a_stream_are_of_the_lap(bench: Bench) -> None:
    """A fault is aimed at stages by the lap's tag, and a stream has a thread of its own."""
    _, place = bench.lap("stream")
    names = [e["Properties"].get("spark.job.description", "") for e in bench.events(place)
             if e["Event"] == "SparkListenerJobStart"]  # fmt: skip
    for batch in range(3):
        assert any(f"batch = {batch}" in name for name in names), names


@pytest.fixture(scope="module")
def shelf(bench: Bench) -> Iterator[Path]:
    """A folder with a team's module."""
    folder = bench.home / "team"
    (folder / "shop").mkdir(parents=True)
    (folder / "shop" / "__init__.py").touch()
    (folder / "shop" / "jobs.py").write_text(JOBS, encoding="utf-8")
    before = list(sys.path)
    yield folder
    sys.path[:] = before
    for name in ("shop", "shop.jobs"):
        sys.modules.pop(name, None)


def team(shelf: Path, function: str, **keys: Any) -> Workload:
    return open_workload({"type": "user", "entry_point": f"shop.jobs:{function}", "path": [str(shelf)], **keys})


def two_laps(bench: Bench, workload: Workload, folder: Path) -> tuple[Inspection, Inspection]:
    first, second = bench.place(folder / "first"), bench.place(folder / "second")
    for place in (first, second):
        bench.run(workload, place)
    return bench.inspect(workload, first), bench.inspect(workload, second)


def test_a_teams_job_equals_itself_and_runs_its_own_python(bench: Bench, shelf: Path, tmp_path: Path) -> None:
    first, second = two_laps(bench, team(shelf, "totals", part="day"), tmp_path)
    assert first.answer == second.answer
    assert {day: digest.rows for day, digest in first.answer.parts.items()} == {"0": 334, "1": 333, "2": 333}
    assert_well(first)


@pytest.mark.parametrize("act", IN_DIGEST, ids=lambda act: act.__name__)
def test_a_teams_result_that_was_spoilt_is_seen(
    bench: Bench, shelf: Path, act: Callable[[Place], None], tmp_path: Path
) -> None:
    workload, place = team(shelf, "totals"), bench.place(tmp_path)
    bench.run(workload, place)
    good = bench.inspect(workload, place)
    act(place)
    seen = bench.inspect(workload, place)
    assert differences(good.answer, seen.answer)
    assert bool(seen.problems) is (act in {lose_all_files, lose_the_folder})


def test_a_teams_job_may_write_by_itself(bench: Bench, shelf: Path, tmp_path: Path) -> None:
    workload, place = team(shelf, "written", parameters={"rows": "50"}), bench.place(tmp_path)
    bench.run(workload, place)
    inspection = bench.inspect(workload, place)
    assert inspection.answer.whole.rows == 50
    assert inspection.problems == ()
    assert inspection.output is None, "what belongs there is for the job to say"
    leave_staging(place)
    assert bench.inspect(workload, place).problems == (".spark-staging-1/ was left in the job's output",)


def test_a_teams_job_that_leaves_nothing_to_compare_is_told(bench: Bench, shelf: Path, tmp_path: Path) -> None:
    """Two laps without a row are equal, and prove nothing."""
    first, second = two_laps(bench, team(shelf, "elsewhere"), tmp_path)
    assert first.answer == second.answer
    assert "nothing can be compared" in first.problems[0]


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_teams_job_finds_what_a_dead_driver_left_if_it_goes_on(
    bench: Bench, shelf: Path, goes_on: bool, tmp_path: Path
) -> None:
    workload, place = team(shelf, "streamed", goes_on=goes_on), bench.place(tmp_path)
    bench.run(workload, place)
    assert go_on(bench, workload, place).answer.whole.rows == (20 if goes_on else 10)
    bench.run(workload, place)
    assert bench.inspect(workload, place).answer.whole.rows == 10, "a lap that is not done again begins anew"


def test_a_teams_rule_is_asked(bench: Bench, shelf: Path, tmp_path: Path) -> None:
    workload = team(shelf, "chance", invariant="shop.jobs:holds", deterministic=False)
    first, second = two_laps(bench, workload, tmp_path)
    assert first.answer != second.answer
    assert first.problems == second.problems == ()
    place = bench.place(tmp_path / "second")
    lose_a_file(place)
    assert bench.inspect(workload, place).problems == ("there are not 100 rows",)


def test_a_teams_rule_must_answer_in_words(bench: Bench, shelf: Path, tmp_path: Path) -> None:
    workload, place = team(shelf, "chance", invariant="shop.jobs:is_wrong"), bench.place(tmp_path)
    bench.run(workload, place)
    with pytest.raises(TypeError, match="list of problems"):
        bench.inspect(workload, place)


def test_a_folder_that_is_not_there_is_told(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        bench.run(team(tmp_path / "nowhere", "totals"), bench.place(tmp_path))


SAME = {
    "maps in any order": ("map(1, 'x', 2, 'y')", "map(2, 'y', 1, 'x')"),
    "maps of maps in any order": ("map('a', map(1, 2, 3, 4))", "map('a', map(3, 4, 1, 2))"),
}
DIFFERENT = {
    "numbers": ("1", "2"),
    "nulls that changed places": ("struct(1 as a, cast(null as int) as b)", "struct(cast(null as int) as a, 1 as b)"),
    "a null at another place of an array": ("array(null, 1)", "array(1, null)"),
    "where an array ends": ("array(array(1), array(2))", "array(array(1, 2), array())"),
    "no array and an empty one": ("cast(null as array<int>)", "cast(array() as array<int>)"),
    "no struct and one of nulls": ("cast(null as struct<a: int>)", "named_struct('a', cast(null as int))"),
    "a value of a map": ("map(1, 'x')", "map(1, 'y')"),
    "a null in a map": ("map(1, cast(null as string), 2, 'x')", "map(1, 'x', 2, cast(null as string))"),
    "a map in an array": ("array(map(1, 2))", "array(map(2, 1))"),
    "a microsecond": ("timestamp'2026-01-01 00:00:00.000001'", "timestamp'2026-01-01 00:00:00.000002'"),
    "what varies": ("parse_json('[1]')", "parse_json('[2]')"),
}


def digest_of(bench: Bench, value: str) -> Answer:
    from pyspark.sql import functions as f

    frame = bench.spark.range(1).select(f.expr(value).alias("a strange `name`.of a column"))
    return answer_of(frame, every_column(frame), f.lit("all"))


@pytest.mark.parametrize("what", SAME)
def test_values_that_are_the_same_have_one_digest(bench: Bench, what: str) -> None:
    first, second = SAME[what]
    assert digest_of(bench, first) == digest_of(bench, second)


@pytest.mark.parametrize("what", DIFFERENT)
def test_values_that_differ_have_different_digests(bench: Bench, what: str) -> None:
    first, second = DIFFERENT[what]
    assert digest_of(bench, first) != digest_of(bench, second)


def test_a_value_that_moved_to_another_column_is_seen(bench: Bench) -> None:
    from pyspark.sql import functions as f

    frames = [bench.spark.createDataFrame([row], "a bigint, b bigint") for row in ((1, None), (None, 1))]
    first, second = (answer_of(frame, every_column(frame), f.lit("all")) for frame in frames)
    assert first != second
