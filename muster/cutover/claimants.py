"""As whom jobs claim, seen before a cutover makes anybody the owner: then a claim in another name is refused. Pure.

Promises: only what was claimed, or refused as fenced, says anything; a claim that was made in an owner's epoch is none
of a wrong name, and a scheduler that is kept out beside the right one is none either.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from muster.cutover.schedule import Tick


class Word(NamedTuple):
    """A claim that was granted, or refused as fenced."""

    tick: Tick
    holder: str
    is_owned: bool
    """Whether it was granted in an epoch of the holder."""
    is_fenced: bool


@dataclass(frozen=True)
class Strange:
    """A schedule whose job claims in another name."""

    tick: Tick
    holder: str

    def words(self, expected: str) -> str:
        """For people."""
        name = self.holder or "nobody (it has no MUSTER_HOLDER)"
        return f"{self.tick.schedule} claimed its tick of {self.tick.at:%Y-%m-%d %H:%M} as {name}, not as {expected}"


def strangers(words: Iterable[Word], holder: str, now: datetime, late: timedelta) -> tuple[Strange, ...]:
    """Schedules that `holder` is about to own, or owns, and whose newest claims are another's."""
    by_schedule: dict[str, list[Word]] = {}
    for word in words:
        by_schedule.setdefault(word.tick.schedule, []).append(word)
    found = (_stranger(spoken, holder, now - late) for _, spoken in sorted(by_schedule.items()))
    return tuple(one for one in found if one is not None)


def _stranger(words: list[Word], holder: str, settled: datetime) -> Strange | None:
    mine = [word.tick.at for word in words if word.holder == holder and not word.is_fenced]
    odd = [word for word in words if word.holder != holder and not word.is_owned]
    newer = sorted((word for word in odd if not mine or word.tick.at > max(mine)), key=lambda word: word.tick.at)
    if not newer or (mine and newer[0].tick.at > settled):  # the right one may be about to claim
        return None
    return Strange(newer[-1].tick, newer[-1].holder)
