"""The last head that this machine saw: what a store that went back in time, or shows two histories, is caught by.

Promise: it only moves forward; without a file it lasts as long as the process.
"""

from pathlib import Path

from evidence import durable
from evidence.errors import EvidenceError
from evidence.log.heads import Head, no_head, parse_head


class Seen:
    """The last head of the log `origin`, kept at `path` if one is given."""

    def __init__(self, origin: str, path: Path | None) -> None:
        self._origin, self._path = origin, path
        self._head = no_head(origin)

    @property
    def head(self) -> Head:
        """The newest head that is known here; another process may have seen a newer one."""
        kept = self._read()
        if kept.size > self._head.size:
            self._head = kept
        return self._head

    def advance(self, head: Head) -> None:
        """Remember a head that was shown to follow from the last one."""
        if head.size <= self.head.size:
            return
        self._head = head
        if self._path:
            durable.make_folders(self._path.parent)
            durable.write(self._path, head.content)

    def _read(self) -> Head:
        if self._path is None or not self._path.exists():
            return no_head(self._origin)
        head = parse_head(self._path.read_bytes())
        if head is None or head.origin != self._origin:
            raise EvidenceError(
                f"{self._path} is not a head of the log {self._origin}",
                "find out who changed it; without it nothing shows whether the store went back in time",
            )
        return head
