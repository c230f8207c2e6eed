"""`muster status`: what people read at any width, and what programs read as its schema says."""

import json
from datetime import timedelta
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from deck_samples import DAY, EMPTY, ESTATE, HEALTHY, HOSTILE, LOOKED_AT, NASTY, NOW, card, crowd, row, uncovered
from rich.cells import cell_len
from rich.console import Console
from test_plan import PLAN

import muster.cli.status as command
from muster.cadence.states import State
from muster.cli.status import Options, as_data, status
from muster.deck.model import Deck, Trouble
from muster.errors import UsageError
from muster.ledger import Measures, NewRun, Owner, Trigger, open_ledger
from muster.ledger.standing import RunGlance
from muster.report.deckterminal import ago, due, measured, render_deck, rough
from muster.report.planterminal import render_card, render_history
from muster.report.trend import chart
from muster.settings import Settings
from muster.verdict import Outcome, Verdict

SCHEMA = json.loads(Path("docs/schemas/status.schema.json").read_text())
NIGHTLY = {**PLAN, "controls": ["DORA Art. 24(6)", "SOC 2 A1.2"], "objectives": {"rto": "15m", "rpo": "5m"},
           "cadence": {"cron": "0 3 * * *", "timezone": "Europe/Berlin"}}  # fmt: skip


