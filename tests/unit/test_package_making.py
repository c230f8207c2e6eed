"""The package as a file: the same input gives the same bytes, all that it names is in it, and public tools check it."""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from package_paper import AUGUST, DUE, JULY, MONTHLY, OCTOBER, Q3, SEPTEMBER, Paper, at, card, quarter
from test_package_population import of_plan

from evidence.archive import Limits, read_archive
from evidence.bundle import Sealed
from evidence.envelope import open_envelope
from evidence.errors import EvidenceError
from evidence.keys import public_key_of
from evidence.statement import PredicateType, canonical, predicate_of
from muster.package.inputs import Previous
from muster.package.making import make_package

SCHEMAS = Path("docs/schemas")


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    return Paper(tmp_path / "paper")


def files_of(package: Path) -> dict[str, bytes]:
    """Payload and tags by their names."""
    with package.open("rb") as source:
        members = read_archive(source, Limits())
        return {member.name.partition("/")[2]: b"".join(member.pieces) for member in members}


def told(files: dict[str, bytes], name: str) -> Any:
    content = files[f"data/{name}"]
    read = json.loads(content)
    assert canonical(read) == content, f"{name} is not canonical JSON"
    return read


def test_everything_of_the_format_page_is_in_it(paper: Paper, tmp_path: Path) -> None:
    sealed = make_package(quarter(paper), paper.signer, tmp_path)
    files = files_of(sealed.path)
    names = {name.removeprefix("data/") for name in files if name.startswith("data/")}
    runs = {f"runs/{key}" for key in paper.bundles if "202607" in key or "202608" in key or "202609" in key}
    assert names == {
        "README.txt", "verify.py", "controls.json", "junit.xml", "keys/00000000.dsse.json", "log/entries.jsonl",
        "log/head", "oscal.json", "population.json", "previous.json", "report.html", "report.pdf",
        "telemetry/incidents.json",
        "telemetry/readiness.json", "telemetry/validation.json",
    } | runs | {f"receipts/{name.removeprefix('runs/')}.dsse.json" for name in runs}  # fmt: skip
    assert len(runs) == 6, "billing three times, orders twice and once on demand"
    for key, path in paper.bundles.items():
        if f"runs/{key}" in runs:
            assert files[f"data/runs/{key}"] == path.read_bytes()
    assert files["data/log/entries.jsonl"].count(b"\n") == len(paper.entries)
    assert told(files, "previous.json") == {"name": "v1.3.0", "sha256": "a" * 64}
    assert b"\nPeriod: 2026-07-01T00:00:00Z/2026-10-01T00:00:00Z\n" in files["bag-info.txt"]


def test_it_is_sealed_and_says_what_it_is(paper: Paper, tmp_path: Path) -> None:
    sealed = make_package(quarter(paper), paper.signer, tmp_path)
    assert sealed.path == tmp_path / "v1.4.0.tar.gz"
    opened = open_envelope(files_of(sealed.path)["statement.dsse.json"])
    assert opened is not None
    assert opened.is_signed_by(public_key_of(paper.signer))
    predicate = predicate_of(opened.payload, PredicateType.PACKAGE)
    assert predicate is not None
    assert predicate["period"] == {"from": "2026-07-01T00:00:00Z", "name": "2026-Q3", "until": "2026-10-01T00:00:00Z"}
    assert predicate["madeAt"] == "2026-10-01T03:20:00Z", "the newest entry's time, no clock"
    assert predicate["head"]["size"] == len(paper.entries)
    assert predicate["population"]["outcomes"] == {"failed": 1, "passed": 5, "unsealed": 1}
    schema = json.loads((SCHEMAS / "package.schema.json").read_text())
    Draft202012Validator(schema).validate(predicate)


@pytest.mark.parametrize("name", ["population", "controls", "previous", "links"])
def test_the_documents_are_as_their_schemas_say(paper: Paper, tmp_path: Path, name: str) -> None:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    inputs = quarter(paper, link_above=0 if name == "links" else 64 << 20)
    document = told(files_of(make_package(inputs, paper.signer, tmp_path).path), f"{name}.json")
    Draft202012Validator(schema).validate(document)
    with pytest.raises(Exception, match=r"not|required|unexpected"):
        Draft202012Validator(schema).validate({"surprise": 1})


