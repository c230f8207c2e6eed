"""Route 53 is asked as its API's model allows, and what it answers is taken at its word."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from muster.errors import MusterError, Refusal, StepError, SystemFailure, UsageError
from muster.failover.observations import Node
from tasks.process import Processes
from tasks.routes.route53 import Route, Spec

NODES = tuple(Node(name=n, region=f"region-{n}", dsn=f"host={n}") for n in ("a", "b"))
ZONE, RECORD, CHANGE = "Z0123456789", "db.example.com", "C0123456789"
SPEC = Spec(
    zone=ZONE,
    record=RECORD,
    ttl="30s",
    targets={"a": "a.example.com", "b": "b.example.com"},
    dsn=f"host={RECORD}",
    wait="10s",
)
SIMPLE = {"Name": f"{RECORD}.", "Type": "CNAME", "TTL": 30, "ResourceRecords": [{"Value": "a.example.com"}]}
LISTED = {"HostedZoneId": ZONE, "StartRecordName": RECORD, "StartRecordType": "CNAME", "MaxItems": "2"}


class Aws:
    """The vendor's client, whose answers are planned."""

    def __init__(self) -> None:
        client = boto3.client("route53", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        self.stub = Stubber(client)
        self.route = Route(SPEC, NODES, client)

    def lists(self, *records: dict[str, Any]) -> None:
        answer = {"ResourceRecordSets": list(records), "IsTruncated": False, "MaxItems": "2"}
        self.stub.add_response("list_resource_record_sets", answer, LISTED)

    def changes(self, host: str, *states: str) -> None:
        """The record is sent to the host; the change then passes through these states."""
        record = {"Name": RECORD, "Type": "CNAME", "TTL": 30, "ResourceRecords": [{"Value": host}]}
        batch = {"Comment": "Muster", "Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]}
        asked = {"HostedZoneId": ZONE, "ChangeBatch": batch}
        self.stub.add_response("change_resource_record_sets", change("PENDING"), asked)
        for state in states:
            self.stub.add_response("get_change", change(state), {"Id": f"/change/{CHANGE}"})

    def point_to(self, node: str, seconds: float = 60) -> str:
        return self.route.point_to(node, lambda: seconds, processes())


def change(state: str) -> dict[str, Any]:
    return {"ChangeInfo": {"Id": f"/change/{CHANGE}", "Status": state, "SubmittedAt": "2026-01-01T00:00:00Z"}}


def processes() -> Processes:
    """Nothing is started here."""
    return None  # type: ignore[return-value]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setattr("botocore.waiter.time.sleep", lambda _: None)
    made = Aws()
    with made.stub:
        yield made
    made.stub.assert_no_pending_responses()


def test_the_record_is_changed_and_waited_for(aws: Aws) -> None:
    aws.changes("b.example.com", "PENDING", "INSYNC")
    assert aws.point_to("b") == (
        "route53: db.example.com leads to b.example.com; resolvers may keep the old answer for another 30.0 s"
    )


def test_twice_is_safe(aws: Aws) -> None:
    for _ in range(2):
        aws.changes("b.example.com", "INSYNC")
    assert aws.point_to("b") == aws.point_to("b")


def test_a_change_that_does_not_get_everywhere_ends_the_wait(aws: Aws) -> None:
    aws.changes("b.example.com", *["PENDING"] * 5)  # 10 s, asked every 2 s
    with pytest.raises(SystemFailure, match="not everywhere yet") as failed:
        aws.point_to("b")
    assert f"get-change --id /change/{CHANGE}" in failed.value.advice


def test_the_wait_is_no_longer_than_the_time_that_is_left(aws: Aws) -> None:
    aws.changes("b.example.com", "PENDING")
    with pytest.raises(SystemFailure, match="not everywhere yet"):
        aws.point_to("b", seconds=2)


def test_a_drill_out_of_time_changes_nothing(aws: Aws) -> None:
    def seconds_left() -> float:
        raise StepError("the time limit is up")

    with pytest.raises(StepError, match="time limit"):
        aws.route.point_to("b", seconds_left, processes())


def test_what_aws_refuses_is_said(aws: Aws) -> None:
    aws.stub.add_client_error("change_resource_record_sets", "AccessDenied", "not for you", 403)
    with pytest.raises(SystemFailure, match="not for you"):
        aws.point_to("b")


def test_an_unknown_node_is_never_sent(aws: Aws) -> None:
    with pytest.raises(UsageError, match="'c'"):
        aws.point_to("c")


@pytest.mark.parametrize("host", ["a.example.com", "B.example.com."])
def test_a_simple_record_that_leads_to_a_node_is_taken(aws: Aws, host: str) -> None:
    aws.lists({**SIMPLE, "ResourceRecords": [{"Value": host}]})
    aws.route.check()


def test_the_next_record_of_the_zone_is_another_one(aws: Aws) -> None:
    aws.lists(SIMPLE, {**SIMPLE, "Name": "dc.example.com."})
    aws.route.check()


WEIGHTED = [{**SIMPLE, "SetIdentifier": x, "Weight": 1} for x in ("one", "two")]
ALIAS = {
    "Name": f"{RECORD}.",
    "Type": "CNAME",
    "AliasTarget": {"HostedZoneId": ZONE, "DNSName": "a.example.com.", "EvaluateTargetHealth": False},
}


@pytest.mark.parametrize(
    ("records", "complaint"),
    [
        ([], "no CNAME"),
        ([{**SIMPLE, "Name": "other.example.com."}], "no CNAME"),
        ([{**SIMPLE, "Type": "A", "ResourceRecords": [{"Value": "10.0.0.1"}]}], "no CNAME"),
        (WEIGHTED, "no CNAME"),
        (WEIGHTED[:1], "no CNAME"),
        ([ALIAS], "no CNAME"),
        ([{**SIMPLE, "ResourceRecords": [{"Value": "c.example.com"}]}], "which is no node's"),
        ([{**SIMPLE, "TTL": 300}], "TTL of 300 s, the plan says 30 s"),
    ],
    ids=["none", "another", "address", "weighted", "half-weighted", "alias", "elsewhere", "ttl"],
)
def test_what_cannot_be_relied_on_is_refused(aws: Aws, records: list[dict[str, Any]], complaint: str) -> None:
    aws.lists(*records)
    with pytest.raises(Refusal, match=complaint):
        aws.route.check()


def test_a_zone_that_may_not_be_read_is_refused(aws: Aws) -> None:
    aws.stub.add_client_error("list_resource_record_sets", "NoSuchHostedZone", "no such zone", 404)
    with pytest.raises(MusterError, match="no such zone") as refused:
        aws.route.check()
    assert isinstance(refused.value, Refusal)
