"""A glance at the ledger sees what the ledger says, on either database, and never walks the runs."""

import json
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url, text

from muster.errors import UsageError
from muster.ledger import Due, Ledger, LedgerError, Measures, Proof, ProofRow, migrations, open_ledger
from muster.ledger.address import postgres_arguments
from muster.ledger.glance import ALERTS, BEATS, HISTORY, PROVEN, STANDINGS, STOP, glance, history
from muster.ledger.schema import metadata
from muster.ledger.standing import Alarm, Halt, Overview, Proven, RunGlance
from muster.verdict import Outcome, Verdict
from tests.contract.ledgers import AT, execute, new_run

DUE = Due(timetable="t", cadence="{}", due_at=AT + timedelta(days=9000), overdue_at=AT + timedelta(days=9001))


def test_an_empty_ledger_is_an_empty_overview(url: str, ledger: Ledger) -> None:
    before = ledger.now()
    overview = glance(url)
    assert overview == Overview(overview.now, {}, {}, (), {}, None)
    assert before <= overview.now <= ledger.now()
    assert history(url, "shop", 10) == ()


def test_a_glance_sees_what_the_ledger_says(url: str, ledger: Ledger) -> None:
    ledger.enroll({"shop": DUE, "asleep": DUE})
    for hours, outcome in enumerate((Outcome.PASSED, Outcome.FAILED, Outcome.MISSED)):
        run = ledger.open_run(new_run(scheduled_at=AT + timedelta(hours=hours))).run
        ledger.close_run(run, outcome, measures=Measures(rto_seconds=7.25), headline="ünï'code", target_digest="x")
    ledger.record_sighting("shop", "y")
    matrix = (ProofRow(form="healthy", planted=False, is_right=True),)
    proof = Proof(kind="restore", at=AT, planted=9, caught=9, healthy=3, quiet=3, matrix=matrix, muster_version="0.2")
    for days, kind in ((0, "restore"), (2, "restore"), (1, "spark"), (1, "restore")):
        ledger.record_proof(proof.model_copy(update={"kind": kind, "at": AT + timedelta(days=days)}))
    for subject in ("shop", "asleep", "muster"):
        ledger.raise_alert(subject, "overdue", "page", "no run since its slot was due")
    ledger.resolve_alert("asleep", "overdue")
    ledger.beat("watch")
    stop = ledger.stop_all("eve", "a real fire")

    overview = glance(url)
    assert overview.standings == {standing.plan: standing for standing in ledger.standings()}
    assert overview.proven == {
        "restore": Proven("restore", AT + timedelta(days=2), 9, 9, 3, 3),
        "spark": Proven("spark", AT + timedelta(days=1), 9, 9, 3, 3),
    }
    assert overview.alerts == tuple(
        Alarm(a.subject, a.condition, a.severity, a.words, a.since) for a in ledger.alerts()
    )
    assert [alert.subject for alert in overview.alerts] == ["shop", "muster"]
    assert overview.beats == ledger.beats()
    assert overview.stop == Halt(stop.at, "eve", "a real fire")
    assert all(
        at.tzinfo is UTC for at in (overview.now, overview.standings["shop"].since, overview.beats["watch"]) if at
    )

    ledger.resume_all("eve", "out")
    assert glance(url).stop is None


def test_history_is_the_newest_slots_first(url: str, ledger: Ledger) -> None:
    late, early = (ledger.open_run(new_run(scheduled_at=AT + timedelta(days=days))) for days in (2, 1))
    ledger.open_run(new_run("other-plan", scheduled_at=AT + timedelta(days=3)))
    closed = ledger.close_run(early.run, Outcome.PASSED, Verdict.PASS, Measures(rto_seconds=1.5, rpo_seconds=0.5))
    assert history(url, "shop", 10) == tuple(
        RunGlance._make(getattr(run, name) for name in RunGlance._fields) for run in (late, closed)
    )
    assert [run.run for run in history(url, "shop", 1)] == [late.run]
    assert history(url, "shop'; DROP TABLE runs; --", 10) == ()