def test_the_same_input_gives_the_same_bytes(paper: Paper, tmp_path: Path) -> None:
    inputs = quarter(paper)
    first, second = (make_package(inputs, paper.signer, tmp_path / folder) for folder in ("a", "b"))
    assert first.sha256 == second.sha256
    assert first.path.read_bytes() == second.path.read_bytes()
    other = make_package(replace(inputs, release="v1.4.1"), paper.signer, tmp_path / "c")
    assert other.sha256 != first.sha256


_AGAIN = """
import sys
sys.path.insert(0, "tests/unit")
from pathlib import Path
from package_paper import MONTHLY, Q3, Paper, at, card, DUE, JULY, AUGUST, SEPTEMBER, OCTOBER, quarter

from muster.package.making import make_package
paper = Paper(Path(sys.argv[1]))
print(make_package(quarter(paper), paper.signer, Path(sys.argv[2])).sha256)
"""


def test_another_process_hash_seed_and_time_zone_give_the_same_bytes(tmp_path: Path) -> None:
    digests = set()
    for seed, zone in (("1", "Pacific/Auckland"), ("2", "America/New_York")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LANG": "C"}
        command = [sys.executable, "-c", _AGAIN, str(tmp_path / "paper"), str(tmp_path / seed)]
        digests.add(subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120).stdout)
    assert len(digests) == 1


def test_large_bundles_are_named_by_link(paper: Paper, tmp_path: Path) -> None:
    small = paper.run("orders", SEPTEMBER)
    limit = paper.bundles[small].stat().st_size
    large = paper.run("orders", AUGUST, padding=1 << 16)
    files = files_of(make_package(paper.inputs(link_above=limit), paper.signer, tmp_path).path)
    (link,) = told(files, "links.json")
    content = paper.bundles[large].read_bytes()
    assert (link["key"], link["sha256"], link["size"]) == (large, hashlib.sha256(content).hexdigest(), len(content))
    assert f"data/runs/{large}" not in files
    assert f"data/receipts/{large}.dsse.json" in files
    assert any(
        row["bundle"]["key"] == large and row["outcome"] == "passed" for row in told(files, "population.json")["slots"]
    )
    assert b"Bundles by link" in files["data/report.html"]


def test_a_bundle_that_is_not_what_was_logged_is_told_and_left_out(paper: Paper, tmp_path: Path) -> None:
    key = paper.run("orders", JULY)
    good = paper.run("orders", AUGUST)
    paper.bundles[key] = paper.bundles[good]
    files = files_of(make_package(paper.inputs(), paper.signer, tmp_path).path)
    assert f"data/runs/{key}" not in files
    assert f"data/runs/{good}" in files
    row = told(files, "population.json")["slots"][0]
    assert row["problems"] == ["its bundle is not the one that was logged"]
    assert b"its bundle is not the one that was logged" in files["data/report.html"]


def test_a_run_that_its_entry_contradicts_is_told_and_kept_for_the_auditor(paper: Paper, tmp_path: Path) -> None:
    key = paper.run("orders", JULY, "failed", said={"outcome": "passed"})
    files = files_of(make_package(paper.inputs(), paper.signer, tmp_path).path)
    assert f"data/runs/{key}" in files
    assert "the log says outcome passed" in told(files, "population.json")["slots"][0]["problems"][0]


def test_what_was_sealed_late_comes_with_its_bundle(paper: Paper, tmp_path: Path) -> None:
    paper.run("orders", at("2026-06-01T03:00"))
    late = paper.run("orders", at("2026-05-01T03:00"), logged_at=JULY)
    paper.run("orders", JULY)
    before = Previous("v1.3.0", "0" * 64, until=Q3.start, size=1)
    files = files_of(make_package(paper.inputs(previous=before), paper.signer, tmp_path).path)
    assert f"data/runs/{late}" in files
    assert [row["entry"] for row in told(files, "population.json")["late"]] == [1]


def test_an_empty_period_is_sealed_as_empty(paper: Paper, tmp_path: Path) -> None:
    paper.record("a.dsse.json", OCTOBER)
    files = files_of(make_package(paper.inputs(), paper.signer, tmp_path).path)
    population = told(files, "population.json")
    assert population["slots"] == population["open"] == population["late"] == []
    assert "empty" in population["says"]
    assert b"Nothing was due" in files["data/report.html"]
    assert told(files, "previous.json") is None
    assert told(files, "telemetry/readiness.json") == {"keptSince": None, "looks": []}


