"""The capability a Spark stress drill needs of its target: a cluster that runs a job, and can be made to suffer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from muster.drill import Workspace
from muster.identity import Identity
from muster.spark.observations import ClusterSeen, Provided, Victim
from muster.spark.spec import Fault, SparkSpec
from tasks.process import Processes
from tasks.spark.post import Told
from tasks.spark.status import Executor, Stage


@dataclass(frozen=True)
class Work:
    """What a target may use while it is drilled."""

    workspace: Workspace
    """The run's folders. What is to be in the evidence goes to `exhibits`."""
    processes: Processes
    """All that is started on this machine, so that the undo of another process finds it."""
    spec: SparkSpec
    seconds_left: Callable[[], float]
    """Seconds until the time limit; raises when it is up, or somebody stops the drill. Ask before every wait."""

    @property
    def application(self) -> str:
        """The name of the drill's applications: theirs alone, and the run's."""
        return f"muster-{self.workspace.run}"


@dataclass(frozen=True)
class Moment:
    """The job when a fault strikes."""

    lap: int
    group: str
    application: str
    stage: Stage
    executors: tuple[Executor, ...]


class Session(Protocol):
    """One application, or a chain of them, that runs laps one at a time."""

    @property
    def applications(self) -> tuple[str, ...]:
        """Ids so far; of a session whose laps have an application each, that of the lap."""
        ...

    def begin(self, number: int, group: str, words: str, *, disturbed: bool) -> None:
        """Ask for a lap; it goes on by itself."""
        ...

    def ended(self) -> Told | None:
        """How the lap that was asked for ended; `None` while it runs.

        A driver that dies under a fault that kills drivers is started again, and the lap with it.
        """
        ...

    def stages(self, group: str) -> tuple[Stage, ...] | None:
        """The stages of a lap; `None` when they cannot be asked now."""
        ...

    def executors(self) -> tuple[Executor, ...] | None:
        """The application's executors; `None` when they cannot be asked now."""
        ...

    def end(self) -> None:
        """End in good order, so that the event log is whole."""
        ...


@runtime_checkable
class Stressable(Protocol):
    """A Spark cluster. Every verb means "make sure that", is safe to repeat, and bounded by `seconds_left`.

    A verb that the system itself fails raises `SystemFailure`; one that breaks for another reason any other error.
    """

    def identify(self) -> Identity:
        """Prove which cluster this is; `Refusal` when it is not the one the plan names."""
        ...

    def faults(self) -> frozenset[Fault]:
        """What this target can be made to suffer as it is configured; a plan that asks for more is refused."""
        ...

    def look(self, stage: str, work: Work | None = None) -> ClusterSeen:
        """The cluster as it is now. Harmless. Of one that is the drill's own: without `work`, what it would be."""
        ...

    def provide(self, work: Work) -> Provided:
        """The cluster takes applications."""
        ...

    def release(self, work: Work) -> None:
        """Nothing that `provide` started is left."""
        ...

    def open_session(self, work: Work, name: str, settings: Mapping[str, str], data: str) -> Session:
        """An application with these settings, ready for laps that write below `data`."""
        ...

    def end_sessions(self, work: Work) -> None:
        """No driver and no application of this run is left, on the cluster either."""
        ...

    def strike(self, moment: Moment, victims: tuple[Victim, ...], work: Work) -> tuple[str, ...]:
        """Carry out the plan's fault on just these victims, and say what was done. Returns once it is there."""
        ...

    def heal(self, work: Work) -> tuple[str, ...]:
        """End every fault that lasts, and bring back what was killed, as far as the cluster does not by itself."""
        ...

    def events(self, work: Work) -> tuple[Path, ...]:
        """The event logs of the run's applications, as files on this machine. Asked after the sessions ended."""
        ...

    def data(self, work: Work) -> str:
        """URI of the folder in which the run may write."""
        ...

    def drop_data(self, work: Work) -> None:
        """That folder is gone."""
        ...
