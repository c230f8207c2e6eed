"""One control on one or two pages, from what a sealed package says of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from muster.package.document import Cell, Column, Document, Section, Table, Tone
from muster.package.report import MOST, TONES
from muster.quantity import count_of

_SUPPORTS = "supports"


def summary_of(
    package: str, population: Mapping[str, Any], control: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]
) -> Document:
    """The document. `control` is a row of `controls.json`; `runs` are rows of the plans that name it."""
    supports = len(control["supports"])
    heading = count_of(supports, "run supports it", "runs support it") if supports else "No run supports it"
    return Document(
        kind=f"{control['control']}, {control['framework']}",
        name=control["control"],
        heading=heading,
        tone=Tone.PASS if supports and not control["doesNotShow"] else Tone.INCONCLUSIVE,
        sentences=(f"It asks: {control['asks']}.", "Whether it is met is for its auditor."),
        when=f"Due from {population['from']} to before {population['until']}, as of {population['madeAt']}",
        sections=(_control(control), _lacks(control), _runs(runs)),
        footer=(
            f"Drawn from the release package {package}, which is sealed; this page is not. The package holds each"
            " bundle or its digest, and says in README.txt how to check it.",
        ),
    )


def _control(control: Mapping[str, Any]) -> Section:
    cadences = [f"{each['plan']}: {each['cadence'] or 'not known'}" for each in control["ourCadence"]]
    minimum = control["minimumDays"]
    check = "second-hand: check the text before quoting" if control["isSecondary"] else ""
    return Section("control", "The control", facts=(
        ("Source", Cell(control["source"], more=(check,) if check else ())),
        ("At least every", Cell(f"{minimum} days" if minimum else "it names no interval")),
        ("Evidence for it", Cell(", ".join(f"{kind} drills" for kind in control["kinds"]) or "any drill that passes")),
        ("We drill", Cell(cadences[0], more=tuple(cadences[1:]))),
    ))  # fmt: skip


def _lacks(control: Mapping[str, Any]) -> Section:
    lacks = control["doesNotShow"]
    said = tuple(f"{lack}." for lack in lacks) or ("Nothing that was due is missing.",)
    return Section("lacks", "What is not shown", said, is_bad=bool(lacks))


def _runs(runs: Sequence[Mapping[str, Any]]) -> Section:
    columns = (
        Column("Due", 20), Column("Plan", 20), Column("Outcome", 16), Column("For this control", 16),
        Column("Bundle", 28),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(run["due"] or "", more=(f"entry {run['entry']}",) if run["entry"] != "" else ()),
            Cell(run["plan"]),
            Cell(run["outcome"], Tone.FAIL if run["problems"] else TONES.get(run["outcome"], Tone.FAIL)),
            Cell(run["supports"], Tone.PASS if run["supports"] == _SUPPORTS else Tone.INCONCLUSIVE),
            Cell(run["sha256"] or "none", more=(run["where"],), is_code=bool(run["sha256"])),
        )
        for run in sorted(runs, key=lambda run: (run["due"], run["plan"]))[:MOST]
    )
    beyond = f"{len(runs) - MOST:,} more are listed in runs.csv." if len(runs) > MOST else ""
    table = Table(columns, rows) if rows else None
    said = () if rows else ("Nothing was due in the period.",)
    return Section("runs", "Every due time of the plans that name it", said, table=table, note=beyond)
