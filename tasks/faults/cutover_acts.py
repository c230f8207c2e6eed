"""What is done to blue and green behind a cutover's back, and steps done wrong."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from muster.cutover.observations import Drained, Raised, Rested
from muster.cutover.ownership import Side
from muster.cutover.schedule import Firing, Tick
from muster.cutover.watermark import Border, border
from muster.drill import Context
from muster.errors import StepError
from tasks.handover import passing
from tasks.handover.scene import claims_of, names_of, survey_of
from tasks.schedulers.prefect_api import Address, Api

Act = Callable[[Context], None]
_TAKEN_UP = timedelta(seconds=8)
"""A worker that polls every second has taken something up that is due every few seconds."""
_NAP = 0.25


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


def forget(end: str) -> Act:
    """One copy is paused by somebody before it begins."""

    def act(context: Context) -> None:
        row = _named(context, Side.B, end)
        api_of(context, Side.B).post(f"deployments/{row['id']}/pause_deployment", {})

    return act


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


def make_anew(context: Context) -> None:
    """The old scheduler's server makes again what was taken back, as it does in time, before it is put to rest.

    Its own worker is given none of it, since its pool is shut. A worker that asks past the pool has time to.
    """
    server, border = api_of(context, Side.A), context.result("drain", Drained).watermark
    until = border + _TAKEN_UP
    for row in deployments(context, Side.A):
        span = {"start_time": border.isoformat(), "end_time": until.isoformat()}
        server.post(f"deployments/{row['id']}/schedule", span)
    with claims_of(context) as ledger:
        while ledger.now() < until:
            context.check_may_go_on()
            time.sleep(_NAP)


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


def break_off(context: Context) -> None:
    """The handover stands still, and then breaks off."""
    dawdle(context)
    raise StepError("the handover was made to break off", "it was planted")


def put_on_a_tick(context: Context) -> BaseModel:
    """The drain as it is, but for where it draws the line: on the next due time."""
    return passing.drain(context, Side.A, 0, _on_the_next_tick)


def _on_the_next_tick(due: Sequence[Tick], firings: Iterable[Firing], held: datetime, look_back: timedelta) -> Border:
    line = border(due, firings, held, look_back)
    return replace(line, watermark=next(tick.at for tick in due if tick.at > line.watermark))


def lose_an_epoch(context: Context) -> None:
    """The ledger says that it raised every epoch, and keeps all but one."""
    lost = next(name for name in names_of(context) if name.endswith("-second"))
    when = f"NEW.schedule = '{lost}' AND NEW.holder = '{survey_of(context).holders[Side.B]}'"
    with claims_of(context) as ledger, ledger.engine.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE TRIGGER lost_epoch BEFORE INSERT ON owners WHEN {when} BEGIN SELECT RAISE(IGNORE); END"
        )


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


class _Lying:
    """A scheduler that answers every request to change it, and does nothing."""

    def __init__(self, real: Any, *verbs: str) -> None:
        self._real, self._verbs = real, verbs

    def __getattr__(self, name: str) -> Any:
        return (lambda *_: None) if name in self._verbs else getattr(self._real, name)


def never_hold(context: Context) -> None:
    """The old scheduler's adapter says that it holds, and does not."""
    known = context.target._schedulers
    known[Side.A] = _Lying(known[Side.A], "hold", "rest")


def swallow_changes(context: Context) -> None:
    """The new scheduler's server says 200 to the opening of its pools, and leaves them shut."""
    context.target._schedulers[Side.B]._api.patch = lambda *_: None
