"""Gathering what a package is made of: from the store and its log, the ledger, and the plans.

Promises: nothing is written but in the work folder; what the log names and the store does not give is told in the
package as absent, but while the store is away none is made; what the ledger says comes in as the evidence policy lets
it be shown.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import evidence.verify
from evidence import durable
from evidence.errors import EvidenceError, StoreError, StoreUnreachable
from evidence.names import is_portable
from evidence.outbox import Outbox
from evidence.receipts import receipt_key
from evidence.statement import PredicateType, parse_object
from evidence.stores import NotThere, Store
from evidence.timestamps import Authority
from evidence.vault import Vault
from evidence.witness import Witness
from muster.cards import card_of
from muster.ledger.ledger import Ledger
from muster.ledger.looks import KEPT
from muster.ledger.rows import Alert, Look, Proof
from muster.package.inputs import LINK_ABOVE, PackageInputs, Previous
from muster.package.log import Log, LoggedRun, copy_log
from muster.package.period import Period, period_since
from muster.package.sealed import read_package
from muster.package.vouching import vouched_for
from muster.plan import Plan
from muster.withholding import Withholder

_Told = TypeVar("_Told", Look, Alert, Proof)


@dataclass(frozen=True)
class Sources:
    """Where a package comes from."""

    vault: Vault
    ledger: Ledger
    plans: Sequence[Plan]
    outbox: Outbox | None = None
    """Local copies of bundles: what is here need not be brought."""
    authorities: Sequence[Authority] = ()
    witnesses: Sequence[Witness] = ()
    hide: Withholder = field(default_factory=lambda: Withholder("", b"", ()))
    """What keeps values out of what the ledger tells."""
    link_above: int = LINK_ABOVE


def gather(sources: Sources, release: str, period: Period | None, work: Path) -> PackageInputs:
    """What the package `release` is made of; without a period since the package before, else since the log began.

    `work` is an empty folder that has to stay until the package is made. Raises `EvidenceError`, `StoreUnreachable`.
    """
    vault, spool = sources.vault, Lines(work / "entries")
    glance = _copy(vault, spool)
    name = package_name(release, period)
    if name in glance.names:
        raise EvidenceError(f"a package named {name} is in the log already", "name this release another way")
    bringing = _Bringing(vault.store, sources.outbox, work)
    previous = bringing.previous(glance.newest_package)
    as_of = sources.ledger.now()
    if period and period.start > as_of:
        raise EvidenceError(f"the period {period.name} has not begun", "name one that has")
    period = period or _since_then(previous, glance, as_of)
    head = vault.view.head.content
    log = copy_log(spool, head, period, previous, None)
    for run in _wanted(log):
        bringing.bundle(run)
    vouched = vouched_for(vault, sources.authorities, sources.witnesses, log, previous)
    ledger = _Ledger(sources, period)
    return PackageInputs(
        name=name,
        release=release,
        period=period,
        entries=spool,
        head=head,
        verifier=Path(evidence.verify.__file__).read_bytes(),
        bundles=bringing.bundles,
        absent=bringing.absent,
        receipts=bringing.receipts(log),
        records=bringing.records(glance, period),
        keys=bringing.key_statements(glance),
        log_files=vouched.files,
        anchors=vouched.anchors,
        cosignatures=vouched.cosignatures,
        plans=ledger.cards(),
        standings=sources.ledger.standings(),
        looks=ledger.looks(),
        looks_since=sources.ledger.oldest_look(),
        alerts=ledger.alerts(),
        proofs=ledger.proofs(),
        as_of=as_of,
        previous=previous,
        link_above=sources.link_above,
    )


def package_name(release: str, period: Period | None) -> str:
    """`v1.4.0`, or with a period `v1.4.0-2026-Q3`. Raises `EvidenceError` when no file should have it."""
    name = f"{release}-{period.name.replace('..', '_')}" if period else release
    if not is_portable(name) or "/" in name or name.startswith("."):
        raise EvidenceError(f"{name!r} is no name for a package", "use letters, digits and ._+=,@-, 100 at most")
    return name


class Lines:
    """Entries in a file, one a line, to be read as often as they are asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[bytes]:
        with self.path.open("rb") as source:
            for line in source:
                yield line.removesuffix(b"\n")


@dataclass
class _Glance:
    """What the first pass over the log saw."""

    names: set[str] = field(default_factory=set)
    newest_package: Mapping[str, Any] | None = None
    records: list[tuple[datetime, str]] = field(default_factory=list)
    """When logged, and its key, but for statements about keys and plans."""
    plans: list[str] = field(default_factory=list)
    """The keys of statements about plans."""
    keyring: list[str] = field(default_factory=list)
    """The keys of statements about keys."""
    first_at: datetime | None = None
    """The earliest time of a run, or else when the log began."""
    made_at: datetime | None = None

    def look_at(self, said: Mapping[str, Any]) -> None:
        self.made_at = datetime.fromisoformat(said["loggedAt"])
        match said:
            case {"kind": "package", "name": str(name)}:
                self.names.add(name)
                self.newest_package = said
            case {"kind": "record", "key": str(key), "predicateType": PredicateType.PLAN}:
                self.plans.append(key)
            case {"kind": "record", "key": str(key), "predicateType": PredicateType.KEY}:
                self.keyring.append(key)
            case {"kind": "record", "key": str(key)}:
                self.records.append((self.made_at, key))
        at = datetime.fromisoformat(said["scheduledAt"]) if said.get("scheduledAt") else self.made_at
        self.first_at = min(self.first_at or at, at)


