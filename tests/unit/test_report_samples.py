"""Runs as summaries, and what every rendering of them has to tell."""

import html
import json
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO, TextIOWrapper
from typing import Literal

import pytest
from rich.console import Console

from muster.drill import Told
from muster.finding import Finding
from muster.report.activity import title_of
from muster.report.html import render_html
from muster.report.markdown import render_markdown
from muster.report.terminal import render_terminal
from muster.spark.telling import tell
from muster.summary import (
    Activity,
    Advice,
    Amount,
    Band,
    Cost,
    CostColumn,
    Costs,
    LapChart,
    Mark,
    Measure,
    Phase,
    Strip,
    Summary,
    TickColumn,
    TickLines,
)
from muster.verdict import Outcome, Verdict
from tests.unit.test_spark_activity import history, plan
from tests.unit.test_spark_advice import BOTH, compared

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
OPENED = datetime(2026, 3, 1, 4, 0, 0, tzinfo=UTC)
BUNDLE = "/var/lib/muster/bundles/20260301T040000Z-shop-restore-5f2c9a"
VERIFY = f"muster verify {BUNDLE} --key /var/lib/muster/keys/seal.pub"


def phases(*rows: tuple[str, float, float, str, str]) -> tuple[Phase, ...]:
    return tuple(
        Phase(name=name, start=start, seconds=seconds, state=state, lane=lane)
        for name, start, seconds, state, lane in rows
    )


HEALTHY_PHASES = phases(
    ("choose", 0.0, 0.04, "succeeded", "recovery"),
    ("fetch", 0.05, 1.31, "succeeded", "recovery"),
    ("restore", 1.37, 3.28, "succeeded", "recovery"),
    ("replay to the reference", 4.66, 1.92, "succeeded", "recovery"),
    ("replay to the end", 8.47, 1.12, "succeeded", "recovery"),
    ("promote", 9.60, 0.21, "succeeded", "recovery"),
    ("verify bytes", 1.40, 3.60, "succeeded", "verification"),
    ("fingerprint rows", 6.60, 1.85, "succeeded", "verification"),
    ("inspect", 9.82, 1.64, "succeeded", "verification"),
    ("undo recover", 11.50, 0.44, "undone", "undo"),
    ("undo restore", 11.95, 0.18, "undone", "undo"),
)

HEALTHY_FINDINGS = (
    Finding(check="bytes match", verdict=PASS, expected="every file as in its manifest", seen="1,204 files, 353.9 MiB"),
    Finding(check="wal complete", verdict=PASS, expected="no gap from 0/4000028 on", seen="17 segments, no gap"),
    Finding(check="target reached", verdict=PASS, expected="before is there, after is not", seen="both hold"),
    Finding(check="catalog matches", verdict=PASS, expected="68 objects as committed", seen="68 objects, the same"),
    Finding(check="rows match", verdict=PASS, expected="12 tables as in the source", seen="12 tables, 1,204,331 rows"),
    Finding(check="volume", verdict=PASS, expected="at most 5 % fewer rows", seen="0.4 % more rows"),
    Finding(check="orders have payments", verdict=PASS, expected="equals 0", seen="0"),
    Finding(check="indexes sound", verdict=PASS, expected="pg_amcheck finds nothing", seen="31 relations, nothing"),
    Finding(check="isolated", verdict=PASS, expected="archive_mode off, own socket only", seen="off, own socket only"),
    Finding(check="rto within", verdict=PASS, expected="at most 60.0 s", seen="7.9 s"),
    Finding(check="rpo within", verdict=PASS, expected="at most 30.0 s", seen="4.4 s, 4 commits"),
    Finding(check="server version", verdict=None, expected="", seen="the plan names no server_major"),
    Finding(check="roles present", verdict=None, expected="", seen="the plan names no roles"),
)

