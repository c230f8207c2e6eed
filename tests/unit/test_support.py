"""Which control a run that passed supports: it has to be named, of the right kind, and have what the control needs."""

from typing import Any

import pytest

from muster.cadence.controls import BY_ID, CONTROLS
from muster.cadence.support import Showing, own_control, why_not

OWN = "internal: BCM-7"
FULL = Showing(
    "restore", (*BY_ID, OWN, "made up"), "approved by bob at 2026-07-01 02:00:00 UTC", rto_objective=900.0,
    rto_verdict="pass",
)  # fmt: skip


def test_a_run_that_has_everything_supports_what_its_kind_is_evidence_for_and_its_company_s_own() -> None:
    for control in CONTROLS:
        assert (why_not(control, FULL) == "") == ("restore" in control.kinds), control.id
    assert why_not(own_control(OWN), FULL) == ""
    assert why_not(own_control("made up"), FULL) == "a restore drill is no evidence for it"


@pytest.mark.parametrize(
    ("control", "changes", "why"),
    [
        ("SOC 2 A1.3", {"controls": ("SOC 2 A1.2",)}, "its plan did not name the control then"),
        ("SOC 2 A1.2", {"kind": "spark"}, "a spark drill is no evidence for it"),
        ("SOC 2 A1.3", {"approval": "", "rto_objective": None}, ""),
        ("DORA Art. 24(4)", {"approval": ""}, "nobody approved it"),
        ("DORA Art. 24(4)", {"approval": "asked for, and not given"}, "nobody approved it"),
        ("NIST CP-10", {"rto_objective": None}, "no RTO was measured within an objective"),
        ("NIST CP-10", {"rto_verdict": "fail"}, "no RTO was measured within an objective"),
        ("NIST CP-10", {"rto_verdict": ""}, "no RTO was measured within an objective"),
        (OWN, {"controls": ()}, "its plan did not name the control then"),
        (OWN, {"kind": "spark", "approval": ""}, ""),
    ],
)
def test_why_it_does_not(control: str, changes: dict[str, Any], why: str) -> None:
    asked = BY_ID.get(control) or own_control(control)
    assert why_not(asked, FULL) == ""
    assert why_not(asked, FULL._replace(**changes)) == why
