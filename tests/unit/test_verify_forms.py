"""junit.xml, controls.json and oscal.json, which programs read: sealed by the right key, none tells another story."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from package_paper import AUGUST, JULY, SEPTEMBER, Paper, at, card, hostile, quarter, standing

from evidence.statement import canonical
from evidence.verify import Given, Limits, Proof, Report, check, load_key
from muster.package.inputs import PackageInputs
from muster.package.making import make_package
from tests.paper_forms import told
from tests.paper_package import Auditor, Installation, Period, Run

CONTROL, OTHER, OWN = "SOC 2 A1.2", "ISO 27001 A.8.13", "internal: our own"
RUNS = (
    Run(1, controls=(CONTROL, OWN)),
    Run(2, "failed", controls=(CONTROL, OWN)),
    Run(3, "inconclusive", plan="restore-mall", controls=(CONTROL,)),
    Run(4, plan="restore-well", controls=(OTHER,)),
)


@pytest.fixture
def auditor(tmp_path: Path) -> Auditor:
    return Auditor(tmp_path, tmp_path / "signing.pub")


@pytest.fixture
def period(tmp_path: Path) -> Period:
    """Four runs of three plans, told by the code that tells them for real."""
    period = Period(Installation(tmp_path))
    period.enter_keys()
    for run in RUNS:
        period.enter_run(run)
    period.files |= told(period, tmp_path)
    return period


def forms(report: Report) -> Proof:
    return next(proof for proof in report.proofs if proof.name == "forms")


def test_the_same_story_passes(period: Period, auditor: Auditor) -> None:
    report = auditor.look(period.package())
    assert report.verdict == "pass", report.proofs
    assert forms(report).ok
    assert period.files["oscal.json"].count(b'"satisfied"') == 1, "else nothing below is about a control that is shown"


# --- JUnit ------------------------------------------------------------------------------------------------------------

Change = Callable[[ElementTree.Element], object]


def case(root: ElementTree.Element, plan: str, number: int = 0) -> ElementTree.Element:
    return root.findall(f"testsuite[@name='{plan}']/testcase")[number]


def whitewash(case: ElementTree.Element) -> None:
    case[0].tag = "system-out"
    case[0].attrib.clear()


def whitewash_with_counts(root: ElementTree.Element) -> None:
    whitewash(case(root, "restore-shop", 1))
    for element in (root, *root.findall("testsuite[@name='restore-shop']")):
        element.set("failures", "0")


def drop(root: ElementTree.Element) -> None:
    suite = root.find("testsuite[@name='restore-shop']")
    assert suite is not None
    suite.remove(suite[1])
    for element in (root, suite):
        element.set("tests", str(int(element.get("tests", "")) - 1))
        element.set("failures", "0")


def say(element: ElementTree.Element, old: str, new: str) -> None:
    text = element.text or ""
    assert old in text
    element.text = text.replace(old, new)


JUNIT: dict[str, tuple[Change, str]] = {
    "a failed run as a pass": (whitewash_with_counts, "'a pass' stands where 'failed' should"),
    "an inconclusive run as a pass": (lambda root: whitewash(case(root, "restore-mall")), "'a pass' stands where"),
    "a failed run as aborted": (lambda root: case(root, "restore-shop", 1)[0].set("type", "aborted"), "'aborted'"),
    "no fault and no word": (lambda root: case(root, "restore-shop", 1).clear(), "None stands where"),
    "a pass beside the fault": (
        lambda root: ElementTree.SubElement(case(root, "restore-shop", 1), "system-out"),
        "None stands where 'failed' should",
    ),
    "a pass as a failure": (lambda root: setattr(case(root, "restore-well")[0], "tag", "error"), "where 'a pass'"),
    "another outcome in words": (
        lambda root: say(case(root, "restore-shop", 1)[0], "outcome: failed", "outcome: passed"),
        "'outcome: passed' stands where 'outcome: failed' should",
    ),
    "another run": (lambda root: say(case(root, "restore-shop")[0], "run: restore-shop-0001", "run: other"), "other"),
    "another digest": (lambda root: say(case(root, "restore-shop")[0], "SHA-256 ", "SHA-256 f"), "SHA-256 f"),
    "another name": (lambda root: case(root, "restore-shop").set("name", "restore-shop 2026-07-09T03:00:00Z"), "07-09"),
    "another suite": (lambda root: root[0].set("name", "restore-other"), "'restore-other' stands where"),
    "a run left out": (drop, "it tells 3 runs and due times, and there are 4"),
    "a run twice": (lambda root: root[0].append(root[0][0]), "it tells 5 runs and due times, and there are 4"),
    "fewer failures": (lambda root: root.set("failures", "0"), "it counts 0 failures in 'muster', and has 1"),
    "more tests": (lambda root: root[0].set("tests", "9"), "it counts 9 tests in 'restore-mall', and has 1"),
    "one skipped": (lambda root: root[0].set("skipped", "1"), "it counts 1 skipped"),
    "a case that is skipped": (
        lambda root: setattr(case(root, "restore-shop", 1)[0], "tag", "skipped"), "it has not its one form",
    ),
    "a status": (lambda root: case(root, "restore-shop", 1).set("status", "passed"), "it has not its one form"),
    "another root": (lambda root: setattr(root, "tag", "testsuite"), "it has not its one form"),
}  # fmt: skip


@pytest.mark.parametrize("what", JUNIT)
def test_a_junit_that_tells_another_story_is_caught(period: Period, auditor: Auditor, what: str) -> None:
    change, why = JUNIT[what]
    root = ElementTree.fromstring(period.files["junit.xml"])
    change(root)
    period.files["junit.xml"] = b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root)
    proof = caught(period, auditor)
    assert "junit.xml disagrees: " in proof.seen
    assert why in proof.seen


BOMB = b'<!DOCTYPE x [<!ENTITY a "%b">]>\n' % (b"a" * 99)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda right: b"",
        lambda right: right[:-5],
        lambda right: right.replace(b"\n<", b"\n" + BOMB + b"<", 1),
        lambda right: right.replace(b"<testsuites", b"<!-- --><testsuites"),
        lambda right: right.replace(b"UTF-8", b"UTF-7"),
        lambda right: right.replace(b"outcome", b"\xff", 1),
        lambda right: right[: right.index(b"<testsuites")] + b"<testsuites>" * 2_000_000,
        lambda right: right.replace(b"<system-out>", b"<system-out>" + b"<b/>" * 5),
    ],
    ids=["empty", "cut", "entities", "comment", "letters", "bytes", "deep", "children"],
)
def test_what_is_no_junit_of_ours_is_caught(period: Period, auditor: Auditor, spoil: Callable[[bytes], bytes]) -> None:
    period.files["junit.xml"] = spoil(period.files["junit.xml"])
    assert "junit.xml disagrees: it has not its one form" in caught(period, auditor).seen


# --- Controls ---------------------------------------------------------------------------------------------------------


def matrix(document: Any, control: str = CONTROL) -> Any:
    return next(row for row in document["controls"] if row["control"] == control)


def supported_by(number: int, control: str = CONTROL) -> Callable[[Any], None]:
    """Say that the run of this number supports a control, in the form that a true one has."""

    def change(document: Any) -> None:
        run, row = RUNS[number - 1], matrix(document, control)
        said = matrix(document)["supports"][0]
        entry = said["entry"] + number - 1
        due = f"2026-07-{1 + number:02d}T03:00:00Z"
        row["supports"].append(
            {"bundle": run.key, "entry": entry, "plan": run.plan, "run": run.name, "scheduledAt": due}
        )
        row["says"] = "supports"

    return change


def setting(control: str, **says: Any) -> Callable[[Any], None]:
    return lambda document: matrix(document, control).update(says)


def saying(**says: Any) -> Callable[[Any], None]:
    return lambda document: matrix(document)["supports"][0].update(says)


CONTROLS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a failed run supports": (supported_by(2), "restore-shop-0002 supports it, and is failed"),
    "an inconclusive run supports": (supported_by(3), "restore-mall-0003 supports it, and is inconclusive"),
    "a run of a plan that does not name it": (supported_by(4), "its plan does not name it"),
    "a run twice": (supported_by(1), "supports it 2 times"),
    "a run of another kind": (setting(CONTROL, kinds=["cutover"]), "is of another kind"),
    "another run": (saying(run="restore-shop-0009"), "is no such run of the period"),
    "another plan": (saying(plan="restore-mall"), "is no such run of the period"),
    "another bundle": (saying(bundle="restore-shop/other.tar.gz"), "is no such run of the period"),
    "an entry that is no run": (saying(entry=0), "entry 0 is no such run of the period"),
    "another due time": (saying(scheduledAt="2026-07-09T03:00:00Z"), "was due at another time"),
    "no due time": (saying(scheduledAt=None), "was due at another time"),
    "support without runs": (setting(CONTROL, supports=[]), "it says 'supports', and 0 runs support it"),
    "runs without support": (setting(CONTROL, says="does not show"), "it says 'does not show', and 1 runs"),
    "a failed run passed over": (setting(CONTROL, doesNotShow=[]), "not all of restore-shop passed"),
    "a plan left out": (
        lambda document: matrix(document)["ourCadence"].pop(0), "restore-mall, whose runs name it, is left out",
    ),
    "a control left out": (
        lambda document: document["controls"].remove(matrix(document)), f"{CONTROL}, which a run names, is left out",
    ),
    "a control twice": (
        lambda document: document["controls"].append(matrix(document)), f"{CONTROL} stands there more than once",
    ),
    "another period": (lambda document: document.update({"until": "2027-01-01T00:00:00Z"}), "it is of another period"),
    "no list": (lambda document: document.update({"controls": {}}), "it has not its one form"),
    "a row without a name": (lambda document: matrix(document).pop("control"), "it has not its one form"),
    "a run without an entry": (saying(entry=None), "it has not its one form"),
    "a plan of another form": (setting(CONTROL, ourCadence=["restore-shop"]), "it has not its one form"),
}  # fmt: skip


@pytest.mark.parametrize("what", CONTROLS)
def test_a_matrix_that_tells_another_story_is_caught(period: Period, auditor: Auditor, what: str) -> None:
    change, why = CONTROLS[what]
    changed(period, "controls.json", change)
    del period.files["oscal.json"]
    proof = caught(period, auditor)
    assert "controls.json disagrees: " in proof.seen
    assert why in proof.seen


# --- OSCAL ------------------------------------------------------------------------------------------------------------


def result(document: Any) -> Any:
    return document["assessment-results"]["results"][0]


def observation(document: Any, number: int) -> Any:
    return result(document)["observations"][number - 1]


def finding(document: Any, control: str = CONTROL) -> Any:
    return next(each for each in result(document)["findings"] if prop(each, "control")["value"] == control)


def prop(told: Any, name: str) -> Any:
    return next(each for each in told["props"] if each["name"] == name)


def in_prop(number: int, name: str, value: str) -> Callable[[Any], None]:
    return lambda document: prop(observation(document, number), name).update({"value": value})


def in_observation(number: int, **says: Any) -> Callable[[Any], None]:
    return lambda document: observation(document, number).update(says)


def satisfy(control: str) -> Callable[[Any], None]:
    return lambda document: finding(document, control)["target"]["status"].update(state="satisfied", reason="pass")


def rest_on(control: str, number: int) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        found = {"observation-uuid": observation(document, number)["uuid"]}
        finding(document, control).setdefault("related-observations", []).append(found)

    return change


OSCAL: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a failed run passed": (in_prop(2, "outcome", "passed"), "['passed'] stands where ['failed'] should"),
    "two outcomes": (
        lambda document: observation(document, 2)["props"].append({"name": "outcome", "value": "passed"}),
        "['failed', 'passed'] stands where ['failed'] should",
    ),
    "no outcome": (lambda document: observation(document, 2).update(props=[]), "[] stands where ['failed'] should"),
    "a failed run is no finding": (in_observation(2, types=["control-objective"]), "'control-objective'"),
    "an inconclusive run is no finding": (in_observation(3, types=["control-objective"]), "'control-objective'"),
    "another run": (in_prop(1, "run", "restore-shop-0009"), "restore-shop-0009"),
    "another entry": (in_prop(1, "entry", "7"), "['7'] stands where"),
    "another slot": (in_prop(1, "slot", "0" * 64), "0000"),
    "another plan": (in_prop(1, "plan", "restore-mall"), "['restore-mall'] stands where"),
    "another title": (in_observation(2, title="restore-shop, due then: passed"), "'passed' stands where 'failed'"),
    "another file": (
        in_observation(1, **{"relevant-evidence": [{"href": "runs/x/y.tar.gz"}]}), "'runs/x/y.tar.gz' stands where",
    ),
    "a run left out": (
        lambda document: result(document)["observations"].pop(1), "it tells 3 runs and due times, and there are 4",
    ),
    "two in another order": (lambda document: result(document)["observations"].reverse(), "stands where"),
    "one identity twice": (
        lambda document: in_observation(1, uuid=observation(document, 2)["uuid"])(document), "have one identity",
    ),
    "a finding that lacks something is satisfied": (satisfy(CONTROL), "lacks 2 things"),
    "a finding without runs is satisfied": (satisfy("DORA Art. 12(2)"), "by 0 runs"),
    "a finding rests on a failed run": (rest_on(CONTROL, 2), "it rests on what is no pass"),
    "a finding rests on another run": (rest_on(CONTROL, 4), "it rests on other runs than controls.json names"),
    "a finding rests on nothing known": (
        lambda document: finding(document).update({"related-observations": [{"observation-uuid": ["x"]}]}),
        "it rests on what is no pass",
    ),
    "a finding shows what the matrix does not": (
        lambda document: prop(finding(document, "DORA Art. 12(2)"), "shows").update(value="supports"), "controls.json",
    ),
    "a finding of another control": (
        lambda document: prop(finding(document), "control").update(value=OTHER), f"{OTHER} stands where {CONTROL}",
    ),
    "a finding left out": (lambda document: result(document)["findings"].pop(), "findings for"),
    "a state of its own": (
        lambda document: finding(document)["target"]["status"].update(state="fine"), "it says ('fine', 'other')",
    ),
    "two results": (
        lambda document: document["assessment-results"]["results"].append(result(document)), "has not its one form",
    ),
    "another period": (lambda document: result(document).update(end="2027-01-01T00:00:00Z"), "it is of another period"),
    "no findings": (lambda document: result(document).pop("findings"), "it has not its one form"),
    "a finding without a target": (lambda document: finding(document).pop("target"), "it has not its one form"),
    "nested without an end": (
        lambda document: in_observation(1, types=[json.loads("[" * 900 + "]" * 900)])(document), "oscal.json disagrees",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", OSCAL)
def test_an_oscal_that_tells_another_story_is_caught(period: Period, auditor: Auditor, what: str) -> None:
    change, why = OSCAL[what]
    changed(period, "oscal.json", change)
    proof = caught(period, auditor)
    assert "oscal.json disagrees: " in proof.seen
    assert why in proof.seen


def test_findings_rest_on_passes_without_a_matrix_too(period: Period, auditor: Auditor) -> None:
    del period.files["controls.json"]
    assert auditor.look(period.package()).verdict == "pass"
    changed(period, "oscal.json", rest_on(CONTROL, 2))
    assert "it rests on what is no pass" in caught(period, auditor).seen


def test_a_form_that_is_too_large_to_be_compared_leaves_the_whole_in_doubt(period: Period, auditor: Auditor) -> None:
    limits = Limits(tag_bytes=len(period.files["oscal.json"]) - 1)
    report = auditor.look(period.package(), limits=limits)
    assert report.verdict == "inconclusive"
    assert forms(report).seen == "not checked: oscal.json: too large to be compared"
    assert auditor.look(period.package()).verdict == "pass"


# --- What is not there, and what is sound -----------------------------------------------------------------------------


def test_a_form_that_is_not_there_is_said_to_be_unchecked(period: Period, auditor: Auditor) -> None:
    del period.files["junit.xml"]
    report = auditor.look(period.package())
    assert report.verdict == "pass"
    assert forms(report).seen == "not checked: junit.xml: not in the package"
    changed(period, "controls.json", supported_by(2))
    assert "controls.json disagrees" in caught(period, auditor).seen


def test_a_word_that_programs_do_not_go_by_is_no_false_alarm(period: Period, auditor: Auditor) -> None:
    """Prose is not compared, and that is said."""
    changed(period, "controls.json", setting(CONTROL, asks="something else"))
    changed(period, "oscal.json", in_observation(2, description="It went well."))
    report = auditor.look(period.package())
    assert report.verdict == "pass"
    assert any("besides which runs ended how" in remark for remark in report.remarks)


def everything(paper: Paper) -> PackageInputs:
    """Every outcome, on demand too, a gap, an open slot, a bundle that is away, one that tells another thing."""
    outcomes = ("passed", "failed", "inconclusive", "aborted", "refused", "missed", "waived")
    for number, outcome in enumerate(outcomes, 1):
        paper.run(f"plan-{number}", JULY, outcome, controls=[CONTROL, "internal: ours"])
        paper.run(f"plan-{number}", at(f"2026-07-{number:02d}T10:00"), outcome, on_demand=True, rto=None)
    away = paper.run("away", AUGUST)
    paper.run("liar", AUGUST, "passed", verdict="pass", said={"run": "another"})
    paper.run("billing", SEPTEMBER)
    inputs = paper.inputs(plans=[card("orders"), card("billing")], standings=[standing("orders"), standing("billing")])
    return replace(inputs, bundles={key: path for key, path in inputs.bundles.items() if key != away})


def nothing(paper: Paper) -> PackageInputs:
    paper.record("x", AUGUST)
    return paper.inputs()


@pytest.mark.parametrize(
    "make",
    [quarter, hostile, everything, nothing, lambda paper: quarter(paper, link_above=0)],
    ids=["quarter", "hostile", "everything", "nothing", "linked"],
)
def test_what_muster_tells_is_no_false_alarm(tmp_path: Path, make: Callable[[Paper], PackageInputs]) -> None:
    paper = Paper(tmp_path / "paper")
    sealed = make_package(make(paper), paper.signer, tmp_path / "out")
    report = check(sealed.path, Given(load_key(tmp_path / "paper" / "keys" / "signing.pub")))
    assert forms(report).ok, forms(report).seen


def changed(period: Period, name: str, change: Callable[[Any], Any]) -> None:
    document = json.loads(period.files[name])
    change(document)
    period.files[name] = canonical(document)


def caught(period: Period, auditor: Auditor) -> Proof:
    """It fails, and by nothing else: the seal is right."""
    report = auditor.look(period.package())
    assert {proof.name for proof in report.proofs if proof.ok is False} == {"forms"}
    return forms(report)
