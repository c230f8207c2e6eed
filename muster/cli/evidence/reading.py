"""`muster evidence ls`, `timeline` and `pull`: what was sealed, when it was entered, and a copy of it."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evidence.keys import ensure_key_pair, load_public
from evidence.log import Entry
from evidence.statement import PredicateType
from evidence.vault import Vault
from muster.errors import UsageError
from muster.notary.policy import read_policy
from muster.quantity import count_of
from muster.report.wording import moment, printable
from muster.settings import Settings
from muster.verdict import ExitCode

_STYLES = {"passed": "green", "failed": "bold red", "missed": "bold red", "inconclusive": "yellow"}


@dataclass(frozen=True)
class Wanted:
    """Which entries are asked for; without any of it, all."""

    plan: str = ""
    outcome: str = ""
    run: str = ""
    since: datetime | None = None

    def __call__(self, entry: Entry) -> bool:
        """Whether the entry is one of them."""
        said = entry.fields
        asked = (("plan", self.plan), ("outcome", self.outcome), ("run", self.run))
        if any(value and said.get(field) != value for field, value in asked):
            return False
        return self.since is None or entry.logged_at >= self.since


def open_vault(settings: Settings, key: Path | None = None) -> Vault:
    """The vault of this installation's store, under the pinned key."""
    from flows.registry import store_of

    if key is None:
        ensure_key_pair(settings.key_file)
    pinned = load_public(key or settings.pinned_key_file)
    return Vault.open(store_of(settings), pinned, read_policy(settings.plans).origin)


def ls(settings: Settings, wanted: Wanted, limit: int, *, as_json: bool) -> int:
    """List entries, the newest last; as JSON each as it is, one a line, whole and in order."""
    vault = open_vault(settings)
    entries = list(vault.entries(wanted))
    if as_json:
        for entry in entries:
            print(json.dumps({"index": entry.index, **entry.fields}))
        return ExitCode.PASS
    console = Console()
    if len(entries) > limit:
        console.print(f"The newest {limit} of {len(entries)}; --limit shows more.", style="dim")
    console.print(_table(entries[-limit:]))
    console.print()
    console.print(f"{count_of(vault.view.size, 'entry', 'entries')} in the log {vault.origin}, in {vault.store.where}")
    return ExitCode.PASS


def timeline(settings: Settings, wanted: Wanted) -> int:
    """Show, month by month, how the runs of each plan ended."""
    months: dict[str, dict[str, Counter[str]]] = {}
    for entry in open_vault(settings).entries(wanted):
        if entry.kind == "run":
            at = datetime.fromisoformat(entry.fields["scheduledAt"]) if entry.fields["scheduledAt"] else entry.logged_at
            plans = months.setdefault(f"{at:%Y-%m}", {})
            plans.setdefault(entry.fields["plan"], Counter())[entry.fields["outcome"]] += 1
    table = Table("month", "plan", "runs", "how they ended", box=None, pad_edge=False, header_style="dim")
    for month, plans in sorted(months.items()):
        for place, (plan, outcomes) in enumerate(sorted(plans.items())):
            ends = Text(", ").join(
                Text(f"{number} {outcome}", _STYLES.get(outcome, "")) for outcome, number in sorted(outcomes.items())
            )
            table.add_row(month if place == 0 else "", printable(plan), str(outcomes.total()), ends)
    Console().print(table)
    return ExitCode.PASS


def pull(settings: Settings, wanted: Wanted, folder: Path, *, key: Path | None, as_json: bool) -> int:
    """Bring bundles with their receipts and proofs, the keyring, and the verifier."""
    vault = open_vault(settings, key)
    entries = [entry for entry in vault.entries(wanted) if "bundle" in entry.fields]
    if not entries:
        raise UsageError("nothing in the log fits what was asked for", "see `muster evidence ls`")
    brought = [*vault.pull_keys(folder), *(pulled for entry in entries for pulled in vault.pull(entry, folder))]
    _add_verifier(folder)
    new = sum(is_new for _, is_new in brought)
    if as_json:
        print(json.dumps({"folder": str(folder), "brought": new, "there": len(brought) - new}))
    else:
        there = f", {len(brought) - new} were there already" if new < len(brought) else ""
        print(f"{count_of(new, 'file', 'files')} brought to {folder}{there}.")
        first = entries[0].fields["bundle"]["key"]
        print(f"Check one: cd {folder}; python3 verify.py {first} --key PINNED.pub \\")
        print(f"  --keyring keys --proof proofs/{first}.tlog-proof --receipt receipts/{first}.dsse.json")
    return ExitCode.PASS


def _add_verifier(folder: Path) -> None:
    import evidence.verify

    (folder / "verify.py").write_bytes(Path(evidence.verify.__file__).read_bytes())


def _table(entries: Iterable[Entry]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("entry", "entered", "what", "outcome"):
        table.add_column(column, overflow="fold", no_wrap=column == "outcome")
    for entry in entries:
        outcome = str(entry.fields.get("outcome", ""))
        row = (str(entry.index), moment(entry.logged_at), printable(_what(entry)))
        table.add_row(*row, Text(outcome, _STYLES.get(outcome, "")))
    return table


_RECORDS = {
    PredicateType.KEY: "key statement",
    PredicateType.PROBE: "probe of the store",
    PredicateType.LINK: "link handed out",
    PredicateType.PUT_RECEIPT: "receipt asked for again",
    PredicateType.PLAN: "plan statement",
}


def _what(entry: Entry) -> str:
    said = entry.fields
    match entry.kind:
        case "run":
            return str(said["run"])
        case "package":
            return f"package {said['name']}"
        case "record":
            return _RECORDS.get(said["predicateType"], str(said["predicateType"]))
    return entry.kind


def parse_since(text: str) -> datetime | None:
    """A day or a moment, in UTC unless it says otherwise."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no day or moment", "write 2026-07-01, or 2026-07-01T12:00Z") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
