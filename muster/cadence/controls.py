"""Controls: which drills are evidence for which, how often each asks for one, and what is wrong with a plan's choice.

Promises: a control's own minimum, its source and our default cadence are three things, kept apart; a plan slower than a
control it names, or of a kind that is no evidence for it, is told so in the control's words. Whether an organisation
meets a control is for its auditor: a drill *supports* a control or *does not show* it.
"""

from collections.abc import Iterable
from datetime import timedelta
from difflib import get_close_matches
from typing import NamedTuple

ALL = ("restore", "spark", "failover", "cutover")
INTERNAL = "internal:"
"""How a company's own controls begin; nothing is known of them, so nothing is checked."""
YEAR = 366
"""Days of the longest year: yearly slots are that far apart once in four years."""


class Control(NamedTuple):
    """One control of a framework."""

    id: str
    """As plans write it."""
    framework: str
    words: str
    """What it asks for. What stands in quotation marks is its own text, the rest is ours."""
    source: str
    kinds: tuple[str, ...]
    """Kinds of drill that are evidence for it; none where no drill of ours is."""
    days: int | None = None
    """Its own minimum: the longest time between two tests. `None` where it names no interval."""
    needs: str = ""
    """What a plan has to have besides: `approval`, or `objectives.rto`."""
    is_secondary: bool = False
    """The text was read second-hand: check it before quoting."""


_DORA = ("DORA", "Regulation (EU) 2022/2554")
_RTS = ("DORA RTS", "Delegated Regulation (EU) 2024/1774")
_SOC = ("SOC 2", "AICPA Trust Services Criteria")
_ISO = ("ISO/IEC 27001:2022", "ISO/IEC 27001:2022, Annex A")
_NIST = ("NIST SP 800-53", "NIST SP 800-53 Rev. 5")
_FEDRAMP = ("FedRAMP", "FedRAMP Rev. 5 parameters of NIST SP 800-53")

CONTROLS = (
    Control(
        "DORA Art. 11(6)(a)", _DORA[0],
        'test plans "at least yearly, as well as in the event of any substantive changes"', _DORA[1], ALL, YEAR,
    ),
    Control(
        "DORA Art. 11(6) subpara. 2", _DORA[0],
        "test scenarios of cyber-attacks and of switchovers to redundant capacity (not for micro-enterprises)",
        _DORA[1], ("failover", "cutover"),
    ),
    Control("DORA Art. 11(4)", _DORA[0], 'test "periodically"', _DORA[1], ("restore",)),
    Control("DORA Art. 12(2)", _DORA[0], 'test backup and restoration "periodically"', _DORA[1], ("restore",)),
    Control("DORA Art. 12(3)", _DORA[0], "restore on segregated systems", _DORA[1], ("restore",)),
    Control("DORA Art. 12(7)", _DORA[0], "reconciliation checks after recovery", _DORA[1], ("restore",)),
    Control(
        "DORA Art. 24(4)", _DORA[0], "tests by independent parties: who approves is not who starts", _DORA[1], ALL,
        needs="approval",
    ),
    Control(
        "DORA Art. 24(6)", _DORA[0],
        'tests "at least yearly" of all systems that support critical or important functions', _DORA[1], ALL, YEAR,
    ),
    Control("DORA Art. 25(1)", _DORA[0], "scenario, performance and end-to-end tests", _DORA[1], ("spark",)),
    Control("DORA Art. 26(1)", _DORA[0], "threat-led penetration tests every 3 years", _DORA[1], (), 3 * 365 + 1),
    Control("RTS 2024/1774 Art. 25(2)(c)", _RTS[0], "test scenarios of switchovers", _RTS[1], ("failover",)),
    Control(
        "RTS 2024/1774 Art. 25(5)", _RTS[0], "document and analyse test results, report them to management", _RTS[1],
        ("failover",),
    ),
    Control(
        "NIS2 2024/2690 4.2.6", "NIS2", '"regular testing", and to "document the results"',
        "Implementing Regulation (EU) 2024/2690", ("restore",), is_secondary=True,
    ),
    Control("SOC 2 A1.2", _SOC[0], "backup processes and recovery infrastructure", _SOC[1], ("restore",)),
    Control(
        "SOC 2 A1.3", _SOC[0],
        '"tests recovery plan procedures"; its point of focus says "periodic", auditors look for yearly', _SOC[1], ALL,
        is_secondary=True,
    ),
    Control("SOC 2 CC7.5", _SOC[0], 'testing of recovery plans, "periodic"', _SOC[1], ("failover",)),
    Control("SOC 2 CC7.3", _SOC[0], "security events are evaluated: no test is asked for", _SOC[1], ()),
    Control("SOC 2 CC7.4", _SOC[0], "security incidents are responded to: no test is asked for", _SOC[1], ()),
    Control("SOC 2 CC9.1", _SOC[0], "risks of business disruption are mitigated: no test is asked for", _SOC[1], ()),
    Control(
        "ISO 27001 A.5.29", _ISO[0], "a plan to keep security during disruption", _ISO[1], ("failover",),
        is_secondary=True,
    ),
    Control(
        "ISO 27001 A.5.30", _ISO[0], 'readiness "planned, implemented, maintained and tested"', _ISO[1], ALL,
        is_secondary=True,
    ),
    Control(
        "ISO 27001 A.8.13", _ISO[0], 'backups "regularly tested in accordance with the agreed policy"', _ISO[1],
        ("restore",), is_secondary=True,
    ),
    Control(
        "ISO 27001 A.8.14", _ISO[0], "redundancy sufficient for availability", _ISO[1], ("failover",),
        is_secondary=True,
    ),
    Control("NIST CP-4", _NIST[0], "test the contingency plan as often as the organisation defines", _NIST[1], ALL),
    Control("NIST CP-4(2)", _NIST[0], "test at the alternate site (baseline High)", _NIST[1], ("failover",)),
    Control("NIST CP-4(3)", _NIST[0], "automated testing (in no baseline): the schedule itself", _NIST[1], ALL),
    Control("NIST CP-4(4)", _NIST[0], "full recovery (in no baseline)", _NIST[1], ("restore",)),
    Control("NIST CP-4(5)", _NIST[0], "self-challenge (in no baseline)", _NIST[1], ("spark",)),
    Control("NIST CP-9(1)", _NIST[0], "test backups as often as the organisation defines", _NIST[1], ("restore",)),
    Control("NIST CP-9(2)", _NIST[0], "sample restore within contingency tests (High)", _NIST[1], ("restore",)),
    Control(
        "NIST CP-10", _NIST[0], "recover within the defined time", _NIST[1], ("restore", "failover"),
        needs="objectives.rto",
    ),
    Control(
        "NIST CP-10(4)", _NIST[0], "restore components within the defined time", _NIST[1], ("restore", "failover"),
        needs="objectives.rto",
    ),
    Control("FedRAMP CP-4", _FEDRAMP[0], "functional exercises, at least yearly", _FEDRAMP[1], ALL, YEAR),
    Control("FedRAMP CP-9(1)", _FEDRAMP[0], "test backups at least yearly (Moderate)", _FEDRAMP[1], ("restore",), YEAR),
    Control(
        "PCI DSS 12.10.2", "PCI DSS",
        'the response plan is "tested" "at least once every 12 months", with the recovery and backup parts of 12.10.1;'
        " a drill is evidence for those parts only",
        "PCI DSS 4.0", ("restore", "failover"), YEAR,
    ),
    Control(
        "HIPAA 164.308(a)(7)(ii)(D)", "HIPAA", '"periodic testing and revision" of contingency plans (addressable)',
        "45 CFR 164.308", ALL,
    ),
)  # fmt: skip