PASSED = Summary(
    run="20260301T040000Z-shop-restore-5f2c9a",
    plan="shop-restore",
    plan_digest="9b74c9897bac770ffc029102a200c5de3b1c9f0b8a1d7f6f2a6a5b8a2f1e0d3c",
    kind="restore",
    environment="demo",
    owner="storage-team@example.org",
    controls=("SOC2 A1.3", "ISO27001 A.8.13"),
    target="embedded PostgreSQL 18.6 'shop', system identifier 7431189034560123456",
    reason="scheduled for 2026-03-01 04:00 UTC",
    opened_at=OPENED,
    ended_at=OPENED + timedelta(seconds=13.2),
    outcome=Outcome.PASSED,
    verdict=PASS,
    headline="The backup of 03:55 came back whole: every row matches the source, 4.4 s of commits would be lost.",
    measures=(
        Measure(name="RTO", measured=7.88, objective=60, verdict=PASS, note="choose to promote"),
        Measure(name="RPO", measured=4.4, objective=30, verdict=PASS, note="4 commits behind the newest canary"),
    ),
    phases=HEALTHY_PHASES,
    findings=HEALTHY_FINDINGS,
    facts=(
        ("Backup", "20260301T035500Z incremental, on a full of 02:00"),
        ("Size", "353.9 MiB"),
        ("Age", "5 m 02 s"),
        ("Seed", "8412097"),
        ("Server", "PostgreSQL 18.6, data checksums on"),
    ),
    last_proven="2026-02-27: 23 of 23 planted faults caught, 4 of 4 healthy forms passed",
    muster_version="0.1.0",
)

DIFF = (
    "--- committed",
    "+++ restored",
    "-index  public.orders_customer_idx  btree (customer_id)",
    "+index  public.orders_customer_idx  btree (customer_id)  INVALID",
    *(f"-row    public.payments/{n}  sha256:{n:064x}" for n in range(14)),
)

FAILED = PASSED.model_copy(
    update={
        "outcome": Outcome.FAILED,
        "verdict": FAIL,
        "headline": "One index came back invalid, and the recovery took longer than promised.",
        "ended_at": OPENED + timedelta(seconds=14.1),
        "measures": (
            Measure(name="RTO", measured=7.88, objective=6, verdict=FAIL, note="choose to promote"),
            Measure(name="RPO", measured=None, objective=30, verdict=INCONCLUSIVE, note="no canary was recovered"),
        ),
        "findings": (
            *HEALTHY_FINDINGS[:3],
            Finding(
                check="catalog matches",
                verdict=FAIL,
                expected="68 objects as committed",
                seen="1 object differs: public.orders_customer_idx is invalid in the restored database",
                advice="reindex public.orders_customer_idx in the source, then take a new backup",
                detail=DIFF,
            ),
            *HEALTHY_FINDINGS[4:9],
            Finding(
                check="rto within", verdict=FAIL, expected="at most 6.0 s", seen="7.9 s", advice="see the longest phase"
            ),
            Finding(
                check="rpo within",
                verdict=INCONCLUSIVE,
                expected="at most 30.0 s",
                seen="no canary row was recovered",
                advice="name the canary table in the plan",
            ),
            *HEALTHY_FINDINGS[11:],
        ),
    }
)

UNDECIDED = PASSED.model_copy(
    update={
        "outcome": Outcome.INCONCLUSIVE,
        "verdict": INCONCLUSIVE,
        "controls": (),
        "headline": "Everything that was looked at holds, but no reference was there to compare the rows with.",
        "measures": (
            Measure(name="RTO", measured=7.88, objective=9, verdict=PASS),
            Measure(name="RPO", measured=4.4, objective=None, verdict=None),
        ),
        "findings": (
            *HEALTHY_FINDINGS[:4],
            Finding(
                check="rows match",
                verdict=INCONCLUSIVE,
                expected="12 tables as in the source",
                seen="the reference file is missing",
                advice="run `muster reference shop-restore` in the source",
            ),
            *HEALTHY_FINDINGS[5:],
        ),
    }
)

ABORTED = PASSED.model_copy(
    update={
        "outcome": Outcome.ABORTED,
        "verdict": INCONCLUSIVE,
        "headline": "Stopped by the operator while the log was replayed; everything started was undone.",
        "reason": "asked for by dba@example.org",
        "ended_at": OPENED + timedelta(seconds=6.9),
        "measures": (
            Measure(name="RTO", measured=None, objective=60, verdict=INCONCLUSIVE),
            Measure(name="RPO", measured=None, objective=30, verdict=INCONCLUSIVE),
        ),
        "phases": (
            *HEALTHY_PHASES[:3],
            *phases(
                ("replay to the reference", 4.66, 0.9, "cut short", "recovery"),
                ("verify bytes", 1.4, 3.1, "failed", "verification"),
                ("undo recover", 5.57, 0.62, "undone", "undo"),
                ("undo restore", 6.2, 0.21, "undone", "undo"),
            ),
        ),
        "findings": tuple(
            Finding(check=f.check, verdict=INCONCLUSIVE, expected=f.expected, seen="nothing was observed")
            for f in HEALTHY_FINDINGS[:6]
        ),
    }
)


