"""What one direction of a link does to what is sent through it: limits the rate, loses, delays.

Promises: pure, the caller brings the time and the chance; what is held is bounded in bytes, and what waits for the
line in seconds too, as in a router's short queue; order is kept; a new condition holds at once, for what is on its
way as well.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum

from tasks.link.condition import Condition

QUEUE_SECONDS = 0.2
"""The longest queue before the line, in seconds of its rate."""
_SMALLEST_QUEUE = 32 * 1024
"""Bytes that may wait for the slowest line: TCP needs a few packets of room to get going."""
_MOST_IN_FLIGHT = 64 * 1024 * 1024
"""Bytes on their way in one direction: what a line as fast as it goes would otherwise pile up."""


class Fate(Enum):
    """What became of a packet that was offered."""

    CARRIED = "carried"
    LOST = "lost"
    """By chance, or by a cut."""
    REFUSED = "refused"
    """The queue was full."""


class Bucket:
    """The rate: when the line has sent what it was given.

    A token bucket of one packet, kept as the time at which it is full again (the generic cell rate algorithm).
    """

    def __init__(self) -> None:
        self._free_at = 0.0

    def departure(self, size: int, now: float, bytes_per_second: float | None) -> float:
        """Take `size` bytes in, and say when the last of them has left."""
        if bytes_per_second is None:
            self._free_at = now
        else:
            self._free_at = max(self._free_at, now) + size / bytes_per_second
        return self._free_at

    def backlog(self, now: float) -> float:
        """Seconds until the line is free."""
        return max(0.0, self._free_at - now)


def longest_queue(bytes_per_second: float | None) -> float:
    """Seconds of the rate that may wait for the line."""
    return 0.0 if bytes_per_second is None else max(QUEUE_SECONDS, _SMALLEST_QUEUE / bytes_per_second)


class Wire:
    """One direction: packets are offered at one end, and due at the other."""

    def __init__(self, condition: Condition, chance: Callable[[], float] = random.random) -> None:
        self.condition = condition
        self._chance = chance
        self._bucket = Bucket()
        self._flying: deque[tuple[float, bytes]] = deque()
        self._bytes = 0

    def change(self, condition: Condition, now: float) -> None:
        """From now on; a cut loses what is on its way, another rate empties the queue onto the line."""
        if condition.is_cut:
            self._flying.clear()
            self._bytes = 0
        if condition.bytes_per_second != self.condition.bytes_per_second:
            self._bucket = Bucket()
            self._flying = deque((min(left, now), packet) for left, packet in self._flying)
        self.condition = condition

    def offer(self, packet: bytes, now: float) -> Fate:
        """Take a packet in, or lose it."""
        condition = self.condition
        if condition.is_cut or (condition.loss and self._chance() < condition.loss):
            return Fate.LOST
        rate = condition.bytes_per_second
        if self._bytes + len(packet) > _MOST_IN_FLIGHT or self._bucket.backlog(now) > longest_queue(rate):
            return Fate.REFUSED
        self._flying.append((self._bucket.departure(len(packet), now, rate), packet))
        self._bytes += len(packet)
        return Fate.CARRIED

    def next_due(self) -> float | None:
        """When the next packet arrives; `None` when nothing is on its way."""
        return self._flying[0][0] + self.condition.one_way if self._flying else None

    def due(self, now: float) -> Iterator[bytes]:
        """What has arrived by now, in order."""
        while self._flying and self._flying[0][0] + self.condition.one_way <= now:
            _, packet = self._flying.popleft()
            self._bytes -= len(packet)
            yield packet
