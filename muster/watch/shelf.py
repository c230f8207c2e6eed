"""The plans and routes as the watch knows them: read anew when a file changes, the last good ones while one is broken.

Promises: one broken file costs the others nothing; what cannot be read is told, never passed over.
"""

from pathlib import Path
from typing import NamedTuple

from muster.cards import PlanCard, card_of
from muster.errors import UsageError
from muster.notify.routes import Routes, check_plan_routes, load_routes
from muster.plan import Plan, find_plan, plan_files

Stamp = tuple[int, int, int]


class _Entry(NamedTuple):
    stamp: Stamp
    plan: Plan
    card: PlanCard


class Shelf:
    """The plans folder over the life of a process. Plans are parsed once, until their file changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries: dict[Path, _Entry] = {}
        self._routes = Routes()
        self.plan_faults: tuple[str, ...] = ()
        """What is wrong with plans, as of the last `read`."""
        self.route_fault = ""
        """What is wrong with the routes, likewise."""

    def read(self) -> None:
        """Look at every file."""
        faults: list[str] = []
        entries: dict[Path, _Entry] = {}
        try:
            files = plan_files(self._folder)
        except UsageError as error:
            self.plan_faults = (error.message,)
            return
        for path in files:
            known = self._entries.get(path)
            try:
                entries[path] = self._entry(path, known)
            except UsageError as error:
                faults.append(error.message)
                if known:
                    entries[path] = known
        self._entries = entries
        self._read_routes()
        self.plan_faults = (*faults, *check_plan_routes(self.plans, self._routes))

    @property
    def plans(self) -> tuple[Plan, ...]:
        """The plans, the last good ones where a file is broken."""
        return tuple(entry.plan for entry in self._entries.values())

    @property
    def cards(self) -> tuple[PlanCard, ...]:
        """Their cards."""
        return tuple(entry.card for entry in self._entries.values())

    @property
    def routes(self) -> Routes:
        """The routes, the last good ones while the file is broken."""
        return self._routes

    @property
    def is_whole(self) -> bool:
        """Whether these are all plans there are."""
        return not self.plan_faults

    def _entry(self, path: Path, known: _Entry | None) -> _Entry:
        stamp = _stamp(path)
        if known and known.stamp == stamp:
            return known
        plan = find_plan(self._folder, path.stem)
        return _Entry(stamp, plan, card_of(plan, str(path)))

    def _read_routes(self) -> None:
        try:
            self._routes, self.route_fault = load_routes(self._folder), ""
        except UsageError as error:
            self.route_fault = error.message


def _stamp(path: Path) -> Stamp:
    try:
        stat = path.stat()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({type(error).__name__})") from None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
