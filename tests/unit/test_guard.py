"""The guard of a job: what it does with each answer, and without one; an answer that was lost is looked up."""

import asyncio
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from muster import guard as guards
from muster.cli import Away, invoke
from muster.errors import UsageError
from muster.guard import Grant, Guard, TickRefused, WhenAway, guarded, moment_of_text, told
from muster.ledger import open_ledger
from muster.ledger.claiming import Execute
from muster.ledger.direct import LedgerAway, direct
from muster.verdict import ExitCode

AT = datetime(2026, 3, 1, 4, 5, tzinfo=UTC)
LATER = AT + timedelta(minutes=1)
EVER = (AT - timedelta(days=1), AT + timedelta(days=1))
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A ledger of its own, which the environment names."""
    address = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    for name in ("MUSTER_TICK", "MUSTER_HOLDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MUSTER_LEDGER", address)
    guards._kept.cache_clear()
    return address


class Flaky:
    """A ledger whose connection breaks: before a statement is sent, or after it was carried out."""

    def __init__(self, url: str, *faults: str) -> None:
        self.real = direct(url)
        self.is_postgres = self.real.is_postgres
        self.faults: Iterator[str] = iter(faults)
        self.asked = 0

    def ask(self, work: Callable[[Execute], Any]) -> Any:
        self.asked += 1
        fault = next(self.faults, "")
        if fault == "before":
            raise LedgerAway("no answer")
        answer = self.real.ask(work)
        if fault == "after":
            raise LedgerAway("the answer was lost")
        return answer

    def close(self) -> None:
        self.real.close()


def flaky(url: str, *faults: str, when_away: WhenAway = WhenAway.WAIT, patience: float = 5) -> Guard:
    made = Guard(url, "blue", when_away, patience=patience)
    made._ledger = Flaky(url, *faults)
    return made


def test_a_doubled_tick_is_refused_and_says_why(url: str) -> None:
    with Guard(url, by="cron on a") as guard:
        first = guard.claim("orders", AT)
        again = guard.claim("orders", AT)
    assert (first.granted, first.why, bool(first)) == (True, "granted", True)
    assert (again.granted, again.why, bool(again), again.words) == (False, "duplicate", False, "it was claimed before")
    with open_ledger(url) as ledger:
        (claim,) = ledger.claims_between(["orders"], *EVER)
    assert claim.claimed_at == first.at
    assert claim.by.startswith("cron on a/")


def test_a_fenced_scheduler_is_refused(url: str) -> None:
    with open_ledger(url) as ledger:
        ledger.assign_owner(["orders"], "blue")
        ledger.raise_epochs(["orders"], "green", AT, "blue")
    blue, green = Guard(url, "blue"), Guard(url, "green")
    told = [guard.claim("orders", at).why for guard, at in ((blue, AT), (blue, LATER), (green, LATER))]
    assert told == ["granted", "fenced", "granted"]
    assert green.claim("orders", LATER + timedelta(minutes=1), epoch=1).why == "fenced"


@pytest.mark.parametrize("faults", [("after",), ("before", "before"), ("after", "after", "before")])
def test_an_answer_that_was_lost_is_looked_up(url: str, faults: tuple[str, ...]) -> None:
    open_ledger(url).close()
    assert flaky(url, *faults).claim("orders", AT).why == "granted"
    with open_ledger(url) as ledger:
        assert len(ledger.claims_between(["orders"], *EVER)) == 1
        assert ledger.refusals_between(["orders"], *EVER) == ()


def test_a_lost_answer_on_anothers_tick_is_still_a_no(url: str) -> None:
    assert Guard(url, "blue").claim("orders", AT)
    assert flaky(url, "after").claim("orders", AT).why == "duplicate"


def test_a_claim_that_was_on_its_way_when_it_was_looked_up_is_found_after_all(url: str) -> None:
    """The look sees nothing yet; the second try meets the first one's row."""
    guard = flaky(url, "after")
    looks = iter([None])
    own = guard._own
    guard._own = lambda values: next(looks, own(values))  # type: ignore[method-assign]
    assert guard.claim("orders", AT).why == "granted"
    with open_ledger(url) as ledger:
        assert len(ledger.claims_between(["orders"], *EVER)) == 1
        assert ledger.refusals_between(["orders"], *EVER) == (), "its own doubling is no doubled tick"


