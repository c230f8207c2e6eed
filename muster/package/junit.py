"""The population as JUnit XML: a suite a plan, a case a due time or a run.

Promises: only a pass that can be relied on is a case without a fault. What was tested and not kept, or not tested when
it was due, is a failure; what shows nothing either way is an error; nothing is `skipped`.
"""

from collections.abc import Iterable
from xml.etree import ElementTree as xml

from muster.package.contents import Contents
from muster.package.document import Tone, line
from muster.package.log import written
from muster.package.report import tone_of
from muster.package.rows import Row
from muster.report.junit import add_suite, new_document, write_document


def render_junit(contents: Contents) -> str:
    """The document; `time` of a case is the RTO that it measured."""
    root, by_plan = new_document(), dict[str, list[Row]]()
    for row in (*contents.population.rows, *contents.population.open):
        by_plan.setdefault(row.plan, []).append(row)
    for plan, rows in sorted(by_plan.items()):
        add_suite(root, line(plan), contents.log.made_at, map(_case, rows))
    return write_document(root)


def _case(row: Row) -> xml.Element:
    measured = row.sealed.measured("RTO") if row.sealed else None
    case = xml.Element(
        "testcase",
        classname=f"muster.{line(row.kind) or 'unknown'}",
        name=f"{line(row.plan)} {written(row.at)}",
        time=f"{measured.seconds if measured and measured.seconds else 0:.3f}",
    )
    told = "\n".join(map(line, _told(row)))
    if row.passed:
        xml.SubElement(case, "system-out").text = told
    else:
        tag = "failure" if tone_of(row) is Tone.FAIL else "error"
        xml.SubElement(case, tag, type=line(row.outcome), message=line(_first(row))).text = told
    return case


def _first(row: Row) -> str:
    headline = row.sealed.headline if row.sealed else ""
    return next(filter(None, (*row.problems, headline)), row.outcome)


def _told(row: Row) -> Iterable[str]:
    yield f"outcome: {row.outcome}"
    if row.sealed:
        yield row.sealed.headline
        yield f"controls: {', '.join(row.sealed.controls) or 'none named'}"
    yield from row.problems
    yield from row.remarks
    if row.entry:
        yield f"run: {row.entry.run}"
        yield f"evidence: {row.entry.key}, SHA-256 {row.entry.sha256}, entry {row.entry.index}"
