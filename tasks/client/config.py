"""What the client is told: one JSON file, the only argument of `python -m tasks.client`. It holds no secret."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

NAME = r"^[a-z_][a-z0-9_]{0,62}$"
"""Of a table, as `ClientSpec.table`: needs no quotes."""
PAUSE_SECONDS = 0.02
"""Between two attempts to open a session."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReaderAt(_Strict):
    """One node that is asked whether fresh writes are there."""

    node: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    """Part of a file's name."""
    dsn: str


class ClientConfig(_Strict):
    """The load, where it goes, and where the history is written."""

    dsn: str
    """Where writers connect, as libpq reads it. Its `connect_timeout` counts only where it is below ours."""
    folder: Path
    """Of the history: holds none when the client starts."""
    table: Annotated[str, Field(pattern=NAME)]
    connections: Annotated[int, Field(ge=1, le=256)]
    rate: Annotated[float | None, Field(gt=0)]
    """Writes a second, all connections together; `None`: as fast as it goes."""
    timeout_seconds: Annotated[float, Field(gt=0)]
    """A call, or an attempt to connect to one host, that has not come to its end by then is given up."""
    commit_setting: str
    """Value of `synchronous_commit`."""
    readers: tuple[ReaderAt, ...] = ()
    read_interval_seconds: Annotated[float | None, Field(gt=0)] = None
    """Between two reads, the nodes in turn; `None`: no reads."""
    max_seconds: Annotated[float, Field(gt=0)]
    """It ends by itself after that, in any case."""

    @property
    def late_seconds(self) -> float:
        """How late a connection's first write on a new primary can be by the client's own pace.

        A host of the DSN that hangs, before the one that serves, adds up to `timeout_seconds`.
        """
        return PAUSE_SECONDS + (self.connections / self.rate if self.rate else 0.0)
