"""The guard of a Prefect flow: which tick a run serves, what it claims it as, and what becomes of a run refused."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun, State

from flows import guarding
from flows.guarding import Run, guarded_run, job_of, run_here
from muster.errors import UsageError
from muster.ledger import Ledger, open_ledger
from tasks.schedulers.prefect_forms import ALONE, CAUGHT_UP

AT = datetime(2026, 11, 26, 2, 30, tzinfo=UTC)
RUN = Run("one", AT)


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """The worker's own, which is blue's."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    monkeypatch.setenv("MUSTER_LEDGER", url)
    monkeypatch.setenv("MUSTER_HOLDER", "blue")
    monkeypatch.setattr(guarding, "run_here", lambda: RUN)
    monkeypatch.setattr(guarding, "job_of", lambda run: "shop/orders")
    with open_ledger(url) as opened:
        yield opened


def claims(ledger: Ledger) -> list[tuple[str, datetime, str]]:
    names = ("shop/orders", "orders", "other")
    return [(c.schedule, c.at, c.holder) for c in ledger.claims_between(names, AT - timedelta(days=1), AT)]


@guarded_run()
def plain(size: int = 1) -> Any:
    return size


@guarded_run()
async def later(size: int = 1) -> Any:
    await asyncio.sleep(0)
    return size


@guarded_run()
def told(schedule: str = "other") -> Any:
    return schedule


@guarded_run("orders", holder="green")
def named() -> Any:
    return "worked"


def called(job: Any, *args: Any) -> Any:
    found = job(*args)
    return asyncio.run(found) if asyncio.iscoroutine(found) else found


@pytest.mark.parametrize("job", [plain, later])
def test_a_run_works_once_for_its_tick(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, job: Any) -> None:
    assert called(job, 3) == 3
    assert claims(ledger) == [("shop/orders", AT, "blue")]
    assert called(job, 4) == 4, "the same run, tried again"
    monkeypatch.setattr(guarding, "run_here", lambda: RUN._replace(id="another"))
    refused = called(job, 5)
    assert isinstance(refused, State)
    assert (refused.is_completed(), refused.name) == (True, "Refused")
    assert len(claims(ledger)) == 1


def test_the_schedule_is_what_is_said_else_a_parameter_else_the_deployment(ledger: Ledger) -> None:
    assert (named(), told(), told("shop/orders"), plain()) == ("worked", "other", "shop/orders", 1)
    assert claims(ledger) == [("orders", AT, "green"), ("other", AT, "blue"), ("shop/orders", AT, "blue")]


@pytest.mark.parametrize("job", [plain, later])
def test_who_is_fenced_has_not_done_well(ledger: Ledger, job: Any) -> None:
    ledger.assign_owner(["shop/orders"], "green")
    refused = called(job)
    assert isinstance(refused, State)
    assert refused.is_failed()
    assert "claimed as blue" in str(refused.message)


def test_a_run_by_hand_claims_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.assign_owner(["shop/orders"], "green")
    monkeypatch.setattr(guarding, "run_here", lambda: RUN._replace(tick=None))
    assert plain() == 1
    assert claims(ledger) == []


def test_a_run_of_no_schedule_is_told(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarding, "job_of", lambda run: "")
    with pytest.raises(UsageError, match="which schedule"):
        plain()
    assert named() == "worked"


def in_a_run(monkeypatch: pytest.MonkeyPatch, deployment: str | None = "orders", **run: Any) -> None:
    made = FlowRun.model_validate({"flow_id": "00000000-0000-4000-8000-000000000001", "name": "x", **run})
    monkeypatch.setattr(guarding, "FlowRunContext", SimpleNamespace(get=lambda: SimpleNamespace(flow_run=made)))
    monkeypatch.setattr(guarding, "flow_run", SimpleNamespace(flow_name="shop"))
    monkeypatch.setattr(guarding, "deployment", SimpleNamespace(name=deployment))


@pytest.mark.parametrize(
    ("run", "tick"),
    [
        ({"auto_scheduled": True}, AT),
        ({"auto_scheduled": False, "idempotency_key": f"{CAUGHT_UP}0123"}, AT),
        ({"auto_scheduled": False}, None),
        ({"auto_scheduled": False, "idempotency_key": "somebody's own"}, None),
    ],
)
def test_a_tick_is_what_a_schedule_or_a_handover_asked_for(
    monkeypatch: pytest.MonkeyPatch, run: dict[str, Any], tick: datetime | None
) -> None:
    in_a_run(monkeypatch, expected_start_time=AT, **run)
    assert (run_here().tick, job_of(run_here())) == (tick, "shop/orders")


def test_a_job_that_came_alone_has_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_run(monkeypatch, "shop", expected_start_time=AT, auto_scheduled=True, tags=[ALONE])
    assert job_of(run_here()) == "shop"
    in_a_run(monkeypatch, "shop", expected_start_time=AT, auto_scheduled=True)
    assert job_of(run_here()) == "shop/shop"
    in_a_run(monkeypatch, None, expected_start_time=AT)
    assert job_of(run_here()) == ""


def test_outside_a_run_it_says_so() -> None:
    with pytest.raises(UsageError, match="no run of a Prefect flow"):
        plain()
