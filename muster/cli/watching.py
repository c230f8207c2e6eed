"""Watching a run: its journal as a live table of steps."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from muster.journal import EventKind, EventStore, History, StepState
from muster.quantity import format_seconds

_POLL_SECONDS = 0.15
_SIGNS = {
    StepState.WAITING: Text("·", "dim"),
    StepState.SUCCEEDED: Text("✓", "green"),
    StepState.FAILED: Text("✕", "bold red"),
    StepState.UNDOING: Text("↺", "yellow"),
    StepState.UNDONE: Text("✓", "green"),
    StepState.UNDO_FAILED: Text("!", "bold red"),
}
_SPINNER = Spinner("dots", style="cyan")


class Watch:
    """Looks at one run's journal again and again. Reading is all it does."""

    def __init__(self, store: EventStore, steps: tuple[str, ...]) -> None:
        self._store, self._steps = store, steps
        self.run = ""
        self.history = History()

    def follow(self, run: str) -> None:
        """The run to watch, once it is known."""
        self.run = run

    def look(self) -> None:
        """Read the journal as it stands."""
        if self.run:
            self.history = History(self._store.read_events(self.run))

    def table(self) -> Table:
        """One line a step: sign, name, seconds."""
        table = Table.grid(padding=(0, 2))
        table.add_row("", Text(self.run or "waiting for the drill to start", "dim"), "")
        states = self.history.step_states()
        for step in self._steps if self.run else ():
            state = states.get(step, StepState.WAITING)
            sign = _SPINNER if state is StepState.STARTED else _SIGNS[_of_work(self.history, step, state)]
            table.add_row(sign, step, Text(_elapsed(self.history, step), "dim"))
        if self.history.of(EventKind.UNDO_STARTED):
            left = self.history.needs_undo()
            table.add_row(
                _SPINNER if left else _SIGNS[StepState.UNDONE], "undo", Text(f"{len(left)} left" if left else "")
            )
        for kind in (EventKind.JUDGED, EventKind.SEALED, EventKind.SENT):
            if self.history.of(kind):
                table.add_row(_SIGNS[StepState.SUCCEEDED], kind.value, "")
        return table


def _of_work(history: History, step: str, state: StepState) -> StepState:
    """While steps are undone, each still shows how its work ended."""
    if state in (StepState.UNDOING, StepState.UNDONE):
        failed = any(e.step == step for e in history.of(EventKind.FAILED))
        return StepState.FAILED if failed else StepState.SUCCEEDED
    return state


def _elapsed(history: History, step: str) -> str:
    events = [e for e in history if e.step == step]
    start = next((e for e in events if e.kind is EventKind.STARTED), None)
    if start is None:
        return ""
    end = next((e for e in events if e.kind in (EventKind.SUCCEEDED, EventKind.FAILED)), None)
    now = end.mono_ns if end else time.monotonic_ns()
    return format_seconds(max(0, now - start.mono_ns) / 1e9)


@contextmanager
def shown_progress(watch: Watch, console: Console) -> Iterator[None]:
    """Show the watched run live while the body runs; in a pipe, only its last state."""
    done = threading.Event()
    with Live(watch.table(), console=console, refresh_per_second=8) as live:

        def keep_looking() -> None:
            while not done.wait(_POLL_SECONDS):
                watch.look()
                live.update(watch.table())

        thread = threading.Thread(target=keep_looking, name="watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(timeout=5)
            watch.look()
            live.update(watch.table())
    console.print()
