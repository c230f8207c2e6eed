"""The deck as one HTML page with plots, for people who answer for many drills and for those who ask them.

Promises: the same deck always gives the same bytes; the page needs no script, no network and no other file; nothing
from a plan can become markup (autoescape, and a policy that forbids scripts and loads).
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from muster.cadence.states import State
from muster.deck import plots, wording
from muster.deck.model import Deck, Row

MOST_HEALTHY, MOST_ROWS = 100, 400
"""Healthy drills beyond the first 100, and any beyond 400, are counted by state: a page of plots is for reading."""


def render_html(deck: Deck) -> str:
    """The page, UTF-8."""
    rows = wording.gravest_first(deck.rows)
    plans = [row for row in rows if row.plan]
    shown = wording.listed(plans, MOST_HEALTHY, MOST_ROWS)
    kept = set(map(id, shown))
    page = _environment().get_template("deck.html")
    return page.render(
        deck=deck,
        plans=shown,
        folded=[row for row in plans if id(row) not in kept],
        uncovered=[row for row in rows if not row.plan],
        counts=_counts(rows),
        say=wording,
        plots=plots,
    )


def _counts(rows: Sequence[Row]) -> list[tuple[State, int]]:
    counted = Counter(row.state for row in rows)
    return [(state, counted[state]) for state in wording.MARKS if counted[state]]


@cache
def _environment() -> Environment:
    # the report's page lends its style sheet: what one installation writes looks like one thing
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("muster.deck"), PackageLoader("muster.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_printable,
    )
    environment.filters["percent"] = "{:.2f}%".format
    return environment


def _printable(value: object) -> object:
    """Every plain string on its way into the page; what is marked up already, such as a macro's output, stays."""
    return wording.line(value) if type(value) is str else value
