"""The capability a cutover needs of each of its two schedulers.

A set of schedules on a scheduler is absent, held, armed or released. Only a released set starts anything. `hold` and
`release` are what a handover waits for and take the same time for one schedule and for thousands, where the scheduler
allows it; whatever takes long is in `mirror`, `arm` and `rest`.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from muster.cutover.schedule import Cut, Dialect, Firing, Inventory, Job, Schedule, Tick
from muster.identity import Identity


@dataclass(frozen=True)
class Reach:
    """What a verb may use while it works."""

    mark: str
    """Put on whatever a mirror makes, so that only that is ever removed: the plan's name and the run's."""
    seconds_left: Callable[[], float]
    """Seconds until the time limit; raises when it is up, or somebody stops the drill. Ask before every wait."""


@runtime_checkable
class Scheduler(Protocol):
    """One scheduler. Every verb means "make sure that", is safe to repeat, and reads back what it did.

    A scheduler that answers "done" and has done nothing is found out by that: `SystemFailure`. One that does not answer
    in time: `StepError`.
    """

    @property
    def dialect(self) -> Dialect:
        """How it reads rules."""
        ...

    def identify(self) -> Identity:
        """Prove which scheduler this is; `Refusal` when it does not answer, or is not the one the plan names."""
        ...

    def now(self) -> datetime | None:
        """Its own clock, UTC; `None` where it cannot be asked."""
        ...

    def inventory(self, cut: Cut) -> Inventory:
        """Every job of the cut with its schedules, active or not, and what is unfit. Pages through all of them."""
        ...

    def untold(self, job: Job, schedule: Schedule) -> tuple[str, ...]:
        """What this scheduler could not carry exactly, in words: seconds, a zone, jitter, catching up. Pure."""
        ...

    def carried(self, schedule: Schedule) -> Schedule | None:
        """The schedule as it would be read back here after a mirror; `None` where it cannot be carried. Pure."""
        ...

    def gate_of(self, job: Job) -> str:
        """Name of what is shut to hold it. Jobs of one gate are held and released together, and `Refusal` is raised
        when some of them are named and others are not. Empty: it is held by itself. Pure."""
        ...

    def objection(self, jobs: Sequence[Job], schedules: Sequence[Schedule], mark: str) -> str:
        """Why a mirror of this mark would be refused, in words; empty where it would not. Only asks."""
        ...

    def mirror(self, jobs: Sequence[Job], schedules: Sequence[Schedule], reach: Reach) -> None:
        """They exist here, under the same names, held. One of a foreign mark that has such a name: `Refusal`."""
        ...

    def remove(self, jobs: Collection[str], reach: Reach) -> None:
        """Of these, what a mirror of this mark made is gone, with its runs that nobody has taken up."""
        ...

    def arm(self, schedules: Collection[str], reach: Reach) -> None:
        """As ready as can be without starting anything: a released set begins at once."""
        ...

    def release(self, schedules: Collection[str], reach: Reach) -> None:
        """They start what is due from now on."""
        ...

    def hold(self, schedules: Collection[str], reach: Reach) -> None:
        """Nothing of them is taken up from the moment this returns. What was taken up before runs on."""
        ...

    def rest(self, schedules: Collection[str], reach: Reach) -> None:
        """After `hold`: runs made ahead are gone, and no more are made, whoever opens what `hold` shut."""
        ...

    def released(self, schedules: Collection[str]) -> frozenset[str]:
        """Those of them that would start something, asked of the scheduler now."""
        ...

    def next_ticks(self, schedules: Sequence[Schedule], after: datetime, until: datetime) -> tuple[Tick, ...] | None:
        """The due times in (after, until] as the scheduler itself computes them; `None` where it cannot be asked."""
        ...

    def history(self, schedules: Collection[str], after: datetime, until: datetime) -> tuple[Firing, ...] | None:
        """What was made of ticks in (after, until], those made ahead too; `None` where it keeps no history."""
        ...

    def at_work(self, schedules: Collection[str]) -> tuple[Firing, ...] | None:
        """Runs of them that are taken up and not over, however long ago they began; `None` where it cannot be said."""
        ...

    def drop(self, ticks: Collection[Tick], reach: Reach) -> None:
        """Runs made ahead of these ticks that nobody has taken up are gone."""
        ...

    def start(self, ticks: Collection[Tick], reach: Reach) -> frozenset[Tick]:
        """Make up for these ticks: a run of each is to be taken up now, once. Returns those it can do so for."""
        ...
