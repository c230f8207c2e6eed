"""The restore drill's checks: pure functions from the journal to findings.

Promises: none touches a system; what was not observed is `inconclusive`, never a pass; what the plan did not ask for
says so. Each is shown to catch its planted fault by `muster prove restore`.
"""

from collections.abc import Callable
from difflib import unified_diff

from muster.course import nothing_is_left, steps_ended
from muster.finding import Finding, judge, not_asked, unseen
from muster.identity import Identity
from muster.journal import EventKind, History
from muster.plan import Plan
from muster.quantity import format_seconds
from muster.restore.objectives import rpo_is_met, rto_is_met
from muster.restore.observations import (
    BytesVerified,
    CanaryState,
    Catalog,
    Chosen,
    Isolation,
    PointReached,
    Rows,
    Rung,
    Served,
    SqlAnswer,
    TableFingerprint,
    Version,
    WalArchived,
)
from muster.restore.section import spec_of
from muster.restore.spec import SqlCheck


def restored(history: History, _plan: Plan) -> Finding:
    """Every step came to its end."""
    return steps_ended(history, "restored", "the backup restores, the log replays, the server answers")


def backup_is_fresh(history: History, plan: Plan) -> Finding:
    """The chosen backup is not older than the plan allows."""
    limit = spec_of(plan).max_backup_age
    if limit is None:
        return not_asked("backup age", "the backup is fresh", "restore.max_backup_age")
    expected = f"at most {format_seconds(limit.total_seconds())} old"
    chosen, opened = history.result("choose", Chosen), history.of(EventKind.OPENED)
    if chosen is None or not opened:
        return unseen("backup age", expected)
    age = opened[0].at - chosen.backup.taken_at
    return judge(
        "backup age", age <= limit, expected, f"{format_seconds(max(0.0, age.total_seconds()))} old",
        "look at the backup job: its newest backup is too old",
    )  # fmt: skip


def backup_is_ours(history: History, _plan: Plan) -> Finding:
    """The backup and the restored server carry the identity that the target proved."""
    expected = "the backup is of the system that the plan names"
    identity, version = history.latest(Identity), history.latest(Version)
    chosen = history.result("choose", Chosen)
    if identity is None or chosen is None:
        return unseen("identity", expected)
    if identity.system_identifier is None:
        return Finding(check="identity", verdict=None, expected=expected, seen="the target names no system identifier")
    carried = version.system_identifier if version else chosen.backup.system_identifier
    if carried is None:
        return unseen("identity", expected)
    return judge(
        "identity", carried == identity.system_identifier, f"system identifier {identity.system_identifier}",
        f"system identifier {carried}", "another cluster's backup lies where this one's should",
    )  # fmt: skip


def version_fits(history: History, plan: Plan) -> Finding:
    """The restored server has the major version that the plan names."""
    wanted, seen = spec_of(plan).server_major, history.latest(Version)
    if wanted is None:
        return not_asked("server version", "the major version is the expected one", "restore.server_major")
    expected = f"PostgreSQL {wanted}"
    chosen = history.result("choose", Chosen)
    major = seen.major if seen else chosen.backup.major if chosen else None
    if major is None:
        return unseen("server version", expected)
    return judge("server version", major == wanted, expected, f"PostgreSQL {major}", "plan and backup disagree")


def bytes_are_whole(history: History, plan: Plan) -> Finding:
    """The backup's files are those that its manifest names."""
    expected = "every file of the backup is as its manifest says"
    if not spec_of(plan).bytes:
        return not_asked("bytes", expected, "restore.bytes")
    seen = history.observed(BytesVerified)
    if not seen:
        return unseen("bytes", expected)
    problems = tuple(p for o in seen for p in o.problems)
    ok = all(o.ok for o in seen)
    files = sum(o.files or 0 for o in seen)
    what = f"{seen[0].tool}: " + (f"{files} files agree" if ok else f"{len(problems)} problems")
    return judge("bytes", ok, expected, what, "this backup cannot be trusted: take a new one", problems)


