"""Two regions on this machine: every verb holds from a healthy pair and from whatever a drill that died left of it."""

import hashlib
import io
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from rich.console import Console

from muster.cli.up import addresses
from muster.drill import Workspace
from muster.errors import MusterError, Refusal, StepError, SystemFailure
from muster.failover.spec import FailoverSpec, Scenario
from muster.settings import Settings
from tasks.estate.card import read_card
from tasks.estate.estate import Estate, Part, parts_for
from tasks.link.link import Condition, best_form
from tasks.postgres.bounded import connected
from tasks.process import AT_ONCE, Processes
from tasks.regions import replication
from tasks.regions.pair import Pair
from tasks.regions.patience import countdown
from tasks.regions.records import Fence
from tasks.regions.salvage import shorten
from tasks.regions.timeline import fork_in, is_standby_on_disk
from tasks.targets.embedded_regions import Target, open_target
from tasks.targets.promotable import Work

FORMS = {"best": best_form(), "proxy": "proxy"}
UNPLANNED = [scenario for scenario in Scenario if not scenario.is_planned]
PATIENCE = 60.0


@contextmanager
def made_pair(form: str, condition: Condition) -> Iterator[Pair]:
    """A running pair of its own, with nothing left of it afterwards."""
    root = Path(tempfile.mkdtemp(prefix="mreg", dir="/tmp"))  # sockets need a short path
    root.chmod(0o755)
    pair = Pair(root / "regions", root / "s", Processes(root / "processes", root / "logs"), form=FORMS[form])
    try:
        pair.start(condition)
        yield pair
    finally:
        pair.stop()
        assert pair.processes.names() == ()
        shutil.rmtree(root)


@pytest.fixture(scope="module")
def module_pair() -> Iterator[Pair]:
    with made_pair("best", Condition()) as pair:
        yield pair


@pytest.fixture
def pair(module_pair: Pair) -> Pair:
    """A healthy pair, `a` its primary, with an empty table; another process's view of it."""
    seen = Pair.open(module_pair.home)
    assert seen is not None
    bring_home(seen)
    run(seen, "a", "drop table if exists t", "create table t (n int primary key)")
    wait_until(lambda: numbers(seen, "b") == set())
    return seen


@pytest.fixture
def target(pair: Pair, tmp_path: Path) -> Target:
    return target_of(pair, tmp_path)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return work_in(tmp_path)


def target_of(pair: Pair, folder: Path, rtt: str = "0s") -> Target:
    keys: dict[str, object] = {"type": "embedded-regions", "folder": str(pair.home), "link": {"rtt": rtt}}
    return open_target(keys, Settings(home=folder / "home"))


def work_in(folder: Path) -> Work:
    spec = {"scenario": "kill", "fault_lasts": "200ms", "slow_link": {"rtt": "40ms", "loss": 0.01}}
    return Work(
        workspace=Workspace("run", folder / "run"),
        processes=Processes(folder / "processes", folder / "logs"),
        spec=FailoverSpec.model_validate(spec),
        seconds_left=countdown(4 * PATIENCE),
        now_ns=time.monotonic_ns,
    )


def bring_home(pair: Pair) -> None:
    """Whatever a failed test left."""
    if not pair.link.is_alive():
        pair.link.start()
    pair.link.set(Condition())
    for name in Pair.NAMES:
        pair.thaw(name)
        pair.free_disk(name)
    leaders = [
        n for n in Pair.NAMES if replication.answers(pair.server(n)) and not replication.is_standby(pair.server(n))
    ]
    if not leaders:
        pair.stop()
        pair.start()
    elif leaders == ["b"]:
        pair.rejoin("a", "b")
        pair.switch("b", "a")
    else:
        pair.rejoin("b", "a")


def run(pair: Pair, name: str, *statements: str, seconds: float = 20) -> None:
    with connected(pair.server(name).dsn("app"), seconds) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def insert(pair: Pair, name: str, *values: int, seconds: float = 20) -> None:
    run(pair, name, "set synchronous_commit = local", *(f"insert into t values ({v})" for v in values), seconds=seconds)


