"""What the client writes is what readers of the history read."""

import hashlib
import time

import numpy as np
import pytest
from pydantic import ValidationError

from muster.failover.history import RECORD, STRUCT, Kind, make_id, read_end, read_log, read_sessions
from tasks.client.config import ClientConfig
from tasks.client.logs import Log, Sessions, write_end
from tasks.client.session import attempts
from tasks.client.tail import Tail


def test_a_record_is_read_as_it_was_written(tmp_path):
    before = time.monotonic_ns(), time.time_ns()
    log = Log(tmp_path, "w-007.log", 7)
    at = log.note(Kind.INFO, 3, make_id(7, 2**40 - 1))
    log.write()
    log.write()
    (records,) = read_log(tmp_path / "w-007.log")

    (record,) = records
    assert RECORD.itemsize == 32
    assert STRUCT == "<BBHIQQQ"
    assert (record["kind"], record["flags"], record["connection"], record["session"]) == (Kind.INFO, 0, 7, 3)
    assert record["id"] == (7 << 40) + 2**40 - 1
    assert record["mono_ns"] == at >= before[0]
    assert record["wall_ns"] >= before[1]


def test_the_end_says_what_was_written(tmp_path):
    logs = [Log(tmp_path, "w-000.log", 0), Log(tmp_path, "r-b.log", 0)]
    for number in range(1, 4):
        logs[0].note(Kind.INVOKE, 1, number)
    logs[0].write()
    write_end(tmp_path, logs)

    end = read_end(tmp_path)
    assert end is not None
    assert {name: log.records for name, log in end.logs.items()} == {"w-000.log": 3, "r-b.log": 0}
    assert end.logs["w-000.log"].sha256 == hashlib.sha256((tmp_path / "w-000.log").read_bytes()).hexdigest()
    assert not (tmp_path / "end.part").exists()


def test_a_history_is_never_written_over(tmp_path):
    Log(tmp_path, "w-000.log", 0)

    with pytest.raises(FileExistsError):
        Log(tmp_path, "w-000.log", 0)


def test_an_error_that_repeats_is_told_once(tmp_path):
    sessions = Sessions(tmp_path)
    for _ in range(50):
        sessions.failed("w-000.log", "", "refused")
    sessions.failed("w-001.log", "", "refused")
    sessions.failed("w-000.log", "", "timed out")
    number = sessions.opened("w-000.log", "b/1/2")

    told = [(s.log, s.server, s.error) for s in read_sessions(tmp_path)]
    assert told == [
        ("w-000.log", "", "refused"),
        ("w-001.log", "", "refused"),
        ("w-000.log", "", "timed out"),
        ("w-000.log", "b/1/2", ""),
    ]
    assert read_sessions(tmp_path)[-1].session == number == 3


@pytest.mark.parametrize(
    ("dsn", "hosts"),
    [
        ("host=a port=1", ["host=a port=1"]),
        ("host=a,b port=1 user=u", ["host=a port=1 user=u", "host=b port=1 user=u"]),
        ("host=/s/a,/s/b port=1,2", ["host=/s/a port=1", "host=/s/b port=2"]),
        ("postgresql://a:1,b:2/d", ["dbname=d host=a port=1", "dbname=d host=b port=2"]),
        ("hostaddr=10.0.0.1,10.0.0.2 host=x,y", ["hostaddr=10.0.0.1 host=x", "hostaddr=10.0.0.2 host=y"]),
    ],
)
def test_each_host_of_a_dsn_has_its_own_attempt(dsn, hosts):
    assert [sorted(found.decode().split()) for found, _ in attempts(dsn, 2.0)] == [sorted(h.split()) for h in hosts]


def test_a_dsn_can_shorten_the_patience_and_not_lengthen_it():
    assert [seconds for _, seconds in attempts("host=a,b connect_timeout=1", 2.0)] == [1.0, 1.0]
    assert [seconds for _, seconds in attempts("host=a connect_timeout=10", 2.0)] == [2.0]


@pytest.mark.parametrize("node", ["../x", "", "a/b"])
def test_a_node_is_part_of_a_file_name(tmp_path, node):
    told = {
        **{"dsn": "host=a", "folder": str(tmp_path), "table": "t", "connections": 1, "rate": None},
        **{"timeout_seconds": 1, "commit_setting": "on", "max_seconds": 1},
    }
    ClientConfig.model_validate({**told, "readers": [{"node": "a-1.east", "dsn": "host=a"}]})

    with pytest.raises(ValidationError):
        ClientConfig.model_validate({**told, "readers": [{"node": node, "dsn": "host=a"}]})


def written(folder, name, records):
    """A log with (kind, session, sequence, mono) records."""
    connection = int(name[2:5])
    rows = [(kind, 0, connection, session, make_id(connection, n), mono, 0) for kind, session, n, mono in records]
    (folder / name).write_bytes(np.array(rows, dtype=RECORD).tobytes())


def test_the_tail_answers_from_a_growing_history(tmp_path):
    tail = Tail(tmp_path)
    assert (tail.sessions(), tail.connections(), tail.newest_ns(), tail.is_growing(60)) == ((), (), None, False)
    assert tail.load(0, 10**9).attempts == 0

    sessions = Sessions(tmp_path)
    assert [sessions.opened("w-000.log", "a/1/1"), sessions.opened("w-000.log", "b/1/2")] == [1, 2]
    sessions.opened("w-001.log", "a/1/1")
    later = time.monotonic_ns() + 10**9
    written(
        tmp_path,
        "w-000.log",
        [
            *((Kind.INVOKE, 1, 1, later), (Kind.OK, 1, 1, later + 20), (Kind.INVOKE, 1, 2, later + 30)),
            *((Kind.INFO, 1, 2, later + 40), (Kind.INVOKE, 2, 3, later + 50), (Kind.FAIL, 2, 3, later + 60)),
            *((Kind.INVOKE, 2, 4, later + 70), (Kind.OK, 2, 4, later + 80)),
        ],
    )
    written(tmp_path, "w-001.log", [(Kind.INVOKE, 1, 1, later + 5), (Kind.OK, 1, 1, later + 45)])
    with (tmp_path / "w-001.log").open("ab") as file:
        file.write(b"\x01half a record")

    assert tail.connections() == (0, 1)
    assert tail.first_acks("a/1/1") == {0: later + 20, 1: later + 45}
    assert tail.first_acks("b/1/2") == {0: later + 80}
    assert tail.first_acks("c/1/3") == {}
    assert tail.acks_since(later + 21) == {0: later + 80, 1: later + 45}
    whole = tail.load(0, later + 1000)
    assert (whole.attempts, whole.acknowledged, whole.failed, whole.unknown) == (5, 3, 1, 1)
    assert whole.median_seconds == pytest.approx(20e-9)
    part = tail.load(later + 45, later + 80)
    assert (part.attempts, part.acknowledged, part.failed, part.unknown) == (2, 1, 1, 0)
    assert part.median_seconds == pytest.approx(40e-9)
    assert tail.newest_ns() == later + 80
    assert tail.is_growing(60)
