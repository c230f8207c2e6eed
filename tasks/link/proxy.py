"""The carrier for those who are not root: `python -m tasks.link.proxy FOLDER DOOR:PORT DOOR:PORT`.

The first door (a port on loopback) leads to the first side's server and is used by the second side; and the reverse.

Promises: bytes come out in order, as late and as slowly as on the line asked for; what it holds is bounded; a cut
holds everything back, and what is new waits too, until the cut is healed.

What it can only imitate, for it sees bytes and no packets:
- A loss is a chunk held back, with all behind it, for as long as TCP takes to notice and send again (a round trip and
  200 ms), with the given probability for each chunk of up to 64 KiB.
- A connection is accepted at once, also when the line is cut or the server dead. Then it hears nothing, or is reset.
- Killed, it takes all connections with it: both sides are told, where a real line says nothing.
- What was under way when the line was cut arrives after it is healed, as if TCP had sent it again at once.
"""

import asyncio
import random
import socket
import struct
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path

from tasks.link import control
from tasks.link.condition import Condition
from tasks.link.control import Counts
from tasks.link.wire import Bucket

HOST = "127.0.0.1"
_CHUNK = 64 * 1024
_WINDOW = 8 * 1024 * 1024
"""Bytes under way in one direction of one connection: about what TCP itself allows."""
_QUEUE_SECONDS = 0.05
"""What may wait for a slow line. Nothing is dropped here, so it is full whenever there is enough to send."""
_SOCKET_BUFFER = 256 * 1024
"""Bytes that the kernel may hold on each side of us, or they would be a queue of their own."""
_MOST_CONNECTIONS = 256
"""More wait in the kernel's queue to be accepted."""
_RETRANSMISSION = 0.2
"""TCP's shortest retransmission time-out in seconds, which Linux adds to the round trip."""
_GLANCE = 0.05
"""Seconds after which a sleeper looks whether the condition has changed."""
_CLOSE_WAIT = 8  # linux/tcp_states.h
_RESET = struct.pack("ii", 1, 0)  # linger for no time: close with RST


class Line:
    """One direction of the link, shared by all connections."""

    def __init__(self, condition: Condition, counts: Counts) -> None:
        self._counts = counts
        self._open = asyncio.Event()
        self.change(condition)

    def change(self, condition: Condition) -> None:
        """From now on, for what is under way too."""
        self._bucket = Bucket()
        self.condition = condition
        if condition.is_cut:
            self._open.clear()
        else:
            self._open.set()

    @property
    def chunk(self) -> int:
        """Bytes to take at once: not so many that a slow line would send them in one burst."""
        rate = self.condition.bytes_per_second
        return _CHUNK if rate is None else min(_CHUNK, max(1448, int(rate * 0.01)))

    async def let_in(self) -> None:
        """Wait until the line takes something more."""
        loop = asyncio.get_running_loop()
        while True:
            await self._open.wait()
            excess = self._bucket.backlog(loop.time()) - _QUEUE_SECONDS
            if excess <= 0:
                return
            await asyncio.sleep(min(excess, _GLANCE))

    def depart(self, size: int) -> float:
        """Take bytes in; when the last of them has left, with the time that a loss costs."""
        leaves = self._bucket.departure(size, asyncio.get_running_loop().time(), self.condition.bytes_per_second)
        if random.random() < self.condition.loss:  # noqa: S311 - chance, no secret
            self._counts.lost += 1
            return leaves + self.condition.rtt_seconds + _RETRANSMISSION
        self._counts.carried += 1
        return leaves

    async def let_out(self, departure: float) -> None:
        """Wait until what has departed then arrives at the other end."""
        loop = asyncio.get_running_loop()
        while True:
            await self._open.wait()
            left = departure + self.condition.one_way - loop.time()
            if left <= 0:
                return
            await asyncio.sleep(min(left, _GLANCE))


