"""What a link is like: its round trip, its losses, its rate, whether it is cut.

Promise: a condition that no link could have is refused before any link is touched.
"""

import json
from dataclasses import asdict, dataclass

from muster.errors import UsageError

_LONGEST_RTT = 60.0
_HIGHEST_LOSS = 0.9
"""Above it TCP does not come through in any time a drill would wait."""


@dataclass(frozen=True)
class Condition:
    """One state of a link, the same in both directions. The default is a perfect one."""

    rtt_seconds: float = 0.0
    """What the link adds to a round trip, half of it each way."""
    loss: float = 0.0
    """The part of the packets that is lost each way, from 0 to 0.9."""
    mbytes_per_second: float | None = None
    """Millions of bytes a second each way, packet headers included; `None` is as fast as it goes."""
    is_cut: bool = False
    """Nothing comes through, and nobody is told."""

    def __post_init__(self) -> None:
        if not 0 <= self.rtt_seconds <= _LONGEST_RTT:
            raise UsageError(f"a round trip of {self.rtt_seconds:g} s", f"give 0 to {_LONGEST_RTT:g} seconds")
        if not 0 <= self.loss <= _HIGHEST_LOSS:
            raise UsageError(f"a loss of {self.loss:g}", f"give a part of the packets, 0 to {_HIGHEST_LOSS:g}")
        if self.mbytes_per_second is not None and not 0.01 <= self.mbytes_per_second <= 10_000:
            raise UsageError(f"a rate of {self.mbytes_per_second:g} MB/s", "give 0.01 to 10000 MB/s, or none")

    @property
    def one_way(self) -> float:
        """Seconds that each direction adds."""
        return self.rtt_seconds / 2

    @property
    def bytes_per_second(self) -> float | None:
        """The rate of each direction."""
        return None if self.mbytes_per_second is None else self.mbytes_per_second * 1e6

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Condition":
        """What `to_json` wrote; anything else is a `UsageError`."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise UsageError(f"no condition of a link: {error}") from error
