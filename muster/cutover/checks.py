"""The cutover's checks: pure functions from the journal to findings.

Promises: none touches a system; what was not observed is `inconclusive`, never a pass. Each is shown to catch its
planted fault by `muster prove cutover`.
"""

from itertools import pairwise

from muster.course import nothing_is_left, steps_ended
from muster.cutover.homechecks import nothing_fell_in_between
from muster.cutover.measuring import broken_off, gap_of, gaps, handovers, reckoned
from muster.cutover.observations import (
    ClockSeen,
    HomeSeen,
    Mirrored,
    ReleasedSeen,
    Shadowed,
    Translated,
)
from muster.cutover.ownership import Side
from muster.cutover.section import spec_of
from muster.cutover.spec import InFlight
from muster.cutover.tickchecks import TICK_CHECKS
from muster.finding import Finding, judge, not_asked, unseen
from muster.journal import History
from muster.plan import Plan
from muster.quantity import count_of, format_seconds
from muster.verdict import Verdict


def handed_over(history: History, plan: Plan) -> Finding:
    """Every step came to its end."""
    there = "handed over" if spec_of(plan).commit else "handed over and back"
    expected = f"every schedule is {there}, and accounted for"
    found = steps_ended(history, "handed over", expected)
    if found.verdict is Verdict.PASS and reckoned(history) is None:
        return unseen("handed over", expected, "it ended before the account")
    return found


def translation_is_exact(history: History, _plan: Plan) -> Finding:
    """The new scheduler can carry every schedule as it is, or the plan accepts how it does not."""
    expected = "the new scheduler carries every schedule exactly, but for what the plan accepts"
    done = history.result("translate", Translated)
    if done is None or not (done.schedules or done.untold):
        return unseen("translation", expected, "" if done is None else "there was no schedule")
    told = tuple(f"{u.schedule}: {u.words}" for u in done.untold if not u.accepted)
    if told:
        seen = told[0] + (f", and {len(told) - 1} more" if len(told) > 1 else "")
    else:
        seen = f"{count_of(done.schedules, 'schedule', 'schedules')} of {count_of(done.jobs, 'job', 'jobs')}"
        seen += f"; {len(done.untold)} inexact and accepted" if done.untold else ""
    return judge("translation", not told, expected, seen, "change the schedule, or name it in `accept`", told)


def mirror_is_complete(history: History, _plan: Plan) -> Finding:
    """What the new scheduler has, read back, is what the old one had."""
    expected = "the new scheduler has every schedule as translated, read back from it"
    done = history.result("mirror", Mirrored)
    if done is None or not (done.schedules or done.different):
        return unseen("mirror", expected, "" if done is None else "there was no schedule")
    more = f", and {done.different - 1} more" if done.different > 1 else ""
    seen = done.differences[0] + more if done.different else f"{count_of(done.schedules, 'schedule', 'schedules')} read"
    return judge("mirror", not done.different, expected, seen, "find out who changes the copy", done.differences)


def shadow_is_empty(history: History, _plan: Plan) -> Finding:
    """Both schedulers would start the same ticks for as long as the plan looks ahead."""
    expected = "both schedulers have the same ticks ahead, changes of the clocks among them"
    done = history.result("shadow", Shadowed)
    found = done.different + done.told_different if done else 0
    if done is None or not (done.ticks or found):
        return unseen("shadow", expected, "" if done is None else "no schedule has a tick in that time")
    if found:
        words = f"{count_of(found, 'tick differs', 'ticks differ')}: {done.differences[0]}"
        advice = "the rule, its zone or its anchor is read differently"
        return judge("shadow", False, expected, words, advice, done.differences)
    seen = f"{done.ticks:,} ticks of {count_of(done.schedules, 'schedule', 'schedules')} until {done.until:%Y-%m-%d}"
    if done.told:
        seen += f"; {done.told:,} of them named by a scheduler itself"
    if done.cut_short:
        seen += f"; of {done.cut_short} of them only the first"
    if done.doubtful:
        seen += f"; of {count_of(done.doubtful, 'tick', 'ticks')} nobody can say, clocks change then"
    return judge("shadow", True, expected, seen)


