"""Slots as moments: ordered, unique, UTC, the same whoever asks; days on which clocks change; windows; gaps; words."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.cadence.cron import skipped_time
from muster.cadence.dues import dues_after
from muster.cadence.moments import ANCHOR, cron_ticks
from muster.cadence.spec import Cadence, Late, Window
from muster.cadence.ticks import (
    blackout_at,
    claim_deadline,
    is_in_window,
    next_tick,
    splay,
    tick_at_or_before,
    ticks,
    ticks_between,
)
from muster.cadence.windows import slot_outside_windows
from muster.cadence.wording import words_of

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Santiago")
CRONS = ("0 3 * * *", "30 4 * * mon-fri", "0 3 1 * *", "0 5 31 * *", "*/30 * * * *", "0,20 6-8 * * *", "0 12 29 2 *")
CADENCES = [Cadence(cron=cron, timezone=zone) for cron in CRONS for zone in ZONES] + [
    Cadence(interval="90m"),
    Cadence(interval="36h", anchor=datetime(2031, 7, 1, 12, 30, tzinfo=UTC)),
]
cadences = st.sampled_from(CADENCES)
moments = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.sampled_from(ZONES).map(ZoneInfo))
SECOND = timedelta(seconds=1)


def _utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def _slots(cron, zone, after, count):
    return list(islice(cron_ticks(cron, zone, after), count))


# --- what holds of all ---------------------------------------------------------------------------------------------


@given(cadences, moments)
def test_slots_are_ordered_unique_and_utc(cadence, after):
    found = list(islice(ticks(cadence, after), 8))
    assert found[0] > after
    assert found == sorted(set(found))
    assert all(tick.tzinfo is UTC and tick.microsecond == 0 for tick in found)


@given(cadences, moments, st.integers(0, 7), st.timedeltas(timedelta(0), timedelta(days=40)))
def test_slots_are_the_same_from_wherever_one_looks(cadence, after, number, more):
    """A span of slots, split anywhere, is the same slots."""
    found = list(islice(ticks(cadence, after), 8))
    split = min(found[number] - SECOND + more, found[-1])
    parts = [*ticks_between(cadence, after, split), *ticks_between(cadence, split, found[-1])]
    assert parts == found


@given(cadences, moments)
def test_the_newest_slot_is_the_last_of_those_before(cadence, moment):
    newest = tick_at_or_before(cadence, moment)
    assert newest is not None
    assert newest <= moment < next_tick(cadence, newest)
    assert tick_at_or_before(cadence, newest) == newest
    assert next_tick(cadence, newest - SECOND) == newest


@given(
    st.tuples(
        st.integers(0, 59), st.integers(0, 23), st.sampled_from(["* * *", "31 * *", "1 1 *", "29 2 *", "* * sun"])
    ),
    st.sampled_from(ZONES),
    moments,
)
def test_slots_looked_up_are_slots_computed(parts, zone, moment):
    """Those kept by the year, also of times that clocks skip, and at the turn of the year."""
    cron = " ".join(map(str, parts))
    cadence = Cadence.model_construct(cron=cron, timezone=zone)
    computed = list(islice(cron_ticks(cron, zone, moment), 6))
    assert list(islice(ticks(cadence, moment), 6)) == computed
    assert tick_at_or_before(cadence, computed[-1] - SECOND) == computed[-2]


@given(cadences, moments)
def test_no_gap_is_outside_the_gaps(cadence, after):
    shortest, longest = cadence.gaps
    for earlier, later in pairwise(islice(ticks(cadence, after), 20)):
        assert shortest <= later - earlier <= longest
    due, overdue = dues_after(cadence, after)
    assert after < due < overdue < next_tick(cadence, due)


@given(cadences, st.text(min_size=1))
def test_the_splay_is_a_fixed_share_of_the_jitter(cadence, plan):
    spread = cadence.model_copy(update={"jitter": timedelta(minutes=4)})
    assert timedelta(0) == splay(cadence, plan) <= splay(spread, plan) < timedelta(minutes=4)
    assert splay(spread, plan) == splay(spread, plan)


def test_plans_spread_over_the_jitter():
    cadence = Cadence(cron="0 3 * * *", jitter="60m")
    quarters = [splay(cadence, f"plan-{number}") // timedelta(minutes=15) for number in range(400)]
    assert all(70 < quarters.count(quarter) < 130 for quarter in range(4))


# --- the calendar --------------------------------------------------------------------------------------------------


def test_a_leap_day_comes_every_four_years_but_not_in_2100():
    found = _slots("0 3 29 2 *", "UTC", _utc(2090, 1, 1), 3)
    assert [tick.year for tick in found] == [2092, 2096, 2104]
    assert tick_at_or_before(Cadence(cron="0 3 29 2 *"), _utc(2104, 2, 29, 2)) == _utc(2096, 2, 29, 3)


def test_the_31st_comes_in_seven_months():
    assert [tick.month for tick in _slots("0 3 31 * *", "UTC", _utc(2026, 1, 1), 7)] == [1, 3, 5, 7, 8, 10, 12]


def test_an_interval_counts_from_its_anchor_both_ways():
    cadence = Cadence(interval="36h", anchor=datetime.fromisoformat("2026-03-01T23:00:00+01:00"))
    anchor = _utc(2026, 3, 1, 22)
    assert next_tick(cadence, anchor) == anchor + timedelta(hours=36)
    assert next_tick(cadence, anchor - SECOND) == anchor
    assert tick_at_or_before(cadence, anchor - SECOND) == anchor - timedelta(hours=36)
    assert next(ticks(Cadence(interval="1m"), ANCHOR)) == ANCHOR + timedelta(minutes=1)


# --- days on which clocks change -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "cron", "after", "expected"),
    [
        # A skipped time is due as much later as the clocks jump; the day before and after it is itself.
        ("Europe/Berlin", "30 2 * * *", (2026, 3, 27, 12), ["28T01:30", "29T01:30", "30T00:30"]),
        ("America/New_York", "30 2 * * *", (2026, 3, 6, 12), ["07T07:30", "08T07:30", "09T06:30"]),
        ("Australia/Lord_Howe", "15 2 * * *", (2026, 10, 2, 0), ["02T15:45", "03T15:45", "04T15:15"]),
        # A time that comes twice is due once, the first time.
        ("Europe/Berlin", "30 2 * * *", (2026, 10, 23, 12), ["24T00:30", "25T00:30", "26T01:30"]),
        ("America/New_York", "30 1 * * *", (2026, 10, 30, 12), ["31T05:30", "01T05:30", "02T06:30"]),
        ("Australia/Lord_Howe", "45 1 * * *", (2026, 4, 3, 0), ["03T14:45", "04T14:45", "05T15:15"]),
        # Every half hour: none twice, none lost, both ways.
        ("Europe/Berlin", "*/30 * * * *", (2026, 3, 29, 0, 15), ["29T00:30", "29T01:00", "29T01:30", "29T02:00"]),
        ("Europe/Berlin", "*/30 * * * *", (2026, 10, 25, 0, 15), ["25T00:30", "25T02:00", "25T02:30"]),
        # What is skipped comes after what is due just after the jump.
        ("Europe/Berlin", "30 2,3 * * *", (2026, 3, 28, 12), ["29T01:30", "30T00:30", "30T01:30"]),
        ("Europe/Berlin", "5,45 2,3 * * *", (2026, 3, 29, 0), ["29T01:05", "29T01:45", "30T00:05"]),
        # Where clocks never change, nothing does.
        ("Asia/Kolkata", "30 2 * * *", (2026, 3, 28, 12), ["28T21:00", "29T21:00", "30T21:00"]),
        # The southern half: forward in spring, which is September.
        ("America/Santiago", "0 12 * * *", (2026, 9, 5, 0), ["05T16:00", "06T15:00", "07T15:00"]),
    ],
)
def test_slots_on_days_on_which_clocks_change(zone, cron, after, expected):
    found = _slots(cron, zone, _utc(*after), len(expected))
    assert [f"{tick:%dT%H:%M}" for tick in found] == expected


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "Africa/Cairo", "Antarctica/Troll"])
@pytest.mark.parametrize("cron", ["*/10 * * * *", "30 2 * * *", "5,45 0-3 * * *"])
def test_slots_do_not_depend_on_the_moment_asked_when_clocks_change(zone, cron):
    """Looked at from each ten minutes of a year's changes, the next slot is the one that the whole list says."""
    for day in ((2026, 3, 28), (2026, 4, 4), (2026, 4, 23), (2026, 10, 3), (2026, 10, 24), (2026, 10, 29)):
        start, end = _utc(*day), _utc(*day) + timedelta(days=2)
        whole = list(takewhile(lambda tick: tick < end + timedelta(days=2), cron_ticks(cron, zone, start)))  # noqa: B023
        for step in range(0, 2 * 144, 5):
            moment = start + timedelta(minutes=10 * step, seconds=step % 3)
            assert next(cron_ticks(cron, zone, moment)) == next(tick for tick in whole if tick > moment)


