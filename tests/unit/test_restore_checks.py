"""Every check of the restore drill, on journals made by hand: it passes, fails, stays in the dark, or was not asked."""

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from muster.finding import SHOWN
from muster.identity import Identity
from muster.journal import EventKind, History, Journal, Observation
from muster.plan import Plan
from muster.restore import checks
from muster.restore.observations import (
    Backup,
    BytesVerified,
    CanaryState,
    Catalog,
    Chosen,
    Isolation,
    PointReached,
    Reference,
    Rows,
    Rung,
    Served,
    SourceMark,
    SqlAnswer,
    TableFingerprint,
    Version,
    WalArchived,
)

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
STEPS = ("choose", "fetch", "restore", "replay", "compare", "promote", "inspect")


@dataclass
class Clock:
    """Each step takes a second; the run opens at `AT`."""

    ticks: Any = field(default_factory=itertools.count)

    def now(self) -> datetime:
        return AT

    def monotonic_ns(self) -> int:
        return next(self.ticks) * 10**9


class Memory:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def append_event(self, event: Any) -> None:
        self.events.append(event)

    def read_events(self, run: str) -> tuple[Any, ...]:
        return tuple(self.events)


def plan(**restore: Any) -> Plan:
    objectives = restore.pop("objectives", {})
    return Plan.model_validate(
        {"name": "unit", "kind": "restore", "environment": "test", "owner": "tests", "target": {"type": "embedded"},
         "objectives": objectives, "restore": restore}
    )  # fmt: skip


def history(
    *seen: Observation, steps: dict[str, Observation] | None = None, fails: dict[str, str] | None = None, **opened: Any
) -> History:
    """A journal: opened, the steps with their results, one that failed with a cause, and what was observed."""
    journal = Journal("run", Memory(), Clock())
    journal.append(EventKind.OPENED, **opened)
    for name, result in (steps or {}).items():
        journal.append(EventKind.STARTED, name)
        journal.append(EventKind.SUCCEEDED, name, result=result.model_dump(mode="json"))
    for name, cause in (fails or {}).items():
        journal.append(EventKind.STARTED, name)
        journal.append(EventKind.FAILED, name, cause=cause, error="Error", message="it broke", advice="mend it")
    for observation in seen:
        journal.observe(observation)
    return journal.history


def reference(**changes: Any) -> Reference:
    return Reference.model_validate(
        {"point": "p", "lsn": "0/5000000", "taken_at": AT, "database": "shop", "system_identifier": "7",
         "tables": [table("a", 10, "x"), table("b", 5, "y")], "canary_before": 4, "canary_after": 5, **changes}
    )  # fmt: skip


def table(name: str, rows: int, digest: str) -> TableFingerprint:
    return TableFingerprint(table=name, rows=rows, digest=digest)


def chosen(reference: Reference | None = None, **backup: Any) -> dict[str, Observation]:
    """The step `choose` with its result."""
    made = Backup.model_validate(
        {"label": "full", "form": "physical", "taken_at": AT - timedelta(hours=1), "bytes": 1, "major": 18,
         "system_identifier": "7", **backup}
    )  # fmt: skip
    result = Chosen(
        backup=made, candidates=1, rule="latest", seed=None, reference=reference, binaries=Path("/bin"),
        server_version="18.1", binaries_found="wheel",
    )  # fmt: skip
    return {"choose": result}


def rows(*tables: TableFingerprint, stage: str = "reference", unreadable: tuple[str, ...] = ()) -> Rows:
    return Rows.model_validate({"stage": stage, "tables": tables, "unreadable": unreadable})


def wal(**changes: Any) -> WalArchived:
    return WalArchived.model_validate(
        {"first": "3", "last": "8", "last_number": 8, "segments": 6, "missing": (), "damaged": (), **changes}
    )


def served(segment: int) -> dict[str, Observation]:
    return chosen() | {"promote": Served(lsn="0/8000000", timeline=2, segment=segment)}