def clocks_agree(history: History, plan: Plan) -> Finding:
    """Both schedulers' clocks are the ledger's."""
    limit = spec_of(plan).clocks.total_seconds()
    expected = f"both schedulers' clocks are within {format_seconds(limit)} of the ledger's"
    seen = [c for c in history.observed(ClockSeen) if c.ahead_seconds is not None]
    if not seen:
        return unseen("clocks", expected, "no scheduler says what time it has")
    worst = max(seen, key=lambda c: abs(c.ahead_seconds or 0) - c.doubt_seconds)
    off = max(0.0, abs(worst.ahead_seconds or 0) - worst.doubt_seconds)
    if off > limit:
        words = f"{worst.side} is {format_seconds(off)} off ({worst.stage})"
        return judge("clocks", False, expected, words, "synchronise the clocks: ticks are moments")
    known = {c.side for c in seen if c.doubt_seconds <= limit}
    if blurred := {c.side for c in seen} - known:
        return unseen("clocks", expected, f"the clock of {min(blurred)} could not be read so exactly",
                      "raise `clocks`, or see why it answers slowly")  # fmt: skip
    if silent := [side for side in Side if side not in known]:
        return unseen("clocks", expected, f"{silent[0]} did not say what time it has",
                      "see what takes the `Date` of its answers away")  # fmt: skip
    return judge("clocks", True, expected, "they are")


def watermark_is_between(history: History, _plan: Plan) -> Finding:
    """No tick falls on a watermark, and watermarks rise."""
    expected = "each watermark lies between ticks, after the hold; those of a schedule rise"
    done = handovers(history)
    if not done:
        return unseen("watermark", expected)
    for one in done:
        near = one.drained.nearest_tick_seconds
        if near is not None and near <= 0:
            return judge("watermark", False, expected, f"a tick falls on {one.drained.watermark:%H:%M:%S.%f}",
                         "whose tick it is cannot be said: choose a moment between ticks")  # fmt: skip
        if one.drained.watermark < one.drained.held:
            return judge(
                "watermark", False, expected, f"one lies before {one.drained.out} was held", "clocks went back"
            )
    for wave in {one.drained.wave for one in done}:
        marks = [one.drained.watermark for one in done if one.drained.wave == wave]
        if any(later <= earlier for earlier, later in pairwise(marks)):
            return judge("watermark", False, expected, "a later one lies before an earlier one", "clocks went back")
    least = min((one.drained.nearest_tick_seconds or 3600.0) for one in done)
    return judge("watermark", True, expected,
                 f"{count_of(len(done), 'watermark', 'watermarks')}, the nearest tick {least:.3f} s away")  # fmt: skip


def old_one_is_drained(history: History, plan: Plan) -> Finding:
    """What the old scheduler had taken up was over before the new one began, if the plan waits for it."""
    expected = "what was in flight is over before the other scheduler begins"
    done = handovers(history)
    if spec_of(plan).in_flight is not InFlight.WAIT:
        return not_asked("drained", expected, "in_flight: wait")
    if not done:
        return unseen("drained", expected)
    left = [one.drained for one in done if one.drained.still_in_flight]
    if left:
        return judge("drained", False, expected, f"{left[0].still_in_flight} runs of {left[0].out} were still at work",
                     "raise `in_flight_limit`, or say `in_flight: leave`")  # fmt: skip
    if blind := [one.drained.out for one in done if one.drained.in_flight is None]:
        return unseen("drained", expected, f"{blind[0]} cannot say what is at work",
                      "name its log, or say `in_flight: leave`")  # fmt: skip
    waited = max(one.drained.waited_seconds for one in done)
    count = sum(one.drained.in_flight or 0 for one in done)
    return judge("drained", True, expected, f"{count} in flight, waited for {format_seconds(waited)} at most")