BY_ID = {control.id: control for control in CONTROLS}


def faults_of(named: Iterable[str], kind: str, longest_gap: timedelta, has: Iterable[str]) -> list[str]:
    """What is wrong with the controls that a plan names, each in words.

    `has` says which of the things that a control may need (`Control.needs`) the plan has.
    """
    having = frozenset(has)
    return [fault for name in named if (fault := _fault_of(name, kind, longest_gap, having))]


def _fault_of(name: str, kind: str, longest_gap: timedelta, having: frozenset[str]) -> str:
    if name.startswith(INTERNAL):
        return "" if name.removeprefix(INTERNAL).strip() else f"{name!r} lacks the name of your own control"
    control = BY_ID.get(name)
    if control is None:
        return _unknown(name)
    if kind not in control.kinds:
        return _no_evidence(control, kind)
    if control.days is not None and longest_gap.days > control.days:
        return (
            f"{quote(control)}: slots of this plan are up to {longest_gap.days} days apart, {control.days} are allowed"
        )
    if control.needs and control.needs not in having:
        return f"{quote(control)}: a plan that names it needs '{control.needs}'"
    return ""


def quote(control: Control) -> str:
    """The control in its own words, with its source."""
    check = "; second-hand: check the text before quoting" if control.is_secondary else ""
    return f"{control.id} asks: {control.words} ({control.source}{check})"


def _unknown(name: str) -> str:
    lowered = {known.lower(): known for known in BY_ID}
    near = [lowered[match] for match in get_close_matches(name.lower(), lowered, n=3, cutoff=0.5)]
    meant = f"did you mean {' or '.join(near)}?" if near else "docs/controls.md lists those there are."
    return f"{name!r} is no control that Muster knows: {meant} Your own begin with '{INTERNAL} '"


def _no_evidence(control: Control, kind: str) -> str:
    of = f"drills of kind {', '.join(control.kinds)} are" if control.kinds else "no drill of Muster is"
    return f"{quote(control)}: a {kind} drill does not show it ({of} evidence for it)"
