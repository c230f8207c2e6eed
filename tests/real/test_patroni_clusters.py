"""The target `patroni-clusters` on two real Patroni clusters: switched, lost, brought home, mistaken, taken back."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from muster.drill import Workspace
from muster.errors import Refusal, StepError, SystemFailure
from muster.failover.spec import FailoverSpec, Scenario
from muster.settings import Settings
from tasks.patroni import servers
from tasks.process import Processes
from tasks.regions.patience import countdown
from tasks.targets import patroni_clusters
from tasks.targets.patroni_clusters import Target, open_target
from tasks.targets.promotable import Promotable, Work
from tests.real.patroni_cluster import wait
from tests.real.patroni_clusters import REGIONS, PatroniClusters


@pytest.fixture(scope="module")
def clusters() -> Iterator[PatroniClusters]:
    """Both, up."""
    folder = Path(tempfile.mkdtemp(prefix="mpcl", dir="/tmp"))
    made = PatroniClusters(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


@pytest.fixture
def whole(clusters: PatroniClusters) -> PatroniClusters:
    """One takes writes, the other streams."""
    wait(clusters.is_whole, "one cluster to stream from the other", clusters.log("b"))
    return clusters


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(
        workspace=Workspace("run", tmp_path / "run"),
        processes=Processes(tmp_path / "processes", tmp_path / "logs"),
        spec=FailoverSpec.model_validate({"scenario": "kill"}),
        seconds_left=countdown(240),
        now_ns=time.monotonic_ns,
    )


def opened(clusters: PatroniClusters, /, **keys: Any) -> Target:
    return open_target(clusters.target() | keys, Settings(home=clusters.folder / "home"))


def changed(clusters: PatroniClusters, name: str, **keys: Any) -> list[dict[str, Any]]:
    return [c | keys if c["name"] == name else c for c in clusters.target()["clusters"]]


def roles(clusters: PatroniClusters) -> tuple[str, str]:
    primary = clusters.primary()
    assert primary
    return primary, next(name for name in REGIONS if name != primary)


def write(clusters: PatroniClusters, name: str) -> None:
    with psycopg.connect(clusters.seat(name).dsn, autocommit=True, connect_timeout=10) as connection:
        connection.execute("create table if not exists written (at timestamptz)")
        connection.execute("insert into written values (now())")


def rows(clusters: PatroniClusters, name: str) -> int:
    with psycopg.connect(clusters.seat(name).dsn, autocommit=True, connect_timeout=10) as connection:
        row = connection.execute("select count(*) from written").fetchone()
    return row[0] if row else 0


def test_it_proves_which_clusters_they_are(whole: PatroniClusters) -> None:
    target = opened(whole)
    assert isinstance(target, Promotable)
    identity = target.identify()
    with psycopg.connect(whole.seat("b").dsn) as connection:
        row = connection.execute("select system_identifier::text from pg_control_system()").fetchone()
    assert row
    assert identity.system_identifier == row[0]
    assert "orders-a in east and orders-b in west" in identity.description
    assert opened(whole, system_identifier=row[0]).identify() == identity


def test_what_is_not_the_plans_is_refused(whole: PatroniClusters) -> None:
    a, b = whole.target()["clusters"]
    _, standby = roles(whole)
    nowhere = {"host": "10.9.9.9"}
    for keys, complaint in (
        ({"system_identifier": "1"}, "system identifier"),
        ({"clusters": [a | {"api": b["api"]}, b]}, "member of the cluster 'orders-b', the plan names 'orders-a'"),
        ({"clusters": [a | {"dsn": b["dsn"]}, b | {"dsn": a["dsn"]}]}, "leads to a server that was started at"),
        ({"clusters": [a, b | {"api": "http://127.0.0.1:9"}]}, "not every member's REST API answers: b: "),
        ({"clusters": changed(whole, roles(whole)[0], **nowhere)}, f"standby_cluster of {standby} has host 127.0.0.1"),
        ({"hooks": {"fence": ["/no/such/program"]}}, "fence"),
    ):
        with pytest.raises(Refusal, match=complaint):
            opened(whole, **keys).identify()


def test_two_standby_clusters_are_refused_and_one_is_promoted_again(whole: PatroniClusters, work: Work) -> None:
    old, new = roles(whole)
    target = opened(whole)
    fenced = target.fence(old, work)
    assert f"{old} is a standby cluster of {new} now" in fenced
    with pytest.raises(psycopg.Error):
        write(whole, old)
    wait(lambda: whole.role(old) == "standby_leader", "the demoted cluster to be a standby", whole.log(old))
    with pytest.raises(Refusal, match="a and b are both standby clusters"):
        target.identify()
    assert "takes writes" in target.revive(old, work)
    write(whole, old)
    wait(whole.is_whole, "the other one to stream again", whole.log(new))
    assert roles(whole) == (old, new)
    target.identify()


def test_a_switch_and_back_loses_nothing(whole: PatroniClusters, work: Work) -> None:
    old, new = roles(whole)
    target = opened(whole)
    write(whole, old)
    there = target.switch(old, new, work)
    assert "standby_cluster" in there.how
    assert roles(whole) == (new, old)
    write(whole, new)
    back = target.switch(new, old, work)
    assert roles(whole) == (old, new)
    assert back.timeline > there.timeline
    assert rows(whole, old) == rows(whole, new) >= 2
    target.identify()


def test_a_switch_that_cannot_be_proven_is_taken_back(
    whole: PatroniClusters, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The standby receives, and applies nothing of the last hour."""
    old, new = roles(whole)
    write(whole, old)
    before = rows(whole, old)
    wait(lambda: rows(whole, new) == before, "the standby to have it all", whole.log(new))
    whole.configure(new, {"standby_cluster": {"recovery_min_apply_delay": "1h"}})
    wait(lambda: whole.setting(new, "recovery_min_apply_delay") == "1h", "the standby to lag", whole.log(new))
    write(whole, old)
    monkeypatch.setattr(patroni_clusters, "GRACE", -15.0)  # of the minute that it would wait
    with pytest.raises(SystemFailure, match=f"{old} cannot hand over, and takes writes again"):
        opened(whole).switch(old, new, work)
    assert whole.primary() == old
    assert rows(whole, new) == before
    write(whole, old)
    whole.configure(new, {"standby_cluster": {"recovery_min_apply_delay": None}})
    wait(lambda: rows(whole, new) == before + 2, "the standby to have it all", whole.log(new))
    assert whole.config(new)["standby_cluster"] == whole.section(old)
    opened(whole).identify()


