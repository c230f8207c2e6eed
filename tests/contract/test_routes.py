"""Every route keeps the same promises: clients reach the node pointed to and no other, and a dead route says so.

The servers, HAProxy and PgBouncer are real. The cases are in `route_cases`.
"""

import shutil
import signal
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from muster.errors import Refusal, StepError, SystemFailure, UsageError
from muster.failover.observations import RouteSampled
from tasks.postgres.binaries import wheel_binaries
from tasks.postgres.server import Server
from tasks.postgres.survey import survey
from tasks.process import Processes
from tasks.regions.patience import countdown
from tasks.routes.route import Route, open_route
from tasks.routes.sampling import sample
from tests.contract.route_cases import (
    CASES,
    PATIENCE,
    Haproxy,
    Pgbouncer,
    Regions,
    Subject,
    ask,
    checked_haproxy,
    wait_until,
)

Point = Callable[[Route, str], str]


@pytest.fixture(scope="module")
def short() -> Iterator[Path]:
    """A folder for sockets, which need a short path."""
    made = Path(tempfile.mkdtemp(prefix="mrou", dir="/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def regions(short: Path) -> Iterator[Regions]:
    """Two real servers, started once."""
    processes = Processes(short / "processes", short / "logs")
    servers = {n: Server(wheel_binaries(), short / n / "d", short / n / "s", processes, n) for n in ("a", "b")}
    made = Regions(servers, processes)
    try:
        for name, server in servers.items():
            server.init()
            made.start(name)
        yield made
    finally:
        processes.close()


@pytest.fixture
def folder(short: Path) -> Iterator[Path]:
    """An empty one."""
    made = Path(tempfile.mkdtemp(prefix="r", dir=short))
    yield made
    shutil.rmtree(made)


@pytest.fixture(params=list(CASES))
def subject(request: pytest.FixtureRequest, folder: Path, regions: Regions) -> Iterator[Subject]:
    """A route that leads to `a`; both servers live."""
    with CASES[request.param](folder, regions) as made:
        yield made
        for name in regions.servers:
            regions.start(name)


@pytest.fixture
def proxy(folder: Path, regions: Regions) -> Iterator[Haproxy]:
    made = Haproxy(folder, regions)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def pooler(folder: Path, regions: Regions) -> Iterator[Pgbouncer]:
    made = Pgbouncer(folder, regions)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def point(regions: Regions) -> Point:
    """Send clients to a node, as the drill does."""
    return lambda route, node: route.point_to(node, countdown(PATIENCE), regions.processes)


def test_clients_reach_the_node_pointed_to_there_and_back(subject: Subject, point: Point) -> None:
    for node in ("a", "b", "a"):
        subject.fail_over(node)
        said = point(subject.route, node)
        assert said
        assert {ask(subject.route.client_dsn()) for _ in range(4)} == {node}


def test_old_sessions_end_and_new_ones_survive_a_second_call(subject: Subject, point: Point) -> None:
    old = psycopg.connect(subject.route.client_dsn(), autocommit=True)
    assert old.execute("select current_setting('cluster_name')").fetchone() == ("a",)
    subject.fail_over("b")
    point(subject.route, "b")
    with pytest.raises(psycopg.OperationalError):
        old.execute("select 1")
    old.close()
    with psycopg.connect(subject.route.client_dsn(), autocommit=True) as new:
        point(subject.route, "b")
        assert new.execute("select current_setting('cluster_name')").fetchone() == ("b",)


def test_a_node_that_nobody_knows_changes_nothing(subject: Subject, point: Point) -> None:
    with pytest.raises(UsageError, match="'c'"):
        point(subject.route, "c")
    assert ask(subject.route.client_dsn()) == "a"


def test_a_healthy_route_is_not_refused_wherever_it_leads(subject: Subject, point: Point) -> None:
    subject.route.check()
    subject.fail_over("b")
    point(subject.route, "b")
    subject.route.check()
    assert ask(subject.route.client_dsn()) == "b"


def test_a_dead_route_is_refused_and_taken_when_it_is_back(subject: Subject) -> None:
    subject.kill()
    with pytest.raises(Refusal) as refused:
        subject.route.check()
    assert refused.value.message
    assert refused.value.advice
    assert "\n" not in refused.value.message
    subject.revive()
    subject.route.check()


def test_a_node_that_is_down_is_reached_by_nobody_until_it_is_up(
    subject: Subject, point: Point, regions: Regions
) -> None:
    regions.servers["b"].stop("immediate")
    subject.fail_over("b")
    with suppress(SystemFailure):
        point(subject.route, "b")
    with pytest.raises(psycopg.OperationalError):
        ask(subject.route.client_dsn())
    regions.start("b")
    subject.fail_over("b")
    point(subject.route, "b")
    wait_until(lambda: reaches(subject.route, "b"))


def reaches(route: Route, node: str) -> bool:
    try:
        return ask(route.client_dsn()) == node
    except psycopg.OperationalError:
        return False


def failure_of(act: Callable[[], object]) -> str:
    try:
        act()
    except SystemFailure as error:
        return error.message
    return ""


def sampled(dsn: str, regions: Regions, count: int = 200) -> RouteSampled:
    seen = survey(regions.nodes, "verify", 10)
    return sample(dsn, count, {n.server: n.node for n in seen.nodes if n.role != "unreachable"}, "verify")


def test_samples_of_a_healthy_route_all_reach_the_node(subject: Subject, point: Point, regions: Regions) -> None:
    subject.fail_over("b")
    point(subject.route, "b")
    found = sampled(subject.route.client_dsn(), regions, 40)
    assert found == RouteSampled(stage="verify", asked=40, reached={"b": 40}, failed=0)


def split(proxy: Haproxy) -> None:
    """Of a hundred connections HAProxy gives `a` 99, and `b` one."""
    orders = ("regions/east weight 99", "regions/west weight 1", "regions/west state ready")
    for order in orders:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(str(proxy.socket))
            channel.sendall(f"set server {order}\n".encode())
            assert not channel.recv(1000).strip()


@pytest.fixture
def splitter(folder: Path, regions: Regions) -> Iterator[Haproxy]:
    made = Haproxy(folder, regions, server_options={"a": "weight 100", "b": "weight 100 disabled"})
    made.start()
    yield made
    made.kill()


def test_one_connection_of_a_hundred_that_goes_elsewhere_is_found(splitter: Haproxy, regions: Regions) -> None:
    split(splitter)
    found = sampled(splitter.dsn, regions)
    assert found.asked == 200
    assert found.failed == 0
    assert found.reached["b"] in (1, 2, 3)
    assert found.reached["a"] + found.reached["b"] == 200


def test_a_server_that_no_survey_knows_is_nameless_and_a_dead_route_failed(proxy: Haproxy, regions: Regions) -> None:
    assert sample(proxy.dsn, 5, {}, "verify").reached == {"": 5}
    proxy.kill()
    dead = sampled(proxy.dsn, regions, 5)
    assert (dead.asked, dead.failed, dead.reached) == (5, 5, {})


def test_a_route_that_hangs_is_not_asked_for_ever(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(folder / ".s.PGSQL.6432"))
        mute.listen(100)
        found = sample(f"host={folder} port=6432 user=postgres", 200, {}, "verify", within_seconds=0.5)
    assert 0 < found.asked < 200
    assert found.failed == found.asked


def test_haproxy_that_splits_clients_is_refused_and_mended_by_pointing(
    splitter: Haproxy, regions: Regions, point: Point
) -> None:
    route = splitter.route(regions)
    split(splitter)
    with pytest.raises(Refusal, match="reach east, west"):
        route.check()
    point(route, "b")
    route.check()
    assert sampled(splitter.dsn, regions).reached == {"b": 200}


def test_haproxy_gives_weight_to_a_server_drained_by_weight(splitter: Haproxy, regions: Regions, point: Point) -> None:
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(str(splitter.socket))
        channel.sendall(b"set server regions/west weight 0\n")
        assert not channel.recv(1000).strip()
    point(splitter.route(regions), "b")
    assert ask(splitter.dsn) == "b"


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"backend": "nope"}, "nope"),
        ({"servers": {"a": "east", "b": "south"}}, "no server south"),
        ({"socket": "/nowhere/admin.sock"}, "/nowhere/admin.sock"),
    ],
)
def test_haproxy_that_does_not_know_what_the_plan_names_is_refused(
    proxy: Haproxy, regions: Regions, keys: dict[str, object], complaint: str, point: Point
) -> None:
    route = proxy.route(regions, **keys)
    with pytest.raises(Refusal, match=complaint):
        route.check()
    with pytest.raises(SystemFailure):
        point(route, "b")


