"""Everything that a package tells, put together once: what report, OSCAL and JUnit are all drawn from.

Promise: two forms of one package cannot disagree, since neither looks anything up.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evidence.envelope import open_envelope
from evidence.receipts import PutReceipt, parse_receipt
from muster.notary.vouched import Anchor, Cosignature
from muster.package.controls import ControlRow, build_matrix
from muster.package.inputs import PackageInputs, Previous, bytes_of
from muster.package.log import Log, LoggedRun
from muster.package.period import Period
from muster.package.planlog import read_statements
from muster.package.population import Population, build_population
from muster.package.sealed import Reading, read_bundle
from muster.package.telemetry import Telemetry


@dataclass(frozen=True)
class Contents:
    """One package, as it is told."""

    name: str
    release: str
    period: Period
    log: Log
    population: Population
    matrix: tuple[ControlRow, ...]
    copied: tuple[LoggedRun, ...]
    """Runs whose bundles are in the package."""
    linked: tuple[LoggedRun, ...]
    """Runs whose bundles are too large for it, and are named by link."""
    receipts: Mapping[str, PutReceipt]
    """By the key of the bundle; one that cannot be read is left out."""
    telemetry: Telemetry
    anchors: tuple[Anchor, ...]
    cosignatures: tuple[Cosignature, ...]
    previous: Previous | None
    muster: str
    unpacked: int
    """Bytes of what is in the bundles that are in the package."""

    @property
    def has_ended(self) -> bool:
        """Whether the period was over when the package was made."""
        return self.population.as_of >= self.period.end

    @property
    def anchored(self) -> int:
        """Entries below the largest head with a time-stamp that was checked."""
        return max((anchor.size for anchor in self.anchors if anchor.at), default=0)

    def link_of(self, run: LoggedRun) -> dict[str, Any]:
        """What `links.json` says of a bundle that is not in the package."""
        receipt = self.receipts.get(run.key)
        return {
            "key": run.key,
            "sha256": run.sha256,
            "size": run.size,
            "url": f"{receipt.where}/{run.key}" if receipt else "",
            "version": receipt.held.version if receipt else None,
        }


def put_together(inputs: PackageInputs, log: Log, telemetry: Telemetry) -> Contents:
    """Read every bundle, and join all there is."""
    readings = dict(_read_all(inputs, log))
    statements = read_statements(log, inputs.records)
    population = build_population(
        log, readings, inputs.period, inputs.plans, inputs.standings, inputs.as_of, statements
    )
    sound = [run for run in (*log.runs, *log.late) if _is_packaged(readings.get(run.key))]
    copied = tuple(run for run in sound if run.size <= inputs.link_above)
    return Contents(
        name=inputs.name,
        release=inputs.release,
        period=inputs.period,
        log=log,
        population=population,
        matrix=build_matrix(population, log),
        copied=copied,
        linked=tuple(run for run in sound if run.size > inputs.link_above),
        receipts=dict(_receipts(inputs, sound)),
        telemetry=telemetry,
        anchors=tuple(sorted(inputs.anchors, key=lambda anchor: (anchor.size, anchor.authority))),
        cosignatures=tuple(sorted(inputs.cosignatures, key=lambda each: (each.size, each.witness))),
        previous=inputs.previous,
        muster=inputs.muster,
        unpacked=sum(readings[run.key].unpacked for run in copied),
    )


def _is_packaged(reading: Reading | None) -> bool:
    """What was logged is packaged, also where it says another thing than its entry: an auditor shall see it."""
    return reading is not None and reading.sealed is not None


def _read_all(inputs: PackageInputs, log: Log) -> Iterator[tuple[str, Reading]]:
    for run in (*log.runs, *log.late, *log.before.values(), *log.after.values()):
        path = inputs.bundles.get(run.key)
        yield run.key, read_bundle(path, run) if path else _absent(inputs.absent.get(run.key, ""))


def _absent(why: str) -> Reading:
    return Reading(None, (f"its bundle could not be had: {why}" if why else "its bundle could not be had",))


def _receipts(inputs: PackageInputs, runs: list[LoggedRun]) -> Iterator[tuple[str, PutReceipt]]:
    for run in runs:
        content = inputs.receipts.get(run.key)
        opened = open_envelope(bytes_of(content)) if content is not None else None
        receipt = parse_receipt(opened.payload) if opened else None
        if receipt:
            yield run.key, receipt
