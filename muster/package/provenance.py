"""What the report tells beside the drills: when the entries were there, how they are kept, what was seen in between.

Promise: what nobody but the writer vouches for is said to be so, never left out.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from muster.deck.wording import day, minute
from muster.ledger.rows import Alert
from muster.package.contents import Contents
from muster.package.document import Cell, Column, Section, Table, Tone
from muster.quantity import count_of, format_bytes

_MOST = 200


def clock(at: datetime) -> str:
    """A UTC date and time of day, for columns that say so."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


def provenance(contents: Contents) -> Iterator[Section | None]:
    """The sections, in order."""
    yield _times(contents)
    yield _witnesses(contents)
    yield _kept(contents)
    yield _linked(contents)
    yield _looks(contents)
    yield _incidents(contents)
    yield _proofs(contents)
    yield _package(contents)


def _times(contents: Contents) -> Section:
    title, size, anchored = "When the entries were there", contents.log.size, contents.anchored
    if not contents.anchors:
        said = (
            "No authority outside gave a time-stamp of the log: that entries are as old as they say, only the notary's"
            " own clock shows."
        )
        return Section("times", title, (said,))
    columns = (Column("Head of", 24), Column("Authority", 38), Column("Time, UTC", 38))
    table = Table(columns, tuple(
        (Cell(count_of(anchor.size, "entry", "entries")), Cell(anchor.authority),
         Cell(clock(anchor.at)) if anchor.at else Cell("not checked when the package was made", Tone.INCONCLUSIVE))
        for anchor in contents.anchors[-_MOST:]
    ))  # fmt: skip
    covered = f"Entries 0 to {anchored - 1} existed by the time of a time-stamp that was checked." if anchored else ""
    rest = (
        f"Entries {anchored} to {size - 1} have none: for them only the notary's own clock shows it."
        if anchored < size
        else ""
    )
    return Section("times", title, tuple(filter(None, (covered, rest))), table=table)


def _witnesses(contents: Contents) -> Section:
    title = "Who else saw the log"
    if not contents.cosignatures:
        said = (
            "No witness cosigned a head: that nobody was shown another log than this one, only its holder vouches for."
        )
        return Section("witnesses", title, (said,))
    table = Table(
        (Column("Head of", 30), Column("Witness", 70)),
        tuple(
            (Cell(count_of(each.size, "entry", "entries")), Cell(each.witness))
            for each in contents.cosignatures[-_MOST:]
        ),
    )
    return Section("witnesses", title, table=table)


def _kept(contents: Contents) -> Section | None:
    runs = (*contents.copied, *contents.linked)
    if not runs:
        return None
    held = [contents.receipts[run.key] for run in runs if run.key in contents.receipts]
    modes = Counter(receipt.held.lock_mode or "" for receipt in held)
    facts = [(f"Locked ({mode})", Cell(_locked(contents, mode, modes[mode]))) for mode in sorted(filter(None, modes))]
    if modes[""]:
        facts.append(
            (
                "Not locked",
                Cell(f"{count_of(modes[''], 'bundle', 'bundles')}: whoever may write could delete", Tone.INCONCLUSIVE),
            )
        )
    if without := len(runs) - len(held):
        facts.append(
            (
                "No receipt",
                Cell(f"{count_of(without, 'bundle', 'bundles')}: nothing says what the store holds", Tone.INCONCLUSIVE),
            )
        )
    said = "What the store said of each bundle of the period when it was put there, as its signed receipt has it."
    return Section("kept", "How the bundles are kept", (said,), tuple(facts))


def _locked(contents: Contents, mode: str, count: int) -> str:
    ends = [receipt.held.locked_until for receipt in contents.receipts.values() if receipt.held.lock_mode == mode]
    until = [end for end in ends if end]
    return (
        f"{count_of(count, 'bundle', 'bundles')}, until {day(min(until))} at least"
        if until
        else count_of(count, "bundle", "bundles")
    )


