"""Closing a run: judged, sealed, ended in the ledger, sent, entered in the log; each goes on where a crash left it.

Promises: a run is judged, sealed and closed exactly once, however often its process dies in between; a store that is
away costs nothing: the bundle waits; none leaves the outbox before it is entered, unless that is another's to do.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from evidence import durable
from evidence.errors import EvidenceError
from evidence.keys import public_key_of
from evidence.outbox import Delivery, Outbox, Sent, Tell, Waiting
from evidence.stores import Store
from muster.cadence.spec import Cadence
from muster.clock import Clock
from muster.drill import Drill, Workspace
from muster.journal import EventKind, History, Journal, RunState
from muster.judging import judge, summarise
from muster.ledger import Ledger, Measures
from muster.ledger.rows import Due
from muster.notary.desk import Desk
from muster.plan import Plan
from muster.redaction import known_secrets, redact_logs
from muster.sealing import bundle_name, seal_run
from muster.settings import Settings
from muster.sighting import digest_in
from muster.slots import due_after
from muster.summary import Summary
from muster.verdict import Outcome
from muster.withholding import withhold_in_logs


@dataclass(frozen=True)
class Closing:
    """Closes runs of one installation."""

    settings: Settings
    ledger: Ledger
    clock: Clock
    open_store: Callable[[], Store]

    @cached_property
    def desk(self) -> Desk:
        """What seals here, and who enters it in the log."""
        return Desk(self.settings, self.clock)

    def conclude(self, drill: Drill, plan: Plan, journal: Journal, *, send: bool = True) -> Summary:
        """Judge, seal, close, send: each is safe to repeat, and goes on from where a crash left it."""
        if journal.history.run_state() is RunState.OPEN:
            logs = self.workspace(journal.run).logs
            redact_logs(logs, known_secrets(os.environ))
            withhold_in_logs(logs, self.desk.withholder(journal.run))
            journal.append(EventKind.JUDGED, **judge(drill, plan, journal.history))
        history = journal.history.sealed_part()
        summary = summarise(drill, plan, history)
        if journal.history.run_state() is RunState.JUDGED:
            self._seal(summary, history, journal)
        self._clear(journal)
        self.ledger.close_run(
            journal.run,
            summary.outcome,
            summary.verdict,
            _measures(summary),
            drill.remember(history),
            headline=summary.headline,
            target_digest=digest_in(history),
            due=self._due(plan, journal.run, summary.outcome),
        )
        if send:
            self.send_waiting()
        return summary

    def bundle_of(self, run: str) -> Path | None:
        """Where the local copy of a run's sealed bundle lies; `None` while it is not sealed."""
        key = self.ledger.run(run).bundle_key
        return Outbox(self.settings.outbox).path_of(key) if key else None

    def workspace(self, run: str) -> Workspace:
        """The run's folder."""
        return Workspace(run, self.settings.runs / run)

    def send_waiting(self) -> Delivery:
        """Send what waits in the outbox. A store that is away costs nothing: the bundles wait on."""
        outbox = Outbox(self.settings.outbox)
        try:
            store = self.open_store()
            return outbox.flush(store, tell=self._taker(store))
        except EvidenceError as error:
            return Delivery((), (Waiting("", self.settings.outbox, error.message),))

    def _taker(self, store: Store) -> Tell:
        """What is done with the bundles that the store took; the notary is only called when there is one."""
        notary = cache(lambda: self.desk.notary(store))

        def take(sent: Sequence[Sent]) -> dict[str, str]:
            problems: dict[str, EvidenceError] = {}
            if self.desk.enters:
                problems = notary().enter_all((one.receipt.key, one.path) for one in sent)
            for one in sent:
                if one.receipt.key not in problems:
                    self._note_sent(one.receipt.key)
            return {key: str(problem) for key, problem in problems.items()}

        return take

    def _note_sent(self, key: str) -> None:
        run = key.rsplit("/", 1)[-1].removesuffix(".tar.gz")
        journal = Journal(run, self.ledger, self.clock)
        if journal.history.run_state() is RunState.SEALED:
            journal.append(EventKind.SENT, key=key)

    def _due(self, plan: Plan, name: str, outcome: Outcome) -> Due | None:
        """When the next pass is due: counted from this one's slot, or its opening if later (the ledger's clock).

        By the cadence that slots are accounted for by, if the plan was enrolled: only the accounting changes that, or
        the slots of the time before would be held against another cadence.
        """
        if outcome is not Outcome.PASSED:
            return None
        standing = self.ledger.standing(plan.name)
        is_enrolled = standing is not None and standing.timetable
        cadence = Cadence.recorded(standing.cadence) if standing and is_enrolled else plan.cadence
        run = self.ledger.run(name)
        return due_after(cadence, max(run.opened_at, run.scheduled_at))

    def _clear(self, journal: Journal) -> None:
        """The logs are in the bundle now; what is not undone keeps its folder, which its undo needs."""
        if not journal.history.needs_undo():
            shutil.rmtree(self.workspace(journal.run).root, ignore_errors=True)

    def _seal(self, summary: Summary, history: History, journal: Journal) -> None:
        """A signature may be another each time: once a bundle is in the outbox it is the run's; no second is made."""
        key = f"{summary.plan}/{bundle_name(summary)}"
        outbox = Outbox(self.settings.outbox)
        made: Path | None = None
        if (bundle := outbox.path_of(key)) is None:
            hide = self.desk.withholder(journal.run)
            sealed = seal_run(summary, history, self.workspace(journal.run), self.desk.signer, hide)
            made, bundle = sealed.path, outbox.add(sealed, key)
        sha256, size = durable.sha256_of(bundle), bundle.stat().st_size
        key_id = public_key_of(self.desk.signer).key_id
        self.ledger.set_bundle(journal.run, sha256, key)
        journal.append(EventKind.SEALED, sha256=sha256, size=size, key_id=key_id, key=key)
        if made:
            made.unlink(missing_ok=True)


def _measures(summary: Summary) -> Measures:
    measured = {m.name: m.measured for m in summary.measures}
    return Measures(rto_seconds=measured.get("RTO"), rpo_seconds=measured.get("RPO"))