def told(deck: Deck, *, width: int = 80, most: int = 200) -> str:
    console = Console(file=StringIO(), width=width)
    render_deck(deck, console, most=most)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def lines_of(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


# The table


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize(
    "deck",
    [ESTATE, HEALTHY, HOSTILE, EMPTY, LOOKED_AT],
    ids=["estate", "healthy", "hostile", "empty", "looked-at"],
)
def test_every_line_fits_and_is_plain(deck: Deck, width: int) -> None:
    text = told(deck, width=width)
    assert not [line for line in text.splitlines() if cell_len(line) > width]
    assert "\x1b" not in text
    assert "\u202e" not in text


MEASURED = {"rto_seconds": 412.0, "rto_objective": 900.0, "rpo_seconds": 41.0, "rpo_objective": 60.0}
SLOW = MEASURED | {"rto_seconds": 731.0, "pass_at": NOW - 33 * DAY, "due_at": NOW - 2 * DAY, "last_outcome": "failed"}
UNSEEN = MEASURED | {"rto_seconds": None, "rpo_seconds": None, "pass_at": None, "due_at": NOW - 30 * DAY}
OURS = Deck(
    at=NOW,
    watched_at=NOW,
    rows=(
        row("ledger", State.DUE, "its slot is due", running="run-1", pass_at=NOW - 33 * DAY, **MEASURED),
        row("orders", State.FAILING, "failed: rows match: orders has 1,204,331, the source had 1,204,338",
            owner="orders team", **SLOW),
        row("warehouse", State.NEVER, "never run, and its first slot is over", **UNSEEN),
        uncovered("failover"),
        uncovered("spark"),
    ),
    troubles=(
        Trouble("muster", "stopped", "critical", "the kill switch is on: migration (j.doe)", NOW - DAY / 12),
        Trouble("pager", "route refuses", "warning", "the route refuses: HTTP 403", NOW),
    ),
)  # fmt: skip


def test_eighty_columns_tell_it_all() -> None:
    assert lines_of(told(OURS)) == [
        "! the kill switch is on: migration (j.doe), since 2 h",
        "! pager: the route refuses: HTTP 403",
        "state      plan       last pass  due         RTO          RPO",
        "◷ due      ledger     33 d ago   running     6.9 of 15 m  41 of 60 s",
        "✕ failing  orders     33 d ago   since 2 d   12 of 15 m   41 of 60 s",
        "○ never    warehouse  never      since 30 d  – of 15 m    – of 60 s",
        "",
        "◷ due      ledger: its slot is due",
        "✕ failing  orders: failed: rows match: orders has 1,204,331, the source had",
        "           1,204,338; owner: orders team",
        "           → muster run orders --reason WHY",
        "○ never    warehouse: never run, and its first slot is over; owner: platform",
        "           team",
        "           → muster run warehouse --reason WHY",
        "",
        "3 plans: 1 failing · 1 never · 1 due",
        "no plan drills: failover, spark",
    ]


def test_a_narrow_terminal_still_names_every_plan() -> None:
    for width in (40, 71, 72, 80):
        said = told(OURS, width=width)
        assert all(f"{row.plan[:6]}" in said.split("\n\n")[0] for row in OURS.rows if row.plan), width
        assert ("RTO" in said) == (width >= 72)


def test_what_is_well_asks_for_nothing() -> None:
    said = told(HEALTHY)
    assert "2 plans: 2 fresh" in said
    assert "owner" not in said
    assert "muster run" not in said
    assert "!" not in said
    due_now = told(Deck(NOW, NOW, (row("shop", State.DUE, "its slot is due", due_at=NOW),), ()))
    assert "shop: its slot is due" in due_now
    assert "owner" not in due_now


def test_no_plans_say_what_to_do() -> None:
    assert lines_of(told(EMPTY)) == ["There are no plans. See docs/restore.md for how to write one."]


def test_the_last_outcome_has_its_place_on_a_wide_terminal() -> None:
    assert "last run" in told(ESTATE, width=120)
    assert "last run" not in told(ESTATE, width=80)


def test_many_plans_show_what_needs_attention() -> None:
    well = crowd(300)
    late = row("zebra", State.OVERDUE, "no run since its slot was due")
    deck = well._replace(rows=(*well.rows, late))
    said = told(deck)
    assert "zebra" in said
    assert "restore-00001" not in said
    assert "301 plans: 1 overdue · 300 fresh (300 not shown: muster status --all)" in said
    assert "restore-00001" in told(deck, most=1000)
    assert "not shown" not in told(deck, most=1000)


def test_a_crowd_in_need_is_bounded() -> None:
    said = told(crowd(1000, State.OVERDUE))
    assert said.count("! overdue") == 400, "200 in the table and 200 told why"
    assert "(800 not shown" in said


def test_an_ascii_terminal_gets_the_same_words() -> None:
    raw = BytesIO()
    with TextIOWrapper(raw, encoding="ascii", write_through=True) as file:
        render_deck(OURS, Console(file=file, width=80), most=200)
        said = raw.getvalue().decode("ascii")
    assert "x failing  orders" in said
    assert "> muster run orders" in said


def test_a_terminal_gets_colours() -> None:
    console = Console(file=StringIO(), force_terminal=True, color_system="standard", width=80)
    render_deck(ESTATE, console, most=200)
    assert "\x1b[1;31m" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "under 1 min"), (59, "under 1 min"), (60, "1 min"), (7199, "119 min"), (7200, "2 h"), (172799, "47 h"),
     (172800, "2 d"), (86400 * 400, "400 d")],
)  # fmt: skip
def test_spans_as_people_say_them(seconds: float, words: str) -> None:
    assert rough(seconds) == words


def test_moments_as_people_say_them() -> None:
    assert ago(None, NOW) == "never"
    assert ago(NOW - 3 * DAY, NOW) == "3 d ago"
    assert ago(NOW + 3 * DAY, NOW) == "in 3 d", "a clock that was set back is not hidden"
    assert due(row("a", State.FRESH, "", due_at=NOW + 2 * DAY), NOW) == "in 2 d"
    assert due(row("a", State.OVERDUE, "", due_at=NOW - 4 * DAY / 24), NOW) == "since 4 h"
    assert due(row("a", State.FRESH, "", due_at=None), NOW) == ""


