"""Places: which keys a store of evidence may hold, and which of them are written once.

Promise: a key that the format does not list is no place, however like one it looks.
Source: docs/evidence-format.md, "The store".
"""

import re
from typing import Final

from evidence.names import is_portable

_SEGMENT: Final = "[A-Za-z0-9_+=,@][A-Za-z0-9._+=,@-]*"
_SIZE: Final = "[0-9]{20}"
_TILE: Final = r"(?:[0-9]{1,2}|entries)/(?:x[0-9]{3}/)*[0-9]{3}(?:\.p/[1-9][0-9]{0,2})?"
_OWN: Final = "receipts|proofs|log|keys|records|packages|canaries|portal"
"""Folders of the format: no plan is called so."""

_BUNDLE: Final = rf"(?!(?:{_OWN})/){_SEGMENT}/{_SEGMENT}\.tar\.gz|packages/{_SEGMENT}\.tar\.gz"
_ENTERED: Final = rf"{_BUNDLE}|keys/[0-9]{{8}}\.dsse\.json|records/[0-9a-f]{{64}}\.dsse\.json"
_ONCE: Final = re.compile(
    rf"{_ENTERED}|receipts/(?:{_BUNDLE})\.dsse\.json|proofs/(?:{_ENTERED})\.tlog-proof"
    rf"|log/(?:heads/{_SIZE}|batches/{_SIZE}|tile/{_TILE}|times/{_SIZE}/{_SEGMENT}\.tsr|cosignatures/{_SIZE}/{_SEGMENT})"
)
_OFTEN: Final = re.compile(rf"canaries/{_SEGMENT}|portal/.+")


def is_place(key: str) -> bool:
    """Whether the format lists such a key."""
    return is_written_once(key) or bool(_OFTEN.fullmatch(key) and is_portable(key))


def is_written_once(key: str) -> bool:
    """Whether it is evidence: written once, and never again."""
    return bool(_ONCE.fullmatch(key) and is_portable(key))


def is_bundle(key: str) -> bool:
    """Whether a run's bundle or a package is kept there."""
    return bool(re.fullmatch(_BUNDLE, key) and is_portable(key))
