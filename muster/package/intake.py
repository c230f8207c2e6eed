"""Intakes: what a sealed package says of each control, as the folders and lists that people's compliance tools take in.

Promises: everything is read from the package alone, and nothing is said that it does not say; a file that a tool does
not take, for its kind or its size, is named by link and digest instead; a list never starts a formula in a spreadsheet.
Sources: Drata, help articles 8288579 and 13416972 (kinds of files, 25 MB each); CISO Assistant, `documentation/
data_wizard_analysis.md` and `backend/core/validators.py` (columns, kinds of files, 50 MB each), read in August 2026;
Vanta, "Upload a document" of its API guide, which names no limit: Drata's is kept to.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from evidence import bag, durable
from evidence.errors import EvidenceError
from evidence.statement import parse_object
from evidence.verify import PACKAGE_LIMITS, ArchiveDamaged, Member, read_archive
from muster.package.document import line
from muster.package.oscal import token_of
from muster.package.pdf import render_pdf
from muster.package.summary import summary_of

_ADVICE = "check it with verify.py, and bring it again"
_RUNS = f"{bag.PAYLOAD}runs/"


class Intake(StrEnum):
    """A tool that takes evidence in."""

    VANTA = "vanta"
    DRATA = "drata"
    CISO_ASSISTANT = "ciso-assistant"


@dataclass(frozen=True)
class _Rules:
    """What a tool takes: whether bundles (`.tar.gz`), and how many bytes a file."""

    takes_bundles: bool
    most_bytes: int


_RULES = {
    Intake.VANTA: _Rules(takes_bundles=True, most_bytes=25_000_000),
    Intake.DRATA: _Rules(takes_bundles=False, most_bytes=25_000_000),
    Intake.CISO_ASSISTANT: _Rules(takes_bundles=True, most_bytes=50_000_000),
}


@dataclass(frozen=True)
class Exported:
    """What was written: a folder for each control, and bundles that were copied."""

    folder: Path
    controls: tuple[str, ...]
    bundles: int


def export(package: Path, intake: Intake, destination: Path, links: Mapping[str, str] | None = None) -> Exported:
    """Write the folders of one tool below `destination`, which must not be there yet.

    `links` are addresses by the key of a bundle, such as presigned ones. Whether the package is sound is not looked
    at: verify it first. Raises `EvidenceError`.
    """
    if destination.exists() and any(destination.iterdir()):
        raise EvidenceError(f"{destination} is not empty", "name a new folder")
    durable.make_folders(destination)
    told = _read(package, _Copying(_RULES[intake], destination))
    export = _Export(intake, told, destination, dict(links or {}))
    return export.write()


@dataclass
class _Told:
    """What the package says, as JSON."""

    population: dict[str, Any] = field(default_factory=dict)
    controls: list[dict[str, Any]] = field(default_factory=list)
    name: str = ""
    copied: set[str] = field(default_factory=set)


class _Copying:
    """Bundles on their way out of the package."""

    def __init__(self, rules: _Rules, destination: Path) -> None:
        self._rules, self._folder = rules, destination / "bundles"

    def take(self, key: str, member: Member) -> bool:
        """Copy it if the tool takes it."""
        if not self._rules.takes_bundles or member.size > self._rules.most_bytes:
            return False
        path = self._folder / key
        durable.make_folders(path.parent)
        with path.open("wb") as out:
            out.writelines(member.pieces)
        return True


def _read(package: Path, copying: _Copying) -> _Told:
    try:
        with package.open("rb") as source:
            told = _read_members(source, copying)
    except ArchiveDamaged as damage:
        raise EvidenceError(f"{package} is damaged: {damage}", _ADVICE) from damage
    except OSError as error:
        raise EvidenceError(f"{package} cannot be read: {error.strerror}", _ADVICE) from error
    if not told.population or not told.controls:
        raise EvidenceError(f"{package} is no package", "name a file that `muster evidence package` made")
    return told


def _read_members(source: BinaryIO, copying: _Copying) -> _Told:
    told = _Told()
    for member in read_archive(source, PACKAGE_LIMITS):
        told.name, _, name = member.name.partition("/")
        if name in (f"{bag.PAYLOAD}population.json", f"{bag.PAYLOAD}controls.json"):
            content = parse_object(b"".join(member.pieces)) or {}
            if name.endswith("population.json"):
                told.population = content
            else:
                told.controls = content.get("controls", [])
        elif name.startswith(_RUNS) and copying.take(key := name.removeprefix(_RUNS), member):
            told.copied.add(key)
        for _ in member.pieces:
            pass
    return told


@dataclass(frozen=True)
class _Export:
    intake: Intake
    told: _Told
    destination: Path
    links: Mapping[str, str]

    def write(self) -> Exported:
        named = [control for control in self.told.controls if control["ourCadence"]]
        for control in named:
            self._folder(control)
        self._list("index.csv", _INDEX, (self._index(control) for control in named))
        if self.intake is Intake.CISO_ASSISTANT:
            self._list("evidences.csv", _EVIDENCE, map(self._evidence, named))
            self._list("applied-controls.csv", _APPLIED, map(_applied, self.told.population["plans"]))
        (self.destination / "README.txt").write_text(self._readme(named), encoding="utf-8")
        return Exported(self.destination, tuple(each["control"] for each in named), len(self.told.copied))

    def _folder(self, control: Mapping[str, Any]) -> None:
        folder = self.destination / token_of(control["control"])
        folder.mkdir()
        rows = list(self._runs(control))
        made_at = datetime.fromisoformat(self.told.population["madeAt"])
        document = summary_of(self.told.name, self.told.population, control, rows)
        (folder / "summary.pdf").write_bytes(render_pdf(document, made_at))
        self._list(f"{folder.name}/runs.csv", tuple(_RUN), rows)
        content = {"control": control, "package": self.told.name, "runs": rows}
        (folder / "runs.json").write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def _runs(self, control: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Every due time of the plans that name the control."""
        plans = {plan["plan"] for plan in control["ourCadence"]}
        supports = {run["entry"] for run in control["supports"]}
        for row in self.told.population["slots"]:
            if row["plan"] in plans:
                bundle = row["bundle"] or {"key": "", "sha256": "", "size": ""}
                yield {
                    "due": row["scheduledAt"] or row["loggedAt"],
                    "plan": row["plan"],
                    "run": row["run"] or "",
                    "outcome": row["outcome"],
                    "supports": "supports" if row["entry"] in supports else "does not show",
                    "entry": "" if row["entry"] is None else row["entry"],
                    "problems": "; ".join(row["problems"]),
                    "bundle": bundle["key"],
                    "sha256": bundle["sha256"],
                    "bytes": bundle["size"],
                    "where": self._where(bundle["key"]),
                }

    def _where(self, key: str) -> str:
        """Where a bundle is to be had."""
        if not key or key in self.links:
            return self.links.get(key, "")
        return f"bundles/{key}" if key in self.told.copied else f"{self.told.name}.tar.gz, or the store: {key}"

    def _index(self, control: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "control": control["control"],
            "framework": control["framework"],
            "folder": token_of(control["control"]),
            "says": control["says"],
            "runs": len(control["supports"]),
            "not shown": "; ".join(control["doesNotShow"]),
            "asks": control["asks"],
            "source": control["source"],
        }

    def _evidence(self, control: Mapping[str, Any]) -> dict[str, Any]:
        said = f"{len(control['supports'])} runs support it" if control["supports"] else "no run supports it"
        lacks = "; ".join(control["doesNotShow"])
        return {
            "name": self._evidence_name(control),
            "description": f"{said}{f'; not shown: {lacks}' if lacks else ''}. Due from"
            f" {self.told.population['from']} to before {self.told.population['until']}.",
            "ref_id": f"{self.told.name}-{token_of(control['control'])}"[:100],
            "filtering_labels": "muster",
        }

    def _evidence_name(self, control: Mapping[str, Any]) -> str:
        return f"{control['control']}: drills, {self.told.name}"

    def _list(self, name: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, columns, quoting=csv.QUOTE_ALL)  # quotes tell readers which separator is one
        writer.writeheader()
        writer.writerows({column: _plain(row[column]) for column in columns} for row in rows)
        (self.destination / name).write_text(out.getvalue(), encoding="utf-8", newline="")

    def _readme(self, named: Sequence[Mapping[str, Any]]) -> str:
        lines = [
            f"What {self.told.name} says of each control, for {self.intake.value}.",
            "",
            "index.csv lists the controls. Each has a folder: summary.pdf for people, runs.csv and runs.json for",
            "tools. A run supports a control, or does not show what it asks for: whether the control is met is for its",
            "auditor.",
            "These files are not sealed. The package is: check it, and compare bundles by their SHA-256.",
            "",
            *_STEPS[self.intake],
        ]
        if self.intake is Intake.CISO_ASSISTANT:
            lines += [
                f'  clica.py upload-attachment --name "{line(self._evidence_name(control))}"'
                f" --file {token_of(control['control'])}/summary.pdf"
                for control in named
            ]
        return "\n".join(lines) + "\n"