def test_haproxy_that_takes_no_orders_is_refused(folder: Path, regions: Regions, point: Point) -> None:
    proxy = Haproxy(folder, regions, level="operator")
    proxy.start()
    try:
        with pytest.raises(Refusal, match="operator"):
            proxy.route(regions).check()
        with pytest.raises(SystemFailure, match="Permission denied"):
            point(proxy.route(regions), "b")
        assert ask(proxy.dsn) == "a"
    finally:
        proxy.kill()


def test_haproxy_has_one_master(folder: Path, regions: Regions, proxy: Haproxy, point: Point) -> None:
    """Its health checks, or Muster: a server in maintenance is lost to the checks."""
    with pytest.raises(Refusal, match="west is MAINT"):
        proxy.route(regions, by="checks").check()
    proxy.kill()
    with checked_haproxy(folder, regions) as (checked, _):
        with pytest.raises(Refusal, match=r"west is DOWN \(L7STS") as refused:
            checked.route(regions).check()
        assert "by: checks" in refused.value.advice
        with pytest.raises(SystemFailure, match="clients reach east"):
            point(checked.route(regions, by="checks", wait="200ms"), "b")
        assert ask(checked.dsn) == "a"


def test_haproxy_whose_checks_find_the_node_down_says_so(folder: Path, regions: Regions, point: Point) -> None:
    checked = "check inter 50ms fall 1 rise 1"
    proxy = Haproxy(folder, regions, server_options={"a": checked, "b": f"{checked} disabled"})
    proxy.start()
    try:
        route = proxy.route(regions, wait="300ms")
        regions.servers["b"].stop("immediate")
        with suppress(SystemFailure):
            point(route, "b")  # up until the first check fails
        wait_until(lambda: "west is DOWN" in failure_of(lambda: point(route, "b")))
        with pytest.raises(Refusal, match="reach no server"):
            route.check()
        regions.start("b")
        point(proxy.route(regions, wait="30s"), "b")
        wait_until(lambda: reaches(route, "b"))
    finally:
        proxy.kill()
        regions.start("b")


