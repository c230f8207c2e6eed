"""What is fuzzed: each parser of foreign bytes, with bytes it must take, and what must be true of all that it takes.

A parser may refuse whatever it likes, but what it takes must be the one form of what it says: written anew, it is the
same bytes. Where a signature is checked, only what was truly signed may pass. A check that does not hold raises
`FalseAccept`; an exception of any other kind is a crash.
"""

from tests.fuzz import files, merkle, notes, packages, seals

TARGETS = {target.name: target for room in (notes, merkle, seals, files, packages) for target in room.TARGETS}
"""All of them, by name."""
