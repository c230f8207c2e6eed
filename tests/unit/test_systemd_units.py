"""Unit files as jobs and schedules: what systemd would do is told; what has no ticks is not taken for a schedule."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from muster.cutover.schedule import CalendarRule, CronRule, Cut, Inventory, Job, Schedule, Stage
from muster.errors import Refusal
from muster.settings import Settings
from tasks.schedulers.scheduler import Reach
from tasks.schedulers.systemd import Systemd, open_scheduler
from tasks.schedulers.systemd_text import (
    read_environment,
    read_exec,
    seconds_of,
    write_environment,
    write_exec,
)
from tasks.schedulers.untellable import Untellable
from tests.contract.scheduler_cases import UNITS, StandIn

REACH = Reach("plan/run 1", lambda: 30.0)
NOON = datetime(2026, 5, 29, 12, tzinfo=UTC)
SERVICE = "[Service]\nExecStart=/bin/x\n"


def opened(folder: Path) -> Systemd:
    return open_scheduler({"unit_path": str(folder), "timezone": "UTC"}, Settings())


def told(folder: Path, timer: str, service: str = SERVICE, **more: str) -> Inventory:
    for name, text in {"x.timer": timer, "x.service": service, **more}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return opened(folder).inventory(Cut())


def test_without_a_running_systemd_a_timer_is_active_that_is_enabled_in_the_folder(tmp_path: Path) -> None:
    assert not told(tmp_path, "[Timer]\nOnCalendar=daily\n").schedules[0].active
    (tmp_path / "timers.target.wants").mkdir()
    (tmp_path / "timers.target.wants/x.timer").symlink_to(tmp_path / "x.timer")
    assert opened(tmp_path).inventory(Cut()).schedules[0].active


def test_drop_ins_have_the_last_word(tmp_path: Path) -> None:
    found = told(
        tmp_path,
        "[Timer]\nOnCalendar=daily\nPersistent=false\n",
        **{
            "x.timer.d/10.conf": "# mine\n[Timer]\nOnCalendar=\nOnCalendar=Mon \\\n 5:00 Asia/Tokyo\nPersistent=yes\n",
            "x.service.d/10.conf": "[Service]\nExecStart=\nExecStart=/bin/y --a\nUser=data\n",
        },
    )
    (schedule,), (job,) = found.schedules, found.jobs
    assert schedule.rule == CalendarRule(expression="Mon   5:00", timezone="Asia/Tokyo")
    assert schedule.catch_up
    assert (job.command, job.own["user"], job.concurrency) == ("/bin/y --a", "data", 1)


@pytest.mark.parametrize(
    ("timer", "seconds"),
    [
        ("", 60),
        ("AccuracySec=1us", 0),
        ("AccuracySec=1us\nRandomizedDelaySec=1h 30min", 5400),
        ("RandomizedDelaySec=90", 150),
    ],
)
def test_how_late_it_may_start_is_its_jitter(tmp_path: Path, timer: str, seconds: float) -> None:
    assert told(tmp_path, f"[Timer]\nOnCalendar=daily\n{timer}\n").schedules[0].jitter_seconds == seconds


@pytest.mark.parametrize(
    ("timer", "service", "reason"),
    [
        ("OnBootSec=5min", SERVICE, "OnBootSec"),
        ("OnCalendar=daily\nOnUnitActiveSec=1h", SERVICE, "OnUnitActiveSec"),
        ("OnCalendar=daily\nOnClockChange=yes", SERVICE, "OnClockChange"),
        ("OnCalendar=daily\nOnCalendar=monthly", SERVICE, "2 OnCalendar lines"),
        ("Persistent=true", SERVICE, "0 OnCalendar lines"),
        ("OnCalendar=daily\nAccuracySec=soon", SERVICE, "no span"),
        ("OnCalendar=daily\nUnit=elsewhere.service", SERVICE, "not in the folder"),
        ("OnCalendar=daily", "[Service]\nExecStart=/bin/x\nExecStart=/bin/y\n", "2 ExecStart lines"),
        ("OnCalendar=daily", "[Service]\nExecStart=-/bin/x\n", "prefix"),
        ("OnCalendar=daily", "[Service]\nExecStart=/bin/x %i\n", "something else"),
        ("OnCalendar=daily", "[Service]\nExecStart=/bin/x ${HOME}\n", "something else"),
        ("OnCalendar=daily", '[Service]\nExecStart=/bin/x\nEnvironment="A=%h"\n', "something else"),
    ],
)
def test_what_has_no_ticks_or_no_plain_command_is_unfit(tmp_path: Path, timer: str, service: str, reason: str) -> None:
    found = told(tmp_path, f"[Timer]\n{timer}\n", service)
    assert (found.jobs, found.schedules) == ((), ())
    assert reason in found.unfit[0].reason


def test_a_template_is_unfit(tmp_path: Path) -> None:
    (tmp_path / "x@.timer").write_text("[Timer]\nOnCalendar=daily\n")
    assert "template" in opened(tmp_path).inventory(Cut()).unfit[0].reason


def test_timers_that_start_one_service_are_schedules_of_one_job(tmp_path: Path) -> None:
    more = {"late.timer": "[Timer]\nOnCalendar=22:00\nUnit=x.service\nWakeSystem=true\n"}
    found = told(tmp_path, "[Timer]\nOnCalendar=daily\n", **more)
    assert [job.name for job in found.jobs] == ["x"]
    assert [s.name for s in found.schedules] == ["x#late", "x#x"]
    assert found.jobs[0].own == {"timers": {"x#late": [["Timer", "WakeSystem", "true"]]}}


@given(st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1))
def test_a_command_comes_back_as_it_was(command: str) -> None:
    assert read_exec(write_exec(command)) == command


@given(st.text(st.characters(blacklist_categories=("Cs", "Cc"))))
def test_a_variable_comes_back_as_it_was(value: str) -> None:
    assert read_environment([write_environment("A", value)]) == {"A": value}


@pytest.mark.parametrize(
    ("span", "seconds"), [("0", 0), ("5", 5), ("1min 30s", 90), ("2h30m", 9000), ("1us", 1e-6), ("1.5d", 129600)]
)
def test_spans_are_read(span: str, seconds: float) -> None:
    assert seconds_of(span) == pytest.approx(seconds)


@pytest.mark.parametrize("span", ["", "infinity", "5 apples", "1h later"])
def test_what_is_no_span_is_told(span: str) -> None:
    with pytest.raises(Untellable):
        seconds_of(span)


@pytest.mark.parametrize(
    ("job", "schedule", "words", "is_refused"),
    [
        ({"concurrency": None}, {}, "any number at once", False),
        ({"concurrency": 3}, {}, "at most 3", False),
        ({"parameters": {"a": 1}}, {}, "parameters", False),
        ({}, {"catch_up": True}, "one run", False),
        ({"own": {"stdin": "x"}}, {}, "standard input", True),
        ({"command": ""}, {}, "no command", True),
        ({"command": "a\nb"}, {}, "line break", True),
        ({}, {"rule": CronRule(expression="0 5 1 * 1")}, "both hold", True),
    ],
)
def test_what_a_timer_cannot_carry_is_told(
    tmp_path: Path, job: dict[str, object], schedule: dict[str, object], words: str, is_refused: bool
) -> None:
    stand_in = StandIn(tmp_path, {})
    made = Job.model_validate({"name": "x", "command": "x", "concurrency": 1, **job})
    wanted = Schedule.model_validate({"name": "x", "job": "x", "rule": CronRule(expression="0 5 * * *"), **schedule})
    scheduler = stand_in.scheduler()
    assert any(words in told for told in scheduler.untold(made, wanted))
    with stand_in.on_path():
        if is_refused:
            with pytest.raises(Refusal, match=words):
                scheduler.mirror([made], [wanted], REACH)
        else:
            scheduler.mirror([made], [wanted], REACH)


def test_a_set_is_held_by_one_call_and_what_would_catch_up_forgets_before_it_is_released(tmp_path: Path) -> None:
    stand_in = StandIn(tmp_path, UNITS)
    stand_in.turn_on("orders.timer", "invoices.timer")
    names = {"orders", "invoices", "report"}
    scheduler = stand_in.scheduler()
    with stand_in.on_path():
        scheduler.hold(names, REACH)
        scheduler.release(names, REACH)
    assert [call.removeprefix("--no-ask-password --no-pager ") for call in stand_in.calls()] == [
        "disable --now -- invoices.timer orders.timer",
        "clean --what=state -- invoices.timer",
        "enable --now -- invoices.timer orders.timer report.timer",
    ]


JOURNALCTL = """\
#!/bin/sh
case "$*" in
  *--since*) cat "$STAND_IN/journal";;
  *) head -n 1 "$STAND_IN/journal";;
