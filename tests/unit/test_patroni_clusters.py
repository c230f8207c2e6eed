"""The target `patroni-clusters`: its keys, and odd answers of its APIs; no server of it can be reached."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from muster.drill import Workspace
from muster.errors import MusterError, Refusal, SystemFailure, UsageError
from muster.failover.spec import FailoverSpec, Scenario
from muster.settings import Settings
from tasks.patroni.api import Api
from tasks.patroni.regional import Spec
from tasks.process import Processes
from tasks.regions.patience import countdown
from tasks.streaming.notes import Notes
from tasks.targets.patroni_clusters import Target, open_target
from tasks.targets.promotable import Work

EAST: dict[str, Any] = {
    "name": "east", "region": "frankfurt", "scope": "orders", "dsn": "host=127.0.0.1 port=9 dbname=app",
    "api": "http://east.test:8008", "host": "10.0.0.1", "slot": "for_west",
}  # fmt: skip
WEST: dict[str, Any] = {
    "name": "west", "region": "dublin", "scope": "orders", "dsn": "host=127.0.0.1 port=10 dbname=app",
    "api": "http://west.test:8008", "host": "10.1.0.1", "port": 5433,
}  # fmt: skip
OF_EAST = {"host": "10.0.0.1", "port": "5432", "primary_slot_name": "for_west"}
"""What makes a standby of it; a port may be text."""
OF_WEST = {"host": "10.1.0.1", "port": 5433}
TELL = [sys.executable, "-c", "import os; print(os.environ['MUSTER_NODE'], os.environ['MUSTER_STANDBY_CLUSTER'])"]

Answer = Callable[[httpx.Request], httpx.Response]


class Patroni:
    """One cluster's API, whose settings can be changed."""

    def __init__(self, name: str, standby: dict[str, Any] | None, **changes: Any) -> None:
        self.config: dict[str, Any] = {"ttl": 20, "standby_cluster": standby} | changes.pop("config", {})
        self.role = "standby_leader" if standby else "primary"
        self.changes = changes
        self.name = name
        self.patches: list[Any] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.changes.get("is_down"):
            raise httpx.ConnectError("refused", request=request)
        if request.method == "PATCH":
            self.patches.append(json.loads(request.content))
            return httpx.Response(self.changes.get("status", 200), text="{}")
        answers: dict[str, Any] = {
            "/liveness": {},
            "/config": self.config,
            "/patroni": {
                "state": "running",
                "role": self.changes.get("role", self.role),
                "database_system_identifier": self.changes.get("system", "7711"),
                "patroni": {"version": "4.1.5", "scope": self.changes.get("scope", "orders"), "name": "pg1"},
            },
            "/cluster": {
                "scope": "orders",
                "pause": self.changes.get("pause", False),
                "members": [
                    {
                        "name": "pg1",
                        "role": self.changes.get("leads", self.role.replace("primary", "leader")),
                        "state": "running",
                    }
                ],
            },
        }
        return httpx.Response(200, json=answers[request.url.path])


def target(east: Answer, west: Answer, **keys: Any) -> Target:
    spec = Spec.model_validate({"clusters": [EAST, WEST]} | keys)
    answers = {"east": east, "west": west}
    return Target(spec, {n: Api(n, f"http://{n}.test:8008", None, httpx.MockTransport(a)) for n, a in answers.items()})


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(
        workspace=Workspace("run", tmp_path / "run"),
        processes=Processes(tmp_path / "processes", tmp_path / "logs"),
        spec=FailoverSpec.model_validate({"scenario": "kill"}),
        seconds_left=countdown(60),
        now_ns=lambda: 0,
    )


def opened(**keys: Any) -> Target:
    return open_target({"clusters": [EAST, WEST]} | keys, Settings(home=Path("home")))


def test_opening_connects_to_nothing() -> None:
    assert [(n.name, n.region) for n in opened().nodes()] == [("east", "frankfurt"), ("west", "dublin")]
    assert opened(connect_timeout="500ms").connect_seconds() == 0.5


