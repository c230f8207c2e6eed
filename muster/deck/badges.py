"""The deck as SVG badges: one of the whole, and one a plan, for a README or a dashboard.

Promises: each tells its state by word, sign and colour, and to a screen reader; text fits whatever the font; the badge
of a plan that is gone says so and does not stay green.
"""

from collections.abc import Iterable
from html import escape

from muster.cadence.states import State
from muster.deck import wording
from muster.deck.model import Deck, Row
from muster.report.wording import shortened

WHOLE = "deck.svg"
PLANS = "plans"
"""The folder of the plans' badges: no plan can take the name of the whole's."""
MARK = "<!-- muster:badge -->"
"""By this a badge that Muster drew is told from other people's pictures."""

_COLOURS = {"pass": "#17663a", "inconclusive": "#855400", "fail": "#b0231b", "gone": "#5b6069"}
_MOST = 60
_PAD = 8
_WIDTHS = ((3.2, "ijl|'!"), (4.2, "frt.,:;()[]/ "), (5.0, "-"), (6.0, "csz"), (9.5, "wmMW@%—…"))
_USUAL, _FOREIGN = 6.8, 10.0
# Widths as of Verdana at 11 px; `textLength` makes other fonts keep to them.
_SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{told}">
<!-- muster:badge -->
<title>{told}</title>
<rect width="{width}" height="20" rx="3" fill="{colour}"/>
<path d="M3 0H{left}V20H3A3 3 0 0 1 0 17V3A3 3 0 0 1 3 0Z" fill="#33363d"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11" aria-hidden="true">
<text x="{pad}" y="14" textLength="{label_length}">{label}</text>
<text x="{value_x}" y="14" textLength="{value_length}">{value}</text>
</g>
</svg>
"""


def render_badges(deck: Deck, known: Iterable[str] = ()) -> dict[str, str]:
    """SVG text by path below the badges' folder. `known` are names of plans that have a badge from before."""
    state = wording.gravest(deck)
    fresh = sum(row.state is State.FRESH for row in deck.rows)
    whole = _badge("drills", f"{wording.MARKS[state]} {fresh:,} of {len(deck.rows):,} fresh", wording.TONES[state])
    plans = {row.plan: _badge(row.plan, _value(row), wording.TONES[row.state]) for row in deck.rows if _has_name(row)}
    gone = {name: _badge(name, "no such plan", "gone") for name in known if name not in plans}
    return {WHOLE: whole} | {f"{PLANS}/{name}.svg": svg for name, svg in (plans | gone).items()}


def _has_name(row: Row) -> bool:
    """A plan's name is a file name here; a deck read from a file may hold anything."""
    return bool(row.plan) and row.plan.replace("-", "").isalnum()


def _value(row: Row) -> str:
    signed = wording.signed(row.state)
    return f"{signed}, passed {wording.day(row.pass_at)}" if row.pass_at else signed


def _badge(label: str, value: str, tone: str) -> str:
    label, value = shortened(wording.line(label), _MOST), shortened(wording.line(value), _MOST)
    label_length, value_length = _length(label), _length(value)
    left, right = label_length + 2 * _PAD, value_length + 2 * _PAD
    return _SVG.format(
        width=left + right, left=left, pad=_PAD, value_x=left + _PAD, colour=_COLOURS[tone],
        told=escape(f"{label}: {value}"), label=escape(label), value=escape(value),
        label_length=label_length, value_length=value_length,
    )  # fmt: skip


def _length(text: str) -> int:
    return round(sum(_width(character) for character in text))


def _width(character: str) -> float:
    return next((width for width, group in _WIDTHS if character in group), _USUAL if character < "\u0300" else _FOREIGN)
