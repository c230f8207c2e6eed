"""Target `patroni-clusters`: two Patroni clusters, each with a DCS of its own, of which one is the other's standby.

Promises: a planned switch demotes first, proves that the other has all of the log up to the shutdown's checkpoint, and
only then promotes; if it cannot prove that, the old one is made primary again. A cluster whose API answers is fenced by
demoting it, which its DCS keeps whatever becomes of its members; one that does not answer, by the hook `fence`.
Traps: no DCS knows of the other: a cluster that was lost as primary comes back as one, unless its DCS says otherwise
before its Patroni starts, so `fence` and `start` are told what it must say. One whose log has diverged comes back by
pg_rewind (`use_pg_rewind`) or not at all: Patroni makes no standby leader anew.
Source: Patroni 4.1 documentation, "Standby cluster"; `patroni/ctl.py` (`demote-cluster` and `promote-cluster` are one
PATCH of `/config`, and waiting), `patroni/ha.py`.
"""

import json
from collections.abc import Callable, Mapping

from muster.errors import MusterError, Refusal, StepError, SystemFailure
from muster.failover.observations import Node, Promoted, Rejoined, Salvaged
from muster.failover.spec import Scenario
from muster.identity import Identity
from muster.settings import Settings
from tasks.patroni import servers
from tasks.patroni.api import Api, Config, NoAnswer, Status
from tasks.patroni.members import (
    Members,
    hindrance,
    refuse_other_scope,
    refuse_other_server,
    refuse_other_system,
    refuse_unfit,
)
from tasks.patroni.patience import GRACE, await_patroni
from tasks.patroni.regional import Spec
from tasks.patroni.salvaging import is_running, salvage_member
from tasks.servers import nodes_of
from tasks.streaming import roles
from tasks.streaming.commands import Commands, told
from tasks.streaming.faults import Faults
from tasks.streaming.notes import Notes
from tasks.targets.promotable import Work

_LEADERS = frozenset({"primary", "standby_leader"})
_FOLLOW_SECONDS = 120.0
"""At least this long a cluster may take to come back as standby, by a rewind if need be."""
_START_SECONDS = 60.0
_TOLD = "MUSTER_STANDBY_CLUSTER"
_AS_PRIMARY = "null"
_AS_IT_IS = ""
_DONE = "it was primary already"


