"""Airflow's REST API: who asks, what is repeated, and what each refusal is told as."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from muster.errors import MusterError, Refusal, StepError, UsageError
from muster.settings import Settings
from tasks.schedulers.airflow import AirflowScheduler, Spec, open_scheduler
from tasks.schedulers.airflow_api import Address, Api, dag_path, run_path
from tests.contract.airflow_replay import answer

PASSWORD = {"url": "http://airflow/", "username": "muster", "password_env": "WORD", "timeout": "500ms"}
Answers = Callable[[httpx.Request], httpx.Response]


def api(answers: Answers, keys: dict[str, str] = PASSWORD, **environment: str) -> Api:
    return Api(Address.model_validate(keys), httpx.MockTransport(answers), environment or {"WORD": "secret"})


def said(name: str) -> httpx.Response:
    """One recorded answer."""
    card = answer(name)
    return httpx.Response(card["status"], json=card["json"])


def as_told(first: str, *later: str) -> tuple[Answers, list[httpx.Request]]:
    """Log in, then answer so, the last one for good."""
    asked: list[httpx.Request] = []
    names = [first, *later]

    def take(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            return said("login")
        asked.append(request)
        return said(names.pop(0) if len(names) > 1 else names[0])

    return take, asked


def test_a_token_is_asked_for_once_with_the_password_and_again_when_it_is_no_longer_taken() -> None:
    logins: list[bytes] = []
    told = ["version", "unauthorized", "version"]

    def take(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            logins.append(request.content)
            return said("login")
        assert request.headers["authorization"] == "Bearer TOKEN"
        return said(told.pop(0))

    opened = api(take)
    assert opened.get("version") == answer("version")["json"]
    assert opened.get("version") == answer("version")["json"]
    assert len(logins) == 2
    assert b"secret" in logins[0]


def test_a_given_token_is_used_as_it_is_and_asked_for_nowhere() -> None:
    take, asked = as_told("version")
    api(take, {"url": "http://airflow", "token_env": "BEARER"}, BEARER="mine").get("version")
    assert asked[0].headers["authorization"] == "Bearer mine"


def test_an_account_that_is_not_let_in_is_told_and_its_password_is_not() -> None:
    with pytest.raises(Refusal, match=r"does not let us in \(401\)") as refused:
        api(lambda _: said("login-refused")).get("version")
    assert "secret" not in str(refused.value)
    take, asked = as_told("unauthorized")
    with pytest.raises(Refusal, match=r"does not let us in \(403\)"):
        api(take).get("dags")
    assert len(asked) == 2


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(UsageError, match="WORD is not set"):
        api(lambda _: said("login"), OTHER="x").get("version")


@pytest.mark.parametrize(
    "keys",
    [
        {"url": "http://a"},
        {"url": "http://a", "username": "a"},
        {"url": "http://a", "username": "a", "password_env": "B", "token_env": "C"},
        {"url": "http://a", "token_env": "C", "password": "secret"},
        {"url": "http://a", "token_env": "C", "timezones": {"*": "Europe/Nowhere"}},
    ],
)
def test_keys_that_say_not_who_asks_or_too_much_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Spec.model_validate(keys)


def test_a_busy_airflow_is_asked_again_and_not_for_ever() -> None:
    told = [httpx.Response(500, text="Database error"), httpx.Response(503), said("version")]

    def take(request: httpx.Request) -> httpx.Response:
        return said("login") if request.url.path == "/auth/token" else told.pop(0)

    assert api(take, {**PASSWORD, "timeout": "10s"}).get("version") == answer("version")["json"]
    with pytest.raises(StepError, match="stays busy or broken: 500 Database error"):
        api(lambda _: httpx.Response(500, text="Database error")).get("version")


def test_an_airflow_that_is_away_is_told_with_its_url() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody listens", request=request)

    with pytest.raises(StepError, match="Airflow at http://airflow does not answer: nobody listens"):
        api(away).get("version")


def test_what_is_not_there_or_there_already_or_at_work_is_no_error() -> None:
    assert api(as_told("missing")[0]).get("dags/nowhere/details") is None
    assert api(as_told("missing")[0]).patch("dags/nowhere", {}) is None
    assert api(as_told("missing")[0]).delete("dags/nowhere/dagRuns/a")
    assert api(as_told("conflict")[0]).post("dags/minutely/dagRuns", {}) is None
    assert api(as_told("delete-running")[0]).delete("dags/slow/dagRuns/a") is False


def test_an_answer_that_is_none_of_airflows_is_told() -> None:
    with pytest.raises(StepError, match="answers with no JSON object"):
        api(lambda r: said("login") if r.url.path == "/auth/token" else httpx.Response(200, text="<html>")).get("dags")
    with pytest.raises(StepError, match="Airflow refused GET /api/v2/dags: 422"):
        api(lambda r: said("login") if r.url.path == "/auth/token" else httpx.Response(422)).get("dags")


def test_the_clock_is_that_of_the_answers_head() -> None:
    head = {"date": str(answer("version")["date"])}
    opened = api(lambda r: said("login") if r.url.path == "/auth/token" else httpx.Response(200, headers=head))
    assert isinstance(clock := opened.clock(), datetime)
    assert clock.tzinfo is UTC


def test_names_are_quoted_in_paths() -> None:
    assert dag_path("a b/c") == "dags/a%20b%2Fc"
    assert run_path("a", "scheduled__2026+00:00") == "dags/a/dagRuns/scheduled__2026%2B00%3A00"


def test_whatever_is_no_airflow_3_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "secret")
    old = httpx.Response(200, json={"version": "2.10.4", "dags": [], "total_entries": 0})
    for one in (old, httpx.Response(404)):
        spec = Spec.model_validate(PASSWORD)
        scheduler = AirflowScheduler(
            spec, httpx.MockTransport(lambda r, one=one: said("login") if r.url.path == "/auth/token" else one)
        )
        with pytest.raises(MusterError):
            scheduler.identify()


def test_it_opens_by_the_keys_of_a_plan() -> None:
    assert isinstance(open_scheduler({"type": "airflow", **PASSWORD}, Settings()), AirflowScheduler)
