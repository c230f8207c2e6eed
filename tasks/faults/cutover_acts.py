"""What is done to blue and green behind a cutover's back, and steps done wrong."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from muster.cutover.observations import Drained, Raised, Rested
from muster.cutover.ownership import Side
from muster.drill import Context
from muster.errors import SystemFailure
from tasks.handover import passing
from tasks.handover.scene import claims_of, names_of, survey_of
from tasks.schedulers.prefect_api import Address, Api

Act = Callable[[Context], None]


def api_of(context: Context, side: Side) -> Api:
    """A side's server, asked past the drill."""
    return Api(Address(api=str(context.plan.target[side.value]["api"])))


def deployments(context: Context, side: Side) -> list[dict[str, Any]]:
    """The form's deployments there."""
    only = {"deployments": {"tags": {"all_": [context.plan.name]}}, "sort": "NAME_ASC"}
    return list(api_of(context, side).pages("deployments/filter", only))


def _named(context: Context, side: Side, end: str) -> dict[str, Any]:
    return next(row for row in deployments(context, side) if row["name"].endswith(end))


def bring_back(context: Context) -> None:
    """The old scheduler goes on as if nothing had been handed over: somebody resumes all of it."""
    server = api_of(context, Side.A)
    for row in deployments(context, Side.A):
        server.post(f"deployments/{row['id']}/resume_deployment", {})
        server.post(f"deployments/{row['id']}/schedule", {})
        server.patch(f"work_pools/{row['work_pool_name']}", {"is_paused": False})


def reopen(context: Context) -> Rested:
    """In place of the old scheduler's rest: its runs stay, and its pool is opened again."""
    server = api_of(context, Side.A)
    for pool in {row["work_pool_name"] for row in deployments(context, Side.A)}:
        server.patch(f"work_pools/{pool}", {"is_paused": False})
    return Rested(side=Side.A, schedules=0)


def forget_one(context: Context) -> None:
    """One copy is paused by somebody before it begins."""
    row = _named(context, Side.B, "-first")
    api_of(context, Side.B).post(f"deployments/{row['id']}/pause_deployment", {})


def alter(end: str, key: str, value: object) -> Act:
    """One copy's rule is changed: its zone, its anchor."""

    def act(context: Context) -> None:
        row = _named(context, Side.B, end)
        (schedule,) = row["schedules"]
        body = {"schedule": {**schedule["schedule"], key: value}}
        api_of(context, Side.B).patch(f"deployments/{row['id']}/schedules/{schedule['id']}", body)

    return act


def drop_parameters(context: Context) -> None:
    """One copy's parameters are gone."""
    row = _named(context, Side.B, "-second")
    (schedule,) = row["schedules"]
    api_of(context, Side.B).patch(f"deployments/{row['id']}/schedules/{schedule['id']}", {"parameters": {}})
    api_of(context, Side.B).patch(f"deployments/{row['id']}", {"parameters": {}})


def take_up(context: Context) -> None:
    """A second worker of the old scheduler, which asks for runs past the pool, takes some up after it was held.

    What workers could have had in hand was taken back: the old server makes the runs anew first, as it does in time.
    """
    server, border = api_of(context, Side.A), context.result("drain", Drained).watermark
    until = border + timedelta(seconds=8)
    rows = [row["id"] for row in deployments(context, Side.A)]
    for row in rows:
        server.post(f"deployments/{row}/schedule", {"start_time": border.isoformat(), "end_time": until.isoformat()})
    only = {
        "deployment_id": {"any_": rows},
        "expected_start_time": {"after_": border.isoformat(), "before_": until.isoformat()},
        "state": {"type": {"any_": ["SCHEDULED"]}},
    }
    made = list(server.pages("flow_runs/filter", {"flow_runs": only, "sort": "ID_DESC"}))[:3]
    if not made:
        raise SystemFailure("the old server made no run that a worker could take up", "plant the fault in another way")
    for run in made:
        for state in ("PENDING", "RUNNING", "COMPLETED"):
            server.post(f"flow_runs/{run['id']}/set_state", {"state": {"type": state}, "force": True})


