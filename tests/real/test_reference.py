"""`muster reference` against a real source, the committed catalog, and a drill whose ledger is PostgreSQL."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from muster.ledger import open_ledger
from muster.settings import Settings
from muster.verdict import ExitCode, Outcome
from tasks.estate.card import Card
from tasks.estate.estate import Estate, Part
from tasks.postgres.references import read_references
from tests.real.conftest import MUSTER, ORDERS

PLAN = "restore-embedded"
COMMITTED = Path("deployments/reference/shop.catalog")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("reference") / "home")


@pytest.fixture(scope="module")
def card(settings: Settings) -> Iterator[Card]:
    estate = Estate(settings, (Part.SHOP,), orders=ORDERS)
    try:
        yield estate.start()
    finally:
        estate.stop()


def muster(settings: Settings, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "PREFECT_"))}
    return subprocess.run(
        [MUSTER, *arguments],
        env=clean | {"MUSTER_HOME": str(settings.home)} | variables,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_a_reference_tells_the_rows_and_the_structure(settings: Settings, card: Card, tmp_path: Path) -> None:
    assert card.shop
    catalog = tmp_path / "shop.catalog"
    arguments = ("--dsn-env", "SHOP", "--output", str(tmp_path), "--catalog", str(catalog), "--point", "monday")
    done = muster(settings, "reference", PLAN, *arguments, SHOP=card.shop.dsn)
    assert done.returncode == ExitCode.PASS, done.stderr
    (reference,) = read_references(tmp_path)
    assert reference.point == "monday"
    assert reference.system_identifier == card.shop.system_identifier
    assert reference.canary_before is not None
    assert reference.canary_after == reference.canary_before + 1
    assert {t.table: t.rows for t in reference.tables}["public.customers"] >= 10
    assert catalog.read_text() == COMMITTED.read_text(), "the shop changed: commit its catalog anew"


def test_a_reference_without_its_source_is_a_usage_error(settings: Settings, tmp_path: Path) -> None:
    arguments = ("reference", PLAN, "--dsn-env", "SHOP", "--output", str(tmp_path))
    unset = muster(settings, *arguments)
    assert unset.returncode == ExitCode.USAGE
    assert "SHOP is not set" in unset.stderr
    nobody = muster(settings, *arguments, SHOP=f"host={tmp_path} dbname=shop")
    assert nobody.returncode == ExitCode.USAGE
    assert "->" in nobody.stderr


def test_a_drill_keeps_its_record_in_postgresql(settings: Settings, card: Card) -> None:
    assert card.shop
    with card.connect_source() as connection:
        connection.execute("create database ledger")
    url = f"postgresql+psycopg://postgres@/ledger?host={card.shop.dsn.split('host=')[1].split()[0]}"
    done = muster(settings, "run", PLAN, "--here", MUSTER_LEDGER=url)
    assert done.returncode == ExitCode.PASS, done.stdout + done.stderr
    with open_ledger(url) as ledger:
        (run,) = ledger.runs()
        assert run.outcome is Outcome.PASSED
        assert ledger.read_events(run.run)[0].body["plan"]["name"] == PLAN
    assert "1 fresh" in muster(settings, "status", MUSTER_LEDGER=url).stdout
