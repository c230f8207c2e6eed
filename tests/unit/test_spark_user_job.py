"""A team's own job without Spark: what is seen of one that failed, and of one that came to its end.

Files are those of this machine; the job is a function that writes them, and fails or not.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from muster.spark.digest import EMPTY
from tasks.spark import result
from tasks.spark.workloads import user
from tasks.spark.workloads.workload import Place, open_workload

NO_SPARK: Any = None
JOB = {"type": "user", "entry_point": "a_teams:job", "invariant": "a_teams:rule", "deterministic": False}


def below(_spark: Any, uri: str) -> dict[str, int]:
    return {str(path.relative_to(uri)): path.stat().st_size for path in Path(uri).rglob("*") if path.is_file()}


def delete(_spark: Any, uri: str) -> None:
    shutil.rmtree(uri) if Path(uri).is_dir() else Path(uri).unlink(missing_ok=True)


def mark(_spark: Any, uri: str) -> None:
    Path(uri).parent.mkdir(parents=True, exist_ok=True)
    Path(uri).touch()


@pytest.fixture
def team(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of the team's module; files are looked at without Spark."""
    for module in (user, result):
        for name, act in (("files_below", below), ("delete", delete), ("mark", mark)):
            monkeypatch.setattr(module, name, act, raising=False)
    monkeypatch.setattr(user, "exists", lambda _spark, uri: Path(uri).exists())
    found = ModuleType("a_teams")
    monkeypatch.setitem(sys.modules, "a_teams", found)
    names = vars(found)
    names["rule"] = lambda _spark, _place: ["the rule was asked"]
    return names


def writes(*names: str, then: Exception | None = None) -> Callable[[Any, Place], None]:
    def job(_spark: Any, place: Place) -> None:
        Path(place.output).mkdir(parents=True, exist_ok=True)
        for name in names:
            (Path(place.output) / name).write_text("x", encoding="utf-8")
        if then:
            raise then

    return job


def place_at(folder: Path, **changes: Any) -> Place:
    return Place(**{"lap": str(folder / "lap"), "shared": "", "number": 2, "disturbed": True, **changes})


@pytest.mark.parametrize("is_marked", [True, False])
def test_what_a_job_that_failed_left_behind_is_looked_at(team: dict[str, Any], tmp_path: Path, is_marked: bool) -> None:
    names = ["part-0.parquet", *(["_SUCCESS"] if is_marked else [])]
    team["job"] = writes(*names, then=RuntimeError("lost"))
    workload, place = open_workload(JOB), place_at(tmp_path)
    with pytest.raises(RuntimeError, match="lost"):
        workload.run(NO_SPARK, place)
    seen = workload.inspect(NO_SPARK, place)
    assert seen.output is not None
    assert (seen.output.files, seen.output.is_marked_complete) == (1, is_marked)
    assert (seen.answer.whole, seen.problems) == (EMPTY, ()), "what failed has no result that a rule could be asked of"


def test_a_job_that_failed_before_it_wrote_left_nothing(team: dict[str, Any], tmp_path: Path) -> None:
    team["job"] = writes(then=RuntimeError("lost"))
    with pytest.raises(RuntimeError):
        open_workload(JOB).run(NO_SPARK, place_at(tmp_path))
    seen = open_workload(JOB).inspect(NO_SPARK, place_at(tmp_path)).output
    assert seen is not None
    assert (seen.files, seen.is_marked_complete) == (0, False)


def test_what_a_job_wrote_by_itself_and_ended_well_is_for_its_rule(team: dict[str, Any], tmp_path: Path) -> None:
    team["job"] = writes("part-0.parquet", "_SUCCESS")
    workload, place = open_workload(JOB), place_at(tmp_path)
    workload.run(NO_SPARK, place)
    seen = workload.inspect(NO_SPARK, place)
    assert (seen.output, seen.problems) == (None, ("the rule was asked",))


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_job_that_is_done_again_and_fails_has_not_ended_well_before(
    team: dict[str, Any], tmp_path: Path, goes_on: bool
) -> None:
    workload, place = open_workload({**JOB, "goes_on": goes_on}), place_at(tmp_path)
    team["job"] = writes("part-0.parquet", "_SUCCESS")
    workload.run(NO_SPARK, place)
    again = place_at(tmp_path, is_again=True)
    team["job"] = writes(then=RuntimeError("lost"))
    with pytest.raises(RuntimeError):
        workload.run(NO_SPARK, again)
    seen = workload.inspect(NO_SPARK, again).output
    assert seen is not None
    assert seen.is_marked_complete is goes_on, (
        "what the one before left is there for one that goes on, and for no other"
    )
