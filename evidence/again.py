"""Receipts that are asked for again: what an audit saw of each bundle in the log, as records for whoever verifies.

Promises: what is sealed is the store's own answer, also where it is worse than the first; of what the store gives no
more it is said that there is no version; where an answer is worse, the first one's words go before it, so that a
package that lacks the first receipt shows both; a lock that ended as it was promised is not asked for again.
Source: docs/evidence-format.md, "Receipts".
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from evidence.audit import Asked
from evidence.notary import Notary
from evidence.receipts import PutReceipt
from evidence.statement import PredicateType
from evidence.stores import Receipt, Store
from evidence.verify import Receipt as ReadReceipt
from evidence.verify import parse_receipt, parse_statement


@dataclass(frozen=True)
class SealedAgain:
    """Bundles whose receipt was asked for again, how many of those are worse than at first, and how many were not."""

    asked: int
    worse: int
    over: int
    """Their lock ended as it was promised: nothing is owed any more."""


def seal_again(notary: Notary, asked: Iterable[Asked], at: datetime) -> SealedAgain:
    """Seal what a store said of each bundle when it was asked at `at`, in batches. Safe to repeat."""
    receipts: list[PutReceipt] = []
    count = worse = over = 0
    for one in asked:
        if _is_over(one, at):
            over += 1
            continue
        later = later_receipt(one, notary.store, at)
        read, count = _as_read(later), count + 1
        is_weaker = one.first is not None and any(read.problems_after(_as_read(one.first)))
        receipts += [one.first, later] if one.first and is_weaker else [later]
        worse += is_weaker or any(read.problems())
    said = [({each.held.key: each.held.sha256}, each.predicate()) for each in receipts]
    notary.record_all(PredicateType.PUT_RECEIPT, said)
    return SealedAgain(count, worse, over)


def later_receipt(asked: Asked, store: Store, at: datetime) -> PutReceipt:
    """What the store holds now: of the version that the first receipt names, else of the newest, else that it is gone.

    What is gone has no version, and the digest and size that the log names, since they say what is gone.
    """
    held = asked.held or store.head(asked.key)
    if held is not None:
        return PutReceipt(replace(held, created=False), store.where, at, asked.versions, asked.delete_markers)
    version = asked.first.held.version if asked.first else None
    gone = Receipt(asked.key, asked.sha256, asked.size, version)
    return PutReceipt(gone, store.where, at, 0, asked.delete_markers)


def _is_over(asked: Asked, at: datetime) -> bool:
    """Whether a lock was promised that has ended since, and was not made longer."""
    promised = asked.first.held if asked.first else None
    ends = [one.locked_until for one in (promised, asked.held) if one and one.locked_until]
    return bool(ends) and max(ends) <= at


def _as_read(receipt: PutReceipt) -> ReadReceipt:
    """As the public verifier reads it: what is worse is for it to say."""
    said = parse_statement(receipt.payload())
    read = parse_receipt(said, "") if said else None
    if read is None:
        raise ValueError(f"a receipt of {receipt.held.key} that no verifier could read")
    return read
