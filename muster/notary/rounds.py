"""Rounds of the notary: what was handed in is entered, the newest head is time-stamped and cosigned.

Promises: a round may be repeated, and killed, at any point; one thing that fails is told and leaves the rest alone.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from evidence.errors import EvidenceError, StoreUnreachable
from evidence.notary import Notary, proof_key
from evidence.stores import Store
from muster.plan import RESERVED

_FOLDERS = tuple(f"{name}/" for name in RESERVED)


@dataclass
class Round:
    """What one round did."""

    entered: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def handed_in(store: Store) -> Iterator[str]:
    """The keys of bundles and packages that are in the store and not entered yet."""
    entered = set(store.keys("proofs/"))
    for key in store.keys(""):
        is_bundle = not key.startswith(_FOLDERS) or key.startswith("packages/")
        if is_bundle and key.endswith(".tar.gz") and proof_key(key) not in entered:
            yield key


def enter_all(notary: Notary, store: Store) -> Round:
    """Enter what was handed in. Raises `StoreUnreachable`; what cannot be entered is told and stays where it is."""
    done = Round()
    with tempfile.TemporaryDirectory(prefix="muster-notary-") as folder:
        for key in handed_in(store):
            local = Path(folder) / Path(key).name
            try:
                store.get(key, local)
                notary.enter(key, local)
                done.entered.append(key)
            except StoreUnreachable:
                raise
            except EvidenceError as error:
                done.problems.append(f"{key}: {error.message}")
            finally:
                local.unlink(missing_ok=True)
    return done
