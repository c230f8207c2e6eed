"""The marked section of a Markdown file: outside the marks, every byte stays."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from muster.deck.section import BEGIN, END, renew
from muster.errors import UsageError

BODY = "**all fresh**\n\n| a |\n| --- |\n"
MARKS = f"{BEGIN}\nold\n{END}\n".encode()
EOLS = st.sampled_from([b"\n", b"\r\n"])
AROUND = st.lists(st.one_of(st.text(max_size=40).map(str.encode), st.binary(max_size=12), EOLS), max_size=8).map(
    b"".join
)


def new(old: bytes) -> bytes:
    return renew(old, BODY, "page.md")


def is_free(around: bytes) -> bool:
    """Whether text is no mark itself, nor one that the byte order marks of UTF-16 begin."""
    return b"muster:deck" not in around and not around.startswith((b"\xff\xfe", b"\xfe\xff"))


@given(AROUND.filter(is_free), EOLS, AROUND.filter(is_free), st.booleans())
@example(b"\xef\xbb\xbf---\r\ntitle: x\r\n---\r\n", b"\r\n", b"no newline at the end", False)
@example(b"", b"\n", b"", True)
def test_what_is_outside_the_marks_stays_byte_for_byte(before: bytes, eol: bytes, after: bytes, is_last: bool) -> None:
    before = before + eol if before else b""
    end = END.encode() if is_last else END.encode() + eol + after
    renewed = new(before + BEGIN.encode() + eol + b"old" + eol + end)
    assert renewed.startswith(before + BEGIN.encode() + eol)
    assert renewed.endswith(eol + end)
    inner = renewed[len(before) + len(BEGIN) + len(eol) : len(renewed) - len(end)]
    assert inner.replace(eol, b"\n") == b"\n" + BODY.encode() + b"\n"
    assert new(renewed) == renewed


@given(AROUND.filter(is_free))
@example(b"")
@example(b"# Page\r\n\r\nno newline")
def test_a_file_without_marks_keeps_all_it_had_and_gets_the_section(old: bytes) -> None:
    renewed = new(old)
    assert renewed.startswith(old)
    added = renewed[len(old) :].replace(b"\r\n", b"\n").lstrip(b"\n")
    assert added == f"{BEGIN}\n\n{BODY}\n{END}\n".encode()
    assert new(renewed) == renewed


def test_line_ends_of_the_file_are_those_of_the_section() -> None:
    assert b"\r\n" not in new(b"# Page\n" + MARKS)
    renewed = new(b"# Page\r\n" + MARKS.replace(b"\n", b"\r\n"))
    assert renewed.count(b"\n") == renewed.count(b"\r\n") > 5


def test_a_mark_within_a_line_is_text() -> None:
    assert new(f"Write `{BEGIN}` and `{END}`.\n".encode()).count(BEGIN.encode()) == 2


@pytest.mark.parametrize(
    ("old", "line"),
    [
        (f"# Page\n{BEGIN}\n", 2),
        (f"# Page\n\n{BEGIN}", 3),
        (f"# Page\n{END}\n", 2),
        (f"{END}\n{BEGIN}\n", 1),
        (f"{BEGIN}\r\n\r\n{BEGIN}\r\n{END}\r\n", 3),
        (f"{BEGIN}\n{END}\n\n{END}\n", 4),
        (f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n", 3),
    ],
    ids=["no end", "no end, no newline", "no begin", "reversed", "two begins", "two ends", "two pairs"],
)
def test_marks_that_make_no_pair_are_named_with_their_line(old: str, line: int) -> None:
    with pytest.raises(UsageError, match=f"page.md, line {line}:"):
        new(old.encode())


def test_a_utf_16_file_is_refused() -> None:
    with pytest.raises(UsageError, match="UTF-16"):
        new("# Page\n".encode("utf-16"))
