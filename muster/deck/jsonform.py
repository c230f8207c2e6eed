"""The deck as JSON: what every other form can be drawn from again, and what programs read.

Promises: what is written reads back equal; what is no deck of this version is refused, with the place of the fault;
docs/schemas/deck.schema.json describes it.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Literal, NamedTuple

from muster.deck.model import Deck, Row, Trouble
from muster.errors import UsageError

SCHEMA: Literal["muster.deck/1"] = "muster.deck/1"
_ADVICE = "write one by `muster deck --json FILE`"


class _Form(NamedTuple):
    """The document: a deck and the name of its form."""

    schema: Literal["muster.deck/1"]
    muster: str
    at: datetime
    watched_at: datetime | None
    troubles: tuple[Trouble, ...]
    rows: tuple[Row, ...]


def write_json(deck: Deck) -> str:
    """The deck as JSON text, one row a line. Moments are ISO 8601 in UTC, spans seconds."""
    form = _Form(SCHEMA, deck.muster, deck.at, deck.watched_at, deck.troubles, deck.rows)._asdict()
    lists = {"troubles": map(_of_trouble, deck.troubles), "rows": map(_of_row, deck.rows)}
    told = [f"{_text(name)}: {_lines(lists[name]) if name in lists else _text(value)}" for name, value in form.items()]
    return f"{{{', '.join(told)}}}\n"


def read_json(text: str | bytes) -> Deck:
    """The deck that `write_json` wrote; `UsageError` when it is none."""
    from pydantic import TypeAdapter, ValidationError

    try:
        form = TypeAdapter(_Form).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"{part}: " for part in first["loc"])
        raise UsageError(f"this is no deck of the form {SCHEMA}: {place}{first['msg']}", _ADVICE) from None
    rows = tuple(row._replace(recent=tuple(row.recent)) for row in form.rows)
    deck = Deck(form.at, form.watched_at, rows, form.troubles, form.muster)
    if any(moment.tzinfo is None for moment in _moments(deck)):
        raise UsageError("this is no deck: a moment lacks its offset from UTC", _ADVICE)
    return deck


def _of_row(row: Row) -> str:
    proven = row.proven._asdict() if row.proven else None
    ready = row.ready._asdict() if row.ready else None
    return _text(row._asdict() | {"proven": proven, "ready": ready, "recent": [mark._asdict() for mark in row.recent]})


def _of_trouble(trouble: Trouble) -> str:
    return _text(trouble._asdict())


def _lines(items: Iterable[str]) -> str:
    inner = ",\n".join(items)
    return f"[\n{inner}\n]" if inner else "[]"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=datetime.isoformat)


def _moments(deck: Deck) -> Iterator[datetime]:
    yield deck.at
    for trouble in deck.troubles:
        yield trouble.since
    yield from filter(None, (deck.watched_at,))
    for row in deck.rows:
        yield from filter(None, (row.due_at, row.overdue_at, row.last_at, row.pass_at))
        yield from (mark.at for mark in row.recent)
        if row.proven:
            yield row.proven.at
        if row.ready:
            yield from filter(None, (row.ready.since, row.ready.looked_at))
