"""The keys of the target `patroni` in a plan."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from muster.errors import UsageError
from muster.failover.spec import Scenario
from muster.settings import Settings
from tasks.targets.patroni import Target, open_target

NODES = [
    {"name": "pg-east", "region": "east", "dsn": "host=10.0.0.1 dbname=app", "api": "http://10.0.0.1:8008"},
    {"name": "pg-west", "region": "west", "dsn": "host=10.1.0.1 dbname=app", "api": "https://10.1.0.1:8008/"},
]


def opened(**changes: Any) -> Target:
    return open_target({"type": "patroni", "cluster": "app", "nodes": NODES} | changes, Settings(home=Path("home")))


def test_opening_connects_to_nothing() -> None:
    target = opened()
    assert [(n.name, n.region) for n in target.nodes()] == [("pg-east", "east"), ("pg-west", "west")]
    assert target.connect_seconds() == 3
    assert opened(connect_timeout="500ms").connect_seconds() == 0.5


@pytest.mark.parametrize(
    ("hooks", "more"),
    [
        ([], []),
        (["kill"], []),
        (["kill", "start"], [Scenario.KILL, Scenario.REPLICA_BEHIND]),
        (["freeze", "thaw"], [Scenario.FREEZE]),
        (["cut", "heal"], [Scenario.PARTITION]),
        (["cut", "heal", "kill"], [Scenario.PARTITION]),
        (["slow", "heal"], [Scenario.SLOW_LINK]),
        (["fill", "free"], [Scenario.DISK_FULL]),
    ],
)
def test_scenarios_follow_from_the_hooks(hooks: list[str], more: list[Scenario]) -> None:
    target = opened(hooks={name: ["true"] for name in hooks})
    assert target.scenarios() == {Scenario.SWITCHOVER, *more}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"nodes": NODES[:1]}, "at least 2 items"),
        ({"nodes": [NODES[0], NODES[1] | {"api": "10.1.0.1:8008"}]}, "should match pattern"),
        ({"nodes": [NODES[0], NODES[1] | {"password": "x"}]}, "Extra inputs"),
        ({"hooks": {"explode": ["true"]}}, "Input should be"),
        ({"hooks": {"kill": "kill.sh"}}, "a hook is a list of arguments"),
        ({"cluster": None}, "valid string"),
        ({"failover": "sometimes"}, "Input should be"),
    ],
)
def test_wrong_keys_are_named(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        opened(**changes)


@pytest.mark.parametrize(
    ("node", "complaint"),
    [
        (NODES[0], "have the same name"),
        (NODES[1] | {"dsn": "host=10.1.0.1 password=s3cret"}, "holds a secret"),
        (NODES[1] | {"dsn": "host=10.1.0.1,10.1.0.2"}, "names several servers"),
    ],
)
def test_each_node_is_one_server_without_a_secret(node: dict[str, str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        opened(nodes=[NODES[0], node])
