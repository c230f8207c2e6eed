"""Canonical JSON as a stream: a document with long lists in it is never whole in memory.

Promise: the bytes are those of `evidence.statement.canonical` of the same document, with a list for each iterator.
Source: RFC 8785.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from evidence.statement import canonical


def write_json(path: Path, value: Any) -> Path:
    """Write a document: JSON types, and iterators of plain ones, each of which becomes a list. Returns the path."""
    with path.open("wb") as out:
        out.writelines(pieces(value))
    return path


def pieces(value: Any) -> Iterator[bytes]:
    """The document's bytes, piece by piece. The trap: keys are ASCII, where the order of RFC 8785 is Python's own."""
    if isinstance(value, Mapping):
        yield from _joined(b"{", ((canonical(key) + b":", pieces(value[key])) for key in sorted(value)), b"}")
    elif isinstance(value, list | tuple):
        yield from _joined(b"[", ((b"", pieces(each)) for each in value), b"]")
    elif isinstance(value, Iterator):
        yield from _joined(b"[", ((canonical(each), iter(())) for each in value), b"]")
    else:
        yield canonical(value)


def _joined(opening: bytes, parts: Iterable[tuple[bytes, Iterator[bytes]]], closing: bytes) -> Iterator[bytes]:
    yield opening
    for place, (head, rest) in enumerate(parts):
        yield b"," + head if place else head
        yield from rest
    yield closing
