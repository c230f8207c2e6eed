"""The kill switch: one row in the ledger that stops every drill, and whatever else may stop one.

Promises: it is read anew all the time while a drill runs; once seen thrown it stays thrown for that drill; a switch
that cannot be read is thrown. A drill stops between its steps, and is undone and sealed like any that ends early.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from muster.errors import MusterError
from muster.ledger.rows import Stop

EVERY_SECONDS = 2.0
PATIENCE_SECONDS = 6.0
"""Without a good reading for so long, three in a row, the switch counts as thrown."""


class StopReader(Protocol):
    """The part of the ledger that holds the switch."""

    def current_stop(self) -> Stop | None:
        """The throw that holds, if any."""
        ...


def _nothing_more() -> str:
    return ""


class KillSwitch:
    """The switch as one run sees it. `with` reads it in a thread until the run is over.

    `extra` gives a further reason to stop, or an empty text; one that raises is a switch that cannot be read.
    """

    def __init__(
        self,
        ledger: StopReader,
        extra: Callable[[], str] = _nothing_more,
        *,
        every: float = EVERY_SECONDS,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._ledger, self._extra, self._every, self._patience = ledger, extra, every, patience
        self._thrown = ""
        self._trouble = ""
        self._read_at = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep_reading, name="kill switch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._done.set()
        self._thread.join(timeout=5)

    def reason(self) -> str:
        """Why the run has to stop, by the newest reading; empty while it may go on. Costs nothing."""
        if self._thrown:
            return self._thrown
        unread = time.monotonic() - self._read_at
        if unread < self._patience:
            return ""
        return f"the kill switch could not be read for {unread:.0f} s: {self._trouble or 'the ledger does not answer'}"

    def read(self) -> str:
        """Read it now: why a run may not start, or an empty text. A switch that cannot be read is thrown."""
        if not self._thrown and not self._look():
            return f"the kill switch cannot be read: {self._trouble}"
        return self.reason()

    def _keep_reading(self) -> None:
        while not self._done.wait(self._every):
            self._look()

    def _look(self) -> bool:
        """One reading; whether it was a good one."""
        try:
            stop = self._ledger.current_stop()
            found = words_of(stop) if stop else self._extra()
        except Exception as error:
            self._trouble = error.message if isinstance(error, MusterError) else f"{type(error).__name__}: {error}"
            return False
        self._thrown = self._thrown or found
        self._read_at = time.monotonic()
        return True


def words_of(stop: Stop) -> str:
    """Who threw the switch, when and why."""
    return f"{stop.by} threw the kill switch at {stop.at:%Y-%m-%d %H:%M:%S} UTC: {stop.reason}"
