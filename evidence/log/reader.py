"""The reader: finds heads in a store, and believes only those that a key of the log signed.

Promises: a head that is not signed by a trusted key, is of another log or another size than its name says, is an alarm;
one by a key that was admitted since the keys were read is none.
Source: docs/evidence-format.md, "Heads".
"""

from collections.abc import Callable, Sequence

from evidence.keys import PublicKey
from evidence.log.heads import HEADS, Head, head_key, no_head, parse_head
from evidence.log.shelf import ForkAlarm, Shelf, held
from evidence.log.view import View


class Reader:
    """The log named `origin` in a store; `keys` may sign its heads, the present one and those before it.

    `keys_now` is asked when none of them signed something: a key is admitted before it signs, so that whoever read the
    keys before and the head after lacks it.
    """

    def __init__(
        self, shelf: Shelf, origin: str, keys: Sequence[PublicKey], keys_now: Callable[[], Sequence[PublicKey]] = tuple
    ) -> None:
        self.shelf, self.origin = shelf, origin
        self._keys, self._keys_now = tuple(keys), keys_now

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
        if head is None or (head.origin, head.size) != (self.origin, size) or not self.knows(head.is_signed_by):
            raise ForkAlarm(f"{head_key(size)} is not a head that a key of the log {self.origin} signed")
        return head

    def knows(self, is_signed_by: Callable[[Sequence[PublicKey]], bool]) -> bool:
        """Whether a key of the log signed it, by the keys that are known or those that may sign by now."""
        if is_signed_by(self._keys):
            return True
        self._keys = (*self._keys, *(key for key in self._keys_now() if key not in self._keys))
        return is_signed_by(self._keys)