@pytest.mark.parametrize(
    ("seconds", "objective", "words", "style"),
    [
        (8.1, 120, "8.1 of 120 s", ""),
        (120, 120, "120 of 120 s", ""),
        (121, 120, "121 of 120 s", "bold red"),
        (412, 900, "6.9 of 15 m", ""),
        (2.2, 900, "2.2 s of 15 m", ""),
        (50000, 86400, "14 of 24 h", ""),
        (None, 120, "– of 120 s", "dim"),
        (8.1, None, "8.1 s", ""),
        (None, None, "", ""),
    ],
)
def test_a_measurement_beside_its_objective(
    seconds: float | None, objective: float | None, words: str, style: str
) -> None:
    shown = measured(Console(file=StringIO()), seconds, objective)
    assert (shown.plain, str(shown.style)) == (words, style)


# JSON


@pytest.mark.parametrize("deck", [ESTATE, HEALTHY, EMPTY], ids=["estate", "healthy", "empty"])
def test_json_is_as_the_published_schema_says(deck: Deck) -> None:
    data = json.loads(json.dumps(as_data(deck, [row for row in deck.rows if row.plan])))
    jsonschema.validate(data, SCHEMA, format_checker=jsonschema.FormatChecker())
    assert [plan["plan"] for plan in data["plans"]] == [row.plan for row in deck.rows if row.plan]
    assert data["uncovered"] == [row.kind for row in deck.rows if not row.plan]


def test_the_schema_refuses_what_it_does_not_know() -> None:
    data = json.loads(json.dumps(as_data(HEALTHY, list(HEALTHY.rows))))
    for path, value in (("more", 1), ("at", None), ("plans", [{**data["plans"][0], "state": "well"}])):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**data, path: value}, SCHEMA)


# One plan


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    plans = tmp_path / "deployments"
    plans.mkdir()
    (plans / "orders-weekly.yaml").write_text(yaml.safe_dump(NIGHTLY))
    return Settings(home=tmp_path / "home", plans=plans)


@pytest.fixture
def with_runs(settings: Settings) -> Settings:
    """A ledger in which the plan passed, then failed."""
    owner = Owner(host="host", boot_id="boot", pid=1, started=1)
    ended = ((Outcome.PASSED, Verdict.PASS, 412.0), (Outcome.FAILED, Verdict.FAIL, 1000.0))
    with open_ledger(settings.ledger_url) as ledger:
        for number, (outcome, verdict, rto) in enumerate(ended):
            run = ledger.open_run(
                NewRun(run=f"run-{number}", plan="orders-weekly", plan_digest="d", kind="restore", owner=owner,
                       target_type="embedded", trigger=Trigger.COMMAND_LINE, reason="to see", requested_by="ada",
                       lease_seconds=60)
            )  # fmt: skip
            measures = Measures(rto_seconds=rto, rpo_seconds=3.0)
            ledger.close_run(run.run, outcome, verdict, measures, headline="rows match: one is missing")
    return settings


def shown(settings: Settings, options: Options, width: int = 80) -> str:
    console = Console(file=StringIO(), width=width)
    assert status(settings, options, console) == 0
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_a_new_installation(settings: Settings) -> None:
    said = shown(settings, Options())
    assert "○ never  orders-weekly  never" in said
    assert "1 plan: 1 never" in said
    assert not settings.root.exists(), "status only looks"


def test_the_card_of_a_plan(with_runs: Settings) -> None:
    said = lines_of(shown(with_runs, Options("orders-weekly")))
    text = "\n".join(said)
    assert said[0].startswith("✕ failing  orders-weekly")
    assert "why         failed: rows match: one is missing" in text
    assert "next move   muster run orders-weekly --reason WHY" in text
    assert "cadence     daily at 03:00 Europe/Berlin; grace" in text
    assert "DORA Art. 24(6): at least every 366 days" in text
    assert "SOC 2 A1.2: names no interval" in text
    slots = [line for line in said if " UTC), in " in line]
    assert len(slots) == 5
    assert all(" 03:00 CE" in line for line in slots), "in the plan's own zone, DST or not"
    assert [line.split()[2] for line in said[-2:]] == ["failed", "passed"]


