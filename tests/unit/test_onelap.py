"""A lap on a cluster where the drill starts no driver: what is shipped there runs there, and tells what it does."""

import json
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from muster.errors import StepError
from muster.spark.digest import Answer, Digest
from muster.spark.observations import Inspection
from tasks.spark import onelap
from tasks.spark.onelap import PROGRESS
from tasks.spark.post import Ask, Config, Told, Up
from tasks.spark.remote import LapSession, prepare
from tasks.spark.shipment import BEGIN, SCRIPT, ZIP, pack
from tasks.spark.workloads.workload import Workload

CLUSTER = """
import importlib, importlib.abc, importlib.machinery, pathlib, sys
ALLOWED = {"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"}

class Bare(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        found = importlib.machinery.PathFinder.find_spec(name, path)
        if found and "site-packages" in str(found.origin) and name.partition(".")[0] not in ALLOWED:
            raise ModuleNotFoundError(f"this cluster has no {name}")

sys.meta_path.insert(0, Bare())
sys.path[:] = [sys.argv[1], *sys.path]
import zipfile
for name in ("tasks.spark.onelap", *sys.argv[2:]):
    found = importlib.import_module(name)
    assert sys.argv[1] in found.__file__, found.__file__
print("all there")
"""


def test_what_is_shipped_needs_nothing_but_pydantic(tmp_path):
    shipped = tmp_path / ZIP
    shipped.write_bytes(pack())
    names = zipfile.ZipFile(shipped).namelist()
    jobs = [name.removesuffix(".py").replace("/", ".") for name in names if name.startswith("tasks/spark/workloads/")]
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER)
    done = subprocess.run(
        [sys.executable, script, shipped, *(job for job in jobs if not job.endswith("__init__"))],
        cwd=tmp_path, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin", "PYTHONSAFEPATH": "1"},
    )  # fmt: skip
    assert done.stdout.strip() == "all there", done.stderr


def test_the_same_modules_make_the_same_bytes_and_hold_nothing_else():
    assert pack() == pack()
    names = zipfile.ZipFile(BytesIO(pack())).namelist()
    assert "tasks/spark/onelap.py" in names
    assert all(name.endswith(".py") and name.startswith(("muster/", "tasks/")) for name in names)
    assert len(pack()) < 2**20  # as much as one `put` to DBFS may hold


class Paper(Workload):
    """A job that takes no time."""

    type: str = "paper"

    def run(self, spark: Any, place: Any) -> None:
        spark.ran.append(place)

    def inspect(self, spark: Any, place: Any) -> Inspection:
        return Inspection(answer=Answer(whole=Digest.of(1, 2, 3)))


class Files:
    """A file system, and the little of Java that is asked of it."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        fs = SimpleNamespace(Path=self.path)
        text = SimpleNamespace(toString=lambda stream, _: stream.read().decode())
        commons = SimpleNamespace(io=SimpleNamespace(IOUtils=text))
        self.org = SimpleNamespace(apache=SimpleNamespace(hadoop=SimpleNamespace(fs=fs), commons=commons))
        self.java = SimpleNamespace(lang=SimpleNamespace(System=SimpleNamespace(getProperty=lambda _: "17.0.1")))

    def path(self, name: str) -> Any:
        return SimpleNamespace(name=name, getFileSystem=lambda _: self)

    def open(self, path: Any) -> BytesIO:
        return BytesIO(self.files[path.name])

    def create(self, path: Any, overwrite: bool) -> Any:
        assert overwrite
        files = self.files

        class Stream(BytesIO):
            def close(self) -> None:
                files[path.name] = self.getvalue()

        return Stream()


class Spark:
    """An application."""

    version = "3.5.5"

    def __init__(self, files: Files) -> None:
        self.ran: list[Any] = []
        self.stopped = 0
        self.sparkContext = SimpleNamespace(
            _jvm=files, _jsc=SimpleNamespace(hadoopConfiguration=lambda: None), applicationId="application_1_2",
            uiWebUrl="http://m:4040", defaultParallelism=4, setJobDescription=lambda _: None, addJobTag=lambda _: None,
            clearJobTags=lambda: None,
        )  # fmt: skip

    def stop(self) -> None:
        self.stopped += 1


@pytest.fixture
def cluster(monkeypatch):
    """A lap's folder with what is asked, and an application that is given to whoever asks."""
    files = Files()
    config = Config(
        application="muster-r", master="yarn", settings={}, workload={"type": "paper"}, data="s3://b/r/data"
    )
    files.files["s3://b/r/laps/g/driver.json"] = config.model_dump_json().encode()
    files.files["s3://b/r/laps/g/lap-000.ask.json"] = (
        Ask(number=0, lap=2, group="g", words="lap 2", disturbed=True).model_dump_json().encode()
    )
    spark = Spark(files)
    builder = SimpleNamespace(getOrCreate=lambda: spark)
    pyspark = SimpleNamespace(SparkSession=SimpleNamespace(builder=builder))
    monkeypatch.setitem(sys.modules, "pyspark.sql", pyspark)
    monkeypatch.setattr(onelap, "open_workload", lambda keys: Paper.model_validate(keys))
    monkeypatch.setattr(onelap, "_asked", lambda url: [{"asked": url}])
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    return files, spark


