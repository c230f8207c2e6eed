"""Controls: the table, what it says of a plan, and docs/controls.md: `python tests/unit/test_controls.py` writes it."""

from datetime import timedelta
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.cadence.controls import ALL, BY_ID, CONTROLS, YEAR, faults_of, quote
from muster.cadence.defaults import DEFAULTS
from muster.cadence.spec import Cadence
from muster.cadence.wording import words_of
from muster.deck.model import EXPECTED

PAGE = Path(__file__).parents[2] / "docs" / "controls.md"
MONTH, HAS_ALL = timedelta(days=31), ("approval", "objectives.rto")

HEAD = """# Controls

Which drill is evidence for which control, and how often the control itself asks for one. A drill *supports* a control,
or *does not show* what it asks for; whether you meet it is for your auditor.

A plan names controls by the ids below, in `controls`. It is then held to them: a kind of drill that is no evidence for
a control, and a cadence with longer gaps than the control allows, are errors that quote the control. Controls of your
own begin with `internal: ` and are not looked up.

- **asks for**: what stands in quotation marks is the control's own text, the rest is ours. Texts were read in public
  copies, not at the official sites. Where the last column says *check the text before quoting*, it was read
  second-hand.
- **at least every**: the control's own minimum. Where it is empty the control names no interval: it says "periodic",
  or leaves it to you. What your own policy says of such a control, Muster cannot know.
"""

OURS = """## Our defaults

How often a drill is due when its plan does not say. These are ours, not those of any control. Each drill is due again
besides whenever its plan or its target change in substance (state `changed`).

| kind of drill | due |
|---|---|
"""


def render() -> str:
    """The page, from the table."""
    parts = [HEAD]
    for framework, controls in groupby(CONTROLS, key=lambda control: control.framework):
        parts.append(f"## {framework}\n")
        rows = ["| control | asks for | at least every | evidence | source |", "|---|---|---|---|---|"]
        for c in controls:
            kinds = "none of our drills" if not c.kinds else "every kind" if c.kinds == ALL else ", ".join(c.kinds)
            needs = f"; the plan needs `{c.needs}`" if c.needs else ""
            source = f"{c.source}; check the text before quoting" if c.is_secondary else c.source
            rows.append(f"| `{c.id}` | {c.words} | {f'{c.days} days' if c.days else ''} | {kinds}{needs} | {source} |")
        parts.append("\n".join(rows) + "\n")
    parts.append(OURS + "".join(f"| {kind} | {words_of(cadence)} |\n" for kind, cadence in DEFAULTS.items()))
    return "\n".join(parts)


def test_the_page_is_the_table():
    assert PAGE.read_text(encoding="utf-8") == render(), f"run python {Path(__file__).name}"


def test_the_table_is_sound():
    assert len(BY_ID) == len(CONTROLS)
    assert len(list(groupby(CONTROLS, key=lambda c: c.framework))) == len({c.framework for c in CONTROLS})
    for control in CONTROLS:
        assert control.words, control.id
        assert control.source, control.id
        assert set(control.kinds) <= set(ALL) <= set(EXPECTED)
        assert control.needs in ("", *HAS_ALL)
        assert control.days is None or control.days >= YEAR
        assert "compl" not in control.words.lower()


@pytest.mark.parametrize("control", CONTROLS, ids=lambda c: c.id)
def test_our_default_is_never_slower_than_a_control(control):
    """And each control is taken for exactly the kinds that it is listed with."""
    for kind in ALL:
        faults = faults_of([control.id], kind, DEFAULTS[kind].gaps.longest, HAS_ALL)
        assert (faults == []) == (kind in control.kinds)


@pytest.mark.parametrize(
    ("cron", "control", "is_taken"),
    [
        ("0 3 1 1 *", "DORA Art. 11(6)(a)", True),
        ("0 3 25 3 *", "FedRAMP CP-9(1)", True),  # clocks may change in between: 366 days and an hour
        ("0 3 29 2 *", "DORA Art. 11(6)(a)", False),
        ("0 3 29 2 *", "NIST CP-9(1)", True),  # its interval is the organisation's: the yearly one is FedRAMP's
        ("0 3 29 2 *", "FedRAMP CP-9(1)", False),
        ("0 3 29 2 *", "PCI DSS 12.10.2", False),
    ],
)
def test_a_cadence_slower_than_a_control_is_told_in_the_controls_words(cron, control, is_taken):
    gap = Cadence(cron=cron, timezone="Europe/Berlin").gaps.longest
    faults = faults_of([control], "restore", gap, HAS_ALL)
    if is_taken:
        assert faults == []
    else:
        (fault,) = faults
        assert quote(BY_ID[control]) in fault
        assert BY_ID[control].source in fault
        assert "2921 days apart, 366 are allowed" in fault


def test_a_gap_of_one_day_too_many_is_seen():
    assert not faults_of(["DORA Art. 24(6)"], "restore", timedelta(days=366), ())
    assert faults_of(["DORA Art. 24(6)"], "restore", timedelta(days=367), ())


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SOC2 A1.3", "SOC 2 A1.3"),
        ("A.8.13", "ISO 27001 A.8.13"),
        ("dora art. 12(2)", "DORA Art. 12(2)"),
        ("DORA 12(2)", "DORA Art. 12(2)"),
        ("CP-9(1)", "NIST CP-9(1)"),
    ],
)
def test_a_misspelt_control_is_told_with_those_near(name, meant):
    (fault,) = faults_of([name], "restore", MONTH, ())
    assert repr(name) in fault
    assert meant in fault.split("did you mean")[1]
    assert "internal:" in fault


def test_a_control_far_from_all_is_sent_to_the_page():
    (fault,) = faults_of(["§§§"], "restore", MONTH, ())
    assert "docs/controls.md" in fault


def test_what_no_drill_shows_is_said():
    (fault,) = faults_of(["DORA Art. 26(1)"], "restore", MONTH, ())
    assert "threat-led penetration tests" in fault
    assert "no drill of Muster is evidence for it" in fault
    (fault,) = faults_of(["ISO 27001 A.8.14"], "restore", MONTH, ())
    assert "a restore drill does not show it (drills of kind failover are evidence for it)" in fault
    assert "check the text before quoting" in fault


@pytest.mark.parametrize(("control", "needed"), [("DORA Art. 24(4)", "approval"), ("NIST CP-10", "objectives.rto")])
def test_a_control_may_need_more_than_a_drill(control, needed):
    (fault,) = faults_of([control], "restore", MONTH, ())
    assert f"needs '{needed}'" in fault
    assert faults_of([control], "restore", MONTH, [needed]) == []


@given(st.text(min_size=1).filter(str.strip), st.timedeltas(min_value=timedelta(0)))
def test_a_companys_own_control_is_not_looked_up(name, gap):
    assert faults_of([f"internal: {name}"], "restore", gap, ()) == []


def test_a_companys_own_control_has_a_name():
    assert faults_of(["internal: "], "restore", MONTH, ())


def test_each_fault_is_told():
    assert len(faults_of(["x", "SOC 2 A1.3", "DORA Art. 26(1)"], "restore", MONTH, ())) == 2


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
