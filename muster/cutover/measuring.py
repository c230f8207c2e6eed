"""What a cutover's checks and its telling both need of the journal: handovers, the account, the time with no owner."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from pydantic import BaseModel

from muster.cutover.observations import Activated, Drained, Handover, HomeSeen, Raised, Reckoned, Surveyed, Waves
from muster.cutover.ownership import Side
from muster.journal import EventKind, History

M = TypeVar("M", bound=BaseModel)
WAYS = ("", "-back")
"""Ends of the names of the steps that lead there, and back."""


def part(history: History, step: str, model: type[M]) -> M | None:
    """What a step returned, if it was asked for and came to its end."""
    done = [e for e in history.of(EventKind.SUCCEEDED) if e.step == step and "why" not in e.body["result"]]
    return model.model_validate(done[-1].body["result"]) if done else None


def handovers(history: History) -> tuple[Handover, ...]:
    """The handovers that came to their end, in order."""
    found: list[Handover] = []
    for way in WAYS:
        drained = part(history, f"drain{way}", Drained)
        raised = part(history, f"fence{way}", Raised)
        activated = part(history, f"activate{way}", Activated)
        if drained and raised and activated:
            found.append(Handover(drained=drained, raised=raised, activated=activated))
        if waves := part(history, f"waves{way}", Waves):
            found += waves.handovers
    return tuple(found)


def reckoned(history: History) -> Reckoned | None:
    """The account, if it was made."""
    return part(history, "account", Reckoned)


def blind_sides(book: Reckoned) -> tuple[Side, ...]:
    """Whose history could not be read."""
    return tuple(side for side in Side if not book.histories.get(side))


def gaps(history: History) -> Iterator[tuple[str, float]]:
    """How long nobody started anything, for each handover, in words and seconds.

    From the hold, or the watermark where that lies later, to the release of the new one. Between the last tick that the
    old scheduler had in hand and the watermark, half a second at most, nothing is due. What broke off lasted until the
    undo released somebody.
    """
    for one in handovers(history):
        held_ns = one.drained.held_ns + _still_in_hand(one.drained.held, one.drained.watermark)
        words = f"{one.drained.out} to {one.activated.into}" + (
            f", wave {one.drained.wave + 1}" if one.drained.wave else ""
        )
        yield words, max(0.0, (one.activated.released_ns - held_ns) / 1e9)
    if (broken := broken_off(history)) and broken.least:
        yield f"broken off in {broken.step}", broken.least


def _still_in_hand(held: datetime, watermark: datetime) -> int:
    return max(0, int((watermark - held) / timedelta(microseconds=1)) * 1000)


def gap_of(history: History) -> float | None:
    """The longest of them."""
    return max((seconds for _, seconds in gaps(history)), default=None)


@dataclass(frozen=True)
class BrokenOff:
    """A handover that came to no end, by the step in which it broke off."""

    step: str
    least: float
    """Seconds in which nobody was at work for sure."""
    most: float | None
    """Seconds in which nobody may have been; `None`: nobody knows."""


def broken_off(history: History) -> BrokenOff | None:
    """The handover that broke off, if one did: a drill ends with the first."""
    begun = [event.step for event in history.of(EventKind.STARTED)]
    done = {event.step for event in history.of(EventKind.SUCCEEDED)}
    survey = history.result("survey", Surveyed)
    for way in WAYS:
        first, last, others = f"drain{way}", f"activate{way}", f"waves{way}"
        if first in begun and last not in done and (first not in done or part(history, first, Drained)):
            step = [name for name in (first, f"fence{way}", last) if name in begun][-1]
            return _stood_still(history, step, first, last)
        if others in begun and others not in done and survey and len(survey.waves) > 1:
            return _stood_still(history, others, others, others)
    return None


def _stood_still(history: History, step: str, first: str, last: str) -> BrokenOff:
    """From the hold, where it is known, to the undo's release. `first` may have held, `last` may have released."""
    home = history.latest(HomeSeen)
    if home is None:
        return BrokenOff(step, 0.0, None)
    if home.released_at is None:  # somebody had all when the undo came: was never held, or was released by the drill
        return BrokenOff(step, 0.0, None if step == last else 0.0)
    begun = {event.step: event.at for event in history.of(EventKind.STARTED)}
    held = part(history, first, Drained) if first != last else None
    most = max(0.0, (home.released_at - (held.held if held else begun[first])).total_seconds())
    return BrokenOff(step, most if held and last not in begun else 0.0, most)
