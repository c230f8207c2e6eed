"""Gathering what the portal shows: from the store and its log, the ledger, and the plans.

Promises: what is evidence is read under the pinned key's keyring; what was read of a bundle once is kept by a digest,
so that a portal of ten thousand runs reads only what is new; nothing is written but that cache.
"""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from evidence import durable
from evidence.envelope import open_envelope
from evidence.errors import EvidenceError, StoreUnreachable
from evidence.log import Entry, head_key
from evidence.log.heads import Head
from evidence.outbox import Outbox
from evidence.receipts import receipt_key
from evidence.sealed import read_statement
from evidence.statement import PredicateType, predicate_of
from evidence.timestamps import TIMES, Authority
from evidence.vault import Vault
from evidence.verify import ArchiveDamaged
from evidence.witness import COSIGNATURES, Witness
from muster.cadence.spec import RECORDED
from muster.cards import card_of
from muster.ledger.errors import LedgerError
from muster.ledger.ledger import Ledger
from muster.notary.vouched import Anchor, Cosignature, anchors_of, cosignatures_of, size_in
from muster.package.log import Log, LoggedRun, copy_log
from muster.package.planlog import read_statements
from muster.package.population import build_population
from muster.package.sealed import Reading, read_bundle
from muster.plan import Plan
from muster.portal.model import LogEntry, PortalData, Waiting
from muster.portal.plans import ALL_TIME, plans_of, problems_of

_READING = TypeAdapter(Reading)


@dataclass(frozen=True)
class Sources:
    """Where a portal comes from. `cache` is a folder that may be deleted at any time."""

    vault: Vault
    ledger: Ledger
    plans: Sequence[Plan]
    outbox: Outbox
    cache: Path
    authorities: Sequence[Authority] = ()
    witnesses: Sequence[Witness] = ()


def gather(sources: Sources) -> PortalData:
    """Everything that the portal shows now. Raises `EvidenceError`, `StoreUnreachable`."""
    vault, now = sources.vault, sources.ledger.now()
    reading = _Reading(sources)
    entries = list(vault.entries())
    sealed = [entry for entry in entries if "bundle" in entry.fields]
    head = vault.view.head
    log = _log_of_all_time(entries, head, now)
    readings = {run.key: reading.of_run(entries[run.index], run) for run in log.runs}
    cards, standings = [card_of(plan) for plan in sources.plans], sources.ledger.standings()
    statements = read_statements(log, reading.records(log))
    population = build_population(log, readings, ALL_TIME, cards, standings, now, statements)
    return PortalData(
        at=now,
        origin=vault.origin,
        size=head.size,
        root=base64.b64encode(head.root).decode(),
        entries=[LogEntry(entry.index, entry.fields) for entry in entries],
        predicates=dict(reading.predicates(sealed)),
        receipts=dict(reading.receipts(sealed)),
        problems=problems_of(population),
        plans=plans_of(population, cards, standings, statements),
        waiting=list(_waiting(sources)),
        anchors=list(_anchors(sources)),
        cosignatures=list(_cosignatures(sources)),
        probe=reading.newest_probe(entries),
        keys=[_predicate(envelope, PredicateType.KEY) for envelope in vault.keyring.envelopes],
    )


def _log_of_all_time(entries: Sequence[Entry], head: Head, now: datetime) -> Log:
    """The runs of the log as a package has them; of an empty log, one that is known to hold nothing until now."""
    if not entries:
        return Log(head.origin, 0, "", began_at=ALL_TIME.start, made_at=now, runs=(), late=())
    return copy_log((entry.content for entry in entries), head.content, ALL_TIME, None, None)


