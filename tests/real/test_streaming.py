"""The streaming target over two real servers: what SQL proves, what hooks do, and what it says when they do not."""

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
from tasks.link.link import Condition
from tasks.postgres.bounded import connected
from tasks.process import Processes
from tasks.regions import replication
from tasks.regions.pair import Pair
from tasks.regions.patience import countdown, wait_until
from tasks.regions.timeline import is_standby_on_disk
from tasks.streaming import handover, roles
from tasks.streaming.notes import Notes
from tasks.targets.promotable import Work
from tasks.targets.streaming import Target, open_target
from tests.real.pair_hooks import hooks

ALL = ("fence", "rejoin", "revive", "salvage", "stop", "kill", "freeze", "thaw", "cut", "heal", "slow", "fill", "free")
FIRST = "FIRST 1 (a, b)"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("streaming")
    sockets = Path(tempfile.mkdtemp(prefix="mstr", dir="/tmp"))
    processes = Processes(folder / "processes", folder / "logs")
    pair = Pair(folder / "regions", sockets, processes)
    try:
        pair.start()
        yield pair
    finally:
        pair.stop()
        processes.close()
        shutil.rmtree(sockets)


@pytest.fixture
def pair(running: Pair) -> Iterator[Pair]:
    """Healthy, and mended afterwards past the target."""
    yield running
    running.link.set(Condition())
    for name in Pair.NAMES:
        running.thaw(name)
        running.free_disk(name)
    serving = [n for n in Pair.NAMES if replication.answers(running.server(n)) and not is_standby(running, n)]
    if not serving:
        serving = [n for n in Pair.NAMES if not is_standby_on_disk(running.server(n))]
        running.revive(serving[0])
    standby = running.peer(serving[0])
    running.rejoin(standby, serving[0])
    set_synchronous(running, standby, "")


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return work_for("kill", tmp_path)


def work_for(scenario: str, folder: Path) -> Work:
    return Work(
        workspace=Workspace("run", folder / "run"),
        processes=Processes(folder / "processes", folder / "logs"),
        spec=FailoverSpec.model_validate({"scenario": scenario, "fault_lasts": "200ms"}),
        seconds_left=countdown(200),
        now_ns=time.monotonic_ns,
    )


def target_over(pair: Pair, *, named: tuple[str, ...] = ALL, user: str = "postgres", **keys: Any) -> Target:
    nodes = [{**node.model_dump(), "dsn": node.dsn.replace("user=postgres", f"user={user}")} for node in pair.nodes()]
    chosen = {**hooks(pair.home, *named), **keys.pop("hooks", {})}
    return open_target({"nodes": nodes, "hooks": chosen, **keys}, Settings(home=pair.home))


def is_standby(pair: Pair, name: str) -> bool:
    return replication.is_standby(pair.server(name))


def cast(pair: Pair) -> tuple[str, str]:
    """Primary and standby."""
    old = next(name for name in pair.NAMES if not is_standby(pair, name))
    return old, pair.peer(old)


def node(pair: Pair, name: str):
    return next(n for n in pair.nodes() if n.name == name)


def set_synchronous(pair: Pair, name: str, names: str) -> None:
    replication.set_synchronous(pair.server(name), names)
    wait_until(lambda: synchronous(pair, name) == names, "the reload", countdown(30), at_most=30)


def synchronous(pair: Pair, name: str) -> str:
    return roles.synchronous_names(node(pair, name))


def write(pair: Pair, name: str) -> None:
    """Hangs, and so fails, when commits wait for nobody who is there."""
    with connected(node(pair, name).dsn, 10) as connection:
        connection.execute("insert into accounts (name, balance) values ('new', 1)")


# What it needs to know, and to be allowed.


def test_a_server_of_another_system_is_refused(pair):
    with pytest.raises(Refusal, match="not of 7777"):
        target_over(pair, system_identifier="7777").identify()
    assert target_over(pair).identify().system_identifier == replication.system_identifier(pair.server("a"))


def test_a_hook_without_program_is_refused_before_anything_is_done(pair):
    with pytest.raises(Refusal, match=r"2 hooks have no program: fence \(/no/fence\), kill \(no-kill\)"):
        target_over(pair, hooks={"fence": ["/no/fence"], "kill": ["no-kill"]}).identify()


def test_rights_that_lack_are_named_as_grants_and_suffice_once_granted(pair, work):
    old, new = cast(pair)
    with connected(node(pair, old).dsn, 20) as connection:
        connection.execute("drop role if exists drill")
        connection.execute("create role drill login in role pg_monitor")
    wait_until(lambda: roles.role_of(as_user(pair, new), 5) is not None, "the role", countdown(30), at_most=30)
    target = target_over(pair, user="drill", clear_synchronous=True)
    with pytest.raises(Refusal, match="would deny") as caught:
        target.identify()
    grants = caught.value.advice.removeprefix("run there: ").split("; ")
    assert len(grants) == 5
    with connected(node(pair, old).dsn, 20) as connection:
        for grant in grants:
            connection.execute(grant.encode())
    lsn = replication.position(pair.server(old)).lsn
    wait_until(lambda: replication.is_caught_up(pair.server(old), new, lsn), "grants", countdown(30), at_most=30)
    target.identify()
    assert target.switch(old, new, work).node == new
    assert cast(pair) == (new, old)


