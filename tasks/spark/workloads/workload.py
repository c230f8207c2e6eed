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

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


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


class Workload(BaseModel):
    """Base of all workloads; its fields are the keys of `spark.workload` in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    rows: int = Field(default=400_000, ge=1)
    partitions: int = Field(default=8, ge=1)
    seed: int = 1

    basis: ClassVar[Literal["mathematics", "baseline", "invariant"]] = "mathematics"
    compared: ClassVar[str] = "every row of the result"
    not_compared: ClassVar[str] = ""
    survives_driver: ClassVar[bool] = False
    """Whether a new driver goes on where the dead one was, instead of beginning anew."""

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
