"""The AWS targets held against the model of the RDS API: botocore's Stubber checks every call, and answers it.

No call is made to AWS, so what is proven is what is asked and how each answer is taken, not what AWS does.
"""

import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ConnectTimeoutError, NoCredentialsError
from botocore.stub import Stubber
from pydantic import ValidationError

from muster.drill import Workspace
from muster.errors import Refusal, StepError, SystemFailure, UsageError
from muster.failover.spec import FailoverSpec, Scenario
from muster.settings import Settings
from tasks.process import Processes
from tasks.rds.calls import Missing, NotNow, Throttled, Unreachable, calling, wait_for
from tasks.streaming import roles
from tasks.targets import aurora_global, rds_replica
from tasks.targets.promotable import Promotable, Work

GLOBAL = "shop-global"
EAST, WEST = (f"arn:aws:rds:{r}:123456789012:cluster:shop-{n}" for r, n in (("us-east-1", "a"), ("eu-west-1", "b")))
A, B = (f"arn:aws:rds:{r}:123456789012:db:shop-{n}" for r, n in (("us-east-1", "a"), ("eu-west-1", "b")))
NEW = "arn:aws:rds:us-east-1:123456789012:db:shop-a-2"
HOOK = [sys.executable, "-c", "import os; print(os.environ['MUSTER_NODE'], os.environ.get('MUSTER_ENDPOINT', ''))"]


class Aws:
    """One stubbed client for each region. Answers are given in the order in which they are wanted."""

    def __init__(self) -> None:
        self._stubs: dict[str, Stubber] = {}
        for region in ("us-east-1", "eu-west-1"):
            client = boto3.client("rds", region_name=region, aws_access_key_id="x", aws_secret_access_key="x")
            self._stubs[region] = Stubber(client)
            self._stubs[region].activate()

    def __call__(self, region: str) -> Any:
        return self._stubs[region].client

    def answer(self, region: str, action: str, wanted: dict[str, Any], answer: dict[str, Any]) -> None:
        self._stubs[region].add_response(action, answer, wanted)

    def fail(self, region: str, action: str, code: str) -> None:
        self._stubs[region].add_client_error(action, code, f"{code} it is", http_status_code=400)

    def assert_all_asked(self) -> None:
        for stub in self._stubs.values():
            stub.assert_no_pending_responses()


@pytest.fixture
def aws() -> Iterator[Aws]:
    made = Aws()
    yield made
    made.assert_all_asked()


@pytest.fixture
def work(tmp_path) -> Work:
    return Work(
        workspace=Workspace("run", tmp_path / "run"),
        processes=Processes(tmp_path / "records", tmp_path / "logs"),
        spec=FailoverSpec.model_validate({"scenario": "kill"}),
        seconds_left=lambda: 30.0,
        now_ns=lambda: 7,
    )


@pytest.fixture
def roles_now(monkeypatch) -> dict[str, str]:
    """What the servers themselves would say: node to role."""
    found: dict[str, str] = {}
    monkeypatch.setattr(roles, "role_of", lambda node, seconds: found.get(node.name))
    monkeypatch.setattr(roles, "position", lambda node: roles.Position(2, "0/3000000"))
    monkeypatch.setattr(roles, "system_identifier", lambda node: "42")
    monkeypatch.setattr(roles, "streams", lambda node, timeline, lsn: found.get(node.name) == "standby")
    monkeypatch.setattr(roles, "sends", lambda node, lsn: True)
    return found


# Aurora.


def aurora(aws: Aws, **changes: Any) -> aurora_global.Target:
    nodes = [
        {"name": "a", "region": "us-east-1", "dsn": "host=a", "cluster": EAST},
        {"name": "b", "region": "eu-west-1", "dsn": "host=b", "cluster": WEST},
    ]
    keys = {"global_cluster": GLOBAL, "nodes": nodes, "within": "5s", **changes}
    return aurora_global.Target(aurora_global.Spec.model_validate(keys), aws, every=0)


def seen(aws: Aws, writer: str | None = EAST, *, to: str = "", sync: str = "connected", **changes: Any) -> None:
    """The next look at the global database."""
    members = [{"DBClusterArn": arn, "IsWriter": arn == writer, "SynchronizationStatus": sync} for arn in (EAST, WEST)]
    found: dict[str, Any] = {
        "GlobalClusterIdentifier": GLOBAL,
        "GlobalClusterResourceId": "cluster-4711",
        "Engine": "aurora-postgresql",
        "GlobalClusterMembers": members,
        **changes,
    }
    if to:
        found["FailoverState"] = {"Status": "failing-over", "ToDbClusterArn": to, "IsDataLossAllowed": True}
    aws.answer(
        "us-east-1", "describe_global_clusters", {"GlobalClusterIdentifier": GLOBAL}, {"GlobalClusters": [found]}
    )


