"""`muster verify`: offline, with a pinned key, by the very file that ships with every package."""

import json
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evidence.errors import KeyProblem
from evidence.verify import (
    Given,
    Report,
    Unusable,
    check,
    default_judge,
    load_file,
    load_key,
    parse_vkey,
    report_json,
)
from muster.report.wording import printable
from muster.verdict import ExitCode

_WORDS = {True: ("✓ ok", "green"), False: ("✕ fail", "bold red"), None: ("? not checked", "yellow")}
_EXITS = {"pass": ExitCode.PASS, "fail": ExitCode.FAIL, "inconclusive": ExitCode.INCONCLUSIVE}


class Beside(NamedTuple):
    """What may be given beside the bundle, to check more of it; as `verify.py` takes it."""

    proof: Path | None = None
    keyring: Path | None = None
    receipt: Path | None = None
    before: Path | None = None
    linked: Path | None = None
    certificates: tuple[Path, ...] = ()
    witnesses: tuple[str, ...] = ()
    heads: tuple[Path, ...] = ()


def verify(bundle: Path, key: Path, beside: Beside, *, as_json: bool) -> int:
    """Check the bundle or package and print every check."""
    try:
        report = check(bundle, _given(key, beside))
    except Unusable as error:
        raise KeyProblem(error.message, error.advice) from error
    if as_json:
        print(json.dumps(report_json(report), indent=2))
    else:
        _show(report, Console())
    return _EXITS[report.verdict]


def _given(key: Path, beside: Beside) -> Given:
    witnesses = {text: parse_vkey(text) for text in beside.witnesses}
    for text, witness in witnesses.items():
        if witness is None:
            raise Unusable(f"{text!r} is no key of a witness", "write NAME+ID+KEY, of type 4")
    return Given(
        load_key(key),
        default_judge,
        None,
        beside.proof,
        beside.keyring,
        beside.receipt,
        beside.before,
        beside.linked,
        b"\n".join(map(load_file, beside.certificates)),
        tuple(witness for witness in witnesses.values() if witness),
        beside.heads,
    )


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
