"""The `cadence:` section: what is right is taken and read back the same, what is wrong is refused by its key."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from muster.cadence.defaults import DEFAULTS
from muster.cadence.spec import Cadence, Late
from muster.cadence.wording import words_of

DAILY = {"cron": "0 3 * * *"}
FREEZE = {"from": "2026-12-20T00:00:00Z", "until": "2026-12-27T00:00:00Z", "reason": "freeze"}


@pytest.mark.parametrize(
    "raw",
    [
        DAILY,
        {"cron": "0 3 * * mon-fri", "timezone": "Europe/Berlin"},
        {"cron": "15 4 1,15 * *", "grace": "3d"},
        {"cron": "0 3 1 JAN,Jul *"},
        {"cron": " 0  3 * * * "},
        {"cron": "5-55/10 * * * *"},
        {"cron": "0 3 1,29,31 * *"},
        {"interval": "1m"},
        {"interval": "6h", "anchor": "2026-01-01T00:30:00+05:30"},
        {"interval": "3660d"},
        {**DAILY, "jitter": "5h", "grace": "6h"},
        {**DAILY, "late": "run all", "late_within": "6h"},
        {**DAILY, "late": "skip"},
        {**DAILY, "windows": [{"from": "22:00", "until": "06:00", "days": ["fri", "sat"]}]},
        {**DAILY, "windows": [{"from": "22:00:30", "until": "23:00"}]},
        {**DAILY, "blackouts": [FREEZE, FREEZE]},
    ],
)
def test_what_is_right_is_taken_and_read_back(raw):
    cadence = Cadence.model_validate(raw)
    for again in (
        Cadence.model_validate_json(cadence.model_dump_json()),
        Cadence.model_validate(cadence.model_dump(mode="json")),
        Cadence.model_validate(yaml.safe_load(yaml.safe_dump(cadence.model_dump(mode="json")))),
    ):
        assert again == cadence
        assert again.timetable == cadence.timetable
        assert hash(again) == hash(cadence)


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        ({}, "'cron' or an 'interval': one of them"),
        ({**DAILY, "interval": "6h"}, "'cron' or an 'interval': one of them"),
        ({"corn": "0 3 * * *"}, "corn"),
        ({"cron": "@daily"}, "cron.*five fields"),
        ({"cron": "0 0 3 * * *"}, "cron.*five fields"),
        ({"cron": ""}, "cron.*five fields"),
        ({"cron": "0 3 1 * mon"}, "cron.*cannot both be set"),
        ({"cron": "0 3 */2 * */2"}, "cron.*cannot both be set"),
        ({"cron": "0 3 L * *"}, "cron.*'l' is no number"),
        ({"cron": "0 3 15W * *"}, "cron.*'15w' is no number"),
        ({"cron": "0 3 * * 5#2"}, "cron.*'5#2' is no number"),
        ({"cron": "0 3 * * 5L"}, "cron.*'5l' is no number"),
        ({"cron": "0 3 ? * 1"}, "cron.*(both be set|is no number)"),
        ({"cron": "H 3 * * *"}, "cron.*'h' is no number"),
        ({"cron": "0 H(1-3) * * *"}, "cron.*is no number"),
        ({"cron": "R 3 * * *"}, "cron.*'r' is no number"),
        ({"cron": "*,5 3 * * *"}, "cron.*mixes"),
        ({"cron": "0 5-5 * * *"}, "cron.*to itself"),
        ({"cron": "0 5-05 * * *"}, "cron.*to itself"),
        ({"cron": "0 3 1 dec-12 *"}, "cron.*a name and a number"),
        ({"cron": "5/10 3 * * *"}, "cron.*lone value"),
        ({"cron": "0 3 * * 1-5/2"}, "cron.*over days"),
        ({"cron": "0 3 */10 * *"}, "cron.*passes over day 1 of March on its way to day 31"),
        ({"cron": "0 3 1,30 * *"}, "cron.*passes over day 1 of March on its way to day 30"),
        ({"cron": "0 3 30 2 *"}, "cron.*day-of-month"),
        ({"cron": "60 3 * * *"}, "cron.*minute"),
        ({"cron": "0 24 * * *"}, "cron.*hour"),
        ({"cron": "0 3 * 13 *"}, "cron.*month"),
        ({"cron": "0 3 * * 8"}, "cron.*day-of-week"),
        ({"cron": "0 3 * * fri-sun"}, "cron.*day-of-week"),
        ({"cron": "*/0 3 * * *"}, "cron.*minute"),
        ({"cron": "30 2 * * *", "timezone": "Europe/Berlin"}, "'cron' is due at 02:30 on 2020-03-29"),
        ({"interval": "30s"}, "interval.*at least 1m"),
        ({"interval": "3661d"}, "interval.*at most 3660d"),
        ({"interval": "90.5s"}, "interval.*whole seconds"),
        ({"interval": "weekly"}, "interval.*90s or 7d"),
        ({**DAILY, "anchor": "2026-01-01T00:00:00Z"}, "'anchor' goes with 'interval'"),
        ({"interval": "6h", "anchor": "2026-01-01T00:00:00"}, "anchor.*timezone"),
        ({"interval": "6h", "anchor": "2026-01-01T00:00:00.5Z"}, "anchor.*whole second"),
        ({**DAILY, "timezone": "Europe/Berlni"}, "timezone.*IANA"),
        ({**DAILY, "timezone": "../etc/passwd"}, "timezone.*IANA"),
        ({**DAILY, "timezone": ""}, "timezone.*IANA"),
        ({**DAILY, "grace": "24h"}, "'grace' has to end before the next slot is due, which may be after 24.0 hours"),
        ({**DAILY, "grace": "23h", "timezone": "Europe/Berlin"}, "'grace' has to end.*23.0 hours"),
        ({**DAILY, "grace": "0s"}, "'grace' has to end"),
        ({"interval": "2m", "grace": "2m"}, "'grace' has to end.*2 minutes"),
        ({**DAILY, "jitter": "6h"}, "'jitter' has to be shorter than the grace, 6.0 hours"),
        ({**DAILY, "jitter": timedelta(seconds=-1)}, "'jitter' has to be"),
        ({**DAILY, "late": "run twice"}, "late"),
        ({**DAILY, "late_within": "2d"}, "'late_within' goes with late: run all"),
        ({**DAILY, "late": "run all", "late_within": "1h"}, "'late_within' cannot be shorter than the grace"),
        ({**DAILY, "windows": [{"from": 1320, "until": "23:00"}]}, "windows.*from.*in quotes"),
        ({**DAILY, "windows": [{"from": "22:00Z", "until": "23:00"}]}, "windows.*from.*the time zone is the cadence's"),
        ({**DAILY, "windows": [{"from": "22:00", "until": "24:00"}]}, "windows.*until"),
        ({**DAILY, "windows": [{"from": "22:00"}]}, "windows.*until"),
        ({**DAILY, "windows": [{"from": "22:00", "until": "23:00", "days": []}]}, "windows.*days.*at least one"),
        ({**DAILY, "windows": [{"from": "22:00", "until": "23:00", "days": ["sat", "sat"]}]}, "windows.*days"),
        ({**DAILY, "windows": [{"from": "22:00", "until": "23:00", "days": ["Saturday"]}]}, "windows.*days"),
        ({**DAILY, "windows": [{"start": "22:00", "until": "23:00"}]}, "windows"),
        ({**DAILY, "blackouts": [{**FREEZE, "until": FREEZE["from"]}]}, "'until' has to be after 'from'"),
        ({**DAILY, "blackouts": [{**FREEZE, "from": "2026-12-20T00:00:00"}]}, "blackouts.*from.*timezone"),
        ({**DAILY, "blackouts": [{**FREEZE, "reason": ""}]}, "blackouts.*reason"),
    ],
)
def test_what_is_wrong_is_refused_by_its_key(raw, fault):
    with pytest.raises(ValidationError) as caught:
        Cadence.model_validate(raw)
    told = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in caught.value.errors())
    assert re.search(fault, told), told


def test_unquoted_times_of_day_are_told_apart_from_numbers():
    """YAML 1.1 reads 22:00 as 1320, and 08:00 as words."""
    with pytest.raises(ValidationError, match="in quotes"):
        Cadence.model_validate(yaml.safe_load("cron: 0 3 * * *\nwindows: [{from: 22:00, until: 08:00}]"))


@pytest.mark.parametrize(
    "changes", [{"cron": "1 3 * * *"}, {"timezone": "Asia/Tokyo"}, {"grace": "1h"}, {"late": "skip"}]
)
def test_another_timetable_is_told(changes):
    assert Cadence.model_validate({**DAILY, **changes}).timetable != Cadence.model_validate(DAILY).timetable


def test_spelling_is_no_difference():
    one, other = Cadence(cron=" 0  3 1 JAN,Jul *"), Cadence(cron="0 3 1 jan,jul *")
    assert one == other
    assert one.timetable == other.timetable


def test_the_same_anchor_in_another_zone_is_the_same_cadence():
    one = Cadence(interval="6h", anchor=datetime(2026, 1, 1, tzinfo=UTC))
    other = Cadence(interval="6h", anchor=datetime.fromisoformat("2026-01-01T05:30:00+05:30"))
    assert one == other
    assert one.timetable == other.timetable


@pytest.mark.parametrize(
    ("raw", "grace"),
    [
        (DAILY, "6h"),
        ({**DAILY, "timezone": "Europe/Berlin"}, "5.75h"),
        ({"cron": "0 3 1 * *"}, "7d"),
        ({"cron": "0 3 1 1 *"}, "7d"),
        ({"interval": "1m"}, "15s"),
        ({**DAILY, "grace": "1h"}, "1h"),
    ],
)
def test_the_grace_is_a_quarter_of_the_shortest_gap_up_to_a_week(raw, grace):
    expected = Cadence.model_validate({"interval": "3660d", "grace": grace}).grace
    assert Cadence.model_validate(raw).grace_period == expected


_DURATIONS = st.integers(60, 10**7).map(lambda seconds: f"{seconds}s")


@given(_DURATIONS, st.sampled_from(Late), st.integers(0, 24), st.datetimes(datetime(2000, 1, 1), datetime(2050, 1, 1)))
def test_any_interval_is_read_back(interval, late, share, anchor):
    raw = {"interval": interval, "late": late, "anchor": anchor.replace(tzinfo=UTC, microsecond=0)}
    cadence = Cadence.model_validate(raw)
    cadence = Cadence.model_validate({**raw, "jitter": cadence.grace_period * share / 100})
    again = Cadence.model_validate_json(cadence.model_dump_json())
    assert again == cadence
    assert again.timetable == cadence.timetable


def test_the_defaults_are_those_we_promise():
    assert {kind: words_of(cadence) for kind, cadence in DEFAULTS.items()} == {
        "restore": "monthly, day 1 at 03:00 UTC",
        "spark": "quarterly, day 1 at 03:00 UTC",
        "failover": "half-yearly, day 1 at 03:00 UTC",
        "cutover": "yearly, 1 January at 03:00 UTC",
    }
