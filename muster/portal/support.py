"""Which of the controls that a run names it supports.

Promises: a run supports a control only if it passed, its seal was read and agrees with the log, its kind of drill is
evidence for the control, and it has what the control needs besides; of any other it *does not show* what that asks for.
"""

from collections.abc import Mapping

from muster.cadence.controls import INTERNAL, Control
from muster.portal.reading import Run, text
from muster.verdict import Outcome


def supported_by(run: Run, known: Mapping[str, Control]) -> tuple[str, ...]:
    """The ids, as the run names them; a company's own are taken at its word."""
    if run.outcome != Outcome.PASSED or run.quarrel or not run.is_read:
        return ()
    return tuple(name for name in run.controls if name.startswith(INTERNAL) or _is_evidence(run, known.get(name)))


def _is_evidence(run: Run, control: Control | None) -> bool:
    if control is None or run.kind not in control.kinds:
        return False
    rto = run.measured("RTO")
    has = {
        "": True,
        "approval": bool(text(run.seal.get("approval"))),
        "objectives.rto": rto is not None and rto.objective is not None,
    }
    return has.get(control.needs, False)
