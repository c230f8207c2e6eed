"""Prefect: servers that are busy, away, shut to us, or lie; rows that move while they are read; names that stay."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from muster.cutover.ownership import Side
from muster.cutover.schedule import Cut, Job, Schedule, Stage, Tick
from muster.cutover.spec import CutoverSpec
from muster.errors import MusterError, Refusal, StepError, SystemFailure, UsageError
from muster.settings import Settings
from tasks.handover.waves import tangle_of, waves_of
from tasks.schedulers.prefect import PrefectScheduler, open_scheduler
from tasks.schedulers.prefect_api import PAGE, Address, Api
from tasks.schedulers.scheduler import Reach
from tests.unit.paper_prefect import API, PaperPrefect, cron_row

NOON = datetime(2026, 5, 29, 12, tzinfo=UTC)
REACH = Reach("run 1", lambda: 60.0)
KEY = "pnu_sesame"
Answers = Callable[[httpx.Request], httpx.Response]


def api(answers: Answers, **keys: Any) -> Api:
    return Api(Address.model_validate({"api": API, "patience": "300ms", **keys}), httpx.MockTransport(answers))


def in_turn(*answers: httpx.Response | Exception) -> tuple[Answers, list[httpx.Request]]:
    """Answer so, the last one for good."""
    left, asked = list(answers), []

    def take(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        told = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(told, Exception):
            raise told
        return told

    return take, asked


def at(minutes: float) -> str:
    return (NOON + timedelta(minutes=minutes)).isoformat()


# The server


@pytest.mark.parametrize("passing", [httpx.Response(503), httpx.Response(429), httpx.ConnectError("refused")])
def test_a_server_that_is_busy_or_away_for_a_moment_is_asked_again(passing: httpx.Response | Exception) -> None:
    take, asked = in_turn(passing, passing, httpx.Response(200, json="3.8.0"))
    assert api(take, patience="20s").get("admin/version") == "3.8.0"
    assert len(asked) == 3


def test_patience_with_a_server_that_is_away_ends_with_one_sentence() -> None:
    with pytest.raises(StepError) as told:
        api(in_turn(httpx.ConnectError("Connection refused"))[0]).get("admin/version")
    assert told.value.message == f"the Prefect server at {API} does not answer: Connection refused"
    assert told.value.advice == "start it, or correct its address in the plan"


def test_patience_with_a_server_that_stays_busy_ends() -> None:
    with pytest.raises(StepError, match="stays busy: 503"):
        api(in_turn(httpx.Response(503))[0]).get("admin/version")


def test_no_more_is_asked_of_a_server_that_refuses() -> None:
    take, asked = in_turn(httpx.Response(409, json={"detail": "no"}))
    with pytest.raises(StepError, match="refused POST flows/: 409"):
        api(take).post("flows/", {})
    assert len(asked) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_opens_nothing_is_a_refusal(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_KEY", KEY)
    take, asked = in_turn(httpx.Response(status, json={"detail": KEY}))
    with pytest.raises(Refusal, match=f"does not let us in \\({status}\\)") as told:
        api(take, key_env="PREFECT_KEY").get("admin/version")
    assert asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in str(told.value)


def test_a_page_for_people_is_told_apart_from_an_answer() -> None:
    with pytest.raises(StepError, match="no JSON") as told:
        api(in_turn(httpx.Response(200, html="<html>Prefect</html>"))[0]).get("admin/version")
    assert told.value.advice == "is this the address of the API?"


@pytest.mark.parametrize("answer", [httpx.Response(422, text=f"bad: {KEY}"), httpx.Response(500, text=KEY)])
def test_what_the_server_says_is_told_without_the_key(answer: httpx.Response, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_LOGIN", f"muster:{KEY}")
    take, asked = in_turn(answer)
    with pytest.raises(StepError) as told:
        api(take, auth_env="PREFECT_LOGIN").post("deployments/", {})
    assert asked[0].headers["authorization"].startswith("Basic ")
    assert KEY not in str(told.value)
    assert "***" in told.value.message


# Where it is, and as whom


def test_a_profile_of_prefects_own_file_says_where_and_as_whom(tmp_path: Path) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text(f'active = "x"\n[profiles.work]\nPREFECT_API_URL = "{API}"\nPREFECT_API_KEY = "{KEY}"\n')
    take, asked = in_turn(httpx.Response(200, json=1))
    api(take, api="", profile="work", profiles=str(file)).get("admin/version")
    assert str(asked[0].url) == f"{API}/admin/version"
    assert asked[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("text", ["", "[profiles.other]\nPREFECT_API_URL = 'x'", "[profiles.work]", "[[", None])
def test_a_profile_that_is_not_there_is_told_with_its_file(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "profiles.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UsageError, match=r"profiles\.toml has no profile 'work'"):
        api(in_turn(httpx.Response(200))[0], api="", profile="work", profiles=str(file))


@pytest.mark.parametrize("keys", [{}, {"api": API, "profile": "work"}, {"api": API, "key": KEY}])
def test_a_server_is_named_once_and_no_secret_is_in_the_plan(keys: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Address.model_validate(keys)


@pytest.mark.parametrize("key", ["key_env", "auth_env"])
def test_a_variable_that_is_not_set_is_named(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_SECRET", raising=False)
    with pytest.raises(UsageError, match="PREFECT_SECRET is not set"):
        open_scheduler({"type": "prefect", "api": API, key: "PREFECT_SECRET"}, Settings())


def test_a_password_in_the_url_is_refused_untold() -> None:
    with pytest.raises(UsageError) as told:
        open_scheduler({"type": "prefect", "api": f"http://muster:{KEY}@prefect/api"}, Settings())
    assert KEY not in str(told.value)


def test_a_server_that_is_not_the_plans_is_refused() -> None:
    assert PaperPrefect().scheduler().identify().system_identifier == "blue"
    with pytest.raises(Refusal, match="is server blue, not the plan's"):
        PaperPrefect().scheduler(server="green").identify()
    elsewhere = PaperPrefect(before=lambda request: httpx.Response(404, json={}))
    with pytest.raises(Refusal, match="no API of a Prefect 3 server"):
        elsewhere.scheduler().identify()


# Pages


def rows(numbers: range) -> list[dict[str, str]]:
    return [{"id": str(number)} for number in numbers]


def paged(first: list[dict[str, str]], later: list[dict[str, str]]) -> list[str]:
    """What is read of a list that becomes another one after the first page."""
    asked: list[int] = []

    def take(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        now = later if asked else first
        asked.append(body["offset"])
        return httpx.Response(200, json=now[body["offset"] : body["offset"] + body["limit"]])

    return [row["id"] for row in api(take).pages("flow_runs/filter", {})]


def test_rows_that_others_push_onto_the_next_page_are_told_once() -> None:
    read = paged(rows(range(450)), [*rows(range(1000, 1030)), *rows(range(450))])
    assert read == [str(number) for number in range(450)]


@pytest.mark.parametrize("gone", [1, 30, 199, 200])
def test_rows_that_move_up_where_others_are_gone_are_not_passed_over(gone: int) -> None:
    read = paged(rows(range(650)), rows(range(gone, 650)))
    assert sorted(map(int, read)) == list(range(650))


@pytest.mark.parametrize("later", [[], rows(range(1000, 1200))])
def test_a_server_whose_later_pages_never_fit_is_not_asked_for_ever(later: list[dict[str, str]]) -> None:
    """Its first page is full, and what follows is empty, or belongs to nothing."""
    asked: list[int] = []

    def take(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content)["offset"])
        return httpx.Response(200, json=later if asked[-1] else rows(range(PAGE)))

    with pytest.raises(StepError, match="pages that do not fit together"):
        list(api(take).pages("flow_runs/filter", {}))
    assert len(asked) < 50


@pytest.mark.parametrize("size", [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE - 1, 2 * PAGE])
def test_every_size_of_list_is_read_to_its_end(size: int) -> None:
    assert len(paged(rows(range(size)), rows(range(size)))) == size


def test_a_run_that_moves_while_pages_are_turned_is_one_firing() -> None:
    server = PaperPrefect()
    row = server.deploy("shop/orders")
    for number in range(250):
        server.run(row, at(number), "COMPLETED")

    def push(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith("flow_runs/filter"):
            return None
        server.before = lambda request: None
        first_page = server.answer(request)
        server.runs.insert(0, {**server.runs[0], "id": "new"})
        return first_page

    server.before = push
    found = server.scheduler().history({"shop/orders"}, NOON - timedelta(1), NOON + timedelta(minutes=250))
    assert len(found) == len({firing.run for firing in found}) == 250


def test_ten_thousand_deployments_are_read_by_pages_and_held_by_a_few_calls() -> None:
    server = PaperPrefect()
    for number in range(10_000):
        server.deploy(f"flow{number % 7}/job{number // 7}", cron_row(number))
    scheduler = server.scheduler()
    found = scheduler.inventory(Cut())
    assert len(found.schedules) == len({schedule.name for schedule in found.schedules}) == 10_000
    assert len(server.asked) == 51 + 1 + 1 + 1  # pages that overlap by a row; flows; pools; queues
    names = [schedule.name for schedule in found.schedules]
    gate = [("PATCH", "work_pools/pool"), ("GET", "work_pools/pool")]
    in_hand = [("GET", "health"), ("POST", "flow_runs/filter")]
    for verb, asked in ((scheduler.hold, gate + in_hand), (scheduler.release, gate)):
        server.asked.clear()
        verb(names, REACH)
        assert server.asked == asked


@pytest.mark.parametrize("is_done", [True, False])
def test_a_run_that_a_worker_may_have_in_hand_is_taken_back_when_its_pool_is_shut(is_done: bool) -> None:
    server = PaperPrefect()
    row = server.deploy("shop/orders", cron_row(1))
    now = datetime.now(UTC)
    soon, later = (server.run(row, (now + timedelta(seconds=s)).isoformat()) for s in (5, 300))
    taken = server.run(row, now.isoformat(), "PENDING")
    if not is_done:
        server._delete_runs = lambda _body: {"deleted": []}  # type: ignore[method-assign]
        with pytest.raises(SystemFailure, match=f"said it deleted run {soon['id']}"):
            server.scheduler().hold({"shop/orders"}, REACH)
        return
    server.scheduler().hold({"shop/orders"}, REACH)
    assert server.runs == [later, taken]


# Names


def two_rules(server: PaperPrefect) -> None:
    server.deploy("shop/two", cron_row(1, "1 * * * *", slug="hourly"), cron_row(2, "2 2 * * *", parameters={"x": 1}))


def test_schedules_of_one_job_keep_their_names_on_another_server() -> None:
    blue, green = PaperPrefect(), PaperPrefect("green")
    two_rules(blue)
    before = blue.scheduler().inventory(Cut())
    names = {schedule.name for schedule in before.schedules}
    assert "shop/two#hourly" in names
    assert len(names) == 2
    other = green.scheduler()
    other.mirror(before.jobs, before.schedules, REACH)
    after = other.inventory(Cut())
    held = [schedule.model_copy(update={"active": False}) for schedule in before.schedules]
    assert sorted(after.schedules, key=lambda s: s.name) == sorted(held, key=lambda s: s.name)
    assert after.jobs == before.jobs
    blue.deployments[0]["schedules"].reverse()
    again = blue.scheduler().inventory(Cut())
    assert {schedule.name for schedule in again.schedules} == names


def test_a_job_from_a_crontab_keeps_its_name_and_is_told_from_one_that_only_looks_so() -> None:
    server = PaperPrefect()
    server.deploy("orders/orders")
    (native,) = server.scheduler().inventory(Cut()).jobs
    assert native.name == "orders/orders"
    server = PaperPrefect()
    scheduler, job = server.scheduler(), native.model_copy(update={"name": "orders", "owner": "data"})
    rule = Schedule.model_validate(
        {"name": "orders", "job": "orders", "rule": {"expression": "0 5 * * *", "form": "cron"}}
    )
    scheduler.mirror([job], [rule], REACH)
    found = scheduler.inventory(Cut(names=("orders",)))
    assert [(one.name, one.owner, one.tags) for one in found.jobs] == [("orders", "data", ("owner:data",))]
    assert [one.name for one in found.schedules] == ["orders"]
    scheduler.release({"orders"}, REACH)
    assert scheduler.released({"orders"}) == {"orders"}


def test_a_job_whose_schedules_cannot_all_be_handed_over_is_not_handed_over_in_part() -> None:
    server = PaperPrefect()
    server.deploy("shop/two", cron_row(1, slug="good"), cron_row(2, "2 2 * * *", slug="few", max_scheduled_runs=3))
    server.deploy("shop/twice", cron_row(3), cron_row(4))
    server.deploy("shop/block", storage_document_id="here", pool="other")
    server.deploy("shop/odd", cron_row(5, schedule={"moon": "full"}))
    server.deploy("shop/served", cron_row(6), pool="")
    found = server.scheduler(gate="deployment").inventory(Cut())
    assert found.schedules == found.jobs == ()
    assert {unfit.name.partition("#")[0] for unfit in found.unfit} == {
        "shop/two", "shop/twice", "shop/block", "shop/odd", "shop/served"
    }  # fmt: skip
    assert {unfit.name: unfit.reason for unfit in found.unfit}["shop/two#good"] == (
        "its job also has a schedule that cannot be handed over: max_scheduled_runs is set on it"
    )


# Runs


def test_runs_of_one_deployment_are_told_apart_by_the_schedule_that_asked_for_them() -> None:
    server = PaperPrefect()
    two_rules(server)
    (row,) = server.deployments
    server.run(row, at(1), "COMPLETED", created_by={"id": "s2"})
    server.run(row, at(1), "RUNNING", created_by={"id": "s1"})
    server.run(row, at(2), auto_scheduled=False, created_by={"id": "a person"})
    server.run(row, at(3), created_by={"id": "a schedule of before"})
    scheduler = server.scheduler()
    names = [schedule.name for schedule in scheduler.inventory(Cut()).schedules]
    found = {f.schedule: f.stage for f in scheduler.history(names, NOON, NOON + timedelta(hours=1))}
    assert found.pop("shop/two#hourly") is Stage.RUNNING
    assert list(found.values()) == [Stage.DONE]
    assert [firing.schedule for firing in scheduler.at_work(names)] == ["shop/two#hourly"]


def test_a_tick_is_made_up_for_once_and_its_run_is_known_again() -> None:
    server = PaperPrefect()
    two_rules(server)
    tick = Tick("shop/two#hourly", NOON + timedelta(minutes=1))
    for _ in range(2):
        assert server.scheduler().start({tick}, REACH) == {tick}
    (run,) = server.runs
    assert (run["auto_scheduled"], run["idempotency_key"]) == (False, f"muster {tick.key}")
    (firing,) = server.scheduler().history({tick.schedule}, NOON, NOON + timedelta(hours=1))
    assert (firing.tick, firing.stage) == (tick, Stage.WAITING)


@pytest.mark.parametrize(
    ("run", "stage", "is_at_work"),
    [
        ({"state_type": "SCHEDULED", "state_name": "Late"}, Stage.WAITING, False),
        ({"state_type": "SCHEDULED", "state_name": "AwaitingConcurrencySlot"}, Stage.WAITING, False),
        ({"state_type": "SCHEDULED", "state_name": "AwaitingRetry", "run_count": 1}, Stage.RUNNING, True),
        ({"state_type": "PENDING"}, Stage.TAKEN, True),
        ({"state_type": "PAUSED"}, Stage.RUNNING, True),
        ({"state_type": "CANCELLING"}, Stage.RUNNING, True),
        ({"state_type": "CRASHED"}, Stage.FAILED, False),
        ({"state_type": "CANCELLED"}, Stage.CANCELLED, False),
        ({"state_type": "CANCELLED", "start_time": "2026-05-29T12:01:00Z"}, Stage.FAILED, False),
    ],
)
def test_how_far_a_run_has_come(run: dict[str, Any], stage: Stage, is_at_work: bool) -> None:
    server = PaperPrefect()
    row = server.deploy("shop/orders")
    server.run(row, at(1), **{"state": run.pop("state_type"), **run})
    scheduler = server.scheduler()
    (firing,) = scheduler.history({"shop/orders"}, NOON, NOON + timedelta(hours=1))
    assert firing.stage is stage
    assert bool(scheduler.at_work({"shop/orders"})) == is_at_work


@pytest.mark.parametrize(("verb", "gate"), [("rest", "pool"), ("rest", "deployment"), ("hold", "deployment")])
def test_at_rest_no_run_is_left_that_somebody_could_take_up(verb: str, gate: str) -> None:
    server = PaperPrefect()
    row = server.deploy("shop/orders")
    for number in range(120):
        server.run(row, at(number), state_name="AwaitingConcurrencySlot")
    mine = server.run(row, at(1), auto_scheduled=False, created_by=None)
    retried = server.run(row, at(2), run_count=1)
    getattr(server.scheduler(gate=gate), verb)({"shop/orders"}, REACH)
    assert server.runs == [mine, retried]
    assert row["paused"]


# What else goes through the gate


def pools(server: PaperPrefect) -> PrefectScheduler:
    """Two jobs in one pool, one in another."""
    server.deploy("shop/orders")
    server.deploy("shop/invoices")
    server.deploy("shop/report", pool="second")
    return server.scheduler()


@pytest.mark.parametrize("verb", ["hold", "release", "arm"])
def test_half_a_pool_is_neither_held_nor_released(verb: str) -> None:
    server = PaperPrefect()
    with pytest.raises(Refusal, match=r"shop/invoices goes through the same gate \(work pool pool\)") as told:
        getattr(pools(server), verb)({"shop/orders"}, REACH)
    assert "gate: deployment" in told.value.advice
    assert server.orders() == []


def test_a_pool_of_its_own_is_held_alone_and_so_is_a_deployment() -> None:
    server = PaperPrefect()
    pools(server).hold({"shop/report"}, REACH)
    assert [name for name, pool in server.pools.items() if pool["is_paused"]] == ["second"]
    server.scheduler(gate="deployment").hold({"shop/orders"}, REACH)
    assert [row["name"] for row in server.deployments if row["paused"]] == ["orders"]


def test_what_is_paused_by_now_stands_in_nobodys_way() -> None:
    server = PaperPrefect()
    scheduler = pools(server)
    scheduler.inventory(Cut())
    next(row for row in server.deployments if row["name"] == "invoices")["paused"] = True
    scheduler.hold({"shop/orders"}, REACH)
    assert server.pools["pool"]["is_paused"]


def test_half_a_deployment_is_not_held() -> None:
    server = PaperPrefect()
    two_rules(server)
    with pytest.raises(Refusal, match="deployment shop/two"):
        server.scheduler(gate="deployment").hold({"shop/two#hourly"}, REACH)
    assert server.orders() == []


def test_waves_that_one_pool_holds_together_are_found_out_beforehand() -> None:
    server = PaperPrefect()
    found = pools(server).inventory(Cut())

    def tangle(first: str, gate: str = "pool", **more: Any) -> str:
        spec = CutoverSpec.model_validate({"waves": [{"names": [first]}], **more})
        assert waves_of(spec, found)[0] == (first,)
        return tangle_of(spec, found, dict.fromkeys(Side, server.scheduler(gate=gate)))

    assert tangle("shop/orders") == (
        "a can hold shop/invoices and shop/orders only together (pool); they are of two waves"
    )
    assert tangle("shop/orders", "deployment") == ""
    assert tangle("shop/report") == ""
    moved = {"jobs": ["shop/report"], "own": {"work_pool_name": "pool"}}
    assert tangle("shop/report", jobs=[moved]).startswith("b can hold")


def test_a_pool_that_serves_others_too_is_refused_with_what_it_serves() -> None:
    server = PaperPrefect()
    scheduler = pools(server)
    with pytest.raises(Refusal, match="work pool pool also serves shop/invoices"):
        scheduler.inventory(Cut(names=("shop/orders",)))
    assert [job.name for job in scheduler.inventory(Cut(names=("shop/report",))).jobs] == ["shop/report"]


# Mirrors


def mirrored(server: PaperPrefect) -> PrefectScheduler:
    """A mirror of `pools` there."""
    found = pools(PaperPrefect()).inventory(Cut())
    scheduler = server.scheduler()
    scheduler.mirror(found.jobs, found.schedules, REACH)
    return scheduler


def test_a_deployment_of_somebody_elses_is_refused_before_anything_is_made() -> None:
    server = PaperPrefect()
    server.deploy("shop/orders")
    with pytest.raises(Refusal, match="no mirror of this run made: shop/orders"):
        mirrored(server)
    assert server.orders() == []


def test_pools_are_made_shut_and_of_their_type_and_are_gone_once_nothing_is_in_them() -> None:
    server = PaperPrefect()
    scheduler = mirrored(server)
    assert {(name, pool["type"], pool["is_paused"]) for name, pool in server.pools.items()} == {
        ("pool", "process", True), ("second", "process", True)
    }  # fmt: skip
    scheduler.remove({"shop/orders", "shop/report"}, REACH)
    assert list(server.pools) == ["pool"]
    scheduler.remove({"shop/invoices"}, REACH)
    assert server.pools == {}
    assert server.deployments == []


def in_queues(server: PaperPrefect) -> tuple[tuple[Job, ...], tuple[Schedule, ...]]:
    """Two jobs in a queue of a pool that takes five at a time, and one in the queue that the pool was born with."""
    for name, queue in (("orders", "urgent"), ("invoices", "urgent"), ("report", "default")):
        server.deploy(f"shop/{name}", work_queue_name=queue)
    server.pools["pool"]["concurrency_limit"] = 5
    server.queues["pool", "default"] |= {"priority": 2, "concurrency_limit": 4}
    server.queues["pool", "urgent"] = {"id": "q", "name": "urgent", "priority": 1, "concurrency_limit": 3}
    found = server.scheduler().inventory(Cut())
    return found.jobs, found.schedules


def test_a_pool_that_is_made_takes_as_many_at_a_time_and_so_do_its_queues() -> None:
    """Were a queue left to the deployments that are made side by side, two would make it, and one be refused."""
    there = PaperPrefect()
    there.scheduler().mirror(*in_queues(PaperPrefect()), REACH)
    assert there.pools["pool"]["concurrency_limit"] == 5
    assert {queue["name"]: (queue["priority"], queue["concurrency_limit"]) for queue in there.queues.values()} == {
        "default": (2, 4), "urgent": (1, 3),
    }  # fmt: skip
    queues, made = ([i for i, (_, p) in enumerate(there.asked) if p == path]
                    for path in ("work_pools/pool/queues", "deployments/"))  # fmt: skip
    assert len(queues) == 1
    assert max(queues) < min(made)


def test_a_pool_of_somebody_elses_keeps_its_limits_and_gets_the_queue_it_lacks() -> None:
    there = PaperPrefect()
    there.deploy("theirs/job", paused=True)
    there.scheduler().mirror(*in_queues(PaperPrefect()), REACH)
    assert there.pools["pool"].get("concurrency_limit") is None
    assert there.queues["pool", "default"]["priority"] == 1
    assert there.queues["pool", "urgent"]["concurrency_limit"] == 3


def test_an_answer_that_sends_us_elsewhere_is_none() -> None:
    server = PaperPrefect()
    server.before = lambda r: httpx.Response(307, headers={"location": "/x"}) if r.method == "POST" else None
    with pytest.raises(StepError, match="307"):
        mirrored(server)


def test_a_pool_that_was_there_stays() -> None:
    server = PaperPrefect()
    server.pools["pool"] = {"id": "p", "name": "pool", "type": "docker", "is_paused": True, "description": None}
    mirrored(server).remove({"shop/orders", "shop/invoices", "shop/report"}, REACH)
    assert list(server.pools) == ["pool"]


def test_runs_are_asked_for_where_they_are_due_soon_and_else_left_to_the_server() -> None:
    server, soon, later = (
        PaperPrefect(),
        datetime.now(UTC) + timedelta(minutes=5),
        datetime.now(UTC) + timedelta(hours=5),
    )
    made = {}
    for name, at in (("soon", soon), ("later", later)):
        row = cron_row(1, f"{at.minute} {at.hour} * * *") | {"id": f"s-{name}"}
        made[name] = server.deploy(f"shop/{name}", row, paused=True)["id"]
    server.scheduler().arm({"shop/soon", "shop/later"}, REACH)
    assert {row["paused"] for row in server.deployments} == {False}
    assert [path for _, path in server.asked if path.endswith("/schedule")] == [f"deployments/{made['soon']}/schedule"]


def test_what_rests_is_not_put_to_rest_again_until_it_goes() -> None:
    server = PaperPrefect()
    orders = server.deploy("shop/orders")
    scheduler = server.scheduler()
    for _ in range(2):
        scheduler.rest({"shop/orders"}, REACH)
    assert sum(path.endswith("/pause_deployment") for _, path in server.asked) == 1
    orders["paused"] = False
    scheduler.rest({"shop/orders"}, REACH)
    assert orders["paused"]


def test_what_starts_nothing_is_counted_and_whatever_may_is_read() -> None:
    """Who resumed a deployment, opened a pool or moved it to an open one is found out all the same."""
    server = PaperPrefect()
    orders, _ = (server.deploy(f"shop/{name}") for name in ("orders", "invoices"))
    scheduler, names = server.scheduler(), {"shop/orders", "shop/invoices"}
    scheduler.inventory(Cut())

    def released() -> tuple[frozenset[str], bool]:
        server.asked.clear()
        return scheduler.released(names), ("POST", "deployments/filter") in server.asked

    server.pools["pool"]["is_paused"] = True
    assert released() == (frozenset(), False)
    server.deploy("other/job", pool="open")
    orders["work_pool_name"] = "open"
    assert released() == ({"shop/orders"}, True)
    scheduler.rest(names, REACH)
    server.pools["pool"]["is_paused"] = False
    assert released() == (frozenset(), False)
    orders["paused"] = False
    assert released() == ({"shop/orders"}, True)


def test_what_was_not_armed_is_resumed_when_it_is_released() -> None:
    server = PaperPrefect()
    scheduler, every = mirrored(server), {"shop/orders", "shop/invoices", "shop/report"}
    scheduler.release(every, REACH)
    assert scheduler.released(every) == every


# A server that says 200 and does nothing


@pytest.mark.parametrize(
    ("verb", "gate", "words"),
    [
        ("hold", "pool", "said it paused work pool pool, and did not"),
        ("hold", "deployment", "said it paused shop/orders, which goes on"),
        ("rest", "pool", "said it paused shop/orders, which goes on"),
    ],
)
def test_a_server_that_does_nothing_is_found_out(verb: str, gate: str, words: str) -> None:
    server = PaperPrefect(is_deaf=True)
    server.deploy("shop/orders")
    with pytest.raises(SystemFailure, match=words):
        getattr(server.scheduler(gate=gate), verb)({"shop/orders"}, REACH)


def test_a_server_that_releases_deletes_removes_and_makes_nothing_is_found_out() -> None:
    server = PaperPrefect()
    row = server.deploy("shop/orders", tags=["muster:run 1"])
    scheduler = server.scheduler()
    scheduler.hold({"shop/orders"}, REACH)
    run = server.run(row, at(1))
    server.is_deaf = True
    with pytest.raises(SystemFailure, match="said it resumed work pool pool"):
        scheduler.release({"shop/orders"}, REACH)
    with pytest.raises(SystemFailure, match=f"said it deleted run {run['id']}"):
        scheduler.drop({Tick("shop/orders", NOON + timedelta(minutes=1))}, REACH)
    row["paused"] = True
    server.runs.clear()
    with pytest.raises(SystemFailure, match="said it removed shop/orders"):
        scheduler.remove({"shop/orders"}, REACH)
    with pytest.raises(SystemFailure, match="said it resumed shop/orders"):
        scheduler.arm({"shop/orders"}, REACH)
    server.deployments.clear()
    with pytest.raises(SystemFailure, match="said it made"):
        mirrored(server)


def test_a_time_limit_ends_what_takes_long() -> None:
    server = PaperPrefect()
    for number in range(30):
        server.deploy(f"shop/job{number}")

    def over() -> float:
        raise StepError("time is up")

    names = {f"shop/job{number}" for number in range(30)}
    with pytest.raises(MusterError, match="time is up"):
        server.scheduler().rest(names, Reach("run 1", over))
    assert server.orders() == []


def test_nothing_is_known_of_a_schedule_that_is_not_there() -> None:
    server = PaperPrefect()
    server.deploy("shop/orders")
    scheduler = server.scheduler()
    with pytest.raises(StepError, match="no deployment shop/other"):
        scheduler.hold({"shop/other"}, REACH)
    with pytest.raises(StepError, match="no schedule shop/orders#late"):
        scheduler.release({"shop/orders#late"}, REACH)
    assert scheduler.released({"shop/other"}) == frozenset()


def test_what_prefect_could_not_carry_is_told() -> None:
    server = PaperPrefect()
    found = pools(server).inventory(Cut())
    bare, schedule = found.jobs[0].model_copy(update={"own": {}}), found.schedules[0]
    late = schedule.model_copy(update={"catch_up": True, "jitter_seconds": 5.0})
    told = server.scheduler().untold(bare, late)
    assert [words.split()[0] for words in told] == ["catching", "a", "where", "the"]
    for name in ("shop/orders/late", "50%", "/orders"):
        (words,) = server.scheduler().untold(found.jobs[0].model_copy(update={"name": name}), schedule)
        assert words.startswith(f"the name {name}")
    assert server.scheduler().untold(found.jobs[0], schedule) == ()
    night = Schedule.model_validate({**schedule.model_dump(), "rule": {"form": "calendar", "expression": "daily"}})
    assert server.scheduler().carried(night) is None