def available(aws: Aws, region: str, arn: str, status: str = "available") -> None:
    answer = {"DBClusters": [{"DBClusterArn": arn, "Status": status}]}
    aws.answer(region, "describe_db_clusters", {"DBClusterIdentifier": arn}, answer)


def wanted(arn: str, **more: Any) -> dict[str, Any]:
    return {"GlobalClusterIdentifier": GLOBAL, "TargetDbClusterIdentifier": arn, **more}


def changed() -> dict[str, Any]:
    return {"GlobalCluster": {"GlobalClusterIdentifier": GLOBAL}}


def test_aurora_proves_itself_by_resource_id_and_members(aws):
    seen(aws)
    identity = aurora(aws, resource_id="cluster-4711").identify()
    assert "cluster-4711" in identity.proof
    assert EAST in identity.proof
    assert WEST in identity.proof
    assert identity.system_identifier is None


@pytest.mark.parametrize(
    ("keys", "answer", "words"),
    [
        ({"resource_id": "cluster-1"}, {}, "has the resource id cluster-4711, not cluster-1"),
        ({}, {"Engine": "aurora-mysql"}, "engine 'aurora-mysql'"),
        ({}, {"GlobalClusterMembers": [{"DBClusterArn": EAST, "IsWriter": True}]}, f"{WEST} is not in"),
    ],
    ids=["another", "mysql", "stranger"],
)
def test_aurora_refuses_what_it_is_not(aws, keys, answer, words):
    seen(aws, **answer)
    with pytest.raises(Refusal, match=words):
        aurora(aws, **keys).identify()


def test_a_global_database_that_is_not_there_is_refused(aws):
    aws.fail("us-east-1", "describe_global_clusters", "GlobalClusterNotFoundFault")
    aws.fail("eu-west-1", "describe_global_clusters", "GlobalClusterNotFoundFault")
    with pytest.raises(Refusal, match="GlobalClusterNotFoundFault") as caught:
        aurora(aws).identify()
    assert "mend the names" in caught.value.advice


def test_the_other_region_is_asked_when_one_does_not_answer(aws):
    aws.fail("us-east-1", "describe_global_clusters", "ServiceUnavailable")
    member = {"DBClusterArn": WEST, "IsWriter": True}
    aws.answer(
        "eu-west-1",
        "describe_global_clusters",
        {"GlobalClusterIdentifier": GLOBAL},
        {"GlobalClusters": [{"GlobalClusterMembers": [member]}]},
    )
    assert aurora(aws)._member("b") == member


def test_aurora_says_what_it_can_suffer(aws, work):
    target = aurora(aws)
    assert isinstance(target, Promotable)
    assert target.scenarios() == {Scenario.SWITCHOVER, Scenario.KILL}
    assert target.strike(Scenario.SWITCHOVER, "a", "b", work) == ()
    assert target.heal(work) == ()
    with pytest.raises(StepError, match="cannot be made to suffer freeze"):
        target.strike(Scenario.FREEZE, "a", "b", work)


def test_a_switch_is_asked_of_the_primarys_region_and_waited_for(aws, work):
    seen(aws)
    aws.answer("us-east-1", "switchover_global_cluster", wanted(WEST), changed())
    seen(aws, to=WEST)
    seen(aws, writer=WEST)
    seen(aws, writer=WEST)
    seen(aws, writer=WEST, sync="pending-resync")
    seen(aws, writer=WEST)
    available(aws, "us-east-1", EAST, "resetting")
    seen(aws, writer=WEST)
    available(aws, "us-east-1", EAST)
    promoted = aurora(aws).switch("a", "b", work)
    assert (promoted.node, promoted.timeline, promoted.lsn) == ("b", 0, "")
    assert promoted.how == "rds:SwitchoverGlobalCluster"


def test_a_switch_that_was_made_is_not_made_again(aws, work):
    for _ in range(3):
        seen(aws, writer=WEST)
    available(aws, "us-east-1", EAST)
    assert aurora(aws).switch("a", "b", work).how == "the service had done it already"


def test_a_switch_that_is_under_way_is_waited_for(aws, work):
    seen(aws, to=WEST)
    for _ in range(3):
        seen(aws, writer=WEST)
    available(aws, "us-east-1", EAST)
    assert aurora(aws).switch("a", "b", work).node == "b"