esac
"""
STARTED, ENDED, FAILED = (
    "7d4958e842da4a758f6c1cdc7b36dcc5",
    "7ad2d189f7e94e70a38c781354912448",
    "d9b373ed55a64feb8242e02dbe79a49c",
)


@pytest.fixture
def journal(tmp_path: Path) -> Callable[..., StandIn]:
    def written(*events: tuple[float, str, str, str]) -> StandIn:
        stand_in = StandIn(tmp_path, UNITS)
        program = tmp_path / "bin/journalctl"
        program.write_text(JOURNALCTL)
        program.chmod(0o755)
        records = (
            {
                "__REALTIME_TIMESTAMP": str(int((NOON.timestamp() + seconds) * 1e6)),
                "MESSAGE_ID": message,
                "UNIT": unit,
                "INVOCATION_ID": run,
            }
            for seconds, message, unit, run in events
        )
        (stand_in.state / "journal").write_text("".join(f"{json.dumps(record)}\n" for record in records))
        return stand_in

    return written


def test_a_journal_tells_starts_and_ends(journal: Callable[..., StandIn]) -> None:
    stand_in = journal(
        (-7200, "", "", ""),
        (301, STARTED, "orders.service", "r1"),
        (310, ENDED, "orders.service", "r1"),
        (610, STARTED, "orders.service", "r2"),
        (611, FAILED, "orders.service", "r2"),
        (900, STARTED, "orders.service", "r3"),
    )
    scheduler = stand_in.scheduler()
    with stand_in.on_path():
        found = scheduler.history({"orders"}, NOON, NOON + timedelta(minutes=15))
        assert scheduler.history({"orders"}, NOON - timedelta(hours=3), NOON) is None
    assert found is not None
    assert [(f.run, f.at, f.stage) for f in found] == [
        ("r1", NOON + timedelta(minutes=5), Stage.DONE),
        ("r2", NOON + timedelta(minutes=10), Stage.FAILED),
        ("r3", NOON + timedelta(minutes=15), Stage.RUNNING),
    ]


def test_an_empty_journal_is_no_history(journal: Callable[..., StandIn]) -> None:
    stand_in = journal()
    with stand_in.on_path():
        assert stand_in.scheduler().history({"orders"}, NOON, NOON + timedelta(minutes=15)) is None


def test_a_systemd_that_does_not_answer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="no folder"):
        opened(tmp_path / "nowhere").identify()
    stand_in = StandIn(tmp_path, {})
    (tmp_path / "bin/systemctl").write_text("#!/bin/sh\necho 'Failed to connect to bus' >&2; exit 1\n")
    with stand_in.on_path(), pytest.raises(Refusal, match="Failed to connect to bus"):
        stand_in.scheduler().identify()


@pytest.mark.parametrize("keys", [{"scope": "all"}, {"timezone": "Nowhere"}, {"tpyo": 1}])
def test_wrong_keys_are_told(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        open_scheduler(keys, Settings())
