"""A dump says what it is, however little of it is there."""

import gzip
from datetime import UTC, datetime

import pytest

from tasks.postgres.dumps import DumpForm, Header, read_header

PLAIN = b"""--
-- PostgreSQL database dump
--

\\restrict token

-- Dumped from database version 15.20 (Debian 15.20-1)
-- Dumped by pg_dump version 17.2

-- Started on 2026-03-01 04:00:00 UTC

SET client_encoding = 'LATIN1';
"""


def integer(value: int) -> bytes:
    return b"\0" + value.to_bytes(4, "little")


def text(value: str) -> bytes:
    return integer(len(value)) + value.encode()


def archive(minor: int, format_byte: int) -> bytes:
    compression = b"\1" if minor >= 15 else integer(6)
    began = b"".join(map(integer, (7, 30, 4, 1, 2, 126, 0)))  # 2026-03-01 04:30:07, as `struct tm` counts
    versions = text("15.20") + text("16.1")
    return b"PGDMP" + bytes((1, minor, 0, 4, 8, format_byte)) + compression + began + text("shop") + versions


@pytest.mark.parametrize("minor", [13, 14, 15, 16])
@pytest.mark.parametrize(("format_byte", "form"), [(1, DumpForm.CUSTOM), (3, DumpForm.DIRECTORY)])
def test_archives_of_every_version_are_read(minor, format_byte, form):
    began = datetime(2026, 3, 1, 4, 30, 7).astimezone(UTC)
    assert read_header(archive(minor, format_byte) + b"more") == Header(form, began, 16)


def test_an_archive_cut_anywhere_is_still_one():
    whole = archive(15, 1)
    for length in range(5, len(whole)):
        assert read_header(whole[:length]) == Header(DumpForm.CUSTOM)


def test_a_plain_dump_is_read():
    found = read_header(PLAIN)
    assert found is not None
    assert (found.form, found.major, found.encoding, found.creates) == (DumpForm.PLAIN, 17, "LATIN1", None)
    assert found.taken_at == datetime(2026, 3, 1, 4).astimezone(UTC)


def test_a_gzipped_one_is_read_from_its_beginning_alone():
    packed = gzip.compress(PLAIN + bytes(range(256)) * 4096)
    found = read_header(packed[:600])
    assert found is not None
    assert (found.form, found.major) == (DumpForm.GZIP, 17)


@pytest.mark.parametrize(("written", "name"), [("shop", "shop"), ('"Shop ""2"""', 'Shop "2"')])
def test_a_dump_that_creates_its_database_says_so(written, name):
    found = read_header(PLAIN + f"CREATE DATABASE {written} WITH TEMPLATE = template0;\n".encode())
    assert found is not None
    assert found.creates == name


@pytest.mark.parametrize(
    "head", [b"", b"hello", b"\x1f\x8bgarbage", gzip.compress(b"hello", mtime=0), b"-- a script of mine\n"]
)
def test_what_is_no_dump_is_none(head):
    assert read_header(head) is None