@pytest.mark.parametrize(
    ("cron", "zone", "skipped"),
    [
        ("30 2 * * *", "Europe/Berlin", "2020-03-29 02:30"),
        ("30 2 * * sun", "Europe/Berlin", "2020-03-29 02:30"),
        ("0 */2 * * *", "America/New_York", "2020-03-08 02:00"),
        ("0 0 * * *", "Africa/Cairo", "2023-04-28 00:00"),
        ("15 2 1 10 *", "Australia/Lord_Howe", "2023-10-01 02:15"),
        ("30 2 * * mon", "Europe/Berlin", None),
        ("30 2 1 * *", "Europe/Berlin", None),
        ("30 1 * * *", "Europe/Berlin", None),
        ("0 3 * * *", "Europe/Berlin", None),
        ("*/30 * * * *", "Europe/Berlin", None),
        ("30 2 * * *", "Asia/Kolkata", None),
        ("30 2 * * *", "UTC", None),
    ],
)
def test_a_time_that_clocks_skip_is_no_time_for_a_slot(cron, zone, skipped):
    found = skipped_time(cron, zone)
    assert (str(found)[:16] if found else None) == skipped
    if skipped is None:
        assert Cadence(cron=cron, timezone=zone)
    else:
        with pytest.raises(ValueError, match=rf"'cron' is due at {skipped[11:]} on {skipped[:10]}.*{zone} skip"):
            Cadence(cron=cron, timezone=zone)