class Target:
    """The two clusters that a plan names."""

    def __init__(self, spec: Spec, apis: Mapping[str, Api]) -> None:
        self._spec = spec
        self._apis = dict(apis)
        self._nodes = {node.name: node for node in nodes_of(spec.clusters)}
        self._keys = {keys.name: keys for keys in spec.clusters}
        self._commands = Commands(spec.hooks, list(self._nodes.values()))
        self._faults = Faults(self._commands, self._nodes, self._hold_replay)
        self._seconds = spec.connect_timeout.total_seconds()

    def identify(self) -> Identity:
        """Every API and server is asked who it is; one cluster must be the standby that the plan would make of it."""
        self._commands.require_programs()
        statuses = Members(self._apis).statuses()
        for name, status in statuses.items():
            refuse_other_scope(name, status, self._keys[name].scope)
        identifier = refuse_other_system(statuses, self._spec.system_identifier)
        try:
            self._refuse_unfit(statuses)
        except NoAnswer as error:
            raise Refusal(error.message, error.advice) from None
        for name, status in statuses.items():
            refuse_other_server(name, status, self._nodes[name].dsn, self._seconds)
        scopes = " and ".join(f"{keys.scope} in {keys.region}" for keys in self._spec.clusters)
        return Identity(
            description=f"the Patroni clusters {scopes}",
            system_identifier=identifier,
            proof=f"the APIs and the servers of {' and '.join(self._nodes)} were asked",
        )

    def nodes(self) -> tuple[Node, ...]:
        """One for each cluster."""
        return tuple(self._nodes.values())

    def scenarios(self) -> frozenset[Scenario]:
        """The switchover, and what the plan's hooks can make happen and mend."""
        return self._spec.scenarios

    def strike(self, scenario: Scenario, old: str, new: str, work: Work) -> tuple[str, ...]:
        """By the plan's hooks; replay is held by SQL."""
        Notes(work.workspace).set_serving(old)
        return self._faults.strike(scenario, old, new, work)

    def heal(self, work: Work) -> tuple[str, ...]:
        """The faults that this run noted, the newest first."""
        return self._faults.heal(work)

    def fence(self, node: str, work: Work) -> str:
        """Demote the cluster to a standby of the other one; by the hook where nobody there does as it is told."""
        try:
            return self._demote_for_good(node, work)
        except MusterError as error:
            work.seconds_left()
            complaint = error
        if self._spec.hooks.fence is None:
            raise SystemFailure(
                f"{node} cannot be fenced: {complaint.message}; and the plan names no hook 'fence'",
                "a cluster that is lost comes back as primary: name target.hooks.fence",
            )
        section = json.dumps(self._section(node))
        done = self._do("fence", node, work, section, blame=SystemFailure)
        if self._takes_writes(node):
            raise SystemFailure(f"{node} takes writes though its hook 'fence' has run", "make the fence certain")
        return f"{done} ({complaint.message})"

    def promote(self, node: str, work: Work) -> Promoted:
        """As `patronictl promote-cluster`."""
        api = self._apis[node]
        config = api.config()
        self._refuse_paused(node)
        how = f'PATCH /config {{"standby_cluster": null}} ({config.words})'
        if not config.is_standby and self._takes_writes(node):
            how = _DONE
        else:
            api.configure({"standby_cluster": None})
        Notes(work.workspace).set_serving(node)
        failed = SystemFailure(f"{node} does not take writes", "see Patroni's log on its leader")
        self._await(lambda: self._takes_writes(node), work, config.patience + GRACE, failed, node)
        moment = work.now_ns()
        at = servers.position(self._nodes[node].dsn, self._seconds)
        return Promoted(node=node, promoted_ns=moment, timeline=at.timeline, lsn=at.lsn, how=how)

    def switch(self, old: str, new: str, work: Work) -> Promoted:
        """As `demote-cluster` of the old one, a look at both logs, `promote-cluster` of the new one."""
        if not self._is_taking_over(new):
            self._hand_over(old, new, work)
        promoted = self.promote(new, work)
        Notes(work.workspace).set_handed_over("")
        self.rejoin(old, new, work)
        return promoted

    def salvage(self, old: str, new: str, work: Work) -> Salvaged:
        """Only of a dead member whose data directory is on this machine: Patroni rewinds one that lives at once."""
        data = {name: keys.data for name, keys in self._keys.items()}
        return salvage_member(old, new, data, is_running(self._nodes[old].dsn, self._seconds), work)

    def rejoin(self, node: str, primary: str, work: Work) -> Rejoined:
        """Its DCS says that it is a standby; it is started if it is down, and brought back by Patroni."""
        leader, follower = self._nodes[primary], self._nodes[node]
        at = roles.position(leader)
        started = self._ensure_runs(node, json.dumps(self._section(node)), work)
        config = self._await_config(node, work)
        self._make_standby(node, config, bool(started))
        failed = SystemFailure(
            f"{node} does not follow {primary}",
            "see Patroni's log on it; one that cannot be rewound is made anew: stop it, `patronictl remove`, start it",
        )

        def is_back() -> bool:
            return roles.streams(follower, at.timeline, at.lsn) and roles.sends(leader, at.lsn)

        self._await(is_back, work, max(_FOLLOW_SECONDS, config.patience + GRACE), failed, node)
        how = servers.how_it_came_back(follower.dsn, leader.dsn, self._seconds)
        why = f"Patroni brought it back as a standby cluster{f' ({started})' if started else ''}"
        return Rejoined(node=node, how=how, why=why, rejoined_ns=work.now_ns())

    def revive(self, node: str, work: Work) -> str:
        """Its Patroni is started; the cluster that served last takes writes again, unless the other one does."""
        peer = self._peer(node)
        if self._takes_writes(peer):
            raise StepError(f"{peer} takes writes, {node} might too", f"rejoin {node} to it instead")
        served = Notes(work.workspace).serving()
        section = _AS_IT_IS
        if served:
            section = _AS_PRIMARY if served == node else json.dumps(self._section(node))
        done = self._ensure_runs(node, section, work) or f"{node}'s Patroni runs"
        self._await_config(node, work)
        if served == node:
            done = f"{done}; it takes writes: {self.promote(node, work).how}"
        failed = SystemFailure(f"{node}'s server does not start", "see Patroni's log on it")
        self._await(lambda: roles.role_of(self._nodes[node], self._seconds), work, _START_SECONDS, failed, node)
        return done

    def connect_seconds(self) -> float:
        """The plan's."""
        return self._seconds

    def _hold_replay(self, node: Node, work: Work) -> None:
        config, lasts = self._apis[node.name].config(), work.spec.fault_lasts.total_seconds()
        servers.hold_replay(node.dsn, lasts, config.loop_wait, self._seconds, work.seconds_left)

    def _refuse_unfit(self, statuses: Mapping[str, Status]) -> None:
        """Both must have a leader, and one of them must follow the other as the plan says."""
        for name, status in statuses.items():
            cluster = self._apis[name].cluster()
            refuse_unfit(cluster, frozenset(member.name for member in cluster.members))
            if status.role not in _LEADERS:
                raise Refusal(
                    f"the api of {name} leads to {status.itself.name}, which is {status.role or 'down'} and no leader",
                    "name the leader, or an address that follows it, in 'api' and 'dsn'",
                )
        configs = {name: self._apis[name].config() for name in self._apis}
        standbys = [name for name, config in configs.items() if config.is_standby]
        if len(standbys) != 1:
            both = " and ".join(configs)
            raise Refusal(
                f"{both} are both standby clusters" if standbys else f"neither {both} is a standby cluster",
                "promote one of them: `patronictl promote-cluster`"
                if standbys
                else "both take writes: demote one of them, `patronictl demote-cluster`",
            )
        self._refuse_other_section(standbys[0], configs[standbys[0]])

    def _refuse_other_section(self, standby: str, config: Config) -> None:
        """What the rehearsal would leave behind must be what it found."""
        found, planned = _words(config.standby_cluster or {}), _words(self._section(standby))
        if other := sorted(key for key in found | planned if found.get(key) != planned.get(key)):
            shown = ", ".join(f"{key} {found.get(key, 'not set')}, not {planned.get(key, 'unset')}" for key in other)
            raise Refusal(
                f"the standby_cluster of {standby} has {shown}, as the plan's keys would make it",
                "mend host, port and slot of the other cluster, or restore_command of this one, in the plan",
            )

    def _demote_for_good(self, node: str, work: Work) -> str:
        """Its DCS says that it is a standby, and it takes no writes."""
        api = self._apis[node]
        if not api.is_alive():
            raise NoAnswer(f"{node}'s API does not answer", "start its Patroni")
        config = api.config()
        notes = Notes(work.workspace)
        if not notes.serving() and not config.is_standby:
            notes.set_serving(node)
        self._configure_standby(node, config)
        failed = SystemFailure(
            f"{node} still takes writes: its Patroni does not act", "see Patroni's log on its leader"
        )
        self._await(lambda: not self._takes_writes(node), work, config.patience + GRACE, failed, node)
        return f"{node} is a standby cluster of {self._peer(node)} now, as its DCS says ({config.words})"

    def _hand_over(self, old: str, new: str, work: Work) -> None:
        """Demote `old`, and prove that `new` has all that it wrote; else `old` is primary again."""
        after = self._prepare(old, new, work) if self._takes_writes(old) else Notes(work.workspace).handed_over()
        if not after:
            raise StepError(
                f"{old} does not answer as primary", f"fail over to {new} instead: a switch takes both clusters"
            )
        config = self._apis[old].config()
        try:
            self._configure_standby(old, config)
            failed = SystemFailure(f"it is not proven that {new} has all of {old}'s log", "see Patroni's log on both")
            self._await(lambda: self._has_all(old, new, after), work, config.patience + GRACE, failed, old)
        except MusterError as error:
            work.seconds_left()
            self._take_back(old, new, error, work)

    def _has_all(self, old: str, new: str, after: str) -> bool:
        """Whether the shutdown's checkpoint of the old one, the last of its log, is applied by the new one."""
        try:
            end = roles.end_of_clean_stop(self._nodes[old], after, self._seconds)
            return bool(end) and roles.has_applied(self._nodes[new], end)
        except StepError:
            return False  # it is being restarted

    def _take_back(self, old: str, new: str, error: MusterError, work: Work) -> None:
        """A handover that is not proven leaves the old one primary, unless somebody has promoted the new one."""
        if self._is_taking_over(new):
            raise SystemFailure(
                f"{new} was promoted before it had all of {old}'s log: {error.message}", "find out by whom"
            )
        try:
            how = self.promote(old, work).how
        except MusterError as worse:
            raise SystemFailure(
                f"{old} cannot hand over ({error.message}), nor be primary again: {worse.message}", worse.advice
            ) from None
        raise SystemFailure(
            f"{old} cannot hand over, and takes writes again ({how}): {error.message}", error.advice
        ) from None

    def _prepare(self, old: str, new: str, work: Work) -> str:
        """Both must be able to act; where the log is, is noted before anything is changed."""
        for name in (old, new):
            self._refuse_paused(name)
        servers.resume_replay(self._nodes[new].dsn, self._seconds)
        at = roles.position(self._nodes[old])
        if not roles.streams(self._nodes[new], at.timeline, "0/0"):
            raise SystemFailure(f"{new} does not stream from {old}", "mend replication first")
        notes = Notes(work.workspace)
        notes.set_serving(old)
        notes.set_handed_over(at.lsn)
        return at.lsn

    def _make_standby(self, node: str, config: Config, was_started: bool) -> None:
        """Whatever it was; one that its hook let come up as primary has broken its fence, and that is said."""
        self._configure_standby(node, config)
        if was_started and not config.is_standby:
            raise SystemFailure(
                f"{node} came up as a primary beside {self._peer(node)}; it is demoted now",
                f"let the hook 'start' put {_TOLD} into its DCS before it starts Patroni",
            )

    def _configure_standby(self, node: str, config: Config) -> None:
        """Patroni merges what it is sent with what there is: what is not wanted is taken out."""
        section, found = self._section(node), config.standby_cluster or {}
        if _words(found) != _words(section):
            gone = {key: None for key in found if key not in section}
            self._apis[node].configure({"standby_cluster": gone | section})

    def _ensure_runs(self, node: str, section: str, work: Work) -> str:
        """Start the cluster by its hook if it does not answer; what was done, empty if nothing had to be."""
        api = self._apis[node]
        if api.is_alive():
            return ""
        done = self._do("start", node, work, section)
        failed = SystemFailure(f"{node}'s Patroni does not answer after its hook 'start'", "see Patroni's log on it")
        self._await(api.is_alive, work, _START_SECONDS, failed, node)
        return done

    def _await_config(self, node: str, work: Work) -> Config:
        """Of a cluster that may have been started just now."""
        found: list[Config] = []

        def has_told() -> bool:
            found.append(self._apis[node].config())
            return True

        failed = SystemFailure(f"{node} does not tell its settings", "see whether its Patroni reaches the DCS")
        self._await(has_told, work, _START_SECONDS, failed, node)
        return found[0]

    def _do(self, verb: str, node: str, work: Work, section: str, *, blame: type[StepError] = StepError) -> str:
        """Run a hook, which is told what the cluster is to be."""
        peer, more = self._peer(node), {_TOLD: section}
        return told(verb, node, self._commands.call(verb, node, work, old=node, new=peer, more=more, blame=blame))

    def _refuse_paused(self, node: str) -> None:
        """Patroni changes no cluster's role in maintenance mode."""
        if error := hindrance(self._apis[node].cluster()):
            raise error

    def _section(self, node: str) -> dict[str, object]:
        return self._keys[node].following(self._keys[self._peer(node)])

    def _is_taking_over(self, node: str) -> bool:
        """Whether it is primary, or told to be."""
        return self._takes_writes(node) or not self._apis[node].config().is_standby

    def _takes_writes(self, node: str) -> bool:
        return bool(servers.is_primary(self._nodes[node].dsn, self._seconds))

    def _await(self, is_so: Callable[[], object], work: Work, at_most: float, failed: MusterError, node: str) -> None:
        await_patroni(is_so, work.seconds_left, at_most, failed, self._apis[node].in_words)

    def _peer(self, name: str) -> str:
        return next(other for other in self._nodes if other != name)


def _words(section: Mapping[str, object]) -> dict[str, str]:
    """A port may be a number or its digits."""
    return {key: str(value) for key, value in section.items()}


def open_target(keys: dict[str, object], _settings: Settings) -> Target:
    """The target of a plan. Nothing is connected to."""
    spec = Spec.model_validate(keys)
    return Target(spec, {c.name: Api(c.name, c.api, spec.access) for c in spec.clusters})
