"""The watermark: up to which tick the old scheduler starts, and from which the new one does. Pure.

Promises: no tick falls on it; whatever the old scheduler has taken up lies before it; whatever it has not lies after
it, or is named, so that the new one makes up for it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from muster.cutover.schedule import Firing, Stage, Tick

_LEAST = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Border:
    """Where ticks change hands."""

    watermark: datetime
    behind: tuple[Tick, ...]
    """Ticks before it that the old scheduler did not take up."""
    taken: frozenset[Tick]
    """Ticks that it did, in the span that was looked at."""


def quietest(ticks: Sequence[Tick], begin: datetime, end: datetime) -> datetime:
    """The moment in [begin, end] with the longest time to the next tick: just after the tick before that gap."""
    if end <= begin:
        return begin
    edges = [begin, *(tick.at for tick in ticks if begin < tick.at < end), end]
    gaps = [(later - earlier, earlier) for earlier, later in pairwise(edges)]
    longest, start = max(gaps, key=lambda gap: gap[0])
    return start if start == begin else start + min(longest / 4, timedelta(milliseconds=500))


def border(expected: Sequence[Tick], firings: Iterable[Firing], held_at: datetime, look_back: timedelta) -> Border:
    """Where the border lies once the old scheduler is held. `expected` reaches beyond every tick it can have taken."""
    taken = frozenset(firing.tick for firing in firings if firing.stage.is_taken)
    last = max((held_at, *(tick.at for tick in taken)))
    watermark = _between(last, {tick.at for tick in expected} | {tick.at for tick in taken})
    behind = tuple(t for t in expected if held_at - look_back < t.at <= watermark and t not in taken)
    return Border(watermark=watermark, behind=behind, taken=taken)


def _between(at: datetime, moments: Collection[datetime]) -> datetime:
    """The first moment from `at` on with some room to the next tick, and on none."""
    later = sorted(moment for moment in moments if moment > at)
    room = (later[0] - at) / 2 if later else timedelta(seconds=1)
    return at + max(_LEAST, min(room, timedelta(milliseconds=500)))


def made_ahead(firings: Iterable[Firing], watermark: datetime, keep: Collection[Tick]) -> tuple[Tick, ...]:
    """Runs that the new scheduler has ready for ticks that are not its to start."""
    return tuple(f.tick for f in firings if f.stage is Stage.WAITING and f.at <= watermark and f.tick not in keep)