def insert_on_both(pair: Pair, name: str, *values: int) -> None:
    run(pair, name, "set synchronous_commit = remote_apply", *(f"insert into t values ({v})" for v in values))


def numbers(pair: Pair, name: str) -> set[int] | None:
    try:
        with connected(pair.server(name).dsn("app"), 20) as connection:
            return {row[0] for row in connection.execute("select n from t")}
    except psycopg.errors.UndefinedTable:
        return None


def setting(pair: Pair, name: str, key: str) -> str:
    with pair.server(name).connect("app") as connection:
        row = connection.execute("select current_setting(%s)", [key]).fetchone()
    assert row
    return str(row[0])


def slots(pair: Pair, name: str) -> set[str]:
    with pair.server(name).connect("app") as connection:
        return {row[0] for row in connection.execute("select slot_name from pg_replication_slots")}


def wait_until(is_so) -> None:
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while not is_so():
        assert time.monotonic() < deadline, "it never came true"
        pause.wait(0.02)


def assert_serves(pair: Pair, primary: str, standby: str) -> None:
    """One takes writes that wait for the other, a standby; log is kept for nobody else."""
    assert not replication.is_standby(pair.server(primary))
    assert replication.is_standby(pair.server(standby))
    assert is_standby_on_disk(pair.server(standby))
    assert setting(pair, primary, "synchronous_standby_names") == "*"
    assert (slots(pair, primary), slots(pair, standby)) == ({standby}, set())
    waiting = "set synchronous_commit = remote_apply"
    run(pair, primary, waiting, "create table if not exists probe (n int)", "insert into probe values (1)")
    assert numbers(pair, primary) == numbers(pair, standby)


# --- a healthy pair --------------------------------------------------------------------------------------------------


def test_a_pair_is_what_it_promises(pair: Pair) -> None:
    assert_serves(pair, "a", "b")
    expected = {"wal_log_hints": "on", "data_checksums": "on", "hot_standby_feedback": "on", "fsync": "on",
                "max_slot_wal_keep_size": "512MB", "summarize_wal": "off", "max_connections": "300"}  # fmt: skip
    for name in Pair.NAMES:
        assert {key: setting(pair, name, key) for key in expected} == expected
        assert setting(pair, name, "cluster_name") == name
    east, west = pair.nodes()
    assert (east.name, east.region, west.name, west.region) == ("a", "east", "b", "west")


@pytest.mark.parametrize("form", list(FORMS))
def test_it_goes_there_and_back_over_either_form_of_the_link(form: str, tmp_path: Path) -> None:
    with made_pair(form, Condition(rtt_seconds=0.01)) as own:
        run(own, "a", "create table t (n int primary key)")
        insert(own, "a", *range(10))
        assert own.switch("a", "b").timeline == 2
        assert_serves(own, "b", "a")
        own.link.cut()
        insert(own, "b", *range(10, 15))
        own.fence("b")
        assert own.promote("a").timeline == 3
        own.link.heal()
        assert own.rejoin("b", "a").how == "rewind"
        assert_serves(own, "a", "b")
        assert numbers(own, "a") == set(range(10))
        assert_closed(own)
        own.stop()
        own.stop()
        assert own.processes.names() == ()
        own.start(Condition())
        assert_serves(own, "a", "b")
        assert numbers(own, "b") == set(range(10))


def assert_closed(pair: Pair) -> None:
    """Servers listen for each other alone, and over the link nobody gets in without the password."""
    for name in Pair.NAMES:
        addresses = set(setting(pair, name, "listen_addresses").split(","))
        assert addresses <= {"127.0.0.1", pair.link.listen_address(name)}
    inside = pair.server("b")
    conninfo = pair.address_of("a", seen_from="b")
    without = " ".join(word for word in conninfo.split() if not word.startswith("passfile="))
    query = [inside.binaries.tool("psql"), "--no-password", "--no-psqlrc", "--command=select 1"]
    for words, is_let_in in ((conninfo, True), (without, False)):
        argv = [*query, f"--dbname={words}"]
        done = pair.processes.run(argv, log="psql.log", timeout=30, network=inside.network, check=False)
        assert (done.returncode == 0) == is_let_in, done.output
    assert "no password supplied" in done.output


