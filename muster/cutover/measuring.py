"""What a cutover's checks and its telling both need of the journal: handovers, the account, the time with no owner."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TypeVar

from pydantic import BaseModel

from muster.cutover.observations import Activated, Drained, Handover, Raised, Reckoned, Waves
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
    old scheduler had in hand and the watermark, half a second at most, nothing is due.
    """
    for one in handovers(history):
        held_ns = one.drained.held_ns + _still_in_hand(one.drained.held, one.drained.watermark)
        words = f"{one.drained.out} to {one.activated.into}" + (
            f", wave {one.drained.wave + 1}" if one.drained.wave else ""
        )
        yield words, max(0.0, (one.activated.released_ns - held_ns) / 1e9)


def _still_in_hand(held: datetime, watermark: datetime) -> int:
    return max(0, int((watermark - held) / timedelta(microseconds=1)) * 1000)


def gap_of(history: History) -> float | None:
    """The longest of them."""
    return max((seconds for _, seconds in gaps(history)), default=None)
