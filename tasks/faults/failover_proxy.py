"""A pooler that does not keep its word, as clients may have between them and their database: a program of its own.

`python -m tasks.faults.failover_proxy FOLDER LIE NODE=SOCKET NODE=SOCKET` listens on FOLDER's `.s.PGSQL.5432` and leads
to the node that the file FOLDER/to names, read anew for each session; sessions of another node are ended. One LIE is
told of inserts by prepared statements, or of sessions; everything else passes through as it is.

Source: PostgreSQL documentation, "Message Flow", "Message Formats".
"""

import asyncio
import contextlib
import struct
import sys
from collections import deque
from collections.abc import AsyncIterator
from enum import StrEnum
from itertools import count
from pathlib import Path

_HOLD_SECONDS = 0.15
_NTH_WRITE = 20
_NTH_SESSION = 100
_LOOK_SECONDS = 0.02
_EXTENDED = b"PBDEC"
"""Messages that do nothing by themselves: those up to the next other one belong together."""


class Lie(StrEnum):
    """What it does that it must not."""

    NONE = "none"
    EARLY = "early"
    """It acknowledges a write, and hands it on a moment later."""
    REPEAT = "repeat"
    """It sends some writes again, as if their answers had been lost."""
    REFUSE = "refuse"
    """It says of some writes that were done that they were refused."""
    STRAY = "stray"
    """It leads one session in a hundred to another node than it was told."""


def _message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack(">i", len(body) + 4) + body


_READY = _message(b"Z", b"I")
_DONE = _message(b"2") + _message(b"n") + _message(b"C", b"INSERT 0 1\0") + _READY
_REFUSED = _message(b"E", b"SERROR\0VERROR\0C53400\0Mthere is no room for this write\0\0") + _READY


class Session:
    """One client, and its connection to the server."""

    def __init__(self, lie: Lie, writes: "count[int]") -> None:
        self._lie = lie
        self._writes = writes
        self._inserts: set[bytes] = set()
        self._fates: deque[str] = deque(["pass"])
        """What becomes of the server's answers, up to each `ReadyForQuery`; the first is that of the start."""
        self._held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def run(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        """Until either of them ends."""
        tasks = [
            asyncio.create_task(self._hear_client(client[0], client[1], server[1])),
            asyncio.create_task(self._hear_server(server[0], client[1])),
            asyncio.create_task(self._hand_on(server[1])),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _hear_client(
        self, client: asyncio.StreamReader, answers: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        (length,) = struct.unpack(">i", head := await client.readexactly(4))
        server.write(head + await client.readexactly(length - 4))
        group: list[tuple[bytes, bytes]] = []
        async for kind, body in _messages(client):
            group.append((kind, body))
            if kind in _EXTENDED:
                continue
            whole = b"".join(_message(*each) for each in group)
            if not self._is_write(group):
                if kind in b"SQ":
                    self._fates.append("pass")
                server.write(whole)
            else:
                self._lie_about(whole, answers, server)
            group.clear()
            await server.drain()

    def _is_write(self, group: list[tuple[bytes, bytes]]) -> bool:
        """Whether it calls a prepared insert; those that are prepared are remembered."""
        for kind, body in group:
            name, _, rest = body.partition(b"\0")
            if kind == b"P" and rest.startswith(b"insert"):
                self._inserts.add(name)
        kind, body = group[0]
        return kind == b"B" and body.split(b"\0", 2)[1] in self._inserts

    def _lie_about(self, write: bytes, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        is_chosen = next(self._writes) % _NTH_WRITE == 0
        if self._lie is Lie.EARLY:
            client.write(_DONE)
            self._held.put_nowait((asyncio.get_running_loop().time() + _HOLD_SECONDS, write))
            return
        if self._lie is Lie.REPEAT and is_chosen:
            self._fates.append("drop")
            server.write(write)
        self._fates.append("refuse" if self._lie is Lie.REFUSE and is_chosen else "pass")
        server.write(write)

    async def _hand_on(self, server: asyncio.StreamWriter) -> None:
        while True:
            due, write = await self._held.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            self._fates.append("drop")
            server.write(write)
            await server.drain()

    async def _hear_server(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        async for kind, body in _messages(server):
            fate = self._fates[0] if self._fates else "pass"
            if kind == b"Z" and self._fates:
                self._fates.popleft()
            if fate == "pass":
                client.write(_message(kind, body))
            elif fate == "refuse" and kind == b"Z":
                client.write(_REFUSED)
            await client.drain()


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, bytes]]:
    """Type and body of each, to the end of the stream."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readexactly(5)
            yield head[:1], await reader.readexactly(struct.unpack(">i", head[1:])[0] - 4)


class Pooler:
    """All sessions."""

    def __init__(self, folder: Path, lie: Lie, nodes: dict[str, str]) -> None:
        self._to = folder / "to"
        self._lie = lie
        self._nodes = nodes
        self._writes = count(1)
        self._opened = count(1)
        self._sessions: dict[asyncio.StreamWriter, str] = {}

    async def serve(self, path: Path) -> None:
        """For ever."""
        server = await asyncio.start_unix_server(self._admit, path)
        async with server:
            while True:
                await asyncio.sleep(_LOOK_SECONDS)
                node = self._to.read_text(encoding="utf-8")
                for client, led_to in tuple(self._sessions.items()):
                    if led_to != node:
                        client.close()

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chosen = self._to.read_text(encoding="utf-8")
        is_stray = self._lie is Lie.STRAY and next(self._opened) % _NTH_SESSION == 0
        node = next(n for n in self._nodes if n != chosen) if is_stray else chosen
        self._sessions[writer] = chosen
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_unix_connection(self._nodes[node])
            await Session(self._lie, self._writes).run((reader, writer), (far_reader, far_writer))
            far_writer.close()
        del self._sessions[writer]
        writer.close()


def main(folder: str, lie: str, *nodes: str) -> None:
    """Serve until somebody ends it."""
    sockets = dict(node.split("=", 1) for node in nodes)
    pooler = Pooler(Path(folder), Lie(lie), sockets)
    asyncio.run(pooler.serve(Path(folder) / ".s.PGSQL.5432"))


if __name__ == "__main__":
    main(*sys.argv[1:])
