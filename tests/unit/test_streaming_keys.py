"""The keys of a streaming plan: what is wrong with them is told at once, and no secret with it."""

import pytest
from pydantic import ValidationError

from muster.drill import Workspace
from muster.errors import StepError, UsageError
from muster.failover.spec import FailoverSpec, Scenario
from muster.settings import Settings
from tasks.process import Processes
from tasks.streaming.notes import Notes
from tasks.streaming.roles import Right
from tasks.streaming.spec import Spec
from tasks.targets.promotable import Work
from tasks.targets.streaming import Target, _how, open_target

A = {"name": "a", "region": "east", "dsn": "host=db.east.example dbname=app user=muster"}
B = {"name": "b", "region": "west", "dsn": "postgresql://muster@db.west.example/app"}
HOOKS = {"fence": ["fence"], "rejoin": ["rejoin"]}


def target(**changes) -> Target:
    return open_target({"type": "streaming", "nodes": [A, B], "hooks": HOOKS, **changes}, Settings())


def spec(*hooks: str, **keys) -> Spec:
    return Spec.model_validate({"nodes": [A, B], "hooks": {**HOOKS, **{name: ["x"] for name in hooks}}, **keys})


def test_the_nodes_are_those_of_the_plan():
    assert [(n.name, n.region, n.dsn) for n in target().nodes()] == [tuple(A.values()), tuple(B.values())]
    assert target(connect="4s").connect_seconds() == 4


@pytest.mark.parametrize(
    "dsn",
    [
        "host=a dbname=app password=hunter2",
        "postgresql://muster:hunter2@a/app",
        "host=a sslpassword=hunter2",
        "host=a password='hunter2",
    ],
    ids=["password", "in a url", "key's", "no dsn"],
)
def test_a_secret_is_refused_and_not_repeated(dsn):
    with pytest.raises(UsageError) as caught:
        target(nodes=[{**A, "dsn": dsn}, B])
    assert "node a" in caught.value.message
    assert caught.value.advice
    assert "hunter2" not in str(caught.value)


def test_where_secrets_go_is_told():
    with pytest.raises(UsageError, match=r"holds a secret \(password\)") as caught:
        target(nodes=[A, {**B, "dsn": "password=x"}])
    assert "PGPASSFILE" in caught.value.advice


@pytest.mark.parametrize("dsn", ["host=a,b dbname=app", "postgresql://a:1,b:2/app"], ids=["words", "url"])
def test_a_node_is_one_server(dsn):
    with pytest.raises(UsageError, match="several servers"):
        target(nodes=[{**A, "dsn": dsn}, B])


@pytest.mark.parametrize("key", ["name", "dsn"])
def test_nodes_are_distinct(key):
    with pytest.raises(UsageError, match=f"same {key}"):
        target(nodes=[A, {**B, key: A[key]}])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nodes": [A]}, "at least 2"),
        ({"nodes": [A, B, {**B, "name": "c"}]}, "at most 2"),
        ({"hooks": {"fence": ["x"]}}, r"hooks.rejoin"),
        ({"hooks": {"rejoin": ["x"]}}, r"hooks.fence"),
        ({"hooks": {**HOOKS, "fnce": ["x"]}}, "Extra inputs"),
        ({"hooks": {**HOOKS, "kill": "kill.sh now"}}, "no shell splits it"),
        ({"system_identifer": "1"}, "Extra inputs"),
        ({"system_identifier": "abc"}, "match pattern"),
        ({"connect": "1s"}, "greater than or equal"),
        ({"nodes": [{**A, "name": "a b"}, B]}, "match pattern"),
    ],
    ids=["one", "three", "no rejoin", "no fence", "typo", "a line", "top typo", "no number", "hasty", "name"],
)
def test_wrong_keys_are_told(changes, words):
    with pytest.raises(ValidationError, match=words):
        target(**changes)


@pytest.mark.parametrize(
    ("hooks", "scenarios"),
    [
        ((), set()),
        (("stop",), {Scenario.SWITCHOVER}),
        (("switchover",), {Scenario.SWITCHOVER}),
        (("kill",), {Scenario.KILL, Scenario.REPLICA_BEHIND}),
        (("freeze",), set()),
        (("freeze", "thaw"), {Scenario.FREEZE}),
        (("cut", "heal"), {Scenario.PARTITION}),
        (("cut",), set()),
        (("slow", "heal"), set()),
        (("slow", "heal", "stop"), {Scenario.SWITCHOVER, Scenario.SLOW_LINK}),
        (("fill", "free"), {Scenario.DISK_FULL}),
        (("stop", "kill", "freeze", "thaw", "cut", "heal", "slow", "fill", "free"), set(Scenario)),
    ],
    # The same in every process: a set's text is not.
    ids=lambda value: "+".join(sorted(map(str, value))) or "none",
)
def test_scenarios_are_those_that_hooks_can_make_and_end(hooks, scenarios):
    assert spec(*hooks).scenarios == scenarios


def test_only_rights_that_are_used_are_asked_for():
    assert spec("promote", "switchover").rights == set()
    assert spec("stop").rights == {Right.PROMOTE, Right.CHECKPOINT}
    assert spec("promote", "kill", clear_synchronous=True).rights == {Right.REPLAY, Right.SYNCHRONOUS}


@pytest.mark.parametrize(
    ("said", "how", "why"),
    [
        ("copying\nrewind: its log had diverged", "rewind", "its log had diverged"),
        ("Rebuild", "rebuild", "as the hook says"),
        ("all done", "service", "the hook does not say how: all done"),
        ("", "service", "the hook does not say how"),
    ],
    ids=["why", "word", "other words", "nothing"],
)
def test_how_it_rejoined_is_what_the_hook_says(said, how, why):
    assert _how(said) == (how, why)


@pytest.fixture
def work(tmp_path) -> Work:
    return Work(
        workspace=Workspace("run", tmp_path / "run"),
        processes=Processes(tmp_path / "records", tmp_path / "logs"),
        spec=FailoverSpec.model_validate({"scenario": "partition"}),
        seconds_left=lambda: 60.0,
        now_ns=lambda: 0,
    )


def test_a_fault_is_noted_before_it_is_made_and_healed_once(work):
    made = target(hooks={**HOOKS, "fill": ["false"], "free": ["echo", "room again"]})
    with pytest.raises(StepError, match="'fill' failed"):
        made._faults.inflict("fill", "a", "b", work)
    assert made.heal(work) == ("a: hook free: room again",)
    assert made.heal(work) == ()


def test_a_fault_that_is_not_mended_stays_noted(work):
    broken = target(hooks={**HOOKS, "cut": ["true"], "heal": ["false"]})
    broken._faults.inflict("cut", "a", "b", work)
    with pytest.raises(StepError, match="'heal' failed"):
        broken.heal(work)
    assert Notes(work.workspace).faults() == {"cut": "a"}
    assert target(hooks={**HOOKS, "cut": ["true"], "heal": ["true"]}).heal(work) == ("a: hook heal",)


def test_what_was_noted_first_is_what_is_set_again(work):
    notes = Notes(work.workspace)
    notes.add_synchronous("a", "b")
    notes.add_synchronous("a", "")
    notes.add_synchronous("b", None)
    assert Notes(work.workspace).synchronous() == {"a": "b", "b": None}
    notes.drop_synchronous("a")
    assert Notes(work.workspace).synchronous() == {"b": None}


def test_a_hook_that_the_plan_does_not_name_is_told(work):
    with pytest.raises(StepError, match="names no hook 'cut'"):
        target()._faults.inflict("cut", "a", "b", work)
