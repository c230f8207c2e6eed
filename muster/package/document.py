"""A document as data: headings, facts and tables, from which HTML and PDF are drawn alike.

Promise: every text in it is one printable line, whatever was sealed, so that no form has to care.
"""

from dataclasses import dataclass
from enum import StrEnum

from muster.report.wording import printable, shortened


class Tone(StrEnum):
    """How a cell looks; its words say the same, so that nothing is told by colour alone."""

    PLAIN = ""
    PASS = "pass"  # noqa: S105 - a colour, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


MARKS = {Tone.PLAIN: "", Tone.PASS: "✓", Tone.FAIL: "✕", Tone.INCONCLUSIVE: "?"}


MOST = 400
"""Characters that are shown of one text: the whole stands in the bundle."""


def line(text: str) -> str:
    """One printable line of bounded length."""
    return shortened(text if text.isprintable() else printable(text), MOST)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text, further lines below it in smaller print, and lines that say what is not shown."""

    text: str
    tone: Tone = Tone.PLAIN
    more: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    is_code: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", line(self.text))
        object.__setattr__(self, "more", tuple(map(line, self.more)))
        object.__setattr__(self, "lacks", tuple(map(line, self.lacks)))


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its head, and its share of the width."""

    title: str
    share: int
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table. The first column names the row."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the document: paragraphs, then facts, then a table, then a note."""

    key: str
    title: str
    paragraphs: tuple[str, ...] = ()
    facts: tuple[tuple[str, Cell], ...] = ()
    table: Table | None = None
    note: str = ""
    is_bad: bool = False
    """Whether it is about what is missing or wrong."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "paragraphs", tuple(map(printable, self.paragraphs)))
        object.__setattr__(self, "note", printable(self.note))


@dataclass(frozen=True, slots=True)
class Count:
    """A number in the head of the document."""

    number: int
    word: str
    tone: Tone


@dataclass(frozen=True)
class Document:
    """The whole."""

    kind: str
    """What it is, above its heading."""
    name: str
    heading: str
    tone: Tone
    sentences: tuple[str, ...]
    when: str
    counts: tuple[Count, ...] = ()
    sections: tuple[Section, ...] = ()
    footer: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("kind", "name", "heading", "when"):
            object.__setattr__(self, name, line(getattr(self, name)))
        object.__setattr__(self, "sentences", tuple(map(printable, self.sentences)))

    @property
    def title(self) -> str:
        """For the window's or the file's title."""
        return f"{self.name}: {self.heading}"