@dataclass(frozen=True)
class _Reading:
    """Reads what entries name, each once and for all."""

    sources: Sources

    def predicates(self, sealed: Sequence[Entry]) -> Iterator[tuple[str, Any]]:
        """Of each bundle that can be had, by its key; what cannot be had is shown without."""
        for entry in sealed:
            statement = self._kept(entry.envelope, partial(self._statement, entry))
            about = PredicateType.PACKAGE if entry.kind == "package" else PredicateType.DRILL_RUN
            if (said := predicate_of(statement, about)) is not None:
                yield str(entry.fields["bundle"]["key"]), said

    def of_run(self, entry: Entry, run: LoggedRun) -> Reading:
        """What a package says of a run that has this entry."""
        place = self._place(entry.leaf.hex())
        if place.is_file() and (kept := _reading_in(place.read_bytes())):
            return kept
        with self._bundle(entry) as bundle:
            if bundle is None:
                return Reading(None)
            found = read_bundle(bundle, run)
            statement = read_statement(bundle) if found.sealed else b""
        if statement:
            self._keep(place, _READING.dump_json(found))
            self._keep(self._place(entry.envelope), statement)
        return found

    def records(self, log: Log) -> dict[str, bytes]:
        """What the log says of plans, by its name below `records/`."""
        found = {each.key: self._kept(each.envelope, partial(self._read, each.key)) for each in log.plans}
        return {key.removeprefix("records/"): content for key, content in found.items()}

    def receipts(self, sealed: Sequence[Entry]) -> Iterator[tuple[str, Any]]:
        """The predicate of each first receipt, by its bundle's key."""
        for entry in sealed:
            key = str(entry.fields["bundle"]["key"])
            envelope = self._kept(str(entry.fields["receipt"]), partial(self._read, receipt_key(key)))
            if said := _predicate(envelope, PredicateType.PUT_RECEIPT):
                yield key, said

    def newest_probe(self, entries: Sequence[Entry]) -> Mapping[str, Any] | None:
        """What the newest probe of the store found."""
        probes = (e for e in reversed(entries) if e.fields.get("predicateType") == PredicateType.PROBE.value)
        if (newest := next(probes, None)) is None:
            return None
        envelope = self._kept(newest.envelope, lambda: self._read(str(newest.fields["key"])))
        return _predicate(envelope, PredicateType.PROBE) or None

    def _kept(self, digest: str, read: Callable[[], bytes]) -> bytes:
        """What has this digest as a name, from the cache or read now; nothing where it cannot be read."""
        place = self._place(digest)
        if place.is_file():
            return place.read_bytes()
        content = read()
        if content:
            self._keep(place, content)
        return content

    def _place(self, digest: str) -> Path:
        return self.sources.cache / digest[:2] / digest

    def _keep(self, place: Path, content: bytes) -> None:
        durable.make_folders(place.parent)
        durable.write(place, content)

    def _statement(self, entry: Entry) -> bytes:
        """The payload of the envelope in a bundle that has the digest its entry names."""
        with self._bundle(entry) as bundle, suppress(ArchiveDamaged):
            return read_statement(bundle) if bundle else b""
        return b""

    @contextmanager
    def _bundle(self, entry: Entry) -> Iterator[Path | None]:
        """The bundle with the digest that its entry names, for as long as it is looked at, if it can be had."""
        key, sha256 = str(entry.fields["bundle"]["key"]), entry.fields["bundle"]["sha256"]
        local = self.sources.outbox.path_of(key)
        if local and durable.sha256_of(local) == sha256:
            yield local
            return
        brought = self.sources.cache / "brought.tar.gz"
        durable.make_folders(brought.parent)
        try:
            yield brought if self._bring(key, brought) == sha256 else None
        finally:
            brought.unlink(missing_ok=True)

    def _bring(self, key: str, to: Path) -> str:
        """The digest of what the store gave; empty where it gave nothing."""
        try:
            return self.sources.vault.store.get(key, to)
        except StoreUnreachable:
            raise
        except EvidenceError:
            return ""

    def _read(self, key: str) -> bytes:
        try:
            return self.sources.vault.store.read(key)
        except StoreUnreachable:
            raise
        except EvidenceError:
            return b""


def _reading_in(content: bytes) -> Reading | None:
    """A reading as it was kept; none where another version kept it otherwise."""
    try:
        return _READING.validate_json(content, context=RECORDED)
    except ValidationError:
        return None


def _predicate(envelope: bytes, about: PredicateType) -> dict[str, Any]:
    opened = open_envelope(envelope)
    return (predicate_of(opened.payload, about) if opened else None) or {}


def _waiting(sources: Sources) -> Iterator[Waiting]:
    """Runs that ended and are not in the log: their bundles wait in this installation's outbox."""
    for key in sources.outbox.waiting():
        plan, _, name = key.partition("/")
        run = name.removesuffix(".tar.gz")
        yield Waiting(plan, run, _due(sources.ledger, run), "its bundle waits for the store or the notary")


def _due(ledger: Ledger, run: str) -> datetime | None:
    """The slot of a run, if this ledger knows it."""
    with suppress(LedgerError):
        return ledger.run(run).scheduled_at
    return None


def _anchors(sources: Sources) -> Iterator[Anchor]:
    store = sources.vault.store
    for size in _sizes(store.keys(TIMES)):
        yield from anchors_of(store, size, store.read(head_key(size)), sources.authorities)


def _cosignatures(sources: Sources) -> Iterator[Cosignature]:
    store = sources.vault.store
    for size in _sizes(store.keys(COSIGNATURES)):
        yield from cosignatures_of(store, size, store.read(head_key(size)), sources.witnesses)


def _sizes(keys: Sequence[str]) -> list[int]:
    return sorted({size for key in keys if (size := size_in(key))})
