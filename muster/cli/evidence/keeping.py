"""`muster evidence probe`, `audit` and `link`: does the store keep what it was given, and who else may read it."""

import json
from datetime import timedelta
from functools import partial

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evidence.again import SealedAgain, seal_again
from evidence.audit import audit as audit_store
from evidence.keyring import Role
from evidence.notary import Notary
from evidence.probe import ProbeResult
from evidence.probe import probe as probe_store
from evidence.statement import PredicateType, utc
from evidence.stores import S3Store
from flows.registry import store_of
from muster.cli.evidence.reading import open_vault
from muster.clock import SystemClock
from muster.errors import UsageError
from muster.notary.desk import Desk
from muster.quantity import count_of
from muster.report.wording import printable
from muster.settings import Settings
from muster.verdict import ExitCode


def probe(settings: Settings, *, as_json: bool) -> int:
    """Try to destroy a locked canary; the sealed result says whether the store may be called WORM."""
    notary = _notary(settings)
    result = probe_store(notary.store, notary.now(), notary.store.where)
    entry = notary.record(PredicateType.PROBE, result.subjects(), result.predicate())
    if as_json:
        print(json.dumps({**result.predicate(), "entry": entry.index}, indent=2))
    else:
        _show(result)
        print(f"Sealed as entry {entry.index} of the log.")
    return ExitCode.PASS if result.is_worm else ExitCode.FAIL


def audit(settings: Settings, *, deep: bool, seal: bool, as_json: bool) -> int:
    """Hold what the store has against its receipts, and both against the log; `seal` enters what it answered."""
    notary = _notary(settings) if seal else None
    vault, began = open_vault(settings), SystemClock().now()
    found = audit_store(vault.store, partial(vault.keys_now, Role.SEAL), entries=vault.entries, deep=deep)
    sealed = seal_again(notary, found.asked, began) if notary else None
    if as_json:
        findings = [
            {"fault": one.fault.value, "key": one.key, "version": one.version, "seen": one.seen, "advice": one.advice}
            for one in found.findings
        ]
        told = {"findings": findings, "versions": found.versions, "bundles": found.bundles, "receipts": found.receipts}
        print(json.dumps({**told, "entries": found.entries, "deep": found.is_deep, **_sealed_json(sealed)}, indent=2))
        return ExitCode.FAIL if found.findings else ExitCode.PASS
    for one in found.findings:
        print(printable(f"{one.fault.value}: {one.seen}\n  -> {one.advice}"))
    depth = "each bundle's bytes too" if found.is_deep else "not their bytes: --deep reads those"
    looked = f"{count_of(found.versions, 'version', 'versions')}, {count_of(found.receipts, 'receipt', 'receipts')}"
    looked += f", {count_of(found.entries, 'bundle', 'bundles')} of the log"
    print(f"{count_of(len(found.findings), 'finding', 'findings')} in {looked} ({depth}).")
    if sealed:
        again = f"{count_of(sealed.asked, 'bundle', 'bundles')}, {sealed.worse} of them worse than at first"
        rest = f"; {sealed.over} not asked again, since their lock ended as promised" if sealed.over else ""
        print(f"Sealed what the store says now of {again}{rest}: packages of this period hold it.")
    return ExitCode.FAIL if found.findings else ExitCode.PASS


def _sealed_json(sealed: SealedAgain | None) -> dict[str, object]:
    return {"sealed": {"bundles": sealed.asked, "worse": sealed.worse, "over": sealed.over}} if sealed else {}


def link(settings: Settings, run: str, days: float, *, to: str, as_json: bool) -> int:
    """Hand out an address from which one version of a bundle can be brought without an account; it is logged."""
    notary = _notary(settings)
    if not isinstance(notary.store, S3Store):
        raise UsageError("a folder hands out no links", "keep evidence in a bucket, or send the file")
    bundle = next((e.fields["bundle"] for e in notary.log.view().backwards() if _is(e.fields, run)), None)
    held = notary.store.head(bundle["key"]) if bundle else None
    if bundle is None or held is None or not held.version:
        raise UsageError(f"there is no run or package {run!r} with a version in the log", "see `muster evidence ls`")
    if held.sha256 != bundle["sha256"]:
        raise UsageError(f"the newest version of {held.key} is not what was entered", "see `muster evidence audit`")
    seconds = int(timedelta(days=days).total_seconds())
    address = notary.store.link(held.key, held.version, seconds)
    until = notary.now() + timedelta(seconds=seconds)
    told = {"at": utc(notary.now()), "key": held.key, "to": to, "until": utc(until), "version": held.version}
    notary.record(PredicateType.LINK, {held.key: held.sha256}, told)
    print(json.dumps({**told, "sha256": held.sha256, "url": address}, indent=2) if as_json else address)
    return ExitCode.PASS


def _is(said: dict[str, object], name: str) -> bool:
    return name in {said.get("run"), said.get("name")} and "bundle" in said


def _notary(settings: Settings) -> Notary:
    return Desk(settings, SystemClock()).notary(store_of(settings))


def _show(result: ProbeResult) -> None:
    console = Console()
    table = Table("tried to", "answer", box=None, pad_edge=False, header_style="dim")
    for attempt in result.attempts:
        table.add_row(attempt.words, Text(attempt.answer.value, "" if attempt.reason else "green"))
    if result.attempts:
        console.print(table)
        console.print()
    for reason in result.reasons:
        console.print(Text(f"✕ {printable(reason)}", "red"))
    for note in result.notes:
        console.print(Text(f"- {printable(note)}", "dim"))
    if result.is_worm:
        console.print(Text(f"{result.where} kept what it was told to keep: it may be called WORM.", "bold green"))
    else:
        console.print(Text(f"{result.where} may not be called WORM.", "bold red"))
