"""Every check of a cutover, on journals made by hand: it passes, fails, stays in the dark, or steps aside.

A journal here is that of a clean cutover with something changed; a case names what was changed and what one check must
then say.
"""

from typing import Any

import pytest
from cutover_paper import (
    AT,
    NAMES,
    SECOND,
    STEPS,
    WAVES,
    A,
    B,
    activated,
    book,
    broken_off,
    clock,
    counts,
    drained,
    handover,
    home,
    journal,
    plan,
    raised,
    schedule,
    seen,
    surveyed,
)

from muster.cutover.checks import CHECKS
from muster.cutover.observations import Lateness, Mirrored, Shadowed, Translated, Untold, Waves
from muster.cutover.schedule import Inventory, Job
from muster.finding import Finding
from muster.journal import History
from muster.plan import Plan
from muster.verdict import Verdict

PASS, FAIL, DARK, ASIDE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, None
NOTHING = dict.fromkeys(STEPS)
"""No step was begun."""


def findings(history: History, of: Plan) -> dict[str, Finding]:
    found = [one(history, of) for one in CHECKS]
    assert all(isinstance(each, Finding) for each in found)
    return {each.check: each for each in found if isinstance(each, Finding)}


def accounted(**changes: Any) -> dict[str, Any]:
    return {"given": {"account": book(**changes)}}


def shadowed(**changes: Any) -> dict[str, Any]:
    usual = {"until": AT + 86400 * SECOND, "ticks": 100, "schedules": 3, "cut_short": 0, "different": 0,
             "differences": (), "told": 0, "told_different": 0, "doubtful": 0}  # fmt: skip
    return {"given": {"shadow": Shadowed.model_validate(usual | changes)}}


def translated(*untold: Untold, schedules: int = 4) -> dict[str, Any]:
    return {"given": {"translate": Translated(schedules=schedules, jobs=schedules, untold=untold)}}


def mirrored(*differences: str, schedules: int = 4, different: int | None = None) -> dict[str, Any]:
    count = len(differences) if different is None else different
    made = Mirrored(jobs=schedules, schedules=schedules, differences=differences, different=count)
    return {"given": {"mirror": made}}


def clocks(*seen_clocks: Any) -> dict[str, Any]:
    return {"saw": {"survey": seen_clocks, "watch": (), "account": ()}}


def looked(*looks: Any) -> dict[str, Any]:
    return {"saw": {**dict.fromkeys(("arm", "rest", "watch", "watch-back"), ()), "steady": looks}}


def bare(*schedules: Any) -> dict[str, Any]:
    """The survey of schedules that have no parameters."""
    inventory = Inventory(jobs=tuple(Job(name=n) for n in NAMES), schedules=tuple(schedules))
    return {"given": {"survey": surveyed(inventory=inventory), "account": book(given=0)}}


PLAIN = tuple(schedule(name, parameters={}) for name in NAMES)
SECONDS = Untold(schedule="orders", words="seconds are lost", accepted=False)
BLIND_A = {"histories": {A: False, B: True}}
BLIND = {"histories": {A: False, B: False}}
IDLE = {"by_side": {A: 0, B: 0}, "claims": 0, "given": 0, "lateness": None}
UNGUARDED = {"guarded": False}


@pytest.mark.parametrize("commit", [False, True])
@pytest.mark.parametrize("waves", [False, True])
def test_a_clean_cutover_passes_every_check(commit: bool, waves: bool) -> None:
    of = plan(commit=commit)
    found = findings(journal(of, waves=waves), of)
    assert {check: f.seen for check, f in found.items() if f.verdict is not PASS} == {}
    assert len(found) == len(CHECKS)


@pytest.mark.parametrize("commit", [False, True])
def test_a_cutover_that_did_nothing_has_shown_nothing(commit: bool) -> None:
    of = plan(commit=commit)
    found = findings(journal(of, given=NOTHING, ended=None), of)
    assert {check for check, f in found.items() if f.verdict is not DARK} == {"left behind"}
    assert found["left behind"].verdict is ASIDE


