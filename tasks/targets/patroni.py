"""Target `patroni`: one Patroni cluster whose members live in different regions, through its REST API.

Promises: Patroni decides who leads; it is asked, and never gone around: the leader key in its DCS is the fence. A
handover is asked for once; a member is reinitialized only after it had its time to come back by itself.
Traps: Patroni replaces a leader once `ttl` is over, and not at all while the leader reaches the DCS. A frozen member
that wakes takes writes until its Patroni has looked at the clock: name a hook `fence`, or use a watchdog.
Source: Patroni 4 documentation, "REST API", "Replication modes", "Pause/Resume mode".
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from muster.errors import MusterError, Refusal, StepError, SystemFailure, UsageError
from muster.failover.observations import Node, Promoted, Rejoined, Salvaged
from muster.failover.spec import Scenario
from muster.identity import Identity
from muster.quantity import Duration, format_seconds
from muster.settings import Settings
from tasks.hooks import Hook, Occasion, run_hook
from tasks.patroni import servers
from tasks.patroni.api import Access, Api, Cluster, NoAnswer
from tasks.patroni.members import Members, hindrance, refuse_other, refuse_other_server, refuse_unfit
from tasks.patroni.patience import GRACE, NAP, await_patroni
from tasks.patroni.salvaging import is_running, salvage_member
from tasks.regions.patience import pause
from tasks.servers import ServerKeys, nodes_of
from tasks.streaming.commands import told
from tasks.streaming.notes import Notes
from tasks.targets.promotable import Work

HookName = Literal["fence", "start", "kill", "freeze", "thaw", "cut", "slow", "heal", "fill", "free"]

_FOLLOW_SECONDS = 60.0
"""At least this long a member may try to come back by itself before it is reinitialized."""
_COPY_SECONDS = 24 * 3600.0
_MUST_HAVE: Mapping[Scenario, frozenset[HookName]] = {
    Scenario.SWITCHOVER: frozenset(),
    Scenario.KILL: frozenset({"kill", "start"}),
    Scenario.FREEZE: frozenset({"freeze", "thaw"}),
    Scenario.PARTITION: frozenset({"cut", "heal"}),
    Scenario.PARTITION_THEN_KILL: frozenset({"cut", "heal", "kill", "start"}),
    Scenario.SLOW_LINK: frozenset({"slow", "heal"}),
    Scenario.REPLICA_BEHIND: frozenset({"kill", "start"}),
    Scenario.DISK_FULL: frozenset({"fill", "free"}),
}
"""The hooks without which a scenario cannot be made, or not be ended."""
_ENDED_BY: Mapping[str, HookName] = {"freeze": "thaw", "cut": "heal", "slow": "heal", "fill": "free"}
_REPLAY = "replay"


class MemberKeys(ServerKeys):
    """One member of the cluster; `name` as in its patroni.yml."""

    api: str = Field(pattern=r"^https?://")
    """Its REST API, such as http://10.0.0.1:8008."""
    data: Path | None = None
    """Its data directory, where that is on Muster's machine: then the log that it lost can be saved."""