def test_the_history_of_a_plan(with_runs: Settings) -> None:
    said = shown(with_runs, Options("orders-weekly", history=True), width=120)
    assert "RTO, objective 15 m; the newest run is on the right" in said
    assert "▲" in said, "the failed run took longer than its objective"
    assert [line.split()[2] for line in said.splitlines()[-2:]] == ["failed", "passed"]
    assert "to see" in said


def test_a_plan_without_runs_has_no_trend(settings: Settings) -> None:
    assert "It has no runs yet." in shown(settings, Options("orders-weekly", history=True))


def test_one_plan_as_json(with_runs: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    shown(with_runs, Options("deployments/orders-weekly.yaml", history=True, as_json=True))
    data = json.loads(capsys.readouterr().out)
    jsonschema.validate(data, SCHEMA, format_checker=jsonschema.FormatChecker())
    assert [run["outcome"] for run in data["runs"]] == ["failed", "passed"]
    assert data["plans"][0]["state"] == "failing"


def test_a_plan_that_is_not_there_is_wrong_usage(settings: Settings) -> None:
    with pytest.raises(UsageError, match="'orders-wekly'") as error:
        status(settings, Options("orders-wekly"))
    assert error.value.advice == "did you mean orders-weekly?"
    with pytest.raises(UsageError, match="needs a plan"):
        status(settings, Options(history=True))
    (settings.plans / "orders-weekly.yaml").write_text("name: [")
    with pytest.raises(UsageError, match="orders-weekly"):
        status(settings, Options())


def run_glance(n: int, **changes: Any) -> RunGlance:
    at = NOW - n * DAY
    usual = RunGlance(
        f"run-{n}", at, at, at + timedelta(seconds=9), "schedule", "", "", "passed", "pass", 8.0, 1.0, None
    )
    return usual._replace(**changes)


@pytest.mark.parametrize("width", [80, 120])
def test_hostile_text_stays_text(width: int) -> None:
    runs = [run_glance(0, reason=NASTY, requested_by=NASTY, trigger=NASTY, outcome=None, ended_at=None)]
    cadence = '{"cron": "0 3 * * *"}'
    console = Console(file=StringIO(), width=width)
    render_card(HOSTILE.rows[0], card(controls=(NASTY,), cadence_json=cadence), runs, NOW, console)
    render_history(HOSTILE.rows[0], runs, NOW, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\u202e" not in said
    assert "running" in said
    assert not [line for line in said.splitlines() if cell_len(line) > width]


# The chart


def test_a_chart_shows_the_objective_gaps_and_what_is_beyond() -> None:
    drawn = chart([8.0, None, 30.0, 8.0], 20.0, width=40)
    assert len(drawn) == 6
    assert drawn[0].strip().startswith("30.0 s")
    assert any(line.strip().startswith("20.0 s ╌") for line in drawn)
    assert drawn[-1][12:] == " ·▲"
    assert chart([8.0, 30.0], 20.0, width=40, ascii_only=True)[-1].isascii()


def test_a_chart_of_what_is_well_has_no_marks() -> None:
    drawn = chart([8.0, 9.0, 8.5], 120.0, width=40)
    assert len(drawn) == 5
    assert "▲" not in "".join(drawn)
    assert "╌" not in "".join(drawn), "an objective far above would press the bars flat"


def test_a_chart_keeps_to_its_width_and_shows_the_newest() -> None:
    drawn = chart([1.0] * 500 + [2.0], 1.5, width=60)
    assert max(map(len, drawn)) == 60
    assert drawn[-1].endswith("▲")
    assert chart([None, None], 20.0, width=40) == ()
    assert chart([0.0], None, width=40)[-1].endswith("▁")


def test_kinds_that_no_plan_drills_are_one_line() -> None:
    deck = HEALTHY._replace(rows=(*HEALTHY.rows, uncovered("spark")))
    assert "no plan drills: spark" in told(deck)
    assert "no plan drills" not in told(HEALTHY)
    assert SCHEMA["$id"] == command.SCHEMA