@pytest.mark.parametrize(
    ("cron", "zone", "shortest", "longest"),
    [
        ("0 3 * * *", "UTC", "24h", "24h"),
        ("0 3 * * *", "Europe/Berlin", "23h", "25h"),
        ("0 3 1 * *", "UTC", "672h", "744h"),
        ("0 3 1 1 *", "UTC", "8760h", "8784h"),
        ("0 3 29 2 *", "UTC", "35064h", "70104h"),
        ("0 3 * * 1-5", "UTC", "24h", "72h"),
        ("0 9,10 * * 1", "UTC", "1h", "167h"),
        ("0 0,23 * * 1", "UTC", "23h", "145h"),
        ("*/5 9-17 * * 1-5", "UTC", "5m", "63h5m"),
        ("* * 1 */3 *", "UTC", "1m", "2184h1m"),  # 1 July to 1 October, less the day itself
        ("*/30 * * * *", "Europe/Berlin", "30m", "90m"),
        ("0 1,5 * * *", "Europe/Berlin", "3h", "20h"),
    ],
)
def test_gaps(cron, zone, shortest, longest):
    gaps = Cadence(cron=cron, timezone=zone).gaps
    assert (gaps.shortest, gaps.longest) == (_span(shortest), _span(longest))


def _span(text):
    hours, _, minutes = text.rpartition("h") if text.endswith("m") else (text[:-1], "", "0m")
    return timedelta(hours=int(hours or 0), minutes=int(minutes[:-1]))


