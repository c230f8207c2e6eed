"""The target `patroni` on a real Patroni cluster with etcd: handed over, lost and brought home, paused, mistaken."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from muster.drill import Workspace
from muster.errors import Refusal, SystemFailure
from muster.failover.spec import FailoverSpec, Scenario
from muster.settings import Settings
from tasks.process import Processes
from tasks.targets.patroni import Target, open_target
from tasks.targets.promotable import Promotable, Work
from tests.real.patroni_cluster import PatroniCluster, wait


@pytest.fixture(scope="module")
def cluster() -> Iterator[PatroniCluster]:
    """Two members, up."""
    folder = Path(tempfile.mkdtemp(prefix="mpat", dir="/tmp"))
    made = PatroniCluster(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


@pytest.fixture
def whole(cluster: PatroniCluster) -> PatroniCluster:
    """One leader, all others streaming, whatever the test before left."""
    for seat in cluster.seats:
        cluster.thaw(seat.name)
        cluster.start_member(seat.name)
    wait(cluster.is_whole, "the cluster to be whole")
    return cluster


def opened(cluster: PatroniCluster, /, **keys: Any) -> Target:
    return open_target(cluster.target() | keys, Settings(home=cluster.folder / "home"))


@pytest.fixture
def work(tmp_path: Path) -> Work:
    until = time.monotonic() + 240
    return Work(
        workspace=Workspace("run", tmp_path / "run"),
        processes=Processes(tmp_path / "processes", tmp_path / "logs"),
        spec=FailoverSpec.model_validate({"scenario": "kill"}),
        seconds_left=lambda: until - time.monotonic(),
        now_ns=time.monotonic_ns,
    )


def roles(cluster: PatroniCluster) -> tuple[str, str]:
    leader = cluster.leader()
    assert leader
    return leader, next(s.name for s in cluster.seats if s.name != leader)


def write(cluster: PatroniCluster, name: str) -> None:
    with psycopg.connect(cluster.seat(name).dsn, autocommit=True, connect_timeout=10) as connection:
        connection.execute("create table if not exists written (at timestamptz)")
        connection.execute("insert into written values (now())")


def rows(cluster: PatroniCluster, name: str) -> int:
    with psycopg.connect(cluster.seat(name).dsn, autocommit=True, connect_timeout=10) as connection:
        row = connection.execute("select count(*) from written").fetchone()
        return row[0] if row else 0


def test_it_proves_which_cluster_it_is(whole: PatroniCluster) -> None:
    target = opened(whole)
    assert isinstance(target, Promotable)
    identity = target.identify()
    with psycopg.connect(whole.seats[0].dsn) as connection:
        row = connection.execute("select system_identifier::text from pg_control_system()").fetchone()
    assert row
    assert identity.system_identifier == row[0]
    assert opened(whole, system_identifier=row[0]).identify() == identity
    assert [n.name for n in target.nodes()] == ["a", "b"]


def test_hooks_decide_what_it_can_suffer(whole: PatroniCluster) -> None:
    assert opened(whole, hooks={}).scenarios() == {Scenario.SWITCHOVER}
    assert {Scenario.KILL, Scenario.FREEZE, Scenario.REPLICA_BEHIND} <= opened(whole).scenarios()


def test_another_cluster_is_refused(whole: PatroniCluster) -> None:
    with pytest.raises(Refusal, match="member of the cluster 'rehearsed', the plan names 'payroll'"):
        opened(whole, cluster="payroll").identify()
    with pytest.raises(Refusal, match="system identifier"):
        opened(whole, system_identifier="1").identify()


def test_exchanged_addresses_are_refused(whole: PatroniCluster) -> None:
    a, b = whole.target()["nodes"]
    with pytest.raises(Refusal, match="belongs to the member b"):
        opened(whole, nodes=[a | {"api": b["api"]}, b | {"api": a["api"]}]).identify()
    with pytest.raises(Refusal, match="leads to a server that was started at"):
        opened(whole, nodes=[a | {"dsn": b["dsn"]}, b | {"dsn": a["dsn"]}]).identify()


def test_silent_members_are_one_clear_refusal(whole: PatroniCluster) -> None:
    a, b = whole.target()["nodes"]
    nowhere = {"api": "http://127.0.0.1:9"}
    with pytest.raises(Refusal, match=r"no member's REST API answers: a: .* b: "):
        opened(whole, nodes=[a | nowhere, b | nowhere]).identify()
    with pytest.raises(Refusal, match="not every member's REST API answers: b: "):
        opened(whole, nodes=[a, b | nowhere]).identify()


def test_maintenance_mode_is_refused(whole: PatroniCluster, work: Work) -> None:
    old, new = roles(whole)
    try:
        whole.configure({"pause": True})
        with pytest.raises(Refusal, match="maintenance mode") as refused:
            opened(whole).identify()
        assert "patronictl resume" in refused.value.advice
        with pytest.raises(SystemFailure, match="maintenance mode"):
            opened(whole).switch(old, new, work)
    finally:
        whole.configure({"pause": None})
    opened(whole).identify()
    assert roles(whole) == (old, new)


def test_a_plan_that_fails_over_by_hand_asks_for_its_candidate(whole: PatroniCluster, work: Work) -> None:
    old, new = roles(whole)
    write(whole, old)
    promoted = opened(whole, failover="manual").promote(new, work)
    assert promoted.how.startswith('POST /failover: Successfully failed over to "')
    assert whole.leader() == new
    write(whole, new)
    assert opened(whole).rejoin(old, new, work).how == "follow"
    assert rows(whole, old) == rows(whole, new)


def test_patroni_takes_over_from_a_killed_member_which_comes_back(whole: PatroniCluster, work: Work) -> None:
    """With writes that only the lost member had."""
    old, new = roles(whole)
    target = opened(whole)
    write(whole, old)
    whole.kill(new)
    write(whole, old)
    write(whole, old)
    assert target.strike(Scenario.KILL, old, new, work)
    whole.start_member(new)
    fenced = target.fence(old, work)
    assert "leader key" in fenced
    assert "ttl 20 s" in fenced
    with pytest.raises(psycopg.OperationalError):
        write(whole, old)
    promoted = target.promote(new, work)
    assert promoted.how.startswith("Patroni failed over by itself")
    write(whole, new)
    salvaged = target.salvage(old, new, work)
    assert (salvaged.node, salvaged.commits) == (old, 2)
    rejoined = target.rejoin(old, new, work)
    assert rejoined.how == "rewind"
    assert "hook start" in rejoined.why
    assert rows(whole, old) == rows(whole, new)
    assert whole.is_whole()
    assert "brought it back" in target.salvage(old, new, work).why_not


def test_a_frozen_leader_is_replaced_and_steps_down_when_it_wakes(whole: PatroniCluster, work: Work) -> None:
    old, new = roles(whole)
    frozen = replace(work, spec=FailoverSpec.model_validate({"scenario": "freeze"}))
    hooks = {key: words for key, words in whole.target()["hooks"].items() if key != "fence"}
    target = opened(whole, hooks=hooks)
    try:
        assert target.strike(Scenario.FREEZE, old, new, frozen)
        whole.expire(old)
        assert "does not answer" in target.fence(old, frozen)
        target.promote(new, frozen)
        write(whole, new)
    finally:
        assert any("hook thaw" in done for done in target.heal(frozen))
    assert target.rejoin(old, new, frozen).how in {"follow", "rewind"}
    assert roles(whole) == (new, old)
    assert target.heal(frozen) == ()


def test_a_fenced_frozen_leader_leaves_its_log_and_comes_back(whole: PatroniCluster, work: Work) -> None:
    old, new = roles(whole)
    frozen = replace(work, spec=FailoverSpec.model_validate({"scenario": "freeze"}))
    target = opened(whole)
    write(whole, old)
    target.strike(Scenario.FREEZE, old, new, frozen)
    whole.expire(old)
    assert "hook fence" in target.fence(old, frozen)
    target.promote(new, frozen)
    write(whole, new)
    target.heal(frozen)
    with pytest.raises(psycopg.OperationalError):
        write(whole, old)
    assert target.salvage(old, new, frozen).commits is not None
    assert target.rejoin(old, new, frozen).how in {"follow", "rewind"}
    assert rows(whole, old) == rows(whole, new)


def test_replay_that_stands_still_holds_nothing_back_for_good(whole: PatroniCluster, work: Work) -> None:
    old, new = roles(whole)
    spec = FailoverSpec.model_validate({"scenario": "replica-behind", "fault_lasts": "100ms"})
    hooks = whole.target()["hooks"] | {"kill": whole.hook("lose")}
    target = opened(whole, hooks=hooks)
    behind = replace(work, spec=spec)
    done = target.strike(Scenario.REPLICA_BEHIND, old, new, behind)
    assert "replay stands still" in done[0]
    target.fence(old, behind)
    target.promote(new, behind)
    write(whole, new)
    target.heal(behind)
    target.rejoin(old, new, behind)
    assert target.heal(behind) == ()


def test_a_member_that_cannot_come_back_is_not_waited_for_without_a_hook(whole: PatroniCluster, work: Work) -> None:
    old, new = roles(whole)
    whole.kill(new)
    try:
        with pytest.raises(httpx.HTTPError):
            httpx.get(whole.seat(new).api, timeout=3)
        with pytest.raises(Exception, match="takes a hook 'start', and the plan names none"):
            opened(whole, hooks={}).rejoin(new, old, work)
    finally:
        whole.start_member(new)