def test_an_account_of_nothing_has_shown_nothing() -> None:
    """Nothing was due, nothing was started, no scheduler has a clock, and nobody looked."""
    of = plan()
    empty = book(expected=0, phases={}, **IDLE)
    nothing = Translated(schedules=0, jobs=0, untold=())
    given = {"translate": nothing, "mirror": Mirrored(jobs=0, schedules=0, differences=(), different=0),
             "account": empty, **shadowed(ticks=0)["given"]}  # fmt: skip
    saw = {
        **clocks(clock(A, None), clock(B, None))["saw"],
        **dict.fromkeys(("arm", "steady", "rest", "watch-back"), ()),
    }
    found = findings(journal(of, given=given, saw=saw, ended=None), of)
    done = {"handed over", "watermark", "drained", "fence", "gap", "left behind"}
    assert {check for check, f in found.items() if f.verdict is PASS} == done
    assert {f.verdict for check, f in found.items() if check not in done} == {DARK}


CASES: list[tuple[str, dict[str, Any], dict[str, Any], Verdict | None, str]] = [
    ("handed over", {"given": {"account": None}}, {}, DARK, "before the account"),
    ("handed over", {"given": NOTHING}, {}, DARK, "no step ran"),
    ("translation", translated(SECONDS), {}, FAIL, "orders: seconds are lost"),
    ("translation", translated(SECONDS, SECONDS, SECONDS), {}, FAIL, "and 2 more"),
    ("translation", translated(SECONDS.model_copy(update={"accepted": True})), {}, PASS, "1 inexact and accepted"),
    ("translation", translated(SECONDS, schedules=0), {}, FAIL, "seconds"),
    ("translation", translated(schedules=0), {}, DARK, "no schedule"),
    ("translation", {"given": {"translate": None}}, {}, DARK, "not observed"),
    ("mirror", mirrored("orders is missing"), {}, FAIL, "orders is missing"),
    ("mirror", mirrored("orders is missing", different=5), {}, FAIL, "and 4 more"),
    ("mirror", mirrored("orders is missing", schedules=0), {}, FAIL, "orders is missing"),
    ("mirror", mirrored(schedules=0), {}, DARK, "no schedule"),
    ("mirror", {"given": {"mirror": None}}, {}, DARK, "not observed"),
    ("shadow", shadowed(different=1, differences=("orders: only the old one",)), {}, FAIL, "1 tick differs: orders"),
    ("shadow", shadowed(told_different=2, differences=("orders: itself",)), {}, FAIL, "2 ticks differ"),
    ("shadow", shadowed(ticks=0, different=3, differences=("orders: only the new one",)), {}, FAIL, "3 ticks differ"),
    ("shadow", shadowed(told=7), {}, PASS, "7 of them named by a scheduler itself"),
    ("shadow", shadowed(ticks=0), {}, DARK, "no schedule has a tick"),
    ("shadow", {"given": {"shadow": None}}, {}, DARK, "not observed"),
    ("clocks", clocks(clock(A), clock(B, 60.0, "watch")), {}, FAIL, "b is 59.5 s off (watch)"),
    ("clocks", clocks(clock(A, -60.0), clock(B)), {}, FAIL, "a is"),
    ("clocks", clocks(clock(A), clock(B, 60.0, doubt=10.0)), {}, FAIL, "b is 50.0 s off"),
    ("clocks", clocks(clock(A), clock(B, 2.4)), {}, PASS, "they are"),
    ("clocks", clocks(clock(A), clock(B, 2.4)), {"clocks": "1s"}, FAIL, "b is"),
    ("clocks", clocks(clock(A), clock(B, 9.0, doubt=10.0)), {}, DARK, "the clock of b"),
    ("clocks", clocks(clock(A), clock(B, 9.0, doubt=10.0), clock(B)), {}, PASS, "they are"),
    ("clocks", clocks(clock(A, None), clock(B)), {}, DARK, "a did not say what time it has"),
    ("clocks", clocks(clock(A, None), clock(B, None)), {}, DARK, "what time"),
    ("clocks", clocks(), {}, DARK, "what time"),
    ("watermark", {"given": {"drain": drained(A, 60, nearest_tick_seconds=0.0)}}, {}, FAIL, "a tick falls on 02:01:01"),
    ("watermark", {"given": {"drain": drained(A, 60, nearest_tick_seconds=None)}}, {}, PASS, "2 watermarks"),
    ("watermark", {"given": {"drain": drained(A, 60, watermark=AT + 59 * SECOND)}}, {}, FAIL, "before a was held"),
    ("watermark", {"given": {"drain-back": drained(B, 50)}}, {}, FAIL, "before an earlier"),
    ("watermark", {"given": {"drain-back": drained(B, 60)}}, {}, FAIL, "before an earlier"),
    ("watermark", {"waves": True, "given": {"waves-back": Waves(handovers=(handover(B, 80, 1),))}}, {},
     FAIL, "before an earlier"),
    ("watermark", {"given": {"drain": None, "drain-back": None}}, {}, DARK, "not observed"),
    ("drained", {"given": {"drain": drained(A, 60, still_in_flight=2)}}, {}, FAIL, "2 runs of a"),
    ("drained", {"given": {"drain-back": drained(B, 160, still_in_flight=1)}}, {}, FAIL, "1 runs of b"),
    ("drained", {"given": {"drain": drained(A, 60, in_flight=None, still_in_flight=None)}}, {},
     DARK, "a cannot say what is at work"),
    ("drained", {"given": {"drain": None, "drain-back": None}}, {}, DARK, "not observed"),
    ("drained", {"given": {"drain": drained(A, 60, still_in_flight=2)}}, {"in_flight": "leave"}, ASIDE, "in_flight"),
    ("drained", {"given": NOTHING}, {"in_flight": "leave"}, ASIDE, "in_flight"),
    ("fence", {"given": {"fence": raised(B, 60, proof="granted")}}, {}, FAIL, "a claim of a was granted"),
    ("fence", {"given": {"fence-back": raised(A, 160, proof="granted")}}, {}, FAIL, "a claim of b was granted"),
    ("fence", {"given": {"fence": raised(B, 60, proof="not guarded")}}, {}, FAIL, "not guarded"),
    ("fence", {"given": {"fence": None, "fence-back": None}}, {}, DARK, "not observed"),
    ("fence", {}, UNGUARDED, ASIDE, "guarded"),
    ("one scheduler", looked(seen("steady", 3, 1, both=1, at=30)), {}, FAIL, "both would start 1 of them at 02:00:30"),
    ("one scheduler", looked(seen("steady", 3, None), seen("watch", 3, 3, both=3)), {}, FAIL, "3 of them"),
    ("one scheduler", looked(seen("watch", 0, 2, at=30, idle=counts("b would not start report"))), {},
     FAIL, "b would not start report, which it owns, at 02:00:30 (watch)"),
    ("one scheduler", looked(seen("steady", 3, None), seen("watch", 0, 1, idle=counts("b would not start x", "y"))), {},
     FAIL, "and 1 more"),
    ("one scheduler", looked(seen("steady", 3, 0), seen("watch", 0, 3)), {}, PASS, "asked 2 times"),
    ("one scheduler", looked(seen("steady", 3, 0), seen("watch", 3, None)), {}, DARK, "did not answer (watch)"),
    ("one scheduler", looked(), {}, DARK, "not observed"),
    ("gap", {"given": {"activate": activated(B, 100)}}, {}, FAIL, "44.0 s at worst"),
    ("gap", {"given": {"activate": activated(B, 100)}}, {"rto": "1m"}, PASS, "44.0 s at worst"),
    ("gap", {"given": {"activate-back": activated(A, 200)}}, {}, FAIL, "44.0 s at worst"),
    ("gap", {"waves": True, "given": {"waves": Waves(handovers=(
        handover(A, 90, 1).model_copy(update={"activated": activated(B, 130, 1)}),))}}, {}, FAIL, "44.0 s at worst"),
    ("gap", {"given": {"activate": None, "activate-back": None}}, {}, DARK, "not observed"),
    ("gap", {}, {"rto": None}, ASIDE, "objectives.rto"),
    ("observed", accounted(phases={"b": 60, "a again": 30}), {}, DARK, "none while a had"),
    ("observed", accounted(phases={"a": 40, "a again": 30}), {}, DARK, "none while b had"),
    ("observed", accounted(phases={"a": 40, "b": 60}), {}, DARK, "none while a again had"),
    ("observed", accounted(unseen_waves=("none of wave 2 while b had it",)), {}, DARK, "none of wave 2 while b had it"),
    ("observed", accounted(schedules=1000, undue={"a": 0, "b": 997, "a again": 3}), {},
     PASS, "of 1,000 schedules not due: 997 while b, 3 while a again had them"),
    ("observed", accounted(), {}, PASS, "130 ticks: 40 while a, 60 while b, 30 while a again had them"),
    ("observed", {"given": {"account": None}}, {}, DARK, "not observed"),
    ("missed", accounted(missed=counts("orders of 02:01:05")), {}, FAIL, "orders of 02:01:05"),
    ("missed", accounted(missed=counts("orders of 02:01:05", "another")), {}, FAIL, "and 1 more"),
    ("missed", accounted(caught_up=3, skipped=counts("one")), {}, PASS, "3 caught up, 1 left out"),
    ("missed", accounted(expected=0), {}, DARK, "no tick was due"),
    ("missed", accounted(**BLIND_A, missed=counts("orders of 02:01:05")), {}, FAIL, "orders of"),
    ("missed", accounted(**BLIND_A, missed=counts("orders of 02:01:05")), UNGUARDED, DARK, "a keeps no history"),
    ("missed", accounted(**IDLE), {}, PASS, "none of 130"),
    ("once", accounted(doubled=counts("orders of 02:01:05 by a, by b")), {}, FAIL, "by a, by b"),
    ("once", accounted(**IDLE), {}, DARK, "nothing was started"),
    ("once", accounted(**BLIND_A), {}, PASS, "a keeps no history: its claims stand in"),
    ("once", accounted(**BLIND_A), UNGUARDED, DARK, "a keeps no history, and jobs make no claims"),
    ("once", accounted(**BLIND_A, doubled=counts("orders of 02:01:05 by b, by b")), UNGUARDED, FAIL, "by b, by b"),
    ("once", accounted(**BLIND), {}, PASS, "b keeps no history: its claims stand in"),
    ("once", accounted(expected=0), {}, DARK, "no tick was due"),
    ("unexpected", accounted(unexpected=counts("orders of 02:01:06 by b")), {}, FAIL, "02:01:06"),
    ("unexpected", accounted(expected=0, unexpected=counts("orders of 02:01:06 by b")), {}, FAIL, "02:01:06"),
    ("unexpected", accounted(**IDLE), {}, DARK, "nothing was started"),
    ("owner", accounted(misplaced=counts("orders of 02:01:05 by a, b's to start")), {}, FAIL, "b's to start"),
    ("owner", accounted(**IDLE), {}, DARK, "nothing was started"),
    ("owner", accounted(**BLIND_A), UNGUARDED, DARK, "a keeps no history"),
    ("unexpected", accounted(**BLIND_A), UNGUARDED, DARK, "a keeps no history"),
    ("unexpected", accounted(**BLIND_A, unexpected=counts("orders of 02:01:06 by b")), UNGUARDED, FAIL, "02:01:06"),
    ("late", accounted(late=counts("orders of 02:01:05 by b, 99.0 s late")), {}, FAIL, "1 late: orders"),
    ("late", accounted(lateness=None), {}, DARK, "no history says when"),
    ("late", {"given": {"account": None}}, {}, DARK, "not observed"),
    ("order", accounted(out_of_order=counts("orders of 02:01:05 by b")), {}, FAIL, "02:01:05"),
    ("order", accounted(lateness=None), {}, DARK, "no history says when"),
    ("parameters", accounted(parameters=counts("orders of 02:01:05 by b")), {}, FAIL, "02:01:05"),
    ("parameters", accounted(given=0), {}, DARK, "no history says what a run was given"),
    ("parameters", bare(*PLAIN), {}, ASIDE, "no schedule has any"),
    ("parameters", bare(schedule("orders"), *PLAIN[1:]), {}, DARK, "no history says"),
    ("in flight", accounted(lost=counts("orders of 02:01:05 by b is failed")), {}, FAIL, "is failed"),
    ("in flight", accounted(lost=counts("x is failed"), unended=counts("y is still at work")), {}, FAIL, "x is failed"),
    ("in flight", accounted(unended=counts("orders of 02:01:05 by b is still at work")), {}, DARK, "still at work"),
    ("in flight", accounted(**BLIND_A), {}, PASS, "a keeps no history: of its runs nothing is said"),
    ("order", accounted(**BLIND_A), {}, PASS, "a keeps no history: of its runs nothing is said"),
    ("in flight", accounted(**BLIND), {}, DARK, "no history says how"),
    ("in flight", accounted(**IDLE), {}, DARK, "nothing was started"),
    ("guard", accounted(unclaimed=counts("orders of 02:01:05 by b", "more")), {}, FAIL, "2 runs made none: orders"),
    ("guard", accounted(claims=0), {}, DARK, "none had claimed"),
    ("guard", {"given": {"account": None}}, {}, DARK, "not observed"),
    ("guard", accounted(claims=0), UNGUARDED, ASIDE, "guarded"),
    ("histories", accounted(unrecorded=counts("orders of 02:01:05")), {}, FAIL, "1 claimed, and in no history: orders"),
    ("histories", accounted(**BLIND_A, unrecorded=counts("orders of 02:01:05")), {}, FAIL, "in no history"),
    ("histories", accounted(**BLIND_A), {}, PASS, "a keeps no history: its claims stand in"),
    ("histories", accounted(**BLIND_A), UNGUARDED, DARK, "a keeps none"),
    ("histories", accounted(claims=0), UNGUARDED, PASS, "they do"),
    ("histories", accounted(**IDLE), {}, DARK, "nothing was started or claimed"),
    ("home", {"ended": home(B)}, {}, FAIL, "b owns them"),
    ("home", {"ended": home(A)}, {"commit": True}, FAIL, "a owns them"),
    ("home", {"ended": home(owner=B)}, {}, FAIL, "b owns them; a starts 3 of 3"),
    ("home", {"ended": home(owner=None)}, {}, FAIL, "nobody owns"),
    ("home", {"ended": home(released={A: 2, B: 0})}, {}, FAIL, "a starts 2 of 3"),
    ("home", {"ended": home(released={A: 3, B: 1})}, {}, FAIL, "b 1"),
    ("home", {"ended": home(released={A: 3, B: None})}, {}, DARK, "did not answer"),
    ("home", {"ended": home(released={A: None, B: 0})}, {}, DARK, "did not answer"),
    ("home", {"ended": None}, {}, DARK, "not observed"),
    ("made up for", {"ended": home(caught_up=counts("a", "b"))}, {}, PASS, "2 made up for"),
    ("made up for", {"ended": home(missed=counts("orders of 02:01:05"), caught_up=counts("a"))}, {}, FAIL,
     "1 made up for, 1 due time started by nobody: orders of 02:01:05"),
    ("made up for", {"ended": home(missed=counts("orders of 02:01:05"))}, {"catch_up": "skip"}, PASS, "1 due time"),
    ("made up for", {"ended": home(untold=4)}, {}, DARK, "4 of which nothing says"),
    ("made up for", {"ended": home(untold=4, missed=counts("orders of 02:01:05"))}, {}, FAIL, "orders of 02:01:05"),
    ("made up for", {"ended": None}, {}, DARK, "nobody came home"),
    ("left behind", {"undone": False}, {}, FAIL, "not undone: account"),
    ("left behind", {"given": NOTHING}, {}, ASIDE, "no step started"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "changes", "keys", "verdict", "words"), CASES)