@pytest.mark.parametrize("code", ["InvalidDBClusterStateFault", "InvalidGlobalClusterStateFault"])
def test_a_switch_that_the_service_denies_is_the_systems_fault(aws, work, code):
    seen(aws)
    aws.fail("us-east-1", "switchover_global_cluster", code)
    with pytest.raises(SystemFailure, match=f"rds:SwitchoverGlobalCluster: {code}") as caught:
        aurora(aws).switch("a", "b", work)
    assert "only what is available" in caught.value.advice


def test_a_right_that_lacks_is_no_fault_of_the_system(aws, work):
    seen(aws)
    aws.fail("us-east-1", "switchover_global_cluster", "AccessDenied")
    with pytest.raises(StepError) as caught:
        aurora(aws).switch("a", "b", work)
    assert not isinstance(caught.value, SystemFailure)
    assert "the right rds:SwitchoverGlobalCluster" in caught.value.advice


def test_an_unplanned_failover_is_asked_of_the_region_that_takes_over(aws, work):
    target = aurora(aws)
    seen(aws)
    aws.answer("eu-west-1", "failover_global_cluster", wanted(WEST, AllowDataLoss=True), changed())
    assert "data loss allowed" in target.strike(Scenario.KILL, "a", "b", work)[0]
    # The fence waits until the service calls the old one writer no more; it asks for nothing twice.
    seen(aws, to=WEST)
    seen(aws, to=WEST)
    seen(aws, writer=None, to=WEST)
    assert "not the writer" in target.fence("a", work)
    seen(aws, writer=None, to=WEST)
    seen(aws, writer=WEST, to=WEST)
    seen(aws, writer=WEST, to=WEST)
    seen(aws, writer=WEST)
    assert target.promote("b", work).how == "rds:FailoverGlobalCluster, data loss allowed"


def test_a_promotion_that_was_made_is_not_made_again(aws, work):
    seen(aws, writer=WEST)
    assert aurora(aws).promote("b", work).how == "the service had done it already"


def test_a_throttled_poll_is_asked_again_but_a_throttled_request_is_told(aws, work):
    seen(aws, writer=WEST)
    for region in ("us-east-1", "eu-west-1"):
        aws.fail(region, "describe_global_clusters", "Throttling")
    seen(aws, writer=WEST)
    aws.fail("us-east-1", "describe_db_clusters", "ThrottlingException")
    seen(aws, writer=WEST)
    available(aws, "us-east-1", EAST)
    rejoined = aurora(aws).rejoin("a", "b", work)
    assert (rejoined.how, rejoined.rejoined_ns) == ("service", 7)
    seen(aws)
    aws.fail("eu-west-1", "failover_global_cluster", "RequestLimitExceeded")
    with pytest.raises(Throttled):
        aurora(aws).strike(Scenario.KILL, "a", "b", work)


def test_a_service_that_never_gets_there_is_the_systems_fault(aws, work, monkeypatch):
    target = aurora(aws, within="50ms")
    monkeypatch.setattr(target, "_status", lambda node: "creating")
    with pytest.raises(SystemFailure, match="in vain for a to be available"):
        target.revive("a", work)


def test_aurora_says_where_what_was_lost_may_lie(aws, work):
    salvaged = aurora(aws).salvage("a", "b", work)
    assert salvaged.commits is None
    assert "rds:unplanned-global-failover-shop-a-... in us-east-1" in salvaged.why_not


# An instance and its replica.


def rds(aws: Aws, **changes: Any) -> rds_replica.Target:
    rebuild = changes.pop("rebuild", None)
    nodes = [
        {"name": "a", "region": "us-east-1", "dsn": "host=a", "instance": A, "rebuild": rebuild},
        {"name": "b", "region": "eu-west-1", "dsn": "host=b", "instance": B},
    ]
    keys = {"nodes": nodes, "within": "5s", "rebuild_within": "5s", **changes}
    return rds_replica.Target(rds_replica.Spec.model_validate(keys), aws, every=0)


def instance(aws: Aws, arn: str, status: str = "available", *, source: str = "", **changes: Any) -> None:
    """The next look at an instance."""
    found = {"DBInstanceArn": arn, "DBInstanceStatus": status, "DbiResourceId": "db-1", "Engine": "postgres", **changes}
    if source:
        found["ReadReplicaSourceDBInstanceIdentifier"] = source
    wanted = {"DBInstanceIdentifier": arn.rpartition(":")[2]}
    aws.answer(arn.split(":")[3], "describe_db_instances", wanted, {"DBInstances": [found]})


