"""The bag: which files a bundle holds, and what its labels say. The reading half is the verifier's own.

Promises: BagIt 1.0, so that `sha256sum -c manifest-sha256.txt` checks an unpacked bundle; every byte of every tag file
follows from the payload, the labels and the seal, so none can change unseen.
Source: RFC 8493.
"""

import re
from collections.abc import Mapping
from typing import Final

from evidence.verify import (
    DECLARATION,
    DECLARED,
    ENVELOPE,
    FORMAT,
    FORMAT_LABEL,
    KEY,
    LABELS,
    MANIFEST,
    NAME_LABEL,
    OPTIONAL_TAGS,
    PAYLOAD,
    PERIOD_LABEL,
    SIZE_LABEL,
    TAG_MANIFEST,
    TAGS,
    TEST_RESULT,
    label_in,
    manifest,
    oxum,
    parse_manifest,
)

__all__ = [
    "DECLARATION",
    "DECLARED",
    "ENVELOPE",
    "FORMAT",
    "FORMAT_LABEL",
    "KEY",
    "LABELS",
    "MANIFEST",
    "NAME_LABEL",
    "OPTIONAL_TAGS",
    "PAYLOAD",
    "PERIOD_LABEL",
    "SIZE_LABEL",
    "SUFFIX",
    "TAGS",
    "TAG_MANIFEST",
    "TEST_RESULT",
    "is_label",
    "label_in",
    "labels",
    "manifest",
    "oxum",
    "parse_manifest",
]

SUFFIX: Final = ".tar.gz"

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_VALUE = re.compile(r"\S([^\r\n\0]*\S)?")


def is_label(label: str, value: str) -> bool:
    """Whether this fits one line of `bag-info.txt`; the bundle's own two labels cannot be given."""
    reserved = label.lower() in {NAME_LABEL.lower(), SIZE_LABEL.lower()}
    return not reserved and bool(_LABEL.fullmatch(label)) and bool(_VALUE.fullmatch(value))


def labels(name: str, sizes: Mapping[str, int], info: Mapping[str, str]) -> bytes:
    """`bag-info.txt`: the caller's labels, the bundle's name, and the payload's size as `bytes.files`."""
    own = {NAME_LABEL: name, SIZE_LABEL: oxum(sizes)}
    return "".join(f"{label}: {value}\n" for label, value in sorted({**info, **own}.items())).encode()
