"""A whole package: past its gzip stream, and each file of it sealed anew by the right key."""

import functools
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

from securesystemslib.signer import CryptoSigner

from evidence import verify
from evidence.keys import public_key_of
from evidence.statement import canonical
from tests.fuzz.files import stored, unzipped
from tests.fuzz.target import FalseAccept, Target, is_one_form
from tests.paper_package import BEGIN, END, Files, Installation, Period, Run, day, digest, open_row
from tests.unit.witness_paper import signer

_CONTROL = "SOC 2 A1.2"
_LEFT, _LEFT_UNTIL = Run(-1), day(9)
"""A due time that the package before left open, and until when it can be run."""


class _Home(Installation):
    """An installation whose keys are the same in every process."""

    def new_key(self, name: str) -> CryptoSigner:
        return signer({"signing": 30, "log": 31}[name])


@functools.cache
def _before() -> Period:
    """The package before: nothing was run, and a due time is open."""
    period = Period(_Home(Path()), name="before", since=BEGIN - timedelta(days=90), until=BEGIN)
    period.enter_keys()
    period.says["open"] = [open_row(_LEFT, _LEFT_UNTIL)]
    return period


@functools.cache
def _period() -> Period:
    """A run that passed and one that failed, with all that is told of them; of the controls only the one they name."""
    from muster.package.inputs import OpenSlot, Previous
    from tests.paper_forms import told  # all of Muster, which no other target waits for

    period, before = _before().next("2026-Q3", BEGIN, END), _before().package()
    left = OpenSlot(_LEFT.plan, day(_LEFT.number), _LEFT_UNTIL)
    previous = Previous("before", digest(before), BEGIN, len(_before().entries), (left,))
    period.enter_run(Run(1, controls=(_CONTROL,)))
    period.enter_run(Run(2, "failed", controls=(_CONTROL,)))
    with TemporaryDirectory(prefix="fuzz-") as folder:
        period.files |= told(period, Path(folder), previous)
    matrix, oscal = (json.loads(period.files[name]) for name in ("controls.json", "oscal.json"))
    matrix["controls"] = [row for row in matrix["controls"] if row["control"] == _CONTROL]
    found = oscal["assessment-results"]["results"][0]
    found["findings"] = [each for each in found["findings"] if _CONTROL in json.dumps(each["props"])]
    del found["reviewed-controls"], oscal["assessment-results"]["local-definitions"]
    period.files |= {"controls.json": canonical(matrix), "oscal.json": canonical(oscal)}
    return period


@functools.cache
def _files() -> Files:
    return _period().all_files()


@functools.cache
def _names() -> tuple[str, ...]:
    return tuple(sorted(_files()))


@functools.cache
def _given() -> verify.Given:
    key = verify.parse_key(public_key_of(_period().home.seal).pem.decode())
    assert key
    return verify.Given(key)


def _look(content: bytes, before: bytes = b"") -> verify.Report:
    with TemporaryDirectory(prefix="fuzz-") as folder:
        path, older = Path(folder) / "package.tar.gz", Path(folder) / "older.tar.gz"
        path.write_bytes(content)
        older.write_bytes(before)
        return verify.check(path, replace(_given(), before=older if before else None))


@functools.cache
def _whole() -> bytes:
    return unzipped(_period().package())


@functools.cache
def _true() -> verify.Report:
    return _look(_period().package())


def _package_inside(content: bytes) -> bool:
    """Of all bytes there are, those that were sealed pass and no others."""
    return _look(stored(content)).verdict == "pass" and is_one_form(content, _whole())


def _package_file(content: bytes) -> bool:
    """One file is replaced and all sealed by the right key: what passes may say other words, and no other outcome."""
    if not content:
        return False
    name = _names()[content[0] % len(_names())]
    report = _look(_period().package(_files() | {name: content[1:]}))
    if report.verdict != "pass":
        return False
    if report.told != _true().told or not _OUTCOMES.get(name, _same)(content[1:]):
        raise FalseAccept(f"{name} tells another story: {content[1:]!r}")
    return True


def _package_after(content: bytes) -> bool:
    """The population is replaced, and the package before is there too: what that left open is told, and as open."""
    report = _look(_period().package(_files() | {"population.json": content}), _before().package())
    if report.verdict != "pass":
        return False
    population = json.loads(content)
    told = [row["slot"] for where in ("carried", "open") for row in population[where]]
    if report.told != _true().told or open_row(_LEFT)["slot"] not in told:
        raise FalseAccept(f"what was open is told nowhere: {content!r}")
    return True


def _same(_: bytes) -> bool:
    return True


def _junit_outcomes(content: bytes) -> bool:
    cases = ElementTree.fromstring(content).iter("testcase")
    return [[(each.tag, each.get("type")) for each in case] for case in cases] in (
        [[("system-out", None)], [(tag, "failed")]] for tag in ("failure", "error")
    )


def _matrix_outcomes(content: bytes) -> bool:
    (row,) = json.loads(content)["controls"]
    return [run["run"] for run in row["supports"]] == [Run(1).name] and row["says"] == "supports"


def _oscal_outcomes(content: bytes) -> bool:
    (found,) = json.loads(content)["assessment-results"]["results"]
    states = [each["target"]["status"]["state"] for each in found["findings"]]
    return states == ["not-satisfied"] and list(map(_outcome, found["observations"])) == ["passed", "failed"]


def _outcome(observation: Any) -> str:
    return next(str(prop["value"]) for prop in observation["props"] if prop.get("name") == "outcome")


_OUTCOMES = {"controls.json": _matrix_outcomes, "junit.xml": _junit_outcomes, "oscal.json": _oscal_outcomes}
"""What was true, read from a form in another way than the verifier's."""


def _package_files() -> list[bytes]:
    return [bytes([number]) + _files()[name] for number, name in enumerate(_names())]


TARGETS = (
    Target("package-inside", _package_inside, lambda: [_whole()]),
    Target("package-file", _package_file, _package_files),
    Target("package-after", _package_after, lambda: [_files()["population.json"]]),
)
