"""The gate's decisions as a table, and the command: both ways, for each thing that can block or warn."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from test_plan import PLAN

import muster.cli.gate as command
from muster.cadence.states import State
from muster.deck.model import Deck, Row, Trouble
from muster.errors import UsageError
from muster.gate.judge import AHEAD, Decision, Gate, judge
from muster.gate.policy import GatePolicy, load_policy
from muster.ledger.standing import Mark, Proven
from muster.settings import Settings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
INSTANT = timedelta(microseconds=1)
SCHEMA = json.loads(Path("docs/schemas/gate.schema.json").read_text())


def row(plan: str = "orders", **changes: Any) -> Row:
    """A plan that passed yesterday and is fresh."""
    nothing: dict[str, Any] = dict.fromkeys(Row._fields)
    fresh = {
        "plan": plan, "kind": "restore", "description": "", "environment": "demo", "owner": "dba", "cadence": "daily",
        "controls": ("DORA Art. 12(2)", "SOC 2 A1.3"), "state": State.FRESH, "why": "passed in time", "recent": (),
        "due_at": NOW + DAY, "overdue_at": NOW + 2 * DAY, "last_run": "run-1", "last_at": NOW - DAY,
        "last_outcome": "passed", "pass_run": "run-1", "pass_at": NOW - DAY, "path": "",
    }  # fmt: skip
    return Row(**(nothing | fresh | changes))


NEVER_RUN = {"state": State.NEVER, "why": "never run", "last_run": None, "last_at": None, "last_outcome": None,
             "pass_run": None, "pass_at": None}  # fmt: skip


def deck(*rows: Row, troubles: Sequence[Trouble] = (), **changes: Any) -> Deck:
    at = changes.get("at", NOW)
    fresh: dict[str, Any] = {"at": at, "watched_at": at - MINUTE, "rows": rows, "troubles": tuple(troubles)}
    return Deck(**(fresh | changes))


def policy(*rules: dict[str, Any], **changes: Any) -> GatePolicy:
    named = [{"name": f"rule {n}"} | rule for n, rule in enumerate(rules)]
    return GatePolicy.model_validate({"rules": named or [{"name": "all", "block_on": ["failing"]}]} | changes)


def told(decision: Decision) -> list[tuple[str, str, str]]:
    return [(reason.effect.value, reason.plan, reason.words) for reason in decision.reasons]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize(
    ("key", "gate", "code"), [("block_on", Gate.BLOCKED, 1), ("warn_on", Gate.WARNED, 0), (None, Gate.OPEN, 0)]
)
def test_every_state_blocks_warns_or_is_let_through(state: State, key: str | None, gate: Gate, code: int) -> None:
    rule = {key: [state.value]} if key else {"block_on": [other.value for other in State if other is not state]}
    past = {"due_at": NOW - 2 * DAY, "overdue_at": NOW - DAY} if state is State.OVERDUE else {}
    found = deck(row(state=state, why="so it is", last_outcome="failed" if key else "passed", **past))
    decision = judge(policy(rule), found, NOW)
    assert (decision.gate, decision.exit_code, decision.judged) == (gate, code, 1)
    assert told(decision) == ([] if key is None else [(key[:-3], "orders", f"{state}: so it is")])
    if key:
        assert decision.reasons[0].owner == "dba"
        assert decision.reasons[0].run == "muster run orders --reason WHY"
        assert decision.reasons[0].rule == "rule 0"


MINUTES_30 = {"source": {"max_age": "30m"}}
PAST = {"due_at": NOW - 2 * DAY, "overdue_at": NOW - DAY}
RAN_BADLY = {"last_outcome": "failed", "why": "never passed; failed: rows are missing"}
MISSED = {"last_outcome": "missed", "why": "never passed; its last slot was missed"}
ONCE_FAILED = MISSED | {"recent": (Mark(NOW - DAY, "failed", None, None),)}

TABLE: dict[str, tuple[GatePolicy, Deck, Gate, int, str]] = {
    # name: policy, deck, gate, exit code, what the first reason says
    "fresh is open": (policy(), deck(row()), Gate.OPEN, 0, ""),
    "never run is not known": (policy({"block_on": ["never"]}), deck(row(**NEVER_RUN)), Gate.BLOCKED, 2, "never run"),
    "never passed but failed is known": (
        policy({"block_on": ["never"]}), deck(row(**NEVER_RUN | RAN_BADLY)), Gate.BLOCKED, 1, "rows are missing"),
    "never run and missed is not known": (
        policy({"block_on": ["never"]}), deck(row(**NEVER_RUN | MISSED)), Gate.BLOCKED, 2, "missed"),
    "never passed, failed, then missed is known": (
        policy({"block_on": ["never"]}), deck(row(**NEVER_RUN | ONCE_FAILED)), Gate.BLOCKED, 1, "missed"),
    "what is known outranks what is not": (
        policy({"block_on": ["never", "failing"]}), deck(row(**NEVER_RUN), row("shop", state=State.FAILING, why="x")),
        Gate.BLOCKED, 1, "never run"),
    # the states that a graver one stands before
    "never passed and failed is failing": (
        policy({"block_on": ["failing"]}), deck(row(**NEVER_RUN | RAN_BADLY)), Gate.BLOCKED, 1, "it is failing too"),
    "never run is not failing": (policy({"block_on": ["failing"]}), deck(row(**NEVER_RUN)), Gate.OPEN, 0, ""),
    "never run and late is overdue": (
        policy({"block_on": ["overdue"]}), deck(row(**NEVER_RUN | PAST)), Gate.BLOCKED, 1, "it is overdue too"),
    "changed and late is overdue": (
        policy({"block_on": ["overdue"], "warn_on": ["changed"]}), deck(row(state=State.CHANGED, why="x", **PAST)),
        Gate.BLOCKED, 1, "changed: x; it is overdue too"),
    "changed and in time is not overdue": (
        policy({"block_on": ["overdue"], "warn_on": ["changed"]}), deck(row(state=State.CHANGED, why="x")),
        Gate.WARNED, 0, "changed: x"),
    "failing and in its grace is due": (
        policy({"block_on": ["overdue"], "warn_on": ["due"]}),
        deck(row(state=State.FAILING, why="x", due_at=NOW, overdue_at=NOW)), Gate.WARNED, 0, "it is due too"),
    # the age of the last pass
    "max_age at the boundary": (policy({"max_age": "1d"}), deck(row()), Gate.OPEN, 0, ""),
    "max_age an instant later": (
        policy({"max_age": "1d"}), deck(row(pass_at=NOW - DAY - INSTANT)), Gate.BLOCKED, 1, "last pass was 24 h 00 m"),
    "warn_age": (policy({"max_age": "2d", "warn_age": "20h"}), deck(row()), Gate.WARNED, 0, "more than 20 h"),
    "warn_age at the boundary": (policy({"warn_age": "1d"}), deck(row()), Gate.OPEN, 0, ""),
    "max_age outranks warn_age": (
        policy({"max_age": "12h", "warn_age": "6h"}), deck(row()), Gate.BLOCKED, 1, "more than 12 h"),
    "max_age without a pass": (policy({"max_age": "1d"}), deck(row(**NEVER_RUN)), Gate.BLOCKED, 2, "no pass"),
    "max_age of a failed first run": (
        policy({"max_age": "1d"}), deck(row(**NEVER_RUN | RAN_BADLY)), Gate.BLOCKED, 1, "no pass"),
    "a pass slightly ahead": (policy({"max_age": "1d"}), deck(row(pass_at=NOW + AHEAD)), Gate.OPEN, 0, ""),
    "a pass from the future": (
        policy({"max_age": "1d"}), deck(row(pass_at=NOW + AHEAD + INSTANT)), Gate.BLOCKED, 2, "is a clock wrong?"),
    # outcomes
    "an outcome blocks": (
        policy({"outcomes": {"missed": "block"}}), deck(row(last_outcome="missed")), Gate.BLOCKED, 1, "was missed"),
    "an outcome warns": (
        policy({"outcomes": {"missed": "warn"}}), deck(row(last_outcome="missed")), Gate.WARNED, 0, "was missed"),
    "an outcome is ignored": (
        policy({"outcomes": {"missed": "ignore"}}), deck(row(last_outcome="missed")), Gate.OPEN, 0, ""),
    "another outcome": (
        policy({"outcomes": {"missed": "block"}}), deck(row(last_outcome="waived")), Gate.OPEN, 0, ""),
    # negative controls
    "proven": (
        policy({"proven_within": "90d"}), deck(row(proven=Proven("restore", NOW - 90 * DAY, 9, 9, 3, 3))),
        Gate.OPEN, 0, ""),
    "proven too long ago": (
        policy({"proven_within": "90d"}), deck(row(proven=Proven("restore", NOW - 90 * DAY - INSTANT, 9, 9, 3, 3))),
        Gate.BLOCKED, 2, "last round was 90 d"),
    "never proven": (policy({"proven_within": "90d"}), deck(row()), Gate.BLOCKED, 2, "no negative controls of restore"),
    "a fault not caught": (
        policy({"proven_within": "90d"}), deck(row(proven=Proven("restore", NOW - DAY, 9, 8, 3, 3))),
        Gate.BLOCKED, 1, "8 of 9 faults caught"),
    "a healthy form not quiet": (
        policy({"proven_within": "90d"}), deck(row(proven=Proven("restore", NOW - DAY, 9, 9, 3, 2))),
        Gate.BLOCKED, 1, "2 of 3 forms quiet"),
    # the source
    "no plans": (policy(), deck(), Gate.BLOCKED, 2, "there are no plans"),
    "only kinds that no plan covers": (
        policy(), deck(row("", kind="failover", **NEVER_RUN)), Gate.BLOCKED, 2, "there are no plans"),
    "the watch at the boundary": (policy(**MINUTES_30), deck(row(), watched_at=NOW - 30 * MINUTE), Gate.OPEN, 0, ""),
    "the watch an instant later": (
        policy(**MINUTES_30), deck(row(), watched_at=NOW - 30 * MINUTE - INSTANT), Gate.BLOCKED, 2, "round was 30 m"),
    "no watch": (policy(), deck(row(), watched_at=None), Gate.BLOCKED, 2, "the watch never went round"),
    "no watch, warned of": (
        policy(source={"watch": "warn"}), deck(row(), watched_at=None), Gate.WARNED, 0, "the watch never went round"),
    "no watch, ignored": (policy(source={"watch": "ignore"}), deck(row(), watched_at=None), Gate.OPEN, 0, ""),
    "a watch slightly ahead": (policy(), deck(row(), watched_at=NOW + AHEAD), Gate.OPEN, 0, ""),
    "a watch from the future": (
        policy(), deck(row(), watched_at=NOW + AHEAD + INSTANT), Gate.BLOCKED, 2, "5 m 00 s in the future"),
    "a deck at the boundary": (
        policy(**MINUTES_30), deck(row(), at=NOW - 30 * MINUTE, watched_at=NOW - 40 * MINUTE), Gate.OPEN, 0, ""),
    "a stale deck": (
        policy(**MINUTES_30), deck(row(), at=NOW - 30 * MINUTE - INSTANT, watched_at=NOW - 31 * MINUTE),
        Gate.BLOCKED, 2, "the deck was 30 m"),
    "a stale deck, though the watch may be silent": (
        policy(source={"watch": "ignore"}), deck(row(), at=NOW - HOUR), Gate.BLOCKED, 2, "the deck was 60 m"),
    "a deck slightly ahead": (policy(), deck(row(), at=NOW + AHEAD), Gate.OPEN, 0, ""),
    "a deck from the future": (
        policy(), deck(row(), at=NOW + AHEAD + INSTANT, watched_at=NOW), Gate.BLOCKED, 2, "deck is 5 m 00 s in the"),
    # a deck that was made a while ago
    "due by now": (
        policy({"warn_on": ["due"]}), deck(row(due_at=NOW), at=NOW - 20 * MINUTE), Gate.WARNED, 0, "due: its slot"),
    "due in an instant": (
        policy({"warn_on": ["due"]}), deck(row(due_at=NOW + INSTANT), at=NOW - 20 * MINUTE), Gate.OPEN, 0, ""),
    "overdue by now": (
        policy({"block_on": ["overdue"]}),
        deck(row(state=State.DUE, due_at=NOW - DAY, overdue_at=NOW - INSTANT), at=NOW - 20 * MINUTE),
        Gate.BLOCKED, 1, "overdue: no run"),
    "overdue in an instant": (
        policy({"block_on": ["overdue"]}),
        deck(row(state=State.DUE, due_at=NOW - DAY, overdue_at=NOW), at=NOW - 20 * MINUTE), Gate.OPEN, 0, ""),
    # troubles
    "the kill switch": (
        policy(), deck(row(), troubles=[Trouble("muster", "stopped", "critical", "the kill switch is on", NOW)]),
        Gate.BLOCKED, 1, "the kill switch is on"),
    "a trouble warned of": (
        policy(troubles="warn"), deck(row(), troubles=[Trouble("route x", "refuses", "warning", "it refuses", NOW)]),
        Gate.WARNED, 0, "it refuses"),
    "a trouble ignored": (
        policy(troubles="ignore"), deck(row(), troubles=[Trouble("route x", "refuses", "warning", "it refuses", NOW)]),
        Gate.OPEN, 0, ""),
    "the watch's silence is for `source` to judge": (
        policy(source={"max_age": "2h"}),
        deck(row(), watched_at=NOW - HOUR, troubles=[Trouble("watch", "silent", "warning", "silent", NOW)]),
        Gate.OPEN, 0, ""),
    "an alarm of a plan that is gone": (
        policy(), deck(row(), troubles=[Trouble("gone", "overdue", "warning", "overdue", NOW)]),
        Gate.BLOCKED, 1, "overdue"),
    "an alarm of a plan that is no state": (
        policy(), deck(row(), troubles=[Trouble("orders", "left behind", "warning", "scratch", NOW)]),
        Gate.BLOCKED, 1, "scratch"),
    # what no plan drills
    "uncovered and not asked for": (policy(), deck(row(), row("", kind="failover", **NEVER_RUN)), Gate.OPEN, 0, ""),
    "uncovered and asked for": (
        policy(uncovered={"failover": "block"}), deck(row(), row("", kind="failover", **NEVER_RUN)),
        Gate.BLOCKED, 2, "no plan drills failover"),
    "another kind is asked for": (
        policy(uncovered={"spark": "block"}), deck(row(), row("", kind="failover", **NEVER_RUN)), Gate.OPEN, 0, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE.values(), ids=TABLE.keys())
def test_the_decision_table(case: tuple[GatePolicy, Deck, Gate, int, str]) -> None:
    rules, found, gate, code, words = case
    decision = judge(rules, found, NOW)
    assert (decision.gate, decision.exit_code) == (gate, code), told(decision)
    if words:
        assert words in decision.reasons[0].words
    else:
        assert decision.reasons == ()


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({}, True),
        ({"plans": ["orders"]}, True),
        ({"plans": ["ord*", "x"]}, True),
        ({"plans": ["order"]}, False),
        ({"plans": ["ORDERS"]}, False),
        ({"kinds": ["restore"]}, True),
        ({"kinds": ["failover"]}, False),
        ({"environments": ["demo", "test"]}, True),
        ({"environments": ["production"]}, False),
        ({"controls": ["DORA*"]}, True),
        ({"controls": ["SOC 2 A1.3", "none"]}, True),
        ({"controls": ["NIST*"]}, False),
        ({"owners": ["dba"]}, True),
        ({"owners": ["dba", "other"], "plans": ["shop"]}, False),
    ],
)
def test_a_rule_is_for_plans_that_fit_every_key(match: dict[str, Any], fits: bool) -> None:
    failing = deck(row(state=State.FAILING, why="x"), row("zeta", kind="spark", environment="test", owner="zoe",
                   controls=()))  # fmt: skip
    decision = judge(policy({"match": match, "block_on": ["failing"]}, unmatched="ignore"), failing, NOW)
    assert decision.gate is Gate.BLOCKED
    assert ("block", "orders", "failing: x") in told(decision) if fits else decision.exit_code in (0, 2)
    if not fits and not decision.judged:
        assert told(decision) == [
            ("block", "", "no rule is for any plan: nothing was judged"),
            ("warn", "", "is for no plan there is: a typo?"),
        ]


def test_a_rule_for_no_plan_is_a_warning_and_a_plan_without_a_rule_too() -> None:
    rules = (
        {"match": {"plans": ["orders"]}, "block_on": ["failing"]},
        {"match": {"plans": ["oders"]}, "max_age": "9d"},
    )
    found = deck(row(), row("shop"))
    decision = judge(policy(*rules), found, NOW)
    assert decision.gate is Gate.WARNED
    assert [(r.plan, r.rule) for r in decision.reasons] == [("", "rule 1"), ("shop", "")]
    assert judge(policy(rules[0], unmatched="block"), found, NOW).exit_code == 1
    assert judge(policy(rules[0], unmatched="ignore"), found, NOW).gate is Gate.OPEN


def test_every_rule_that_fits_applies_and_the_worst_wins_once() -> None:
    rules = ({"warn_on": ["failing"]}, {"match": {"controls": ["DORA*"]}, "block_on": ["failing"]}, {"max_age": "1h"})
    decision = judge(policy(*rules), deck(row(state=State.FAILING, why="x"), row("a", controls=())), NOW)
    assert [(r.effect.value, r.plan, r.rule) for r in decision.reasons] == [
        ("block", "a", "rule 2"),
        ("block", "orders", "rule 1"),
        ("block", "orders", "rule 2"),
    ]


def test_blocks_come_before_warnings() -> None:
    rule = {"warn_on": ["due"], "block_on": ["failing"]}
    decision = judge(policy(rule), deck(row("a", state=State.DUE, due_at=NOW), row("b", state=State.FAILING)), NOW)
    assert [(r.effect.value, r.plan) for r in decision.reasons] == [("block", "b"), ("warn", "a")]


# The command


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    plans = tmp_path / "deployments"
    plans.mkdir()
    (plans / "orders-weekly.yaml").write_text(yaml.safe_dump(PLAN | {"controls": ["ISO 27001 A.8.13"]}))
    (plans / "gate.yaml").write_text(yaml.safe_dump({"rules": [{"name": "all", "block_on": ["never", "failing"]}]}))
    return Settings(home=tmp_path / "home", plans=plans)


def run_gate(settings: Settings, found: Deck | None = None, *, as_json: bool = False, monkeypatch: Any = None) -> int:
    if found is not None:
        monkeypatch.setattr(command, "read_deck", lambda settings, now: found)
    return command.gate(settings, settings.plans / "gate.yaml", None, as_json=as_json)


def test_the_command_says_why_who_and_what_to_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = deck(row(state=State.FAILING, why="failed: \x1b[31mrows\nare missing"))
    assert run_gate(settings, found, monkeypatch=monkeypatch) == 1
    assert capsys.readouterr().out.splitlines() == [
        "The gate is blocked: 1 reason; 1 plan judged.",
        "block  orders: failing: failed: rows are missing; owner: dba; next: muster run orders --reason WHY",
    ]
    assert run_gate(settings, deck(row()), monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == "The gate is open: 1 plan judged, nothing is amiss.\n"


def test_a_crowd_of_reasons_is_bounded_for_people_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for count, lines in ((200, 201), (201, 202), (1000, 202)):
        found = deck(*(row(f"p{n}", state=State.FAILING, why="x") for n in range(count)))
        assert run_gate(settings, found, monkeypatch=monkeypatch) == 1
        said = capsys.readouterr().out.splitlines()
        assert len(said) == lines
    assert said[-1] == "and 800 more: muster gate --json"
    run_gate(settings, found, as_json=True, monkeypatch=monkeypatch)
    assert len(json.loads(capsys.readouterr().out)["reasons"]) == 1000


def test_a_new_installation_is_blocked_for_lack_of_knowledge(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_gate(settings) == 2
    said = capsys.readouterr().out
    assert said.startswith("The gate is blocked, for lack of knowledge: 2 reasons; 1 plan judged.")
    assert "next: muster watch --once" in said
    assert not settings.root.exists(), "the gate only looks"


def test_an_empty_plans_folder_is_blocked(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    (settings.plans / "orders-weekly.yaml").unlink()
    assert run_gate(settings) == 2
    assert "there are no plans" in capsys.readouterr().out


def test_a_broken_plan_or_policy_is_wrong_usage(settings: Settings) -> None:
    (settings.plans / "orders-weekly.yaml").write_text("name: [")
    with pytest.raises(UsageError, match="orders-weekly"):
        run_gate(settings)
    (settings.plans / "gate.yaml").write_text("rules: [")
    with pytest.raises(UsageError, match="gate"):
        run_gate(settings)


def test_a_ledger_that_cannot_be_read_is_blocked(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    settings.root.mkdir()
    (settings.root / "ledger.sqlite").write_text("this is no database, whatever its name says" * 30)
    assert run_gate(settings, as_json=True) == 2
    decision = json.loads(capsys.readouterr().out)
    assert (decision["gate"], len(decision["reasons"]), decision["reasons"][0]["unknown"]) == ("blocked", 1, True)


def test_a_source_that_is_missing_or_no_deck_is_blocked(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "deck.json"
    for content in (None, "", "{}", "null", '{"schema": "muster.deck/1"}', "\x00"):
        if content is not None:
            source.write_text(content)
        assert command.gate(settings, settings.plans / "gate.yaml", source, as_json=False) == 2, content
        assert "for lack of knowledge: 1 reason" in capsys.readouterr().out


def test_a_deck_from_a_file_is_judged_as_of_now(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from muster.deck.jsonform import write_json

    source, rules = tmp_path / "deck.json", settings.plans / "gate.yaml"
    source.write_text(write_json(deck(row(), row("orders-weekly"))))
    assert command.gate(settings, rules, source, as_json=False, now=NOW + 5 * MINUTE) == 0
    assert "open" in capsys.readouterr().out
    assert command.gate(settings, rules, source, as_json=False, now=NOW + HOUR) == 2
    assert "the deck was" in capsys.readouterr().out
    assert command.gate(settings, rules, source, as_json=False, now=NOW - HOUR) == 2
    assert "in the future" in capsys.readouterr().out


def test_a_deck_of_another_installation_opens_no_gate(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from muster.deck.jsonform import write_json

    source, rules = tmp_path / "deck.json", settings.plans / "gate.yaml"
    source.write_text(write_json(deck(row("of-another-team"))))
    assert command.gate(settings, rules, source, as_json=False, now=NOW) == 2
    assert "orders-weekly: never run, as far as the deck goes" in capsys.readouterr().out
    elsewhere = settings.model_copy(update={"plans": tmp_path / "none"})
    assert command.gate(elsewhere, rules, source, as_json=False, now=NOW) == 0, "a job needs no checkout"


@pytest.mark.parametrize("name", ["fresh is open", "an outcome warns", "never run is not known", "no plans"])
def test_json_is_as_the_published_schema_says(
    name: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, found, gate, code, _ = TABLE[name]
    monkeypatch.setattr(command, "load_policy", lambda path: rules)
    assert run_gate(settings, found, as_json=True, monkeypatch=monkeypatch) == code
    decision = json.loads(capsys.readouterr().out)
    jsonschema.validate(decision, SCHEMA, format_checker=jsonschema.FormatChecker())
    assert (decision["gate"], decision["exit_code"]) == (gate, code)


def test_the_schema_refuses_what_is_no_decision() -> None:
    for wrong in ({}, {"schema": "muster.gate/1"}, {**command.as_data(judge(policy(), deck(), NOW)), "more": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMA)


SHIPPED = load_policy(Path("deployments/gate.yaml"))


@pytest.mark.parametrize(
    ("changes", "gate", "code"),
    [
        ({}, Gate.OPEN, 0),
        ({"state": State.DUE, "due_at": NOW}, Gate.WARNED, 0),
        ({"last_outcome": "missed"}, Gate.WARNED, 0),
        ({"state": State.FAILING}, Gate.BLOCKED, 1),
        ({"state": State.CHANGED}, Gate.BLOCKED, 1),
        ({"state": State.OVERDUE}, Gate.BLOCKED, 1),
        (NEVER_RUN, Gate.BLOCKED, 2),
    ],
)
def test_the_shipped_policy(changes: dict[str, Any], gate: Gate, code: int) -> None:
    decision = judge(SHIPPED, deck(row("restore-embedded", **changes)), NOW)
    assert (decision.gate, decision.exit_code) == (gate, code)
