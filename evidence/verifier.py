"""The verifier: is this bundle, byte for byte, what the pinned key sealed?

Promises: it needs the bundle and a pinned key, nothing else; a key inside the bundle is never trusted; hostile input
is a failed check, never an exception; every check is listed, also one that could not be made.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from evidence import bag, durable
from evidence.archive import ArchiveDamaged, Limits, Member, read_archive
from evidence.envelope import open_envelope
from evidence.errors import SealError
from evidence.keys import PublicKey, load_public
from evidence.statement import predicate_of, statement, subjects_of

DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Proof:
    """One check. `ok` is `None` when it could not be made; `meaning` says what a failure would mean."""

    name: str
    ok: bool | None
    expected: str
    seen: str
    meaning: str


@dataclass(frozen=True)
class Report:
    """What was checked, and the predicate: only given when the pinned key signed it."""

    bundle: Path
    key_id: str
    proofs: tuple[Proof, ...]
    predicate: Mapping[str, Any] | None

    @property
    def verdict(self) -> Literal["pass", "fail", "inconclusive"]:
        """`fail` if any check failed; `pass` only if every check was made."""
        if any(proof.ok is False for proof in self.proofs):
            return "fail"
        return "pass" if self.proofs and all(proof.ok for proof in self.proofs) else "inconclusive"


@dataclass
class _Contents:
    """An archive as read: its one top folder, digests and sizes of all members, the bytes of its tag files."""

    tops: set[str] = field(default_factory=set)
    digests: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    tags: dict[str, bytes] = field(default_factory=dict)

    @property
    def payload(self) -> dict[str, str]:
        return {name: digest for name, digest in self.digests.items() if name.startswith(bag.PAYLOAD)}

    @property
    def statement(self) -> bytes:
        opened = open_envelope(self.tag(bag.ENVELOPE))
        return opened.payload if opened else b""

    def tag(self, name: str) -> bytes:
        return self.tags.get(name, b"")


def verify(bundle: Path, pinned_key: Path, limits: Limits = DEFAULT_LIMITS) -> Report:
    """Check a bundle, reading it once, offline. Raises `KeyProblem` only: without a key nothing can be checked."""
    key = load_public(pinned_key)
    try:
        contents = _read(bundle, limits)
    except (ArchiveDamaged, OSError) as error:
        seen = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        return Report(bundle, key.key_id, (_archive_proof(seen), *(rule.unmade() for rule in _RULES)), None)
    proofs = tuple(rule.made(contents, key) for rule in _RULES)
    predicate = predicate_of(contents.statement) if _who_sealed(contents, key) == "" else None
    return Report(bundle, key.key_id, (_archive_proof(""), *proofs), predicate)


def _read(bundle: Path, limits: Limits) -> _Contents:
    contents = _Contents()
    with durable.open_plain(bundle, follow=True) as source:
        for member in read_archive(source, limits):
            _take(contents, member, limits)
    return contents


def _take(contents: _Contents, member: Member, limits: Limits) -> None:
    top, _, name = member.name.partition("/")
    contents.tops.add(top)
    digest, kept = hashlib.sha256(), []
    if name in bag.TAGS and member.size > limits.tag_bytes:
        raise ArchiveDamaged(f"{name} is larger than {limits.tag_bytes} bytes")
    for piece in member.pieces:
        digest.update(piece)
        if name in bag.TAGS:
            kept.append(piece)
    contents.digests[name], contents.sizes[name] = digest.hexdigest(), member.size
    if name in bag.TAGS:
        contents.tags[name] = b"".join(kept)


def _archive_proof(seen: str) -> Proof:
    return Proof(
        "archive",
        not seen,
        "one whole archive of plain files with portable names, and nothing after it",
        seen or "as expected",
        "the file was cut, damaged, extended, or not written by us",
    )


def _wrong_layout(contents: _Contents, _: PublicKey) -> str:
    """Another top folder shows here too: a member keyed by its name without it would hide another."""
    if len(contents.tops) != 1:
        return f"{len(contents.tops)} top folders"
    if not contents.payload:
        return "no payload"
    expected = set(bag.TAGS) | set(contents.payload)
    return _difference(dict.fromkeys(expected, ""), dict.fromkeys(contents.digests, ""))


def _wrong_manifest(contents: _Contents, _: PublicKey) -> str:
    return _manifest_difference(contents.payload, contents.tag(bag.MANIFEST))


def _wrong_tags(contents: _Contents, _: PublicKey) -> str:
    if contents.tag(bag.DECLARATION) != bag.DECLARED:
        return f"{bag.DECLARATION} does not declare BagIt 1.0 in UTF-8"
    tags = {name: contents.digests[name] for name in contents.tags if name != bag.TAG_MANIFEST}
    return _manifest_difference(tags, contents.tag(bag.TAG_MANIFEST))


def _who_sealed(contents: _Contents, key: PublicKey) -> str:
    opened = open_envelope(contents.tag(bag.ENVELOPE))
    if opened is None:
        return "no readable envelope with one signature"
    if not opened.is_signed_by(key):
        other = opened.key_id != key.key_id
        return f"signed in the name of key {opened.key_id[:64]!r}" if other else "a signature that is not this key's"
    return "" if contents.tag(bag.KEY) == key.pem else f"the seal is right, but {bag.KEY} beside it is another key"


def _wrong_subjects(contents: _Contents, _: PublicKey) -> str:
    signed = contents.statement
    vouched = contents.payload | {bag.LABELS: contents.digests.get(bag.LABELS, "")}
    if difference := _difference(subjects_of(signed), vouched):
        return difference
    predicate = predicate_of(signed)
    if predicate is None:
        return "not a statement about a drill run"
    try:
        return "" if statement(vouched, predicate) == signed else "the statement is not in its canonical form"
    except SealError as error:
        return error.message


def _wrong_labels(contents: _Contents, _: PublicKey) -> str:
    labels = contents.tag(bag.LABELS)
    name, size = bag.label_in(labels, bag.NAME_LABEL), bag.label_in(labels, bag.SIZE_LABEL)
    if {name} != contents.tops:
        return f"the label says {name!r}, the folder is {', '.join(sorted(contents.tops))}"
    actual = bag.oxum({member: contents.sizes[member] for member in contents.payload})
    return "" if size == actual else f"the label says {size}, the payload has {actual}"


def _manifest_difference(actual: Mapping[str, str], manifest: bytes) -> str:
    if difference := _difference(bag.parse_manifest(manifest), actual):
        return difference
    return "" if manifest == bag.manifest(actual) else "the manifest is not in its canonical form"


def _difference(expected: Mapping[str, str], seen: Mapping[str, str]) -> str:
    """What was expected beside what is there, in words; empty when they are equal."""
    groups = {
        "missing": expected.keys() - seen.keys(),
        "not expected": seen.keys() - expected.keys(),
        "changed": {name for name in expected.keys() & seen.keys() if expected[name] != seen[name]},
    }
    return "; ".join(f"{word}: {_some(names)}" for word, names in groups.items() if names)


def _some(names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


@dataclass(frozen=True)
class _Rule:
    """A row of the table of checks: `judge` says what is wrong, or nothing."""

    name: str
    expected: str
    meaning: str
    judge: Callable[[_Contents, PublicKey], str]

    def made(self, contents: _Contents, key: PublicKey) -> Proof:
        seen = self.judge(contents, key)
        return Proof(self.name, not seen, self.expected, seen or "as expected", self.meaning)

    def unmade(self) -> Proof:
        return Proof(self.name, None, self.expected, "not checked: the archive is not sound", self.meaning)


_RULES = (
    _Rule(
        "layout",
        "one bag: its tag files, its payload, nothing else",
        "a file was dropped, added or renamed",
        _wrong_layout,
    ),
    _Rule(
        "manifest",
        "the manifest names every payload file with its SHA-256",
        "a payload file or the manifest was changed after sealing",
        _wrong_manifest,
    ),
    _Rule(
        "tag manifest",
        "the tag manifest names every tag file with its SHA-256",
        "a label, the seal or a manifest was changed after sealing",
        _wrong_tags,
    ),
    _Rule(
        "seal",
        "one signature over the statement, by the pinned key",
        "someone else sealed this, or the statement was changed",
        _who_sealed,
    ),
    _Rule(
        "subjects",
        "the signed statement names exactly the payload and the labels",
        "what is in the bundle is not what was signed",
        _wrong_subjects,
    ),
    _Rule(
        "labels",
        "the bundle's folder and size are those that its signed labels give",
        "the bundle was given another name, or a member was hidden",
        _wrong_labels,
    ),
)
