"""What became of a call, from what the server said: the honesty of every count that is made later rests on this table.

Promises: `OK` only for exactly one row inserted, the transaction over, and not one warning on the way; `FAIL` only for
an error after which the server says that it is ready, of a class that a server gives and not a proxy for a server that
it lost. Everything else is `INFO`: it may be done, or be done yet.

Traps. In the extended protocol a command is complete before it is committed: only the server's being ready again says
so. A synchronous wait that is cancelled ends in success and a warning ("the transaction has already committed
locally"), whose words are translated: so any warning will do. Pools and proxies tell of a server that they lost by an
error of class 08 or 58.
Source: PostgreSQL documentation, "Message Flow", "Error and Notice Message Fields", "PostgreSQL Error Codes".
"""

from collections.abc import Sequence
from typing import NamedTuple

from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult

from muster.failover.record import Kind

_COMMAND_OK, _TUPLES_OK, _ERROR = map(int, (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.FATAL_ERROR))
_INSERTED = b"INSERT 0 1"
_HARMLESS = (b"NOTICE", b"INFO", b"LOG", b"DEBUG")
_UNSURE = (b"08", b"57P", b"58", b"XX", b"40003")
"""SQLSTATEs that do not say what became of the transaction: connection lost, server going down, system or internal
error, statement completion unknown."""


class Answer(NamedTuple):
    """One result or notice, as far as it matters."""

    status: int
    """`ExecStatus`."""
    command: bytes = b""
    """The command tag."""
    severity: bytes = b""
    """Not translated, where the server sends that (since 9.6)."""
    sqlstate: bytes = b""
    message: bytes = b""
    """The primary message."""


def answer_of(result: PGresult) -> Answer:
    """What a result or a notice says."""
    status = result.status
    if status in (_COMMAND_OK, _TUPLES_OK):
        return Answer(status, result.command_status or b"")
    field = result.error_field
    return Answer(
        status,
        severity=field(DiagnosticField.SEVERITY_NONLOCALIZED) or field(DiagnosticField.SEVERITY) or b"",
        sqlstate=field(DiagnosticField.SQLSTATE) or b"",
        message=field(DiagnosticField.MESSAGE_PRIMARY) or b"",
    )


def outcome_of(answers: Sequence[Answer], notices: Sequence[Answer], *, is_ready: bool) -> Kind:
    """`OK`, `FAIL` or `INFO` of an insert; `is_ready`: the server awaits the next command, outside a transaction."""
    if not is_ready or not answers or (notices and not all(map(_is_harmless, notices))):
        return Kind.INFO
    last = answers[-1]
    if len(answers) == 1 and last.status == _COMMAND_OK:
        return Kind.OK if last.command == _INSERTED else Kind.INFO
    return Kind.FAIL if _is_definite(last) else Kind.INFO


def seen(answers: Sequence[Answer], *, is_ready: bool) -> Kind:
    """Whether a read saw its row, told by its command tag; `READ_FAIL` when it was not answered."""
    if not is_ready or len(answers) != 1:
        return Kind.READ_FAIL
    return {b"SELECT 1": Kind.READ_PRESENT, b"SELECT 0": Kind.READ_ABSENT}.get(answers[0].command, Kind.READ_FAIL)


def _is_definite(answer: Answer) -> bool:
    """An error after which PostgreSQL has aborted the transaction, for certain."""
    return (
        answer.status == _ERROR
        and answer.severity == b"ERROR"
        and len(answer.sqlstate) == 5
        and not answer.sqlstate.startswith(_UNSURE)
    )


def _is_harmless(notice: Answer) -> bool:
    return notice.severity.startswith(_HARMLESS) and b"committed locally" not in notice.message
