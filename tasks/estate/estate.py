"""The embedded estate as a whole: started side by side, found by its card, stopped without a trace.

Promises: one keeper at a time; what a killed keeper left is cleaned before anything starts; when `start` fails or is
interrupted, nothing is left running; the card is written last and removed first.
"""

import fcntl
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import IO

from muster.errors import StepError, UsageError
from muster.ledger import open_ledger
from muster.settings import Settings
from tasks import unprivileged
from tasks.estate.backup import BackupJob, Cycle
from tasks.estate.bluegreen import BLUE, GREEN, BlueGreen, database_of, server_of, worker_of
from tasks.estate.card import (
    REGIONS_FOLDER,
    Card,
    ObjectsCard,
    RegionsCard,
    SchedulerCard,
    SchedulersCard,
    ShopCard,
    card_path,
    write_card,
)
from tasks.estate.objects import NAME as OBJECTS
from tasks.estate.objects import Objects
from tasks.estate.scheduler import SERVER, WORKER, Scheduler
from tasks.estate.shop import ORDERS, Shop
from tasks.link.link import Condition
from tasks.process import Identity, Processes
from tasks.regions.pair import Pair

TRAFFIC = "traffic"


class Part(StrEnum):
    """What an estate is made of."""

    SHOP = "shop"
    OBJECTS = "objects"
    SCHEDULER = "scheduler"
    REGIONS = "regions"
    SCHEDULERS = "schedulers"


_DRILLED = {"embedded": Part.SHOP, "embedded-regions": Part.REGIONS, "embedded-schedulers": Part.SCHEDULERS}
"""The part that a type of target drills; targets of other types are not of the estate."""

PartCard = ShopCard | ObjectsCard | SchedulerCard | RegionsCard | SchedulersCard
Progress = Callable[[Part, str], None]
"""Told, from several threads, what a part is doing now; `ready` comes last."""

USUAL = tuple(part for part in Part if part is not Part.SCHEDULERS)
"""What an estate has unless more is asked for: blue and green keep a core busy with their canaries."""

_STOP_ORDER = (
    (WORKER, SERVER),
    (TRAFFIC, "shop"),
    (OBJECTS,),
    *((worker_of(colour), server_of(colour), database_of(colour)) for colour in (BLUE, GREEN)),
)
"""Lanes that stop side by side; within a lane, whoever uses the next one goes first."""
_LINK = Condition(rtt_seconds=0.02)
"""Between the regions, until a drill asks for another."""
_LEAVE = ((signal.SIGINT, 8.0), (signal.SIGKILL, 5.0))


def parts_for(target: str) -> tuple[Part, ...]:
    """What one drill of a target of this type needs: the part it drills, where bundles go, who runs it."""
    drilled = _DRILLED.get(target)
    return (*((drilled,) if drilled else ()), Part.OBJECTS, Part.SCHEDULER)