def canary(stage: str = "reference", **changes: Any) -> CanaryState:
    return CanaryState.model_validate(
        {"stage": stage, "exists": True, "rows": 4, "newest_id": 4, "newest_at": AT, "after_present": False, **changes}
    )


def isolation(**changes: Any) -> Isolation:
    return Isolation.model_validate(
        {"archive_mode": "off", "archive_command": "", "listen_addresses": "", "sockets_open": (), "wal_senders": 0,
         "wal_receiver": False, "subscriptions": 0, **changes}
    )  # fmt: skip


def rung(name: str, *problems: str, error: str = "") -> Rung:
    return Rung(name=name, asked="?", problems=problems, looked_at=3, error=error)


def version(**changes: Any) -> Version:
    return Version.model_validate({"major": 18, "full": "18.1", "system_identifier": "7", "data_bytes": 1, **changes})


IDENTITY = Identity(description="shop", system_identifier="7", proof="asked")
NAMELESS = Identity(description="dumps", system_identifier=None, proof="none")
MARK = SourceMark(canary_id=6, written_at=AT + timedelta(seconds=2), seen_at=AT, source="asked the source")
WHOLE = BytesVerified(tool="pg_verifybackup", ok=True, files=9, problems=())
BROKEN = BytesVerified(tool="pg_verifybackup", ok=False, files=9, problems=("checksum mismatch",))
REACHED = PointReached(asked="restore point p", reached=True, seen="paused there")
ANSWER = SqlAnswer(name="q", value=0, shape="1 rows of 1 columns")
TO_NAME = plan(recovery={"to": "name", "name": "p"})
TO_TIME = plan(recovery={"to": "time", "time": AT})
RTO = plan(objectives={"rto": "60s"})
SHORT_RTO = plan(objectives={"rto": "1s"})
RPO = plan(objectives={"rpo": "10s"})
SHORT_RPO = plan(objectives={"rpo": "1s"})
CANARY = plan(canary={"checksum_column": "checksum"})
SQL = plan(sql=[{"name": "q", "sql": "select 0", "equals": 0}])
AGE, SHORT_AGE = plan(max_backup_age="1d"), plan(max_backup_age="30m")
CATALOG = plan(catalog="catalog.txt")
DONE = {step: Served(lsn="0/1", timeline=1, segment=8) for step in STEPS}
BOTH = (table("a", 10, "x"), table("b", 5, "y"))
EARLIER = {"earlier": {"rows": {"a": 100}}}
NOTHING = history()
DEFAULT = plan()

