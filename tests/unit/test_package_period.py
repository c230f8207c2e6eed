"""Periods: each form has one meaning, and nothing else is a period."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.errors import UsageError
from muster.package.period import parse_period, period_since


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026", "2026-01-01", "2027-01-01"),
        ("2026-H1", "2026-01-01", "2026-07-01"),
        ("2026-H2", "2026-07-01", "2027-01-01"),
        ("2026-Q1", "2026-01-01", "2026-04-01"),
        ("2026-Q3", "2026-07-01", "2026-10-01"),
        ("2026-Q4", "2026-10-01", "2027-01-01"),
        ("2026-09", "2026-09-01", "2026-10-01"),
        ("2026-12", "2026-12-01", "2027-01-01"),
        ("2026-01-01..2026-03-31", "2026-01-01", "2026-04-01"),
        ("2024-02-29..2024-02-29", "2024-02-29", "2024-03-01"),
    ],
)
def test_a_period_is_a_span_in_utc(text: str, start: str, end: str) -> None:
    period = parse_period(text)
    assert period.name == text
    assert period.start == datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert period.end == datetime.fromisoformat(end).replace(tzinfo=UTC)
    assert period.start in period
    assert period.end not in period
    assert period.end - timedelta(microseconds=1) in period


@pytest.mark.parametrize(
    "text",
    [
        "", "26", "2026-", "2026-Q0", "2026-Q5", "2026-q3", "2026-H3", "2026-00", "2026-13", "2026-9", " 2026", "2026 ",
        "2026\n", "２０２６", "2026-01-01", "2026-01-01..", "2026-01-01...2026-03-31", "2026-02-30..2026-03-01",
        "2026-03-31..2026-01-01", "0000", "9999", "9999-12-31..9999-12-31", "2026-Q3-Q4", "2026-01-01 .. 2026-03-31",
    ],
)  # fmt: skip
def test_nothing_else_is_a_period(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_period(text)
    assert "2026-Q3" in refused.value.advice


@given(st.text(max_size=24))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        period = parse_period(text)
    except UsageError:
        return
    assert period.start < period.end


def test_since_the_package_before_ends_after_the_newest_entry() -> None:
    made_at = datetime(2026, 9, 30, 12, 0, 0, 250_000, tzinfo=UTC)
    period = period_since("since v1.3.0", datetime(2026, 7, 1, tzinfo=UTC), made_at, made_at + timedelta(hours=3))
    assert made_at in period
    assert period.end == datetime(2026, 9, 30, 12, 0, 1, tzinfo=UTC)
    nothing_new = period_since("since v1.3.0", period.end, made_at, made_at)
    assert nothing_new.start == nothing_new.end


def test_a_log_that_has_stopped_does_not_end_the_period() -> None:
    """Else nothing would be missing of the time in which nothing was logged."""
    made_at, now = datetime(2026, 8, 2, 3, 20, tzinfo=UTC), datetime(2026, 10, 5, 9, 30, tzinfo=UTC)
    period = period_since("all", datetime(2026, 7, 1, tzinfo=UTC), made_at, now)
    assert period.end == datetime(2026, 10, 5, tzinfo=UTC)