class Stream:
    """One direction of one connection."""

    def __init__(self, line: Line, source: socket.socket, sink: socket.socket) -> None:
        self._line, self._source, self._sink = line, source, sink
        self._flying: asyncio.Queue[tuple[float, bytes | OSError]] = asyncio.Queue()
        self._bytes = 0
        self._room = asyncio.Event()

    async def carry(self, not_before: float) -> None:
        """Carry until the source has closed its direction; an `OSError` when either side is reset."""
        await self._line.let_out(not_before)
        both = (asyncio.create_task(self._take()), asyncio.create_task(self._give()))
        try:
            await asyncio.gather(*both)
        finally:
            for task in both:
                task.cancel()

    async def _take(self) -> None:
        data = b"."
        while data:
            await self._line.let_in()
            try:
                data = await asyncio.get_running_loop().sock_recv(self._source, self._line.chunk)
            except OSError as error:  # a reset comes after what was sent before it
                self._flying.put_nowait((self._line.depart(0), error))
                return
            self._flying.put_nowait((self._line.depart(len(data)), data))
            self._bytes += len(data)
            while self._bytes > _WINDOW:
                self._room.clear()
                await self._room.wait()

    async def _give(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            departure, data = await self._flying.get()
            await self._line.let_out(departure)
            if isinstance(data, OSError):
                raise data
            if not data:
                self._sink.shutdown(socket.SHUT_WR)
                return
            await loop.sock_sendall(self._sink, data)
            self._bytes -= len(data)
            self._room.set()


class Proxy:
    """Two doors, and a line each way."""

    def __init__(self, condition: Condition) -> None:
        self.condition = condition
        self.counts = Counts()
        self._lines = (Line(condition, self.counts), Line(condition, self.counts))
        self._room = asyncio.Semaphore(_MOST_CONNECTIONS)
        self._talks: set[asyncio.Task[None]] = set()

    def change(self, condition: Condition) -> None:
        """Another condition, from now on, for what is under way too."""
        self.condition = condition
        for line in self._lines:
            line.change(condition)

    async def serve(self, side: int, listener: socket.socket, port: int) -> None:
        """Carry every connection made at a door to the port behind it."""
        loop = asyncio.get_running_loop()
        while True:
            await self._room.acquire()
            client, _ = await loop.sock_accept(listener)
            talk = asyncio.create_task(self._carry(side, client, port))
            self._talks.add(talk)
            talk.add_done_callback(self._over)

    def _over(self, talk: asyncio.Task[None]) -> None:
        self._talks.discard(talk)
        self._room.release()

    async def _carry(self, side: int, client: socket.socket, port: int) -> None:
        forth, back = self._lines[side], self._lines[1 - side]
        loop = asyncio.get_running_loop()
        began, met_a_cut = loop.time(), forth.condition.is_cut
        with client, _socket() as server:
            try:
                await forth.let_out(began)
                if met_a_cut and _has_closed(client):
                    return  # in truth it never got a connection, and gave up
                await self._connect(server, port, back)
                # Here a handshake takes no time; on the line the client could speak after a round trip.
                heard, answered = Stream(forth, client, server), Stream(back, server, client)
                await self._converse(heard.carry(began + forth.condition.one_way), answered.carry(began), back)
            except OSError:
                for end in (client, server):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    @staticmethod
    async def _connect(server: socket.socket, port: int, back: Line) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(server, (HOST, port))
        except OSError:
            await back.let_out(loop.time())
            raise

    @staticmethod
    async def _converse(heard: Coroutine[None, None, None], answered: Coroutine[None, None, None], back: Line) -> None:
        """Both directions to their ends; when one breaks, what the other has under way still arrives."""
        both = {asyncio.create_task(heard), asyncio.create_task(answered)}
        try:
            done, going_on = await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
            if going_on:
                await back.let_out(asyncio.get_running_loop().time())
            for task in done:
                task.result()
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)


def _socket() -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _listen(port: int) -> socket.socket:
    """A door; connections take over its settings."""
    listener = _socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    listener.listen()
    return listener


def _has_closed(client: socket.socket) -> bool:
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _CLOSE_WAIT


async def carry(folder: Path, doors: Sequence[tuple[int, int]]) -> None:
    """Carry until killed."""
    proxy = Proxy(control.recorded(folder) or Condition())
    listeners = [_listen(door) for door, _ in doors]
    async with await control.serve(folder, proxy), asyncio.TaskGroup() as serving:
        for side, (_, port) in enumerate(doors):
            serving.create_task(proxy.serve(side, listeners[side], port))


def _door(words: str) -> tuple[int, int]:
    door, _, port = words.partition(":")
    return int(door), int(port)


if __name__ == "__main__":
    asyncio.run(carry(Path(sys.argv[1]), [_door(words) for words in sys.argv[2:]]))
