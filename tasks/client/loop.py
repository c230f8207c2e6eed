"""The client at work: one thread makes all calls and hears all answers, others only open sessions and sync to disk.

Promises: no call waits for another, and no connection for another's dead server; a call past its time is given up; the
end is orderly (no new calls, those under way come to their end or to their time, files on disk, `end.json` last).
"""

import heapq
import os
import queue
import select
import sys
import threading
import time
from collections.abc import Sequence
from itertools import count

from tasks.client.calls import Caller
from tasks.client.config import PAUSE_SECONDS
from tasks.client.logs import Sessions
from tasks.client.session import Opened, Unopened, open_session

_LOOK_NS = 20_000_000
"""How often calls past their time are looked for; the least of a wait."""
_KINDS_OF_COMPLAINT = 100


class Loop:
    """All callers of one process."""

    def __init__(self, callers: Sequence[Caller], sessions: Sessions) -> None:
        self._callers = callers
        self._sessions = sessions
        self._epoll = select.epoll()
        self._by_file: dict[int, Caller] = {}
        self._due: list[tuple[int, int, Caller, int]] = []
        self._order = count()
        self._opened: queue.SimpleQueue[tuple[Caller, Opened]] = queue.SimpleQueue()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._bell, select.EPOLLIN)
        self._over = threading.Event()
        self._complaints: set[tuple[bytes, bytes]] = set()

    def end(self) -> None:
        """Make no new calls; `run` returns once those under way are over. May be asked for by a signal."""
        self._over.set()

    def run(self, until_ns: int) -> None:
        """Work until `end`, or until that moment."""
        for caller in self._callers:
            self._open(caller)
        look_ns = 0
        while not self._is_over(until_ns):
            now_ns = time.monotonic_ns()
            self._call_due(now_ns)
            if now_ns >= look_ns:
                look_ns = now_ns + _LOOK_NS
                self._give_up(now_ns)
            for file, _ in self._epoll.poll(self._patience(now_ns)):
                if file == self._bell:
                    self._admit()
                else:
                    self._hear(self._by_file[file])
        for caller in self._callers:
            caller.close()
            caller.log.write()

    def _is_over(self, until_ns: int) -> bool:
        if time.monotonic_ns() >= until_ns:
            self._over.set()
        return self._over.is_set() and not any(caller.deadline_ns for caller in self._callers)

    def _patience(self, now_ns: int) -> float:
        """Seconds until something has to be done, though nobody says anything."""
        next_ns = self._due[0][0] if self._due and not self._over.is_set() else now_ns + _LOOK_NS
        return max(0, min(next_ns - now_ns, _LOOK_NS)) / 1e9

    def _call_due(self, now_ns: int) -> None:
        while self._due and self._due[0][0] <= now_ns and not self._over.is_set():
            _, _, caller, session = heapq.heappop(self._due)
            if caller.is_open and caller.session == session:
                caller.call()
                self._go_on(caller)

    def _hear(self, caller: Caller) -> None:
        was_waiting = caller.deadline_ns > 0
        caller.hear()
        if was_waiting or not caller.is_open:  # else it said something unasked, and the next call is due already
            self._go_on(caller)

    def _go_on(self, caller: Caller) -> None:
        """See to it that something comes next: an answer, a call that is due, or a new session.

        How the last call ended is written with what announces the next one, if that is made at once, else by itself.
        """
        self._go(caller)
        caller.log.write()
        if not caller.is_open:
            self._tell(caller)
            self._open(caller)

    def _go(self, caller: Caller) -> None:
        while not caller.deadline_ns and caller.is_open and not self._over.is_set():
            now_ns = time.monotonic_ns()
            due_ns = caller.pace.take(now_ns)
            if due_ns > now_ns:
                heapq.heappush(self._due, (due_ns, next(self._order), caller, caller.session))
                return
            caller.call()

    def _give_up(self, now_ns: int) -> None:
        for caller in self._callers:
            if 0 < caller.deadline_ns <= now_ns:
                caller.hear()  # should it be us who were held up, the answer is here
                if caller.deadline_ns:
                    caller.close()
                self._go_on(caller)

    def _admit(self) -> None:
        os.eventfd_read(self._bell)
        while not self._opened.empty():
            caller, opened = self._opened.get()
            if self._over.is_set():
                opened.pgconn.finish()
                continue
            file = caller.admit(opened, self._sessions.opened(caller.log.name, opened.server))
            self._by_file[file] = caller
            self._epoll.register(file, select.EPOLLIN)
            self._go_on(caller)

    def _open(self, caller: Caller) -> None:
        if not self._over.is_set():
            threading.Thread(target=self._open_for, args=(caller,), daemon=True).start()

    def _open_for(self, caller: Caller) -> None:
        """Try until there is a session; the loop is told."""
        at_once = caller.has_served
        while at_once or not self._over.wait(PAUSE_SECONDS):
            at_once = False
            try:
                opened = open_session(caller.entry)
            except Unopened as error:
                self._sessions.failed(caller.log.name, error.server, str(error))
                continue
            self._opened.put((caller, opened))
            os.eventfd_write(self._bell, 1)
            return

    def _tell(self, caller: Caller) -> None:
        """Say what the server complained of, each kind once."""
        said, caller.complaint = caller.complaint, None
        kind = (said.severity, said.sqlstate) if said else None
        if said and kind and kind not in self._complaints and len(self._complaints) < _KINDS_OF_COMPLAINT:
            self._complaints.add(kind)
            words = b"%s: %s %s: %s\n" % (caller.log.name.encode(), said.severity, said.sqlstate, said.message)
            sys.stderr.write(words.decode("utf-8", "replace"))
            sys.stderr.flush()
