"""The pace of one connection: an even schedule that does not depend on how long calls take."""

_BURST_NS = 250_000_000
"""How far behind its schedule a connection may catch up. Beyond that it begins anew: after an outage comes no flood."""


class Pace:
    """When calls are due; moments are nanoseconds of the monotonic clock."""

    def __init__(self, interval_ns: int, first_ns: int) -> None:
        """One call every `interval_ns`, the first at `first_ns`; with 0, as fast as it goes."""
        self._interval_ns = interval_ns
        self._next_ns = first_ns

    def take(self, now_ns: int) -> int:
        """When the next call is due, which is then spent; a moment that is past means at once."""
        due_ns = self._next_ns if self._next_ns >= now_ns - _BURST_NS else now_ns
        self._next_ns = due_ns + self._interval_ns
        return due_ns


def paces(count: int, rate: float | None, now_ns: int) -> tuple[Pace, ...]:
    """For `count` connections that make `rate` calls a second together, evenly spread over them."""
    if rate is None:
        return tuple(Pace(0, now_ns) for _ in range(count))
    between = 1e9 / rate
    return tuple(Pace(round(count * between), now_ns + round(number * between)) for number in range(count))
