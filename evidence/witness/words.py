"""What is said about witnesses: which are configured, and what each one said of a head.

Promise: where no witness is configured that is a value of its own, so that no report can leave it out.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from evidence.errors import EvidenceError
from evidence.names import is_portable
from evidence.verify import COSIGNATURE_NOTE
from evidence.witness.lines import VerifierKey, parse_verifier_key


@dataclass(frozen=True)
class Witness:
    """A witness, as configured: `name` ends the key of what is kept, `key` is its verifier key (vkey, type 0x04).

    `url` is where heads are submitted; what it saw can be read at `monitor`, the same unless given.
    """

    name: str
    url: str
    key: str
    monitor: str = ""

    def __post_init__(self) -> None:
        if not is_portable(self.name) or "/" in self.name:
            raise EvidenceError(f"{self.name!r} is no name for a witness", "use letters, digits and ._+=,@-")
        for url in (self.url, self.monitor or self.url):
            if not re.fullmatch(r"https?://\S+", url):
                raise EvidenceError(f"the witness {self.name} has no web address", "write http://… or https://…")
        if parse_verifier_key(self.key, COSIGNATURE_NOTE) is None:
            advice = "copy the line that the witness shows when it starts"
            raise EvidenceError(f"the key of the witness {self.name} is no verifier key of type 4", advice)

    @property
    def verifier_key(self) -> VerifierKey:
        """The pinned key."""
        key = parse_verifier_key(self.key, COSIGNATURE_NOTE)
        assert key is not None, "looked at when it was made"  # noqa: S101
        return key


class Why(Enum):
    """Why a witness did not cosign."""

    NOT_CONFIGURED = "not configured"
    MISSING = "missing"
    """The store holds no word of it."""
    AWAY = "away"
    REFUSED = "refused"
    FALSE = "false"
    """Its answer is not what it should be."""
    AHEAD = "ahead"
    """It has cosigned a longer log: a newer head, or this log has lost its end."""
    FORK = "fork"
    """It has cosigned a head from which this one does not follow: the log has two histories."""


@dataclass(frozen=True)
class Cosigned:
    """A witness's word: at `at` (UTC) this head followed from all it had seen. `line` is its signature line."""

    witness: str
    at: datetime
    line: bytes


@dataclass(frozen=True)
class NotCosigned:
    """Why there is no word of this witness. Without a name: of none at all.

    `seen` is the head that the witness says it cosigned last, when it is ahead or on another history: not checked.
    """

    witness: str
    why: Why
    message: str
    advice: str = ""
    seen: bytes = b""


NOT_CONFIGURED: Final = NotCosigned(
    "",
    Why.NOT_CONFIGURED,
    "no witness is configured: nobody but us would see two histories of the log",
    "let another team run `muster witness`, and name it in the settings",
)