def test_the_password_is_ours_alone(pair: Pair) -> None:
    passfile = pair.home / "passfile"
    assert passfile.stat().st_mode & 0o077 == 0
    secret = passfile.read_text().strip().rpartition(":")[2]
    for name in Pair.NAMES:
        said = Path(f"/proc/{pair.server(name).pid()}/cmdline").read_text()
        assert "passfile" in said
        assert secret not in said
    assert all(secret not in log.read_text() for log in pair.processes.logs.iterdir())


# --- what can happen to it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", UNPLANNED)
def test_every_fault_is_survived_and_mended(pair: Pair, target: Target, work: Work, scenario: Scenario) -> None:
    insert_on_both(pair, "a", *range(10))
    said = target.strike(scenario, "a", "b", work)
    assert said
    if scenario is Scenario.PARTITION:
        insert(pair, "a", *range(10, 15))  # it lives, and nobody hears of it
    else:
        with pytest.raises(psycopg.Error):
            insert(pair, "a", 10, seconds=3)
    assert target.fence("a", work)
    promoted = target.promote("b", work)
    assert promoted.timeline > 1
    insert(pair, "b", 20)  # nobody waits for a standby that is not there
    run(pair, "b", "insert into t values (21)")
    target.heal(work)
    assert target.heal(work) == ()
    with pytest.raises(psycopg.Error):
        insert(pair, "a", 11, seconds=3)
    salvaged = target.salvage("a", "b", work)
    rejoined = target.rejoin("a", "b", work)
    assert_serves(pair, "b", "a")
    assert {20, 21} <= (numbers(pair, "a") or set())
    assert set(range(10)) <= (numbers(pair, "a") or set()), "what was sent was lost"
    assert rejoined.how in {"rewind", "follow"}
    assert salvaged.commits is not None
    if scenario is Scenario.PARTITION:
        assert salvaged.commits >= 5
        assert rejoined.how == "rewind"
        assert not set(range(10, 15)) & (numbers(pair, "a") or set())


def test_what_was_lost_is_kept_and_counted(pair: Pair, target: Target, work: Work) -> None:
    run(pair, "a", "alter table t set (autovacuum_enabled = off)")
    wait_until(lambda: replication.is_caught_up(pair.server("a"), "b", replication.write_mark(pair.server("a"))))
    pair.link.cut()
    insert(pair, "a", *range(7))
    target.fence("a", work)
    target.promote("b", work)
    target.heal(work)
    made_in_advance = [pair.server("a").data / "pg_wal" / f"{1:08X}000000FF000000{n:02X}" for n in range(40)]
    for segment in made_in_advance:
        segment.write_bytes(bytes(8192))
    first, again = (target.salvage("a", "b", work) for _ in range(2))
    assert first == again
    assert first.commits is not None
    assert first.commits >= 7
    assert first.fork_lsn
    assert first.ended_at
    listing = (work.workspace.exhibits / first.listed).read_text()
    assert listing.count("COMMIT") == first.commits
    digests = [hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(Path(first.kept).iterdir())]
    assert tuple(digests) == first.kept_sha256
    assert digests


def test_a_frozen_server_that_thaws_before_its_fence_takes_writes_again(pair: Pair, target: Target, work: Work) -> None:
    target.strike(Scenario.FREEZE, "a", "b", work)
    assert pair.is_frozen("a")
    with pytest.raises(psycopg.Error):
        insert(pair, "a", 1, seconds=2)
    (done,) = target.heal(work)
    assert "SIGCONT" in done
    wait_until(lambda: replication.answers(pair.server("a")))
    insert(pair, "a", 2)