@pytest.mark.parametrize(
    ("hooks", "more"),
    [
        ([], []),
        (["kill", "start"], []),
        (["fence", "kill", "start"], [Scenario.KILL, Scenario.REPLICA_BEHIND]),
        (["fence", "freeze", "thaw", "start"], [Scenario.FREEZE]),
        (["fence", "cut", "heal", "start"], [Scenario.PARTITION]),
        (["slow", "heal"], [Scenario.SLOW_LINK]),
        (["fence", "fill", "free", "start"], [Scenario.DISK_FULL]),
    ],
)
def test_what_is_lost_must_be_fenced(hooks: list[str], more: list[Scenario]) -> None:
    assert opened(hooks={name: ["true"] for name in hooks}).scenarios() == {Scenario.SWITCHOVER, *more}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"clusters": [EAST]}, "at least 2 items"),
        ({"clusters": [EAST, WEST, WEST]}, "at most 2 items"),
        ({"clusters": [EAST, {k: v for k, v in WEST.items() if k != "host"}]}, "host"),
        ({"clusters": [EAST, WEST | {"port": 0}]}, "greater than 0"),
        ({"hooks": {"promote": ["true"]}}, "Extra inputs"),
    ],
)
def test_wrong_keys_are_named(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        opened(**changes)


def test_each_cluster_is_one_address() -> None:
    with pytest.raises(UsageError, match="names several servers"):
        opened(clusters=[EAST, WEST | {"dsn": "host=10.1.0.1,10.1.0.2 dbname=app"}])


@pytest.mark.parametrize(
    ("east", "west", "complaint"),
    [
        ({}, {"scope": "payroll"}, "west is a member of the cluster 'payroll', the plan names 'orders'"),
        ({}, {"system": "1"}, "system identifier"),
        ({}, {"is_down": True}, "not every member's REST API answers: west"),
        ({}, {"pause": True}, "maintenance mode"),
        ({}, {"leads": "replica"}, "has no leader"),
        ({"role": "replica"}, {}, "the api of east leads to pg1, which is replica and no leader"),
        ({"config": {"standby_cluster": OF_WEST}}, {}, "east and west are both standby clusters"),
        ({}, {"config": {"standby_cluster": None}}, "neither east and west is a standby cluster"),
        ({}, {"config": {"standby_cluster": OF_EAST | {"host": "10.9.9.9"}}}, "host 10.9.9.9, not 10.0.0.1"),
        ({}, {"config": {"standby_cluster": {"host": "10.0.0.1", "port": 5432}}}, "primary_slot_name not set, not"),
        (
            {},
            {"config": {"standby_cluster": OF_EAST | {"recovery_min_apply_delay": "1h"}}},
            "recovery_min_apply_delay 1h, not unset",
        ),
        ({}, {}, "east: the server at 127.0.0.1:9 does not answer"),
    ],
)
def test_clusters_that_are_not_as_planned_are_refused(
    east: dict[str, Any], west: dict[str, Any], complaint: str
) -> None:
    """The last one is as planned, but for its servers."""
    with pytest.raises(Refusal, match=complaint) as refused:
        target(Patroni("east", None, **east), Patroni("west", OF_EAST, **west)).identify()
    assert refused.value.advice


def test_a_cluster_that_answers_is_fenced_by_its_own_dcs(work: Work) -> None:
    """What is there beside what is wanted would be merged with it, so it is taken out."""
    old = Patroni("east", {"host": "10.9.9.9", "restore_command": "cp"})
    said = target(old, Patroni("west", OF_EAST)).fence("east", work)
    assert said.startswith("east is a standby cluster of west now")
    assert old.patches == [{"standby_cluster": {"restore_command": None} | OF_WEST}]


def test_a_standby_cluster_is_left_as_it_is(work: Work) -> None:
    west = Patroni("west", OF_EAST)
    target(Patroni("east", None), west).fence("west", work)
    assert west.patches == []
    assert Notes(work.workspace).serving() == ""


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"is_down": True}, "API does not answer"),
        ({"status": 409}, "status 409"),
        ({"status": 503}, "status 503"),
        ({"status": 401}, "does not let us in"),
    ],
)
def test_one_that_does_not_do_as_it_is_told_is_fenced_by_the_hook(
    changes: dict[str, Any], complaint: str, work: Work
) -> None:
    old = Patroni("east", None, **changes)
    said = target(old, Patroni("west", OF_EAST), hooks={"fence": TELL}).fence("east", work)
    assert said.startswith(f"east: hook fence: east {json.dumps(OF_WEST)}")
    assert complaint in said
    assert len(old.patches) <= 1


@pytest.mark.parametrize(
    ("hooks", "complaint"),
    [({}, "and the plan names no hook 'fence'"), ({"fence": ["false"]}, "the hook 'fence' failed on east")],
)
def test_one_that_cannot_be_fenced_is_a_failure(hooks: dict[str, Any], complaint: str, work: Work) -> None:
    with pytest.raises(SystemFailure, match=complaint):
        target(Patroni("east", None, is_down=True), Patroni("west", OF_EAST), hooks=hooks).fence("east", work)


def test_a_lost_cluster_hands_nothing_over(work: Work) -> None:
    east, west = Patroni("east", None, is_down=True), Patroni("west", OF_EAST)
    with pytest.raises(MusterError, match="east does not answer as primary"):
        target(east, west).switch("east", "west", work)
    assert west.patches == []


def test_a_paused_cluster_is_not_promoted(work: Work) -> None:
    west = Patroni("west", OF_EAST, pause=True)
    with pytest.raises(SystemFailure, match="maintenance mode"):
        target(Patroni("east", None), west).promote("west", work)
    assert west.patches == []


def test_a_standby_that_is_slow_to_answer_is_no_reason_to_promote_twice(work: Work) -> None:
    """A switch that was cut short after its last request: the log is not compared again, nor the old one asked."""
    east, west = Patroni("east", OF_WEST), Patroni("west", None, status=503)
    with pytest.raises(SystemFailure, match="status 503"):
        target(east, west).switch("east", "west", work)
    assert east.patches == []
    assert west.patches == [{"standby_cluster": None}]
