"""The bag: which files a bundle holds, and what its manifests say.

Promises: BagIt 1.0, so that `sha256sum -c manifest-sha256.txt` checks an unpacked bundle; every byte of every tag file
follows from the payload, the labels and the seal, so none can change unseen.
Source: RFC 8493.
"""

import re
from collections.abc import Mapping
from typing import Final

DECLARATION: Final = "bagit.txt"
LABELS: Final = "bag-info.txt"
MANIFEST: Final = "manifest-sha256.txt"
TAG_MANIFEST: Final = "tagmanifest-sha256.txt"
ENVELOPE: Final = "statement.dsse.json"
TEST_RESULT: Final = "test-result.dsse.json"
"""Since format 2."""
KEY: Final = "key.pub"
PAYLOAD: Final = "data/"
TAGS: Final = frozenset({DECLARATION, LABELS, MANIFEST, TAG_MANIFEST, ENVELOPE, KEY})
"""Those that every bundle has."""
OPTIONAL_TAGS: Final = frozenset({TEST_RESULT})

DECLARED: Final = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
NAME_LABEL: Final = "External-Identifier"
SIZE_LABEL: Final = "Payload-Oxum"
SUFFIX: Final = ".tar.gz"

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_VALUE = re.compile(r"\S([^\r\n\0]*\S)?")
_LINE = re.compile(r"([0-9a-f]{64})  (\S+)")


def is_label(label: str, value: str) -> bool:
    """Whether this fits one line of `bag-info.txt`; the bundle's own two labels cannot be given."""
    reserved = label.lower() in {NAME_LABEL.lower(), SIZE_LABEL.lower()}
    return not reserved and bool(_LABEL.fullmatch(label)) and bool(_VALUE.fullmatch(value))


def labels(name: str, sizes: Mapping[str, int], info: Mapping[str, str]) -> bytes:
    """`bag-info.txt`: the caller's labels, the bundle's name, and the payload's size as `bytes.files`."""
    own = {NAME_LABEL: name, SIZE_LABEL: oxum(sizes)}
    return "".join(f"{label}: {value}\n" for label, value in sorted({**info, **own}.items())).encode()


def oxum(sizes: Mapping[str, int]) -> str:
    """The payload's size in bytes and its number of files, as BagIt writes them."""
    return f"{sum(sizes.values())}.{len(sizes)}"


def label_in(content: bytes, label: str) -> str | None:
    """The value of a label in `bag-info.txt`."""
    prefix = f"{label}: "
    lines = content.decode("utf-8", "replace").split("\n")
    return next((line.removeprefix(prefix) for line in lines if line.startswith(prefix)), None)


def manifest(digests: Mapping[str, str]) -> bytes:
    """A manifest of these files (name to SHA-256, hex), as `sha256sum` reads it."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()


def parse_manifest(content: bytes) -> dict[str, str]:
    """Name to digest of every well-formed line of a manifest of any origin."""
    lines = content.decode("utf-8", "replace").split("\n")
    return {match[2]: match[1] for match in map(_LINE.fullmatch, lines) if match}
