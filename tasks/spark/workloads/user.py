"""Workload `user`: a team's own job, compared with itself by every row and column, or judged by a rule of its own.

`entry_point` names a function that is called as `function(spark, place)`, or `function(spark, place, parameters)` where
the plan has parameters. It returns a frame, which is written to `place.output`; or nothing, having written there
itself. `invariant` names one that is called as `function(spark, place)` after the lap, and returns what is wrong with
the result, in words. Neither may write anywhere but below its place: `place.lap` is new for each lap.

A driver that dies is followed by one that does the lap again. With `goes_on` it finds below `place.lap` what the dead
one left, a checkpoint say, and sees by `place.is_again` that it was so. Without, it is removed, and nobody looks at it.

What a job that failed left in its output is looked at, and whether it is marked complete; it is not read as a result.
"""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from muster.spark.digest import EMPTY, Answer
from muster.spark.observations import Inspection, Question
from tasks.spark.files import delete, exists, files_below, mark
from tasks.spark.modules import ship
from tasks.spark.result import answer_of, every_column, output_of, whatever_is_at
from tasks.spark.workloads.workload import Basis, Place, Workload

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
"""`package.module:function`."""
_LEFT_OVER = ("_temporary", ".spark-staging")


class User(Workload):
    """Do as the team does."""

    type: Literal["user"]
    entry_point: FunctionName
    parameters: Mapping[str, str] = {}
    invariant: FunctionName | None = None
    part: str = ""
    """Column whose values are the parts of the digest, such as a day: what differs is told by them."""
    path: tuple[str, ...] = ()
    """Folders that modules are looked for in, on the machine of the driver. Executors get copies of the modules."""
    deterministic: bool = True
    """Whether the same input always has the same result, row by row. If not, only the invariant is asked."""
    goes_on: bool = False
    """Whether a driver that follows one that died finds what that one left below its place, as a stream must."""
    compared = "every row and column of what is in the job's output, where the job is deterministic"

    @model_validator(mode="after")
    def _something_is_asked(self) -> Self:
        if not self.deterministic and self.invariant is None:
            raise ValueError("a job that is not deterministic needs an invariant: there is nothing else to ask")
        return self

    @property
    def question(self) -> Question:
        """How it bears the death of a driver is not asked."""
        whole = super().question
        return whole.model_copy(update={"keys": {key: said for key, said in whole.keys.items() if key != "goes_on"}})

    @property
    def basis(self) -> Basis:
        """The first undisturbed lap; or the team's rule alone."""
        return "baseline" if self.deterministic else "invariant"

    def run(self, spark: "SparkSession", place: Place) -> None:
        """Call the team's function; write what it returns."""
        goes_on = self.goes_on and place.is_again
        for uri in (_our_mark(place), _end_mark(place)) if goes_on else (place.lap,):
            delete(spark, uri)
        job = self._function(spark, self.entry_point)
        result = job(spark, place, dict(self.parameters)) if self.parameters else job(spark, place)
        if result is not None:
            result.write.mode("overwrite").parquet(place.output)
            mark(spark, _our_mark(place))
        mark(spark, _end_mark(place))

    def inspect(self, spark: "SparkSession", place: Place) -> Inspection:
        """Read the output back, and ask the team's rule; of a job that failed, see what it left behind."""
        if not exists(spark, _end_mark(place)):
            return Inspection(answer=Answer(whole=EMPTY), output=output_of(spark, place.output))
        is_ours = exists(spark, _our_mark(place))
        problems = self._broken(spark, place)
        answer = Answer(whole=EMPTY)
        # What an indeterminate job wrote by itself may be of any form, and is for its rule to read.
        if self.deterministic or is_ours:
            rows = whatever_is_at(spark, place.output)
            answer = self._answer(rows) if rows is not None else answer
        if self.deterministic and not answer.whole.rows:
            problems.append("there is no row in parquet files below the job's output: nothing can be compared")
        if is_ours:
            return Inspection(answer=answer, output=output_of(spark, place.output), problems=tuple(problems))
        left = [name for name in files_below(spark, place.output) if _is_left_over(name)]
        problems += [f"{name} was left in the job's output" for name in left]
        return Inspection(answer=answer, problems=tuple(problems))

    def _answer(self, rows: "DataFrame") -> Answer:
        from pyspark.sql import functions as f

        return answer_of(rows, every_column(rows), f.col(self.part) if self.part else f.lit("all"))

    def _broken(self, spark: "SparkSession", place: Place) -> list[str]:
        if self.invariant is None:
            return []
        problems = self._function(spark, self.invariant)(spark, place)
        if not isinstance(problems, list | tuple) or not all(isinstance(problem, str) for problem in problems):
            raise TypeError(f"{self.invariant} must return a list of problems in words, which is empty if all is well")
        return list(problems)

    def _function(self, spark: "SparkSession", name: str) -> Callable[..., Any]:
        for folder in map(Path, self.path):
            ship(spark, folder)
            if str(folder.resolve()) not in sys.path:
                sys.path.insert(0, str(folder.resolve()))
        module, _, function = name.partition(":")
        found: Callable[..., Any] = getattr(import_module(module), function)
        return found


def _is_left_over(name: str) -> bool:
    return name.endswith("/") and name[:-1].rpartition("/")[2].startswith(_LEFT_OVER)


def _our_mark(place: Place) -> str:
    return f"{place.lap}/written-as-returned"


def _end_mark(place: Place) -> str:
    """There once the job came to its end."""
    return f"{place.lap}/came-to-its-end"


WORKLOAD = User