def test_telemetry_is_that_of_the_period(paper: Paper, tmp_path: Path) -> None:
    files = files_of(make_package(quarter(paper), paper.signer, tmp_path).path)
    readiness = told(files, "telemetry/readiness.json")
    assert [(each["number"], each["verdict"]) for each in readiness["looks"]] == [(1, "pass"), (2, "fail")]
    assert readiness["keptSince"] == "2026-08-01T00:00:00Z"
    assert [each["condition"] for each in told(files, "telemetry/incidents.json")["incidents"]] == ["overdue"]
    assert [each["kind"] for each in told(files, "telemetry/validation.json")["proofs"]] == ["restore"]
    assert b"were not kept" in files["data/report.html"]


@pytest.mark.parametrize("name", ["../up", "-v1", "v 1", "v1/../..", "x" * 101, ".hidden/", "con"])
def test_a_name_that_no_file_should_have_is_refused_and_leaves_nothing(paper: Paper, tmp_path: Path, name: str) -> None:
    paper.run("orders", JULY)
    with pytest.raises(EvidenceError):
        make_package(paper.inputs(name=name), paper.signer, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_a_path_that_a_reader_would_refuse_is_not_written(paper: Paper, tmp_path: Path) -> None:
    paper.run("a" * 55, JULY)
    with pytest.raises(EvidenceError, match="no name for a file"):
        make_package(paper.inputs(name="v" * 60), paper.signer, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_nothing_is_left_when_it_fails_and_the_work_is_tidied_when_it_does_not(paper: Paper, tmp_path: Path) -> None:
    inputs = quarter(paper)
    broken = replace(inputs, entries=list(inputs.entries)[:-1])
    with pytest.raises(EvidenceError):
        make_package(broken, paper.signer, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    make_package(inputs, paper.signer, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["v1.4.0.tar.gz"]


def commands_of(readme: str) -> str:
    """The indented commands of the part that goes by hand."""
    part = readme.split("3. By hand")[1].split("What is here")[0]
    return "\n".join(line[4:] for line in part.splitlines() if line.startswith("    "))


def readme_of(sealed: Sealed) -> str:
    return files_of(sealed.path)["data/README.txt"].decode()


def by_hand(package: Path, readme: str, paper: Paper, folder: Path) -> "subprocess.CompletedProcess[str]":
    folder.mkdir()
    (folder / package.name).write_bytes(package.read_bytes())
    (folder / "pinned.pub").write_bytes(public_key_of(paper.signer).pem)
    script = "set -e -o pipefail\n" + commands_of(readme)
    return subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60)


def test_the_readmes_own_commands_check_it(paper: Paper, tmp_path: Path) -> None:
    sealed = make_package(quarter(paper), paper.signer, tmp_path)
    done = by_hand(sealed.path, readme_of(sealed), paper, tmp_path / "auditor")
    assert done.returncode == 0, done.stderr
    assert "Signature Verified Successfully" in done.stdout


@pytest.mark.parametrize("fault", ["byte", "file", "key"])
def test_the_readmes_own_commands_see_what_was_changed(paper: Paper, tmp_path: Path, fault: str) -> None:
    sealed = make_package(quarter(paper), paper.signer, tmp_path / "sealed")
    with tarfile.open(sealed.path) as archive:
        archive.extractall(tmp_path / "open", filter="data")
    bag = tmp_path / "open" / "v1.4.0"
    if fault == "byte":
        (bag / "data" / "controls.json").write_bytes((bag / "data" / "controls.json").read_bytes() + b" ")
    elif fault == "file":
        (bag / "data" / "runs" / "planted.tar.gz").write_bytes(b"planted")
    with tarfile.open(tmp_path / "v1.4.0.tar.gz", "w:gz") as archive:
        archive.add(bag, "v1.4.0")
    holder = Paper(tmp_path / "other") if fault == "key" else paper
    done = by_hand(tmp_path / "v1.4.0.tar.gz", readme_of(sealed), holder, tmp_path / "auditor")
    assert done.returncode != 0


def test_the_cadence_of_the_day_is_what_counts(paper: Paper, tmp_path: Path) -> None:
    """A plan's file that says another cadence today makes no gap of yesterday."""
    for due in DUE:
        paper.run("orders", due)
    weekly = MONTHLY.model_copy(update={"cron": "0 3 * * 1"})
    inputs = of_plan(paper, "orders")
    inputs = replace(inputs, plans=[card("orders", weekly)])
    rows = told(files_of(make_package(inputs, paper.signer, tmp_path).path), "population.json")["slots"]
    assert [row["outcome"] for row in rows] == ["passed"] * 3
