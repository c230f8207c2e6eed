"""Making a package: everything of a period becomes one sealed file.

Promises: the same input gives the same bytes; memory does not grow with the size of the bundles, and little with their
number; the package appears whole under its name, or not at all; what is missing is in it as missing; what a verifier
could not read is not made.
Source: docs/evidence-format.md, "The package".
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from evidence import bag, durable
from evidence.bundle import Sealed, seal
from evidence.errors import EvidenceError
from evidence.names import is_portable
from evidence.receipts import receipt_key
from evidence.statement import PredicateType, canonical
from muster.deck.wording import minute
from muster.package.contents import Contents, put_together
from muster.package.controls import controls_json
from muster.package.html import render_html
from muster.package.inputs import Content, PackageInputs
from muster.package.jsonfile import write_json
from muster.package.junit import render_junit
from muster.package.limits import assert_readable
from muster.package.log import copy_log, written
from muster.package.oscal import oscal_of
from muster.package.pdf import render_pdf
from muster.package.report import build_report
from muster.package.telemetry import write_telemetry

if TYPE_CHECKING:
    from securesystemslib.signer import Signer  # type: ignore[attr-defined]  # re-exported without saying so

_ENTRIES = "log/entries.jsonl"


def make_package(inputs: PackageInputs, signer: "Signer", destination: Path) -> Sealed:
    """Seal the package into the folder `destination`, as `NAME.tar.gz`.

    Raises `EvidenceError` when the log does not fit its head, a name is too long, or it is more than a verifier reads,
    `SealError` when a file changes.
    """
    if not is_portable(inputs.name) or "/" in inputs.name or inputs.name.startswith("."):
        raise EvidenceError(f"{inputs.name!r} is no name for a package", "use letters, digits and ._+=,@-, 100 at most")
    durable.make_folders(destination)
    with tempfile.TemporaryDirectory(prefix=f".{inputs.name}.work-", dir=destination) as work:
        folder = Path(work)
        with (folder / "entries.jsonl").open("wb") as out:
            log = copy_log(inputs.entries, inputs.head, inputs.period, inputs.previous, out)
        contents = put_together(inputs, log, write_telemetry(inputs, folder / "telemetry"))
        members = dict(_members(inputs, contents, folder))
        _assert_names_fit(inputs.name, members)
        predicate = predicate_of(contents)
        assert_readable(members, predicate, contents.unpacked)
        return seal(
            members,
            predicate=predicate,
            signer=signer,
            destination=destination / f"{inputs.name}{bag.SUFFIX}",
            info={
                "Bag-Software-Agent": f"Muster {inputs.muster}",
                "Bagging-Date": f"{log.made_at:%Y-%m-%d}",
                "Bundle-Format": "2",
                "Period": f"{written(inputs.period.start)}/{written(inputs.period.end)}",
            },
            predicate_type=PredicateType.PACKAGE,
        )


def predicate_of(contents: Contents) -> dict[str, Any]:
    """What the seal says: docs/schemas/package.schema.json."""
    log, population, previous = contents.log, contents.population, contents.previous
    return {
        "head": {"origin": log.origin, "root": log.root, "size": log.size},
        "madeAt": written(log.made_at),
        "muster": contents.muster,
        "name": contents.name,
        "period": {
            "from": written(contents.period.start),
            "name": contents.period.name,
            "until": written(contents.period.end),
        },
        "population": {
            "late": len(population.late),
            "open": len(population.open),
            "outcomes": dict(population.counts),
            "slots": len(population.rows),
            "troubled": len(population.troubled),
        },
        "previous": {"name": previous.name, "sha256": previous.sha256} if previous else None,
        "release": contents.release,
        "runs": {"copied": len(contents.copied), "linked": len(contents.linked)},
    }


def _members(inputs: PackageInputs, contents: Contents, folder: Path) -> Iterator[tuple[str, Content]]:
    """Every file of the payload."""
    yield from _evidence(inputs, contents, folder)
    yield from _telling(inputs, contents, folder)


def _evidence(inputs: PackageInputs, contents: Contents, folder: Path) -> Iterator[tuple[str, Content]]:
    """What is as it was stored."""
    for run in contents.copied:
        yield f"runs/{run.key}", inputs.bundles[run.key]
    for run in (*contents.log.runs, *contents.log.late):
        if run.key in inputs.receipts:
            yield receipt_key(run.key), inputs.receipts[run.key]
    for name, content in inputs.keys.items():
        yield f"keys/{name}", content
    for name, content in inputs.records.items():
        yield f"records/{name}", content
    yield from inputs.log_files.items()
    yield "log/head", inputs.head
    yield _ENTRIES, folder / "entries.jsonl"


def _telling(inputs: PackageInputs, contents: Contents, folder: Path) -> Iterator[tuple[str, Content]]:
    """What is drawn from it."""
    population, previous, document = contents.population, contents.previous, build_report(contents)
    yield "README.txt", _readme(contents)
    yield "verify.py", inputs.verifier
    yield "population.json", write_json(folder / "population.json", population.as_json())
    yield "controls.json", write_json(folder / "controls.json", controls_json(population, contents.matrix))
    yield "oscal.json", write_json(folder / "oscal.json", oscal_of(contents))
    yield "report.html", render_html(document).encode()
    yield "report.pdf", render_pdf(document, contents.log.made_at)
    yield "junit.xml", render_junit(contents).encode()
    yield "previous.json", canonical({"name": previous.name, "sha256": previous.sha256} if previous else None)
    if contents.linked:
        yield "links.json", canonical(sorted(map(contents.link_of, contents.linked), key=lambda link: link["key"]))
    yield from contents.telemetry.files.items()


def _readme(contents: Contents) -> bytes:
    environment = Environment(
        loader=PackageLoader("muster.package"),
        autoescape=False,  # noqa: S701 - plain text
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    told = environment.get_template("README.txt").render(
        contents=contents,
        file=f"{contents.name}{bag.SUFFIX}",
        start=minute(contents.period.start),
        end=minute(contents.period.end),
        made_at=minute(contents.log.made_at),
    )
    return told.encode()


def _assert_names_fit(name: str, members: dict[str, Content]) -> None:
    """The whole path counts: what a reader would refuse is not written."""
    for member in members:
        if not is_portable(f"{name}/{bag.PAYLOAD}{member}"):
            raise EvidenceError(
                f"{name}/{bag.PAYLOAD}{member} is no name for a file of a package",
                "give the package a shorter name: 200 characters are allowed in all, letters, digits and ._+=,@-",
            )
