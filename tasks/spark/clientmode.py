"""What targets have in common whose driver is a process on this machine, and whose cluster is somebody else's.

Promises: the driver is on record, and whatever it started is found by its application's id or name; the run's folder
is removed by the file system that Spark wrote it with; a fault is offered only when this target, or a hook of the plan,
can carry it out.
"""

import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from pydantic import Field

from muster.errors import StepError
from muster.identity import Identity
from muster.spark.observations import ClusterSeen, Provided, Victim
from muster.spark.spec import Fault
from tasks.process import AT_ONCE, Processes
from tasks.spark.hooked import HookedFaults
from tasks.spark.java import find_java, prepare_home, spark_home
from tasks.spark.keys import Faults, Folder, SparkSettings, words_of
from tasks.spark.post import CONFIG, UP, Config, Up, hear, say
from tasks.spark.scratch import drop_scratch
from tasks.spark.session import PREFIX, DriverSession, Launch
from tasks.spark.status import Executor
from tasks.targets.stressable import Moment, Session, Work

_CLEARING_SECONDS = 300.0
_CLEARING = "clearing"


class ClientKeys(Faults):
    """Base of these targets' keys."""

    settings: SparkSettings = Field(default={})
    data: Folder | None = None


class ClientMode(ABC):
    """Base of these targets. What differs between cluster managers is abstract."""

    means: ClassVar[frozenset[Fault]] = frozenset()
    """Faults that the target itself carries out, where it can, beside the death of its driver."""

    def __init__(self, keys: ClientKeys) -> None:
        self._client = keys
        self._hooked = HookedFaults(keys.hooks)

    @abstractmethod
    def identify(self) -> Identity:
        """Prove which cluster this is."""

    @abstractmethod
    def look(self, stage: str, work: Work | None = None) -> ClusterSeen:
        """The cluster as its manager tells of it."""

    @abstractmethod
    def carry_out(self, moment: Moment, victims: tuple[Victim, ...], work: Work) -> tuple[str, ...]:
        """One of its means."""

    @abstractmethod
    def end_own_faults(self, work: Work) -> tuple[str, ...]:
        """What `carry_out` did and lasts."""

    @abstractmethod
    def master_of_now(self) -> str:
        """Where applications are sent."""

    @abstractmethod
    def end_on_cluster(self, work: Work) -> None:
        """No application of this run is left on the cluster. Its drivers are gone already, and there were some."""

    @abstractmethod
    def defaults(self, work: Work) -> Mapping[str, str]:
        """Settings that the plan can change."""

    def own_faults(self) -> frozenset[Fault]:
        """Which of its means it has here."""
        return self.means

    def more_environment(self) -> Mapping[str, str]:
        """What a driver needs beside Java and Spark."""
        return {}

    def seen_at(self, up: Up) -> str:
        """Where the driver's status is asked."""
        return up.ui

    def placed(self, executor: Executor, work: Work) -> Executor:  # noqa: ARG002 - whoever needs it has it
        """An executor with the host by which `look` knows its worker."""
        return executor

    def faults(self) -> frozenset[Fault]:
        """Those with hooks, those of the target itself, and the death of the driver, which is a process of ours."""
        return self._hooked.possible() | self.own_faults() | {Fault.KILL_DRIVER}

    def provide(self, work: Work) -> Provided:
        """The cluster is there, or the survey would have refused."""
        java = find_java()
        return Provided(
            master=self.master_of_now(),
            how=f"nothing was started: the cluster is the team's own, {work.application} one application on it",
            java=f"{java.version} of the {java.source}, for the driver",
            spark=spark_version(),
        )

    def release(self, work: Work) -> None:
        """No process of ours, no application of ours, then no file."""
        work.processes.stop_all(signals=AT_ONCE)
        self._end_applications(work)
        drop_scratch(work.workspace)

    def open_session(self, work: Work, name: str, settings: Mapping[str, str], data: str) -> Session:
        """A driver on this machine."""
        launch = Launch(
            application=work.application,
            master=self.master_of_now(),
            settings={**self._settings(work), **settings},
            environment=self._environment(work),
            workload=work.spec.workload,
            data=data,
            folder=sessions_of(work),
            events=_events_of(work),
        )
        return DriverSession(
            name,
            launch,
            work.processes,
            work.seconds_left,
            may_restart=work.spec.fault.type is Fault.KILL_DRIVER,
            seen_at=self.seen_at,
            placed=lambda executor: self.placed(executor, work),
        ).open()

    def end_sessions(self, work: Work) -> None:
        """Drivers are ended; executors end with their application."""
        end_drivers(work.processes)
        self._end_applications(work)

    def strike(self, moment: Moment, victims: tuple[Victim, ...], work: Work) -> tuple[str, ...]:
        """By the plan's hook, if it has one; else by the target's own means."""
        fault = work.spec.fault.type
        if fault in self._hooked.possible():
            return self._hooked.strike(moment, victims, work, self.master_of_now())
        if fault is Fault.KILL_DRIVER:
            return tuple(f"{name}: SIGKILL, with its JVM" for name in end_drivers(work.processes))
        if fault not in self.means:
            raise StepError(f"this target cannot be made to suffer {fault}", f"name hooks in target.hooks.{fault}")
        return self.carry_out(moment, victims, work)

    def heal(self, work: Work) -> tuple[str, ...]:
        """What lasts is ended, by whoever began it."""
        return self._hooked.heal(work) + self.end_own_faults(work)

    def events(self, work: Work) -> tuple[Path, ...]:
        """Drivers on this machine write them on this machine."""
        return tuple(path for path in _events_of(work).glob("*") if path.is_file())

    def data(self, work: Work) -> str:
        """The run's folder in that of the plan, or on this machine, which every worker then must share."""
        base = (work.spec.data or self._client.data or "").rstrip("/")
        return f"{base}/{work.application}" if base else (work.workspace.scratch.absolute() / "data").as_uri()

    def drop_data(self, work: Work) -> None:
        """That folder is gone. Where no driver ever came up nothing was written."""
        address = urlsplit(self.data(work))
        if address.scheme == "file":
            shutil.rmtree(unquote(address.path), ignore_errors=True)
        elif was_asked(work):
            self._clear(work)

    def applications(self, work: Work) -> tuple[str, ...]:
        """The ids of every application that a driver of this run ever had."""
        ups = (hear(path.parent, UP, Up) for path in sorted(sessions_of(work).glob(f"*/*/{UP}")))
        return tuple(up.application for up in ups if up)

    def _end_applications(self, work: Work) -> None:
        if was_asked(work):
            self.end_on_cluster(work)

    def _clear(self, work: Work) -> None:
        """In a small Spark of its own: no driver may be left that could do it."""
        folder = work.workspace.scratch.absolute() / _CLEARING
        config = Config(
            application=f"{work.application}-{_CLEARING}",
            master="local[1]",
            settings={**self._settings(work), "spark.ui.enabled": "false"},
            workload={},
            data=self.data(work),
        )
        say(folder, CONFIG, config)
        argv: list[str | Path] = [sys.executable, "-m", "tasks.spark.clearing", folder]
        timeout = min(_CLEARING_SECONDS, work.seconds_left())
        try:
            work.processes.run(argv, log=f"{_CLEARING}.log", timeout=timeout, env=self._environment(work))
        except StepError as error:
            raise StepError(f"{self.data(work)} was not removed: {error.message}", "remove it by hand") from None

    def _settings(self, work: Work) -> dict[str, str]:
        return {**self.defaults(work), **words_of(self._client.settings)}

    def _environment(self, work: Work) -> dict[str, str]:
        home = prepare_home(find_java(), work.workspace.scratch.absolute() / "java")
        return {"SPARK_HOME": str(spark_home()), "JAVA_HOME": str(home), **self.more_environment()}


def end_drivers(processes: Processes) -> tuple[str, ...]:
    """Make sure that no driver on record is left; the names of those that ran."""
    alive = processes.alive()
    for name in processes.names():
        if name.startswith(PREFIX):
            processes.stop(name, signals=AT_ONCE)
    return tuple(name for name in alive if name.startswith(PREFIX))


def sessions_of(work: Work) -> Path:
    """Where a run talks with its drivers."""
    return work.workspace.scratch.absolute() / "sessions"


def was_asked(work: Work) -> bool:
    """Whether a driver of this run was ever started, or about to be."""
    return any(sessions_of(work).glob(f"*/*/{CONFIG}"))


def spark_version() -> str:
    """Of the Spark that drivers here are started with."""
    from importlib import metadata

    spark_home()  # tells the next move where there is none
    return metadata.version("pyspark")


def _events_of(work: Work) -> Path:
    return work.workspace.scratch.absolute() / "events"
