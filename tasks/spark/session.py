"""A session on a driver of our own: a process on this machine that sends the job to whatever cluster there is.

Promises: the driver is on record before it runs, and is found again by another process of Muster; one that does not
come up is told with its last words; its event log is written where the drill can read it.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muster.errors import StepError, SystemFailure
from tasks.process import AT_ONCE, Processes
from tasks.spark.post import CONFIG, END, UP, Ask, Config, Told, Up, ask_name, hear, say, told_name
from tasks.spark.status import Executor, Stage, Status

_NAP = 0.05
_END_SECONDS = 30.0
PREFIX = "driver-"
COMMON: Mapping[str, str] = {
    "spark.eventLog.enabled": "true",
    "spark.eventLog.rolling.enabled": "false",
    "spark.eventLog.compress": "false",
    "spark.ui.enabled": "true",
    "spark.ui.port": "0",
    "spark.ui.liveUpdate.period": "50ms",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "WARN",
}
"""What every driver of ours is started with, so that it can be watched."""


@dataclass(frozen=True)
class Launch:
    """How a driver is started."""

    application: str
    master: str
    settings: Mapping[str, str]
    environment: Mapping[str, str]
    workload: Mapping[str, Any]
    data: str
    folder: Path
    """Where it is talked to; below it, each driver of the session has a folder of its own."""
    events: Path
    """Where event logs go."""
    up_within: float = 180.0


def _own_temporary(folder: Path) -> str:
    """Options that make a driver's JVM keep its temporary files here: one that is killed cannot clear /tmp itself."""
    place = folder.absolute() / "tmp"
    place.mkdir(parents=True, exist_ok=True)
    return f'{os.environ.get("SPARK_SUBMIT_OPTS", "")} "-Djava.io.tmpdir={place}"'.strip()


@dataclass
class DriverSession:
    """Runs laps on a driver; `name` tells the sessions of a run apart."""

    name: str
    launch: Launch
    processes: Processes
    seconds_left: Callable[[], float]
    may_restart: bool = False
    """Whether a driver that dies is started again, and its lap with it."""
    seen_at: Callable[[Up], str] = lambda up: up.ui
    """Where the driver's status is asked, if not of itself."""
    placed: Callable[[Executor], Executor] = lambda executor: executor
    """An executor with the host that the cluster's manager knows, where Spark knows it by another."""
    _ups: list[Up] = field(default_factory=list)
    _asked: Ask | None = None
    _asking: tuple[Up, Status] | None = None
    """Whom the status was asked of last: a new connection each time would cost more than the answer."""

    @property
    def applications(self) -> tuple[str, ...]:
        """Ids so far."""
        return tuple(up.application for up in self._ups)

    @property
    def process(self) -> str:
        """The name of the driver's process on record."""
        return f"{PREFIX}{self.name}"

    @property
    def up(self) -> Up:
        """The driver of now."""
        return self._ups[-1]

    def open(self) -> "DriverSession":
        """Make sure that a driver of this session runs and has its application."""
        number = 0
        while (found := hear(self._folder(number), UP, Up)) is not None:
            self._ups.append(found)
            number += 1
        if not self._ups or self.process not in self.processes.alive():
            self._start()
        return self

    def begin(self, number: int, group: str, words: str, *, disturbed: bool) -> None:
        """Ask for a lap."""
        self._asked = Ask(number=self._next(), lap=number, group=group, words=words, disturbed=disturbed)
        say(self._here, ask_name(self._asked.number), self._asked)

    def ended(self) -> Told | None:
        """How it ended; the driver is looked after on the way."""
        if self._asked is None:
            raise StepError("no lap was asked for")
        if told := hear(self._here, told_name(self._asked.number), Told):
            return told
        if self.process in self.processes.alive():
            return None
        if self.may_restart:
            self._start()
            self._asked = self._asked.model_copy(update={"number": 0, "is_again": True})
            say(self._here, ask_name(0), self._asked)
            return None
        raise SystemFailure(f"the driver died: {self._last_words()}", f"see {self._log}")

    def stages(self, group: str) -> tuple[Stage, ...] | None:
        """Asked of the driver."""
        return self._status().stages(group)

    def executors(self) -> tuple[Executor, ...] | None:
        """Asked of the driver."""
        told = self._status().executors()
        return None if told is None else tuple(map(self.placed, told))

    def end(self) -> None:
        """Told to end, and ended if it does not."""
        if self.process in self.processes.alive():
            (self._here / END).touch()
            deadline = time.monotonic() + _END_SECONDS
            while self.process in self.processes.alive() and time.monotonic() < deadline:
                time.sleep(_NAP)
        self.processes.stop(self.process, signals=AT_ONCE)
        self._ask_nobody()

    def _status(self) -> Status:
        if self._asking is None or self._asking[0] != self.up:
            self._ask_nobody()
            self._asking = (self.up, Status(self.seen_at(self.up), self.up.application))
        return self._asking[1]

    def _ask_nobody(self) -> None:
        if self._asking is not None:
            self._asking[1].close()
            self._asking = None

    @property
    def _here(self) -> Path:
        return self._folder(len(self._ups) - 1)

    @property
    def _log(self) -> Path:
        return self.processes.logs / f"{self.process}.log"

    def _folder(self, number: int) -> Path:
        return self.launch.folder / self.name / str(number)

    def _next(self) -> int:
        number = 0
        while (self._here / ask_name(number)).exists():
            number += 1
        return number

    def _start(self) -> None:
        """Start the next driver, and wait until it has its application."""
        launch, folder = self.launch, self._folder(len(self._ups))
        launch.events.mkdir(parents=True, exist_ok=True)
        settings = {**COMMON, "spark.eventLog.dir": launch.events.absolute().as_uri(), **launch.settings}
        config = Config(
            application=launch.application,
            master=launch.master,
            settings=settings,
            workload=dict(launch.workload),
            data=launch.data,
        )
        say(folder, CONFIG, config)
        argv: list[str | Path] = [sys.executable, "-m", "tasks.spark.driver", folder.absolute(), str(os.getpid())]
        environment = {**launch.environment, "SPARK_SUBMIT_OPTS": _own_temporary(folder)}
        self.processes.start(self.process, argv, log=f"{self.process}.log", env=environment)
        deadline = time.monotonic() + launch.up_within
        while (up := hear(folder, UP, Up)) is None:
            if self.process not in self.processes.alive():
                raise StepError(f"the driver did not come up: {self._last_words()}", f"see {self._log}")
            if time.monotonic() > deadline:
                self.processes.stop(self.process, signals=AT_ONCE)
                raise StepError(
                    f"{launch.master} gave the driver no application within {launch.up_within:g} seconds",
                    f"see whether the master answers and takes applications; {self._log}",
                )
            self.seconds_left()
            time.sleep(_NAP)
        self._ups.append(up)

    def _last_words(self) -> str:
        if not self._log.exists():
            return "it said nothing"
        lines = [line.strip() for line in self.processes.tail(self._log).splitlines() if line.strip()]
        return " | ".join(lines[-2:]) or "it said nothing"
