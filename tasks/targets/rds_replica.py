"""Target `rds-replica`: an RDS for PostgreSQL instance and its read replica in another region. Not yet proven on AWS.

Every call is held against the API's own model in our tests; none has been made to AWS. What RDS does not offer:

- A planned switch that loses nothing: there is none between an instance and its replica. Plan `failback: null`.
- A fault. A hook `kill` has to make it, such as an experiment of AWS Fault Injection Service.
- A fence before the promotion: by its documentation RDS does not stop an instance that has a read replica. A hook
  `fence` has to do it (a security group that lets nobody in, say); without one it is tried by stop-db-instance, which
  does work once the replica was promoted. RDS starts a stopped instance by itself after seven days.
- A way back for the old primary. Where the plan says `rebuild`, a new replica is created instead, under a name of its
  own and so with another endpoint: the hook `announce` brings the node's DSN there (a CNAME, a service file). The old
  instance is left as it is, for people to look into and to delete.

Needs rds:DescribeDBInstances, rds:PromoteReadReplica, rds:StopDBInstance, rds:StartDBInstance and, to rebuild,
rds:CreateDBInstanceReadReplica.
Source: Amazon RDS User Guide, "Working with DB instance read replicas", "Stopping an Amazon RDS DB instance".
"""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from muster.errors import Refusal, StepError, SystemFailure
from muster.failover.observations import Node, Promoted, Rejoined, Salvaged
from muster.failover.spec import Scenario
from muster.identity import Identity
from muster.quantity import Duration
from muster.settings import Settings
from tasks.hooks import Hook, Occasion, run_hook
from tasks.rds.calls import Clients, Missing, NotNow, calling, client_of, name_of, region_of, wait_for
from tasks.servers import ServerKeys, nodes_of
from tasks.streaming import roles
from tasks.targets.promotable import Work

if TYPE_CHECKING:
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_rds.type_defs import DBInstanceTypeDef

_POLL_SECONDS = 10.0
_SERVES = frozenset({"available", "backing-up", "configuring-enhanced-monitoring", "storage-optimization"})
"""States in which an instance takes connections for good."""


class Rebuild(BaseModel):
    """The replica that takes the place of a lost instance, in the same region."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identifier: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    announce: Hook
    """Leads the node's DSN to `MUSTER_ENDPOINT` (host and port)."""
    instance_class: str | None = None
    subnet_group: str | None = None
    parameter_group: str | None = None
    security_groups: tuple[str, ...] = ()
    kms_key: str | None = None
    """Needed for an encrypted replica in another region than its source."""


class InstanceKeys(ServerKeys):
    """One instance."""

    instance: str = Field(pattern=r"^arn:aws[a-z-]*:rds:[a-z0-9-]+:\d{12}:db:[A-Za-z0-9-]+$")
    """ARN of the instance."""
    rebuild: Rebuild | None = None


class Hooks(BaseModel):
    """What RDS does not do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fence: Hook | None = None
    """`MUSTER_NODE` takes no write any more."""
    kill: Hook | None = None
    """`MUSTER_NODE` serves nobody any more."""


class Spec(BaseModel):
    """The target's keys in a plan. AWS credentials come from where boto3 finds them."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    type: str = "rds-replica"
    nodes: tuple[InstanceKeys, ...] = Field(min_length=2, max_length=2)
    hooks: Hooks = Hooks()
    backup_retention: int | None = Field(default=None, ge=1, le=35)
    """Days, for an instance that is promoted: a source of replicas needs backups. Default: as RDS does, one day."""
    within: Duration = Field(default="30m", validate_default=True, gt=timedelta())
    """How long the service may take to stop, start or promote an instance."""
    rebuild_within: Duration = Field(default="4h", validate_default=True, gt=timedelta())
    """How long it may take to create a replica, and that to catch up."""
    connect: Duration = Field(default="5s", validate_default=True, ge=timedelta(seconds=2))
    """How long an attempt to connect may take before it counts as failed."""


