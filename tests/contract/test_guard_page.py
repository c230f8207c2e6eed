"""docs/cutover-guard.md: its statement is the guard's own, and does what the page says, with the rights it names."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from muster.cutover.schedule import Tick
from muster.ledger import open_ledger
from muster.ledger.address import postgres_arguments
from muster.ledger.claiming import CLAIM
from tests.contract.ledgers import AT

PAGE = Path("docs/cutover-guard.md").read_text(encoding="utf-8")
STATEMENT, GRANTS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
LATER = AT + timedelta(minutes=1)


@pytest.fixture
def url(postgres: str) -> str:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS page")
        connection.execute("CREATE DATABASE page")
        connection.execute("DROP ROLE IF EXISTS jobs")
        connection.execute("CREATE ROLE jobs LOGIN")
    return f"postgresql://postgres@/page?host={psycopg.conninfo.conninfo_to_dict(postgres)['host']}"


def test_the_statement_is_the_guards_own() -> None:
    ours = CLAIM.strip()
    for number, name in enumerate(("schedule", "at", "holder", "epoch", "by"), 1):
        ours = ours.replace(f"%({name})s", f"${number}")
    assert STATEMENT.strip() == ours


def test_it_claims_with_the_rights_that_are_named_and_no_more(url: str) -> None:
    with open_ledger(url) as ledger:
        with ledger.writing() as connection:
            connection.exec_driver_sql(GRANTS)
        arguments: dict[str, Any] = {**(postgres_arguments(url) or {}), "user": "jobs"}
        with psycopg.connect(**arguments, autocommit=True, cursor_factory=psycopg.RawCursor) as job:

            def claim(tick: Any, holder: str, epoch: int | None = None) -> str:
                ((why, at),) = job.execute(STATEMENT, ("orders", tick, holder, epoch, "a job in Cobol")).fetchall()
                assert abs(ledger.now() - at) < timedelta(minutes=1)
                return str(why)

            assert [claim(AT, ""), claim(AT, "")] == ["granted", "duplicate"]
            ledger.assign_owner(["orders"], "blue")
            ledger.raise_epochs(["orders"], "green", AT, "blue")
            assert [claim(LATER, "blue"), claim(LATER, "green", 1), claim(LATER, "green", 2)] == [
                "fenced",
                "fenced",
                "granted",
            ]
            for forbidden in ("DELETE FROM ticks", "UPDATE owners SET until = NULL", "UPDATE ticks SET holder = ''"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    job.execute(forbidden)
        keys = [claim.key for claim in ledger.claims_between(["orders"], AT - timedelta(minutes=1), LATER)]
        assert keys == [Tick("orders", AT).key, Tick("orders", LATER).key]