def as_user(pair: Pair, name: str):
    return node(pair, name).model_copy(update={"dsn": node(pair, name).dsn.replace("user=postgres", "user=drill")})


# Planned switches.


def test_a_primary_that_did_not_stop_in_good_order_hands_nothing_over(pair, work, monkeypatch):
    monkeypatch.setattr(handover, "_ARRIVAL_SECONDS", 2.0)
    old, new = cast(pair)
    timeline = replication.position(pair.server(old)).timeline
    target = target_over(pair, hooks={"stop": hooks(pair.home, "kill")["kill"]})
    with pytest.raises(SystemFailure, match=r"cannot hand over: .* shutdown checkpoint"):
        target.switch(old, new, work)
    assert cast(pair) == (old, new)  # it was started again, and nobody was promoted
    assert replication.position(pair.server(old)).timeline == timeline


def test_only_the_checkpoint_of_a_shutdown_proves_a_clean_stop(pair):
    old, new = cast(pair)
    standby, before = node(pair, new), roles.position(node(pair, old)).lsn
    roles.checkpoint(node(pair, old), 60)
    lsn = roles.position(node(pair, old)).lsn
    wait_until(lambda: roles.sends(node(pair, old), lsn), "the standby", countdown(30), at_most=30)
    assert not roles.has_all_of_a_clean_stop(standby, before, 60)
    pair.server(old).stop("fast", timeout=60)
    wait_until(
        lambda: roles.has_all_of_a_clean_stop(standby, before, 60), "the proof", countdown(30), at_most=30, every=0.1
    )
    assert not roles.has_all_of_a_clean_stop(standby, "FFFF/0", 60)  # a stop of long ago proves nothing


def test_a_stop_that_stops_nothing_hands_nothing_over(pair, work, monkeypatch):
    monkeypatch.setattr(handover, "_ARRIVAL_SECONDS", 1.0)
    old, new = cast(pair)
    with pytest.raises(SystemFailure, match="cannot hand over"):
        target_over(pair, hooks={"stop": ["true"]}).switch(old, new, work)
    assert cast(pair) == (old, new)


def test_a_switch_that_was_cut_short_after_the_stop_is_finished(pair, work):
    old, new = cast(pair)
    target = target_over(pair)
    Notes(work.workspace).set_handed_over(replication.position(pair.server(old)).lsn)
    pair.server(old).stop("fast", timeout=60)
    assert target.switch(old, new, work).node == new
    assert cast(pair) == (new, old)
    assert Notes(work.workspace).handed_over() == ""


def test_a_hook_can_make_the_whole_switch(pair, work):
    old, new = cast(pair)
    promoted = target_over(pair, named=("fence", "rejoin", "switchover")).switch(old, new, work)
    assert "hook switchover" in promoted.how
    assert cast(pair) == (new, old)


def test_without_a_way_to_switch_it_says_so(pair, work):
    old, new = cast(pair)
    target = target_over(pair, named=("fence", "rejoin", "kill"))
    assert target.scenarios() == {Scenario.KILL, Scenario.REPLICA_BEHIND}
    with pytest.raises(StepError, match="neither a hook 'switchover' nor 'stop'"):
        target.switch(old, new, work)
    assert cast(pair) == (old, new)


# Commits that would wait for a standby that is lost.


def test_a_standby_that_would_hang_is_a_fault_told_before_anything_breaks(pair, work):
    old, new = cast(pair)
    set_synchronous(pair, new, FIRST)
    with pytest.raises(SystemFailure, match="commits would wait") as caught:
        target_over(pair).strike(Scenario.KILL, old, new, work)
    assert "clear_synchronous" in caught.value.advice
    assert cast(pair) == (old, new)


def test_a_promoted_server_waits_for_nobody_until_the_other_is_back(pair, work):
    old, new = cast(pair)
    set_synchronous(pair, new, FIRST)
    target = target_over(pair, clear_synchronous=True)
    target.strike(Scenario.KILL, old, new, work)
    target.fence(old, work)
    target.promote(new, work)
    write(pair, new)
    assert synchronous(pair, new) == ""
    rejoined = target.rejoin(old, new, work)
    assert rejoined.how in {"rewind", "follow"}
    assert synchronous(pair, new) == FIRST
    assert roles.has_synchronous_standby(node(pair, new))
    write(pair, new)
    assert Notes(work.workspace).synchronous() == {}


