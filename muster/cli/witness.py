"""`muster witness`: cosigns the heads of other people's logs, each only if it follows from all that it has seen.

Promise: it needs no ledger, no store and no plans; a folder and a key are all it has.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from evidence.keys import ensure_key_pair, load_signer
from evidence.witness.book import Book
from evidence.witness.lines import Cosigner
from evidence.witness.server import serve
from muster.cli.interrupts import terminated_as_interrupted
from muster.errors import UsageError
from muster.verdict import ExitCode


def witness(state: Path, name: str, logs: Sequence[str], address: str) -> int:
    """Serve until Ctrl-C; `logs` are the verifier keys of the logs to watch, whose names are their origins."""
    ensure_key_pair(state / "witness.pem")
    cosigner = Cosigner(name, load_signer(state / "witness.pem"))
    book = Book(state / "heads", cosigner, _by_origin(logs), lambda: datetime.now(UTC))
    with serve(book, _parse(address)) as server, terminated_as_interrupted():
        host, port = server.server_address[:2]
        print(f"witness key: {cosigner.key}")
        print(f"listening on http://{host!s}:{port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped")
    return ExitCode.PASS


def _by_origin(logs: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key in logs:
        found.setdefault(key.partition("+")[0], []).append(key)
    return found


def _parse(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise UsageError(f"{address!r} is no address", "write HOST:PORT, such as 127.0.0.1:8470")
    return host, int(port)