# fmt: off
CASES = [
    ("restored", checks.restored, [
        ("pass", history(steps=DONE), DEFAULT, "7 steps"),
        ("fail", history(fails={"replay": "system"}), DEFAULT, "step replay: it broke"),
        ("inconclusive", history(fails={"replay": "drill"}), DEFAULT, "step replay: it broke"),
        ("inconclusive", history(fails={"choose": "refused"}), DEFAULT, "step choose"),
        ("inconclusive", NOTHING, DEFAULT, "no step ran"),
    ]),
    ("rto", checks.rto_is_met, [
        ("pass", history(steps=DONE), RTO, "7.0 s"),
        ("fail", history(steps=DONE), SHORT_RTO, "7.0 s"),
        ("fail", history(steps=dict(list(DONE.items())[:3])), SHORT_RTO, "not recovered after 3.0 s"),
        ("inconclusive", history(steps=dict(list(DONE.items())[:3])), RTO, "ended after 3.0 s"),
        ("inconclusive", NOTHING, RTO, ""),
        ("not asked", history(steps=DONE), DEFAULT, "no RTO"),
    ]),
    ("rpo", checks.rpo_is_met, [
        ("pass", history(MARK, canary("target")), RPO, "2.0 s, 2 canaries lost"),
        ("fail", history(MARK, canary("target")), SHORT_RPO, "2.0 s, 2 canaries lost"),
        ("inconclusive", history(MARK), RPO, "no canary"),
        ("inconclusive", history(MARK, canary("target", newest_at=None)), RPO, "no canary"),
        ("inconclusive", NOTHING, RPO, "no canary"),
        ("not asked", NOTHING, plan(objectives={"rpo": "10s"}, recovery={"to": "name", "name": "p"}), "chosen point"),
        ("not asked", NOTHING, DEFAULT, "no RPO"),
    ]),
    ("bytes", checks.bytes_are_whole, [
        ("pass", history(WHOLE, WHOLE), DEFAULT, "18 files agree"),
        ("fail", history(WHOLE, BROKEN), DEFAULT, "1 problems"),
        ("inconclusive", NOTHING, DEFAULT, ""),
        ("not asked", history(BROKEN), plan(bytes=False), "restore.bytes"),
    ]),
    ("wal", checks.wal_is_complete, [
        ("pass", history(wal()), DEFAULT, "6 segments"),
        ("fail", history(wal(missing=("5",))), DEFAULT, "1 bad"),
        ("fail", history(wal(damaged=("5: checksum",))), DEFAULT, "1 bad"),
        ("fail", history(wal(segments=0)), DEFAULT, "0 segments"),
        ("inconclusive", NOTHING, DEFAULT, ""),
        ("not asked", history(wal(), steps=chosen(form="dump")), DEFAULT, "a dump has no log"),
        ("not asked", history(wal(missing=("5",))), plan(wal=False), "restore.wal"),
    ]),
    ("reached", checks.point_is_reached, [
        ("pass", history(wal(), steps=served(8)), DEFAULT, "last archived segment"),
        ("pass", history(wal(), steps=served(9)), DEFAULT, "last archived segment"),
        ("fail", history(wal(), steps=served(6)), DEFAULT, "2 segments early"),
        ("inconclusive", history(steps=served(8)), DEFAULT, ""),
        ("inconclusive", history(wal()), DEFAULT, ""),
        ("pass", history(REACHED, canary()), TO_NAME, "paused there"),
        ("fail", history(REACHED, canary(after_present=True)), TO_NAME, "a canary from after"),
        ("fail", history(REACHED.model_copy(update={"reached": False})), TO_NAME, "paused there"),
        ("pass", history(REACHED, canary("target", newest_at=AT)), TO_TIME, "paused there"),
        ("fail", history(REACHED, canary("target", newest_at=AT + timedelta(seconds=1))), TO_TIME, "a canary from"),
        ("inconclusive", NOTHING, TO_NAME, ""),
        ("not asked", history(steps=chosen(form="dump")), DEFAULT, "a dump has no target"),
    ]),
    ("rows", checks.rows_match, [
        ("pass", history(rows(*BOTH), steps=chosen(reference())), DEFAULT, "all the same"),
        ("fail", history(rows(BOTH[0]), steps=chosen(reference())), DEFAULT, "1 tables differ"),
        ("fail", history(rows(*BOTH, table("c", 1, "z")), steps=chosen(reference())), DEFAULT, "1 tables differ"),
        ("fail", history(rows(BOTH[0], table("b", 4, "y")), steps=chosen(reference())), DEFAULT, "1 tables differ"),
        ("fail", history(rows(BOTH[0], table("b", 5, "z")), steps=chosen(reference())), DEFAULT, "1 tables differ"),
        ("fail", history(rows(*BOTH, unreadable=("c: bad",)), steps=chosen(reference())), DEFAULT, "1 tables differ"),
        ("inconclusive", history(rows(*BOTH, stage="target"), steps=chosen(reference())), DEFAULT, ""),
        ("inconclusive", history(rows(), steps=chosen(reference(tables=()))), DEFAULT, "holds no table"),
        ("inconclusive", history(rows(*BOTH), steps=chosen()), DEFAULT, "no reference"),
        ("inconclusive", NOTHING, DEFAULT, ""),
        ("not asked", NOTHING, plan(rows=False), "restore.rows"),
    ]),
    ("volume", checks.volume_holds, [
        ("pass", history(rows(table("a", 98, "x"), stage="target"), **EARLIER), DEFAULT, "0 shrank"),
        ("pass", history(rows(table("a", 900, "x"), stage="target"), **EARLIER), DEFAULT, "0 shrank"),
        ("fail", history(rows(table("a", 97, "x"), stage="target"), **EARLIER), DEFAULT, "1 shrank"),
        ("fail", history(rows(stage="target"), **EARLIER), DEFAULT, "1 shrank"),
        ("inconclusive", history(**EARLIER), DEFAULT, ""),
        ("not asked", history(rows(stage="target"), earlier={}), DEFAULT, "no earlier pass"),
        ("not asked", history(**EARLIER), plan(volume_drop=None), "restore.volume_drop"),
    ]),
    ("structure", checks.catalog_matches, [
        ("pass", history(Catalog(lines=("t", "u")), catalog=["t", "u"]), CATALOG, "all the same"),
        ("fail", history(Catalog(lines=("t",)), catalog=["t", "u"]), CATALOG, "1 lines differ"),
        ("fail", history(Catalog(lines=("t", "u", "v")), catalog=["t", "u"]), CATALOG, "1 lines differ"),
        ("inconclusive", history(Catalog(lines=("t",)), catalog=[]), CATALOG, "catalog is empty"),
        ("inconclusive", history(catalog=["t"]), CATALOG, ""),
        ("not asked", history(Catalog(lines=())), DEFAULT, "restore.catalog"),
    ]),
    ("canary", checks.canary_lives, [
        ("pass", history(canary(), steps=chosen(reference())), CANARY, "4 canaries"),
        ("pass", history(canary("target", newest_id=9), steps=chosen(reference())), CANARY, "4 canaries"),
        ("fail", history(canary(exists=False), steps=chosen(reference())), CANARY, "missing"),
        ("fail", history(canary(rows=0), steps=chosen(reference())), CANARY, "empty"),
        ("fail", history(canary(garbled=2), steps=chosen(reference())), CANARY, "2 canaries do not fit"),
        ("fail", history(canary(after_present=True), steps=chosen(reference())), CANARY, "after the reference point"),
        ("fail", history(canary(newest_id=3), steps=chosen(reference())), CANARY, "newest canary is 3"),
        ("fail", history(canary("target", garbled=1), canary()), CANARY, "1 canaries do not fit"),
        ("inconclusive", NOTHING, CANARY, ""),
        ("not asked", history(canary(garbled=2)), DEFAULT, "restore.canary"),
    ]),
    ("extensions", checks.extensions_are_present, [
        ("pass", history(rung("extensions")), plan(extensions=["vector"]), "none wanting"),
        ("fail", history(rung("extensions", "vector")), plan(extensions=["vector"]), "vector"),
        ("inconclusive", NOTHING, plan(extensions=["vector"]), ""),
        ("not asked", history(rung("extensions", "vector")), DEFAULT, "restore.extensions"),
    ]),
    ("roles", checks.roles_are_present, [
        ("pass", history(rung("roles")), plan(roles=["app"]), "none wanting"),
        ("fail", history(rung("roles", "app")), plan(roles=["app"]), "app"),
        ("inconclusive", NOTHING, plan(roles=["app"]), ""),
        ("not asked", NOTHING, DEFAULT, "restore.roles"),
    ]),
    ("backup age", checks.backup_is_fresh, [
        ("pass", history(steps=chosen()), AGE, "60 m 00 s"),
        ("fail", history(steps=chosen()), SHORT_AGE, "60 m 00 s"),
        ("inconclusive", NOTHING, AGE, ""),
        ("not asked", history(steps=chosen()), DEFAULT, "restore.max_backup_age"),
    ]),
    ("identity", checks.backup_is_ours, [
        ("pass", history(IDENTITY, version(), steps=chosen()), DEFAULT, "system identifier 7"),
        ("pass", history(IDENTITY, steps=chosen()), DEFAULT, "system identifier 7"),
        ("fail", history(IDENTITY, version(system_identifier="8"), steps=chosen()), DEFAULT, "system identifier 8"),
        ("fail", history(IDENTITY, steps=chosen(system_identifier="8")), DEFAULT, "system identifier 8"),
        ("inconclusive", history(IDENTITY, steps=chosen(system_identifier=None)), DEFAULT, ""),
        ("inconclusive", history(IDENTITY), DEFAULT, ""),
        ("inconclusive", NOTHING, DEFAULT, ""),
        ("not asked", history(NAMELESS, steps=chosen()), DEFAULT, "names no system identifier"),
    ]),
    ("server version", checks.version_fits, [
        ("pass", history(version()), plan(server_major=18), "PostgreSQL 18"),
        ("pass", history(steps=chosen()), plan(server_major=18), "PostgreSQL 18"),
        ("fail", history(version()), plan(server_major=17), "PostgreSQL 18"),
        ("fail", history(version(major=17), steps=chosen()), plan(server_major=18), "PostgreSQL 17"),
        ("inconclusive", NOTHING, plan(server_major=18), ""),
        ("inconclusive", history(steps=chosen(major=None)), plan(server_major=18), ""),
        ("not asked", history(version()), DEFAULT, "restore.server_major"),
    ]),
    ("isolation", checks.server_is_isolated, [
        ("pass", history(isolation()), DEFAULT, "archives nothing"),
        ("pass", history(isolation(sockets_open=("127.0.0.1:5432", "::1:5432"))), DEFAULT, "archives nothing"),
        ("fail", history(isolation(archive_mode="on")), DEFAULT, "archive_mode is on"),
        ("fail", history(isolation(sockets_open=("0.0.0.0:5432",))), DEFAULT, "listens on 0.0.0.0:5432"),
        ("fail", history(isolation(sockets_open=(":::5432",))), DEFAULT, "listens on"),
        ("fail", history(isolation(wal_senders=1)), DEFAULT, "it replicates"),
        ("fail", history(isolation(wal_receiver=True)), DEFAULT, "it replicates"),
        ("fail", history(isolation(subscriptions=1)), DEFAULT, "it replicates"),
        ("inconclusive", NOTHING, DEFAULT, ""),
    ]),
    ("left behind", checks.nothing_is_left, [
        ("fail", history(steps=chosen()), DEFAULT, "not undone: choose"),
        ("not asked", NOTHING, DEFAULT, "no step started"),
    ]),
] + [
    (title, check, [
        ("pass", history(rung(name)), DEFAULT, "3 looked at"),
        ("fail", history(rung(name, "one", "two")), DEFAULT, "2 found wanting: one"),
        ("fail", history(rung(name, "one", error="and more")), DEFAULT, "1 found wanting: one"),
        ("inconclusive", history(rung(name, error="could not look")), DEFAULT, "could not look"),
        ("inconclusive", NOTHING, DEFAULT, ""),
        ("not asked", history(rung(name, "one")), plan(integrity={name: False}), f"restore.integrity.{name}"),
    ])
    for name, title, check in (
        ("amcheck", "amcheck", checks.amcheck_is_clean),
        ("page_checksums", "page checksums", checks.checksums_hold),
        ("sequences", "sequences", checks.sequences_are_ahead),
        ("materialized_views", "materialised views", checks.views_are_populated),
        ("invalid_indexes", "invalid indexes", checks.indexes_are_valid),
        ("collations", "collations", checks.collations_fit),
    )
]
# fmt: on


