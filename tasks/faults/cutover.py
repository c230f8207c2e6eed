"""The cutover's catalogue: what is planted, and what must catch it.

A row is a fault when something must catch it, else a healthy form, which must pass with nothing failed and nothing
left in the dark.
"""

from collections.abc import Mapping
from typing import Any

from muster.prove import Check, Doubt, Ending, Form
from muster.verdict import Outcome
from tasks.faults import cutover_acts as acts
from tasks.faults.altering import first, instead, leaving
from tasks.faults.cutover_base import blue_and_green
from tasks.faults.cutover_stage import cut
from tasks.faults.faketime import has_faketime

make_base = blue_and_green
BASE = "two Prefect servers with a worker each"
"""What `make_base` makes, in words."""
SIDE_BY_SIDE = 3
"""A cutover mostly waits for due times."""

_WAVES: Mapping[str, Any] = {"waves": [{"names": ["canary/waves-first"]}], "commit": False}

# fmt: off
AT_WORK = (
    Form("never-held", "an old scheduler that says it is held, and goes on", cut(drill=first("drain", acts.never_hold)),
         Check("one scheduler")),
    Form("runs-left", "runs made ahead are left on the old scheduler, and its pool is opened again",
         cut(drill=instead("rest", acts.reopen)), Check("owner")),
    Form("resurrected", "an old scheduler that somebody brings back after it was fenced",
         cut(drill=first("watch", acts.bring_back)), Check("one scheduler")),
    Form("second-worker", "one more worker of the old scheduler, which takes runs past its shut pool",
         cut(drill=first("activate", acts.make_anew), trespassed=True, in_flight_limit="6s", late="5s"),
         Check("owner")),
)

COPIES = (
    Form("forgotten", "one schedule that is not begun on the new scheduler",
         cut(drill=first("drain", acts.forget("-first"))), Check("missed", "forgotten-first")),
    Form("forgotten-night", "one that is not begun there, and not due while anybody watches",
         cut(drill=first("drain", acts.forget("-night"))), Check("one scheduler", "forgotten-night-night")),
    Form("zone-changed", "one copy with another time zone",
         cut(drill=first("shadow", acts.alter("-night", "timezone", "Europe/Berlin"))),
         Ending(Outcome.REFUSED, "shadow", "would differ")),
    Form("anchor-shifted", "one copy whose anchor is shifted by a second after both were compared",
         cut(drill=first("arm", acts.alter("-second", "anchor_date", "2026-01-01T00:00:01Z"))), Check("unexpected")),
    Form("parameters-dropped", "one copy that lost its parameters", cut(drill=first("arm", acts.drop_parameters)),
         Check("parameters")),
)

BORDER = (
    Form("watermark-on-tick", "a watermark that lies on a due time", cut(drill=instead("drain", acts.put_on_a_tick)),
         Check("watermark")),
    Form("not-fenced", "an epoch that is not raised", cut(drill=instead("fence", acts.do_not_fence)), Check("fence")),
    Form("half-fenced", "a ledger that raises every epoch but one", cut(drill=first("fence", acts.lose_an_epoch)),
         Check("handed over", "half-fenced-second is not green's")),
    Form("too-slow", "a handover that takes longer than promised",
         cut(drill=first("activate", acts.dawdle), objectives={"rto": "2s"}), Check("gap")),
    Form("broken-off", "a handover that stands still, and then breaks off",
         cut(drill=first("fence-back", acts.break_off), objectives={"rto": "8s"}, commit=False),
         Check("gap", "broken off in fence-back")),
)

CLOCK = (
    Form("clock-off", "a new scheduler whose server has a clock that is a minute ahead", cut(ahead=60),
         Check("clocks", "b is")),
)

JOBS = (
    Form("careless-job", "a job that works without a claim", cut(careless=True), Check("guard", "careless-job-second")),
    Form("history-cut", "runs that are deleted from the new scheduler's history",
         cut(drill=first("account", acts.cut_history)), Check("histories")),
    Form("long-run", "a run of the old scheduler that does not end in time",
         cut(drill=first("drain", acts.start_a_long_run), in_flight_limit="6s", late="5s"), Check("drained")),
    Form("given-up", "the same, where the plan says to give up",
         cut(drill=first("drain", acts.start_a_long_run), in_flight_limit="6s", late="5s", at_limit="give-up"),
         Ending(Outcome.ABORTED, "drain", "still at work")),
    Form("liar", "a server that says 200 and does nothing", cut(drill=first("drain", acts.swallow_changes)),
         Check("handed over", "and did not")),
)

DRILL = (
    Form("nothing-due", "a cutover of schedules that are not due while it is watched",
         cut(cut={"names": ["canary/nothing-due-night"]}, sides={"gate": "deployment"}), Doubt("observed")),
    Form("failing-undo", "copies that cannot be removed", cut(drill=leaving("mirror"), commit=False),
         Check("left behind")),
)

HEALTHY = (
    Form("there-and-back", "a rehearsal: there, and home again", cut(commit=False)),
    Form("for-good", "a cutover for good", cut()),
    Form("waves", "one schedule first, the others later, and home the same way",
         cut(sides={"gate": "deployment"}, **_WAVES)),
    Form("by-deployment", "each deployment held for itself", cut(sides={"gate": "deployment"})),
    Form("caught-up", "due times that the old scheduler leaves behind, made up for by the new one",
         cut(drill=first("drain", acts.close_early))),
)
# fmt: on

GROUPS: Mapping[str, tuple[Form, ...]] = {
    "Who is at work": AT_WORK,
    "What the new scheduler has": COPIES,
    "The border and the fence": BORDER,
    "The clock of a server, where libfaketime is installed": CLOCK,
    "The jobs and their history": JOBS,
    "The drill itself": DRILL,
    "Healthy cutovers": HEALTHY,
}
FORMS = tuple(form for group in GROUPS.values() for form in group if has_faketime() or form not in CLOCK)