def test_of_two_stops_the_newest_is_told(url: str, ledger: Ledger) -> None:
    ledger.stop_all("eve", "first")
    ledger.stop_all("ann", "second")
    assert (stop := glance(url).stop)
    assert (stop.by, ledger.current_stop().by) == ("ann", "ann")  # type: ignore[union-attr]


# --- cheap -------------------------------------------------------------------------------------------------------

_SAY = """
import json, sys
from muster.ledger.glance import glance
plans = len(glance(sys.argv[1]).standings)
print(json.dumps([plans, *(name in sys.modules for name in ("pydantic", "sqlalchemy", "psycopg"))]))
"""


def _say(url: str) -> Any:
    return json.loads(subprocess.check_output([sys.executable, "-c", _SAY, url], text=True))


def test_a_glance_at_sqlite_imports_little_and_makes_no_file(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    url = f"sqlite:///{file}"
    assert _say(url) == [0, False, False, False]
    assert list(tmp_path.iterdir()) == []
    with open_ledger(url) as ledger:
        ledger.open_run(new_run())
    assert _say(url) == [1, False, False, False]
    assert list(tmp_path.iterdir()) == [file], "a write-ahead log or its index was left behind"


def test_a_glance_at_postgresql_imports_its_driver_alone(ledger: Ledger, url: str) -> None:
    ledger.open_run(new_run())
    is_postgres = url.startswith("postgresql")
    assert _say(url) == [1, False, False, is_postgres]
    if is_postgres:
        assert _say(url.replace("postgresql:", "postgresql+psycopg:")) == [1, False, False, True]


def test_a_glance_at_an_open_ledger_neither_waits_for_its_writer_nor_sees_half(url: str, ledger: Ledger) -> None:
    ledger.open_run(new_run())
    with ledger.writing() as connection:
        connection.execute(text("UPDATE standings SET judged_headline = 'half'"))
        assert glance(url).standings["shop"].judged_headline == ""
    assert glance(url).standings["shop"].judged_headline == "half"


def test_no_statement_of_a_glance_walks_the_runs(ledger: Ledger) -> None:
    _fill(ledger, plans=20, runs=40_000)
    one_plan = HISTORY.replace(":plan", "'plan-3'").replace(":limit", "20")
    for statement in (STANDINGS, PROVEN, ALERTS, BEATS, STOP):
        assert not re.search(r"\bruns\b", _plan(ledger, statement)), statement
    assert re.search(r"runs_by_slot", _plan(ledger, one_plan))
    execute(ledger, "DROP INDEX runs_by_slot")
    ledger.engine.dispose()  # SQLite never plans a prepared EXPLAIN anew
    assert not re.search(r"runs_by_slot", _plan(ledger, one_plan)), "this test would not see a scan"


def _plan(ledger: Ledger, statement: str) -> str:
    explain = "EXPLAIN" if ledger.engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    return "\n".join(str(row[-1]) for row in execute(ledger, f"{explain} {statement}"))


def _fill(ledger: Ledger, plans: int, runs: int) -> None:
    """Copies of one run, made by the database. With few runs PostgreSQL is right to read them all."""
    pattern = ledger.open_run(new_run()).run
    changed = {"run": "'copy-' || i", "plan": f"'plan-' || (i % {plans})", "slot": "'slot-' || i"}
    changed["outcome"] = "CASE WHEN i % 7 = 0 THEN 'passed' ELSE 'failed' END"
    columns = [column.name for column in metadata.tables["runs"].columns]
    values = ", ".join(changed.get(name, name) for name in columns)
    execute(
        ledger,
        f"INSERT INTO runs ({', '.join(columns)})"
        f" WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {runs})"
        f" SELECT {values} FROM runs, numbers WHERE run = '{pattern}'",
    )
    execute(ledger, "ANALYZE")


# --- not there, older, newer -------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["alembic_version (version_num VARCHAR(32) NOT NULL)", "other (thing TEXT)"])
def test_a_glance_at_an_older_database_migrates_it(tmp_path: Path, table: str) -> None:
    file = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"CREATE TABLE {table}")
    assert glance(f"sqlite:///{file}").standings == {}
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(migrations.HEAD,)]