@pytest.mark.parametrize("kind", ["haproxy", "pgbouncer"])
def test_what_hangs_fails_in_bounded_time_and_obeys_once_it_is_back(
    kind: str, request: pytest.FixtureRequest, regions: Regions, point: Point
) -> None:
    hung: Haproxy | Pgbouncer = request.getfixturevalue({"haproxy": "proxy", "pgbouncer": "pooler"}[kind])
    route = hung.route(regions)
    hung.signal(signal.SIGSTOP)
    try:
        with pytest.raises(Refusal):
            route.check()
        with pytest.raises(SystemFailure):
            route.point_to("b", lambda: 0.5, regions.processes)
    finally:
        hung.signal(signal.SIGCONT)
    point(route, "b")
    assert ask(hung.dsn) == "b"


def test_pgbouncers_file_changes_in_nothing_but_the_place(pooler: Pgbouncer, regions: Regions, point: Point) -> None:
    link = pooler.ini.with_name("link.ini")
    link.symlink_to(pooler.ini)
    before = pooler.ini.read_text().splitlines()
    point(pooler.route(regions, ini=str(link)), "b")
    after = pooler.ini.read_text().splitlines()
    assert [before[0], before[2]] == [after[0], after[2]]
    assert str(regions.servers["b"].sockets) in after[1]
    assert "user=postgres" in after[1]
    assert link.is_symlink()
    assert stat.S_IMODE(pooler.ini.stat().st_mode) == 0o640
    assert sorted(p.name for p in pooler.ini.parent.glob("*.ini*")) == ["link.ini", "pgbouncer.ini", "regions.ini"]


