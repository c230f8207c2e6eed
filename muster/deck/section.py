"""The deck's own section of a Markdown file, renewed in place: everything outside its two marks stays as it is.

Promises: bytes outside the marks are never changed, whatever they are: front matter, line ends, a byte order mark, a
missing newline at the end; the same deck leaves the same bytes; a file whose marks make no pair is left alone.
"""

import re
from typing import NamedTuple

from muster.errors import UsageError

BEGIN = "<!-- muster:deck:begin -->"
END = "<!-- muster:deck:end -->"

_MARK = re.compile(
    rb"^(?:\xef\xbb\xbf)?[ \t]*(?:(?P<begin>%s)|(?P<end>%s))[ \t]*\r?$" % (BEGIN.encode(), END.encode()), re.MULTILINE
)
_WIDE = (b"\xff\xfe", b"\xfe\xff")


class _Mark(NamedTuple):
    line: int
    is_begin: bool
    start: int
    """Where the mark's line begins."""
    after: int
    """Where the next line begins."""


def renew(old: bytes, body: str, name: str) -> bytes:
    """The file's bytes with `body` (lines end in `\\n`) between the marks; without marks, the section is appended.

    A mark is a line that holds nothing else. Raises `UsageError` naming file (`name`) and line when marks make no pair.
    """
    if old.startswith(_WIDE):
        raise UsageError(f"{name} is UTF-16: the deck is written into UTF-8 files", "save it as UTF-8")
    marks = _marks(old)
    if not marks:
        return _appended(old, body)
    _check_pair(marks, name)
    begin, end = marks
    opening = old[begin.start : begin.after]
    eol = b"\r\n" if opening.endswith(b"\r\n") else b"\n"
    return old[: begin.after] + _inner(body, eol) + old[end.start :]


def _marks(old: bytes) -> list[_Mark]:
    found = []
    for match in _MARK.finditer(old):
        after = min(match.end() + 1, len(old))
        line = old.count(b"\n", 0, match.start()) + 1
        found.append(_Mark(line, match["begin"] is not None, match.start(), after))
    return found


def _check_pair(marks: list[_Mark], name: str) -> None:
    expected = True
    for place, mark in enumerate(marks):
        if place > 1:
            raise _broken(name, mark.line, "a second pair of marks", "keep one pair")
        if mark.is_begin is not expected:
            said = BEGIN if mark.is_begin else END
            raise _broken(name, mark.line, f"{said} where the other mark is due", "keep one begin, then one end")
        expected = not expected
    if not expected:
        raise _broken(name, marks[0].line, f"{BEGIN} without its end", f"write {END} on a line below it")


def _broken(name: str, line: int, what: str, advice: str) -> UsageError:
    return UsageError(f"{name}, line {line}: {what}; nothing was written", advice)


def _inner(body: str, eol: bytes) -> bytes:
    return b"\n".join((b"", body.strip("\n").encode(), b"", b"")).replace(b"\n", eol)


def _appended(old: bytes, body: str) -> bytes:
    first = old.find(b"\n")
    eol = b"\r\n" if first > 0 and old[first - 1 : first] == b"\r" else b"\n"
    # an empty line before the mark, so that Markdown takes it for no part of the paragraph above
    gap = b"" if not old or old.endswith(eol * 2) else eol if old.endswith(b"\n") else eol * 2
    return old + gap + BEGIN.encode() + eol + _inner(body, eol) + END.encode() + eol