@pytest.mark.parametrize(("when_away", "granted"), [(WhenAway.RUN, True), (WhenAway.WAIT, False)])
def test_without_the_ledger_the_policy_decides_and_is_told(
    when_away: WhenAway, granted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    began = time.monotonic()
    grant = Guard(NOWHERE, "blue", when_away, patience=1).claim("orders", AT)
    assert grant == Grant(granted, "away", None)
    assert 1 <= time.monotonic() - began < 30
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert "orders at 2026-03-01T04:05:00Z" in said.getMessage()
    assert ("works without a claim" in said.getMessage()) is granted


def test_the_environment_says_what_a_job_does_without_the_ledger_where_its_claim_does_not(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("MUSTER_LEDGER", NOWHERE)
    asked = ["tick", "orders", "--at", told(AT), "--patience", "0"]

    def decorated(**said: WhenAway) -> object:
        guards._kept.cache_clear()
        return guarded("orders", tick=AT, patience=0, **said)(lambda: "worked")()

    assert (invoke(asked), decorated()) == (ExitCode.INTERNAL, None)
    monkeypatch.setenv("MUSTER_WHEN_AWAY", "run")
    assert (invoke(asked), decorated()) == (ExitCode.PASS, "worked")
    assert (invoke([*asked, "--when-away", "wait"]), decorated(when_away=WhenAway.WAIT)) == (ExitCode.INTERNAL, None)
    monkeypatch.setenv("MUSTER_WHEN_AWAY", "sometimes")
    with pytest.raises(UsageError, match="MUSTER_WHEN_AWAY"):
        decorated()


def test_a_kept_connection_that_died_is_made_again_without_patience(url: str) -> None:
    open_ledger(url).close()
    assert flaky(url, "before", patience=0).claim("orders", AT).why == "granted"
    assert flaky(url, "before", "before", patience=0).claim("orders", LATER).why == "away"


def test_a_ledger_that_hangs_counts_as_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Another process holds SQLite's lock longer than anyone waits."""
    with open_ledger(url) as ledger, ledger.writing():
        monkeypatch.setattr("muster.ledger.direct.SECONDS", 0.1)
        assert Guard(url, patience=0).claim("orders", AT).why == "away"
    assert Guard(url, patience=0).claim("orders", AT)


@pytest.mark.parametrize("address", ["mysql://a:secret@b/c", "sqlite:///x?timeout=5", ""])
def test_an_address_that_leads_nowhere_is_an_error_under_any_policy(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        Guard(address, when_away=WhenAway.RUN)
    assert "secret" not in str(caught.value)


def test_what_is_no_ledger_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_text(
        "a letter to my aunt, long enough to be read as a database, which it is not"
    )
    with pytest.raises(UsageError, match="is none"):
        Guard(f"sqlite:///{tmp_path / 'ledger.sqlite'}", when_away=WhenAway.RUN).claim("orders", AT)


def test_a_decorated_job_runs_once_a_tick(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    @guarded("orders")
    def job(name: str, tick: datetime | None = None) -> str:
        """Works."""
        done.append((name, tick))
        return "worked"

    assert job("a", tick=AT) == "worked"
    assert job("b", AT) is None
    monkeypatch.setenv("MUSTER_TICK", told(LATER))
    assert (job("c"), job("d")) == ("worked", None)
    assert done == [("a", AT), ("c", None)]
    assert job.__doc__ == "Works."


def test_a_with_statement_raises_where_it_may_not_work(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with guarded("orders", tick=AT) as grant:
        assert grant.why == "granted"
    with pytest.raises(TickRefused, match="claimed before") as caught, guarded("orders", tick=AT):
        raise AssertionError
    assert caught.value.grant.why == "duplicate"
    with open_ledger(url) as ledger:
        ledger.assign_owner(["orders"], "blue")
    monkeypatch.setenv("MUSTER_HOLDER", "blue")
    guards._kept.cache_clear()
    with guarded("orders", tick=LATER), pytest.raises(ZeroDivisionError):
        _ = 1 // 0


def test_a_job_without_a_tick_is_told(url: str) -> None:
    with pytest.raises(UsageError, match="which tick"):
        guarded("orders")(lambda: None)()


def test_an_async_job_works_once_and_others_go_on_while_it_claims(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answered = threading.Event(), threading.Event()
    ask = Guard.claim

    def slow(guard: Guard, *arguments: Any, **more: Any) -> Grant:
        asked.set()
        assert answered.wait(10), "the loop stood still"
        return ask(guard, *arguments, **more)

    monkeypatch.setattr(Guard, "claim", slow)

    @guarded("orders")
    async def job(tick: datetime) -> str:
        await asyncio.sleep(0)
        return f"worked at {tick:%H:%M}"

    async def beside() -> None:
        while not asked.is_set():
            await asyncio.sleep(0.01)
        answered.set()

    async def both() -> tuple[str | None, None]:
        return await asyncio.gather(job(AT), beside())

    assert asyncio.run(both())[0] == "worked at 04:05"
    assert asyncio.run(both())[0] is None


def test_one_run_meets_no_claim_but_its_own(url: str) -> None:
    def claim(by: str) -> str:
        with Guard(url, by=by, is_one_run=True) as guard:
            return guard.claim("orders", AT).why

    assert [claim("run 1"), claim("run 1"), claim("run 2"), claim("run 1")] == [
        "granted",
        "granted",
        "duplicate",
        "granted",
    ]
    with open_ledger(url) as ledger:
        assert [claim.by for claim in ledger.claims_between(["orders"], *EVER)] == ["run 1"]
        assert [refusal.by for refusal in ledger.refusals_between(["orders"], *EVER)] == ["run 2"]


@pytest.mark.parametrize("text", ["2026-03-01T04:05", "yesterday", "", "04:05Z"])
def test_a_moment_without_its_offset_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="offset from UTC"):
        moment_of_text(text)


def test_moments_are_read_and_told_in_utc() -> None:
    assert moment_of_text("2026-03-01T09:35+05:30") == AT
    assert told(AT.replace(microsecond=500)) == "2026-03-01T04:05:00.000500Z"
    minute = moment_of_text("minute")
    assert timedelta() <= datetime.now(UTC) - minute < timedelta(minutes=2)
    assert (minute.second, minute.microsecond) == (0, 0)


def test_threads_share_a_guard(url: str) -> None:
    told: list[str] = []
    guard = Guard(url)
    threads = [threading.Thread(target=lambda: told.append(guard.claim("orders", AT).why)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(told) == ["duplicate"] * 4 + ["granted"]


def test_the_command_line_knows_the_same_policies() -> None:
    assert [each.value for each in Away] == [each.value for each in WhenAway]


def test_the_command_says_by_its_exit_code_whether_to_work(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["tick", "orders", "--at", "2026-03-01T04:05Z"]
    assert invoke([*asked, "--json"]) == ExitCode.PASS
    answer = json.loads(capsys.readouterr().out)
    assert answer.pop("answered_at")
    assert answer == {
        "schedule": "orders", "tick": "2026-03-01T04:05:00Z", "holder": "", "granted": True, "why": "granted"
    }  # fmt: skip
    assert invoke(asked) == ExitCode.REFUSED
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "muster: the tick of orders at 2026-03-01T04:05:00Z is refused: it was claimed before (duplicate)\n"
    )
    assert invoke(["tick", "orders"]) == ExitCode.USAGE
    monkeypatch.setenv("MUSTER_TICK", "2026-03-01T04:06Z")
    assert (invoke(["tick", "orders"]), invoke(["tick", "orders"])) == (ExitCode.PASS, ExitCode.REFUSED)
    monkeypatch.setenv("MUSTER_LEDGER", NOWHERE)
    assert invoke([*asked, "--patience", "0"]) == ExitCode.INTERNAL
    assert invoke([*asked, "--patience", "0", "--when-away", "run"]) == ExitCode.PASS


def test_a_command_takes_the_place_of_the_claim(url: str, tmp_path: Path) -> None:
    def tick(*words: str) -> "subprocess.CompletedProcess[str]":
        line = [str(Path(sys.executable).parent / "muster"), "tick", "orders", "--at", "2026-03-01T04:05Z", *words]
        environment = {"MUSTER_LEDGER": url, "PATH": "/usr/bin:/bin"}
        return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60, check=False)

    lost = tick("--", "no-such-command")
    assert lost.returncode == ExitCode.USAGE
    assert "nothing was claimed" in lost.stderr
    program = ("--", "sh", "-c", "echo $MUSTER_TICK --json; exit 7")
    done, again = tick(*program), tick(*program)
    assert (done.returncode, done.stdout) == (7, "2026-03-01T04:05:00Z --json\n")
    assert (again.returncode, again.stdout) == (ExitCode.REFUSED, "")


def test_the_guard_is_quick_to_import() -> None:
    code = "import sys, muster.guard; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert {"sqlalchemy", "prefect", "pydantic", "psycopg", "alembic"} & set(done.stdout.split()) == set()