def test_a_replica_is_known_by_the_arn_of_its_source(aws, roles_now):
    roles_now.update(a="primary", b="standby")
    instance(aws, A)
    instance(aws, B, source=A)
    identity = rds(aws).identify()
    assert identity.system_identifier == "42"
    assert f"{A} (db-1)" in identity.proof


def test_instances_that_do_not_belong_together_are_refused(aws, roles_now):
    instance(aws, A)
    instance(aws, B)
    with pytest.raises(Refusal, match="neither of a and b is a read replica"):
        rds(aws).identify()


def test_another_engine_is_refused(aws, roles_now):
    instance(aws, A, Engine="mysql")
    instance(aws, B, source=A)
    with pytest.raises(Refusal, match="engine 'mysql'"):
        rds(aws).identify()


def test_an_instance_that_is_not_there_is_refused(aws, roles_now):
    aws.fail("us-east-1", "describe_db_instances", "DBInstanceNotFound")
    with pytest.raises(Refusal, match="DBInstanceNotFound"):
        rds(aws).identify()


def test_only_a_hook_can_make_a_fault(aws, work):
    assert rds(aws).scenarios() == frozenset()
    with pytest.raises(StepError, match="cannot be made to suffer kill"):
        rds(aws).strike(Scenario.KILL, "a", "b", work)
    target = rds(aws, hooks={"kill": HOOK})
    assert isinstance(target, Promotable)
    assert target.scenarios() == {Scenario.KILL}
    assert target.strike(Scenario.KILL, "a", "b", work) == ("a: hook kill",)
    assert target.heal(work) == ()


def test_a_fence_by_hook_asks_nothing_of_rds(aws, work):
    assert rds(aws, hooks={"fence": HOOK}).fence("a", work) == "a: hook fence"


def test_without_a_hook_the_fence_stops_the_instance_and_waits(aws, work):
    instance(aws, A)
    aws.answer("us-east-1", "stop_db_instance", {"DBInstanceIdentifier": "shop-a"}, {"DBInstance": {}})
    instance(aws, A, "stopping")
    instance(aws, A, "stopped")
    assert "is stopped" in rds(aws).fence("a", work)
    instance(aws, A, "stopped")
    instance(aws, A, "stopped")
    rds(aws).fence("a", work)


def test_a_stop_that_rds_denies_names_the_hook_that_would_do(aws, work):
    instance(aws, A)
    aws.fail("us-east-1", "stop_db_instance", "InvalidDBInstanceState")
    with pytest.raises(SystemFailure, match="InvalidDBInstanceState") as caught:
        rds(aws).fence("a", work)
    assert "target.hooks.fence" in caught.value.advice


def test_a_replica_is_promoted_once_and_waited_for(aws, work, roles_now):
    roles_now.update(b="primary")
    instance(aws, B, source=A)
    asked = {"DBInstanceIdentifier": "shop-b", "BackupRetentionPeriod": 7}
    aws.answer("eu-west-1", "promote_read_replica", asked, {"DBInstance": {}})
    instance(aws, B, source=A)
    instance(aws, B, "modifying")
    instance(aws, B, "backing-up")
    promoted = rds(aws, backup_retention=7).promote("b", work)
    assert (promoted.timeline, promoted.lsn, promoted.how) == (2, "0/3000000", "rds:PromoteReadReplica")
    instance(aws, B)
    instance(aws, B)
    assert rds(aws).promote("b", work).how == "it was promoted already"


def test_a_promotion_that_rds_denies_is_the_systems_fault(aws, work, roles_now):
    instance(aws, B, source=A)
    aws.fail("eu-west-1", "promote_read_replica", "InvalidDBInstanceState")
    with pytest.raises(NotNow):
        rds(aws).promote("b", work)


def test_there_is_no_planned_switch(aws, work):
    with pytest.raises(StepError, match="no switchover") as caught:
        rds(aws).switch("a", "b", work)
    assert "failback: null" in caught.value.advice


def test_the_old_instance_cannot_rejoin(aws, work, roles_now):
    roles_now.update(b="primary")
    with pytest.raises(StepError, match="a cannot rejoin") as caught:
        rds(aws).rejoin("a", "b", work)
    assert "`rebuild`" in caught.value.advice
    assert rds(aws).salvage("a", "b", work).commits is None