def told_by(files: Files, name: str, model: Any) -> Any:
    return model.model_validate_json(files.files[f"s3://b/r/laps/g/{name}"])


def test_a_lap_tells_that_it_is_up_how_far_it_is_and_how_it_ended(cluster):
    files, spark = cluster
    onelap.main("s3://b/r/laps/g")
    assert told_by(files, "up.json", Up).application == "application_1_2"
    told = told_by(files, "lap-000.told.json", Told)
    assert (told.number, told.state) == (0, "succeeded")
    assert told.inspection.answer.whole == Digest.of(1, 2, 3)
    (place,) = spark.ran
    assert (place.lap, place.number, place.disturbed) == ("s3://b/r/data/g", 2, True)
    progress = json.loads(files.files[f"s3://b/r/laps/g/{PROGRESS}"])
    api = "http://m:4040/api/v1/applications/application_1_2"
    assert progress["stages"] == [{"asked": f"{api}/stages?details=false"}]
    assert set(progress) == {"jobs", "stages", "allexecutors"}
    assert spark.stopped == 1


def test_an_application_of_the_platforms_is_not_ours_to_stop(cluster, monkeypatch):
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "16.4")
    onelap.main("s3://b/r/laps/g")
    assert cluster[1].stopped == 0


def test_a_lap_whose_progress_cannot_be_told_is_still_a_lap(cluster, monkeypatch, capsys):
    monkeypatch.setattr(onelap, "_asked", _raise)
    files, _ = cluster
    onelap.main("s3://b/r/laps/g")
    assert told_by(files, "lap-000.told.json", Told).state == "succeeded"
    assert f"s3://b/r/laps/g/{PROGRESS}" not in files.files
    assert "the progress was not written: no UI" in capsys.readouterr().out


def _raise(_: str) -> Any:
    raise OSError("no UI")


def test_an_application_without_a_ui_is_not_asked():
    with pytest.raises(ValueError, match="has no UI"):
        onelap._asked("/api/v1/applications/x/jobs")


def test_a_job_that_fails_is_told(cluster, monkeypatch):
    class Broken(Paper):
        def run(self, spark: Any, place: Any) -> None:
            raise ValueError("no such column")

    monkeypatch.setattr(onelap, "open_workload", lambda keys: Broken.model_validate(keys))
    onelap.main("s3://b/r/laps/g")
    told = told_by(cluster[0], "lap-000.told.json", Told)
    assert (told.state, told.error) == ("failed", "no such column")


# Our side.


class Shelf:
    """The run's folder, on paper."""

    uri = "s3://b/r"

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.reads: list[str] = []

    def read(self, name: str) -> bytes | None:
        self.reads.append(name)
        return self.files.get(name)

    def write(self, name: str, content: bytes) -> None:
        self.files[name] = content


def test_the_script_begins_with_our_modules_wherever_they_are(tmp_path):
    shelf = Shelf()
    prepare(shelf)
    assert set(shelf.files) == {f"code/{ZIP}", f"code/{SCRIPT}"}
    seen = tmp_path / "seen"
    fake = tmp_path / "zip" / "tasks" / "spark"
    fake.mkdir(parents=True)
    for folder in (fake, fake.parent):
        (folder / "__init__.py").touch()
    (fake / "onelap.py").write_text(f"def main(folder): open({str(seen)!r}, 'w').write(folder)")
    script = tmp_path / SCRIPT
    script.write_text(BEGIN)
    subprocess.run([sys.executable, script, "s3://b/r/laps/g", tmp_path / "zip"], check=True, cwd=tmp_path)
    assert seen.read_text() == "s3://b/r/laps/g"


def session(shelf: Shelf, **more: Any) -> LapSession:
    config = Config(application="muster-r", master="x", settings={}, workload={}, data="s3://b/r/data")
    service = SimpleNamespace(submit=lambda group, settings: "job-1", job=lambda name: None)
    return LapSession(service, shelf, config, idle=lambda: (), **more)


def test_without_a_lap_there_is_none_to_end():
    with pytest.raises(StepError, match="no lap was asked for"):
        session(Shelf()).ended()
    assert session(Shelf()).applications == ()


def test_files_are_not_looked_at_more_often_than_they_change():
    shelf = Shelf()
    running = session(shelf)
    running.begin(0, "g", "lap 0", disturbed=False)
    for _ in range(20):
        assert running.stages("g") is None
        assert running.executors() is None
    assert shelf.reads == [f"laps/g/{PROGRESS}"]
    assert running.stages("another") is None


def test_what_is_shipped_is_a_part_of_what_is_here():
    root = Path(onelap.__file__).parents[2]
    with zipfile.ZipFile(BytesIO(pack())) as shipped:
        for name in shipped.namelist():
            assert shipped.read(name) == (root / name).read_bytes()
