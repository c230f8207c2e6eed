"""`muster up`: the embedded estate in the foreground, with its addresses.

Promises: Ctrl-C, SIGTERM and the death of the terminal all stop every part; a second signal does not cut that short.
"""

import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text
from sqlalchemy import make_url

from flows.registry import conductor_of
from muster.cadence.wording import words_of
from muster.cli.interrupts import terminated_as_interrupted
from muster.errors import MusterError
from muster.ledger import open_ledger
from muster.plan import load_plans
from muster.settings import Settings
from muster.verdict import ExitCode
from tasks.estate.card import Card
from tasks.estate.estate import USUAL, Estate, Part
from tasks.estate.shop import ORDERS

EVERY_PART, USUAL_PARTS = tuple(Part), USUAL
_BACKUP_EVERY = 300.0
"""Seconds between backups. Old ones go with their part of the archive, so that a long stay does not fill the disk."""

_MOST_PLANS = 20
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(settings: Settings, *, scale: int | None = None, parts: Iterable[Part] = USUAL) -> int:
    """Keep the estate up until told to stop; `scale` is the number of orders in the demo shop."""
    console = Console()
    orders = scale or ORDERS
    with terminated_as_interrupted(), estate_up(settings, console, parts=parts, orders=orders) as (estate, card):
        _finish_dead_runs(settings, console)
        console.print(addresses(card, settings))
        console.print(plans_in_words(settings))
        console.print("\nCtrl-C stops all of it.", style="dim")
        try:
            _keep(estate, console)
        except KeyboardInterrupt:
            console.print("stopping", style="dim")
    return ExitCode.PASS


@contextmanager
def estate_up(
    settings: Settings, console: Console, *, parts: Iterable[Part] = USUAL, orders: int = ORDERS
) -> Iterator[tuple[Estate, Card]]:
    """The estate for the time of a `with` block, its start shown on the console."""
    estate = Estate(settings, parts, orders=orders)
    try:
        with _Progress(console) as progress:
            card = estate.start(progress.tell)
        yield estate, card
    finally:
        with _undisturbed():
            estate.stop()


def _finish_dead_runs(settings: Settings, console: Console) -> None:
    """What killed runs left is undone and sealed, and bundles that waited for the store are sent."""
    with open_ledger(settings.ledger_url) as ledger:
        for run in conductor_of(settings, ledger).finish_dead_runs():
            console.print(f"{run} had died: undone and sealed", style="yellow", markup=False)


def addresses(card: Card, settings: Settings) -> Table:
    """Where everything is, one line a part."""
    table = Table.grid(padding=(0, 2))
    if card.scheduler:
        table.add_row("Prefect UI", card.scheduler.ui)
        table.add_row("  plans", f"{card.scheduler.ui}/deployments, each with its Run button")
        table.add_row("  runs", f"{card.scheduler.ui}/runs, with what waits for approval")
    if card.objects:
        table.add_row("S3", f"{card.objects.endpoint}, bucket {card.objects.bucket}")
        table.add_row("S3 keys", Text(str(card.objects.credentials_file), overflow="fold"))
    if card.shop:
        table.add_row("PostgreSQL", Text(_psql(card.shop.dsn)))
    if card.regions:
        for region, dsn in card.regions.dsns.items():
            table.add_row(f"Region {region}", Text(f"{_psql(dsn)}  # {_role(dsn)}"))
    if card.schedulers:
        for colour, api in card.schedulers.apis.items():
            table.add_row(f"Prefect {colour}", api.removesuffix("/api"))
    table.add_row("Health deck", Text(str(settings.root / "deck" / "ci_health.md"), overflow="fold"))
    table.add_row("Ledger", Text(make_url(settings.ledger_url).render_as_string(hide_password=True)))
    return table


def _psql(dsn: str) -> str:
    where = conninfo_to_dict(dsn)
    port = "" if where["port"] == "5432" else f" -p {where['port']}"
    return f"psql -h {where['host']}{port} -U {where['user']} {where['dbname']}"


def _role(dsn: str) -> str:
    """What a region is now: a rehearsal can have changed it since it was started."""
    try:
        with psycopg.connect(dsn, connect_timeout=2) as connection:
            row = connection.execute("select pg_is_in_recovery()").fetchone()
    except psycopg.Error:
        return "does not answer"
    return "standby" if row == (True,) else "primary"


def plans_in_words(settings: Settings) -> Table:
    """What is drilled when, one line a plan; beyond a screenful they are counted."""
    plans = load_plans(settings.plans)
    table = Table.grid(padding=(0, 2))
    table.add_row()
    for plan in plans[:_MOST_PLANS]:
        table.add_row(Text(plan.name), Text(words_of(plan.cadence)), Text(plan.owner, "dim"))
    if len(plans) > _MOST_PLANS:
        table.add_row(Text(f"and {len(plans) - _MOST_PLANS} more: `muster status --all`", "dim"))
    return table


def _keep(estate: Estate, console: Console) -> None:
    """Watch over the estate for ever: say what died, take a backup now and then."""
    told: set[str] = set()
    next_backup = time.monotonic() + _BACKUP_EVERY
    while True:
        time.sleep(1)  # a signal ends it at once
        for name in set(estate.dead()) - told:
            told.add(name)
            console.print(f"{name} has died, see {estate.processes.logs}/{name}.log", style="red", markup=False)
        if time.monotonic() >= next_backup:
            next_backup = time.monotonic() + _BACKUP_EVERY
            try:
                estate.back_up()
            except MusterError as error:
                console.print(f"no backup: {error}", style="red", markup=False)


class _Progress:
    """What each part is doing: live on a terminal, one line a change elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._words: dict[Part, str] = {}
        self._began = time.monotonic()
        self._took: dict[Part, float] = {}
        self._live = Live(console=console, refresh_per_second=8, get_renderable=self._table)

    def __enter__(self) -> "_Progress":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def tell(self, part: Part, words: str) -> None:
        """What the part is doing now."""
        if words == "ready":
            self._took[part] = time.monotonic() - self._began
        self._words = {**self._words, part: words}  # replaced, since another thread draws it
        if not self._console.is_terminal:
            self._console.print(f"{part}: {words}", markup=False, highlight=False)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for part, words in self._words.items():
            took = self._took.get(part)
            sign = Spinner("dots", style="cyan") if took is None else Text("✓", "green")
            table.add_row(sign, part.value, words, Text("" if took is None else f"{took:.1f} s", "dim"))
        return table


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no signal cut the stop short; it is bounded by itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
