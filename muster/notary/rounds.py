"""Rounds of the notary: what was handed in is entered, and others vouch for the newest head.

Promises: a round may be repeated, and killed, at any point; one thing that fails is told and leaves the rest alone; a
backlog is entered in batches, with one bundle on disk at a time; who was not asked to vouch is named, never left out.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from evidence.errors import EvidenceError, StoreUnreachable
from evidence.notary import Notary, proof_key
from evidence.stores import Store
from evidence.timestamps import Anchored, NotAnchored, keep_anchors
from evidence.witness import Cosigned, NotCosigned, keep_cosignatures
from muster.notary.outsiders import authorities_of, witnesses_of
from muster.notary.policy import EvidencePolicy
from muster.plan import RESERVED

_FOLDERS = tuple(f"{name}/" for name in RESERVED)


@dataclass(frozen=True)
class Round:
    """What one round did: keys that were entered, what went wrong, and who vouches for the newest head."""

    entered: tuple[str, ...]
    problems: tuple[str, ...]
    size: int
    vouched: tuple[str, ...] = ()


def go_round(notary: Notary, policy: EvidencePolicy) -> Round:
    """Enter what was handed in, then have the newest head vouched for. Raises `StoreUnreachable`, `ForkAlarm`."""
    entered, problems = _enter_all(notary)
    said = list(_vouch(notary, policy))
    return Round(
        entered=tuple(entered),
        problems=(*problems, *(words for is_well, words in said if not is_well)),
        size=notary.log.view().size,
        vouched=tuple(words for is_well, words in said if is_well),
    )


def handed_in(notary: Notary) -> Iterator[str]:
    """The keys of bundles and packages that are in the store and not entered yet."""
    entered = set(notary.store.keys("proofs/"))
    for key in notary.store.keys(""):
        is_bundle = not key.startswith(_FOLDERS) or key.startswith("packages/")
        if is_bundle and key.endswith(".tar.gz") and proof_key(key) not in entered:
            yield key


def _enter_all(notary: Notary) -> tuple[list[str], list[str]]:
    """What cannot be entered is told and stays where it is."""
    keys = list(handed_in(notary))
    problems: dict[str, EvidenceError] = {}
    with tempfile.TemporaryDirectory(prefix="muster-notary-") as folder:
        problems |= notary.enter_all(_brought(notary.store, keys, Path(folder), problems))
    entered = [key for key in keys if key not in problems]
    return entered, [f"{key}: {problems[key].message}" for key in keys if key in problems]


def _brought(
    store: Store, keys: Sequence[str], folder: Path, problems: dict[str, EvidenceError]
) -> Iterator[tuple[str, Path]]:
    """One local copy after the other, each gone when the next is asked for."""
    for key in keys:
        local = folder / Path(key).name
        try:
            store.get(key, local)
        except StoreUnreachable:
            raise
        except EvidenceError as error:
            problems[key] = error
            continue
        yield key, local
        local.unlink()


def _vouch(notary: Notary, policy: EvidencePolicy) -> Iterator[tuple[bool, str]]:
    """Whether it went well, and in words: of each authority and each witness."""
    view = notary.log.view()
    head = view.head
    authorities, witnesses = authorities_of(policy), witnesses_of(policy)
    with httpx.Client() as http:
        if authorities:
            for stamp in keep_anchors(notary.store, head.size, head.content, authorities, http, notary.now):
                yield _told_of_stamp(stamp)
        if witnesses:
            for word in keep_cosignatures(
                notary.store, head.content, witnesses, lambda old, _new: view.consistency(old), http, notary.now
            ):
                yield _told_of_word(word)


def _told_of_stamp(stamp: Anchored | NotAnchored) -> tuple[bool, str]:
    if isinstance(stamp, Anchored):
        return True, f"time-stamped by {stamp.authority} at {stamp.at:%Y-%m-%d %H:%M:%S} UTC"
    return False, f"no time-stamp of {stamp.authority}: {stamp.why}"


def _told_of_word(word: Cosigned | NotCosigned) -> tuple[bool, str]:
    if isinstance(word, Cosigned):
        return True, f"cosigned by {word.witness} at {word.at:%Y-%m-%d %H:%M:%S} UTC"
    return False, f"not cosigned by {word.witness}: {word.why.value}, {word.message}"