class Spec(BaseModel):
    """The target's keys in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    type: str = "patroni"
    cluster: str
    """The scope."""
    nodes: tuple[MemberKeys, ...] = Field(min_length=2)
    system_identifier: str | None = None
    """What `pg_control_system()` says, as a further proof."""
    failover: Literal["automatic", "manual"] = "automatic"
    """`manual`: once the old leader is out, the candidate is asked for by POST /failover."""
    access: Access = Access()
    hooks: Mapping[HookName, Hook] = {}
    connect_timeout: Duration = Field(default=timedelta(seconds=3), gt=timedelta())


class Target:
    """The cluster that a plan names."""

    def __init__(self, spec: Spec, members: Members) -> None:
        self._spec = spec
        self._members = members
        self._nodes = nodes_of(spec.nodes)
        self._dsn = {n.name: n.dsn for n in spec.nodes}
        self._data = {n.name: n.data for n in spec.nodes}
        self._seconds = spec.connect_timeout.total_seconds()

    def identify(self) -> Identity:
        """Every API and every server is asked, and both must speak of one and the same process."""
        self._require_programs()
        statuses = self._members.statuses()
        identifier = refuse_other(statuses, self._spec.cluster, self._spec.system_identifier)
        for node, status in statuses.items():
            refuse_other_server(node, status, self._dsn[node], self._seconds)
        try:
            refuse_unfit(self._members.cluster(), frozenset(self._dsn))
        except NoAnswer as error:
            raise Refusal(error.message, error.advice) from None
        version = next(iter(statuses.values())).itself.version
        return Identity(
            description=f"the Patroni {version} cluster {self._spec.cluster}: {', '.join(self._dsn)}",
            system_identifier=identifier,
            proof=f"the APIs and the servers of {' and '.join(self._dsn)} were asked",
        )

    def nodes(self) -> tuple[Node, ...]:
        """The plan's."""
        return self._nodes

    def scenarios(self) -> frozenset[Scenario]:
        """The switchover, and what the plan's hooks can make happen and mend."""
        return frozenset(s for s, hooks in _MUST_HAVE.items() if hooks <= set(self._spec.hooks))

    def strike(self, scenario: Scenario, old: str, new: str, work: Work) -> tuple[str, ...]:
        """By the plan's hooks; replay is paused by SQL."""
        config = self._members.config()  # while those who know still answer
        lasts = work.spec.fault_lasts.total_seconds()
        match scenario:
            case Scenario.SWITCHOVER:
                return ()
            case Scenario.KILL:
                return (self._inflict("kill", old, new, work),)
            case Scenario.FREEZE:
                return (self._inflict("freeze", old, new, work),)
            case Scenario.PARTITION | Scenario.PARTITION_THEN_KILL:
                cut = self._inflict("cut", old, new, work)
                pause(lasts, work.seconds_left)
                killed = (self._inflict("kill", old, new, work),) if scenario is not Scenario.PARTITION else ()
                return (f"{cut}, and was so for {format_seconds(lasts)}", *killed)
            case Scenario.SLOW_LINK:
                return (self._inflict("slow", old, new, work),)
            case Scenario.REPLICA_BEHIND:
                Notes(work.workspace).add_fault(_REPLAY, new)
                servers.hold_replay(self._dsn[new], lasts, config.loop_wait, self._seconds, work.seconds_left)
                held = f"{new}: replay stands still, and did so for {format_seconds(lasts)}"
                return (held, self._inflict("kill", old, new, work))
            case Scenario.DISK_FULL:
                return (self._inflict("fill", old, new, work),)

    def heal(self, work: Work) -> tuple[str, ...]:
        """The faults that this run noted, the newest first."""
        notes = Notes(work.workspace)
        done = []
        for fault, node in reversed(tuple(notes.faults().items())):
            if fault in _ENDED_BY:
                done.append(self._act(_ENDED_BY[fault], node, work))
            elif fault == _REPLAY and servers.resume_replay(self._dsn[node], self._seconds):
                done.append(f"{node}: replay goes on")
            notes.drop_fault(fault)
        return tuple(done)

    def fence(self, node: str, work: Work) -> str:
        """The hook, if there is one; then the leader key must leave the node, and its server take no writes."""
        self._members.doubt(node)
        config = self._members.config()
        done = f"{self._act('fence', node, work, node)}; " if "fence" in self._spec.hooks else ""

        says = "it is a standby"

        def is_out() -> bool:
            nonlocal says
            leader = self._failing_over().leader
            if leader is not None and leader.name == node:
                return False
            answer = servers.is_primary(self._dsn[node], self._seconds)
            says = "its server does not answer" if answer is None else "it is a standby"
            return not answer

        failed = SystemFailure(
            f"{node} is still the leader: Patroni sees no reason to replace it",
            "let the fault reach its Patroni too, or its way to the DCS, or name a hook `fence`",
        )
        self._await(is_out, work, config.patience + GRACE, failed)
        return f"{done}{node} does not hold the leader key any more, {says} ({config.words})"

    def promote(self, node: str, work: Work) -> Promoted:
        """Patroni fails over by itself and is waited for, or is asked for the candidate where the plan says so."""
        config = self._members.config()
        how = f"Patroni failed over by itself ({config.words})"
        if self._spec.failover == "manual" and not self._takes_writes(node):
            self._failing_over()
            said = self._members.api(node).fail_over(node, config.handover_seconds)
            how = f"POST /failover: {said} ({config.words})"
        failed = SystemFailure(
            f"{node} has not taken over in the time that Patroni's settings allow ({config.words})",
            "see Patroni's log on it: it may lag by more than maximum_lag_on_failover, not be the synchronous standby,"
            " or have lost to another member",
        )
        self._await(lambda: self._failing_over() and self._takes_writes(node), work, config.patience + GRACE, failed)
        return self._promoted(node, work.now_ns(), how)

    def switch(self, old: str, new: str, work: Work) -> Promoted:
        """POST /switchover, once; done when `new` takes writes and `old` streams from it."""
        config = self._members.config()
        leader = self._failing_over().leader
        if leader is not None and leader.name == new and self._takes_writes(new):
            moment, said = work.now_ns(), f"{new} leads already"
        else:
            moment, said = self._switch_over(old, new, work)
        promoted = self._promoted(new, moment, f"POST /switchover: {said} ({config.words})")
        failed = SystemFailure(
            f"{old} does not follow {new} after the switchover",
            "see Patroni's log on it; `patronictl reinit` makes it anew",
        )
        self._await(lambda: self._follows(old, new, promoted.lsn), work, self._patience(), failed, old)
        return promoted

    def salvage(self, old: str, new: str, work: Work) -> Salvaged:
        """Only of a dead member whose data directory is on this machine: Patroni rewinds one that lives at once."""
        return salvage_member(old, new, self._data, is_running(self._dsn[old], self._seconds), work)

    def rejoin(self, node: str, primary: str, work: Work) -> Rejoined:
        """Started by its hook if it is down, brought back by Patroni; reinitialized if that does not come to an end."""
        lsn = servers.position(self._dsn[primary], self._seconds).lsn
        started = self._ensure_runs(node, work)
        why = f"Patroni brought it back{f' ({started})' if started else ''}"
        if not self._comes_back(node, primary, lsn, work):
            why = f"{self._members.api(node).in_words()} for {self._patience():g} s, so it was asked to reinitialize"
            self._members.api(node).reinitialize()
            failed = SystemFailure(f"{node} does not follow even when reinitialized", "see Patroni's log on it")
            self._await(lambda: self._follows(node, primary, lsn), work, _COPY_SECONDS, failed)
        self._await_synchronous(work)
        how = servers.how_it_came_back(self._dsn[node], self._dsn[primary], self._seconds)
        return Rejoined(node=node, how=how, why=why, rejoined_ns=work.now_ns())

    def revive(self, node: str, work: Work) -> str:
        """Its Patroni is started, and starts the server; then the cluster gets its time to find a leader."""
        done = self._ensure_runs(node, work) or f"{node}'s Patroni runs"
        failed = SystemFailure(f"{node}'s server does not start", "see Patroni's log on it")
        self._await(
            lambda: servers.is_primary(self._dsn[node], self._seconds) is not None, work, GRACE * 2, failed, node
        )
        until = time.monotonic() + self._members.config().patience
        while not any(map(self._takes_writes, self._dsn)) and time.monotonic() < until:
            pause(NAP, work.seconds_left)
        return done

    def connect_seconds(self) -> float:
        """The plan's."""
        return self._seconds

    def _require_programs(self) -> None:
        missing = [f"{name} ({hook.run[0]})" for name, hook in self._spec.hooks.items() if not hook.is_installed]
        if missing:
            raise Refusal(
                f"the plan names hooks whose program is not there: {', '.join(missing)}",
                "install them where Muster runs, make them executable, or name them by their whole path",
            )

    def _switch_over(self, old: str, new: str, work: Work) -> tuple[int, str]:
        """Watch beside the request, which Patroni answers up to a second after it is done."""
        api, seconds = self._members.api(new), self._members.config().handover_seconds
        with ThreadPoolExecutor(max_workers=1) as pool:
            asked = pool.submit(api.switch_over, old, new, seconds)
            while not servers.is_primary(self._dsn[new], self._seconds) and not asked.done():
                pause(NAP, work.seconds_left)
            moment = work.now_ns()
            said = asked.result()
        failed = SystemFailure(f"{new} takes no writes after the switchover: {said}", "see Patroni's log on it")
        if not servers.is_primary(self._dsn[new], self._seconds):
            self._await(lambda: self._takes_writes(new), work, GRACE, failed)
            moment = work.now_ns()
        return moment, said

    def _promoted(self, node: str, moment: int, how: str) -> Promoted:
        found = servers.position(self._dsn[node], self._seconds)
        return Promoted(node=node, promoted_ns=moment, timeline=found.timeline, lsn=found.lsn, how=how)

    def _failing_over(self) -> Cluster:
        """The cluster, which must not be in maintenance mode: what is waited for would never come."""
        cluster = self._members.cluster()
        if error := hindrance(cluster):
            raise error
        return cluster

    def _takes_writes(self, node: str) -> bool:
        return bool(servers.is_primary(self._dsn[node], self._seconds))

    def _follows(self, node: str, primary: str, lsn: str) -> bool:
        """Patroni and the primary both say that the node streams, and it has all that was there at `lsn`."""
        cluster = self._members.cluster()
        member, leader = cluster.member(node), cluster.leader
        if member is None or leader is None or leader.name != primary or member.state != "streaming":
            return False
        on_line = member.timeline == leader.timeline
        return on_line and servers.is_caught_up(self._dsn[primary], node, lsn, self._seconds)

    def _comes_back(self, node: str, primary: str, lsn: str, work: Work) -> bool:
        """Whether the node follows in its time; copying the leader's data anew takes as long as it takes."""
        until = time.monotonic() + self._patience()
        while time.monotonic() < until:
            try:
                if self._follows(node, primary, lsn):
                    return True
                member = self._members.cluster().member(node)
            except NoAnswer:
                member = None
            if member is not None and member.state == "creating replica":
                until = time.monotonic() + self._patience()
            pause(NAP, work.seconds_left)
        return False

    def _await_synchronous(self, work: Work) -> None:
        """Patroni keeps `synchronous_standby_names` itself, where it is told to: until it has a name again."""
        if self._members.config().is_synchronous:
            failed = SystemFailure("Patroni has found no synchronous standby again", "see Patroni's log on the leader")
            has_one = lambda: any(m.is_synchronous for m in self._members.cluster().members)  # noqa: E731
            self._await(has_one, work, self._patience(), failed)

    def _ensure_runs(self, node: str, work: Work) -> str:
        """Start the node's Patroni by its hook if it does not answer; what was done, empty if nothing had to be."""
        api = self._members.api(node)
        if api.is_alive():
            return ""
        done = self._act("start", node, work)
        failed = SystemFailure(f"{node}'s Patroni does not answer after its hook 'start'", "see Patroni's log on it")
        self._await(api.is_alive, work, 2 * GRACE, failed)
        return done

    def _inflict(self, fault: HookName, old: str, new: str, work: Work) -> str:
        """A fault by its hook, on record before it is there."""
        Notes(work.workspace).add_fault(fault, old)
        slow = work.spec.slow_link
        rate = slow.mbytes_per_second
        more = {
            "MUSTER_RTT_MS": f"{slow.rtt.total_seconds() * 1000:g}",
            "MUSTER_LOSS": f"{slow.loss:g}",
            "MUSTER_MBYTES_PER_SECOND": "" if rate is None else f"{rate:g}",
        }
        return self._act(fault, old, work, old, new, more if fault == "slow" else {})

    def _act(
        self, verb: HookName, node: str, work: Work, old: str = "", new: str = "", more: Mapping[str, str] | None = None
    ) -> str:
        """Run a hook of the plan on a node."""
        hook = self._spec.hooks.get(verb)
        if hook is None:
            raise UsageError(
                f"{node} takes a hook {verb!r}, and the plan names none",
                f"name it, such as target.hooks.{verb}: [ssh, {node}, ...], or do by hand what it would do",
            )
        named = next(n for n in self._nodes if n.name == node)
        occasion = Occasion(named, old=old, new=new, scenario=work.spec.scenario, more=more or {})
        blame = SystemFailure if verb == "fence" else StepError
        said = run_hook(verb, hook, occasion, work.processes, work.seconds_left, blame=blame)
        return told(verb, node, said)

    def _patience(self) -> float:
        return max(_FOLLOW_SECONDS, self._members.config().patience + GRACE)

    def _await(
        self, is_so: Callable[[], object], work: Work, at_most: float, failed: MusterError, node: str | None = None
    ) -> None:
        state = self._members.api(node).in_words if node else None
        await_patroni(is_so, work.seconds_left, at_most, failed, state)


def open_target(keys: dict[str, object], _settings: Settings) -> Target:
    """The target of a plan. Nothing is connected to."""
    spec = Spec.model_validate(keys)
    return Target(spec, Members({n.name: Api(n.name, n.api, spec.access) for n in spec.nodes}))
