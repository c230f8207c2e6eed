"""Target `streaming`: two PostgreSQL servers with streaming replication, wherever they run, known by their DSNs.

What can be asked of a server is asked by SQL: who it is, where its log is, to be promoted, to hold its replay. What
takes the machine is done by commands that the plan names (`tasks/streaming/spec.py` says what each must do): to fence a
server, to bring it back, and whatever fault is to be rehearsed. Only scenarios whose commands are there are offered.

Promises: commands and rights are looked for before anything is done; a planned switch promotes only once the new
primary has applied the old one's shutdown; a server has rejoined when it says, and its primary says, that it streams
and has caught up; what was changed is noted in the run's folder before, so that the undo of another process changes it
back.
"""

from collections.abc import Callable
from typing import Literal, cast, get_args

from evidence.durable import sha256_of
from muster.errors import Refusal, StepError, SystemFailure
from muster.failover.observations import Node, Promoted, Rejoined, Salvaged
from muster.failover.spec import Scenario
from muster.identity import Identity
from muster.settings import Settings
from tasks.regions.patience import wait_until
from tasks.servers import nodes_of
from tasks.streaming import handover, roles, synchronous
from tasks.streaming.commands import Commands, last_line, told
from tasks.streaming.faults import Faults
from tasks.streaming.notes import Notes
from tasks.streaming.spec import Spec
from tasks.targets.promotable import Work

How = Literal["rewind", "rebuild", "follow", "service"]
_ROLE_SECONDS = 60.0
"""For a server to take the role that it was told to."""
_DONE = "it was primary already"