@pytest.mark.parametrize("lost", ["link", "link-a"])
def test_the_link_goes_back_to_what_the_plan_says(pair: Pair, tmp_path: Path, work: Work, lost: str) -> None:
    target = target_of(pair, tmp_path, rtt="30ms")
    assert len(target.heal(work)) == 1
    assert pair.link.state() == Condition(rtt_seconds=0.03)
    target.strike(Scenario.SLOW_LINK, "a", "b", work)
    assert pair.link.state() == Condition(rtt_seconds=0.04, loss=0.01)
    target.switch("a", "b", work)
    target.heal(work)
    assert pair.link.state() == Condition(rtt_seconds=0.03)
    pair.processes.stop("link", signals=AT_ONCE)
    pair.processes.stop(lost, signals=AT_ONCE)  # with its holder, the network of one server
    assert target.heal(work)
    assert pair.link.state() == Condition(rtt_seconds=0.03)
    wait_until(lambda: replication.is_caught_up(pair.server("b"), "a", "0/0"))
    assert_serves(pair, "b", "a")


@pytest.mark.parametrize("when", ["before", "after it was stopped"])
def test_a_hand_over_that_cannot_be_whole_is_not_made(
    pair: Pair, target: Target, work: Work, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    pair.link.cut()
    insert(pair, "a", 1)
    if when == "before":
        monkeypatch.setattr("tasks.regions.pair._KEEP_UP_SECONDS", 1.0)
    else:
        pair.kill("a")
        pair.start_server("a")  # without a standby it shuts down at once
        pair.server("a").stop("fast")
    with pytest.raises(SystemFailure, match="cannot hand over"):
        target.switch("a", "b", work)
    monkeypatch.undo()
    insert(pair, "a", 2)
    assert replication.is_standby(pair.server("b"))
    target.heal(work)
    assert target.switch("a", "b", work).timeline > 1
    assert numbers(pair, "b") == {1, 2}


# --- what a drill that died left -------------------------------------------------------------------------------------


def test_a_switch_cut_short_is_finished(pair: Pair) -> None:
    insert(pair, "a", 1)
    pair.server("a").stop("fast")
    first = pair.switch("a", "b")
    assert_serves(pair, "b", "a")
    pair.server("b").stop("fast")
    pair.promote("a")
    assert pair.switch("b", "a").timeline == first.timeline + 1
    assert_serves(pair, "a", "b")
    assert numbers(pair, "b") == {1}


def test_a_rejoin_cut_short_is_no_server_to_start(pair: Pair) -> None:
    pair.fence("a")
    pair.promote("b")
    pair.records.write_fence("a", Fence.UNFINISHED)
    with pytest.raises(StepError, match="rebuilt"):
        pair.revive("a")
    with pytest.raises(StepError, match="fenced"):
        pair.start_server("a")
    assert pair.rejoin("a", "b").how == "rebuild"
    assert_serves(pair, "b", "a")


def test_a_server_that_cannot_be_rewound_is_rebuilt(pair: Pair) -> None:
    pair.fence("a")
    pair.promote("b")
    (pair.server("a").data / "global" / "pg_control").write_bytes(b"")
    # What cannot be read cannot be rewound either.
    with pytest.raises(MusterError):
        pair.revive("a")
    rejoined = pair.rejoin("a", "b")
    assert rejoined.how == "rebuild"
    assert rejoined.why
    assert_serves(pair, "b", "a")


def test_a_standby_that_died_follows_again(pair: Pair) -> None:
    pair.kill("b")
    insert(pair, "a", *range(5))
    assert pair.rejoin("b", "a").how == "follow"
    assert_serves(pair, "a", "b")


def test_a_standby_without_its_log_is_rebuilt(pair: Pair) -> None:
    pair.kill("b")
    replication.drop_slot(pair.server("a"), "b")
    shutil.rmtree(pair.server("b").data / "base")
    assert pair.rejoin("b", "a").how == "rebuild"
    assert_serves(pair, "a", "b")


def test_an_old_primary_is_not_revived_beside_the_new_one(pair: Pair) -> None:
    pair.fence("a")
    pair.promote("b")
    with pytest.raises(StepError, match="would too"):
        pair.revive("a")
    assert not pair.is_running("a")


def test_nothing_rejoins_a_server_that_is_no_primary(pair: Pair) -> None:
    with pytest.raises(StepError, match="not a primary"):
        pair.rejoin("a", "b")
    assert_serves(pair, "a", "b")


@pytest.mark.parametrize("left", ["both killed", "fenced", "two primaries"])
def test_a_new_start_mends_what_a_dead_keeper_left(pair: Pair, left: str) -> None:
    insert(pair, "a", 1)
    insert_on_both(pair, "a", 2)
    pair.fence("a")
    if left == "two primaries":
        pair.promote("b")
    if left != "fenced":
        pair.records.write_fence("a", None)
    pair.processes.stop_all(signals=AT_ONCE)
    again = Pair(pair.home, pair.sockets, pair.processes)
    again.start(Condition())
    assert_serves(again, *(("b", "a") if left == "two primaries" else ("a", "b")))
    assert numbers(again, "a") == {1, 2}


# --- the estate ------------------------------------------------------------------------------------------------------


def test_the_estate_keeps_a_pair(tmp_path: Path, work: Work) -> None:
    settings = Settings(home=tmp_path / "home")
    keys: dict[str, object] = {"type": "embedded-regions"}
    with pytest.raises(Refusal, match="muster up"):
        open_target(keys, settings)
    estate = Estate(settings, [Part.REGIONS])
    try:
        card = estate.start()
        assert card.regions is not None
        assert read_card(settings) == card
        shown = Console(file=io.StringIO(), width=200, record=True)
        shown.print(addresses(card, settings))
        said = shown.export_text()
        assert re.search(r"Region east +psql -h .+ -p \d+ -U postgres app  # primary", said)
        assert re.search(r"Region west +psql -h .+ -p \d+ -U postgres app  # standby", said)
        target = open_target(keys, settings)
        assert target.identify().system_identifier == card.regions.system_identifier
        assert {n.region: n.dsn for n in target.nodes()} == card.regions.dsns
        assert target.heal(work) == ()
        target.switch("a", "b", work)
        seen = {n: estate.processes.identity(n) for n in estate.processes.names()}
        assert {"region-a", "region-b", "link"} <= seen.keys()
        assert estate.dead() == ()
    finally:
        estate.stop()
    assert not any(identity and identity.is_alive() for identity in seen.values())
    with pytest.raises(Refusal):
        open_target(keys, settings)


def test_a_drill_has_only_its_own_part_started() -> None:
    assert parts_for("embedded") == (Part.SHOP, Part.OBJECTS, Part.SCHEDULER)
    assert parts_for("embedded-regions") == (Part.REGIONS, Part.OBJECTS, Part.SCHEDULER)
    assert parts_for("streaming") == (Part.OBJECTS, Part.SCHEDULER)


# --- what is read from disk ------------------------------------------------------------------------------------------


def test_a_fork_is_where_the_history_says(tmp_path: Path) -> None:
    history = tmp_path / "00000003.history"
    history.write_text("1\t0/3000148\tno recovery target specified\n\n2\t1A/5000060\tno recovery target specified\n")
    assert fork_in(history, 1) == "0/3000148"
    assert fork_in(history, 2) == "1A/5000060"
    assert fork_in(history, 3) is None
    assert fork_in(tmp_path / "00000004.history", 1) is None


def test_a_list_of_commits_too_long_for_the_evidence_is_cut_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.regions.salvage._MOST_TEXT", 100)
    listing = tmp_path / "list.txt"
    lines = [f"rmgr: Transaction {n:03d} COMMIT" for n in range(10)]
    listing.write_text("\n".join(lines) + "\n")
    whole = listing.stat().st_size
    shorten(listing)
    *kept, last = listing.read_text().splitlines()
    assert kept == lines[: len(kept)]
    assert len("\n".join(kept)) <= 100
    assert last == f"(cut here: {whole} bytes in all)"
    before = listing.read_bytes()
    monkeypatch.setattr("tasks.regions.salvage._MOST_TEXT", 4096)
    shorten(listing)
    assert listing.read_bytes() == before