@pytest.mark.parametrize(
    ("title", "check", "word", "journal", "asked", "saying"),
    [pytest.param(t, c, *case, id=f"{t}-{case[0]}-{i}") for t, c, cases in CASES for i, case in enumerate(cases)],
)
def test_a_check_says_what_the_journal_shows(title, check, word, journal, asked, saying):
    found = check(journal, asked)
    assert (found.check, found.word) == (title, word)
    assert saying in found.seen
    assert bool(found.advice) == (word in ("fail", "inconclusive"))


def test_every_check_is_seen_to_pass_and_to_fail():
    covered = {check: {case[0] for case in cases} for _, check, cases in CASES}
    undone_elsewhere = {checks.answers_fit, checks.nothing_is_left}
    assert {check for check, words in covered.items() if {"pass", "fail"} <= words} == set(
        checks.CHECKS
    ) - undone_elsewhere


def test_nothing_observed_is_never_a_pass():
    asked = plan(
        objectives={"rto": "1m", "rpo": "1m"}, max_backup_age="1d", catalog="c.txt", canary={}, extensions=["e"],
        roles=["r"], server_major=18, sql=[{"name": "q", "sql": "select 1", "equals": 1}],
    )  # fmt: skip
    for check in checks.CHECKS:
        found = check(NOTHING, asked)
        for finding in found if isinstance(found, tuple) else (found,):
            assert finding.word in ("inconclusive", "not asked")


