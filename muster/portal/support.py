"""Which of the controls that a run names it supports.

Promises: a run supports a control only if it passed, its seal was read and agrees with the log, and it is evidence for
the control as packages have it; of any other it *does not show* what that asks for.
"""

from collections.abc import Mapping

from muster.cadence.controls import Control
from muster.cadence.support import Showing, own_control, why_not
from muster.portal.reading import Run, text
from muster.verdict import Outcome


def supported_by(run: Run, known: Mapping[str, Control]) -> tuple[str, ...]:
    """The ids, as the run names them; a company's own are taken at its word."""
    if run.outcome != Outcome.PASSED or run.quarrel or not run.is_read:
        return ()
    rto = run.measured("RTO")
    showing = Showing(
        kind=run.kind,
        controls=run.controls,
        approval=text(run.seal.get("approval")),
        rto_objective=rto.objective if rto else None,
        rto_verdict=rto.word if rto else "",
    )
    return tuple(name for name in run.controls if not why_not(known.get(name) or own_control(name), showing))
