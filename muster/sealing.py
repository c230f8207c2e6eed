"""Sealing a judged run: its journal, logs and report become a signed bundle that waits in the outbox.

Promises: the bundle depends on the journal, the logs and the exhibits alone, so sealing again after a crash gives the
same bytes; what is sealed is on disk before anything is sent; logs come in redacted (`muster.redaction`), exhibits as
they are.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evidence.bundle import Sealed, seal
from evidence.statement import canonical
from muster.drill import Workspace
from muster.journal import History
from muster.report.html import render_html
from muster.report.markdown import render_markdown
from muster.summary import Summary
from muster.verdict import Outcome, Verdict
from muster.withholding import Withholder

if TYPE_CHECKING:
    from securesystemslib.signer import Signer  # type: ignore[attr-defined]  # re-exported without saying so

JOURNAL = "journal.jsonl"


def journal_lines(history: History, hide: Withholder) -> bytes:
    """The journal as canonical JSON (RFC 8785), one event a line."""
    events = (event.model_dump(mode="json") for event in history)
    return b"".join(canonical(event | {"body": hide.value(event["body"])}) + b"\n" for event in events)


def bundle_name(summary: Summary) -> str:
    """The bundle's file name: the run, which says plan and time."""
    return f"{summary.run}.tar.gz"


def seal_run(
    summary: Summary, history: History, workspace: Workspace, signer: "Signer", withholder: Withholder | None = None
) -> Sealed:
    """Make the run's bundle in its workspace; the same run gives the same bytes, where the signer does.

    What `withholder` withholds is not in it; the logs come in without it already.
    """
    hide = withholder or Withholder(summary.run, b"", ())
    summary = hide.summary(summary)
    members: dict[str, Path | bytes] = {
        JOURNAL: journal_lines(history, hide),
        "report.html": render_html(summary).encode(),
        "report.md": render_markdown(summary).encode(),
        "summary.json": canonical(summary.model_dump(mode="json")) + b"\n",
    }
    members |= {f"logs/{path.name}": path for path in _logs(workspace)}
    members |= {f"exhibits/{path.relative_to(workspace.exhibits)}": path for path in _exhibits(workspace)}
    return seal(
        members,
        predicate=predicate_of(summary),
        test_result=test_result_of(summary),
        signer=signer,
        destination=workspace.root / bundle_name(summary),
        info={
            "Source-Organization": summary.owner,
            "Bagging-Date": f"{summary.ended_at:%Y-%m-%d}",
            "Bag-Software-Agent": f"Muster {summary.muster_version}",
        },
    )


def predicate_of(summary: Summary) -> dict[str, Any]:
    """What the seal says of the run: `urn:muster:drill-run:v1`."""
    return {
        "run": summary.run,
        "plan": summary.plan,
        "planDigest": {"sha256": summary.plan_digest},
        "substance": {"sha256": summary.substance} if summary.substance else None,
        "kind": summary.kind,
        "target": summary.target,
        "outcome": summary.outcome.value,
        "verdict": summary.verdict.value,
        "scheduledAt": summary.scheduled_at.isoformat() if summary.scheduled_at else None,
        "trigger": summary.trigger,
        "flowRun": summary.flow_run,
        "requestedBy": summary.requested_by,
        "approval": summary.approval,
        "openedAt": summary.opened_at.isoformat(),
        "endedAt": summary.ended_at.isoformat(),
        "measures": [m.model_dump(mode="json") for m in summary.measures],
        "findings": [f.model_dump(mode="json", exclude={"detail"}) for f in summary.findings],
        "lastProven": summary.last_proven,
        "controls": list(summary.controls),
        "muster": summary.muster_version,
    }


def test_result_of(summary: Summary) -> dict[str, Any]:
    """The same for whoever knows in-toto's test results only. What was not shown is never a pass, nor a warning.

    Source: in-toto attestation framework, spec/predicates/test-result.md.
    """
    found = {verdict: [f.check for f in summary.findings if f.verdict is verdict] for verdict in Verdict}
    return {
        "configuration": [{"digest": {"sha256": summary.plan_digest}, "name": f"{summary.plan}.yaml"}],
        "failedTests": found[Verdict.FAIL] + found[Verdict.INCONCLUSIVE],
        "passedTests": found[Verdict.PASS],
        "result": "PASSED" if summary.outcome is Outcome.PASSED else "FAILED",
        "warnedTests": [],
    }


def _logs(workspace: Workspace) -> Iterable[Path]:
    return sorted(workspace.logs.glob("*.log")) if workspace.logs.is_dir() else ()


def _exhibits(workspace: Workspace) -> Iterable[Path]:
    return sorted(path for path in workspace.exhibits.rglob("*") if path.is_file() and not path.is_symlink())
