"""`muster verify` and `muster evidence key`: offline, with a pinned key. Imports no database and no client."""

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evidence.keys import ensure_key_pair
from evidence.verifier import Report
from evidence.verifier import verify as verify_bundle
from muster.report.wording import printable
from muster.settings import Settings
from muster.verdict import ExitCode

_WORDS = {True: ("✓ ok", "green"), False: ("✕ fail", "bold red"), None: ("? not checked", "yellow")}
_EXITS = {"pass": ExitCode.PASS, "fail": ExitCode.FAIL, "inconclusive": ExitCode.INCONCLUSIVE}


def verify(bundle: Path, key: Path, *, as_json: bool) -> int:
    """Check the bundle and print every check."""
    report = verify_bundle(bundle, key)
    if as_json:
        print(json.dumps(_as_json(report), indent=2))
    else:
        _show(report, Console())
    return _EXITS[report.verdict]


def _show(report: Report, console: Console) -> None:
    table = Table("check", "", "expected", "seen", box=None, pad_edge=False, header_style="dim")
    for proof in report.proofs:
        word, style = _WORDS[proof.ok]
        table.add_row(proof.name, Text(word, style), Text(proof.expected), Text(printable(proof.seen)))
    console.print(table)
    console.print()
    for proof in report.proofs:
        if proof.ok is False:
            console.print(Text(f"{proof.name}: {proof.meaning}", "red"))
    said = report.predicate or {}
    if report.verdict == "pass":
        console.print(
            Text(f"Verified: sealed by the pinned key {report.key_id[:16]}…, nothing was changed.", "bold green")
        )
        run, outcome = printable(str(said.get("run"))), printable(str(said.get("outcome")))
        console.print(f"What it says: run {run} {outcome}.", markup=False, highlight=False)
    else:
        console.print(Text("Not verified: do not rely on this bundle.", "bold red"))


def _as_json(report: Report) -> dict[str, object]:
    return {
        "bundle": str(report.bundle),
        "key": report.key_id,
        "verdict": report.verdict,
        "checks": [
            {"name": p.name, "ok": p.ok, "expected": p.expected, "seen": p.seen, "meaning": p.meaning}
            for p in report.proofs
        ],
        "predicate": dict(report.predicate) if report.predicate else None,
    }


def show_key(settings: Settings, *, only_path: bool) -> int:
    """Print the public key: its path, and its id and PEM unless only the path is asked for."""
    key = ensure_key_pair(settings.key_file)
    print(settings.public_key_file)
    if not only_path:
        print(f"key id {key.key_id}")
        print(key.pem.decode(), end="")
    return ExitCode.PASS
