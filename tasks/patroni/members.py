"""The members of one Patroni cluster together, as far as their APIs answer.

Promises: whoever answers is believed about the cluster, since each reads it from the DCS when asked; what cannot be
asked any more is answered from what was known before, where that cannot have changed.
"""

from collections.abc import Mapping

from muster.errors import MusterError, Refusal, StepError, SystemFailure
from tasks.patroni import servers
from tasks.patroni.api import Api, Cluster, Config, NoAnswer, Status


class Members:
    """The APIs of a plan's nodes, by node."""

    def __init__(self, apis: Mapping[str, Api]) -> None:
        self._apis = dict(apis)
        self._config: Config | None = None
        self._doubtful: set[str] = set()
        """Asked last: a member that stands still costs a time-out each time it is asked."""

    def api(self, node: str) -> Api:
        """The node's own."""
        return self._apis[node]

    def cluster(self) -> Cluster:
        """Of the first member that answers and reaches the DCS; `NoAnswer` when none does."""
        complaints = []
        for node, api in self._in_turn():
            try:
                return api.cluster()
            except NoAnswer as error:
                self.doubt(node)
                complaints.append(error.message)
        raise NoAnswer(
            f"no member tells how the cluster is: {'; '.join(complaints)}",
            "see whether Patroni runs on the members, and reaches its DCS",
        )

    def config(self) -> Config:
        """The cluster's settings, as they were when a member last told; Patroni's defaults when none ever did."""
        for node, api in self._in_turn():
            try:
                self._config = api.config()
                break
            except NoAnswer:
                self.doubt(node)
        return self._config or Config()

    def statuses(self) -> dict[str, Status]:
        """Every member of itself; a `Refusal` when one does not answer."""
        found: dict[str, Status] = {}
        complaints: list[str] = []
        for node, api in self._apis.items():
            try:
                found[node] = api.status()
            except NoAnswer as error:
                complaints.append(error.message)
        if complaints and not found:
            raise Refusal(
                f"no member's REST API answers: {'; '.join(complaints)}",
                "start Patroni, or mend the keys 'api' of the plan's nodes",
            )
        if complaints:
            raise Refusal(
                f"not every member's REST API answers: {'; '.join(complaints)}",
                "start what is down: a rehearsal begins with every node alive",
            )
        return found

    def doubt(self, node: str) -> None:
        """Ask this node after the others from now on, until only doubtful ones are left."""
        self._doubtful.add(node)
        if self._doubtful >= set(self._apis):
            self._doubtful = {node}

    def _in_turn(self) -> list[tuple[str, Api]]:
        return sorted(self._apis.items(), key=lambda item: item[0] in self._doubtful)


def refuse_other(statuses: Mapping[str, Status], scope: str, identifier: str | None) -> str:
    """The system identifier that all members have; a `Refusal` when they are not the plan's."""
    for node, status in statuses.items():
        refuse_other_scope(node, status, scope)
        if status.itself.name != node:
            raise Refusal(
                f"the API of the node {node} belongs to the member {status.itself.name}",
                "nodes have their members' names: mend 'name' or 'api'",
            )
    return refuse_other_system(statuses, identifier)


def refuse_other_scope(node: str, status: Status, scope: str) -> None:
    """A `Refusal` when the node's API is one of another cluster."""
    if status.itself.scope != scope:
        raise Refusal(
            f"{node} is a member of the cluster {status.itself.scope!r}, the plan names {scope!r}",
            "mend the name of the cluster in the plan's target, or the node's 'api'",
        )


def refuse_other_system(statuses: Mapping[str, Status], identifier: str | None) -> str:
    """The system identifier that all have; a `Refusal` when it is not the one that is wanted."""
    found = {status.system_identifier for status in statuses.values()}
    wanted = identifier or next(iter(found))
    if other := found - {wanted}:
        raise Refusal(
            f"a member has the system identifier {other.pop() or 'unknown'}, expected {wanted}",
            "this is another system than the plan's, or a member that was never made from the leader",
        )
    return wanted


def refuse_other_server(node: str, status: Status, dsn: str, seconds: float) -> None:
    """Two servers of one system look alike: only the moment they were started tells them apart."""
    try:
        started = servers.server_started(dsn, seconds)
    except StepError as error:
        raise Refusal(f"{node}: {error.message}", error.advice) from None
    if status.started != started:
        raise Refusal(
            f"the dsn of {node} leads to a server that was started at {started}, its Patroni runs one started at"
            f" {status.started or 'no time'}",
            "mend 'dsn' or 'api' of this node: they are of two members, or a pooler is in between",
        )


def refuse_unfit(cluster: Cluster, nodes: frozenset[str]) -> None:
    """A `Refusal` when the cluster is in no state from which it fails over."""
    if error := hindrance(cluster):
        raise Refusal(error.message, error.advice)
    if cluster.scheduled_switchover:
        raise Refusal(
            f"a switchover is scheduled for {cluster.scheduled_switchover.at}",
            f"wait for it, or cancel it: `patronictl flush {cluster.scope} switchover`",
        )
    leader = cluster.leader
    if leader is None:
        raise Refusal(
            f"the cluster {cluster.scope} has no leader", "see Patroni's logs: nobody takes writes in this cluster now"
        )
    if leader.name not in nodes:
        raise Refusal(
            f"the leader {leader.name} is none of the plan's nodes",
            "name it in the plan, or switch over to one of them",
        )


def hindrance(cluster: Cluster) -> MusterError | None:
    """What keeps Patroni from failing over at all."""
    if not cluster.is_paused:
        return None
    return SystemFailure(
        f"the cluster {cluster.scope} is in maintenance mode: Patroni does not fail over",
        f"end it: `patronictl resume {cluster.scope}`",
    )