class Target:
    """An instance and its replica."""

    def __init__(self, spec: Spec, clients: Clients = client_of, every: float = _POLL_SECONDS) -> None:
        self._spec = spec
        self._nodes = nodes_of(spec.nodes)
        self._keys = {node.name: node for node in spec.nodes}
        self._clients = clients
        self._every = every

    def identify(self) -> Identity:
        """Both instances exist, one is the replica of the other; a server that answers says of which system it is."""
        try:
            found = {name: self._describe(keys.instance) for name, keys in self._keys.items()}
        except StepError as error:
            raise Refusal(error.message, error.advice) from None
        for name, instance in found.items():
            if (engine := instance.get("Engine", "")) != "postgres":
                raise Refusal(
                    f"{name} is of the engine {engine!r}", "only RDS for PostgreSQL is drilled by this target"
                )
        first, second = found
        if not (self._is_replica(found[first], second) or self._is_replica(found[second], first)):
            raise Refusal(f"neither of {first} and {second} is a read replica of the other", "mend target.nodes")
        asked = [node for node in self._nodes if roles.role_of(node, self.connect_seconds())]
        identifiers = {roles.system_identifier(node) for node in asked}
        if len(identifiers) > 1:
            raise Refusal("the DSNs of target.nodes lead to two systems", "mend the DSNs")
        resources = " and ".join(f"{i.get('DBInstanceArn')} ({i.get('DbiResourceId')})" for i in found.values())
        return Identity(
            description="RDS for PostgreSQL, instance and read replica",
            system_identifier=next(iter(identifiers), None),
            proof=f"rds:DescribeDBInstances: {resources}",
        )

    def nodes(self) -> tuple[Node, ...]:
        """As in the plan."""
        return self._nodes

    def scenarios(self) -> frozenset[Scenario]:
        """`kill`, where the plan has a hook for it."""
        return frozenset({Scenario.KILL} if self._spec.hooks.kill else ())

    def strike(self, scenario: Scenario, old: str, new: str, work: Work) -> tuple[str, ...]:
        """By the plan's hook."""
        if scenario is not Scenario.KILL or self._spec.hooks.kill is None:
            raise StepError(
                f"RDS cannot be made to suffer {scenario}", "name a hook target.hooks.kill, and plan `kill`"
            )
        return (self._call("kill", self._spec.hooks.kill, old, old, new, work),)

    def heal(self, work: Work) -> tuple[str, ...]:
        """Whatever took the primary out is the hook's own to end."""
        return ()

    def fence(self, node: str, work: Work) -> str:
        """By the plan's hook; else the instance is stopped, which RDS denies to one that still has a replica."""
        if self._spec.hooks.fence:
            return self._call("fence", self._spec.hooks.fence, node, node, self._peer(node), work)
        if self._status(node) not in {"stopping", "stopped"}:
            try:
                with calling("StopDBInstance"):
                    self._client(node).stop_db_instance(DBInstanceIdentifier=name_of(self._keys[node].instance))
            except NotNow as error:
                raise SystemFailure(
                    error.message,
                    "RDS does not stop an instance that has a read replica: name a hook target.hooks.fence",
                ) from None
        self._wait(lambda: self._status(node) == "stopped", f"{node} to be stopped", work)
        return f"{node} is stopped (rds:StopDBInstance); RDS starts it again after seven days"

    def promote(self, node: str, work: Work) -> Promoted:
        """Make the replica an instance of its own."""
        how = "it was promoted already"
        if self._source(node):
            how = "rds:PromoteReadReplica"
            more: dict[str, Any] = {}
            if self._spec.backup_retention:
                more["BackupRetentionPeriod"] = self._spec.backup_retention
            with calling("PromoteReadReplica"):
                self._client(node).promote_read_replica(DBInstanceIdentifier=name_of(self._keys[node].instance), **more)
        self._wait(lambda: self._is_promoted(node), f"{node} to be promoted", work)
        at = roles.position(self._node(node))
        return Promoted(node=node, promoted_ns=work.now_ns(), timeline=at.timeline, lsn=at.lsn, how=how)

    def switch(self, old: str, new: str, work: Work) -> Promoted:
        """RDS has no such thing."""
        raise StepError(
            f"RDS cannot switch from {old} to {new} without the risk of loss: it has no switchover to a read replica",
            "set `failback: null`, and go home with a rebuilt replica in a drill of its own",
        )

    def salvage(self, old: str, new: str, work: Work) -> Salvaged:
        """RDS keeps an instance's log to itself."""
        return Salvaged(
            node=old,
            fork_lsn=None,
            commits=None,
            why_not=f"RDS shows nobody its log; {name_of(self._keys[old].instance)} is left as it is, to be compared",
        )

    def rejoin(self, node: str, primary: str, work: Work) -> Rejoined:
        """A new replica in the node's region, if the plan asks for one; its DSN must lead there in the end."""
        if self._is_back(node, primary):
            return Rejoined(node=node, how="follow", why="it streams already", rejoined_ns=work.now_ns())
        rebuild = self._keys[node].rebuild
        if rebuild is None:
            raise StepError(
                f"{node} cannot rejoin: RDS makes no replica of an instance that was a primary",
                f"create a replica of {primary} by hand, or give the node {node} a `rebuild` in target.nodes",
            )
        arn = f"{self._keys[node].instance.rpartition(':')[0]}:{rebuild.identifier}"
        self._create(arn, rebuild, primary)
        patience = self._spec.rebuild_within
        self._wait(lambda: self._describe(arn).get("DBInstanceStatus") in _SERVES, f"{arn} to serve", work, patience)
        endpoint = self._describe(arn).get("Endpoint", {})
        more = {"MUSTER_ENDPOINT": f"{endpoint.get('Address')}:{endpoint.get('Port')}"}
        self._call("announce", rebuild.announce, node, node, primary, work, more)
        self._wait(lambda: self._is_back(node, primary), f"{node} to stream from {primary}", work, patience)
        return Rejoined(node=node, how="rebuild", why=f"a new replica, {rebuild.identifier}", rejoined_ns=work.now_ns())

    def revive(self, node: str, work: Work) -> str:
        """Started if it is stopped; a hook's own fence is for people to lift."""
        self._wait(lambda: self._status(node) != "stopping", f"{node} to be stopped", work)
        if self._status(node) == "stopped":
            with calling("StartDBInstance"):
                self._client(node).start_db_instance(DBInstanceIdentifier=name_of(self._keys[node].instance))
        self._wait(lambda: self._status(node) in _SERVES, f"{node} to serve", work)
        return f"{node} serves"

    def connect_seconds(self) -> float:
        """As the plan says."""
        return self._spec.connect.total_seconds()

    def _create(self, arn: str, rebuild: Rebuild, primary: str) -> None:
        """Ask for the replica, unless an earlier attempt did."""
        try:
            self._describe(arn)
        except Missing:
            wanted: dict[str, Any] = {
                "DBInstanceClass": rebuild.instance_class,
                "DBSubnetGroupName": rebuild.subnet_group,
                "DBParameterGroupName": rebuild.parameter_group,
                "VpcSecurityGroupIds": list(rebuild.security_groups),
                "KmsKeyId": rebuild.kms_key,
            }
            with calling("CreateDBInstanceReadReplica"):
                self._clients(region_of(arn)).create_db_instance_read_replica(
                    DBInstanceIdentifier=rebuild.identifier,
                    SourceDBInstanceIdentifier=self._keys[primary].instance,
                    **{key: value for key, value in wanted.items() if value},
                )

    def _is_back(self, node: str, primary: str) -> bool:
        server, leader = self._node(node), self._node(primary)
        if roles.role_of(server, self.connect_seconds()) != "standby":
            return False
        at = roles.position(leader)
        return roles.streams(server, at.timeline, "0/0") and roles.sends(leader, "0/0")

    def _is_promoted(self, node: str) -> bool:
        instance = self._describe(self._keys[node].instance)
        is_own = not instance.get("ReadReplicaSourceDBInstanceIdentifier")
        serves = is_own and instance.get("DBInstanceStatus") in _SERVES
        return serves and roles.role_of(self._node(node), self.connect_seconds()) == "primary"

    def _is_replica(self, instance: "DBInstanceTypeDef", of: str) -> bool:
        """RDS names a source in the same region by its identifier, one in another by its ARN."""
        arn = self._keys[of].instance
        return instance.get("ReadReplicaSourceDBInstanceIdentifier") in {arn, name_of(arn)}

    def _source(self, node: str) -> str:
        return self._describe(self._keys[node].instance).get("ReadReplicaSourceDBInstanceIdentifier", "")

    def _status(self, node: str) -> str:
        return self._describe(self._keys[node].instance).get("DBInstanceStatus", "")

    def _describe(self, arn: str) -> "DBInstanceTypeDef":
        with calling("DescribeDBInstances"):
            answer = self._clients(region_of(arn)).describe_db_instances(DBInstanceIdentifier=name_of(arn))
        return answer["DBInstances"][0]

    def _wait(self, is_so: Callable[[], bool], words: str, work: Work, patience: timedelta | None = None) -> None:
        at_most = min((patience or self._spec.within).total_seconds(), work.seconds_left())
        wait_for(lambda: is_so() or None, words, work.seconds_left, at_most=at_most, every=self._every)

    def _call(
        self, name: str, hook: Hook, node: str, old: str, new: str, work: Work, more: dict[str, str] | None = None
    ) -> str:
        occasion = Occasion(self._node(node), old, new, work.spec.scenario.value, more or {})
        run_hook(name, hook, occasion, work.processes, work.seconds_left, blame=SystemFailure)
        return f"{node}: hook {name}"

    def _client(self, node: str) -> "RDSClient":
        return self._clients(region_of(self._keys[node].instance))

    def _node(self, name: str) -> Node:
        return next(node for node in self._nodes if node.name == name)

    def _peer(self, name: str) -> str:
        return next(node.name for node in self._nodes if node.name != name)


def open_target(keys: dict[str, object], _settings: Settings) -> Target:
    """The target of a plan. Nothing is asked of AWS yet."""
    return Target(Spec.model_validate(keys))