def stressed(told: Told) -> Summary:
    """A run of a Spark drill, told as that drill tells it."""
    return PASSED.model_copy(
        update={
            "kind": "spark",
            "headline": "All 2 checks that the plan asks for passed.",
            "target": told.target,
            "measures": told.measures,
            "phases": phases(
                ("survey", 0.0, 0.04, "succeeded", "verification"),
                ("baseline", 0.1, 64.2, "succeeded", "load"),
                ("stress", 64.4, 35.1, "succeeded", "load"),
                ("account", 100.0, 0.8, "succeeded", "verification"),
                ("undo", 101.0, 1.2, "undone", "undo"),
            ),
            "findings": (
                Finding(
                    check="answer", verdict=PASS, expected="the same, right answer", seen="3 laps, 300,000 rows each"
                ),
                Finding(check="landed", verdict=PASS, expected="kill-executor is seen to land", seen="executor 1 lost"),
            ),
            "facts": told.facts,
            "activity": told.activity,
            "costs": told.costs,
            "advice": told.advice,
        }
    )


STRESSED = stressed(tell(history(), plan()))
COMPARED = stressed(tell(history(compared((2.0, 4.0))), plan(**BOTH)))
SPARK = {"stressed": STRESSED, "compared": COMPARED}


def cutover(began: datetime = OPENED + timedelta(seconds=4)) -> TickLines:
    """Two minutes of a rehearsal: over to `b` after 38.5 s, and back after 97 s."""

    def started(n: int) -> dict[str, int]:
        due = 4 if n % 60 == 0 else 2 if n % 10 == 0 else int(n % 5 != 3)
        side = "b" if 38.5 < n < 97 else "a"
        return {"a": 0, "b": 0, side: due}

    return TickLines(
        column_seconds=1.0,
        began=began,
        sides=("a", "b"),
        columns=tuple(TickColumn(start=float(n), started=started(n)) for n in range(120)),
        marks=(Mark(name="to b", at=38.5), Mark(name="to a", at=97.0)),
    )


def mishandled() -> TickLines:
    """The same, but `a` starts what is `b`'s after the watermark, and nobody what is due before the way back."""
    right = cutover()
    columns = list(right.columns)
    for n in (40, 41, 42):
        columns[n] = TickColumn(start=float(n), started={"a": 1, "b": columns[n].started["b"]}, wrong=n - 39)
    columns[95] = TickColumn(start=95.0, started={"a": 0, "b": 0}, wrong=1)
    return right.model_copy(update={"columns": tuple(columns)})


HANDED_OVER = PASSED.model_copy(
    update={
        "kind": "cutover",
        "headline": "All 2 checks that the plan asks for passed.",
        "target": "cron and Prefect",
        "ended_at": OPENED + timedelta(seconds=126),
        "measures": (
            Measure(
                name="RTO",
                measured=1.2,
                objective=30,
                verdict=PASS,
                note="with nobody to start what is due, the longest of 2 handovers",
            ),
        ),
        "facts": (("Cut", "5 schedules, 5 active, of 5 jobs"),),
        "phases": phases(
            ("survey", 0.0, 0.4, "succeeded", "verification"),
            ("steady", 4.0, 34.0, "succeeded", "load"),
            ("drain", 38.2, 0.3, "succeeded", "recovery"),
            ("activate", 38.6, 0.9, "succeeded", "recovery"),
            ("watch", 39.6, 57.0, "succeeded", "load"),
            ("account", 121.0, 0.8, "succeeded", "verification"),
        ),
        "findings": (
            Finding(check="every tick started", verdict=PASS, expected="no tick is missed", seen="112 ticks"),
            Finding(check="none started twice", verdict=PASS, expected="no tick is doubled", seen="none is"),
        ),
        "ticks": cutover(),
    }
)
MISHANDLED = HANDED_OVER.model_copy(
    update={
        "outcome": Outcome.FAILED,
        "verdict": FAIL,
        "headline": "One tick was missed, and six were started twice.",
        "findings": (
            Finding(
                check="every tick started",
                verdict=FAIL,
                expected="no tick is missed",
                seen="1 tick is",
                advice="look for what kept it in the log of b",
            ),
            Finding(check="none started twice", verdict=FAIL, expected="no tick is doubled", seen="6 ticks are"),
        ),
        "ticks": mishandled(),
    }
)
CUTOVERS = {"handed over": HANDED_OVER, "mishandled": MISHANDLED}

