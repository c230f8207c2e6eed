"""Every target of a failover rehearsal keeps the same promises: one primary, one standby, nothing acknowledged lost.

Each verb is called twice wherever that is asked of it. The cases are in `promotable_cases`.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from muster.drill import Workspace
from muster.failover.observations import Node, NodeState, Surveyed
from muster.failover.spec import FailoverSpec, Scenario
from tasks.postgres.bounded import connected
from tasks.postgres.survey import survey
from tasks.process import Processes
from tasks.regions.patience import countdown
from tasks.targets.promotable import Promotable, Work
from tests.contract.promotable_cases import CASES, Subject

TABLE = "contract"
NAP = 0.05


@pytest.fixture(scope="module", params=list(CASES))
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """Started once for all tests."""
    with CASES[request.param](tmp_path_factory.mktemp("promotable")) as subject:
        yield subject


@pytest.fixture
def subject(system: Subject) -> Subject:
    """Healthy, with an empty table on both sides."""
    wait_until_healthy(system)
    execute(primary(system), f"drop table if exists {TABLE}", f"create table {TABLE} (id bigint primary key)")
    wait_until(system, lambda: rows(standby(system)) == set())
    return system


@pytest.fixture
def work(system: Subject, tmp_path: Path) -> Work:
    """What the drill would give."""
    return Work(
        workspace=Workspace("run", tmp_path / "run"),
        processes=Processes(tmp_path / "processes", tmp_path / "logs"),
        spec=FailoverSpec.model_validate({"scenario": "kill", "fault_lasts": "200ms"}),
        seconds_left=countdown(4 * system.patience),
        now_ns=time.monotonic_ns,
    )


def look(subject: Subject) -> Surveyed:
    return survey(subject.target.nodes(), "contract", subject.target.connect_seconds())


def wait_until(subject: Subject, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + subject.patience
    while not is_so():
        assert time.monotonic() < deadline, look(subject).model_dump_json(indent=1)
        time.sleep(NAP)


def is_healthy(subject: Subject) -> bool:
    """One primary, every other a standby of its timeline that streams."""
    seen = look(subject)
    leaders, followers = seen.with_role("primary"), seen.with_role("standby")
    if len(leaders) != 1 or len(followers) != len(seen.nodes) - 1:
        return False
    leader = leaders[0]
    return len(leader.standbys) == len(followers) and all(
        f.receiving_from and f.timeline == leader.timeline for f in followers
    )


def wait_until_healthy(subject: Subject) -> None:
    wait_until(subject, lambda: is_healthy(subject))


def state(subject: Subject, role: str) -> NodeState:
    (found,) = look(subject).with_role(role)  # type: ignore[arg-type]
    return found


def node(subject: Subject, name: str) -> Node:
    return next(n for n in subject.target.nodes() if n.name == name)


def primary(subject: Subject) -> Node:
    return node(subject, state(subject, "primary").node)


def standby(subject: Subject) -> Node:
    return node(subject, state(subject, "standby").node)


def execute(at: Node, *statements: str, seconds: float = 20) -> None:
    with connected(at.dsn, seconds) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def rows(at: Node) -> set[int]:
    try:
        with connected(at.dsn, 20) as connection:
            return {row[0] for row in connection.execute(f"select id from {TABLE}".encode())}
    except psycopg.errors.UndefinedTable:
        return {-1}


@dataclass
class Writer:
    """Writes one row after another to whichever server takes it, and keeps the ids that were acknowledged."""

    target: Promotable
    acknowledged: set[int] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)

    def write(self) -> None:
        number = 0
        while not self._stop.is_set():
            for at in self.target.nodes():
                try:
                    with connected(at.dsn, 5) as connection:
                        connection.execute("set default_transaction_read_only = off")
                        while not self._stop.is_set():
                            number += 1  # never used again, whatever became of it
                            connection.execute(f"insert into {TABLE} values ({number})".encode())
                            self.acknowledged.add(number)
                except psycopg.Error:
                    self._stop.wait(NAP)

    def stop(self) -> None:
        self._stop.set()


@contextmanager
def writing(subject: Subject) -> Iterator[Writer]:
    writer = Writer(subject.target)
    thread = threading.Thread(target=writer.write)
    thread.start()
    try:
        wait_until(subject, lambda: len(writer.acknowledged) > 5)
        yield writer
    finally:
        writer.stop()
        thread.join()


def assert_serves(subject: Subject, writer: Writer) -> None:
    """Writes are acknowledged from now on."""
    before = len(writer.acknowledged)
    wait_until(subject, lambda: len(writer.acknowledged) > before + 5)


def assert_refuses(at: Node) -> None:
    with pytest.raises(psycopg.Error):
        execute(at, f"insert into {TABLE} values (-1)", seconds=5)


def test_it_proves_which_system_it_is(subject: Subject) -> None:
    identity = subject.target.identify()
    assert identity.proof
    assert identity.system_identifier == state(subject, "primary").system_identifier
    assert subject.target.identify() == identity


def test_it_is_promotable_and_its_nodes_are_distinct_servers(subject: Subject) -> None:
    assert isinstance(subject.target, Promotable)
    nodes, seen = subject.target.nodes(), look(subject).nodes
    assert len(nodes) >= 2
    assert nodes == subject.target.nodes()
    for distinct in ({n.name for n in nodes}, {n.region for n in nodes}, {n.dsn for n in nodes}):
        assert len(distinct) == len(nodes)
    assert len({n.server for n in seen}) == len(nodes)
    assert all("password" not in n.dsn for n in nodes)


def test_it_says_what_it_can_suffer(subject: Subject) -> None:
    assert subject.target.scenarios() == subject.scenarios
    assert Scenario.SWITCHOVER in subject.scenarios


def test_healing_a_healthy_system_does_nothing(subject: Subject, work: Work) -> None:
    before = look(subject).nodes
    subject.target.heal(work)
    assert subject.target.heal(work) == ()
    assert [(n.server, n.role) for n in look(subject).nodes] == [(n.server, n.role) for n in before]


def test_a_planned_switch_there_and_back_loses_nothing(subject: Subject, work: Work) -> None:
    old, new = state(subject, "primary"), state(subject, "standby")
    with writing(subject) as writer:
        there = subject.target.switch(old.node, new.node, work)
        assert_serves(subject, writer)
        assert (there.node, there.timeline) == (new.node, state(subject, "primary").timeline)
        assert there.timeline > old.timeline
        wait_until_healthy(subject)
        back = subject.target.switch(new.node, old.node, work)
        assert_serves(subject, writer)
        assert back.timeline > there.timeline
    wait_until_healthy(subject)
    assert primary(subject).name == old.node
    assert writer.acknowledged <= rows(primary(subject))
    wait_until(subject, lambda: writer.acknowledged <= rows(standby(subject)))


def test_a_switch_that_was_made_is_not_made_again(subject: Subject, work: Work) -> None:
    old, new = state(subject, "primary"), state(subject, "standby")
    first = subject.target.switch(old.node, new.node, work)
    again = subject.target.switch(old.node, new.node, work)
    assert (again.node, again.timeline) == (first.node, first.timeline)
    wait_until_healthy(subject)
    assert primary(subject).name == new.node


def test_the_other_region_takes_over_a_killed_one_and_gets_it_back(subject: Subject, work: Work) -> None:
    old, new = state(subject, "primary"), state(subject, "standby")
    target = subject.target
    with writing(subject) as writer:
        assert target.strike(Scenario.KILL, old.node, new.node, work)
        target.fence(old.node, work)
        promoted = target.promote(new.node, work)
        assert_serves(subject, writer)
        target.heal(work)
        assert_refuses(node(subject, old.node))
        salvaged = target.salvage(old.node, new.node, work)
        rejoined = target.rejoin(old.node, new.node, work)
        assert is_healthy(subject)  # it is caught up when it has rejoined
        assert_serves(subject, writer)
    assert promoted.timeline > old.timeline
    assert state(subject, "primary").node == new.node
    assert (salvaged.commits is not None) == subject.counts_salvage
    assert rejoined.node == old.node
    assert rejoined.why
    assert len(rows(primary(subject))) >= len(writer.acknowledged) - (salvaged.commits or 0)
    wait_until(subject, lambda: rows(standby(subject)) == rows(primary(subject)))


def test_verbs_of_a_takeover_are_safe_to_repeat(subject: Subject, work: Work) -> None:
    old, new = state(subject, "primary"), state(subject, "standby")
    target = subject.target
    for _ in range(2):
        target.strike(Scenario.KILL, old.node, new.node, work)
    for _ in range(2):
        target.fence(old.node, work)
    first, again = (target.promote(new.node, work) for _ in range(2))
    assert first.timeline == again.timeline
    counts = [target.salvage(old.node, new.node, work).commits for _ in range(2)]
    assert counts[0] == counts[1]
    for _ in range(2):
        target.rejoin(old.node, new.node, work)
        assert is_healthy(subject)
    assert state(subject, "primary").timeline == first.timeline


def test_a_fence_holds_and_is_lifted_by_revival(subject: Subject, work: Work) -> None:
    old = state(subject, "primary")
    for _ in range(2):
        assert subject.target.fence(old.node, work)
        assert_refuses(node(subject, old.node))
    for _ in range(2):
        assert subject.target.revive(old.node, work)
    wait_until_healthy(subject)
    assert subject.fails_over_by_itself or primary(subject).name == old.node
    execute(primary(subject), f"insert into {TABLE} values (1)")
    wait_until(subject, lambda: rows(standby(subject)) == {1})
