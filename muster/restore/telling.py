"""How a restore run is told: its measures, phases and facts, all from the journal."""

import socket
from pathlib import Path
from typing import Any, Literal

from muster.drill import Told
from muster.errors import UsageError
from muster.identity import Identity
from muster.journal import EventKind, History
from muster.plan import Plan
from muster.quantity import count_of, format_bytes, format_seconds
from muster.restore.objectives import recovery_point, rpo_is_met, rto_is_met
from muster.restore.observations import BytesVerified, Chosen, Restored, Rows, Version, WalArchived
from muster.restore.section import spec_of
from muster.restore.timing import phases, recovery_seconds
from muster.summary import Measure


def tell(history: History, plan: Plan) -> Told:
    """The restore drill's part of a summary."""
    return Told(
        target=_target(history, plan),
        measures=_measures(history, plan),
        phases=phases(history, plan.objectives.rto_until),
        facts=tuple(_facts(history, plan)),
    )


def _target(history: History, plan: Plan) -> str:
    identity = history.latest(Identity)
    if identity is None:
        return f"{plan.target['type']}, which proved no identity"
    known = f"system identifier {identity.system_identifier}, " if identity.system_identifier else ""
    return f"{plan.target['type']}: {identity.description} ({known}{identity.proof})"


def _measures(history: History, plan: Plan) -> tuple[Measure, ...]:
    objectives = plan.objectives
    other: Literal["serving", "verified"] = "serving" if objectives.rto_until == "verified" else "verified"
    time, beside = recovery_seconds(history, objectives.rto_until), recovery_seconds(history, other)
    note = f"until {objectives.rto_until}"
    if beside.complete:
        note += f"; {format_seconds(beside.seconds)} until {other}"
    if estimate := _full_size(history, plan):
        note += f"; {estimate}"
    lost = recovery_point(history)
    is_end = spec_of(plan).recovery.to == "end"
    rpo_note = "newest canary recovered against newest written" if is_end else "the plan recovers to a chosen point"
    if lost and lost[1] is not None:
        rpo_note += f": {count_of(lost[1], 'canary', 'canaries')} lost"
    return (
        Measure(
            name="RTO",
            measured=time.seconds if time.complete else None,
            objective=objectives.rto.total_seconds() if objectives.rto else None,
            verdict=rto_is_met(history, plan).verdict,
            note=note,
        ),
        Measure(
            name="RPO",
            measured=lost[0].total_seconds() if lost and is_end else None,
            objective=objectives.rpo.total_seconds() if objectives.rpo else None,
            verdict=rpo_is_met(history, plan).verdict,
            note=rpo_note,
        ),
    )


def _full_size(history: History, plan: Plan) -> str:
    """RTO extrapolated to the full system, in proportion to the bytes restored."""
    full, restored = spec_of(plan).sample_of_bytes, history.result("restore", Restored)
    time = recovery_seconds(history, "serving")
    if not full or not restored or not restored.bytes or not time.complete:
        return ""
    seconds = time.seconds * full / restored.bytes
    return f"about {format_seconds(seconds)} at {format_bytes(full)}, in proportion to the bytes restored"


def _facts(history: History, plan: Plan) -> list[tuple[str, str]]:
    facts = []
    opened = history.of(EventKind.OPENED)
    if chosen := history.result("choose", Chosen):
        backup = chosen.backup
        age = (opened[0].at - backup.taken_at).total_seconds()
        facts += [
            ("backup", f"{backup.label}, {format_bytes(backup.bytes)}, taken {backup.taken_at:%Y-%m-%d %H:%M:%S} UTC"
                       f" ({format_seconds(max(0.0, age))} before the drill)"),
            ("chosen by", f"{chosen.rule}, of {chosen.candidates}"
                          + (f", seed {chosen.seed}" if chosen.seed is not None else "")),
            ("binaries", f"PostgreSQL {chosen.server_version}, found {chosen.binaries_found}"),
        ]  # fmt: skip
        if len(backup.chain) > 1:
            facts.append(("chain", " + ".join(backup.chain)))
        if chosen.reference:
            facts.append(("reference", f"{chosen.reference.point} at {chosen.reference.lsn}"))
    facts.append(("recovery to", _target_words(plan)))
    if wal := history.latest(WalArchived):
        facts.append(("log", f"{wal.segments} segments, {wal.first} to {wal.last}"))
    if rows := history.latest(Rows):
        facts.append(("rows", f"{sum(t.rows for t in rows.tables):,} in {len(rows.tables)} tables"))
    if version := history.latest(Version):
        facts.append(("restored", f"PostgreSQL {version.full}, {format_bytes(version.data_bytes)} of data"))
    if verified := history.observed(BytesVerified):
        facts.append(("verified", f"{sum(v.files or 0 for v in verified)} files by {verified[0].tool}"))
    if opened:
        facts.append(("machine", str(opened[0].body.get("machine", ""))))
    return facts


def _target_words(plan: Plan) -> str:
    to = spec_of(plan).recovery
    value = to.time.isoformat() if to.time else to.lsn or to.name
    return "the end of the archive" if to.to == "end" else f"{to.to} {value}"


def remember(history: History) -> dict[str, Any]:
    """Rows per table, for the next run's volume check."""
    rows = history.latest(Rows)
    return {"rows": {t.table: t.rows for t in rows.tables}} if rows else {}


def brief(plan: Plan) -> dict[str, Any]:
    """The committed catalog, when the plan names one."""
    catalog = spec_of(plan).catalog
    return {"machine": socket.gethostname()} | ({"catalog": read_lines(catalog)} if catalog else {})


def sight(target: Any) -> dict[str, str]:
    """What the target is: whose backups they are, and of which major version; nothing where that is not to be seen.

    A dump carries no system identifier. A physical backup does: one without was not seen well enough.
    """
    newest = max((b for b in target.backups() if b.major is not None), key=lambda b: b.taken_at, default=None)
    if newest is None:
        return {}
    seen = {"form": str(newest.form), "major": str(newest.major)}
    if newest.form == "dump":
        return seen
    identifier = target.identify().system_identifier or newest.system_identifier
    return seen | {"system_identifier": str(identifier)} if identifier else {}


def read_lines(path: Path) -> list[str]:
    """The lines of a committed catalog; comment lines begin with `#`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the catalog {path} cannot be read: {error}", "mend `restore.catalog` in the plan") from None
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
