"""The `[databases]` section of a PgBouncer configuration file: where its entries lead, and sending them elsewhere.

Promise: only `host` and `port` of the named entries change; comments, order, other keys and other sections stay.
Source: pgbouncer.ini(5). Quotes in a value are single, and doubled inside.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SECTION = re.compile(r"^\s*\[([^]]*)\]")
_ENTRY = re.compile(r"^(\s*(\"?)([A-Za-z0-9_.-]+|\*)\2\s*=\s*)(.*?)(\s*)$")
_PAIR = re.compile(r"(\w+)\s*=\s*('(?:[^']|'')*'|\S+)")


@dataclass(frozen=True)
class Address:
    """Where PgBouncer connects: a host name, an address or the folder of a unix socket; and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"host={self.host} port={self.port}"


def addresses(text: str) -> dict[str, Address]:
    """Where each entry leads; entries without `host` (a unix socket of PgBouncer's choice) are left out."""
    found = {}
    for _, entry in _lines(text):
        if entry is None:
            continue
        pairs = {key: _unquoted(value) for key, value in _PAIR.findall(entry[4])}
        if pairs.get("host"):
            found[entry[3]] = Address(pairs["host"], int(pairs.get("port", "5432")))
    return found


def sent_to(text: str, names: tuple[str, ...], address: Address) -> str:
    """The same file, in which these entries lead to the address."""
    return "".join(
        f"{entry[1]}{_aimed(entry[4], address)}{entry[5]}" if entry and entry[3] in names else line
        for line, entry in _lines(text)
    )


def _lines(text: str) -> Iterator[tuple[str, re.Match[str] | None]]:
    """Every line, with its parts where it is an entry. A file without sections is one that `[databases]` includes."""
    section = "databases"
    for line in text.splitlines(keepends=True):
        if begun := _SECTION.match(line):
            section = begun[1].strip()
        yield line, _ENTRY.match(line) if section == "databases" else None


def _unquoted(value: str) -> str:
    return value[1:-1].replace("''", "'") if value.startswith("'") else value


def _aimed(pairs: str, address: Address) -> str:
    others = [f"{key}={value}" for key, value in _PAIR.findall(pairs) if key not in ("host", "port")]
    host = address.host.replace("'", "''")
    return " ".join([f"host='{host}'", f"port={address.port}", *others])
