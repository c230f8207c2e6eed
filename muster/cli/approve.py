"""`muster approve`: a yes or a no to a run that waits for it."""

import json

from muster.approval import check_approver, waits
from muster.cli.actor import actor_of
from muster.errors import Refusal
from muster.journal import History
from muster.ledger import Ledger, LedgerError, Run, open_ledger
from muster.ledger.rows import Decision
from muster.plan import Plan
from muster.settings import Settings
from muster.verdict import ExitCode


def approve(settings: Settings, name: str, *, deny: bool, note: str, who: str, as_json: bool) -> int:
    """Record the decision and wake the run. `Refusal` when nothing waits, or the approver is not one who may."""
    by = actor_of(settings, who)
    with open_ledger(settings.ledger_url) as ledger:
        run = _waiting(ledger, name)
        plan = Plan.recorded(ledger.read_events(run.run)[0].body["plan"])
        check_approver(plan, run.requested_by, by)
        decision = ledger.record_decision(run.run, approved=not deny, by=by, note=note.strip())
    woken = _wake(settings, run, decision)
    if as_json:
        print(json.dumps({"plan": run.plan, **decision.model_dump(mode="json"), "woken": woken}, indent=2))
    else:
        print(f"{'Denied' if deny else 'Approved'} by {by}: run {run.run} of plan {run.plan}.")
        print("It is refused and sealed." if deny else "It goes on within a second or two; see `muster status`.")
    return ExitCode.PASS


def _waiting(ledger: Ledger, name: str) -> Run:
    """The waiting run that is meant: by its own name, or by its plan's."""
    standing = ledger.standing(name)
    candidates = [run for run in ledger.unfinished_runs() if run.outcome is None and name in (run.run, run.plan)]
    for run in candidates:
        if waits(History(ledger.read_events(run.run))):
            if known := ledger.decision(run.run):
                raise Refusal(f"{known.by} has already decided on run {run.run}", "the first decision holds")
            return run
    if standing is None and not candidates:
        try:
            ended = ledger.run(name)
        except LedgerError:
            raise Refusal(f"there is no run and no plan {name!r} in the ledger", "see `muster status`") from None
        raise Refusal(f"run {name} does not wait for approval: it has ended as {ended.outcome}", "start another run")
    what = f"run {candidates[0].run}" if candidates else f"no run of plan {name}"
    words = "does not wait for approval" if candidates else "waits for approval"
    raise Refusal(f"{what} {words}", "see `muster status` and `muster undo list` for the runs there are")


def _wake(settings: Settings, run: Run, decision: Decision) -> bool:
    """Tell a flow run that waits in Prefect. Without a server nothing is lost: the run looks at the ledger as well."""
    if not run.flow_run:
        return False
    from flows.remote import resume_approved

    return resume_approved(settings, run, decision)