def old_one_is_fenced(history: History, plan: Plan) -> Finding:
    """A claim of the old scheduler beyond the watermark is refused."""
    expected = "a claim of the old scheduler beyond the watermark is refused"
    done = handovers(history)
    if not spec_of(plan).guarded:
        return not_asked("fence", expected, "guarded")
    if not done:
        return unseen("fence", expected)
    granted = [one for one in done if one.raised.proof != "fenced"]
    if granted:
        return judge("fence", False, expected, f"a claim of {granted[0].drained.out} was {granted[0].raised.proof}",
                     "the epoch was not raised: the old scheduler's jobs still work")  # fmt: skip
    return judge("fence", True, expected, f"refused after {'each' if len(done) > 1 else 'the'} handover")


def one_starts(history: History, _plan: Plan) -> Finding:
    """Whenever somebody looked, the owner of a schedule would have started it, and the other scheduler not."""
    expected = "whenever asked, the owner of a schedule would start it, and the other scheduler not"
    seen = history.observed(ReleasedSeen)
    if not seen:
        return unseen("one scheduler", expected)
    if both := [s for s in seen if s.both]:
        words = f"both would start {both[0].both} of them at {both[0].at:%H:%M:%S} ({both[0].stage})"
        return judge("one scheduler", False, expected, words,
                     "hold one of them: whatever is not guarded runs twice")  # fmt: skip
    if idle := [s for s in seen if s.idle.count]:
        first = idle[0]
        more = f", and {first.idle.count - 1} more" if first.idle.count > 1 else ""
        words = f"{first.idle.examples[0]}, which it owns, at {first.at:%H:%M:%S} ({first.stage}){more}"
        advice = "somebody switched it off there: what is due meanwhile is missed"
        return judge("one scheduler", False, expected, words, advice, first.idle.examples)
    silent = [s for s in seen if any(s.released.get(side) is None for side in Side)]
    if silent:
        return unseen("one scheduler", expected, f"a scheduler did not answer ({silent[0].stage})")
    return judge("one scheduler", True, expected, f"asked {len(seen)} times")


def gap_is_short(history: History, plan: Plan) -> Finding:
    """The time in which nobody started anything is within the objective."""
    limit = plan.objectives.rto
    expected = (
        f"no more than {format_seconds(limit.total_seconds())} without an owner" if limit else "time with no owner"
    )
    found = gap_of(history)
    if limit is None:
        return not_asked("gap", expected, "objectives.rto")
    if found is None:
        return unseen("gap", expected)
    broken = broken_off(history)
    if broken and found <= limit.total_seconds() and (broken.most is None or broken.most > limit.total_seconds()):
        most = "nobody knows how long" if broken.most is None else f"up to {format_seconds(broken.most)}"
        return unseen("gap", expected, f"a handover broke off in {broken.step}, and stood still for {most}")
    told = tuple(f"{words}: {seconds:.3f} s" for words, seconds in gaps(history))
    return judge("gap", found <= limit.total_seconds(), expected, f"{format_seconds(found)} at worst",
                 "see what the drain waited for", told)  # fmt: skip


def is_home(history: History, plan: Plan) -> Finding:
    """In the end one scheduler has all of it: the old one after a rehearsal, the new one after a real cutover.

    A real cutover that broke off leaves it to whoever owned all of it then.
    """
    seen = history.latest(HomeSeen)
    home = Side.B if spec_of(plan).commit else Side.A
    if seen and seen.owner and spec_of(plan).commit and reckoned(history) is None:
        home = seen.owner
    expected = f"in the end {home} owns and starts every schedule, and {home.other} none"
    if seen is None:
        return unseen("home", expected)
    there, away = seen.released.get(home), seen.released.get(home.other)
    if there is None or away is None:
        return unseen("home", expected, "a scheduler did not answer", "`muster undo run`")
    told = f"{seen.owner or 'nobody'} owns them; {home} starts {there} of {seen.active}, {home.other} {away}"
    return judge("home", seen.owner is home and there == seen.active and not away, expected, told, "`muster undo run`")


CHECKS = (
    handed_over,
    translation_is_exact,
    mirror_is_complete,
    shadow_is_empty,
    clocks_agree,
    watermark_is_between,
    old_one_is_drained,
    old_one_is_fenced,
    one_starts,
    gap_is_short,
    *TICK_CHECKS,
    is_home,
    nothing_fell_in_between,
    nothing_is_left,
)
