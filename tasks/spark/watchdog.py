"""Ends a process, and all that it started, when whoever started it is gone: whatever the process does just then.

Promises: what it started, a JVM, is asked to end in good order, so that its cluster hears of it, and killed if it does
not; the process itself ends after it. Where the one who started it was gone before, it ends at once.
"""

import os
import threading

import psutil

_NAP = 0.25
_PATIENCE = 10.0
_ROUNDS = 5
"""A tree can grow while it is felled; what waits in the kernel for ever is left to it."""
_ORPHANED = 1
"""Exit code."""


class Watchdog(threading.Thread):
    """Watches over the parent from beside the main thread, which may hang."""

    def __init__(self, parent: int, patience: float = _PATIENCE) -> None:
        super().__init__(name="watchdog")
        self._parent = parent
        self._patience = patience
        self._is_over = threading.Event()

    def __enter__(self) -> "Watchdog":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join()

    def run(self) -> None:
        """Until the work is done, or nobody is left to do it for."""
        while not self._is_over.wait(_NAP) and self._has_parent():
            pass
        if not self._has_parent():
            try:
                _end_descendants(self._patience)
            finally:
                os._exit(_ORPHANED)

    def _has_parent(self) -> bool:
        return os.getppid() == self._parent


def _end_descendants(patience: float) -> None:
    """In good order, else by force; then whatever came meanwhile."""
    started = psutil.Process().children(recursive=True)
    _signal(started, "terminate")
    _, left = psutil.wait_procs(started, timeout=patience)
    for _ in range(_ROUNDS):
        left = [*left, *psutil.Process().children(recursive=True)]
        if not left:
            return
        _signal(left, "kill")
        _, left = psutil.wait_procs(left, timeout=patience)


def _signal(processes: list[psutil.Process], how: str) -> None:
    for process in processes:
        try:
            getattr(process, how)()
        except psutil.NoSuchProcess:
            continue
