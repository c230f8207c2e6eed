"""The undo of a rehearsal: from any half-done state to one of two good ones, `home` or `away`.

Promises: nobody is promoted, and no former primary started, beside a server of which it is not certain that it takes no
writes; nobody who was promoted is put behind one who was not; what a lost primary wrote alone is saved before it is
rewound; every act is one of the target's own verbs, each safe to repeat, so a settling that dies is settled again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from muster.errors import MusterError, StepError, SystemFailure
from muster.failover.observations import GoodState, NodeState, Surveyed
from tasks.postgres.survey import survey
from tasks.routes.route import Route
from tasks.targets.promotable import Promotable, Work

_WAIT = 60.0
_ANSWER = 300.0
"""Seconds until a server that was started, or recovers from a crash, says what it is."""
_NAP = 0.1


@dataclass(frozen=True)
class Intent:
    """What the rehearsal was about, as far as its journal says."""

    old: str
    """The primary when it began."""
    new: str
    heir: str
    """Who was last meant to serve."""
    is_begun: bool = False
    """Whether the heir was being made primary: it may yet become that by itself."""
    is_planned: bool = False
    """Whether the other one was to hand over to the heir, and nothing may be lost."""
    timeline: int = 0
    """The one that the heir is known to have begun when it took over; 0: not known."""
    is_followed: bool = False
    """Whether the other one has, since then, become the heir's standby."""
    unsaved: str = ""
    """A server whose log beyond the fork nobody has saved."""

    @property
    def other(self) -> str:
        """Who was not meant to serve."""
        return self.old if self.heir == self.new else self.new