def test_a_check_says(check: str, changes: Any, keys: Any, verdict: Verdict | None, words: str) -> None:
    of = plan(**keys)
    found = findings(journal(of, **changes), of)[check]
    assert (found.verdict, words in found.seen) == (verdict, True), found
    assert found.advice or verdict in {PASS, ASIDE}, "whoever reads it is told what to do"


def test_every_check_is_held_to_a_fault_and_to_the_dark() -> None:
    of = plan()
    names = set(findings(journal(of), of))
    failing = {check for check, _, _, verdict, _ in CASES if verdict is FAIL}
    assert names - failing == {"handed over", "observed"}, "the one is below; the other never fails"
    assert names - {check for check, _, _, verdict, _ in CASES if verdict is DARK} == {"left behind"}
    aside = {check for check, _, _, verdict, _ in CASES if verdict is ASIDE}
    assert aside == {"drained", "fence", "gap", "guard", "parameters", "left behind"}


@pytest.mark.parametrize(("cause", "verdict"), [("system", FAIL), ("drill", DARK), ("refused", DARK)])
def test_a_step_that_broke_is_the_systems_failure_or_nothing_shown(cause: str, verdict: Verdict) -> None:
    of = plan()
    found = findings(broken_off(of, "drain", cause), of)["handed over"]
    assert (found.verdict, found.seen, found.advice) == (verdict, "step drain: it broke", "mend it")


