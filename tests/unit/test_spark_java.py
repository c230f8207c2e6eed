"""Finding a Java: the wheel's first; one that is too old, broken or not there is told with the next move."""

from pathlib import Path

import pytest

from muster.errors import UsageError
from tasks.spark import java
from tasks.spark.java import Java, find_java, prepare_home


def fake(folder: Path, says: str, code: int = 0) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit {code}\n")
    program.chmod(0o755)
    return folder


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "_wheel", lambda: None)


def test_the_wheels_java_is_taken_first() -> None:
    found = find_java({"JAVA_HOME": "/nowhere"})
    assert (found.source, found.major >= java.LEAST, found.lacks_vector) == ("wheel", True, True)


@pytest.mark.usefixtures("no_wheel")
@pytest.mark.parametrize(
    ("says", "version"),
    [('openjdk version "17.0.15" 2025-04-15', "17.0.15"), ('java version "21" 2023-09-19 LTS', "21")],
)
def test_java_home_is_taken_before_the_path(tmp_path: Path, says: str, version: str) -> None:
    home = fake(tmp_path / "a", says)
    other = fake(tmp_path / "b", 'openjdk version "25.0.1"')
    found = find_java({"JAVA_HOME": str(home), "PATH": str(other / "bin")})
    assert (found.version, found.source, found.home) == (version, "JAVA_HOME", home)
    assert find_java({"PATH": str(other / "bin")}).version == "25.0.1"


@pytest.mark.usefixtures("no_wheel")
@pytest.mark.parametrize(
    ("says", "code", "words"),
    [
        ('openjdk version "11.0.2"', 0, "is 11.0.2, Spark needs 17"),
        ('java version "1.8.0_201"', 0, "is 8.0_201, Spark needs 17"),
        ("gibberish", 0, "does not say its version"),
        ("", 1, "does not run"),
    ],
)
def test_a_java_that_will_not_do_is_told(tmp_path: Path, says: str, code: int, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        find_java({"JAVA_HOME": str(fake(tmp_path / "old", says, code))})
    assert "JAVA_HOME" in caught.value.advice


@pytest.mark.usefixtures("no_wheel")
def test_no_java_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no Java") as caught:
        find_java({"PATH": str(tmp_path)})
    assert "make .venv/.spark" in caught.value.advice


def test_the_shim_drops_what_the_wheel_lacks_and_nothing_else(tmp_path: Path) -> None:
    import subprocess

    real = tmp_path / "real"
    program = real / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    program.chmod(0o755)
    home = prepare_home(Java(real, "25", "wheel", lacks_vector=True), tmp_path / "shim")
    words = ["-cp", "a b", "--add-modules=jdk.incubator.vector", "-Dx=$y", "Main"]
    said = subprocess.run([home / "bin" / "java", *words], capture_output=True, text=True, check=True).stdout
    assert said == "-cp|a b|-Dx=$y|Main|"
    assert prepare_home(Java(real, "25", "PATH"), tmp_path / "none") == real


def test_a_shim_that_is_prepared_again_is_not_written_to_while_it_runs(tmp_path: Path) -> None:
    java = Java(tmp_path / "real", "25", "wheel", lacks_vector=True)
    program = prepare_home(java, tmp_path / "shim") / "bin" / "java"
    before = program.stat().st_ino
    with program.open() as running:
        assert prepare_home(java, tmp_path / "shim") / "bin" / "java" == program
        assert program.stat().st_ino != before
        assert running.read() == program.read_text()
    assert [path.name for path in program.parent.iterdir()] == ["java"]