def _linked(contents: Contents) -> Section | None:
    if not contents.linked:
        return None
    columns = (Column("Bundle", 40), Column("Size", 12, True), Column("SHA-256", 48))
    table = Table(columns, tuple(
        (Cell(run.key, is_code=True), Cell(format_bytes(run.size)), Cell(run.sha256, is_code=True))
        for run in contents.linked[:_MOST]
    ))  # fmt: skip
    said = "Too large for the package: links.json says where they are, and by which digest to know them."
    beyond = f"{len(contents.linked) - _MOST:,} more are listed in links.json." if len(contents.linked) > _MOST else ""
    return Section("linked", "Bundles by link", (said,), table=table, note=beyond)


def _looks(contents: Contents) -> Section:
    telemetry = contents.telemetry
    said = ["A look harms nothing and proves nothing: it supports no control. Each stands in telemetry/readiness.json."]
    if telemetry.looks_since:
        said.append(f"Looks from before {minute(telemetry.looks_since)} were not kept.")
    if not telemetry.looked:
        return Section("looks", "Readiness between drills", (*said, "There is no look of the period."))
    columns = (
        Column("Plan", 28), Column("Ready", 10, True), Column("Not ready", 12, True), Column("Not seen", 10, True),
        Column("First, UTC", 20), Column("Last, UTC", 20),
    )  # fmt: skip
    table = Table(columns, tuple(
        (Cell(plan), *(Cell(f"{looked.counts[word]:,}") for word in ("pass", "fail", "inconclusive")),
         Cell(clock(looked.first)), Cell(clock(looked.last)))
        for plan, looked in sorted(telemetry.looked.items())
    ))  # fmt: skip
    return Section("looks", "Readiness between drills", tuple(said), table=table)


def _incidents(contents: Contents) -> Section:
    alerts = contents.telemetry.alerts
    if not alerts:
        return Section("incidents", "Incidents", ("Nobody was told of anything in the period.",))
    columns = (Column("Since, UTC", 18), Column("Until, UTC", 18), Column("What", 24), Column("In words", 40))
    table = Table(columns, tuple(map(_incident, alerts[:_MOST])))
    beyond = f"{len(alerts) - _MOST:,} more stand in telemetry/incidents.json." if len(alerts) > _MOST else ""
    return Section(
        "incidents",
        "Incidents",
        ("Conditions that people were told of and that held in the period.",),
        table=table,
        note=beyond,
    )


def _incident(alert: Alert) -> tuple[Cell, ...]:
    what = Cell(f"{alert.subject}: {alert.condition}", more=(alert.severity,))
    return Cell(clock(alert.since)), Cell(_until(alert.resolved_at)), what, Cell(alert.words)


def _until(moment: datetime | None) -> str:
    return clock(moment) if moment else "not over"


def _proofs(contents: Contents) -> Section:
    proofs, title = contents.telemetry.proofs, "What the checks can catch"
    if not proofs:
        said = (
            "No negative control was run in the period or before it: nothing here shows that the checks catch faults."
        )
        return Section("proofs", title, (said,))
    columns = (
        Column("Kind of drill", 25),
        Column("Run at, UTC", 25),
        Column("Planted faults caught", 25),
        Column("Healthy forms passed", 25),
    )
    table = Table(columns, tuple(
        (Cell(proof.kind), Cell(clock(proof.at)), _of(proof.caught, proof.planted), _of(proof.quiet, proof.healthy))
        for proof in proofs[-_MOST:]
    ))  # fmt: skip
    said = "Drills against planted faults that they must catch, and against healthy forms that must pass."
    return Section("proofs", title, (said,), table=table)


def _of(count: int, whole: int) -> Cell:
    return Cell(f"{count:,} of {whole:,}", Tone.PASS if count == whole and whole else Tone.FAIL)


def _package(contents: Contents) -> Section:
    log, previous = contents.log, contents.previous
    before = Cell(previous.name, more=(f"SHA-256 {previous.sha256}",)) if previous else Cell("none")
    return Section("package", "The package", facts=(
        ("Name", Cell(contents.name)),
        ("Bundles in it", Cell(f"{len(contents.copied):,}")),
        ("Bundles by link", Cell(f"{len(contents.linked):,}")),
        ("Log", Cell(log.origin, more=(f"began {minute(log.began_at)}",))),
        ("Head", Cell(count_of(log.size, "entry", "entries"), more=(f"root {log.root}",))),
        ("The package before", before),
        ("Made by", Cell(f"Muster {contents.muster}")),
    ))  # fmt: skip