@pytest.mark.parametrize("step", STEPS)
def test_what_a_broken_cutover_did_not_come_to_is_never_a_pass(step: str) -> None:
    of = plan()
    found = findings(broken_off(of, step), of)
    reached = STEPS.index(step)
    needs = {"translation": "translate", "mirror": "mirror", "shadow": "shadow", "watermark": "activate",
             "drained": "activate", "fence": "activate", "gap": "activate"}  # fmt: skip
    needs |= dict.fromkeys(
        ("handed over", "observed", "missed", "once", "unexpected", "owner", "late", "order", "parameters", "in flight",
         "guard", "histories"), "account",
    )  # fmt: skip
    for check, needed in needs.items():
        is_known = STEPS.index(needed) < reached and (check, step) != ("gap", "activate-back")  # it may have released
        assert found[check].verdict is (PASS if is_known else DARK), (check, found[check])


def stood_still(step: str, until: int, **more: Any) -> Finding:
    """A rehearsal that broke off, and whose undo released the old one so many seconds after the survey."""
    of = plan()
    return findings(broken_off(of, step, ended=home(released_at=AT + until * SECOND), **more), of)["gap"]


def test_a_handover_that_broke_off_is_in_the_gap_until_the_undo_released_somebody() -> None:
    """The new one was held 160 seconds after the survey; the first handover took four seconds."""
    long = stood_still("fence-back", 460)
    assert (long.verdict, long.seen) == (FAIL, "5 m 00 s at worst")
    assert "broken off in fence-back: 300.000 s" in long.detail
    short = stood_still("fence-back", 170)
    assert (short.verdict, short.seen) == (PASS, "10.0 s at worst")
    assert stood_still("fence", 360).verdict is FAIL, "no other handover came to its end"


