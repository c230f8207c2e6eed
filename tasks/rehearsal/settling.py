"""The undo of a rehearsal: from any half-done state to one of two good ones, `home` or `away`.

Promises: never two servers that take writes; nobody who was promoted is put behind one who was not; every act is one of
the target's own verbs, each safe to repeat, so a settling that dies is settled again.
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


@dataclass(frozen=True)
class Settling:
    """What settling needs to know: who was primary at first, who was to take over, and whether that had begun."""

    target: Promotable
    route: Route
    work: Work
    old: str
    new: str
    heir: str
    """Who was last meant to serve."""

    def settle(self) -> GoodState:
        """Bring the target to a good state, and clients to its primary."""
        done = list(self.target.heal(self.work))
        primary = self._one_primary(done)
        for node in self.target.nodes():
            if node.name != primary and not self._follows(self._look(), node.name, primary):
                rejoined = self.target.rejoin(node.name, primary, self.work)
                done.append(f"{node.name} rejoined as standby by {rejoined.how}")
        self._wait_until_settled(primary)
        self.route.point_to(primary, self.work.seconds_left, self.work.processes)
        return GoodState(state="home" if primary == self.old else "away", primary=primary, done=tuple(done))

    def _one_primary(self, done: list[str]) -> str:
        """Who serves from now on; every other server that takes writes is fenced first."""
        writable = self._look().with_role("primary")
        if not writable:
            self._wake(done)
            writable = self._look().with_role("primary")
        if not writable:
            return self._promote_heir(done)
        rightful = max(writable, key=lambda n: (n.timeline, n.node == self.heir))
        for other in writable:
            if other.node != rightful.node:
                done.append(f"{other.node} fenced: {self.target.fence(other.node, self.work)}")
        return rightful.node

    def _wake(self, done: list[str]) -> None:
        """Start what is down, the heir first, until one takes writes: a second one is never started beside it."""
        names = [self.heir, *(n for n in (self.new, self.old) if n != self.heir)]
        for name in names:
            state = _named(self._look(), name)
            if state.role != "unreachable":
                continue
            try:
                done.append(f"{name}: {self.target.revive(name, self.work)}")
            except MusterError as error:  # the other may do
                done.append(f"{name} does not start: {error.message}")
            if self._look().with_role("primary"):
                return

    def _promote_heir(self, done: list[str]) -> str:
        """Both are standbys, or only one is there: the heir was being promoted, or its switch was cut short."""
        seen = self._look()
        there = [n for n in seen.nodes if n.role == "standby"]
        if not there:
            raise SystemFailure(
                f"neither {self.old} nor {self.new} can be started",
                "start one of them by hand, then run `muster undo run` again",
            )
        name = self.heir if any(n.node == self.heir for n in there) else there[0].node
        self.target.promote(name, self.work)
        done.append(f"{name} promoted")
        return name

    def _wait_until_settled(self, primary: str) -> None:
        """One primary, and every other server streams from it."""
        others = [n.name for n in self.target.nodes() if n.name != primary]

        def is_settled(seen: Surveyed) -> bool:
            only = tuple(n.node for n in seen.with_role("primary")) == (primary,)
            return only and all(self._follows(seen, name, primary) for name in others)

        _wait(lambda: is_settled(self._look()), f"{', '.join(others)} to stream from {primary}", self.work)

    def _follows(self, seen: Surveyed, name: str, primary: str) -> bool:
        return bool(_named(seen, name).receiving_from) and name in followers_of(seen, primary)

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


def _wait(is_there: Callable[[], bool], words: str, work: Work) -> None:
    until = time.monotonic() + min(_WAIT, work.seconds_left())
    while not is_there():
        if time.monotonic() > until:
            raise StepError(
                f"waited in vain for {words}", "look at the servers' logs, then run `muster undo run` again"
            )
        time.sleep(0.1)
