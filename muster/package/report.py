"""The report: what a package shows and does not show, for a person who decides whether to sample further.

Promises: what is missing stands first, in red; a run supports a control or does not show it, never more; what is
counted instead of listed is said to be, with the file that lists it; HTML and PDF are drawn from this one document.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from muster.deck.wording import day, measured_beside_objective, minute
from muster.package.contents import Contents
from muster.package.controlpart import controls_section
from muster.package.document import Cell, Column, Count, Document, Section, Table, Tone
from muster.package.population import PlanAccount
from muster.package.provenance import clock, provenance
from muster.package.rows import OPEN, UNSEALED, Row
from muster.quantity import count_of
from muster.verdict import Outcome

TONES = {
    Outcome.PASSED: Tone.PASS,
    Outcome.FAILED: Tone.FAIL,
    Outcome.MISSED: Tone.FAIL,
    UNSEALED: Tone.FAIL,
    Outcome.INCONCLUSIVE: Tone.INCONCLUSIVE,
    Outcome.ABORTED: Tone.INCONCLUSIVE,
    Outcome.REFUSED: Tone.INCONCLUSIVE,
    Outcome.WAIVED: Tone.INCONCLUSIVE,
    OPEN: Tone.INCONCLUSIVE,
}
MOST = 1_000
"""Rows of a table; what is beyond is counted, and stands in population.json."""
UNRELIABLE = "not to be relied on"
"""Stands beside the outcome of a record with a problem, and is counted in its place."""


def build_report(contents: Contents) -> Document:
    """The document."""
    population = contents.population
    return Document(
        kind=f"release package {contents.release}",
        name=contents.name,
        heading=_heading(contents),
        tone=_tone((*population.rows, *population.gaps)),
        sentences=tuple(_sentences(contents)),
        when=f"{_span(contents)} · as of {minute(population.made_at)}, when the newest of"
        f" {count_of(contents.log.size, 'entry', 'entries')} was logged",
        counts=tuple(_counts(population.rows)),
        sections=tuple(section for section in _sections(contents) if section),
        footer=(
            f"Drawn by Muster {contents.muster} from the sealed bundles and the log in this package. They are the"
            " proof; this is one reading of them. README.txt says how to check them without trusting it.",
        ),
    )


def tone_of(row: Row) -> Tone:
    """A row with a problem is red whatever its outcome says."""
    return Tone.FAIL if row.problems else TONES.get(row.outcome, Tone.FAIL)


def word_of(row: Row) -> str:
    """The outcome by which a row is counted."""
    return UNRELIABLE if row.problems and row.entry else row.outcome


def _counts(rows: Sequence[Row]) -> Iterator[Count]:
    counts = Counter(map(word_of, rows))
    known = [word for word in (UNSEALED, UNRELIABLE, *TONES) if counts[word]]
    for word in dict.fromkeys([*known, *sorted(counts)]):
        yield Count(counts[word], word, TONES.get(word, Tone.FAIL))


def _heading(contents: Contents) -> str:
    rows = contents.population.rows
    if not rows:
        return "Nothing was due"
    return f"{sum(row.passed for row in rows):,} of {len(rows):,} passed"


def _tone(rows: Sequence[Row]) -> Tone:
    tones = {tone_of(row) for row in rows} or {Tone.INCONCLUSIVE}
    return next(tone for tone in (Tone.FAIL, Tone.INCONCLUSIVE, Tone.PASS) if tone in tones)


def _span(contents: Contents) -> str:
    period = contents.period
    return f"Due from {minute(period.start)} to before {minute(period.end)}"


def _sentences(contents: Contents) -> Iterator[str]:
    yield contents.population.says
    if not contents.has_ended:
        yield "The period was not over when the package was made."
    supported = sum(bool(row.supports) for row in contents.matrix)
    named = sum(bool(row.plans) for row in contents.matrix)
    yield f"Runs of the period support {supported:,} of {count_of(named, 'control', 'controls')} that plans name."


def _sections(contents: Contents) -> Iterator[Section | None]:
    population = contents.population
    yield _wrong(contents)
    yield _open([*(row for row in population.carried if row.outcome == OPEN), *population.open])
    yield _not_passed(population.rows)
    yield _waivers([row for row in population.rows if row.outcome == Outcome.WAIVED])
    yield _late(population.late)
    yield controls_section(contents.matrix)
    yield _plans(contents)
    yield from provenance(contents)
    yield _slots(sorted(population.rows, key=lambda row: (row.at, row.plan)))


def _wrong(contents: Contents) -> Section:
    population = contents.population
    rows = [*population.gaps, *population.troubled]
    if not rows:
        said = (
            "Nothing: every due time of the period has one sealed record, and each record is what the log says it is."
            if population.rows
            else population.says
        )
        return Section("wrong", "Missing, or not to be relied on", (said,))
    columns = (Column("Due, UTC", 18), Column("Plan", 20), Column("Record", 22), Column("What is wrong", 40))
    table = _table(
        columns, [(_due(row), Cell(row.plan), _record(row), Cell(_first(row), more=row.problems[1:])) for row in rows]
    )
    return Section("wrong", "Missing, or not to be relied on", table=table, note=_beyond(rows), is_bad=True)


def _first(row: Row) -> str:
    return row.problems[0] if row.problems else ""


def _record(row: Row) -> Cell:
    if row.entry is None:
        return Cell("unsealed", Tone.FAIL)
    return Cell(f"says {row.outcome}", tone_of(row), more=(f"entry {row.index}", row.entry.run))


def _open(rows: Sequence[Row]) -> Section | None:
    if not rows:
        return None
    table = _table((Column("Due, UTC", 30), Column("Plan", 70)), [(_due(row), Cell(row.plan)) for row in rows])
    said = "These could still be run or recorded when the package was made; the next package tells how they ended."
    return Section("open", "Not over yet", (said,), table=table, note=_beyond(rows))


def _not_passed(rows: Sequence[Row]) -> Section | None:
    found = [
        row for row in rows if row.entry and row.outcome not in (Outcome.PASSED, Outcome.WAIVED) and not row.problems
    ]
    if not found:
        return None
    columns = (Column("Due, UTC", 18), Column("Plan", 20), Column("Outcome", 14), Column("What was seen", 48))
    told = [(_due(row), Cell(row.plan, more=(row.run or "",)), _outcome(row), _seen(row)) for row in found[:MOST]]
    return Section("not-passed", "What did not pass", table=_table(columns, told), note=_beyond(found))


def _seen(row: Row) -> Cell:
    against = row.sealed.against if row.sealed else ()
    headline = row.sealed.headline if row.sealed else ""
    return Cell(headline, more=tuple(f"{each.check}: {each.verdict}, {each.seen}" for each in against[:3]))


def _waivers(rows: Sequence[Row]) -> Section | None:
    if not rows:
        return None
    columns = (
        Column("Due, UTC", 18),
        Column("Plan", 20),
        Column("Waived by", 18),
        Column("Reason", 26),
        Column("Until, UTC", 18),
    )
    told = []
    for row in rows[:MOST]:
        waiver = row.waiver
        told.append((
            _due(row),
            Cell(row.plan),
            Cell(waiver.owner if waiver else "nobody that the record names", Tone.PLAIN if waiver else Tone.FAIL),
            Cell(waiver.reason if waiver else "none given"),
            Cell(clock(waiver.until) if waiver and waiver.until else "no end given"),
        ))  # fmt: skip
    return Section("waivers", "Waived", table=_table(columns, told), note=_beyond(rows))


def _late(rows: Sequence[Row]) -> Section | None:
    if not rows:
        return None
    said = (
        "They are of an earlier period and reached the log after its package was made; they count for no control here."
    )
    return Section("late", "Sealed since the package before", (said,), table=_every(rows), note=_beyond(rows))


def _plans(contents: Contents) -> Section | None:
    plans = [plan for plan in contents.population.plans if plan.counts or plan.retired_at is None]
    if not plans:
        return None
    columns = (
        Column("Plan", 24), Column("Cadence", 24), Column("Passed", 12), Column("Not passed", 16),
        Column("Longest RTO", 12), Column("Longest RPO", 12),
    )  # fmt: skip
    of_plan: dict[str, list[Row]] = {}
    for row in contents.population.rows:
        of_plan.setdefault(row.plan, []).append(row)
    told = [_plan(plan, of_plan.get(plan.name, [])) for plan in plans]
    note = "RTO and RPO are the longest that a run of the period measured, beside the objective of that run's plan."
    return Section("plans", "Plans", table=_table(columns, told), note=note)


def _plan(plan: PlanAccount, rows: Sequence[Row]) -> tuple[Cell, ...]:
    passed = sum(row.passed for row in rows)
    counts = Counter(map(word_of, rows))
    others = ", ".join(f"{count:,} {word}" for word, count in sorted(counts.items()) if word != Outcome.PASSED)
    retired = (f"removed {day(plan.retired_at)}",) if plan.retired_at else ()
    return (
        Cell(plan.name, more=(", ".join(filter(None, (plan.kind, plan.owner))), *retired)),
        Cell(plan.cadence or "not known"),
        Cell(f"{passed:,} of {len(rows):,}"),
        Cell(others or "none"),
        Cell(_longest(rows, "RTO")),
        Cell(_longest(rows, "RPO")),
    )


def _longest(rows: Sequence[Row], name: str) -> str:
    found = [
        measure for row in rows if row.sealed and (measure := row.sealed.measured(name)) and measure.seconds is not None
    ]
    if not found:
        return "not measured"
    longest = max(found, key=lambda measure: measure.seconds or 0.0)
    return measured_beside_objective(longest.seconds, longest.objective)


def _slots(rows: Sequence[Row]) -> Section | None:
    if not rows:
        return None
    said = "Every due time of the period and every run on demand, each with its entry in the log."
    return Section("slots", "The population", (said,), table=_every(rows), note=_beyond(rows))


def _every(rows: Sequence[Row]) -> Table:
    columns = (
        Column("Due, UTC", 18),
        Column("Plan", 22),
        Column("Outcome", 16),
        Column("Run", 34),
        Column("Entry", 10, True),
    )
    return _table(columns, [
        (_due(row), Cell(row.plan), _outcome(row), Cell(row.run or "none", more=row.remarks, is_code=bool(row.run)),
         Cell("none" if row.index is None else f"{row.index}"))
        for row in rows[:MOST]
    ])  # fmt: skip


def _due(row: Row) -> Cell:
    return Cell(clock(row.at), more=() if row.is_due else ("on demand",))


def _outcome(row: Row) -> Cell:
    told = f"{row.outcome}, {UNRELIABLE}" if word_of(row) == UNRELIABLE else row.outcome
    return Cell(told, tone_of(row))


def _table(columns: tuple[Column, ...], rows: Sequence[tuple[Cell, ...]]) -> Table:
    return Table(columns, tuple(islice(rows, MOST)))


def _beyond(rows: Sequence[Row]) -> str:
    if len(rows) <= MOST:
        return ""
    return f"{len(rows) - MOST:,} more are counted above and listed in population.json."