def test_pgbouncer_left_holding_clients_is_let_go(pooler: Pgbouncer, regions: Regions, point: Point) -> None:
    """Muster was killed in between, and is asked again."""
    route = pooler.route(regions)
    pooler.order("KILL shop")
    with pytest.raises(Refusal, match="holds or refuses clients of shop"):
        route.check()
    point(route, "a")
    assert ask(pooler.dsn) == "a"


def test_pgbouncer_that_reads_another_file_is_refused_and_holds_its_clients(
    pooler: Pgbouncer, regions: Regions, point: Point
) -> None:
    stray = pooler.ini.with_name("stray.ini")
    stray.write_text(pooler.ini.read_text().replace(str(regions.servers["a"].sockets), "elsewhere"))
    route = pooler.route(regions, ini=str(stray))
    with pytest.raises(Refusal, match="host=elsewhere"):
        route.check()
    with pytest.raises(SystemFailure, match="clients are held"):
        point(route, "b")
    assert [row[-2] for row in pooler.order("SHOW DATABASES") if row[0] == "shop"] == [1]


def test_pgbouncer_that_just_failed_at_the_old_server_tries_the_new_one_at_once(
    folder: Path, regions: Regions, point: Point
) -> None:
    """Otherwise it waits for `server_login_retry` after a failure, and clients with it."""
    pooler = Pgbouncer(folder, regions, login_retry=300)
    pooler.start()
    regions.servers["a"].stop("immediate")
    try:
        route = pooler.route(regions)
        assert not reaches(route, "a")
        point(route, "b")
        assert ask(pooler.dsn) == "b"
    finally:
        pooler.kill()
        regions.start("a")


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"databases": ["shop", "lager"]}, "no database lager"),
        ({"databases": ["shop", "other"]}, "other leads to host=/nowhere"),
        ({"ini": "/nowhere/regions.ini"}, "cannot be read"),
        ({"servers": {"a": {"host": "10.0.0.1"}, "b": {"host": "10.0.0.2"}}}, "no node's address"),
    ],
)
def test_pgbouncer_that_does_not_know_what_the_plan_names_is_refused(
    pooler: Pgbouncer, regions: Regions, keys: dict[str, object], complaint: str
) -> None:
    with pytest.raises(Refusal, match=complaint):
        pooler.route(regions, **keys).check()


def test_pgbouncer_whose_pooling_would_mix_sessions_is_refused(folder: Path, regions: Regions) -> None:
    pooler = Pgbouncer(folder, regions, pool_mode="transaction")
    pooler.start()
    try:
        with pytest.raises(Refusal, match="transaction pooling"):
            pooler.route(regions).check()
    finally:
        pooler.kill()


def test_a_hook_that_fails_or_is_not_there_says_so(regions: Regions, point: Point) -> None:
    keys = {"type": "hook", "dsn": regions.nodes[0].dsn}
    with pytest.raises(SystemFailure, match="hook 'reroute' failed"):
        point(open_route({**keys, "command": ["false"]}, regions.nodes), "b")
    gone = open_route({**keys, "command": ["/nowhere/reroute"]}, regions.nodes)
    with pytest.raises(Refusal, match="/nowhere/reroute"):
        gone.check()
    with pytest.raises(StepError, match="/nowhere/reroute"):
        point(gone, "b")
