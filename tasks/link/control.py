"""How a link is asked and told: one JSON line each way over a unix socket in the link's folder.

Promises: what is set is on disk before it holds, so that a link that was killed comes back as it was; a call to a
link that is dead or frozen ends, with advice.
"""

import asyncio
import contextlib
import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from muster.errors import StepError, UsageError
from tasks.link.condition import Condition

SOCKET = "link.sock"
CONDITION = "condition.json"
_ASK = "null"
_PATIENCE = 15.0
"""Seconds: a link on a busy machine answers in far less, a frozen one never."""
_LONGEST_LINE = 64 * 1024


@dataclass
class Counts:
    """Packets (of the proxy: chunks) since the link's process was started."""

    carried: int = 0
    lost: int = 0
    """By chance, or by a cut; of the proxy: held back as if sent again."""
    refused: int = 0
    """Because the queue was full."""


class Carrier(Protocol):
    """A link's process, as far as its control knows it."""

    condition: Condition
    counts: Counts

    def change(self, condition: Condition) -> None:
        """Another condition, from now on."""


@dataclass(frozen=True)
class Answer:
    """What a running link says of itself."""

    condition: Condition
    counts: Counts


def ask(folder: Path) -> Answer:
    """What the running link says; a `StepError` when none answers."""
    return _call(folder, _ASK)


def tell(folder: Path, condition: Condition) -> Answer:
    """Give the running link another condition; a `StepError` when none answers."""
    return _call(folder, condition.to_json())


def recorded(folder: Path) -> Condition | None:
    """The last condition that was set, of a link dead or alive; `None` of one that never was."""
    try:
        return Condition.from_json((folder / CONDITION).read_bytes())
    except FileNotFoundError:
        return None


def record(folder: Path, condition: Condition) -> None:
    """Keep the condition for a link that will be started. It outlives our death, not the machine's: no fsync."""
    partial = folder / f"{CONDITION}.partial"
    partial.write_text(condition.to_json(), encoding="utf-8")
    partial.replace(folder / CONDITION)


async def serve(folder: Path, carrier: Carrier) -> asyncio.Server:
    """Answer at the folder's socket from now on; for the owner of the folder alone."""
    path = folder / SOCKET
    path.unlink(missing_ok=True)  # a killed link's

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError):  # whoever asked has gone, or talks nonsense
            writer.write(_answer(folder, carrier, await reader.readline()).encode() + b"\n")
            await writer.drain()
        writer.close()

    before = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(answer, path, limit=_LONGEST_LINE)
    finally:
        os.umask(before)


def _answer(folder: Path, carrier: Carrier, line: bytes) -> str:
    try:
        if line.strip() != _ASK.encode():
            condition = Condition.from_json(line)
            record(folder, condition)
            carrier.change(condition)
    except UsageError as error:
        return json.dumps({"refused": str(error)})
    return json.dumps({"condition": asdict(carrier.condition), "counts": asdict(carrier.counts)})


def _call(folder: Path, line: str) -> Answer:
    try:
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(_PATIENCE)
            caller.connect(str(folder / SOCKET))
            caller.sendall(line.encode() + b"\n")
            with caller.makefile("rb") as answer:
                said = json.loads(answer.readline(_LONGEST_LINE))
    except (OSError, ValueError) as error:
        raise StepError(f"the link at {folder} does not answer: {error}", "start the link again") from error
    if "refused" in said:
        raise StepError(f"the link at {folder} refused: {said['refused']}", "stop the link and start it again")
    return Answer(Condition(**said["condition"]), Counts(**said["counts"]))