def _copy(vault: Vault, spool: Lines) -> _Glance:
    glance = _Glance()
    with spool.path.open("wb") as out:
        for entry in vault.entries():
            out.write(entry.content + b"\n")
            glance.look_at(parse_object(entry.content) or {})
    return glance


def _since_then(previous: Previous | None, glance: _Glance, as_of: datetime) -> Period:
    if glance.made_at is None or glance.first_at is None:
        raise EvidenceError("the log is empty: there is nothing to package", "run a drill: what it seals is entered")
    if previous:
        return period_since(f"since {previous.name}", previous.until, glance.made_at, as_of)
    return period_since("all", glance.first_at.replace(microsecond=0), glance.made_at, as_of)


def _wanted(log: Log) -> Iterable[LoggedRun]:
    """The runs whose bundles say something: those told, and of each plan the nearest beside the period."""
    runs = (*log.runs, *log.late, *log.before.values(), *log.after.values())
    return {run.key: run for run in runs}.values()


class _Bringing:
    """Brings what the log names into the work folder."""

    def __init__(self, store: Store, outbox: Outbox | None, work: Path) -> None:
        self._store, self._outbox, self._folder = store, outbox, work / "bundles"
        self.bundles: dict[str, Path] = {}
        self.absent: dict[str, str] = {}

    def bundle(self, run: LoggedRun) -> None:
        """A bundle, from the outbox if its copy is what was logged."""
        local = self._outbox.path_of(run.key) if self._outbox else None
        if local and durable.sha256_of(local) == run.sha256:
            self.bundles[run.key] = local
        elif is_portable(run.key):
            self._fetch(run.key)
        else:
            self.absent[run.key] = "its key is none that a store may have"

    def previous(self, said: Mapping[str, Any] | None) -> Previous | None:
        """What the newest package in the log says of itself."""
        if said is None:
            return None
        key, digest = str(said["bundle"]["key"]), str(said["bundle"]["sha256"])
        self._fetch(key)
        path = self.bundles.pop(key, None)
        if path is None or durable.sha256_of(path) != digest:
            why = self.absent.get(key, "it is not the package that was logged")
            raise EvidenceError(
                f"the package before, {key}, cannot be had: {why}",
                "put it back from a copy; `muster evidence audit` says what became of it",
            )
        package = read_package(path)
        path.unlink()
        until = datetime.fromisoformat(package.predicate["period"]["until"])
        return Previous(str(said["name"]), digest, until, int(package.predicate["head"]["size"]), package.open)

    def receipts(self, log: Log) -> dict[str, bytes]:
        """The put receipts, by the key of their bundle."""
        found = ((run.key, self._read(receipt_key(run.key))) for run in (*log.runs, *log.late))
        return {key: content for key, content in found if content is not None}

    def records(self, glance: _Glance, period: Period) -> dict[str, bytes]:
        """The records that were logged in the period, and what was ever said of plans, by their name."""
        keys = (*(key for at, key in glance.records if at in period), *glance.plans)
        found = ((key, self._read(key)) for key in keys)
        return {key.removeprefix("records/"): content for key, content in found if content is not None}

    def key_statements(self, glance: _Glance) -> dict[str, bytes]:
        """Those that the log named when it was read, by their name: who may sign can change while this goes on."""
        found = ((key, self._read(key)) for key in glance.keyring)
        return {key.removeprefix("keys/"): content for key, content in found if content is not None}

    def _fetch(self, key: str) -> None:
        path = self._folder / key
        durable.make_folders(path.parent)
        try:
            self._store.get(key, path)
            self.bundles[key] = path
        except StoreUnreachable:
            raise
        except StoreError as error:
            self.absent[key] = error.message

    def _read(self, key: str) -> bytes | None:
        try:
            return self._store.read(key) if is_portable(key) else None
        except NotThere:
            return None


class _Ledger:
    """What the ledger says of the period, without what is withheld."""

    def __init__(self, sources: Sources, period: Period) -> None:
        self._ledger, self._plans = sources.ledger, sources.plans
        self._hide, self._period = sources.hide, period

    def cards(self) -> list[Any]:
        """The plans' files in short."""
        cards = (card_of(plan) for plan in self._plans)
        return [card._replace(owner=self._hide.text(card.owner)) for card in cards]

    def looks(self) -> Iterator[Look]:
        """By plan and number."""
        for plan in self._names():
            for look in reversed(self._ledger.looks(plan, KEPT)):
                if look.at in self._period:
                    yield self._shown(look, "plan")

    def alerts(self) -> list[Alert]:
        """The oldest first."""
        return [self._shown(alert, "subject", "condition") for alert in self._ledger.alerts(everything=True)]

    def proofs(self) -> list[Proof]:
        """Those of the period, and of each kind the newest before it."""
        proofs = [proof for proof in self._ledger.proofs() if proof.at < self._period.end]
        newest = {proof.kind: proof for proof in proofs if proof.at < self._period.start}
        wanted = [proof for proof in proofs if proof.at >= self._period.start or newest[proof.kind] is proof]
        return [self._shown(proof, "kind") for proof in wanted]

    def _names(self) -> list[str]:
        standings = (standing.plan for standing in self._ledger.standings())
        return sorted({*standings, *(plan.name for plan in self._plans)})

    def _shown(self, row: _Told, *kept: str) -> _Told:
        """The row without what is withheld; what names it stays."""
        if not self._hide.patterns:
            return row
        whole = row.model_dump(mode="json")
        shown = self._hide.value(whole) | {name: whole[name] for name in kept}
        return type(row).model_validate(shown)