# --- windows, blackouts, deadlines ---------------------------------------------------------------------------------

NIGHT = {"days": ["sat"], "from": "22:00", "until": "02:30"}


@pytest.mark.parametrize(
    ("window", "moment", "is_in"),
    [
        ({"from": "22:00", "until": "04:00"}, "2026-06-01T21:59:59", False),
        ({"from": "22:00", "until": "04:00"}, "2026-06-01T22:00:00", True),
        ({"from": "22:00", "until": "04:00"}, "2026-06-01T03:59:59", True),
        ({"from": "22:00", "until": "04:00"}, "2026-06-01T04:00:00", False),
        ({"from": "22:00", "until": "00:00"}, "2026-06-01T23:59:59", True),
        ({"from": "22:00", "until": "00:00"}, "2026-06-02T00:00:00", False),
        ({"from": "00:00", "until": "00:00", "days": ["mon"]}, "2026-06-01T12:00:00", True),
        ({"from": "00:00", "until": "00:00", "days": ["mon"]}, "2026-06-02T00:00:00", False),
        (NIGHT, "2026-06-06T23:00:00", True),  # a Saturday
        (NIGHT, "2026-06-07T02:00:00", True),  # its night
        (NIGHT, "2026-06-06T02:00:00", False),  # the night before
        (NIGHT, "2026-06-07T22:30:00", False),
        # Clocks are put back on 25 October: the window ends when its end comes first, and stays shut.
        (NIGHT, "2026-10-25T02:29:00", True),
        (NIGHT, "2026-10-25T02:30:00", False),
        (NIGHT, "2026-10-25T02:15:00+01:00", False),
        # Clocks are put forward on 29 March: 02:30 is skipped, and the window ends as much later.
        (NIGHT, "2026-03-29T01:59:00", True),
        (NIGHT, "2026-03-29T03:29:00", True),
        (NIGHT, "2026-03-29T03:30:00", False),
    ],
)
def test_a_window_is_one_span(window, moment, is_in):
    cadence = Cadence(cron="0 3 * * *", timezone="Europe/Berlin", windows=[window])
    when = datetime.fromisoformat(moment)
    when = when if when.tzinfo else when.replace(tzinfo=ZoneInfo("Europe/Berlin"))
    assert is_in_window(cadence, when) is is_in
    assert is_in_window(cadence, when.astimezone(UTC)) is is_in


@given(moments)
def test_without_windows_any_time_will_do(moment):
    assert is_in_window(Cadence(cron="0 3 * * *"), moment)


def test_a_window_of_one_day_holds_the_day_it_starts_on():
    assert not Window.model_validate({"from": "01:00", "until": "02:00"}).spans_midnight
    assert Window.model_validate({"from": "01:00", "until": "01:00"}).spans_midnight


@pytest.mark.parametrize(
    ("changes", "outside"),
    [
        ({"windows": [{"from": "02:00", "until": "04:00"}]}, None),
        ({"windows": [{"from": "02:00", "until": "03:00"}]}, _utc(2020, 1, 1, 2)),
        ({"windows": [{"from": "02:00", "until": "03:15"}], "jitter": "15m"}, None),
        ({"windows": [{"from": "02:00", "until": "03:15"}], "jitter": "16m"}, _utc(2020, 1, 1, 2)),
        ({"windows": [{"from": "02:00", "until": "04:00", "days": ["mon"]}], "cron": "0 3 * * mon"}, None),
        # The first Saturday on a first of a month is 1 February 2020.
        ({"windows": [{"from": "02:00", "until": "04:00", "days": ["sat"]}], "cron": "0 3 1 2 *"}, _utc(2021, 2, 1, 2)),
        ({}, None),
    ],
)
def test_slots_lie_in_windows_with_all_of_their_jitter(changes, outside):
    cadence = Cadence.model_validate({"cron": "0 3 * * *", "timezone": "Europe/Berlin", **changes})
    assert slot_outside_windows(cadence) == outside