def test_a_glance_at_a_new_database_makes_a_ledger_of_it(url: str) -> None:
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir()
        Path(url.removeprefix("sqlite:///")).touch()
    assert glance(url).standings == {}
    with open_ledger(url) as ledger:
        assert ledger.standings() == ()


def test_a_glance_at_a_newer_ledger_is_refused(url: str, ledger: Ledger) -> None:
    execute(ledger, "UPDATE alembic_version SET version_num = '9999'")
    for ask in (lambda: glance(url), lambda: history(url, "shop", 1)):
        with pytest.raises(UsageError, match="upgrade Muster"):
            ask()


def test_sqlite_with_options_in_its_url_takes_the_long_way(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}?timeout=3"
    with open_ledger(url) as ledger:
        ledger.open_run(new_run())
    assert list(glance(url).standings) == ["shop"]
    assert len(history(url, "shop", 5)) == 1


def test_a_server_that_is_away_says_the_next_move_and_no_password() -> None:
    began = time.monotonic()
    with pytest.raises(LedgerError) as caught:
        glance("postgresql://muster:hunter2@127.0.0.1:1/ledger?connect_timeout=2")
    assert time.monotonic() - began < 30
    assert "MUSTER_LEDGER" in caught.value.advice
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("address", ["mysql://u:hunter2@h/l", "hunter2 is no address", "sqlite://"])
def test_an_address_that_leads_nowhere_is_wrong_usage(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        glance(address)
    assert "hunter2" not in str(caught.value)


def test_a_glance_uses_the_password_file(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server trusts its socket, so the password is looked at where libpq put it."""
    secrets = tmp_path / "pgpass"
    secrets.write_text("*:*:*:keeper:s3cret\n")
    secrets.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(secrets))
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS keeper")
        connection.execute("CREATE ROLE keeper LOGIN SUPERUSER")
    host = psycopg.conninfo.conninfo_to_dict(postgres)["host"]
    arguments = postgres_arguments(f"postgresql+psycopg://keeper@/postgres?host={host}")
    assert arguments is not None
    with psycopg.connect(**arguments) as connection:
        assert connection.info.password == "s3cret"


# --- addresses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://muster@db.example/ledger",
        "postgres://muster:p%40ss%2Fword@db.example:5433/ledger",
        "postgresql+psycopg://muster@/ledger?host=/run/postgresql",
        "postgresql://muster@/ledger?host=/run/postgresql&port=5433",
        "postgresql://muster@/ledger?host=a:5433&host=b:5434&target_session_attrs=read-write",
        "postgresql://muster@/ledger?host=a,b&port=5433,5434&target_session_attrs=read-write",
        "postgresql://muster@/ledger?host=a&host=b",
        "postgresql://muster@/ledger?host=a:5433",
        "postgresql://muster@[::1]:5433/ledger?sslmode=require&connect_timeout=3",
        "postgresql:///ledger",
        "postgresql://",
    ],
)
def test_an_address_is_taken_apart_as_sqlalchemy_does(address: str) -> None:
    assert _plain(postgres_arguments(address) or {}) == _plain(_as_sqlalchemy(address))


def _as_sqlalchemy(address: str) -> dict[str, Any]:
    url = make_url(address.replace("postgres://", "postgresql://")).set(drivername="postgresql+psycopg")
    _, arguments = url.get_dialect()().create_connect_args(url)
    return dict(arguments)


def _plain(arguments: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in arguments.items() if value not in (None, "")}


@pytest.mark.parametrize("address", ["sqlite:///file", "mysql://h/l", "postgresql://h:port/l", "nothing"])
def test_an_address_that_is_not_postgresqls_is_left_to_others(address: str) -> None:
    assert postgres_arguments(address) is None