def wal_is_complete(history: History, plan: Plan) -> Finding:
    """The archive holds every segment from the backup's start to its end."""
    expected = "no segment is missing from the log's archive"
    chosen = history.result("choose", Chosen)
    if not spec_of(plan).wal:
        return not_asked("wal", expected, "restore.wal")
    if chosen and chosen.backup.form == "dump":
        return Finding(check="wal", verdict=None, expected=expected, seen="a dump has no log to replay")
    seen = history.latest(WalArchived)
    if seen is None:
        return unseen("wal", expected)
    problems = (*(f"missing {m}" for m in seen.missing), *(f"damaged {d}" for d in seen.damaged))
    what = f"{seen.segments} segments, {seen.first} to {seen.last}" + (f", {len(problems)} bad" if problems else "")
    return judge(
        "wal", not problems and seen.segments > 0, expected, what, "look at the archiver: the log has a hole", problems
    )


def point_is_reached(history: History, plan: Plan) -> Finding:
    """Recovery went as far as it was asked to; both sides of a point hold."""
    to, chosen = spec_of(plan).recovery, history.result("choose", Chosen)
    if chosen and chosen.backup.form == "dump":
        return Finding(check="reached", verdict=None, expected="the target is reached", seen="a dump has no target")
    if to.to == "end":
        return _end_is_reached(history)
    point = history.latest(PointReached)
    expected = f"recovery stops at {to.to} {to.time or to.lsn or to.name}"
    if point is None:
        return unseen("reached", expected)
    late = [c for c in history.observed(CanaryState) if c.after_present]
    if to.time:
        late += [c for c in history.observed(CanaryState) if c.newest_at and c.newest_at > to.time]
    seen = f"a canary from after {point.asked} is there" if late else point.seen
    return judge("reached", point.reached and not late, expected, seen, "recovery overshot its target")


def _end_is_reached(history: History) -> Finding:
    expected = "the log is replayed to the end of its archive"
    served, archived = history.result("promote", Served), history.latest(WalArchived)
    if served is None or archived is None:
        return unseen("reached", expected)
    short = archived.last_number - served.segment
    seen = "the last archived segment was replayed" if short <= 0 else f"recovery ended {short} segments early"
    # With no target, PostgreSQL takes a damaged segment for the end of the log and says nothing.
    return judge("reached", short <= 0, expected, seen, "a damaged segment looks like the end of the log: see `wal`")


def rows_match(history: History, plan: Plan) -> Finding:
    """Every table has the rows it had in the source at the reference point."""
    chosen = history.result("choose", Chosen)
    expected = "every table's rows as in the source at the reference point"
    if not spec_of(plan).rows:
        return not_asked("rows", expected, "restore.rows")
    if chosen is None:
        return unseen("rows", expected)
    if chosen.reference is None:
        return unseen(
            "rows", expected, "the target holds no reference between the backup and the recovery target",
            "take one with `muster reference`; see docs/restore.md",
        )  # fmt: skip
    seen = next((r for r in history.observed(Rows) if r.stage == "reference"), None)
    if seen is None:
        return unseen("rows", expected)
    return _compare_rows(chosen.reference.tables, seen, chosen.reference.point)


def _compare_rows(wanted: tuple[TableFingerprint, ...], seen: Rows, point: str) -> Finding:
    there = {t.table: t for t in seen.tables}
    problems = [f"{name}" for name in seen.unreadable]
    for table in wanted:
        got = there.pop(table.table, None)
        if got is None:
            problems.append(f"{table.table}: missing ({table.rows} rows in the source)")
        elif got.rows != table.rows:
            problems.append(f"{table.table}: {got.rows} rows, {table.rows} in the source")
        elif got.digest != table.digest:
            problems.append(f"{table.table}: {got.rows} rows, but not the same ones")
    problems += [f"{name}: not in the source" for name in there]
    rows = sum(t.rows for t in wanted)
    if not wanted:
        return unseen("rows", "tables with rows", f"the reference {point} holds no table")
    return judge(
        "rows", not problems, f"{len(wanted)} tables, {rows:,} rows as at {point}",
        "all the same" if not problems else f"{len(problems)} tables differ",
        "rows were lost or changed between the source and the restore", tuple(sorted(problems)),
    )  # fmt: skip