SAMPLES = {"pass": PASSED, "fail": FAILED, "inconclusive": UNDECIDED, "aborted": ABORTED}

HOSTILE_TEXT = "\x1b[2J\x1b]0;owned\x07<script>alert(1)</script> | `x` \u202e\x00[bold red]**loud**[/] \udc80\r\nPASS"
HOSTILE = FAILED.model_copy(
    update={
        "headline": HOSTILE_TEXT,
        "owner": HOSTILE_TEXT,
        "target": HOSTILE_TEXT,
        "measures": (Measure(name=HOSTILE_TEXT, measured=1, objective=2, verdict=PASS, note=HOSTILE_TEXT),),
        "phases": phases((HOSTILE_TEXT, 0, 1, HOSTILE_TEXT, HOSTILE_TEXT)),
        "findings": (
            Finding(
                check=HOSTILE_TEXT,
                verdict=FAIL,
                expected=HOSTILE_TEXT,
                seen=HOSTILE_TEXT,
                advice=HOSTILE_TEXT,
                detail=(HOSTILE_TEXT, "```` </pre></details>"),
            ),
            Finding(check=HOSTILE_TEXT, verdict=None, expected="", seen=HOSTILE_TEXT),
        ),
        "facts": ((HOSTILE_TEXT, HOSTILE_TEXT),),
        "activity": Activity(
            laps=(
                LapChart(
                    number=2,
                    kind=HOSTILE_TEXT,
                    variant=HOSTILE_TEXT,
                    seconds=2,
                    column_seconds=1,
                    strips=(Strip(executor=HOSTILE_TEXT, host=HOSTILE_TEXT, cores=1, busy=(1, 0.5), lost=(0, 0.5)),),
                    bands=(Band(stage=1, attempt=1, start=0, end=2),),
                    marks=(Mark(name=HOSTILE_TEXT, at=1),),
                ),
            )
        ),
        "costs": Costs(
            columns=(CostColumn(kind=HOSTILE_TEXT, variant=HOSTILE_TEXT, laps=1),),
            rows=(Cost(name=HOSTILE_TEXT, unit="count", amounts=(Amount(median=1, least=0, most=2),)),),
            note=HOSTILE_TEXT,
        ),
        "advice": (Advice(seen=HOSTILE_TEXT, advice=HOSTILE_TEXT),),
        "ticks": TickLines(
            column_seconds=1,
            began=OPENED,
            sides=(HOSTILE_TEXT, "b"),
            columns=(TickColumn(start=0, started={HOSTILE_TEXT: 3}), TickColumn(start=1, started={"b": 1}, wrong=1)),
            marks=(Mark(name=HOSTILE_TEXT, at=1),),
        ),
    }
)
EVERY = {**SAMPLES, **SPARK, **CUTOVERS, "hostile": HOSTILE}


def terminal(
    summary: Summary,
    *,
    width: int = 80,
    encoding: str = "utf-8",
    color: Literal["standard"] | None = None,
    verify: str = VERIFY,
) -> str:
    """What `render_terminal` writes to a pipe, or to a terminal where `color` is given."""
    raw = BytesIO()
    with TextIOWrapper(raw, encoding=encoding, newline="") as out:
        console = Console(file=out, width=width, color_system=color, force_terminal=color is not None)
        render_terminal(summary, console, bundle=BUNDLE, verify=verify)
        out.flush()
        return raw.getvalue().decode(encoding)


RENDERINGS: dict[str, Callable[[Summary], str]] = {
    "html": render_html,
    "markdown": render_markdown,
    "terminal": terminal,
}


