"""Signals that mean "stop", all treated as Ctrl-C is."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupts:
    """Signals that mean "stop": each raises `KeyboardInterrupt`, until they are ignored."""

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def ignore(self) -> None:
        """From here on only SIGKILL stops us: what is being undone and sealed is not to be cut short."""
        for number in self.numbers:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def terminated_as_interrupted() -> Iterator[Interrupts]:
    """Treat SIGTERM and the death of the terminal as Ctrl-C: undo, seal, leave."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in Interrupts.numbers}
    try:
        yield Interrupts()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
