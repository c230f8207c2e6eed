"""Concerns compared with the ledger's alerts, and messages sent to the routes that have to hear.

Promises: who raises or resolves an alert in the ledger first is the one who tells it; a route that has not taken a
message gets it again, until the alert is over; a route that refuses is tried each round, if only by a test message.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from muster.ledger import Ledger
from muster.ledger.rows import Alert
from muster.notify.message import Event, Message, trial
from muster.notify.routes import Route
from muster.notify.send import Notifier, Receipt
from muster.watch import wording
from muster.watch.concerns import Concern, Key
from muster.watch.conditions import OF_PLANS, OF_READINESS, Condition

Letters = dict[str, list[Message]]
"""Messages by route."""


@dataclass
class Telling:
    """One round's news. `wanted` is what is the matter now."""

    ledger: Ledger
    outbound: Notifier
    now: datetime
    wanted: dict[Key, Concern]
    ready: frozenset[str] = frozenset()
    """Plans whose target was seen ready."""
    raised: dict[Key, Concern] = field(default_factory=dict)
    """What this round raised."""
    resolved: list[Alert] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)

    def compare(self, is_looked_at: Callable[[Key], bool]) -> None:
        """Raise what is new, and resolve what was looked at and is over."""
        known = {_key(alert): alert for alert in self.ledger.alerts()}
        for concern in self.wanted.values():
            self._raise(concern, known.get(concern.key))
        for key, alert in known.items():
            if key not in self.wanted and is_looked_at(key):
                self._resolve(alert)

    def tell(self) -> None:
        """Send it all; what routes refuse is news for the others, until there is no more news."""
        letters = self._letters()
        for _ in range(len(self.outbound.routes.all) + 2):
            if not letters:
                return
            receipts = self.outbound.deliver(letters)
            self.receipts += receipts
            self._note(receipts)
            letters = self._about_routes(receipts)

    def unheard(self, alerts: Iterable[Alert]) -> tuple[Alert, ...]:
        """Alerts that routes are there for, and that none has taken though it was tried."""
        return tuple(a for a in alerts if not a.told and self._is_ours(a) and self._should_be_heard(a))

    def _raise(self, concern: Concern, known: Alert | None) -> None:
        said = (concern.severity.value, concern.why)
        if known is not None and (known.severity, known.words) == said:
            return  # thousands of plans may be overdue for weeks: no write where nothing changes
        if self.ledger.raise_alert(*concern.key, *said):
            self.raised[concern.key] = concern

    def _resolve(self, alert: Alert) -> bool:
        """Whether it was ours to end, and so to tell."""
        is_ours = self.ledger.resolve_alert(alert.subject, alert.condition)
        self.resolved += [alert] * is_ours
        return is_ours

    def _letters(self) -> Letters:
        """What every route has to hear, but for news of routes themselves."""
        letters: Letters = defaultdict(list)
        while self.outbound.owed:
            route, message = self.outbound.owed.popleft()
            letters[route].append(message)
        self._add_recoveries(letters, self.resolved)
        alerts = self.ledger.alerts()
        for alert in alerts:
            concern = self.wanted.get(_key(alert))
            if concern and self._is_ours(alert):
                message = wording.raised(concern, alert.since, self.now, self.outbound.link)
                for taker in self._takers(concern):
                    if taker.name not in alert.told:
                        letters[taker.name].append(message)
        self._add_trials(letters, alerts)
        return {route: messages for route, messages in letters.items() if messages}

    def _add_trials(self, letters: Letters, alerts: Iterable[Alert]) -> None:
        """A route that refused and has nothing to carry now is tried; one that is gone refuses no more."""
        for alert in alerts:
            name = _route_of(alert)
            if name is None:
                continue
            if name not in self.outbound.routes.by_name:
                if self._resolve(alert):
                    self._add_recoveries(letters, [alert])
            elif not letters.get(name):
                letters[name] = [trial(name, self.now)]

    def _add_recoveries(self, letters: Letters, over: Iterable[Alert]) -> None:
        for alert in over:
            kin = OF_READINESS if alert.condition in OF_READINESS else OF_PLANS
            instead = next((c for k in kin if (c := self.wanted.get((alert.subject, k.value)))), None)
            is_ready = kin is OF_READINESS and alert.subject in self.ready
            well = "it is ready again" if is_ready else "it is over"
            message = wording.resolved(alert, self.now, instead, self.outbound.link, well=well)
            for route in alert.told:
                if route in self.outbound.routes.by_name:
                    letters[route].append(message)

    def _note(self, receipts: Iterable[Receipt]) -> None:
        told: dict[Key, list[str]] = defaultdict(list)
        for receipt in receipts:
            message = receipt.message
            if receipt.took and message.event is Event.RAISED:
                told[message.subject, message.condition].append(receipt.route)
            elif not receipt.took and message.event is Event.RESOLVED:
                self.outbound.owed.append((receipt.route, message))
        for key, routes in told.items():
            self.ledger.note_told(*key, routes)

    def _about_routes(self, receipts: Iterable[Receipt]) -> Letters:
        """News of the routes themselves: those that refused, and those that take messages again."""
        refused = {r.route: r.why for r in receipts if not r.took}
        took = {r.route for r in receipts} - refused.keys()
        known = {alert.subject: alert for alert in self.ledger.alerts() if _route_of(alert)}
        letters: Letters = defaultdict(list)
        for name, why in refused.items():
            concern = Concern(f"route {name}", Condition.ROUTE_REFUSES, why)
            self._raise(concern, known.get(concern.subject))
            self.wanted[concern.key] = concern
        for name in took:
            alert = known.get(f"route {name}")
            if alert and self._resolve(alert):
                self._add_recoveries(letters, [alert])
        self._add_refusals(letters)
        return dict(letters)

    def _add_refusals(self, letters: Letters) -> None:
        """Tell those who do not know yet, and who have not refused in this round themselves."""
        down = {receipt.route for receipt in self.receipts if not receipt.took}
        for alert in self.ledger.alerts():
            concern = self.wanted.get(_key(alert))
            if concern is None or _route_of(alert) is None:
                continue
            message = wording.raised(concern, alert.since, self.now, self.outbound.link)
            for route in self._takers(concern):
                if route.name not in down and route.name not in alert.told:
                    letters[route.name].append(message)

    def _takers(self, concern: Concern) -> tuple[Route, ...]:
        fit = self.outbound.routes.of(concern.severity, concern.card)
        return tuple(route for route in fit if concern.subject != f"route {route.name}")

    def _is_ours(self, alert: Alert) -> bool:
        """Whether to tell it is up to us: we raised it, or whoever did has had the time to."""
        settled = alert.since + timedelta(seconds=self.outbound.patience.all) <= self.now
        return settled or _key(alert) in self.raised

    def _should_be_heard(self, alert: Alert) -> bool:
        concern = self.wanted.get(_key(alert))
        return concern is not None and bool(_route_of(alert) or self._takers(concern))


def _key(alert: Alert) -> Key:
    return alert.subject, alert.condition


def _route_of(alert: Alert) -> str | None:
    """The route that an alert is about."""
    return alert.subject.removeprefix("route ") if alert.condition == Condition.ROUTE_REFUSES else None