@pytest.mark.parametrize("render", RENDERINGS.values(), ids=RENDERINGS)
class TestEveryRendering:
    @pytest.mark.parametrize(("ending", "summary"), SAMPLES.items(), ids=SAMPLES)
    def test_names_the_ending_and_no_better_one(self, render, ending, summary):
        told = render(summary)
        title = told[told.find("<h1>") :].split("</h1>")[0] if "<h1>" in told else told.split("shop-restore")[0]
        assert [word for word in SAMPLES if word in title.casefold()] == [ending]

    @pytest.mark.parametrize(
        "summary", [*SAMPLES.values(), *SPARK.values(), *CUTOVERS.values()], ids=[*SAMPLES, *SPARK, *CUTOVERS]
    )
    def test_tells_every_check_and_phase(self, render, summary):
        told = render(summary)
        assert not [f.check for f in summary.findings if f.check not in told]
        assert not [p.name for p in summary.phases if p.name not in told]

    def test_sets_measured_beside_objective(self, render):
        told = render(PASSED)
        assert told.index("7.9 s") < told.index("60.0 s") < told.index("4.4 s", told.index("60.0 s"))

    def test_says_supports_only_of_a_pass(self, render):
        assert "supports these controls" in " ".join(render(PASSED).split())
        for summary in (FAILED, ABORTED):
            told = " ".join(render(summary).split())
            assert "does not show what these controls ask for" in told
            assert "supports" not in told

    def test_never_says_complies(self, render):
        assert not any(
            "compl" in render(summary).casefold().replace("wal complete", "") for summary in SAMPLES.values()
        )

    @pytest.mark.parametrize("summary", SPARK.values(), ids=SPARK)
    def test_tells_what_was_seen_and_what_would_have_made_it_cheaper(self, render, summary):
        told = " ".join(html.unescape(render(summary)).split())
        assert "What would have made it cheaper" in told
        assert summary.advice
        assert not [each.seen for each in summary.advice if each.seen not in told]
        assert "spark.shuffle.service.enabled" in told
        assert told.index("What would have made it cheaper") > told.index("landed")

    @pytest.mark.parametrize("summary", SPARK.values(), ids=SPARK)
    def test_tells_both_laps(self, render, summary):
        told = render(summary)
        first, second = summary.activity.laps
        assert told.index(title_of(first)) < told.index(title_of(second))

    @pytest.mark.parametrize("summary", SAMPLES.values(), ids=SAMPLES)
    def test_says_nothing_of_laps_where_there_were_none(self, render, summary):
        told = render(summary)
        assert not [words for words in ("Tasks over time", "What it cost", "cheaper</h2>") if words in told]

    @pytest.mark.parametrize("summary", CUTOVERS.values(), ids=CUTOVERS)
    def test_tells_watermarks_and_how_much_each_side_started(self, render, summary):
        told = render(summary)
        assert not [words for words in ("a: ", "b: ", "to b 38.5 s", "to a 97.0 s") if words not in told]
        assert ("gone wrong: 7 ticks" in told) is (summary is MISHANDLED)

    @pytest.mark.parametrize("summary", SAMPLES.values(), ids=SAMPLES)
    def test_says_nothing_of_ticks_where_nothing_changed_hands(self, render, summary):
        assert not [
            words for words in ("Ticks</h2>", "## Ticks", "went wrong", "gone wrong") if words in render(summary)
        ]

    def test_reads_a_summary_from_before_there_were_laps(self, render):
        old = PASSED.model_dump(mode="json", exclude={"activity", "costs", "advice", "traffic", "ticks"})
        assert render(Summary.model_validate_json(json.dumps(old))) == render(PASSED)

    def test_is_deterministic(self, render):
        assert render(FAILED) == render(FAILED.model_copy(deep=True))

    def test_lets_no_terminal_sequence_or_hidden_character_through(self, render):
        told = render(HOSTILE)
        assert not [c for c in told if unicodedata.category(c) in {"Cf", "Cs"} or (c < " " and c != "\n")]
        assert "owned" not in told
        told.encode()

    def test_tells_a_run_in_which_nothing_started(self, render):
        nothing = {"phases": (), "findings": (), "measures": (), "facts": (), "outcome": Outcome.REFUSED}
        assert "refused" in render(UNDECIDED.model_copy(update=nothing)).casefold()