@pytest.mark.parametrize("step", ["drain-back", "activate-back"])
def test_of_one_that_may_not_have_stood_still_nothing_is_said_unless_it_was_short_in_any_case(step: str) -> None:
    """It broke off in the step that holds, or in the one that releases: perhaps before, perhaps after."""
    long = stood_still(step, 460)
    assert (long.verdict, f"broke off in {step}" in long.seen) == (DARK, True)
    assert long.advice
    assert stood_still(step, 20).verdict is PASS


def test_of_waves_that_broke_off_it_is_known_when_they_began_and_no_more() -> None:
    of = plan()
    ended = home(released_at=AT + 3600 * SECOND)
    found = findings(broken_off(of, "waves", waves=True, ended=ended), of)["gap"]
    assert (found.verdict, "broke off in waves" in found.seen) == (DARK, True)
    alone = findings(broken_off(of, "waves", ended=ended), of)["gap"]
    assert alone.verdict is PASS, "without waves there is nothing in that step"


def test_whoever_had_them_all_along_was_never_held_or_began_in_the_step_that_releases() -> None:
    of = plan()
    never = findings(broken_off(of, "drain-back", ended=home(A)), of)["gap"]
    assert (never.verdict, never.seen) == (PASS, "4.0 s at worst")
    began = findings(broken_off(of, "activate-back", ended=home(A)), of)["gap"]
    assert (began.verdict, "nobody knows how long" in began.seen) == (DARK, True)
    unknown = findings(broken_off(of, "fence-back", ended=None), of)["gap"]
    assert (unknown.verdict, "nobody knows how long" in unknown.seen) == (DARK, True)