def volume_holds(history: History, plan: Plan) -> Finding:
    """No table lost more rows against the last pass than the plan tolerates."""
    tolerance = spec_of(plan).volume_drop
    if tolerance is None:
        return not_asked("volume", "no table shrank", "restore.volume_drop")
    expected = f"no table has lost more than {tolerance:.0%} of its rows since the last pass"
    opened, rows = history.of(EventKind.OPENED), history.latest(Rows)
    before: dict[str, int] = opened[0].body.get("earlier", {}).get("rows", {}) if opened else {}
    if not before:
        return Finding(check="volume", verdict=None, expected=expected, seen="no earlier pass to compare with")
    if rows is None:
        return unseen("volume", expected)
    now = {t.table: t.rows for t in rows.tables}
    lost = [
        f"{table}: {count} rows at the last pass, {now.get(table, 0)} now"
        for table, count in before.items()
        if now.get(table, 0) < count * (1 - tolerance)
    ]
    return judge(
        "volume", not lost, expected, f"{len(before)} tables compared, {len(lost)} shrank",
        "find out who deleted the rows, or raise `volume_drop`", tuple(lost),
    )  # fmt: skip


def catalog_matches(history: History, plan: Plan) -> Finding:
    """The structure is the committed one, object by object."""
    expected = "the structure is the committed one"
    if spec_of(plan).catalog is None:
        return not_asked("structure", expected, "restore.catalog")
    opened, seen = history.of(EventKind.OPENED), history.latest(Catalog)
    wanted = tuple(opened[0].body.get("catalog", ())) if opened else ()
    if seen is None or not wanted:
        return unseen("structure", expected, "" if wanted else "the committed catalog is empty")
    diff = tuple(
        line for line in unified_diff(wanted, seen.lines, lineterm="", n=0) if not line.startswith(("---", "+++", "@@"))
    )
    return judge(
        "structure", not diff, f"{len(wanted)} objects as committed",
        "all the same" if not diff else f"{len(diff)} lines differ",
        "objects were lost or changed; when the change is meant, commit the new catalog", diff,
    )  # fmt: skip


def canary_lives(history: History, plan: Plan) -> Finding:
    """The canary table is there, fits its checksums, and holds both sides of the reference point."""
    canary, chosen = spec_of(plan).canary, history.result("choose", Chosen)
    expected = "the canary before the point is there, the one after is not, and none is garbled"
    if canary is None:
        return not_asked("canary", expected, "restore.canary")
    states = history.observed(CanaryState)
    if not states:
        return unseen("canary", expected)
    reference = chosen.reference if chosen else None
    problems = []
    for state in states:
        if not state.exists:
            problems.append(f"table {canary.table} is missing")
        elif state.rows == 0:
            problems.append(f"table {canary.table} is empty")
        if state.garbled:
            problems.append(f"{state.garbled} canaries do not fit their checksum")
        if state.after_present:
            problems.append("a canary written after the reference point is there")
        if state.stage == "reference" and reference and state.newest_id != reference.canary_before:
            problems.append(f"newest canary is {state.newest_id}, at the point it was {reference.canary_before}")
    return judge(
        "canary", not problems, expected,
        f"{states[-1].rows} canaries, newest {states[-1].newest_id}" if not problems else problems[0],
        "the restored data is not what the source wrote", tuple(dict.fromkeys(problems)),
    )  # fmt: skip


def _integrity(name: str, title: str, expected: str) -> Callable[[History, Plan], Finding]:
    def check(history: History, plan: Plan) -> Finding:
        if not getattr(spec_of(plan).integrity, name):
            return not_asked(title, expected, f"restore.integrity.{name}")
        return _from_rung(history, name, title, expected)

    check.__name__ = name
    check.__doc__ = expected
    return check


def _from_rung(history: History, name: str, title: str, expected: str) -> Finding:
    rung = next((r for r in history.observed(Rung) if r.name == name), None)
    if rung is None:
        return unseen(title, expected)
    if rung.problems:
        return judge(title, False, expected, f"{len(rung.problems)} found wanting: {rung.problems[0]}",
                     "the restored database is not sound", rung.problems)  # fmt: skip
    if rung.error:
        return unseen(title, expected, rung.error)
    return judge(title, True, expected, f"{rung.looked_at} looked at, none wanting")


