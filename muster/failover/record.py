"""What the client writes down: records, sessions and its end, without what it takes to judge them.

The client's process imports this and no more, so that it starts at once. The words are those of `history`.
"""

from enum import IntEnum

from pydantic import BaseModel, ConfigDict

STRUCT = "<BBHIQQQ"
"""A record for `struct`: kind, flags, connection, session, id, monotonic and wall nanoseconds."""
SEQUENCE_BITS = 40


class Kind(IntEnum):
    """What a record says. Terms are Jepsen's: an `info` is a call whose effect is unknown."""

    INVOKE = 1
    OK = 2
    FAIL = 3
    INFO = 4
    READ_INVOKE = 5
    READ_PRESENT = 6
    READ_ABSENT = 7
    READ_FAIL = 8


class Session(BaseModel):
    """One connection to a server, as the client got it: a line of `sessions.jsonl`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    log: str
    """Name of the log whose records carry this session's number."""
    session: int
    mono_ns: int
    server: str
    """As `NodeState.server`: `cluster_name/start in microseconds since 1970/timeline`; empty when connecting failed."""
    error: str = ""


class LogEnd(BaseModel):
    """What a writer says of its log when it ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    records: int
    sha256: str


class End(BaseModel):
    """`end.json`: every log and how it ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    logs: dict[str, LogEnd]


def make_id(connection: int, sequence: int) -> int:
    """The id of a connection's nth write; both from their ranges, `sequence` from 1."""
    return connection << SEQUENCE_BITS | sequence
