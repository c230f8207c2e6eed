"""The report as a PDF, for people who file papers.

Promises: the same document gives the same bytes, whatever the day and the machine; every text of the HTML page is in
it; tables break over pages with their heads repeated, and every page says what it is of. Fonts are embedded; a
character that they do not have is written as its number (`U+691C`), never dropped.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import reportlab
from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_LEFT, TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    LongTable,
    PageTemplate,
    Paragraph,
    Spacer,
)

from muster.package.document import Cell, Column, Document, Section, Tone
from muster.package.document import Table as Told

_SANS, _BOLD = "muster-sans", "muster-bold"
_INK, _QUIET, _LINE = "#1b1d21", "#5b6069", "#dcdcd6"
_COLOURS = {Tone.PLAIN: _INK, Tone.PASS: "#17663a", Tone.FAIL: "#b0231b", Tone.INCONCLUSIVE: "#855400"}
_MARGIN = 18 * mm
_WIDTH = A4[0] - 2 * _MARGIN
_HEAD = 45 * mm
"""A section begins on the next page where less than this is left: a heading never stands alone."""
_LABEL = 0.26
"""Share of the width that a fact's label takes."""


def render_pdf(document: Document, made_at: datetime) -> bytes:
    """The PDF; it is dated `made_at`."""
    _fonts()
    out = BytesIO()
    frame = Frame(
        _MARGIN, _MARGIN, _WIDTH, A4[1] - 2 * _MARGIN, leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0
    )
    template = BaseDocTemplate(
        out,
        pagesize=A4,
        title=document.title,
        author="Muster",
        subject=document.kind,
        creator="Muster",
        lang="en",
        invariant=1,
    )
    page = _Page(document, made_at)
    template.addPageTemplates(PageTemplate("page", [frame], onPage=page.draw))
    template.build(list(_flow(document)))
    return out.getvalue()


class _Page:
    """What stands on every page beside its content."""

    def __init__(self, document: Document, made_at: datetime) -> None:
        self._foot = _shown(document.title)
        self._stamp = f"D:{made_at:%Y%m%d%H%M%S}Z"

    def draw(self, canvas: Canvas, _template: Any) -> None:
        canvas.setDateFormatter(lambda *_: self._stamp)
        canvas.saveState()
        canvas.setFont(_SANS, 7)
        canvas.setFillColor(_QUIET)
        canvas.drawString(_MARGIN, _MARGIN / 2, self._foot)
        canvas.drawRightString(A4[0] - _MARGIN, _MARGIN / 2, f"page {canvas.getPageNumber()}")
        canvas.restoreState()


def _flow(document: Document) -> Iterator[Flowable]:
    yield _text(document.kind, _style(size=9, colour=_QUIET))
    yield _text(document.heading, _style(_BOLD, size=22, colour=_COLOURS[document.tone], after=6))
    for sentence in document.sentences:
        yield _text(sentence, _style(size=10, after=3))
    yield _text(document.when, _style(size=8, colour=_QUIET, after=8))
    if document.counts:
        words = (
            f'<font name="{_BOLD}" color="{_COLOURS[c.tone]}">{c.number:,} {escape(c.word)}</font>'
            for c in document.counts
        )
        yield Paragraph(" &nbsp; ".join(words), _style(size=10, after=4))
    for section in document.sections:
        yield from _section(section)
    yield Spacer(1, 14)
    for paragraph in document.footer:
        yield _text(paragraph, _style(size=8, colour=_QUIET))


def _section(section: Section) -> Iterator[Flowable]:
    colour = _COLOURS[Tone.FAIL] if section.is_bad else _INK
    yield CondPageBreak(_HEAD)
    yield _text(section.title, _style(_BOLD, size=12, colour=colour, before=16, after=5))
    for paragraph in section.paragraphs:
        yield _text(paragraph, _style(size=9, after=4))
    if section.facts:
        yield _facts(section.facts)
    if section.table:
        yield _table(section.table)
    if section.note:
        yield _text(section.note, _style(size=8, colour=_QUIET, before=4))


def _facts(facts: tuple[tuple[str, Cell], ...]) -> Flowable:
    rows = [[_text(label, _style(size=8, colour=_QUIET)), _cell(value)] for label, value in facts]
    return _grid(rows, [_LABEL * _WIDTH, (1 - _LABEL) * _WIDTH])


def _table(table: Told) -> Flowable:
    head = [_text(column.title, _style(size=8, colour=_QUIET, right=column.is_number)) for column in table.columns]
    rows = [[_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)] for row in table.rows]
    whole = sum(column.share for column in table.columns)
    return _grid([head, *rows], [column.share / whole * _WIDTH for column in table.columns], heads=1)


def _grid(rows: list[list[Any]], widths: list[float], heads: int = 0) -> Flowable:
    look: list[Any] = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (0, -1), 0),
        ("LEFTPADDING", (1, 0), (-1, -1), 4),
        ("RIGHTPADDING", (0, 0), (-1, -1), 4),
        ("TOPPADDING", (0, 0), (-1, -1), 3),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        ("LINEABOVE", (0, heads), (-1, -1), 0.5, _LINE),
    ]
    return LongTable(rows, colWidths=widths, repeatRows=heads, style=look, splitInRow=1)


def _cell(cell: Cell, column: Column | None = None) -> list[Flowable]:
    right = bool(column and column.is_number)
    font = _BOLD if cell.tone else _SANS
    first = _text(cell.text, _style(font, size=7 if cell.is_code else 8, colour=_COLOURS[cell.tone], right=right))
    more = [_text(line, _style(size=7, colour=_QUIET, right=right)) for line in cell.more]
    lacks = [_text(line, _style(size=7, colour=_COLOURS[Tone.INCONCLUSIVE])) for line in cell.lacks]
    return [first, *more, *lacks]


def _text(text: str, style: ParagraphStyle) -> Paragraph:
    return Paragraph(escape(_shown(text)), style)


def _shown(text: str) -> str:
    """The text in characters that the font has."""
    known = _characters()
    return "".join(c if ord(c) in known else f"U+{ord(c):04X}" for c in text)


@cache
def _style(
    font: str = _SANS, *, size: float, colour: str = _INK, before: float = 0, after: float = 0, right: bool = False
) -> ParagraphStyle:
    return ParagraphStyle(
        "told",
        fontName=font,
        fontSize=size,
        leading=size * 1.3,
        textColor=HexColor(colour),
        spaceBefore=before,
        spaceAfter=after,
        alignment=TA_RIGHT if right else TA_LEFT,
    )


@cache
def _fonts() -> tuple[TTFont, ...]:
    """Bitstream Vera, which comes with the library."""
    folder = Path(reportlab.__file__).parent / "fonts"
    fonts = tuple(TTFont(name, str(folder / file)) for name, file in ((_SANS, "Vera.ttf"), (_BOLD, "VeraBd.ttf")))
    for font in fonts:
        pdfmetrics.registerFont(font)
    return fonts


@cache
def _characters() -> frozenset[int]:
    """Those that every font has."""
    return frozenset.intersection(*(frozenset(font.face.charToGlyph) for font in _fonts()))