def test_replay_that_stands_still_is_not_let_go_on_by_patroni(whole: PatroniClusters, work: Work) -> None:
    """Patroni does that once in each `loop_wait`, two seconds here."""
    _, new = roles(whole)
    dsn = whole.seat(new).dsn
    servers.hold_replay(dsn, 0.5, 2, 10, work.seconds_left)
    assert servers.resume_replay(dsn, 10)
    with pytest.raises(StepError, match="Patroni lets it go on every 2 s") as failed:
        servers.hold_replay(dsn, 5, 2, 10, work.seconds_left)
    assert "fault_lasts" in failed.value.advice


def test_a_paused_cluster_hands_nothing_over(whole: PatroniClusters, work: Work) -> None:
    old, new = roles(whole)
    whole.configure(old, {"pause": True})
    try:
        with pytest.raises(Refusal, match="maintenance mode"):
            opened(whole).identify()
        with pytest.raises(SystemFailure, match="maintenance mode"):
            opened(whole).switch(old, new, work)
    finally:
        whole.configure(old, {"pause": None})
    assert roles(whole) == (old, new)


def test_a_lost_cluster_is_fenced_in_its_dcs_and_rewound(whole: PatroniClusters, work: Work) -> None:
    """With writes that only the lost one had; it is started as its owner would, without a word to Muster."""
    old, new = roles(whole)
    target = opened(whole)
    write(whole, old)
    wait(lambda: rows(whole, new) == rows(whole, old), "the standby to have it all")
    whole.kill(new)
    write(whole, old)
    write(whole, old)
    assert target.strike(Scenario.KILL, old, new, work)
    whole.start_cluster(new)
    fenced = target.fence(old, work)
    assert "hook fence" in fenced
    assert "API does not answer" in fenced
    target.promote(new, work)
    write(whole, new)
    salvaged = target.salvage(old, new, work)
    assert (salvaged.node, salvaged.commits) == (old, 2)
    whole.start_cluster(old)
    with pytest.raises(psycopg.Error):
        write(whole, old)
    rejoined = target.rejoin(old, new, work)
    assert rejoined.how == "rewind"
    assert roles(whole) == (new, old)
    assert rows(whole, old) == rows(whole, new)
    target.identify()


def test_a_lost_and_fenced_cluster_is_revived_as_what_it_was(whole: PatroniClusters, work: Work) -> None:
    old, new = roles(whole)
    target = opened(whole)
    target.strike(Scenario.KILL, old, new, work)
    target.fence(old, work)
    assert "takes writes" in target.revive(old, work)
    assert roles(whole) == (old, new)
    assert not whole.config(old).get("standby_cluster")


def test_a_cluster_that_comes_up_beside_the_new_one_is_demoted_and_reported(whole: PatroniClusters, work: Work) -> None:
    """Its hooks kill and start, and tell its DCS nothing."""
    old, new = roles(whole)
    hooks = whole.target()["hooks"]
    careless = opened(whole, hooks=hooks | {"fence": hooks["kill"], "start": whole.hook("wake")})
    careless.strike(Scenario.KILL, old, new, work)
    careless.fence(old, work)
    careless.promote(new, work)
    with pytest.raises(SystemFailure, match=f"{old} came up as a primary beside {new}; it is demoted now"):
        careless.rejoin(old, new, work)
    assert careless.rejoin(old, new, work).node == old
    assert roles(whole) == (new, old)


def test_neither_a_standby_is_refused(whole: PatroniClusters) -> None:
    """The last test: what both write apart is not mended."""
    _, standby = roles(whole)
    whole.configure(standby, {"standby_cluster": None})
    wait(lambda: whole.role(standby) == "primary", "the standby cluster to be promoted", whole.log(standby))
    with pytest.raises(Refusal, match="neither a and b is a standby cluster") as refused:
        opened(whole).identify()
    assert "demote-cluster" in refused.value.advice
