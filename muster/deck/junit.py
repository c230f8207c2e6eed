"""The deck as JUnit XML, the one report that every CI shows: a suite a kind of drill, a case a plan.

Promises: every expected drill is a case; what is not healthy fails or errs, and nothing is `skipped`, which most CIs
show as good: `failing` and `overdue` are failures (a promise was tested, or was to be, and not kept), `never` and
`changed` are errors (nothing shows what was promised). `due` is healthy until its grace is over. What was seen of
targets between drills has cases of its own: `not ready` fails, `not seen` errs, and neither says that a drill did.
"""

from collections.abc import Iterable
from xml.etree import ElementTree as xml

from muster.cadence.states import State
from muster.deck import wording
from muster.deck.model import Deck, Row, Trouble
from muster.readiness.states import Readiness, Ready
from muster.report.junit import add_suite, new_document, write_document

_VERDICTS = {State.FAILING: "failure", State.OVERDUE: "failure", State.NEVER: "error", State.CHANGED: "error"}
_SEEN = {Readiness.NOT_READY: "failure", Readiness.NOT_SEEN: "error"}


def render_junit(deck: Deck) -> str:
    """The document; `time` of a case is the RTO that the last pass measured, so that CIs draw its trend."""
    root = new_document()
    kinds = dict.fromkeys(row.kind for row in deck.rows)
    for kind in kinds:
        add_suite(root, wording.line(kind), deck.at, [_case(row, deck) for row in deck.rows if row.kind == kind])
    if seen := [_target(row, row.ready) for row in deck.rows if row.ready]:
        add_suite(root, "readiness", deck.at, seen)
    if deck.troubles:
        add_suite(root, "muster", deck.at, map(_trouble, deck.troubles))
    return write_document(root)


def _case(row: Row, deck: Deck) -> xml.Element:
    case = xml.Element(
        "testcase",
        classname=f"muster.{wording.line(row.kind)}",
        name=wording.line(row.plan) or "no plan",
        time=f"{row.rto_seconds or 0:.3f}",
    )
    told = "\n".join(wording.line(told_line) for told_line in _told(row, deck))
    if tag := _VERDICTS.get(row.state):
        xml.SubElement(case, tag, type=row.state.value, message=wording.line(f"{row.state}: {row.why}")).text = told
    else:
        xml.SubElement(case, "system-out").text = told
    return case


def _told(row: Row, deck: Deck) -> Iterable[str]:
    yield f"{row.state}: {row.why}"
    if not row.plan:
        return
    yield f"last pass: {wording.minute(row.pass_at) if row.pass_at else 'never'}"
    yield f"age: {wording.age_beside_cadence(row, deck.at) or 'none'}"
    yield f"cadence: {row.cadence}{wording.due_words(row, deck.at)}"
    yield f"RTO: {wording.measured_beside_objective(row.rto_seconds, row.rto_objective) or 'no objective'}"
    yield f"RPO: {wording.measured_beside_objective(row.rpo_seconds, row.rpo_objective) or 'no objective'}"
    yield f"negative controls: {wording.proven_words(row)}"
    yield f"owner: {row.owner}"
    yield f"controls: {', '.join(row.controls) or 'none named'}"
    yield f"evidence: {row.evidence or 'none'}"


def _target(row: Row, ready: Ready) -> xml.Element:
    case = xml.Element("testcase", classname="muster.readiness", name=wording.line(row.plan), time="0.000")
    looked = wording.looked_words(ready, to_the_minute=True) or "never looked at"
    told = "\n".join(map(wording.line, (ready.why or ready.state, looked, wording.NO_PROOF, f"owner: {row.owner}")))
    if tag := _SEEN.get(ready.state):
        message = wording.line(f"{ready.state}: {ready.why}")
        xml.SubElement(case, tag, type=ready.state.value, message=message).text = told
    else:
        xml.SubElement(case, "system-out").text = told
    return case


def _trouble(trouble: Trouble) -> xml.Element:
    case = xml.Element(
        "testcase", classname="muster.watch", name=wording.line(f"{trouble.subject}: {trouble.condition}"), time="0.000"
    )
    words = wording.line(trouble.words)
    failure = xml.SubElement(case, "failure", type=wording.line(trouble.severity), message=words)
    failure.text = f"{words}\nsince {wording.minute(trouble.since)}"
    return case
