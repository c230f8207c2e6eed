"""Patroni's answers, recorded from Patroni 4.1.5 or taken from its source, and what is made of them."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from muster.errors import MusterError, Refusal, StepError, SystemFailure, UsageError
from tasks.patroni.api import Access, Api, Cluster, Config, NoAnswer, Status
from tasks.patroni.members import Members, refuse_other, refuse_unfit

CLUSTER: dict[str, Any] = {
    "members": [
        {
            "name": "a",
            "role": "leader",
            "state": "running",
            "api_url": "http://127.0.0.1:20212/patroni",
            "host": "127.0.0.1",
            "port": 20211,
            "timeline": 1,
        },
        {
            "name": "b",
            "role": "replica",
            "state": "streaming",
            "api_url": "http://127.0.0.1:20214/patroni",
            "host": "127.0.0.1",
            "port": 20213,
            "timeline": 1,
            "receive_lag": 0,
            "receive_lsn": "0/3000000",
            "lag": 0,
            "lsn": "0/3000000",
        },
    ],
    "scope": "rehearsed",
}
STATUS: dict[str, Any] = {
    "state": "running",
    "postmaster_start_time": "2026-11-24 11:49:54.242763+00:00",
    "role": "primary",
    "server_version": 180006,
    "xlog": {"location": 50331648},
    "timeline": 1,
    "replication": [{"usename": "replicator", "application_name": "b", "state": "streaming", "sync_priority": 0}],
    "dcs_last_seen": 1795521002,
    "database_system_identifier": "7711703945016263744",
    "patroni": {"version": "4.1.5", "scope": "rehearsed", "name": "a"},
}

Answer = Callable[[httpx.Request], httpx.Response]


def api(answer: Answer, access: Access | None = None, name: str = "a") -> Api:
    return Api(name, "http://patroni.test:8008", access, httpx.MockTransport(answer))


def answering(status: int, text: str = "", seen: list[httpx.Request] | None = None) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        return httpx.Response(status, text=text)

    return answer


def silent(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("timed out", request=request)


def cluster(**changes: Any) -> Cluster:
    return Cluster.model_validate(CLUSTER | changes)


def status(**changes: Any) -> Status:
    return Status.model_validate(STATUS | changes)


def test_a_cluster_is_read() -> None:
    found = api(answering(200, json.dumps(CLUSTER))).cluster()
    assert found.leader is not None
    assert (found.scope, found.leader.name, found.is_paused) == ("rehearsed", "a", False)
    member = found.member("b")
    assert member is not None
    assert (member.state, member.timeline, member.lag, member.leads) == ("streaming", 1, 0, False)
    assert found.member("c") is None


def test_a_lag_may_be_unknown_and_a_standby_leader_leads() -> None:
    members = [{"name": "a", "role": "standby_leader", "state": "running", "lag": "unknown"}]
    found = cluster(members=members, pause=True)
    assert found.is_paused
    assert found.leader == found.member("a")


def test_a_member_whose_server_is_down_says_little() -> None:
    found = status(state="stopped", role="replica", postmaster_start_time=None)
    assert (found.state, found.started) == ("stopped", None)


def test_settings_that_were_not_set_are_patronis_defaults() -> None:
    found = api(answering(200, '{"postgresql": {"use_pg_rewind": true}}')).config()
    assert (found.ttl, found.loop_wait, found.retry_timeout) == (30, 10, 10)
    assert not found.is_synchronous


@pytest.mark.parametrize(("mode", "is_synchronous"), [(True, True), ("quorum", True), ("off", False), (False, False)])
def test_synchronous_mode_has_several_spellings(mode: Any, is_synchronous: bool) -> None:
    assert Config(synchronous_mode=mode).is_synchronous is is_synchronous


@pytest.mark.parametrize(
    ("code", "said", "kind", "move"),
    [
        (200, 'Switched over to "c" instead of "b"', SystemFailure, "could not"),
        (202, "Switchover scheduled", StepError, "patronictl flush"),
        (400, "Switchover target and source are the same", StepError, "Patroni's log"),
        (401, "no auth header received", UsageError, "target.access"),
        (403, "not allowed", UsageError, "target.access"),
        (409, "", SystemFailure, "patronictl history"),
        (412, "leader name does not match", SystemFailure, "somebody else"),
        (412, "candidate name does not match with sync_standby", SystemFailure, "synchronous standby"),
        (412, "candidate does not exists", SystemFailure, "start the candidate"),
        (412, "switchover is not possible: no good candidates have been found", SystemFailure, "nofailover"),
        (503, "Switchover failed", SystemFailure, "may lag"),
        (503, "Switchover status unknown", SystemFailure, "may lag"),
    ],
)
def test_a_handover_that_is_not_done_says_why(code: int, said: str, kind: type[MusterError], move: str) -> None:
    seen: list[httpx.Request] = []
    with pytest.raises(kind) as error:
        api(answering(code, said, seen)).switch_over("a", "b", 5)
    assert said in error.value.message
    assert move in error.value.advice
    assert len(seen) == 1  # never asked for again


def test_a_handover_that_is_done_says_so() -> None:
    seen: list[httpx.Request] = []
    said = api(answering(200, 'Successfully switched over to "b"', seen)).switch_over("a", "b", 5)
    assert said == 'Successfully switched over to "b"'
    assert seen[0].url.path == "/switchover"
    assert json.loads(seen[0].content) == {"leader": "a", "candidate": "b"}
    api(answering(200, 'Successfully failed over to "b"', seen)).fail_over("b", 5)
    assert (seen[1].url.path, json.loads(seen[1].content)) == ("/failover", {"candidate": "b"})


def test_no_answer_to_a_handover_is_not_asked_again() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return silent(request)

    with pytest.raises(NoAnswer, match="gives no answer"):
        api(answer).switch_over("a", "b", 5)
    assert len(asked) == 1


def test_a_reinitialization_that_does_not_start_says_why() -> None:
    with pytest.raises(SystemFailure, match="I am the leader, can not reinitialize"):
        api(answering(503, "I am the leader, can not reinitialize")).reinitialize()
    seen: list[httpx.Request] = []
    api(answering(200, "reinitialize started", seen)).reinitialize()
    assert json.loads(seen[0].content) == {"force": True}


def test_what_is_no_patroni_is_a_mistake_in_the_plan() -> None:
    with pytest.raises(UsageError, match="does not answer as Patroni does"):
        api(answering(200, "<html>It works!</html>")).cluster()
    with pytest.raises(UsageError, match="does not answer as Patroni does"):
        api(answering(200, '{"status": "ok"}')).status()


def test_a_member_without_its_dcs_gives_no_answer() -> None:
    with pytest.raises(NoAnswer, match="status 502"):
        api(answering(502, "Bad Gateway")).config()

    def hang_up(request: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.", request=request)

    with pytest.raises(NoAnswer, match="disconnected"):
        api(hang_up).cluster()
    assert not api(hang_up).is_alive()
    assert api(answering(503)).is_alive()


def test_credentials_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access(username="muster", password="PATRONI_PASSWORD")
    monkeypatch.delenv("PATRONI_PASSWORD", raising=False)
    with pytest.raises(UsageError, match="PATRONI_PASSWORD is not set"):
        api(answering(200), access).reinitialize()
    monkeypatch.setenv("PATRONI_PASSWORD", "s3cret")
    seen: list[httpx.Request] = []
    api(answering(200, "", seen), access).reinitialize()
    assert seen[0].headers["authorization"].startswith("Basic ")
    with pytest.raises(ValueError, match="go together"):
        Access(username="muster")


def test_a_silent_member_is_asked_after_the_others() -> None:
    asked: list[str] = []

    def noting(name: str, answer: Answer) -> Api:
        def note(request: httpx.Request) -> httpx.Response:
            asked.append(name)
            return answer(request)

        return api(note, name=name)

    members = Members({"a": noting("a", silent), "b": noting("b", answering(200, json.dumps(CLUSTER)))})
    for _ in range(3):
        assert members.cluster().scope == "rehearsed"
    assert asked == ["a", "b", "b", "b"]


def test_settings_are_remembered_when_nobody_tells_them_any_more() -> None:
    answers = [httpx.Response(200, text='{"ttl": 25}'), httpx.Response(502)]
    members = Members({"a": api(lambda _: answers.pop(0))})
    assert [members.config().ttl, members.config().ttl] == [25, 25]
    assert Members({"a": api(silent)}).config() == Config()


def test_silence_everywhere_names_every_member() -> None:
    with pytest.raises(NoAnswer, match=r"no member tells how the cluster is: a: .*; b: "):
        Members({"a": api(silent), "b": api(silent, name="b")}).cluster()
    with pytest.raises(Refusal, match="no member's REST API answers"):
        Members({"a": api(silent)}).statuses()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"pause": True}, "maintenance mode"),
        ({"members": [CLUSTER["members"][1]]}, "no leader"),
        ({"scheduled_switchover": {"at": "2026-12-01T03:00:00+00:00", "from": "a"}}, "is scheduled for 2026-12-01"),
        ({"members": [CLUSTER["members"][0] | {"name": "c"}]}, "leader c is none of the plan's nodes"),
    ],
)
def test_a_cluster_in_no_state_to_fail_over_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(Refusal, match=complaint) as refused:
        refuse_unfit(cluster(**changes), frozenset({"a", "b"}))
    assert refused.value.advice
    refuse_unfit(cluster(), frozenset({"a", "b"}))


def test_members_of_another_system_are_refused() -> None:
    b = {"patroni": {"version": "4.1.5", "scope": "rehearsed", "name": "b"}}
    both = {"a": status(), "b": status(**b)}
    assert refuse_other(both, "rehearsed", None) == "7711703945016263744"
    for wrong, complaint in (
        ({**both, "b": status(**b, database_system_identifier="1")}, "has the system identifier 1, expected 77117"),
        ({"a": status(**b)}, "belongs to the member b"),
    ):
        with pytest.raises(Refusal, match=complaint):
            refuse_other(wrong, "rehearsed", "7711703945016263744")
    with pytest.raises(Refusal, match="plan names 'payroll'"):
        refuse_other(both, "payroll", None)
