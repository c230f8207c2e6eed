"""The calendar feed, read back by a calendar library: every slot once, the same bytes on the same day."""

import re
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import yaml
from deck_samples import NASTY, card
from icalendar import Calendar, Event
from test_plan import PLAN

from evidence.slots import slot_key
from muster.cadence.spec import Cadence
from muster.cadence.ticks import ticks
from muster.cadence.wording import words_of
from muster.cards import PlanCard
from muster.cli.calendar import calendar, feed_of
from muster.errors import UsageError
from muster.settings import Settings

NOW = datetime(2026, 3, 20, 14, 30, tzinfo=UTC)
NIGHTLY = {"cron": "30 4 * * *", "timezone": "Europe/Berlin"}
FREEZE = {"from": "2026-03-23T00:00:00Z", "until": "2026-03-25T12:00:00Z", "reason": "quarter-end freeze"}


def plan(name: str = "shop", cadence: dict[str, Any] = NIGHTLY, **changes: Any) -> PlanCard:
    parsed = Cadence.model_validate(cadence)
    return card(name=name, cadence_json=parsed.model_dump_json(), cadence_words=words_of(parsed), **changes)


def events_of(content: bytes) -> list[Event]:
    return list(Calendar.from_ical(content).walk("VEVENT"))


def test_every_slot_is_an_event_across_a_change_of_clocks() -> None:
    """On 29 March 2026 clocks in Berlin jump: a slot at the same local time is an hour earlier in UTC."""
    feed = feed_of([plan()], NOW, 14)
    since, until = datetime(2026, 3, 20, tzinfo=UTC), datetime(2026, 4, 3, tzinfo=UTC)
    expected = list(takewhile(lambda tick: tick < until, ticks(Cadence.model_validate(NIGHTLY), since)))
    events = events_of(feed.content)
    assert [event.start for event in events] == expected
    assert [str(event["uid"]) for event in events] == [slot_key("shop", tick) for tick in expected]
    assert (feed.slots, feed.note) == (14, "")
    assert {tick.hour for tick in expected[:9]} == {3}
    assert {tick.hour for tick in expected[9:]} == {2}


def test_an_event_says_what_a_person_asks() -> None:
    (event, *_) = events_of(feed_of([plan()], NOW, 2).content)
    assert event["summary"] == "drill: shop"
    assert event.end - event.start == timedelta(hours=1)
    assert event["transp"] == "OPAQUE"
    lines = str(event["description"]).splitlines()
    assert lines[0] == "Restore the shop."
    assert lines[1] == "restore drill in demo, owner: platform team"
    assert lines[2].startswith("Cadence: daily at 04:30 Europe/Berlin, grace ")
    assert lines[3] == "Controls: SOC 2 A1.3, ISO 27001 A.8.13, DORA Art. 12(2)"
    assert lines[4] == "muster status shop"


def test_the_feed_says_what_it_is() -> None:
    feed = Calendar.from_ical(feed_of([plan()], NOW, 1).content)
    assert feed["version"] == "2.0"
    assert str(feed["prodid"]).startswith("-//Muster//")
    assert str(feed["x-wr-calname"]) == "Resilience drills"
    assert feed["refresh-interval"].dt == timedelta(hours=12)


def test_the_bytes_are_as_the_rfc_asks() -> None:
    content = feed_of([plan(description="Wiederherstellung: größere Läden, " * 9)], NOW, 3).content
    assert content.endswith(b"END:VCALENDAR\r\n")
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert max(map(len, content.split(b"\r\n"))) <= 75, "longer lines are folded"
    for event in events_of(content):
        assert event["description"].startswith("Wiederherstellung: größere Läden, Wieder")


def test_the_same_day_gives_the_same_bytes_and_the_next_another() -> None:
    plans = [plan(), plan("orders", {"interval": "6h"})]
    first = feed_of(plans, NOW, 30).content
    assert feed_of(reversed(plans), NOW + timedelta(hours=9), 30).content == first
    assert feed_of(plans, NOW + timedelta(hours=10), 30).content != first


