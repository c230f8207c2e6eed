"""The report's section about controls: what each asks, and what the runs of the period show and do not show of it."""

from collections.abc import Sequence

from muster.deck.wording import day
from muster.package.controls import NOTE, ControlRow
from muster.package.document import Cell, Column, Section, Table, Tone
from muster.package.population import PlanAccount
from muster.quantity import count_of

_MOST_LACKS = 6
_MOST_NAMED = 5


def controls_section(matrix: Sequence[ControlRow]) -> Section:
    """Every control that a plan names as a row; the others by name."""
    columns = (
        Column("Control", 17), Column("Asks for", 27), Column("At least every", 10), Column("We drill", 18),
        Column("Runs of the period", 28),
    )  # fmt: skip
    told = [_control(row) for row in matrix if row.plans]
    rest = [row for row in matrix if not row.plans]
    unnamed = ", ".join(row.control.id for row in rest if row.control.kinds) or "none"
    no_drill = ", ".join(row.control.id for row in rest if not row.control.kinds) or "none"
    paragraphs = (NOTE, *(() if told else ("No plan names a control.",)))
    note = f"No plan names, and so nothing here shows: {unnamed}. No drill of Muster is evidence for: {no_drill}."
    return Section("controls", "Controls", paragraphs, table=Table(columns, tuple(told)) if told else None, note=note)


def _control(row: ControlRow) -> tuple[Cell, ...]:
    control = row.control
    source = f"{control.source}; second-hand: check the text before quoting" if control.is_secondary else control.source
    return (
        Cell(control.id, more=(control.framework,)),
        Cell(control.words, more=(source,)),
        Cell(f"{control.days} days" if control.days else "names no interval"),
        _cadences(row.plans),
        _support(row),
    )


def _cadences(plans: Sequence[PlanAccount]) -> Cell:
    """Each cadence once, with the plans that have it."""
    names: dict[str, list[str]] = {}
    for plan in plans:
        names.setdefault(plan.cadence or "cadence not known", []).append(plan.name)
    told = [line for cadence, of in names.items() for line in (cadence, _few(of))]
    return Cell(told[0], more=tuple(told[1:]))


def _few(names: Sequence[str]) -> str:
    beyond = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + beyond


def _support(row: ControlRow) -> Cell:
    lacks = [f"does not show: {lack}" for lack in row.lacks[:_MOST_LACKS]]
    if len(row.lacks) > _MOST_LACKS:
        lacks.append(f"and {len(row.lacks) - _MOST_LACKS} more in controls.json")
    if not row.supports:
        return Cell("does not show it", Tone.INCONCLUSIVE, lacks=tuple(lacks))
    newest = max(row.supports, key=lambda each: each.at)
    told = count_of(len(row.supports), "run supports it", "runs support it")
    return Cell(told, Tone.PASS, (f"newest: {day(newest.at)}, entry {newest.index}",), tuple(lacks))
