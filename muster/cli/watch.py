"""`muster watch`: rounds for ever, or one; it depends on neither the scheduler nor any one state of the ledger.

Promises: no fault in a round ends the process; a fault that lasts is told; SIGTERM and Ctrl-C end it at once; it
prints a line when something changed, and nothing otherwise, so that cron mails nobody without a reason.
"""

import sys
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from pydantic import ValidationError

from flows.registry import conductor_of
from muster.cli.interrupts import terminated_as_interrupted
from muster.errors import MusterError, UsageError
from muster.ledger import open_ledger
from muster.notary.plans import Telling, tell_plans
from muster.notify.send import Notifier, Receipt
from muster.readiness.looking import Looker
from muster.settings import Settings
from muster.verdict import ExitCode
from muster.watch.concerns import KINDS, MUSTER, Concern, Condition, Key
from muster.watch.outage import Outage
from muster.watch.outside import ping, why_unhealthy
from muster.watch.round import Round, run_round
from muster.watch.shelf import Shelf
from tasks.estate.card import Card, SchedulerCard, card_path

_TELL_AGAIN = 600
"""Seconds after which plans are told again that the log could not be told."""


def watch(settings: Settings, *, once: bool = False, every: float = 60) -> int:
    """Go round for ever; with `once`, exit with 1 when somebody has to act, or 0."""
    watcher = Watcher(settings, Shelf(settings.plans))
    with terminated_as_interrupted():
        try:
            watcher.shelf.read()
            if watcher.shelf.route_fault:
                raise UsageError(watcher.shelf.route_fault, "mend it: without routes nobody would be told")
            if once:
                done = watcher.go_round()
                return ExitCode.FAIL if done.needs_attention or not done.is_good else ExitCode.PASS
            plans, routes = watcher.shelf.plans, watcher.shelf.routes.all
            _say(f"watching {len(plans)} plan(s) every {every:g} s, telling {len(routes)} route(s)")
            while True:
                watcher.go_round_come_what_may()
                time.sleep(every)
        except KeyboardInterrupt:
            _say("stopped")
    return ExitCode.PASS


@dataclass
class Watcher:
    """One watching process: what it remembers from round to round."""

    settings: Settings
    shelf: Shelf
    outbound: Notifier = field(init=False)
    outage: Outage = field(default_factory=Outage)
    ping_fault: str = ""
    looker: Looker = field(default_factory=lambda: Looker("watch"))
    plans_fault: str = ""
    tell_plans_from: float = 0

    def __post_init__(self) -> None:
        self.outbound = Notifier(self.shelf.routes)

    def go_round_come_what_may(self) -> None:
        """Go round; a round that fails is told once it is no accident."""
        fault = self.plans_fault
        try:
            self.go_round()
            if self.plans_fault not in ("", fault):
                _say(f"plans could not be told to the log, and are later: {self.plans_fault}")
        except Exception as error:
            if isinstance(error, MusterError):
                condition, why = Condition.LEDGER_AWAY, error.message
            else:
                condition, why = Condition.WATCH_FAILS, f"{type(error).__name__}, a defect in Muster"
            _say(f"this round failed: {why}")
            _say_refusals(self.outage.failed(condition, why, self.outbound, datetime.now(UTC)))

    def go_round(self) -> Round:
        """Go round once, and tell the dead man's switch how it went."""
        try:
            done = self._round()
        except Exception:
            self._ping(went_well=False)
            raise
        self._ping(went_well=done.is_good)
        self._tell_plans()
        return done

    def _tell_plans(self) -> None:
        """Last of all, and seldom while the store is away: no alarm shall wait for it."""
        if time.monotonic() < self.tell_plans_from:
            return
        try:
            with open_ledger(self.settings.ledger_url) as ledger:
                done = tell_plans(conductor_of(self.settings, ledger), self.shelf.cards)
        except MusterError as error:
            done = Telling(problem=error.message)
        self.plans_fault = done.problem
        self.tell_plans_from = time.monotonic() + _TELL_AGAIN if done.problem else 0

    def _round(self) -> Round:
        """Read plans, look at the scheduler, open the ledger anew, compare, tell."""
        self.shelf.read()
        api, died = scheduler_of(self.settings)
        self.outbound = replace(self.outbound, routes=self.shelf.routes, link=_ui_of(api))
        looked = self._looked_at(api, died)
        # Anew each round: a fail-over or a lock costs one round, whatever became of the old connections.
        with open_ledger(self.settings.ledger_url) as ledger:
            done = run_round(
                conductor_of(self.settings, ledger),
                self.shelf.plans,
                self.shelf.cards,
                self.outbound,
                read_all=self.shelf.is_whole,
                looked=looked,
                looker=self.looker,
            )
        _report(done)
        _say_refusals(self.outage.over(self.outbound, datetime.now(UTC)))
        return done

    def _looked_at(self, api: str, died: bool) -> dict[Key, Concern | None]:
        faults: dict[Condition, str] = {
            Condition.PLANS_UNREADABLE: "; ".join(self.shelf.plan_faults),
            Condition.ROUTES_UNREADABLE: self.shelf.route_fault,
        }
        # Who shares a ledger may see a scheduler that we know nothing of: then its alarm is not ours to end.
        if api or died or not self.settings.ledger:
            why = "its process has died" if died else why_unhealthy(api) if api else ""
            faults[Condition.SCHEDULER_DOWN] = f"{why}; slots do not start by themselves" if why else ""
        if self.settings.ping_url or not self.settings.ledger:
            faults[Condition.PING_REFUSES] = self.ping_fault
        found = {c: Concern(MUSTER, c, why) if why else None for c, why in faults.items()}
        return {(MUSTER, condition.value): concern for condition, concern in found.items()}

    def _ping(self, *, went_well: bool) -> None:
        if not self.settings.ping_url:
            return
        before, self.ping_fault = self.ping_fault, ping(self.settings.ping_url, went_well=went_well)
        if self.ping_fault and self.ping_fault != before:
            _say(f"the dead man's switch did not hear: {self.ping_fault}")


def scheduler_of(settings: Settings) -> tuple[str, bool]:
    """The scheduler's API, and whether it is the estate's and its process has died; no API where there is none."""
    if settings.scheduler:
        return settings.scheduler, False
    try:
        card = Card.model_validate_json(card_path(settings).read_bytes())
    except (OSError, ValidationError):
        return "", False  # `muster up` takes its card away when it is told to stop
    scheduler: SchedulerCard | None = card.scheduler
    if scheduler is None:
        return "", False
    return scheduler.api, not scheduler.process.is_alive()


def _ui_of(api: str) -> str:
    return api.rstrip("/").removesuffix("/api")


def _report(done: Round) -> None:
    for concern in done.raised:
        title = KINDS[concern.condition].now.format(s=concern.subject)
        told = sorted({r.route for r in done.receipts if r.took and _is_about(r, concern.key)})
        _say(f"{concern.severity}: {title}: {concern.why} [{'told ' + ', '.join(told) if told else 'nobody told'}]")
    for alert in done.resolved:
        _say(f"over: {alert.subject} {alert.condition}")
    for run in done.accounted.missed:
        _say(f"slot missed: {run}")


def _is_about(receipt: Receipt, key: Key) -> bool:
    return (receipt.message.subject, receipt.message.condition) == key


def _say_refusals(receipts: tuple[Receipt, ...]) -> None:
    for receipt in receipts:
        words = "took it" if receipt.took else f"refused: {receipt.why}"
        _say(f"{receipt.message.title}: route {receipt.route} {words}")


def _say(words: str) -> None:
    print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {words}", file=sys.stderr, flush=True)
