"""The account of a cutover: both histories and the claims, read once everything that was due has had its time."""

import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from muster.cutover.expected import doubtful
from muster.cutover.measuring import handovers
from muster.cutover.observations import Reckoned
from muster.cutover.ownership import Side
from muster.cutover.reckoning import Claim, Told, reckon
from muster.cutover.schedule import CalendarRule, Firing, Stage, Tick
from muster.cutover.section import spec_of
from muster.drill import Context
from muster.errors import MusterError
from tasks.handover.scene import active_of, claims_of, names_of, side_of, survey_of, translated
from tasks.handover.ticking import expected

TICKS = "ticks.jsonl"
"""Every run that either scheduler made, as an exhibit."""
_NAP = 1.0


def account(context: Context) -> Reckoned:
    """Wait until what was due is over, read everything, and account for every due time."""
    spec, survey, schedules = spec_of(context.plan), survey_of(context), active_of(context)
    with claims_of(context) as ledger:
        ended = ledger.now()
        due = expected(schedules, side_of(context, Side.A), survey.began, ended)
        names = names_of(context)

        def claimed() -> set[Tick]:
            return {Tick(c.schedule, c.at) for c in ledger.claims_between(names, survey.began, ended)}

        firings = _settled(context, due, survey.began, ended, claimed if spec.guarded else None)
        claims = ledger.claims_between(names, survey.began, ended)
        refusals = ledger.refusals_between(names, survey.began, ended)
    _keep(context, firings)
    waves = [frozenset(wave) for wave in survey.waves]
    return reckon(
        Told(
            began=survey.began,
            ended=ended,
            schedules=schedules,
            expected=due,
            doubtful=frozenset(_doubts(context, survey.began, ended)),
            firings=firings,
            claims=[Claim(Tick(c.schedule, c.at), c.holder) for c in claims],
            refused=[Claim(Tick(r.schedule, r.at), r.holder) for r in refusals],
            holders=survey.holders,
            handovers=[(one, waves[one.drained.wave]) for one in handovers(context.history)],
            guarded=spec.guarded,
            late=spec.late,
            order=spec.order,
            translated=translated(context)[1],
        )
    )


def _settled(
    context: Context, due: list[Tick], began: datetime, ended: datetime, claimed: Callable[[], set[Tick]] | None
) -> dict[Side, tuple[Firing, ...] | None]:
    """Both histories, once every due time was taken up and is over, or has had its time.

    Where a history says not so much, claims do: of what is in none, and of what begins and is then not told of.
    """
    deadline = time.monotonic() + min(spec_of(context.plan).late.total_seconds(), context.seconds_left)
    while True:
        found = {side: _history(context, side, began, ended) for side in Side}
        taken = [f for firings in found.values() for f in firings or () if f.stage.is_taken]
        known, untold = {f.tick for f in taken}, {f.tick for f in taken if f.stage is Stage.BEGUN}
        is_blind = None in found.values()
        if claimed and (is_blind or untold):
            known, untold = known | (told := claimed()), untold - told
            is_blind = False
        is_over = set(due) <= known and not (claimed and untold) and all(f.stage.is_over for f in taken)
        if is_over or is_blind or time.monotonic() > deadline:
            return found
        context.check_may_go_on()
        time.sleep(_NAP)


def _history(context: Context, side: Side, began: datetime, ended: datetime) -> tuple[Firing, ...] | None:
    try:
        return side_of(context, side).history(names_of(context), began, ended)
    except MusterError:
        return None


def _doubts(context: Context, began: datetime, ended: datetime) -> list[Tick]:
    dialect = side_of(context, Side.A).dialect
    return [
        Tick(schedule.name, at)
        for schedule in active_of(context)
        if not isinstance(schedule.rule, CalendarRule)
        for at in doubtful(schedule.rule, dialect, began, ended + timedelta(microseconds=1))
    ]


def _keep(context: Context, firings: dict[Side, tuple[Firing, ...] | None]) -> None:
    """Without parameters: they are the team's own."""
    context.workspace.exhibits.mkdir(parents=True, exist_ok=True)
    with (context.workspace.exhibits / TICKS).open("w", encoding="utf-8") as file:
        for side, found in firings.items():
            for firing in found or ():
                file.write(json.dumps({"side": side, **firing.model_dump(mode="json", exclude={"parameters"})}) + "\n")
