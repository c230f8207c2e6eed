"""The checks of every tick: missed, doubled, late or otherwise wrong, by both histories and the claims.

Promises: a tick that nobody expected is a fault like one that nobody started; where no history and no claim could have
shown a fault, the check is `inconclusive`.
"""

from collections.abc import Callable

from muster.cutover.measuring import blind_sides, handovers, reckoned
from muster.cutover.observations import Counts, Reckoned, Surveyed
from muster.cutover.ownership import Side
from muster.cutover.section import spec_of
from muster.finding import Finding, judge, not_asked, unseen
from muster.journal import History
from muster.plan import Plan
from muster.quantity import count_of, format_seconds
from muster.verdict import Verdict


def enough_was_seen(history: History, _plan: Plan) -> Finding:
    """Ticks were due before, between and after."""
    expected = "ticks were due while each scheduler had the schedules"
    done, book = handovers(history), reckoned(history)
    if book is None or not done:
        return unseen("observed", expected)
    backs = any(one.activated.into is Side.A for one in done)
    phases = ("a", "b", *(["a again"] if backs else []))
    empty = [f"none while {phase} had the schedules" for phase in phases if not book.phases.get(phase)]
    if words := (*empty, *book.unseen_waves):
        return unseen("observed", expected, words[0], "watch longer (`watch`, `steady`, `bake`)")
    counts = ", ".join(f"{book.phases[phase]} while {phase}" for phase in book.phases)
    return judge("observed", True, expected, f"{book.expected:,} ticks: {counts} had them{_undue(book)}")


def _undue(book: Reckoned) -> str:
    """Of whom these counts say nothing."""
    counts = ", ".join(f"{count:,} while {phase}" for phase, count in book.undue.items() if count)
    return f"; of {count_of(book.schedules, 'schedule', 'schedules')} not due: {counts} had them" if counts else ""


def _counted(
    name: str,
    expected: str,
    pick: Callable[[Reckoned], Counts],
    advice: str,
    dark: Callable[[Reckoned, Plan], str],
    extra: Callable[[Reckoned], str] = lambda _book: "",
) -> Callable[[History, Plan], Finding]:
    """A check of one kind of wrong tick. `dark`: why nothing can be said of it, if so."""

    def check(history: History, plan: Plan) -> Finding:
        book = reckoned(history)
        if book is None:
            return unseen(name, expected)
        found = pick(book)
        if why := dark(book, plan):
            return unseen(name, expected, why)
        if found.count:
            more = f", and {found.count - 1} more" if found.count > 1 else ""
            return judge(name, False, expected, f"{found.examples[0]}{more}", advice, found.examples)
        if not book.expected:
            return unseen(name, expected, "no tick was due")
        return judge(name, True, expected, f"none of {book.expected:,}{extra(book)}")

    check.__doc__ = expected
    return check  # fmt: skip


def _no_word(book: Reckoned, plan: Plan) -> str:
    """A tick of a scheduler without a history is known by its claim alone."""
    blind = blind_sides(book)
    return f"{blind[0]} keeps no history, and jobs make no claims" if blind and not spec_of(plan).guarded else ""


def _no_run(book: Reckoned, _plan: Plan) -> str:
    return "" if any(book.by_side.values()) or book.unexpected.count else "nothing was started"


def _half_dark(pick: Callable[[Reckoned], Counts]) -> Callable[[Reckoned, Plan], str]:
    """What one history shows is a fault; what one of two does not show may be in the other."""
    return lambda book, plan: "" if pick(book).count else _no_run(book, plan) or _no_word(book, plan)


def _no_start(book: Reckoned, _plan: Plan) -> str:
    return "" if book.lateness or book.out_of_order.count else "no history says when a run began"


def _no_end(book: Reckoned, plan: Plan) -> str:
    return _no_run(book, plan) or ("" if any(book.histories.values()) else "no history says how a run ended")


def _nothing_given(book: Reckoned, _plan: Plan) -> str:
    return "" if book.given or book.parameters.count else "no history says what a run was given"


def _caught_up(book: Reckoned) -> str:
    skipped = f", {book.skipped.count} left out, as told at the handover" if book.skipped.count else ""
    return f"; {book.caught_up} caught up{skipped}" if book.caught_up or skipped else ""


def _half_seen(book: Reckoned) -> str:
    return "".join(f"; {side} keeps no history: its claims stand in" for side in blind_sides(book))


def _half_untold(book: Reckoned) -> str:
    return "".join(f"; {side} keeps no history: of its runs nothing is said" for side in blind_sides(book))


