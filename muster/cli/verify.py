"""`muster verify` and `muster evidence key`: offline, with a pinned key. Imports no database and no client."""

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evidence.errors import KeyProblem
from evidence.keys import ensure_key_pair
from evidence.verify import Report, Unusable, report_json
from evidence.verify import verify as verify_bundle
from muster.report.wording import printable
from muster.settings import Settings
from muster.verdict import ExitCode

_WORDS = {True: ("✓ ok", "green"), False: ("✕ fail", "bold red"), None: ("? not checked", "yellow")}
_EXITS = {"pass": ExitCode.PASS, "fail": ExitCode.FAIL, "inconclusive": ExitCode.INCONCLUSIVE}


def verify(bundle: Path, key: Path, *, as_json: bool) -> int:
    """Check the bundle or package and print every check."""
    try:
        report = verify_bundle(bundle, key)
    except Unusable as error:
        raise KeyProblem(error.message, error.advice) from error
    if as_json:
        print(json.dumps(report_json(report), indent=2))
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
    for remark in report.remarks:
        console.print(Text(f"- {printable(remark)}", "dim"))
    if report.verdict == "fail":
        console.print(Text("Not verified: do not rely on this bundle.", "bold red"))
    elif report.verdict == "inconclusive":
        console.print(Text("Nothing wrong was found, but not all that was asked for could be checked.", "yellow"))
    else:
        vouched = (
            f"Verified: sealed by keys that the pinned key {report.key_id[:16]}… vouches for, nothing was changed."
        )
        console.print(Text(vouched, "bold green"))
    for line in report.told if report.verdict != "fail" else ():
        console.print(f"What it says: {printable(line)}.", markup=False, highlight=False)


def show_key(settings: Settings, *, only_path: bool) -> int:
    """Print the public key: its path, and its id and PEM unless only the path is asked for."""
    key = ensure_key_pair(settings.key_file)
    print(settings.public_key_file)
    if not only_path:
        print(f"key id {key.key_id}")
        print(key.pem.decode(), end="")
    return ExitCode.PASS
