"""PostgreSQL's programs are found in order of preference, by version, and a missing one is told with advice."""

import pytest

from muster.errors import UsageError
from tasks.postgres.binaries import every_installation, find_binaries, wheel_binaries


@pytest.fixture
def install(tmp_path):
    def make(name, version):
        folder = tmp_path / name
        folder.mkdir()
        program = folder / "postgres"
        program.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        program.chmod(0o755)
        return folder

    return make


@pytest.fixture
def places(install, tmp_path):
    return (("PATH", tmp_path / "absent"), ("PATH", install("a", "15.20")), ("wheel", install("b", "18.6 (Debian 1)")))


def test_the_first_place_wins(places):
    found = find_binaries(places=places)
    assert (found.version, found.major, found.source) == ("15.20", 15, "PATH")


def test_a_major_version_decides(places):
    found = find_binaries(major=18, places=places)
    assert (found.version, found.source) == ("18.6", "wheel")


def test_the_plan_goes_before_all(install, places):
    asked = install("c", "17beta1")
    found = find_binaries(asked, places=places)
    assert (found.folder, found.major, found.source) == (asked, 17, "plan")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda install, places: find_binaries(major=12, places=places), "no PostgreSQL 12 on this machine"),
        (lambda install, places: find_binaries(places=()), "found: none at all"),
        (lambda install, places: find_binaries(install("c", "17.1"), 18, places=places), "the backup is from"),
        (lambda install, places: find_binaries(places[0][1]), "no PostgreSQL server in"),
        (lambda install, places: find_binaries(places=places).tool("pg_combinebackup"), "pg_combinebackup is not in"),
    ],
)
def test_what_is_missing_is_said_with_advice(install, places, ask, words):
    with pytest.raises(UsageError, match=words) as caught:
        ask(install, places)
    assert caught.value.advice


def test_a_program_that_does_not_answer_is_passed_over(install, places):
    broken = install("broken", "18.0")
    (broken / "postgres").write_text("#!/bin/sh\nexit 1\n")
    assert find_binaries(places=(("PATH", broken), *places)).folder == places[1][1]


def test_the_wheel_has_every_tool_of_a_restore():
    wheel = wheel_binaries()
    tools = "initdb postgres pg_basebackup pg_combinebackup pg_verifybackup pg_amcheck pg_waldump pg_restore psql"
    assert all(wheel.tool(name).exists() for name in tools.split())


def test_a_link_leads_to_the_whole_installation(places, tmp_path):
    real = places[1][1]
    link = tmp_path / "bin"
    link.mkdir()
    (link / "postgres").symlink_to(real / "postgres")
    (real / "pg_verifybackup").symlink_to(real / "postgres")
    found = find_binaries(places=(("PATH", link), *places))
    assert found.tool("pg_verifybackup").parent == real
    assert [b.folder for b in every_installation((("PATH", link), *places))] == [real, places[2][1]]