def start_a_long_run(context: Context) -> None:
    """A run of the old scheduler that does not end."""
    row = _named(context, Side.A, "-first")
    moment = (survey_of(context).began + timedelta(seconds=1)).replace(microsecond=0, tzinfo=UTC)
    moment -= timedelta(seconds=moment.second % 4)  # one of its due times
    server = api_of(context, Side.A)
    only = {
        "deployment_id": {"any_": [row["id"]]},
        "expected_start_time": {"after_": moment.isoformat(), "before_": datetime.now(UTC).isoformat()},
    }
    run = next(iter(server.pages("flow_runs/filter", {"flow_runs": only, "sort": "ID_DESC"})))
    server.post(f"flow_runs/{run['id']}/set_state", {"state": {"type": "RUNNING"}, "force": True})


def cut_history(context: Context) -> None:
    """The new scheduler's runs are deleted before they are read."""
    server = api_of(context, Side.B)
    only = {
        "deployment_id": {"any_": [row["id"] for row in deployments(context, Side.B)]},
        "state": {"type": {"any_": ["COMPLETED"]}},
    }
    server.post("flow_runs/bulk_delete", {"flow_runs": only, "limit": 5})


def close_early(context: Context) -> None:
    """The old scheduler's workers get nothing any more, some seconds before it is held: due times stay behind."""
    server = api_of(context, Side.A)
    for pool in {row["work_pool_name"] for row in deployments(context, Side.A)}:
        server.patch(f"work_pools/{pool}", {"is_paused": True})
    context.check_may_go_on()
    time.sleep(8.0)


def dawdle(_context: Context) -> None:
    """Nothing happens between hold and release for longer than what was taken up before lasts."""
    time.sleep(12.0)


def put_on_a_tick(context: Context) -> BaseModel:
    """The drain as it is, with a watermark on a due time."""
    drained = passing.drain(context, Side.A, 0)
    whole = drained.watermark.replace(microsecond=0) + timedelta(seconds=1)
    tick = whole + timedelta(seconds=-whole.second % 4)  # the form's first canary is due every four seconds
    return drained.model_copy(update={"watermark": tick, "nearest_tick_seconds": 0.0})


def do_not_fence(context: Context) -> BaseModel:
    """Nobody's epoch ends; the old scheduler's claim is tried all the same."""
    drained = context.result("drain", Drained)
    with claims_of(context) as ledger:
        holder = survey_of(context).holders[Side.A]
        ledger.forget_owners(names_of(context))
        said = ledger.claim_tick(names_of(context)[0], drained.watermark + timedelta(microseconds=7), holder)
        now = ledger.now()
    proof = "granted" if said.granted else "fenced"
    return Raised.model_validate({"wave": 0, "into": Side.B, "raised": now, "schedules": 0, "proof": proof})


class _Ahead:
    """A scheduler whose clock is off."""

    def __init__(self, real: Any, seconds: float) -> None:
        self._real, self._seconds = real, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def now(self) -> datetime | None:
        said = self._real.now()
        return said + timedelta(seconds=self._seconds) if said else None


class _Lying:
    """A scheduler that answers every request to change it, and does nothing."""

    def __init__(self, real: Any, *verbs: str) -> None:
        self._real, self._verbs = real, verbs

    def __getattr__(self, name: str) -> Any:
        return (lambda *_: None) if name in self._verbs else getattr(self._real, name)


def set_clock(context: Context) -> None:
    """The new scheduler's clock is a minute ahead."""
    known = context.target._schedulers
    known[Side.B] = _Ahead(known[Side.B], 60.0)


def never_hold(context: Context) -> None:
    """The old scheduler's adapter says that it holds, and does not."""
    known = context.target._schedulers
    known[Side.A] = _Lying(known[Side.A], "hold", "rest")


def swallow_changes(context: Context) -> None:
    """The new scheduler's server says 200 to the opening of its pools, and leaves them shut."""
    context.target._schedulers[Side.B]._api.patch = lambda *_: None