def test_nothing_is_left_when_every_step_was_undone():
    journal = Journal("run", Memory(), Clock())
    journal.append(EventKind.OPENED)
    for kind in (EventKind.STARTED, EventKind.FAILED, EventKind.UNDO_STARTED, EventKind.UNDONE):
        journal.append(kind, "restore")
    assert checks.nothing_is_left(journal.history, DEFAULT).word == "pass"


def test_an_undo_that_failed_is_something_left():
    journal = Journal("run", Memory(), Clock())
    journal.append(EventKind.OPENED)
    for kind in (EventKind.STARTED, EventKind.SUCCEEDED, EventKind.UNDO_STARTED, EventKind.UNDO_FAILED):
        journal.append(kind, "restore")
    found = checks.nothing_is_left(journal.history, DEFAULT)
    assert (found.word, found.detail) == ("fail", ("restore",))
    assert "muster undo run run" in found.advice


# fmt: off
ANSWERS = [
    ({"equals": 0}, 0, "pass"),
    ({"equals": 0}, 1, "fail"),
    ({"equals": 0}, False, "fail"),
    ({"equals": 1}, True, "fail"),
    ({"equals": 1}, 1.0, "fail"),
    ({"equals": True}, True, "pass"),
    ({"equals": "1"}, "1", "pass"),
    ({"equals": "1"}, 1, "fail"),
    ({"at_least": 5}, 5, "pass"),
    ({"at_least": 5}, 4.9, "fail"),
    ({"at_most": 5}, 5, "pass"),
    ({"at_most": 5}, 6, "fail"),
    ({"at_least": 1, "at_most": 5}, 3, "pass"),
    ({"at_least": 1, "at_most": 5}, 0, "fail"),
    ({"at_least": 1}, True, "fail"),
    ({"at_least": 1}, "3", "fail"),
    ({"equals": 3, "at_least": 1}, 3, "pass"),
    ({"equals": 3, "at_least": 4}, 3, "fail"),
    ({"equals": 0}, None, "fail"),
]
# fmt: on


@pytest.mark.parametrize(("comparison", "value", "word"), ANSWERS)
def test_an_answer_is_compared_strictly(comparison, value, word):
    asked = plan(sql=[{"name": "q", "sql": "select x", **comparison}])
    (found,) = checks.answers_fit(history(ANSWER.model_copy(update={"value": value})), asked)
    assert (found.check, found.word) == ("sql: q", word)


def test_a_question_that_was_not_answered_is_in_the_dark():
    (found,) = checks.answers_fit(NOTHING, SQL)
    assert found.word == "inconclusive"


def test_a_question_that_cannot_be_asked_fails_with_its_error():
    (found,) = checks.answers_fit(history(SqlAnswer(name="q", value=None, shape="error", error="no table")), SQL)
    assert (found.word, found.seen) == ("fail", "no table")


def test_no_question_is_not_asked():
    (found,) = checks.answers_fit(history(ANSWER), DEFAULT)
    assert found.word == "not asked"


def test_a_long_list_of_problems_is_cut():
    many = rung("amcheck", *(f"index {n}" for n in range(1000)))
    found = checks.amcheck_is_clean(history(many), DEFAULT)
    assert len(found.detail) == SHOWN
    assert "1000 found wanting" in found.seen
