"""The deck as JSON: it reads back equal, its schema is true of it, and what is no deck is refused with the place."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deck_samples import EMPTY, ESTATE, HEALTHY, HOSTILE, LOOKED_AT
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from muster.deck.jsonform import read_json, write_json
from muster.deck.model import Deck, Row
from muster.errors import UsageError
from muster.ledger.standing import Mark
from muster.readiness.states import Ready

SCHEMA = Draft202012Validator(json.loads(Path("docs/schemas/deck.schema.json").read_text(encoding="utf-8")))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
MOMENTS = st.datetimes(timezones=st.just(UTC))
MARKS = st.builds(Mark, MOMENTS, TEXT, st.none() | st.floats(0, 1e9), st.none() | st.floats(0, 1e9))
st.register_type_strategy(datetime, MOMENTS)
st.register_type_strategy(str, TEXT)
st.register_type_strategy(float, st.floats(0, 1e9))
READY = st.none() | st.builds(Ready)
ROWS = st.builds(Row, recent=st.lists(MARKS, max_size=2).map(tuple), path=TEXT, ready=READY)
DECKS = st.builds(Deck, rows=st.lists(ROWS, max_size=2).map(tuple), muster=TEXT)
SAMPLES = pytest.mark.parametrize(
    "deck", [ESTATE, EMPTY, HEALTHY, HOSTILE, LOOKED_AT], ids=["estate", "empty", "healthy", "hostile", "looked-at"]
)


@given(DECKS)
@settings(max_examples=40, deadline=None)
def test_any_deck_reads_back_equal(deck: Deck) -> None:
    assert read_json(write_json(deck)) == deck


@SAMPLES
def test_a_deck_reads_back_equal_and_is_as_its_schema_says(deck: Deck) -> None:
    written = write_json(deck)
    assert read_json(written) == deck
    assert write_json(read_json(written.encode())) == written
    SCHEMA.validate(json.loads(written))


def test_the_schema_is_one_and_refuses_what_is_not() -> None:
    Draft202012Validator.check_schema(SCHEMA.schema)
    told = json.loads(write_json(ESTATE))
    for fault in ({"schema": "muster.deck/2"}, {"more": 1}, {"rows": [{**told["rows"][0], "state": "fine"}]}):
        assert not SCHEMA.is_valid({**told, **fault})
    assert set(SCHEMA.schema["$defs"]["row"]["properties"]) == set(Row._fields)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"schema": "muster.deck/2"}, "schema: "),
        ({"at": "2026-08-03T06:00:00"}, "a moment lacks its offset"),
        ({"at": 12}, "at: "),
        ({"rows": [{"plan": "x"}]}, "rows: 0: "),
        ({"troubles": None}, "troubles: "),
        ({"tpyo": 1}, "tpyo: "),
    ],
    ids=["version", "naive moment", "number", "half a row", "null", "unknown key"],
)
def test_what_is_no_deck_is_refused_with_the_place(change: dict[str, object], place: str) -> None:
    with pytest.raises(UsageError, match=f"this is no deck.*{place}"):
        read_json(json.dumps({**json.loads(write_json(ESTATE)), **change}))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", b"\xff", "{}"])
def test_what_is_no_such_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(UsageError, match="this is no deck"):
        read_json(text)


def test_a_number_that_json_does_not_know_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(ESTATE._replace(rows=(ESTATE.rows[0]._replace(rto_seconds=float("nan")),)))
