"""The plans of the portal: every one that a file, the ledger or the log knows, with its due times.

Promises: a due time is a gap here exactly when it is one in a package made at the same moment, since both ask the
package's population; what is to come is what the plan's cadence of today names.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

from evidence.plans import LoggedStatement
from muster.cadence.spec import Cadence
from muster.cadence.ticks import ticks
from muster.cards import PlanCard
from muster.ledger.standing import Standing
from muster.package.period import Period
from muster.package.population import PlanAccount, Population
from muster.package.rows import OPEN
from muster.package.sealed import cadence_in
from muster.portal.model import PortalPlan, Slot

ALL_TIME = Period("all", datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC))
AHEAD = timedelta(days=400)
"""How far the calendar looks ahead, for a yearly cadence to show its next slot."""
MOST_AHEAD = 12
"""Slots to come that a plan shows at most."""


def plans_of(
    population: Population,
    cards: Sequence[PlanCard],
    standings: Sequence[Standing],
    statements: Mapping[str, Sequence[LoggedStatement]],
) -> tuple[PortalPlan, ...]:
    """Every plan by name, of a population of all time; `statements` are the log's, by plan."""
    by_name, known = {card.name: card for card in cards}, {standing.plan: standing for standing in standings}
    slots: dict[str, dict[datetime, Slot]] = defaultdict(dict)
    for row in (*population.rows, *population.open):
        if row.is_due:
            slots[row.plan][row.at] = Slot(row.at, is_open=row.outcome == OPEN)
    return tuple(
        _plan(
            account,
            by_name.get(account.name),
            _current(account, by_name.get(account.name), known.get(account.name), statements.get(account.name, ())),
            slots[account.name],
            population.as_of,
        )
        for account in population.plans
    )


def problems_of(population: Population) -> dict[int, tuple[str, ...]]:
    """Why a run shows nothing in a package, by its entry."""
    return {row.index: row.problems for row in population.rows if row.index is not None and row.problems}


def _plan(
    account: PlanAccount,
    card: PlanCard | None,
    current: Cadence | None,
    slots: Mapping[datetime, Slot],
    at: datetime,
) -> PortalPlan:
    return PortalPlan(
        name=account.name,
        kind=account.kind,
        cadence=account.cadence,
        controls=account.controls,
        current=current,
        since=account.since,
        is_gone=card is None,
        retired_at=None if card else account.retired_at,
        slots=(*(slots[due] for due in sorted(slots)), *(_to_come(current, at) if current else ())),
    )


def _current(
    account: PlanAccount,
    card: PlanCard | None,
    standing: Standing | None,
    statements: Sequence[LoggedStatement],
) -> Cadence | None:
    """By which the plan is due from now on; none of one that is retired, or of which records alone are left."""
    if card:
        return card.cadence()
    if account.retired_at:
        return None
    if standing and standing.cadence:
        return Cadence.recorded(standing.cadence)
    return cadence_in(statements[-1].said.cadence) if statements else None


def _to_come(cadence: Cadence, at: datetime) -> Iterator[Slot]:
    for due in islice(takewhile(lambda tick: tick <= at + AHEAD, ticks(cadence, at)), MOST_AHEAD):
        yield Slot(due, is_open=True)