missed = _counted(
    "missed", "every due time was started by somebody", lambda b: b.missed,
    "see when each scheduler was held, and its own log for the tick", _no_word, _caught_up,
)  # fmt: skip
once = _counted(
    "once", "no due time was started twice", lambda b: b.doubled,
    "runs made ahead were left, or both schedulers were at work; the guard keeps second runs from working",
    _half_dark(lambda b: b.doubled), _half_seen,
)  # fmt: skip
unexpected = _counted(
    "unexpected", "nothing was started that was not due", lambda b: b.unexpected,
    "a rule, zone or anchor is not what the definitions say", _half_dark(lambda b: b.unexpected), _half_seen,
)  # fmt: skip
owner = _counted(
    "owner", "every due time was started by the scheduler whose it was", lambda b: b.misplaced,
    "somebody takes up runs of a scheduler that is held: a second worker, or one that came back",
    _half_dark(lambda b: b.misplaced), _half_seen,
)  # fmt: skip
order = _counted(
    "order", "runs of a schedule began in the order of their ticks", lambda b: b.out_of_order,
    "a later tick overtook an earlier one at the handover", _no_start, _half_untold,
)  # fmt: skip
_right_parameters = _counted(
    "parameters", "every run was given its schedule's parameters", lambda b: b.parameters,
    "compare the copies' parameters", _nothing_given,
)  # fmt: skip
_lost = _counted(
    "in flight", "every run that was taken up came to a good end", lambda b: b.lost, "see the run's own log", _no_end,
    _half_untold,
)  # fmt: skip


def in_flight(history: History, plan: Plan) -> Finding:
    """Every run that was taken up came to a good end; of one whose end nobody saw nothing is said."""
    found, book = _lost(history, plan), reckoned(history)
    if found.verdict is Verdict.PASS and book and book.unended.count:
        advice = "watch longer, so that it ends; cron tells ends with `-L 15` (docs/schedulers.md)"
        return unseen(found.check, found.expected, f"{book.unended.count}: {book.unended.examples[0]}", advice)
    return found


def parameters(history: History, plan: Plan) -> Finding:
    """Every run was given its schedule's parameters."""
    found, survey = _right_parameters(history, plan), history.result("survey", Surveyed)
    if found.verdict is Verdict.INCONCLUSIVE and survey and not any(s.parameters for s in survey.inventory.schedules):
        return Finding(check=found.check, verdict=None, expected=found.expected, seen="no schedule has any")
    return found


def punctual(history: History, plan: Plan) -> Finding:
    """Runs began soon after their tick."""
    limit = spec_of(plan).late.total_seconds()
    expected, book = f"runs begin within {format_seconds(limit)} of their tick", reckoned(history)
    if book is None or book.lateness is None:
        return unseen("late", expected, "" if book is None else "no history says when a run began")
    told = book.lateness
    spread = f"median {told.median:.1f} s, 95 % within {told.p95:.1f} s, at most {told.most:.1f} s, of {told.count:,}"
    if book.late.count:
        return judge("late", False, expected, f"{book.late.count} late: {book.late.examples[0]}; {spread}",
                     "look at the workers", book.late.examples)  # fmt: skip
    return judge("late", True, expected, spread)


def guard_is_used(history: History, plan: Plan) -> Finding:
    """Every run made its claim."""
    expected, book = "every run claims its tick before it works", reckoned(history)
    if not spec_of(plan).guarded:
        return not_asked("guard", expected, "guarded")
    if book is None:
        return unseen("guard", expected)
    found = book.unclaimed
    if found.count:
        words = f"{count_of(found.count, 'run', 'runs')} made none: {found.examples[0]}"
        advice = "wrap the job (docs/cutover-guard.md): without a claim a doubled tick runs twice"
        return judge("guard", False, expected, words, advice, found.examples)
    if not book.claims:
        return unseen("guard", expected, "no run was over, and none had claimed")
    return judge("guard", True, expected, f"{book.claims:,} claims")


def histories_are_whole(history: History, plan: Plan) -> Finding:
    """What was claimed is in a history, so a history can be believed."""
    expected, book = "both histories can be read, and hold whatever was claimed", reckoned(history)
    if book is None:
        return unseen("histories", expected)
    blind = blind_sides(book)
    if blind and not spec_of(plan).guarded:
        return unseen("histories", expected, f"{blind[0]} keeps none, and jobs make no claims", "guard the jobs")
    if found := book.unrecorded.count:
        words = f"{found} claimed, and in no history: {book.unrecorded.examples[0]}"
        return judge(
            "histories", False, expected, words, "the history was cut: keep it longer", book.unrecorded.examples
        )
    if not (book.claims or any(book.by_side.values())):
        return unseen("histories", expected, "nothing was started or claimed")
    return judge("histories", True, expected, "they do" + _half_seen(book))


TICK_CHECKS = (
    enough_was_seen,
    missed,
    once,
    unexpected,
    owner,
    punctual,
    order,
    parameters,
    in_flight,
    guard_is_used,
    histories_are_whole,
)