@pytest.mark.parametrize(("owner", "verdict"), [(A, PASS), (B, PASS), (None, FAIL)])
def test_a_real_cutover_that_broke_off_leaves_all_to_whoever_owns_it(owner: Any, verdict: Verdict) -> None:
    of = plan(commit=True)
    ended = home(owner or A, owner=owner)
    assert findings(broken_off(of, "drain", ended=ended), of)["home"].verdict is verdict
    split = home(owner or A, owner=owner, released={A: 2, B: 1})
    assert findings(broken_off(of, "drain", ended=split), of)["home"].verdict is FAIL


def test_a_rehearsal_that_broke_off_belongs_home() -> None:
    of = plan()
    assert findings(broken_off(of, "watch", ended=home(B)), of)["home"].verdict is FAIL
    assert findings(broken_off(of, "watch", ended=home(A)), of)["home"].verdict is PASS


def test_waves_are_watched_each_for_itself() -> None:
    """The second wave's watermark may lie before the first one's: what was taken up ahead differs."""
    of = plan()
    given = {"survey": surveyed(WAVES), "drain": drained(A, 60, watermark=AT + 95 * SECOND)}
    assert findings(journal(of, waves=True, given=given), of)["watermark"].verdict is PASS


def test_lateness_is_told_with_its_spread() -> None:
    of = plan()
    told = book(lateness=Lateness(count=9, median=0.4, p95=1.2, most=2.0))
    found = findings(journal(of, given={"account": told}), of)["late"]
    assert found.seen == "median 0.4 s, 95 % within 1.2 s, at most 2.0 s, of 9"