def test_a_blackout_is_shown_once_and_its_slots_are_waived() -> None:
    black = NIGHTLY | {"blackouts": [FREEZE]}
    events = events_of(feed_of([plan("a", black), plan("b", black), plan("c")], NOW, 10).content)
    (freeze,) = (event for event in events if "freeze" in event["summary"])
    assert freeze["summary"] == "no drills: quarter-end freeze"
    assert (freeze["transp"], freeze.end) == ("TRANSPARENT", datetime(2026, 3, 25, 12, tzinfo=UTC))
    assert str(freeze["description"]).endswith("waived: a, b")
    waived = [event for event in events if str(event["summary"]).startswith("waived")]
    assert [str(event["summary"]) for event in waived] == ["waived: a", "waived: b"] * 3
    assert {(str(event["transp"]), str(event["status"])) for event in waived} == {("TRANSPARENT", "CANCELLED")}
    assert sum(event["summary"] == "drill: c" for event in events) == 10
    assert len({event["uid"] for event in events}) == len(events)


def test_a_blackout_outside_the_time_is_left_out() -> None:
    gone = FREEZE | {"from": "2026-01-01T00:00:00Z", "until": "2026-03-20T00:00:00Z"}
    ahead = FREEZE | {"from": "2026-03-30T00:00:00Z", "until": "2026-03-31T00:00:00Z"}
    content = feed_of([plan(cadence=NIGHTLY | {"blackouts": [gone, ahead]})], NOW, 10).content
    assert b"freeze" not in content


def test_a_feed_is_bounded_and_says_so() -> None:
    busy, calm = plan("busy", {"interval": "1m"}), plan("calm")
    feed = feed_of([busy, calm], NOW, 30, per_plan=100)
    assert feed.note == "only the next 100 slots of each of these plans are in this feed: busy"
    events = events_of(feed.content)
    assert sum(event["summary"] == "drill: calm" for event in events) == 30
    assert sum(event["summary"] == "drill: busy" for event in events) == feed.slots - 30 == 100
    assert "busy" in Calendar.from_ical(feed.content)["x-wr-caldesc"]

    short = feed_of([calm, plan("other")], NOW, 30, in_all=10)
    assert short.slots == 10
    assert short.note == "it ends at 2026-03-24 03:30 UTC, with 10 slots"
    assert feed_of([calm, plan("other")], NOW, 5, in_all=10).note == ""


def test_hostile_text_stays_text() -> None:
    content = feed_of([plan(description=f"{NASTY}\r\nEND:VEVENT\r\nBEGIN:VALARM", owner=NASTY)], NOW, 2).content
    assert len(events_of(content)) == 2
    assert re.findall(rb"^BEGIN:(\w+)", content, re.MULTILINE) == [b"VCALENDAR", b"VEVENT", b"VEVENT"]


# The command


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    plans = tmp_path / "deployments"
    plans.mkdir()
    named = {"controls": ["SOC 2 A1.2"], "cadence": NIGHTLY}
    (plans / "orders-weekly.yaml").write_text(yaml.safe_dump(PLAN | named))
    return Settings(home=tmp_path / "home", plans=plans)


def test_the_file_is_written_whole_and_not_touched_again(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "drills.ics"
    assert calendar(settings, output, 7, now=NOW) == 0
    assert capsys.readouterr().out == f"{output}: 7 slots of 1 plan\n"
    before = output.stat()
    assert calendar(settings, output, 7, now=NOW + timedelta(hours=1)) == 0
    assert (output.stat().st_ino, output.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert list(tmp_path.glob("*.ics*")) == [output]
    calendar(settings, output, 8, now=NOW)
    assert len(events_of(output.read_bytes())) == 8


def test_standard_output_is_the_feed_alone(settings: Settings, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert calendar(settings, None, 1830, now=NOW) == 0
    said = capfdbinary.readouterr()
    assert len(events_of(said.out)) == 400
    assert said.out.endswith(b"END:VCALENDAR\r\n")
    assert b"only the next 400 slots" in said.err


def test_what_cannot_be_written_or_read_is_wrong_usage(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        calendar(settings, tmp_path, 7, now=NOW)
    (settings.plans / "orders-weekly.yaml").write_text("name: [")
    with pytest.raises(UsageError, match="orders-weekly"):
        calendar(settings, tmp_path / "drills.ics", 7, now=NOW)
    assert not (tmp_path / "drills.ics").exists()


def test_no_plans_are_an_empty_feed(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert calendar(Settings(home=tmp_path, plans=tmp_path), None, 7, now=NOW) == 0
    assert events_of(capfdbinary.readouterr().out) == []