amcheck_is_clean = _integrity("amcheck", "amcheck", "heaps and indexes are consistent, every row is indexed")
checksums_hold = _integrity("page_checksums", "page checksums", "no page that was read failed its checksum")
sequences_are_ahead = _integrity("sequences", "sequences", "no sequence is behind its column")
views_are_populated = _integrity("materialized_views", "materialised views", "every one is populated")
indexes_are_valid = _integrity("invalid_indexes", "invalid indexes", "every index is valid")
collations_fit = _integrity("collations", "collations", "every collation has the version it was built with")


def extensions_are_present(history: History, plan: Plan) -> Finding:
    """Every extension that the plan names is installed."""
    return _present(history, "extensions", spec_of(plan).extensions)


def roles_are_present(history: History, plan: Plan) -> Finding:
    """Every role that the plan names exists."""
    return _present(history, "roles", spec_of(plan).roles)


def _present(history: History, name: str, wanted: tuple[str, ...]) -> Finding:
    expected = f"present: {', '.join(wanted)}" if wanted else f"{name} are present"
    return _from_rung(history, name, name, expected) if wanted else not_asked(name, expected, f"restore.{name}")


def answers_fit(history: History, plan: Plan) -> tuple[Finding, ...]:
    """The plan's own SQL, each with its strict comparison."""
    checks = spec_of(plan).sql
    if not checks:
        return (not_asked("sql", "the plan's own questions are answered rightly", "restore.sql"),)
    answers = {a.name: a for a in history.observed(SqlAnswer)}
    return tuple(_answer_fits(check, answers.get(check.name)) for check in checks)


def _answer_fits(check: SqlCheck, answer: SqlAnswer | None) -> Finding:
    title = f"sql: {check.name}"
    wanted = [f"= {check.equals!r}"] if check.equals is not None else []
    wanted += [f">= {check.at_least:g}"] if check.at_least is not None else []
    wanted += [f"<= {check.at_most:g}"] if check.at_most is not None else []
    expected = " and ".join(wanted)
    if answer is None:
        return unseen(title, expected)
    if answer.error or answer.value is None:
        return judge(title, False, expected, answer.error or answer.shape, "the query must give one value")
    return judge(title, _fits(check, answer.value), expected, repr(answer.value), "the restored data breaks this rule")


def _fits(check: SqlCheck, value: str | int | float | bool) -> bool:
    # Strict: `1` is not `true`, and `"1"` is not `1`.
    if check.equals is not None and (type(value) is not type(check.equals) or value != check.equals):
        return False
    if check.at_least is None and check.at_most is None:
        return True
    if isinstance(value, bool | str):
        return False
    low = check.at_least is None or value >= check.at_least
    return low and (check.at_most is None or value <= check.at_most)


def server_is_isolated(history: History, _plan: Plan) -> Finding:
    """The restored server archives nothing, replicates nothing and listens to nobody."""
    expected = "archive_mode off, no TCP beyond loopback, no replication"
    seen = history.latest(Isolation)
    if seen is None:
        return unseen("isolation", expected)
    outside = [s for s in seen.sockets_open if not s.startswith(("127.", "::1"))]
    problems = [f"listens on {s}" for s in outside]
    if seen.archive_mode != "off":
        problems.append(f"archive_mode is {seen.archive_mode}")
    if seen.wal_senders or seen.wal_receiver or seen.subscriptions:
        problems.append("it replicates")
    return judge(
        "isolation", not problems, expected, problems[0] if problems else "archives nothing, listens to nobody",
        "stop the restored server at once: it may write into the source's archive", tuple(problems),
    )  # fmt: skip


CHECKS = (
    restored,
    rto_is_met,
    rpo_is_met,
    bytes_are_whole,
    wal_is_complete,
    point_is_reached,
    rows_match,
    volume_holds,
    catalog_matches,
    canary_lives,
    answers_fit,
    amcheck_is_clean,
    checksums_hold,
    sequences_are_ahead,
    views_are_populated,
    indexes_are_valid,
    collations_fit,
    extensions_are_present,
    roles_are_present,
    backup_is_fresh,
    backup_is_ours,
    version_fits,
    server_is_isolated,
    nothing_is_left,
)
