"""Target `aurora-global`: an Aurora PostgreSQL global database over two regions. Not yet proven on AWS.

Every call is held against the API's own model in our tests; none has been made to AWS. What is known to differ from a
server of one's own: Aurora has no timelines and no log to look into, so `Promoted` tells neither, and nothing is
salvaged (after an unplanned failover the service itself tries to keep a snapshot of the old volume, named
`rds:unplanned-global-failover-...`); a region cannot be taken away, so `kill` is told to the service instead.

Promises: a planned switch is `switchover-global-cluster`, which loses nothing; an unplanned one is
`failover-global-cluster` with `AllowDataLoss`, which fences the old primary as far as the service reaches it, and makes
a reader of it again. Each is asked of the region that AWS says it should be: the primary's, or the one taking over.

Needs rds:DescribeGlobalClusters, rds:DescribeDBClusters, rds:SwitchoverGlobalCluster, rds:FailoverGlobalCluster.
Source: Amazon Aurora User Guide, "Using switchover or failover in Amazon Aurora Global Database".
"""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from muster.errors import Refusal, StepError
from muster.failover.observations import Node, Promoted, Rejoined, Salvaged
from muster.failover.spec import Scenario
from muster.identity import Identity
from muster.quantity import Duration
from muster.settings import Settings
from tasks.rds.calls import Clients, calling, client_of, name_of, region_of, wait_for
from tasks.servers import ServerKeys, nodes_of
from tasks.targets.promotable import Work

if TYPE_CHECKING:
    from mypy_boto3_rds.type_defs import GlobalClusterMemberTypeDef, GlobalClusterTypeDef

_POLL_SECONDS = 5.0


class ClusterKeys(ServerKeys):
    """One regional cluster; its `dsn` leads to an endpoint of that cluster, never to the global one."""

    cluster: str = Field(pattern=r"^arn:aws[a-z-]*:rds:[a-z0-9-]+:\d{12}:cluster:[A-Za-z0-9-]+$")
    """ARN of the cluster."""