def test_a_blackout_holds_its_start_and_not_its_end():
    freeze = {"from": "2026-12-20T00:00:00+01:00", "until": "2026-12-27T00:00:00+01:00", "reason": "freeze"}
    cadence = Cadence(cron="0 3 * * *", blackouts=[freeze])
    assert blackout_at(cadence, _utc(2026, 12, 19, 22, 59, 59)) is None
    assert blackout_at(cadence, _utc(2026, 12, 19, 23)) == cadence.blackouts[0]
    assert blackout_at(cadence, _utc(2026, 12, 26, 22, 59, 59)) == cadence.blackouts[0]
    assert blackout_at(cadence, _utc(2026, 12, 26, 23)) is None


@pytest.mark.parametrize(
    ("late", "after"), [(Late.RUN_ONCE, "1d"), (Late.RUN_ALL, "30d"), (Late.SKIP, "6h")], ids=lambda value: str(value)
)
def test_until_when_a_slot_may_be_claimed(late, after):
    cadence = Cadence(cron="0 3 * * *", late=late)
    span = Cadence(interval=after).interval
    assert claim_deadline(cadence, _utc(2026, 5, 5, 3)) == _utc(2026, 5, 5, 3) + span


# --- words ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"cron": "0 3 * * *"}, "daily at 03:00 UTC"),
        ({"cron": "0 */6 * * *"}, "daily at 00:00, 06:00, 12:00, 18:00 UTC"),
        ({"cron": "0 3 1 * *"}, "monthly, day 1 at 03:00 UTC"),
        ({"cron": "0 3 1 */3 *"}, "quarterly, day 1 at 03:00 UTC"),
        ({"cron": "0 3 1 2,5,8,11 *"}, "quarterly from February, day 1 at 03:00 UTC"),
        ({"cron": "0 3 1 */6 *"}, "half-yearly, day 1 at 03:00 UTC"),
        ({"cron": "0 3 1 1 *"}, "yearly, 1 January at 03:00 UTC"),
        ({"cron": "0 3 31 dec *"}, "yearly, 31 December at 03:00 UTC"),
        ({"cron": "30 4 * * 1", "timezone": "Europe/Berlin"}, "weekly, Monday at 04:30 Europe/Berlin"),
        ({"cron": "30 4 * * 0"}, "weekly, Sunday at 04:30 UTC"),
        ({"cron": "30 4 * * 7"}, "weekly, Sunday at 04:30 UTC"),
        ({"cron": "30 4 * * sun,tue"}, "weekly, Tuesday, Sunday at 04:30 UTC"),
        ({"cron": "30 4 * * mon-fri"}, "Monday to Friday at 04:30 UTC"),
        ({"interval": "6h"}, "every 6 h"),
        ({"interval": "90m"}, "every 90 m"),
        ({"interval": "14d"}, "every 14 d"),
        ({"interval": "90s"}, "every 90 s"),
        # Words would promise a day in every month, or are not worth it.
        ({"cron": "0 3 31 * *"}, "cron 0 3 31 * * UTC"),
        ({"cron": "0 3 29 2 *"}, "cron 0 3 29 2 * UTC"),
        ({"cron": "0 3 1 1,2,5,7 *"}, "cron 0 3 1 1,2,5,7 * UTC"),
        ({"cron": "0 3 1,15 * *"}, "cron 0 3 1,15 * * UTC"),
        ({"cron": "*/5 * * * *"}, "cron */5 * * * * UTC"),
    ],
)
def test_words(raw, words):
    assert words_of(Cadence.model_validate(raw)) == words
