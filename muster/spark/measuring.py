"""What a stress drill measured, put together from the journal: pairs of laps, recovery, costs.

Promise: never a bare number; how many pairs it is of, and how far they spread, goes with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from muster.journal import History
from muster.spark.observations import Known, Landing, Lap, LapMeasured, Struck


@dataclass(frozen=True)
class Pair:
    """A disturbed lap, and the undisturbed one before it."""

    undisturbed: Lap
    disturbed: Lap

    @property
    def slowdown(self) -> float:
        """How many times as long."""
        return self.disturbed.seconds / max(self.undisturbed.seconds, 1e-3)

    @property
    def delay(self) -> float:
        """How many seconds later its answer was there."""
        return max(0.0, self.disturbed.seconds - self.undisturbed.seconds)


@dataclass(frozen=True)
class Spread:
    """Some numbers of one kind."""

    median: float
    least: float
    most: float
    count: int


def spread_of(values: Sequence[float]) -> Spread | None:
    """Median and extremes; `None` of nothing."""
    return Spread(median(values), min(values), max(values), len(values)) if values else None


def laps_of(history: History, *kinds: str, variant: str = "") -> tuple[Lap, ...]:
    """Laps of these kinds, in order."""
    return tuple(lap for lap in history.observed(Lap) if lap.kind in kinds and variant in {"", lap.variant})


def counted(history: History) -> tuple[Lap, ...]:
    """Every lap whose result is judged: all of them, the cold one too, for a wrong answer is wrong at any time."""
    return history.observed(Lap)


def pairs_of(history: History, variant: str = "") -> tuple[Pair, ...]:
    """Disturbed laps that ended well, each with the undisturbed one before it.

    The first lap of an application pays for what it has to load and compile: it is compared by time only with another
    such lap, as where every lap has an application of its own.
    """
    pairs: list[Pair] = []
    before: dict[tuple[str, bool], Lap] = {}
    known_applications: set[str] = set()
    for lap in history.observed(Lap):
        is_fresh = lap.applications != () and lap.applications[0] not in known_applications
        known_applications.update(lap.applications)
        of_its_kind = (lap.variant, is_fresh)
        if lap.kind == "undisturbed":
            before[of_its_kind] = lap
        elif lap.kind == "disturbed" and lap.state == "succeeded" and of_its_kind in before:
            pairs.append(Pair(before[of_its_kind], lap))
    return tuple(p for p in pairs if variant in {"", p.disturbed.variant})


def struck_in(history: History, lap: int) -> Struck | None:
    """The fault of a lap."""
    return next((s for s in history.observed(Struck) if s.lap == lap), None)


def landing_in(history: History, lap: int) -> Landing | None:
    """Whether it landed."""
    return next((found for found in history.observed(Landing) if found.lap == lap), None)


def measured(history: History, lap: int) -> LapMeasured | None:
    """A lap by its event log."""
    return next((m for m in history.observed(LapMeasured) if m.number == lap), None)


def known(history: History) -> Known | None:
    """What is right."""
    return history.result("answer", Known)


def noticed(history: History, variant: str = "") -> Spread | None:
    """Seconds from a strike until Spark knew of it; `None` also when it never did in some lap."""
    landed = _landed(history, variant)
    found = [x.noticed_seconds for x in landed if x.noticed_seconds is not None]
    return spread_of(found) if len(found) == len(landed) else None


def regained(history: History, variant: str = "") -> Spread | None:
    """Seconds from a strike until the cores were there again; `None` also when they never were in some lap."""
    landed = _landed(history, variant)
    found = [x.regained_seconds for x in landed if x.regained_seconds is not None]
    return spread_of(found) if len(found) == len(landed) else None


def _landed(history: History, variant: str) -> list[Landing]:
    numbers = {lap.number for lap in laps_of(history, "disturbed", variant=variant)}
    return [x for x in history.observed(Landing) if x.lap in numbers and x.landed]
