"""Sealing: payload, manifests and signed statement become one bundle.

Promises: the same input gives the same bytes; what is hashed is what was written, from one reading; the bundle appears
under its name whole and durable, or not at all.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from evidence import bag, durable
from evidence.archive import ArchiveWriter
from evidence.envelope import sign
from evidence.errors import SealError
from evidence.keys import public_key_of
from evidence.names import find_clash, is_portable
from evidence.statement import PredicateType, statement

if TYPE_CHECKING:
    from securesystemslib.signer import Signer  # type: ignore[attr-defined]  # re-exported without saying so


@dataclass(frozen=True)
class Sealed:
    """A bundle on disk: SHA-256 (hex) and size in bytes of the archive, and the id of the key that sealed it."""

    path: Path
    sha256: str
    size: int
    key_id: str


def seal(
    members: Mapping[str, Path | bytes],
    predicate: Mapping[str, Any],
    signer: "Signer",
    destination: Path,
    info: Mapping[str, str],
    predicate_type: PredicateType = PredicateType.DRILL_RUN,
    test_result: Mapping[str, Any] | None = None,
) -> Sealed:
    """Seal `members` (name below `data/` to file or bytes) into `destination`, which ends in `.tar.gz`.

    `predicate` is JSON-able; `info` are the bag's labels, signed like the payload; `test_result` is the predicate of
    an in-toto test result about the same files. Raises `SealError`; the trap: a file that grows while it is sealed is
    refused, so close logs first.
    """
    name = destination.name.removesuffix(bag.SUFFIX)
    _assert_sealable(members, destination, info)
    payload = {bag.PAYLOAD + member: content for member, content in members.items()}
    durable.make_folders(destination.parent)
    durable.sweep(destination)
    sizes = {member: _size(content) for member, content in payload.items()}
    with durable.replacing(destination) as out:
        archive = ArchiveWriter(out, name, payload=sum(sizes.values()))
        labels = bag.labels(name, sizes, {**info, **_format_of(test_result)})
        _Writing(archive, signer).write(payload, labels, predicate, predicate_type, test_result)
        digest, size = archive.close()
    return Sealed(destination, digest, size, public_key_of(signer).key_id)


class _Writing:
    """Members in the order of their names: labels and payload first, what is computed from them after."""

    def __init__(self, archive: ArchiveWriter, signer: "Signer") -> None:
        self._archive, self._signer = archive, signer
        self._tags: dict[str, str] = {}

    def write(
        self,
        payload: Mapping[str, Path | bytes],
        labels: bytes,
        predicate: Mapping[str, Any],
        predicate_type: PredicateType,
        test_result: Mapping[str, Any] | None,
    ) -> None:
        self._add_tag(bag.LABELS, labels)
        self._add_tag(bag.DECLARATION, bag.DECLARED)
        digests = {member: _add(self._archive, member, payload[member]) for member in sorted(payload)}
        self._add_tag(bag.KEY, public_key_of(self._signer).pem)
        self._add_tag(bag.MANIFEST, bag.manifest(digests))
        subjects = digests | {bag.LABELS: self._tags[bag.LABELS]}
        self._add_tag(bag.ENVELOPE, sign(statement(subjects, predicate, predicate_type), self._signer))
        if test_result is not None:  # its name comes after that of the manifest which names it
            result = sign(statement(subjects, test_result, PredicateType.TEST_RESULT), self._signer)
            self._tags[bag.TEST_RESULT] = hashlib.sha256(result).hexdigest()
        self._archive.add(bag.TAG_MANIFEST, len(tags := bag.manifest(self._tags)), [tags])
        if test_result is not None:
            self._archive.add(bag.TEST_RESULT, len(result), [result])

    def _add_tag(self, tag: str, content: bytes) -> None:
        self._tags[tag] = self._archive.add(tag, len(content), [content])


def _format_of(test_result: Mapping[str, Any] | None) -> dict[str, str]:
    """The label by which a run's bundle says that it has a test result: none can be dropped unseen."""
    return {} if test_result is None else {bag.FORMAT_LABEL: bag.FORMAT}


def _add(archive: ArchiveWriter, name: str, content: Path | bytes) -> str:
    if isinstance(content, bytes):
        return archive.add(name, len(content), [content])
    with _open(content) as source:
        return archive.add(name, os.fstat(source.fileno()).st_size, durable.chunks(source))


def _open(path: Path) -> BinaryIO:
    try:
        return durable.open_plain(path, follow=False)
    except OSError as error:
        raise SealError(f"cannot seal {path}: {error.strerror}", "members are plain, readable files") from error


def _size(content: Path | bytes) -> int:
    if isinstance(content, bytes):
        return len(content)
    with _open(content) as source:
        return os.fstat(source.fileno()).st_size


def _assert_sealable(members: Mapping[str, Path | bytes], destination: Path, info: Mapping[str, str]) -> None:
    if not members:
        raise SealError("a bundle needs at least one member", "seal the journal at least")
    name = destination.name.removesuffix(bag.SUFFIX)
    if name == destination.name or not is_portable(name):
        raise SealError(
            f"{destination.name} is no name for a bundle", "use letters, digits and ._-, and end in .tar.gz"
        )
    for member in members:
        if not is_portable(member):
            raise SealError(f"{member!r} is no portable name", "use letters, digits and ._+=,@- below 100 characters")
    if clash := find_clash(members):
        raise SealError(f"{clash} cannot lie beside another member", "rename it: many disks fold upper and lower case")
    for label, value in info.items():
        if not bag.is_label(label, value):
            raise SealError(f"{label!r}: {value!r} is no label of a bag", "one line each, no leading space")