@dataclass(frozen=True)
class Settling:
    """Brings a target, of which anything can be half done, to a good state."""

    target: Promotable
    route: Route
    work: Work
    intent: Intent

    def settle(self) -> GoodState:
        """Bring the target to a good state, and clients to its primary."""
        done = list(self.target.heal(self.work))
        primary = self._one_primary(done)
        others = [n.name for n in self.target.nodes() if n.name != primary]
        for name in others:
            self._bring_back(name, primary, done)
        self._wait_until_settled(primary, others)
        self.route.point_to(primary, self.work.seconds_left, self.work.processes)
        return GoodState(state="home" if primary == self.intent.old else "away", primary=primary, done=tuple(done))

    def _one_primary(self, done: list[str]) -> str:
        """Who serves from now on; every other server that takes writes is fenced."""
        self._depose_overtaken(done)
        if not self._writable():
            self._find_primary(done)
        writable = self._writable()
        if not writable:
            raise SystemFailure(
                f"neither {self.intent.old} nor {self.intent.new} takes writes",
                "see their logs, and start one of them by hand",
            )
        rightful = max(writable, key=lambda n: (n.timeline, n.node == self.intent.heir))
        for node in writable:
            if node.node != rightful.node:
                self._fence(node.node, done)
        return rightful.node

    def _depose_overtaken(self, done: list[str]) -> None:
        """The heir had taken over, and is down: who serves on an older timeline lacks what it was given."""
        seen, heir = self._look(), self.intent.heir
        overtaken = [n.node for n in seen.with_role("primary") if n.timeline < self.intent.timeline]
        if not overtaken or _named(seen, heir).role != "unreachable":
            return
        for name in overtaken:
            self._fence(name, done)
        if self._revive(heir, done) == "unreachable":
            self._fence(heir, done)
            for name in overtaken:  # better served on than by nobody, until somebody has decided
                self._revive(name, done)
            raise self._lost_heir()

    def _find_primary(self, done: list[str]) -> None:
        """Nobody takes writes: whoever was primary last is started as that, else the heir is promoted."""
        intent = self.intent
        role = self._role(intent.heir)
        may_be_under_way = role == "standby" and intent.is_begun  # one that was started anew has forgotten that
        if role == "unreachable":
            role = self._revive(intent.heir, done)
        if self._writable():
            return
        if role == "standby" and (may_be_under_way or intent.timeline) and self._crown(intent.heir, done):
            return
        if role == "unreachable":
            if intent.timeline and not intent.is_followed:
                raise self._lost_heir()
            self._fence(intent.heir, done)
        if self._role(intent.other) == "unreachable":
            self._revive(intent.other, done)
        if self._writable():
            return
        there = [name for name in (intent.heir, intent.other) if self._role(name) == "standby"]
        if there:
            self._promote(there[0], done)

    def _lost_heir(self) -> SystemFailure:
        heir, other = self.intent.heir, self.intent.other
        return SystemFailure(
            f"{heir} has taken over and cannot be started; {other} lacks what was written to it since",
            f"start {heir}; if it is lost for good, make {other} primary by hand and {heir} its standby",
        )

    def _crown(self, heir: str, done: list[str]) -> bool:
        """Make the heir primary as the rehearsal was about to; whether somebody takes writes then."""
        if not self.intent.is_planned or self.intent.timeline:
            self._promote(heir, done)
            return True
        try:
            self.target.switch(self.intent.other, heir, self.work)
            done.append(f"{self.intent.other} has handed over to {heir}")
        except MusterError as error:  # it would lose something, or the one who is to hand over is gone
            self.work.seconds_left()
            done.append(f"{self.intent.other} could not hand over to {heir}: {error.message}")
        return bool(self._writable())

    def _promote(self, name: str, done: list[str]) -> None:
        """Once it is certain of everybody else that he takes no writes, and will not."""
        for node in self._look().nodes:
            if node.node != name and node.role != "standby":
                self._fence(node.node, done)
        self.target.promote(name, self.work)
        done.append(f"{name} promoted")

    def _fence(self, name: str, done: list[str]) -> None:
        done.append(f"{name} fenced: {self.target.fence(name, self.work)}")

    def _revive(self, name: str, done: list[str]) -> str:
        """Start a server as what it was; the role that it has then."""
        try:
            done.append(f"{name}: {self.target.revive(name, self.work)}")
            _wait(lambda: self._role(name) != "unreachable", f"{name} to answer", self.work, _ANSWER)
        except MusterError as error:  # the other may do
            self.work.seconds_left()
            done.append(f"{name} does not start: {error.message}")
        return self._role(name)

    def _bring_back(self, name: str, primary: str, done: list[str]) -> None:
        """It streams already, perhaps: the rest of a rejoin that was cut short is done all the same."""
        follows = name in followers_of(self._look(), primary)
        if name == self.intent.unsaved and primary != name and not follows:
            self._save(name, primary, done)
        rejoined = self.target.rejoin(name, primary, self.work)
        if not follows:
            done.append(f"{name} rejoined as standby by {rejoined.how}")

    def _save(self, name: str, primary: str, done: list[str]) -> None:
        try:
            saved = self.target.salvage(name, primary, self.work)
        except MusterError as error:  # not worth a region without a standby
            self.work.seconds_left()
            done.append(f"what {name} wrote beyond the fork could not be saved: {error.message}")
            return
        if saved.commits is None:
            done.append(f"what {name} wrote beyond the fork was not looked at: {saved.why_not}")
        else:
            done.append(f"{saved.commits} commits of {name} beyond the fork saved in {saved.kept or saved.listed}")

    def _wait_until_settled(self, primary: str, others: list[str]) -> None:
        """One primary, and every other server streams from it."""

        def is_settled() -> bool:
            seen = self._look()
            only = tuple(n.node for n in seen.with_role("primary")) == (primary,)
            return only and set(others) <= set(followers_of(seen, primary))

        _wait(is_settled, f"{', '.join(others)} to stream from {primary}", self.work, _WAIT)

    def _writable(self) -> tuple[NodeState, ...]:
        return self._look().with_role("primary")

    def _role(self, name: str) -> str:
        return _named(self._look(), name).role

    def _look(self) -> Surveyed:
        return survey(self.target.nodes(), "undo", self.target.connect_seconds())


def followers_of(seen: Surveyed, primary: str) -> tuple[str, ...]:
    """The standbys of the primary's own timeline that stream from someone; the primary must say that it has any."""
    leader = _named(seen, primary)
    if leader.role != "primary" or not leader.standbys:
        return ()
    return tuple(n.node for n in seen.with_role("standby") if n.receiving_from and n.timeline == leader.timeline)


def _named(seen: Surveyed, name: str) -> NodeState:
    return next(n for n in seen.nodes if n.node == name)


def _wait(is_there: Callable[[], bool], words: str, work: Work, seconds: float) -> None:
    until = time.monotonic() + min(seconds, work.seconds_left())
    while not is_there():
        if time.monotonic() > until:
            raise StepError(f"waited in vain for {words}", "look at the servers' logs")
        time.sleep(_NAP)