_INDEX = ("control", "framework", "folder", "says", "runs", "not shown", "asks", "source")
_RUN = (
    "due", "plan", "run", "outcome", "supports", "entry", "problems", "bundle", "sha256", "bytes", "where",
)  # fmt: skip
_EVIDENCE = ("name", "description", "ref_id", "filtering_labels")
_APPLIED = ("name", "description", "category", "csf_function", "ref_id", "status", "observation", "filtering_labels")
_STEPS = {
    Intake.VANTA: (
        "Upload the files of a folder to the document of that control: Documents, or POST /v1/documents/ID/uploads.",
        "bundles/ holds the sealed runs that are small enough; others are named by link and digest in runs.csv.",
    ),
    Intake.DRATA: (
        "In Evidence, add summary.pdf and runs.csv as files and link them to the control; a bundle is added as a URL,",
        "since Drata takes no .tar.gz: runs.csv says where it is and what its SHA-256 has to be.",
    ),
    Intake.CISO_ASSISTANT: (
        "Import with the data wizard, or from a shell:",
        "  clica.py import-applied-controls --file applied-controls.csv --folder FOLDER",
        "  clica.py import-evidences --file evidences.csv --folder FOLDER",
    ),
}


def _applied(plan: Mapping[str, Any]) -> dict[str, Any]:
    """A plan as an applied control: what the organisation does."""
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(plan["counts"].items()))
    return {
        "name": f"Drill {plan['name']}",
        "description": f"A {plan['kind'] or 'resilience'} drill, {plan['cadence'] or 'of no known cadence'}.",
        "category": "process",
        "csf_function": "recover",
        "ref_id": plan["name"],
        "status": "deprecated" if plan["retiredAt"] else "active",
        "observation": counts or "nothing was due",
        "filtering_labels": "muster",
    }


def _plain(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula (OWASP, CSV injection)."""
    if not isinstance(value, str):
        return value
    text = line(value)
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@") else text
