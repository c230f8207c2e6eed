"""A crontab's lines: read as cron reads them, changed where asked and nowhere else."""

import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from muster.cutover.schedule import CronRule, Cut, IntervalRule, Inventory, Job, RecurrenceRule, Schedule, Stage
from muster.errors import Refusal, StepError, SystemFailure
from muster.settings import Settings
from tasks.schedulers import crontab_store
from tasks.schedulers.cron import Crontab, open_scheduler
from tasks.schedulers.crontab_lines import LONGEST, entries_of, read_command, with_held, write_command
from tasks.schedulers.crontab_store import FileTable, change
from tasks.schedulers.scheduler import Reach

REACH = Reach("plan/run 1", lambda: 30.0)
DAILY = CronRule(expression="0 5 * * *")


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crontab_store, "_busy_for", lambda now: 0.0)


@pytest.fixture
def tab(tmp_path: Path) -> Path:
    return tmp_path / "tab"


def opened(tab: Path, text: str | None = None, **keys: object) -> Crontab:
    if text is not None:
        tab.write_text(text)
    return open_scheduler({"file": str(tab), "timezone": "UTC", **keys}, Settings())


def told(tab: Path, text: str, **keys: object) -> Inventory:
    return opened(tab, text, **keys).inventory(Cut())


def mirror(scheduler: Crontab, job: Job, name: str = "", rule: object = DAILY, **more: object) -> None:
    made = Schedule.model_validate({"name": name or job.name, "job": job.name, "rule": rule, **more})
    scheduler.mirror([job], [made], REACH)


def test_a_line_is_given_what_was_set_above_it_and_its_command_without_percent_signs(tab: Path) -> None:
    found = told(
        tab,
        'A = \'x "y\'\n* * * * * /opt/bin/load --day \\%F%one%two \\% three\nB= z \nA=""\n@hourly other\n',
    )
    assert [(job.command, job.environment, job.own) for job in found.jobs] == [
        ("/opt/bin/load --day %F", {"A": 'x "y'}, {"stdin": "one\ntwo % three"}),
        ("other", {"A": "", "B": "z"}, {}),
    ]
    assert found.schedules[1].rule == CronRule(expression="0 * * * *")


def test_a_name_is_made_of_the_command_and_stays_when_anything_else_changes(tab: Path) -> None:
    (job,) = told(tab, "0 5 * * * /opt/bin/load-orders --all\n").jobs
    (same,) = told(tab, "# else\nA=b\n*/5 * * * *   /opt/bin/load-orders --all\n").jobs
    (other,) = told(tab, "0 5 * * * /opt/bin/load-orders --none\n").jobs
    assert job.name == same.name != other.name
    assert job.name.startswith("load-orders-")


def test_a_command_with_several_times_is_one_job_with_several_schedules(tab: Path) -> None:
    found = told(tab, "0 5 * * * load\n0 6 * * * load\n# muster: name=x slug=late\n0 7 * * * load x\n")
    load = found.jobs[0].name
    assert [job.name for job in found.jobs] == [load, "x"]
    assert [s.name.partition("#")[0] for s in found.schedules] == [load, load, "x"]
    assert found.schedules[2].name == "x#late"
    assert len({s.name for s in found.schedules}) == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("@reboot warm-up\n", "starts with the machine"),
        ("61 * * * * x\n", "does not take"),
        ("1~5 * * * * x\n", "by lot"),
        ("* * * * *\n", "cannot read"),
        ("MAILTO=\n", "cannot read"),
        ("CRON_TZ=Asia/Tokyo\n0 5 * * * x\n", "CRON_TZ"),
        ("0 5 * * * x\n0 5 * * * x\n", "several lines"),
        ("# muster: name=a\n0 5 * * * x\n# muster: name=a\n0 6 * * * y\n", "other lines of a"),
        ("0 5 * * * x\nA=b\n0 6 * * * x\n", "other lines of x-"),
    ],
)
def test_what_a_line_cannot_say_for_sure_is_unfit(tab: Path, text: str, reason: str) -> None:
    found = told(tab, text)
    assert found.schedules == ()
    assert found.unfit
    assert all(reason in one.reason for one in found.unfit)


def test_bytes_that_are_no_text_are_unfit_and_stay(tab: Path) -> None:
    tab.write_bytes(b"# \xff\n0 5 * * * a \xff\n# muster: name=b\n0 5 * * * b\n")
    scheduler = opened(tab)
    assert [one.reason for one in scheduler.inventory(Cut()).unfit] == ["it holds bytes that are no text"]
    scheduler.hold({"b"}, REACH)
    assert tab.read_bytes() == b"# \xff\n0 5 * * * a \xff\n# muster: name=b\n#muster-held# 0 5 * * * b\n"


