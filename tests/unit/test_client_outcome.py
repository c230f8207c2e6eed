"""What became of a call is said only where it is certain."""

import pytest
from psycopg.pq import ExecStatus

from muster.failover.record import Kind
from tasks.client.outcome import Answer, outcome_of, seen

DONE = Answer(ExecStatus.COMMAND_OK, b"INSERT 0 1")
CANCELLED_WAIT = Answer(
    ExecStatus.NONFATAL_ERROR,
    severity=b"WARNING",
    sqlstate=b"01000",
    message=b"canceling wait for synchronous replication due to user request",
)
UMLAUTS = CANCELLED_WAIT._replace(message=b"storniere Warten auf synchrone Replikation wegen Benutzeraufforderung")


def error(sqlstate: bytes, severity: bytes = b"ERROR") -> Answer:
    return Answer(ExecStatus.FATAL_ERROR, severity=severity, sqlstate=sqlstate, message=b"no")


def notice(severity: bytes, message: bytes = b"by the way") -> Answer:
    return Answer(ExecStatus.NONFATAL_ERROR, severity=severity, sqlstate=b"00000", message=message)


@pytest.mark.parametrize("notices", [(), (notice(b"NOTICE"),), (notice(b"LOG"), notice(b"DEBUG1"), notice(b"INFO"))])
def test_one_row_and_nothing_that_warns_is_acknowledged(notices):
    assert outcome_of([DONE], notices, is_ready=True) is Kind.OK


@pytest.mark.parametrize(
    "notices",
    [
        (CANCELLED_WAIT,),
        (UMLAUTS,),
        (notice(b"WARNING"),),
        (notice(b""),),
        (notice(b"NOTICE"), CANCELLED_WAIT),
        (notice(b"NOTICE", b"The transaction has already committed locally"),),
    ],
)
def test_a_warning_on_the_way_is_no_acknowledgement(notices):
    assert outcome_of([DONE], notices, is_ready=True) is Kind.INFO


@pytest.mark.parametrize("command", [b"INSERT 0 0", b"INSERT 0 2", b"", b"SELECT 1"])
def test_anything_but_one_row_is_unknown(command):
    assert outcome_of([Answer(ExecStatus.COMMAND_OK, command)], (), is_ready=True) is Kind.INFO


def test_a_command_that_is_complete_but_not_committed_is_unknown():
    assert outcome_of([DONE], (), is_ready=False) is Kind.INFO
    assert outcome_of([], (), is_ready=True) is Kind.INFO
    assert outcome_of([DONE, DONE], (), is_ready=True) is Kind.INFO


@pytest.mark.parametrize("sqlstate", [b"25006", b"53100", b"42P01", b"23505", b"57014", b"40001", b"P0001"])
def test_an_error_of_the_server_is_a_failure(sqlstate):
    assert outcome_of([error(sqlstate)], (), is_ready=True) is Kind.FAIL


def test_an_error_at_commit_is_a_failure():
    assert outcome_of([DONE, error(b"23503")], (), is_ready=True) is Kind.FAIL


def test_an_error_without_the_server_being_ready_is_unknown():
    assert outcome_of([error(b"25006")], (), is_ready=False) is Kind.INFO


@pytest.mark.parametrize(
    "said",
    [
        error(b"57P01", b"FATAL"),
        error(b"53100", b"PANIC"),
        error(b"25006", b"FEHLER"),
        error(b""),
        error(b"08P01"),
        error(b"08006"),
        error(b"57P01"),
        error(b"58000"),
        error(b"XX000"),
        error(b"40003"),
    ],
)
def test_an_error_that_says_nothing_of_the_transaction_is_unknown(said):
    assert outcome_of([said], (), is_ready=True) is Kind.INFO


def test_a_read_tells_by_its_command_tag():
    def read(command: bytes) -> Kind:
        return seen([Answer(ExecStatus.TUPLES_OK, command)], is_ready=True)

    assert read(b"SELECT 1") is Kind.READ_PRESENT
    assert read(b"SELECT 0") is Kind.READ_ABSENT
    assert read(b"") is Kind.READ_FAIL
    assert seen([error(b"40001")], is_ready=True) is Kind.READ_FAIL
    assert seen([Answer(ExecStatus.TUPLES_OK, b"SELECT 1")], is_ready=False) is Kind.READ_FAIL
    assert seen([], is_ready=True) is Kind.READ_FAIL