class Target:
    """The two servers of a plan."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._nodes = nodes_of(spec.nodes)
        self._commands = Commands(spec.hooks, self._nodes)
        self._faults = Faults(self._commands, {node.name: node for node in self._nodes})

    def identify(self) -> Identity:
        """Every server that answers is asked who it is, and whether it would let us do what we must."""
        self._commands.require_programs()
        asked = [node for node in self._nodes if self._role(node)]
        if not asked:
            raise Refusal("neither server answers", "start them, or mend the DSNs in target.nodes")
        found = {node.name: roles.system_identifier(node) for node in asked}
        wanted = self._spec.system_identifier or next(iter(found.values()))
        for name, identifier in found.items():
            if identifier != wanted:
                raise Refusal(
                    f"{name} is of the system {identifier}, not of {wanted}",
                    "mend its DSN, or target.system_identifier",
                )
        for node in asked:
            if missing := roles.missing_rights(node, sorted(self._spec.rights)):
                raise Refusal(f"{node.name} would deny what the drill must do", f"run there: {'; '.join(missing)}")
        return Identity(
            description=" and ".join(f"{node.name} in {node.region}" for node in self._nodes),
            system_identifier=wanted,
            proof=f"{' and '.join(found)} asked",
        )

    def nodes(self) -> tuple[Node, ...]:
        """As in the plan."""
        return self._nodes

    def scenarios(self) -> frozenset[Scenario]:
        """Those that the plan's hooks suffice for."""
        return self._spec.scenarios

    def strike(self, scenario: Scenario, old: str, new: str, work: Work) -> tuple[str, ...]:
        """By hooks; replay is held by SQL. A standby that would hang once promoted is told before anything breaks."""
        if not scenario.is_planned:
            synchronous.require_no_hang(self._spec, self._node(new))
        return self._faults.strike(scenario, old, new, work)

    def heal(self, work: Work) -> tuple[str, ...]:
        """The faults that this run noted, the newest first."""
        return self._faults.heal(work)

    def fence(self, node: str, work: Work) -> str:
        """By the plan's hook."""
        return self._do("fence", node, work, old=node, new=self._peer(node))

    def promote(self, node: str, work: Work) -> Promoted:
        """By `pg_promote` or the plan's hook."""
        return self._take_over(self._node(node), work)

    def switch(self, old: str, new: str, work: Work) -> Promoted:
        """By the plan's hook, or: stop `old` in good order, prove that `new` has all of it, promote. `old` rejoins."""
        server, notes = self._node(new), Notes(work.workspace)
        if self._role(server) == "primary":
            promoted = self._promoted(server, _DONE, work)
        elif self._spec.hooks.switchover:
            how = self._do("switchover", new, work, old=old, new=new)
            self._wait_for_role(server, "primary", work)
            promoted = self._promoted(server, how, work)
        else:
            self._hand_over(old, new, notes, work)
            promoted = self._take_over(server, work)
        notes.set_handed_over("")
        self.rejoin(old, new, work)
        return promoted

    def salvage(self, old: str, new: str, work: Work) -> Salvaged:
        """By the plan's hook; without one, what the old primary wrote beyond the fork is not looked at."""
        heir = self._node(new)
        fork = roles.fork_of(heir, roles.position(heir).timeline)
        if self._spec.hooks.salvage is None:
            return Salvaged(node=old, fork_lsn=fork, commits=None, why_not="the plan names no hook 'salvage'")
        folder = work.workspace.kept / f"salvage-{old}"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        listing = work.workspace.exhibits / f"salvage-{old}.txt"
        listing.parent.mkdir(parents=True, exist_ok=True)
        more = {"MUSTER_KEEP": str(folder), "MUSTER_LISTED": str(listing), "MUSTER_FORK": fork or ""}
        last = last_line(self._commands.call("salvage", old, work, old=old, new=new, more=more))
        if not last.isdecimal():
            raise StepError(
                f"the hook 'salvage' ends with {last!r}, which is no number of commits",
                "let its last line be that number alone",
            )
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return Salvaged(
            node=old,
            fork_lsn=fork,
            commits=int(last),
            listed=listing.name if listing.exists() else "",
            kept=str(folder) if files else "",
            kept_sha256=tuple(sha256_of(path) for path in files),
        )

    def rejoin(self, node: str, primary: str, work: Work) -> Rejoined:
        """By the plan's hook, unless it streams already; then wait, and let commits wait for a standby again."""
        server, leader = self._node(node), self._node(primary)
        if self._role(leader) != "primary":
            raise StepError(f"{primary} is not a primary that {node} could follow", "promote it first")
        how, why = self._bring_back(server, leader, work)
        synchronous.restore(self._nodes, Notes(work.workspace), work.seconds_left)
        return Rejoined(node=node, how=how, why=why, rejoined_ns=work.now_ns())

    def revive(self, node: str, work: Work) -> str:
        """By the plan's hook; refused beside another server that takes writes."""
        server, peer = self._node(node), self._node(self._peer(node))
        if self._role(peer) == "primary":
            raise StepError(f"{peer.name} takes writes, {node} might too", f"rejoin {node} to it instead")
        if self._spec.hooks.revive is None:
            if role := self._role(server):
                return f"it runs as {role}"
            raise StepError(f"{node} is down, and the plan names no hook 'revive'", f"start {node} by hand")
        done = self._do("revive", node, work, old="", new="")
        self._wait(lambda: bool(self._role(server)), f"{node} to answer", work, _ROLE_SECONDS)
        return f"{done}; it runs as {self._role(server)}"

    def connect_seconds(self) -> float:
        """As the plan says."""
        return self._spec.connect.total_seconds()

    def _take_over(self, server: Node, work: Work) -> Promoted:
        """The server becomes primary, unless it is."""
        if self._spec.hooks.promote:
            return self._take_over_by_hook(server, work)
        notes = Notes(work.workspace)

        def note(names: str | None) -> None:
            notes.add_synchronous(server.name, names)

        at_most = min(_ROLE_SECONDS, work.seconds_left())
        try:
            clear = note if self._spec.clear_synchronous else None
            done = roles.promote(server, clear, work.seconds_left, at_most=at_most)
        except StepError as error:
            work.seconds_left()
            raise SystemFailure(f"{server.name} was not promoted: {error.message}", error.advice) from None
        return Promoted(
            node=server.name,
            promoted_ns=work.now_ns(),
            timeline=done.position.timeline,
            lsn=done.position.lsn,
            how="pg_promote" if done.was_standby else _DONE,
        )

    def _take_over_by_hook(self, server: Node, work: Work) -> Promoted:
        """In a drill it is a failure of the hook when nobody is there to confirm commits."""
        if self._role(server) == "primary":
            return self._promoted(server, _DONE, work)
        new, notes = server.name, Notes(work.workspace)
        if self._spec.clear_synchronous:
            synchronous.clear(server, notes, work.seconds_left)
        how = self._do("promote", new, work, old=self._peer(new), new=new)
        self._wait_for_role(server, "primary", work)
        if notes.faults():  # an undo has mended them before it promotes, and rejoins the other at once
            synchronous.require_confirmation(server)
        return self._promoted(server, how, work)

    def _hand_over(self, old: str, new: str, notes: Notes, work: Work) -> None:
        """Stop `old`, with all that it wrote applied on `new`; else it is started again, if it can be."""

        def stop() -> None:
            self._do("stop", old, work, old=old, new=new)

        if self._spec.hooks.stop is None:
            raise StepError(
                f"{old} cannot hand over to {new}: the plan names neither a hook 'switchover' nor 'stop'",
                "name one, or set `failback: null`",
            )
        try:
            handover.hand_over(self._node(old), self._node(new), notes, stop, work.seconds_left)
        except StepError as error:
            work.seconds_left()
            if self._spec.hooks.revive and self._role(self._node(old)) is None:
                self._do("revive", old, work, old=old, new=new)
            raise SystemFailure(f"{old} cannot hand over: {error.message}", error.advice) from None

    def _promoted(self, server: Node, how: str, work: Work) -> Promoted:
        at = roles.position(server)
        return Promoted(node=server.name, promoted_ns=work.now_ns(), timeline=at.timeline, lsn=at.lsn, how=how)

    def _bring_back(self, server: Node, leader: Node, work: Work) -> tuple[How, str]:
        at = roles.position(leader)

        def is_back() -> bool:
            return roles.streams(server, at.timeline, at.lsn) and roles.sends(leader, at.lsn)

        if is_back():
            return "follow", "it streams already"
        name = server.name
        said = self._commands.call("rejoin", name, work, old=name, new=leader.name, blame=SystemFailure)
        if self._role(server) == "standby":
            roles.resume_replay(server)
        words = f"{server.name} to stream from {leader.name} and apply {at.lsn}"
        self._wait(is_back, words, work, self._spec.catch_up.total_seconds())
        return _how(said)

    def _do(self, name: str, node: str, work: Work, *, old: str, new: str) -> str:
        """Run a hook that is part of the system, and so is to blame; what was done, in a line."""
        return told(name, node, self._commands.call(name, node, work, old=old, new=new, blame=SystemFailure))

    def _wait_for_role(self, server: Node, role: str, work: Work) -> None:
        words = f"{server.name} to be {role}"
        try:
            self._wait(lambda: self._role(server) == role, words, work, _ROLE_SECONDS)
        except StepError as error:
            work.seconds_left()
            raise SystemFailure(error.message, "see the hook's log, and the server's") from None

    def _wait(self, is_so: Callable[[], bool], words: str, work: Work, at_most: float) -> None:
        wait_until(is_so, words, work.seconds_left, at_most=at_most, every=roles.POLL_SECONDS)

    def _role(self, node: Node) -> Literal["primary", "standby"] | None:
        return roles.role_of(node, self.connect_seconds())

    def _node(self, name: str) -> Node:
        return next(node for node in self._nodes if node.name == name)

    def _peer(self, name: str) -> str:
        return next(node.name for node in self._nodes if node.name != name)


def _how(said: str) -> tuple[How, str]:
    """What the hook's last line says of the way it took: `rewind: its log had diverged`."""
    word, _, why = last_line(said).partition(":")
    if word.strip().lower() in get_args(How):
        return cast(How, word.strip().lower()), why.strip() or "as the hook says"
    return "service", f"the hook does not say how: {word}" if word else "the hook does not say how"


def open_target(keys: dict[str, object], _settings: Settings) -> Target:
    """The target of a plan."""
    return Target(Spec.model_validate(keys))