class Estate:
    """The estate below `settings.estate`. Use it from one thread."""

    def __init__(self, settings: Settings, parts: Iterable[Part] = USUAL, *, orders: int = ORDERS) -> None:
        self.home = settings.estate
        self.processes = Processes(self.home / "processes", self.home / "logs")
        self._settings = settings
        self._parts = tuple(parts)
        self._orders = orders
        self._lock: IO[str] | None = None
        self._shop = Shop(self.home, _socket_folder(self.home), self.processes)
        self._pair = Pair(self.home / REGIONS_FOLDER, self._shop.sockets / "regions", self.processes)

    def start(self, progress: Progress = lambda _part, _words: None) -> Card:
        """Bring every part up; a failure of one stops the others, and is raised."""
        self._take_lock()
        self.processes.stop_all()
        card_path(self._settings).unlink(missing_ok=True)
        _make_private(self._shop.sockets)
        starters: dict[Part, Callable[[Progress], PartCard]] = {
            Part.SHOP: self._start_shop,
            Part.OBJECTS: self._start_objects,
            Part.SCHEDULER: self._start_scheduler,
            Part.REGIONS: self._start_regions,
            Part.SCHEDULERS: self._start_schedulers,
        }
        with ThreadPoolExecutor(max_workers=len(Part)) as pool:
            futures = {part: pool.submit(starters[part], progress) for part in self._parts}
            try:
                done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            except BaseException:
                self.processes.close()  # whatever the other threads are at ends now
                raise
        keeper = Identity.of(os.getpid())
        card = Card.model_validate({"keeper": keeper} | {part.value: f.result() for part, f in futures.items()})
        write_card(card, self._settings)
        return card

    def back_up(self) -> Cycle:
        """Take a new cycle of backups of the running shop."""
        return BackupJob(self._shop).take(datetime.now(UTC))

    def dead(self) -> tuple[str, ...]:
        """Names of servers that were started, and do not run."""
        dead = set(self.processes.names()) - set(self.processes.alive())
        known = (*(name for lane in _STOP_ORDER for name in lane), *self._pair.process_names)
        return tuple(name for name in known if name in dead)

    def stop(self) -> None:
        """Make sure that no part runs, then that no trace but the data is left. Safe to repeat."""
        if self._lock is None:
            return
        card_path(self._settings).unlink(missing_ok=True)
        with ThreadPoolExecutor(max_workers=len(_STOP_ORDER)) as pool:
            for future in [pool.submit(self._stop_lane, lane) for lane in _STOP_ORDER]:
                future.result()
        if Part.REGIONS in self._parts:  # last: a drill that is cut short brings them to a good state first
            self._pair.stop()
        self.processes.close()
        shutil.rmtree(self._shop.sockets, ignore_errors=True)
        self._lock.close()
        self._lock = None

    def _stop_lane(self, lane: tuple[str, ...]) -> None:
        for name in lane:
            self.processes.stop(name, signals=_LEAVE)

    def _start_shop(self, progress: Progress) -> ShopCard:
        progress(Part.SHOP, "starting PostgreSQL")
        card = self._shop.start(self._orders)
        argv = [sys.executable, "-m", "tasks.estate.traffic", card.dsn]
        self.processes.start(TRAFFIC, argv, log=f"{TRAFFIC}.log")
        progress(Part.SHOP, "taking a full and an incremental backup under traffic")
        self.back_up()
        progress(Part.SHOP, "ready")
        return card

    def _start_objects(self, progress: Progress) -> ObjectsCard:
        progress(Part.OBJECTS, "starting SeaweedFS")
        card = Objects(self.home, self.processes).start()
        progress(Part.OBJECTS, "ready")
        return card

    def _start_scheduler(self, progress: Progress) -> SchedulerCard:
        progress(Part.SCHEDULER, "starting the Prefect server, a worker and the deployments")
        card = Scheduler(self._settings, self.processes).start()
        progress(Part.SCHEDULER, "ready")
        return card

    def _start_regions(self, progress: Progress) -> RegionsCard:
        progress(Part.REGIONS, "starting PostgreSQL in two regions, and the link between them")
        unprivileged.hand_over(self._shop.sockets)
        made = self._pair.start(_LINK)
        card = RegionsCard(
            home=self._pair.home,
            link=self._pair.link.form,
            dsns={node.region: node.dsn for node in self._pair.nodes()},
            system_identifier=made.system_identifier,
        )
        progress(Part.REGIONS, "ready")
        return card

    def _start_schedulers(self, progress: Progress) -> SchedulersCard:
        progress(Part.SCHEDULERS, "starting blue and green, a Prefect server and a worker each")
        with open_ledger(self._settings.ledger_url):  # made here, where it is not there yet: canaries claim in it
            pair = BlueGreen(self.home / "schedulers", self._shop.sockets, self.processes, self._settings.ledger_url)
        card = SchedulersCard(apis=pair.start())
        progress(Part.SCHEDULERS, "ready")
        return card

    def _take_lock(self) -> None:
        """The kernel drops the lock with its holder, however it dies."""
        self.home.mkdir(parents=True, exist_ok=True)
        lock = (self.home / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise UsageError(
                f"an estate is already up in {self.home}", "use it as it is, or stop the `muster up` that keeps it"
            ) from None
        self._lock = lock


def _socket_folder(home: Path) -> Path:
    """A short path, the same for the same estate: a socket's address holds 107 bytes."""
    return Path(tempfile.gettempdir()) / f"muster-{sha256(bytes(home)).hexdigest()[:12]}"


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not folder.is_dir() or folder.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise StepError(f"{folder} is not ours alone", "remove it, or set TMPDIR to a folder of your own")
