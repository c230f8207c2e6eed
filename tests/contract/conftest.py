"""The two databases a ledger can live in, SQLite and a real PostgreSQL 18; and a real SeaweedFS."""

import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from muster.ledger import Ledger, open_ledger
from tasks.postgres.binaries import wheel_binaries
from tasks.postgres.server import Server
from tasks.process import Processes
from tests.contract import prefect_servers
from tests.contract.weed import Weed, running_weed

_numbers = count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A real PostgreSQL server on a unix socket of its own; gives the connection string of its first database."""
    folder = Path(tempfile.mkdtemp(prefix="mldg", dir="/tmp"))
    processes = Processes(folder / "processes", folder / "logs")
    server = Server(wheel_binaries(), folder / "d", folder / "s", processes, "ledger")
    try:
        server.init()
        server.start({"shared_buffers": "16MB", "fsync": "off"})  # it is never crashed here
        yield server.dsn()
    finally:
        server.stop("immediate")  # a checkpoint of many databases takes long, and nothing here is kept
        shutil.rmtree(folder)


@pytest.fixture(scope="session", autouse=True)
def _no_prefect_is_left() -> Iterator[None]:
    """Servers that a case has started end with the session."""
    yield
    prefect_servers.stop()


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    """A real SeaweedFS, shared by the session."""
    with running_weed(tmp_path_factory.mktemp("weed")) as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new folder' / 'ledger.sqlite'}"
    conninfo = request.getfixturevalue("postgres")
    name = f"ledger_{next(_numbers)}"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql://postgres@/{name}?host={psycopg.conninfo.conninfo_to_dict(conninfo)['host']}"


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """An open ledger in either."""
    with open_ledger(url) as opened:
        yield opened
