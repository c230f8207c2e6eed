"""Looked up by the year or computed by the cron parser: the same slots."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.cadence import almanac
from muster.cadence.moments import cron_ticks

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Kiritimati", "Pacific/Apia")
DAYS = ("* * *", "* * 1-5", "1 * *", "31 * *", "29 2 *", "1 */3 *", "* * 0")
moments = st.datetimes(datetime(2021, 1, 1), datetime(2033, 12, 31), timezones=st.just(UTC))


@given(st.integers(0, 59), st.integers(4, 23), st.sampled_from(DAYS), st.sampled_from(ZONES), moments)
def test_kept_years_are_what_the_parser_says(minute: int, hour: int, days: str, zone: str, after: datetime) -> None:
    cron = f"{minute} {hour} {days}"
    assert almanac.is_kept(cron)
    computed = list(islice(cron_ticks(cron, zone, after), 20))
    assert list(islice(almanac.ticks_after(cron, zone, after), 20)) == computed
    assert almanac.newest_until(cron, zone, computed[7]) == computed[7]
    assert almanac.newest_until(cron, zone, computed[7] - timedelta(microseconds=1)) == computed[6]


@pytest.mark.parametrize("cron", ["*/5 * * * *", "0 4,16 * * *", "0 4-6 * * *"])
def test_several_times_a_day_are_not_kept(cron: str) -> None:
    assert not almanac.is_kept(cron)


def test_a_leap_day_is_found_over_the_eight_years_without_one() -> None:
    found = almanac.newest_until("0 4 29 2 *", "UTC", datetime(1904, 1, 1, tzinfo=UTC))
    assert found == datetime(1896, 2, 29, 4, tzinfo=UTC)
