"""What a workload is: a job with a known answer, as one strict model in one file.

A workload computes its answer without Spark where mathematics allows. It writes below its place alone. `run` and
`inspect` run in the driver's process; nothing of the result leaves the cluster but digests.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from muster.errors import UsageError
from muster.spark.digest import Answer
from muster.spark.observations import Inspection, Question
from tasks.spark.draw import Draw

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession

    from muster.spark.answers import Longs

SPANS = 16


@dataclass(frozen=True)
class Place:
    """Where one lap may write."""

    lap: str
    """URI of a folder of the lap's own."""
    shared: str
    """URI of a folder that all laps of a run share."""
    number: int
    disturbed: bool
    is_again: bool = False
    """Whether an earlier driver died in this lap."""

    @property
    def output(self) -> str:
        """The job's result."""
        return f"{self.lap}/output"


Basis = Literal["mathematics", "baseline", "invariant"]
"""How it is known what is right: see `muster.spark.observations.Known`."""


class Workload(BaseModel):
    """Base of all workloads; its fields are the keys of `spark.workload` in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str

    compared: ClassVar[str] = "every row of the result"
    not_compared: ClassVar[str] = ""

    @property
    def basis(self) -> Basis:
        """How it is known what is right."""
        return "mathematics"

    def answer(self) -> Answer | None:
        """What is right, computed without Spark; `None` where only an undisturbed lap can say."""
        return None

    def run(self, spark: "SparkSession", place: Place) -> None:
        """Do the job."""
        raise NotImplementedError

    def inspect(self, spark: "SparkSession", place: Place) -> Inspection:
        """Read the result back, and look at it."""
        raise NotImplementedError

    @property
    def question(self) -> Question:
        """What a lap of it runs."""
        keys = {key: str(value) for key, value in self.model_dump(mode="json", exclude={"type"}).items()}
        return Question(workload=self.type, keys=keys)


class Generated(Workload):
    """Base of workloads that make their rows themselves, of whole numbers: ids from 0 to just under `rows`."""

    rows: int = Field(default=400_000, ge=1)
    partitions: int = Field(default=8, ge=1)
    """Tasks of each stage."""
    seed: int = Field(default=1, ge=-(2**63), lt=2**63)

    def draw(self, salt: int, below: int) -> Draw:
        """A number of each id."""
        return Draw(self.seed, salt, below)

    def span_of(self, ids: "Longs") -> "Longs":
        """Which of sixteen spans an id is in: the part of results that have no better one. Without Spark."""
        import numpy as np

        return ids * np.int64(SPANS) // np.int64(self.rows)

    def span_column(self) -> "Column":
        """The same in Spark, of column `id`."""
        from pyspark.sql import functions as f

        return f.expr(f"id * {SPANS}L div {self.rows}L")


def open_workload(keys: Any) -> Workload:
    """The workload that a plan names, from `tasks/spark/workloads/TYPE.py`."""
    name = str(keys["type"])
    module = f"tasks.spark.workloads.{name.replace('-', '_')}"
    try:
        found: Workload = import_module(module).WORKLOAD.model_validate(dict(keys))
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise UsageError(f"there is no workload of type {name!r}", "docs/spark.md lists the types") from None
    except ValidationError as error:
        faults = "; ".join(f"spark.workload.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UsageError(faults, "mend these keys of the plan's workload; docs/spark.md lists them") from None
    return found
