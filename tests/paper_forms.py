"""What programs read of a package on paper, made by the code that makes it for real."""

from pathlib import Path

from muster.package.contents import Contents, put_together
from muster.package.controls import controls_json
from muster.package.inputs import PackageInputs, Previous
from muster.package.jsonfile import pieces
from muster.package.junit import render_junit
from muster.package.log import copy_log
from muster.package.oscal import oscal_of
from muster.package.period import parse_period
from muster.package.telemetry import write_telemetry
from tests.paper_package import Files, Period


def told(period: Period, folder: Path, previous: Previous | None = None) -> Files:
    """The period's population, JUnit, control matrix and OSCAL. Bundles are laid into `folder`."""
    bundles = {}
    for name in [name for name in period.files if name.startswith("runs/")]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(period.files[name])
        bundles[name.removeprefix("runs/")] = path
    inputs = PackageInputs(
        name=period.name, release="1", period=parse_period("2026-Q3"), entries=period.entries, head=period.head(),
        verifier=b"", bundles=bundles, muster="1.4.0", previous=previous,
    )  # fmt: skip
    log = copy_log(inputs.entries, inputs.head, inputs.period, inputs.previous, None)
    return _forms_of(put_together(inputs, log, write_telemetry(inputs, folder / "telemetry")))


def _forms_of(contents: Contents) -> Files:
    documents = {
        "controls.json": controls_json(contents.population, contents.matrix),
        "oscal.json": oscal_of(contents),
        "population.json": contents.population.as_json(),
    }
    files = {name: b"".join(pieces(document)) for name, document in documents.items()}
    return files | {"junit.xml": render_junit(contents).encode()}
