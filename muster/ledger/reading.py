"""Standings and their like from the rows of either database, fast: the same for the ledger and for a glance at it.

Promise: importing this module costs neither pydantic nor SQLAlchemy nor a driver.
"""

import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from muster.ledger.standing import LastLook, Mark, RunGlance, Standing

_MOMENTS = tuple(
    place for place, name in enumerate(Standing._fields) if name.endswith("_at") or name in ("since", "accounted_until")
)
_RECENT = Standing._fields.index("recent")
_RUN_MOMENTS = tuple(place for place, name in enumerate(RunGlance._fields) if name.endswith("_at"))


@contextmanager
def collector_paused() -> Iterator[None]:
    """No search for cycles meanwhile: of all these new tuples none is in one, and looking takes half the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def moment_of(value: Any) -> Any:
    """Aware UTC, or `None`: SQLite answers in text, PostgreSQL in the session's zone."""
    if value is None:
        return None
    return (datetime.fromisoformat(value) if type(value) is str else value).astimezone(UTC)


def standing_of(row: Sequence[Any]) -> Standing:
    """The standing in a row of the columns `Standing._fields`."""
    values = list(row)
    for place in _MOMENTS:
        if values[place] is not None:
            values[place] = moment_of(values[place])
    values[_RECENT] = Marks(values[_RECENT])
    return Standing._make(values)


def run_glance_of(row: Sequence[Any]) -> RunGlance:
    """The run in a row of the columns `RunGlance._fields`."""
    values = list(row)
    for place in _RUN_MOMENTS:
        values[place] = moment_of(values[place])
    return RunGlance._make(values)


def last_look_of(row: Sequence[Any]) -> LastLook:
    """The newest look in a row of the columns `LastLook._fields`."""
    look = LastLook._make(row)
    return look._replace(at=moment_of(look.at), since=moment_of(look.since))


class Marks(Sequence[Mark]):
    """The marks as `standings.recent` keeps them (JSON), the oldest first; parsed when the first is asked for.

    Of ten thousand plans few are looked at so closely, and parsing them all takes longer than all else that is shown.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _marks(self) -> tuple[Mark, ...]:
        parse, make = datetime.fromisoformat, Mark._make
        return tuple([make((parse(at), outcome, rto, rpo)) for at, outcome, rto, rpo in json.loads(self._text)])

    def __getitem__(self, index: Any) -> Any:
        return self._marks[index]

    def __len__(self) -> int:
        return len(self._marks)

    def __eq__(self, other: object) -> bool:
        return self._marks == (other._marks if isinstance(other, Marks) else other)

    def __hash__(self) -> int:
        return hash(self._marks)

    def __repr__(self) -> str:
        return repr(self._marks)
