"""Route `route53`: a CNAME in Amazon Route 53 that clients resolve. Not yet proven on AWS, but against its API's model.

Promises: one record is changed, in one call; `point_to` returns once Route 53 says that all its name servers give the
new answer. Traps: resolvers keep the old answer for up to the record's TTL after that, and many drivers and JVMs for
longer. Old sessions do not end by a change of names, but with the fence of their server.
Source: Amazon Route 53 API Reference, ChangeResourceRecordSets, GetChange.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, WaiterError
from pydantic import BaseModel, ConfigDict, Field, field_validator

from muster.errors import Refusal, SystemFailure
from muster.failover.observations import Node
from muster.quantity import Duration, format_seconds
from tasks.process import Processes
from tasks.routes.clients import ClientDsn, require_each, require_node

if TYPE_CHECKING:
    from mypy_boto3_route53 import Route53Client
    from mypy_boto3_route53.type_defs import ResourceRecordSetOutputTypeDef

_POLL_SECONDS = 2
_CALLS = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})


class Spec(BaseModel):
    """The route's keys in a plan. Credentials come from where boto3 finds them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["route53"] = "route53"
    zone: str = Field(pattern=r"^[A-Z0-9]{1,32}$")
    """Id of the hosted zone."""
    record: str
    """The name that clients resolve: an existing CNAME with simple routing."""
    ttl: Duration = Field(default="5s", validate_default=True, ge=timedelta(seconds=1))
    """The record's TTL, in whole seconds, as it is and as it will be."""
    targets: Mapping[str, str]
    """Node to the host name that the record leads to."""
    dsn: ClientDsn
    """Where clients connect: a DSN whose host is the record."""
    wait: Duration = Field(default="2m", validate_default=True)
    """How long Route 53 may take to bring the change to all its name servers."""

    @field_validator("targets")
    @classmethod
    def _are_different(cls, targets: Mapping[str, str]) -> Mapping[str, str]:
        if len({_plain(host) for host in targets.values()}) < len(targets):
            raise ValueError("two nodes cannot have one host name")
        return targets


class Route:
    """One record of one hosted zone."""

    def __init__(self, spec: Spec, nodes: Sequence[Node], client: "Route53Client") -> None:
        self._spec = spec
        self._nodes = nodes
        self._client = client
        require_each(nodes, spec.targets, "targets")

    @property
    def _ttl(self) -> int:
        return round(self._spec.ttl.total_seconds())

    def client_dsn(self) -> str:
        """A DSN with the record's name, as the plan gives it."""
        return self._spec.dsn

    def check(self) -> None:
        """`Refusal` unless the record is a simple CNAME, leads to a node, and has the TTL that the plan counts on."""
        name = self._spec.record
        try:
            records = self._records()
        except (BotoCoreError, ClientError) as error:
            raise Refusal(f"route53: {error}", "see AWS credentials, and route53:ListResourceRecordSets") from None
        if len(records) != 1 or "SetIdentifier" in records[0] or len(records[0].get("ResourceRecords", ())) != 1:
            raise Refusal(
                f"route53: zone {self._spec.zone} has no CNAME {name} of simple routing", "make one, or use a hook"
            )
        led_to, ttl = records[0]["ResourceRecords"][0]["Value"], records[0].get("TTL", 0)
        if _plain(led_to) not in {_plain(host) for host in self._spec.targets.values()}:
            raise Refusal(f"route53: {name} leads to {led_to}, which is no node's", "mend reroute.targets")
        if ttl != self._ttl:
            raise Refusal(
                f"route53: {name} has a TTL of {ttl} s, the plan says {self._ttl} s",
                "resolvers go by the TTL that they were last given: set it on the record well before the drill",
            )

    def point_to(self, node: str, seconds_left: Callable[[], float], processes: Processes) -> str:  # noqa: ARG002
        """Change the record, and wait until Route 53 has it everywhere."""
        require_node(self._nodes, node)
        host = self._spec.targets[node]
        patience = min(self._spec.wait.total_seconds(), seconds_left())
        try:
            change = self._client.change_resource_record_sets(
                HostedZoneId=self._spec.zone,
                ChangeBatch={
                    "Comment": "Muster",
                    "Changes": [
                        {
                            "Action": "UPSERT",
                            "ResourceRecordSet": {
                                "Name": self._spec.record,
                                "Type": "CNAME",
                                "TTL": self._ttl,
                                "ResourceRecords": [{"Value": host}],
                            },
                        }
                    ],
                },
            )["ChangeInfo"]
            self._client.get_waiter("resource_record_sets_changed").wait(
                Id=change["Id"],
                WaiterConfig={"Delay": _POLL_SECONDS, "MaxAttempts": max(1, int(patience / _POLL_SECONDS))},
            )
        except WaiterError as error:
            raise SystemFailure(
                f"route53: the change of {self._spec.record} is not everywhere yet: {error}",
                f"ask with: aws route53 get-change --id {change['Id']}",
            ) from None
        except (BotoCoreError, ClientError) as error:
            raise SystemFailure(f"route53: {error}", "see AWS credentials, and the rights of this role") from None
        kept = format_seconds(self._ttl)
        return f"route53: {self._spec.record} leads to {host}; resolvers may keep the old answer for another {kept}"

    def _records(self) -> "list[ResourceRecordSetOutputTypeDef]":
        """The record sets of this name that are CNAMEs: one, unless routing is not simple."""
        page = self._client.list_resource_record_sets(
            HostedZoneId=self._spec.zone, StartRecordName=self._spec.record, StartRecordType="CNAME", MaxItems="2"
        )
        return [
            record
            for record in page["ResourceRecordSets"]
            if record["Type"] == "CNAME" and _plain(record["Name"]) == _plain(self._spec.record)
        ]


def open_route(keys: Mapping[str, Any], nodes: Sequence[Node]) -> Route:
    """The route of a plan's `reroute`. Nothing is asked of AWS yet."""
    return Route(Spec.model_validate(keys), nodes, _client())


@cache
def _client() -> "Route53Client":
    """Route 53 is one for all regions. Made once: its model takes a while to load, and clients would wait for that."""
    return boto3.client("route53", region_name="us-east-1", config=_CALLS)


def _plain(name: str) -> str:
    """A DNS name for comparison: case and the root's dot mean nothing."""
    return name.rstrip(".").lower()
