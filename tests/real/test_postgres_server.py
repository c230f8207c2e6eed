"""A server of ours starts closed to the world, whatever configuration came with its data, and says why it does not."""

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from muster.errors import StepError, UsageError
from tasks.postgres.binaries import wheel_binaries
from tasks.postgres.server import Server
from tasks.process import Identity, Processes


@pytest.fixture
def home():
    folder = Path(tempfile.mkdtemp(prefix="mst", dir="/tmp"))  # sockets need a short path
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def processes(home):
    made = Processes(home / "records", home / "logs")
    yield made
    made.stop_all()


@pytest.fixture
def server(home, processes):
    made = Server(wheel_binaries(), home / "data", home / "s", processes, "server")
    made.init("--data-checksums")
    return made


def ask(server, question):
    with server.connect() as connection:
        return connection.execute(question).fetchone()[0]


def test_it_starts_answers_and_stops(server):
    server.start()
    assert server.poll() is None
    assert ask(server, "select current_setting('data_checksums')") == "on"
    server.stop()
    assert server.poll() == 0
    assert not server.is_ready()


def test_restored_configuration_does_not_open_it(server, home):
    elsewhere = home / "production"
    with (server.data / "postgresql.auto.conf").open("a") as file:
        file.write("listen_addresses = '*'\narchive_mode = on\nlogging_collector = on\n")
        file.write(f"data_directory = '{elsewhere}'\nhba_file = '{elsewhere}/pg_hba.conf'\n")
    server.start({"archive_mode": "off"})
    assert ask(server, "select current_setting('listen_addresses')") == ""
    assert ask(server, "select current_setting('archive_mode')") == "off"
    assert ask(server, "select current_setting('data_directory')") == str(server.data)
    assert "database system is ready" in server.log_tail()
    assert (home / "s").stat().st_mode & 0o077 == 0


def test_configured_settings_hold_for_every_start(server):
    server.configure({"work_mem": "7MB"})
    for _ in range(2):
        server.start()
        assert ask(server, "show work_mem") == "7MB"
        server.stop()


def test_data_without_its_configuration_starts(server):
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        (server.data / name).unlink()
    server.start()
    assert ask(server, "select 1") == 1


def test_a_start_that_fails_says_why(server):
    with pytest.raises(StepError, match='unrecognized configuration parameter "nonsense"') as caught:
        server.start({"nonsense": "1"})
    assert str(server.log) in caught.value.advice
    server.stop()
    server.start()
    assert ask(server, "select 1") == 1


def test_a_missing_data_directory_says_so(server):
    shutil.rmtree(server.data / "global")
    with pytest.raises(StepError, match=r"pg_control|database system|global"):
        server.start()


def test_a_killed_server_is_seen_and_starts_again(server, processes):
    server.start()
    with server.connect() as connection:
        connection.execute("create table t as select generate_series(1, 10) as n")
    leader = processes.identity("server")
    os.kill(leader.pid, signal.SIGKILL)
    while server.poll() is None:
        time.sleep(0.01)
    assert server.poll() == -signal.SIGKILL
    server.stop()
    server.start()
    assert ask(server, "select count(*) from t") == 10


def test_backends_go_with_a_server_that_is_killed(server, processes):
    server.start()
    with server.connect() as connection:
        backend = Identity.of(connection.info.backend_pid)
        processes.stop("server", signals=((signal.SIGKILL, 5.0),))
        assert not backend.is_alive()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")


def test_the_next_process_finds_it_by_its_record(server, home):
    server.start()
    later = Processes(home / "records", home / "logs")
    same = Server(wheel_binaries(), server.data, server.sockets, later, "server")
    assert same.poll() is None
    assert ask(same, "select 1") == 1
    same.stop()
    assert same.poll() == -1
    assert server.poll() is not None


def test_a_socket_folder_that_is_too_long_is_refused(home, processes):
    with pytest.raises(UsageError, match="too long a path"):
        Server(wheel_binaries(), home / "data", home / ("x" * 110), processes, "server")
