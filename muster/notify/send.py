"""Messages on their way: each route in a thread of its own, with a receipt for everything.

Promises: a route that hangs, refuses or breaks costs the others nothing and the caller a bounded time; a receipt
says why in words that hold no address and no secret.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from muster.notify.apprising import post_apprise
from muster.notify.message import Message, digest_of
from muster.notify.refusal import PATIENCE, Patience, RouteRefuses, variable
from muster.notify.routes import Route, Routes
from muster.notify.webhook import post_webhook

MANY = 10
"""More messages than this for one route at a time go as one digest."""


class Receipt(NamedTuple):
    """What became of one message on one route."""

    route: str
    message: Message
    took: bool
    why: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Notifier:
    """Sends messages through routes. `environment` is where the secrets that routes name are found."""

    routes: Routes
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    patience: Patience = PATIENCE
    link: str = ""
    """Where people can look; goes into messages."""
    owed: deque[tuple[str, Message]] = field(default_factory=lambda: deque(maxlen=1000))
    """Recoveries that a route did not take yet, by route: nobody should wait for ever for what is over."""

    def send(self, message: Message, routes: Iterable[Route]) -> tuple[Receipt, ...]:
        """Send one message through these routes; a receipt each."""
        return self.deliver({route.name: [message] for route in routes})

    def deliver(self, letters: Mapping[str, Sequence[Message]]) -> tuple[Receipt, ...]:
        """Send each route's messages, in order, all routes at once; a receipt for each message.

        After the first refusal of a route its other messages are not tried.
        """
        known = self.routes.by_name
        couriers = [_Courier(self, known[name], sent) for name, sent in letters.items() if name in known and sent]
        for courier in couriers:
            courier.start()
        deadline = time.monotonic() + self.patience.all
        for courier in couriers:
            courier.join(max(0.0, deadline - time.monotonic()))
        return tuple(receipt for courier in couriers for receipt in courier.receipts())

    def post(self, route: Route, message: Message) -> None:
        """Send one message through one route, now; raises `RouteRefuses`."""
        if route.webhook is not None:
            secret = variable(self.environment, str(route.secret_env))
            post_webhook(route.webhook, secret, message, self.patience)
        else:
            post_apprise(variable(self.environment, str(route.apprise_env)), message, self.patience)


class _Courier(threading.Thread):
    """Carries one route's messages. A daemon: one that hangs does not keep the process from ending."""

    def __init__(self, notifier: Notifier, route: Route, messages: Sequence[Message]) -> None:
        super().__init__(name=f"route {route.name}", daemon=True)
        self._notifier, self._route, self._messages = notifier, route, tuple(messages)
        self._done: list[Receipt] = []

    def run(self) -> None:
        letters = (digest_of(self._messages),) if len(self._messages) > MANY else self._messages
        for letter in letters:
            began = time.monotonic()
            why = self._carry(letter)
            took, seconds = not why, time.monotonic() - began
            self._done += [Receipt(self._route.name, m, took, why, seconds) for m in letter.parts or (letter,)]
            if not took:
                return

    def receipts(self) -> list[Receipt]:
        """One for each message, sent or not."""
        done = list(self._done)
        last = done[-1] if done else None
        why = last.why if last and not last.took else f"it took longer than {self._notifier.patience.all:g} s"
        return done + [Receipt(self._route.name, m, False, why) for m in self._messages[len(done) :]]

    def _carry(self, letter: Message) -> str:
        """Why it was not taken; nothing when it was."""
        try:
            self._notifier.post(self._route, letter)
        except RouteRefuses as refusal:
            return str(refusal)
        except Exception as error:  # whatever a service's library does; its words may quote the address
            return f"sending broke off ({type(error).__name__})"
        return ""
