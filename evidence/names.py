"""Portable names: the only ones that members, keys and bundles may have.

Promise: a portable name means the same file on every system: ASCII, relative, no `..`, nothing that Windows or a
case-folding disk would merge or refuse. So no two names can look alike, and none can leave its folder.
Source: POSIX.1-2017 3.282 (portable filename character set), with `+=,@` besides.
"""

import re
from collections.abc import Iterable

_SEGMENT = re.compile(r"(?!-)[A-Za-z0-9._+=,@-]{1,100}(?<!\.)")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def is_portable(name: str) -> bool:
    """Whether `name`, with `/` between its segments, may stand in evidence."""
    return bool(name) and len(name) <= 200 and all(map(_is_portable_segment, name.split("/")))


def find_clash(names: Iterable[str]) -> str | None:
    """A name that equals another but for case, or that is a file where another needs a folder."""
    taken: set[str] = set()
    folders: set[str] = set()
    for name in sorted(names):
        folded = name.lower()
        parents = {"/".join(folded.split("/")[:depth]) for depth in range(1, folded.count("/") + 1)}
        if folded in taken or folded in folders or parents & taken:
            return name
        taken.add(folded)
        folders |= parents
    return None


def _is_portable_segment(segment: str) -> bool:
    return _SEGMENT.fullmatch(segment) is not None and _RESERVED.fullmatch(segment) is None
