"""What happens to two servers in a rehearsal, and its end: by the plan's commands, and replay by SQL.

Promise: a fault is noted before it is made, so that whoever heals the run ends it, and ends nothing that others made.
"""

from collections.abc import Callable, Mapping

from muster.failover.observations import Node
from muster.failover.spec import Degraded, Scenario
from muster.quantity import format_seconds
from tasks.regions.patience import pause
from tasks.streaming import roles
from tasks.streaming.commands import Commands, told
from tasks.streaming.notes import Notes
from tasks.targets.promotable import Work

_REPLAY = "replay"
_ENDED_BY = {"freeze": "thaw", "cut": "heal", "slow": "heal", "fill": "free"}
_LOOK_SECONDS = 5.0


class Faults:
    """The faults of one target."""

    def __init__(
        self, commands: Commands, nodes: Mapping[str, Node], hold: Callable[[Node, Work], object] | None = None
    ) -> None:
        self._commands = commands
        self._nodes = nodes
        self._hold = hold or _hold
        """Lets a node's replay stand still for `fault_lasts`."""

    def strike(self, scenario: Scenario, old: str, new: str, work: Work) -> tuple[str, ...]:
        """Let it happen to the primary `old`, its link, or the standby's replay; what was done."""
        match scenario:
            case Scenario.SWITCHOVER:
                return ()
            case Scenario.KILL:
                return (self.inflict("kill", old, new, work),)
            case Scenario.FREEZE:
                return (self.inflict("freeze", old, new, work),)
            case Scenario.PARTITION:
                return (self._cut(old, new, work),)
            case Scenario.PARTITION_THEN_KILL:
                return (self._cut(old, new, work), self.inflict("kill", old, new, work))
            case Scenario.SLOW_LINK:
                return (self.inflict("slow", old, new, work, _words_of(work.spec.slow_link)),)
            case Scenario.REPLICA_BEHIND:
                return (self._hold_replay(new, work), self.inflict("kill", old, new, work))
            case Scenario.DISK_FULL:
                return (self.inflict("fill", old, new, work),)

    def inflict(self, fault: str, old: str, new: str, work: Work, more: Mapping[str, str] | None = None) -> str:
        """Run the command of this name on the primary."""
        Notes(work.workspace).add_fault(fault, old)
        return told(fault, old, self._commands.call(fault, old, work, old=old, new=new, more=more))

    def heal(self, work: Work) -> tuple[str, ...]:
        """End what this run noted, the newest first; what was done."""
        notes = Notes(work.workspace)
        done: list[str] = []
        for fault, name in reversed(tuple(notes.faults().items())):
            if fault == _REPLAY:
                done += self._resume_replay(name)
            elif verb := _ENDED_BY.get(fault):
                peer = next(other for other in self._nodes if other != name)
                done.append(told(verb, name, self._commands.call(verb, name, work, old=name, new=peer)))
            notes.drop_fault(fault)
        return tuple(done)

    def _cut(self, old: str, new: str, work: Work) -> str:
        done = self.inflict("cut", old, new, work)
        return f"the link is dead ({done}), and was so for {_let_last(work)}"

    def _hold_replay(self, new: str, work: Work) -> str:
        Notes(work.workspace).add_fault(_REPLAY, new)
        self._hold(self._nodes[new], work)
        lasts = format_seconds(work.spec.fault_lasts.total_seconds())
        return f"{new}: replay stands still (pg_wal_replay_pause), and did so for {lasts}"

    def _resume_replay(self, name: str) -> tuple[str, ...]:
        """A server that is down forgets that it was told to pause."""
        server = self._nodes[name]
        is_resumed = roles.role_of(server, _LOOK_SECONDS) is not None and roles.resume_replay(server)
        return (f"{name}: replay goes on",) if is_resumed else ()


def _hold(node: Node, work: Work) -> None:
    roles.pause_replay(node)
    _let_last(work)


def _let_last(work: Work) -> str:
    seconds = work.spec.fault_lasts.total_seconds()
    pause(seconds, work.seconds_left)
    return format_seconds(seconds)


def _words_of(slow: Degraded) -> dict[str, str]:
    """What the hook `slow` is told."""
    return {
        "MUSTER_RTT_MS": f"{slow.rtt.total_seconds() * 1000:g}",
        "MUSTER_LOSS": f"{slow.loss:g}",
        "MUSTER_MBYTES_PER_SECOND": f"{slow.mbytes_per_second:g}" if slow.mbytes_per_second else "",
    }
