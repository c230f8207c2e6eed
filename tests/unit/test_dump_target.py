"""The dump target sees what lies in a folder, and what a failed load may say of it."""

import gzip
import hashlib

import pytest

from muster.errors import StepError, SystemFailure, UsageError
from muster.settings import Settings
from tasks.postgres.dumpaudit import verify_dump, verify_sums
from tasks.postgres.dumps import read_header
from tasks.postgres.load import fail
from tasks.shelf import open_shelf
from tasks.targets.dump import open_target

WHOLE = b"""--
-- PostgreSQL database dump
--

-- Dumped from database version 18.1

COPY public.t (id) FROM stdin;
1
\\.

--
-- PostgreSQL database dump complete
--

\\unrestrict token

"""
CUT = WHOLE[: WHOLE.index(b"--\n-- PostgreSQL database dump complete")]


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "dumps"
    (made / "night").mkdir(parents=True)
    (made / "references").mkdir()
    (made / "a.sql").write_bytes(WHOLE)
    (made / "broken").write_bytes(b"PGD")
    (made / "empty.dump").write_bytes(b"")
    (made / "night" / "toc.dat").write_bytes(b"PGDMP")
    (made / "night" / "3001.dat.gz").write_bytes(b"x")
    (made / "SHA256SUMS").write_text("")
    (made / "a.sql.sha256").write_text("")
    (made / "a.sql.reference.json").write_text("{}")
    (made / "roles.sql").write_bytes(b"--\n-- PostgreSQL database cluster dump\n--\n")
    (made / ".partial").write_bytes(WHOLE)
    (made / "references" / "x.json").write_text("{}")
    return made


def labels(path, **keys) -> set[str]:
    return {b.label for b in open_target({"type": "dump", "path": str(path), **keys}, Settings()).backups()}


def test_dumps_are_listed_and_a_broken_one_is_not_passed_over(folder):
    assert labels(folder) == {"a.sql", "broken", "empty.dump", "night"}


def test_a_pattern_narrows_them(folder):
    assert labels(folder, pattern="*.sql") == {"a.sql"}


@pytest.mark.parametrize("name", ["a.sql", "night"])
def test_a_single_dump_can_be_named(folder, name):
    assert labels(folder / name) == {name}


def test_a_header_is_never_later_than_its_file(folder):
    (backup,) = open_target({"type": "dump", "path": str(folder / "a.sql")}, Settings()).backups()
    assert (backup.major, backup.form, backup.chain) == (18, "dump", ("a.sql",))
    assert backup.taken_at.timestamp() == pytest.approx((folder / "a.sql").stat().st_mtime)


@pytest.mark.parametrize("path", ["nowhere", "references"])
def test_a_place_without_dumps_is_an_error(folder, path):
    with pytest.raises(UsageError):
        labels(folder / path)


def test_credentials_are_named_and_must_be_there(monkeypatch):
    monkeypatch.delenv("NIGHT_ACCESS_KEY_ID", raising=False)
    with pytest.raises(UsageError, match="NIGHT_ACCESS_KEY_ID"):
        open_shelf("s3://bucket/prefix", credentials="NIGHT")


@pytest.mark.parametrize(("content", "is_whole"), [(WHOLE, True), (CUT, False)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_plain_dump_must_come_to_its_end(tmp_path, content, is_whole, pack):
    path = tmp_path / "dump"
    path.write_bytes(pack(content))
    assert verify_dump(path, read_header(path.read_bytes()), 1, None).ok is is_whole


def test_a_gzipped_dump_that_is_cut_or_flipped_is_found(tmp_path):
    packed = gzip.compress(WHOLE)
    flipped = bytearray(packed)
    flipped[-6] ^= 1  # in its checksum
    for damaged in (packed[:-9], bytes(flipped)):
        path = tmp_path / "dump"
        path.write_bytes(damaged)
        assert not verify_dump(path, read_header(packed), 1, None).ok


def test_what_is_no_dump_is_not_verified(tmp_path):
    assert not verify_dump(tmp_path, None, 1, None).ok


def test_sums_are_held_against_every_file(folder):
    sums = {f"night/{p.name}": hashlib.sha256(p.read_bytes()).hexdigest() for p in (folder / "night").iterdir()}
    assert verify_sums(folder / "night", sums).ok
    changed, lacking, more = dict(sums), dict(sums), dict(sums)
    changed["night/toc.dat"] = "0" * 64
    del lacking["night/toc.dat"]
    more["night/3002.dat.gz"] = "0" * 64
    assert [verify_sums(folder / "night", s).ok for s in (changed, lacking, more)] == [False] * 3


@pytest.mark.parametrize(
    ("said", "told", "advice"),
    [
        ('pg_restore: error: could not execute query: ERROR:  role "app" does not exist', 'role "app"', "globals"),
        ('psql:<stdin>:9: ERROR:  extension "postgis" is not available', 'extension "postgis"', "install"),
        ("gzip: stdin: unexpected end of file", "unexpected end of file", "new dump"),
        ("nothing that is known", "the loader said nothing", "new dump"),
    ],
)
def test_a_failed_load_names_what_is_missing(said, told, advice):
    with pytest.raises(SystemFailure) as caught:
        fail("a.sql", f"$ psql\n{said}\nCONTEXT:  COPY t, line 1")
    assert told in caught.value.message
    assert advice in caught.value.advice


def test_a_failed_load_never_tells_a_value():
    with pytest.raises(SystemFailure) as caught:
        fail("a.sql", 'ERROR:  invalid input syntax for type integer: "4111 1111"\nCONTEXT:  COPY t, line 1: "secret"')
    assert "4111" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_full_disk_is_not_the_dumps_fault():
    with pytest.raises(StepError) as caught:
        fail("a.sql", "ERROR:  could not extend file: No space left on device")
    assert not isinstance(caught.value, SystemFailure)
