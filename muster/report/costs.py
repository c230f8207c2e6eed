"""What laps cost, put into words: the same in HTML and in Markdown.

Promise: a number of several laps is their median, and how far they spread goes with it.
"""

from collections.abc import Callable, Mapping

from muster.quantity import count_of, format_bytes, format_seconds
from muster.summary import Amount, CostColumn, Costs, Unit

NOTHING = "–"
"""Where there is no such thing, as the notice of a loss in an undisturbed lap."""
_WORDS: Mapping[Unit, Callable[[float], str]] = {
    "seconds": format_seconds,
    "bytes": format_bytes,
    "count": lambda count: f"{count:,.1f}".removesuffix(".0"),
    "times": "{:.2f}".format,
}


def amount_of(amount: Amount | None, unit: Unit) -> str:
    """The median in words."""
    return NOTHING if amount is None else _WORDS[unit](amount.median)


def spread_of(amount: Amount | None, unit: Unit) -> str:
    """From the least to the most, where they differ."""
    if amount is None or amount.least == amount.most:
        return ""
    return f"{_WORDS[unit](amount.least)} to {_WORDS[unit](amount.most)}"


def words_of(amount: Amount | None, unit: Unit) -> str:
    """The median, and the spread in brackets."""
    spread = spread_of(amount, unit)
    return f"{amount_of(amount, unit)} ({spread})" if spread else amount_of(amount, unit)


def head_of(column: CostColumn) -> str:
    """What stands above a column: `undisturbed`, or `spot: undisturbed` where several settings are compared."""
    return f"{column.variant}: {column.kind}" if column.variant else column.kind


def caption_of(costs: Costs) -> str:
    """Of how many laps the numbers are."""
    laps = count_of(sum(column.laps for column in costs.columns), "lap", "laps")
    several = any(column.laps > 1 for column in costs.columns)
    how = f"Medians of {laps}, with the least and the most where they differ" if several else f"Of {laps}, by event log"
    return f"{how}. {costs.note}".strip() if costs.note else f"{how}."