def test_a_user_column_is_kept_and_asked_for(tab: Path, tmp_path: Path) -> None:
    job = told(tab, "0 5 * * * shop load all\n", form="system").jobs[0]
    assert (job.command, job.own) == ("load all", {"user": "shop"})
    other = opened(tmp_path / "other", form="system")
    schedule = Schedule(name="load", job="load", rule=DAILY)
    assert other.untold(Job(name="load", command="load"), schedule) == ("nobody is named to run it",)
    with pytest.raises(Refusal, match="nobody is named"):
        mirror(other, Job(name="load", command="load"))
    mirror(opened(tmp_path / "other", form="system", run_as="data"), Job(name="load", command="load"))
    assert "0 5 * * * data load\n" in (tmp_path / "other").read_text()
    assert "runs as shop" in opened(tab).untold(job, schedule)[0]


LINES = st.sampled_from(
    [
        "", "# note", "  # muster: name=a", "A=b", "0 5 * * * x", "\t*/5  * * * *\ty \x0b z", "@daily w\r", "junk",
        "#muster-held# 1 1 * * * v",
    ]
)  # fmt: skip


@given(st.lists(LINES))
def test_held_and_released_again_it_is_what_it_was_byte_for_byte(lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    names = {entry.schedule for entry in entries_of(text, "user") if not entry.is_held}
    all_names = {entry.schedule for entry in entries_of(text, "user")}
    held = with_held(text, "user", names, held=True)
    assert all(entry.is_held for entry in entries_of(held, "user"))
    assert {entry.schedule for entry in entries_of(held, "user")} == all_names
    both = names & {entry.schedule for entry in entries_of(text, "user") if entry.is_held}
    assert both or with_held(held, "user", names, held=False) == text


@given(st.text(st.sampled_from("a%\\ "), min_size=1), st.none() | st.text(st.sampled_from("b%\n ")))
def test_percent_signs_come_back_or_are_refused(command: str, given_: str | None) -> None:
    read = read_command(write_command(command, given_))
    assert read == (command, given_) or "\\%" in command or command.endswith("\\")


def test_a_mirror_takes_nothing_from_lines_above_it_and_gives_them_nothing(tab: Path) -> None:
    before = "SHELL=/bin/bash\nMAILTO=ops\n0 5 * * * old\n"
    scheduler = opened(tab, before)
    mirror(scheduler, Job(name="bare", command="x"))
    mirror(scheduler, Job(name="full", command="y", environment={"SHELL": "/bin/sh", "MAILTO": "", "Z": "a b"}))
    environments = {job.name: job.environment for job in scheduler.inventory(Cut()).jobs}
    assert environments["bare"] == {}
    assert environments["full"] == {"SHELL": "/bin/sh", "MAILTO": "", "Z": "a b"}
    assert next(env for name, env in environments.items() if name.startswith("old-")) == {
        "SHELL": "/bin/bash",
        "MAILTO": "ops",
    }
    with pytest.raises(Refusal, match="sets MAILTO, SHELL, which half"):
        mirror(scheduler, Job(name="half", command="z", environment={"Z": "1"}))
    scheduler.remove({"bare", "full"}, REACH)
    assert tab.read_text() == before


@pytest.mark.parametrize(
    ("job", "schedule", "words"),
    [
        ({}, {"rule": RecurrenceRule(text="FREQ=DAILY")}, "5545"),
        ({}, {"rule": IntervalRule(seconds=90, anchor=datetime(2026, 1, 1, tzinfo=UTC))}, "whole minutes"),
        ({"command": ""}, {}, "no command"),
        ({"command": "a\nb"}, {}, "line break"),
        ({"command": "a\\%b"}, {}, "backslash"),
        ({"command": "x" * (LONGEST + 1)}, {}, "longer"),
        ({"environment": {"A": "1\n2"}}, {}, "'A'"),
        ({"environment": {"A": "'\""}}, {}, "'A'"),
        ({"tags": ("a\nb",)}, {}, "tags"),
    ],
)
def test_what_no_line_can_hold_is_told_and_refused(
    tab: Path, job: dict[str, object], schedule: dict[str, object], words: str
) -> None:
    scheduler = opened(tab)
    made = Job.model_validate({"name": "x", "command": "x", **job})
    wanted = Schedule.model_validate({"name": "x", "job": "x", "rule": DAILY, **schedule})
    assert any(words in told for told in scheduler.untold(made, wanted))
    with pytest.raises(Refusal, match=words):
        scheduler.mirror([made], [wanted], REACH)
    assert not tab.exists()


@pytest.mark.parametrize(
    ("job", "schedule", "words"),
    [
        ({"parameters": {"day": 1}}, {}, "parameters"),
        ({}, {"parameters": {"day": 1}}, "parameters"),
        ({"concurrency": 1}, {}, "at most 1 at once"),
        ({}, {"catch_up": True}, "catching up"),
        ({}, {"jitter_seconds": 30}, "30 s"),
    ],
)
def test_what_a_line_leaves_out_is_told(
    tab: Path, job: dict[str, object], schedule: dict[str, object], words: str
) -> None:
    scheduler = opened(tab)
    made = Job.model_validate({"name": "x", "command": "x", **job})
    wanted = Schedule.model_validate({"name": "x", "job": "x", "rule": DAILY, **schedule})
    (said,) = scheduler.untold(made, wanted)
    assert words in said
    scheduler.mirror([made], [wanted], REACH)


def test_a_table_that_somebody_changes_meanwhile_is_left_alone(tab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = opened(tab, "# muster: name=a\n0 5 * * * a\n")
    edit: Callable[..., str] = with_held

    def slow(*arguments: object, **keys: object) -> str:
        tab.write_text(tab.read_text() + "0 6 * * * theirs\n")
        return edit(*arguments, **keys)

    monkeypatch.setattr("tasks.schedulers.cron.with_held", slow)
    with pytest.raises(StepError, match="somebody else changed"):
        scheduler.hold({"a"}, REACH)
    monkeypatch.undo()
    assert tab.read_text().startswith("# muster: name=a\n0 5 * * * a\n0 6 * * * theirs\n")
    assert scheduler.released({"a"}) == {"a"}


def test_a_write_without_effect_is_a_failure_of_the_system(tab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = opened(tab, "# muster: name=a\n0 5 * * * a\n")
    monkeypatch.setattr(FileTable, "write", lambda table, text: None)
    with pytest.raises(SystemFailure, match="as it was before"):
        scheduler.hold({"a"}, REACH)


def test_a_file_keeps_its_rights_and_a_link_stays_one(tab: Path, tmp_path: Path) -> None:
    opened(tab, "# muster: name=a\n0 5 * * * a\n")
    tab.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(tab)
    opened(link).hold({"a"}, REACH)
    assert link.is_symlink()
    assert tab.stat().st_mode & 0o777 == 0o640
    assert "#muster-held#" in tab.read_text()


def test_no_write_falls_into_the_seconds_in_which_cron_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    minute = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    naps = {s: crontab_store._busy_for(minute + timedelta(seconds=s)) for s in (0, 1.5, 2.9, 3, 30, 59.4, 59.6)}
    assert naps == pytest.approx({0: 3, 1.5: 1.5, 2.9: 0.1, 3: 0, 30: 0, 59.4: 0, 59.6: 3.4})


def test_a_stop_while_it_waits_for_cron_is_heeded(tab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crontab_store, "_busy_for", lambda now: 3.0)
    asked = iter([30.0])

    def seconds_left() -> float:
        for left in asked:
            return left
        raise StepError("stopped")

    with pytest.raises(StepError, match="stopped"):
        change(FileTable(tab, 0o600), lambda text: text + "x\n", seconds_left)
    assert not tab.exists()


def test_a_table_that_cron_would_ignore_is_refused(tab: Path, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="line break"):
        opened(tab, "0 5 * * * x").identify()
    with pytest.raises(Refusal, match="line break"):
        opened(tab).hold(set(), REACH)
    folder = tmp_path / "cron.d"
    folder.mkdir()
    with pytest.raises(Refusal, match="name"):
        opened(folder / "a.b", form="system").identify()
    opened(folder / "ab", "", form="system")
    (folder / "ab").chmod(0o664)
    with pytest.raises(Refusal, match="ignores"):
        opened(folder / "ab", form="system").identify()
    if os.getuid() == 0:
        (folder / "ab").chmod(0o644)
        opened(folder / "ab", form="system").identify()


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"file": "/x", "user": "root"},
        {"user": "root", "form": "system"},
        {"file": "/x", "run_as": "root"},
        {"file": "/x", "timezone": "Nowhere"},
        {"file": "/x", "tpyo": 1},
    ],
)
def test_wrong_keys_are_told(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        open_scheduler(keys, Settings())


LOG = """\
2026-05-29T11:00:00+00:00 here systemd[1]: up
2026-05-29T12:00:01+00:00 here CRON[70]: (root) CMD ([71] load --day %F)
2026-05-29T12:00:01+00:00 here CRON[72]: (data) CMD (load --day %F)
2026-05-29T12:00:09+00:00 here CRON[70]: (CRON) error (grandchild #71 failed with exit status 3)
2026-05-29T12:00:09+00:00 here CRON[70]: (root) END ([71] load --day %F)
2026-05-29T12:05:01+00:00 here CRON[80]: (root) CMD (echo "\\303\\266")
2026-05-29T12:05:02+00:00 here CRON[80]: (root) END (echo "\\303\\266")
2026-05-29T12:10:01+00:00 here CRON[90]: (root) CMD (twice)
2026-05-29T12:10:01+00:00 here CRON[91]: (root) CMD (unknown)
"""
JOBS = """\
# muster: name=load
0 * * * * root load --day \\%F%given
# muster: name=umlaut
*/5 * * * * root echo "ö"
# muster: name=twice slug=tens
*/10 * * * * root twice
# muster: name=twice slug=fives
5-59/10 * * * * root twice
"""


def test_a_log_tells_starts_and_ends_of_the_schedules_that_were_due(tab: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(LOG)
    scheduler = opened(tab, JOBS, form="system", log=str(log))
    noon = datetime(2026, 5, 29, 12, tzinfo=UTC)
    names = {"load", "umlaut", "twice#tens", "twice#fives"}
    found = scheduler.history(names, noon - timedelta(minutes=1), noon + timedelta(minutes=10))
    assert found is not None
    assert [(f.schedule, f.at, f.stage) for f in found] == [
        ("load", noon, Stage.FAILED),
        ("umlaut", noon + timedelta(minutes=5), Stage.DONE),
        ("twice#tens", noon + timedelta(minutes=10), Stage.TAKEN),
    ]
    assert scheduler.history(names, noon, noon + timedelta(minutes=4)) == ()
    assert scheduler.history(names, noon - timedelta(hours=2), noon) is None
    assert scheduler.at_work(names) == ()
    assert opened(tab, form="system").history(names, noon, noon) is None
    assert opened(tab, form="system").at_work(names) is None


def test_a_log_without_ends_says_of_what_is_gone_only_that_it_began(tab: Path, tmp_path: Path) -> None:
    begun, log = datetime.now(UTC), tmp_path / "log"
    at = begun.replace(second=0, microsecond=0)
    with subprocess.Popen(["sleep", "60"]) as alive, subprocess.Popen(["true"]) as gone:
        gone.wait()
        lines = [f"{at - timedelta(hours=1):%FT%TZ} here cron[1]: (CRON) INFO (up)\n"]
        lines += [f"{begun:%FT%TZ} here CRON[{p.pid}]: (root) CMD ({n})\n" for n, p in (("a", alive), ("b", gone))]
        log.write_text("".join(lines))
        scheduler = opened(tab, "# muster: name=a\n* * * * * a\n# muster: name=b\n* * * * * b\n", log=str(log))

        def stages() -> list[Stage]:
            found = scheduler.history({"a", "b"}, at - timedelta(minutes=1), at)
            return [firing.stage for firing in found or ()]

        assert stages() == [Stage.RUNNING, Stage.BEGUN]
        assert [firing.schedule for firing in scheduler.at_work({"a", "b"}) or ()] == ["a"]
        log.write_text(log.read_text() + f"{begun:%FT%TZ} here CRON[1]: (root) END (another)\n")
        assert stages() == [Stage.RUNNING, Stage.TAKEN], "ends are told, and this one was not"
        alive.kill()


def test_a_traditional_log_has_no_year_and_the_clock_of_the_machine(tab: Path, tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(second=1, microsecond=0) - timedelta(hours=3)
    log = tmp_path / "log"
    log.with_name("log.1").write_text(f"{now - timedelta(days=1):%b %e %H:%M:%S} here CRON[1]: (root) CMD (a)\n")
    log.write_text(f"{now:%b %e %H:%M:%S} here CRON[{os.getpid()}]: (root) CMD (a)\n")
    scheduler = opened(tab, "# muster: name=a\n* * * * * a\n", log=str(log))
    found = scheduler.history({"a"}, now - timedelta(hours=1), now)
    assert found is not None
    assert [f.at for f in found] == [now.replace(second=0)]
    assert scheduler.at_work({"a"}) == ()  # this process began long before