class Spec(BaseModel):
    """The target's keys in a plan. AWS credentials come from where boto3 finds them."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    type: str = "aurora-global"
    global_cluster: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9-:._]*$")
    """Identifier of the global database."""
    resource_id: str | None = None
    """Its `GlobalClusterResourceId`; proved before anything is done."""
    nodes: tuple[ClusterKeys, ...] = Field(min_length=2, max_length=2)
    within: Duration = Field(default="15m", validate_default=True, gt=timedelta())
    """How long the service may take for a switch, a failover, or to bring a region back."""
    connect: Duration = Field(default="5s", validate_default=True, ge=timedelta(seconds=2))
    """How long an attempt to connect may take before it counts as failed."""


class Target:
    """A global database with two regions."""

    def __init__(self, spec: Spec, clients: Clients = client_of, every: float = _POLL_SECONDS) -> None:
        self._spec = spec
        self._nodes = nodes_of(spec.nodes)
        self._arns = {node.name: node.cluster for node in spec.nodes}
        self._clients = clients
        self._every = every

    def identify(self) -> Identity:
        """The service is asked for the global database, by whichever region answers, and for its members."""
        try:
            found = self._describe()
        except StepError as error:
            raise Refusal(error.message, error.advice) from None
        resource = found.get("GlobalClusterResourceId", "")
        if self._spec.resource_id not in {None, resource}:
            raise Refusal(
                f"{self._spec.global_cluster} has the resource id {resource}, not {self._spec.resource_id}",
                "it is another global database of the same name: mend target.resource_id",
            )
        if (engine := found.get("Engine", "")) != "aurora-postgresql":
            raise Refusal(
                f"{self._spec.global_cluster} is of the engine {engine!r}", "only aurora-postgresql is drilled"
            )
        members = {member.get("DBClusterArn") for member in found.get("GlobalClusterMembers", [])}
        if strangers := set(self._arns.values()) - members:
            raise Refusal(
                f"{', '.join(sorted(strangers))} is not in the global database {self._spec.global_cluster}",
                f"mend target.nodes; its members are {', '.join(sorted(filter(None, members))) or 'none'}",
            )
        return Identity(
            description=f"Aurora global database {self._spec.global_cluster}",
            proof=f"rds:DescribeGlobalClusters: {resource} with {' and '.join(self._arns.values())}",
        )

    def nodes(self) -> tuple[Node, ...]:
        """As in the plan."""
        return self._nodes

    def scenarios(self) -> frozenset[Scenario]:
        """A planned switch, and an unplanned failover. No other fault can be asked of the service."""
        return frozenset({Scenario.SWITCHOVER, Scenario.KILL})

    def strike(self, scenario: Scenario, old: str, new: str, work: Work) -> tuple[str, ...]:
        """`kill`: the service is told that the primary's region is lost."""
        if scenario is Scenario.SWITCHOVER:
            return ()
        if scenario is not Scenario.KILL:
            raise StepError(f"a global database cannot be made to suffer {scenario}", "choose switchover or kill")
        self._fail_over_to(new)
        return (f"{old} is given up: rds:FailoverGlobalCluster to {new}, data loss allowed",)

    def heal(self, work: Work) -> tuple[str, ...]:
        """Nothing was broken."""
        return ()

    def fence(self, node: str, work: Work) -> str:
        """The service fences a primary as it fails over from it; wait until it calls the node writer no more."""
        if self._member(node).get("IsWriter"):
            self._fail_over_to(self._peer(node))
        self._wait(lambda: not self._member(node).get("IsWriter"), f"{node} to be no writer any more", work)
        return f"{node} is not the writer of {self._spec.global_cluster} any more, as the service says"

    def promote(self, node: str, work: Work) -> Promoted:
        """Unplanned. One that is under way, or done, is not asked for again."""
        how = "the service had done it already"
        if not self._is_settled(self._describe(), node):
            how = "rds:FailoverGlobalCluster, data loss allowed"
            self._fail_over_to(node)
            self._wait_until_settled_on(node, work)
        return self._promoted(node, how, work)

    def switch(self, old: str, new: str, work: Work) -> Promoted:
        """Planned: all regions are brought level before roles change, and the old primary becomes a reader."""
        how, found = "the service had done it already", self._describe()
        if not self._is_settled(found, new):
            how = "rds:SwitchoverGlobalCluster"
            if not self._is_on_the_way(found, new):
                with calling("SwitchoverGlobalCluster"):
                    self._clients(self._region(old)).switchover_global_cluster(
                        GlobalClusterIdentifier=self._spec.global_cluster, TargetDbClusterIdentifier=self._arns[new]
                    )
            self._wait_until_settled_on(new, work)
        promoted = self._promoted(new, how, work)
        self.rejoin(old, new, work)
        return promoted

    def salvage(self, old: str, new: str, work: Work) -> Salvaged:
        """Aurora lets nobody look into its log."""
        return Salvaged(
            node=old,
            fork_lsn=None,
            commits=None,
            why_not="Aurora keeps its log to itself; look for a snapshot rds:unplanned-global-failover-"
            f"{name_of(self._arns[old])}-... in {self._region(old)}",
        )

    def rejoin(self, node: str, primary: str, work: Work) -> Rejoined:
        """The service does it: wait until the node is a connected reader, and available in its own region."""

        def is_reader() -> bool:
            member = self._member(node)
            in_step = member.get("SynchronizationStatus", "connected") == "connected"
            return not member.get("IsWriter") and in_step and self._status(node) == "available"

        self._wait_until_settled_on(primary, work)
        self._wait(is_reader, f"{node} to be a connected reader again", work)
        return Rejoined(
            node=node,
            how="service",
            why="Aurora makes a reader of it, and does not say how",
            rejoined_ns=work.now_ns(),
        )

    def revive(self, node: str, work: Work) -> str:
        """A member cannot be started or stopped by us: wait until the service has it available."""
        self._wait(lambda: self._status(node) == "available", f"{node} to be available", work)
        return f"the service says that {node} is available"

    def connect_seconds(self) -> float:
        """As the plan says."""
        return self._spec.connect.total_seconds()

    def _fail_over_to(self, node: str) -> None:
        found = self._describe()
        if self._member_of(found, node).get("IsWriter") or self._is_on_the_way(found, node):
            return
        with calling("FailoverGlobalCluster"):
            self._clients(self._region(node)).failover_global_cluster(
                GlobalClusterIdentifier=self._spec.global_cluster,
                TargetDbClusterIdentifier=self._arns[node],
                AllowDataLoss=True,
            )

    def _promoted(self, node: str, how: str, work: Work) -> Promoted:
        return Promoted(node=node, promoted_ns=work.now_ns(), timeline=0, lsn="", how=how)

    def _wait_until_settled_on(self, node: str, work: Work) -> None:
        self._wait(lambda: self._is_settled(self._describe(), node), f"{node} to be the writer", work)

    def _is_settled(self, found: "GlobalClusterTypeDef", node: str) -> bool:
        """Whether it is the writer, and no switch or failover is under way."""
        return not found.get("FailoverState") and bool(self._member_of(found, node).get("IsWriter"))

    def _is_on_the_way(self, found: "GlobalClusterTypeDef", node: str) -> bool:
        state = found.get("FailoverState") or {}
        return state.get("ToDbClusterArn") == self._arns[node] and state.get("Status") != "cancelling"

    def _member(self, node: str) -> "GlobalClusterMemberTypeDef":
        return self._member_of(self._describe(), node)

    def _member_of(self, found: "GlobalClusterTypeDef", node: str) -> "GlobalClusterMemberTypeDef":
        """A member that the service has detached for a while is a member with nothing to say."""
        nothing: GlobalClusterMemberTypeDef = {}
        members = found.get("GlobalClusterMembers", [])
        return next((m for m in members if m.get("DBClusterArn") == self._arns[node]), nothing)

    def _describe(self) -> "GlobalClusterTypeDef":
        """The global database as any of its regions says; the other is asked when one does not answer."""
        first, second = (self._region(node.name) for node in self._nodes)
        try:
            return self._describe_in(first)
        except StepError:
            if second == first:
                raise
            return self._describe_in(second)

    def _describe_in(self, region: str) -> "GlobalClusterTypeDef":
        with calling("DescribeGlobalClusters"):
            answer = self._clients(region).describe_global_clusters(GlobalClusterIdentifier=self._spec.global_cluster)
        return answer["GlobalClusters"][0]

    def _status(self, node: str) -> str:
        with calling("DescribeDBClusters"):
            answer = self._clients(self._region(node)).describe_db_clusters(DBClusterIdentifier=self._arns[node])
        return answer["DBClusters"][0].get("Status", "")

    def _wait(self, is_so: Callable[[], bool], words: str, work: Work) -> None:
        patience = min(self._spec.within.total_seconds(), work.seconds_left())
        wait_for(lambda: is_so() or None, words, work.seconds_left, at_most=patience, every=self._every)

    def _region(self, node: str) -> str:
        return region_of(self._arns[node])

    def _peer(self, name: str) -> str:
        return next(node.name for node in self._nodes if node.name != name)


def open_target(keys: dict[str, object], _settings: Settings) -> Target:
    """The target of a plan. Nothing is asked of AWS yet."""
    return Target(Spec.model_validate(keys))