def test_a_new_replica_takes_its_place_if_the_plan_says_so(aws, work, roles_now, monkeypatch):
    roles_now.update(b="primary")
    rebuild = {
        "identifier": "shop-a-2",
        "announce": HOOK,
        "kms_key": "alias/east",
        "security_groups": ["sg-1"],
        "subnet_group": "east",
    }
    aws.fail("us-east-1", "describe_db_instances", "DBInstanceNotFound")
    asked = {
        "DBInstanceIdentifier": "shop-a-2",
        "SourceDBInstanceIdentifier": B,
        "KmsKeyId": "alias/east",
        "VpcSecurityGroupIds": ["sg-1"],
        "DBSubnetGroupName": "east",
    }
    aws.answer("us-east-1", "create_db_instance_read_replica", asked, {"DBInstance": {}})
    instance(aws, NEW, "creating")
    instance(aws, NEW)
    instance(aws, NEW, Endpoint={"Address": "shop-a-2.example", "Port": 5432})
    announced = []

    def announce(name, hook, occasion, processes, left, *, blame):
        announced.append(occasion.environment["MUSTER_ENDPOINT"])
        roles_now["a"] = "standby"
        return ""

    monkeypatch.setattr(rds_replica, "run_hook", announce)
    rejoined = rds(aws, rebuild=rebuild).rejoin("a", "b", work)
    assert (rejoined.how, rejoined.why) == ("rebuild", "a new replica, shop-a-2")
    assert announced == ["shop-a-2.example:5432"]
    assert rds(aws, rebuild=rebuild).rejoin("a", "b", work).how == "follow"


def test_a_replica_that_was_asked_for_is_not_asked_for_again(aws, work, roles_now):
    roles_now.update(b="primary")
    instance(aws, NEW, "creating")
    instance(aws, NEW)
    instance(aws, NEW, Endpoint={"Address": "shop-a-2.example", "Port": 5432})
    with pytest.raises(SystemFailure, match="in vain for a to stream from b"):
        rds(aws, rebuild={"identifier": "shop-a-2", "announce": HOOK}, rebuild_within="1s").rejoin("a", "b", work)
    assert "a shop-a-2.example:5432" in (work.processes.logs / "hook-announce.log").read_text()


def test_a_stopped_instance_is_started_to_revive_it(aws, work):
    instance(aws, A, "stopping")
    instance(aws, A, "stopped")
    instance(aws, A, "stopped")
    aws.answer("us-east-1", "start_db_instance", {"DBInstanceIdentifier": "shop-a"}, {"DBInstance": {}})
    instance(aws, A, "starting")
    instance(aws, A)
    assert rds(aws).revive("a", work) == "a serves"


# Keys, and errors of the network.


@pytest.mark.parametrize(
    ("module", "keys", "words"),
    [
        (aurora_global, {"global_cluster": "g", "nodes": []}, "at least 2"),
        (aurora_global, {"nodes": []}, "global_cluster"),
        (rds_replica, {"nodes": [], "fence": []}, "Extra inputs"),
    ],
    ids=["no nodes", "no global", "typo"],
)
def test_wrong_keys_are_told(module, keys, words):
    with pytest.raises(ValidationError, match=words):
        module.open_target(keys, Settings())


def test_an_instance_is_no_cluster():
    nodes = [{"name": n, "region": "r", "dsn": f"host={n}", "cluster": A} for n in "ab"]
    with pytest.raises(ValidationError, match="match pattern"):
        aurora_global.open_target({"global_cluster": "g", "nodes": nodes}, Settings())


def test_no_secret_is_taken():
    nodes = [{"name": n, "region": "r", "dsn": f"host={n} password=hunter2", "instance": A} for n in "ab"]
    with pytest.raises(UsageError, match="holds a secret") as caught:
        rds_replica.open_target({"nodes": nodes}, Settings())
    assert "hunter2" not in str(caught.value)


def test_a_region_that_does_not_answer_is_asked_again_and_lacking_credentials_are_not():
    with pytest.raises(Unreachable, match="rds:X has no answer"), calling("X"):
        raise ConnectTimeoutError(endpoint_url="https://rds")
    with pytest.raises(StepError, match="was not sent") as caught, calling("X"):
        raise NoCredentialsError
    assert not isinstance(caught.value, Unreachable)
    answers: list[Any] = [Unreachable("x"), None, "there"]

    def ask() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, StepError):
            raise answer
        return answer

    assert wait_for(ask, "it", lambda: 9.0, at_most=9, every=0) == "there"


def test_waiting_ends_with_the_drill():
    def left() -> float:
        raise StepError("the plan's time limit is up")

    with pytest.raises(StepError, match="time limit is up"):
        wait_for(lambda: None, "it", left, at_most=9, every=0)


def test_what_is_missing_is_not_waited_for():
    def ask() -> None:
        raise Missing("gone")

    with pytest.raises(Missing):
        wait_for(ask, "it", lambda: 9.0, at_most=9, every=0)
