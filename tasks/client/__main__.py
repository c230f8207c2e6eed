"""`python -m tasks.client CONFIG.json`: writes, reads and writes down until SIGTERM, or until its time is up."""

import gc
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tasks.client.calls import INSERT, LOOK, Caller, Freshest, Reader, Writer
from tasks.client.config import ClientConfig
from tasks.client.logs import Log, Sessions, write_end
from tasks.client.loop import Loop
from tasks.client.pace import paces
from tasks.client.session import Entry

_SYNC_EVERY = 1.0


def main(path: Path) -> None:
    """One run of the client, to its orderly end."""
    config = ClientConfig.model_validate_json(path.read_bytes())
    config.folder.mkdir(parents=True, exist_ok=True)
    sessions, callers = Sessions(config.folder), _callers(config)
    loop = Loop(callers, sessions)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.end())
    logs = tuple(caller.log for caller in callers)

    def sync() -> None:
        sessions.sync()
        for log in logs:
            log.sync()

    gc.freeze()  # what is there now stays: looking through it again and again would only hold calls up
    ended = _every(_SYNC_EVERY, sync)
    loop.run(time.monotonic_ns() + round(config.max_seconds * 1e9))
    ended()
    sync()
    write_end(config.folder, logs)


def _callers(config: ClientConfig) -> tuple[Caller, ...]:
    now_ns, timeout_ns, fresh = time.monotonic_ns(), round(config.timeout_seconds * 1e9), Freshest()
    insert, look = INSERT.format(config.table), LOOK.format(config.table)
    writes = Entry(config.dsn, insert, config.commit_setting, config.timeout_seconds)
    callers: list[Caller] = []
    for number, pace in enumerate(paces(config.connections, config.rate, now_ns)):
        log = Log(config.folder, f"w-{number:03d}.log", number)
        callers.append(Writer(log, writes, pace, timeout_ns, number, fresh))
    if config.read_interval_seconds is None:
        return tuple(callers)
    for number, pace in enumerate(paces(len(config.readers), 1 / config.read_interval_seconds, now_ns)):
        at = config.readers[number]
        reads = Entry(at.dsn, look, None, config.timeout_seconds)
        callers.append(Reader(Log(config.folder, f"r-{at.node}.log", number), reads, pace, timeout_ns, fresh))
    return tuple(callers)


def _every(seconds: float, act: Callable[[], None]) -> Callable[[], None]:
    """Do it in the background, until the function that is returned is called; that waits for the last time."""
    over = threading.Event()

    def go() -> None:
        while not over.wait(seconds):
            act()

    thread = threading.Thread(target=go, daemon=True)
    thread.start()

    def end() -> None:
        over.set()
        thread.join()

    return end


if __name__ == "__main__":
    main(Path(sys.argv[1]))
