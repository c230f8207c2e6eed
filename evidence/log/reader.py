"""The reader: finds heads in a store, and believes only those that a key of the log signed.

Promise: a head that is not signed by a trusted key, is of another log or another size than its name says, is an alarm.
Source: docs/evidence-format.md, "Heads".
"""

from collections.abc import Sequence

from evidence.keys import PublicKey
from evidence.log.heads import HEADS, Head, head_key, no_head, parse_head
from evidence.log.shelf import ForkAlarm, Shelf, held
from evidence.log.view import View


class Reader:
    """The log named `origin` in a store; `keys` may sign its heads, the present one and those before it."""

    def __init__(self, shelf: Shelf, origin: str, keys: Sequence[PublicKey]) -> None:
        self.shelf, self.origin, self.keys = shelf, origin, tuple(keys)

    def view(self, size: int | None = None) -> View:
        """The log under the head of this size; without, under the newest."""
        return View(self.shelf, self.newest() if size is None else self.head(size))

    def newest(self, known: int = 0) -> Head:
        """The newest head; `known` is the size of one that is there, so that older ones need not be listed."""
        newest = max(self.shelf.keys(HEADS, head_key(known)), default=head_key(known))
        size = newest.removeprefix(HEADS)
        if not (size.isascii() and size.isdecimal()) or head_key(int(size)) != newest:
            raise ForkAlarm(f"{newest} is no name of a head")
        return self.head(int(size))

    def head(self, size: int) -> Head:
        """The head of this size. Raises `ForkAlarm` when the store holds none, or one that no key of the log signed."""
        if size == 0:
            return no_head(self.origin)
        head = parse_head(held(self.shelf, head_key(size)))
        if head is None or (head.origin, head.size) != (self.origin, size) or not head.is_signed_by(self.keys):
            raise ForkAlarm(f"{head_key(size)} is not a head that a key of the log {self.origin} signed")
        return head