def test_a_setting_that_nobody_fulfils_is_not_left_behind(pair, work, monkeypatch):
    monkeypatch.setattr("tasks.streaming.synchronous._CONFIRM_SECONDS", 1.0)
    old, new = cast(pair)
    Notes(work.workspace).add_synchronous(old, "stranger")
    with pytest.raises(SystemFailure, match="'stranger'"):
        target_over(pair).rejoin(new, old, work)
    wait_until(lambda: synchronous(pair, old) == "", "the reload", countdown(30), at_most=30)
    write(pair, old)
    replication.set_synchronous(pair.server(old), "*")


def test_a_promotion_by_hook_that_lets_commits_hang_is_a_fault(pair, work):
    old, new = cast(pair)
    set_synchronous(pair, new, FIRST)
    promote = ["psql", "-X", "-d", node(pair, new).dsn, "-c", "select pg_promote()"]
    promote[0] = str(pair.server(new).binaries.tool("psql"))
    target = target_over(pair, hooks={"promote": promote})
    target.strike(Scenario.KILL, old, new, work)
    target.fence(old, work)
    with pytest.raises(SystemFailure, match="commits hang"):
        target.promote(new, work)
    assert not is_standby(pair, new)
    assert target.promote(new, work).how == "it was primary already"


# Faults and their end.


@pytest.mark.parametrize("scenario", ["freeze", "partition", "slow-link", "disk-full"])
def test_a_fault_is_ended_by_whoever_heals_in_the_same_run(pair, tmp_path, scenario):
    old, new = cast(pair)
    assert is_well(pair, old)
    assert target_over(pair).strike(Scenario(scenario), old, new, work_for(scenario, tmp_path))
    assert not is_well(pair, old)
    again = work_for(scenario, tmp_path)
    assert len(target_over(pair).heal(again)) == 1
    assert is_well(pair, old)
    assert target_over(pair).heal(again) == ()
    wait_until(lambda: replication.answers(pair.server(old)), "the primary", countdown(30), at_most=30)
    pair.kill(old)  # it may have died of a full disk, or not
    pair.revive(old)


def is_well(pair: Pair, name: str) -> bool:
    return not pair.is_frozen(name) and pair.link.state() == Condition() and has_room(pair, name)


def has_room(pair: Pair, name: str) -> bool:
    pid = pair.server(name).pid()
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return "unlimited" in next(line for line in limits if line.startswith("Max file size")).split()[3]


def test_replay_is_held_by_sql_and_goes_on_when_healed(pair, tmp_path):
    old, new = cast(pair)
    work = work_for("replica-behind", tmp_path)
    target = target_over(pair)
    done = target.strike(Scenario.REPLICA_BEHIND, old, new, work)
    assert "replay stands still" in done[0]
    assert "kill" in done[1]
    assert not pair.is_running(old)
    assert target.heal(work) == (f"{new}: replay goes on",)
    assert target.heal(work) == ()


def test_what_was_left_behind_is_counted_by_the_hook(pair, work):
    old, new = cast(pair)
    set_synchronous(pair, old, "")
    pair.link.cut()
    for _ in range(3):
        write(pair, old)
    target = target_over(pair, clear_synchronous=True)
    target.strike(Scenario.KILL, old, new, work)
    target.fence(old, work)
    target.promote(new, work)
    target.heal(work)
    pair.link.heal()
    salvaged = target.salvage(old, new, work)
    assert salvaged.commits is not None
    assert salvaged.commits >= 3
    assert salvaged.fork_lsn
    assert (work.workspace.exhibits / salvaged.listed).read_text().count("COMMIT") == salvaged.commits
    assert salvaged.kept_sha256
    assert Path(salvaged.kept).is_relative_to(work.workspace.kept)
    assert target.rejoin(old, new, work).how == "rewind"


# What hooks do not do.


def test_a_server_has_not_rejoined_because_a_hook_says_so(pair, work):
    old, new = cast(pair)
    pair.kill(new)
    target = target_over(pair, hooks={"rejoin": ["echo", "follow: all is well"]}, catch_up="2s")
    with pytest.raises(StepError, match=f"in vain for {new} to stream from {old}"):
        target.rejoin(new, old, work)


def test_a_salvage_that_gives_no_number_is_told(pair, work):
    old, new = cast(pair)
    with pytest.raises(StepError, match="ends with 'lots'"):
        target_over(pair, hooks={"salvage": ["echo", "lots"]}).salvage(new, old, work)


def test_a_fence_that_fails_is_the_systems_fault(pair, work):
    old, _ = cast(pair)
    with pytest.raises(SystemFailure, match="the hook 'fence' failed on"):
        target_over(pair, hooks={"fence": ["false"]}).fence(old, work)


def test_no_second_primary_is_revived(pair, work):
    old, new = cast(pair)
    with pytest.raises(StepError, match=f"{old} takes writes"):
        target_over(pair).revive(new, work)


def test_a_dead_server_is_no_error_of_looking(pair, work):
    old, new = cast(pair)
    pair.kill(new)
    target = target_over(pair, named=("fence", "rejoin"))
    assert target.identify().proof == f"{old} asked"
    with pytest.raises(psycopg.Error), connected(node(pair, new).dsn, 5):
        pass
