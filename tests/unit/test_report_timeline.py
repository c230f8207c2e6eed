"""Where phases, ticks and the objective stand on the plot; what the words are made of."""

import pytest
from test_report_samples import ABORTED, PASSED, phases

from muster.report.timeline import lay_out
from muster.report.wording import printable, shortened, tone_of
from muster.summary import Measure, Summary
from muster.verdict import Outcome, Verdict


def run(*rows: tuple[str, float, float, str, str], rto: float | None = None) -> Summary:
    measures = (Measure(name="RTO", measured=1, objective=rto, verdict=Verdict.PASS),)
    return PASSED.model_copy(update={"phases": phases(*rows), "measures": measures})


RECOVER_TWICE = (
    ("restore", 0, 4, "succeeded", "recovery"),
    ("fingerprint", 4, 3, "succeeded", "verification"),
    ("replay", 7, 3, "succeeded", "recovery"),
)


def test_a_bar_stands_where_its_phase_was():
    lane, _ = lay_out(run(*RECOVER_TWICE)).lanes
    assert [(b.left, b.width) for b in lane.bars] == [(0, 40), (70, 30)]


def test_lanes_keep_their_order_whatever_came_first():
    rows = (("a", 0, 1, "undone", "undo"), ("b", 1, 1, "succeeded", "else"), ("c", 2, 1, "succeeded", "recovery"))
    assert [lane.name for lane in lay_out(run(*rows)).lanes] == ["recovery", "undo", "else"]


@pytest.mark.parametrize(
    ("objective", "place"),
    [
        (2, 20),  # within the first phase
        (4, 40),  # exactly at its end
        (5, 80),  # the verification between the phases does not count
        (7, 100),  # all of it
        (60, None),  # off the scale
    ],
)
def test_the_objective_stands_where_recovery_has_spent_it(objective, place):
    assert lay_out(run(*RECOVER_TWICE, rto=objective)).limit == (place if place is None else pytest.approx(place))


def test_phases_side_by_side_spend_the_objective_once():
    rows = (
        ("a", 0, 6, "succeeded", "recovery"),
        ("b", 1, 2, "succeeded", "recovery"),
        ("c", 4, 6, "failed", "recovery"),
    )
    assert lay_out(run(*rows, rto=8)).limit == pytest.approx(80)


def test_an_objective_a_little_out_widens_the_scale():
    timeline = lay_out(run(("restore", 0, 10, "succeeded", "recovery"), rto=14))
    assert timeline.limit == pytest.approx(100)
    assert timeline.ticks[-1].label == "14 s"


def test_without_recovery_there_is_nothing_to_limit():
    timeline = lay_out(run(("inspect", 0, 10, "succeeded", "verification"), rto=5))
    assert (timeline.limit, timeline.objective) == (None, None)


@pytest.mark.parametrize("span", [0, 0.003, 1, 59, 61, 3600, 5 * 86400, 400 * 86400])
def test_any_span_has_a_few_ticks_and_holds_every_bar(span):
    timeline = lay_out(run(("restore", span / 2, span / 2, "succeeded", "recovery")))
    assert 2 <= len(timeline.ticks) <= 8
    assert timeline.ticks[0].label == "0"
    (bar,) = timeline.lanes[0].bars
    assert bar.left + bar.width <= 100.001


def test_a_late_label_leans_to_the_left():
    recovery = lay_out(PASSED).lanes[0]
    assert [bar.anchor for bar in recovery.bars] == ["start"] * 4 + ["end"] * 2


def test_the_description_tells_every_phase():
    told = lay_out(ABORTED).description
    assert "recovery: replay to the reference from 4.7 s, took 0.90 s, cut short" in told


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("0.4 % – naïve “words” ✓", "0.4 % – naïve “words” ✓"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;https://evil.example\x1b\\text\x1b]8;;\x07", "text"),
        ("a\x1bPq...\x1b\\b", "ab"),
        ("\x9b2Jclear", "clear"),
        ("unfinished \x1b]0;title", "unfinished "),
        ("two\r\nlines\tand\u2028more", "two lines and more"),
        ("\x00\x7f\u202e\u200b\ud800", "\ufffd" * 5),
    ],
)
def test_printable(raw, plain):
    assert printable(raw) == plain


def test_shortened():
    assert shortened("restore", 7) == "restore"
    assert shortened("restored", 7) == "restor…"


@pytest.mark.parametrize(
    ("outcome", "verdict", "tone"),
    [
        (Outcome.PASSED, Verdict.PASS, "pass"),
        (Outcome.ABORTED, Verdict.PASS, "inconclusive"),
        (Outcome.ABORTED, Verdict.FAIL, "fail"),
        (Outcome.REFUSED, Verdict.INCONCLUSIVE, "inconclusive"),
    ],
)
def test_what_did_not_end_never_looks_like_a_pass(outcome, verdict, tone):
    assert tone_of(PASSED.model_copy(update={"outcome": outcome, "verdict": verdict})) == tone
