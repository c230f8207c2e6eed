"""Entries: the bytes of what is logged."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.errors import EvidenceError
from evidence.log import Bundle, Draft, Kind, package_draft, record_draft, run_draft
from evidence.log.entries import make_entry
from evidence.statement import canonical, utc
from evidence.verify import leaf_hash
from tests.unit.paper_log import NOON, drafts

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.recursive(
    st.none() | TEXT | st.integers(1 - (1 << 53), (1 << 53) - 1),
    lambda values: st.dictionaries(st.text(st.characters(max_codepoint=127)), values, max_size=3),
)


@given(st.dictionaries(st.text(st.characters(max_codepoint=127)), PLAIN, max_size=5), TEXT)
def test_an_entry_is_canonical_json(fields: dict[str, object], envelope: str) -> None:
    draft = Draft(fields | {"kind": "record", "envelope": envelope})
    entry = make_entry(draft, None, NOON)
    assert entry.content == canonical(dict(draft.fields) | {"loggedAt": utc(NOON), "previous": "0" * 64})
    assert entry.is_sound(None)


@pytest.mark.parametrize("value", [1.0, float("nan"), True, 1 << 53, -(1 << 53), [1], (1,), b"x", {"é": 1}, {"a": [1]}])
def test_what_has_more_than_one_form_is_no_part_of_an_entry(value: object) -> None:
    with pytest.raises(EvidenceError, match="an entry holds text") as caught:
        make_entry(Draft({"kind": "record", "envelope": "e", "more": value}), None, NOON)
    assert caught.value.advice


def test_each_entry_names_the_one_before() -> None:
    first, second = drafts("a", "b")
    one = make_entry(first, None, NOON)
    two = make_entry(second, one, NOON + timedelta(microseconds=1))
    assert (one.index, two.index) == (0, 1)
    assert one.fields["previous"] == "0" * 64
    assert two.fields["previous"] == leaf_hash(one.content).hex() == one.leaf.hex()
    assert two.is_sound(one)
    assert not two.is_sound(None)
    assert not one.is_sound(two)
    assert not make_entry(second, one, NOON - timedelta(microseconds=1)).is_sound(one)


def test_every_kind_says_what_the_format_says() -> None:
    bundle = Bundle("p/r.tar.gz", "b" * 64, 12)
    run = run_draft(
        bundle=bundle, envelope="e", outcome="missed", plan="p", receipt="c", run="r", scheduled_at=NOON, slot="s"
    )
    record = record_draft(envelope="e", key="records/e.dsse.json", predicate_type="urn:muster:link:v1")
    package = package_draft(bundle=bundle, envelope="e", name="v1", receipt="c")
    entries = [make_entry(draft, None, NOON) for draft in (run, record, package)]
    assert [entry.kind for entry in entries] == [Kind.RUN, Kind.RECORD, Kind.PACKAGE]
    added = {"loggedAt": "2026-11-26T12:00:00Z", "previous": "0" * 64}
    assert entries[0].fields == added | {
        "bundle": {"key": "p/r.tar.gz", "sha256": "b" * 64, "size": 12},
        "envelope": "e",
        "kind": "run",
        "outcome": "missed",
        "plan": "p",
        "receipt": "c",
        "run": "r",
        "scheduledAt": "2026-11-26T12:00:00Z",
        "slot": "s",
    }
    assert entries[1].fields == added | {
        "envelope": "e",
        "key": "records/e.dsse.json",
        "kind": "record",
        "predicateType": "urn:muster:link:v1",
    }
    assert entries[2].fields == added | {
        "bundle": {"key": "p/r.tar.gz", "sha256": "b" * 64, "size": 12},
        "envelope": "e",
        "kind": "package",
        "name": "v1",
        "receipt": "c",
    }


def test_times_are_written_in_one_form() -> None:
    assert utc(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05Z"
    assert utc(datetime(2026, 1, 2, 3, 4, 5, 60, tzinfo=UTC)) == "2026-01-02T03:04:05.000060Z"
    assert utc(datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=5)))) == "2026-01-01T22:04:05Z"
